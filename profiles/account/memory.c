/* SPDX-License-Identifier: MIT */
/* memory.c - see memory.h. Owns nothing.
 *
 * glibc's mallinfo2 speaks of glibc's malloc alone, so it is asked only if that serves the program.
 * No allocator of the three counts calls, so their numbers are what the samples stand for. */
#include "profiles/account/memory.h"

#include "profiles/heap/heap.h"
#include "profiles/heap/live.h"
#include "profiles/heap/stacks.h"
#include "profiles/table/buckets.h"
#include "runtime/sched/scheduler.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdbool.h>
#include <string.h>

typedef int mallctl_fn(const char *name, void *old, size_t *old_size, void *new, size_t new_size);

static uint64_t ask(mallctl_fn *mallctl, const char *name)
{
    size_t value = 0, size = sizeof(value);

    return mallctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

/* Returns false if the program's malloc is not jemalloc's. */
static bool read_jemalloc(struct weft__memory *m)
{
    mallctl_fn *mallctl;
    uint64_t epoch = 1;

    *(void **)&mallctl = dlsym(RTLD_DEFAULT, "mallctl");
    if (!mallctl || mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) != 0)
        return false;
    m->alloc = ask(mallctl, "stats.allocated");
    m->heap_inuse = ask(mallctl, "stats.active");
    m->heap_sys = ask(mallctl, "stats.mapped");
    m->heap_idle = m->heap_sys > m->heap_inuse ? m->heap_sys - m->heap_inuse : 0;
    m->heap_released = ask(mallctl, "stats.retained");
    m->from = "jemalloc's mallctl";
    return true;
}

static void read_glibc(struct weft__memory *m)
{
    struct mallinfo2 info = mallinfo2();

    m->alloc = m->heap_inuse = info.uordblks + info.hblkhd;
    m->heap_sys = info.arena + info.hblkhd;
    m->heap_idle = info.fordblks;
    m->from = "glibc's mallinfo2";
}

/* Sums up what the samples stand for. Returns their live bytes. */
static uint64_t read_samples(struct weft__memory *m)
{
    int64_t sums[WEFT__HEAP_SAMPLED] = {0};
    const struct weft__heap_stack *s = NULL;

    while ((s = weft__heap_stack_next(s)) != NULL) {
        for (int i = 0; i < WEFT__HEAP_SAMPLED; i++)
            sums[i] += weft__load(&s->sums[WEFT__HEAP_SAMPLED + i]);
    }
    m->total_alloc = (uint64_t)sums[WEFT__HEAP_ALLOC_BYTES];
    m->mallocs = (uint64_t)(sums[WEFT__HEAP_ALLOCS] / WEFT__PARTS);
    m->frees = (uint64_t)((sums[WEFT__HEAP_ALLOCS] - sums[WEFT__HEAP_LIVE]) / WEFT__PARTS);
    return (uint64_t)sums[WEFT__HEAP_LIVE_BYTES];
}

static bool is_glibc(const char *file)
{
    const char *name = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;

    return strncmp(name, "libc.so", 7) == 0 || strncmp(name, "libc-", 5) == 0;
}

void weft__memory_read(struct weft__memory *m)
{
    struct weft__census c;
    uint64_t live;

    *m = (struct weft__memory){.from = NULL};
    live = read_samples(m);
    if (is_glibc(weft__heap_server())) {
        read_glibc(m);
    } else if (!read_jemalloc(m)) {
        m->alloc = m->heap_inuse = m->heap_sys = live;
        m->from = "the samples of the heap profile";
    }
    weft__tasks_count(&c);
    m->stack_inuse = c.stacks;
    m->stack_sys = c.stacks + c.idle_stacks;
    m->buck_hash_sys = weft__heap_stack_bytes() + weft__heap_live_bytes();
    m->other_sys = c.records;
    m->sys = m->heap_sys + m->stack_sys;
}
