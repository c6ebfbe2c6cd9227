/* SPDX-License-Identifier: MIT */
/* tape.c - the readers of the tape, their cuts, and the state when they begin.
 *
 * Owns: the readers. Lock: `lock`, a pthread mutex, guards opening, closing and cuts; no code under
 * it waits for a task.
 *
 * A reader remembers how far it has read each piece, by the piece's serial. It copies while writers
 * go on, and looks at the serial again afterwards.
 *
 * A cut: its number is stored, then a heavy fence, then each ring that is busy is waited for. See
 * the head of hear.c. */
#include "profiles/trace/tape.h"

#include "profiles/capture/tasks.h"
#include "profiles/trace/rings.h"
#include "runtime/base/death.h"

#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned n_readers; /* guarded by lock */

/* How far a reader has read each piece and each strand. */
struct weft__reader {
    uint32_t first_cut, last_cut; /* events before first_cut are not the reader's */
    int64_t cut_ticks;
    int active; /* processors that ran tasks at the last cut; 0: no run had begun */
    int64_t active_since;
    uint64_t serials;  /* at the last cut */
    uint32_t run;      /* number of the run whose events it reads */
    uint64_t *strands; /* events read of each */
    size_t strands_cap;
    struct part *parts; /* n_pieces of them, for read; large, so kept */
    struct {
        uint64_t serial;
        uint32_t taken;
    } pieces[];
};

/* A part of a piece that is to be read. */
struct part {
    uint64_t serial;
    uint32_t strand, piece, from, until;
};

/* Readers -------------------------------------------------------------------------------------- */

bool weft__tape_ended(const weft__reader *r)
{
    return weft__load_acq(&weft__tape.ended_run) >= r->run;
}

/* Notes how many processors run tasks. After the run it stays what it was. */
static void look_at_procs(weft__reader *r)
{
    int n = weft__load_acq(&weft__sched.active);

    if (n == 0)
        return;
    r->active = n;
    r->active_since = weft__load(&weft__sched.active_since);
}

/* Makes a cut for r. Caller holds lock. */
static void cut(weft__reader *r)
{
    r->last_cut = weft__tape.cuts + 1;
    weft__store(&weft__tape.cuts, r->last_cut);
    if (weft__load(&weft__sched.running) && !weft__tape_ended(r) && !weft__is_dying())
        weft__store_rel(&weft__tape.cut, r->last_cut);
    weft__tape_wait();
    r->cut_ticks = weft__ticks();
    r->serials = weft__load(&weft__tape.serials);
    look_at_procs(r);
}

/* Makes room for n elements of this size in an array. New ones are zero. */
static bool grow(void *array, size_t *cap, size_t n, size_t size)
{
    void **at = array, *more;

    if (n <= *cap)
        return true;
    n += n / 2 + 16;
    more = realloc(*at, n * size);
    if (!more)
        return false;
    memset((char *)more + *cap * size, 0, (n - *cap) * size);
    *at = more;
    *cap = n;
    return true;
}

static void reader_free(weft__reader *r)
{
    free(r->strands);
    free(r->parts);
    free(r);
}

static weft__reader *reader_new(void)
{
    weft__reader *r = calloc(1, sizeof(*r) + weft__tape.n_pieces * sizeof(r->pieces[0]));

    if (r && !(r->parts = calloc(weft__tape.n_pieces, sizeof(*r->parts)))) {
        reader_free(r);
        r = NULL;
    }
    return r;
}

/* Takes what is on the tape for read, before r's first cut. */
static bool skip(weft__reader *r)
{
    if (!grow(&r->strands, &r->strands_cap, weft__load(&weft__tape.n_strands), sizeof(uint64_t)))
        return false;
    for (uint32_t i = 0; i < weft__tape.n_pieces; i++) {
        const struct weft__tape_piece *p = &weft__tape.pieces[i];
        uint64_t serial = weft__load_acq(&p->serial), read;
        uint32_t n = weft__load_acq(&p->n), strand = weft__load(&p->strand);

        if (serial == 0 || strand >= r->strands_cap)
            continue;
        r->pieces[i].serial = serial;
        r->pieces[i].taken = n;
        read = weft__load(&p->before) + n;
        if (read > r->strands[strand])
            r->strands[strand] = read;
    }
    return true;
}

