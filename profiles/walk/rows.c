/* SPDX-License-Identifier: MIT */
/* rows.c - see rows.h.
 *
 * Owns: the list of blocks, the blocks, the dictionary of rules. The symbolizer thread writes, and
 * any thread reads, without a lock, also in signal handlers.
 *
 *   list        sorted {start, end, block} of the files that were learned; replaced as a whole
 *   block       of one file: the offsets of its rows, ascending, from the file's start (4 bytes
 *               each); the rule of each row, a number in the dictionary (2 bytes each); an index:
 *               how many rows begin before each 256th byte of code
 *   dictionary  each rule once, in chunks that stay: libc, libcrypto, libstdc++ and libsqlite3 have
 *               160,000 rows and 800 rules
 *
 * The store of `files` (release; pairs with the acquire in weft__rows_find) publishes a list with
 * its blocks and their rules. Both do not change until their memory is used again, except that a
 * dropped block is taken out of the list in place.
 *
 * A list or a block that was dropped may still have a reader. So its address range is never
 * unmapped, and lists are made of old lists only, blocks of old blocks. A dropped block keeps its
 * first page and reads as zero behind it: a late reader finds no rule. After ten seconds the range
 * is used again for a block of its size. A reader that was descheduled for ten seconds in the
 * middle of a lookup may then find a wrong rule, as in ruletable.c. It reads inside the range also
 * then: it takes a block's shape by one load, and bounds each index by it. */
#include "profiles/walk/rows.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "runtime/base/atomic.h"
#include "runtime/base/base.h"

enum { PAGE = 4096, SPAN_BITS = 8, CHUNK_BITS = 8, CHUNK = 1 << CHUNK_BITS };
enum { RULES = 1 << 15, CHUNKS = RULES / CHUNK };
/* Address space for lists and for blocks, at most, each. */
static const size_t ranges_most = (size_t)256 << 20;

int64_t weft__rows_rest = 10;

/* A range of address space, a power of 2 in size. */
struct range {
    struct range *next; /* in the list of those that are not used */
    size_t size;
    int64_t since; /* when it was dropped, by seconds() */
};

struct block {
    struct range range;
    uint64_t shape;  /* rows, and below them in the high half spans; one load takes both */
    uint32_t first;  /* a multiple of 256: the index begins there */
    uint32_t text[]; /* index[spans + 1], offsets[rows], ids[rows] */
};

struct file {
    uintptr_t start, end;
    struct block *block; /* atomic; NULL: the file was dropped */
};

struct list {
    struct range range;
    uint32_t n;
    struct file files[];
};

struct pool {
    struct range *idle;
    size_t mapped;
};

static struct list *files; /* atomic */
static struct pool lists, blocks;
static uint32_t n_rows; /* atomic */
static size_t n_bytes;  /* atomic: memory of the blocks in the list, and of the rules */

/* ---- the dictionary ---- */

static struct weft__rule *chunks[CHUNKS];
static uint32_t n_rules = 1;  /* rule 0 is none */
static uint16_t *ids_by_hash; /* 2 * RULES slots */

static size_t hash_of(const struct weft__rule *r)
{
    uint64_t words[sizeof *r / 8], h = 0;

    memcpy(words, r, sizeof words);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        h = (h ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15) ^ h >> 29;
    return (size_t)(h >> 48) & (2 * RULES - 1);
}

static struct weft__rule *rule_at(uint32_t id)
{
    struct weft__rule *chunk = chunks[(id >> CHUNK_BITS) % CHUNKS];

    return chunk == NULL ? NULL : &chunk[id % CHUNK];
}

/* Gives a rule the next number. Returns 0 if there is none, or if memory ran out. */
static uint16_t rule_new(const struct weft__rule *r)
{
    struct weft__rule **chunk = &chunks[n_rules / CHUNK % CHUNKS];

    if (n_rules == RULES)
        return 0;
    if (*chunk == NULL)
        *chunk = calloc(CHUNK, sizeof *r);
    if (*chunk == NULL)
        return 0;
    (*chunk)[n_rules % CHUNK] = *r;
    return (uint16_t)n_rules++;
}

