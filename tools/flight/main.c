/* SPDX-License-Identifier: MIT */
/* main.c - weft-flight: shows what the flight recorder of a program kept, whatever ended it.
 *
 *     weft-flight FILE                          the last events of each task, as text
 *     weft-flight --task=ID FILE                all events of one task
 *     weft-flight --format=perfetto FILE        a trace for ui.perfetto.dev, to standard output
 *     weft-flight --format=1 FILE               a trace for go tool trace, from 1.19 on
 *     weft-flight --format=2 FILE               the same, from 1.23 on
 *
 * Exit status: 0; 1 if the file is torn, after the part before the tear was written; 2 if it is
 * no record, or the output cannot be written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "profiles/render/output.h"
#include "profiles/trace/formats.h"
#include "profiles/trace/names.h"
#include "profiles/trace/perfetto.h"
#include "profiles/trace/settle.h"
#include "tools/flight/resolve.h"
#include "tools/flight/summary.h"

enum { PROGRESS_EVERY = 100000, LONG = 16 << 20 /* bytes */ };

static const char *program;
static bool shows_progress; /* stderr is a terminal, and the record is long */

/* The wishes of the caller. */
struct ask {
    const char *file, *format;
    uint64_t task; /* 0: all tasks */
};

static int fail(const char *file, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program, file, why);
    return 2;
}

/* Says on a terminal what the tool does with a long record; NULL: it is done. */
static void show_step(const char *step, size_t events)
{
    if (!shows_progress)
        return;
    fprintf(stderr, "\r\033[K");
    if (step)
        fprintf(stderr, "%s %zu events ...", step, events);
}

static void show_progress(size_t done, size_t all)
{
    if (done % PROGRESS_EVERY == 0 && shows_progress)
        fprintf(stderr, "\r\033[K%zu of %zu events written", done, all);
}

static int write_perfetto(const weft__flight *f, const struct weft__settled *list, size_t n,
                          const struct weft__trace_words *words)
{
    struct weft__sink out = weft__sink_fd(STDOUT_FILENO);
    weft__perfetto *p = weft__perfetto_begin(words, &out);
    int rc = 0;

    if (!p)
        return -ENOMEM;
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = weft__perfetto_add(p, list[i].event);
        show_progress(i + 1, n);
    }
    if (rc == 0)
        rc = weft__perfetto_counters(p, &f->span);
    return weft__perfetto_end(p, rc);
}

/* Writes one of Go's formats, with times in nanoseconds, which is what ticks are in a process
 * without a run. */
static int write_go(weft__flight *f, struct weft__writer *w, const struct weft__sink *out)
{
    for (size_t i = 0; i < f->span.n; i++)
        f->span.events[i].ticks = weft__flight_nanos(f, f->span.events[i].ticks);
    show_step("writing", f->span.n);
    return weft__flight_go(f, w, out);
}

/* Prints the wall clock's time of a moment of the monotonic clock, as the record's start has both.
 */
static void print_time(const weft__flight *f, int64_t nanos)
{
    int64_t wall =
        (int64_t)((uint64_t)f->head->wall + (uint64_t)nanos - (uint64_t)f->head->first.nanos);
    time_t seconds = (time_t)(wall / 1000000000);
    char date[64];
    struct tm tm;

    if (!localtime_r(&seconds, &tm) || wall < 0 ||
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm) == 0)
        printf("?");
    else
        printf("%s.%03d", date, (int)(wall / 1000000 % 1000));
}

static void print_head(const weft__flight *f, const summary *s, size_t n)
{
    int64_t from, until;

    summary_times(s, &from, &until);
    printf("%s, process %u, began ", f->head->program, f->head->pid);
    print_time(f, f->head->first.nanos);
    printf(", %s\n", f->head->ended ? "ended in order" : "did not end in order");
    if (f->head->why[0])
        printf("it reported: %.*s\n", (int)sizeof(f->head->why) - 1, f->head->why);
    printf("%zu events of %.3f s until ", n, (double)(until - from) / 1e9);
    print_time(f, until);
    printf("\n");
}

