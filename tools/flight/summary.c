/* SPDX-License-Identifier: MIT */
/* summary.c - see summary.h. Owns nothing. Times are in milliseconds before the last event. */
#include "tools/flight/summary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/sched/sinks.h"
#include "runtime/sched/wait.h"

enum { LAST_EVENTS = 20, TASKS_SHOWN = 100, PROCS_MOST = 1024, FRAMES_SHOWN = 4 };

/* The state of the printing. */
struct print {
    const struct weft__trace_words *words;
    int64_t end; /* ns of the last event */
};

static int by_task(const void *a, const void *b)
{
    const struct weft__event *x = ((const struct weft__settled *)a)->event;
    const struct weft__event *y = ((const struct weft__settled *)b)->event;

    if (x->task != y->task)
        return x->task < y->task ? -1 : 1;
    return (int32_t)(x->seq - y->seq) < 0 ? -1 : x->seq != y->seq;
}

static double ago(const struct print *p, const struct weft__event *e)
{
    return (double)(p->end - p->words->nanos(p->words->arg, e->ticks)) / 1e6;
}

static bool is_ours(const char *function)
{
    return strncmp(function, "weft__", 6) == 0;
}

/* Prints the innermost frames, without those inside the library. */
static void print_stack(const struct print *p, uint32_t stack)
{
    struct weft__trace_frame frames[WEFT__TRACE_FRAMES];
    size_t n = stack ? p->words->frames(p->words->arg, stack, frames) : 0, shown = 0;

    for (size_t i = 0; i < n && shown < FRAMES_SHOWN; i++) {
        if (is_ours(frames[i].function))
            continue;
        printf(shown++ ? " < %s" : "  at %s", frames[i].function);
        if (frames[i].file)
            printf(" %s:%u", frames[i].file, frames[i].line);
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

static void print_event(const struct print *p, const struct weft__settled *s)
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
        printf("woken by %s %llu", waker(e), (unsigned long long)e->arg);
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
        break;
    }
    print_stack(p, e->stack);
    putchar('\n');
}

static void print_task(const struct print *p, const struct weft__settled *list, size_t n)
{
    const char *name = p->words->task(p->words->arg, list->event->task);
    const char *key, *value;

    printf("\ntask %llu %s", (unsigned long long)list->event->task, name ? name : "");
    for (unsigned i = 0; p->words->label(p->words->arg, list->event->task, i, &key, &value); i++)
        printf(" %s=%s", key, value);
    printf(": %zu events\n", n);
    for (size_t i = n > LAST_EVENTS ? n - LAST_EVENTS : 0; i < n; i++)
        print_event(p, &list[i]);
}

/* Returns what a task that made this event last does now; NULL: it has ended. */
static const char *state_after(const struct weft__event *e)
{
    switch ((enum weft__event_kind)e->kind) {
    case WEFT__EV_RUN:
    case WEFT__EV_CALLED:
    case WEFT__EV_NONE:
        return "ran";
    case WEFT__EV_CALL:
        return "in a blocking call";
    case WEFT__EV_PARK:
        return weft__wait_text(e->detail);
    case WEFT__EV_LOST:
        return "ran without processor";
    case WEFT__EV_END:
        return NULL;
    default:
        return "waited for a processor";
    }
}

/* Returns the task that another one woke last from a wait for an object: of a lock, the task that
 * got it last. 0: none. */
static uint64_t last_woken(const struct weft__settled *sorted, size_t n, uint64_t object)
{
    const struct weft__event *last = NULL;

    for (size_t i = 0; i + 1 < n; i++) {
        const struct weft__event *e = sorted[i].event, *next = sorted[i + 1].event;

        if (e->kind == WEFT__EV_PARK && e->arg == object && next->task == e->task &&
            next->detail == WEFT__BY_TASK && (!last || next->ticks > last->ticks))
            last = next;
    }
    return last ? last->task : 0;
}

/* Prints a line for a task that had not ended: its state at the end, and the object and the task
 * that it waited for. */
static void print_end(const struct print *p, const struct weft__settled *sorted, size_t n,
                      const struct weft__event *e)
{
    const char *name = p->words->task(p->words->arg, e->task), *state = state_after(e);

    if (!state)
        return;
    printf("  task %llu %s: %s", (unsigned long long)e->task, name ? name : "", state);
    if (e->kind == WEFT__EV_PARK && e->arg)
        printf(" 0x%llx", (unsigned long long)e->arg);
    if (e->kind == WEFT__EV_PARK && weft__wait_is_for_lock(e->detail)) {
        uint64_t got = last_woken(sorted, n, e->arg);

        if (got)
            printf(", which task %llu got last,", (unsigned long long)got);
    }
    printf(" for %.3f ms", ago(p, e));
    print_stack(p, e->stack);
    putchar('\n');
}

/* Prints for each processor how long before the end its last event was. */
static void print_procs(const struct print *p, const struct weft__settled *list, size_t n)
{
    const struct weft__event *last[PROCS_MOST] = {NULL};

    printf("the last event at %lld ns of the monotonic clock\n", (long long)p->end);
    for (size_t i = 0; i < n; i++) {
        uint32_t proc = weft__event_proc(list[i].place);

        if (proc < PROCS_MOST)
            last[proc] = list[i].event;
    }
    for (uint32_t i = 0; i < PROCS_MOST; i++)
        if (last[i])
            printf("processor %u: its last event %.3f ms before that\n", i, ago(p, last[i]));
}

static bool is_last(const struct weft__settled *sorted, size_t n, size_t i)
{
    return i + 1 == n || sorted[i + 1].event->task != sorted[i].event->task;
}

static void print_ends(const struct print *p, const struct weft__settled *sorted, size_t n)
{
    size_t tasks = 0;

    printf("\nwhat tasks did at the end:\n");
    for (size_t i = 0; i < n && tasks < TASKS_SHOWN; i++) {
        if (!is_last(sorted, n, i) || !state_after(sorted[i].event))
            continue;
        tasks++;
        print_end(p, sorted, n, sorted[i].event);
    }
}

static void print_tasks(const struct print *p, const struct weft__settled *sorted, size_t n)
{
    size_t tasks = 0, from = 0;

    printf("\nthe last events of tasks, with the time until the last of all:\n");
    for (size_t i = 0; i < n; i++) {
        if (!is_last(sorted, n, i))
            continue;
        if (tasks++ < TASKS_SHOWN)
            print_task(p, &sorted[from], i + 1 - from);
        from = i + 1;
    }
    if (tasks > TASKS_SHOWN)
        printf("\nand %zu tasks more\n", tasks - TASKS_SHOWN);
}

bool summary_print(const struct weft__settled *list, size_t n,
                   const struct weft__trace_words *words)
{
    struct weft__settled *sorted = calloc(n + 1, sizeof(*sorted));
    struct print p = {.words = words};

    if (!sorted)
        return false;
    for (size_t i = 0; i < n; i++) {
        int64_t time = words->nanos(words->arg, list[i].event->ticks);

        sorted[i] = list[i];
        p.end = time > p.end ? time : p.end;
    }
    qsort(sorted, n, sizeof(*sorted), by_task);
    print_procs(&p, list, n);
    print_ends(&p, sorted, n);
    print_tasks(&p, sorted, n);
    free(sorted);
    return true;
}
