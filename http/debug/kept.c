/* SPDX-License-Identifier: MIT */
/* debug/kept.c - puts the sizes and bounds of the profiles' tables into the "weft" of /debug/vars.
 *
 * Owns no state. expvar.c calls weft__kept_put while it writes the document, with no lock held. The
 * tables live as long as the process, so an operator should see how full they are. */
#include "http/debug/expvar.h"

#include "profiles/account/profile.h"
#include "profiles/render/bases.h"
#include "profiles/table/labelset.h"
#include "profiles/table/places.h"
#include "profiles/walk/rows.h"
#include "profiles/walk/symbolize.h"

#include <inttypes.h>
#include <stdio.h>

/* Puts "kept_NAME": {"n": N, "most": MOST}. */
static void put(weft__json *o, const char *what, uint32_t n, uint32_t most)
{
    char text[80];

    snprintf(text, sizeof(text), "kept_%s", what);
    weft__json_put_key(o, text);
    snprintf(text, sizeof(text), "{\"n\": %" PRIu32 ", \"most\": %" PRIu32 "}", n, most);
    weft__json_put_text(o, text);
}

static void put_stacks(void *o, const char *of, uint32_t n, uint32_t most)
{
    char what[60];

    snprintf(what, sizeof(what), "stacks_%s", of);
    put(o, what, n, most);
}

static void put_number(weft__json *o, const char *what, uint64_t n)
{
    char text[24];

    weft__json_put_key(o, what);
    snprintf(text, sizeof(text), "%" PRIu64, n);
    weft__json_put_text(o, text);
}

void weft__kept_put(weft__json *o)
{
    const struct weft__profile *p = NULL;
    uint32_t symbols, nowhere, rules;
    size_t bytes;

    while ((p = weft__profile_next(p)) != NULL) {
        if (p->sizes)
            p->sizes(p, put_stacks, o);
    }
    put(o, "places", weft__places_count(), WEFT__PLACES);
    put(o, "label_sets", weft__labelset_count(), WEFT__LABELSETS);
    weft__symbols_count(&symbols, &nowhere);
    put(o, "symbols", symbols, WEFT__SYMBOLS_MOST);
    put(o, "symbols_of_no_file", nowhere, WEFT__NOWHERE_MOST);
    rules = weft__rules_count(&bytes);
    put(o, "rules", rules, WEFT__RULES_MOST);
    put_number(o, "rules_bytes", bytes);
    put(o, "rows", weft__rows_count(&bytes), WEFT__ROWS_MOST);
    put_number(o, "rows_bytes", bytes);
    put(o, "bases", weft__bases_count(&bytes), WEFT__BASES);
    put_number(o, "bases_bytes", bytes);
    put_number(o, "label_sets_gone", weft__labelset_gone());
}
