/* SPDX-License-Identifier: MIT */
/* elfnames.h - finds the function, by symbol tables, and the file of an address, for reports of a
 * fault. Uses neither libdw nor locks nor malloc.
 *
 * async-signal-safe, on any thread; one caller at a time, since the names of the main program are
 * in static memory. */
#ifndef WEFT_ELFNAMES_H
#define WEFT_ELFNAMES_H

#include <stddef.h>
#include <stdint.h>

/* An address, and what is there. name and file stay valid while the file stays loaded. */
struct weft__location {
    uintptr_t addr;     /* the instruction; the caller sets it */
    const char *name;   /* of the function that holds it, or NULL */
    uintptr_t offset;   /* of addr from the function's beginning */
    const char *file;   /* that is loaded there, without its directory; NULL if none is */
    uintptr_t position; /* of addr in the file's own addresses, for addr2line */
};

/* Fills in the rest of n locations. Goes through the symbols of each file once. Maps the files, and
 * leaves them mapped, since the names lie in them. async-signal-safe */
void weft__locations_find(struct weft__location *locations, size_t n);

#endif
