/* SPDX-License-Identifier: MIT */
/* dying.c - which task dies on a thread, and where its stack is (dying.h). Owns nothing. */
#include "profiles/capture/dying.h"

#include "profiles/walk/unwind.h"

#include <sys/uio.h>
#include <unistd.h>

bool weft__is_on_stack(const weft__task *t, uintptr_t sp)
{
    return t && sp >= t->ctx.lo - weft__stack_guard && sp < t->ctx.hi;
}

/* In the middle of a switch the worker has two tasks; the stack that the code ran on says which one
 * died. */
weft__task *weft__dying_task(const struct weft__death *d)
{
    weft__worker *w = d->distrust ? NULL : weft__self();
    uintptr_t sp;

    if (!w)
        return NULL;
    if (!d->ucontext || w->foreign)
        return w->task;
    sp = weft__regs_of(d->ucontext).sp;
    return !weft__is_on_stack(w->task, sp) && weft__is_on_stack(w->prev, sp) ? w->prev : w->task;
}

static bool is_readable(uintptr_t addr)
{
    char byte;
    struct iovec to = {&byte, 1}, from = {(void *)addr, 1};

    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

uintptr_t weft__fault_lo(const weft__task *t, uintptr_t sp)
{
    return sp < t->ctx.lo && is_readable(sp) ? t->ctx.lo - weft__stack_guard : t->ctx.lo;
}
