/* SPDX-License-Identifier: MIT */
/* test_misuse.c - the ends that misuse, deadlock and faults come to: Go's words, a dump, status 2.
 */
#include "runtime/base/lock.h"
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- misuse panics in Go's words ---- */

TEST_DIES(close_of_nil_channel_panics, 2, "panic: close of nil channel\n\ngoroutine 1 [running]:\n")
{
    weft_chan_close(NULL);
}

TEST_DIES(close_of_closed_channel_panics, 2, "panic: close of closed channel\n\ngoroutine 1 [run")
{
    weft_chan *c = weft_chan_new(0, 0);

    weft_chan_close(c);
    weft_chan_close(c);
}

TEST_DIES(channel_too_large_panics, 2, "panic: makechan: size out of range")
{
    weft_chan_new(SIZE_MAX / 2, 3);
}

TEST_DIES(select_of_too_many_cases_panics, 2, "panic: weft: select of -1 cases")
{
    weft_select(NULL, -1);
}

static void recv_from(void *c)
{
    weft_chan_recv(c, NULL);
}

TEST_DIES(free_of_a_channel_with_waiters_panics, 2, "panic: weft: free of channel")
{
    weft_chan *c = weft_chan_new(0, 0);

    weft_go(recv_from, c);
    wait_for_dump("[chan receive]");
    weft_chan_free(c);
}

/* ---- declared calls ---- */

/* The message names the wait, or the call if the monitor took the processor. */
#define IN_A_CALL " between weft_blocking_begin and weft_blocking_end\n\ngoroutine "

TEST_DIES(end_of_a_call_without_a_begin_panics, 2,
          "panic: weft: weft_blocking_end without weft_blocking_begin\n\ngoroutine 1 [running]:\n")
{
    weft_blocking_begin();
    weft_blocking_end();
    weft_blocking_end();
}

TEST_DIES(sleep_in_a_declared_call_panics, 2, "sleep" IN_A_CALL)
{
    weft_blocking_begin();
    weft_sleep(WEFT_MILLISECOND);
}

TEST_DIES(receive_in_a_declared_call_panics, 2, IN_A_CALL)
{
    weft_blocking(recv_from, weft_chan_new(0, 0));
}

TEST_DIES(yield_in_a_declared_call_panics, 2, "yield" IN_A_CALL)
{
    weft_blocking_begin();
    weft_yield();
}

/* The monitor takes the processor, so the next call would come back on another thread. */
TEST_DIES(call_in_a_declared_call_that_lasts_panics, 2, "yield" IN_A_CALL)
{
    weft_blocking_begin();
    usleep(50000);
    weft_yield();
}

TEST_DIES(second_begin_of_a_declared_call_panics, 2, "panic: weft: weft_blocking_begin" IN_A_CALL)
{
    weft_blocking_begin();
    weft_blocking_begin();
}

static void begin_only(void *arg)
{
    (void)arg;
    weft_blocking_begin();
}

TEST_DIES(task_that_ends_in_a_declared_call_panics, 2, "end of the task" IN_A_CALL)
{
    weft_go(begin_only, NULL);
    weft_sleep(WEFT_SECOND);
}

static int misuse_without_hand_off(void *arg)
{
    (void)arg;
    weft_blocking_begin();
    return weft_sleep(WEFT_MILLISECOND);
}

TEST_DIES_PLAIN(sleep_in_a_declared_call_panics_without_hand_off, 2, "panic: weft: sleep" IN_A_CALL)
{
    weft_run_options options = {.no_handoff = true};

    weft_run_with(&options, misuse_without_hand_off, NULL);
}

/* ---- what was freed ---- */

/* A sanitizer reports it before weft can. */
static void skip_if_told_by_another(void)
{
    if (under_asan() || under_tsan())
        SKIP("the sanitizer reports the use of freed memory itself");
}

static weft_chan *freed_chan(size_t capacity)
{
    weft_chan *c = weft_chan_new(4, capacity);

    skip_if_told_by_another();
    weft_chan_free(c);
    return c;
}

