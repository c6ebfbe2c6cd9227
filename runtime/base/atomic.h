/* SPDX-License-Identifier: MIT */
/* atomic.h - the only place where atomics are spelled.
 *
 * Fields stay plain integers and pointers (public headers carry some); every access to a shared
 * one goes through here. light/heavy are the two sides of an asymmetric fence: a store, then
 * weft__fence_light(), then a load on the frequent side, and a store, then weft__fence_heavy(),
 * then a load on the rare side cannot both miss the other's store. heavy is membarrier(2), which
 * lets light be nothing; where the kernel lacks it both are full fences. */
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
/* *p == *expected ? *p = v : (*expected = *p); true if stored. */
#define weft__cas(p, expected, v)                                                                  \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define weft__compiler_barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#define weft__fence_full()       weft__fence_full_()

/* TSan knows no fences; a read-modify-write of a dummy is one to the processor. */
static inline void weft__fence_full_(void)
{
#ifdef __x86_64__
    __asm__ volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc");
#else
    __asm__ volatile("dmb ish" ::: "memory");
#endif
}

/* *p -= v by the only one who counts there; others may set it meanwhile. Is it below 0? */
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

extern bool weft__no_membarrier; /* constant while tasks run; fence.c */
void weft__fence_heavy(void);
void weft__fence_init(void);

static inline void weft__fence_light(void)
{
    weft__compiler_barrier();
    if (weft__unlikely(weft__no_membarrier))
        weft__fence_full_();
}

static inline void weft__pause(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

#endif
