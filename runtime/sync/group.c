/* SPDX-License-Identifier: MIT */
/* group.c - groups of tasks: count, first error, deadline, limit, cancellation.
 *
 * Owns: weft_group, and the links and the mark `canceled` of its tasks.
 * Lock: g->_lock (rank GROUP) guards every field and the tasks linked on _tasks. _state, _cause
 * and _deadline are read without it, too. Its rank is below OBJECT, since a canceler makes tasks
 * ready under it.
 * Tasks and foreign threads call the public functions, and hold no lock; the waits and, in a group
 * with a limit, the starts may wait. Timers call deadline_passed.
 * Always, outside the lock:
 *   _count is the number of tasks on _tasks, of places given to starters, and of cancelers inside
 *   _count == 0 implies that _waiters is empty and the timer is not armed
 *   _count > 0 and a deadline imply CANCELED, or that the timer is armed or firing
 *   _count < _limit implies CANCELED, or that _starters is empty
 *   CANCELED with _uncanceled or _starters not empty implies that a canceler is inside
 *
 * No group knows another. Cancellation reaches an inner group through the task that waits for it:
 * the task's wait ends, it cancels the group that it waited for, and continues to wait. A tree of
 * groups would need a lock above all groups and a walk as deep as the tree. It would also tie a
 * group to the task that happened to use it first.
 *
 * A canceler and a parking task cannot miss each other:
 *   the canceler marks the task, fences heavily, and then ends its wait if its ticket is open;
 *   the task opens its ticket, fences lightly, and then looks at the mark (park.c).
 * The canceler does that for PIECE tasks at a time, and lets other tasks run in between. So it
 * holds neither the lock nor the processor for long, and no run queue gets more than a piece at
 * once. */
#include "runtime/sync/group.h"

#include "runtime/sched/park.h"

#include <sched.h>

_Static_assert(sizeof(weft_group) == 112, "part of the ABI");
_Static_assert(sizeof(weft__timer) == sizeof(((weft_group *)0)->_timer), "embedded");

enum { CANCELED = 1, KEEP_GOING = 2 }; /* bits of _state */
enum { PIECE = 128 };                  /* tasks that a canceler handles at a time */

static inline weft__waitq *waiters(weft_group *g)
{
    return (weft__waitq *)g->_waiters;
}

static inline weft__waitq *starters(weft_group *g)
{
    return (weft__waitq *)g->_starters;
}

/* _uncanceled is the link in this list from which on tasks are to be canceled. */
static inline weft__link **tasks(weft_group *g)
{
    return (weft__link **)&g->_tasks;
}

static inline weft__task *task_at(weft__link *l)
{
    return weft__container_of(l, weft__task, in_group);
}

static inline weft__timer *timer(weft_group *g)
{
    return (weft__timer *)g->_timer;
}

static inline bool is_canceled(const weft_group *g)
{
    return weft__load_acq(&g->_state) & CANCELED;
}

/* Takes the lock. In a new run, forgets the tasks of the last one, which are gone. */
static void lock(weft_group *g)
{
    weft__lock(&g->_lock, WEFT__RANK_GROUP);
    if (weft__likely(g->_run == weft__run_number))
        return;
    g->_run = weft__run_number;
    g->_count = 0;
    *tasks(g) = g->_uncanceled = NULL;
    *waiters(g) = *starters(g) = (weft__waitq){NULL, NULL};
}

/* Waits until the timer's callback, if it is running, no longer uses g. The caller does not hold
 * the lock, which the callback takes. It spins: a callback takes some microseconds at most. */
static inline void timer_settle(weft_group *g)
{
    while (weft__unlikely(weft__load_acq(&timer(g)->firing)))
        sched_yield();
}

/* Counting ------------------------------------------------------------------------------------- */

/* Gives places to starters, and moves them to woken, for the caller to make ready after the unlock.
 * Caller holds the lock. */
