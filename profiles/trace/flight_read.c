/* SPDX-License-Identifier: MIT */
/* flight_read.c - see flight.h: the reader of a record.
 *
 * Owns nothing; a record belongs to its caller. The bytes are those of a file that a dying process
 * wrote to until the end, or that anybody else wrote: each number is checked before it is used. An
 * event that was being written when the process died is not counted in its piece yet. */
#include "profiles/trace/flight.h"

#include <stdlib.h>
#include <string.h>

enum { STRANDS_MOST = 1 << 20, FRAMES_MOST = 1 << 16, IDS_MOST = 1 << 24 };

/* A piece of the tape that can be read. */
struct piece {
    const struct weft__tape_piece *at;
    uint64_t serial;
    uint32_t strand, n;
};

static bool fits(const struct weft__flight_head *h, const struct weft__flight_part *p)
{
    return p->at % WEFT__FLIGHT_PAGE == 0 && p->at >= WEFT__FLIGHT_PAGE && p->at <= h->size &&
           p->size <= h->size - p->at;
}

/* Returns what is wrong with a head, or NULL. */
static const char *check_head(const struct weft__flight_head *h)
{
    if (h->version != WEFT__FLIGHT_VERSION)
        return "another version of weft wrote this record";
    if (!fits(h, &h->maps) || !fits(h, &h->stacks) || !fits(h, &h->names) || !fits(h, &h->tape) ||
        h->maps_used > h->maps.size || h->stacks_used > h->stacks.size || h->later_at > 1 ||
        h->stacks_used % sizeof(uint64_t) != 0 || h->program[sizeof(h->program) - 1] != '\0')
        return "the head of the record is damaged";
    return NULL;
}

/* Returns how many of a part's bytes the file has. */
static uint64_t there(const weft__flight *f, const struct weft__flight_part *p, uint64_t wanted)
{
    uint64_t left = f->size > p->at ? f->size - p->at : 0;

    return wanted < left ? wanted : left;
}

/* Events --------------------------------------------------------------------------------------- */

static int by_strand(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    if (x->strand != y->strand)
        return x->strand < y->strand ? -1 : 1;
    return (x->serial > y->serial) - (x->serial < y->serial);
}

/* Lists the pieces that have events, by strand, oldest first. Returns how many. */
static size_t list_pieces(const weft__flight *f, struct piece *to)
{
    const size_t head_size = offsetof(struct weft__tape_piece, events);
    const char *tape = f->bytes + f->head->tape.at;
    uint64_t size = there(f, &f->head->tape, f->head->tape.size);
    size_t n = 0;

    for (uint64_t at = WEFT__TAPE_HEAD_SIZE; at + head_size <= size; at += sizeof(*to->at)) {
        const struct weft__tape_piece *p = (const void *)(tape + at);
        uint64_t whole = (size - at - head_size) / sizeof(p->events[0]);
        struct piece one = {p, p->serial, p->strand, p->n};

        if (one.n > whole)
            one.n = (uint32_t)whole;
        if (one.serial && one.n && one.n <= WEFT__PIECE_EVENTS && one.strand < STRANDS_MOST)
            to[n++] = one;
    }
    qsort(to, n, sizeof(*to), by_strand);
    return n;
}

/* Copies the events that make sense. Of those that the program added only seq is kept: their texts
 * are not in the record. Nor are sets of labels, by their numbers. */
static void copy_events(struct weft__span *to, const struct piece *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        struct weft__event e = p->at->events[i];

        if (e.kind == WEFT__EV_NONE || e.kind > WEFT__EV_DELAY)
            continue;
        if (e.kind >= WEFT__EV_TASK_BEGIN && e.kind <= WEFT__EV_MORE)
            e.kind = WEFT__EV_NONE;
        to->events[to->n++] = e;
    }
}

/* Adds how many processors ran tasks when the events begin, and the changes since then. */
static void add_procs(weft__flight *f)
{
    const struct weft__flight_head *h = f->head;
    uint64_t n = h->procs_n, first = n > WEFT__FLIGHT_PROCS ? n - WEFT__FLIGHT_PROCS : 0;
    int64_t oldest = INT64_MAX;

    for (size_t i = 0; i < f->span.n; i++) {
        const struct weft__event *e = &f->span.events[i];

        if (e->kind != WEFT__EV_MARK && e->ticks < oldest)
            oldest = e->ticks;
    }
    while (first + 1 < n && h->procs[(first + 1) % WEFT__FLIGHT_PROCS].ticks <= oldest)
        first++;
    for (; first < n; first++) {
        const struct weft__flight_procs *one = &h->procs[first % WEFT__FLIGHT_PROCS];

        weft__span_add_procs(&f->span, one->ticks, one->n);
    }
}

