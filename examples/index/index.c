/* SPDX-License-Identifier: MIT */
/* index.c - counts the words of all text files under some folders, with thousands of tasks.
 *
 *   walk, a task a folder --> read_file, a task a file --> parse, a fixed pool of tasks
 *                             queues on `slots`, sends     adds words to a shared table
 *                             pages through `queue`        and to the hot statistics
 *
 * All of them belong to groups that the task that called index_all waits for. When that task is
 * canceled, so are the groups: every wait of theirs returns WEFT_ECANCELED, and each task goes home
 * the way it would after any other error.
 *
 * Files are read by plain read(2). A read that blocks for long loses its processor to other tasks;
 * nothing here has to say so. Press Ctrl-\ at any moment to see what every task is doing. */
#include "index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PAGE = 32 * 1024, /* the bytes that a parser gets at a time */
    OPEN_FILES = 64,  /* at once: this and the queue bound the memory, however many files wait */
    PARSERS = 4,      /* for each processor, so that some run while others wait for a lock */
    BATCH = 512,      /* words that go to the table under one lock */
};

struct page {
    bool licence; /* from a licence text: its lines count, too */
    size_t len;
    char text[PAGE];
};
WEFT_CHAN_TYPE(pages, struct page *);

struct stats stats;
struct table words, licence_lines;

static pages *queue;
static weft_sema slots = WEFT_SEMA_INIT(OPEN_FILES);
static weft_group files, parsers;
static weft_waitgroup walking; /* folders that are not walked yet */

static char *copy(const char *text)
{
    return strcpy(must_alloc(1, strlen(text) + 1), text);
}

static char *join(const char *folder, const char *name)
{
    char *path;

    if (asprintf(&path, "%s/%s", folder, name) < 0)
        out_of_memory();
    return path;
}

static void bump(size_t *stat, int by)
{
    weft_mutex_lock(&stats.mu);
    *stat += (size_t)by;
    weft_mutex_unlock(&stats.mu);
}

static void unreadable(const char *path, int error)
{
    bump(&stats.sum.unreadable, 1);
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

/* Counts a line of a licence. Short lines are list marks and ends of paragraphs. */
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
        bump(&stats.sum.lines, 1);
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
        bump(&stats.sum.words, (int)n);
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

/* Reads into the free part of the page. Returns the bytes read, 0 at the end, or -errno. errno
 * belongs to the thread, and a task may change threads in any call of weft: so it is read here. */
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
    struct page *page = must_alloc(1, sizeof(*page));

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
    *rc = pages_send(queue, page); /* the parser owns it from here on, */
    if (*rc != 0)
        free(page); /* unless the parsers have gone */
    return next;
}

/* Sends a file to the parsers, page by page. Returns 0, or the code that ended a wait early. */
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
    stats.sum.files += is_text && n >= 0;
    stats.sum.other += !is_text;
    stats.sum.bytes += (size_t)bytes;
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
    bump(&stats.sum.tasks, -1);
    free(path);
    return rc;
}

/* Walkers ------------------------------------------------------------------------------------- */

static void start(weft_main_fn *fn, char *path)
{
    bump(&stats.sum.tasks, 1);
    weft_group_go(&files, fn, path);
}

static int walk(void *arg);

static void start_walk(char *path)
{
    weft_waitgroup_add(&walking, 1);
    start(walk, path);
}

static DIR *open_folder(const char *path, int *error)
{
    DIR *d = opendir(path);

    *error = d ? 0 : errno;
    return d;
}

/* Returns whether a name may be a text file: not hidden, and not made by a build. */
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
            start_walk(join(path, entry->d_name));
        } else if (S_ISREG(st.st_mode)) {
            start(read_file, join(path, entry->d_name));
        }
    }
    if (d)
        closedir(d);
    bump(&stats.sum.folders, d != NULL);
    bump(&stats.sum.tasks, -1);
    weft_waitgroup_done(&walking);
    free(path);
    return 0;
}

/* The whole ----------------------------------------------------------------------------------- */

static int first_of(int rc, int next)
{
    return rc != 0 ? rc : next;
}

int index_all(char **folders, void (*all_found)(void))
{
    struct page *left;
    int rc;

    queue = pages_new(OPEN_FILES);
    for (int i = 0; i < PARSERS * weft_procs(); i++)
        weft_group_go(&parsers, parse, NULL);
    for (; *folders; folders++)
        start_walk(copy(*folders));
    rc = weft_waitgroup_wait(&walking);
    if (rc == 0)
        all_found();
    rc = first_of(rc, weft_group_wait(&files));
    pages_close(queue);
    rc = first_of(rc, weft_group_wait(&parsers));
    while (pages_recv(queue, &left) == 0)
        free(left); /* canceled parsers leave pages in the queue */
    pages_free(queue);
    return rc;
}
