/* SPDX-License-Identifier: MIT */
/* test_cpu.c - samples of CPU time: whose stack they show, that all of the time is counted, and
 * that the signal harms no program. Tests burn CPU by the clock of their thread, and compare with
 * what that clock says, so that they hold on a busy machine. */
#include "burn.h"
#include "support.h"

#include "profiles/cpu/cpu.h"
#include "profiles/table/marks.h"
#include "profiles/walk/symbolize.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WHERES = WEFT__CPU_SWITCH + 1 };

/* ---- a sink that counts ---- */

enum { NAMES = 8 };

static struct found {
    struct weft__cpu_sink sink;
    struct weft__cpu_counts counts;
    uint64_t where[WHERES];
    const char *names[NAMES]; /* of the functions that the test looks for */
    uint64_t in[NAMES];       /* the weight of the samples with that function */
    uint64_t named;           /* of those of the task with this id */
    uint64_t id;
    const char *label; /* a value, whose samples are counted */
    uint64_t labelled;
} found;

static const char *name_at(uintptr_t pc)
{
    const char *mark = weft__mark_name(pc);
    const struct weft__symbol *s = mark ? NULL : weft__symbolize(pc - 1);

    return mark ? mark : s->frames[s->n - 1].function;
}

static void on_sample(struct weft__cpu_sink *s, const struct weft__cpu_sample *one)
{
    const weft__tags *set = weft__tags_set(one->tags);

    (void)s;
    found.where[one->where] += one->weight;
    for (int k = 0; k < NAMES && found.names[k]; k++) {
        for (uint32_t i = 0; i < one->walk->kept; i++) {
            if (strcmp(name_at(one->walk->pcs[i]), found.names[k]) == 0) {
                found.in[k] += one->weight;
                break;
            }
        }
    }
    if (found.id && one->task == found.id)
        found.named += one->weight;
    if (set && found.label && strcmp(set->labels[0].value, found.label) == 0)
        found.labelled += one->weight;
}

static void start(int hz)
{
    found.sink.sample = on_sample;
    CHECK_EQ(weft__cpu_start(&found.sink, hz), 0);
}

static void stop(void)
{
    weft__cpu_stop(&found.counts);
}

/* TSan runs a handler at the thread's next call, not where the signal came. */
static void needs_true_signals(void)
{
    if (under_tsan())
        SKIP("TSan delays signal handlers");
}

/* ---- whose time ---- */

TEST(functions_have_their_shares)
{
    uint64_t random = 12345, sum;
    int64_t most = 0, some = 0;
    double share, is;

    needs_true_signals();
    found.names[0] = "burns_most";
    found.names[1] = "burns_some";
    start(HZ);
    while (most + some < 1000 * MS) {
        int64_t ns = 1 + (int64_t)(random = random * 6364136223846793005u + 1) % MS;

        ns = (ns < 0 ? -ns : ns) + 1;
        if (random >> 62) {
            burns_most(ns);
            most += ns;
        } else {
            burns_some(ns);
            some += ns;
        }
    }
    stop();
    sum = found.in[0] + found.in[1];
    share = (double)found.in[0] / (double)sum;
    is = (double)most / (double)(most + some);
    CHECK(share > is - 0.15 && share < is + 0.15);
    CHECK((double)sum * PERIOD > 0.8 * 1000 * MS);
    CHECK(found.counts.whole + found.counts.deferred > 9 * found.counts.cut);
}

/* Returns whether the weights say so much CPU time, within a tenth and a few periods. More exact is
 * test_cpu_truth, which runs alone. */
static bool is_about(uint64_t weight, int64_t ns)
{
    int64_t off = (int64_t)weight * PERIOD - ns;

    return (off < 0 ? -off : off) < ns / 10 + 5 * PERIOD;
}

static void burn_in_task(void *arg)
{
    burn(*(const int64_t *)arg);
}

