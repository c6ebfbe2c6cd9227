/* SPDX-License-Identifier: MIT */
/* rwmutex.c - locks that many readers or one writer hold.
 *
 * Owns: weft_rwmutex.
 * Lock: m->_lock (rank OBJECT) guards every field. _readers is the number of readers inside, or -1
 * for a writer, whose id is _owner.
 * Tasks and foreign threads call, and hold no lock of the runtime. The locks may wait; a
 * cancellation does not end such a wait.
 *
 * The lock is handed over: a woken task holds it already. A writer that waits keeps new readers
 * out. A writer that unlocks lets in all readers that wait; the last reader that unlocks lets in
 * the writer in front. So neither kind starves. */
#include "runtime/sched/observe.h"
#include "runtime/sync/charge.h"

#include <weft/sync.h>

_Static_assert(sizeof(weft_rwmutex) == 64, "part of the ABI");

static inline weft__waitq *readq(weft_rwmutex *m)
{
    return (weft__waitq *)m->_readq;
}

static inline weft__waitq *writeq(weft_rwmutex *m)
{
    return (weft__waitq *)m->_writeq;
}

/* Marks m as held in this run, with this value of _readers. Caller holds _lock. */
static inline void taken(weft_rwmutex *m, int32_t readers)
{
    weft__check_holds(&m->_lock);
    m->_readers = readers;
    m->_run = weft__run_number;
}

/* Lets t in as the writer. The owner is stored after _charged: a snapshot that reads an owner newer
 * than its cut also reads a _charged newer than it, and so knows (profiles/capture/locks.c). Caller
 * holds _lock. */
static void write_by(weft_rwmutex *m, const weft__task *t)
{
    weft__check_holds(&m->_lock);
    taken(m, -1);
    weft__store_rel(&m->_owner, t->id);
}

/* Notes where the caller, which is the writer inside, took m. Reports of deadlocks show the place
 * (profiles/render/holders.c). */
static inline void taken_at(weft_rwmutex *m, const void *site)
{
    weft__store(&m->_site, (uint32_t)(uintptr_t)site);
}

/* Returns whether m was last taken in an earlier run. Caller holds _lock. */
static inline bool is_stale(const weft_rwmutex *m)
{
    weft__check_holds(&m->_lock);
    return weft__unlikely(m->_run != weft__run_number);
}

/* Empties the queues if their tasks belong to an earlier run, and are gone. Only an unlock needs
 * it: a lock of an earlier run that is still held panics when a task waits for it. Caller holds
 * _lock. */
static inline void renew(weft_rwmutex *m)
{
    weft__check_holds(&m->_lock);
    if (is_stale(m))
        *readq(m) = *writeq(m) = (weft__waitq){NULL, NULL};
}

/* Waits until the lock is handed over. Caller holds _lock, which this function releases. */
static void wait_turn(weft_rwmutex *m, weft__task *t, weft__waitq *q, enum weft__reason why)
{
    weft__check_holds(&m->_lock);
    weft__waiter wt;

    if (is_stale(m))
        weft__panic("weft: rwmutex %p was locked in an earlier run, which has ended", (void *)m);
    weft__waiter_init(&wt, t);
    weft__charge_push(q, &wt, weft__ticks());
    weft__park_unlock(t, why, m, &m->_lock, WEFT_FOREVER);
}

void weft_rwmutex_lock(weft_rwmutex *m)
{
    weft__worker *w = weft__enter("weft_rwmutex_lock");
    weft__task *t = w->task;

    weft__lock(&m->_lock, WEFT__RANK_OBJECT);
    if (m->_readers == 0) {
        write_by(m, t);
        weft__unlock(&m->_lock);
    } else {
        wait_turn(m, t, writeq(m), WEFT__WAIT_RWMUTEX_WRITE);
    }
    taken_at(m, __builtin_return_address(0));
    weft__exit();
}

bool weft_rwmutex_trylock(weft_rwmutex *m)
{
    weft__worker *w = weft__enter("weft_rwmutex_trylock");
    bool got;

    weft__lock(&m->_lock, WEFT__RANK_OBJECT);
    got = m->_readers == 0;
    if (got)
        write_by(m, w->task);
    weft__unlock(&m->_lock);
    if (got)
        taken_at(m, __builtin_return_address(0));
    weft__exit();
    return got;
}

static inline bool reader_may_enter(weft_rwmutex *m)
{
    return m->_readers >= 0 && !writeq(m)->head;
}

static inline void reader_enters(weft_rwmutex *m)
{
    if (m->_readers == 0)
        taken(m, 1);
    else
        m->_readers++;
}

void weft_rwmutex_read_lock(weft_rwmutex *m)
{
    weft__worker *w = weft__enter("weft_rwmutex_read_lock");

    weft__lock(&m->_lock, WEFT__RANK_OBJECT);
    if (reader_may_enter(m)) {
        reader_enters(m);
        weft__unlock(&m->_lock);
    } else {
        wait_turn(m, w->task, readq(m), WEFT__WAIT_RWMUTEX_READ);
    }
    weft__exit();
}

