/* SPDX-License-Identifier: MIT */
/* perfetto.c - see perfetto.h.
 *
 * The encodings of messages, one after another, are the encoding of their merger. So each packet is
 * encoded as a Trace with nothing else in it, and goes into the buffer before the sink at once.
 * Names of states and of frames are written once and then meant by an id; those of tasks and labels
 * are written each time, since a program may make any number of them.
 *
 * Always:
 *   a track is described before its first event
 *   a task in the table has one open slice on its track, or none before the first event that says
 *     what it does; it leaves the table when it ends
 *   a processor's slice is open from a task's run to the event that ends it; the task's `proc` says
 *     on which processor */
#include "profiles/trace/perfetto.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perfetto.pb-c.h"
#include "profiles/render/output.h"
#include "profiles/table/idmap.h"
#include "profiles/trace/order.h"

#include "runtime/base/utf8.h"
#include "runtime/sched/sinks.h"

enum { PROCS_MOST = 2048, LABELS_MOST = 16, COUNT_EVERY = 10 * 1000 /* ns */ };

typedef Weft__Perfetto__TracePacket packet;
typedef Weft__Perfetto__TrackEvent track_event;
typedef Weft__Perfetto__TrackDescriptor descriptor;
typedef Weft__Perfetto__DebugAnnotation annotation;

/* Identifiers of tracks: the kind in the upper byte. */
#define TRACK(kind, number) ((uint64_t)(kind) << 56 | (number))
enum { PROCESS = 1, PROCS, PROC, TASKS, TASK, OUTSIDE, RUNNABLE, DELAY, ACTIVE };

enum state { UNKNOWN, IS_RUNNABLE, IS_RUNNING, IS_OFF, IS_WAITING };

/* The kinds of interned strings; each has ids of its own. */
enum kind { EVENT_NAME, ANNOTATION_NAME, STRING_VALUE };

/* A task that lives. */
struct task {
    uint64_t id;    /* 0: the place is free */
    uint64_t flow;  /* of the wake-up whose arrow ends at the next run; 0: none */
    int64_t last;   /* ns of its latest event */
    uint64_t fn;    /* its function, or 0 */
    uint32_t stack; /* of its first wait or yield here, or 0 */
    uint32_t proc;  /* that has an open slice for it, or WEFT__NO_PROC */
    enum state state;
    bool foreign; /* it is the record of a thread that is no worker */
};

/* The arguments of an event: too large for a task's stack. The pointers lead into it. */
struct args {
    annotation list[LABELS_MOST + 2], *at[LABELS_MOST + 2];
    annotation frames[WEFT__TRACE_FRAMES], *frames_at[WEFT__TRACE_FRAMES];
    size_t n;
};

struct weft__perfetto {
    ProtobufCBuffer buffer; /* the first member, since append gets the encoder by its address */
    const struct weft__trace_words *words;
    struct weft__out *out;  /* out->rc is the encoder's rc */
    struct task *tasks;     /* open addressing, by hash of the id */
    size_t n_tasks, room;   /* room: a power of two */
    struct weft__idmap ids; /* finds the index in strings, + 1, which is the string's id */
    char **strings;         /* the kind as a character, and the string */
    uint32_t n_strings, strings_room;
    uint64_t flows;            /* arrows begun */
    int64_t runnable, counted; /* tasks; ns of the latest value of the counter */
    int64_t proc_last[PROCS_MOST];
    bool proc_seen[PROCS_MOST], delay_seen[PROCS_MOST], active_seen;
    char *clean; /* of a string that was not UTF-8 */
    struct weft__trace_frame frames[WEFT__TRACE_FRAMES];
    struct args args; /* of the event that is being written */
};

/* Encoding ------------------------------------------------------------------------------------- */

static void append(ProtobufCBuffer *buffer, size_t n, const uint8_t *data)
{
    weft__out_put(((weft__perfetto *)(void *)buffer)->out, data, n);
}

static void emit(weft__perfetto *p, packet *one)
{
    Weft__Perfetto__Trace trace = WEFT__PERFETTO__TRACE__INIT;

    one->has_trusted_packet_sequence_id = 1;
    one->trusted_packet_sequence_id = 1;
    trace.n_packet = 1;
    trace.packet = &one;
    protobuf_c_message_pack_to_buffer(&trace.base, &p->buffer);
}

