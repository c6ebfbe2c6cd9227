/* SPDX-License-Identifier: MIT */
/* test_foreign.c - threads that the program made: they start tasks, and wait as tasks do. */
#include "runtime/sched/scheduler.h"
#include "support.h"

#include "runtime/sync/chan.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

WEFT_CHAN_TYPE(ints, int);

static void join_in_c(void *thread)
{
    CHECK_EQ(pthread_join(*(pthread_t *)thread, NULL), 0);
}

static void join(pthread_t thread)
{
    weft_blocking(join_in_c, &thread);
}

static atomic_int ran, stop, known;

struct body {
    void *(*fn)(void *);
    void *arg;
};

static void *known_thread(void *arg)
{
    struct body b = *(struct body *)arg;

    weft_task_id();
    atomic_fetch_add(&known, 1);
    return b.fn(b.arg);
}

/* Returns once the runtime knows the thread. Before that, it could report a deadlock of tasks that
 * wait for this thread alone. */
static pthread_t start(void *(*fn)(void *), void *arg)
{
    struct body b = {fn, arg};
    int before = atomic_load(&known);
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, known_thread, &b), 0);
    wait_for(&known, before + 1);
    return thread;
}

static void count(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ran, 1);
}

static void *start_tasks(void *arg)
{
    weft_go_options named = {.name = "of a thread"};

    (void)arg;
    for (int i = 0; i < 100; i++) {
        weft_go(count, NULL);
        weft_go_with(&named, count, NULL);
    }
    return NULL;
}

TEST(thread_starts_tasks)
{
    pthread_t thread = start(start_tasks, NULL);

    wait_for(&ran, 200);
    join(thread);
}

static void *echo(void *arg)
{
    ints **c = arg;
    int v;

    while (ints_recv(c[0], &v) == 0)
        CHECK_EQ(ints_send(c[1], v + 1), 0);
    return NULL;
}

static void echo_at(size_t cap)
{
    ints *c[2] = {ints_new(cap), ints_new(cap)};
    pthread_t thread = start(echo, c);
    int v;

    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(ints_send(c[0], i), 0);
        CHECK_EQ(ints_recv(c[1], &v), 0);
        CHECK_EQ(v, i + 1);
    }
    ints_close(c[0]);
    join(thread);
    ints_free(c[0]);
    ints_free(c[1]);
}

TEST(thread_sends_and_receives)
{
    echo_at(0);
    echo_at(1);
}

static struct {
    weft_mutex mu; /* guards n and turn */
    weft_rwmutex rw;
    weft_cond cond;
    weft_waitgroup wg;
    int n, turn;
} s;

static void add_alone(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        weft_mutex_lock(&s.mu);
        weft_rwmutex_lock(&s.rw);
        s.n++;
        weft_rwmutex_unlock(&s.rw);
        weft_mutex_unlock(&s.mu);
        weft_rwmutex_read_lock(&s.rw);
        CHECK(s.n > 0);
        weft_rwmutex_read_unlock(&s.rw);
    }
    weft_waitgroup_done(&s.wg);
}

static void *add_alone_on_a_thread(void *arg)
{
    add_alone(arg);
    return NULL;
}

TEST(threads_and_tasks_share_locks)
{
    pthread_t threads[3];

    weft_waitgroup_add(&s.wg, 6);
    for (int i = 0; i < 3; i++)
        threads[i] = start(add_alone_on_a_thread, NULL);
    go_many(3, add_alone, NULL);
    CHECK_EQ(weft_waitgroup_wait(&s.wg), 0);
    CHECK_EQ(s.n, 6000);
    for (int i = 0; i < 3; i++)
        join(threads[i]);
}

static void *take_turns(void *me)
{
    weft_mutex_lock(&s.mu);
    for (int i = 0; i < 200; i++) {
        while (s.turn != (me != NULL))
            CHECK_EQ(weft_cond_wait(&s.cond, &s.mu), 0);
        s.turn = !s.turn;
        weft_cond_signal(&s.cond);
    }
    weft_mutex_unlock(&s.mu);
    return NULL;
}

TEST(thread_waits_for_a_condition)
{
    pthread_t thread = start(take_turns, &s);

    take_turns(NULL);
    join(thread);
    CHECK_EQ(s.turn, 0);
}

