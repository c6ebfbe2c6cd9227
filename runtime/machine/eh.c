/* SPDX-License-Identifier: MIT */
/* eh.c - finds the program's C++ runtime.
 *
 * Owns: the address of the runtime's __cxa_get_globals, which weft__eh_init writes before a run's
 * threads start and which is constant while they run.
 *
 * weft does not link a C++ runtime, since most programs have none. So weft__eh_init looks in three
 * places:
 *   the program itself, by a weak symbol: a static runtime shows no symbol to the loader;
 *   the libraries that the program was linked with;
 *   a libstdc++ that dlopen loaded with local symbols, as Python does for its modules. */
#include "runtime/machine/eh.h"

#include <dlfcn.h>

void *__cxa_get_globals(void) __attribute__((weak));

static void *(*get)(void);
static void *library; /* a libstdc++ that dlopen loaded; our handle keeps it from being unloaded */

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
