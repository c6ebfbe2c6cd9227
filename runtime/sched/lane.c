/* SPDX-License-Identifier: MIT */
/* lane.c - the record of functions that hog or block, and the tasks that must wait because of it.
 *
 * Owns: the table of entry functions, the hog lane, and the tasks that wait for a thread.
 * Locks: lane.lock and held.lock. Their rank is OBJECT, since tasks are made ready under them. All
 * fields of the table are atomic. lane.h says which threads may call.
 *
 * Hogs. A task whose processor was taken while it burnt CPU runs on beside the processors, on its
 * thread. max_hogs bounds how many do so at once. While there are as many, the lane is crowded, and
 * tasks that burnt CPU the last time they ran wait in it before they run again. So do new tasks of
 * functions that are known to hog: HOG_TAKES of their tasks lost their processor, in a count that
 * fades. A task loses the mark when it runs to a wait or a yield and keeps its processor. So short
 * tasks that share their function with hogs are hogs only until then.
 *
 * Nothing in C stops a loop that makes no call. So a hog that did not come back within SUNK no
 * longer counts. And a crowded lane still lets these tasks run, so that they do not wait for the
 * end of a loop: new tasks that came within YOUNG, at once: if such a task hogs, it costs others a
 * millisecond older new tasks, the latest first, one after each pause tasks that came back from a
 * short burst (LIGHT), one each PACE A new task that waited for AGED or more joins the end of the
 * queue of heavy hogs, which moves only while the lane is not crowded. So in an overload no task
 * waits for ever. Measured with 60 endless loops and short tasks of one function, at 1, 2 and 4
 * processors: p99 of the first run was 8 to 19 ms without these rules and is 0.1 with them; the
 * longest wait was 17 to 1143 ms, and is 5.
 *
 * max_hogs is the number of processors, since more hogs cost others too much. Under a quota of half
 * a CPU, with one processor and 1,000 tasks of 20 ms, p99 of a 1 ms ticker in two runs was: 47 and
 * 17 ms with one hog beside, 58 and 47 with 2, 53 and 133 with 4, 322 and 59 with 8.
 *
 * Calls. If tasks of a function sit in undeclared calls without a processor, or did so some seconds
 * ago, the monitor takes processors from its tasks sooner. While threads are short (spare.c) and a
 * task of a function sits in a call, others of the function wait here before they run: new tasks,
 * and those that sat in a call themselves (WEFT__SAT). Tasks that ran and never sat (tame ones) go
 * on while a spare is left that could take over; without a spare they wait, too. A task that came
 * back from its call goes on, since it brought its thread. So does a pinned task, which keeps its
 * thread while it waits. Tasks that declare a call wait here before the call. */
#include "runtime/sched/lane.h"

#include "runtime/sched/park.h"
#include "runtime/sched/spare.h"

#define MS         INT64_C(1000000)
#define SECOND     (1000 * MS)
#define YOUNG      (20 * MS)
#define AGED       (100 * MS)
#define SUNK       SECOND
#define LIGHT      (25 * MS) /* of CPU, beside the processors */
#define PACE       (25 * MS)
#define PAUSE      MS /* for each hog beside the processors */
#define PAUSE_MOST (15 * MS)

enum { SITES = 256, HOG_TAKES = 4, BLOCK_TAKES = 2 };

struct site {
    weft_task_fn *fn; /* atomic */
    uint32_t takes;   /* atomic: while it burnt CPU */
    uint32_t blocked; /* atomic: takes while it sat in a call */
    uint32_t sitting; /* atomic: tasks that were taken from so and are not back */
};

uint32_t weft__gates;
static struct site sites[SITES];
static bool any_blocked; /* atomic: some site's blocked or sitting may not be 0 */

struct queue {
    weft__task *head, *tail; /* linked by next */
};

static struct {
    uint32_t lock;
    uint32_t running;   /* atomic: tasks with WEFT__LANE */
    uint32_t sunk;      /* atomic: hogs beside the processors for longer than SUNK */
    uint32_t turns;     /* given so far */
    int64_t failed;     /* atomic: when the pause for older new tasks began: such a task was let in,
                         * or a task lost its processor while it burnt CPU; 0: no pause */
    int64_t paced;      /* when a light hog last had a turn */
    struct queue fresh; /* young tasks that never ran, the latest first */
    struct queue older; /* those that came later than YOUNG or waited for AGED, the latest first */
    struct queue light; /* hogs whose latest burst was short */
    struct queue heavy; /* the others, and what was in older for AGED */
    int64_t faded, counted, aged;
} lane;

