/* SPDX-License-Identifier: MIT */
/* tasks_sample.c - a program whose tasks debuggers and weft-dump look at from outside.
 *
 *     tasks_sample stay [FILE]   writes its own dump to the file, and waits for ever
 *     tasks_sample spin          a task burns CPU in sample_spin, one sits in a blocking call in
 *                                sample_call, and a thread that is no task waits in sample_foreign
 *     tasks_sample abort [FILE]  as stay, but dies by abort()
 *     tasks_sample many N        N tasks wait
 *     tasks_sample hungry        as stay, and no more memory can be had
 *     tasks_sample adrift        as stay, but each worker is in an endless loop of the scheduler
 *     tasks_sample serve ADDR    serves the debug endpoints; 200 tasks wait, and two contend for a
 *                                mutex in sample_contend
 *
 * When every task waits, it calls sample_ready, which says so on stdout. Then there are
 *   "reader"  waits in weft_chan_recv, below four calls of sample_read, and has a label
 *   "holder"  holds a mutex and waits in sample_hold for a channel that is nil
 *   "locker"  waits in sample_lock for that mutex */
#include <weft.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static weft_mutex mutex = WEFT_MUTEX_INIT;
static weft_chan *chan;
static volatile int spun;

/* Returns how often a dump has this text. */
static int count(const char *text)
{
    static char dump[1 << 20];
    int n = 0, fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    ssize_t got;

    if (fd < 0 || weft_dump(fd, NULL) != 0)
        exit(1);
    got = pread(fd, dump, sizeof(dump) - 1, 0);
    close(fd);
    dump[got > 0 ? got : 0] = '\0';
    for (const char *at = dump; (at = strstr(at, text)); at++)
        n++;
    return n;
}

static NOINLINE int sample_read(int depth)
{
    int rc = depth > 1 ? sample_read(depth - 1) : weft_chan_recv(chan, NULL);

    __asm__ volatile("" : "+r"(rc)); /* no tail call */
    return rc;
}

static void reader(void *arg)
{
    const weft_label label = {"tenant", "acme corp"};

    (void)arg;
    weft_labels_set(&label, 1);
    exit(sample_read(4));
}

static NOINLINE void sample_hold(void *arg)
{
    weft_mutex_lock(&mutex);
    weft_chan_recv(NULL, arg);
    weft_mutex_unlock(&mutex);
}

static NOINLINE void sample_lock(void *arg)
{
    (void)arg;
    weft_mutex_lock(&mutex);
    weft_mutex_unlock(&mutex);
}

static NOINLINE void sample_spin(void *arg)
{
    (void)arg;
    for (;;)
        spun++;
}

static NOINLINE void sample_call(void *arg)
{
    int pipes[2];

    (void)arg;
    if (pipe(pipes) != 0)
        exit(1);
    weft_blocking_begin();
    if (read(pipes[0], pipes, 1) != 1) /* nothing ever comes */
        exit(1);
    weft_blocking_end();
}

static NOINLINE void sample_wait(void *arg)
{
    weft_chan_recv(arg, NULL);
}

/* A debugger stops here. */
static NOINLINE void sample_ready(void)
{
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        exit(1);
}

static void go(const char *name, weft_task_fn *fn)
{
    weft_go_with(&(weft_go_options){.name = name}, fn, NULL);
}

static NOINLINE void *sample_foreign(void *arg)
{
    weft_chan_recv(arg, NULL);
    return NULL;
}

static void go_spin(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, sample_foreign, chan) != 0)
        exit(1);

    go("spinner", sample_spin);
    go("caller", sample_call);
    while (spun == 0 || count("[syscall") < 1 || count("[chan receive, locked to thread]") < 1)
        weft_yield();
}

static NOINLINE void sample_contend(void *arg)
{
    static weft_mutex contended = WEFT_MUTEX_INIT;

    (void)arg;
    for (;;) {
        weft_mutex_lock(&contended);
        weft_sleep(WEFT_MILLISECOND);
        weft_mutex_unlock(&contended);
    }
}

static void go_many(long n)
{
    while (n-- > 0)
        weft_go(sample_wait, chan);
    weft_sleep(100 * WEFT_MILLISECOND);
}

static void serve(const char *addr)
{
    if (weft_debug_serve(addr) != 0)
        exit(1);
    go("first", sample_contend);
    go("second", sample_contend);
    go_many(200);
}

static void write_dump(const char *file)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || weft_dump(fd, NULL) != 0)
        exit(1);
    close(fd);
}

static void *volatile eaten; /* keeps clang from leaving calls of malloc out */

/* Makes the next mapping and the next malloc fail. */
static void starve(void)
{
    setrlimit(RLIMIT_AS, &(struct rlimit){0, 0});
    for (size_t n = 1 << 20; n >= 16; n /= 2)
        while ((eaten = malloc(n)) != NULL)
            continue;
}

static volatile bool adrift;
struct weft__worker;
void *__real_weft__find_work(struct weft__worker *w);
void *__wrap_weft__find_work(struct weft__worker *w);

/* Called by each worker that has no task, and inside of the runtime. */
NOINLINE void *__wrap_weft__find_work(struct weft__worker *w)
{
    while (adrift)
        continue;
    return __real_weft__find_work(w);
}

static int run(void *arg)
{
    char **argv = arg;
    weft_chan *signals;

    chan = weft_chan_new(0, 0);
    go("reader", reader);
    go("holder", sample_hold);
    while (count("[chan receive (nil chan)]") < 1 || count("[chan receive]") < 1)
        weft_yield();
    go("locker", sample_lock);
    while (count("[sync.Mutex.Lock]") < 1)
        weft_yield();
    if (strcmp(argv[1], "spin") == 0)
        go_spin();
    else if (strcmp(argv[1], "many") == 0)
        go_many(atol(argv[2]));
    else if (strcmp(argv[1], "serve") == 0)
        serve(argv[2]);
    else if (argv[2])
        write_dump(argv[2]);
    if (strcmp(argv[1], "hungry") == 0) {
        signals = weft_chan_new(sizeof(int), 1);
        weft_signal_start(signals, SIGWINCH);
        starve();
        sample_ready();
        weft_chan_recv(signals, NULL); /* a timer would need memory */
    }
    adrift = strcmp(argv[1], "adrift") == 0;
    sample_ready();
    if (strcmp(argv[1], "abort") == 0)
        abort();
    return weft_sleep(1000 * WEFT_SECOND);
}

int main(int argc, char **argv)
{
    return argc > 1 ? weft_run(run, argv) : 2;
}
