/* SPDX-License-Identifier: MIT */
/* heap_text.c - see heap_text.h. */
#include "heap_text.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct heap_sums heap_sums_of(const char *text, const char *frame)
{
    struct heap_sums all = {0, 0, 0, 0}, one;
    char tab[64], *copy = strdup(text), *record, *end;

    snprintf(tab, sizeof(tab), "\t%s+0x", frame);
    for (record = strchr(copy, '\n') + 1; (end = strstr(record, "\n\n")); record = end + 2) {
        *end = 0;
        if (!strstr(record, tab))
            continue;
        CHECK_EQ(sscanf(record, "%lld: %lld [%lld: %lld]", &one.live, &one.live_bytes, &one.allocs,
                        &one.alloc_bytes),
                 4);
        all.live += one.live;
        all.live_bytes += one.live_bytes;
        all.allocs += one.allocs;
        all.alloc_bytes += one.alloc_bytes;
    }
    free(copy);
    return all;
}

void heap_exact(void)
{
    weft_profile_set_heap_rate(1);
}

char *heap_text(void)
{
    weft_profile_set_heap_rate(512 * 1024);
    return profile_text("heap", (weft_profile_options){0});
}

struct heap_sums heap_sums_now(const char *frame)
{
    char *text = heap_text();
    struct heap_sums s = heap_sums_of(text, frame);

    free(text);
    return s;
}

void heap_check(const char *frame, long long live, long long live_bytes, long long allocs,
                long long alloc_bytes)
{
    struct heap_sums s = heap_sums_now(frame);

    CHECK_EQ(s.live, live);
    CHECK_EQ(s.live_bytes, live_bytes);
    CHECK_EQ(s.allocs, allocs);
    CHECK_EQ(s.alloc_bytes, alloc_bytes);
}
