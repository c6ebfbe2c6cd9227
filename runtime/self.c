/* SPDX-License-Identifier: MIT */
/* self.c - the only thread-locals. Compilers keep addresses of thread-locals over calls; after a
 * switch they would be another thread's. So every access is a call that cannot be inlined or
 * merged with an earlier one. */
#include "scheduler.h"

#include <errno.h>

static _Thread_local weft__worker *self;

WEFT__NOINLINE weft__worker *weft__self(void)
{
    __asm__ volatile("");
    return self;
}

WEFT__NOINLINE void weft__self_set(weft__worker *w)
{
    __asm__ volatile("");
    self = w;
}

WEFT__NOINLINE int *weft__errno_at(void)
{
    __asm__ volatile("");
    return &errno;
}
