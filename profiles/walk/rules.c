/* SPDX-License-Identifier: MIT */
/* rules.c - makes an unwind rule of a module's call frame information.
 *
 * libdw gives the CFA and each saved register as a DWARF expression. They are evaluated here for
 * all stacks at once: a value is kept as register + offset, or as the word at such an address. That
 * covers all that compilers emit, signal frames, the PLT and frames that gcc realigned. Anything
 * else makes a rule WEFT__RULE_NONE, which ends a walk.
 *
 * Owns nothing. x86-64 only, as weft__regs is. weft__rule_learn asks libdw: symbolizer thread. The
 * other functions are async-signal-safe; ehframe.c calls them on any thread. */
#include "profiles/walk/learn.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>

/* Further bases of a value, beside WEFT__REG_*. */
enum { ON_NOTHING = WEFT__REG_COUNT, ON_CFA, ON_UNKNOWN };

struct value {
    int base;    /* WEFT__REG_* or one of the above; ON_NOTHING: off is a plain number */
    bool deref;  /* the value is in memory at base + off, plus add */
    int64_t off; /* from base */
    int64_t add;
};

enum { DWARF_RIP = 16, STACK_MAX = 8 };

static int base_of(uint64_t dwarf_reg)
{
    static const uint8_t bases[DWARF_RIP] = {
        [0] = ON_UNKNOWN,     [1] = ON_UNKNOWN,     [2] = ON_UNKNOWN,     [3] = WEFT__REG_BX,
        [4] = ON_UNKNOWN,     [5] = ON_UNKNOWN,     [6] = WEFT__REG_BP,   [7] = WEFT__REG_SP,
        [8] = ON_UNKNOWN,     [9] = ON_UNKNOWN,     [10] = ON_UNKNOWN,    [11] = ON_UNKNOWN,
        [12] = WEFT__REG_R12, [13] = WEFT__REG_R13, [14] = WEFT__REG_R14, [15] = WEFT__REG_R15,
    };
    return dwarf_reg < DWARF_RIP ? bases[dwarf_reg] : ON_UNKNOWN;
}

static struct value in_register(uint64_t dwarf_reg, Dwarf_Word off, uintptr_t pc)
{
    if (dwarf_reg == DWARF_RIP)
        return (struct value){.base = ON_NOTHING, .off = (int64_t)(pc + off)};
    return (struct value){.base = base_of(dwarf_reg), .off = (int64_t)off};
}

/* Adds a number to a value: to the word that is read, if it is read, else to its offset. */
static struct value plus(struct value v, int64_t n)
{
    if (v.deref)
        v.add += n;
    else
        v.off += n;
    return v;
}

/* Applies an operator to the two topmost values, *a the lower one, and leaves the result in *a.
 * Both must be numbers, except in a sum. Returns false if the operator is not known. */
static bool apply(uint8_t op, struct value *a, const struct value *b)
{
    if (op == DW_OP_plus && a->base == ON_NOTHING) {
        *a = plus(*b, a->off);
        return true;
    }
    if (b->base != ON_NOTHING)
        return false;
    if (op == DW_OP_plus || op == DW_OP_minus) {
        *a = plus(*a, op == DW_OP_plus ? b->off : -b->off);
        return true;
    }
    if (a->base != ON_NOTHING)
        return false;
    switch (op) {
    case DW_OP_and:
        a->off &= b->off;
        return true;
    case DW_OP_ge:
        a->off = a->off >= b->off;
        return true;
    case DW_OP_shl:
        a->off = (int64_t)((uint64_t)a->off << (b->off & 63));
        return true;
    default:
        return false;
    }
}

/* Reads an operation that pushes a value. Returns false if op is none. */
static bool push(const Dwarf_Op *op, uintptr_t pc, struct value *v)
{
    if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
        *v = in_register(op->atom - DW_OP_breg0, op->number, pc);
    else if (op->atom == DW_OP_bregx)
        *v = in_register(op->number, op->number2, pc);
    else if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31)
        *v = (struct value){.base = ON_NOTHING, .off = op->atom - DW_OP_lit0};
    else if (op->atom >= DW_OP_const1u && op->atom <= DW_OP_consts)
        *v = (struct value){.base = ON_NOTHING, .off = (int64_t)op->number};
    else if (op->atom == DW_OP_call_frame_cfa)
        *v = (struct value){.base = ON_CFA};
    else
        return false;
    return v->base != ON_UNKNOWN;
}

/* Evaluates an expression. Returns false if its value has no form that a struct value can have. */
static bool evaluate(const Dwarf_Op *ops, size_t n, uintptr_t pc, struct value *out)
{
    struct value stack[STACK_MAX];
    size_t depth = 0;

    for (size_t i = 0; i < n; i++) {
        if (depth < STACK_MAX && push(&ops[i], pc, &stack[depth])) {
            depth++;
        } else if (depth >= 1 && ops[i].atom == DW_OP_plus_uconst) {
            stack[depth - 1] = plus(stack[depth - 1], (int64_t)ops[i].number);
        } else if (depth >= 1 && ops[i].atom == DW_OP_deref && !stack[depth - 1].deref) {
            stack[depth - 1].deref = true;
        } else if (depth >= 2 && apply(ops[i].atom, &stack[depth - 2], &stack[depth - 1])) {
            depth--;
        } else {
            return false;
        }
    }
    if (depth == 0)
        return false;
    *out = stack[depth - 1];
    return true;
}

bool weft__rule_set_cfa_at(struct weft__rule *r, uint64_t dwarf_reg, int64_t off)
{
    int base = base_of(dwarf_reg);

    if (base >= WEFT__REG_COUNT || off != (int32_t)off)
        return false;
    r->flags = (uint8_t)base;
    r->cfa = (int32_t)off;
    return true;
}

