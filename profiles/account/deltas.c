/* SPDX-License-Identifier: MIT */
/* deltas.c - delta_block and delta_mutex: the waits that ended since the last request for them, for
 * scrapers that cannot wait.
 *
 * Owns: the views that were shown last. They have no waits that go on, since only ended waits never
 * change their row.
 * Lock: shown.lock, a pthread mutex: nothing under it can switch tasks. */
#include "profiles/account/sample.h"
#include "profiles/account/tables.h"
#include "profiles/account/waits.h"
#include "profiles/capture/tasks.h"
#include "profiles/table/labelset.h"

#include <pthread.h>

static struct {
    pthread_mutex_t lock;
    weft__buckets *of[WEFT__RECORDED_TABLES]; /* NULL: none was shown yet */
} shown = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Returns the samples that now has and before, which may be NULL, has not; NULL without memory. */
static weft__buckets *difference(const weft__buckets *now, const weft__buckets *before)
{
    weft__buckets *added = weft__buckets_new(WEFT__SAMPLE_VALUES);

    if (added && weft__samples_add(added, now, 1) &&
        (!before || weft__samples_add(added, before, -1)))
        return added;
    weft__buckets_free(added);
    return NULL;
}

/* The same. If sets of labels go between the two adds, rows of one view count as {labels: too many}
 * and the same rows of the other do not, so the difference is taken again. */
static weft__buckets *added_since(const weft__buckets *now, const weft__buckets *before)
{
    uint64_t gone = weft__labelset_gone();
    weft__buckets *added = difference(now, before);

    while (added && weft__labelset_gone() != gone) {
        gone = weft__labelset_gone();
        weft__buckets_free(added);
        added = difference(now, before);
    }
    return added;
}

static void *take(const struct weft__asked *a)
{
    const struct weft__waits ended = {.which = (enum weft__wait_table)a->profile->which,
                                      .stays = true};
    weft__buckets **before = &shown.of[ended.which], *now, *done, *added;
    bool aside = weft__stand_aside(weft__tables_count(ended.which));

    pthread_mutex_lock(&shown.lock);
    now = weft__waits_take(&ended);
    added = now ? added_since(now, *before) : NULL;
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
    .about = "The waits of block that ended since delta_block was last asked for.",
    .file = "block.pprof.gz",
    .text_head = "--- contention:\ncycles/second=1000000000\n",
    .values = weft__waits_values,
    .n_values = 2,
    .take = take,
    .write = weft__samples_write,
    .which = WEFT__RECORDED_BLOCK,
};

const struct weft__profile weft__profile_delta_mutex = {
    .name = "delta_mutex",
    .about = "The waits of mutex that ended since delta_mutex was last asked for.",
    .file = "mutex.pprof.gz",
    .text_head = "--- mutex:\ncycles/second=1000000000\nsampling period=1\n",
    .values = weft__waits_values,
    .n_values = 2,
    .take = take,
    .write = weft__samples_write,
    .which = WEFT__RECORDED_MUTEX,
};
