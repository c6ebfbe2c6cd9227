/* SPDX-License-Identifier: MIT */
/* local.c - the public calls for task-local values.
 *
 * Owns: each task's array of values, which is made at the first set. A task's array is used by that
 * task alone. Tasks and foreign threads call; none waits. keys.c has the keys. */
#include "runtime/sched/keys.h"
#include "runtime/sched/scheduler.h"

int weft_local_new(weft_local *key, void (*destroy)(void *value))
{
    int made;

    weft__not_forked("weft_local_new");
    made = weft__key_new(destroy);
    if (made < 0)
        return made;
    key->_key = (uint32_t)made;
    return 0;
}

/* Returns the calling task. Panics if the key was not made. */
static weft__task *caller(weft_local key, const char *call)
{
    if (!weft__key_exists(key._key))
        weft__panic("weft: %s of a key that weft_local_new did not make", call);
    return weft__caller(call);
}

void weft_local_set(weft_local key, void *value)
{
    weft__task *t = caller(key, "weft_local_set");

    if (!t->locals)
        t->locals = weft__alloc(WEFT__KEYS, sizeof(*t->locals));
    t->locals[key._key] = value;
}

void *weft_local_get(weft_local key)
{
    weft__task *t = caller(key, "weft_local_get");

    return t->locals ? t->locals[key._key] : NULL;
}