static void admit(weft_group *g, weft__waitq *woken)
{
    weft__check_holds(&g->_lock);
    weft__waiter *wt;

    while (!is_canceled(g) && starters(g)->head && (g->_limit == 0 || g->_count < g->_limit) &&
           (wt = weft__waitq_claim(starters(g), 0)) != NULL) {
        g->_count++;
        weft__waitq_push(woken, wt);
    }
}

/* Gives up one of _count. The last one disarms the timer and wakes the waiters, which may free the
 * group at once. Caller holds the lock, which this function releases. */
static void drop(weft_group *g)
{
    weft__check_holds(&g->_lock);
    weft__waitq woken = {NULL, NULL};
    weft__waiter *wt;
    bool last;

    weft__check(g->_count > 0);
    g->_count--;
    admit(g, &woken);
    last = g->_count == 0;
    if (last) {
        weft__timer_disarm(timer(g));
        while ((wt = weft__waitq_claim(waiters(g), 0)) != NULL) {
            wt->n = g->_err;
            weft__waitq_push(&woken, wt);
        }
    }
    weft__unlock(&g->_lock);
    weft__chaos();
    /* Only waiters that have not returned yet keep g in place. If there is none, g may be gone. */
    if (!woken.head)
        return;
    if (last)
        timer_settle(g);
    weft__ready_all(&woken);
}

/* Cancellation --------------------------------------------------------------------------------- */

/* Marks g as canceled. The first call decides the cause. Caller holds the lock. */
static void mark(weft_group *g, int cause)
{
    weft__check_holds(&g->_lock);
    if (is_canceled(g))
        return;
    weft__store(&g->_cause, cause);
    g->_uncanceled = *tasks(g);
    weft__or(&g->_state, CANCELED);
}

/* Cancels at most PIECE tasks, from g->_uncanceled on, and as many starters. Returns whether some
 * are left. One heavy fence serves the whole piece: it is a system call that interrupts all CPUs.
 * Caller holds the lock. */
static bool cancel_piece(weft_group *g)
{
    weft__check_holds(&g->_lock);
    weft__link *first = g->_uncanceled, *end = first;
    weft__waiter *wt;
    int n;

    for (n = 0; end && n < PIECE; n++, end = end->next)
        weft__or(&task_at(end)->canceled, WEFT__CANCELED);
    if (n > 0)
        weft__fence_heavy();
    for (weft__link *l = first; l != end; l = l->next)
        weft__cancel(task_at(l));
    g->_uncanceled = end;
    for (n = 0; n < PIECE && (wt = weft__waitq_claim(starters(g), WEFT_ECANCELED)) != NULL; n++)
        weft__ready(wt->task);
    return end || starters(g)->head;
}

static void cancel_rest(void *arg);

/* Leaves the rest of a cancellation to a new task, which counts in _count. For callers that cannot
 * let other tasks run in between: the timer's callback, and threads that are no tasks, which would
 * fill the run queue. Caller holds the lock, which this function releases. */
static void cancel_by_task(weft_group *g)
{
    weft__check_holds(&g->_lock);
    weft__worker *w = weft__self();

    g->_count++;
    weft__unlock(&g->_lock);
    weft__spawn(w, weft__task_new(w->p, NULL, cancel_rest, g),
                (uintptr_t)__builtin_return_address(0));
}

/* Cancels g. If t, the caller, is a task, every task of g is canceled on return, and other tasks
 * may have run meanwhile. Caller holds the lock, which this function releases. */
static void cancel(weft_group *g, int cause, weft__task *t)
{
    weft__check_holds(&g->_lock);
    mark(g, cause);
    if (!cancel_piece(g)) {
        weft__unlock(&g->_lock);
        return;
    }
    if (t->flags & WEFT__FOREIGN) {
        cancel_by_task(g);
        return;
    }
    g->_count++;
    do {
        weft__unlock(&g->_lock);
        weft__yield(t);
        lock(g);
    } while (cancel_piece(g));
    drop(g);
}

