/* SPDX-License-Identifier: MIT */
/* learn.h - the parts that the symbolizer's files share: the shape of an unwind rule, and
 * functions.
 *
 * Functions titled "symbolizer thread" may be called by that thread alone: libdw is not
 * thread-safe, and the tables they write have one writer. */
#ifndef WEFT_LEARN_H
#define WEFT_LEARN_H

#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "profiles/walk/symbolize.h"

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
    WEFT__SLOT_RA =
        WEFT__REG_SP, /* the slot of SP, which is never saved, is the return address's */
};

enum {
    WEFT__RULE_BASE = 7,   /* mask: the register the CFA is counted from */
    WEFT__RULE_SIGNAL = 8, /* the caller was interrupted here: its PC is no return address */
    WEFT__RULE_DEREF = 16, /* the CFA is what memory at base + cfa holds, plus low */
    WEFT__RULE_MIXED = 32, /* some slot is not just below the CFA: check each */
    WEFT__RULE_END = 64,   /* the outermost frame: it has no return address */
    WEFT__RULE_NONE = 128, /* no rule that this shape can express */
};

/* Packed, because a walk that meets many PCs is bound by cache misses. Slots are in units of 8
 * bytes, from the CFA, or from the base register for those in by_base. With none of the flags
 * above BASE set, the return address is at CFA - 8 and every slot is in [low, -1]. */
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

/* modules.c, symbolizer thread. at: the module that holds addr, reported to the Dwfl if it is new;
 * NULL if no loaded file does. check: forgets what was learned of files that are gone. */
Dwfl_Module *weft__module_at(uintptr_t addr);
void weft__modules_check(void);
void weft__modules_close(void);
void weft__modules_trim(void);    /* after a request: frees what libdw keeps, if that is due */
void weft__modules_abandon(void); /* leaves libdw alone, which can neither be asked nor closed */

/* rules.c: make a rule of one that is all zero. First the CFA, then the slots, both from DWARF
 * expressions; finish computes what the walker wants precomputed. False if a rule cannot express
 * it. async-signal-safe */
bool weft__rule_set_cfa(struct weft__rule *r, const Dwarf_Op *ops, size_t n, uintptr_t pc);
bool weft__rule_set_slot(struct weft__rule *r, int i, const Dwarf_Op *ops, size_t n, uintptr_t pc);
void weft__rule_finish(struct weft__rule *r, bool is_signal);
/* ehframe.c: the rule of the instruction at addr from .eh_frame in memory; false if that has none.
 * Any thread, async-signal-safe. */
bool weft__rule_read(struct weft__rule *out, uintptr_t addr);

/* rules.c, symbolizer thread: the rule of the instruction at addr. */
void weft__rule_learn(struct weft__rule *out, Dwfl_Module *mod, uintptr_t addr);

/* names.c, symbolizer thread. The symbol is never freed; NULL only if memory ran out. mod may be
 * NULL. */
const struct weft__symbol *weft__symbol_make(Dwfl_Module *mod, uintptr_t addr);

/* cxxname.c. Returns the name that a mangled name stands for, without the result and parameters of
 * the function, for free(). NULL if it is no mangled name, without memory, or if the program has no
 * demangler. */
char *weft__cxx_name(const char *mangled);
/* Returns the same for a demangled declaration; NULL without memory. */
char *weft__cxx_bare(const char *declaration);

/* symbolize.c. Any thread: ask the symbolizer and wait. */
void weft__symbolizer_learn(struct weft__rule *out, uintptr_t addr);
void weft__symbolizer_forget(uintptr_t lo, uintptr_t hi);
/* Symbolizer thread: forget rules and symbols in [lo, hi), whose module is gone. */
void weft__learned_forget(uintptr_t lo, uintptr_t hi);
/* Returns how often that was done. A walk during which the number grew may have followed rules that
 * were wrong. Any thread, async-signal-safe. */
uint32_t weft__learned_age(void);

/* unwind.c. find: any thread, async-signal-safe. add and drop: symbolizer thread. */
bool weft__rule_find(struct weft__rule *out, uintptr_t addr);
void weft__rule_add(uintptr_t addr, const struct weft__rule *r);
void weft__rule_drop(uintptr_t lo, uintptr_t hi);
extern time_t weft__rules_rest; /* seconds before the memory of a table is used again; for tests */

/* maps.c. The build-id of the file mapped at start, as lower-case hex; "" if it has none. Returns
 * where it is, or NULL. */
enum { WEFT__BUILD_ID_SIZE = 2 * 32 + 1 };
const void *weft__build_id(char hex[WEFT__BUILD_ID_SIZE], const void *start);
/* Copies n bytes of this process; false if they are not all there. */
bool weft__peek(void *to, const void *from, size_t n);
/* Copies a string; to is empty if it is not all there or longer. */
void weft__peek_string(char *to, const char *from, size_t size);
void weft__hex(char *hex, const unsigned char *bytes, size_t n);

#endif
