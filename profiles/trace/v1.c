/* SPDX-License-Identifier: MIT */
/* v1.c - writes Go's execution trace format as of 1.19, which every go tool trace reads.
 *
 * The events of each processor are a stream of batches. GoStart, GoUnblock and GoSysExit carry a
 * number that counts within the task (form_a of the task). Times are nanoseconds, and no two events
 * have the same. Events of threads without a processor are in the stream of processor -1. Strings
 * and stacks stand at the end, so a file that was cut off is of no use. */
#include "profiles/trace/formats.h"

#include "profiles/trace/texts.h"
#include "runtime/sched/sinks.h"
#include "runtime/sched/wait.h"

#include <stdio.h>

/* Types of events, in the format's numbers. */
enum {
    BATCH = 1,
    FREQUENCY = 2,
    STACK = 3,
    GOMAXPROCS = 4,
    PROC_START = 5,
    PROC_STOP = 6,
    GO_CREATE = 13,
    GO_START = 14,
    GO_END = 15,
    GO_SCHED = 17,
    GO_SLEEP = 19,
    GO_BLOCK = 20,
    GO_UNBLOCK = 21,
    GO_BLOCK_SEND = 22,
    GO_BLOCK_RECV = 23,
    GO_BLOCK_SELECT = 24,
    GO_BLOCK_SYNC = 25,
    GO_BLOCK_COND = 26,
    GO_BLOCK_NET = 27,
    GO_SYS_CALL = 28,
    GO_SYS_EXIT = 29,
    GO_SYS_BLOCK = 30,
    GO_WAITING = 31,
    GO_IN_SYSCALL = 32,
    STRING = 37,
    GO_START_LABEL = 41,
    TASK_CREATE = 45,
    TASK_END = 46,
    REGION = 47,
    LOG = 48,
    CPU_SAMPLE = 49,
};

enum { ARGS = 4 };

/* The stream of a processor in this span. */
struct stream {
    uint32_t proc; /* or WEFT__NO_PROC */
    int64_t last;
    struct weft__bytes bytes;
};

struct v1 {
    struct weft__writer w;
    weft__names *names;
    weft__order *order; /* whose steps are being written */
    struct stream *streams;
    size_t n, cap;
    bool begun, failed;
};

static struct stream *stream_of(struct v1 *v, uint32_t proc)
{
    struct stream *more;

    for (size_t i = 0; i < v->n; i++) {
        if (v->streams[i].proc == proc)
            return &v->streams[i];
    }
    if (v->n == v->cap) {
        more = realloc(v->streams, (2 * v->cap + 8) * sizeof(*more));
        if (!more) {
            v->failed = true;
            return NULL;
        }
        v->streams = more;
        v->cap = 2 * v->cap + 8;
    }
    v->streams[v->n] = (struct stream){.proc = proc};
    return &v->streams[v->n++];
}

static uint64_t proc_number(uint32_t proc)
{
    return proc == WEFT__NO_PROC ? UINT64_MAX : proc;
}

/* Puts an event with n arguments into the stream of its processor. */
static void event(struct v1 *v, uint32_t proc, int64_t nanos, unsigned type, unsigned n,
                  const uint64_t *args)
{
    struct stream *s = stream_of(v, proc);
    struct weft__bytes rest = {.at = NULL};

    if (!s)
        return;
    if (s->bytes.n == 0) {
        weft__bytes_byte(&s->bytes, BATCH | 1 << 6);
        weft__bytes_varint(&s->bytes, proc_number(proc));
        weft__bytes_varint(&s->bytes, (uint64_t)nanos - 1);
        s->last = nanos - 1;
    }
    weft__bytes_varint(&rest, (uint64_t)(nanos - s->last));
    s->last = nanos;
    for (unsigned i = 0; i < n; i++)
        weft__bytes_varint(&rest, args[i]);
    weft__bytes_byte(&s->bytes, type | (n < 3 ? n : 3) << 6);
    if (n >= 3)
        weft__bytes_varint(&s->bytes, rest.n);
    weft__bytes_put(&s->bytes, rest.at, rest.n);
    weft__bytes_free(&rest);
}

