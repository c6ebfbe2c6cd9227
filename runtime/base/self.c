/* SPDX-License-Identifier: MIT */
/* self.c - the only thread-locals. Compilers keep addresses of thread-locals over calls; after a
 * switch they would be another thread's. So every access is a call that cannot be inlined or
 * merged with an earlier one, or (weft__self) one statement of assembly. */
#include "runtime/base/self.h"

#include "runtime/base/lock.h"

#include <errno.h>

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

#if WEFT_CHECK >= 2
WEFT__NOINLINE uint32_t *weft__ranks_held(void)
{
    static _Thread_local uint32_t held[WEFT__RANKS];

    __asm__ volatile("");
    return held;
}
#endif
