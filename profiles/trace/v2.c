/* SPDX-License-Identifier: MIT */
/* v2.c - writes Go's execution trace format as of 1.23: in generations, each of which a reader can
 * show though the file was cut off behind it.
 *
 * The events of each thread are a stream of batches. Events that make a task run or runnable carry
 * a number that counts in the task (form_a), those that move a processor one that counts in the
 * processor. Both begin at 0 in each generation, where a status stands before the first event:
 * for tasks that run, at the generation's beginning; for others just before the event (form_b is
 * the generation in which a task has its status). The first generation has the status of each task.
 * Tables end a generation. */
#include "profiles/trace/formats.h"

#include "profiles/trace/texts.h"
#include "runtime/sched/sinks.h"
#include "runtime/sched/wait.h"

enum {
    BATCH = 1,
    STACKS = 2,
    STACK = 3,
    STRINGS = 4,
    STRING = 5,
    SAMPLES = 6,
    SAMPLE = 7,
    FREQUENCY = 8,
    PROCS_CHANGE = 9,
    PROC_START = 10,
    PROC_STOP = 11,
    PROC_STEAL = 12,
    PROC_STATUS = 13,
    GO_CREATE = 14,
    GO_START = 16,
    GO_DESTROY = 17,
    GO_STOP = 19,
    GO_BLOCK = 20,
    GO_UNBLOCK = 21,
    GO_SYSCALL_BEGIN = 22,
    GO_SYSCALL_END = 23,
    GO_SYSCALL_END_BLOCKED = 24,
    GO_STATUS = 25,
    GO_LABEL = 39,
    TASK_BEGIN = 40,
    TASK_END = 41,
    REGION_BEGIN = 42,
    REGION_END = 43,
    LOG = 44,
    GO_STATUS_STACK = 48,
};

enum { IS_RUNNABLE = 1, IS_RUNNING, IS_CALLING, IS_WAITING }; /* of tasks */
enum { PROC_RUNNING = 1, PROC_IDLE, PROC_CALLING };           /* of processors */
enum { ARGS = 4, BATCH_MOST = 60000, GENERATION_BYTES = 16 << 20 };
#define NOBODY          UINT64_MAX /* no thread */
#define GENERATION_TIME 1000000000 /* ns */

/* The batch that is being made of a thread's stream. */
struct stream {
    uint64_t thread;
    int64_t first, last; /* times of the batch's begin and of its last event */
    struct weft__bytes bytes;
};

struct proc {
    uint32_t index, generation; /* in which seq counts, and the processor has a status */
    uint64_t seq;
};

struct v2 {
    struct weft__writer w;
    weft__names *names;
    struct stream *streams;
    size_t n, cap;
    struct proc *procs;
    size_t n_procs, procs_cap;
    uint64_t active;     /* processors that run tasks, as it was written last; 0: not yet */
    uint32_t generation; /* from 1 */
    bool open;           /* a generation is */
    int64_t began, now;
    size_t written;             /* in this generation */
    uint64_t reasons[256];      /* the strings of reasons in this generation; 0: not yet */
    struct weft__bytes samples; /* a batch of them */
};

static void put_batch(struct v2 *v, uint64_t thread, int64_t nanos, const struct weft__bytes *from)
{
    struct weft__bytes *out = &v->w.out;

    weft__bytes_byte(out, BATCH);
    weft__bytes_varint(out, v->generation);
    weft__bytes_varint(out, thread);
    weft__bytes_varint(out, (uint64_t)nanos);
    weft__bytes_varint(out, from->n);
    weft__bytes_put(out, from->at, from->n);
    out->failed |= from->failed;
    v->written += from->n;
}

static void flush(struct v2 *v, struct stream *s)
{
    if (s->bytes.n > 0)
        put_batch(v, s->thread, s->first, &s->bytes);
    s->bytes.n = 0;
}

/* Returns element i of an array with n of cap used; i == n adds one. NULL: memory ran out. */
static void *more(struct v2 *v, void *array, size_t n, size_t *cap, size_t size)
{
    void **at = array, *bigger = *at;

    if (n == *cap) {
        bigger = realloc(*at, (2 * n + 8) * size);
        if (!bigger) {
            v->w.out.failed = true;
            return NULL;
        }
        *at = bigger;
        *cap = 2 * n + 8;
    }
    memset((char *)bigger + n * size, 0, size);
    return (char *)bigger + n * size;
}

