/* SPDX-License-Identifier: MIT */
/* many_sample.c - a task in each function of a large unit, which debug_info.sh writes. Prints how
 * many milliseconds of CPU time the first dump took. That dump goes to the file that is named. */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <weft/chan.h>
#include <weft/dump.h>
#include <weft/task.h>
#include <weft/time.h>

extern weft_task_fn *const functions[];
extern const int n_functions;
void waits(void);

static weft_chan *never;

void waits(void)
{
    weft_chan_recv(never, NULL);
}

static double cpu_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int run(void *path)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0666);
    double start;

    never = weft_chan_new(1, 0);
    for (int i = 0; i < n_functions; i++)
        weft_go(functions[i], NULL);
    weft_sleep(WEFT_MILLISECOND);
    start = cpu_time();
    weft_dump(fd, NULL);
    printf("%.0f\n", cpu_time() - start);
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    return argc == 2 ? weft_run(run, argv[1]) : 2;
}
