/* SPDX-License-Identifier: MIT */
/* unwind.c - walks stacks by learned rules.
 *
 * Owns nothing; the rules are in ruletable.c.
 *
 * A walk reads only inside [lo, hi), and each CFA is above the last, so it ends. Other
 * threads may be writing to the stack, hence no_sanitize and volatile.
 *
 * A frame without a rule (hand-written assembly, code made at run time) is left by its frame
 * pointer. All frames from there on are guesses, since the function may have used the register for
 * something else. So a word is taken for a return address only if a call stands before it. */
#include "profiles/walk/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "profiles/walk/learn.h"
#include "profiles/walk/rows.h"
#include "profiles/walk/ruletable.h"

#define READS_STACKS __attribute__((no_sanitize("address", "thread")))

void weft__unwind_forget(uintptr_t lo, uintptr_t hi)
{
    weft__symbolizer_forget(lo, hi);
}

/* ---- the walk ---- */

struct memory {
    uintptr_t lo, hi;
    uintptr_t shift; /* to add to an address for where its copy stands */
};

/* The state between two frames. */
struct cursor {
    uintptr_t pc, sp;
    uintptr_t reg[WEFT__REG_SAVED];
    uint8_t known; /* bit i: reg[i] is valid */
    bool exact;    /* pc is an instruction to be executed, not a return address */
};

enum { LINE = 64, PREFETCHED = 8 * LINE };
enum { KNOW_SP = 1 << WEFT__REG_SP, KNOW_SAVED = KNOW_SP - 1 };

/* Reads the word at addr, which is inside. */
READS_STACKS static inline uintptr_t word_at(const struct memory *m, uintptr_t addr)
{
    return *(const volatile uintptr_t *)(addr + m->shift);
}

static inline bool is_inside(const struct memory *m, uintptr_t addr)
{
    return addr >= m->lo && addr < m->hi && m->hi - addr >= 8 && addr % 8 == 0;
}

/* Prefetches a cache line of the stack. Frames lie one after another, and without this a walk over
 * a parked stack is a chain of cache misses. Addresses beyond the stack are left out: they are in a
 * guard, and a prefetch that misses its page costs much more than a frame. */
static inline void prefetch(const struct memory *m, uintptr_t addr)
{
    if (addr < m->hi)
        __builtin_prefetch((const void *)(addr + m->shift));
}

static inline uintptr_t base_value(const struct cursor *c, const struct weft__rule *r)
{
    unsigned i = r->flags & WEFT__RULE_BASE;

    return i == WEFT__REG_SP ? c->sp : c->reg[i];
}

static inline uintptr_t slot_at(uintptr_t from, const struct weft__rule *r, unsigned i)
{
    return from + (uintptr_t)(r->slot[i] * (intptr_t)8);
}

/* Moves the cursor to the caller by a rule that is not plain: of a signal frame, or a frame that
 * gcc realigned. Checks each slot by itself. Returns false, as step does. */
READS_STACKS static bool step_slow(struct cursor *c, const struct weft__rule *r,
                                   const struct memory *m)
{
    uintptr_t read[WEFT__REG_COUNT];
    uintptr_t base = base_value(c, r);
    uintptr_t cfa = base + (uintptr_t)(intptr_t)r->cfa;
    unsigned slots = r->saved | 1u << WEFT__SLOT_RA;

    if (r->flags & WEFT__RULE_DEREF) {
        if (!is_inside(m, cfa))
            return false;
        cfa = word_at(m, cfa) + (uintptr_t)(intptr_t)r->low;
    }
    if (cfa <= c->sp || cfa - m->lo > m->hi - m->lo || cfa % 8 != 0)
        return false;
    for (unsigned i = 0; i < WEFT__REG_COUNT; i++) {
        uintptr_t at = slot_at(r->by_base >> i & 1 ? base : cfa, r, i);
        if (!(slots >> i & 1))
            continue;
        if (!is_inside(m, at))
            return false;
        read[i] = word_at(m, at);
    }
    for (unsigned i = 0; i < WEFT__REG_SAVED; i++)
        c->reg[i] = slots >> i & 1 ? read[i] : c->reg[i];
    c->pc = read[WEFT__SLOT_RA];
    c->sp = cfa;
    return true;
}

READS_STACKS static inline bool step_plain(struct cursor *c, const struct weft__rule *r,
                                           const struct memory *m)
{
    uintptr_t cfa = base_value(c, r) + (uintptr_t)(intptr_t)r->cfa;

    if (cfa <= c->sp || cfa - m->lo > m->hi - m->lo || cfa % 8 != 0 ||
        cfa - m->lo < (uintptr_t)(r->low * (intptr_t)-8))
        return false;
    c->pc = word_at(m, cfa - 8);
    c->sp = cfa;
    prefetch(m, cfa + PREFETCHED);
    for (unsigned left = r->saved; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);
        c->reg[i] = word_at(m, slot_at(cfa, r, i));
    }
    return true;
}

