/* SPDX-License-Identifier: MIT */
/* bases.c - see bases.h. Owns the bases.
 *
 * Lock: mutex guards all. Nothing under it can switch tasks, so a thread's mutex is safe.
 * Always:
 *   kept[] has the bases in the order of their numbers, and NULL behind them */
#include "profiles/render/bases.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct weft__base *kept[WEFT__BASES];
static uint32_t last_id;

/* Caller holds the mutex. */
static uint32_t count(void)
{
    uint32_t n = 0;

    while (n < WEFT__BASES && kept[n])
        n++;
    return n;
}

uint32_t weft__base_keep(const char *profile, int64_t time, const char *text, size_t n)
{
    struct weft__base *b = malloc(sizeof(*b) + n), *oldest = NULL;
    uint32_t id;

    if (!b)
        return 0;
    *b = (struct weft__base){.holders = 1, .profile = profile, .time = time, .n = n};
    memcpy(b->text, text, n);
    pthread_mutex_lock(&mutex);
    if (count() == WEFT__BASES) {
        oldest = kept[0];
        memmove(kept, kept + 1, (WEFT__BASES - 1) * sizeof(*kept));
        kept[WEFT__BASES - 1] = NULL;
    }
    b->id = id = ++last_id;
    kept[count()] = b;
    pthread_mutex_unlock(&mutex);
    weft__base_drop(oldest);
    return id;
}

struct weft__base *weft__base_find(uint32_t id)
{
    struct weft__base *found = NULL;

    pthread_mutex_lock(&mutex);
    for (uint32_t i = 0; i < count(); i++) {
        if (kept[i]->id == id)
            found = kept[i];
    }
    if (found)
        found->holders++;
    pthread_mutex_unlock(&mutex);
    return found;
}

void weft__base_drop(struct weft__base *b)
{
    bool unused = false;

    if (!b)
        return;
    pthread_mutex_lock(&mutex);
    unused = --b->holders == 0;
    pthread_mutex_unlock(&mutex);
    if (unused)
        free(b);
}

size_t weft__bases_of(const char *profile, struct weft__base_mark marks[WEFT__BASES])
{
    size_t n = 0;

    pthread_mutex_lock(&mutex);
    for (uint32_t i = 0; i < count(); i++) {
        if (strcmp(kept[i]->profile, profile) == 0)
            marks[n++] = (struct weft__base_mark){kept[i]->id, kept[i]->time};
    }
    pthread_mutex_unlock(&mutex);
    return n;
}

uint32_t weft__bases_count(size_t *bytes)
{
    uint32_t n;

    *bytes = 0;
    pthread_mutex_lock(&mutex);
    n = count();
    for (uint32_t i = 0; i < n; i++)
        *bytes += kept[i]->n;
    pthread_mutex_unlock(&mutex);
    return n;
}
