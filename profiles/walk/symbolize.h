/* SPDX-License-Identifier: MIT */
/* symbolize.h - the one thread that owns every Dwfl: it learns unwind rules and names addresses. */
#ifndef WEFT_SYMBOLIZE_H
#define WEFT_SYMBOLIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One source frame of a PC. Strings live as long as the process (interned). */
struct weft__frame {
    const char *function; /* with its scopes, without parameters; never NULL ("0x401234") */
    const char *file;     /* absolute path, or NULL */
    uint32_t line;        /* 0 if unknown */
    uint32_t start_line;  /* of the function, 0 if unknown */
    uintptr_t entry;      /* of the physical function, or of its part that holds pc; 0 if unknown */
    bool inlined;         /* into the next frame of the same symbol */
    const char *linkage;  /* the mangled name, else the one without scopes; NULL: the same */
};

/* The meaning of one address: frames[0] is the innermost inlined function, frames[n - 1] the
 * physical one. Immutable and cached for the life of the process; never NULL, n >= 1. */
struct weft__symbol {
    uintptr_t pc; /* the address looked up (return address - 1 for callers) */
    uint32_t n;
    bool found;       /* a symbol table or DWARF knew the address */
    bool has_inlines; /* DWARF told which functions are inlined there, if any */
    struct weft__frame frames[];
};

/* Names the instruction at addr; pass return address - 1 for a caller. Blocks the calling thread
 * while the symbolizer works (milliseconds for the first address of a module); a hit in the cache
 * takes no lock. The runtime's own lock ranks must not be held. */
const struct weft__symbol *weft__symbolize(uintptr_t addr);

/* Returns how many rules the walker has; bytes: of their tables, outgrown ones included. */
uint32_t weft__rules_count(size_t *bytes);
enum { WEFT__RULES_MOST = 1 << 19 };

/* How many symbols are made at most, and how many of those for addresses where no file is mapped;
 * all others share one without a name. */
enum { WEFT__SYMBOLS_MOST = 1 << 18, WEFT__NOWHERE_MOST = 4096 };
void weft__symbols_count(uint32_t *all, uint32_t *nowhere);

/* Looks whether files were loaded or unloaded since the last look. If so, forgets the rules and
 * symbols of those that are gone, or have another in their place; a symbol stays until there is
 * another to put there. Costs some 20 ns if nothing has changed. Not async-signal-safe. Returns how
 * often something was forgotten so far. */
uint32_t weft__symbolizer_look(void);

/* Starts the thread; idempotent; called by weft_run. stop ends it and frees what it owns (not the
 * interned strings and symbols that renderers may still hold). */
void weft__symbolizer_start(void);
void weft__symbolizer_stop(void);
/* Has the thread that makes the symbolizer call made from now on; made may not ask the symbolizer
 * anything. NULL: no call. Returns true if the symbolizer's thread exists already. */
bool weft__symbolizer_watch(void (*made)(void));
/* Called by a thread that is about to die: if that is the symbolizer, requests get no answer from
 * now on. Ends the watch, too. */
void weft__symbolizer_died(void);

/* For tests: the symbolizer calls it instead of naming, unless it is NULL. */
extern void (*weft__symbolizer_crash)(void);

/* An executable mapping of this process, from /proc/self/maps, main binary first. */
struct weft__mapping {
    uintptr_t start, limit;
    uint64_t offset;
    const char *file;     /* path, "[vdso]", or "" */
    const char *build_id; /* lower-case hex, or "" */
};

/* A fresh list of the executable mappings; free() it. maps.c */
struct weft__mapping *weft__maps_read(size_t *n);

#endif