TEST(the_sum_is_the_time_of_the_process)
{
    static int64_t ns = 300 * MS;
    struct rusage before, after;
    int64_t used;

    needs_true_signals();
    getrusage(RUSAGE_SELF, &before);
    start(HZ);
    go_many(4, burn_in_task, &ns);
    burn(ns);
    while (found.where[WEFT__CPU_RUNNING] + found.where[WEFT__CPU_LOST] < 130)
        weft_sleep(20 * WEFT_MILLISECOND);
    stop();
    getrusage(RUSAGE_SELF, &after);
    used = (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec -
            before.ru_stime.tv_sec) *
               INT64_C(1000000000) +
           (after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
            before.ru_stime.tv_usec) *
               INT64_C(1000);
    CHECK(is_about((uint64_t)(found.counts.cpu / PERIOD), used));
    CHECK(is_about(found.counts.weight, used));
    CHECK_EQ(found.counts.lost, 0);
}

static void burn_labelled(void *arg)
{
    burns_most(*(const int64_t *)arg);
}

TEST(samples_have_the_labels_and_the_id_of_the_task)
{
    int64_t ns = 300 * MS;

    needs_true_signals();
    found.label = "a";
    found.id = weft_task_id();
    start(HZ);
    burn(ns);
    weft_labels_do(&(weft_label){"tenant", "a"}, 1, burn_labelled, &ns);
    stop();
    CHECK(is_about(found.labelled, ns));
    CHECK(is_about(found.named, 2 * ns));
}

static void *burn_in_thread(void *arg)
{
    burn(*(const int64_t *)arg);
    return NULL;
}

/* It had no stack that the library knows, and begins before the profile, or during it. */
TEST(threads_of_the_program_are_sampled)
{
    static int64_t ns = 400 * MS;
    pthread_t threads[2];

    needs_true_signals();
    found.names[0] = "burn_in_thread";
    pthread_create(&threads[0], NULL, burn_in_thread, &ns);
    start(HZ);
    pthread_create(&threads[1], NULL, burn_in_thread, &ns);
    for (int i = 0; i < 2; i++) {
        weft_blocking_begin();
        pthread_join(threads[i], NULL);
        weft_blocking_end();
    }
    stop();
    CHECK(found.where[WEFT__CPU_THREAD] > 40);
    CHECK(found.in[0] > 40);
}

static void ping(void *arg)
{
    weft_chan **c = arg;
    int v;

    while (weft_chan_recv(c[0], &v) == 0)
        weft_chan_send(c[1], &v);
    weft_chan_close(c[1]);
}

TEST(calls_and_the_time_between_tasks_are_told_apart)
{
    weft_chan *c[2] = {weft_chan_new(sizeof(int), 0), weft_chan_new(sizeof(int), 0)};
    int v = 0;

    needs_true_signals();
    weft_go(ping, c);
    start(HZ);
    while (clock_of(CLOCK_PROCESS_CPUTIME_ID) < 600 * MS) {
        weft_chan_send(c[0], &v);
        weft_chan_recv(c[1], &v);
    }
    stop();
    CHECK(found.where[WEFT__CPU_RUNTIME] > 0);
    CHECK(found.where[WEFT__CPU_RUNNING] + found.where[WEFT__CPU_RUNTIME] +
              found.where[WEFT__CPU_SCHEDULER] + found.where[WEFT__CPU_IDLE] +
              found.where[WEFT__CPU_SWITCH] + found.where[WEFT__CPU_LOST] >
          20);
    weft_chan_close(c[0]);
    CHECK_EQ(weft_chan_recv(c[1], &v), WEFT_ECLOSED);
    weft_chan_free(c[0]);
    weft_chan_free(c[1]);
}

/* ---- one at a time ---- */

TEST(there_is_one_profile_at_a_time)
{
    int fd = memfd_create("profile", MFD_CLOEXEC);
    char head[2] = {0};

    CHECK_EQ(weft_cpu_profile_stop(), WEFT_EINVAL);
    CHECK_EQ(weft_cpu_profile_start(fd), 0);
    CHECK_EQ(weft_cpu_profile_start(fd), -EBUSY);
    CHECK_EQ(weft_profile_write(fd, "profile", &(weft_profile_options){.over = 1}), -EBUSY);
    CHECK_EQ(weft_cpu_profile_stop(), 0);
    CHECK_EQ(weft_cpu_profile_stop(), WEFT_EINVAL);
    CHECK_EQ(pread(fd, head, 2, 0), 2);
    CHECK(memcmp(head, "\x1f\x8b", 2) == 0);
    CHECK_EQ(weft_profile_write(fd, "profile", &(weft_profile_options){.over = WEFT_MILLISECOND}),
             0);
    CHECK_EQ(weft_profile_write(fd, "profile", &(weft_profile_options){.text = true}), WEFT_EINVAL);
    close(fd);
}