/* Interned strings ----------------------------------------------------------------------------- */

static void emit_string(weft__perfetto *p, enum kind kind, uint64_t id, const char *s)
{
    Weft__Perfetto__InternedString one = WEFT__PERFETTO__INTERNED_STRING__INIT, *list = &one;
    Weft__Perfetto__InternedData data = WEFT__PERFETTO__INTERNED_DATA__INIT;
    packet with = WEFT__PERFETTO__TRACE_PACKET__INIT;

    one.has_iid = 1;
    one.iid = id;
    one.str = (char *)(uintptr_t)s;
    data.n_event_names = kind == EVENT_NAME;
    data.n_debug_annotation_names = kind == ANNOTATION_NAME;
    data.n_debug_annotation_string_values = kind == STRING_VALUE;
    data.event_names = data.debug_annotation_names = data.debug_annotation_string_values = &list;
    with.interned_data = &data;
    with.has_sequence_flags = 1;
    with.sequence_flags = 2;
    emit(p, &with);
}

static uint64_t hash_of(enum kind kind, const char *s)
{
    uint64_t h = 0xcbf29ce484222325u ^ (uint64_t)kind;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return weft__idmap_mix(h);
}

/* Adds a string. Returns its id; 0 if memory ran out. */
static uint32_t add_string(weft__perfetto *p, enum kind kind, uint64_t hash, const char *s)
{
    char *copy = malloc(strlen(s) + 2);
    void *more = p->strings;

    if (copy && p->n_strings == p->strings_room) {
        more = realloc(p->strings, (p->strings_room * 2 + 64) * sizeof(char *));
        if (more) {
            p->strings = more;
            p->strings_room = p->strings_room * 2 + 64;
        }
    }
    if (!copy || !more || !weft__idmap_add(&p->ids, hash, p->n_strings + 1)) {
        free(copy);
        p->out->rc = -ENOMEM;
        return 0;
    }
    copy[0] = (char)('0' + kind);
    memcpy(copy + 1, s, strlen(s) + 1);
    p->strings[p->n_strings] = copy;
    return ++p->n_strings;
}

/* Returns the id of a string that is UTF-8, and writes the string if it is new. */
static uint64_t id_of(weft__perfetto *p, enum kind kind, const char *s)
{
    uint64_t hash = hash_of(kind, s);
    uint32_t id, at = weft__idmap_first(&p->ids, hash);

    while ((id = weft__idmap_next(&p->ids, hash, &at)))
        if (p->strings[id - 1][0] == '0' + (char)kind && strcmp(p->strings[id - 1] + 1, s) == 0)
            return id;
    id = add_string(p, kind, hash, s);
    if (id)
        emit_string(p, kind, id, s);
    return id;
}

/* Tracks and events ---------------------------------------------------------------------------- */

static void describe(weft__perfetto *p, descriptor *d, uint64_t uuid, uint64_t parent,
                     const char *name)
{
    packet one = WEFT__PERFETTO__TRACE_PACKET__INIT;

    d->has_uuid = 1;
    d->uuid = uuid;
    d->has_parent_uuid = parent != 0;
    d->parent_uuid = parent;
    d->name = (char *)(uintptr_t)name;
    one.track_descriptor = d;
    emit(p, &one);
}

static void put_event(weft__perfetto *p, track_event *e, uint64_t track, int64_t time)
{
    packet one = WEFT__PERFETTO__TRACE_PACKET__INIT;

    e->has_type = e->has_track_uuid = 1;
    e->track_uuid = track;
    one.has_timestamp = one.has_sequence_flags = 1;
    one.timestamp = (uint64_t)time;
    one.sequence_flags = 2;
    one.track_event = e;
    emit(p, &one);
}

