/* SPDX-License-Identifier: MIT */
/* layout.h - the table that says how the runtime's data lies in memory, for readers outside of the
 * process: debuggers and weft-dump, on a live process or a core, whose program may be stripped.
 *
 * A reader finds the table by an ELF note of the file that has the runtime: name "weft", type 1,
 * and a description of eight bytes, which is the distance from the description to the table. Where
 * the program has symbols, the table is weft__layout. Each entry has a name and a number: an
 * address, an offset, a size or a constant. The head of layout.c explains the names.
 *
 * The version changes if a reader that knows the old one would read wrong things. Names may be
 * added under the same version, so a reader takes no order and no count for granted. The table is
 * constant while the process lives. */
#ifndef WEFT_LAYOUT_H
#define WEFT_LAYOUT_H

#include <stdint.h>

enum { WEFT__LAYOUT_VERSION = 1, WEFT__LAYOUT_NAME = 24, WEFT__LAYOUT_NOTE = 1 };

struct weft__layout_entry {
    char name[WEFT__LAYOUT_NAME]; /* ends with a 0 */
    uint64_t value;
};

struct weft__layout {
    char magic[8]; /* "weftlay" */
    uint32_t version;
    uint32_t count;      /* entries */
    uint32_t entry_size; /* bytes of an entry */
    uint32_t _pad;
    const struct weft__layout_entry *entries;
};

/* Fills in what no initializer can say. The start of a run calls it, when the registry of tasks
 * exists; before, the table has the number 0 for "slabs". */
void weft__layout_init(void);

#endif