uint16_t weft__rule_id(const struct weft__rule *r)
{
    if (ids_by_hash == NULL)
        ids_by_hash = calloc(2 * RULES, sizeof *ids_by_hash);
    if (ids_by_hash == NULL)
        return 0;
    for (size_t i = hash_of(r);; i = (i + 1) & (2 * RULES - 1)) {
        if (ids_by_hash[i] == 0)
            return ids_by_hash[i] = rule_new(r);
        if (memcmp(rule_at(ids_by_hash[i]), r, sizeof *r) == 0)
            return ids_by_hash[i];
    }
}

/* ---- ranges ---- */

static int64_t seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

/* Returns a range of at least this size. Returns NULL if there is none. */
static void *range_new(struct pool *p, size_t least)
{
    size_t size = PAGE;
    struct range *r;

    while (size < least)
        size *= 2;
    for (struct range **at = &p->idle; (r = *at) != NULL; at = &r->next) {
        if (r->size != size || seconds() - r->since < weft__rows_rest)
            continue;
        *at = r->next;
        return r;
    }
    if (size > ranges_most - p->mapped)
        return NULL;
    r = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED)
        return NULL;
    p->mapped += size;
    r->size = size;
    return r;
}

/* Drops a range, and gives its memory back, except the first page. */
static void range_drop(struct pool *p, struct range *r)
{
    if (r->size > PAGE)
        madvise((char *)r + PAGE, r->size - PAGE, MADV_DONTNEED);
    r->since = seconds();
    r->next = p->idle;
    p->idle = r;
}

/* ---- blocks ---- */

struct shape {
    uint32_t rows, spans;
};

static size_t size_of(struct shape s)
{
    return sizeof(struct block) + ((size_t)s.spans + 1 + s.rows) * sizeof(uint32_t) +
           s.rows * sizeof(uint16_t);
}

/* Fills the index: how many rows begin before each span. */
static void fill_index(struct block *b, struct shape s, const uint32_t *offsets)
{
    uint32_t row = 0;

    for (uint32_t i = 0; i <= s.spans; i++) {
        uint64_t begin = b->first + ((uint64_t)i << SPAN_BITS);
        while (row < s.rows && offsets[row] < begin)
            row++;
        b->text[i] = row;
    }
}

/* TSan does not check this: it sees no order between a reader of ten seconds ago and the reuse of a
 * range. */
__attribute__((no_sanitize("thread"))) static struct block *
block_new(const uint32_t *offsets, const uint16_t *ids, uint32_t n)
{
    uint32_t first = offsets[0] & ~UINT32_C(255);
    struct shape s = {.rows = n, .spans = ((offsets[n - 1] - first) >> SPAN_BITS) + 1};
    struct block *b = range_new(&blocks, size_of(s));

    if (b == NULL)
        return NULL;
    b->first = first;
    weft__store(&b->shape, (uint64_t)s.rows << 32 | s.spans);
    fill_index(b, s, offsets);
    memcpy(b->text + s.spans + 1, offsets, n * sizeof offsets[0]);
    memcpy(b->text + s.spans + 1 + n, ids, n * sizeof ids[0]);
    return b;
}

static struct shape shape_of(const struct block *b)
{
    uint64_t both = weft__load(&b->shape);

    return (struct shape){.rows = (uint32_t)(both >> 32), .spans = (uint32_t)both};
}

/* Returns n / 2 if the condition holds, else 0; without a branch, which would be mispredicted as
 * often as not. */
static inline uint32_t half_if(uint32_t n, bool holds)
{
    return n / 2 & -(uint32_t)holds;
}

/* Returns how many rows begin at off or before. */
__attribute__((no_sanitize("thread"))) static uint32_t rows_until(const struct block *b,
                                                                  struct shape s, uint32_t off)
{
    const uint32_t *index = b->text + ((off - b->first) >> SPAN_BITS);
    const uint32_t *offsets = b->text + s.spans + 1;
    uint32_t at = index[0], end = index[1], n;

    if (end > s.rows || at > end)
        return 0; /* a late reader */
    for (n = end - at; n > 1; n -= n / 2)
        at += half_if(n, offsets[at + n / 2 - 1] <= off);
    return at + (n == 1 && offsets[at] <= off);
}

