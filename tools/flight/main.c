/* SPDX-License-Identifier: MIT */
/* main.c - weft-flight: shows what the flight recorder of a program kept, whatever ended it.
 *
 *     weft-flight FILE                          the last events of each task, as text
 *     weft-flight --format=perfetto FILE        a trace for ui.perfetto.dev, to standard output
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
#include "profiles/trace/perfetto.h"
#include "profiles/trace/settle.h"
#include "tools/flight/resolve.h"
#include "tools/flight/summary.h"

enum { PROGRESS_EVERY = 100000 };

static const char *program;

static int fail(const char *file, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program, file, why);
    return 2;
}

/* Shows on a terminal how much of a long record is written. */
static void show_progress(size_t done, size_t all)
{
    if (done % PROGRESS_EVERY == 0 && isatty(STDERR_FILENO))
        fprintf(stderr, "\r%zu of %zu events", done, all);
    if (done == all && all >= PROGRESS_EVERY && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
}

static int write_perfetto(const struct weft__settled *list, size_t n,
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
    return weft__perfetto_end(p, rc);
}

static int write_summary(const weft__flight *f, const struct weft__settled *list, size_t n,
                         const struct weft__trace_words *words)
{
    time_t began = (time_t)(f->head->wall / 1000000000);
    char date[64] = "?";
    struct tm tm;

    if (localtime_r(&began, &tm))
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S %z", &tm);
    printf("%s, process %u, began %s, %s; %zu events\n", f->head->program, f->head->pid, date,
           f->head->ended ? "ended in order" : "did not end in order", n);
    if (!summary_print(list, n, words))
        return -ENOMEM;
    return fflush(stdout) == 0 ? 0 : -errno;
}

static int write_all(weft__flight *f, const char *format, const char *file)
{
    size_t n = 0;
    struct weft__settled *list = weft__settle(&f->span, &n);
    resolver *r = list ? resolver_new(f) : NULL;
    int rc = -ENOMEM;

    if (r && strcmp(format, "perfetto") == 0)
        rc = write_perfetto(list, n, resolver_words(r));
    else if (r)
        rc = write_summary(f, list, n, resolver_words(r));
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

static int read_file(const char *file, const char *format)
{
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
    wrong = weft__flight_read(&f, bytes, (uint64_t)st.st_size);
    if (wrong)
        return fail(file, wrong);
    status = write_all(&f, format, file);
    weft__flight_free(&f);
    munmap(bytes, (size_t)st.st_size);
    close(fd);
    return status;
}

int main(int argc, char **argv)
{
    const char *format = "summary";
    int at = 1;

    program = argv[0];
    unsetenv("DEBUGINFOD_URLS"); /* debug files are looked for on this machine only */
    if (at < argc && strncmp(argv[at], "--format=", 9) == 0)
        format = argv[at++] + 9;
    if (argc - at != 1 || (strcmp(format, "summary") != 0 && strcmp(format, "perfetto") != 0)) {
        fprintf(stderr, "usage: weft-flight [--format=summary|perfetto] FILE\n");
        return 2;
    }
    return read_file(argv[at], format);
}
