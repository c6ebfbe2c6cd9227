/* SPDX-License-Identifier: MIT */
/* local.c - task-local values.
 *
 * Owns: the table of keys, and each task's array of values, which is made at the first set.
 * Lock: keys.lock (rank LEAF) guards the table. It only grows: a key's destroy is written before
 * keys.n and constant afterwards, so it is read without the lock. A task's array is used by that
 * task alone. Tasks and foreign threads call the public functions; none waits. */
#include "runtime/sched/local.h"

#include "runtime/sched/scheduler.h"

enum { KEYS = 64 };

static struct {
    uint32_t lock;
    uint32_t n; /* atomic */
    void (*destroy[KEYS])(void *value);
} keys;

int weft_local_new(weft_local *key, void (*destroy)(void *value))
{
    int rc = WEFT_EAGAIN;

    weft__not_forked("weft_local_new");
    weft__lock(&keys.lock, WEFT__RANK_LEAF);
    if (keys.n < KEYS) {
        keys.destroy[keys.n] = destroy;
        key->_key = keys.n;
        weft__store_rel(&keys.n, keys.n + 1);
        rc = 0;
    }
    weft__unlock(&keys.lock);
    return rc;
}

/* Returns the calling task. Panics if the key was not made. */
/* Returns the calling task. Panics if the key was not made. */
static weft__task *caller(weft_local key, const char *call)
{
    if (key._key >= weft__load_acq(&keys.n))
        weft__panic("weft: %s of a key that weft_local_new did not make", call);
    return weft__caller(call);
}

void weft_local_set(weft_local key, void *value)
{
    weft__task *t = caller(key, "weft_local_set");

    if (!t->locals)
        t->locals = weft__alloc(KEYS, sizeof(*t->locals));
    t->locals[key._key] = value;
}

void *weft_local_get(weft_local key)
{
    weft__task *t = caller(key, "weft_local_get");

    return t->locals ? t->locals[key._key] : NULL;
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
