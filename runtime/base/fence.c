/* SPDX-License-Identifier: MIT */
/* fence.c - the heavy side of the asymmetric fence that atomic.h describes.
 *
 * A file of its own: lock.c is below the reading of variables, and this one above it. */
#include "runtime/base/atomic.h"
#include "runtime/base/env.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

bool weft__no_membarrier;

/* WEFT_MEMBARRIER=0 forces the fallback, for tests. */
void weft__fence_init(void)
{
    if (weft__env_off("WEFT_MEMBARRIER") ||
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0)
        weft__no_membarrier = true;
}

void weft__fence_heavy(void)
{
    weft__fence_full_();
    if (!weft__no_membarrier)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    weft__compiler_barrier();
}