static bool read_events(weft__flight *f)
{
    uint64_t room =
        there(f, &f->head->tape, f->head->tape.size) / sizeof(struct weft__tape_piece) + 1;
    struct piece *pieces = calloc(room, sizeof(*pieces));
    struct weft__span *to = &f->span;
    size_t n = pieces ? list_pieces(f, pieces) : 0, total = 0;

    for (size_t i = 0; i < n; i++)
        total += pieces[i].n;
    to->events = calloc(total + 2 * WEFT__FLIGHT_PROCS, sizeof(*to->events));
    to->strands = calloc(n + WEFT__FLIGHT_PROCS, sizeof(*to->strands));
    for (size_t i = 0; to->events && to->strands && i < n; i++) {
        if (i == 0 || pieces[i].strand != pieces[i - 1].strand)
            to->strands[to->n_strands++].first = to->n;
        copy_events(to, &pieces[i]);
        to->strands[to->n_strands - 1].n = to->n - to->strands[to->n_strands - 1].first;
    }
    free(pieces);
    if (pieces && to->events && to->strands)
        add_procs(f);
    return pieces && to->events && to->strands;
}

/* Stacks, names, time -------------------------------------------------------------------------- */

static bool read_stacks(weft__flight *f)
{
    const uint64_t *word = (const void *)(f->bytes + f->head->stacks.at);
    uint64_t n = there(f, &f->head->stacks, f->head->stacks_used) / sizeof(*word);

    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t at = 0; at < n;) {
            uint32_t id = (uint32_t)(word[at] >> 32), frames = (uint32_t)word[at];

            if (id == 0 || id > IDS_MOST || frames > FRAMES_MOST || frames >= n - at)
                break;
            if (pass == 0 && id > f->n_stacks)
                f->n_stacks = id;
            if (pass == 1)
                f->stacks[id - 1] = &word[at];
            at += 1 + frames;
        }
        if (pass == 0)
            f->stacks = calloc(f->n_stacks + 1, sizeof(const uint64_t *));
        if (!f->stacks)
            return false;
    }
    return true;
}

const uint64_t *weft__flight_stack(const weft__flight *f, uint32_t id, uint32_t *n)
{
    const uint64_t *word = id && id <= f->n_stacks ? f->stacks[id - 1] : NULL;

    *n = word ? (uint32_t)*word : 0;
    return word ? word + 1 : NULL;
}

bool weft__flight_name_of(const weft__flight *f, uint64_t task, struct weft__flight_name *out)
{
    uint64_t n = f->head->names.size / sizeof(*out), at;
    const struct weft__flight_name *names = (const void *)(f->bytes + f->head->names.at);

    if (n == 0 || (n & (n - 1)) != 0)
        return false;
    at = weft__flight_place(task, n);
    if (there(f, &f->head->names, (at + 1) * sizeof(*out)) < (at + 1) * sizeof(*out))
        return false;
    *out = names[at];
    out->name[sizeof(out->name) - 1] = '\0';
    memset(out->labels + sizeof(out->labels) - 3, 0, 3);
    return out->task == task && out->seq % 2 == 0;
}

/* Subtracts. Of a damaged record the result may be too large; then it is wrong, but defined. */
static int64_t minus(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

int64_t weft__flight_nanos(const weft__flight *f, int64_t ticks)
{
    struct weft__flight_clock a = f->head->first, b = f->head->later[f->head->later_at];
    double rate = b.ticks > a.ticks && b.nanos > a.nanos
                      ? (double)minus(b.nanos, a.nanos) / (double)minus(b.ticks, a.ticks)
                      : 1.0;
    double nanos = (double)minus(ticks, a.ticks) * rate;

    return nanos > -4e18 && nanos < 4e18 && a.nanos > 0 && a.nanos < INT64_MAX / 4
               ? a.nanos + (int64_t)nanos
               : 0;
}

/* The whole ------------------------------------------------------------------------------------ */

const char *weft__flight_read(weft__flight *f, const void *bytes, uint64_t size)
{
    const char *wrong;

    *f = (weft__flight){.head = bytes, .bytes = bytes, .size = size};
    if (size < WEFT__FLIGHT_PAGE || memcmp(f->head->magic, WEFT__FLIGHT_MAGIC, 16) != 0)
        return "this is no record of weft's flight recorder";
    wrong = check_head(f->head);
    if (wrong)
        return wrong;
    f->torn = size < f->head->size;
    if (!read_events(f) || !read_stacks(f)) {
        weft__flight_free(f);
        return "memory ran out";
    }
    return NULL;
}

void weft__flight_free(weft__flight *f)
{
    weft__span_free(&f->span);
    free(f->stacks);
    *f = (weft__flight){.head = NULL};
}
