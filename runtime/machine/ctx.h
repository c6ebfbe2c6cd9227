/* SPDX-License-Identifier: MIT */
/* ctx.h - contexts: a stack and, while the context does not run, its saved stack pointer.
 *
 * A switch saves the registers that the ABI lets a callee change on the stack that it leaves, and
 * loads those of the stack that it enters. ctx_x86_64.S does that; ctx.c wraps it where a sanitizer
 * must know of every switch.
 *
 * Only the thread that runs a context may switch away from it. The thread that switches to a
 * context must own it: no other thread runs it, and the thread that ran it last has left its stack
 * (on_cpu in sched/ says so). Nothing here takes a lock; the owner of a context may call with locks
 * held. Walkers of other threads read lo, hi and sp while no such rule protects them, so those are
 * stored atomically. */
#ifndef WEFT_CTX_H
#define WEFT_CTX_H

#include "runtime/base/base.h"
#include "runtime/base/self.h"

typedef struct weft__ctx {
    void *sp;         /* valid while the context does not run; atomic for walkers */
    uintptr_t lo, hi; /* the stack, for walkers and sanitizers; 0 for a thread's own */
#if defined(WEFT__ASAN)
    void *fake; /* ASan's stack of locals that outlive their function */
#elif defined(WEFT__TSAN)
    void *fiber; /* TSan's record of what this context has synchronised with */
#endif
} weft__ctx;

/* Offsets of the registers at a saved sp, in words. Walkers start from them; ctx_x86_64.S has the
 * drawing. */
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

/* Says if the program has a sanitizer that the library was built without, and does not know of its
 * switches. Ends the program if that is TSan, which dies at the first switch. */
void weft__ctx_init(void);
/* Prepares ctx so that the first switch to it calls first, which never returns, on the stack
 * [lo, hi). The top `color` bytes stay unused: tasks with different colors use different cache sets
 * for their first frames. id is the task's. */
void weft__ctx_make(weft__ctx *ctx, uintptr_t lo, uintptr_t hi, size_t color, uint64_t id,
                    void (*first)(void));

/* The outermost words of a task's stack, above its frames. They let the report of a fault name the
 * task of a stack even if the fault has overwritten the task's record. */
struct weft__ctx_mark {
    uint64_t id;
    uint64_t check; /* weft__ctx_check(id, address of the mark), so a copy elsewhere is no mark */
};

static inline uint64_t weft__ctx_check(uint64_t id, uintptr_t at)
{
    return ~(id * UINT64_C(0x9e3779b97f4a7c15) ^ at);
}

/* Makes ctx the context of the calling thread's own stack. */
void weft__ctx_thread(weft__ctx *ctx);
/* Ends a context that no thread will switch to again. Its stack may then be reused or unmapped. */
void weft__ctx_drop(weft__ctx *ctx);

/* The assembly. Only weft__ctx_switch calls it, so that no switch passes the sanitizers by. */
void weft__ctx_jump(void **save_sp, void *to_sp);
/* Leaves `from`, which is running, and runs `to`. Returns when a thread, perhaps another one,
 * switches back to `from`. With last, `from` never runs again, and ASan frees its fake stack. */
#if defined(WEFT__ASAN) || defined(WEFT__TSAN)
void weft__ctx_switch(weft__ctx *from, weft__ctx *to, bool last);
#else
static inline void weft__ctx_switch(weft__ctx *from, weft__ctx *to, bool last)
{
    (void)last;
    weft__ctx_jump(&from->sp, to->sp);
}
#endif
/* Calls fn(arg) on the caller's stack. *save_sp has the caller's saved context while fn runs, so
 * other threads can walk the stack from there, as if the caller had switched away. */
void weft__ctx_call(void **save_sp, void (*fn)(void *arg), void *arg);
extern char weft__ctx_entry[];                /* the outermost frame of every task's stack */
extern char weft__ctx_entry_end[];            /* behind its last instruction */
#define WEFT__CTX_START (weft__ctx_entry + 1) /* its return address, behind the nop */
/* Returns the program counter at which a signal interrupted the thread. async-signal-safe */
uintptr_t weft__ctx_pc(const void *ucontext);
/* Returns the calling thread's worker (base/self.h), or NULL. Never keep the result over anything
 * that can switch. One statement of assembly reads both the thread pointer and the word behind it.
 * A compiler does not split the statement, merge it with an earlier one or move it over a call;
 * self.c says why it must not. */
static inline struct weft__worker *weft__self(void)
{
#ifdef __x86_64__
    struct weft__worker *self;

    __asm__ volatile("movq weft__self_tls@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0"
                     : "=r"(self)
                     :
                     : "memory");
    return self;
#else
    return weft__self_called();
#endif
}
/* Tells ASan that the switch to a fresh stack is complete. The first function on the stack calls it
 * first, since a fresh stack does not return from weft__ctx_switch. */
void weft__ctx_started(weft__ctx *self);

#endif