TEST_DIES(send_on_a_freed_channel_panics, 2, "panic: weft: weft_chan_send on channel 0x")
{
    weft_chan_send(freed_chan(0), &(int){1});
}

TEST_DIES(send_on_a_freed_channel_with_room_panics, 2, "panic: weft: weft_chan_send on channel 0x")
{
    weft_chan_send(freed_chan(10000), &(int){1});
}

TEST_DIES(receive_from_a_freed_channel_panics, 2, ", which was freed\n\ngoroutine 1 [running]:\n")
{
    weft_chan_recv(freed_chan(1), NULL);
}

TEST_DIES(select_on_a_freed_channel_panics, 2, "panic: weft: weft_select on channel 0x")
{
    weft_case one = {.chan = freed_chan(0), .op = WEFT_CASE_RECV};

    weft_select(&one, 1);
}

TEST_DIES(close_of_a_freed_channel_panics, 2, "panic: weft: weft_chan_close on channel 0x")
{
    weft_chan_close(freed_chan(0));
}

TEST_DIES(second_free_of_a_channel_panics, 2, "panic: weft: weft_chan_free on channel 0x")
{
    weft_chan_free(freed_chan(0));
}

TEST_DIES(length_of_a_freed_channel_panics, 2, "panic: weft: weft_chan_len on channel 0x")
{
    weft_chan_len(freed_chan(3));
}

TEST_DIES(signals_to_a_freed_channel_panic, 2, "panic: weft: weft_signal_start on channel 0x")
{
    weft_signal_start(freed_chan(3), SIGUSR1);
}

TEST_DIES(free_of_a_channel_that_signals_come_to_panics, 2, "that a timer or signals send to")
{
    weft_chan *c = weft_chan_new(sizeof(int), 1);

    CHECK_EQ(weft_signal_start(c, SIGUSR1), 0);
    CHECK_EQ(weft_signal_start(c, SIGUSR2), 0);
    weft_signal_stop(c, SIGUSR1);
    weft_chan_free(c);
}

TEST(channel_may_be_freed_when_no_signal_comes_to_it)
{
    weft_chan *c = weft_chan_new(sizeof(int), 1);

    CHECK_EQ(weft_signal_start(c, SIGUSR1), 0);
    CHECK_EQ(weft_signal_start(c, SIGUSR1), 0);
    weft_signal_stop(c, SIGUSR1);
    weft_chan_free(c);
}

TEST_DIES(free_of_a_timers_channel_panics, 2, "that a timer or signals send to")
{
    weft_chan_free(weft_timer_chan(weft_timer_new()));
}

TEST_DIES(free_of_a_tickers_channel_panics, 2, "that a timer or signals send to")
{
    weft_chan_free(weft_ticker_chan(weft_ticker_new(WEFT_SECOND)));
}

TEST_DIES(stop_of_a_freed_timer_panics, 2, "panic: weft: use of an object that was freed")
{
    weft_timer *t = weft_timer_new();

    skip_if_told_by_another();
    weft_timer_free(t);
    weft_timer_stop(t);
}

TEST_DIES(lock_that_is_never_released_panics, 2, "is never released: was its object freed")
{
    weft_sema s = WEFT_SEMA_INIT(1);

    weft__lock_sleeps = 100;
    s._lock = 77;
    weft_sema_wait(&s, 1);
}

TEST_DIES(unlock_of_unlocked_mutex_is_fatal, 2, "fatal error: sync: unlock of unlocked mutex")
{
    weft_mutex m = WEFT_MUTEX_INIT;

    weft_mutex_lock(&m);
    weft_mutex_unlock(&m);
    weft_mutex_unlock(&m);
}

TEST_DIES(assert_held_of_a_free_mutex_panics, 2, "is not held by the caller")
{
    weft_mutex m = WEFT_MUTEX_INIT;

    weft_mutex_assert_held(&m);
}

static void assert_held(void *m)
{
    weft_mutex_assert_held(m);
}

