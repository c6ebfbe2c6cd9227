/* SPDX-License-Identifier: MIT */
/* fake_symbols.h - a symbolizer with a fixed table, so that output is the same on every machine.
 *
 * Functions are 0x1000 bytes apart. FAKE_PC(fn) is a return address behind a call that fn makes
 * 0x1f bytes after its entry. There are any number of further functions from FAKE_MANY on. */
#ifndef WEFT_FAKE_SYMBOLS_H
#define WEFT_FAKE_SYMBOLS_H

enum fake_function {
    FAKE_MAIN,
    FAKE_WORKER,
    FAKE_INLINES,   /* two functions inlined into it, the innermost from a header */
    FAKE_HEADER,    /* file ends in .h */
    FAKE_CXX,       /* demangled, with a parameter list */
    FAKE_CXX_DEEP,  /* nested parentheses in template arguments */
    FAKE_CALL,      /* operator() */
    FAKE_ANONYMOUS, /* (anonymous namespace)::... const */
    FAKE_PERCENT,   /* operator% */
    FAKE_SLASH,     /* a name with slashes */
    FAKE_CONTROL,   /* a name and a file with line ends in them */
    FAKE_NO_FILE,   /* from a symbol table without DWARF */
    FAKE_LINE_ONLY, /* a line, but no file */
    FAKE_ASSEMBLY,  /* file ends in .s, entry unknown */
    FAKE_SPAWNER,   /* the library's inline weft_go inlined into it */
    FAKE_PARK,      /* weft__park */
    FAKE_RECV,      /* weft_chan_recv */
    FAKE_DEEP,      /* recursion */
    FAKE_COUNT
};

#define FAKE_BASE     0x401000u
#define FAKE_ENTRY(f) (FAKE_BASE + 0x1000u * (unsigned)(f))
#define FAKE_PC(f)    (FAKE_ENTRY(f) + 0x1fu)
#define FAKE_UNKNOWN  0x7f0000001235u /* in a library without symbols */
#define FAKE_MANY     0x10000000u

#endif