static struct stream *stream_of(struct v2 *v, uint64_t thread)
{
    struct stream *s;

    for (size_t i = 0; i < v->n; i++) {
        if (v->streams[i].thread == thread)
            return &v->streams[i];
    }
    s = more(v, &v->streams, v->n, &v->cap, sizeof(*s));
    if (s) {
        s->thread = thread;
        v->n++;
    }
    return s;
}

/* Puts an event with n arguments into the stream of its thread. */
static void event(struct v2 *v, uint64_t thread, int64_t nanos, unsigned type, unsigned n,
                  const uint64_t *args)
{
    struct stream *s = stream_of(v, thread);

    if (!s)
        return;
    if (s->bytes.n > BATCH_MOST)
        flush(v, s);
    if (s->bytes.n == 0)
        s->first = s->last = nanos;
    weft__bytes_byte(&s->bytes, type);
    weft__bytes_varint(&s->bytes, (uint64_t)(nanos - s->last));
    s->last = nanos;
    for (unsigned i = 0; i < n; i++)
        weft__bytes_varint(&s->bytes, args[i]);
}
#define EVENT(thread, nanos, type, n, ...)                                                         \
    event(v, thread, nanos, type, n, (const uint64_t[ARGS]){__VA_ARGS__})

static struct proc *proc_of(struct v2 *v, uint32_t index)
{
    struct proc *p;

    for (size_t i = 0; i < v->n_procs; i++) {
        if (v->procs[i].index == index)
            return &v->procs[i];
    }
    p = more(v, &v->procs, v->n_procs, &v->procs_cap, sizeof(*p));
    if (p) {
        p->index = index;
        v->n_procs++;
    }
    return p;
}

/* Gives the processor its status in this generation, if it has none. */
static void proc_status(struct v2 *v, uint64_t thread, int64_t nanos, uint32_t index, uint64_t is)
{
    struct proc *p = proc_of(v, index);

    if (!p || p->generation == v->generation)
        return;
    p->generation = v->generation;
    p->seq = 0;
    EVENT(thread, nanos, PROC_STATUS, 2, index, is);
}

static uint64_t proc_seq(struct v2 *v, uint32_t index)
{
    struct proc *p = proc_of(v, index);

    return p ? ++p->seq : 0;
}

static uint64_t status_of(const struct weft__traced_task *t)
{
    switch (t->is) {
    case WEFT__IS_RUNNING:
        return t->calling ? IS_CALLING : IS_RUNNING;
    case WEFT__IS_CALLING:
        return IS_CALLING;
    case WEFT__IS_WAITING:
        return IS_WAITING;
    default:
        return IS_RUNNABLE;
    }
}

/* Gives the task its status in this generation, if it has none. */
static void task_status(struct v2 *v, uint64_t thread, int64_t nanos, struct weft__traced_task *t)
{
    bool on = t->is == WEFT__IS_RUNNING || t->is == WEFT__IS_CALLING;
    uint64_t stack;

    if (t->form_b == v->generation || t->is == WEFT__IS_UNKNOWN || t->is == WEFT__IS_UNMADE)
        return;
    stack = t->stack ? weft__names_stack(v->names, t->stack)
                     : weft__names_function(v->names, t->fn); /* it names the task */
    t->form_b = v->generation;
    t->form_a = 0;
    EVENT(thread, nanos, stack ? GO_STATUS_STACK : GO_STATUS, stack ? 4 : 3, t->id,
          on ? t->thread : NOBODY, status_of(t), stack);
}

static const char *reason_text(unsigned reason)
{
    switch (reason) {
    case WEFT__WAIT_IO:
    case WEFT__WAIT_IO_RETRY:
    case WEFT__WAIT_CLOSE:
    case WEFT__WAIT_DNS:
        return "network";
    case WEFT__WAIT_COND:
        return "sync.(*Cond).Wait";
    case WEFT__WAIT_CHAN_RECV:
    case WEFT__WAIT_CHAN_SEND:
    case WEFT__WAIT_CHAN_RECV_NIL:
    case WEFT__WAIT_CHAN_SEND_NIL:
    case WEFT__WAIT_SELECT:
    case WEFT__WAIT_SELECT_NONE:
        return weft__wait_text(reason);
    default:
        return weft__wait_flags(reason) & WEFT__WAIT_BLOCK ? "sync" : weft__wait_text(reason);
    }
}

