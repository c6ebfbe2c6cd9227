/* SPDX-License-Identifier: MIT */
/* fingerprint.c - see fingerprint.h. Owns nothing.
 *
 * Three things determine a walk: the rules of its PCs, the return addresses that it reads, and the
 * registers from which frames are counted (when that is not SP). So a step is a return address, as
 * it is, or the word that such a register was read from, as a distance from SP. The walk is
 * repeated here by the rules to find these words. The fingerprint is good if the repeated walk has
 * the same frames as the given one. */
#include "profiles/walk/fingerprint.h"

#include "profiles/walk/learn.h"
#include "runtime/machine/ctx.h"

/* The state of the repeated walk, with the address that each register was read from. */
struct pace {
    struct weft__fingerprint *fingerprint;
    uintptr_t from, hi; /* where the saved context is, and the stack's end */
    uintptr_t pc, sp;
    uintptr_t read_at[WEFT__REG_SAVED];
    uint8_t known; /* bit i: read_at[i] is known */
    bool exact;    /* pc is the instruction itself, not a return address */
};

WEFT__NO_SANITIZE static uintptr_t word_at(uintptr_t addr)
{
    return *(const volatile uintptr_t *)addr;
}

static bool is_inside(const struct pace *p, uintptr_t addr)
{
    return addr >= p->from && addr < p->hi && p->hi - addr >= 8 && addr % 8 == 0;
}

/* Adds the word at addr, which is inside, as a step. Returns false if there are too many. */
static bool go_by(struct pace *p, uintptr_t addr, bool from_sp)
{
    struct weft__fingerprint *t = p->fingerprint;

    if (t->n == WEFT__FINGERPRINT_STEPS || addr - p->from > UINT32_MAX / 2)
        return false;
    t->steps[t->n++] = (struct weft__fingerprint_step){
        .at = (uint32_t)(addr - p->from),
        .from_sp = from_sp,
        .value = word_at(addr) - (from_sp ? p->from : 0),
    };
    return true;
}

/* Returns the address from which the rule counts the frame, and adds the step for it. Returns 0 if
 * the register is not known. */
static uintptr_t base_of(struct pace *p, const struct weft__rule *r)
{
    unsigned i = r->flags & WEFT__RULE_BASE;

    if (i == WEFT__REG_SP)
        return p->sp;
    if (!(p->known >> i & 1) || !go_by(p, p->read_at[i], true))
        return 0;
    return word_at(p->read_at[i]);
}

/* Goes on to the caller's frame. Returns false if this file does not follow such a rule. */
static bool step(struct pace *p, const struct weft__rule *r)
{
    uintptr_t base = base_of(p, r), cfa = base + (uintptr_t)(intptr_t)r->cfa, at;

    if (!base || (r->flags & WEFT__RULE_SIGNAL))
        return false;
    if (r->flags & WEFT__RULE_DEREF) {
        if (!is_inside(p, cfa) || !go_by(p, cfa, true))
            return false;
        cfa = word_at(cfa) + (uintptr_t)(intptr_t)r->low;
    }
    for (unsigned i = 0; i < WEFT__REG_COUNT; i++) {
        if (!((r->saved | 1u << WEFT__SLOT_RA) >> i & 1))
            continue;
        at = (r->by_base >> i & 1 ? base : cfa) + (uintptr_t)(r->slot[i] * (intptr_t)8);
        if (!is_inside(p, at) || (i == WEFT__SLOT_RA && !go_by(p, at, false)))
            return false;
        if (i == WEFT__SLOT_RA)
            p->pc = word_at(at);
        else
            p->read_at[i] = at;
    }
    p->known = (uint8_t)((p->known | r->saved) & ~r->lost);
    p->sp = cfa;
    p->exact = false;
    return true;
}

static struct pace begin(struct weft__fingerprint *fingerprint, const void *sp, uintptr_t hi)
{
    static const uint8_t words[WEFT__REG_SAVED] = {
        [WEFT__REG_BP] = WEFT__CTX_BP,   [WEFT__REG_BX] = WEFT__CTX_BX,
        [WEFT__REG_R12] = WEFT__CTX_R12, [WEFT__REG_R13] = WEFT__CTX_R13,
        [WEFT__REG_R14] = WEFT__CTX_R14, [WEFT__REG_R15] = WEFT__CTX_R15};
    struct pace p = {.fingerprint = fingerprint,
                     .from = (uintptr_t)sp,
                     .hi = hi,
                     .sp = (uintptr_t)sp + WEFT__CTX_WORDS * 8,
                     .known = (1u << WEFT__REG_SAVED) - 1,
                     .exact = true};

    for (unsigned i = 0; i < WEFT__REG_SAVED; i++)
        p.read_at[i] = p.from + words[i] * 8u;
    return p;
}

bool weft__fingerprint_learn(struct weft__fingerprint *fingerprint, const void *sp, uintptr_t hi,
                             const struct weft__walk *walk)
{
    struct pace p = begin(fingerprint, sp, hi);
    struct weft__rule r;
    uintptr_t pc_at = p.from + WEFT__CTX_PC * 8;

    fingerprint->n = 0;
    if (!walk->whole || walk->depth != walk->kept || !go_by(&p, pc_at, false))
        return false;
    p.pc = word_at(pc_at);
    for (uint32_t i = 0;; i++) {
        if (i < walk->kept && walk->pcs[i] != p.pc)
            return false;
        if (!weft__rule_find(&r, p.exact ? p.pc : p.pc - 1) || (r.flags & WEFT__RULE_NONE))
            return false;
        if (r.flags & WEFT__RULE_END)
            return i + 1 >= walk->kept;
        if (!step(&p, &r))
            return false;
    }
}
