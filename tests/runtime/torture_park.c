/* SPDX-License-Identifier: MIT */
/* torture_park.c - every way to end a wait against every other: objects, deadlines, cancellation.
 *
 * Visitors are tasks in groups that live for a few milliseconds and end by cancellation or
 * deadline. They use channels, selects, mutexes, conds, semaphores and rwmutexes that all tasks
 * share. Consumers stay to the end. Each value that a send reported as sent is received exactly
 * once, and no other value is; no unit of a semaphore is lost; the data under each lock is
 * consistent. If a wake-up is lost, the program hangs and the watchdog reports it. */
#include "torture.h"

#include <weft/chan.h>
#include <weft/select.h>
#include <weft/sync.h>
#include <weft/task.h>
#include <weft/time.h>

#include <string.h>

WEFT_CHAN_TYPE(numbers, uint64_t);

enum { CHANNELS = 6, CONSUMERS = 4, GROUPS = 6, VISITORS = 12, UNITS = 5, QUEUE = 3, THREADS = 2 };

struct account {
    uint64_t n, sum, mixed; /* atomic: how many, their sum, the sum of their hashes */
};

static struct {
    numbers *chans[CHANNELS];
    struct account sent, received;
    weft_mutex mutex;
    uint64_t a, b; /* guarded by mutex */
    weft_rwmutex rw;
    uint64_t x, y; /* guarded by rw */
    weft_sema sema;
    int64_t inside; /* atomic: units taken */
    weft_mutex queue_mutex;
    weft_cond not_empty, not_full;
    uint64_t queue[QUEUE];
    unsigned queued; /* guarded by queue_mutex */
    struct account put, got;
    uint64_t next;                             /* atomic: the values, each once */
    uint64_t groups, ops, canceled, timed_out; /* atomic */
} all = {.sema = WEFT_SEMA_INIT(UNITS)};

static void account(struct account *a, uint64_t v)
{
    uint64_t z = v * UINT64_C(0x9e3779b97f4a7c15);

    torture_add(&a->n, 1);
    torture_add(&a->sum, v);
    torture_add(&a->mixed, (z ^ (z >> 29)) * UINT64_C(0xbf58476d1ce4e5b9));
}

static weft_time some_deadline(uint64_t *r)
{
    switch (torture_random(r, 4)) {
    case 0:
        return WEFT_NOW;
    case 1:
        return weft_after(torture_random(r, 200) * WEFT_MICROSECOND);
    case 2:
        return weft_after(torture_random(r, 2000) * WEFT_MICROSECOND);
    default:
        return WEFT_FOREVER;
    }
}

/* Returns false once the visitor is canceled. */
static bool goes_on(int rc)
{
    if (rc == WEFT_ETIMEDOUT)
        torture_add(&all.timed_out, 1);
    return rc != WEFT_ECANCELED;
}

static bool op_send(uint64_t *r)
{
    uint64_t v = torture_add(&all.next, 1);
    int rc = numbers_send_until(all.chans[torture_random(r, CHANNELS)], v, some_deadline(r));

    EXPECT(rc == 0 || rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED);
    if (rc == 0)
        account(&all.sent, v);
    return goes_on(rc);
}

static bool op_recv(uint64_t *r)
{
    uint64_t v = 0;
    int rc = numbers_recv_until(all.chans[torture_random(r, CHANNELS)], &v, some_deadline(r));

    if (rc == 0)
        account(&all.received, v);
    return goes_on(rc);
}

static bool op_select(uint64_t *r)
{
    weft_case cases[6];
    uint64_t values[6];
    int n = 1 + (int)torture_random(r, 6), at;

    for (int i = 0; i < n; i++) {
        weft_chan *c = numbers_raw(all.chans[torture_random(r, CHANNELS)]);

        if (torture_random(r, 2)) {
            values[i] = torture_add(&all.next, 1);
            cases[i] = weft_on_send(c, &values[i]);
        } else {
            values[i] = 0;
            cases[i] = weft_on_recv(c, &values[i]);
        }
    }
    at = weft_select_until(cases, n, some_deadline(r));
    if (at < 0)
        return goes_on(at);
    EXPECT(at < n && cases[at].result == 0);
    account(cases[at].op == WEFT_CASE_SEND ? &all.sent : &all.received, values[at]);
    return true;
}

static bool op_mutex(uint64_t *r)
{
    weft_mutex_lock(&all.mutex);
    EXPECT(all.a == all.b);
    all.a++;
    if (torture_random(r, 4) == 0)
        weft_yield();
    else if (torture_random(r, 32) == 0)
        weft_sleep(torture_random(r, 100) * WEFT_MICROSECOND);
    all.b++;
    weft_mutex_unlock(&all.mutex);
    return true;
}

