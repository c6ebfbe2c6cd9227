/* SPDX-License-Identifier: MIT */
/* ehframe.c - reads an unwind rule straight from the .eh_frame that is mapped with the code.
 *
 * For threads that cannot wait for the symbolizer and libdw: a thread that faulted, and every
 * thread once the symbolizer is dead. Any thread, async-signal-safe: it takes no lock, allocates
 * nothing, and of the dynamic loader calls _dl_find_object alone. Owns nothing: a rule is not
 * remembered. It takes much longer than finding a learned rule.
 *
 *   .eh_frame_hdr  version 1, three encodings, the address of .eh_frame, a count, and a table of
 *                  (first PC, FDE), both 4 bytes and relative to the section, sorted by PC
 *   FDE            length, distance to its CIE, first PC, size, augmentation, instructions
 *   CIE            length, 0, version, augmentation string, code and data alignment, return
 *                  address register, augmentation, instructions that every FDE begins with
 * The instructions are run up to the PC; rules.c makes a rule of the resulting state. */
#include "profiles/walk/learn.h"

#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <string.h>

enum { RA = 16, SAVED = 7, STATES = 8, OPS = 24, TABLE_ENCODING = 0x3b };

/* The DWARF numbers of the registers that a rule has slots for, by slot (learn.h). */
static const uint8_t dwarf_regs[SAVED] = {6, 3, 12, 13, 14, 15, RA};

struct reader {
    const uint8_t *at, *end;
    bool bad; /* a read went beyond end, or met an unknown form; all later reads give 0 */
};

struct bytes {
    const uint8_t *at;
    size_t n;
};

enum where { SAME, AT_CFA, BY_EXPRESSION, GONE };

/* Where the registers are, by the instructions that were run so far. */
struct state {
    uint64_t cfa_reg;
    int64_t cfa_off;
    struct bytes cfa_expression; /* at != NULL: instead of the two above */
    struct {
        enum where where;
        int64_t off;
        struct bytes expression;
    } regs[SAVED];
};

struct cie {
    uint64_t code_align;
    int64_t data_align;
    uint8_t encoding; /* of addresses in its FDEs */
    bool has_augmentation, is_signal;
    struct bytes code;
};

/* ---- reading ---- */

static const uint8_t *take(struct reader *r, size_t n)
{
    const uint8_t *at = r->at;

    if (r->bad || n > (size_t)(r->end - r->at)) {
        r->bad = true;
        return NULL;
    }
    r->at += n;
    return at;
}

static uint64_t fixed(struct reader *r, size_t n)
{
    const uint8_t *at = take(r, n);
    uint64_t v = 0;

    if (at != NULL)
        memcpy(&v, at, n); /* little-endian, as all else here is x86-64's */
    return v;
}

static int64_t fixed_signed(struct reader *r, size_t n)
{
    unsigned shift = (unsigned)(64 - 8 * n);

    return (int64_t)(fixed(r, n) << shift) >> shift;
}

static uint64_t leb(struct reader *r, bool is_signed)
{
    uint64_t v = 0, byte;
    unsigned shift = 0;

    do {
        byte = fixed(r, 1);
        if (shift < 64)
            v |= (byte & 0x7f) << shift;
        shift += 7;
    } while ((byte & 0x80) && !r->bad);
    if (is_signed && (byte & 0x40) && shift < 64)
        v |= ~UINT64_C(0) << shift;
    return v;
}

static uint64_t uleb(struct reader *r)
{
    return leb(r, false);
}

static int64_t sleb(struct reader *r)
{
    return (int64_t)leb(r, true);
}

static struct bytes block(struct reader *r)
{
    size_t n = uleb(r);

    return (struct bytes){take(r, n), n};
}

/* Reads a value in one of the forms DW_EH_PE_*; relative ones are relative to their own place. */
static uintptr_t encoded(struct reader *r, uint8_t encoding)
{
    uintptr_t base = (encoding & 0x70) == DW_EH_PE_pcrel ? (uintptr_t)r->at : 0;

    if ((encoding & 0x70) > DW_EH_PE_pcrel || (encoding & DW_EH_PE_indirect))
        r->bad = true;
    switch (encoding & 0x0f) {
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
    case DW_EH_PE_sdata8:
        return base + fixed(r, 8);
    case DW_EH_PE_uleb128:
        return base + uleb(r);
    case DW_EH_PE_sleb128:
        return base + (uintptr_t)sleb(r);
    case DW_EH_PE_udata2:
        return base + fixed(r, 2);
    case DW_EH_PE_udata4:
        return base + fixed(r, 4);
    case DW_EH_PE_sdata2:
        return base + (uintptr_t)fixed_signed(r, 2);
    case DW_EH_PE_sdata4:
        return base + (uintptr_t)fixed_signed(r, 4);
    default:
        r->bad = true;
        return 0;
    }
}

