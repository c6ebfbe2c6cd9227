/* SPDX-License-Identifier: MIT */
/* test_reruns.c - objects that outlive a run in which tasks still waited in them or held them. The
 * stacks of those tasks belong to others in the next run. */
#include "support.h"

static weft_mutex mutex = WEFT_MUTEX_INIT;
static weft_rwmutex rwmutex = WEFT_RWMUTEX_INIT;
static weft_cond cond = WEFT_COND_INIT;
static weft_once once = WEFT_ONCE_INIT;
static weft_sema sema = WEFT_SEMA_INIT(0);
static weft_waitgroup waitgroup = {._count = 8};
static weft_chan *chan;
static weft_timer *timer;

/* The function of the tasks that the first run leaves behind, and the second run's main task. */
static weft_task_fn *left;
static void (*again)(void);

static void sleep_for_ever(void *arg)
{
    (void)arg;
    weft_sleep(1000 * WEFT_SECOND);
}

static int leave(void *wait)
{
    go_many(8, left, NULL);
    wait_for_dump(wait);
    return 0;
}

/* The frame of this function is where those of the tasks of the first run were. */
static void overwrite(void *arg)
{
    volatile char bytes[3000];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = 0x41;
    sleep_for_ever(arg);
}

static int use_again(void *arg)
{
    (void)arg;
    go_many(200, overwrite, NULL);
    wait_for_dump("overwrite(");
    again();
    return 0;
}

static void run_twice(weft_task_fn *task, const char *wait, void (*use)(void))
{
    left = task;
    again = use;
    CHECK_EQ(weft_run(leave, (void *)(uintptr_t)wait), 0);
    CHECK_EQ(weft_run(use_again, NULL), 0);
}

/* ---- waits that are forgotten ---- */

static weft_time soon(void)
{
    return weft_after(20 * WEFT_MILLISECOND);
}

static void receive(void *arg)
{
    weft_chan_recv(chan, arg);
}

static void send_in_vain(void)
{
    CHECK_EQ(weft_chan_send_until(chan, &(int){1}, soon()), WEFT_ETIMEDOUT);
    weft_chan_free(chan);
}

TEST_PLAIN(channel_forgets_receivers_of_an_earlier_run)
{
    chan = weft_chan_new(sizeof(int), 0);
    run_twice(receive, "[chan receive]", send_in_vain);
}

static void select_receive(void *arg)
{
    weft_case one = {.chan = chan, .op = WEFT_CASE_RECV};

    (void)arg;
    weft_select(&one, 1);
}

TEST_PLAIN(channel_forgets_selects_of_an_earlier_run)
{
    chan = weft_chan_new(sizeof(int), 0);
    run_twice(select_receive, "[select]", send_in_vain);
}

static void send(void *arg)
{
    (void)arg;
    weft_chan_send(chan, &(int){1});
}

static void select_in_vain(void)
{
    weft_case one = {.chan = chan, .op = WEFT_CASE_RECV};

    CHECK_EQ(weft_select_until(&one, 1, soon()), WEFT_ETIMEDOUT);
    weft_chan_close(chan);
    weft_chan_free(chan);
}

TEST_PLAIN(channel_forgets_senders_of_an_earlier_run)
{
    chan = weft_chan_new(sizeof(int), 0);
    run_twice(send, "[chan send]", select_in_vain);
}

static void receive_buffered(void)
{
    for (int i = 0, v; i < 2; i++)
        CHECK_EQ(weft_chan_recv(chan, &v), 0);
    CHECK_EQ(weft_chan_len(chan), 0);
    weft_chan_free(chan);
}

TEST_PLAIN(channel_keeps_what_is_buffered)
{
    chan = weft_chan_new(sizeof(int), 2);
    run_twice(send, "[chan send]", receive_buffered);
}

static void close_it(void)
{
    weft_chan_close(chan);
    CHECK_EQ(weft_chan_recv(chan, NULL), WEFT_ECLOSED);
    weft_chan_free(chan);
}

TEST_PLAIN(channel_may_be_closed_in_a_later_run)
{
    chan = weft_chan_new(sizeof(int), 0);
    run_twice(receive, "[chan receive]", close_it);
}

static void take(void *arg)
{
    (void)arg;
    weft_sema_wait(&sema, 1);
}

static void add_and_take(void)
{
    weft_sema_add(&sema, 2);
    CHECK_EQ(weft_sema_wait_until(&sema, 2, soon()), 0);
    CHECK_EQ(weft_sema_wait_until(&sema, 1, soon()), WEFT_ETIMEDOUT);
}

TEST_PLAIN(semaphore_gives_no_unit_to_an_earlier_run)
{
    run_twice(take, "[semacquire]", add_and_take);
}

static void wait_for_group(void *arg)
{
    (void)arg;
    weft_waitgroup_wait(&waitgroup);
}

static void done_eight_times(void)
{
    CHECK_EQ(weft_waitgroup_wait_until(&waitgroup, soon()), WEFT_ETIMEDOUT);
    for (int i = 0; i < 8; i++)
        weft_waitgroup_done(&waitgroup);
    CHECK_EQ(weft_waitgroup_wait_until(&waitgroup, soon()), 0);
}

TEST_PLAIN(wait_group_keeps_its_count_only)
{
    run_twice(wait_for_group, "[sync.WaitGroup.Wait]", done_eight_times);
}

static void wait_for_cond(void *arg)
{
    (void)arg;
    weft_mutex_lock(&mutex);
    weft_cond_wait(&cond, &mutex);
}

