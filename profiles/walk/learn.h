/* SPDX-License-Identifier: MIT */
/* learn.h - shared by the symbolizer's files: the shape of an unwind rule, and the functions by
 * which these files call each other.
 *
 * Functions titled "symbolizer thread" may be called by that thread alone: libdw is not
 * thread-safe, and the tables that they write have one writer. */
#ifndef WEFT_LEARN_H
#define WEFT_LEARN_H

#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/walk/symbolize.h"
#include "runtime/base/atomic.h"

/* The registers a rule may name. The first WEFT__REG_SAVED are callee-saved and have slots. */
enum {
    WEFT__REG_BP,
    WEFT__REG_BX,
    WEFT__REG_R12,
    WEFT__REG_R13,
    WEFT__REG_R14,
    WEFT__REG_R15,
    WEFT__REG_SP,
    WEFT__REG_COUNT,
    WEFT__REG_SAVED = WEFT__REG_SP,
    /* SP is never saved in memory, so its slot is used for the return address. */
    WEFT__SLOT_RA = WEFT__REG_SP,
};

enum {
    WEFT__RULE_BASE = 7,   /* mask: the register from which the CFA is counted */
    WEFT__RULE_SIGNAL = 8, /* the caller was interrupted here: its PC is no return address */
    WEFT__RULE_DEREF = 16, /* the CFA is the word at base + cfa, plus low */
    WEFT__RULE_MIXED = 32, /* some slot is not just below the CFA: check each */
    WEFT__RULE_END = 64,   /* the outermost frame: it has no return address */
    WEFT__RULE_NONE = 128, /* no rule that this shape can express */
};

/* Says how to leave the frame of one PC. Small, because a walk over many PCs is bound by cache
 * misses. A slot counts units of 8 bytes from the CFA, or from the base register if by_base says
 * so. If no flag but BASE is set, the return address is at CFA - 8 and every slot is in [low, -1].
 */
struct weft__rule {
    int32_t cfa;     /* from the base register, in bytes */
    uint8_t flags;   /* WEFT__RULE_* */
    uint8_t saved;   /* bit i: the caller's register i is in slot[i] */
    uint8_t lost;    /* bit i: the caller's register i is gone */
    uint8_t by_base; /* bit i: slot[i] is counted from the base register */
    int16_t slot[WEFT__REG_COUNT];
    int16_t low; /* the lowest slot, or the addend of DEREF */
};
_Static_assert(sizeof(struct weft__rule) == 24, "a rule and its key fill half a cache line");

/* modules.c, symbolizer thread. */

/* Returns the module that holds addr, and reports it to the Dwfl if it is new there. Returns NULL
 * if no loaded file holds addr. */
Dwfl_Module *weft__module_at(uintptr_t addr);
/* Forgets the rules and symbols of files that are gone. */
void weft__modules_check(void);
/* Frees all that libdw keeps; it is read again when needed. */
void weft__modules_close(void);
/* Called after each request: closes the modules if that is due. */
void weft__modules_trim(void);
/* Drops the modules without freeing them, after a fault in libdw. */
void weft__modules_abandon(void);

/* rules.c: these make a rule of one that is all zero. set_cfa comes first, then set_slot for each
 * register, both from DWARF expressions, then finish, which sets the flags for the walker's fast
 * path. They return false if a rule cannot express it. The forms with _at do without an expression:
 * the CFA is at an offset from a register, the slot at one from the CFA. async-signal-safe */
bool weft__rule_set_cfa_at(struct weft__rule *r, uint64_t dwarf_reg, int64_t off);
bool weft__rule_set_slot_at(struct weft__rule *r, int i, int64_t off);
bool weft__rule_set_cfa(struct weft__rule *r, const Dwarf_Op *ops, size_t n, uintptr_t pc);
bool weft__rule_set_slot(struct weft__rule *r, int i, const Dwarf_Op *ops, size_t n, uintptr_t pc);
void weft__rule_finish(struct weft__rule *r, bool is_signal);