/* ---- entries ---- */

/* Returns a reader of the entry at `at`, behind its length. Trusts the length, as the loader trusts
 * the file. */
static struct reader entry_at(const uint8_t *at)
{
    uint32_t n;

    memcpy(&n, at, sizeof n);
    return (struct reader){.at = at + 4, .end = at + 4 + n, .bad = n == 0 || n == UINT32_MAX};
}

static void augment(struct cie *c, struct reader *r, const char *letters)
{
    struct bytes data = block(r);
    struct reader a = {.at = data.at, .end = data.at + data.n, .bad = data.at == NULL};

    c->has_augmentation = true;
    for (; *letters != '\0' && !a.bad; letters++) {
        if (*letters == 'R')
            c->encoding = (uint8_t)fixed(&a, 1);
        else if (*letters == 'S')
            c->is_signal = true;
        else if (*letters == 'L')
            fixed(&a, 1);
        else if (*letters == 'P')
            /* The personality's address; bit 7 says that it is indirect: only its size matters. */
            encoded(&a, (uint8_t)(fixed(&a, 1) & 0x7fu));
    }
}

static bool read_cie(struct cie *c, const uint8_t *at)
{
    struct reader r = entry_at(at);
    const char *letters;
    uint64_t version;

    *c = (struct cie){.encoding = DW_EH_PE_absptr};
    if (fixed(&r, 4) != 0)
        return false;
    version = fixed(&r, 1);
    letters = (const char *)r.at;
    while (fixed(&r, 1) != 0 && !r.bad)
        ;
    c->code_align = uleb(&r);
    c->data_align = sleb(&r);
    if ((version == 1 ? fixed(&r, 1) : uleb(&r)) != RA)
        return false;
    if (!r.bad && letters[0] == 'z')
        augment(c, &r, letters + 1);
    else if (!r.bad && letters[0] != '\0')
        return false;
    c->code = (struct bytes){r.at, (size_t)(r.end - r.at)};
    return !r.bad;
}

/* Finds, in the sorted table, the FDE with the highest first PC that is not above addr. Returns
 * NULL if the table has a form that is not known. */
static const uint8_t *find_fde(const uint8_t *header, uintptr_t addr)
{
    struct reader r = {.at = header, .end = header + 64};
    struct {
        int32_t pc, fde;
    } entry;
    uint8_t frame_encoding, count_encoding, table_encoding;
    size_t lo = 0, hi;

    if (fixed(&r, 1) != 1)
        return NULL;
    frame_encoding = (uint8_t)fixed(&r, 1);
    count_encoding = (uint8_t)fixed(&r, 1);
    table_encoding = (uint8_t)fixed(&r, 1);
    encoded(&r, frame_encoding);
    hi = encoded(&r, count_encoding);
    if (r.bad || table_encoding != TABLE_ENCODING || hi == 0)
        return NULL;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;

        memcpy(&entry, r.at + mid * sizeof entry, sizeof entry);
        if ((uintptr_t)header + (uintptr_t)(intptr_t)entry.pc <= addr)
            lo = mid;
        else
            hi = mid;
    }
    memcpy(&entry, r.at + lo * sizeof entry, sizeof entry);
    return header + entry.fde;
}

/* ---- instructions ---- */

static int saved_index(uint64_t dwarf_reg)
{
    for (int i = 0; i < SAVED; i++) {
        if (dwarf_regs[i] == dwarf_reg)
            return i;
    }
    return -1;
}

static void set(struct state *s, uint64_t reg, enum where where, int64_t off, struct bytes e)
{
    int i = saved_index(reg);

    if (i < 0)
        return;
    s->regs[i].where = where;
    s->regs[i].off = off;
    s->regs[i].expression = e;
}

static void restore(struct state *s, const struct state *initial, uint64_t reg)
{
    int i = saved_index(reg);

    if (i >= 0)
        s->regs[i] = initial->regs[i];
}

static void set_cfa(struct state *s, uint64_t reg, int64_t off)
{
    s->cfa_reg = reg;
    s->cfa_off = off;
    s->cfa_expression.at = NULL;
}

struct machine {
    struct state now, initial, stack[STATES];
    size_t depth;
    const struct cie *cie;
    uintptr_t pc; /* the state holds for code from here on, until the next advance */
};

/* Runs an instruction that has its operand in its low bits, or that moves the PC. Returns false if
 * op is neither. */