TEST(profile_becomes_a_page)
{
    int fd = memfd_create("profile", MFD_CLOEXEC);
    char *text;

    CHECK_EQ(weft_cpu_profile_start_with(fd, &(weft_profile_options){.form = WEFT_PROFILE_HTML}),
             0);
    burn(50 * MS);
    CHECK_EQ(weft_cpu_profile_stop(), 0);
    text = contents(fd);
    CHECK(strncmp(text, "<!DOCTYPE html>\n", 16) == 0);
    CHECK_CONTAINS(text, "{\"name\":\"profile\",");
    free(text);
    CHECK_EQ(weft_cpu_profile_start_with(1, &(weft_profile_options){.form = WEFT_PROFILE_HTML + 1}),
             WEFT_EINVAL);
}

TEST_PLAIN(outside_a_run_there_is_none)
{
    CHECK_EQ(weft_cpu_profile_start(1), WEFT_EINVAL);
    CHECK_EQ(weft_cpu_profile_stop(), WEFT_EINVAL);
}

static int start_and_return(void *arg)
{
    (void)arg;
    weft_cpu_profile_set_rate(1000);
    CHECK_EQ(weft_cpu_profile_start(STDOUT_FILENO), 0);
    burn(50 * MS);
    return 0;
}

/* A signal may be pending when the run ends: the handler stays. */
TEST_PLAIN(the_end_of_the_run_ends_it)
{
    for (int i = 0; i < 5; i++)
        CHECK_EQ(weft_run(start_and_return, NULL), 0);
    CHECK_EQ(raise(SIGPROF), 0);
    CHECK_EQ(weft_cpu_profile_stop(), WEFT_EINVAL);
}

/* ---- the signal ---- */

static atomic_int own_signals;

static void on_own(int signo)
{
    (void)signo;
    atomic_fetch_add(&own_signals, 1);
}

static void use(int signo)
{
    struct sigaction sa = {.sa_handler = on_own, .sa_flags = SA_RESTART | SA_ONSTACK};

    CHECK_EQ(sigaction(signo, &sa, NULL), 0);
}

TEST(a_program_that_uses_the_signal_keeps_it)
{
    struct itimerval each_ms = {{0, 10000}, {0, 10000}}, none = {{0, 0}, {0, 0}};

    needs_true_signals();
    use(SIGPROF);
    CHECK_EQ(setitimer(ITIMER_PROF, &each_ms, NULL), 0);
    start(HZ);
    burn(300 * MS);
    stop();
    setitimer(ITIMER_PROF, &none, NULL);
    CHECK_EQ(found.counts.signo, SIGSTKFLT);
    CHECK(is_about(found.counts.weight, found.counts.cpu));
    CHECK(atomic_load(&own_signals) > 10 && atomic_load(&own_signals) < 60);
    CHECK(!found.counts.replaced);
}

TEST(a_program_that_uses_every_signal_gets_its_own)
{
    needs_true_signals();
    use(SIGPROF);
    use(SIGSTKFLT);
    use(SIGPWR);
    for (int signo = SIGRTMIN + 1; signo <= SIGRTMAX; signo++)
        use(signo);
    start(HZ);
    burn(100 * MS);
    CHECK_EQ(atomic_load(&own_signals), 0);
    raise(SIGPROF);
    CHECK_EQ(atomic_load(&own_signals), 1);
    burn(100 * MS);
    stop();
    CHECK_EQ(found.counts.signo, SIGPROF);
    CHECK_EQ(atomic_load(&own_signals), 1);
    CHECK(is_about(found.counts.weight, found.counts.cpu));
    raise(SIGPROF);
    CHECK_EQ(atomic_load(&own_signals), 2);
}

TEST(a_handler_that_comes_later_is_noticed)
{
    start(HZ);
    use(SIGPROF);
    stop();
    CHECK(found.counts.replaced);
    start(HZ);
    stop();
    CHECK_EQ(found.counts.signo, SIGSTKFLT);
}