static void describe_counter(weft__perfetto *p, uint64_t uuid, const char *name,
                             Weft__Perfetto__CounterDescriptor__Unit unit)
{
    descriptor d = WEFT__PERFETTO__TRACK_DESCRIPTOR__INIT;
    Weft__Perfetto__CounterDescriptor counter = WEFT__PERFETTO__COUNTER_DESCRIPTOR__INIT;

    counter.has_unit = 1;
    counter.unit = unit;
    d.counter = &counter;
    describe(p, &d, uuid, TRACK(PROCESS, 0), name);
}
#define COUNT WEFT__PERFETTO__COUNTER_DESCRIPTOR__UNIT__UNIT_COUNT
#define NANOS WEFT__PERFETTO__COUNTER_DESCRIPTOR__UNIT__UNIT_TIME_NS

/* Returns s as UTF-8; valid until the next call that has to clean a string. */
static char *utf8(weft__perfetto *p, const char *s)
{
    if (weft__utf8_is(s))
        return (char *)(uintptr_t)s;
    free(p->clean);
    p->clean = malloc(WEFT__UTF8_CLEAN_SIZE(strlen(s)));
    if (!p->clean)
        return (char *)(uintptr_t) "?";
    weft__utf8_clean(p->clean, s);
    return p->clean;
}

/* The table of tasks --------------------------------------------------------------------------- */

static struct task *place_of(const weft__perfetto *p, uint64_t id)
{
    size_t at = weft__idmap_mix(id) & (p->room - 1);

    while (p->tasks[at].id && p->tasks[at].id != id)
        at = (at + 1) & (p->room - 1);
    return &p->tasks[at];
}

static bool grow_tasks(weft__perfetto *p)
{
    size_t room = p->room;
    struct task *old = p->tasks, *more = calloc(room ? room * 2 : 1024, sizeof(*more));

    if (!more) {
        p->out->rc = -ENOMEM;
        return false;
    }
    p->tasks = more;
    p->room = room ? room * 2 : 1024;
    for (size_t i = 0; i < room; i++)
        if (old[i].id)
            *place_of(p, old[i].id) = old[i];
    free(old);
    return true;
}

/* Removes a task, and moves those behind it up that would not be found any more. */
static void drop_task(weft__perfetto *p, struct task *t)
{
    size_t hole = (size_t)(t - p->tasks), at = hole, home;

    for (;;) {
        at = (at + 1) & (p->room - 1);
        if (!p->tasks[at].id)
            break;
        home = weft__idmap_mix(p->tasks[at].id) & (p->room - 1);
        if (((at - home) & (p->room - 1)) >= ((at - hole) & (p->room - 1))) {
            p->tasks[hole] = p->tasks[at];
            hole = at;
        }
    }
    p->tasks[hole].id = 0;
    p->n_tasks--;
}

/* Writes the name of a task: its own, its function's, or that of its stack's outermost function. */
static void task_name(weft__perfetto *p, const struct task *t, char *to, size_t size)
{
    const char *name = p->words->task(p->words->arg, t->id);

    if (!name && t->fn)
        name = p->words->function(p->words->arg, t->fn);
    if (!name && t->stack) {
        size_t n = p->words->frames(p->words->arg, t->stack, p->frames);

        name = n ? p->frames[n - 1].function : NULL;
    }
    if (!name)
        name = t->foreign ? WEFT__THREAD_NAME : "task";
    snprintf(to, size, "%s %llu", name, (unsigned long long)t->id);
}

static void describe_task(weft__perfetto *p, const struct task *t)
{
    descriptor d = WEFT__PERFETTO__TRACK_DESCRIPTOR__INIT;
    char name[256];

    task_name(p, t, name, sizeof(name));
    describe(p, &d, TRACK(TASK, t->id), TRACK(TASKS, 0), utf8(p, name));
}

/* Returns the task of an event, described; NULL if memory ran out. */
static struct task *task_of(weft__perfetto *p, const struct weft__event *e)
{
    struct task *t;

    if ((p->n_tasks + 1) * 3 > p->room * 2 && !grow_tasks(p))
        return NULL;
    t = place_of(p, e->task);
    if (!t->id) {
        *t = (struct task){.id = e->task, .proc = WEFT__NO_PROC};
        if (e->kind == WEFT__EV_SPAWN)
            t->fn = e->arg;
        t->foreign = e->kind == WEFT__EV_SPAWN && e->arg == 0;
        if (e->kind == WEFT__EV_PARK || e->kind == WEFT__EV_YIELD)
            t->stack = e->stack;
        p->n_tasks++;
        describe_task(p, t);
    }
    return t;
}