static void signal_nobody(void)
{
    weft_cond_signal(&cond);
    weft_cond_broadcast(&cond);
    weft_mutex_lock(&mutex);
    CHECK_EQ(weft_cond_wait_until(&cond, &mutex, soon()), WEFT_ETIMEDOUT);
    weft_mutex_unlock(&mutex);
}

TEST_PLAIN(condition_forgets_waits_of_an_earlier_run)
{
    run_twice(wait_for_cond, "[sync.Cond.Wait]", signal_nobody);
}

static void start_timer(void *arg)
{
    weft_timer_start(timer, weft_after(1000 * WEFT_SECOND));
    sleep_for_ever(arg);
}

static void start_again(void)
{
    CHECK(!weft_timer_stop(timer));
    weft_timer_start(timer, soon());
    CHECK_EQ(weft_chan_recv(weft_timer_chan(timer), NULL), 0);
    weft_timer_free(timer);
}

TEST_PLAIN(timer_is_not_set_in_a_later_run)
{
    timer = weft_timer_new();
    run_twice(start_timer, "[sleep]", start_again);
}

/* ---- locks that stay locked ---- */

static void hold_mutex(void *arg)
{
    weft_mutex_lock(&mutex);
    sleep_for_ever(arg);
}

static void lock_mutex(void)
{
    weft_mutex_lock(&mutex);
}

TEST_DIES_PLAIN(wait_for_a_mutex_of_an_earlier_run_panics, 2, " in an earlier run, which has ended")
{
    run_twice(hold_mutex, "[sync.Mutex.Lock]", lock_mutex);
}

static void hold_mutex_alone(void *arg)
{
    if (weft_mutex_trylock(&mutex))
        sleep_for_ever(arg);
}

TEST_DIES_PLAIN(wait_for_a_mutex_nobody_waited_for_panics, 2, " in an earlier run, which has ended")
{
    run_twice(hold_mutex_alone, "[sleep]", lock_mutex);
}

static void lock_it(void *arg)
{
    (void)arg;
    weft_mutex_lock(&mutex);
    weft_mutex_unlock(&mutex);
}

static void unlock_and_lock(void)
{
    weft_mutex_unlock(&mutex);
    CHECK(weft_mutex_trylock(&mutex));
    go_many(3, lock_it, NULL);
    wait_for_dump("[sync.Mutex.Lock]");
    weft_mutex_unlock(&mutex);
    lock_it(NULL);
}

TEST_PLAIN(mutex_of_an_earlier_run_may_be_unlocked)
{
    run_twice(hold_mutex, "[sync.Mutex.Lock]", unlock_and_lock);
}

static void hold_for_writing(void *arg)
{
    weft_rwmutex_lock(&rwmutex);
    sleep_for_ever(arg);
}

static void read_it(void)
{
    weft_rwmutex_read_lock(&rwmutex);
}

TEST_DIES_PLAIN(wait_for_a_writer_of_an_earlier_run_panics, 2, "in an earlier run, which has ended")
{
    run_twice(hold_for_writing, "[sync.RWMutex.Lock]", read_it);
}

static void hold_for_reading(void *arg)
{
    weft_rwmutex_read_lock(&rwmutex);
    sleep_for_ever(arg);
}

static void write_it(void)
{
    CHECK(weft_rwmutex_read_trylock(&rwmutex));
    weft_rwmutex_read_unlock(&rwmutex);
    weft_rwmutex_lock(&rwmutex);
}

TEST_DIES_PLAIN(wait_for_readers_of_an_earlier_run_panics, 2, "in an earlier run, which has ended")
{
    run_twice(hold_for_reading, "[sleep]", write_it);
}

static void unlock_rwmutex(void)
{
    weft_rwmutex_unlock(&rwmutex);
    weft_rwmutex_lock(&rwmutex);
    weft_rwmutex_unlock(&rwmutex);
    weft_rwmutex_read_lock(&rwmutex);
    weft_rwmutex_read_unlock(&rwmutex);
}

TEST_PLAIN(rwmutex_of_an_earlier_run_may_be_unlocked)
{
    run_twice(hold_for_writing, "[sync.RWMutex.Lock]", unlock_rwmutex);
}

static void do_once(void *arg)
{
    weft_once_do(&once, sleep_for_ever, arg);
}

static void do_again(void)
{
    do_once(NULL);
}

TEST_DIES_PLAIN(once_of_an_earlier_run_panics, 2, "was begun in an earlier run, which has ended")
{
    run_twice(do_once, "[sync.Once.Do]", do_again);
}

/* ---- groups ---- */

static weft_group group = WEFT_GROUP_INIT;

static int sleep_result(void *arg)
{
    sleep_for_ever(arg);
    return 5;
}

static void fill_group(void *arg)
{
    weft_group_limit(&group, 6);
    weft_group_deadline(&group, weft_after(900 * WEFT_SECOND));
    weft_group_go(&group, sleep_result, arg);
    weft_group_wait(&group);
}

static void use_group(void)
{
    CHECK_EQ(weft_group_wait(&group), 0);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(weft_group_go(&group, sleep_result, NULL), 0);
    weft_group_cancel(&group);
    CHECK_EQ(weft_group_wait(&group), 5);
}

TEST_PLAIN(group_forgets_tasks_of_an_earlier_run)
{
    run_twice(fill_group, "[group limit]", use_group);
}

/* ---- tasks ---- */

static _Atomic uint64_t last_id; /* the run that ends does not wait for its sleepers */

static void note_id(void)
{
    CHECK(weft_task_id() > last_id);
}

static void leave_id(void *arg)
{
    last_id = weft_task_id();
    sleep_for_ever(arg);
}

TEST_PLAIN(ids_are_not_used_again_in_a_later_run)
{
    run_twice(leave_id, "[sleep]", note_id);
}
