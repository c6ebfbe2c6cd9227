/* SPDX-License-Identifier: MIT */
/* atomic.h - the only file that spells atomic operations.
 *
 * Shared fields are declared as plain integers and pointers, because public headers contain some
 * and C++ programs include those. Every access to a shared field goes through a macro here. The
 * plain names are relaxed loads and stores; _acq, _rel and _seq name the stronger orders; the
 * read-modify-writes order at least acquire and release. Everything here may be called from any
 * thread and from signal handlers, except weft__fence_init.
 *
 * The asymmetric fence has a light side, which runs often, and a heavy side, which runs rarely:
 *   often:  store A;  weft__fence_light();  load B
 *   rarely: store B;  weft__fence_heavy();  load A
 * At least one of the two sides sees the other's store. The heavy side is membarrier(2), which
 * makes the kernel run a full fence on each CPU where a thread of this process runs. So the light
 * side need only stop the compiler. Where the kernel lacks membarrier, both are full fences. */
#ifndef WEFT_ATOMIC_H
#define WEFT_ATOMIC_H

#include "runtime/base/base.h"

#define weft__load(p)         __atomic_load_n((p), __ATOMIC_RELAXED)
#define weft__load_acq(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define weft__load_seq(p)     __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define weft__store(p, v)     __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define weft__store_rel(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define weft__store_seq(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define weft__xchg(p, v)      __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define weft__add(p, v)       __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define weft__sub(p, v)       __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define weft__or(p, v)        __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define weft__and(p, v)       __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)
#define weft__add_seq(p, v)   __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
/* Stores v in *p if *p equals *expected, and returns true. Otherwise stores *p in *expected and
 * returns false. */
#define weft__cas(p, expected, v)                                                                  \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define weft__compiler_barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#define weft__fence_full()       weft__fence_full_()

/* A full fence. To the processor a locked instruction on a word of the stack is one, and it is
 * cheaper than mfence. It is written in assembly since gcc warns of __atomic_thread_fence under
 * TSan, which does not model fences. */
static inline void weft__fence_full_(void)
{
#ifdef __x86_64__
    __asm__ volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc");
#else
    __asm__ volatile("dmb ish" ::: "memory");
#endif
}

/* Subtracts v from *p and returns whether *p is below 0. Only one thread may subtract; others may
 * store to *p meanwhile. The instruction has no lock prefix, which would make it several times
 * slower. So another thread's store may be lost, or may undo the subtraction; callers must tolerate
 * both. */
static inline bool weft__sub_own(int64_t *p, int64_t v)
{
#if defined(__x86_64__) && !defined(WEFT__TSAN)
    bool below;

    __asm__ volatile("subq %2, %0" : "+m"(*p), "=@ccs"(below) : "r"(v));
    return below;
#else
    int64_t left = weft__load(p) - v;

    weft__store(p, left);
    return left < 0;
#endif
}

/* Is *p true? A relaxed load and a comparison in one instruction: compilers make two of an atomic
 * load and a test. */
static inline bool weft__is_set(const bool *p)
{
#if defined(__x86_64__) && !defined(WEFT__TSAN)
    bool set;

    __asm__ volatile("cmpb $0, %1" : "=@ccne"(set) : "m"(*p));
    return set;
#else
    return weft__load(p);
#endif
}

/* The kernel lacks it. Constant while tasks run; fence.c. */
extern WEFT__HIDDEN bool weft__no_membarrier;
/* The heavy side. Costs a system call, and an interrupt on each CPU that runs a thread of ours. */
void weft__fence_heavy(void);
/* Registers the process for membarrier. Called before the first worker of a run starts. */
void weft__fence_init(void);

/* The light side. */
static inline void weft__fence_light(void)
{
    weft__compiler_barrier();
    if (weft__unlikely(weft__no_membarrier))
        weft__fence_full_();
}

/* Tells the processor that the thread spins. It then leaves more to its sibling thread, and does
 * not speculate through the loop's exit. */
static inline void weft__pause(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

#endif
