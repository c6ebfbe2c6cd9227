/* SPDX-License-Identifier: MIT */
/* render.c - the time to write a dump of N tasks with 8 frames, each with a different stack.
 *
 *     bench_render [N] [FILE]      default 100000 and 1000000 tasks, no file */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake_symbols.h"
#include "profiles/capture/snapshot.h"
#include "profiles/render/output.h"
#include "profiles/walk/unwind.h"
#include "runtime/sched/wait.h"

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void report(const char *what, size_t n, double seconds)
{
    printf("  %-28s %8.1f ms  %6.3f us/task\n", what, seconds * 1e3, seconds * 1e6 / (double)n);
}

static void fill(struct weft__snapshot *s, struct weft__walk *w)
{
    double start;

    memset(s->records, 0, s->n * sizeof *s->records); /* keeps page faults out of the figure */
    start = now();
    w->depth = w->kept = 8;
    for (size_t i = 0; i < s->n; i++) {
        for (unsigned k = 0; k < 8; k++)
            w->pcs[k] =
                FAKE_MANY + 0x100 * (uintptr_t)(k < 4 ? k : (i >> (k - 4) * 5) % 2000) + 0x1f;
        s->records[i] = (struct weft__record){
            .id = i + 1,
            .creator = 1,
            .creator_pc = FAKE_PC(FAKE_MAIN),
            .state = WEFT__REC_WAITING,
            .reason = WEFT__WAIT_CHAN_RECV,
            .since = 1,
            .stack = weft__stacktab_intern(s->stacks, w),
        };
    }
    report("intern", s->n, now() - start);
}

static void render(const struct weft__snapshot *s, const char *what, int debug, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    struct weft__sink sink = weft__sink_fd(fd);
    double start = now();
    int rc = debug ? weft__tasks_text(s, debug, &sink) : weft__tasks_pprof(s, &sink);

    report(what, s->n, now() - start);
    if (rc < 0)
        printf("  failed: %d\n", rc);
    close(fd);
}

static void bench(size_t n, const char *path)
{
    struct weft__walk *w = calloc(1, sizeof *w);
    struct weft__snapshot s = {.records = calloc(n, sizeof *s.records),
                               .n = n,
                               .alive = n,
                               .now = 200000000000,
                               .stacks = weft__stacktab_new()};

    printf("%zu tasks\n", n);
    fill(&s, w);
    printf("  %u distinct stacks\n", weft__stacktab_count(s.stacks));
    render(&s, "debug=2 to /dev/null", 2, "/dev/null");
    if (path)
        render(&s, "debug=2 to a file", 2, path);
    render(&s, "debug=3 to /dev/null", 3, "/dev/null");
    render(&s, "debug=1 to /dev/null", 1, "/dev/null");
    render(&s, "pprof to /dev/null", 0, "/dev/null");
    weft__stacktab_free(s.stacks);
    free(s.records);
    free(w);
}

int main(int argc, char **argv)
{
    const char *path = argc > 2 ? argv[2] : NULL;

    if (argc > 1) {
        bench(strtoul(argv[1], NULL, 10), path);
        return 0;
    }
    bench(100000, path);
    bench(1000000, path);
    return 0;
}