static bool op_rwmutex(uint64_t *r)
{
    if (torture_random(r, 4) == 0) {
        weft_rwmutex_lock(&all.rw);
        all.x++;
        if (torture_random(r, 4) == 0)
            weft_yield();
        all.y++;
        weft_rwmutex_unlock(&all.rw);
    } else {
        weft_rwmutex_read_lock(&all.rw);
        EXPECT(all.x == all.y);
        if (torture_random(r, 8) == 0)
            weft_yield();
        EXPECT(all.x == all.y);
        weft_rwmutex_read_unlock(&all.rw);
    }
    return true;
}

static bool op_sema(uint64_t *r)
{
    int64_t n = 1 + torture_random(r, 3), inside;
    int rc = weft_sema_wait_until(&all.sema, n, some_deadline(r));

    if (rc != 0)
        return goes_on(rc);
    inside = torture_add(&all.inside, n) + n;
    EXPECT(inside >= n && inside <= UNITS);
    if (torture_random(r, 2))
        weft_yield();
    torture_add(&all.inside, -n);
    weft_sema_add(&all.sema, n);
    return true;
}

/* Waits until the queue is not full (put) or not empty. Returns 0 if it is so; holds the mutex in
 * any case. */
static int wait_queue(uint64_t *r, bool put)
{
    int rc = 0;

    while (rc == 0 && all.queued == (put ? QUEUE : 0))
        rc = weft_cond_wait_until(put ? &all.not_full : &all.not_empty, &all.queue_mutex,
                                  some_deadline(r));
    return rc;
}

static bool op_queue(uint64_t *r)
{
    bool put = torture_random(r, 2);
    int rc;

    weft_mutex_lock(&all.queue_mutex);
    rc = wait_queue(r, put);
    if (rc == 0 && put) {
        uint64_t v = torture_add(&all.next, 1);

        all.queue[all.queued++] = v;
        account(&all.put, v);
        weft_cond_signal(&all.not_empty);
    } else if (rc == 0) {
        account(&all.got, all.queue[--all.queued]);
        weft_cond_signal(&all.not_full);
    } else {
        /* We may have used up a signal's turn without its use: none may starve for it. */
        weft_cond_broadcast(put ? &all.not_full : &all.not_empty);
    }
    weft_mutex_unlock(&all.queue_mutex);
    return goes_on(rc);
}

static bool op_sleep(uint64_t *r)
{
    return goes_on(weft_sleep(torture_random(r, 300) * WEFT_MICROSECOND));
}

static bool op_group(uint64_t *r);

static bool (*const ops[])(uint64_t *) = {op_send,   op_send,  op_send,    op_recv, op_select,
                                          op_select, op_mutex, op_rwmutex, op_sema, op_queue,
                                          op_queue,  op_sleep, op_group};

static int visitor(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (ops[torture_random(&r, sizeof(ops) / sizeof(*ops))](&r))
        torture_add(&all.ops, 1);
    torture_add(&all.canceled, 1);
    return (int)((uintptr_t)arg % 3);
}

static int nested(void *arg)
{
    uint64_t r = *(uint64_t *)arg;

    for (int i = 0; i < 4; i++) {
        if (!op_sleep(&r) || !op_send(&r))
            return WEFT_ECANCELED;
    }
    return 0;
}

/* A group below the visitor's: canceled with it, and waited for by a wait that is canceled too. */
static bool op_group(uint64_t *r)
{
    weft_group g = WEFT_GROUP_INIT;
    uint64_t seeds[3];
    int rc;

    for (int i = 0; i < 3; i++) {
        seeds[i] = *r + 2 * (unsigned)i;
        weft_group_go(&g, nested, &seeds[i]);
    }
    if (torture_random(r, 2))
        weft_group_deadline(&g, weft_after(torture_random(r, 1000) * WEFT_MICROSECOND));
    rc = weft_group_wait_until(&g, some_deadline(r));
    weft_group_cancel(&g);
    weft_group_join(&g);
    return goes_on(rc == WEFT_ECANCELED ? 0 : rc);
}

