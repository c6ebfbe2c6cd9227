/* SPDX-License-Identifier: MIT */
/* bounds.c - see bounds.h.
 *
 * Owns: the latest map, which never changes once handlers see it.
 *
 * A thread's own stack ends at its control block, to which pthread_self points: glibc and musl put
 * it on top of the stack, also if the program supplies the memory. Memory above it in the same
 * mapping may belong to another thread, which may unmap it at any time. The main thread has its
 * block elsewhere, and the kernel names its stack. A stack of neither kind (a signal stack, one of
 * a library for coroutines) has no known end, and is not walked. */
#include "profiles/cpu/bounds.h"

#include "runtime/base/atomic.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct range {
    uintptr_t lo, hi;
    bool is_main; /* the stack of the main thread, which may grow downwards */
};

struct map {
    size_t n, room;
    struct range *ranges; /* writable memory, in the order of addresses */
};

static struct map *latest; /* atomic */

static void map_free(struct map *m)
{
    if (m)
        free(m->ranges);
    free(m);
}

static bool add(struct map *m, struct range r)
{
    if (m->n == m->room) {
        size_t room = m->room ? 2 * m->room : 256;
        struct range *bigger = realloc(m->ranges, room * sizeof(*bigger));

        if (!bigger)
            return false;
        m->ranges = bigger;
        m->room = room;
    }
    m->ranges[m->n++] = r;
    return true;
}

/* Reads the lines "lo-hi rw-p OFFSET DEVICE INODE NAME". */
static bool read_lines(FILE *f, struct map *m)
{
    uintptr_t last = 0;
    char *line = NULL, access[8];
    size_t room = 0;
    bool good = true;
    struct range r;

    while (good && getline(&line, &room, f) > 0) {
        if (sscanf(line, "%lx-%lx %7s", &r.lo, &r.hi, access) != 3)
            continue;
        r.is_main = strstr(line, "[stack]") != NULL;
        if (r.is_main)
            r.lo = last;
        last = r.hi;
        good = access[1] != 'w' || add(m, r);
    }
    free(line);
    return good;
}

bool weft__cpu_bounds_read(void (*quiet)(void))
{
    FILE *f = fopen("/proc/self/maps", "re");
    struct map *m = f ? calloc(1, sizeof(*m)) : NULL;
    bool good = m && read_lines(f, m);

    if (f)
        fclose(f);
    if (good) {
        m = weft__xchg(&latest, m);
        quiet();
    }
    map_free(m);
    return good;
}

void weft__cpu_bounds_free(void)
{
    map_free(weft__xchg(&latest, NULL));
}

/* async-signal-safe */
static const struct range *find(const struct map *m, uintptr_t at)
{
    size_t lo = 0, hi = m ? m->n : 0;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (m->ranges[mid].hi <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return m && lo < m->n && m->ranges[lo].lo <= at ? &m->ranges[lo] : NULL;
}

/* async-signal-safe */
bool weft__cpu_bounds_of(uintptr_t sp, uintptr_t *lo, uintptr_t *hi)
{
    const struct range *r = find(weft__load_acq(&latest), sp);
    uintptr_t block = (uintptr_t)pthread_self() & ~(uintptr_t)7;

    if (!r || !(r->is_main || (block > sp && block <= r->hi)))
        return false;
    *lo = r->lo;
    *hi = r->is_main ? r->hi : block;
    return true;
}
