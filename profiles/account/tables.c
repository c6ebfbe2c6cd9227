/* SPDX-License-Identifier: MIT */
/* tables.c - see tables.h.
 *
 * Owns: the present tables. A worker that counts stores which tables it uses, fences lightly, and
 * checks that they are still the present ones. The thread that replaces the tables stores the new
 * ones, fences heavily, and waits until no worker uses the old ones. So no count is lost, and no
 * worker writes to memory that was freed. Then it adds the old counts to the new tables.
 * Lock: reading, a pthread mutex. The readers of the tables hold it, and that thread from the time
 * when it stores the new ones. */
#include "profiles/account/tables.h"

#include "profiles/account/sample.h"
#include "profiles/table/labelset.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define LEAST INT64_C(10000000000)

static struct weft__tables *present; /* atomic */
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;

static struct {
    uint32_t runs; /* atomic: the thread */
    int64_t last;  /* atomic: ns, when it began last; 0: never */
    uint64_t gone; /* sets of labels, when it began last */
} renewal;

static void tables_free(struct weft__tables *t)
{
    for (int i = 0; i < WEFT__RECORDED_TABLES; i++)
        weft__buckets_free(t->of[i]);
    free(t);
}

/* Makes empty tables. Returns NULL if memory ran out. */
static struct weft__tables *tables_new(uint64_t number)
{
    struct weft__tables *t = calloc(1, sizeof(*t));
    struct weft__walk *rest = malloc(sizeof(*rest));
    bool ok = t && rest;

    for (int i = 0; ok && i < WEFT__RECORDED_TABLES; i++) {
        weft__sample_join(rest, &(struct weft__sample){.is_pair = i == WEFT__RECORDED_PAIRS});
        t->of[i] = weft__buckets_new(WEFT__SAMPLE_VALUES);
        ok = t->of[i] && weft__buckets_limit(t->of[i], WEFT__RECORDED_STACKS, rest);
    }
    free(rest);
    if (ok) {
        t->number = number;
        return t;
    }
    if (t)
        tables_free(t);
    return NULL;
}

void weft__tables_start(void)
{
    if (!present && !(present = tables_new(1)))
        weft__no_memory(NULL, "profiles");
}

/* Counting ------------------------------------------------------------------------------------- */

const struct weft__tables *weft__tables_use(weft__worker *w)
{
    const struct weft__tables *t;

    do {
        t = weft__load_acq(&present);
        weft__store(&w->tables, t);
        weft__fence_light();
    } while (weft__unlikely(weft__load_acq(&present) != t));
    return t;
}

void weft__tables_unuse(weft__worker *w)
{
    weft__store_rel(&w->tables, NULL);
}

static bool uses(const weft__worker *w, const void *t)
{
    return weft__load_acq(&w->tables) == t;
}

static bool is_used(const struct weft__tables *t)
{
    bool used = weft__foreign_any(uses, t);

    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ);
    for (weft__worker *w = weft__sched.all; w && !used; w = w->all)
        used = uses(w, t);
    weft__unlock(&weft__sched.lock);
    return used;
}

/* Replacing the tables ------------------------------------------------------------------------- */

/* Adds the old counts to the new tables. If memory runs out, the rest of a table is lost. */
static void renew(void)
{
    struct weft__tables *old = present, *t = tables_new(old->number + 1);

    if (!t)
        return;
    pthread_mutex_lock(&reading);
    weft__store_rel(&present, t);
    weft__fence_heavy();
    while (is_used(old))
        sched_yield();
    for (int i = 0; i < WEFT__RECORDED_TABLES; i++)
        weft__samples_add(t->of[i], old->of[i], 1);
    pthread_mutex_unlock(&reading);
    tables_free(old);
}

static void *renew_on_thread(void *arg)
{
    renew();
    weft__store_rel(&renewal.runs, 0);
    return arg;
}

void weft__tables_crowded(void)
{
    int64_t now = weft__mono(), last = weft__load(&renewal.last);
    uint32_t runs = 0;
    pthread_t thread;

    if ((last && now - last < LEAST) || weft__labelset_gone() == weft__load(&renewal.gone) ||
        !weft__cas(&renewal.runs, &runs, 1))
        return;
    weft__store(&renewal.last, now);
    weft__store(&renewal.gone, weft__labelset_gone());
    if (weft__thread_start(&thread, 0, renew_on_thread, NULL) == 0)
        pthread_detach(thread);
    else
        weft__store_rel(&renewal.runs, 0);
}

/* Waits for the thread that replaces the tables, since it looks at workers. No other can begin,
 * because no task runs any more. */
void weft__tables_stop(void)
{
    while (weft__load_acq(&renewal.runs))
        usleep(1000);
}

/* Reading -------------------------------------------------------------------------------------- */

const struct weft__tables *weft__tables_lock(void)
{
    pthread_mutex_lock(&reading);
    return weft__load_acq(&present);
}

void weft__tables_unlock(void)
{
    pthread_mutex_unlock(&reading);
}

uint32_t weft__tables_count(enum weft__wait_table which)
{
    const struct weft__tables *t = weft__tables_lock();
    uint32_t n = t ? weft__buckets_count(t->of[which]) : 0;

    weft__tables_unlock();
    return n;
}
