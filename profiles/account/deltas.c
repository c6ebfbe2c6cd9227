/* SPDX-License-Identifier: MIT */
/* deltas.c - delta_block and delta_mutex: the waits that ended since the last request for the
 * profile, for scrapers that cannot wait.
 *
 * Owns: for each profile the view that was shown last. Views have only waits that have ended: a
 * wait that goes on may be in another bucket of the next view.
 * Lock: shown.lock, a pthread mutex, since no code under it can switch tasks. */
#include "profiles/account/sample.h"
#include "profiles/account/tables.h"
#include "profiles/account/waits.h"
#include "profiles/capture/tasks.h"
#include "profiles/table/labelset.h"

#include <pthread.h>

static struct {
    pthread_mutex_t lock;
    weft__buckets *of[WEFT__RECORDED_TABLES]; /* NULL if none was shown yet */
} shown = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Returns now minus before, which may be NULL. Returns NULL if memory ran out. */
static weft__buckets *difference(const weft__buckets *now, const weft__buckets *before)
{
    weft__buckets *added = weft__buckets_new(WEFT__SAMPLE_VALUES);

    if (added && weft__samples_add(added, now, 1) &&
        (!before || weft__samples_add(added, before, -1)))
        return added;
    weft__buckets_free(added);
    return NULL;
}

/* Returns the same, by views with the same label sets. If label sets go between the two adds,
 * buckets of one view count as {labels: too many} and those of the other do not; then the
 * difference is taken again. */
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
    .about = "The waits of block that ended since the last request for delta_block.",
    .file = "block.pprof.gz",
    .text_head = WEFT__WAITS_TEXT,
    .values = weft__waits_values,
    .n_values = 2,
    .take = take,
    .write = weft__samples_write,
    .which = WEFT__RECORDED_BLOCK,
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
