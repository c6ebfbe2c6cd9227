/* SPDX-License-Identifier: MIT */
/* perfetto_writer.c - the encoder of perfetto.h as a writer of a trace that is being taken. Steps
 * become events of the same meaning, whose ticks are nanoseconds. */
#include "profiles/trace/formats.h"

#include "profiles/render/stack_text.h"
#include "profiles/table/labelset.h"
#include "profiles/table/marks.h"
#include "profiles/trace/perfetto.h"
#include "profiles/walk/symbolize.h"

#include <errno.h>
#include <unistd.h>

struct live {
    struct weft__writer w;
    struct weft__trace_words words;
    weft__perfetto *encoder; /* NULL when its end is written */
    weft__order *order;      /* whose steps are being written */
    weft__tags *labels;      /* a reference: of the task whose labels were asked for; or NULL */
    bool begun;
};

/* Words of this process ------------------------------------------------------------------------ */

static size_t frames_of(void *arg, uint32_t stack, struct weft__trace_frame *to)
{
    const struct weft__stack_entry *e = weft__tape_stack(stack);
    size_t n = 0;

    (void)arg;
    for (size_t i = weft__stack_text_first(e->pcs, e->kept, 0);
         i < e->kept && n < WEFT__TRACE_FRAMES; i++) {
        const char *mark = weft__mark_name(e->pcs[i]);

        if (mark)
            to[n++] = (struct weft__trace_frame){.pc = e->pcs[i], .function = mark};
        else
            n += weft__trace_address(e->pcs[i] - 1, to + n, WEFT__TRACE_FRAMES - n);
    }
    return n;
}

/* A task is called by its function: a name may come and go while the trace is taken. */
static const char *task_name(void *arg, uint64_t task)
{
    (void)arg;
    (void)task;
    return NULL;
}

/* Keeps the set until the labels of another task are asked for. */
static int label_of(void *arg, uint64_t task, unsigned i, const char **key, const char **value)
{
    struct live *l = arg;

    if (i == 0) {
        weft__tags_drop(l->labels);
        l->labels = weft__labelset_get(weft__order_labels(l->order, task));
    }
    if (!l->labels || i >= l->labels->n)
        return 0;
    *key = l->labels->labels[i].key;
    *value = l->labels->labels[i].value;
    return 1;
}

static const char *function_name(void *arg, uint64_t fn)
{
    struct weft__trace_frame frame;

    (void)arg;
    return weft__trace_address((uintptr_t)fn, &frame, 1) ? frame.function : NULL;
}

static int64_t same(void *arg, int64_t nanos)
{
    (void)arg;
    return nanos;
}

/* Steps ---------------------------------------------------------------------------------------- */

static void put(struct live *l, struct weft__event e, uint64_t task, int64_t nanos)
{
    e.task = task & (UINT64_MAX >> 16);
    e.ticks = nanos;
    weft__perfetto_add(l->encoder, &e);
}

static void step(weft__form *f, weft__order *o, const struct weft__step *s)
{
    static const enum weft__event_kind kinds[] = {
        [WEFT__STEP_CREATE] = WEFT__EV_SPAWN,  [WEFT__STEP_START] = WEFT__EV_RUN,
        [WEFT__STEP_BLOCK] = WEFT__EV_PARK,    [WEFT__STEP_YIELD] = WEFT__EV_YIELD,
        [WEFT__STEP_UNBLOCK] = WEFT__EV_READY, [WEFT__STEP_CALL] = WEFT__EV_CALL,
        [WEFT__STEP_LOST] = WEFT__EV_LOST,     [WEFT__STEP_BACK] = WEFT__EV_BACK,
        [WEFT__STEP_CALLED] = WEFT__EV_CALLED, [WEFT__STEP_END] = WEFT__EV_END,
    };
    enum weft__event_kind kind =
        s->kind < sizeof(kinds) / sizeof(*kinds) ? kinds[s->kind] : WEFT__EV_NONE;
    struct weft__event e = {
        .kind = (uint8_t)kind, .detail = s->detail, .arg = s->arg, .stack = s->stack};

    (void)o;
    if (s->kind == WEFT__STEP_DELAY)
        weft__perfetto_delay(((struct live *)(void *)f)->encoder, s->proc, s->nanos, s->arg);
    if (s->kind == WEFT__STEP_PROCS)
        weft__perfetto_procs(((struct live *)(void *)f)->encoder, s->nanos, s->arg);
    if (kind == WEFT__EV_NONE || !s->task)
        return;
    if (kind == WEFT__EV_RUN)
        e.arg = weft__event_place(s->thread, s->proc);
    put((struct live *)(void *)f, e, s->task->id, s->nanos);
}

