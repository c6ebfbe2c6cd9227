/* SPDX-License-Identifier: MIT */
/* feeds.c - where blocks come from: the component's malloc, a sanitizer's malloc, and objects in a
 * program's own arenas.
 *
 * Owns: the component that was found, and whether malloc is fed. attach, a constructor, writes
 * both. It has an early priority, so that the blocks of the program's own constructors are seen.
 * The linker takes this file since account/heap.c asks it for the state.
 *
 * Sanitizers bring a malloc of their own, with hooks that see each block and each free. Their
 * frames stand at the top of such stacks.
 *
 * An object may have the address of the block that it was cut from, and both may be samples. So the
 * key of an object has the highest bit, which no address has. */
#include "profiles/heap/heap.h"
#include "profiles/heap/jemalloc.h"

#include "runtime/base/atomic.h"
#include "runtime/base/env.h"
#include "runtime/base/self.h"

#include <weft/profile.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static struct weft__heap_component *component; /* NULL: not linked */
static bool fed; /* malloc is the component's, or a sanitizer's that tells of each block */

/* Sanitizers ----------------------------------------------------------------------------------- */

typedef void malloc_hook(const volatile void *p, size_t n);
typedef void free_hook(const volatile void *p);

/* Of the sanitizers' runtimes (sanitizer/allocator_interface.h). */
int __sanitizer_install_malloc_and_free_hooks(malloc_hook *on_malloc, free_hook *on_free)
    __attribute__((weak));

static void on_malloc(const volatile void *p, size_t n)
{
    if (p)
        weft__heap_seen((uintptr_t)p, n);
}

static void on_free(const volatile void *p)
{
    weft__heap_gone((uintptr_t)p);
}

static bool hook_sanitizer(void)
{
    return __sanitizer_install_malloc_and_free_hooks &&
           __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0;
}

/* Arenas --------------------------------------------------------------------------------------- */

#define OBJECT ((uintptr_t)1 << 63)

void weft_heap_alloc(const void *p, size_t n)
{
    weft__heap_seen((uintptr_t)p | OBJECT, n);
}

void weft_heap_free(const void *p)
{
    weft__heap_gone((uintptr_t)p | OBJECT);
}

/* The component -------------------------------------------------------------------------------- */

extern struct weft__heap_component weft__heap_component __attribute__((weak));

/* The component is in the program, or in a library that the program's linker did not see. */
static struct weft__heap_component *find_component(void)
{
    struct weft__heap_component *c = &weft__heap_component;

    if (!c)
        c = dlsym(RTLD_DEFAULT, "weft__heap_component");
    return c && c->version == WEFT__HEAP_VERSION ? c : NULL;
}

/* Allocates a probe block. Returns whether the component was asked about it. */
static bool probe(void)
{
    struct weft__heap_thread *t = component->thread();
    void *(*volatile allocate)(size_t n) = malloc;
    uint64_t asked = t->asked;

    t->left = 0;
    free(allocate(64));
    return t->asked != asked;
}

void weft_profile_set_heap_rate(int64_t bytes)
{
    weft__heap_rate_set(bytes);
    if (component)
        component->thread()->left = 0;
    ((struct weft__heap_thread *)weft__self_room())->left = 0;
}

/* Priorities up to 100 are the compiler's. */
__attribute__((constructor(101))) static void attach(void)
{
    component = find_component();
    weft_profile_set_heap_rate(
        weft__env_number("WEFT_HEAP_RATE", 0, INT64_C(1) << 40, WEFT__HEAP_RATE));
    if (component) {
        weft__store_rel(&component->hooks, &weft__heap_hooks);
        fed = probe();
    }
    if (!fed)
        fed = hook_sanitizer();
}

/* The state ------------------------------------------------------------------------------------ */

enum weft__heap_state weft__heap_state(void)
{
    if (!fed && weft__jemalloc_rate() > 0)
        return WEFT__HEAP_JEMALLOC;
    if (!fed)
        return component ? WEFT__HEAP_NOT_ACTIVE : WEFT__HEAP_NOT_LINKED;
    return weft__heap_rate() > 0 ? WEFT__HEAP_SAMPLING : WEFT__HEAP_OFF;
}

const char *weft__heap_server(void)
{
    void *(*volatile allocate)(size_t n) = malloc;
    const void *at = fed && component ? component->behind() : *(void **)&allocate;
    Dl_info info;

    return dladdr(at, &info) && info.dli_fname ? info.dli_fname : "another library";
}

/* Returns whether malloc is the component's, and yet the component is not asked: a tool that
 * changes code has put its own in the place. */
static bool is_replaced(void)
{
    void *(*volatile allocate)(size_t n) = malloc;
    Dl_info of_malloc, of_component;

    return dladdr(*(void **)&allocate, &of_malloc) && dladdr(component, &of_component) &&
           of_malloc.dli_fbase == of_component.dli_fbase;
}

void weft__heap_state_text(char *to, size_t size)
{
    char allocator[80];

    switch (weft__heap_state()) {
    case WEFT__HEAP_SAMPLING:
        weft__jemalloc_text(allocator, sizeof(allocator));
        snprintf(to, size, "sampling: one block every %lld bytes%s%s", (long long)weft__heap_rate(),
                 *allocator ? " of " : "", allocator);
        break;
    case WEFT__HEAP_JEMALLOC:
        snprintf(to, size,
                 "sampling by jemalloc itself: one block every %lld bytes, without labels and ages",
                 (long long)weft__jemalloc_rate());
        break;
    case WEFT__HEAP_OFF:
        snprintf(to, size, "off: unset WEFT_HEAP_RATE, or call weft_profile_set_heap_rate(%d)",
                 WEFT__HEAP_RATE);
        break;
    case WEFT__HEAP_NOT_LINKED:
        snprintf(to, size,
                 "not linked: link weft_heap.o, or start the program with "
                 "LD_PRELOAD=libweft_heap.so");
        break;
    case WEFT__HEAP_NOT_ACTIVE:
        if (is_replaced())
            snprintf(to, size,
                     "not the active malloc: a tool replaces it; Valgrind leaves it with "
                     "--soname-synonyms=somalloc=nouserintercepts");
        else
            snprintf(to, size,
                     "not the active malloc: %s serves it; name libweft_heap.so before that in "
                     "LD_PRELOAD or on the line of the linker",
                     weft__heap_server());
        break;
    }
}
