/* SPDX-License-Identifier: MIT */
/* main.c - the command line of the index, and the tasks beside the work: a progress line, a watch
 * for SIGINT and SIGTERM, and dumps during the work. */
#include "index.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TOP = 10, DUMPS = 4 };

bool verbose, on_terminal;

static weft_group work; /* a signal cancels it */
static int caught;      /* that signal */

/* The files of --dump and --pprof. */
static struct dump {
    const char *path;
    int fd;
    enum weft_dump_form form;
} dumps[DUMPS];
static int n_dumps;
static weft_group dumping;

/* Beside the work ----------------------------------------------------------------------------- */

static int show_progress(void *arg)
{
    weft_ticker *ticker = weft_ticker_new(on_terminal ? WEFT_SECOND / 10 : WEFT_SECOND);
    weft_time began = weft_now();
    struct counts now;
    int rc;

    (void)arg;
    weft_task_name("progress");
    do {
        rc = weft_chan_recv(weft_ticker_chan(ticker), NULL);
        weft_mutex_lock(&stats.mu);
        now = stats.sum; /* printed without the lock: a terminal may be slow */
        weft_mutex_unlock(&stats.mu);
        fprintf(stderr, "%s%5.1f s %6zu tasks %6zu folders %6zu files %5zu MB %9zu words%s",
                on_terminal ? "\r" : "", (double)(weft_now() - began) / WEFT_SECOND, now.tasks,
                now.folders, now.files, now.bytes / 1000000, now.words,
                on_terminal && rc == 0 ? "" : "\n");
    } while (rc == 0);
    weft_ticker_free(ticker);
    return 0;
}

static int watch_signals(void *arg)
{
    weft_chan *signals = arg;

    weft_task_name("signals");
    if (weft_chan_recv(signals, &caught) == 0)
        weft_group_cancel(&work);
    return 0;
}

static int write_dump(void *arg)
{
    const struct dump *d = arg;
    int rc = weft_dump(d->fd, &(weft_dump_options){.form = d->form});

    close(d->fd);
    if (rc < 0)
        fprintf(stderr, "index: %s: %s\n", d->path, weft_strerror(rc));
    return rc;
}

/* Writes the dumps. Every file has a task now, and nearly all of them wait: no other moment has
 * more to show. */
static void start_dumps(void)
{
    for (int i = 0; i < n_dumps; i++)
        weft_group_go(&dumping, write_dump, &dumps[i]);
}

static int do_work(void *folders)
{
    int rc = index_all(folders, start_dumps), dump_rc = weft_group_wait(&dumping);

    return rc != 0 ? rc : dump_rc;
}

static int run_index(void *folders)
{
    weft_group beside = WEFT_GROUP_INIT;
    weft_chan *signals = weft_chan_new(sizeof(int), 1);
    int rc;

    weft_task_name("main");
    weft_signal_start(signals, SIGINT);
    weft_signal_start(signals, SIGTERM);
    weft_group_go(&beside, watch_signals, signals);
    weft_group_go(&beside, show_progress, NULL);
    weft_group_go(&work, do_work, folders);
    rc = weft_group_wait(&work);
    weft_group_cancel(&beside);
    weft_group_wait(&beside);
    weft_signal_stop(signals, SIGINT);
    weft_signal_stop(signals, SIGTERM);
    weft_chan_free(signals);
    return rc;
}

/* Results ------------------------------------------------------------------------------------- */

static void print_top(const char *title, const struct table *t)
{
    const struct entry *top[TOP];
    size_t n = table_top(t, top, TOP);

    printf("\n%s\n", title);
    for (size_t i = 0; i < n; i++)
        printf("%9zu  %.80s\n", top[i]->count, top[i]->text);
}

static void print_results(void)
{
    const struct counts *c = &stats.sum;

    printf("%zu text files in %zu folders; %zu other files, %zu unreadable\n", c->files, c->folders,
           c->other, c->unreadable);
    printf("%zu bytes, %zu lines, %zu words, %zu distinct\n", c->bytes, c->lines, c->words,
           words.n);
    print_top("the most frequent words", &words);
    print_top("the most frequent lines of licences", &licence_lines);
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

/* Reads the options. Returns 0, or the status to end with. */
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
    rc = weft_run(run_index, optind < argc ? argv + optind : by_default);
    if (caught) {
        fprintf(stderr, "index: %s\n", strsignal(caught));
        return 128 + caught;
    }
    if (rc != 0)
        return 1; /* a dump failed and has printed its reason */
    print_results();
    table_free(&words);
    table_free(&licence_lines);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "index: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}
