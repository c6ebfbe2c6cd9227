/* SPDX-License-Identifier: MIT */
/* test_blocking.c - blocking calls, hogs and pins: which tasks keep a processor, and which lose it.
 * A test hangs if a processor is not handed over. */
#include "support.h"

#include "runtime/sched/scheduler.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { N = 6 }; /* more than processors */

static int holes[N][2];
static atomic_int begun, ended, stop;

static void make_holes(void)
{
    for (int i = 0; i < N; i++)
        CHECK_EQ(pipe(holes[i]), 0);
}

static void fill_holes(void)
{
    for (int i = 0; i < N; i++)
        CHECK_EQ(write(holes[i][1], "x", 1), 1);
}

static void read_hole(void *hole)
{
    char byte;

    atomic_fetch_add(&begun, 1);
    CHECK_EQ(read(((int *)hole)[0], &byte, 1), 1);
}

static void read_declared(void *hole)
{
    weft_blocking(read_hole, hole);
    atomic_fetch_add(&ended, 1);
}

static void read_between(void *hole)
{
    weft_blocking_begin();
    read_hole(hole);
    weft_blocking_end();
    atomic_fetch_add(&ended, 1);
}

static void read_undeclared(void *hole)
{
    read_hole(hole);
    atomic_fetch_add(&ended, 1);
    weft_yield();
}

static void others_run_beside(weft_task_fn *reader)
{
    make_holes();
    for (int i = 0; i < N; i++)
        weft_go(reader, holes[i]);
    wait_for(&begun, N);
    fill_holes();
    wait_for(&ended, N);
}

TEST(declared_call_leaves_its_processor_to_others)
{
    others_run_beside(read_declared);
}

TEST(call_between_begin_and_end_leaves_its_processor)
{
    others_run_beside(read_between);
}

enum { BUSY = 5000, TRIES = 20 };

static atomic_int turns;

static void take_turns(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        atomic_fetch_add(&turns, 1);
        weft_yield();
    }
}

/* Counts how many turns others have while a task comes back from a call of 20 ms. */
static int turns_until_back(void)
{
    int before;

    weft_blocking_begin();
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    before = atomic_load(&turns);
    weft_blocking_end();
    return atomic_load(&turns) - before;
}

/* A dump or a profile of many tasks comes back once for each piece that it writes. */
TEST(task_that_comes_back_from_a_call_is_not_behind_all_that_want_to_run)
{
    int least = BUSY;

    go_many(BUSY, take_turns, NULL);
    for (int i = 0; i < TRIES; i++) {
        int others = turns_until_back();

        least = others < least ? others : least;
    }
    atomic_store(&stop, 1);
    CHECK(least < BUSY / 2);
}

TEST(undeclared_call_loses_its_processor)
{
    others_run_beside(read_undeclared);
}

static void hog(void *arg)
{
    (void)arg;
    atomic_fetch_add(&begun, 1);
    while (!atomic_load(&stop))
        ;
    atomic_fetch_add(&ended, 1);
}

TEST(hog_loses_its_processor)
{
    go_many(weft_procs() + 1, hog, NULL);
    wait_for(&begun, weft_procs() + 1);
    atomic_store(&stop, 1);
    wait_for(&ended, weft_procs() + 1);
}

static void count(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ended, 1);
}

TEST(tasks_run_on_beside_a_hog)
{
    weft_chan *c = weft_chan_new(sizeof(int), 0);

    weft_go(hog, NULL);
    wait_for(&begun, 1);
    for (int i = 0; i < 100; i++)
        weft_go(count, NULL);
    wait_for(&ended, 100);
    CHECK_EQ(weft_chan_recv_until(c, NULL, weft_after(WEFT_MILLISECOND)), WEFT_ETIMEDOUT);
    atomic_store(&stop, 1);
    wait_for(&ended, 101);
    weft_chan_free(c);
}

