/* SPDX-License-Identifier: MIT */
/* summary.c - see summary.h. Owns nothing. */
#include "tools/flight/summary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/sched/sinks.h"
#include "runtime/sched/wait.h"
#include "tools/flight/print.h"

enum { LAST_EVENTS = 20, TASKS_SHOWN = 100, PROCS_MOST = 1024, FRAMES_SHOWN = 4 };

static int by_task(const void *a, const void *b)
{
    const struct weft__event *x = ((const struct weft__settled *)a)->event;
    const struct weft__event *y = ((const struct weft__settled *)b)->event;

    if (x->task != y->task)
        return x->task < y->task ? -1 : 1;
    return (int32_t)(x->seq - y->seq) < 0 ? -1 : x->seq != y->seq;
}

static int latest_first(const void *a, const void *b)
{
    const struct weft__event *x = last_of(a), *y = last_of(b);

    if (x->ticks != y->ticks)
        return x->ticks > y->ticks ? -1 : 1;
    return x->task < y->task ? -1 : x->task > y->task;
}

double ago(const summary *p, const struct weft__event *e)
{
    return (double)(p->end - p->words->nanos(p->words->arg, e->ticks)) / 1e6;
}

const char *task_name(const summary *p, uint64_t task)
{
    const char *name = p->words->task(p->words->arg, task);

    return name ? name : "";
}

/* Returns whether a function is one of the library's calls, as programs make them. */
static bool is_call(const char *function)
{
    return strncmp(function, "weft_", 5) == 0 && function[5] != '_';
}

/* Returns the index of the frame of the library's call that the task made, else of the first frame
 * that is not known to be inside the library. */
static size_t outside(const struct weft__trace_frame *frames, size_t n)
{
    size_t i = 0;

    while (i < n && !is_call(frames[i].function))
        i++;
    while (i + 1 < n && is_call(frames[i + 1].function))
        i++;
    if (i < n)
        return i;
    for (i = 0; i < n && strncmp(frames[i].function, "weft__", 6) == 0;)
        i++;
    return i;
}

void print_stack(const summary *p, uint32_t stack)
{
    struct weft__trace_frame frames[WEFT__TRACE_FRAMES];
    size_t n = stack ? p->words->frames(p->words->arg, stack, frames) : 0;
    size_t first = outside(frames, n);

    for (size_t i = first; i < n && i < first + FRAMES_SHOWN; i++) {
        const struct weft__trace_frame *f = &frames[i];
        const char *base = f->file ? strrchr(f->file, '/') : NULL;

        printf(i == first ? "  at %s" : " < %s", f->function);
        if (f->file && !is_call(f->function))
            printf(" %s:%u", base ? base + 1 : f->file, f->line);
    }
}

static const char *waker(const struct weft__event *e)
{
    static const char *const sources[] = {
        [WEFT__BY_LIBRARY] = "the library", [WEFT__BY_LOOP] = "the event loop",
        [WEFT__BY_TIMER] = "a timer",       [WEFT__BY_ITSELF] = "itself",
        [WEFT__BY_TASK] = "task",           [WEFT__BY_THREAD] = "thread",
    };

    return e->detail <= WEFT__BY_THREAD ? sources[e->detail] : "?";
}

static void print_ready(const summary *p, const struct weft__event *e)
{
    printf("woken by %s", waker(e));
    if (e->arg)
        printf(" %llu %s", (unsigned long long)e->arg, task_name(p, e->arg));
}

static void print_event(const summary *p, const struct weft__settled *s)
{
    const struct weft__event *e = s->event;

    printf("  %10.3f ms  ", ago(p, e));
    switch ((enum weft__event_kind)e->kind) {
    case WEFT__EV_SPAWN:
        printf("made");
        break;
    case WEFT__EV_RUN:
        printf("runs on processor %u", weft__event_proc(e->arg));
        break;
    case WEFT__EV_PARK:
        printf("waits: %s 0x%llx", weft__wait_text(e->detail), (unsigned long long)e->arg);
        break;
    case WEFT__EV_YIELD:
        printf("yields");
        break;
    case WEFT__EV_READY:
        print_ready(p, e);
        break;
    case WEFT__EV_LOST:
        printf("goes on without processor");
        break;
    case WEFT__EV_CALL:
        printf("begins a blocking call");
        break;
    case WEFT__EV_CALLED:
        printf("ends it");
        break;
    case WEFT__EV_BACK:
        printf("is back, and waits for a processor");
        break;
    case WEFT__EV_END:
        printf("ends");
        break;
    default:
        printf("notes something");
        break;
    }
    print_stack(p, e->stack);
    putchar('\n');
}