static struct {
    uint32_t lock;
    uint32_t n;         /* atomic: tasks in all three; written under lock */
    bool calls_next;    /* whether calls are served before tasks */
    struct queue tasks; /* picked to run, of functions that block */
    struct queue tame;  /* the same, but they never sat in a call, and no spare was left */
    weft__waitq calls;  /* before a declared call */
} held;

static void link_last(struct queue *q, weft__task *t)
{
    weft__store(&t->next, NULL);
    if (q->tail)
        weft__store(&q->tail->next, t);
    else
        q->head = t;
    q->tail = t;
}

static weft__task *unlink_first(struct queue *q)
{
    weft__task *t = q->head;

    if (!t)
        return NULL;
    q->head = t->next;
    if (!q->head)
        q->tail = NULL;
    return t;
}

static void link_first(struct queue *q, weft__task *t)
{
    weft__store(&t->next, q->head);
    q->head = t;
    if (!q->tail)
        q->tail = t;
}

/* Gives t, which was picked to run but must wait, a wait reason. For a new task the wait began when
 * it was started. */
static void note_wait(weft__task *t, enum weft__reason why)
{
    if ((t->flags & WEFT__STARTED) || t->since == 0)
        weft__store(&t->since, weft__ticks());
    weft__store(&t->reason, (uint8_t)why);
}

static weft__task *pop(struct queue *q)
{
    weft__task *t = unlink_first(q);

    if (t)
        weft__store(&t->reason, WEFT__WAIT_NONE);
    return t;
}

static void run(weft__task *t)
{
    if (!t)
        return;
    weft__global_push(t);
    weft__fence_full();
    weft__wake_one();
}

/* Functions ------------------------------------------------------------------------------------ */

