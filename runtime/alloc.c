/* SPDX-License-Identifier: MIT */
/* alloc.c - memory of the runtime's own objects. */
#include "base.h"

#include <stdlib.h>
#include <string.h>

static void *must(void *p, size_t n, size_t size)
{
    if (!p)
        weft__fatal("out of memory (runtime object of %zu x %zu bytes)", n, size);
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