static bool packed(struct machine *m, struct reader *r, uint8_t op)
{
    const struct bytes none = {NULL, 0};
    uint8_t low = op & 0x3f;

    switch (op & 0xc0) {
    case DW_CFA_advance_loc:
        m->pc += low * m->cie->code_align;
        return true;
    case DW_CFA_offset:
        set(&m->now, low, AT_CFA, (int64_t)uleb(r) * m->cie->data_align, none);
        return true;
    case DW_CFA_restore:
        restore(&m->now, &m->initial, low);
        return true;
    default:
        break;
    }
    switch (op) {
    case DW_CFA_set_loc:
        m->pc = encoded(r, m->cie->encoding);
        return true;
    case DW_CFA_advance_loc1:
    case DW_CFA_advance_loc2:
    case DW_CFA_advance_loc4:
        m->pc += fixed(r, (size_t)1 << (op - DW_CFA_advance_loc1)) * m->cie->code_align;
        return true;
    default:
        return false;
    }
}

/* Runs an instruction about the CFA or the whole state. Returns false if op is neither. */
static bool about_cfa(struct machine *m, struct reader *r, uint8_t op)
{
    uint64_t reg;

    switch (op) {
    case DW_CFA_nop:
        return true;
    case DW_CFA_remember_state:
        r->bad |= m->depth == STATES;
        if (!r->bad)
            m->stack[m->depth++] = m->now;
        return true;
    case DW_CFA_restore_state:
        r->bad |= m->depth == 0;
        if (!r->bad)
            m->now = m->stack[--m->depth];
        return true;
    case DW_CFA_def_cfa:
        reg = uleb(r);
        set_cfa(&m->now, reg, (int64_t)uleb(r));
        return true;
    case DW_CFA_def_cfa_sf:
        reg = uleb(r);
        set_cfa(&m->now, reg, sleb(r) * m->cie->data_align);
        return true;
    case DW_CFA_def_cfa_register:
        set_cfa(&m->now, uleb(r), m->now.cfa_off);
        return true;
    case DW_CFA_def_cfa_offset:
        set_cfa(&m->now, m->now.cfa_reg, (int64_t)uleb(r));
        return true;
    case DW_CFA_def_cfa_offset_sf:
        set_cfa(&m->now, m->now.cfa_reg, sleb(r) * m->cie->data_align);
        return true;
    case DW_CFA_def_cfa_expression:
        m->now.cfa_expression = block(r);
        return true;
    case DW_CFA_GNU_args_size:
        uleb(r);
        return true;
    default:
        return false;
    }
}

/* Runs an instruction about one register. */
static void about_register(struct machine *m, struct reader *r, uint8_t op)
{
    const struct bytes none = {NULL, 0};
    int64_t align = m->cie->data_align;
    uint64_t reg = uleb(r);

    switch (op) {
    case DW_CFA_offset_extended:
        set(&m->now, reg, AT_CFA, (int64_t)uleb(r) * align, none);
        break;
    case DW_CFA_offset_extended_sf:
        set(&m->now, reg, AT_CFA, sleb(r) * align, none);
        break;
    case DW_CFA_GNU_negative_offset_extended:
        set(&m->now, reg, AT_CFA, -(int64_t)uleb(r) * align, none);
        break;
    case DW_CFA_restore_extended:
        restore(&m->now, &m->initial, reg);
        break;
    case DW_CFA_undefined:
        set(&m->now, reg, GONE, 0, none);
        break;
    case DW_CFA_same_value:
        set(&m->now, reg, SAME, 0, none);
        break;
    case DW_CFA_expression:
        set(&m->now, reg, BY_EXPRESSION, 0, block(r));
        break;
    case DW_CFA_register: /* these three give a value, not an address: a rule cannot say that */
    case DW_CFA_val_offset:
    case DW_CFA_val_offset_sf:
        uleb(r);
        set(&m->now, reg, GONE, 0, none);
        break;
    case DW_CFA_val_expression:
        block(r);
        set(&m->now, reg, GONE, 0, none);
        break;
    default:
        r->bad = true;
    }
}

/* Runs the instructions that are about code up to addr. Returns false if one is not known. */
static bool execute(struct machine *m, struct bytes code, uintptr_t addr)
{
    struct reader r = {.at = code.at, .end = code.at + code.n};

    while (r.at < r.end && !r.bad && m->pc <= addr) {
        struct reader before = r;
        uint8_t op = (uint8_t)fixed(&r, 1);

        if (packed(m, &r, op) || about_cfa(m, &r, op))
            continue;
        r = before;
        fixed(&r, 1);
        about_register(m, &r, op);
    }
    return !r.bad;
}

/* ---- the rule ---- */