static void print_task(const summary *p, const struct task *t, size_t most)
{
    uint64_t id = last_of(t)->task;
    const char *key, *value;

    printf("\ntask %llu %s", (unsigned long long)id, task_name(p, id));
    for (unsigned i = 0; p->words->label(p->words->arg, id, i, &key, &value); i++)
        printf(" %s=%s", key, value);
    if (t->n > most)
        printf(": the last %zu of %zu events\n", most, t->n);
    else
        printf(": %zu event%s\n", t->n, t->n == 1 ? "" : "s");
    for (size_t i = t->n > most ? t->n - most : 0; i < t->n; i++)
        print_event(p, &t->events[i]);
}

/* Prints for each processor how long before the end its last event was. */
static void print_procs(const summary *p)
{
    const struct weft__event *last[PROCS_MOST] = {NULL};

    printf("the last event at %lld ns of the monotonic clock\n", (long long)p->end);
    for (size_t i = 0; i < p->n; i++) {
        uint32_t proc = weft__event_proc(p->list[i].place);

        if (proc < PROCS_MOST)
            last[proc] = p->list[i].event;
    }
    for (uint32_t i = 0; i < PROCS_MOST; i++)
        if (last[i])
            printf("processor %u: its last event %.3f ms before that\n", i, ago(p, last[i]));
}

static void print_tasks(const summary *p)
{
    printf(
        "\nthe last events of tasks, and how long before the last of all; the task with the latest "
        "event first:\n");
    for (size_t i = 0; i < p->n_tasks && i < TASKS_SHOWN; i++)
        print_task(p, &p->tasks[i], LAST_EVENTS);
    if (p->n_tasks > TASKS_SHOWN)
        printf("\nand %zu more tasks: --task=ID shows all events of one\n",
               p->n_tasks - TASKS_SHOWN);
}

/* Sorts the events, and lists the tasks. Returns false if memory ran out. */
static bool sort(summary *p)
{
    p->sorted = calloc(p->n + 1, sizeof(*p->sorted));
    p->tasks = calloc(p->n + 1, sizeof(*p->tasks));
    if (!p->sorted || !p->tasks)
        return false;
    for (size_t i = 0; i < p->n; i++) {
        int64_t time = p->words->nanos(p->words->arg, p->list[i].event->ticks);

        p->begin = i == 0 || time < p->begin ? time : p->begin;
        p->end = time > p->end ? time : p->end;
    }
    memcpy(p->sorted, p->list, p->n * sizeof(*p->list));
    qsort(p->sorted, p->n, sizeof(*p->sorted), by_task);
    for (size_t i = 0; i < p->n; i++) {
        if (i == 0 || p->sorted[i - 1].event->task != p->sorted[i].event->task)
            p->tasks[p->n_tasks++].events = &p->sorted[i];
        p->tasks[p->n_tasks - 1].n++;
    }
    qsort(p->tasks, p->n_tasks, sizeof(*p->tasks), latest_first);
    return true;
}

summary *summary_new(const struct weft__settled *list, size_t n,
                     const struct weft__trace_words *words)
{
    summary *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->words = words;
    s->list = list;
    s->n = n;
    if (sort(s))
        return s;
    summary_free(s);
    return NULL;
}

void summary_free(summary *s)
{
    free(s->sorted);
    free(s->tasks);
    free(s);
}

void summary_times(const summary *s, int64_t *from, int64_t *until)
{
    *from = s->begin;
    *until = s->end;
}

bool summary_print(const summary *s)
{
    print_procs(s);
    if (!print_ends(s))
        return false;
    print_tasks(s);
    return true;
}

bool summary_print_task(const summary *s, uint64_t task)
{
    for (size_t i = 0; i < s->n_tasks; i++) {
        if (last_of(&s->tasks[i])->task == task) {
            print_task(s, &s->tasks[i], SIZE_MAX);
            return true;
        }
    }
    return false;
}