static void *every_deadline(void *arg)
{
    weft_chan *c = weft_chan_new(0, 0);
    weft_case on[] = {weft_on_recv(c, NULL)};
    weft_sema sema = WEFT_SEMA_INIT(0);
    weft_time end = weft_after(WEFT_MILLISECOND);

    (void)arg;
    CHECK_EQ(weft_chan_recv_until(c, NULL, WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_chan_recv_until(c, NULL, end), WEFT_ETIMEDOUT);
    CHECK(weft_now() >= end);
    CHECK_EQ(weft_chan_send_until(c, NULL, weft_after(1000)), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_select_until(on, 1, weft_after(1000)), WEFT_ETIMEDOUT);
    CHECK_EQ(weft_sema_wait_until(&sema, 1, weft_after(1000)), WEFT_ETIMEDOUT);
    end = weft_after(WEFT_MILLISECOND);
    CHECK_EQ(weft_sleep_until(end), 0);
    CHECK(weft_now() >= end);
    CHECK_EQ(weft_sleep(-1), 0);
    weft_yield();
    weft_chan_free(c);
    return NULL;
}

TEST(thread_waits_for_deadlines)
{
    join(start(every_deadline, NULL));
}

static int give_five(void *arg)
{
    (void)arg;
    weft_yield();
    return 5;
}

static void *run_a_group(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;

    (void)arg;
    for (int i = 0; i < 10; i++)
        weft_group_go(&g, give_five, NULL);
    CHECK_EQ(weft_group_wait(&g), 5);
    return NULL;
}

TEST(thread_waits_for_a_group)
{
    join(start(run_a_group, NULL));
}

static _Atomic uint64_t ids[2];

static void *note_ids(void *slot)
{
    uint64_t mine = weft_task_id();

    weft_pin();
    weft_blocking_begin();
    weft_blocking_end();
    weft_unpin();
    weft_yield();
    CHECK_EQ(weft_task_id(), mine);
    atomic_store((_Atomic uint64_t *)slot, mine);
    return NULL;
}

TEST(thread_has_an_id_of_its_own)
{
    join(start(note_ids, &ids[0]));
    join(start(note_ids, &ids[1]));
    CHECK(ids[0] > 1 && ids[1] > 1 && ids[0] != ids[1]);
}

static void *wait_named(void *c)
{
    weft_task_name("foreigner");
    weft_chan_recv(c, NULL);
    return NULL;
}

TEST(waiting_thread_is_shown_as_locked_to_thread)
{
    weft_chan *c = weft_chan_new(0, 0);
    pthread_t thread = start(wait_named, c);

    wait_for_dump("foreigner");
    wait_for_dump("[chan receive, locked to thread]");
    weft_chan_close(c);
    join(thread);
    weft_chan_free(c);
}

static weft_local key;
static int value;

static void destroy(void *v)
{
    CHECK(v == &value);
    atomic_fetch_add(&ran, 1);
}

static void *set_local(void *arg)
{
    (void)arg;
    CHECK(weft_local_get(key) == NULL);
    weft_local_set(key, &value);
    return NULL;
}

static void look_at_local(void *arg)
{
    (void)arg;
    CHECK(weft_local_get(key) == NULL);
    atomic_fetch_add(&stop, 1);
}

TEST(values_of_a_thread_end_with_it)
{
    CHECK_EQ(weft_local_new(&key, destroy), 0);
    for (int i = 1; i <= 5; i++) {
        join(start(set_local, NULL));
        CHECK_EQ(atomic_load(&ran), i);
    }
    go_many(400, look_at_local, NULL);
    wait_for(&stop, 400);
}

/* ---- threads and the end of a run ---- */

static pthread_barrier_t phase;

static void *live_through_two_runs(void *arg)
{
    uint64_t id = weft_task_id();

    (void)arg;
    CHECK(id > 1);
    atomic_store(&ran, 1);
    pthread_barrier_wait(&phase); /* the first run has ended */
    pthread_barrier_wait(&phase); /* the second has begun */
    for (int i = 0; i < 10; i++)
        weft_go(count, NULL);
    weft_yield();
    CHECK(weft_task_id() > 1);
    return NULL;
}

static void *return_when_told(void *arg)
{
    while (!atomic_load(&stop))
        usleep(100);
    return arg;
}

static int first_run(void *thread)
{
    *(pthread_t *)thread = start(live_through_two_runs, NULL);
    wait_for(&ran, 1);
    return 0;
}

static int second_run(void *thread)
{
    pthread_barrier_wait(&phase);
    wait_for(&ran, 11);
    join(*(pthread_t *)thread);
    return 0;
}

TEST_PLAIN(thread_may_outlive_a_run_and_call_in_the_next)
{
    pthread_t thread;

    pthread_barrier_init(&phase, NULL, 2);
    CHECK_EQ(weft_run(first_run, &thread), 0);
    pthread_barrier_wait(&phase);
    CHECK_EQ(weft_run(second_run, &thread), 0);
    pthread_barrier_destroy(&phase);
}

static int threads_end(void *arg)
{
    pthread_t threads[10];

    (void)arg;
    atomic_store(&stop, 0);
    for (int i = 0; i < 10; i++)
        threads[i] = start(return_when_told, NULL);
    atomic_store(&stop, 1);
    for (int i = 0; i < 10; i++)
        join(threads[i]);
    return 0;
}

TEST_PLAIN(ended_threads_leave_their_records_to_the_next_run)
{
    uint32_t slots;

    CHECK_EQ(weft_run(threads_end, NULL), 0);
    slots = weft__tasks_slots();
    for (int i = 0; i < 50; i++)
        CHECK_EQ(weft_run(threads_end, NULL), 0);
    CHECK_EQ(weft__tasks_slots(), slots);
}

static void *end_last(void *arg)
{
    (void)arg;
    weft_task_id();
    atomic_store(&ran, 1);
    wait_until_idle();
    return NULL;
}

TEST_DIES(deadlock_is_seen_when_the_last_thread_ends, 2, "all goroutines are asleep - deadlock!")
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, end_last, NULL), 0);
    wait_for(&ran, 1);
    weft_chan_recv(NULL, NULL);
}

