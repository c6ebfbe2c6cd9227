/* SPDX-License-Identifier: MIT */
/* tasks_text.c - writes a snapshot as text, one block for each task: debug=2 and debug=3.
 *
 * Owns nothing. Called by any task or thread with no lock held: it may wait for the symbolizer and
 * for the sink.
 *
 * debug=2 follows Go's grammar, so narrowly that its strictest reader takes every block:
 *   goroutine 18 [chan receive, 3 minutes, locked to thread]:
 *   worker(...)
 *           /src/app.c:42 +0x1f
 *   created by main in goroutine 1
 *           /src/app.c:77 +0x5a
 * with one empty line between blocks, at least one frame in each, and nothing else.
 * debug=3 adds the task's name and labels behind the bracket, lines that begin with "# ", true file
 * names, and the runtime's own frames at the inner end, which debug=2 hides as Go does. It begins
 * with
 *   # tasks: 1234 (12 running, 3 in calls, 7 runnable, 1212 waiting)
 *   # processors: 2, threads: 5 (1 spare, 2 without a processor, at most 514)
 *   # at the cap: tasks that block wait for a thread
 *   # number of processors by: CPU quota of a cgroup
 *   # processor 0: thread 4711 waited for a CPU for 5678 us, lately for 12 us
 *   # process_vm_readv: Operation not permitted: the holders of locks are not shown */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/capture/snapshot.h"
#include "profiles/render/forbidden.h"
#include "profiles/render/frame_text.h"
#include "profiles/render/output.h"
#include "profiles/render/tasks_merged.h"
#include "profiles/table/marks.h"
#include "profiles/walk/unwind.h"

#define SECOND INT64_C(1000000000)

struct dump {
    const struct weft__snapshot *s;
    struct weft__out *o;
    struct weft__frame_texts *frames, *creators;
    bool full;  /* debug=3 */
    bool begun; /* a block was written, so the next one needs an empty line before it */
};

static const char *state_text(const struct weft__record *r)
{
    switch (r->state) {
    case WEFT__REC_RUNNABLE:
        return "runnable";
    case WEFT__REC_RUNNING:
        return "running";
    case WEFT__REC_SYSCALL:
        return "syscall";
    default:
        return weft__wait_text(r->reason);
    }
}

static bool is_bare_label(const char *s)
{
    return *s &&
           s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")] == 0;
}

/* Writes a key or value of a label as Go does in dumps: quoted only where needed. */
static void put_label(struct weft__out *o, const char *s)
{
    if (is_bare_label(s))
        weft__out_str(o, s);
    else
        weft__out_quoted(o, s);
}

/* Writes the name, then the labels, as Go 1.27 writes labels. */
static void put_tags(struct weft__out *o, const weft__tags *tags)
{
    const char *name = weft__tags_name(tags), *before = " {";
    const weft__tags *set = weft__tags_set(tags);

    if (name) {
        weft__out_str(o, " {name: ");
        put_label(o, name);
        before = ", ";
    }
    for (uint32_t i = 0; set && i < set->n; i++) {
        weft__out_str(o, before);
        put_label(o, set->labels[i].key);
        weft__out_str(o, ": ");
        put_label(o, set->labels[i].value);
        before = ", ";
    }
    if (name || set)
        weft__out_char(o, '}');
}

static void put_header(struct dump *d, const struct weft__record *r)
{
    int64_t minutes = weft__record_waited(d->s, r) / (60 * SECOND);
    struct weft__out *o = d->o;

    weft__out_str(o, "goroutine ");
    weft__out_dec(o, r->id);
    weft__out_str(o, " [");
    weft__out_str(o, state_text(r));
    if (minutes >= 1) {
        weft__out_str(o, ", ");
        weft__out_dec(o, (uint64_t)minutes);
        weft__out_str(o, " minutes");
    }
    if (r->flags & WEFT__REC_LOCKED)
        weft__out_str(o, ", locked to thread");
    weft__out_char(o, ']');
    if (d->full && r->tags)
        put_tags(o, r->tags);
    weft__out_str(o, ":\n");
}

/* Writes n / unit without trailing zeros: "1.5". unit is a power of ten. */
static void put_fraction(struct weft__out *o, int64_t n, int64_t unit)
{
    weft__out_dec(o, (uint64_t)(n / unit));
    n %= unit;
    if (n)
        weft__out_char(o, '.');
    while (n) {
        unit /= 10;
        weft__out_char(o, (char)('0' + n / unit));
        n %= unit;
    }
}

