/* SPDX-License-Identifier: MIT */
/* memstats.c - puts the memory, under Go's keys and in Go's order, and the tasks into /debug/vars.
 *
 * Owns no state. expvar.c calls while it writes the document, with no lock held.
 *
 * Readers such as expvarmon need all of Go's keys; a value that C cannot know is 0.
 * profiles/account/memory.c has the sources of the others; "memstats_from" beside them names that
 * of the heap. weft has no garbage collector and never stops the world, so PauseTotalNs is truly 0.
 */
#include "http/debug/expvar.h"

#include "profiles/account/memory.h"
#include "profiles/heap/heap.h"
#include "profiles/heap/jemalloc.h"
#include "runtime/sched/lane.h"
#include "runtime/sched/scheduler.h"

static void set(weft__json *o, const char *key, uint64_t value)
{
    weft__json_put_key(o, key);
    weft__json_put_unsigned(o, value);
}

static void set_zeros(weft__json *o, const char *key, int n)
{
    weft__json_put_key(o, key);
    weft__json_put_text(o, "[0");
    while (--n > 0)
        weft__json_put_text(o, ",0");
    weft__json_put_text(o, "]");
}

static void set_false(weft__json *o, const char *key)
{
    weft__json_put_key(o, key);
    weft__json_put_text(o, "false");
}

static void set_class(weft__json *o, bool first, const struct weft__jemalloc_bin *b)
{
    weft__json_put_text(o, first ? "[{" : ",{");
    set(o, "Size", b->size);
    set(o, "Mallocs", b->mallocs);
    set(o, "Frees", b->frees);
    weft__json_put_text(o, "}");
}

/* Puts the size classes: jemalloc's first, as many as Go has, with its counts; else those of Go
 * with counts of 0, since no other malloc has such counts. */
static void set_by_size(weft__json *o)
{
    static const uint16_t sizes[] = {
        0,    8,    16,    24,    32,    48,    64,    80,    96,    112,  128,  144,  160,
        176,  192,  208,   224,   240,   256,   288,   320,   352,   384,  416,  448,  480,
        512,  576,  640,   704,   768,   896,   1024,  1152,  1280,  1408, 1536, 1792, 2048,
        2304, 2688, 3072,  3200,  3456,  4096,  4864,  5376,  6144,  6528, 6784, 6912, 8192,
        9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432,
    };
    bool counted = weft__jemalloc_serves();
    struct weft__jemalloc_bin b;

    weft__json_put_key(o, "BySize");
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        b = (struct weft__jemalloc_bin){.size = sizes[i]};
        if (!counted || weft__jemalloc_bin(i, &b))
            set_class(o, i == 0, &b);
    }
    weft__json_put_text(o, "]");
}

static void set_heap(weft__json *o, const struct weft__memory *m)
{
    set(o, "HeapAlloc", m->alloc);
    set(o, "HeapSys", m->heap_sys);
    set(o, "HeapIdle", m->heap_idle);
    set(o, "HeapInuse", m->heap_inuse);
    set(o, "HeapReleased", m->heap_released);
    set(o, "HeapObjects", m->mallocs - m->frees);
}

static void set_gc(weft__json *o)
{
    set(o, "NextGC", 0);
    set(o, "LastGC", 0);
    set(o, "PauseTotalNs", 0);
    set_zeros(o, "PauseNs", 256);
    set_zeros(o, "PauseEnd", 256);
    set(o, "NumGC", 0);
    set(o, "NumForcedGC", 0);
    set(o, "GCCPUFraction", 0);
    set_false(o, "EnableGC");
    set_false(o, "DebugGC");
}

void weft__memstats_put(weft__json *o)
{
    struct weft__memory m;

    weft__memory_read(&m);
    weft__json_put_text(o, "{");
    set(o, "Alloc", m.alloc);
    set(o, "TotalAlloc", m.total_alloc);
    set(o, "Sys", m.sys);
    set(o, "Lookups", 0);
    set(o, "Mallocs", m.mallocs);
    set(o, "Frees", m.frees);
    set_heap(o, &m);
    set(o, "StackInuse", m.stack_inuse);
    set(o, "StackSys", m.stack_sys);
    set(o, "MSpanInuse", 0);
    set(o, "MSpanSys", 0);
    set(o, "MCacheInuse", 0);
    set(o, "MCacheSys", 0);
    set(o, "BuckHashSys", m.buck_hash_sys);
    set(o, "GCSys", 0);
    set(o, "OtherSys", m.other_sys);
    set_gc(o);
    set_by_size(o);
    weft__json_put_text(o, "}");
}

/* Puts the state of the heap profile, and the source of the memstats. */
static void set_heap_state(weft__json *o)
{
    struct weft__memory m;
    char state[256];

    weft__memory_read(&m);
    weft__heap_state_text(state, sizeof(state));
    weft__json_put_key(o, "heap_profile");
    weft__json_put_string(o, state);
    weft__json_put_key(o, "memstats_from");
    weft__json_put_string(o, m.from);
    set(o, "heap_samples_lost", weft__heap_lost());
}

/* Puts the values of "weft". The names are those of Go's runtime/metrics where it has such a
 * value. */
void weft__runtime_put(weft__json *o)
{
    const char *by = weft__load(&weft__sched.procs_by);
    struct weft__census c;
    uint32_t waiting;

    weft__tasks_count(&c);
    waiting = c.states[WEFT__PARKED];
    weft__json_put_text(o, "{");
    set(o, "/sched/goroutines:goroutines",
        c.states[WEFT__RUNNABLE] + c.states[WEFT__RUNNING] + waiting + c.states[WEFT__LOST]);
    set(o, "/sched/goroutines/runnable:goroutines", c.states[WEFT__RUNNABLE]);
    set(o, "/sched/goroutines/running:goroutines", c.states[WEFT__RUNNING]);
    set(o, "/sched/goroutines/waiting:goroutines", waiting);
    set(o, "/sched/goroutines/not-in-go:goroutines", c.states[WEFT__LOST]);
    set(o, "/sched/goroutines-created:goroutines", c.created);
    set(o, "/sched/threads/total:threads", weft__load(&weft__sched.nthreads));
    set(o, "/sched/gomaxprocs:threads", (uint64_t)weft__load(&weft__sched.active));
    weft__json_put_key(o, "processors_by");
    weft__json_put_string(o, by ? by : ""); /* before the first run there are none */
    set(o, "hog_lane", c.hog_lane);
    set(o, "handoffs", weft__load(&weft__sched.taken));
    set(o, "threads_without_processor", weft__load(&weft__sched.nlost));
    set(o, "hogs_beside", weft__load(&weft__sched.nhogs));
    set(o, "hogs_beside_max", (uint64_t)weft__load(&weft__sched.max_hogs));
    set(o, "threads_spare", weft__load(&weft__sched.nspares));
    set(o, "threads_max", (uint64_t)weft__load(&weft__sched.max_threads));
    set(o, "waiting_for_thread", weft__held_count());
    weft__json_put_key(o, "threads_short");
    weft__json_put_text(o, weft__threads_short() ? "true" : "false");
    set(o, "stacks_idle_bytes", c.idle_stacks);
    set(o, "stacks_returned_bytes", c.returned);
    set(o, "stacks_returned_bytes_per_second", c.return_rate);
    weft__json_put_key(o, "stack_guard");
    weft__json_put_string(o, weft__stack_mode());
    set_heap_state(o);
    weft__delays_put(o);
    weft__kept_put(o);
    weft__flight_put(o);
    weft__json_put_text(o, "}");
}