TEST_DIES(assert_held_by_another_panics, 2, "is not held by the caller")
{
    weft_mutex m = WEFT_MUTEX_INIT;

    weft_mutex_lock(&m);
    weft_go(assert_held, &m);
    weft_chan_recv(NULL, NULL);
}

TEST_DIES(wait_for_a_condition_without_the_mutex_is_fatal, 2, "sync: unlock of unlocked mutex")
{
    weft_mutex m = WEFT_MUTEX_INIT;
    weft_cond c = WEFT_COND_INIT;

    weft_cond_wait(&c, &m);
}

TEST_DIES(unlock_of_unlocked_rwmutex_is_fatal, 2, "fatal error: sync: Unlock of unlocked RWMutex")
{
    weft_rwmutex m = WEFT_RWMUTEX_INIT;

    weft_rwmutex_unlock(&m);
}

TEST_DIES(unlock_of_a_reader_as_writer_is_fatal, 2, "fatal error: sync: Unlock of unlocked RWMutex")
{
    weft_rwmutex m = WEFT_RWMUTEX_INIT;

    weft_rwmutex_read_lock(&m);
    weft_rwmutex_unlock(&m);
}

TEST_DIES(read_unlock_of_unlocked_rwmutex_is_fatal, 2, "sync: RUnlock of unlocked RWMutex")
{
    weft_rwmutex m = WEFT_RWMUTEX_INIT;

    weft_rwmutex_read_unlock(&m);
}

TEST_DIES(read_unlock_of_a_writer_is_fatal, 2, "sync: RUnlock of unlocked RWMutex")
{
    weft_rwmutex m = WEFT_RWMUTEX_INIT;

    weft_rwmutex_lock(&m);
    weft_rwmutex_read_unlock(&m);
}

TEST_DIES(waitgroup_below_zero_panics, 2, "panic: sync: negative WaitGroup counter")
{
    weft_waitgroup wg = WEFT_WAITGROUP_INIT;

    weft_waitgroup_done(&wg);
}

TEST_DIES(wait_for_no_units_panics, 2, "panic: weft: weft_sema_wait for 0 units")
{
    weft_sema s = WEFT_SEMA_INIT(1);

    weft_sema_wait(&s, 0);
}

TEST_DIES(add_of_negative_units_panics, 2, "panic: weft: weft_sema_add of -1 units")
{
    weft_sema s = WEFT_SEMA_INIT(1);

    weft_sema_add(&s, -1);
}

TEST_DIES(overflow_of_a_semaphore_panics, 2, "panic: weft: weft_sema_add of 1 units overflows")
{
    weft_sema s = WEFT_SEMA_INIT(INT64_MAX);

    weft_sema_add(&s, 1);
}

TEST_DIES(overflow_of_a_waitgroup_panics, 2, "panic: weft: weft_waitgroup_add of 1 overflows")
{
    weft_waitgroup wg = WEFT_WAITGROUP_INIT;

    weft_waitgroup_add(&wg, INT64_MAX);
    weft_waitgroup_add(&wg, 1);
}

TEST(no_program_to_run_is_told)
{
    const char *nothing[] = {NULL};

    CHECK_EQ(weft_process_run(NULL), WEFT_EINVAL);
    CHECK_EQ(weft_process_run(nothing), WEFT_EINVAL);
}

TEST_DIES(ticker_without_period_panics, 2, "panic: non-positive interval for NewTicker")
{
    weft_ticker_new(0);
}

TEST_DIES(unpin_without_pin_panics, 2, "panic: weft: weft_unpin without weft_pin")
{
    weft_pin();
    weft_unpin();
    weft_unpin();
}

TEST_DIES(unknown_key_panics, 2, "of a key that weft_local_new did not make")
{
    weft_local_get((weft_local){63});
}

static void do_again(void *once)
{
    weft_once_do(once, do_again, once);
}

TEST_DIES(once_inside_itself_is_a_deadlock, 2, "goroutine 1 [sync.Once.Do]:\n")
{
    weft_once o = WEFT_ONCE_INIT;

    weft_once_do(&o, do_again, &o);
}

