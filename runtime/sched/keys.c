/* SPDX-License-Identifier: MIT */
/* keys.c - the keys of task-local values, and the end of a task's values.
 *
 * Owns: the table of keys. Lock: keys.lock (rank LEAF) guards it. It only grows: a key's destroy is
 * written before keys.n and constant afterwards, so it is read without the lock. */
#include "runtime/sched/keys.h"

#include "runtime/base/lock.h"

#include <weft/error.h>

static struct {
    uint32_t lock;
    uint32_t n; /* atomic */
    void (*destroy[WEFT__KEYS])(void *value);
} keys;

int weft__key_new(void (*destroy)(void *value))
{
    int key = WEFT_EAGAIN;

    weft__lock(&keys.lock, WEFT__RANK_LEAF);
    if (keys.n < WEFT__KEYS) {
        key = (int)keys.n;
        keys.destroy[key] = destroy;
        weft__store_rel(&keys.n, keys.n + 1);
    }
    weft__unlock(&keys.lock);
    return key;
}

bool weft__key_exists(uint32_t key)
{
    return key < weft__load_acq(&keys.n);
}

/* Destroys the values. A destroy function may set values again; as with pthread keys, some rounds
 * of that are destroyed, too. */
void weft__locals_end(weft__task *t)
{
    bool again = true;

    for (int round = 0; again && round < 4; round++) {
        again = false;
        for (uint32_t i = 0; i < weft__load_acq(&keys.n); i++) {
            void *value = t->locals[i];

            t->locals[i] = NULL;
            if (value && keys.destroy[i]) {
                keys.destroy[i](value);
                again = true;
            }
        }
    }
    weft__locals_drop(t);
}

void weft__locals_drop(weft__task *t)
{
    weft__free(t->locals);
    t->locals = NULL;
}
