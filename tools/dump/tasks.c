/* SPDX-License-Identifier: MIT */
/* tasks.c - see tasks.h. Owns nothing.
 *
 * In a live process a task may run on while it is read. So its ticket and its saved SP are read
 * again after the walk, and a task that changed is read again, three times at most. */
#include "tools/dump/tasks.h"

#include "runtime/base/format.h"
#include "tools/dump/walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

enum { AGAIN = 3, RECORD_MOST = 4096, NAME_MOST = 32, PER_SLAB_MOST = 64 };

struct reader {
    struct program *p;
    struct walker *w;
    struct weft__snapshot *s;
    /* The scale of ticks: nanos = now - (now_ticks - ticks) * rate. */
    double rate;
    uint64_t now_ticks;
    bool progress;
    time_t shown; /* when progress was shown last */
};

static struct reader the_reader; /* for weft__wait_text, which the renderers call */

/* The words of a record, by their entries. */
#define FIELD(r, record, name, type) (*(const type *)((record) + (r)->p->table.task__##name))

static uint64_t word_at(struct reader *r, uint64_t at)
{
    uint64_t word = 0;

    return target_word(r->p->target, at, &word) ? word : 0;
}

static uint32_t half_at(struct reader *r, uint64_t at)
{
    uint32_t half = 0;

    return target_half(r->p->target, at, &half) ? half : 0;
}

/* Time ----------------------------------------------------------------------------------------- */

static int64_t monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Finds the scale between the start of the run and now. A core ends when the program began to die,
 * or at the latest moment that it noted. */
static void read_clock(struct reader *r)
{
    const struct table *t = &r->p->table;
    uint64_t base = word_at(r, t->clock__base_ticks), seen = word_at(r, t->clock__seen_ticks);
    int64_t base_nanos = (int64_t)word_at(r, t->clock__base_nanos);
    int64_t seen_nanos = (int64_t)word_at(r, t->clock__seen_nanos);
    uint64_t died = word_at(r, t->clock__died);
    bool tsc = half_at(r, t->clock__tsc) & 1;

    r->rate = 1;
    if (half_at(r, t->clock__virtual) & 1) {
        r->s->now = (int64_t)word_at(r, t->clock__now);
        r->now_ticks = (uint64_t)r->s->now;
        return;
    }
    if (r->p->target->pid) {
        r->s->now = seen_nanos = monotonic();
        r->now_ticks = seen = tsc ? __rdtsc() : (uint64_t)r->s->now;
    }
    if (tsc && seen > base)
        r->rate = (double)(seen_nanos - base_nanos) / (double)(seen - base);
    if (!r->p->target->pid) {
        r->now_ticks = died > seen ? died : seen;
        r->s->now = seen_nanos + (int64_t)((double)(r->now_ticks - seen) * r->rate);
    }
}

/* Returns the instant of a stamp, 0 if there is none. */
static int64_t instant(const struct reader *r, uint64_t stamp)
{
    if (stamp == 0 || stamp >= r->now_ticks)
        return stamp ? r->s->now : 0;
    return r->s->now - (int64_t)((double)(r->now_ticks - stamp) * r->rate);
}

/* The words of a record ------------------------------------------------------------------------ */

/* Reads the holder of the lock that a task waits for. */
static uint64_t holder(struct reader *r, uint32_t reason, uint64_t object)
{
    const struct table *t = &r->p->table;

    if (reason == t->reason__mutex)
        return word_at(r, object + t->mutex__state) >> t->mutex__shift;
    if (reason == t->reason__rwmutex_read || reason == t->reason__rwmutex_write)
        return word_at(r, object + t->rwmutex__owner);
    return 0;
}

static uint32_t reason_flags(struct reader *r, uint32_t reason)
{
    const struct table *t = &r->p->table;

    return half_at(r, t->reasons + reason * t->reason__size + t->reason__flags);
}

const char *weft__wait_text(unsigned reason)
{
    static char texts[256][64];
    const struct table *t = &the_reader.p->table;
    char *text = texts[reason % 256];

    if (!text[0]) {
        uint64_t at = word_at(&the_reader, t->reasons + reason * t->reason__size + t->reason__text);

        if (reason >= t->reason__count || !target_text(the_reader.p->target, at, text, 64))
            strcpy(text, "unknown wait reason");
    }
    return text;
}

static char *copy_text(struct reader *r, uint64_t at)
{
    char text[256];

    return at && target_text(r->p->target, at, text, sizeof(text)) ? strdup(text) : NULL;
}