static uint64_t string(struct v2 *v, const char *s)
{
    return weft__names_string(v->names, s);
}

static uint64_t reason(struct v2 *v, uint8_t of)
{
    if (v->reasons[of] == 0)
        v->reasons[of] = string(v, reason_text(of));
    return v->reasons[of];
}

/* Puts a wake-up. It has a stack in any case: the tool's profiles pass over those without one. */
static void unblock(struct v2 *v, const struct weft__step *s, uint64_t stack)
{
    if (s->stack == 0)
        stack = weft__names_alone(v->names, weft__source_name(s->detail));
    EVENT(s->thread, s->nanos, GO_UNBLOCK, 3, s->task->id, ++s->task->form_a, stack);
}

/* Puts the labels of a task that runs, if it has some. */
static void put_label(struct v2 *v, uint64_t thread, int64_t nanos,
                      const struct weft__traced_task *t)
{
    uint64_t label = weft__names_labels(v->names, t->id, t->labels);

    if (label)
        EVENT(thread, nanos, GO_LABEL, 1, label);
}

/* Puts how many processors run tasks, if that has changed: only a task that runs can tell. */
static void put_active(struct v2 *v, uint64_t thread, int64_t nanos, const weft__order *o)
{
    uint64_t n = weft__order_active(o);

    if (n == v->active)
        return;
    v->active = n;
    EVENT(thread, nanos, PROCS_CHANGE, 2, n, 0);
}

static void create(struct v2 *v, weft__order *o, const struct weft__step *s, uint64_t stack)
{
    s->task->form_a = 0;
    s->task->form_b = v->generation;
    EVENT(s->thread, s->nanos, GO_CREATE, 3, s->task->id, weft__created_as(v->names, o, s), stack);
}

/* Puts what the program told. */
static void note(struct v2 *v, const struct weft__step *s, uint64_t stack)
{
    uint64_t task = s->arg >> 32, name = string(v, weft__text((uint32_t)s->arg));

    switch (s->kind) {
    case WEFT__STEP_TASK_BEGIN:
        EVENT(s->thread, s->nanos, TASK_BEGIN, 4, task, s->more, name, stack);
        break;
    case WEFT__STEP_TASK_END:
        EVENT(s->thread, s->nanos, TASK_END, 2, task, stack);
        break;
    case WEFT__STEP_REGION_BEGIN:
    case WEFT__STEP_REGION_END:
        EVENT(s->thread, s->nanos, s->kind == WEFT__STEP_REGION_BEGIN ? REGION_BEGIN : REGION_END,
              3, task, name, stack);
        break;
    default:
        EVENT(s->thread, s->nanos, LOG, 4, task, name, string(v, weft__text((uint32_t)s->more)),
              stack);
    }
}