/* Decodes an expression into ops, from ops[*n] on, for rules.c. Returns false if it is too long or
 * broken. */
static bool decode(struct bytes e, Dwarf_Op *ops, size_t *n)
{
    struct reader r = {.at = e.at, .end = e.at + e.n};

    for (; r.at < r.end && !r.bad; (*n)++) {
        Dwarf_Op *op = &ops[*n];

        if (*n == OPS)
            return false;
        *op = (Dwarf_Op){.atom = (uint8_t)fixed(&r, 1)};
        if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
            op->number = (Dwarf_Word)sleb(&r);
        else if (op->atom == DW_OP_plus_uconst || op->atom == DW_OP_constu)
            op->number = uleb(&r);
        else if (op->atom == DW_OP_consts)
            op->number = (Dwarf_Word)sleb(&r);
        else if (op->atom == DW_OP_const1u || op->atom == DW_OP_const2u)
            op->number = fixed(&r, op->atom == DW_OP_const1u ? 1 : 2);
        else if (op->atom == DW_OP_const1s || op->atom == DW_OP_const2s)
            op->number = (Dwarf_Word)fixed_signed(&r, op->atom == DW_OP_const1s ? 1 : 2);
    }
    return !r.bad;
}

static bool rule_cfa(struct weft__rule *out, const struct state *s, uintptr_t addr)
{
    Dwarf_Op ops[OPS];
    size_t n = 0;

    if (s->cfa_expression.at != NULL) {
        if (!decode(s->cfa_expression, ops, &n))
            return false;
    } else {
        if (s->cfa_reg > 31)
            return false;
        ops[n++] = (Dwarf_Op){.atom = (uint8_t)(DW_OP_breg0 + s->cfa_reg),
                              .number = (Dwarf_Word)s->cfa_off};
    }
    return weft__rule_set_cfa(out, ops, n, addr);
}

/* Sets the rule's slot of register i. Returns false if the caller's register cannot be found. */
static bool rule_slot(struct weft__rule *out, const struct state *s, int i, uintptr_t addr)
{
    Dwarf_Op ops[OPS] = {{.atom = DW_OP_call_frame_cfa}};
    size_t n = 1;

    switch (s->regs[i].where) {
    case SAME:
        return i != WEFT__SLOT_RA;
    case AT_CFA:
        ops[n++] = (Dwarf_Op){.atom = DW_OP_plus_uconst, .number = (Dwarf_Word)s->regs[i].off};
        break;
    case BY_EXPRESSION: /* an expression finds the CFA on its stack: ops[0] */
        if (!decode(s->regs[i].expression, ops, &n))
            return false;
        break;
    default:
        return false;
    }
    return weft__rule_set_slot(out, i, ops, n, addr);
}

static bool make_rule(struct weft__rule *out, const struct state *s, bool is_signal, uintptr_t addr)
{
    memset(out, 0, sizeof *out);
    if (s->regs[WEFT__SLOT_RA].where == GONE) {
        out->flags = WEFT__RULE_END;
        return true;
    }
    if (!rule_cfa(out, s, addr) || !rule_slot(out, s, WEFT__SLOT_RA, addr))
        return false;
    for (int i = 0; i < WEFT__REG_SAVED; i++) {
        if (!rule_slot(out, s, i, addr))
            out->lost |= (uint8_t)(1u << i);
    }
    weft__rule_finish(out, is_signal);
    return true;
}

/* async-signal-safe */
bool weft__rule_read(struct weft__rule *out, uintptr_t addr)
{
    struct dl_find_object o;
    struct machine m;
    struct reader r;
    struct cie cie;
    const uint8_t *fde, *back;
    uintptr_t start, size;

    if (_dl_find_object((void *)addr, &o) != 0 || o.dlfo_eh_frame == NULL)
        return false;
    fde = find_fde(o.dlfo_eh_frame, addr);
    if (fde == NULL)
        return false;
    r = entry_at(fde);
    back = r.at;
    back -= fixed(&r, 4);
    if (r.bad || !read_cie(&cie, back))
        return false;
    start = encoded(&r, cie.encoding);
    size = encoded(&r, cie.encoding & 0x0f);
    if (r.bad || addr < start || addr - start >= size)
        return false;
    if (cie.has_augmentation)
        block(&r);
    memset(&m, 0, sizeof m);
    m.cie = &cie;
    m.pc = start;
    if (!execute(&m, cie.code, addr))
        return false;
    m.initial = m.now;
    if (!execute(&m, (struct bytes){r.at, (size_t)(r.end - r.at)}, addr))
        return false;
    return make_rule(out, &m.now, cie.is_signal, addr);
}