/* Writes a duration as Go does, exact to the nanosecond: "1h2m0.5s", "12.5ms", "700ns". */
static void put_duration(struct weft__out *o, int64_t ns)
{
    if (ns < SECOND) {
        int64_t unit = ns < 1000 ? 1 : ns < 1000000 ? 1000 : 1000000;

        put_fraction(o, ns, unit);
        weft__out_str(o, unit == 1 ? "ns" : unit == 1000 ? "us" : "ms");
        return;
    }
    if (ns >= 3600 * SECOND) {
        weft__out_dec(o, (uint64_t)(ns / (3600 * SECOND)));
        weft__out_char(o, 'h');
    }
    if (ns >= 60 * SECOND) {
        weft__out_dec(o, (uint64_t)(ns / (60 * SECOND) % 60));
        weft__out_char(o, 'm');
    }
    put_fraction(o, ns % (60 * SECOND), SECOND);
    weft__out_char(o, 's');
}

/* Writes the "# " lines of a task: how long it has waited, for which object, and that object's
 * holder. */
static void put_remarks(struct dump *d, const struct weft__record *r)
{
    int64_t ns = weft__record_waited(d->s, r);

    if (ns >= 0) {
        weft__out_str(d->o, "# waited: ");
        put_duration(d->o, ns);
        weft__out_char(d->o, '\n');
    }
    if (r->state != WEFT__REC_WAITING || (!r->object && !r->owner))
        return;
    weft__out_str(d->o, "# waits-for:");
    if (r->object) {
        weft__out_char(d->o, ' ');
        weft__out_hex(d->o, (uintptr_t)r->object);
    }
    if (r->owner) {
        weft__out_str(d->o, " held by goroutine ");
        weft__out_dec(d->o, r->owner);
    }
    weft__out_char(d->o, '\n');
}

static struct weft__frame_text text_of(struct dump *d, struct weft__frame_texts *l, uintptr_t ret)
{
    struct weft__frame_text t = weft__frame_text_of(l, ret);

    if (!t.text) {
        d->o->rc = -ENOMEM;
        t.text = "";
    }
    return t;
}

/* Returns the first frame to show. debug=2 begins at the library's call that the program made, or
 * behind the runtime's internal frames, unless there are no others. */
static uint32_t first_shown(struct dump *d, const struct weft__stack_entry *e, uintptr_t shift)
{
    uint32_t i = 0;

    if (d->full)
        return 0;
    while (i < e->kept && text_of(d, d->frames, e->pcs[i] + shift).internal)
        i++;
    for (uint32_t k = i; i > 0 && k < e->kept && k <= i + WEFT__FRAME_STATICS; k++)
        if (text_of(d, d->frames, e->pcs[k] + shift).call)
            return k;
    return i < e->kept ? i : 0;
}

static void put_frame(struct dump *d, uintptr_t ret)
{
    struct weft__frame_text t = text_of(d, d->frames, ret);

    weft__out_put(d->o, t.text, t.n);
}

/* Writes a line for the frames from i on that are left out. Returns the first frame of the stack's
 * last half, which is shown. If the mark before guesses is left out, writes it here: all frames
 * that follow are guesses. */
static uint32_t put_gap(struct dump *d, const struct weft__stack_entry *e, uint32_t i)
{
    uint32_t next = e->kept - d->s->half;

    weft__out_str(d->o, WEFT__ELIDED);
    for (; i < next; i++) {
        if (e->pcs[i] == WEFT__MARK_GUESS)
            put_frame(d, WEFT__MARK_GUESS);
    }
    return next;
}

static void put_frames(struct dump *d, const struct weft__record *r)
{
    const struct weft__stack_entry *e = weft__record_stack(d->s, r);
    uintptr_t shift = weft__record_shift(r);
    uint32_t gap, first;

    if (!e) {
        weft__out_str(d->o, "?\?(...)\n\t??:0\n"); /* the backslash: no trigraph */
        return;
    }
    first = first_shown(d, e, shift);
    gap = e->kept;
    if (d->s->half > 0 && e->kept - first > 2 * d->s->half)
        gap = first + d->s->half;
    for (uint32_t i = first; i < e->kept; i++) {
        if (i == gap)
            i = put_gap(d, e, i);
        put_frame(d, e->pcs[i] + shift);
    }
}

static void put_creator(struct dump *d, const struct weft__record *r)
{
    struct weft__frame_text t;

    if (!r->creator_pc)
        return;
    t = text_of(d, d->creators, r->creator_pc);
    weft__out_put(d->o, t.text, t.mid);
    if (!(r->flags & WEFT__REC_FOREIGN_CREATOR)) {
        weft__out_str(d->o, " in goroutine ");
        weft__out_dec(d->o, r->creator);
    }
    weft__out_put(d->o, t.text + t.mid, t.n - t.mid);
}