/* Slices --------------------------------------------------------------------------------------- */

static struct args *no_args(weft__perfetto *p)
{
    p->args.n = 0;
    return &p->args;
}

/* Adds an argument; it has no name yet. */
static annotation *add_arg(struct args *a)
{
    annotation *one = &a->list[a->n];

    weft__perfetto__debug_annotation__init(one);
    a->at[a->n++] = one;
    return one;
}

static annotation *add_named(weft__perfetto *p, struct args *a, const char *name)
{
    annotation *one = add_arg(a);

    one->has_name_iid = 1;
    one->name_iid = id_of(p, ANNOTATION_NAME, name);
    return one;
}

static void add_labels(const weft__perfetto *p, struct args *a, uint64_t task)
{
    const char *key, *value;

    for (unsigned i = 0; i < LABELS_MOST && p->words->label(p->words->arg, task, i, &key, &value);
         i++) {
        annotation *one;

        if (!weft__utf8_is(key) || !weft__utf8_is(value))
            continue;
        one = add_arg(a);
        one->name = (char *)(uintptr_t)key;
        one->string_value = (char *)(uintptr_t)value;
    }
}

static void add_thread(weft__perfetto *p, struct args *a, uint32_t thread)
{
    annotation *one = add_named(p, a, "thread");

    one->has_uint_value = 1;
    one->uint_value = thread;
}

static void add_frame(weft__perfetto *p, annotation *to, const struct weft__trace_frame *f)
{
    char text[1024];

    if (f->file)
        snprintf(text, sizeof(text), "%s %s:%u", f->function, f->file, f->line);
    else
        snprintf(text, sizeof(text), "%s", f->function);
    weft__perfetto__debug_annotation__init(to);
    to->has_string_value_iid = 1;
    to->string_value_iid = id_of(p, STRING_VALUE, utf8(p, text));
}

static void add_stack(weft__perfetto *p, struct args *a, uint32_t stack)
{
    size_t n = stack ? p->words->frames(p->words->arg, stack, p->frames) : 0;
    annotation *whole;

    if (n == 0)
        return;
    whole = add_named(p, a, "stack");
    for (size_t i = 0; i < n; i++) {
        add_frame(p, &a->frames[i], &p->frames[i]);
        a->frames_at[i] = &a->frames[i];
    }
    whole->n_array_values = n;
    whole->array_values = a->frames_at;
}

/* Returns an event with an interned name. */
static track_event event_named(weft__perfetto *p, const char *name)
{
    track_event e = WEFT__PERFETTO__TRACK_EVENT__INIT;

    e.has_name_iid = 1;
    e.name_iid = id_of(p, EVENT_NAME, name);
    return e;
}

static void end_slice(weft__perfetto *p, uint64_t track, int64_t time)
{
    track_event e = WEFT__PERFETTO__TRACK_EVENT__INIT;

    e.type = WEFT__PERFETTO__TRACK_EVENT__TYPE__TYPE_SLICE_END;
    put_event(p, &e, track, time);
}

/* Begins a slice, with the name that e has. flow: of the arrow that ends here; 0: none. */
static void begin_slice(weft__perfetto *p, track_event e, uint64_t track, int64_t time,
                        uint64_t flow, struct args *a)
{
    e.type = WEFT__PERFETTO__TRACK_EVENT__TYPE__TYPE_SLICE_BEGIN;
    e.n_terminating_flow_ids = flow != 0;
    e.terminating_flow_ids = &flow;
    if (a) {
        e.n_debug_annotations = a->n;
        e.debug_annotations = a->at;
    }
    put_event(p, &e, track, time);
}

static void put_count(weft__perfetto *p, uint64_t track, int64_t time, int64_t value)
{
    track_event e = WEFT__PERFETTO__TRACK_EVENT__INIT;

    e.type = WEFT__PERFETTO__TRACK_EVENT__TYPE__TYPE_COUNTER;
    e.has_counter_value = 1;
    e.counter_value = value;
    put_event(p, &e, track, time);
}

