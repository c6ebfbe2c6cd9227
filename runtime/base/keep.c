/* SPDX-License-Identifier: MIT */
/* keep.c - see keep.h. */
#include "runtime/base/keep.h"

#include "runtime/base/lock.h"

uint32_t weft__keep_holders;

static struct {
    uint32_t lock;    /* rank LEAF */
    weft__kept *head; /* atomic; guarded by lock */
} kept;

/* Frees what is kept. Nothing is added under the lock, so all that is taken was there when the last
 * dumper left. */
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
