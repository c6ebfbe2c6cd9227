/* SPDX-License-Identifier: MIT */
/* mutex.c - mutexes: barging, fair after a millisecond, with an owner.
 *
 * Owns: weft_mutex.
 * Lock: m->_lock (rank OBJECT) guards the queue; the flags of _state are set under it.
 * Tasks and foreign threads call, and hold no lock of the runtime. lock may wait; a cancellation
 * does not end that wait.
 *
 * _state is one word, so that no dump sees a mutex that is locked without a holder, or held by a
 * task that has let go. It has:
 *   the holder's id << HOLDER, 0 while the mutex is free
 *   WAITERS   the queue is not empty, so unlock must look at it
 *   STARVING  unlock hands the mutex to the waiter in front, and no other task may take it
 *   AWAKE     a waiter was woken to compete, and has neither the mutex nor a place in the queue
 * yet. It clears the flag as it takes the mutex or goes back to the queue AWAKE and STARVING are
 * never set together.
 *
 * Without STARVING, unlock frees the mutex and wakes the waiter in front, which competes with the
 * running tasks (they barge). Those have the mutex in their cache and need no switch, so barging is
 * faster than handing over. Until the woken waiter has run, unlock wakes no other, so waiters keep
 * their order however many tasks barge. A waiter that has lost for a millisecond sets STARVING, and
 * unlock then hands the mutex over. That ends with the last waiter, or with one that has waited
 * less than a millisecond. */
#include "runtime/sync/mutex.h"

#include "runtime/sched/observe.h"
#include "runtime/sync/charge.h"

#include <weft/sync.h>

_Static_assert(sizeof(weft_mutex) == 48, "part of the ABI");

enum { WAITERS = 1, STARVING = 2, AWAKE = 4, FLAGS = 7, HOLDER = WEFT__MUTEX_HOLDER };
_Static_assert(FLAGS < 1 << HOLDER, "flags and id share a word");
/* The result of a waiter's park: it must compete for the mutex, or holds it already. */
enum { COMPETE, HANDED_OVER };

static inline weft__waitq *queue(weft_mutex *m)
{
    return (weft__waitq *)m->_waiters;
}

/* Returns whether a task that was not handed the mutex may take it. */
static inline bool may_take(uint64_t state)
{
    return !(state >> HOLDER) && !(state & STARVING);
}

/* Marks m with the epoch of the latest snapshot. Called before each change of the holder while
 * tasks may wait. A snapshot reads the state, then the mark: if the mark is not its own epoch, the
 * holder has not changed since the snapshot's cut (profiles/capture/locks.c). */
static inline void holder_changes(weft_mutex *m)
{
    weft__store(&m->_epoch, weft__load_acq(&weft__epoch));
}

/* Takes the mutex for the task with this id, and returns true, if it may be taken. own: AWAKE if
 * the task is the woken waiter, else 0. */
static bool grab(weft_mutex *m, uint64_t id, uint64_t own)
{
    uint64_t state = weft__load(&m->_state);

    while (may_take(state)) {
        if (state)
            holder_changes(m);
        if (weft__cas(&m->_state, &state, (state & ~own) | id << HOLDER))
            return true;
    }
    return false;
}

/* Sets WAITERS, so that the next unlock looks at the queue; the caller queues itself afterwards.
 * Returns false if the mutex came free. own: see grab. A woken waiter gives AWAKE back in the same
 * instruction that finds the mutex held: so an unlock that sees AWAKE and wakes no other waiter can
 * rely on it. Caller holds m->_lock. */
static bool announce(weft_mutex *m, uint64_t own)
{
    weft__check_holds(&m->_lock);
    uint64_t state = weft__load(&m->_state), waits;

    while (!may_take(state)) {
        waits = (state & ~own) | WAITERS;
        if (state == waits || weft__cas(&m->_state, &state, waits))
            return true;
    }
    return false;
}

/* Forgets the queue and the flags of an earlier run, whose tasks are gone. Returns whether there
 * were flags. Caller holds m->_lock. */
static bool renewed(weft_mutex *m)
{
    weft__check_holds(&m->_lock);
    if (m->_run == weft__run_number)
        return false;
    weft__waitq_renew(queue(m), &m->_run);
    return weft__and(&m->_state, ~(uint64_t)FLAGS) & FLAGS;
}