static void count_runnable(weft__perfetto *p, int64_t time, int change)
{
    p->runnable += change;
    if (time - p->counted < COUNT_EVERY)
        return;
    p->counted = time;
    put_count(p, TRACK(RUNNABLE, 0), time, p->runnable);
}

/* Ends the slice of a task on its own track and begins the next one. */
static void turn(weft__perfetto *p, struct task *t, int64_t time, enum state state,
                 const char *name, uint64_t flow, struct args *a)
{
    if (t->state != UNKNOWN)
        end_slice(p, TRACK(TASK, t->id), time);
    if ((state == IS_RUNNABLE) != (t->state == IS_RUNNABLE))
        count_runnable(p, time, state == IS_RUNNABLE ? 1 : -1);
    t->state = state;
    if (name)
        begin_slice(p, event_named(p, name), TRACK(TASK, t->id), time, flow, a);
}

/* Writes the name of a processor's track: threads without a real one have one as well. */
static void proc_name(uint32_t proc, char *to, size_t size)
{
    if (proc < WEFT__PROC_LIBRARY)
        snprintf(to, size, "processor %u", proc);
    else if (proc == WEFT__PROC_LIBRARY)
        snprintf(to, size, "threads of the library");
    else
        snprintf(to, size, "thread of the program, %u", proc - WEFT__PROC_FOREIGN + 1);
}

/* Returns the track of a processor, described, and moves the time to no less than its latest. */
static uint64_t proc_track(weft__perfetto *p, uint32_t proc, int64_t *time)
{
    descriptor d = WEFT__PERFETTO__TRACK_DESCRIPTOR__INIT;
    char name[48];

    if (!p->proc_seen[proc]) {
        p->proc_seen[proc] = true;
        proc_name(proc, name, sizeof(name));
        describe(p, &d, TRACK(PROC, proc), TRACK(PROCS, 0), name);
    }
    if (*time < p->proc_last[proc])
        *time = p->proc_last[proc];
    p->proc_last[proc] = *time;
    return TRACK(PROC, proc);
}

static void leave_proc(weft__perfetto *p, struct task *t, int64_t *time)
{
    if (t->proc == WEFT__NO_PROC)
        return;
    end_slice(p, proc_track(p, t->proc, time), *time);
    t->proc = WEFT__NO_PROC;
}

static void add_run(weft__perfetto *p, struct task *t, const struct weft__event *e, int64_t time)
{
    uint32_t proc = weft__event_proc(e->arg);
    track_event on_proc = WEFT__PERFETTO__TRACK_EVENT__INIT;
    struct args *a = no_args(p);
    char name[256];
    uint64_t track;

    add_labels(p, a, t->id);
    leave_proc(p, t, &time);
    if (proc < PROCS_MOST) {
        if (proc >= WEFT__PROC_FOREIGN)
            add_thread(p, a, weft__event_thread(e->arg));
        track = proc_track(p, proc, &time);
        task_name(p, t, name, sizeof(name));
        on_proc.name = utf8(p, name);
        begin_slice(p, on_proc, track, time, t->flow, a);
        t->proc = proc;
    }
    turn(p, t, time, IS_RUNNING, "running", t->flow, a);
    t->flow = 0;
    t->last = time;
}