static void yield_at_the_end(void *arg)
{
    (void)arg;
    weft_yield();
    atomic_fetch_add(&stop, 1);
}

static void *keep_a_value_over_runs(void *arg)
{
    weft_local_set(*(weft_local *)arg, &ran);
    pthread_barrier_wait(&phase);
    pthread_barrier_wait(&phase);
    weft_yield(); /* the value of the first run ends here */
    CHECK_EQ(atomic_load(&stop), 1);
    return NULL;
}

static int begin_the_keeper(void *thread)
{
    static weft_local kept;

    CHECK_EQ(weft_local_new(&kept, yield_at_the_end), 0);
    *(pthread_t *)thread = start(keep_a_value_over_runs, &kept);
    pthread_barrier_wait(&phase);
    return 0;
}

static int let_the_keeper_end(void *thread)
{
    pthread_barrier_wait(&phase);
    join(*(pthread_t *)thread);
    return 0;
}

TEST_PLAIN(value_of_an_earlier_run_may_call_in_as_it_ends)
{
    pthread_t thread;

    pthread_barrier_init(&phase, NULL, 2);
    CHECK_EQ(weft_run(begin_the_keeper, &thread), 0);
    CHECK_EQ(weft_run(let_the_keeper_end, &thread), 0);
    pthread_barrier_destroy(&phase);
}

static void *call_after_the_run(void *arg)
{
    (void)arg;
    weft_task_id();
    atomic_store(&ran, 1);
    pthread_barrier_wait(&phase);
    weft_yield();
    return NULL;
}

static int start_the_caller(void *thread)
{
    *(pthread_t *)thread = start(call_after_the_run, NULL);
    wait_for(&ran, 1);
    return 0;
}

TEST_DIES_PLAIN(call_of_a_thread_after_the_run_panics, 2, "weft_yield called outside weft_run")
{
    pthread_t thread;

    pthread_barrier_init(&phase, NULL, 2);
    CHECK_EQ(weft_run(start_the_caller, &thread), 0);
    pthread_barrier_wait(&phase);
    pthread_join(thread, NULL);
}

static int canceled_at_the_end;

static void *waits_beyond_the_run(void *c)
{
    canceled_at_the_end = weft_chan_recv(c, NULL);
    return NULL;
}

static weft_chan *gate;

static int ends_before_its_thread(void *arg)
{
    gate = weft_chan_new(sizeof(int), 0);
    pthread_create(arg, NULL, waits_beyond_the_run, gate);
    while (!weft__load(&gate->recvq.head))
        weft_yield();
    return 0;
}

TEST_PLAIN(wait_of_a_thread_ends_with_the_run)
{
    pthread_t thread;

    CHECK_EQ(weft_run(ends_before_its_thread, &thread), 0);
    pthread_join(thread, NULL);
    weft_chan_free(gate);
    CHECK_EQ(canceled_at_the_end, WEFT_ECANCELED);
}

static atomic_int receiving;

static int recv_result(void *c)
{
    atomic_fetch_add(&receiving, 1);
    return weft_chan_recv(c, NULL);
}

/* The group and its timer are in this frame, which goes before the loops and timers do. */
static int wait_in_frame(int wait(weft_group *))
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_deadline(&g, weft_after(1000 * WEFT_SECOND));
    weft_group_go(&g, recv_result, gate);
    return wait(&g);
}

static int wait_long(weft_group *g)
{
    return weft_group_wait_until(g, weft_after(1000 * WEFT_SECOND));
}

static void *waits_for_groups_beyond_the_run(void *wait)
{
    CHECK_EQ(wait_in_frame(*(int (**)(weft_group *))wait), WEFT_ECANCELED);
    return NULL;
}

static int (*waits[])(weft_group *) = {weft_group_wait, wait_long};
enum { WAITS = sizeof(waits) / sizeof(*waits) };

static int ends_before_waiters_for_groups(void *threads)
{
    gate = weft_chan_new(sizeof(int), 0);
    for (int i = 0; i < WAITS; i++)
        CHECK_EQ(pthread_create((pthread_t *)threads + i, NULL, waits_for_groups_beyond_the_run,
                                &waits[i]),
                 0);
    wait_for(&receiving, WAITS);
    wait_for_dump("[sync.WaitGroup.Wait, locked to thread]");
    return 0;
}

TEST_PLAIN(wait_of_a_thread_for_a_group_ends_with_the_run)
{
    pthread_t threads[WAITS];

    CHECK_EQ(weft_run(ends_before_waiters_for_groups, threads), 0);
    for (int i = 0; i < WAITS; i++)
        pthread_join(threads[i], NULL);
    weft_chan_free(gate);
}