/* Moves the cursor to the caller. Returns false, and leaves the cursor as it was, if the stack
 * makes no sense there. */
static inline bool step(struct cursor *c, const struct weft__rule *r, const struct memory *m)
{
    bool is_plain = !(r->flags & ~WEFT__RULE_BASE);

    if (!(c->known >> (r->flags & WEFT__RULE_BASE) & 1))
        return false;
    if (__builtin_expect(is_plain, 1) ? !step_plain(c, r, m) : !step_slow(c, r, m))
        return false;
    c->known = (uint8_t)((c->known | r->saved) & ~r->lost);
    c->exact = r->flags & WEFT__RULE_SIGNAL;
    return true;
}

static inline uint32_t ring_at(uint32_t i)
{
    return WEFT__WALK_INNER + (i - WEFT__WALK_INNER) % WEFT__WALK_OUTER;
}

/* Adds a frame to the walk. From WEFT__WALK_KEEP frames on, the outer part of pcs is a ring, so it
 * keeps the outermost frames so far. */
static inline void push(struct weft__walk *out, uintptr_t pc)
{
    uint32_t i = out->depth++;

    out->pcs[i < WEFT__WALK_KEEP ? i : ring_at(i)] = pc;
}

static void reverse(uintptr_t *a, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        uintptr_t x = a[i];
        a[i] = a[n - 1 - i];
        a[n - 1 - i] = x;
    }
}

/* Turns the ring by n, so that pcs[INNER + n] becomes its first. In place: signal stacks are
 * small. */
static void turn(struct weft__walk *out, size_t n)
{
    uintptr_t *ring = out->pcs + WEFT__WALK_INNER;

    if (out->depth <= WEFT__WALK_KEEP)
        return;
    reverse(ring, n);
    reverse(ring + n, WEFT__WALK_OUTER - n);
    reverse(ring, WEFT__WALK_OUTER);
}

/* Says how a walk goes on where the table has no rule. */
enum lacking {
    STOP = 0,  /* it stops, and reports that it missed a rule */
    LEARN = 1, /* it asks the symbolizer */
    READ = 2,  /* it reads .eh_frame itself, and steps out of a call to an address without code */
    GUESS = 4, /* it also looks for return addresses */
};

static bool is_code(uintptr_t addr)
{
    struct dl_find_object o;

    return _dl_find_object((void *)addr, &o) == 0;
}

/* Finds the rule of an address that the table lacks. Returns NULL if there is none, or if lacking
 * does not let the walk get it. */
static const struct weft__rule *unknown(struct weft__walk *out, struct weft__rule *room,
                                        uintptr_t addr, unsigned lacking)
{
    const struct weft__rule *r = weft__rows_find(addr);

    if (r != NULL && !(lacking & LEARN))
        return r;
    if (r != NULL && !(r->flags & WEFT__RULE_NONE)) {
        weft__rule_keep(addr, r);
        return r;
    }
    if (!is_code(addr))
        return NULL;
    out->missed = lacking == STOP;
    if (lacking & LEARN) /* also where .eh_frame has no rule: libdw may find one elsewhere */
        weft__symbolizer_learn(room, addr);
    else if (!(lacking & READ) || !weft__rule_read(room, addr))
        return NULL;
    return room;
}

/* ---- frames without a rule ---- */

enum { SCANNED = 512 }; /* words that are looked at for a return address */

/* Returns whether a call instruction ends at end, before which 7 bytes can be read. */
READS_STACKS static bool follows_call(const volatile uint8_t *end)
{
    if (end[-5] == 0xe8) /* call rel32 */
        return true;
    for (int length = 2; length <= 7; length++) { /* call by register or memory: FF /2 */
        if (end[-length] == 0xff && (end[1 - length] >> 3 & 7) == 2)
            return true;
    }
    return false;
}

/* async-signal-safe */
bool weft__is_return(uintptr_t addr)
{
    return is_code(addr) && is_code(addr - 8) && follows_call((const volatile uint8_t *)addr);
}

/* Copies code from any address, which may be a guess. The kernel does the reading, since nothing
 * says whether the address is mapped, or for how long. Returns false if not all n bytes are there.
 * async-signal-safe */
static bool fetch(uint8_t *to, uintptr_t from, size_t n)
{
    const struct iovec dst = {to, n}, src = {(void *)from, n};
    int saved = errno;
    bool whole = process_vm_readv(getpid(), &dst, 1, &src, 1, 0) == (ssize_t)n;

    errno = saved;
    return whole;
}