/* The task that cancel_by_task starts. */
static void cancel_rest(void *arg)
{
    weft_group *g = arg;
    weft__task *t = weft__enter("weft_group_cancel")->task;

    lock(g);
    cancel(g, g->_cause, t);
    lock(g);
    drop(g);
    weft__exit();
}

void weft_group_cancel(weft_group *g)
{
    weft__task *t = weft__enter("weft_group_cancel")->task;

    lock(g);
    cancel(g, WEFT_ECANCELED, t);
    weft__exit();
}

void weft_group_keep_going(weft_group *g)
{
    weft__not_forked("weft_group_keep_going");
    weft__or(&g->_state, KEEP_GOING);
}

/* Deadline ------------------------------------------------------------------------------------- */

/* The timer's callback, on the owner of its heap. */
static void deadline_passed(weft__timer *fired, uint64_t arg, int64_t now)
{
    weft_group *g = (weft_group *)((char *)fired - offsetof(weft_group, _timer));

    (void)arg;
    (void)now;
    lock(g);
    mark(g, WEFT_ETIMEDOUT);
    if (cancel_piece(g))
        cancel_by_task(g);
    else
        weft__unlock(&g->_lock);
}

/* Arms the timer, unless it is firing: then the callback marks the group, or has marked it. Caller
 * holds the lock. */
static void watch_deadline(weft_group *g)
{
    weft__check_holds(&g->_lock);
    weft__timer *tm = timer(g);

    if (is_canceled(g) || weft__load_acq(&tm->firing))
        return;
    if (g->_deadline <= weft__nanos() && !*tasks(g) && !starters(g)->head) {
        mark(g, WEFT_ETIMEDOUT); /* no task needs to be canceled; else the timer fires at once */
        return;
    }
    tm->fire = deadline_passed;
    weft__timer_arm(tm, g->_deadline, 0);
}

/* Adds one to _count. The first one arms the timer: without tasks a deadline has nothing to end.
 * Caller holds the lock. */
static inline void count_one(weft_group *g)
{
    weft__check_holds(&g->_lock);
    if (g->_count++ == 0 && g->_deadline != 0)
        watch_deadline(g);
}

/* Disarms the timer and takes the lock, at a moment when its callback does not run. */
static void lock_without_timer(weft_group *g)
{
    for (;;) {
        lock(g);
        if (weft__timer_disarm(timer(g)) || !weft__load_acq(&timer(g)->firing))
            return;
        weft__unlock(&g->_lock);
        timer_settle(g);
    }
}

void weft_group_deadline(weft_group *g, weft_time when)
{
    weft__task *t = weft__enter("weft_group_deadline")->task;

    lock_without_timer(g);
    weft__store(&g->_deadline, when == WEFT_FOREVER ? 0 : when);
    if (when <= weft__nanos()) {
        cancel(g, WEFT_ETIMEDOUT, t);
    } else {
        if (g->_deadline && g->_count > 0)
            watch_deadline(g);
        weft__unlock(&g->_lock);
    }
    weft__exit();
}

/* Starting ------------------------------------------------------------------------------------- */

void weft_group_limit(weft_group *g, uint32_t n)
{
    weft__waitq woken = {NULL, NULL};

    weft__enter("weft_group_limit");
    lock(g);
    weft__store(&g->_limit, n);
    admit(g, &woken);
    weft__unlock(&g->_lock);
    weft__ready_all(&woken);
    weft__exit();
}

/* Waits for a place in a group with a limit. Returns 0 with one of _count taken; WEFT_ECANCELED if
 * the group is canceled, or if the caller is canceled before there is a place. */
static int place(weft_group *g, weft__task *t)
{
    weft__waiter wt;

    lock(g);
    if (weft_group_cause(g) != 0) {
        weft__unlock(&g->_lock);
        return WEFT_ECANCELED;
    }
    if (!starters(g)->head && (g->_limit == 0 || g->_count < g->_limit)) {
        count_one(g);
        weft__unlock(&g->_lock);
        return 0;
    }
    weft__waiter_init(&wt, t);
    return weft__wait_in(starters(g), &wt, WEFT__WAIT_GROUP_LIMIT, g, &g->_lock, WEFT_FOREVER);
}

