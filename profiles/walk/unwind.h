/* SPDX-License-Identifier: MIT */
/* unwind.h - walks a stack that stands still by rules learned once per PC from the CFI.
 *
 * A rule tells, for one PC, where the caller's frame begins (the CFA) and where the registers
 * that matter were saved. Rules are learned by the symbolizer thread (symbolize.c) from the
 * modules' .eh_frame; once learned, a frame costs a few nanoseconds. */
#ifndef WEFT_UNWIND_H
#define WEFT_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* The registers that a walk starts from. A parked task has them all; a PC and SP read from
 * /proc/PID/task/TID/syscall come with the rest unknown (known = false). */
struct weft__regs {
    uintptr_t pc, sp, bp, bx, r12, r13, r14, r15;
    bool known; /* bp, bx, r12..r15 are valid */
    bool exact; /* a signal came at pc; else it is a return address */
    bool guess; /* the registers are not the thread's for sure, and so all callers are guesses */
};

/* Those of a context that a signal or getcontext saved. async-signal-safe; x86-64's names. */
static inline struct weft__regs weft__regs_of(const ucontext_t *uc)
{
    const greg_t *g = uc->uc_mcontext.gregs;

    return (struct weft__regs){.pc = (uintptr_t)g[REG_RIP],
                               .sp = (uintptr_t)g[REG_RSP],
                               .bp = (uintptr_t)g[REG_RBP],
                               .bx = (uintptr_t)g[REG_RBX],
                               .r12 = (uintptr_t)g[REG_R12],
                               .r13 = (uintptr_t)g[REG_R13],
                               .r14 = (uintptr_t)g[REG_R14],
                               .r15 = (uintptr_t)g[REG_R15],
                               .known = true};
}

/* Rules find registers in the red zone below SP, too: at a function's end, where they were popped a
 * moment ago. A copy of a stack begins so many bytes below SP. */
enum { WEFT__RED_ZONE = 128 };

enum {
    WEFT__WALK_INNER = 256,     /* frames kept of one stack: so many innermost */
    WEFT__WALK_OUTER = 256 + 2, /* and outermost; the last two are the entry's, which go */
    WEFT__WALK_KEEP = WEFT__WALK_INNER + WEFT__WALK_OUTER,
    WEFT__WALK_ROOM = WEFT__WALK_KEEP + 8, /* and marks (marks.h), and what a sample adds */
};

/* A finished walk. pcs[0] is the PC the walk began with, the others are return addresses. Where a
 * signal came, one more than the PC stands: so less one is in the right function everywhere.
 * depth counts every frame; when depth > WEFT__WALK_KEEP, pcs holds the innermost
 * WEFT__WALK_INNER frames followed by the outermost WEFT__WALK_OUTER. */
struct weft__walk {
    uint32_t depth;
    uint32_t kept;    /* min(depth, WEFT__WALK_KEEP); weft__walk_close adds marks */
    bool whole;       /* the walk reached the stack's end; else it stopped before */
    uint32_t guessed; /* frames from this one on are guesses; UINT32_MAX: none is */
    bool missed; /* it stopped because a rule was not yet learned (only when may_learn is false) */
    struct weft__regs at; /* the registers of the frame where it stopped, to go on from */
    uint8_t at_known;     /* which of them are valid, when at.known is false; private */
    bool at_exact;        /* at.pc is no return address; private */
    uintptr_t pcs[WEFT__WALK_ROOM];
};

/* A stack that is known. */
static inline void weft__walk_set(struct weft__walk *w, const uintptr_t *pcs, size_t n)
{
    w->kept = w->depth = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        w->pcs[i] = pcs[i];
}

/* Walks from regs through the memory [lo, hi), which is the stack, or a copy of it that stands at
 * image (image == (void *)lo for the stack itself); lo and image are multiples of 8. Never reads
 * outside [lo, hi): garbage in ends the walk. The memory may change meanwhile (the caller then
 * throws the result away).
 * may_learn: on an unknown PC ask the symbolizer thread for its rule and wait; the calling thread
 * may hold no lock that the symbolizer needs. If the stack's end is not reached, look whether files
 * were unloaded, and if rules were forgotten, walk once more. Without it async-signal-safe. */
void weft__walk(struct weft__walk *out, const struct weft__regs *regs, uintptr_t lo, uintptr_t hi,
                const void *image, bool may_learn);

/* Walks the stack of the thread that faults. The stack may be in any state, and the thread may hold
 * any lock: rules that were not learned are read where they are mapped. After a call to an address
 * without code the walk goes on with the caller. may_guess: where the walk would end, it tries
 * frame pointers, then searches for return addresses. async-signal-safe. */
void weft__walk_fault(struct weft__walk *out, const struct weft__regs *regs, uintptr_t lo,
                      uintptr_t hi, const void *image, bool may_guess);

/* Returns whether addr is in code, behind a call instruction. async-signal-safe */
bool weft__is_return(uintptr_t addr);

/* Goes on with a walk that missed, with learning allowed, over the same memory or a copy of it. */
void weft__walk_resume(struct weft__walk *out, uintptr_t lo, uintptr_t hi, const void *image);

/* Prefetches the memory of [sp, hi) that a walk reads first. A caller that walks many stacks does
 * this WEFT__WALK_AHEAD walks before. */
enum { WEFT__WALK_AHEAD = 8 };
static inline void weft__walk_ahead(uintptr_t sp, uintptr_t hi)
{
    for (int line = 0; line < 12 && sp < hi; line++, sp += 64)
        __builtin_prefetch((const void *)sp);
}

/* Forgets every rule in [lo, hi). For tests: what is unloaded is noticed. */
void weft__unwind_forget(uintptr_t lo, uintptr_t hi);

#endif
