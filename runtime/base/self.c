/* SPDX-License-Identifier: MIT */
/* self.c - the only thread-locals of weft.
 *
 * Owns: the calling thread's worker, its room for the heap profile, and its counts of held locks.
 * Each thread touches its own only.
 *
 * A compiler computes the address of a thread-local once in a function and keeps it over calls.
 * But a call may switch tasks, and the task may continue on another thread: then the kept address
 * is the old thread's. So each access here is a function that is not inlined, with an empty
 * assembly statement that keeps two calls from being merged into one. weft__self (machine/)
 * reads the worker in one statement of assembly instead, which costs no call. */
#include "runtime/base/self.h"

#include "runtime/base/lock.h"

#include <errno.h>
#include <string.h>

bool weft__forked;

/* The calling thread's worker; not static, since the assembly of weft__self names it. */
_Thread_local struct weft__worker *weft__self_tls __attribute__((visibility("hidden"), used));

WEFT__NOINLINE void *weft__self_called(void)
{
    __asm__ volatile("");
    return weft__self_tls;
}

WEFT__NOINLINE void weft__self_set(struct weft__worker *w)
{
    __asm__ volatile("");
    weft__self_tls = w;
}

WEFT__NOINLINE int *weft__errno_at(void)
{
    __asm__ volatile("");
    return &errno;
}

WEFT__NOINLINE void *weft__self_room(void)
{
    static _Thread_local uint64_t room[WEFT__SELF_ROOM / sizeof(uint64_t)];

    __asm__ volatile("");
    return room;
}

#if WEFT_CHECK >= 2
WEFT__NOINLINE uint32_t *weft__ranks_held(void)
{
    static _Thread_local uint32_t held[WEFT__RANKS];

    __asm__ volatile("");
    return held;
}

void weft__ranks_forget(void)
{
    memset(weft__ranks_held(), 0, WEFT__RANKS * sizeof(uint32_t));
}
#endif