static void burn(long ns)
{
    struct timespec a, b;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    while ((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec < ns);
}

static void burn_a_while(void *arg)
{
    (void)arg;
    burn(15000000);
    atomic_fetch_add(&ended, 1);
}

TEST(known_hogs_all_come_to_their_end)
{
    go_many(30, burn_a_while, NULL);
    wait_for(&ended, 30);
}

/* ---- short tasks and hogs of one function ---- */

struct closure {
    weft_task_fn *fn;
};

static void call(void *arg)
{
    ((const struct closure *)arg)->fn(arg);
}

/* There are more endless hogs than the lane ever had slots. Each short task has to run before the
 * next is started. */
TEST(short_tasks_run_beside_hogs_that_share_their_function)
{
    enum { HOGS = 40, SHORT = 50 };
    static struct closure hogs = {hog}, counts = {count};

    if (weft_procs() > 2)
        return; /* that many would be more hogs */
    go_many(HOGS, call, &hogs);
    while (weft__load(&weft__sched.nhogs) < 4)
        weft_sleep(WEFT_MILLISECOND);
    for (int i = 1; i <= SHORT; i++) {
        weft_go(call, &counts);
        while (atomic_load(&ended) < i)
            weft_sleep(WEFT_MILLISECOND);
    }
    atomic_store(&stop, 1);
    wait_for(&ended, SHORT + HOGS);
}

/* ---- a task that hogs now and then ---- */

static uint32_t waiting_in_lane(void)
{
    struct weft__census census;

    weft__tasks_count(&census);
    return census.hog_lane;
}

/* Each burst makes this task a hog. It has its turns beside endless hogs. It does not wait until
 * every hog that came before it has had a turn, which happens once a second. */
static int hog_now_and_then(void *arg)
{
    enum { HOGS = 30, BURSTS = 5 };
    weft_time start;

    (void)arg;
    go_many(HOGS, hog, NULL);
    while ((uint32_t)atomic_load(&begun) + waiting_in_lane() < HOGS)
        weft_sleep(WEFT_MILLISECOND);
    weft_sleep(500 * WEFT_MILLISECOND); /* those in the lane are old, then */
    start = weft_now();
    for (int i = 0; i < BURSTS; i++) {
        burn(15000000);
        weft_yield();
    }
    CHECK(weft_now() - start < 30 * WEFT_SECOND);
    atomic_store(&stop, 1);
    wait_for(&ended, HOGS);
    return 0;
}

TEST_PLAIN(task_that_hogs_now_and_then_has_its_turns_beside_endless_hogs)
{
    weft_run_options options = {.procs = 1};

    CHECK_EQ(weft_run_with(&options, hog_now_and_then, NULL), 0);
}

static void burn_and_yield(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        burn(5000000);
        weft_yield();
    }
    atomic_fetch_add(&ended, 1);
}

/* Once their function is known for hogging, they take turns, here for 200 ms at a time. The main
 * task may be taken for a hog, too. */
static int watch_hogs(void *most)
{
    go_many(10, burn_and_yield, NULL);
    for (int bounded = 0; bounded < 200;) {
        weft_sleep(WEFT_MILLISECOND);
        bounded = weft__load(&weft__sched.nhogs) <= *(uint32_t *)most + 2 ? bounded + 1 : 0;
    }
    atomic_store(&stop, 1);
    wait_for(&ended, 10);
    return 0;
}

TEST_PLAIN(hogs_beside_the_processors_are_bounded)
{
    uint32_t most = 1;
    weft_run_options options = {.procs = 1, .max_hogs = (int)most};

    CHECK_EQ(weft_run_with(&options, watch_hogs, &most), 0);
}

/* ---- the CPUs of hogs ---- */

enum { CROWD = 4 };

static pid_t hog_tids[CROWD];
static atomic_int crowd;

static void hog_with_tid(void *arg)
{
    hog_tids[atomic_fetch_add(&crowd, 1)] = (pid_t)syscall(SYS_gettid);
    hog(arg);
}

