/* SPDX-License-Identifier: MIT */
/* target.c - the parts that live processes and cores share. See target.h. Owns the pages that are
 * kept, so that a walk does not ask the kernel for each word. */
#include "tools/dump/target.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, KEPT = 4096 /* pages */ };

struct page {
    uint64_t at; /* its address plus one; 0: none is here */
    char bytes[PAGE];
};

/* Returns the page that holds an address; NULL if it cannot be read. */
static const char *page_of(struct target *t, uint64_t at)
{
    uint64_t base = at & ~(uint64_t)(PAGE - 1);
    struct page *p;

    if (!t->pages)
        t->pages = calloc(KEPT, sizeof(*t->pages));
    if (!t->pages)
        return NULL;
    p = &t->pages[base / PAGE % KEPT];
    if (p->at == base + 1)
        return p->bytes;
    p->at = 0;
    if (!t->read(t, base, p->bytes, PAGE))
        return NULL;
    p->at = base + 1;
    return p->bytes;
}

static bool read_kept(struct target *t, uint64_t at, void *to, size_t n)
{
    const char *page = at % PAGE + n <= PAGE ? page_of(t, at) : NULL;

    if (page)
        memcpy(to, page + at % PAGE, n);
    return page || t->read(t, at, to, n);
}

bool target_word(struct target *t, uint64_t at, uint64_t *word)
{
    return read_kept(t, at, word, sizeof(*word));
}

bool target_half(struct target *t, uint64_t at, uint32_t *half)
{
    return read_kept(t, at, half, sizeof(*half));
}

bool target_text(struct target *t, uint64_t at, char *to, size_t size)
{
    for (size_t i = 0; i + 1 < size; i++) {
        if (!read_kept(t, at + i, to + i, 1))
            return false;
        if (!to[i])
            return true;
    }
    to[size - 1] = '\0';
    return true;
}

void target_forget(struct target *t)
{
    for (size_t i = 0; t->pages && i < KEPT; i++)
        t->pages[i].at = 0;
}

const struct mapping *target_mapping(const struct target *t, uint64_t at)
{
    size_t lo = 0, hi = t->n_maps;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (t->maps[mid].end <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < t->n_maps && t->maps[lo].start <= at ? &t->maps[lo] : NULL;
}

bool target_add_mapping(struct target *t, const struct mapping *m)
{
    struct mapping *bigger = realloc(t->maps, (t->n_maps + 1) * sizeof(*bigger));

    if (!bigger)
        return false;
    t->maps = bigger;
    t->maps[t->n_maps] = *m;
    t->maps[t->n_maps].fd = -1;
    t->maps[t->n_maps].path = strdup(m->path);
    return t->maps[t->n_maps++].path != NULL;
}

struct registers target_registers_of(const struct user_regs_struct *u)
{
    return (struct registers){
        .r = {u->rax, u->rdx, u->rcx, u->rbx, u->rsi, u->rdi, u->rbp, u->rsp, u->r8, u->r9, u->r10,
              u->r11, u->r12, u->r13, u->r14, u->r15, u->rip},
        .whole = true,
    };
}

void target_breaks(struct target *t, const char *format, ...)
{
    va_list ap;

    if (t->broken[0])
        return;
    va_start(ap, format);
    vsnprintf(t->broken, sizeof(t->broken), format, ap);
    va_end(ap);
}
