/* SPDX-License-Identifier: MIT */
/* marks.h - frames that are no code: numbers in place of return addresses, shown by their names. */
#ifndef WEFT_MARKS_H
#define WEFT_MARKS_H

#include <stddef.h>
#include <stdint.h>

#define WEFT__PPROF_HELD_BY  ((uintptr_t)2)
#define WEFT__PPROF_MADE_FOR ((uintptr_t)3)

#define WEFT__HELD_BY  "-- held by --"
#define WEFT__MADE_FOR "-- made for --"

/* NULL: it is an address. */
static inline const char *weft__mark_name(uintptr_t ret)
{
    static const char *const names[] = {
        [WEFT__PPROF_HELD_BY] = WEFT__HELD_BY, [WEFT__PPROF_MADE_FOR] = WEFT__MADE_FOR};

    return ret < sizeof(names) / sizeof(*names) ? names[ret] : NULL;
}

#endif
