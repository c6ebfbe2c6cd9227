/* SPDX-License-Identifier: MIT */
/* symbolize.h - names addresses: functions, files and lines. One thread, the symbolizer, owns libdw
 * and does the work; this is how the others ask it.
 *
 * Any other thread may call these functions, in a run or not, but in no signal handler and with
 * none of the runtime's locks held, unless the function says otherwise: the caller's thread, not
 * only its task, waits for the symbolizer. */
#ifndef WEFT_SYMBOLIZE_H
#define WEFT_SYMBOLIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One source frame of a PC. The strings are interned and live as long as the process. */
struct weft__frame {
    const char *function; /* with scopes, without parameters; "0x401234" if it has no name */
    const char *file;     /* absolute path, or NULL */
    uint32_t line;        /* 0 if unknown */
    uint32_t start_line;  /* where the function is declared; 0 if unknown */
    uintptr_t entry;      /* of the physical function's part that holds pc; 0 if unknown */
    bool inlined;         /* into the function of the next frame */
    const char *linkage;  /* the mangled name, else the one without scopes; NULL: as function */
};

/* The name of one address: frames[0] is the innermost inlined function, frames[n - 1] the physical
 * one; n >= 1. Immutable, and kept for the life of the process. */
struct weft__symbol {
    uintptr_t pc; /* the address looked up (return address - 1 for callers) */
    uint32_t n;
    bool found;       /* a symbol table or DWARF knew the address */
    bool has_inlines; /* DWARF said which functions are inlined there, if any are */
    struct weft__frame frames[];
};

/* Names the instruction at addr; for a caller pass its return address - 1. Never returns NULL.
 * Keeps the calling thread while the symbolizer works, which takes milliseconds for the first
 * address of a module. An address that was named before takes no lock and no time. */
const struct weft__symbol *weft__symbolize(uintptr_t addr);

/* Returns how many unwind rules are known. bytes receives the size of their tables, with those that
 * were outgrown. Takes no lock. */
uint32_t weft__rules_count(size_t *bytes);
enum { WEFT__RULES_MOST = 1 << 19 };

/* How many symbols are made at most, and how many of them for addresses where no file is mapped.
 * All further addresses share one symbol without a name. */
enum { WEFT__SYMBOLS_MOST = 1 << 18, WEFT__NOWHERE_MOST = 4096 };
/* Counts the symbols made so far. Takes no lock. */
void weft__symbols_count(uint32_t *all, uint32_t *nowhere);

/* Looks whether files were loaded or unloaded since the last look. If so, has the symbolizer forget
 * the rules and symbols of files that are gone or replaced; a symbol is used until there is a new
 * one for its address. Takes some 20 ns if nothing has changed. Returns how often something was
 * forgotten so far. */
uint32_t weft__symbolizer_look(void);

/* Begins to learn the unwind rules of all files that are loaded, and returns at once. From now on
 * until weft__symbolizer_stop, weft__symbolizer_look has new files learned, too. The symbolizer
 * does that between requests, at half a CPU: some 10 ms for a large library. */
void weft__symbolizer_begin(void);
/* Has the unwind rules of all files that are loaded learned at once, and waits for that. Also
 * outside a run. */
void weft__symbolizer_settle(void);

/* start makes the thread, if there is none; a question to the symbolizer does that, too. stop, at
 * the end of weft_run, ends it and frees what libdw keeps. Symbols and strings stay, since
 * renderers may still use them. */
void weft__symbolizer_start(void);
void weft__symbolizer_stop(void);
/* Sets a function that is called, from now on, each time the symbolizer's thread was made, by the
 * thread that made it and under this file's lock: so it may not ask the symbolizer. NULL: none.
 * Returns true if the symbolizer's thread exists already. */
bool weft__symbolizer_watch(void (*made)(void));
/* Called by a thread that is about to die with the process. If it is the symbolizer, requests get
 * no answer from now on, so that the report of the death does not wait for one. Ends the watch. */
void weft__symbolizer_died(void);

/* For tests: if it is not NULL, the symbolizer calls it before it names an address. */
extern void (*weft__symbolizer_crash)(void);

/* An executable mapping of this process, from /proc/self/maps, main binary first. */
struct weft__mapping {
    uintptr_t start, limit;
    uint64_t offset;
    const char *file;     /* its path; "[vdso]"; "" for code that was made at run time */
    const char *build_id; /* lower-case hex, or "" */
};

/* maps.c. Reads the executable mappings, those of the main binary first. Returns a list for free();
 * NULL if memory ran out. Any thread; takes no lock, calls malloc. */
struct weft__mapping *weft__maps_read(size_t *n);

#endif
