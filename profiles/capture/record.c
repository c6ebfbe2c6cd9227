/* SPDX-License-Identifier: MIT */
/* record.c - fills in and publishes the record of one task in a snapshot that is being made.
 *
 * Owns nothing. Called by the dumper, and by a worker for the task that it resumes or leaves. See
 * capture.h; the head of tasks.c has the protocol. */
#include "profiles/capture/capture.h"

#include "profiles/capture/running.h"
#include "runtime/sched/scheduler.h"

#include <string.h>

void weft__capture_describe(struct weft__record *r, weft__task *t)
{
    memset(r, 0, sizeof(*r));
    r->id = weft__load(&t->id);
    r->creator = weft__load(&t->creator);
    r->creator_pc = weft__load(&t->creator_pc);
    if (weft__load(&t->pins) || (weft__load(&t->flags) & WEFT__FOREIGN))
        r->flags |= WEFT__REC_LOCKED;
    if (weft__load(&t->flags) & WEFT__FOREIGN_CREATOR)
        r->flags |= WEFT__REC_FOREIGN_CREATOR;
}

static void describe_wait(struct weft__record *r, const weft__task *t)
{
    r->state = WEFT__REC_WAITING;
    r->reason = weft__load(&t->reason);
    r->since = weft__ticks_to_nanos(weft__load(&t->since));
    if (!(weft__wait_flags(r->reason) & WEFT__WAIT_SCHED))
        r->object = weft__load(&t->object);
}

void weft__capture_describe_resting(struct weft__record *r, weft__task *t, uint32_t state,
                                    uint32_t epoch)
{
    weft__capture_describe(r, t);
    if (state == WEFT__PARKED || weft__load(&t->ready_epoch) == epoch ||
        (weft__wait_flags(weft__load(&t->reason)) & WEFT__WAIT_SCHED))
        describe_wait(r, t);
    else
        r->state = WEFT__REC_RUNNABLE;
    if (!(weft__load(&t->flags) & (WEFT__STARTED | WEFT__FOREIGN)))
        r->flags |= WEFT__REC_UNSTARTED;
}

void weft__capture_walk_resting(struct weft__walk *walk, const struct weft__record *r,
                                const weft__task *t)
{
    if (r->flags & WEFT__REC_UNSTARTED) {
        walk->kept = walk->depth = 1;
        walk->pcs[0] = (uintptr_t)weft__load(&t->fn);
    } else {
        weft__walk_saved(walk, t);
    }
}

bool weft__capture_move(weft__task *t, uint32_t old, uint32_t epoch)
{
    return old < 2 * epoch && weft__cas(&t->snap, &old, 2 * epoch);
}

void weft__capture_publish(struct capture *c, uint32_t slot, struct weft__record *r,
                           const struct weft__walk *walk)
{
    struct weft__record *to;

    if (slot >= c->cap) {
        weft__tags_drop(r->tags);
        return;
    }
    if (weft__unlikely(r->tags != NULL))
        weft__store(&c->tagged, true);
    to = &c->s.records[slot];
    if (walk->kept > 0)
        r->stack = weft__stacktab_intern(c->s.stacks, walk);
    else
        r->flags |= WEFT__REC_NO_STACK;
    memcpy(to, r, offsetof(struct weft__record, state)); /* the dumper reads state meanwhile */
    to->reason = r->reason;
    to->flags = r->flags;
    weft__store_rel(&to->state, r->state);
}

bool weft__capture_slot(struct capture *c, uint32_t slot)
{
    weft__task *t = weft__tasks_at(slot);
    uint32_t snap = weft__load_acq(&t->snap), state = weft__load_acq(&t->state);
    uint64_t ticket = weft__load_acq(&t->ticket);
    struct weft__record r;
    struct weft__walk walk;

    if (snap >= 2 * c->epoch)
        return snap != 2 * c->epoch || weft__load_acq(&c->s.records[slot].state);
    if (state == WEFT__IDLE || state == WEFT__DEAD)
        return true;
    if ((state != WEFT__PARKED && state != WEFT__RUNNABLE) || weft__load_acq(&t->on_cpu))
        return false;
    weft__capture_describe_resting(&r, t, state, c->epoch);
    weft__capture_walk_resting(&walk, &r, t);
    r.tags = weft__tags_of(t);
    if (!weft__capture_move(t, snap, c->epoch)) {
        weft__tags_drop(r.tags);
        return false;
    }
    weft__locks_look(&c->locks, t, ticket, &r);
    weft__capture_publish(c, slot, &r, &walk);
    return true;
}