/* Copies a task's name and labels. Returns NULL if it has none. */
static weft__tags *copy_tags(struct reader *r, uint64_t at)
{
    const struct table *t = &r->p->table;
    uint64_t set = at ? word_at(r, at + t->tags__set) : 0;
    uint32_t n = set ? half_at(r, set + t->tags__count) : 0;
    weft__tags *tags;

    if (!at || n > WEFT_LABELS_MAX ||
        !(tags = calloc(1, sizeof(*tags) + n * sizeof(tags->labels[0]))))
        return NULL;
    tags->name = copy_text(r, word_at(r, at + t->tags__name));
    for (; tags->n < n; tags->n++) {
        uint64_t label = set + t->tags__labels + tags->n * t->label__size;

        tags->labels[tags->n].key = copy_text(r, word_at(r, label + t->label__key));
        tags->labels[tags->n].value = copy_text(r, word_at(r, label + t->label__value));
        if (!tags->labels[tags->n].key || !tags->labels[tags->n].value)
            break;
    }
    tags->set = tags->n > 0 ? tags : NULL;
    return tags->name || tags->set ? tags : NULL;
}

static void describe_wait(struct reader *r, struct weft__record *to, const char *record)
{
    to->state = WEFT__REC_WAITING;
    to->reason = FIELD(r, record, reason, uint8_t);
    to->since = instant(r, FIELD(r, record, since, uint64_t));
    if (reason_flags(r, to->reason) & r->p->table.reason__sched)
        return;
    to->object = (const void *)FIELD(r, record, object, uintptr_t);
    to->owner = holder(r, to->reason, (uintptr_t)to->object);
}

/* Fills in what does not depend on the stack. */
static void describe(struct reader *r, struct weft__record *to, const char *record)
{
    const struct table *t = &r->p->table;
    uint32_t state = FIELD(r, record, state, uint32_t);
    uint16_t flags = FIELD(r, record, flags, uint16_t);

    *to = (struct weft__record){.id = FIELD(r, record, id, uint64_t),
                                .creator = FIELD(r, record, creator, uint64_t),
                                .creator_pc = FIELD(r, record, creator_pc, uintptr_t),
                                .tags = copy_tags(r, FIELD(r, record, tags, uint64_t))};
    if (FIELD(r, record, pins, uint8_t) || (flags & t->flag__foreign))
        to->flags |= WEFT__REC_LOCKED;
    if (flags & t->flag__foreign_creator)
        to->flags |= WEFT__REC_FOREIGN_CREATOR;
    if (!(flags & (t->flag__started | t->flag__foreign)))
        to->flags |= WEFT__REC_UNSTARTED;
    if (state == t->state__parked ||
        (state == t->state__runnable &&
         (reason_flags(r, FIELD(r, record, reason, uint8_t)) & t->reason__sched)))
        describe_wait(r, to, record);
    else
        to->state = state == t->state__runnable ? WEFT__REC_RUNNABLE : WEFT__REC_RUNNING;
}

/* Stacks --------------------------------------------------------------------------------------- */

/* Reads the registers that a task saved when it left its thread. */
static bool saved(struct reader *r, const char *record, struct registers *to)
{
    const struct table *t = &r->p->table;
    uint64_t sp = FIELD(r, record, sp, uint64_t);
    const struct {
        int reg;
        uint64_t at;
    } places[] = {{R_BX, t->ctx__rbx}, {R_BP, t->ctx__rbp}, {R_12, t->ctx__r12},
                  {R_13, t->ctx__r13}, {R_14, t->ctx__r14}, {R_15, t->ctx__r15},
                  {R_PC, t->ctx__pc}};

    if (sp < FIELD(r, record, lo, uint64_t) || sp >= FIELD(r, record, hi, uint64_t))
        return false;
    *to = (struct registers){.whole = true};
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        if (!target_word(r->p->target, sp + places[i].at, &to->r[places[i].reg]))
            return false;
    }
    to->r[R_SP] = sp + t->ctx__size;
    return true;
}

/* Walks the stack of a task that a thread runs. */
static void walk_running(struct reader *r, struct weft__record *to, struct weft__walk *walk,
                         const char *record, uint64_t at)
{
    const struct table *t = &r->p->table;
    uint64_t worker = FIELD(r, record, worker, uint64_t);
    bool foreign = FIELD(r, record, flags, uint16_t) & t->flag__foreign;
    struct registers regs;

    if (!worker || word_at(r, worker + t->worker__task) != at ||
        !r->p->target->registers(r->p->target, (int)half_at(r, worker + t->worker__tid), &regs))
        return;
    if (to->state == WEFT__REC_RUNNING) {
        to->since = instant(r, word_at(r, worker + t->worker__lost_since));
        if (FIELD(r, record, flags, uint16_t) & t->flag__calling)
            to->since = instant(r, FIELD(r, record, since, uint64_t));
        if (regs.in_call && FIELD(r, record, state, uint32_t) == t->state__lost)
            to->state = WEFT__REC_SYSCALL;
    }
    walker_walk(r->w, walk, &regs, regs.whole && !regs.in_call,
                foreign ? 0 : FIELD(r, record, hi, uint64_t), foreign);
}

static void walk_stack(struct reader *r, struct weft__record *to, struct weft__walk *walk,
                       const char *record, uint64_t at)
{
    struct registers regs;

    walk->kept = walk->depth = 0;
    if (FIELD(r, record, on_cpu, uint32_t))
        walk_running(r, to, walk, record, at);
    else if (to->flags & WEFT__REC_UNSTARTED)
        weft__walk_set(walk, &FIELD(r, record, fn, uintptr_t), 1);
    else if (saved(r, record, &regs))
        walker_walk(r->w, walk, &regs, false, FIELD(r, record, hi, uint64_t),
                    FIELD(r, record, flags, uint16_t) & r->p->table.flag__foreign);
}

