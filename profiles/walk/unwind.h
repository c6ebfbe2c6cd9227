/* SPDX-License-Identifier: MIT */
/* unwind.h - walks a stack that stands still: finds the return addresses of its frames.
 *
 * A rule says, for one PC, where the caller's frame begins (the CFA) and where the registers that
 * matter were saved. The symbolizer thread (symbolize.c) learns all rules of each loaded file, from
 * its .eh_frame, as rows (rows.h). A walk that may learn copies the rules that it uses to a table
 * by PC (ruletable.h). With a rule from there a frame costs a few nanoseconds; with one from the
 * rows some 20.
 *
 * Any thread may walk, with any lock held. A walk takes no lock and is async-signal-safe, unless it
 * may learn: then it waits for the symbolizer thread, so the caller may hold no lock that this
 * thread needs, and must be in no signal handler.
 *
 * A profiler that walks in signal handlers or in malloc (may_learn = false) may rely on this:
 *   weft_run has the files of the program learned, which takes some 100 ms. weft__symbolizer_settle
 *     waits for that; outside a run it does all of it. Call it before the first sample.
 *   From then on walk.missed is set in two cases only: for code of a file that was opened since,
 *     until it is learned; and for the few files that cannot be learned whole. Then keep a copy of
 *     the stack, and have another thread finish the walk (deferred.h).
 *   Files that came are learned, and the rules of files that went are forgotten, when some thread
 *     calls weft__symbolizer_look: 20 ns if nothing changed. Call it wherever samples are
 * collected, some times a second, and not in a handler. Code that no file describes is no miss. The
 * walk guesses there by frame pointers (walk.guessed), or ends. Such a walk takes no lock,
 * allocates nothing, writes only to *out, and reads the code around a guess by a system call. It is
 * safe during dlopen, dlclose and fork, also in the child. */
#ifndef WEFT_UNWIND_H
#define WEFT_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* The registers that a walk starts from. The context of a parked task has them all.
 * /proc/PID/task/TID/syscall has PC and SP only (known = false). */
struct weft__regs {
    uintptr_t pc, sp, bp, bx, r12, r13, r14, r15;
    bool known; /* bp, bx, r12..r15 are valid */
    bool exact; /* pc is an instruction that a signal interrupted; else a return address */
    bool guess; /* the registers may not be the thread's, so all callers are guesses */
};

/* Returns the registers of a context that a signal or getcontext saved. x86-64 only.
 * async-signal-safe */
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

/* A copy of a stack begins so many bytes below SP. At a function's end, rules find registers below
 * SP, in the red zone: the function popped them a moment ago. */
enum { WEFT__RED_ZONE = 128 };

enum {
    WEFT__WALK_INNER = 256,     /* innermost frames of a stack that are kept */
    WEFT__WALK_OUTER = 256 + 2, /* and outermost; weft__walk_close drops the entry's two */
    WEFT__WALK_KEEP = WEFT__WALK_INNER + WEFT__WALK_OUTER,
    WEFT__WALK_ROOM = WEFT__WALK_KEEP + 8, /* room for marks (marks.h) and the words of a sample */
};

/* A finished walk. pcs[0] is the PC that the walk began with, the others are return addresses. For
 * a frame that a signal interrupted, pcs has its PC plus one: then pcs[i] - 1 is in the right
 * function for every frame. depth counts every frame. If depth > WEFT__WALK_KEEP, pcs has the
 * innermost WEFT__WALK_INNER frames, then the outermost WEFT__WALK_OUTER. */
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

/* Makes a walk of n frames that are known already. */
static inline void weft__walk_set(struct weft__walk *w, const uintptr_t *pcs, size_t n)
{
    w->kept = w->depth = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        w->pcs[i] = pcs[i];
}

/* Walks from regs through the stack [lo, hi). Its words are read at image, which is lo, or where a
 * copy of the stack begins; lo and image are multiples of 8. The walk never reads outside these
 * bounds, and garbage ends it. The memory may change meanwhile; then the caller drops the result.
 * may_learn: asks the symbolizer thread for rules that are not known, and waits. If the walk does
 * not come to the outermost function, it looks whether files were unloaded; if rules were forgotten
 * since, it walks once more. async-signal-safe without may_learn. */
void weft__walk(struct weft__walk *out, const struct weft__regs *regs, uintptr_t lo, uintptr_t hi,
                const void *image, bool may_learn);

/* Walks the stack of the calling thread, which faulted. The stack may be in any state, and the
 * thread may hold any lock, so rules that are not known are read from the mapped .eh_frame. After a
 * call to an address without code the walk goes on with the caller. may_guess: where the walk would
 * end, it tries frame pointers, then searches for return addresses. async-signal-safe */
void weft__walk_fault(struct weft__walk *out, const struct weft__regs *regs, uintptr_t lo,
                      uintptr_t hi, const void *image, bool may_guess);

/* Returns whether addr is in the code of a file, just behind a call instruction.
 * async-signal-safe */
bool weft__is_return(uintptr_t addr);

/* Goes on with a walk that missed a rule, over the same stack or a copy of it. Learns rules, as
 * weft__walk with may_learn does. */
void weft__walk_resume(struct weft__walk *out, uintptr_t lo, uintptr_t hi, const void *image);

/* Prefetches the memory of [sp, hi) that a walk reads first. A caller that walks many stacks calls
 * this for a stack WEFT__WALK_AHEAD walks before its own. */
enum { WEFT__WALK_AHEAD = 8 };
static inline void weft__walk_ahead(uintptr_t sp, uintptr_t hi)
{
    for (int line = 0; line < 12 && sp < hi; line++, sp += 64)
        __builtin_prefetch((const void *)sp);
}

/* Forgets every rule in [lo, hi). For tests only: the library itself notices unloaded files. */
void weft__unwind_forget(uintptr_t lo, uintptr_t hi);

#endif