/* ehframe.c: reads the rule of the instruction at addr from .eh_frame in memory. Returns false if
 * that has none. Any thread, async-signal-safe. */
bool weft__rule_read(struct weft__rule *out, uintptr_t addr);

/* rules.c, symbolizer thread: asks libdw for the rule of the instruction at addr; a rule with
 * WEFT__RULE_NONE if there is none. mod may be NULL. */
void weft__rule_learn(struct weft__rule *out, Dwfl_Module *mod, uintptr_t addr);

/* names.c, symbolizer thread: makes the symbol of an address, which is never freed. Returns NULL
 * only if memory ran out. mod may be NULL. */
const struct weft__symbol *weft__symbol_make(Dwfl_Module *mod, uintptr_t addr);

/* cxxname.c, any thread. Returns the name that a mangled name stands for, without the function's
 * result and parameters, for free(). Returns NULL if it is no mangled name, if memory ran out, or
 * if the program has no demangler. */
char *weft__cxx_name(const char *mangled);
/* Returns the same for a demangled declaration; NULL if memory ran out. */
char *weft__cxx_bare(const char *declaration);

/* symbolize.c. Both ask the symbolizer and wait. Any thread but that one, not in a signal handler.
 */
void weft__symbolizer_learn(struct weft__rule *out, uintptr_t addr);
void weft__symbolizer_forget(uintptr_t lo, uintptr_t hi);

/* learned.c. Symbolizer thread: forgets rules and symbols in [lo, hi), whose module is gone. */
void weft__learned_forget(uintptr_t lo, uintptr_t hi);
/* Returns how often weft__learned_forget was called. If the number grew during a walk, the walk may
 * have followed wrong rules. Any thread, async-signal-safe. */
extern WEFT__HIDDEN uint32_t weft__learned_forgets; /* atomic */
static inline uint32_t weft__learned_age(void)
{
    return weft__load_acq(&weft__learned_forgets);
}

/* ruletable.c. Copies the rule of addr, by the table or by the rows of its file. Returns false if
 * it was not learned. Any thread, async-signal-safe. */
bool weft__rule_find(struct weft__rule *out, uintptr_t addr);

/* symboltable.c. Returns the symbol of pc; NULL if the symbolizer must be asked. Any thread. */
const struct weft__symbol *weft__symbol_lookup(uintptr_t pc);
/* Returns the symbol that pc had last, even if its file is gone; NULL if it never had one. */
const struct weft__symbol *weft__symbol_last(uintptr_t pc);
/* Returns whether one more symbol may be made. There is a limit because symbols are kept for the
 * life of the process, and HTTP clients may ask for any address. */
bool weft__symbol_may_make(uintptr_t addr);
/* Puts a symbol into the table, in place of an older one of the same PC. is_floating: it is made
 * again when a file is mapped there. Called by the symbolizer thread, or under symbolize.c's lock
 * while there is none. */
void weft__symbol_keep(const struct weft__symbol *s, bool is_floating);
/* Symbolizer thread: marks the symbols in [lo, hi) to be made again. */
void weft__symbols_float(uintptr_t lo, uintptr_t hi);

/* maps.c, any thread. */
enum { WEFT__BUILD_ID_SIZE = 2 * 32 + 1 };
/* Writes the build-id of the file mapped at start as lower-case hex; "" if it has none. Returns
 * where it is in memory, or NULL. */
const void *weft__build_id(char hex[WEFT__BUILD_ID_SIZE], const void *start);
/* Copies n bytes of this process. Returns false if they are not all mapped. Where a sandbox forbids
 * the system call, reads them itself, at the risk of a fault. */
bool weft__peek(void *to, const void *from, size_t n);
/* Copies a string. Writes "" if not all of it is mapped, or if it is longer than size - 1. */
void weft__peek_string(char *to, const char *from, size_t size);
/* Writes n bytes as 2 * n lower-case digits and a 0. */
void weft__hex(char *hex, const unsigned char *bytes, size_t n);

#endif