/* Writes what a task does as the trace begins. */
static void begin_task(void *arg, struct weft__traced_task *t)
{
    struct live *l = ((void **)arg)[0];
    weft__order *o = ((void **)arg)[1];
    struct weft__traced_thread *m = weft__order_thread(o, t->thread);
    struct weft__event e = {.kind = WEFT__EV_NONE, .detail = t->reason, .stack = t->stack};

    if (t->is == WEFT__IS_UNKNOWN || t->is == WEFT__IS_UNMADE)
        return;
    if (!t->stack && t->fn) /* then its function names it */
        put(l, (struct weft__event){.kind = WEFT__EV_SPAWN, .arg = t->fn}, t->id,
            weft__order_now(o));
    if (t->is == WEFT__IS_WAITING)
        e.kind = WEFT__EV_PARK;
    if (t->is == WEFT__IS_CALLING)
        e.kind = WEFT__EV_LOST;
    if (t->is == WEFT__IS_RUNNING && m) {
        e.kind = WEFT__EV_RUN;
        e.arg = weft__event_place(t->thread, m->proc);
    }
    if (e.kind != WEFT__EV_NONE)
        put(l, e, t->id, weft__order_now(o));
}

static void sample(struct weft__writer *w, weft__order *o, const struct weft__trace_sample *s)
{
    weft__perfetto_sample(((struct live *)w)->encoder, s->proc, weft__order_nanos(o, s->ticks),
                          s->task, s->stack);
}

static void begin_span(struct weft__writer *w, weft__order *o)
{
    struct live *l = (struct live *)w;

    l->order = o;
    if (!l->begun) {
        weft__order_tasks(o, begin_task, (void *[]){l, o});
        if (weft__order_active(o) != 0)
            weft__perfetto_procs(l->encoder, weft__order_now(o), weft__order_active(o));
    }
    l->begun = true;
}

static void spanned(struct weft__writer *w, bool end)
{
    struct live *l = (struct live *)w;

    if (!end) {
        w->out.failed |= weft__perfetto_flush(l->encoder) < 0;
        return;
    }
    w->out.failed |= weft__perfetto_end(l->encoder, 0) < 0;
    l->encoder = NULL;
}

static void live_free(struct weft__writer *w)
{
    struct live *l = (struct live *)w;

    if (l->encoder)
        weft__perfetto_end(l->encoder, -ECANCELED);
    weft__tags_drop(l->labels);
    weft__bytes_free(&w->out);
    free(l);
}

static int write_bytes(void *arg, const void *data, size_t n)
{
    struct weft__bytes *out = arg;

    weft__bytes_put(out, data, n);
    return out->failed ? -ENOMEM : 0;
}

struct weft__writer *weft__writer_perfetto(void)
{
    struct live *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->w = (struct weft__writer){.form.step = step,
                                 .span = begin_span,
                                 .sample = sample,
                                 .spanned = spanned,
                                 .free = live_free};
    l->words = (struct weft__trace_words){
        .program = program_invocation_short_name,
        .pid = (int)getpid(),
        .frames = frames_of,
        .task = task_name,
        .arg = l,
        .label = label_of,
        .function = function_name,
        .nanos = same,
    };
    l->encoder = weft__perfetto_begin(&l->words, &(struct weft__sink){write_bytes, &l->w.out});
    if (l->encoder)
        return &l->w;
    free(l);
    return NULL;
}
