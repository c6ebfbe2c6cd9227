/* SPDX-License-Identifier: MIT */
/* cache.c - the orders that were asked for lately, behind a read-write lock: many tasks look up,
 * few store. */
#include "orders.h"

enum { SLOTS = 4096 };

static weft_rwmutex lock = WEFT_RWMUTEX_INIT;
static order slots[SLOTS]; /* an order is in the slot of its id or nowhere; guarded by lock */

bool cache_get(int64_t id, order *out)
{
    const order *o = &slots[(uint64_t)id % SLOTS];
    bool found;

    weft_rwmutex_read_lock(&lock);
    found = o->id == id;
    if (found)
        *out = *o;
    weft_rwmutex_read_unlock(&lock);
    return found;
}

void cache_put(const order *o)
{
    weft_rwmutex_lock(&lock);
    slots[(uint64_t)o->id % SLOTS] = *o;
    weft_rwmutex_unlock(&lock);
}