/* Returns the rule of the code at off, counted from the file's start. async-signal-safe */
__attribute__((no_sanitize("thread"))) static const struct weft__rule *
in_block(const struct block *b, uint32_t off)
{
    static const struct weft__rule none = {.flags = WEFT__RULE_NONE};
    struct shape s = shape_of(b);
    const uint16_t *ids = (const uint16_t *)(b->text + s.spans + 1 + s.rows);
    uint32_t n, id;

    if (off < b->first)
        return &none;
    n = (off - b->first) >> SPAN_BITS < s.spans ? rows_until(b, s, off) : s.rows;
    if (n == 0)
        return &none;
    id = ids[n - 1];
    return id == 0 ? NULL : rule_at(id);
}

/* async-signal-safe */
__attribute__((no_sanitize("thread"))) const struct weft__rule *weft__rows_find(uintptr_t addr)
{
    const struct list *l = weft__load_acq(&files);
    const struct file *f;
    const struct block *b;
    uint32_t n = l == NULL ? 0 : l->n, at = 0;

    if (n == 0)
        return NULL;
    for (; n > 1; n -= n / 2) {
        if (l->files[at + n / 2].start <= addr) /* few files: predicted */
            at += n / 2;
    }
    f = &l->files[at];
    if (addr < f->start || addr >= f->end)
        return NULL;
    b = weft__load_acq(&f->block);
    return b == NULL ? NULL : in_block(b, (uint32_t)(addr - f->start));
}

/* ---- the list ---- */

/* Makes a list of the files that old has, without those that were dropped, and of one more. Returns
 * NULL if there is no room. */
__attribute__((no_sanitize("thread"))) static struct list *list_new(const struct list *old,
                                                                    const struct file *more)
{
    uint32_t n = old == NULL ? 0 : old->n, i = 0;
    struct list *l = range_new(&lists, sizeof *l + (n + 1) * sizeof l->files[0]);

    if (l == NULL)
        return NULL;
    l->n = 0;
    for (; i < n && old->files[i].start < more->start; i++) {
        if (old->files[i].block != NULL)
            l->files[l->n++] = old->files[i];
    }
    l->files[l->n++] = *more;
    for (; i < n; i++) {
        if (old->files[i].block != NULL)
            l->files[l->n++] = old->files[i];
    }
    return l;
}

static void count(const struct list *l)
{
    uint32_t rows = 0;
    size_t bytes = 0;

    for (uint32_t i = 0; i < l->n; i++) {
        const struct block *b = l->files[i].block;
        struct shape s = b == NULL ? (struct shape){0, 0} : shape_of(b);

        rows += s.rows;
        bytes += b == NULL ? 0 : size_of(s);
    }
    weft__store(&n_rows, rows);
    weft__store(&n_bytes, bytes + n_rules * sizeof(struct weft__rule));
}

static void publish(struct list *l)
{
    struct list *old = weft__load(&files);

    weft__store_rel(&files, l);
    count(l);
    if (old != NULL)
        range_drop(&lists, &old->range);
}

bool weft__rows_publish(uintptr_t start, uintptr_t end, const uint32_t *offsets,
                        const uint16_t *ids, uint32_t n)
{
    struct file f = {.start = start, .end = end};
    struct list *l = NULL;

    if (n == 0 || n > WEFT__ROWS_MOST - weft__load(&n_rows))
        return false;
    f.block = block_new(offsets, ids, n);
    if (f.block != NULL)
        l = list_new(weft__load(&files), &f);
    if (l != NULL)
        publish(l);
    else if (f.block != NULL)
        range_drop(&blocks, &f.block->range);
    return l != NULL;
}

void weft__rows_drop(uintptr_t lo, uintptr_t hi)
{
    struct list *l = weft__load(&files);

    for (uint32_t i = 0; l != NULL && i < l->n; i++) {
        struct file *f = &l->files[i];
        struct block *b = weft__load(&f->block);
        if (b == NULL || f->start >= hi || lo >= f->end)
            continue;
        weft__store_rel(&f->block, NULL);
        range_drop(&blocks, &b->range);
    }
    if (l != NULL)
        count(l);
}

uint32_t weft__rows_count(size_t *bytes)
{
    *bytes = weft__load(&n_bytes);
    return weft__load(&n_rows);
}
