/* SPDX-License-Identifier: MIT */
/* reload.h - two libraries that take each other's place in memory: RELOAD_FIRST and RELOAD_SECOND
 * are their files (weft_reloads in tests.cmake).
 *
 * reload_call calls fn(arg) through first_calls or second_calls. Both functions have the same
 * address and size in their library and call from the same address, but have different frames. */
#ifndef RELOAD_H
#define RELOAD_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

typedef void reload_fn(void (*fn)(void *), void *arg);

/* Called as a library is opened, inside dlopen, if the program exports it. */
void reload_opened(void);

enum { RELOAD_SIZE = 96, RELOAD_RETURN = 48 }; /* of the function; where its call returns to */

struct reload {
    void *handle;
    reload_fn *call;
    uintptr_t ret; /* the return address in first_calls or second_calls */
};

/* False if it cannot be opened. */
static inline bool reload_open(struct reload *lib, bool second)
{
    uintptr_t at;

    lib->handle = dlopen(second ? RELOAD_SECOND : RELOAD_FIRST, RTLD_NOW | RTLD_LOCAL);
    if (!lib->handle)
        return false;
    lib->call = (reload_fn *)(uintptr_t)dlsym(lib->handle, "reload_call");
    at = (uintptr_t)dlsym(lib->handle, second ? "second_calls" : "first_calls");
    lib->ret = at + RELOAD_RETURN;
    return lib->call && at;
}

static inline const char *reload_name(bool second)
{
    return second ? "second_calls" : "first_calls";
}

#endif