static int cpus_of(pid_t tid)
{
    cpu_set_t set;

    return sched_getaffinity(tid, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : -1;
}

static int hogs_with_cpus(int cpus)
{
    int n = 0;

    for (int i = 0; i < CROWD; i++)
        n += cpus_of(hog_tids[i]) == cpus;
    return n;
}

/* All endless hogs run on one CPU, and other tasks on all of them. As soon as one hog is left, it
 * has all CPUs again. */
static int watch_cpus(void *all)
{
    go_many(CROWD, hog_with_tid, NULL);
    while (atomic_load(&begun) < CROWD || hogs_with_cpus(1) < CROWD)
        weft_sleep(WEFT_MILLISECOND);
    CHECK_EQ(cpus_of(0), *(int *)all);
    atomic_store(&stop, 1);
    wait_for(&ended, CROWD);
    while (hogs_with_cpus(*(int *)all) < CROWD)
        weft_sleep(WEFT_MILLISECOND);
    return 0;
}

TEST_PLAIN(hogs_without_a_call_share_as_many_cpus_as_max_hogs)
{
    weft_run_options options = {.procs = 1, .max_hogs = 1};
    int all = cpus_of(0);

    if (all < 2)
        SKIP("one CPU");
    CHECK_EQ(weft_run_with(&options, watch_cpus, &all), 0);
}

/* The child of a hog has all CPUs. */
static void fork_as_hog(void *status)
{
    pid_t child;
    int s;

    atomic_fetch_add(&begun, 1);
    while (cpus_of(0) > 1)
        ;
    child = fork();
    if (child == 0)
        _exit(cpus_of(0) > 1 ? 0 : 1);
    CHECK_EQ(waitpid(child, &s, 0), child);
    atomic_store((atomic_int *)status, WIFEXITED(s) ? WEXITSTATUS(s) : -1);
    atomic_fetch_add(&ended, 1);
}

static int watch_child(void *arg)
{
    atomic_int status = -1;

    (void)arg;
    go_many(2, hog, NULL);
    weft_go(fork_as_hog, &status);
    while (atomic_load(&ended) < 1)
        weft_sleep(WEFT_MILLISECOND);
    atomic_store(&stop, 1);
    wait_for(&ended, 3);
    return atomic_load(&status);
}

TEST_PLAIN(child_that_a_confined_hog_forks_has_all_cpus)
{
    weft_run_options options = {.procs = 1, .max_hogs = 1};

    if (cpus_of(0) < 2)
        SKIP("one CPU");
    CHECK_EQ(weft_run_with(&options, watch_child, NULL), 0);
}

/* ---- what the kernel knows of threads ---- */

/* A sanitizer has threads of its own. */
static bool is_ours(int tid)
{
    char path[64], name[32] = "";
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", tid);
    f = fopen(path, "re");
    if (f && !fgets(name, sizeof(name), f))
        name[0] = '\0';
    if (f)
        fclose(f);
    return strncmp(name, "weft-", 5) == 0;
}

/* The runtime's threads have this nice value, and are scheduled as a batch. */
static void check_threads(int nice)
{
    DIR *d = opendir("/proc/self/task");
    int threads = 0;

    CHECK(d != NULL);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        int tid = atoi(e->d_name);

        if (tid <= 0 || !is_ours(tid))
            continue;
        CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)tid), nice);
        CHECK_EQ(sched_getscheduler(tid), SCHED_BATCH);
        threads++;
    }
    closedir(d);
    CHECK(threads >= 4);
}

static int hand_over(void *nice)
{
    go_many(2, hog, NULL);
    wait_for(&begun, 2);
    while (weft__load(&weft__sched.nlost) < 2)
        weft_yield();
    check_threads(*(int *)nice);
    atomic_store(&stop, 1);
    wait_for(&ended, 2);
    return 0;
}

