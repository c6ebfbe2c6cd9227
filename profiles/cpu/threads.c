/* SPDX-License-Identifier: MIT */
/* threads.c - see threads.h.
 *
 * Owns: the list of threads and their timers, in the order of thread ids.
 *
 * Any thread may make a timer for another's CPU clock, and have the signal sent to that one. So no
 * thread has to register, and threads of the program and of other libraries are sampled, too. A
 * timer counts as a pending signal of the user (RLIMIT_SIGPENDING, ulimit -i); beyond that limit
 * the kernel refuses, and the thread has none.
 *
 * The first signal comes after a random part of a period. So the time of a thread that ends early
 * is not missed on average. */
#include "profiles/cpu/threads.h"

#include "profiles/cpu/bounds.h"
#include "profiles/cpu/signal.h"
#include "runtime/base/clock.h"
#include "runtime/base/random.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* A thread that used so many periods has given a sample, unless it blocks the signal. */
enum { SILENT = 8 };

static struct {
    struct weft__cpu_record **all; /* by tid, ascending */
    uint32_t n;
    uint64_t random;
} threads;

struct tids {
    int *all;
    uint32_t n, room;
};

/* Timers --------------------------------------------------------------------------------------- */

static int64_t cpu_of(int tid)
{
    return weft__cpu_nanos(weft__cpu_clock_of(tid));
}

static bool set_timer(struct weft__cpu_record *r, int signo, int64_t period)
{
    int64_t first = 1 + (int64_t)(weft__random(&threads.random) % (uint64_t)period);
    struct itimerspec spec = {{0, period}, {0, first}};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = signo,
                             .sigev_value = weft__cpu_signal_value(r->index)};

    event.sigev_notify_thread_id = r->tid;
    r->has_timer = timer_create(weft__cpu_clock_of(r->tid), &event, &r->timer) == 0;
    return r->has_timer && timer_settime(r->timer, 0, &spec, NULL) == 0;
}

/* Makes the record of a new thread, and its timer. Returns NULL if memory ran out. */
static struct weft__cpu_record *begin(int tid, struct weft__cpu_counts *counts)
{
    struct weft__cpu_record *r = weft__cpu_record_new(tid);

    if (!r)
        return NULL;
    r->cpu_first = r->cpu = cpu_of(tid);
    errno = 0;
    if (set_timer(r, counts->signo, INT64_C(1000000000) / counts->hz)) {
        counts->threads++;
    } else if (errno != EINVAL && errno != ESRCH) { /* it has not ended meanwhile */
        counts->refused++;
        counts->error = errno;
    }
    return r;
}

static void end(struct weft__cpu_record *r)
{
    if (r->has_timer)
        timer_delete(r->timer);
    r->has_timer = false;
}

/* The list ------------------------------------------------------------------------------------- */

static bool add(struct tids *t, int tid)
{
    if (t->n == t->room) {
        uint32_t room = t->room ? 2 * t->room : 64;
        int *bigger = realloc(t->all, room * sizeof(*bigger));

        if (!bigger)
            return false;
        t->all = bigger;
        t->room = room;
    }
    t->all[t->n++] = tid;
    return true;
}

static int compare(const void *va, const void *vb)
{
    int a = *(const int *)va, b = *(const int *)vb;

    return a > b ? 1 : -(a < b);
}

/* Lists the ids of all threads but one, ascending. The list is for free(). */
static struct tids list(int not )
{
    struct tids t = {0};
    DIR *dir = opendir("/proc/self/task");
    struct dirent *e;
    int tid;

    while (dir && (e = readdir(dir)) != NULL) {
        tid = atoi(e->d_name);
        if (tid > 0 && tid != not &&!add(&t, tid))
            break;
    }
    if (dir)
        closedir(dir);
    if (t.n > 0)
        qsort(t.all, t.n, sizeof(*t.all), compare);
    return t;
}

/* Returns whether the record is still that of the thread with this id: a new thread may have the id
 * of one that ended, and has used less CPU. */
static bool is_same(struct weft__cpu_record *r)
{
    int64_t before = r->cpu;

    r->cpu = cpu_of(r->tid);
    return r->cpu >= before;
}

static void drop(struct weft__cpu_record *r, void (*gone)(struct weft__cpu_record *r))
{
    end(r);
    gone(r);
    weft__cpu_record_free(r);
}

/* Returns whether a thread has come, or another with its id. */
static bool is_any_new(const struct tids *t)
{
    uint32_t old = 0;

    for (uint32_t i = 0; i < t->n; i++) {
        while (old < threads.n && threads.all[old]->tid < t->all[i])
            old++;
        if (old == threads.n || threads.all[old]->tid != t->all[i])
            return true;
    }
    return false;
}

/* Both lists are in the order of thread ids. */
void weft__cpu_threads_look(struct weft__cpu_counts *counts, int not,
                            void (*gone)(struct weft__cpu_record *r))
{
    struct tids t = list(not );
    struct weft__cpu_record **now = calloc(t.n + 1u, sizeof(*now));
    uint32_t old = 0, n = 0;

    if (!now || t.n == 0) { /* no memory, or no /proc: the threads that are known stay */
        free(now);
        free(t.all);
        return;
    }
    threads.random |= (uint64_t)weft__ticks() | 1;
    if (is_any_new(&t))
        weft__cpu_bounds_read(weft__cpu_records_quiet);
    for (uint32_t i = 0; i < t.n; i++) {
        while (old < threads.n && threads.all[old]->tid < t.all[i])
            drop(threads.all[old++], gone);
        if (old < threads.n && threads.all[old]->tid == t.all[i]) {
            if (is_same(threads.all[old])) {
                now[n++] = threads.all[old++];
                continue;
            }
            drop(threads.all[old++], gone);
        }
        if ((now[n] = begin(t.all[i], counts)) != NULL)
            n++;
    }
    while (old < threads.n)
        drop(threads.all[old++], gone);
    free(threads.all);
    threads.all = now;
    threads.n = n;
    free(t.all);
}

void weft__cpu_threads_stop(struct weft__cpu_counts *counts)
{
    int64_t least = SILENT * INT64_C(1000000000) / counts->hz;

    for (uint32_t i = 0; i < threads.n; i++) {
        struct weft__cpu_record *r = threads.all[i];

        if (r->has_timer && weft__load(&r->head) == 0 && cpu_of(r->tid) - r->cpu_first > least)
            counts->silent++;
        end(r);
    }
}

void weft__cpu_threads_each(void (*fn)(struct weft__cpu_record *r))
{
    for (uint32_t i = 0; i < threads.n; i++)
        fn(threads.all[i]);
}

void weft__cpu_threads_free(void)
{
    free(threads.all);
    threads.all = NULL;
    threads.n = 0;
}

uint32_t weft__cpu_threads_count(void)
{
    return threads.n;
}