/* Returns whether addr can be a return address: a call stands before it. It may be in a file's
 * code, or in code that was made at run time. */
static bool may_be_return(uintptr_t addr)
{
    uint8_t before[8];

    return fetch(before, addr - 8, 8) ? follows_call(before + 8) : weft__is_return(addr);
}

/* Returns whether the return address ret follows a direct call that goes to at most 4096 bytes
 * before pc, so that pc is likely to be in the called function. */
static bool calls_close_to(uintptr_t ret, uintptr_t pc)
{
    enum { FUNCTION = 4096 };
    uint8_t code[5];
    int32_t distance;

    if (!fetch(code, ret - 5, 5) || code[0] != 0xe8)
        return false;
    memcpy(&distance, code + 1, 4);
    return pc - (ret + (uintptr_t)(intptr_t)distance) < FUNCTION;
}

/* Moves the cursor to the caller, whose return address the word at has. */
READS_STACKS static void resume_at(struct cursor *c, const struct memory *m, uintptr_t at)
{
    c->pc = word_at(m, at);
    c->sp = at + 8;
    c->exact = false;
}

/* Steps out of a function that has no frame just now. It is at its first or last instructions, as
 * the code at pc shows, or the word at sp is a return address behind a call of it. All registers
 * are still the caller's, except SP, and the frame pointer if the function pushed it. */
READS_STACKS static bool out_of_leaf(struct cursor *c, const struct memory *m)
{
    static const uint8_t endbr[] = {0xf3, 0x0f, 0x1e, 0xfa}, set_bp[] = {0x48, 0x89, 0xe5};
    uint8_t code[4];
    uintptr_t at = c->sp;
    bool pushed; /* the caller's frame pointer lies at sp */

    if (!c->exact || !is_inside(m, at) || !fetch(code, c->pc, sizeof code))
        return false;
    pushed = memcmp(code, set_bp, 3) == 0 || (code[0] == 0x5d && code[1] == 0xc3); /* pop; ret */
    at += pushed ? 8 : 0;
    if (!pushed && code[0] != 0x55 && code[0] != 0xc3 && /* push; ret */
        memcmp(code, endbr, 4) != 0 && !calls_close_to(word_at(m, at), c->pc))
        return false;
    if (!is_inside(m, at) || !may_be_return(word_at(m, at)))
        return false;
    if (pushed)
        c->reg[WEFT__REG_BP] = word_at(m, c->sp);
    resume_at(c, m, at);
    return true;
}

/* Steps to the caller by the frame pointer, if it points to a saved one with a return address. */
READS_STACKS static bool by_frame_pointer(struct cursor *c, const struct memory *m)
{
    uintptr_t bp = c->reg[WEFT__REG_BP];

    if (!(c->known >> WEFT__REG_BP & 1) || bp < c->sp || !is_inside(m, bp) ||
        !is_inside(m, bp + 8) || !may_be_return(word_at(m, bp + 8)))
        return false;
    c->reg[WEFT__REG_BP] = word_at(m, bp);
    c->known &= KNOW_SP | 1u << WEFT__REG_BP;
    resume_at(c, m, bp + 8);
    return true;
}

/* Steps to the first word of the next SCANNED that is a return address. */
READS_STACKS static bool by_scan(struct cursor *c, const struct memory *m)
{
    uintptr_t from = c->sp > m->lo ? c->sp : m->lo; /* sp may be in the guard */
    uintptr_t at = (from + 7) & ~(uintptr_t)7;

    for (int i = 0; i < SCANNED && is_inside(m, at); i++, at += 8) {
        if (weft__is_return(word_at(m, at))) {
            c->known &= KNOW_SP | 1u << WEFT__REG_BP;
            resume_at(c, m, at);
            return true;
        }
    }
    return false;
}

/* Steps to the caller of a frame that no rule applies to. */
READS_STACKS static bool step_without_rule(struct weft__walk *out, struct cursor *c,
                                           const struct memory *m, unsigned lacking)
{
    /* a call through a bad pointer: it has pushed its return address and nothing else */
    if ((lacking & READ) && c->exact && !is_code(c->pc) && is_inside(m, c->sp) &&
        weft__is_return(word_at(m, c->sp))) {
        resume_at(c, m, c->sp);
        return true;
    }
    if (out->missed ||
        (!out_of_leaf(c, m) && !by_frame_pointer(c, m) && !((lacking & GUESS) && by_scan(c, m))))
        return false;
    if (out->guessed == UINT32_MAX)
        out->guessed = out->depth;
    return true;
}

