/* SPDX-License-Identifier: MIT */
/* eh.c - see eh.h. weft itself needs no C++ runtime, so init looks for one in three places: the
 * program as it was linked (a static runtime shows no symbol to the loader), the program's
 * libraries, and a libstdc++ that dlopen loaded with local symbols. */
#include "runtime/machine/eh.h"

#include <dlfcn.h>

void *__cxa_get_globals(void) __attribute__((weak));

static void *(*get)(void);
static void *library; /* a libstdc++ that dlopen loaded; the handle keeps it in place */

void weft__eh_init(void)
{
    void *found = NULL;

    get = __cxa_get_globals;
    if (!get)
        found = dlsym(RTLD_DEFAULT, "__cxa_get_globals");
    if (!get && !found && !library)
        library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (!get && !found && library)
        found = dlsym(library, "__cxa_get_globals");
    if (found)
        get = (void *(*)(void))(uintptr_t)found;
}

weft__eh *weft__eh_at(void)
{
    return get ? get() : NULL;
}
