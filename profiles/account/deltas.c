/* SPDX-License-Identifier: MIT */
/* deltas.c - delta_block, delta_mutex and delta_heap: the waits that ended, and the change of the
 * heap, since the last request for the profile, for scrapers that cannot wait.
 *
 * Owns: for each profile the view that was shown last. Views of waits have only waits that have
 * ended: a wait that goes on may be in another bucket of the next view. Lock: shown.lock, a pthread
 * mutex, since no code under it can switch tasks. */
#include "profiles/account/heap.h"
#include "profiles/account/sample.h"
#include "profiles/account/tables.h"
#include "profiles/account/waits.h"
#include "profiles/capture/tasks.h"
#include "profiles/heap/stacks.h"
#include "profiles/table/labelset.h"

#include <pthread.h>

enum { HEAP = WEFT__RECORDED_TABLES, VIEWS };

static struct {
    pthread_mutex_t lock;
    weft__buckets *of[VIEWS]; /* NULL if none was shown yet */
} shown = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Returns now minus before, which may be NULL. Returns NULL if memory ran out. */
static weft__buckets *difference(int which, const weft__buckets *now, const weft__buckets *before)
{
    weft__buckets *added = weft__buckets_new(which == HEAP ? WEFT__HEAP_SUMS : WEFT__SAMPLE_VALUES);

    if (added && weft__samples_add(added, now, 1) &&
        (!before || weft__samples_add(added, before, -1)))
        return added;
    weft__buckets_free(added);
    return NULL;
}

/* Returns the same, by views with the same label sets. If label sets go between the two adds,
 * buckets of one view count as {labels: too many} and those of the other do not; then the
 * difference is taken again. */
static weft__buckets *added_since(int which, const weft__buckets *now, const weft__buckets *before)
{
    uint64_t gone = weft__labelset_gone();
    weft__buckets *added = difference(which, now, before);

    while (added && weft__labelset_gone() != gone) {
        gone = weft__labelset_gone();
        weft__buckets_free(added);
        added = difference(which, now, before);
    }
    return added;
}

static uint32_t count_of(int which)
{
    return which == HEAP ? weft__heap_stack_count()
                         : weft__tables_count((enum weft__wait_table)which);
}

static weft__buckets *view_of(const struct weft__asked *a, int which)
{
    const struct weft__waits ended = {.which = (enum weft__wait_table)which, .stays = true};

    return which == HEAP ? weft__heap_take(a) : weft__waits_take(&ended);
}

static void *take(const struct weft__asked *a)
{
    int which = a->profile->which;
    weft__buckets **before = &shown.of[which], *now, *done, *added;
    bool aside = weft__stand_aside(count_of(which));

    pthread_mutex_lock(&shown.lock);
    now = view_of(a, which);
    added = now ? added_since(which, now, *before) : NULL;
    done = added ? *before : now;
    if (added)
        *before = now;
    pthread_mutex_unlock(&shown.lock);
    if (aside)
        weft__stand_back();
    weft__buckets_free(done);
    return added;
}

const struct weft__profile weft__profile_delta_block = {
    .name = "delta_block",
    .about = "The waits of block that ended since the last request for delta_block.",
    .file = "block.pprof.gz",
    .text_head = WEFT__WAITS_TEXT,
    .values = weft__waits_values,
    .n_values = 2,
    .take = take,
    .write = weft__samples_write,
    .which = WEFT__RECORDED_BLOCK,
};

const struct weft__profile weft__profile_delta_heap = {
    .name = "delta_heap",
    .about = "The change of heap since the last request for delta_heap.",
    .file = "heap.pprof.gz",
    .values = weft__heap_values,
    .n_values = 4,
    .period_type = &weft__heap_space,
    .take = take,
    .write = weft__heap_write,
    .state = weft__heap_is_fed,
    .which = HEAP,
};

const struct weft__profile weft__profile_delta_mutex = {
    .name = "delta_mutex",
    .about = "The waits of mutex that ended since the last request for delta_mutex.",
    .file = "mutex.pprof.gz",
    .text_head = WEFT__MUTEX_TEXT,
    .values = weft__waits_values,
    .n_values = 2,
    .take = take,
    .write = weft__samples_write,
    .which = WEFT__RECORDED_MUTEX,
};
