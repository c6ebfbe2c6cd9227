/* SPDX-License-Identifier: MIT */
/* keep.c - the list of kept memory, and its end.
 *
 * Owns: the list of memory that waits for the last dumper, and the count of dumpers.
 * Lock: kept.lock (rank LEAF) guards the list. k->end runs outside it.
 * Always: if the list has members, a dumper holds, or a thread is about to run end_kept. keep.h has
 * the protocol between dumpers and the threads that free memory. */
#include "runtime/base/keep.h"

#include "runtime/base/lock.h"

uint32_t weft__keep_holders;

static struct {
    uint32_t lock;    /* rank LEAF */
    weft__kept *head; /* atomic; guarded by lock */
} kept;

/* Frees the kept memory if no dumper is left. Members join the list under the lock alone, and the
 * count of dumpers is read under it. So each member taken here was unreachable before that read,
 * and a dumper that comes later cannot find it. */
static void end_kept(void)
{
    weft__kept *k = NULL, *next;

    weft__lock(&kept.lock, WEFT__RANK_LEAF);
    if (weft__load_seq(&weft__keep_holders) == 0) {
        k = kept.head;
        weft__store(&kept.head, NULL);
    }
    weft__unlock(&kept.lock);
    for (; k; k = next) {
        next = k->next;
        k->end(k);
    }
}

void weft__keep(weft__kept *k)
{
    weft__lock(&kept.lock, WEFT__RANK_LEAF);
    k->next = kept.head;
    weft__store(&kept.head, k);
    weft__unlock(&kept.lock);
    /* The last dumper may have left before k joined the list, and found nothing to free. The fence
     * orders the store to the list before the read of holders; the one in weft__keep_release is its
     * partner. */
    weft__fence_full();
    end_kept();
}

void weft__keep_hold(void)
{
    weft__add_seq(&weft__keep_holders, 1);
}

void weft__keep_release(void)
{
    weft__sub(&weft__keep_holders, 1);
    weft__fence_full();
    if (weft__load(&kept.head))
        end_kept();
}
