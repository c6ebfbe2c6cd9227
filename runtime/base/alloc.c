/* SPDX-License-Identifier: MIT */
/* alloc.c - memory of the runtime's own objects, and pages. base.h declares the functions.
 *
 * Owns nothing: the C library's heap and the kernel's mappings do. All memory of weft comes from
 * here, so that running out of it has one place and one text. Any thread may call, under any lock,
 * but no signal handler. */
#include "runtime/base/base.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

/* Returns p, or ends the program if there is no memory. The error branch of every allocation would
 * otherwise be code that no test reaches. */
static void *must(void *p, size_t n, size_t size)
{
    if (!p)
        weft__no_memory(NULL, "runtime object of %zu x %zu bytes", n, size);
    return p;
}

void *weft__alloc(size_t n, size_t size)
{
    return must(calloc(n, size), n, size);
}

void *weft__alloc_try(size_t n)
{
    return malloc(n);
}

void weft__free(void *p)
{
    free(p);
}

/* NORESERVE: most of a stack is never touched, so the kernel should not count it as used. */
void *weft__map(size_t len)
{
    void *at =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

/* Tries a plain mapping first. The kernel puts each mapping directly below the one before, so of
 * mappings whose length is a multiple of align, only the first needs the second way: a mapping that
 * is longer by align, whose ends are unmapped again. */
void *weft__map_aligned(size_t len, size_t align)
{
    char *at = weft__map(len);
    size_t before;

    if (!at || (uintptr_t)at % align == 0)
        return at;
    munmap(at, len);
    at = weft__map(len + align);
    if (!at)
        return NULL;
    before = align - (uintptr_t)at % align;
    munmap(at, before);
    if (before < align)
        munmap(at + before + len, align - before);
    return at + before;
}

void weft__map_name(void *at, size_t len, const char *name)
{
    prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, at, len, name);
}