/* All tasks ------------------------------------------------------------------------------------ */

static bool is_alive(const struct reader *r, const char *record)
{
    uint32_t state = FIELD(r, record, state, uint32_t);

    return state != r->p->table.state__idle && state != r->p->table.state__dead;
}

/* Reads a record again. Returns whether the task did nothing since. */
static bool stood_still(struct reader *r, char *record, uint64_t at)
{
    struct target *t = r->p->target;
    char now[RECORD_MOST];
    bool same;

    if (!t->pid || !t->read(t, at, now, r->p->table.task__size))
        return true;
    same = FIELD(r, now, id, uint64_t) == FIELD(r, record, id, uint64_t) &&
           FIELD(r, now, ticket, uint64_t) == FIELD(r, record, ticket, uint64_t) &&
           FIELD(r, now, sp, uint64_t) == FIELD(r, record, sp, uint64_t) &&
           FIELD(r, now, state, uint32_t) == FIELD(r, record, state, uint32_t);
    if (!same) {
        memcpy(record, now, r->p->table.task__size);
        target_forget(t);
    }
    return same;
}

/* Reads the task of a slot into the snapshot, if there is one. */
static void read_task(struct reader *r, uint32_t slot, char *record, uint64_t at)
{
    struct weft__record *to = &r->s->records[slot];
    struct weft__walk walk;

    for (int i = 0; i < AGAIN && is_alive(r, record); i++) {
        describe(r, to, record);
        walk_stack(r, to, &walk, record, at);
        if (stood_still(r, record, at))
            break;
    }
    if (!is_alive(r, record)) {
        to->state = WEFT__REC_NONE;
        return;
    }
    r->s->alive++;
    if (walk.kept > 0)
        to->stack = weft__stacktab_intern(r->s->stacks, &walk);
    else
        to->flags |= WEFT__REC_NO_STACK;
    if (walk.kept == 0 && !r->p->target->pid)
        target_breaks(r->p->target, "the stack of task %lu is not in it", to->id);
}

static void show_progress(struct reader *r, uint32_t slot)
{
    time_t now = time(NULL);

    if (!r->progress || now == r->shown)
        return;
    if (r->shown)
        fprintf(stderr, "weft-dump: %u of %zu records read\n", slot, r->s->n);
    r->shown = now;
}

/* Reads the records of a slab, in one call. Returns false if they cannot be read. */
static bool read_slab(struct reader *r, uint32_t first, char *records)
{
    const struct table *t = &r->p->table;
    uint64_t slab = word_at(r, word_at(r, t->slabs) + first / t->slab__tasks * 8);
    size_t n = t->slab__tasks < r->s->n - first ? t->slab__tasks : r->s->n - first;

    if (!slab || !r->p->target->read(r->p->target, slab, records, n * t->task__size)) {
        target_breaks(r->p->target, "the records of %zu tasks cannot be read", n);
        return false;
    }
    for (uint32_t i = 0; i < n; i++)
        read_task(r, first + i, records + i * t->task__size, slab + i * t->task__size);
    return true;
}

static void read_counts(struct reader *r)
{
    static char by[64];
    const struct table *t = &r->p->table;

    r->s->sched = (struct weft__sched_counts){.procs = half_at(r, t->sched__procs),
                                              .threads = half_at(r, t->sched__threads),
                                              .spares = half_at(r, t->sched__spares),
                                              .lost = half_at(r, t->sched__lost),
                                              .max_threads = half_at(r, t->sched__max_threads)};
    if (target_text(r->p->target, word_at(r, t->sched__procs_by), by, sizeof(by)))
        r->s->sched.procs_by = by;
}

const char *tasks_read(struct weft__snapshot *s, struct program *p, bool progress)
{
    static struct walker w;
    const struct table *t = &p->table;
    struct reader *r = &the_reader;
    char *records;

    *s = (struct weft__snapshot){.stacks = weft__stacktab_new()};
    *r = (struct reader){.p = p, .w = &w, .s = s, .progress = progress};
    if (t->task__size > RECORD_MOST || !t->slab__tasks || t->slab__tasks > PER_SLAB_MOST)
        return "the table of weft's layout has numbers that cannot be";
    s->n = half_at(r, t->slots);
    s->records = calloc(s->n + 1, sizeof(*s->records));
    records = malloc(t->slab__tasks * t->task__size);
    if (!s->records || !records || !s->stacks || !walker_open(&w, p))
        return "out of memory";
    read_clock(r);
    read_counts(r);
    for (uint32_t slot = 0; slot < s->n; slot += (uint32_t)t->slab__tasks) {
        read_slab(r, slot, records);
        show_progress(r, slot);
    }
    free(records);
    return NULL;
}