static void step(weft__form *f, weft__order *o, const struct weft__step *s)
{
    struct v2 *v = (struct v2 *)(void *)f;
    uint64_t stack = weft__names_stack(v->names, s->stack);

    v->now = s->nanos;
    if (s->task)
        task_status(v, s->thread ? s->thread : NOBODY, s->nanos, s->task);
    switch (s->kind) {
    case WEFT__STEP_PROC_START:
        proc_status(v, NOBODY, s->nanos, s->proc, PROC_IDLE);
        EVENT(s->thread, s->nanos, PROC_START, 2, s->proc, proc_seq(v, s->proc));
        break;
    case WEFT__STEP_PROC_STOP:
        EVENT(s->thread, s->nanos, PROC_STOP, 0, 0);
        break;
    case WEFT__STEP_CREATE:
        create(v, o, s, stack);
        break;
    case WEFT__STEP_START:
        EVENT(s->thread, s->nanos, GO_START, 2, s->task->id, ++s->task->form_a);
        put_label(v, s->thread, s->nanos, s->task);
        put_active(v, s->thread, s->nanos, o);
        break;
    case WEFT__STEP_LABEL:
        put_label(v, s->thread, s->nanos, s->task);
        break;
    case WEFT__STEP_BLOCK:
        EVENT(s->thread, s->nanos, GO_BLOCK, 2, reason(v, s->detail), stack);
        break;
    case WEFT__STEP_YIELD:
        EVENT(s->thread, s->nanos, GO_STOP, 2, string(v, "runtime.Gosched"), stack);
        break;
    case WEFT__STEP_UNBLOCK:
        unblock(v, s, stack);
        break;
    case WEFT__STEP_CALL:
        EVENT(s->thread, s->nanos, GO_SYSCALL_BEGIN, 2, proc_seq(v, s->proc),
              stack ? stack : weft__names_function(v->names, s->task->fn));
        break;
    case WEFT__STEP_LOST: /* on the thread of the monitor, as it were */
        EVENT(0, s->nanos, PROC_STEAL, 3, s->proc, proc_seq(v, s->proc), s->thread);
        break;
    case WEFT__STEP_BACK:
        EVENT(s->thread, s->nanos, GO_SYSCALL_END_BLOCKED, 0, 0);
        break;
    case WEFT__STEP_CALLED:
        EVENT(s->thread, s->nanos, GO_SYSCALL_END, 0, 0);
        break;
    case WEFT__STEP_END:
        EVENT(s->thread, s->nanos, GO_DESTROY, 0, 0);
        break;
    case WEFT__STEP_PROCS: /* the next task that runs tells it */
    case WEFT__STEP_DELAY: /* there are no counters of the program's own */
        break;
    case WEFT__STEP_DELAYED:
        EVENT(s->thread, s->nanos, LOG, 4, 0, string(v, WEFT__DELAY_KEY),
              string(v, weft__delay_text(s->arg, (char[WEFT__DELAY_TEXT]){""})), 0);
        break;
    default:
        note(v, s, stack);
    }
}

/* Generations ---------------------------------------------------------------------------------- */

struct starting {
    struct v2 *v;
    weft__order *o;
    int64_t nanos;
};

static void start_proc(void *arg, uint32_t proc, struct weft__traced_thread *m)
{
    struct starting *st = arg;
    bool calling = m && m->task != 0 && weft__order_is_calling(st->o, m->task);

    proc_status(st->v, m ? m->id : NOBODY, st->nanos, proc,
                calling ? PROC_CALLING
                : m     ? PROC_RUNNING
                        : PROC_IDLE);
}

/* A status of a task that runs stands on its thread; it was put there before all else. */
static void start_running(void *arg, struct weft__traced_task *t)
{
    struct starting *st = arg;

    if (t->is == WEFT__IS_RUNNING || t->is == WEFT__IS_CALLING)
        task_status(st->v, t->thread, st->nanos, t);
    if (t->is != WEFT__IS_RUNNING || t->calling)
        return;
    put_label(st->v, t->thread, st->nanos, t);
    put_active(st->v, t->thread, st->nanos, st->o);
}

static void start_resting(void *arg, struct weft__traced_task *t)
{
    struct starting *st = arg;

    task_status(st->v, NOBODY, st->nanos, t);
}

static void start_generation(struct v2 *v, weft__order *o)
{
    struct starting st = {v, o, weft__order_now(o)};

    v->generation++;
    v->open = true;
    v->written = 0;
    v->began = v->now = st.nanos;
    weft__order_procs(o, start_proc, &st);
    weft__order_tasks(o, start_running, &st);
    if (v->generation == 1)
        weft__order_tasks(o, start_resting, &st);
}

static void flush_samples(struct v2 *v)
{
    if (v->samples.n > 0)
        put_batch(v, NOBODY, v->now, &v->samples);
    v->samples.n = 0;
}