/* Writes where an arrow begins: on the track of the waker, or of all that comes from outside. */
static void add_wake(weft__perfetto *p, struct task *t, const struct weft__event *e, int64_t time)
{
    static const char *const sources[] = {
        [WEFT__BY_LIBRARY] = "library", [WEFT__BY_LOOP] = "event loop",
        [WEFT__BY_TIMER] = "timer",     [WEFT__BY_ITSELF] = "itself",
        [WEFT__BY_TASK] = "wakes",      [WEFT__BY_THREAD] = "thread",
    };
    track_event one =
        event_named(p, sources[e->detail <= WEFT__BY_THREAD ? e->detail : WEFT__BY_LIBRARY]);
    const struct task *by = e->arg ? place_of(p, e->arg) : NULL;
    bool inside = by && by->id && e->detail == WEFT__BY_TASK;
    struct args *a = no_args(p);
    annotation *whom = add_named(p, a, "task");

    whom->has_uint_value = 1;
    whom->uint_value = t->id;
    add_stack(p, a, e->stack);
    t->flow = ++p->flows;
    one.type = WEFT__PERFETTO__TRACK_EVENT__TYPE__TYPE_INSTANT;
    one.n_flow_ids = 1;
    one.flow_ids = &t->flow;
    one.n_debug_annotations = a->n;
    one.debug_annotations = a->at;
    put_event(p, &one, inside ? TRACK(TASK, by->id) : TRACK(OUTSIDE, 0), time);
}

static void add_wait(weft__perfetto *p, struct task *t, const struct weft__event *e, int64_t time)
{
    struct args *a = no_args(p);

    if (e->arg) {
        annotation *object = add_named(p, a, "object");

        object->has_pointer_value = 1;
        object->pointer_value = e->arg;
    }
    add_stack(p, a, e->stack);
    turn(p, t, time, IS_WAITING, weft__wait_text(e->detail), 0, a);
}

static void add_off(weft__perfetto *p, struct task *t, const struct weft__event *e, int64_t time,
                    const char *name)
{
    struct args *a = no_args(p);

    add_stack(p, a, e->stack);
    turn(p, t, time, IS_OFF, name, 0, a);
}

static void add_to(weft__perfetto *p, struct task *t, const struct weft__event *e, int64_t time)
{
    switch ((enum weft__event_kind)e->kind) {
    case WEFT__EV_RUN:
        add_run(p, t, e, time);
        return;
    case WEFT__EV_SPAWN:
    case WEFT__EV_YIELD:
    case WEFT__EV_BACK:
        turn(p, t, time, IS_RUNNABLE, "runnable", 0, NULL);
        return;
    case WEFT__EV_READY:
        add_wake(p, t, e, time);
        turn(p, t, time, IS_RUNNABLE, "runnable", 0, NULL);
        return;
    case WEFT__EV_PARK:
        add_wait(p, t, e, time);
        return;
    case WEFT__EV_LOST:
        add_off(p, t, e, time, "without processor");
        return;
    case WEFT__EV_CALL:
        add_off(p, t, e, time, "blocking call");
        return;
    case WEFT__EV_CALLED:
        turn(p, t, time, IS_RUNNING, "running", 0, NULL);
        return;
    case WEFT__EV_END:
        turn(p, t, time, UNKNOWN, NULL, 0, NULL);
        drop_task(p, t);
        return;
    default:
        return;
    }
}

/* The whole ------------------------------------------------------------------------------------ */

static void describe_all(weft__perfetto *p)
{
    packet first = WEFT__PERFETTO__TRACE_PACKET__INIT;
    Weft__Perfetto__ProcessDescriptor process = WEFT__PERFETTO__PROCESS_DESCRIPTOR__INIT;
    descriptor d = WEFT__PERFETTO__TRACK_DESCRIPTOR__INIT;

    first.has_sequence_flags = 1;
    first.sequence_flags = 1;
    emit(p, &first);
    process.has_pid = 1;
    process.pid = p->words->pid;
    process.process_name = (char *)(uintptr_t)p->words->program;
    d.process = &process;
    describe(p, &d, TRACK(PROCESS, 0), 0, NULL);
    d.process = NULL;
    describe(p, &d, TRACK(PROCS, 0), TRACK(PROCESS, 0), "processors");
    describe(p, &d, TRACK(TASKS, 0), TRACK(PROCESS, 0), "tasks");
    describe(p, &d, TRACK(OUTSIDE, 0), TRACK(PROCESS, 0), "wake-ups from outside");
    describe_counter(p, TRACK(RUNNABLE, 0), "runnable tasks", COUNT);
}

weft__perfetto *weft__perfetto_begin(const struct weft__trace_words *words,
                                     const struct weft__sink *to)
{
    weft__perfetto *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->buffer.append = append;
    p->words = words;
    p->out = weft__out_new(to);
    if (!p->out || !grow_tasks(p)) {
        free(p->out);
        free(p);
        return NULL;
    }
    describe_all(p);
    return p;
}

