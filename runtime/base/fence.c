/* SPDX-License-Identifier: MIT */
/* fence.c - the heavy side of the asymmetric fence that atomic.h describes.
 *
 * Owns: weft__no_membarrier, which the start of a run writes before tasks run. Any thread may call
 * weft__fence_heavy, under any lock.
 *
 * The fence is not in lock.c, since weft__fence_init reads a variable of the environment: env.c
 * takes a lock, so lock.c must not call env.c. */
#include "runtime/base/atomic.h"
#include "runtime/base/env.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

bool weft__no_membarrier;

/* Tests set WEFT_MEMBARRIER=0 to run with full fences on a kernel that has membarrier. */
void weft__fence_init(void)
{
    if (weft__env_off("WEFT_MEMBARRIER") ||
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0)
        weft__no_membarrier = true;
}

/* The first fence orders the caller's own store before its load: membarrier promises that only for
 * the other threads. It also stands alone where there is no membarrier. */
void weft__fence_heavy(void)
{
    weft__fence_full_();
    if (!weft__no_membarrier)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    weft__compiler_barrier();
}
