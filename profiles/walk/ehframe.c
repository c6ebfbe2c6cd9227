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
#include "profiles/walk/ehframe.h"
#include "profiles/walk/learn.h"

#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>

enum { RA = 16, SAVED = 7, STATES = 8, OPS = 24, TABLE_ENCODING = 0x3b, HEADER = 64 };

/* The DWARF numbers of the registers that a rule has slots for, by slot (learn.h). */
static const uint8_t dwarf_regs[SAVED] = {6, 3, 12, 13, 14, 15, RA};

struct reader {
    const uint8_t *at, *end;
    uintptr_t shift; /* to add to a place in a copy for where the file has it; else 0 */
    bool bad;        /* a read went beyond end, or met an unknown form; all later reads give 0 */
};

struct bytes {
    const uint8_t *at;
    size_t n;
};

/* UNDEFINED: the register is lost; for the return address, that there is no caller. ELSEWHERE: the
 * register is in another one, or a value that is not in memory. */
enum where { SAME, AT_CFA, BY_EXPRESSION, UNDEFINED, ELSEWHERE };

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
    uintptr_t base = (encoding & 0x70) == DW_EH_PE_pcrel ? (uintptr_t)r->at + r->shift : 0;

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

/* Where entries may be: anywhere in the file's own memory, which is trusted as the loader trusts
 * the file; or in a copy. */
struct place {
    uintptr_t lo, hi;
    uintptr_t shift; /* as a reader's */
};

static const struct place in_memory = {.hi = UINTPTR_MAX};

/* Returns a reader of the entry at `at`, behind its length. */
static struct reader entry_at(const struct place *p, const uint8_t *at)
{
    uintptr_t addr = (uintptr_t)at;
    uint32_t n = 0;

    if (addr >= p->lo && addr < p->hi && p->hi - addr > sizeof n)
        memcpy(&n, at, sizeof n);
    if (n == 0 || n == UINT32_MAX || n > p->hi - addr - sizeof n)
        return (struct reader){.bad = true};
    return (struct reader){.at = at + 4, .end = at + 4 + n, .shift = p->shift};
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

static bool read_cie(struct cie *c, const struct place *p, const uint8_t *at)
{
    struct reader r = entry_at(p, at);
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

/* An entry of a function. */
struct fde {
    struct cie cie;
    uintptr_t start, size; /* of the function's code */
    struct reader code;    /* its instructions, behind the CIE's */
};

static bool read_fde(struct fde *f, const struct place *p, const uint8_t *at)
{
    struct reader r = entry_at(p, at);
    const uint8_t *cie = r.at;

    cie -= fixed(&r, 4);
    if (r.bad || !read_cie(&f->cie, p, cie))
        return false;
    f->start = encoded(&r, f->cie.encoding);
    f->size = encoded(&r, f->cie.encoding & 0x0f);
    if (f->cie.has_augmentation)
        block(&r);
    f->code = r;
    return !r.bad;
}

/* ---- the header ---- */

struct header {
    uintptr_t frames;     /* where .eh_frame begins */
    const uint8_t *table; /* the sorted pairs, of struct weft__cfi_pair */
    size_t n;
};

/* Reads a header. Returns false if it has a form that is not known. */
static bool read_header(struct header *h, struct reader r)
{
    uint8_t frame_encoding, count_encoding, table_encoding;

    if (fixed(&r, 1) != 1)
        return false;
    frame_encoding = (uint8_t)fixed(&r, 1);
    count_encoding = (uint8_t)fixed(&r, 1);
    table_encoding = (uint8_t)fixed(&r, 1);
    h->frames = encoded(&r, frame_encoding);
    h->n = encoded(&r, count_encoding);
    h->table = r.at;
    return !r.bad && table_encoding == TABLE_ENCODING && h->n > 0;
}

/* Finds the FDE with the highest first PC that is not above addr. Returns NULL if the header has a
 * form that is not known. */
static const uint8_t *find_fde(const uint8_t *header, uintptr_t addr)
{
    struct weft__cfi_pair pair;
    struct header h;
    size_t lo = 0, hi;

    if (!read_header(&h, (struct reader){.at = header, .end = header + HEADER}))
        return NULL;
    hi = h.n;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;

        memcpy(&pair, h.table + mid * sizeof pair, sizeof pair);
        if ((uintptr_t)header + (uintptr_t)(intptr_t)pair.pc <= addr)
            lo = mid;
        else
            hi = mid;
    }
    memcpy(&pair, h.table + lo * sizeof pair, sizeof pair);
    return header + pair.fde;
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
        set(&m->now, reg, UNDEFINED, 0, none);
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
        set(&m->now, reg, ELSEWHERE, 0, none);
        break;
    case DW_CFA_val_expression:
        block(r);
        set(&m->now, reg, ELSEWHERE, 0, none);
        break;
    default:
        r->bad = true;
    }
}

