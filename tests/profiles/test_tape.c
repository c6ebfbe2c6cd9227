/* SPDX-License-Identifier: MIT */
/* test_tape.c - spans of the tape: of each task every event, once, in a legal order, whatever other
 * readers do and wherever the cuts lie; and no time goes back, on a strand or from a wake-up to its
 * run. */
#include "profiles/trace/tape.h"

#include "profiles/capture/snapshot.h"
#include "runtime/sched/wait.h"
#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { TASKS = 4096, PIECES = 16 };
enum { SLACK = 20000 /* ticks: clocks of two threads are read a little out of order */ };

/* The state of a task for a reader, after its last span. */
static struct known {
    int64_t ticks; /* of its last event, as the next two */
    uint32_t seq;
    uint8_t kind; /* 0: none yet */
} known[2][TASKS];

static int by_task(const void *a, const void *b)
{
    const struct weft__event *x = a, *y = b;

    if (x->task != y->task)
        return x->task < y->task ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* Returns whether an event may follow another one of the same task. */
static bool follows(int kind, int after)
{
    switch (kind) {
    case WEFT__EV_SPAWN:
        return after == 0;
    case WEFT__EV_RUN:
        return after == 0 || after == WEFT__EV_SPAWN || after == WEFT__EV_READY ||
               after == WEFT__EV_YIELD || after == WEFT__EV_BACK;
    case WEFT__EV_READY:
        return after == 0 || after == WEFT__EV_PARK;
    case WEFT__EV_BACK:
        return after == 0 || after == WEFT__EV_LOST;
    default:
        return after == 0 || after == WEFT__EV_RUN;
    }
}

/* Checks the times of a strand. Threads that are no workers share one, and their clocks differ. */
static void check_times(const struct weft__event *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (e[i].kind == WEFT__EV_MARK && (e[i].detail || weft__event_thread(e[i].arg) == 0))
            return;
        if (i > 0 && e[i].ticks < e[i - 1].ticks)
            FAIL("%d is %lld ticks before the %d that it follows", e[i].kind,
                 (long long)(e[i - 1].ticks - e[i].ticks), e[i - 1].kind);
    }
}

/* Checks that a span goes on exactly where the reader's last one ended, unless the reader came too
 * late. Returns the number of its events without marks. */
static size_t check_span(struct weft__span *s, struct known *k)
{
    size_t n = 0;

    if (s->missed) {
        memset(k, 0, sizeof(known[0]));
        return 0;
    }
    for (size_t i = 0; i < s->n_strands; i++)
        check_times(s->events + s->strands[i].first, s->strands[i].n);
    for (size_t i = 0; i < s->n; i++) {
        if (s->events[i].task != 0 && s->events[i].kind != WEFT__EV_MARK)
            s->events[n++] = s->events[i];
    }
    qsort(s->events, n, sizeof(*s->events), by_task);
    for (size_t i = 0; i < n; i++) {
        const struct weft__event *e = &s->events[i];
        struct known *of = &k[e->task % TASKS];

        CHECK(e->task < TASKS);
        if (of->kind)
            CHECK_EQ(e->seq, of->seq + 1);
        if (!follows(e->kind, of->kind))
            FAIL("task %llu: %d after %d", (unsigned long long)e->task, e->kind, of->kind);
        if (e->kind == WEFT__EV_RUN)
            CHECK(e->ticks >= of->ticks - SLACK);
        *of = (struct known){e->ticks, e->seq, e->kind >= WEFT__EV_CALL ? WEFT__EV_RUN : e->kind};
    }
    return n;
}

static atomic_bool over;

static void ping(void *arg)
{
    weft_chan **c = arg;
    int v = 0;

    while (weft_chan_recv(c[0], &v) == 0)
        weft_chan_send(c[1], &v);
    weft_chan_close(c[1]);
}

static void pong(void *arg)
{
    weft_chan **c = arg;
    int v = 0;

    while (!atomic_load(&over)) {
        for (int i = 0; i < 20; i++) {
            weft_chan_send(c[0], &v);
            weft_chan_recv(c[1], &v);
        }
        weft_sleep(100 * WEFT_MICROSECOND);
    }
    weft_chan_close(c[0]);
}

static void sleeper(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        weft_sleep(200 * WEFT_MICROSECOND);
        weft_yield();
    }
}

static void blocker(void *arg)
{
    struct timespec t = {0, 300000};

    (void)arg;
    while (!atomic_load(&over)) {
        weft_blocking_begin();
        nanosleep(&t, NULL);
        weft_blocking_end();
        weft_yield();
    }
}

static void *stranger(void *arg)
{
    weft_chan **c = arg;
    int v = 1;

    while (!atomic_load(&over)) {
        weft_chan_send(c[2], &v);
        weft_sleep(100 * WEFT_MICROSECOND);
    }
    weft_chan_close(c[2]);
    return NULL;
}

static void listener(void *arg)
{
    weft_chan **c = arg;
    int v;

    while (weft_chan_recv(c[2], &v) == 0)
        ;
}