static unsigned block_type(unsigned reason)
{
    switch (reason) {
    case WEFT__WAIT_CHAN_RECV:
    case WEFT__WAIT_CHAN_RECV_NIL:
        return GO_BLOCK_RECV;
    case WEFT__WAIT_CHAN_SEND:
    case WEFT__WAIT_CHAN_SEND_NIL:
        return GO_BLOCK_SEND;
    case WEFT__WAIT_SELECT:
    case WEFT__WAIT_SELECT_NONE:
        return GO_BLOCK_SELECT;
    case WEFT__WAIT_COND:
        return GO_BLOCK_COND;
    case WEFT__WAIT_SLEEP:
        return GO_SLEEP;
    case WEFT__WAIT_IO:
    case WEFT__WAIT_IO_RETRY:
    case WEFT__WAIT_CLOSE:
    case WEFT__WAIT_DNS:
        return GO_BLOCK_NET;
    default:
        return weft__wait_flags(reason) & WEFT__WAIT_BLOCK ? GO_BLOCK_SYNC : GO_BLOCK;
    }
}

const char *weft__source_name(unsigned source)
{
    switch (source) {
    case WEFT__BY_LOOP:
        return "weft.netpoll";
    case WEFT__BY_TIMER:
        return "weft.timer";
    case WEFT__BY_ITSELF:
        return "weft.itself";
    case WEFT__BY_LIBRARY:
        return "weft.library";
    default:
        return "weft.unlock";
    }
}

uint64_t weft__created_as(weft__names *n, weft__order *o, const struct weft__step *s)
{
    const struct weft__traced_thread *m = weft__order_thread(o, s->thread);

    if (s->task->fn)
        return weft__names_function(n, s->task->fn);
    return weft__names_alone(n, m && m->foreign ? WEFT__THREAD_NAME : "task");
}

const char *weft__delay_text(uint64_t ns, char *to)
{
    snprintf(to, WEFT__DELAY_TEXT, "%.3f ms", (double)ns / 1e6);
    return to;
}

/* Returns the number of the stack of a wake-up, which has one in any case: the tool's profiles pass
 * over wake-ups without a stack. */
static uint64_t waker_stack(struct v1 *v, const struct weft__step *s)
{
    return s->stack ? weft__names_stack(v->names, s->stack)
                    : weft__names_alone(v->names, weft__source_name(s->detail));
}

/* Returns the number of a text of the program's. */
static uint64_t text(struct v1 *v, uint64_t arg)
{
    return weft__names_string(v->names, weft__text((uint32_t)arg));
}

/* Puts a text behind the last event of a processor. */
static void put_text(struct v1 *v, uint32_t proc, const char *s)
{
    struct stream *to = stream_of(v, proc);

    if (!to)
        return;
    weft__bytes_varint(&to->bytes, strlen(s));
    weft__bytes_put(&to->bytes, s, strlen(s));
}

/* Puts that a task begins to run, with its labels; before the trace has begun without them, since
 * readers from 1.22 on take GoStart alone for the state at the start. */
static void put_run(struct v1 *v, uint32_t proc, int64_t nanos, struct weft__traced_task *t)
{
    uint64_t label = v->begun ? weft__names_labels(v->names, t->id, t->labels) : 0;

    event(v, proc, nanos, label ? GO_START_LABEL : GO_START, label ? 3 : 2,
          (const uint64_t[ARGS]){t->id, ++t->form_a, label});
}