/* Puts t, which does not run yet, into g. placed: it has been counted already. */
static void add_task(weft_group *g, weft__task *t, bool placed)
{
    lock(g);
    if (!placed)
        count_one(g);
    weft__store_rel(&t->group, g); /* deadlock reports read it without the lock */
    weft__list_push(tasks(g), &t->in_group);
    weft__store(&t->canceled, is_canceled(g) ? WEFT__CANCELED : 0);
    weft__unlock(&g->_lock);
}

/* Starts a task in g. options may be NULL. Returns 0 or the code of place. */
static int start(weft_group *g, const weft_go_options *options, weft_task_fn *fn, void *arg,
                 unsigned flags, uintptr_t site)
{
    weft__worker *w = weft__enter("weft_group_go");
    bool limited = weft__load(&g->_limit) != 0;
    weft__task *t;

    if (weft__unlikely(limited)) {
        int rc = place(g, w->task);

        if (rc < 0) {
            weft__exit();
            return rc;
        }
        w = weft__self();
    }
    t = weft__task_new(w->p, options, fn, arg);
    weft__flag_set(t, flags);
    add_task(g, t, limited);
    weft__spawn(w, t, site);
    weft__exit();
    return 0;
}

int(weft_group_go)(weft_group *g, weft_main_fn *fn, void *arg)
{
    return start(g, NULL, (weft_task_fn *)(void (*)(void))fn, arg, WEFT__RESULT,
                 (uintptr_t)__builtin_return_address(0));
}

void weft__group_go_with(weft_group *g, const weft_go_options *options, weft_main_fn *fn, void *arg)
{
    start(g, options, (weft_task_fn *)(void (*)(void))fn, arg, WEFT__RESULT,
          (uintptr_t)__builtin_return_address(0));
}

int weft_group_go_void(weft_group *g, weft_task_fn *fn, void *arg)
{
    return start(g, NULL, fn, arg, 0, (uintptr_t)__builtin_return_address(0));
}

/* Ending --------------------------------------------------------------------------------------- */

/* Keeps the first error. Returns whether it must cancel the group. Caller holds the lock. */
static bool fails(weft_group *g, int result)
{
    weft__check_holds(&g->_lock);
    if (result == WEFT_EPENDING)
        result = WEFT_ETIMEDOUT; /* EPENDING is the code of a wait, never of a task */
    if (result == WEFT_ECANCELED && is_canceled(g))
        result = g->_cause;
    if (g->_err == 0)
        g->_err = result;
    return !(weft__load(&g->_state) & (CANCELED | KEEP_GOING));
}

/* Takes t out of its group's list. Caller holds the lock. */
static void remove_task(weft_group *g, weft__task *t)
{
    weft__check_holds(&g->_lock);
    if (g->_uncanceled == &t->in_group)
        g->_uncanceled = t->in_group.next;
    weft__list_remove(&t->in_group);
    weft__store(&t->group, NULL);
}

void weft__group_leave(weft__task *t, int result)
{
    weft_group *g = t->group;

    weft__enter("a task's end");
    lock(g);
    if (weft__unlikely(result != 0) && fails(g, result)) {
        cancel(g, g->_err, t);
        lock(g);
    }
    remove_task(g, t);
    drop(g);
    weft__exit();
}

/* Waiting -------------------------------------------------------------------------------------- */

/* Returns true, with the group's result in *result, if no task is left. Caller holds the lock,
 * which this function releases. */
static bool is_done(weft_group *g, int *result)
{
    weft__check_holds(&g->_lock);
    bool done = g->_count == 0;

    if (done)
        *result = g->_err;
    weft__unlock(&g->_lock);
    if (done)
        timer_settle(g);
    return done;
}

/* Waits until no task is left. Returns 0 with the group's result in *result, or the code of the
 * park. */
