/* SPDX-License-Identifier: MIT */
/* elfnames.h - names of functions by the symbol tables of the files that are loaded, without
 * libdw, locks or allocation. */
#ifndef WEFT_ELFNAMES_H
#define WEFT_ELFNAMES_H

#include <stddef.h>
#include <stdint.h>

/* Where an instruction is. name and file stay valid for the life of the process, as far as what
 * they lie in stays loaded. */
struct weft__location {
    uintptr_t addr;     /* the instruction: the caller's to set */
    const char *name;   /* of the function that holds it, or NULL */
    uintptr_t offset;   /* from its beginning */
    const char *file;   /* loaded there, without its directory; NULL: none is */
    uintptr_t position; /* from the file's first address, for addr2line */
};

/* Fills in the rest of n locations, each file's symbols in one go. Opens and maps files, .symtab
 * first, else .dynsym; leaves them mapped. One caller at a time. async-signal-safe */
void weft__locations_find(struct weft__location *locations, size_t n);

#endif
