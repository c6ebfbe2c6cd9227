/* SPDX-License-Identifier: MIT */
/* windows.c - see windows.h.
 *
 * A window has a table of its own. Each wait and charge that is recorded while it is open adds its
 * part of the window. A wait's part follows from its beginning and end. A charge is the sum of many
 * waits: the unlocker works out how much of the first one after a window began lies in the window
 * (runtime/sync/charge.c), for up to WEFT__WINDOWS windows; for further ones it is estimated.
 *
 * The waits that go on at the window's end come from a snapshot, whose cut is later. So a wait that
 * ends between the two is noted: the table has its part, and the snapshot may have it, too.
 *
 * Lock: `lock` guards the list and the content of all windows in it. No other lock is taken under
 * it. */
#include "profiles/account/windows.h"

#include "profiles/account/sample.h"
#include "profiles/table/idmap.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/scheduler.h"

#include <stdlib.h>

enum { NO_SLOT = -1 };

struct weft__window {
    weft__window *next;
    enum weft__wait_table which;
    bool with_io, is_open;
    int slot;            /* in weft__windows, or NO_SLOT */
    int64_t from, until; /* ticks; until is 0 before the end */
    weft__buckets *buckets;
    struct weft__idmap ids; /* of keys: the hash to the index + 1 */
    uint64_t *keys;         /* of what ended between the end and close */
    uint32_t n_keys, room;
};

static uint32_t lock;
static weft__window *windows;                  /* guarded by lock */
static uint32_t wanted[WEFT__RECORDED_TABLES]; /* atomic: windows that want these */

static void want(const weft__window *w, uint32_t add)
{
    weft__add(&wanted[w->which], add);
    if (w->with_io)
        weft__add(&wanted[WEFT__RECORDED_IO], add);
}

/* Guarded by lock, as is the next. */
static int slot_get(void)
{
    for (int i = 0; i < WEFT__WINDOWS; i++) {
        if (weft__load(&weft__windows.began[i]) == 0) {
            int64_t now = weft__ticks();

            weft__store(&weft__windows.began[i], now);
            weft__store(&weft__windows.latest, now);
            return i;
        }
    }
    return NO_SLOT;
}

static void slot_put(int slot)
{
    int64_t latest = 0;

    if (slot == NO_SLOT)
        return;
    weft__store(&weft__windows.began[slot], 0);
    for (int i = 0; i < WEFT__WINDOWS; i++) {
        if (weft__load(&weft__windows.began[i]) > latest)
            latest = weft__load(&weft__windows.began[i]);
    }
    weft__store(&weft__windows.latest, latest);
}

weft__window *weft__window_open(enum weft__wait_table which, bool with_io)
{
    weft__window *w = calloc(1, sizeof(*w));

    if (!w || !(w->buckets = weft__buckets_new(WEFT__SAMPLE_VALUES))) {
        free(w);
        return NULL;
    }
    w->which = which;
    w->with_io = with_io && which == WEFT__RECORDED_BLOCK;
    w->is_open = true;
    weft__lock(&lock, WEFT__RANK_TASKS);
    w->slot = which == WEFT__RECORDED_MUTEX ? slot_get() : NO_SLOT;
    /* A charge that does not see the slot was made before this line, and ended before `from`. */
    weft__fence_heavy();
    w->from = weft__ticks();
    w->next = windows;
    windows = w;
    want(w, 1);
    weft__unlock(&lock);
    return w;
}

void weft__window_end(weft__window *w)
{
    weft__lock(&lock, WEFT__RANK_TASKS);
    w->until = weft__ticks();
    weft__unlock(&lock);
}

void weft__window_close(weft__window *w)
{
    weft__window **at = &windows;

    if (!w->is_open)
        return;
    weft__lock(&lock, WEFT__RANK_TASKS);
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    want(w, -1u);
    slot_put(w->slot);
    weft__unlock(&lock);
    w->is_open = false;
}

void weft__window_free(weft__window *w)
{
    if (!w)
        return;
    weft__window_close(w);
    weft__buckets_free(w->buckets);
    weft__idmap_free(&w->ids);
    free(w->keys);
    free(w);
}

const weft__buckets *weft__window_buckets(const weft__window *w)
{
    return w->buckets;
}

void weft__window_bounds(const weft__window *w, int64_t *from, int64_t *until)
{
    *from = w->from;
    *until = w->until;
}

bool weft__window_has(const weft__window *w, uint64_t key)
{
    uint64_t hash = weft__idmap_mix(key);
    uint32_t id, at = weft__idmap_first(&w->ids, hash);

    while ((id = weft__idmap_next(&w->ids, hash, &at))) {
        if (w->keys[id - 1] == key)
            return true;
    }
    return false;
}

/* Notes the key of a wait that ended between the end and close. If memory runs out, the wait may
 * count twice. */
static void note(weft__window *w, uint64_t key)
{
    if (w->n_keys == w->room) {
        uint32_t room = w->room ? 2 * w->room : 64;
        uint64_t *bigger = realloc(w->keys, room * sizeof(*bigger));

        if (!bigger)
            return;
        w->keys = bigger;
        w->room = room;
    }
    w->keys[w->n_keys] = key;
    if (weft__idmap_add(&w->ids, weft__idmap_mix(key), w->n_keys + 1))
        w->n_keys++;
}

/* Recording ------------------------------------------------------------------------------------ */

/* Returns how much of a wait lies in the window, in ticks. */
static int64_t part_of_wait(const weft__window *w, const struct weft__measure *m)
{
    int64_t from = m->from > w->from ? m->from : w->from;
    int64_t until = w->until && m->until > w->until ? w->until : m->until;

    return until - from;
}

/* Returns how much of a charge lies in the window, in ticks. Past the window's end, all its waiters
 * are assumed to have waited already, as if none came later. */
static int64_t part_of_charge(const weft__window *w, const struct weft__measure *m)
{
    int64_t part = m->waited;

    if (m->inside && w->slot != NO_SLOT)
        part = m->inside[w->slot];
    else if (m->inside && part > m->n * (m->until - w->from))
        part = m->n * (m->until - w->from);
    if (w->until && m->until > w->until)
        part -= m->n * (m->until - w->until);
    return part;
}

static void add(weft__window *w, enum weft__wait_table which, const struct weft__measure *m,
                const struct weft__walk *joined, double count, int64_t delay)
{
    bool is_charge = which == WEFT__RECORDED_MUTEX;
    int64_t part;

    if (m->until <= w->from)
        return;
    if (w->until && m->until > w->until)
        note(w, m->key);
    part = is_charge ? part_of_charge(w, m) : part_of_wait(w, m);
    if (part <= 0)
        return;
    if (delay == m->waited)
        delay = part;
    else if (part < m->waited) /* the sample stands for others */
        delay = (int64_t)((double)delay * ((double)part / (double)m->waited));
    weft__buckets_add(w->buckets, joined,
                      (int64_t[]){weft__parts(count), weft__ticks_about(delay)});
}

bool weft__windows_want(enum weft__wait_table which)
{
    return weft__unlikely(weft__load(&wanted[which]) > 0);
}

void weft__windows_add(enum weft__wait_table which, const struct weft__measure *m,
                       const struct weft__walk *joined, double count, int64_t delay)
{
    weft__lock(&lock, WEFT__RANK_TASKS);
    for (weft__window *w = windows; w; w = w->next) {
        if (w->which == which || (w->with_io && which == WEFT__RECORDED_IO))
            add(w, which, m, joined, count, delay);
    }
    weft__unlock(&lock);
}