int weft__perfetto_add(weft__perfetto *p, const struct weft__event *e)
{
    struct task *t;
    int64_t time;

    if (p->out->rc < 0 || e->kind == WEFT__EV_MARK || !e->task)
        return p->out->rc;
    t = task_of(p, e);
    if (!t)
        return p->out->rc;
    time = p->words->nanos(p->words->arg, e->ticks);
    if (time < t->last)
        time = t->last;
    if (e->kind == WEFT__EV_PARK || e->kind == WEFT__EV_YIELD || e->kind == WEFT__EV_END ||
        e->kind == WEFT__EV_LOST)
        leave_proc(p, t, &time);
    t->last = time;
    add_to(p, t, e, time);
    return p->out->rc;
}

static void describe_delay(weft__perfetto *p, uint32_t proc)
{
    char name[64];

    p->delay_seen[proc] = true;
    snprintf(name, sizeof(name), "kernel scheduling delay of processor %u", proc);
    describe_counter(p, TRACK(DELAY, proc), name, NANOS);
}

int weft__perfetto_delay(weft__perfetto *p, uint32_t proc, int64_t nanos, uint64_t ns)
{
    if (p->out->rc < 0 || proc >= PROCS_MOST)
        return p->out->rc;
    if (!p->delay_seen[proc])
        describe_delay(p, proc);
    put_count(p, TRACK(DELAY, proc), nanos, (int64_t)ns);
    return p->out->rc;
}

int weft__perfetto_procs(weft__perfetto *p, int64_t nanos, uint64_t n)
{
    if (p->out->rc < 0)
        return p->out->rc;
    if (!p->active_seen)
        describe_counter(p, TRACK(ACTIVE, 0), "processors that run tasks", COUNT);
    p->active_seen = true;
    put_count(p, TRACK(ACTIVE, 0), nanos, (int64_t)n);
    return p->out->rc;
}

int weft__perfetto_counters(weft__perfetto *p, const struct weft__span *s)
{
    for (size_t i = 0; i < s->n_strands; i++) {
        const struct weft__event *e = s->events + s->strands[i].first;

        for (size_t k = 0; k < s->strands[i].n; k++) {
            int64_t nanos = p->words->nanos(p->words->arg, e[k].ticks);

            if (e[k].kind == WEFT__EV_DELAY)
                weft__perfetto_delay(p, e[k].stack, nanos, e[k].arg);
            else if (e[k].kind == WEFT__EV_PROCS)
                weft__perfetto_procs(p, nanos, e[k].arg);
        }
    }
    return p->out->rc;
}

int weft__perfetto_sample(weft__perfetto *p, uint32_t proc, int64_t nanos, uint64_t task,
                          uint32_t stack)
{
    struct args *a = no_args(p);
    int64_t ignored = 0;
    track_event e;
    annotation *of;

    if (p->out->rc < 0)
        return p->out->rc;
    e = event_named(p, "CPU sample");
    if (task) {
        of = add_named(p, a, "task");
        of->has_uint_value = 1;
        of->uint_value = task;
    }
    add_stack(p, a, stack);
    e.type = WEFT__PERFETTO__TRACK_EVENT__TYPE__TYPE_INSTANT;
    e.n_debug_annotations = a->n;
    e.debug_annotations = a->at;
    put_event(p, &e, proc < PROCS_MOST ? proc_track(p, proc, &ignored) : TRACK(OUTSIDE, 0), nanos);
    return p->out->rc;
}

int weft__perfetto_flush(weft__perfetto *p)
{
    return weft__out_flush(p->out);
}

int weft__perfetto_end(weft__perfetto *p, int rc)
{
    if (rc < 0)
        p->out->rc = rc;
    rc = weft__out_end(p->out);
    for (uint32_t i = 0; i < p->n_strings; i++)
        free(p->strings[i]);
    free(p->strings);
    weft__idmap_free(&p->ids);
    free(p->clean);
    free(p->tasks);
    free(p);
    return rc;
}