static void finish(struct weft__walk *out, const struct cursor *c)
{
    const uintptr_t *v = c->reg;

    turn(out, ring_at(out->depth) - WEFT__WALK_INNER);
    out->kept = out->depth < WEFT__WALK_KEEP ? out->depth : WEFT__WALK_KEEP;
    out->at = (struct weft__regs){
        .pc = c->pc,
        .sp = c->sp,
        .bp = v[WEFT__REG_BP],
        .bx = v[WEFT__REG_BX],
        .r12 = v[WEFT__REG_R12],
        .r13 = v[WEFT__REG_R13],
        .r14 = v[WEFT__REG_R14],
        .r15 = v[WEFT__REG_R15],
        .known = (c->known & KNOW_SAVED) == KNOW_SAVED,
    };
    out->at_known = c->known;
    out->at_exact = c->exact;
}

/* Walks on from the cursor, whose own PC is already in out. Returns true if the walk came to a
 * function that has no caller. A PC of 0 ends a walk too, but does not count: a wrong rule may have
 * read it. */
static bool run(struct weft__walk *out, struct cursor *c, const struct memory *m, unsigned lacking)
{
    const struct weft__rule_table *t =
        atomic_load_explicit(&weft__rule_table, memory_order_acquire);
    struct weft__rule learned;
    bool outermost = false;

    out->whole = false;
    out->missed = false;
    for (uintptr_t ahead = 0; ahead < PREFETCHED; ahead += LINE)
        prefetch(m, c->sp + ahead);
    for (;;) {
        uintptr_t addr = c->exact ? c->pc : c->pc - 1;
        const struct weft__rule *r = weft__rule_in(t, addr);
        if (__builtin_expect(r == NULL, 0)) {
            r = unknown(out, &learned, addr, lacking);
            t = atomic_load_explicit(&weft__rule_table, memory_order_acquire);
        }
        if (r != NULL && __builtin_expect(r->flags & WEFT__RULE_END, 0)) {
            out->whole = outermost = true;
            break;
        }
        if (__builtin_expect(r == NULL || r->flags & WEFT__RULE_NONE || !step(c, r, m), 0) &&
            !step_without_rule(out, c, m, lacking))
            break;
        if (c->pc == 0) { /* by custom the caller of the first function */
            out->whole = true;
            break;
        }
        push(out, c->pc + c->exact);
    }
    finish(out, c);
    return outermost;
}

static struct cursor cursor_at(const struct weft__regs *regs, uint8_t known, bool exact)
{
    return (struct cursor){
        .reg = {[WEFT__REG_BP] = regs->bp,
                [WEFT__REG_BX] = regs->bx,
                [WEFT__REG_R12] = regs->r12,
                [WEFT__REG_R13] = regs->r13,
                [WEFT__REG_R14] = regs->r14,
                [WEFT__REG_R15] = regs->r15},
        .pc = regs->pc,
        .sp = regs->sp,
        .known = known,
        .exact = exact,
    };
}

static bool walk_once(struct weft__walk *out, const struct weft__regs *regs, const struct memory *m,
                      unsigned lacking)
{
    struct cursor c = cursor_at(regs, regs->known ? KNOW_SP | KNOW_SAVED : KNOW_SP, true);

    out->depth = 0;
    out->guessed = regs->guess ? 1 : UINT32_MAX;
    push(out, regs->pc + regs->exact);
    return run(out, &c, m, lacking);
}

/* async-signal-safe unless may_learn */
void weft__walk(struct weft__walk *out, const struct weft__regs *regs, uintptr_t lo, uintptr_t hi,
                const void *image, bool may_learn)
{
    struct memory m = {lo, hi, (uintptr_t)image - lo};
    uint32_t age = weft__learned_age();

    if (walk_once(out, regs, &m, may_learn ? LEARN : STOP) || !may_learn)
        return;
    if (weft__symbolizer_look() !=
        age) /* the walk may have followed rules of a file that is gone */
        walk_once(out, regs, &m, LEARN);
}

/* async-signal-safe */
void weft__walk_fault(struct weft__walk *out, const struct weft__regs *regs, uintptr_t lo,
                      uintptr_t hi, const void *image, bool may_guess)
{
    struct memory m = {lo, hi, (uintptr_t)image - lo};

    walk_once(out, regs, &m, may_guess ? READ | GUESS : READ);
}

void weft__walk_resume(struct weft__walk *out, uintptr_t lo, uintptr_t hi, const void *image)
{
    struct memory m = {lo, hi, (uintptr_t)image - lo};
    struct cursor c = cursor_at(&out->at, out->at_known, out->at_exact);

    weft__symbolizer_look(); /* before the walk: it could not be done again from its start */
    turn(out, WEFT__WALK_KEEP - ring_at(out->depth)); /* back into a ring */
    run(out, &c, &m, LEARN);
}
