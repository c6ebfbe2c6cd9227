/* SPDX-License-Identifier: MIT */
/* heap_env.c - keeps 4,000 blocks of 16 KiB and frees as many others, for heap_environments.sh.
 * Prints the text of the heap profile; or its code if it is refused, and the page's lines about
 * it. */
#include <weft.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

enum { MANY = 4000, BLOCK = 16384 };

static void *kept[MANY];

NOINLINE void env_keeps(void);
NOINLINE void env_drops(void);

NOINLINE void env_keeps(void)
{
    for (int i = 0; i < MANY; i++)
        kept[i] = realloc(calloc(1, BLOCK / 2), BLOCK);
    __asm__ volatile("");
}

NOINLINE void env_drops(void)
{
    void *large[8];

    for (int i = 0; i < MANY; i++)
        free(malloc((size_t)i + 1));
    for (int i = 0; i < 8; i++) {
        large[i] = calloc(1, 40 << 20);
        large[i] = large[i] ? realloc(large[i], 50 << 20) : NULL;
    }
    for (int i = 0; i < 8; i++)
        free(large[i]);
    __asm__ volatile("");
}

/* Prints what GET /debug/pprof/heap answers. */
static void print_answer(void)
{
    static char text[4096];
    const char *path = getenv("HEAP_ENV_SOCKET");
    char address[128];
    weft_conn *c = NULL;
    ssize_t n;

    snprintf(address, sizeof(address), "unix:%s", path);
    if (weft_debug_serve(address) < 0 || weft_dial(address, &c) < 0)
        return;
    strcpy(text, "GET /debug/pprof/heap HTTP/1.0\r\nHost: localhost\r\n\r\n");
    weft_conn_write(c, text, strlen(text));
    while ((n = weft_conn_read(c, text, sizeof(text))) > 0)
        fwrite(text, 1, (size_t)n, stdout);
    weft_conn_close(c);
}

static int run(void *arg)
{
    int rc;

    (void)arg;
    env_keeps();
    env_drops();
    fflush(stdout);
    rc = weft_profile_write(STDOUT_FILENO, "heap", &(weft_profile_options){.text = true});
    if (rc < 0) {
        printf("refused: %d\n", rc);
        print_answer();
    }
    fflush(stdout);
    return 0;
}

int main(void)
{
    return weft_run(run, NULL);
}