/* Prepares m for the first wait of this run. Panics if a task of an earlier run holds it: no task
 * would ever unlock it. Caller holds m->_lock. */
static void not_of_an_earlier_run(weft_mutex *m)
{
    weft__check_holds(&m->_lock);
    uint64_t holder = weft__load(&m->_state) >> HOLDER;

    if (m->_run != weft__run_number && holder != 0 && holder < weft__first_id)
        weft__panic("weft: mutex %p was locked by task %llu in an earlier run, which has ended",
                    (void *)m, (unsigned long long)holder);
    renewed(m);
}

/* Puts wt in the queue. A woken waiter that lost to a barger (again) goes to the front, where it
 * came from. since: the instant at which the whole wait began. Caller holds m->_lock. */
static void queue_up(weft_mutex *m, weft__waiter *wt, bool again, int64_t since, int64_t now)
{
    weft__check_holds(&m->_lock);
    wt->n = since;
    wt->index = again && now - since > weft__load(&weft__clock_ms); /* it starves */
    if (!again) {
        weft__charge_push(queue(m), wt, now);
        return;
    }
    weft__charge_push_front(queue(m), wt, now);
    if (wt->index)
        weft__or(&m->_state, STARVING);
}

/* Waits for the mutex. Reads a clock only at the beginning: a woken task knows from its worker when
 * the task before it parked, which is when it resumed. */
static WEFT__NOINLINE void lock_slow(weft_mutex *m, weft__task *t)
{
    int64_t since = 0, now;
    uint64_t own = 0;
    weft__waiter wt;

    for (;;) {
        weft__lock(&m->_lock, WEFT__RANK_OBJECT);
        not_of_an_earlier_run(m);
        if (!announce(m, own)) {
            weft__unlock(&m->_lock);
            if (grab(m, t->id, own))
                return;
            continue;
        }
        weft__waiter_init(&wt, t);
        now = own && t->worker->now != WEFT__UNKNOWN ? t->worker->now : weft__ticks();
        if (!own)
            since = now;
        queue_up(m, &wt, own != 0, since, now);
        if (weft__park_unlock(t, WEFT__WAIT_MUTEX, m, &m->_lock, WEFT_FOREVER) == HANDED_OVER)
            return;
        own = AWAKE;
        if (grab(m, t->id, own))
            return;
    }
}

/* Notes where the caller, which holds m, took it. Reports of deadlocks show the place
 * (profiles/render/holders.c). */
static inline void taken_at(weft_mutex *m, const void *site)
{
    weft__store(&m->_site, (uint32_t)(uintptr_t)site);
}

void weft__mutex_lock_in(weft_mutex *m, const void *site)
{
    weft__task *t = weft__self()->task;

    if (!grab(m, t->id, 0))
        lock_slow(m, t);
    taken_at(m, site);
}

static WEFT__NOINLINE void lock_contended(weft_mutex *m, const void *site)
{
    weft__enter("weft_mutex_lock");
    weft__mutex_lock_in(m, site);
    weft__exit();
}

/* Loads the id before the CAS: a load behind a locked instruction waits for it. */
void weft_mutex_lock(weft_mutex *m)
{
    uint64_t free = 0, id = weft__caller("weft_mutex_lock")->id;

    if (weft__likely(weft__cas(&m->_state, &free, id << HOLDER)))
        taken_at(m, __builtin_return_address(0));
    else
        lock_contended(m, __builtin_return_address(0));
}

bool weft_mutex_trylock(weft_mutex *m)
{
    if (!grab(m, weft__caller("weft_mutex_trylock")->id, 0))
        return false;
    taken_at(m, __builtin_return_address(0));
    return true;
}

static void not_locked(const weft_mutex *m) WEFT__NORETURN;

static void not_locked(const weft_mutex *m)
{
    weft__fatal("sync: unlock of unlocked mutex (%p)", (const void *)m);
}

/* Returns WAITERS if the queue is not empty, else 0. Caller holds m->_lock. */
static uint64_t flags_left(weft_mutex *m)
{
    weft__check_holds(&m->_lock);
    return queue(m)->head ? WAITERS : 0;
}

/* Gives the mutex up after wt was claimed: hands it over to wt, or frees it so that wt competes.
 * Caller holds m->_lock. */
