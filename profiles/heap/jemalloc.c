/* SPDX-License-Identifier: MIT */
/* jemalloc.c - see jemalloc.h. Owns nothing.
 *
 * A program may have jemalloc's functions while another malloc serves it. So a block is allocated:
 * jemalloc serves if it has counted the block. The other numbers are those of the last "epoch",
 * which weft__jemalloc_read begins. */
#include "profiles/heap/jemalloc.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* Its samples ---------------------------------------------------------------------------------- */

int64_t weft__jemalloc_rate(void)
{
    mallctl_fn *ctl = control();

    return ctl && ask(ctl, "opt.prof", sizeof(bool)) ? INT64_C(1) << ask_size(ctl, "prof.lg_sample")
                                                     : 0;
}

/* Has the samples written to a new file. Returns NULL if that fails. */
static FILE *dump(mallctl_fn *ctl)
{
    int fd = memfd_create("jemalloc", MFD_CLOEXEC);
    FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    char path[32];
    const char *file = path;

    if (!f) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (ctl("prof.dump", NULL, NULL, &file, sizeof(file)) == 0)
        return f;
    fclose(f);
    return NULL;
}

static void *program_base(void)
{
    Dl_info info;

    return dladdr((void *)getauxval(AT_PHDR), &info) ? info.dli_fbase : NULL;
}

/* Reads "@ 0x1f 0x2e ...", without the frames of jemalloc itself, which come first. */
static void read_stack(struct weft__jemalloc_stack *s, const char *line, const void *base)
{
    Dl_info info;
    char *end;

    *s = (struct weft__jemalloc_stack){.n = 0};
    for (const char *at = line + 1; s->n < sizeof(s->pcs) / sizeof(*s->pcs); at = end) {
        uintptr_t pc = strtoul(at, &end, 16);

        if (end == at)
            break;
        if (s->n > 0 || !dladdr((void *)(pc - 1), &info) || info.dli_fbase != base)
            s->pcs[s->n++] = pc;
    }
}

/* The text is
 *
 *     @ 0x55d0c1 0x7f21b2 ...
 *       t*: LIVE: BYTES [ALLOCATED: BYTES]
 *
 * for each stack, and lines for threads. */
int weft__jemalloc_each(void (*fn)(void *arg, const struct weft__jemalloc_stack *s), void *arg)
{
    mallctl_fn *ctl = control();
    FILE *f = ctl ? dump(ctl) : NULL;
    struct weft__jemalloc_stack *s = malloc(sizeof(*s));
    Dl_info jemalloc = {.dli_fbase = NULL};
    char *line = NULL;
    size_t room = 0;
    int rc = f && s ? 0 : -ENOMEM;

    if (ctl)
        dladdr(*(void **)&ctl, &jemalloc);
    if (jemalloc.dli_fbase == program_base())
        jemalloc.dli_fbase = NULL; /* it is linked statically: its frames stay */
    if (s)
        s->n = 0;
    while (rc == 0 && getline(&line, &room, f) > 0) {
        if (*line == '@')
            read_stack(s, line, jemalloc.dli_fbase);
        else if (s->n > 0 && sscanf(line, " t*: %" SCNd64 ": %" SCNd64 " [%" SCNd64 ": %" SCNd64,
                                    &s->live, &s->live_bytes, &s->allocs, &s->alloc_bytes) == 4)
            fn(arg, s);
    }
    if (f)
        fclose(f);
    free(line);
    free(s);
    return rc;
}
