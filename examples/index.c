/* SPDX-License-Identifier: MIT */
/* index.c - counts the words of all text files under some folders, with thousands of tasks.
 *
 *   walk, a task a folder --> read_file, a task a file --> parse, a fixed pool of tasks
 *                             queues on `slots`, sends     adds words to a shared table
 *                             pages through `queue`        and to the hot statistics
 *
 * Beside them a task draws the progress line, and one waits for SIGINT or SIGTERM and then cancels
 * the group that holds everything: every wait in it returns WEFT_ECANCELED, and each task goes
 * home the way it would after any other error.
 *
 * Files are read by plain read(2). A read that blocks for long loses its processor to other tasks;
 * nothing here has to say so. Press Ctrl-\ at any moment to see what every task is doing. */
#include "table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PAGE = 32 * 1024, /* bytes a parser gets at a time */
    OPEN_FILES = 64,  /* at once: this and the queue bound the memory, however many files wait */
    PARSERS = 4,      /* for each processor, so that some are left when others wait for a lock */
    BATCH = 512,      /* words that go to the table under one lock */
    TOP = 10,
    DUMPS = 4,
};

struct page {
    bool licence; /* from a licence text: its lines count, too */
    size_t len;
    char text[PAGE];
};
WEFT_CHAN_TYPE(pages, struct page *);

static pages *queue;
static weft_sema slots = WEFT_SEMA_INIT(OPEN_FILES);
static weft_group work, files, parsers; /* work: all that a signal cancels */
static weft_waitgroup walking;          /* folders that are not walked yet */
static struct table words, licence_lines;
static int caught; /* the signal that ended the work */

/* Where --dump and --pprof go. */
static struct dump {
    const char *path;
    int fd;
    enum weft_dump_form form;
} dumps[DUMPS];
static int n_dumps;

/* Deliberately hot: each task of the program takes it, parsers once for every line. */
static struct {
    weft_mutex mu; /* guards the rest */
    uint64_t tasks, folders, files, other, unreadable, bytes, lines, words;
} stats;

static bool verbose, on_terminal;

static char *join(const char *folder, const char *name)
{
    char *path = NULL;

    if (asprintf(&path, "%s%s%s", folder, *folder ? "/" : "", name) < 0)
        _Exit(1);
    return path;
}

static int first_of(int rc, int next)
{
    return rc != 0 ? rc : next;
}

static void bump(uint64_t *stat, int by)
{
    weft_mutex_lock(&stats.mu);
    *stat += (uint64_t)by;
    weft_mutex_unlock(&stats.mu);
}

static void unreadable(const char *path, int error)
{
    bump(&stats.unreadable, 1);
    if (verbose)
        fprintf(stderr, "%sindex: %s: %s\n", on_terminal ? "\r\033[K" : "", path, strerror(error));
}

/* Parsers ------------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Finds the next word of two letters or more and makes it lower-case in place. */
static bool next_word(char **at, char *end, struct slice *word)
{
    char *p = *at, *start;

    do {
        while (p < end && !is_letter(*p))
            p++;
        for (start = p; p < end && is_letter(*p); p++)
            *p |= 0x20;
    } while (p < end && p - start < 2);
    *at = p;
    *word = (struct slice){start, (size_t)(p - start)};
    return p - start >= 2;
}

/* Short ones are list marks and paragraph ends. */
static void count_licence_line(const char *line, const char *end)
{
    struct slice s;

    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    s = (struct slice){line, (size_t)(end - line)};
    if (s.len >= 30)
        table_add(&licence_lines, &s, 1);
}

static void count_lines(struct page *page)
{
    const char *line = page->text, *limit = line + page->len, *end;

    for (; line < limit; line = end + 1) {
        end = memchr(line, '\n', (size_t)(limit - line));
        if (!end)
            end = limit;
        if (page->licence)
            count_licence_line(line, end);
        bump(&stats.lines, 1);
    }
}

static void count_words(struct page *page)
{
    struct slice found[BATCH];
    char *at = page->text, *end = at + page->len;
    size_t n;

    do {
        for (n = 0; n < BATCH && next_word(&at, end, &found[n]); n++)
            ;
        table_add(&words, found, n);
        bump(&stats.words, (int)n);
    } while (n == BATCH);
}

static int parse(void *arg)
{
    struct page *page;
    int rc;

    (void)arg;
    weft_task_name("parser");
    while ((rc = pages_recv(queue, &page)) == 0) {
        count_lines(page);
        count_words(page);
        free(page);
    }
    return rc == WEFT_ECLOSED ? 0 : rc;
}

/* Readers ------------------------------------------------------------------------------------- */

/* Fills the page after what is already in it; bytes read, 0 at the end, -errno. errno is the
 * thread's, and a task may leave its thread in any call of weft: so it is read right here. */
static ssize_t fill(int fd, struct page *page)
{
    ssize_t n = 0, all = 0;

    while (page->len < PAGE && (n = read(fd, page->text + page->len, PAGE - page->len)) > 0) {
        page->len += (size_t)n;
        all += n;
    }
    return n < 0 ? -errno : all;
}