static void put_block(struct dump *d, const struct weft__record *r)
{
    if (d->begun)
        weft__out_char(d->o, '\n');
    d->begun = true;
    put_header(d, r);
    if (d->full)
        put_remarks(d, r);
    put_frames(d, r);
    put_creator(d, r);
}

static void put_count(struct weft__out *o, const char *before, uint64_t n, const char *after)
{
    weft__out_str(o, before);
    weft__out_dec(o, n);
    weft__out_str(o, after);
}

/* Writes how long the kernel kept the thread of each processor waiting for a CPU. */
static void put_delays(struct dump *d)
{
    const struct weft__sched_counts *c = &d->s->sched;

    for (uint32_t i = 0; i < c->n_delays; i++) {
        put_count(d->o, "# processor ", i, "");
        put_count(d->o, ": thread ", c->delays[i].thread, "");
        put_count(d->o, " waited for a CPU for ", c->delays[i].total / 1000, " us");
        put_count(d->o, ", lately for ", c->delays[i].latest / 1000, " us\n");
    }
    if (!c->delay_error)
        return;
    weft__out_str(d->o, "# /proc/thread-self/schedstat: ");
    weft__out_str(d->o, strerrordesc_np(c->delay_error));
    weft__out_str(d->o, ": waits for a CPU are not shown\n");
}

/* Writes the head of debug=3. Counts only the tasks that are shown, so that it agrees with the
 * blocks below. */
static void put_counts(struct dump *d)
{
    const struct weft__sched_counts *c = &d->s->sched;
    const struct weft__record *end = d->s->records + d->s->n;
    size_t total = 0, by_state[WEFT__REC_WAITING + 1] = {0};

    for (const struct weft__record *r = d->s->records; r < end; r++) {
        if (weft__record_is_shown(r)) {
            by_state[r->state]++;
            total++;
        }
    }
    put_count(d->o, "# tasks: ", total, "");
    put_count(d->o, " (", by_state[WEFT__REC_RUNNING], " running");
    put_count(d->o, ", ", by_state[WEFT__REC_SYSCALL], " in calls");
    put_count(d->o, ", ", by_state[WEFT__REC_RUNNABLE], " runnable");
    put_count(d->o, ", ", by_state[WEFT__REC_WAITING], " waiting)\n");
    put_count(d->o, "# processors: ", c->procs, "");
    put_count(d->o, ", threads: ", c->threads, "");
    put_count(d->o, " (", c->spares, " spare");
    put_count(d->o, ", ", c->lost, " without a processor");
    put_count(d->o, ", at most ", c->max_threads, ")\n");
    if (c->capped)
        weft__out_str(d->o, "# at the cap: tasks that block wait for a thread\n");
    if (c->procs_by) {
        weft__out_str(d->o, "# number of processors by: ");
        weft__out_str(d->o, c->procs_by);
        weft__out_char(d->o, '\n');
    }
    put_delays(d);
    if (d->s->locks)
        weft__forbidden_put(d->o, "# ");
    weft__out_char(d->o, '\n');
}

/* Writes the block of the task that asked, then all others. */
static void put_blocks(struct dump *d)
{
    const struct weft__record *end = d->s->records + d->s->n;
    const struct weft__record *first = NULL;

    for (const struct weft__record *r = d->s->records; d->s->first && r < end && !first; r++)
        if (weft__record_is_shown(r) && r->id == d->s->first)
            first = r;
    if (first)
        put_block(d, first);
    for (const struct weft__record *r = d->s->records; r < end && d->o->rc == 0; r++)
        if (weft__record_is_shown(r) && r != first)
            put_block(d, r);
}

int weft__tasks_text(const struct weft__snapshot *s, int debug, const struct weft__sink *to)
{
    struct dump d = {.s = s, .full = debug >= 3};
    int rc;

    if (debug <= 1)
        return weft__tasks_merged(s, to);
    d.o = weft__out_new(to);
    if (!d.o)
        return -ENOMEM;
    d.frames = weft__frame_texts_new(WEFT__FRAME_CALLED, d.full);
    d.creators = weft__frame_texts_new(WEFT__FRAME_CREATOR, d.full);
    if (d.full && s->sched.procs > 0)
        put_counts(&d);
    if (d.frames && d.creators)
        put_blocks(&d);
    else
        d.o->rc = -ENOMEM;
    rc = weft__out_end(d.o);
    weft__frame_texts_free(d.creators);
    weft__frame_texts_free(d.frames);
    return rc;
}