/* Writes the summary of all tasks, or of one. */
static int write_summary(const weft__flight *f, const struct weft__settled *list, size_t n,
                         const struct weft__trace_words *words, uint64_t task)
{
    summary *s;
    bool good = true;

    show_step("sorting", n);
    s = summary_new(list, n, words);
    show_step(NULL, 0);
    if (!s)
        return -ENOMEM;
    print_head(f, s, n);
    if (task == 0)
        good = summary_print(s);
    else if (!summary_print_task(s, task))
        printf("the record has no event of task %llu\n", (unsigned long long)task);
    summary_free(s);
    return !good ? -ENOMEM : fflush(stdout) == 0 ? 0 : -errno;
}

static int write_all(weft__flight *f, const struct ask *ask)
{
    const char *format = ask->format, *file = ask->file;
    struct weft__settled *list;
    size_t n = 0;
    resolver *r;
    const struct weft__sink out = weft__sink_fd(STDOUT_FILENO);
    int rc = -ENOMEM;

    show_step("ordering", f->span.n);
    list = weft__settle(&f->span, &n);
    show_step(NULL, 0);
    r = list ? resolver_new(f) : NULL;
    if (r)
        weft__names_words = resolver_words(r);
    if (r && strcmp(format, "1") == 0)
        rc = write_go(f, weft__writer_v1(), &out);
    else if (r && strcmp(format, "2") == 0)
        rc = write_go(f, weft__writer_v2(), &out);
    else if (r && strcmp(format, "perfetto") == 0)
        rc = write_perfetto(f, list, n, resolver_words(r));
    else if (r)
        rc = write_summary(f, list, n, resolver_words(r), ask->task);
    show_step(NULL, 0);
    if (r)
        resolver_free(r);
    free(list);
    if (rc < 0)
        return fail(file, strerror(-rc));
    if (!f->torn)
        return 0;
    fprintf(stderr, "%s: %s: the file ends after %llu of %llu bytes\n", program, file,
            (unsigned long long)f->size, (unsigned long long)f->head->size);
    return 1;
}

static int read_file(const struct ask *ask)
{
    const char *file = ask->file;
    int fd = open(file, O_RDONLY | O_CLOEXEC), status;
    const char *wrong;
    struct stat st;
    weft__flight f;
    void *bytes;

    if (fd < 0 || fstat(fd, &st) < 0)
        return fail(file, strerror(errno));
    bytes = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    if (bytes == MAP_FAILED)
        return fail(file, strerror(errno));
    shows_progress = st.st_size >= LONG && isatty(STDERR_FILENO);
    show_step("reading up to", (size_t)st.st_size / sizeof(struct weft__event));
    wrong = weft__flight_read(&f, bytes, (uint64_t)st.st_size);
    if (wrong)
        show_step(NULL, 0);
    if (wrong)
        return fail(file, wrong);
    status = write_all(&f, ask);
    weft__flight_free(&f);
    munmap(bytes, (size_t)st.st_size);
    close(fd);
    return status;
}

static bool is_format(const char *s)
{
    return strcmp(s, "summary") == 0 || strcmp(s, "perfetto") == 0 || strcmp(s, "1") == 0 ||
           strcmp(s, "2") == 0;
}

int main(int argc, char **argv)
{
    struct ask ask = {.format = "summary"};
    bool good = true;
    char *end;
    int at = 1;

    program = argv[0];
    unsetenv("DEBUGINFOD_URLS"); /* debug files are looked for on this machine only */
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strncmp(argv[at], "--format=", 9) == 0) {
            ask.format = argv[at] + 9;
        } else if (strncmp(argv[at], "--task=", 7) == 0) {
            ask.task = strtoull(argv[at] + 7, &end, 10);
            good = ask.task > 0 && !*end;
        } else {
            break;
        }
    }
    if (!good || argc - at != 1 || argv[at][0] == '-' || !is_format(ask.format)) {
        fprintf(stderr, "usage: weft-flight [--format=summary|perfetto|1|2] [--task=ID] FILE\n");
        return 2;
    }
    ask.file = argv[at];
    return read_file(&ask);
}