static int open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 ? -errno : fd;
}

static struct page *page_new(const char *path)
{
    struct page *page = malloc(sizeof(*page));

    if (!page)
        _Exit(1);
    page->len = 0;
    page->licence = strstr(path, "licen") || strstr(path, "LICEN") || strstr(path, "copyright");
    return page;
}

/* Sends the whole lines of page, and moves what follows them to the page that is returned. */
static struct page *send_lines(struct page *page, const char *path, int *rc)
{
    struct page *next = page_new(path);
    const char *end = page->len == PAGE ? memrchr(page->text, '\n', PAGE) : NULL;

    if (end) {
        next->len = (size_t)(page->text + page->len - end - 1);
        memcpy(next->text, end + 1, next->len);
        page->len -= next->len;
    }
    *rc = pages_send(queue, page); /* from here on it is the parser's, */
    if (*rc != 0)
        free(page); /* unless there is none any more */
    return next;
}

/* Returns what ended a wait early, if anything did. */
static int send_file(int fd, const char *path)
{
    struct page *page = page_new(path);
    ssize_t n = 0, bytes = 0;
    bool is_text = true;
    int rc = 0;

    while (rc == 0 && (n = fill(fd, page)) >= 0 && page->len > 0) {
        is_text = bytes > 0 || !memchr(page->text, 0, page->len);
        if (!is_text)
            break;
        bytes += n;
        page = send_lines(page, path, &rc);
    }
    free(page);
    if (n < 0)
        unreadable(path, (int)-n);
    weft_mutex_lock(&stats.mu);
    stats.files += is_text && n >= 0;
    stats.other += !is_text;
    stats.bytes += (uint64_t)bytes;
    weft_mutex_unlock(&stats.mu);
    return rc;
}

static int read_file(void *arg)
{
    char *path = arg;
    int fd, rc = weft_sema_wait(&slots, 1);

    if (rc == 0) {
        fd = open_file(path);
        if (fd >= 0) {
            rc = send_file(fd, path);
            close(fd);
        } else {
            unreadable(path, -fd);
        }
        weft_sema_add(&slots, 1);
    }
    bump(&stats.tasks, -1);
    free(path);
    return rc;
}

/* Walkers ------------------------------------------------------------------------------------- */

static void start(weft_main_fn *fn, char *path)
{
    bump(&stats.tasks, 1);
    weft_group_go(&files, fn, path);
}

static DIR *open_folder(const char *path, int *error)
{
    DIR *d = opendir(path);

    *error = d ? 0 : errno;
    return d;
}

/* Hidden names, and what a build leaves, are nobody's text. */
static bool is_of_interest(const char *name)
{
    return name[0] != '.' && strcmp(name, "build") != 0 && strcmp(name, "out") != 0;
}

static int walk(void *arg)
{
    char *path = arg;
    const struct dirent *entry;
    struct stat st;
    int error;
    DIR *d = open_folder(path, &error);

    if (!d)
        unreadable(path, error);
    while (d && !weft_group_is_canceled(&files) && (entry = readdir(d)) != NULL) {
        if (!is_of_interest(entry->d_name) ||
            fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            weft_waitgroup_add(&walking, 1);
            start(walk, join(path, entry->d_name));
        } else if (S_ISREG(st.st_mode)) {
            start(read_file, join(path, entry->d_name));
        }
    }
    if (d)
        closedir(d);
    bump(&stats.folders, d != NULL);
    bump(&stats.tasks, -1);
    weft_waitgroup_done(&walking);
    free(path);
    return 0;
}

/* The whole ----------------------------------------------------------------------------------- */

static int write_dump(void *arg)
{
    const struct dump *d = arg;
    int rc = weft_dump(d->fd, &(weft_dump_options){.form = d->form});

    close(d->fd);
    if (rc < 0)
        fprintf(stderr, "index: %s: %s\n", d->path, weft_strerror(rc));
    return rc;
}

static int index_all(void *arg)
{
    char **folder = arg;
    weft_group dumping = WEFT_GROUP_INIT;
    int rc;

    for (int i = 0; i < PARSERS * weft_procs(); i++)
        weft_group_go(&parsers, parse, NULL);
    for (; *folder; folder++) {
        weft_waitgroup_add(&walking, 1);
        start(walk, strdup(*folder));
    }
    /* When the last folder has been walked the files are still queueing: the fullest moment. */
    rc = weft_waitgroup_wait(&walking);
    for (struct dump *d = dumps; d < dumps + n_dumps && rc == 0; d++)
        weft_group_go(&dumping, write_dump, d);
    rc = first_of(rc, weft_group_join(&files));
    pages_close(queue);
    rc = first_of(rc, weft_group_join(&parsers));
    return first_of(rc, weft_group_join(&dumping));
}