TEST_PLAIN(hand_over_keeps_nice_and_policy)
{
    weft_run_options options = {.procs = 1};
    int nice;

    CHECK_EQ(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 1), 0);
    nice = getpriority(PRIO_PROCESS, 0);
    CHECK_EQ(sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}), 0);
    CHECK_EQ(weft_run_with(&options, hand_over, &nice), 0);
}

/* ---- without hand-off ---- */

static void note(void *arg)
{
    (void)arg;
    atomic_store(&begun, 1);
}

static int keep_the_processor(void *arg)
{
    (void)arg;
    weft_go(note, NULL);
    burn(50000000);
    CHECK_EQ(atomic_load(&begun), 0);
    weft_yield();
    CHECK_EQ(atomic_load(&begun), 1);
    return 0;
}

/* This task computed before any hog was known, as a program does at its start. */
TEST(task_that_ran_to_its_wait_is_no_hog_any_more)
{
    weft__task *t = weft__self()->task;

    for (int i = 0; i < 5 && !(t->flags & WEFT__HOG); i++) {
        burn(50000000);
        weft_go(note, NULL); /* comes back, if the processor was taken */
    }
    weft_sleep(WEFT_MILLISECOND);
    CHECK(!(t->flags & (WEFT__HOG | WEFT__HEAVY)));
}

TEST_PLAIN(without_hand_off_one_processor_is_cooperative)
{
    weft_run_options options = {.procs = 1, .no_handoff = true};

    CHECK_EQ(weft_run_with(&options, keep_the_processor, NULL), 0);
}

TEST_PLAIN(hand_off_is_switched_off_by_the_environment)
{
    weft_run_options options = {.procs = 1};

    setenv("WEFT_HANDOFF", "0", 1);
    CHECK_EQ(weft_run_with(&options, keep_the_processor, NULL), 0);
}

/* ---- a task that was made ready and its waker that computes on ---- */

struct duo {
    weft_chan *call;
    atomic_int came;
};

/* The waker makes no call until the other task has run, which has to happen on another processor.
 * Or it makes many calls at once, just when the monitor may be moving the other task. */
static void wake_and_compute(void *arg)
{
    enum { ROUNDS = 40 };
    struct duo *d = arg;

    for (int i = 1; i <= ROUNDS; i++) {
        weft_chan_send(d->call, NULL);
        while (atomic_load(&d->came) < i)
            if (i % 2)
                weft_yield();
    }
    weft_chan_close(d->call);
}

static void answer(void *arg)
{
    struct duo *d = arg;

    while (weft_chan_recv(d->call, NULL) == 0)
        atomic_fetch_add(&d->came, 1);
}

static int run_duos(void *arg)
{
    enum { DUOS = 2 };
    static struct duo duos[DUOS];

    (void)arg;
    for (int i = 0; i < DUOS; i++) {
        duos[i].call = weft_chan_new(0, 0);
        weft_go(answer, &duos[i]);
        weft_go(wake_and_compute, &duos[i]);
    }
    for (int i = 0; i < DUOS; i++) {
        while (atomic_load(&duos[i].came) < 40)
            weft_sleep(WEFT_MILLISECOND);
    }
    return 0;
}

TEST_PLAIN(task_made_ready_runs_elsewhere_while_its_waker_computes)
{
    weft_run_options options = {.procs = 3, .no_handoff = true};

    CHECK_EQ(weft_run_with(&options, run_duos, NULL), 0);
}

/* ---- pins ---- */

static pid_t tid(void)
{
    return (pid_t)syscall(SYS_gettid);
}

static void stay(void *c)
{
    pid_t mine;

    weft_pin();
    mine = tid();
    for (int i = 0; i < 100; i++) {
        if (i % 3 == 0)
            weft_yield();
        else if (i % 3 == 1)
            weft_sleep(1000);
        else
            CHECK_EQ(weft_chan_send(c, NULL), 0);
        CHECK_EQ(tid(), mine);
    }
    weft_unpin();
    weft_yield();
    atomic_fetch_add(&ended, 1);
}