static void step(weft__form *f, weft__order *o, const struct weft__step *s)
{
    struct v1 *v = (struct v1 *)(void *)f;
    uint64_t g = s->task ? s->task->id : 0;
    uint64_t *seq = s->task ? &s->task->form_a : NULL;
    uint64_t stack = weft__names_stack(v->names, s->stack);

#define EVENT(type, n, ...)                                                                        \
    event(v, s->proc, s->nanos, type, n, (const uint64_t[ARGS]){__VA_ARGS__})
    switch (s->kind) {
    case WEFT__STEP_PROC_START:
        EVENT(PROC_START, 1, s->thread);
        break;
    case WEFT__STEP_PROC_STOP:
        EVENT(PROC_STOP, 0, 0);
        break;
    case WEFT__STEP_CREATE:
        *seq = 0;
        EVENT(GO_CREATE, 3, g, weft__created_as(v->names, o, s), stack);
        break;
    case WEFT__STEP_START:
        put_run(v, s->proc, s->nanos, s->task);
        break;
    case WEFT__STEP_BLOCK:
        EVENT(block_type(s->detail), 1, stack);
        break;
    case WEFT__STEP_YIELD:
        EVENT(GO_SCHED, 1, stack);
        break;
    case WEFT__STEP_UNBLOCK:
        EVENT(GO_UNBLOCK, 3, g, ++*seq, waker_stack(v, s));
        break;
    case WEFT__STEP_CALL:
        EVENT(GO_SYS_CALL, 1, stack ? stack : weft__names_function(v->names, s->task->fn));
        break;
    case WEFT__STEP_LOST:
        EVENT(GO_SYS_BLOCK, 0, 0);
        EVENT(PROC_STOP, 0, 0);
        break;
    case WEFT__STEP_BACK:
        EVENT(GO_SYS_EXIT, 3, g, ++*seq, 0);
        break;
    case WEFT__STEP_CALLED: /* a call that kept its processor has no end here */
        break;
    case WEFT__STEP_END:
        EVENT(GO_END, 0, 0);
        break;
    case WEFT__STEP_TASK_BEGIN:
        EVENT(TASK_CREATE, 4, s->arg >> 32, s->more, text(v, s->arg), stack);
        break;
    case WEFT__STEP_TASK_END:
        EVENT(TASK_END, 2, s->arg >> 32, stack);
        break;
    case WEFT__STEP_REGION_BEGIN:
    case WEFT__STEP_REGION_END:
        EVENT(REGION, 4, s->arg >> 32, s->kind == WEFT__STEP_REGION_END, text(v, s->arg), stack);
        break;
    case WEFT__STEP_LOG:
        EVENT(LOG, 3, s->arg >> 32, text(v, s->arg), stack);
        put_text(v, s->proc, weft__text((uint32_t)s->more));
        break;
    case WEFT__STEP_PROCS:
        event(v, WEFT__NO_PROC, s->nanos, GOMAXPROCS, 2, (const uint64_t[ARGS]){s->arg});
        break;
    case WEFT__STEP_LABEL: /* they show when the task runs again */
    case WEFT__STEP_DELAY: /* there are no counters of the program's own */
        break;
    case WEFT__STEP_DELAYED:
        EVENT(LOG, 3, 0, weft__names_string(v->names, WEFT__DELAY_KEY), 0);
        put_text(v, s->proc, weft__delay_text(s->arg, (char[WEFT__DELAY_TEXT]){""}));
        break;
    }
#undef EVENT
}

/* The state at the start is written as events which no step precedes, that at the end as events
 * which no step follows. */
struct starting {
    struct v1 *v;
    weft__order *o;
    int64_t nanos;
};

/* Readers from 1.22 on take the thread of a call from the processor, so that must have one. */
static void start_call(struct starting *st, const struct weft__traced_task *t)
{
    const uint32_t proc = WEFT__PROC_LIBRARY;

    event(st->v, proc, ++st->nanos, PROC_START, 1, (const uint64_t[ARGS]){t->thread});
    event(st->v, proc, ++st->nanos, GO_IN_SYSCALL, 1, (const uint64_t[ARGS]){t->id});
    event(st->v, proc, ++st->nanos, PROC_STOP, 0, (const uint64_t[ARGS]){0});
}

static void start_task(void *arg, struct weft__traced_task *t)
{
    struct starting *st = arg;
    uint64_t entry = t->fn      ? weft__names_function(st->v->names, t->fn)
                     : t->stack ? weft__names_outermost(st->v->names, t->stack)
                                : weft__names_alone(st->v->names, "task");

    if (t->is == WEFT__IS_UNKNOWN || t->is == WEFT__IS_UNMADE)
        return;
    t->form_a = 0;
    event(st->v, WEFT__PROC_LIBRARY, ++st->nanos, GO_CREATE, 3,
          (const uint64_t[ARGS]){t->id, entry, 0});
    if (t->is != WEFT__IS_WAITING && t->is != WEFT__IS_CALLING)
        return;
    t->form_a++;
    if (t->is == WEFT__IS_CALLING)
        start_call(st, t);
    else
        event(st->v, WEFT__PROC_LIBRARY, ++st->nanos, GO_WAITING, 1, (const uint64_t[ARGS]){t->id});
}

static void start_proc(void *arg, uint32_t proc, struct weft__traced_thread *m)
{
    struct starting *st = arg;

    if (m)
        event(st->v, proc, ++st->nanos, PROC_START, 1, (const uint64_t[ARGS]){m->id});
}

static void start_running(void *arg, struct weft__traced_task *t)
{
    struct starting *st = arg;
    const struct weft__traced_thread *m = weft__order_thread(st->o, t->thread);

    if (t->is == WEFT__IS_RUNNING && m)
        put_run(st->v, m->proc, ++st->nanos, t);
}