static void sample(struct weft__writer *w, weft__order *o, const struct weft__trace_sample *s)
{
    struct v2 *v = (struct v2 *)w;

    if (v->samples.n > BATCH_MOST)
        flush_samples(v);
    if (v->samples.n == 0)
        weft__bytes_byte(&v->samples, SAMPLES);
    weft__bytes_byte(&v->samples, SAMPLE);
    weft__bytes_varint(&v->samples, (uint64_t)weft__order_nanos(o, s->ticks));
    weft__bytes_varint(&v->samples, s->thread);
    weft__bytes_varint(&v->samples, s->proc == WEFT__NO_PROC ? UINT64_MAX : s->proc);
    weft__bytes_varint(&v->samples, s->task);
    weft__bytes_varint(&v->samples, weft__names_stack(v->names, s->stack));
}

static void begin_span(struct weft__writer *w, weft__order *o)
{
    struct v2 *v = (struct v2 *)w;

    if (v->generation == 0)
        weft__bytes_put(&w->out, "go 1.23 trace\0\0\0", 16);
    if (!v->open)
        start_generation(v, o);
}

static void put_stacks(struct v2 *v)
{
    struct weft__named_frame frames[WEFT__FRAMES_MOST];
    struct weft__bytes b = {.at = NULL};
    uint32_t id;
    size_t n;

    while ((n = weft__names_next_stack(v->names, &id, frames)) > 0) {
        if (b.n > BATCH_MOST) {
            put_batch(v, NOBODY, v->now, &b);
            b.n = 0;
        }
        if (b.n == 0)
            weft__bytes_byte(&b, STACKS);
        weft__bytes_byte(&b, STACK);
        weft__bytes_varint(&b, id);
        weft__bytes_varint(&b, n);
        for (size_t i = 0; i < n; i++) {
            weft__bytes_varint(&b, frames[i].pc);
            weft__bytes_varint(&b, frames[i].function);
            weft__bytes_varint(&b, frames[i].file);
            weft__bytes_varint(&b, frames[i].line);
        }
    }
    if (b.n > 0)
        put_batch(v, NOBODY, v->now, &b);
    weft__bytes_free(&b);
}

static void put_strings(struct v2 *v)
{
    struct weft__bytes b = {.at = NULL};
    const char *text;
    uint32_t id;

    while ((text = weft__names_next_string(v->names, &id)) != NULL) {
        if (b.n > BATCH_MOST) {
            put_batch(v, NOBODY, v->now, &b);
            b.n = 0;
        }
        if (b.n == 0)
            weft__bytes_byte(&b, STRINGS);
        weft__bytes_byte(&b, STRING);
        weft__bytes_varint(&b, id);
        weft__bytes_varint(&b, strlen(text));
        weft__bytes_put(&b, text, strlen(text));
    }
    if (b.n > 0)
        put_batch(v, NOBODY, v->now, &b);
    weft__bytes_free(&b);
}

static void end_generation(struct v2 *v)
{
    struct weft__bytes b = {.at = NULL};

    put_stacks(v);
    put_strings(v);
    weft__bytes_byte(&b, FREQUENCY);
    weft__bytes_varint(&b, 1000000000);
    put_batch(v, NOBODY, v->now, &b);
    weft__bytes_free(&b);
    weft__names_clear(v->names);
    memset(v->reasons, 0, sizeof(v->reasons));
    v->open = false;
}

static void spanned(struct weft__writer *w, bool end)
{
    struct v2 *v = (struct v2 *)w;

    for (size_t i = 0; i < v->n; i++)
        flush(v, &v->streams[i]);
    flush_samples(v);
    if (end || v->now - v->began >= GENERATION_TIME || v->written >= GENERATION_BYTES)
        end_generation(v);
}

static void v2_free(struct weft__writer *w)
{
    struct v2 *v = (struct v2 *)w;

    for (size_t i = 0; i < v->n; i++)
        weft__bytes_free(&v->streams[i].bytes);
    weft__bytes_free(&v->samples);
    free(v->streams);
    free(v->procs);
    weft__names_end(v->names);
    weft__bytes_free(&w->out);
    free(v);
}

struct weft__writer *weft__writer_v2(void)
{
    struct v2 *v = calloc(1, sizeof(*v));

    if (!v)
        return NULL;
    v->w = (struct weft__writer){.form.step = step,
                                 .span = begin_span,
                                 .sample = sample,
                                 .spanned = spanned,
                                 .free = v2_free};
    v->names = weft__names_new();
    if (!v->names) {
        v2_free(&v->w);
        return NULL;
    }
    return &v->w;
}