static int show_progress(void *arg)
{
    weft_ticker *ticker = weft_ticker_new(on_terminal ? WEFT_SECOND / 10 : WEFT_SECOND);
    weft_time began = weft_now();
    int rc;

    (void)arg;
    weft_task_name("progress");
    do {
        rc = weft_chan_recv(weft_ticker_chan(ticker), NULL);
        weft_mutex_lock(&stats.mu);
        fprintf(stderr,
                "%s%5.1f s  %6" PRIu64 " tasks  %5" PRIu64 " folders  %6" PRIu64 " files  %4" PRIu64
                " MB  %8" PRIu64 " words%s",
                on_terminal ? "\r" : "", (double)(weft_now() - began) / WEFT_SECOND, stats.tasks,
                stats.folders, stats.files, stats.bytes >> 20, stats.words,
                on_terminal && rc == 0 ? "" : "\n");
        weft_mutex_unlock(&stats.mu);
    } while (rc == 0);
    weft_ticker_free(ticker);
    return 0;
}

static int watch_signals(void *arg)
{
    weft_task_name("signals");
    if (weft_chan_recv(arg, &caught) == 0)
        weft_group_cancel(&work);
    return 0;
}

static void print_results(void)
{
    const struct entry *top[TOP];
    size_t n;

    printf("%" PRIu64 " text files in %" PRIu64 " folders, %" PRIu64 " other files, %" PRIu64
           " unreadable\n%" PRIu64 " bytes, %" PRIu64 " lines, %" PRIu64 " words, %zu distinct\n",
           stats.files, stats.folders, stats.other, stats.unreadable, stats.bytes, stats.lines,
           stats.words, words.n);
    n = table_top(&words, top, TOP);
    printf("\nMost frequent words:\n");
    for (size_t i = 0; i < n; i++)
        printf("%10" PRIu64 "  %s\n", top[i]->count, top[i]->text);
    n = table_top(&licence_lines, top, TOP);
    printf("\nMost frequent lines of licences:\n");
    for (size_t i = 0; i < n; i++)
        printf("%10" PRIu64 "  %.80s\n", top[i]->count, top[i]->text);
}

static int index_main(void *folders)
{
    weft_group beside = WEFT_GROUP_INIT;
    weft_chan *signals = weft_chan_new(sizeof(int), 1);
    struct page *left;
    int rc;

    queue = pages_new(OPEN_FILES);
    weft_task_name("main");
    weft_signal_start(signals, SIGINT);
    weft_signal_start(signals, SIGTERM);
    weft_group_go(&beside, watch_signals, signals);
    weft_group_go(&beside, show_progress, NULL);
    weft_group_go(&work, index_all, folders);
    rc = weft_group_join(&work);
    weft_group_cancel(&beside);
    weft_group_join(&beside);
    while (pages_recv_until(queue, &left, WEFT_NOW) == 0)
        free(left);
    pages_free(queue);
    weft_signal_stop(signals, SIGINT);
    weft_signal_stop(signals, SIGTERM);
    weft_chan_free(signals);
    return rc;
}

/* The command line ---------------------------------------------------------------------------- */

static int usage(FILE *to)
{
    fputs(
        "usage: index [-v] [--dump FILE] [--pprof FILE] [FOLDER...]\n"
        "Counts the words of all text files under the folders; by default this one, the headers,\n"
        "and the documents and licences of the system.\n"
        "  -v            name the files that cannot be read\n"
        "  --dump FILE   write all tasks to FILE in mid-work, as text\n"
        "  --pprof FILE  the same for go tool pprof\n",
        to);
    return 2;
}

static int add_dump(const char *path, enum weft_dump_form form)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd < 0) {
        fprintf(stderr, "index: %s: %s\n", path, strerror(errno));
        return 1;
    }
    dumps[n_dumps++] = (struct dump){path, fd, form};
    return 0;
}

/* 0, or the status to end with. */
static int parse_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"dump", required_argument, NULL, 'd'},
        {"pprof", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option, rc = 0;

    while (rc == 0 && (option = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
        if (option == 'v')
            verbose = true;
        else if (option == 'd' && n_dumps < DUMPS)
            rc = add_dump(optarg, WEFT_DUMP_TASKS);
        else if (option == 'p' && n_dumps < DUMPS)
            rc = add_dump(optarg, WEFT_DUMP_PPROF);
        else
            rc = usage(stderr);
    }
    return rc;
}

int main(int argc, char **argv)
{
    static char *by_default[] = {".", "/usr/include", "/usr/share/common-licenses",
                                 "/usr/share/doc", NULL};
    int rc = parse_options(argc, argv);

    if (rc != 0)
        return rc;
    for (int i = optind; i < argc; i++) {
        if (access(argv[i], R_OK | X_OK) != 0) {
            fprintf(stderr, "index: %s: %s\n", argv[i], strerror(errno));
            return 1;
        }
    }
    on_terminal = isatty(STDERR_FILENO);
    rc = weft_run(index_main, optind < argc ? argv + optind : by_default);
    if (rc != 0) {
        fprintf(stderr, "index: %s\n", weft_strerror(rc));
        return caught ? 128 + caught : 1;
    }
    print_results();
    table_free(&words);
    table_free(&licence_lines);
    return fflush(stdout) != 0;
}
