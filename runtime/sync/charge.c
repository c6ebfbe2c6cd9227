/* SPDX-License-Identifier: MIT */
/* charge.c - computes the part of a charge that lies in a window of the mutex profile.
 *
 * Owns: weft__windows, the beginnings of the windows, which are atomic. A window (profiles/account)
 * shows only the waiting after its beginning. A charge may have begun before it, and counts with
 * the part after it. Unlocks call weft__charge_cut, with the lock of the queues held; it is rare,
 * so it may walk. */
#include "runtime/sync/charge.h"

#include <string.h>

struct weft__windows weft__windows;

/* Returns the time that the waiters of the queue have waited since the window began. The queue is
 * in order of arrival, except for a waiter in front that lost to a barger. So the waiters that came
 * after the beginning are at the end, and only they are looked at one by one. */
static int64_t waited_since(const weft__waitq *q, int64_t began, int64_t now)
{
    const weft__waiter *head = q->head;
    int64_t sum = 0, older = head->count;

    for (const weft__waiter *wt = q->tail; wt != head && wt->from >= began; wt = wt->prev) {
        sum += now - wt->from;
        older--;
    }
    if (head->from >= began) {
        sum += now - head->from;
        older--;
    }
    return sum + older * (now - began);
}

/* Adds the waiting of a queue to each window. */
static void add_queue(const weft__waitq *q, int64_t now, int64_t inside[WEFT__WINDOWS])
{
    for (int i = 0; q->head && i < WEFT__WINDOWS; i++) {
        int64_t began = weft__load(&weft__windows.began[i]);

        if (began > 0 && began < now)
            inside[i] += waited_since(q, began, now);
    }
}

const int64_t *weft__charge_cut(const weft__waitq *q, const weft__waitq *other, int64_t now,
                                int64_t inside[WEFT__WINDOWS])
{
    memset(inside, 0, WEFT__WINDOWS * sizeof(*inside));
    add_queue(q, now, inside);
    if (other)
        add_queue(other, now, inside);
    return inside;
}
