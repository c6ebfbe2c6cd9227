/* SPDX-License-Identifier: MIT */
/* ctx.h - contexts: a stack and, while it does not run, where it stands. ctx.c is the only caller
 * of the assembly and tells the sanitizers and Valgrind of every switch. */
#ifndef WEFT_CTX_H
#define WEFT_CTX_H

#include "runtime/base/base.h"
#include "runtime/base/self.h"

typedef struct weft__ctx {
    void *sp;         /* valid while the context does not run */
    uintptr_t lo, hi; /* the stack, for walkers and sanitizers; 0 for a thread's own */
#if defined(WEFT__ASAN)
    void *fake;
#elif defined(WEFT__TSAN)
    void *fiber;
#endif
} weft__ctx;

/* Offsets of the registers at a saved sp; ctx_x86_64.S has the drawing. */
enum {
    WEFT__CTX_R15 = 0,
    WEFT__CTX_R14 = 1,
    WEFT__CTX_R13 = 2,
    WEFT__CTX_R12 = 3,
    WEFT__CTX_BX = 4,
    WEFT__CTX_BP = 5,
    WEFT__CTX_PC = 6,
    WEFT__CTX_WORDS = 7,
};

/* Makes ctx start in weft__task_main on the stack [lo, hi), less color bytes at its top. id is the
 * task's. */
void weft__ctx_make(weft__ctx *ctx, uintptr_t lo, uintptr_t hi, size_t color, uint64_t id);

/* The outermost words of a task's stack, above its frames: so a fault's report tells which task's
 * stack it is though the task's record was overwritten. */
struct weft__ctx_mark {
    uint64_t id;
    uint64_t check; /* weft__ctx_check of the id, and of where the mark is: a copy is none */
};

static inline uint64_t weft__ctx_check(uint64_t id, uintptr_t at)
{
    return ~(id * UINT64_C(0x9e3779b97f4a7c15) ^ at);
}

/* A context for the calling thread's own stack. */
void weft__ctx_thread(weft__ctx *ctx);
void weft__ctx_drop(weft__ctx *ctx); /* of a context that runs no more */

void weft__ctx_jump(void **save_sp, void *to_sp); /* the assembly; for the one below only */
/* Runs to from here on; returns when something switches back to from. last: from never runs again.
 */
#if defined(WEFT__ASAN) || defined(WEFT__TSAN)
void weft__ctx_switch(weft__ctx *from, weft__ctx *to, bool last);
#else
static inline void weft__ctx_switch(weft__ctx *from, weft__ctx *to, bool last)
{
    (void)last;
    weft__ctx_jump(&from->sp, to->sp);
}
#endif
/* Calls fn(arg) on the caller's stack with the caller's context in *save_sp meanwhile. */
void weft__ctx_call(void **save_sp, void (*fn)(void *arg), void *arg);
extern char weft__ctx_entry[];                /* the outermost frame of every task's stack */
#define WEFT__CTX_START (weft__ctx_entry + 1) /* behind the nop: its return address */
uintptr_t weft__ctx_pc(const void *ucontext); /* where a signal found the thread */
/* Returns the worker that weft__self_set stored for the calling thread. The thread pointer and the
 * word found by it are read in one statement, which no compiler takes apart, merges with an earlier
 * one or moves over a call. */
static inline void *weft__ctx_self(void)
{
#ifdef __x86_64__
    void *self;

    __asm__ volatile("movq weft__self_tls@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0"
                     : "=r"(self)
                     :
                     : "memory");
    return self;
#else
    return weft__self_called();
#endif
}
/* The first thing on a fresh stack. */
void weft__ctx_started(weft__ctx *self);

/* Where a fresh context starts; task.c. */
void weft__task_main(void) WEFT__NORETURN;

#endif