TEST(a_signal_from_elsewhere_is_ignored)
{
    start(HZ);
    CHECK_EQ(kill(getpid(), SIGPROF), 0);
    CHECK_EQ(raise(SIGPROF), 0);
    stop();
    CHECK_EQ(raise(SIGPROF), 0);
}

static void *burn_blocked(void *arg)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    burn(300 * MS);
    *(atomic_int *)arg = 1;
    while (*(atomic_int *)arg != 2)
        usleep(1000);
    return NULL;
}

TEST(a_thread_that_blocks_the_signal_is_counted_as_silent)
{
    static atomic_int stage;
    pthread_t thread;

    needs_true_signals();
    start(HZ);
    pthread_create(&thread, NULL, burn_blocked, &stage);
    while (stage != 1)
        weft_sleep(10 * WEFT_MILLISECOND);
    stop();
    stage = 2;
    pthread_join(thread, NULL);
    CHECK_EQ(found.counts.silent, 1);
    CHECK(found.counts.cpu - (int64_t)found.counts.weight * PERIOD > 200 * MS);
}

static int profile_without_timers(void *arg)
{
    (void)arg;
    start(HZ);
    burn(100 * MS);
    stop();
    CHECK(found.counts.refused > 0);
    CHECK_EQ(found.counts.error, EAGAIN);
    CHECK_EQ(found.counts.weight, 0);
    CHECK(found.counts.cpu > 90 * MS);
    return 0;
}

TEST_PLAIN(without_timers_it_says_why)
{
    struct rlimit none = {0, 0};

    CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &none), 0);
    CHECK_EQ(weft_run(profile_without_timers, NULL), 0);
}

/* ---- fork, exec, short threads ---- */

/* A fork that takes longer than a period ends nevertheless. */
TEST(a_process_under_a_profile_forks)
{
    enum { SIZE = 128 << 20 };
    char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int status;

    CHECK(memory != MAP_FAILED);
    memset(memory, 1, SIZE);
    weft_cpu_profile_set_rate(1000);
    CHECK_EQ(weft_cpu_profile_start(STDOUT_FILENO), 0);
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            burn(30 * MS);
            _exit(7);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    }
    CHECK_EQ(weft_cpu_profile_stop(), 0);
}

static int burn_and_exec(void *arg)
{
    sigset_t set;

    (void)arg;
    weft_cpu_profile_set_rate(1000);
    CHECK_EQ(weft_cpu_profile_start(STDOUT_FILENO), 0);
    burn(20 * MS);
    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    burn(20 * MS); /* one is pending */
    execl("/bin/sh", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 7", NULL);
    return 1;
}

static void exec_under_profile(void)
{
    _exit(weft_run(burn_and_exec, NULL));
}

TEST_PLAIN(a_new_program_gets_no_signal)
{
    char err[1000];

    CHECK_EQ(in_child(exec_under_profile, err, sizeof(err)), 7);
}

TEST(short_threads_are_sampled_or_counted)
{
    enum { THREADS = 100 };
    static int64_t ns = 10 * MS;
    int64_t rest;

    needs_true_signals();
    start(HZ);
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;

        CHECK_EQ(pthread_create(&thread, NULL, burn_in_thread, &ns), 0);
        weft_blocking_begin();
        pthread_join(thread, NULL);
        weft_blocking_end();
    }
    stop();
    rest = found.counts.cpu - (int64_t)found.counts.weight * PERIOD;
    CHECK(found.counts.cpu > THREADS * ns);
    CHECK(rest > -20 * PERIOD);
}

/* ---- listening ---- */

static atomic_int heard;

static void hear(struct weft__cpu_sink *s, const struct weft__cpu_sample *one)
{
    (void)s;
    CHECK(one->at > 0 && one->tid > 0 && one->walk->kept > 0);
    atomic_fetch_add(&heard, (int)one->weight);
}

TEST(a_listener_hears_the_same_samples)
{
    struct weft__cpu_sink sink = {.sample = hear};

    needs_true_signals();
    weft__cpu_listen(&sink);
    start(HZ);
    burn(100 * MS);
    stop();
    weft__cpu_listen(NULL);
    CHECK_EQ(atomic_load(&heard), found.counts.weight);
    CHECK(atomic_load(&heard) > 0);
}