/* Starts tasks that wait, yield, sleep and block, and a thread that is no worker. */
static void bustle(weft_chan **c, weft_group *g, pthread_t *thread)
{
    for (int i = 0; i < 3; i++)
        c[i] = weft_chan_new(sizeof(int), 0);
    weft_group_go(g, ping, c);
    weft_group_go(g, pong, c);
    weft_group_go(g, listener, c);
    go_many(3, sleeper, NULL);
    go_many(2, blocker, NULL);
    CHECK_EQ(pthread_create(thread, NULL, stranger, c), 0);
}

TEST(cuts_of_two_readers_lose_no_event_and_double_none)
{
    weft__reader *r[2] = {weft__tape_open(), NULL};
    struct weft__span s = {.events = NULL};
    weft_group g = WEFT_GROUP_INIT;
    weft_chan *c[3];
    pthread_t thread;
    size_t n = 0;

    CHECK(r[0] != NULL);
    bustle(c, &g, &thread);
    for (int i = 0; i < 100; i++) {
        if (i == 20)
            CHECK((r[1] = weft__tape_open()) != NULL);
        if (i == 80) {
            weft__tape_close(r[1]);
            r[1] = NULL;
        }
        weft_sleep(500 * WEFT_MICROSECOND);
        for (int k = 0; k < 2; k++) {
            if (r[k] && (k == 0 || i % 7 == 0)) {
                CHECK(weft__tape_read(r[k], &s));
                n += check_span(&s, known[k]);
            }
        }
    }
    CHECK(n > 1000);
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    CHECK_EQ(weft_group_wait(&g), 0);
    for (int i = 0; i < 3; i++)
        weft_chan_free(c[i]);
    weft__tape_close(r[0]);
    weft__span_free(&s);
}

static void receive(void *arg)
{
    weft_chan_recv(arg, NULL);
}

/* The first event of a task tells its state at the cut; the snapshot has those without one. */
TEST(start_has_the_tasks_that_do_nothing)
{
    weft_chan *c = weft_chan_new(0, 0);
    struct weft__tape_start start;
    struct weft__span s = {.events = NULL};
    weft__reader *r;
    int waiting = 0;

    go_many(10, receive, c);
    weft_yield();
    r = weft__tape_open();
    CHECK(r && weft__tape_start(&start));
    CHECK(weft__tape_read(r, &s));
    for (size_t i = 0; i < start.tasks->n; i++)
        waiting += start.tasks->records[i].reason == WEFT__WAIT_CHAN_RECV;
    CHECK_EQ(waiting, 10);
    CHECK(start.n_threads >= 1);
    weft__tape_start_free(&start);
    weft__tape_close(r);
    weft__span_free(&s);
    for (int i = 0; i < 10; i++)
        weft_chan_send(c, NULL);
}

static bool has_frame(const struct weft__stack_entry *e)
{
    return e && e->kept > 2;
}

TEST(waits_and_wakers_have_their_stacks)
{
    weft_chan *c = weft_chan_new(0, 0);
    weft__reader *r = weft__tape_open();
    struct weft__span s = {.events = NULL};
    int parks = 0, readies = 0;

    CHECK(r != NULL);
    for (int i = 0; i < 20; i++) {
        weft_go(receive, c);
        weft_chan_send(c, NULL);
    }
    CHECK(weft__tape_read(r, &s));
    for (size_t i = 0; i < s.n; i++) {
        const struct weft__event *e = &s.events[i];

        parks += e->kind == WEFT__EV_PARK && has_frame(weft__tape_stack(e->stack));
        if (e->kind == WEFT__EV_READY && e->arg == weft_task_id())
            readies += has_frame(weft__tape_stack(e->stack));
    }
    CHECK(parks + readies >= 20);
    weft__span_free(&s);
    weft__tape_close(r);
}

/* A tape of few pieces, which the events do not fit into. */
TEST(reader_that_comes_too_late_is_told_so)
{
    size_t size = WEFT__TAPE_HEAD_SIZE + PIECES * sizeof(struct weft__tape_piece);
    void *memory = calloc(1, size);
    struct weft__span s = {.events = NULL};
    weft__reader *r;

    weft__tape_place(memory, size);
    r = weft__tape_open();
    CHECK(r != NULL);
    CHECK(weft__tape_read(r, &s));
    CHECK(!s.missed);
    for (int i = 0; i < 1000 * PIECES; i++)
        weft_yield();
    CHECK_EQ(weft__tape_fill(r), 256);
    CHECK(weft__tape_read(r, &s));
    CHECK(s.missed);
    CHECK(s.n <= PIECES * WEFT__PIECE_EVENTS);
    CHECK_EQ(((struct weft__tape_head *)memory)->magic, WEFT__TAPE_MAGIC);
    weft__tape_close(r);
    weft__tape_place(NULL, 0);
    weft__span_free(&s);
    free(memory);
}
