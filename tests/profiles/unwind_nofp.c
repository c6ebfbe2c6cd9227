/* SPDX-License-Identifier: MIT */
/* unwind_nofp.c - shapes that are compiled with -O2 -fomit-frame-pointer in every build. */
#include <alloca.h>
#include <string.h>

#include "unwind_shapes.h"

__attribute__((noinline)) void nofp_park(struct plan *p)
{
    p->before_switch(p->fiber);
    swapcontext(p->from, p->to);
    p->sink++;
}

__attribute__((noinline)) void nofp_small(struct plan *p)
{
    plan_go_on(p);
    p->sink++;
}

__attribute__((noinline)) void nofp_pushes(struct plan *p)
{
    unsigned a = plan_next(p), b = plan_next(p), c = plan_next(p), d = plan_next(p);
    unsigned e = plan_next(p), f = plan_next(p);

    plan_go_on(p);
    p->sink += a * b + c * d + e * f;
}

__attribute__((noinline)) void nofp_big(struct plan *p)
{
    volatile char big[3000];

    big[plan_next(p) % sizeof big] = 1;
    plan_go_on(p);
    big[plan_next(p) % sizeof big] = 1;
}

__attribute__((noinline)) void nofp_alloca(struct plan *p)
{
    size_t n = 16 + plan_next(p) % 700;
    volatile char *room = alloca(n);

    room[n - 1] = 1;
    plan_go_on(p);
    room[0] = 1;
}

/* The locals need 64 bytes of alignment, so gcc counts the CFA from a saved word. */
__attribute__((noinline)) void nofp_realigned(struct plan *p)
{
    _Alignas(64) volatile char line[64];
    size_t n = 16 + plan_next(p) % 100;
    volatile char *room = alloca(n);

    line[plan_next(p) % sizeof line] = 1;
    room[n - 1] = 1;
    plan_go_on(p);
    line[plan_next(p) % sizeof line] = 1;
}

__attribute__((noinline)) void nofp_chain(struct plan *p, int n)
{
    if (n > 0)
        nofp_chain(p, n - 1);
    else
        nofp_park(p);
    p->sink++;
}
