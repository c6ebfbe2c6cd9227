/* SPDX-License-Identifier: MIT */
/* self.c - the only thread-locals. Compilers keep addresses of thread-locals over calls; after a
 * switch they would be another thread's. So every access is a call that cannot be inlined or
 * merged with an earlier one, or (weft__self) one statement of assembly. */
#include "runtime/sched/scheduler.h"

#include <errno.h>

_Thread_local weft__worker *weft__self_tls __attribute__((visibility("hidden"), used));

WEFT__NOINLINE void *weft__self_called(void)
{
    __asm__ volatile("");
    return weft__self_tls;
}

WEFT__NOINLINE void weft__self_set(weft__worker *w)
{
    __asm__ volatile("");
    weft__self_tls = w;
}

WEFT__NOINLINE int *weft__errno_at(void)
{
    __asm__ volatile("");
    return &errno;
}