/* Runs the instructions that are about code up to addr. Returns false if one is not known. */
static bool execute(struct machine *m, struct reader *r, uintptr_t addr)
{
    while (r->at < r->end && !r->bad && m->pc <= addr) {
        const uint8_t *at = r->at;
        uint8_t op = (uint8_t)fixed(r, 1);

        if (packed(m, r, op) || about_cfa(m, r, op))
            continue;
        r->at = at + 1;
        about_register(m, r, op);
    }
    return !r->bad;
}

/* Runs the CIE's instructions, which begin every function. Returns false if one is not known. */
static bool begin(struct machine *m, const struct fde *f)
{
    struct reader code = {.at = f->cie.code.at, .end = f->cie.code.at + f->cie.code.n};

    memset(&m->now, 0, sizeof m->now);
    m->depth = 0;
    m->cie = &f->cie;
    m->pc = f->start;
    if (!execute(m, &code, f->start))
        return false;
    m->initial = m->now;
    return true;
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

    if (s->cfa_expression.at == NULL)
        return weft__rule_set_cfa_at(out, s->cfa_reg, s->cfa_off);
    return decode(s->cfa_expression, ops, &n) && weft__rule_set_cfa(out, ops, n, addr);
}

/* Sets the rule's slot of register i. Returns false if the caller's register cannot be found. */
static bool rule_slot(struct weft__rule *out, const struct state *s, int i, uintptr_t addr)
{
    Dwarf_Op ops[OPS];
    size_t n = 1;

    switch (s->regs[i].where) {
    case SAME:
        return i != WEFT__SLOT_RA;
    case AT_CFA:
        return weft__rule_set_slot_at(out, i, s->regs[i].off);
    case BY_EXPRESSION: /* an expression finds the CFA on its stack: ops[0] */
        ops[0] = (Dwarf_Op){.atom = DW_OP_call_frame_cfa};
        return decode(s->regs[i].expression, ops, &n) && weft__rule_set_slot(out, i, ops, n, addr);
    default:
        return false;
    }
}

