/* SPDX-License-Identifier: MIT */
/* jemalloc.c - see jemalloc.h. Owns nothing.
 *
 * A program may have jemalloc's functions while another malloc serves it. So a block is allocated:
 * jemalloc serves if it has counted the block. The other numbers are those of the last "epoch",
 * which weft__jemalloc_read begins. */
#include "profiles/heap/jemalloc.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int mallctl_fn(const char *name, void *old, size_t *old_size, void *new, size_t new_size);

extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
    __attribute__((weak));

/* The index of the sum of all arenas (MALLCTL_ARENAS_ALL). */
#define ALL "stats.arenas.4096."

static uint64_t ask(mallctl_fn *ctl, const char *name, size_t size)
{
    uint64_t value = 0; /* a shorter number is its low bytes */

    return ctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

/* Returns NULL if jemalloc does not serve. */
static mallctl_fn *control(void)
{
    void *(*volatile allocate)(size_t n) = malloc;
    mallctl_fn *ctl = mallctl;
    uint64_t before;

    if (!ctl)
        *(void **)&ctl = dlsym(RTLD_DEFAULT, "mallctl");
    if (!ctl)
        return NULL;
    before = ask(ctl, "thread.allocated", sizeof(uint64_t));
    free(allocate(64));
    return ask(ctl, "thread.allocated", sizeof(uint64_t)) != before ? ctl : NULL;
}

static uint64_t ask_size(mallctl_fn *ctl, const char *name)
{
    return ask(ctl, name, sizeof(size_t));
}

/* Asks for a number of the size class with that index. name: with %u in the index's place. */
static uint64_t ask_of(mallctl_fn *ctl, const char *before, unsigned index, const char *behind)
{
    char name[80];

    snprintf(name, sizeof(name), "%s%u%s", before, index, behind);
    return ask_size(ctl, name);
}

bool weft__jemalloc_serves(void)
{
    return control() != NULL;
}

bool weft__jemalloc_read(struct weft__jemalloc *m)
{
    mallctl_fn *ctl = control();
    uint64_t epoch = 1;

    if (!ctl || ctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) != 0)
        return false;
    *m = (struct weft__jemalloc){.allocated = ask_size(ctl, "stats.allocated"),
                                 .active = ask_size(ctl, "stats.active"),
                                 .mapped = ask_size(ctl, "stats.mapped"),
                                 .retained = ask_size(ctl, "stats.retained")};
    return true;
}

void weft__jemalloc_text(char *to, size_t size)
{
    mallctl_fn *ctl = control();
    const char *version = "", *own = "is on";
    size_t n = sizeof(version);

    *to = 0;
    if (!ctl || ctl("version", &version, &n, NULL, 0) != 0)
        return;
    if (!ask(ctl, "config.prof", sizeof(bool)))
        own = "is not built in";
    else if (!ask(ctl, "opt.prof", sizeof(bool)))
        own = "is off (MALLOC_CONF=prof:true)";
    snprintf(to, size, "jemalloc %.*s, whose own profiling %s", (int)strcspn(version, "-"), version,
             own);
}

bool weft__jemalloc_bin(unsigned index, struct weft__jemalloc_bin *bin)
{
    mallctl_fn *ctl = control();
    unsigned bins = ctl ? (unsigned)ask(ctl, "arenas.nbins", sizeof(unsigned)) : 0;
    unsigned all = ctl ? bins + (unsigned)ask(ctl, "arenas.nlextents", sizeof(unsigned)) : 0;
    bool small = index < bins;
    const char *of = small ? ALL "bins." : ALL "lextents.";

    if (index >= all)
        return false;
    index -= small ? 0 : bins;
    *bin = (struct weft__jemalloc_bin){
        .size = ask_of(ctl, small ? "arenas.bin." : "arenas.lextent.", index, ".size"),
        .live = ask_of(ctl, of, index, small ? ".curregs" : ".curlextents"),
        .mallocs = ask_of(ctl, of, index, ".nmalloc"),
        .frees = ask_of(ctl, of, index, ".ndalloc"),
        .slabs = small ? ask_of(ctl, of, index, ".curslabs") : 0,
    };
    return true;
}