static int await(weft_group *g, weft__task *t, enum weft__reason why, weft_time deadline,
                 int *result)
{
    weft__waiter wt;
    int rc;

    lock(g);
    if (g->_count == 0) {
        is_done(g, result);
        return 0;
    }
    if (t->group == g && deadline == WEFT_FOREVER)
        weft__panic("weft: a task waits for group %p, which it belongs to", (void *)g);
    weft__waiter_init(&wt, t);
    rc = weft__wait_in(waiters(g), &wt, why, g, &g->_lock, deadline);
    if (rc == 0) {
        *result = (int)wt.n; /* not g->_err: g may be in use again, with another result */
        return 0;
    }
    lock(g);
    return is_done(g, result) ? 0 : rc;
}

/* Returns whether the run is over for a thread that is no task. No task runs any more then, and the
 * thread's frame with the group will go, so the timer must not fire. */
static bool is_over(weft_group *g, const weft__task *t, int rc)
{
    if (rc != WEFT_ECANCELED || !(t->flags & WEFT__FOREIGN))
        return false;
    weft__timer_disarm_wait(timer(g));
    return true;
}

/* A canceled task cancels the group and waits on: the tasks may use its frame until they end. */
int weft_group_wait(weft_group *g)
{
    weft__task *t = weft__enter("weft_group_wait")->task;
    int result = 0, rc = await(g, t, WEFT__WAIT_GROUP, WEFT_FOREVER, &result);

    if (is_over(g, t, rc)) {
        result = WEFT_ECANCELED;
    } else if (rc == WEFT_ECANCELED) {
        lock(g);
        cancel(g, weft__task_cause(t), t);
        await(g, t, WEFT__WAIT_JOIN, WEFT_FOREVER, &result);
    }
    weft__exit();
    return result;
}

int weft_group_wait_until(weft_group *g, weft_time deadline)
{
    weft__task *t = weft__enter("weft_group_wait_until")->task;
    int result = WEFT_EPENDING, rc = await(g, t, WEFT__WAIT_GROUP, deadline, &result);

    if (is_over(g, t, rc))
        result = WEFT_ECANCELED;
    weft__exit();
    return result;
}

/* Asking --------------------------------------------------------------------------------------- */

int weft_group_cause(const weft_group *g)
{
    weft_time deadline = weft__load(&g->_deadline);

    weft__not_forked("weft_group_cause");
    if (is_canceled(g))
        return weft__load(&g->_cause);
    return deadline != 0 && deadline <= weft__nanos() ? WEFT_ETIMEDOUT : 0;
}

bool weft_group_is_canceled(const weft_group *g)
{
    weft__not_forked("weft_group_is_canceled");
    return weft_group_cause(g) != 0;
}

int weft__task_cause(const weft__task *t)
{
    if (!(weft__load_acq(&t->canceled) & WEFT__CANCELED))
        return 0;
    return t->group ? weft__load(&t->group->_cause) : WEFT_ECANCELED;
}

int weft_task_cause(void)
{
    return weft__task_cause(weft__caller("weft_task_cause"));
}

bool weft_task_is_canceled(void)
{
    return weft__task_cause(weft__caller("weft_task_is_canceled")) != 0;
}

/* Shield --------------------------------------------------------------------------------------- */

void weft_shield_begin(void)
{
    weft__task *t = weft__caller("weft_shield_begin");

    if (!(t->flags & WEFT__FOREIGN))
        weft__add(&t->canceled, WEFT__SHIELD);
}

void weft_shield_end(void)
{
    weft__task *t = weft__caller("weft_shield_end");

    if (t->flags & WEFT__FOREIGN)
        return;
    if (weft__load(&t->canceled) < WEFT__SHIELD)
        weft__panic("weft: weft_shield_end without weft_shield_begin");
    weft__sub(&t->canceled, WEFT__SHIELD);
}

void weft_shield(weft_task_fn *fn, void *arg)
{
    weft_shield_begin();
    fn(arg);
    weft_shield_end();
}