static bool make_rule(struct weft__rule *out, const struct state *s, bool is_signal, uintptr_t addr)
{
    memset(out, 0, sizeof *out);
    if (s->regs[WEFT__SLOT_RA].where == UNDEFINED) {
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
    struct fde f;
    const uint8_t *at;

    if (_dl_find_object((void *)addr, &o) != 0 || o.dlfo_eh_frame == NULL)
        return false;
    at = find_fde(o.dlfo_eh_frame, addr);
    if (at == NULL || !read_fde(&f, &in_memory, at) || addr < f.start || addr - f.start >= f.size)
        return false;
    return begin(&m, &f) && execute(&m, &f.code, addr) &&
           make_rule(out, &m.now, f.cie.is_signal, addr);
}

/* ---- all rules of a file ---- */

/* Copies the pairs of the header, and finds the end of the last entry. */
static bool copy_pairs(struct weft__cfi *c, struct header *h, uintptr_t *end)
{
    uint8_t start[HEADER];
    uintptr_t shift = c->header - (uintptr_t)start, last = 0;
    uint32_t length;

    if (!weft__peek(start, (const void *)c->header, HEADER) ||
        !read_header(h, (struct reader){.at = start, .end = start + HEADER, .shift = shift}) ||
        h->n > WEFT__CFI_MOST)
        return false;
    c->n = (uint32_t)h->n;
    c->pairs = malloc(h->n * sizeof *c->pairs);
    if (c->pairs == NULL || !weft__peek(c->pairs, h->table + shift, h->n * sizeof *c->pairs))
        return false;
    for (size_t i = 0; i < h->n; i++) {
        uintptr_t at = c->header + (uintptr_t)(intptr_t)c->pairs[i].fde;
        last = at > last ? at : last;
    }
    if (!weft__peek(&length, (const void *)last, sizeof length))
        return false;
    *end = last + sizeof length + length;
    return true;
}

bool weft__cfi_copy(struct weft__cfi *c, const void *header)
{
    struct header h;
    uintptr_t end;

    *c = (struct weft__cfi){.header = (uintptr_t)header};
    if (copy_pairs(c, &h, &end) && end > h.frames && end - h.frames <= WEFT__CFI_BYTES) {
        c->at = h.frames;
        c->size = end - h.frames;
        c->copy = malloc(c->size);
        if (c->copy != NULL && weft__peek(c->copy, (const void *)c->at, c->size))
            return true;
    }
    weft__cfi_free(c);
    return false;
}

bool weft__cfi_is_there(const struct weft__cfi *c)
{
    unsigned char piece[4096];

    for (size_t i = 0, n; i < c->size; i += n) {
        n = c->size - i < sizeof piece ? c->size - i : sizeof piece;
        if (!weft__peek(piece, (const void *)(c->at + i), n) || memcmp(piece, c->copy + i, n) != 0)
            return false;
    }
    return true;
}

void weft__cfi_free(struct weft__cfi *c)
{
    free(c->pairs);
    free(c->copy);
    *c = (struct weft__cfi){.n = 0};
}

/* Returns whether an expression uses the PC, as that of the PLT does. */
static bool mentions_pc(struct bytes e)
{
    Dwarf_Op ops[OPS];
    size_t n = 0;

    if (e.at == NULL || !decode(e, ops, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (ops[i].atom == DW_OP_breg0 + RA)
            return true;
    }
    return false;
}

static bool depends_on_pc(const struct state *s)
{
    for (int i = 0; i < SAVED; i++) {
        if (s->regs[i].where == BY_EXPRESSION && mentions_pc(s->regs[i].expression))
            return true;
    }
    return mentions_pc(s->cfa_expression);
}

static const struct weft__rule no_rule = {.flags = WEFT__RULE_NONE};

/* Tells the rules of the code from pc to end, which all have the state of m. */
static void tell(const struct machine *m, uintptr_t pc, uintptr_t end, weft__row_fn *row, void *arg)
{
    uintptr_t last = depends_on_pc(&m->now) ? end - 1 : pc;
    struct weft__rule r;

    for (; pc <= last; pc++)
        row(arg, pc, make_rule(&r, &m->now, m->cie->is_signal, pc) ? &r : &no_rule);
}

void weft__cfi_rows(const struct weft__cfi *c, uint32_t i, weft__row_fn *row, void *arg)
{
    const struct place p = {.lo = (uintptr_t)c->copy,
                            .hi = (uintptr_t)c->copy + c->size,
                            .shift = c->at - (uintptr_t)c->copy};
    uintptr_t at = c->header + (uintptr_t)(intptr_t)c->pairs[i].fde, pc, end, next = UINTPTR_MAX;
    struct machine m;
    struct fde f;
    bool ok;

    if (!read_fde(&f, &p, (const uint8_t *)(at - p.shift)) || f.size > UINTPTR_MAX - f.start)
        return;
    if (i + 1 < c->n) /* a later entry holds from its start on */
        next = c->header + (uintptr_t)(intptr_t)c->pairs[i + 1].pc;
    end = f.start + f.size;
    ok = begin(&m, &f);
    for (pc = f.start; pc < end && pc < next; pc = m.pc) {
        ok = ok && execute(&m, &f.code, pc);
        if (m.pc <= pc || m.pc > end) /* the last row */
            m.pc = end;
        if (ok)
            tell(&m, pc, m.pc < next ? m.pc : next, row, arg);
        else
            row(arg, pc, NULL);
        if (!ok)
            break;
    }
    if (end < next)
        row(arg, end, &no_rule);
}