static void put_start(struct v1 *v, weft__order *o)
{
    struct starting st = {v, o, weft__order_now(o)};

    weft__bytes_put(&v->w.out, "go 1.19 trace\0\0\0", 16);
    weft__order_tasks(o, start_task, &st);
    weft__order_procs(o, start_proc, &st);
    weft__order_tasks(o, start_running, &st);
    /* Readers from 1.22 on take all before it for the start. */
    event(v, WEFT__NO_PROC, ++st.nanos, GOMAXPROCS, 2,
          (const uint64_t[ARGS]){weft__order_active(o)});
    weft__order_set_now(o, st.nanos);
}

/* A sample has its own time, and may stand anywhere: here in the stream of no processor. */
static void sample(struct weft__writer *w, weft__order *o, const struct weft__trace_sample *s)
{
    struct v1 *v = (struct v1 *)w;

    event(v, WEFT__NO_PROC, weft__order_now(o), CPU_SAMPLE, 4,
          (const uint64_t[ARGS]){(uint64_t)weft__order_nanos(o, s->ticks), proc_number(s->proc),
                                 s->task, weft__names_stack(v->names, s->stack)});
}

/* Go's tools draw a run up to its end, and fail if it has none. */
static void stop_running(void *arg, struct weft__traced_task *t)
{
    struct starting *st = arg;
    const struct weft__traced_thread *m = weft__order_thread(st->o, t->thread);

    if (t->is == WEFT__IS_RUNNING && m)
        event(st->v, m->proc, ++st->nanos, GO_SCHED, 1, (const uint64_t[ARGS]){0});
}

static void put_end(struct v1 *v)
{
    struct starting st = {v, v->order, weft__order_now(v->order)};

    weft__order_tasks(v->order, stop_running, &st);
}

static void begin_span(struct weft__writer *w, weft__order *o)
{
    struct v1 *v = (struct v1 *)w;

    v->order = o;
    if (!v->begun)
        put_start(v, o);
    v->begun = true;
}

static void put_tables(struct v1 *v)
{
    struct weft__named_frame frames[WEFT__FRAMES_MOST];
    struct weft__bytes one = {.at = NULL};
    const char *text;
    uint32_t id;
    size_t n;

    while ((n = weft__names_next_stack(v->names, &id, frames)) > 0) {
        one.n = 0;
        weft__bytes_varint(&one, id);
        weft__bytes_varint(&one, n);
        for (size_t i = 0; i < n; i++) {
            weft__bytes_varint(&one, frames[i].pc);
            weft__bytes_varint(&one, frames[i].function);
            weft__bytes_varint(&one, frames[i].file);
            weft__bytes_varint(&one, frames[i].line);
        }
        weft__bytes_byte(&v->w.out, STACK | 3 << 6);
        weft__bytes_varint(&v->w.out, one.n);
        weft__bytes_put(&v->w.out, one.at, one.n);
    }
    weft__bytes_free(&one);
    while ((text = weft__names_next_string(v->names, &id)) != NULL) {
        weft__bytes_byte(&v->w.out, STRING);
        weft__bytes_varint(&v->w.out, id);
        weft__bytes_varint(&v->w.out, strlen(text));
        weft__bytes_put(&v->w.out, text, strlen(text));
    }
    weft__bytes_byte(&v->w.out, FREQUENCY);
    weft__bytes_varint(&v->w.out, 1000000000);
}

static void spanned(struct weft__writer *w, bool end)
{
    struct v1 *v = (struct v1 *)w;

    if (end)
        put_end(v);
    for (size_t i = 0; i < v->n; i++) {
        weft__bytes_put(&w->out, v->streams[i].bytes.at, v->streams[i].bytes.n);
        v->streams[i].bytes.n = 0;
        v->failed |= v->streams[i].bytes.failed;
    }
    if (end)
        put_tables(v);
    w->out.failed |= v->failed;
}

static void v1_free(struct weft__writer *w)
{
    struct v1 *v = (struct v1 *)w;

    for (size_t i = 0; i < v->n; i++)
        weft__bytes_free(&v->streams[i].bytes);
    free(v->streams);
    weft__names_end(v->names);
    weft__bytes_free(&w->out);
    free(v);
}

struct weft__writer *weft__writer_v1(void)
{
    struct v1 *v = calloc(1, sizeof(*v));

    if (!v)
        return NULL;
    v->w = (struct weft__writer){.form.step = step,
                                 .span = begin_span,
                                 .sample = sample,
                                 .spanned = spanned,
                                 .free = v1_free};
    v->names = weft__names_new();
    if (!v->names) {
        v1_free(&v->w);
        return NULL;
    }
    return &v->w;
}
