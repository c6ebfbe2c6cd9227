/* SPDX-License-Identifier: MIT */
/* scheduler.c - the state that all workers share: which processors sleep, their mail, their owners.
 *
 * Owns: weft__sched. scheduler.h says which lock guards which field, and has the protocol of idle
 * processors. Any thread may call, inside or outside the runtime, with no lock above RUNQ held,
 * except where scheduler.h says "owner". */
#include "runtime/sched/scheduler.h"

struct weft__sched weft__sched;
uint32_t weft__run_number;

void weft__proc_wake(weft__proc *p)
{
    weft__loop_wake(p->loop);
}

/* The count follows the bit, and the thread that cleared the bit may be delayed in between while
 * the owner runs on. So only the bits tell which processors sleep; the count is an upper bound. */
bool weft__idle_leave(uint32_t index)
{
    uint64_t bit = UINT64_C(1) << (index % 64);

    weft__add_seq(&weft__sched.idle_gen, 1);
    if (!(weft__and(&weft__sched.idle[index / 64], ~bit) & bit))
        return false;
    weft__sub(&weft__sched.nidle, 1);
    return true;
}

void weft__idle_join(uint32_t index)
{
    weft__add(&weft__sched.nidle, 1);
    weft__or(&weft__sched.idle[index / 64], UINT64_C(1) << (index % 64));
}

bool weft__all_idle(void)
{
    int n = weft__load_seq(&weft__sched.nprocs), idle = 0;

    if (weft__load_seq(&weft__sched.nidle) < (uint32_t)n)
        return false;
    for (int i = 0; i < n; i += 64)
        idle += __builtin_popcountll(weft__load_seq(&weft__sched.idle[i / 64]));
    return idle == n;
}

/* The lowest go first, so those that rest come last, and end the search. */
void weft__wake_one(void)
{
    int n;

    weft__fence_light();
    if (weft__load(&weft__sched.nidle) == 0 || weft__load(&weft__sched.nspinning) > 0)
        return;
    n = weft__load(&weft__sched.active);
    for (int i = 0; i < n; i += 64) {
        uint64_t idle = weft__load(&weft__sched.idle[i / 64]);

        while (idle) {
            uint32_t index = (uint32_t)(i + __builtin_ctzll(idle));

            if (index >= (uint32_t)n)
                return;
            if (weft__idle_leave(index)) {
                weft__proc_wake(&weft__sched.procs[index]);
                return;
            }
            idle &= idle - 1;
        }
    }
}

void weft__proc_post(weft__proc *p, weft__mail *m)
{
    weft__lock(&p->mail_lock, WEFT__RANK_RUNQ);
    m->next = p->mail;
    weft__store(&p->mail, m);
    weft__unlock(&p->mail_lock);
    weft__fence_full(); /* uv_async_send looks at its flag with a relaxed load first */
    weft__proc_wake(p);
}

bool weft__proc_unpost(weft__proc *p, const weft__mail *m)
{
    weft__mail *at, *before = NULL;

    weft__lock(&p->mail_lock, WEFT__RANK_RUNQ);
    for (at = p->mail; at && at != m; at = at->next)
        before = at;
    if (at && before)
        before->next = at->next;
    else if (at)
        weft__store(&p->mail, at->next);
    weft__unlock(&p->mail_lock);
    return at != NULL;
}

void weft__proc_deliver(weft__proc *p)
{
    weft__mail *m, *next, *ordered = NULL;

    if (weft__likely(!weft__load(&p->mail)))
        return;
    weft__lock(&p->mail_lock, WEFT__RANK_RUNQ);
    m = p->mail;
    weft__store(&p->mail, NULL);
    weft__unlock(&p->mail_lock);
    for (; m; m = next) {
        next = m->next;
        m->next = ordered;
        ordered = m;
    }
    for (m = ordered; m; m = next) {
        next = m->next;
        m->deliver(p, m);
    }
}

void weft__proc_give(weft__proc *p, weft__worker *w)
{
    weft__store_rel(&p->owner, w);
    weft__lock(&w->lk, WEFT__RANK_RUNQ);
    weft__store_rel(&w->p, p);
    weft__store_rel(&w->wake, 1);
    weft__unlock(&w->lk); /* from here on w may run, end and be freed */
    weft__futex_wake(&w->wake, 1);
}
