/* SPDX-License-Identifier: MIT */
/* blocking.c - declared blocking calls, and tasks tied to their thread.
 *
 * Owns: the counts of calls that lasted, by place. They are atomic; there is no lock. Tasks call
 * the public functions; the runtime calls weft__blocking_try for calls of its own.
 *
 * A declaration leaves a note in the worker, and leaves the runtime. The monitor takes the
 * processor if the call lasts for 0.1 ms. The end of a quicker call finds its processor and
 * continues with it. So a short call costs two entries and no hand-off: 47 to 65 ns for both ends,
 * not the 17 us of a hand-off.
 *
 * If calls of a place in the program are known to last, the processor goes to another thread at
 * once. `lasted` has a count for each place: a call that lasts raises it, a quick one lowers it.
 *
 * A task of the program has WEFT__CALLING between the two ends of its declaration. The runtime's
 * own declarations (weft__blocking_try) lack it: any call of the library may end those. */
#include "runtime/sched/lane.h"
#include "runtime/sched/park.h"
#include "runtime/sched/sinks.h"
#include "runtime/sched/spare.h"

/* The places that are told apart; the count from which on a place's calls are known to last; the
 * largest count, so that a place can be forgotten. */
enum { PLACES = 256, KNOWN = 4, MOST = 8 };

static uint32_t lasted[PLACES]; /* atomic; calls that end at the same time may lose a count */

/* Changes the count of a place. */
static void count(uint32_t place, int by)
{
    int now = (int)weft__load(&lasted[place]) + by;

    weft__store(&lasted[place], (uint32_t)(now < 0 ? 0 : now > MOST ? MOST : now));
}

void weft__call_lasts(const weft__worker *w)
{
    count(weft__load(&w->call_place), 2);
}

/* Gives the processor of w, whose task is in the runtime, to another thread. */
static void hand_over(weft__worker *w)
{
    weft__worker *spare = weft__spare_get(NULL);
    weft__proc *p = w->p;

    if (!spare)
        return;
    weft__spare_ahead(NULL);
    weft__lock(&w->lk, WEFT__RANK_RUNQ);
    w->lost = WEFT__DECLARED;
    weft__store(&w->p, NULL);
    weft__store(&w->take, 1);
    weft__unlock(&w->lk);
    weft__store(&w->lost_since, weft__ticks());
    weft__add(&weft__sched.nlost, 1);
    weft__add(&weft__sched.taken, 1);
    weft__lane_lost(w->task, false);
    weft__task_move(w->task, WEFT__RUNNING, WEFT__LOST);
    weft__tell(lost, w->task, w, WEFT__DECLARED);
    weft__proc_give(p, spare);
    weft__supply_check();
}

/* Declares a call of w's task, which is in the runtime. place: an index for the place in the
 * program. */
static void declare(weft__worker *w, uintptr_t place)
{
    int64_t now = weft__ticks();

    weft__store(&w->call_place, (uint32_t)(place * UINT64_C(0x9e3779b97f4a7c15) >> 56) % PLACES);
    weft__store(&w->task->since, now);
    weft__tell(call, w->task);
    weft__store_rel(&w->call_began, now); /* pairs with weft__call_declared */
    if (weft__load(&lasted[w->call_place]) >= KNOWN)
        hand_over(w);
    weft__store_rel(&w->in_rt, 0);
}

static void begin(uintptr_t place)
{
    weft__worker *w = weft__enter("weft_blocking_begin");
    weft__task *t = w->task;

    if (weft__unlikely(t->flags & WEFT__CALLING))
        weft__in_a_call("weft_blocking_begin");
    if (weft__unlikely(w->foreign)) {
        weft__exit_as(t);
        return;
    }
    if (weft__unlikely(weft__threads_short() && t->pins == 0)) /* a pinned task has its thread */
        weft__held_wait(t);
    weft__flag_set(t, WEFT__CALLING);
    if (weft__likely(weft__sched.handoff))
        declare(t->worker, place);
    else
        weft__exit_as(t);
}

void weft_blocking_begin(void)
{
    begin((uintptr_t)__builtin_return_address(0));
}

bool weft__blocking_try(void)
{
    weft__worker *w = weft__enter("weft_blocking_begin");
    bool may = !w->foreign && weft__sched.handoff && !weft__threads_short();

    if (may)
        declare(w, (uintptr_t)__builtin_return_address(0));
    else
        weft__exit_as(w->task);
    return may;
}

/* Notes the end of a declared call, on the worker w that made it, with or without a processor. */
static void call_ended(weft__worker *w)
{
    uint32_t place = weft__load(&w->call_place);
    bool is_short = weft__ticks() - weft__load(&w->task->since) < weft__load(&weft__clock_ms) / 5;

    weft__store(&w->call_began, 0);
    if (!is_short || weft__load(&lasted[place]) > 0)
        count(place, is_short ? -1 : 1);
}

void weft__blocking_back(void)
{
    weft__worker *w = weft__self();

    if (weft__likely(w && w->task && weft__call_declared(w, w->task)))
        call_ended(w);
    w = weft__enter("weft_blocking_end"); /* queues for a processor if its own was taken */
    weft__tell(called, w->task);
    weft__exit();
}

void weft_blocking_end(void)
{
    const weft__worker *w = weft__self();

    if (weft__likely(w && !w->foreign)) {
        if (weft__unlikely(!(w->task->flags & WEFT__CALLING)))
            weft__panic("weft: weft_blocking_end without weft_blocking_begin");
        weft__flag_clear(w->task, WEFT__CALLING);
    }
    weft__blocking_back();
}

void weft_blocking(weft_task_fn *fn, void *arg)
{
    begin((uintptr_t)fn);
    fn(arg);
    weft_blocking_end();
}

void weft_pin(void)
{
    weft__worker *w = weft__enter("weft_pin");
    weft__task *t = w->task;

    if (t->pins == UINT8_MAX)
        weft__panic("weft: weft_pin called %d times without weft_unpin", UINT8_MAX);
    weft__store(&t->pins, (uint8_t)(t->pins + 1));
    if (t->pins == 1 && !w->foreign)
        weft__store(&w->pinned, t);
    weft__exit();
}

void weft_unpin(void)
{
    weft__worker *w = weft__enter("weft_unpin");
    weft__task *t = w->task;

    if (t->pins == 0)
        weft__panic("weft: weft_unpin without weft_pin");
    weft__store(&t->pins, (uint8_t)(t->pins - 1));
    if (t->pins == 0 && !w->foreign)
        weft__store(&w->pinned, NULL);
    weft__exit();
}