weft__reader *weft__tape_open(void)
{
    weft__reader *r = NULL;

    pthread_mutex_lock(&lock);
    if (n_readers > 0 || weft__tape_new())
        r = reader_new();
    if (r && n_readers == 0)
        weft__hear_begin();
    if (r && (!skip(r) || (n_readers == 0 && !weft__sinks_add(&weft__hear)))) {
        reader_free(r);
        r = NULL;
    }
    if (r) {
        n_readers++;
        r->run = weft__run_number + !weft__load(&weft__sched.running);
        cut(r);
        r->first_cut = r->last_cut;
    } else if (n_readers == 0) {
        weft__tape_free();
    }
    pthread_mutex_unlock(&lock);
    return r;
}

void weft__tape_close(weft__reader *r)
{
    pthread_mutex_lock(&lock);
    reader_free(r);
    if (--n_readers == 0) {
        weft__store_rel(&weft__tape.cut, 0);
        weft__sinks_remove(&weft__hear);
        weft__tape_free();
    }
    pthread_mutex_unlock(&lock);
}

unsigned weft__tape_fill(const weft__reader *r)
{
    uint64_t n = weft__load(&weft__tape.serials) - r->serials;

    return n >= weft__tape.n_pieces ? 256 : (unsigned)(n * 256 / weft__tape.n_pieces);
}

/* Reading -------------------------------------------------------------------------------------- */

static int by_strand(const void *a, const void *b)
{
    const struct part *x = a, *y = b;

    if (x->strand != y->strand)
        return x->strand < y->strand ? -1 : 1;
    return (x->serial > y->serial) - (x->serial < y->serial);
}

/* Lists the parts of pieces that r has not read, by strand and age. total receives their events. */
static size_t list_parts(weft__reader *r, size_t *total)
{
    size_t n = 0;

    *total = 0;
    for (uint32_t i = 0; i < weft__tape.n_pieces; i++) {
        const struct weft__tape_piece *p = &weft__tape.pieces[i];
        uint64_t serial = weft__load_acq(&p->serial);
        struct part part = {.serial = serial, .piece = i};

        if (serial == 0)
            continue;
        part.until = weft__load_acq(&p->n);
        part.strand = weft__load(&p->strand);
        part.from = r->pieces[i].serial == serial ? r->pieces[i].taken : 0;
        if (part.from >= part.until || part.until > WEFT__PIECE_EVENTS)
            continue;
        r->parts[n++] = part;
        *total += part.until - part.from;
    }
    qsort(r->parts, n, sizeof(*r->parts), by_strand);
    return n;
}

static struct weft__event read_event(const struct weft__tape_piece *p, uint32_t i)
{
    const uint64_t *from = (const uint64_t *)(const void *)&p->events[i];
    uint64_t word[4];
    struct weft__event e;

    for (int k = 0; k < 4; k++)
        word[k] = weft__load(&from[k]);
    memcpy(&e, word, sizeof(e));
    return e;
}

/* Copies a part into the span, up to the reader's latest cut. Returns false if the cut was there,
 * so that nothing behind it on the strand is read. */
static bool copy_part(weft__reader *r, const struct part *part, struct weft__span *to)
{
    const struct weft__tape_piece *p = &weft__tape.pieces[part->piece];
    uint64_t before = weft__load(&p->before);
    size_t n = to->n;
    uint32_t i;

    for (i = part->from; i < part->until; i++) {
        struct weft__event *e = &to->events[n];

        *e = read_event(p, i);
        if (e->kind == WEFT__EV_MARK && e->seq >= r->last_cut)
            break;
        n++;
    }
    weft__fence_full();
    if (weft__load(&p->serial) != part->serial) {
        to->missed = true;
        return true;
    }
    if (before + part->from != r->strands[part->strand])
        to->missed = true;
    r->strands[part->strand] = before + i;
    r->pieces[part->piece].serial = part->serial;
    r->pieces[part->piece].taken = i;
    to->n = n;
    return i == part->until;
}

/* Drops the events of a strand that lie before the reader's first cut. */
static size_t drop_early(const weft__reader *r, struct weft__event *e, size_t n)
{
    size_t i = 0;

    while (i < n && !(e[i].kind == WEFT__EV_MARK && e[i].seq >= r->first_cut))
        i++;
    memmove(e, e + i, (n - i) * sizeof(*e));
    return n - i;
}