static void pass_to(weft_mutex *m, const weft__waiter *wt, int64_t now)
{
    weft__check_holds(&m->_lock);
    bool starving;

    if (wt->task->result != HANDED_OVER) {
        weft__store_rel(&m->_state, AWAKE | flags_left(m));
        return;
    }
    starving = queue(m)->head && now - wt->n > weft__load(&weft__clock_ms);
    weft__store_rel(&m->_state,
                    wt->task->id << HOLDER | flags_left(m) | (starving ? STARVING : 0u));
}

/* Frees the mutex or hands it over, and charges the holder. Sets c->first to the task to make
 * ready. Caller holds m->_lock. */
static void release(weft_mutex *m, struct weft__charge *c, int64_t inside[WEFT__WINDOWS])
{
    weft__check_holds(&m->_lock);
    uint64_t state = weft__load(&m->_state);
    int64_t now = weft__ticks();
    weft__waiter *wt;
    bool claimed;

    if (!(state >> HOLDER) || (state & AWAKE)) /* another task has unlocked m meanwhile: misuse */
        not_locked(m);
    holder_changes(m);
    c->now = now;
    if (weft__charge_is_cut(m->_charged))
        c->inside = weft__charge_cut(queue(m), NULL, now, inside);
    c->n = weft__charge_count(queue(m));
    c->waited = weft__charge_take(queue(m), now);
    wt = weft__charge_pop(queue(m), now);
    if (!wt)
        not_locked(m);
    claimed =
        weft__claim(wt->task, wt->ticket, wt->index || (state & STARVING) ? HANDED_OVER : COMPETE);
    weft__assert(claimed); /* nothing but unlock ends a wait for a mutex */
    weft__store(&m->_charged, now);
    pass_to(m, wt, now);
    c->first = wt->task;
    c->first_waited = now - wt->from;
}

/* Frees the mutex if a waiter is awake already, and returns true. No other waiter is woken then,
 * and the next unlock is charged for the queue. Returns false, and does nothing, if none is
 * awake. */
static bool leave_to_awake(weft_mutex *m)
{
    uint64_t state = weft__load(&m->_state);

    if (weft__load(&m->_run) != weft__run_number) /* the woken waiter of an earlier run is gone */
        return false;
    while ((state & AWAKE) && state >> HOLDER) {
        holder_changes(m);
        if (weft__cas(&m->_state, &state, state & FLAGS))
            return true;
    }
    return false;
}

/* Unlocks m. The next holder may free m. So either one instruction releases it, or all is done
 * before the waiter is made ready. */
void weft__mutex_unlock_in(weft_mutex *m, weft__task *self, const void *site)
{
    struct weft__charge c = {.self = self, .site = site};
    int64_t inside[WEFT__WINDOWS];
    uint64_t state = weft__load(&m->_state);

    if (!(state >> HOLDER))
        not_locked(m);
    if ((!(state & FLAGS) && weft__cas(&m->_state, &state, 0)) || leave_to_awake(m))
        return;
    weft__lock(&m->_lock, WEFT__RANK_OBJECT);
    if (weft__unlikely(renewed(m))) {
        weft__unlock(&m->_lock);
        weft__mutex_unlock_in(m, self, site);
        return;
    }
    release(m, &c, inside);
    weft__unlock(&m->_lock);
    weft__charge(&c);
    weft__ready(c.first);
}

/* Unlocks m if no task waits and the task with this id holds it; returns whether it did. Does not
 * read the state first: that read would wait for the locked instruction that took the mutex. */
static inline bool unlock_alone(weft_mutex *m, uint64_t id)
{
    uint64_t state = id << HOLDER;

    return weft__likely(weft__cas(&m->_state, &state, 0));
}

static WEFT__NOINLINE void unlock_contended(weft_mutex *m)
{
    weft__mutex_unlock_in(m, weft__enter("weft_mutex_unlock")->task, NULL);
    weft__exit();
}

void weft_mutex_unlock(weft_mutex *m)
{
    if (!unlock_alone(m, weft__caller("weft_mutex_unlock")->id))
        unlock_contended(m);
}

void weft_mutex_assert_held(const weft_mutex *m)
{
    if (weft__load(&m->_state) >> HOLDER != weft__caller("weft_mutex_assert_held")->id)
        weft__panic("weft: mutex %p is not held by the caller", (const void *)m);
}
