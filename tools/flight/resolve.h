/* SPDX-License-Identifier: MIT */
/* resolve.h - the words for the numbers of a record, from the files of the program that left it.
 *
 * A file counts only if it has the build-id that the record names. For an address in another file
 * the name is FILE+0xOFFSET. One thread uses a resolver. */
#ifndef WEFT_TOOLS_RESOLVE_H
#define WEFT_TOOLS_RESOLVE_H

#include "profiles/trace/flight.h"
#include "profiles/trace/words.h"

typedef struct resolver resolver;

/* Makes a resolver of a record, which it borrows. Returns NULL if memory ran out. */
resolver *resolver_new(const weft__flight *f);
void resolver_free(resolver *r);
/* Returns what an encoder asks; it is valid as long as the resolver. */
const struct weft__trace_words *resolver_words(resolver *r);

#endif