static bool read_parts(weft__reader *r, struct weft__span *to)
{
    size_t total, n = list_parts(r, &total), i = 0;

    if (!grow(&to->events, &to->cap, total, sizeof(*to->events)) ||
        !grow(&to->strands, &to->strands_cap, n, sizeof(*to->strands)) ||
        !grow(&r->strands, &r->strands_cap, weft__load(&weft__tape.n_strands), sizeof(*r->strands)))
        return false;
    while (i < n) {
        struct weft__strand *strand = &to->strands[to->n_strands];
        uint32_t id = r->parts[i].strand;

        strand->first = to->n;
        for (bool on = true; i < n && r->parts[i].strand == id; i++)
            on = on && copy_part(r, &r->parts[i], to);
        strand->n = to->n - strand->first;
        to->n_strands += strand->n > 0;
    }
    return true;
}

/* Drops what lies before the reader's first cut from its first span. It misses nothing that was
 * written over before that cut. */
static void drop_all_early(const weft__reader *r, struct weft__span *to)
{
    size_t n = 0, strands = 0;

    for (size_t i = 0; i < to->n_strands; i++) {
        struct weft__strand s = to->strands[i];

        s.n = drop_early(r, to->events + s.first, s.n);
        memmove(to->events + n, to->events + s.first, s.n * sizeof(*to->events));
        s.first = n;
        n += s.n;
        if (s.n > 0)
            to->strands[strands++] = s;
    }
    to->n = n;
    to->n_strands = strands;
}

/* Adds how many processors ran tasks at the beginning of the first span, and a change since then.
 * Of several changes in a span only the last one is known. */
static bool add_procs(const weft__reader *r, struct weft__span *to, bool first, int before)
{
    int64_t since = r->active_since;

    if (!grow(&to->events, &to->cap, to->n + 4, sizeof(*to->events)) ||
        !grow(&to->strands, &to->strands_cap, to->n_strands + 2, sizeof(*to->strands)))
        return false;
    if (first && before != 0)
        weft__span_add_procs(to, to->from, (uint64_t)before);
    if (r->active != before)
        weft__span_add_procs(to,
                             since < to->from    ? to->from
                             : since > to->until ? to->until
                                                 : since,
                             (uint64_t)r->active);
    return true;
}

bool weft__tape_read(weft__reader *r, struct weft__span *to)
{
    bool first = r->last_cut == r->first_cut, late = weft__tape_fill(r) == 256, good;
    int active = r->active;

    weft__tape_learn_all(true);
    pthread_mutex_lock(&lock);
    to->n = to->n_strands = 0;
    to->missed = false;
    to->from = r->cut_ticks;
    to->ended = weft__tape_ended(r);
    cut(r);
    to->until = r->cut_ticks;
    pthread_mutex_unlock(&lock);
    good = read_parts(r, to);
    if (first) {
        drop_all_early(r, to);
        to->missed = late;
    }
    return good && add_procs(r, to, first, active);
}

void weft__span_free(struct weft__span *s)
{
    free(s->events);
    free(s->strands);
    *s = (struct weft__span){.events = NULL};
}

/* The start ------------------------------------------------------------------------------------ */

/* Lists the threads with a processor or a task. */
static bool list_threads(struct weft__tape_start *out)
{
    size_t cap = weft__load(&weft__sched.nthreads) + 16;

    out->threads = calloc(cap, sizeof(*out->threads));
    if (!out->threads)
        return false;
    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    for (const weft__worker *w = weft__sched.all; w && out->n_threads < cap; w = w->all) {
        const weft__proc *p = weft__load(&w->p);
        const weft__task *t = weft__load(&w->task);

        if (p || t)
            out->threads[out->n_threads++] = (struct weft__tape_thread){
                .thread = (uint32_t)weft__load(&w->tid),
                .proc = p ? p->index : WEFT__NO_PROC,
                .task = t ? weft__load(&t->id) : 0,
            };
    }
    weft__unlock(&weft__sched.lock);
    return true;
}

bool weft__tape_start(struct weft__tape_start *out)
{
    *out = (struct weft__tape_start){.tasks = NULL};
    if (weft__snapshot_get(&out->tasks) < 0)
        out->tasks = NULL;
    return list_threads(out);
}

void weft__tape_start_free(struct weft__tape_start *s)
{
    weft__snapshot_put(s->tasks);
    free(s->threads);
    *s = (struct weft__tape_start){.tasks = NULL};
}