bool weft__rule_set_slot_at(struct weft__rule *r, int i, int64_t off)
{
    if (off % 8 != 0 || off / 8 != (int16_t)(off / 8))
        return false;
    r->slot[i] = (int16_t)(off / 8);
    r->saved |= (uint8_t)(1u << i);
    return true;
}

bool weft__rule_set_cfa(struct weft__rule *r, const Dwarf_Op *ops, size_t n, uintptr_t pc)
{
    struct value v;

    if (!evaluate(ops, n, pc, &v))
        return false;
    if (v.base >= WEFT__REG_COUNT || v.off != (int32_t)v.off || v.add != (int16_t)v.add)
        return false;
    r->flags = (uint8_t)(v.base | (v.deref ? WEFT__RULE_DEREF : 0));
    r->cfa = (int32_t)v.off;
    r->low = (int16_t)v.add;
    return true;
}

bool weft__rule_set_slot(struct weft__rule *r, int i, const Dwarf_Op *ops, size_t n, uintptr_t pc)
{
    struct value v;

    if (!evaluate(ops, n, pc, &v) || v.deref)
        return false;
    if (v.base == (r->flags & WEFT__RULE_BASE) && weft__rule_set_slot_at(r, i, v.off)) {
        r->by_base |= (uint8_t)(1u << i);
        r->flags |= WEFT__RULE_MIXED;
        return true;
    }
    return v.base == ON_CFA && weft__rule_set_slot_at(r, i, v.off);
}

static bool learn_cfa(struct weft__rule *r, Dwarf_Frame *frame, uintptr_t pc)
{
    Dwarf_Op *ops;
    size_t n;

    return dwarf_frame_cfa(frame, &ops, &n) == 0 && weft__rule_set_cfa(r, ops, n, pc);
}

/* Learns where the caller's register i, or its return address, is. Returns false if it is gone, or
 * if a rule cannot express it. */
static bool learn_slot(struct weft__rule *r, Dwarf_Frame *frame, int i, int dwarf_reg, uintptr_t pc)
{
    Dwarf_Op mem[3], *ops;
    size_t n;

    if (dwarf_frame_register(frame, dwarf_reg, mem, &ops, &n) != 0)
        return false;
    /* n == 0 is "same value" (ops is NULL) or "undefined". For a register that the CFI omits libdw
     * follows its table of the ABI, which (0.188) lists rax in the place of rbx, so rbx counts as
     * unchanged here. */
    if (n == 0)
        return (ops == NULL || i == WEFT__REG_BX) && i != WEFT__SLOT_RA;
    return weft__rule_set_slot(r, i, ops, n, pc);
}

static bool has_no_caller(Dwarf_Frame *frame)
{
    Dwarf_Op mem[3], *ops;
    size_t n;

    return dwarf_frame_register(frame, DWARF_RIP, mem, &ops, &n) == 0 && n == 0 && ops == mem;
}

/* Sets MIXED, which sends the walker to its slow path, unless the rule promises all that the fast
 * path needs. Sets low. */
static void classify(struct weft__rule *r)
{
    bool plain = r->slot[WEFT__SLOT_RA] == -1;

    if (r->flags & WEFT__RULE_DEREF)
        return;
    r->low = -1;
    for (int i = 0; i < WEFT__REG_SAVED; i++) {
        if (!(r->saved >> i & 1))
            continue;
        plain = plain && r->slot[i] < 0;
        if (r->slot[i] < r->low)
            r->low = r->slot[i];
    }
    if (!plain)
        r->flags |= WEFT__RULE_MIXED;
}

void weft__rule_finish(struct weft__rule *r, bool is_signal)
{
    classify(r);
    r->saved &= (1u << WEFT__REG_SAVED) - 1;
    r->flags |= is_signal ? WEFT__RULE_SIGNAL : 0;
}

static bool learn_frame(struct weft__rule *r, Dwarf_Frame *frame, uintptr_t pc)
{
    static const uint8_t dwarf_regs[WEFT__REG_SAVED] = {6, 3, 12, 13, 14, 15};
    bool is_signal = false;

    dwarf_frame_info(frame, NULL, NULL, &is_signal);
    if (has_no_caller(frame)) {
        r->flags = WEFT__RULE_END;
        return true;
    }
    if (!learn_cfa(r, frame, pc) || !learn_slot(r, frame, WEFT__SLOT_RA, DWARF_RIP, pc))
        return false;
    for (int i = 0; i < WEFT__REG_SAVED; i++) {
        if (!learn_slot(r, frame, i, dwarf_regs[i], pc))
            r->lost |= (uint8_t)(1u << i);
    }
    weft__rule_finish(r, is_signal);
    return true;
}

static bool learn_from(struct weft__rule *r, Dwarf_CFI *cfi, Dwarf_Addr pc)
{
    Dwarf_Frame *frame;
    bool ok;

    memset(r, 0, sizeof *r);
    if (cfi == NULL || dwarf_cfi_addrframe(cfi, pc, &frame) != 0)
        return false;
    ok = learn_frame(r, frame, pc);
    free(frame);
    return ok;
}

void weft__rule_learn(struct weft__rule *out, Dwfl_Module *mod, uintptr_t addr)
{
    Dwarf_Addr bias = 0;
    Dwarf_CFI *cfi = mod == NULL ? NULL : dwfl_module_eh_cfi(mod, &bias);

    if (learn_from(out, cfi, addr - bias))
        return;
    /* Hand-written assembly and programs built without .eh_frame have .debug_frame alone. */
    cfi = mod == NULL ? NULL : dwfl_module_dwarf_cfi(mod, &bias);
    if (!learn_from(out, cfi, addr - bias))
        *out = (struct weft__rule){.flags = WEFT__RULE_NONE};
}
