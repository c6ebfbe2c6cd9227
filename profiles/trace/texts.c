/* SPDX-License-Identifier: MIT */
/* texts.c - see texts.h. Lock: `lock` (rank LEAF) guards the map and the count. A text is stored
 * before an event with its number is written, which its reader reads after. */
#include "profiles/trace/texts.h"

#include "profiles/table/idmap.h"
#include "runtime/base/lock.h"

#include <string.h>

static uint32_t lock;
static struct weft__idmap map;
static char *texts[WEFT__TEXTS_MOST + 1]; /* atomic; by number */
static uint32_t count;                    /* atomic */

static uint64_t hash_of(const char *s, size_t n)
{
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 1099511628211u;
    return weft__idmap_mix(h);
}

/* Returns a text's number, or 0. Caller holds lock. */
static uint32_t find(uint64_t hash, const char *s, size_t n)
{
    uint32_t id, at = weft__idmap_first(&map, hash);

    weft__check_holds(&lock);
    while ((id = weft__idmap_next(&map, hash, &at))) {
        if (strncmp(texts[id], s, n) == 0 && !texts[id][n])
            return id;
    }
    return 0;
}

/* Adds a text. Returns 0 if there is no room or memory. Caller holds lock. */
static uint32_t add(uint64_t hash, const char *s, size_t n)
{
    char *copy = count < WEFT__TEXTS_MOST ? strndup(s, n) : NULL;

    weft__check_holds(&lock);
    if (!copy || !weft__idmap_add(&map, hash, count + 1)) {
        free(copy);
        return 0;
    }
    weft__store_rel(&texts[count + 1], copy);
    weft__store_rel(&count, count + 1);
    return count;
}

uint32_t weft__text_intern(const char *s)
{
    size_t n = s ? strnlen(s, WEFT__TEXT_MOST) : 0;
    uint64_t hash;
    uint32_t id;

    if (n == 0)
        return 0;
    hash = hash_of(s, n);
    weft__lock(&lock, WEFT__RANK_LEAF);
    id = find(hash, s, n);
    if (!id)
        id = add(hash, s, n);
    weft__unlock(&lock);
    return id ? id : WEFT__TEXTS_MOST + 1;
}

const char *weft__text(uint32_t id)
{
    if (id == 0)
        return "";
    return id > WEFT__TEXTS_MOST ? "(too many texts)" : weft__load_acq(&texts[id]);
}

uint32_t weft__texts_count(void)
{
    return weft__load_acq(&count);
}

void weft__texts_clear(void)
{
    for (uint32_t i = 1; i <= count; i++)
        free(texts[i]);
    weft__idmap_free(&map);
    memset(&map, 0, sizeof(map));
    weft__store(&count, 0);
}
