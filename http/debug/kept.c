/* SPDX-License-Identifier: MIT */
/* debug/kept.c - puts the sizes and bounds of the profiles' tables, which live as long as the
 * process, into the "weft" of /debug/vars. */
#include "http/debug/expvar.h"

#include "profiles/account/contention.h"
#include "profiles/table/labelset.h"
#include "profiles/table/places.h"
#include "profiles/walk/symbolize.h"

#include <inttypes.h>
#include <stdio.h>

static void put(weft__json *o, const char *what, uint32_t n, uint32_t most)
{
    char text[80];

    snprintf(text, sizeof(text), "kept_%s", what);
    weft__json_put_key(o, text);
    snprintf(text, sizeof(text), "{\"n\": %" PRIu32 ", \"most\": %" PRIu32 "}", n, most);
    weft__json_put_text(o, text);
}

void weft__kept_put(weft__json *o)
{
    static const char *const names[] = {[WEFT__CONTENTION_BLOCK] = "stacks_block",
                                        [WEFT__CONTENTION_IO] = "stacks_io",
                                        [WEFT__CONTENTION_MUTEX] = "stacks_mutex",
                                        [WEFT__CONTENTION_PAIRS] = "stacks_contention"};
    uint32_t symbols, nowhere;

    for (int i = 0; i < WEFT__CONTENTIONS; i++) {
        const weft__buckets *b = weft__contention_recorded((enum weft__contention)i);

        put(o, names[i], b ? weft__buckets_count(b) : 0, WEFT__CONTENTION_STACKS);
    }
    put(o, "places", weft__places_count(), WEFT__PLACES);
    put(o, "label_sets", weft__labelset_count(), WEFT__LABELSETS);
    weft__symbols_count(&symbols, &nowhere);
    put(o, "symbols", symbols, WEFT__SYMBOLS_MOST);
    put(o, "symbols_of_no_file", nowhere, WEFT__NOWHERE_MOST);
}
