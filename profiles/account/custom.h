/* SPDX-License-Identifier: MIT */
/* custom.h - profiles of the program's own, for profile.c, which lists and writes them. */
#ifndef WEFT_CUSTOM_H
#define WEFT_CUSTOM_H

#include "profiles/table/buckets.h"

#include <weft/profile.h>

weft_profile *weft__custom_find(const char *name); /* NULL: there is none */
/* Each in the order of their names. fn may take its time: no lock is held. */
void weft__custom_each(void (*fn)(weft_profile *p, void *arg), void *arg);
const char *weft__custom_name(const weft_profile *p); /* valid for the process's life */

/* Returns the values that are in p now, by the stacks that added them, from the caller of the
 * library on. For weft__buckets_free; NULL without memory. Asks the symbolizer. */
weft__buckets *weft__custom_take(const weft_profile *p);
int weft__custom_count(const weft_profile *p);

#endif