/* ---- the stack of a panic ---- */

TEST_DIES(panic_shows_the_call_that_was_wrong_first, 2,
          "panic: close of nil channel\n\ngoroutine 1 [running]:\nweft_chan_close(...)\n")
{
    weft_chan_close(NULL);
}

__attribute__((noinline)) static void panics(int n)
{
    weft_panic("%d is no answer", n);
}

static void panics_outside(void)
{
    panics(1);
}

TEST_DIES(panic_of_the_program_begins_with_its_caller, 2,
          "panic: 43 is no answer\n\ngoroutine 1 [running]:\npanics(...)\n")
{
    panics(43);
}

TEST_PLAIN(panic_outside_a_run_is_the_message)
{
    static char err[4096];

    CHECK_EQ(in_child(panics_outside, err, sizeof(err)), 2);
    CHECK_STR(err, "panic: 1 is no answer\n\n");
}

/* ---- deadlock ---- */

TEST_DIES(all_asleep_is_a_deadlock, 2,
          "fatal error: all goroutines are asleep - deadlock!\n\n"
          "goroutine 1 [chan receive (nil chan)]:\n")
{
    weft_chan_recv(NULL, NULL);
}

static void lock_it(void *m)
{
    weft_mutex_lock(m);
}

TEST_DIES(deadlock_shows_every_task, 2, " [sync.Mutex.Lock]:\n")
{
    weft_mutex m = WEFT_MUTEX_INIT;

    weft_mutex_lock(&m);
    weft_go(lock_it, &m);
    weft_select(NULL, 0);
}

static void *live_and_end(void *arg)
{
    (void)arg;
    weft_task_id();
    return NULL;
}

TEST_DIES(deadlock_is_seen_after_a_foreign_thread_ended, 2, "all goroutines are asleep")
{
    pthread_t thread;

    pthread_create(&thread, NULL, live_and_end, NULL);
    pthread_join(thread, NULL);
    weft_chan_recv(NULL, NULL);
}

