/* SPDX-License-Identifier: MIT */
/* memory.c - see memory.h. Owns nothing.
 *
 * glibc's mallinfo2 speaks of glibc's malloc alone, so it is asked only if that serves the program.
 * glibc counts no calls, and jemalloc counts those of a thread when blocks leave the thread's
 * cache. So the calls are those that our samples stand for, or jemalloc's if we take none. */
#include "profiles/account/memory.h"

#include "profiles/heap/heap.h"
#include "profiles/heap/jemalloc.h"
#include "profiles/heap/live.h"
#include "profiles/heap/stacks.h"
#include "profiles/table/buckets.h"
#include "runtime/sched/scheduler.h"

#include <malloc.h>
#include <stdbool.h>
#include <string.h>

/* Sums up jemalloc's size classes. */
static void read_classes(struct weft__memory *m)
{
    uint64_t total = 0, mallocs = 0, frees = 0;
    struct weft__jemalloc_bin b;

    for (unsigned i = 0; weft__jemalloc_bin(i, &b); i++) {
        total += b.mallocs * b.size;
        mallocs += b.mallocs;
        frees += b.frees;
    }
    m->total_alloc = total;
    m->mallocs = mallocs;
    m->frees = frees;
    m->counts_from = "jemalloc's mallctl";
}

/* Returns false if the program's malloc is not jemalloc's. */
static bool read_jemalloc(struct weft__memory *m)
{
    struct weft__jemalloc j;

    if (!weft__jemalloc_read(&j))
        return false;
    m->alloc = j.allocated;
    m->heap_inuse = j.active;
    m->heap_sys = j.mapped;
    m->heap_idle = j.mapped > j.active ? j.mapped - j.active : 0;
    m->heap_released = j.retained;
    m->from = "jemalloc's mallctl";
    if (weft__heap_state() != WEFT__HEAP_SAMPLING)
        read_classes(m);
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
    m->counts_from = "the samples";
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
