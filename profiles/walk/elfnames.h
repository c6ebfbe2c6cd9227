/* SPDX-License-Identifier: MIT */
/* elfnames.h - finds the function, by symbol tables, and the file of an address, without libdw,
 * locks or malloc: for reports of a fault, and for names while there is no symbolizer thread.
 *
 * async-signal-safe, on any thread. One caller at a time, since the path of the main program is in
 * static memory: symbolize.c calls it under its lock, and fault.c once in a dying process. */
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