/* Runs one group of visitors after another. Each ends by cancellation, at its deadline, or both. */
static int host(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg), number = (uintptr_t)arg << 32;

    while (!torture_stops()) {
        weft_group g = WEFT_GROUP_INIT;
        unsigned how = torture_random(&r, 3), n = 1 + torture_random(&r, VISITORS);
        weft_time when = weft_after(torture_random(&r, 4000) * WEFT_MICROSECOND);

        if (how != 0)
            weft_group_deadline(&g, when);
        for (unsigned i = 0; i < n; i++)
            weft_group_go(&g, visitor, (void *)(uintptr_t)number++);
        if (how != 1) {
            weft_sleep_until(when);
            weft_group_cancel(&g);
        }
        weft_group_join(&g);
        EXPECT(weft_group_is_canceled(&g));
        torture_add(&all.groups, 1);
    }
    return 0;
}

/* Receives until all channels are closed: one by one, or by select over those still open. */
static int consumer(void *arg)
{
    weft_case cases[CHANNELS];
    uint64_t v;
    int open = CHANNELS, at;

    for (int i = 0; i < CHANNELS; i++)
        cases[i] = weft_on_recv(numbers_raw(all.chans[i]), &v);
    if ((uintptr_t)arg % 2) {
        for (int i = 0; i < CHANNELS; i++) {
            while (numbers_recv(all.chans[i], &v) == 0)
                account(&all.received, v);
        }
        return 0;
    }
    while (open > 0) {
        at = weft_select(cases, CHANNELS);
        EXPECT(at >= 0);
        if (cases[at].result == 0) {
            account(&all.received, v);
        } else {
            cases[at].chan = NULL;
            open--;
        }
    }
    return 0;
}

/* The same from threads that are no tasks, and so cannot be canceled. */
static void *outsider(void *arg)
{
    uint64_t r = torture_seed((uintptr_t)arg);

    while (!torture_stops()) {
        unsigned op = torture_random(&r, 8);

        if (op < 6)
            (op < 2 ? op_send : op < 4 ? op_select : op < 5 ? op_mutex : op_rwmutex)(&r);
        else if (op == 6)
            op_sema(&r);
        else
            usleep(torture_random(&r, 500));
    }
    return NULL;
}

/* Sends to the end, since tasks that receive without a deadline need a sender until then. Consumers
 * do the same for senders. */
static int feeder(void *arg)
{
    uint64_t r = torture_seed(77);

    while (!torture_get((bool *)arg)) {
        for (int i = 0; i < CHANNELS; i++) {
            uint64_t v = torture_add(&all.next, 1);

            if (numbers_send_until(all.chans[i], v, weft_after(WEFT_MILLISECOND)) == 0)
                account(&all.sent, v);
        }
        weft_sleep(torture_random(&r, 1000) * WEFT_MICROSECOND);
    }
    return 0;
}

static int play(void *arg)
{
    weft_group hosts = WEFT_GROUP_INIT, consumers = WEFT_GROUP_INIT;
    pthread_t threads[THREADS];
    bool joined = false;

    (void)arg;
    for (int i = 0; i < CHANNELS; i++)
        all.chans[i] = numbers_new(i % 3 == 0 ? 0 : (size_t)i);
    for (uintptr_t i = 0; i < CONSUMERS + CHANNELS; i++)
        weft_group_go(&consumers, consumer, (void *)(i < CONSUMERS ? i : 2 * i));
    for (uintptr_t i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, outsider, (void *)(100 + i)) == 0);
    for (uintptr_t i = 0; i < GROUPS; i++)
        weft_group_go(&hosts, host, (void *)(1 + i));
    weft_group_join(&hosts);
    weft_group_go(&hosts, feeder, &joined);
    for (int i = 0; i < THREADS; i++)
        weft_blocking(torture_join, &threads[i]);
    torture_set(&joined, true);
    weft_group_join(&hosts);
    for (int i = 0; i < CHANNELS; i++)
        numbers_close(all.chans[i]);
    EXPECT(weft_group_join(&consumers) == 0);
    for (int i = 0; i < CHANNELS; i++)
        numbers_free(all.chans[i]);
    return 0;
}

static void check_accounts(void)
{
    EXPECT(memcmp(&all.sent, &all.received, sizeof(all.sent)) == 0);
    while (all.queued > 0)
        account(&all.got, all.queue[--all.queued]);
    EXPECT(memcmp(&all.put, &all.got, sizeof(all.put)) == 0);
    EXPECT(all.a == all.b && all.x == all.y);
    EXPECT(all.inside == 0 && all.sema._count == UNITS);
}

int main(int argc, char **argv)
{
    double s = torture_play(argc, argv, play);

    check_accounts();
    printf("park: a second: groups %.0f operations %.0f values %.0f canceled %.0f timed out %.0f\n",
           (double)all.groups / s, (double)all.ops / s, (double)all.sent.n / s,
           (double)all.canceled / s, (double)all.timed_out / s);
    return 0;
}