static void recv_for_ever(void *c)
{
    while (weft_chan_recv(c, NULL) == 0)
        ;
}

TEST(pinned_task_stays_on_its_thread)
{
    weft_chan *c = weft_chan_new(0, 0);

    go_many(2, recv_for_ever, c);
    go_many(N, stay, c);
    wait_for(&ended, N);
    weft_chan_close(c);
}

TEST(pins_nest)
{
    pid_t mine;

    weft_pin();
    weft_pin();
    mine = tid();
    weft_unpin();
    for (int i = 0; i < 100; i++) {
        weft_go(count, NULL);
        weft_yield();
        CHECK_EQ(tid(), mine);
    }
    weft_unpin();
    wait_for(&ended, 100);
}

static void bounce_pinned(void *arg)
{
    weft_chan **c = arg;

    weft_pin();
    while (weft_chan_recv(c[0], NULL) == 0)
        CHECK_EQ(weft_chan_send(c[1], NULL), 0);
    atomic_fetch_add(&ended, 1);
}

TEST(pinned_tasks_talk_to_each_other)
{
    weft_chan *c[2] = {weft_chan_new(0, 0), weft_chan_new(0, 0)};

    weft_go(bounce_pinned, c);
    weft_pin();
    for (int i = 0; i < 500; i++) {
        CHECK_EQ(weft_chan_send(c[0], NULL), 0);
        CHECK_EQ(weft_chan_recv(c[1], NULL), 0);
    }
    weft_chan_close(c[0]);
    wait_for(&ended, 1);
    weft_unpin();
    weft_chan_free(c[0]);
    weft_chan_free(c[1]);
}

TEST(pinned_task_may_block)
{
    pid_t mine;

    make_holes();
    fill_holes();
    weft_pin();
    mine = tid();
    for (int i = 0; i < N; i++) {
        weft_blocking(read_hole, holes[i]);
        CHECK_EQ(tid(), mine);
    }
    weft_unpin();
}

TEST(pinned_hog_keeps_its_thread)
{
    pid_t mine;

    weft_pin();
    mine = tid();
    for (int i = 0; i < 3; i++) {
        weft_go(count, NULL);
        burn(30000000);
        CHECK_EQ(tid(), mine);
        weft_yield();
        CHECK_EQ(tid(), mine);
    }
    weft_unpin();
    wait_for(&ended, 3);
}

/* ---- the cap ---- */

static int said;

/* Counts how often the text is in the file. */
static int times(int fd, const char *text)
{
    static char all[65536];
    ssize_t n = pread(fd, all, sizeof(all) - 1, 0);
    int found = 0;

    all[n > 0 ? n : 0] = '\0';
    for (const char *at = all; (at = strstr(at, text)) != NULL; at++)
        found++;
    return found;
}

/* Waits for the word on stderr, then ends the calls. The tasks in them have no processor left. */
static void *end_the_calls(void *arg)
{
    (void)arg;
    while (times(said, "threads sit in calls or loops without a processor") == 0)
        usleep(1000);
    fill_holes();
    return NULL;
}

static int block_them_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < N; i++)
        weft_go(read_undeclared, holes[i]);
    wait_for(&ended, N);
    return 0;
}

TEST_PLAIN(cap_on_threads_is_said_once)
{
    weft_run_options options = {.procs = 1, .max_threads = 2};
    pthread_t helper;

    make_holes();
    said = memfd_create("said", 0);
    dup2(said, STDERR_FILENO);
    CHECK_EQ(pthread_create(&helper, NULL, end_the_calls, NULL), 0);
    CHECK_EQ(weft_run_with(&options, block_them_all, NULL), 0);
    pthread_join(helper, NULL);
    CHECK_EQ(times(said, "threads sit in calls or loops without a processor"), 1);
}