static struct site *site_of(weft_task_fn *fn, bool add)
{
    uintptr_t h = ((uintptr_t)fn >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40;

    for (unsigned i = 0; i < 16; i++) {
        struct site *s = &sites[(h + i) % SITES];
        weft_task_fn *have = weft__load_acq(&s->fn);

        if (!have && add && weft__cas(&s->fn, &have, fn))
            return s;
        if (have == fn)
            return s;
        if (!have)
            return NULL;
    }
    return NULL;
}

void weft__site_burned(weft_task_fn *fn)
{
    struct site *s = site_of(fn, true);

    if (s && weft__add(&s->takes, 1) == HOG_TAKES - 1)
        weft__add(&weft__gates, 1);
}

bool weft__site_hogs(weft_task_fn *fn)
{
    const struct site *s = weft__hogs_known() ? site_of(fn, false) : NULL;

    return s && weft__load(&s->takes) >= HOG_TAKES;
}

void weft__site_blocked(weft_task_fn *fn)
{
    struct site *s = site_of(fn, true);

    if (!s)
        return;
    weft__add(&s->blocked, 1);
    weft__add(&s->sitting, 1);
    weft__store(&any_blocked, true);
}

static bool sits(weft_task_fn *fn)
{
    const struct site *s = weft__load(&any_blocked) ? site_of(fn, false) : NULL;

    return s && weft__load(&s->sitting) > 0;
}

bool weft__site_blocks(weft_task_fn *fn)
{
    const struct site *s = weft__load(&any_blocked) ? site_of(fn, false) : NULL;

    return s && (weft__load(&s->sitting) > 0 || weft__load(&s->blocked) >= BLOCK_TAKES);
}

static void fade_takes(struct site *s)
{
    uint32_t takes = weft__load(&s->takes), left = takes - takes / 4;

    if (takes >= HOG_TAKES && weft__cas(&s->takes, &takes, left) && left < HOG_TAKES)
        weft__sub(&weft__gates, 1);
}

static void fade_blocked(struct site *s)
{
    uint32_t blocked = weft__load(&s->blocked);

    if (blocked > 0)
        weft__cas(&s->blocked, &blocked, blocked - (blocked + 3) / 4);
}

static bool none_blocked(void)
{
    for (unsigned i = 0; i < SITES; i++) {
        if (weft__load(&sites[i].blocked) > 0 || weft__load(&sites[i].sitting) > 0)
            return false;
    }
    return true;
}

/* Lets the counts of all functions fade. Where none of them blocks any more, the questions about
 * them are short again. A thread that raises a count stores the flag after that, so the second look
 * finds the count of a thread whose flag was erased here. */
static void sites_fade(void)
{
    if (!weft__gates_any() && !weft__load(&any_blocked))
        return;
    for (unsigned i = 0; i < SITES; i++) {
        fade_takes(&sites[i]);
        fade_blocked(&sites[i]);
    }
    if (!none_blocked())
        return;
    weft__store(&any_blocked, false);
    weft__fence_full();
    if (!none_blocked())
        weft__store(&any_blocked, true);
}

/* The hog lane --------------------------------------------------------------------------------- */

static bool is_crowded(void)
{
    return weft__load(&weft__sched.nhogs) + weft__load(&lane.running) >=
           (uint32_t)weft__load(&weft__sched.max_hogs) + weft__load(&lane.sunk);
}

static bool asks_for_lane(const weft__task *t)
{
    if (t->flags & WEFT__LANE)
        return false;
    if (t->flags & WEFT__HOG)
        return true;
    return !(t->flags & WEFT__STARTED) && is_crowded() && weft__site_hogs(t->fn);
}

static weft__task *pop_new(void)
{
    weft__task *t = pop(&lane.fresh);

    return t ? t : pop(&lane.older);
}

static weft__task *pop_light(int64_t now)
{
    lane.paced = now;
    return pop(&lane.light);
}

/* Returns the next task of a lane that is not crowded: each kind in turn. */
static weft__task *pop_in_turn(int64_t now)
{
    weft__task *t = NULL;

    for (int i = 0; i < 4 && !t; i++) {
        uint32_t turn = lane.turns++ % 4;

        t = turn == 3 ? pop(&lane.heavy) : turn == 1 ? pop_light(now) : pop_new();
    }
    return t;
}

/* Returns whether t, a new task, was started less than YOUNG ago. */
static bool is_young(const weft__task *t)
{
    return t->since != 0 && weft__ticks() - t->since < YOUNG / MS * weft__load(&weft__clock_ms);
}

/* Returns whether the pause after the latest failure of a new task is over. */
static bool is_rested(int64_t now)
{
    int64_t pause = weft__load(&weft__sched.nhogs) * PAUSE;

    return now - weft__load(&lane.failed) >= (pause < PAUSE_MOST ? pause : PAUSE_MOST);
}

/* Returns the next task that may run; NULL if there is none. Caller holds the lock. */
static weft__task *lane_next(int64_t now)
{
    weft__check_holds(&lane.lock);
    weft__task *t = NULL;

    if (weft__load(&lane.running) >= (uint32_t)weft__load(&weft__sched.active))
        return NULL;
    if (!is_crowded()) {
        t = pop_in_turn(now);
    } else if (lane.fresh.head && is_young(lane.fresh.head)) {
        t = pop(&lane.fresh);
    } else if (lane.light.head && now - lane.paced >= PACE) {
        t = pop_light(now);
    } else if (is_rested(now) && (t = pop_new()) != NULL) {
        weft__store(&lane.failed, now);
    }
    return t;
}

static void admit(weft__task *t)
{
    weft__add(&lane.running, 1);
    weft__flag_set(t, WEFT__LANE);
    weft__flag_clear(t, WEFT__HOG | WEFT__HEAVY);
}

/* Lets as many tasks run as there is room for. Caller holds the lock. */
static void lane_move(void)
{
    weft__check_holds(&lane.lock);
    int64_t now = weft__mono();
    weft__task *t;

    while ((t = lane_next(now)) != NULL) {
        admit(t);
        run(t);
    }
}

bool weft__lane_admit(weft__task *t)
{
    weft__task *next;

    weft__lock(&lane.lock, WEFT__RANK_OBJECT);
    if (t->flags & WEFT__HOG)
        link_last(t->flags & WEFT__HEAVY ? &lane.heavy : &lane.light, t);
    else
        link_first(is_young(t) ? &lane.fresh : &lane.older, t);
    note_wait(t, WEFT__WAIT_HOG_LANE);
    next = lane_next(weft__mono());
    if (next)
        admit(next);
    weft__unlock(&lane.lock);
    if (next != t)
        run(next);
    return next == t;
}

/* Lets the next tasks run. The end of the run may abandon w meanwhile: then this does nothing; or
 * weft__lane_clear waits for the lock, until the next task is in a queue that ends with the run. */
static void pass_on(const weft__worker *w)
{
    weft__lock(&lane.lock, WEFT__RANK_OBJECT);
    if (weft__load_acq(&w->end) == WEFT__ALIVE)
        lane_move();
    weft__unlock(&lane.lock);
}

void weft__lane_leave(weft__task *t)
{
    weft__flag_clear(t, WEFT__LANE);
    weft__sub(&lane.running, 1);
    weft__store(&lane.failed, 0); /* the next task need not wait for a pause */
    pass_on(t->worker);
}

/* Leaves t's flags alone, since only t writes them. weft__lane_back changes them when t comes
 * back. */
void weft__lane_lost(const weft__task *t, bool burnt)
{
    if (weft__load(&t->flags) & WEFT__LANE)
        weft__sub(&lane.running, 1);
    if (burnt)
        weft__store(&lane.failed, weft__mono());
}

void weft__lane_back(weft__task *t, bool burnt, int64_t cpu)
{
    if (burnt || (t->flags & WEFT__LANE)) /* a taking for another reason does not clear the mark */
        weft__flag_set(t, cpu > LIGHT ? WEFT__HOG | WEFT__HEAVY : WEFT__HOG);
    weft__flag_clear(t, WEFT__LANE);
}

void weft__lane_returned(const weft__worker *w)
{
    if (weft__hogs_known())
        pass_on(w);
}

/* Moves tasks that are no longer new to the others, in order of arrival. Caller holds the lock. */
static void lane_age(void)
{
    weft__check_holds(&lane.lock);
    struct queue aged = {NULL, NULL};
    weft__task *t;

    while ((t = unlink_first(&lane.older)) != NULL)
        link_first(&aged, t);
    while ((t = unlink_first(&aged)) != NULL)
        link_last(&lane.heavy, t);
    lane.older = lane.fresh;
    lane.fresh = (struct queue){NULL, NULL};
}

/* Returns how many hogs seem to make no call at all. */
static uint32_t count_sunk(int64_t now)
{
    uint32_t n = 0;

    if (weft__load(&weft__sched.nhogs) == 0)
        return 0;
    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    for (weft__worker *w = weft__sched.all; w; w = w->all) {
        int64_t since = weft__load(&w->hog_since);

        n += since != 0 && now - since > SUNK;
    }
    weft__unlock(&weft__sched.lock);
    return n;
}

void weft__lane_tend(int64_t now)
{
    if (now - lane.counted >= SUNK / 10) {
        lane.counted = now;
        weft__store(&lane.sunk, count_sunk(now));
    }
    if (now - lane.faded >= SECOND) {
        lane.faded = now;
        sites_fade();
    }
    weft__lock(&lane.lock, WEFT__RANK_OBJECT);
    if (now - lane.aged >= AGED) {
        lane.aged = now;
        lane_age();
    }
    lane_move();
    weft__unlock(&lane.lock);
}

/* Waiting for a thread ------------------------------------------------------------------------- */

static bool is_tame(const weft__task *t)
{
    return (t->flags & WEFT__STARTED) && !(t->flags & WEFT__SAT);
}

/* Returns whether t must not run now, since its processor might get stuck. */
static bool must_wait(const weft__task *t)
{
    return weft__threads_short() && t->pins == 0 && sits(t->fn) &&
           !(is_tame(t) && weft__load(&weft__sched.nspares) > 0);
}

static bool asks_for_thread(const weft__task *t)
{
    return !(t->flags & WEFT__PASSED) && must_wait(t);
}

/* Returns true if t may run, else queues it. Checks the shortage under the lock: the thread that
 * ends the shortage looks for held tasks after that. */
static bool held_admit(weft__task *t)
{
    bool admitted;

    weft__lock(&held.lock, WEFT__RANK_OBJECT);
    admitted = !must_wait(t);
    if (!admitted) {
        link_last(is_tame(t) ? &held.tame : &held.tasks, t);
        note_wait(t, WEFT__WAIT_THREAD);
        weft__store_seq(&held.n, held.n + 1);
    }
    weft__unlock(&held.lock);
    if (!admitted)
        weft__supply_missed();
    return admitted;
}

void weft__held_wait(weft__task *t)
{
    weft__waiter wt;

    weft__supply_missed();
    weft__lock(&held.lock, WEFT__RANK_OBJECT);
    while (weft__threads_short()) {
        weft__waiter_init(&wt, t);
        weft__waitq_push(&held.calls, &wt);
        weft__store_seq(&held.n, held.n + 1);
        weft__park_unlock(t, WEFT__WAIT_THREAD, NULL, &held.lock, WEFT_FOREVER);
        weft__lock(&held.lock, WEFT__RANK_OBJECT);
    }
    weft__unlock(&held.lock);
}

/* Releases one held task. Returns false if there is none. */
static bool release_one(void)
{
    weft__waiter *wt = NULL;
    weft__task *t = NULL;

    weft__lock(&held.lock, WEFT__RANK_OBJECT);
    if (held.calls_next || (!held.tasks.head && !held.tame.head))
        wt = weft__waitq_claim(&held.calls, 0);
    if (!wt && !(t = pop(&held.tasks)))
        t = pop(&held.tame);
    held.calls_next = !wt;
    if (wt || t)
        weft__store_seq(&held.n, held.n - 1);
    if (t)
        weft__flag_set(t, WEFT__PASSED);
    weft__unlock(&held.lock);
    if (wt)
        weft__ready_by(NULL, wt->task); /* the caller's worker may own no processor yet */
    run(t);
    return wt || t;
}

void weft__held_release(int64_t n)
{
    while (n-- > 0 && release_one())
        ;
}

/* Takes the tasks of fn, or all if fn is NULL, out of q and appends them to out. Caller holds the
 * lock. */
static void take_all_of(struct queue *q, weft_task_fn *fn, struct queue *out)
{
    weft__check_holds(&held.lock);
    struct queue stay = {NULL, NULL};
    weft__task *t;

    while ((t = unlink_first(q)) != NULL) {
        bool goes = !fn || t->fn == fn;

        link_last(goes ? out : &stay, t);
        if (goes)
            weft__store_seq(&held.n, held.n - 1);
    }
    *q = stay;
}

static void run_all(struct queue *q)
{
    weft__task *t;

    while ((t = pop(q)) != NULL)
        run(t);
}

/* Releases the held tasks of fn, since no task of it sits in a call any more. */
static void release_all_of(weft_task_fn *fn)
{
    struct queue go = {NULL, NULL};

    weft__lock(&held.lock, WEFT__RANK_OBJECT);
    take_all_of(&held.tasks, fn, &go);
    take_all_of(&held.tame, fn, &go);
    weft__unlock(&held.lock);
    run_all(&go);
}

void weft__held_retry(void)
{
    struct queue go = {NULL, NULL};

    weft__lock(&held.lock, WEFT__RANK_OBJECT);
    take_all_of(&held.tame, NULL, &go);
    weft__unlock(&held.lock);
    run_all(&go);
}

void weft__site_returned(weft_task_fn *fn)
{
    struct site *s = site_of(fn, false);

    if (s && weft__sub(&s->sitting, 1) == 1 && weft__held_count() > 0)
        release_all_of(fn);
}

uint32_t weft__held_count(void)
{
    return weft__load_seq(&held.n);
}

/* The gate ------------------------------------------------------------------------------------- */

bool weft__gate_asks(const weft__task *t)
{
    return asks_for_lane(t) || asks_for_thread(t);
}

bool weft__gate_admit(weft__task *t)
{
    if (asks_for_thread(t) && !held_admit(t))
        return false;
    weft__flag_clear(t, WEFT__PASSED);
    return !asks_for_lane(t) || weft__lane_admit(t);
}

void weft__gate_set(bool threads_are_short)
{
    if (threads_are_short)
        weft__or(&weft__gates, WEFT__GATE_SHORT);
    else
        weft__and(&weft__gates, ~WEFT__GATE_SHORT);
}

void weft__lane_clear(void)
{
    weft__lock(&lane.lock, WEFT__RANK_OBJECT);
    lane.fresh = lane.older = lane.light = lane.heavy = (struct queue){NULL, NULL};
    weft__store(&lane.running, 0);
    weft__store(&lane.sunk, 0);
    weft__unlock(&lane.lock);
    weft__lock(&held.lock, WEFT__RANK_OBJECT);
    held.tasks = held.tame = (struct queue){NULL, NULL};
    held.calls = (weft__waitq){NULL, NULL};
    weft__store(&held.n, 0);
    weft__unlock(&held.lock);
    weft__gate_set(false);
    for (unsigned i = 0; i < SITES; i++) /* the end of a run leaves tasks in their calls */
        weft__store(&sites[i].sitting, 0);
}