static void sleep_and_send(void *c)
{
    CHECK_EQ(weft_sleep(50 * WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_chan_send(c, NULL), 0);
}

TEST(sleeping_task_is_no_deadlock)
{
    weft_chan *c = weft_chan_new(0, 0);

    weft_go(sleep_and_send, c);
    CHECK_EQ(weft_chan_recv(c, NULL), 0);
}

TEST(set_timer_is_no_deadlock)
{
    weft_timer *t = weft_timer_new();

    weft_timer_start(t, weft_after(50 * WEFT_MILLISECOND));
    CHECK_EQ(weft_chan_recv(weft_timer_chan(t), NULL), 0);
    weft_timer_free(t);
}

static void wait_in_c(void *c)
{
    weft_blocking_begin();
    wait_until_idle();
    weft_blocking_end();
    CHECK_EQ(weft_chan_send(c, NULL), 0);
}

TEST(call_into_c_is_no_deadlock)
{
    weft_chan *c = weft_chan_new(0, 0);

    weft_go(wait_in_c, c);
    CHECK_EQ(weft_chan_recv(c, NULL), 0);
}

static atomic_int known;

static void *wait_and_send(void *c)
{
    weft_task_id();
    atomic_store(&known, 1);
    wait_until_idle();
    CHECK_EQ(weft_chan_send(c, NULL), 0);
    return NULL;
}

TEST(foreign_thread_is_no_deadlock)
{
    weft_chan *c = weft_chan_new(0, 0);
    pthread_t thread;

    pthread_create(&thread, NULL, wait_and_send, c);
    wait_for(&known, 1);
    CHECK_EQ(weft_chan_recv(c, NULL), 0);
    pthread_join(thread, NULL);
    weft_chan_free(c);
}

static void *wait_and_kill(void *arg)
{
    (void)arg;
    wait_until_idle();
    kill(getpid(), SIGUSR1);
    return NULL;
}

TEST(channel_of_signals_is_no_deadlock)
{
    weft_chan *c = weft_chan_new(sizeof(int), 1);
    pthread_t thread;

    CHECK_EQ(weft_signal_start(c, SIGUSR1), 0);
    pthread_create(&thread, NULL, wait_and_kill, NULL);
    CHECK_EQ(weft_chan_recv(c, NULL), 0);
    pthread_join(thread, NULL);
    weft_signal_stop(c, SIGUSR1);
    weft_chan_free(c);
}

/* ---- faults and signals ---- */

enum { BY_FAULT = 128 + SIGSEGV };

static void touch_nothing(void)
{
    volatile char *p = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    p[100] = 1;
}

static int fault(void *arg)
{
    (void)arg;
    touch_nothing();
    return 0;
}

TEST_DIES(wild_access_is_told_as_such, BY_FAULT, "SIGSEGV: segmentation violation\nPC=0x")
{
    touch_nothing();
}

static void fault_in_a_run(void)
{
    weft_run(fault, NULL);
}

TEST_PLAIN(wild_access_is_no_stack_overflow)
{
    static char err[65536];

    CHECK_EQ(in_child(fault_in_a_run, err, sizeof(err)), BY_FAULT);
    CHECK_CONTAINS(err, "goroutine 1 [running]:\n");
    CHECK_CONTAINS(err, "touch_nothing");
    CHECK(strstr(err, "stack overflow") == NULL);
}

TEST_DIES(sigquit_ends_with_a_dump, 2, "SIGQUIT: quit\nPC=0x")
{
    kill(getpid(), SIGQUIT);
    for (;;)
        weft_yield();
}

TEST_DIES(dump_at_sigquit_shows_who_waits, 2, "[chan receive (nil chan)]:\n")
{
    weft_go(recv_from, NULL);
    wait_for_dump("[chan receive (nil chan)]");
    kill(getpid(), SIGQUIT);
    for (;;)
        weft_yield();
}

/* ---- WEFT_TRACEBACK ---- */

static int panic(void *arg)
{
    (void)arg;
    weft_chan_close(NULL);
    return 0;
}

static void panic_in_a_run(void)
{
    weft_run(panic, NULL);
}

static int panic_with(const char *name, const char *value, char err[65536])
{
    unsetenv("WEFT_TRACEBACK");
    unsetenv("GOTRACEBACK");
    setenv(name, value, 1);
    return in_child(panic_in_a_run, err, 65536);
}

TEST_PLAIN(traceback_none_is_the_message_alone)
{
    static char err[65536];

    CHECK_EQ(panic_with("WEFT_TRACEBACK", "none", err), 2);
    CHECK_STR(err, "panic: close of nil channel\n\n");
    CHECK_EQ(panic_with("GOTRACEBACK", "0", err), 2);
    CHECK_STR(err, "panic: close of nil channel\n\n");
}

TEST_PLAIN(traceback_crash_aborts_after_the_dump)
{
    static char err[65536];

    CHECK_EQ(panic_with("WEFT_TRACEBACK", "crash", err), 128 + SIGABRT);
    CHECK_CONTAINS(err, "goroutine 1 [running]:\n");
    CHECK_EQ(panic_with("GOTRACEBACK", "crash", err), 128 + SIGABRT);
    CHECK_CONTAINS(err, "goroutine 1 [running]:\n");
}

TEST_PLAIN(weft_traceback_comes_before_gotraceback)
{
    static char err[65536];

    setenv("GOTRACEBACK", "crash", 1);
    setenv("WEFT_TRACEBACK", "all", 1);
    CHECK_EQ(in_child(panic_in_a_run, err, sizeof(err)), 2);
    CHECK_CONTAINS(err, "goroutine 1 [running]:\n");
}

/* Two tasks die at once: there is one report, and one end. */
static void close_nil(void *arg)
{
    (void)arg;
    weft_chan_close(NULL);
}

TEST_DIES(panics_at_once_end_once, 2, "panic: close of nil channel\n\ngoroutine ")
{
    go_many(20, close_nil, NULL);
    for (;;)
        weft_yield();
}
