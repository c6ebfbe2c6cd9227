/* SPDX-License-Identifier: MIT */
/* unwind_shapes.h - functions with frames of every kind, that call each other by a random plan. */
#ifndef UNWIND_SHAPES_H
#define UNWIND_SHAPES_H

#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* A plan for one stack: `left` more frames of these functions, then nofp_park. */
struct plan {
    uint64_t random;
    int left;
    unsigned kinds;        /* shapes to choose from: the first `kinds` of the list */
    ucontext_t *from, *to; /* the bottom parks by a switch between these */
    void (*before_switch)(void *fiber);
    void *fiber;
    volatile unsigned sink;
};

uint32_t plan_next(struct plan *p);
void plan_go_on(struct plan *p); /* the next shape, or the bottom */

/* unwind_nofp.c, compiled without frame pointers. */
void nofp_park(struct plan *p);
void nofp_small(struct plan *p);
void nofp_pushes(struct plan *p);
void nofp_big(struct plan *p);
void nofp_alloca(struct plan *p);
void nofp_realigned(struct plan *p);
void nofp_chain(struct plan *p, int n); /* n frames that need the stack pointer only */

#endif