bool weft_rwmutex_read_trylock(weft_rwmutex *m)
{
    bool got;

    weft__enter("weft_rwmutex_read_trylock");
    weft__lock(&m->_lock, WEFT__RANK_OBJECT);
    got = reader_may_enter(m);
    if (got)
        reader_enters(m);
    weft__unlock(&m->_lock);
    weft__exit();
    return got;
}

/* Charges c with the time that all waiters have waited; reads a clock only if there are any. Caller
 * holds _lock, and has just made the rwmutex free. */
static void charge(weft_rwmutex *m, struct weft__charge *c, int64_t inside[WEFT__WINDOWS])
{
    weft__check_holds(&m->_lock);
    int64_t now = readq(m)->head || writeq(m)->head ? weft__ticks() : 0;

    c->now = now;
    if (now && weft__charge_is_cut(m->_charged))
        c->inside = weft__charge_cut(readq(m), writeq(m), now, inside);
    c->n = weft__charge_count(readq(m)) + weft__charge_count(writeq(m));
    c->waited = weft__charge_take(readq(m), now) + weft__charge_take(writeq(m), now);
    if (now)
        weft__store(&m->_charged, now);
}

/* Claims the wait of wt, to which the lock was handed. */
static void claim(const weft__waiter *wt)
{
    bool claimed = weft__claim(wt->task, wt->ticket, 0);

    weft__assert(claimed); /* nothing but unlock ends a wait */
}

/* Notes wt, which may be NULL, as the first waiter that the unlock lets in: it makes the charge's
 * pair. */
static void let_in(const weft__waiter *wt, struct weft__charge *c)
{
    if (!wt)
        return;
    c->first = wt->task;
    c->first_waited = c->now - wt->from;
}

/* Hands the free lock to the writer in front. Returns the task to make ready, or NULL. Caller holds
 * _lock. */
static weft__task *hand_to_writer(weft_rwmutex *m, struct weft__charge *c)
{
    weft__waiter *wt = weft__charge_pop(writeq(m), c->now);

    if (!wt)
        return NULL;
    claim(wt);
    let_in(wt, c);
    write_by(m, wt->task);
    return wt->task;
}

/* Hands the free lock to all readers that wait, and returns them. Caller holds _lock. It claims
 * their waits after the unlock, since there may be many; only an unlock ends such a wait. */
static weft__waitq hand_to_readers(weft_rwmutex *m, struct weft__charge *c)
{
    m->_readers = (int32_t)weft__charge_count(readq(m));
    let_in(readq(m)->head, c);
    return weft__waitq_take(readq(m));
}

/* Wakes the readers that the unlock let in. With many of them other tasks run in between. */
static void wake_readers(weft__waitq *readers, const struct weft__charge *c)
{
    weft__waiter *wt;

    for (unsigned i = 0; (wt = weft__waitq_pop(readers)) != NULL; i++) {
        claim(wt);
        if (wt->task != c->first)
            weft__charge_pair(c, wt);
        weft__ready(wt->task);
        weft__breathe_at(i, c->self);
    }
}

void weft_rwmutex_read_unlock(weft_rwmutex *m)
{
    struct weft__charge c = {.self = weft__enter("weft_rwmutex_read_unlock")->task};
    int64_t inside[WEFT__WINDOWS];
    weft__task *woken = NULL;

    weft__lock(&m->_lock, WEFT__RANK_OBJECT);
    if (m->_readers <= 0)
        weft__fatal("sync: RUnlock of unlocked RWMutex (%p)", (void *)m);
    renew(m);
    if (--m->_readers == 0) {
        charge(m, &c, inside);
        woken = hand_to_writer(m, &c);
    }
    weft__unlock(&m->_lock);
    weft__charge(&c);
    if (woken)
        weft__ready(woken);
    weft__exit();
}

void weft_rwmutex_unlock(weft_rwmutex *m)
{
    struct weft__charge c = {.self = weft__enter("weft_rwmutex_unlock")->task};
    int64_t inside[WEFT__WINDOWS];
    weft__task *woken = NULL;
    weft__waitq readers;

    weft__lock(&m->_lock, WEFT__RANK_OBJECT);
    if (m->_readers != -1)
        weft__fatal("sync: Unlock of unlocked RWMutex (%p)", (void *)m);
    renew(m);
    charge(m, &c, inside);
    weft__store_rel(&m->_owner, 0);
    readers = hand_to_readers(m, &c);
    if (m->_readers == 0)
        woken = hand_to_writer(m, &c);
    weft__unlock(&m->_lock);
    weft__charge(&c);
    if (woken)
        weft__ready(woken);
    wake_readers(&readers, &c);
    weft__exit();
}
