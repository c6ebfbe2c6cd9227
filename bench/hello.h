/* SPDX-License-Identifier: MIT */
/* hello.h - says hello, and then how much memory was resident at most; for hello.c and hello_uv.c.
 */
#ifndef WEFT_BENCH_HELLO_H
#define WEFT_BENCH_HELLO_H

#include <stdio.h>
#include <string.h>

/* Prints the most that was resident, in KiB. getrusage would count what the parent had resident at
 * the fork, too. Returns the status of the program. */
static inline int say_most(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    int most = 0;

    while (status && fgets(line, sizeof(line), status))
        if (sscanf(line, "VmHWM: %d", &most) == 1)
            break;
    if (status)
        fclose(status);
    return printf("%d\n", most) < 0 || most == 0;
}

#endif
