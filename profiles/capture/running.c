/* SPDX-License-Identifier: MIT */
/* running.c - see running.h. Owns nothing: it reads the scheduler's list of workers under
 * sched.lock, and the records of tasks without a lock. interrupt.c gets the stacks of tasks that
 * compute. */
#include "profiles/capture/running.h"

#include "profiles/table/marks.h"
#include "runtime/sched/scheduler.h"

#include <stdlib.h>

bool weft__stack_bounds(const weft__task *t, uintptr_t *lo, uintptr_t *hi)
{
    *lo = weft__load_acq(&t->ctx.lo);
    *hi = weft__load_acq(&t->ctx.hi);
    return *lo < *hi && weft__load(&t->ctx.lo) == *lo;
}

static WEFT__NO_SANITIZE void read_regs(struct weft__regs *r, const void *sp)
{
    void *const *words = sp;

    r->r15 = (uintptr_t)words[WEFT__CTX_R15];
    r->r14 = (uintptr_t)words[WEFT__CTX_R14];
    r->r13 = (uintptr_t)words[WEFT__CTX_R13];
    r->r12 = (uintptr_t)words[WEFT__CTX_R12];
    r->bx = (uintptr_t)words[WEFT__CTX_BX];
    r->bp = (uintptr_t)words[WEFT__CTX_BP];
    r->pc = (uintptr_t)words[WEFT__CTX_PC];
    r->sp = (uintptr_t)(words + WEFT__CTX_WORDS);
    r->known = true;
    r->exact = r->guess = false;
}

bool weft__regs_saved(struct weft__regs *r, const void *sp, uintptr_t lo, uintptr_t hi)
{
    uintptr_t at = (uintptr_t)sp;

    if (at < lo || at + WEFT__CTX_WORDS * sizeof(void *) > hi || at % sizeof(void *) != 0)
        return false;
    read_regs(r, sp);
    return true;
}

void weft__walk_saved(struct weft__walk *walk, const weft__task *t)
{
    struct weft__regs regs;
    uintptr_t lo, hi;

    walk->kept = walk->depth = 0;
    if (!weft__stack_bounds(t, &lo, &hi) ||
        !weft__regs_saved(&regs, weft__load(&t->ctx.sp), lo, hi))
        return;
    weft__walk(walk, &regs, lo, hi, (const void *)lo, true);
    weft__walk_close(walk);
}

/* Tasks that threads run ----------------------------------------------------------------------- */

/* Returns runner.since of t. */
static int64_t since_of(const weft__worker *w, const weft__task *t)
{
    int64_t lost = weft__load(&w->lost_since);

    if (weft__call_declared(w, t))
        lost = weft__load(&t->since);
    return lost ? weft__ticks_to_nanos(lost) : 0;
}

/* Lists at most room workers. Returns their number. Caller holds sched.lock. */
static size_t list_runners(struct weft__runner *to, size_t room)
{
    size_t n = 0;

    for (weft__worker *w = weft__sched.all; w && n < room; w = w->all) {
        weft__task *t = weft__load_acq(&w->task);

        to[n++] = (struct weft__runner){t, w->id, weft__load(&w->tid), t ? since_of(w, t) : 0};
    }
    return n;
}

static int compare_runners(const void *va, const void *vb)
{
    const struct weft__runner *a = va, *b = vb;

    return a->task < b->task ? -1 : a->task > b->task;
}

struct weft__runner *weft__runners_read(size_t *n, bool by_task)
{
    size_t room = weft__load(&weft__sched.nthreads) + 16;
    struct weft__runner *all = malloc(room * sizeof(*all));

    *n = 0;
    if (!all)
        return NULL;
    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    *n = list_runners(all, room);
    weft__unlock(&weft__sched.lock);
    if (by_task)
        qsort(all, *n, sizeof(*all), compare_runners);
    return all;
}

const struct weft__runner *weft__runner_find(const struct weft__runner *all, size_t n,
                                             const weft__task *t)
{
    const struct weft__runner key = {.task = (weft__task *)(uintptr_t)t};

    return bsearch(&key, all, n, sizeof(*all), compare_runners);
}

enum weft__syscall weft__runner_in_call(struct weft__walk *walk, const struct weft__runner *r,
                                        int64_t *cpu)
{
    uintptr_t lo = 0, hi = 0;
    enum weft__syscall found;

    weft__stack_bounds(r->task, &lo, &hi);
    found = weft__syscall_walk(walk, r->tid, lo, hi, cpu);
    weft__walk_close(walk);
    return found;
}

bool weft__look_at_runner(struct weft__record *to, struct weft__walk *walk,
                          const struct weft__runner *r, weft__interrupt **ask)
{
    weft__tags *tags = NULL;
    enum weft__syscall found;
    int64_t cpu;

    to->since = r->since;
    if (*ask && weft__interrupt_look(*ask) == WEFT__INTERRUPT_STACK) {
        weft__interrupt_take(*ask, walk, &tags);
        weft__tags_drop(tags);
        return true;
    }
    found = weft__runner_in_call(walk, r, &cpu);
    if (found == WEFT__SYSCALL_SITS ||
        (found == WEFT__SYSCALL_FORBIDDEN && *ask && weft__interrupt_is_idle(*ask))) {
        to->state = WEFT__REC_SYSCALL;
        return true;
    }
    if (*ask && weft__interrupt_look(*ask) == WEFT__INTERRUPT_OTHER) {
        weft__interrupt_end(*ask);
        *ask = NULL;
    }
    if (!*ask)
        *ask = weft__interrupt_begin(r->tid, (struct weft__wanted){.only = r->task});
    return *ask && weft__interrupt_is_vain(*ask);
}
