/* SPDX-License-Identifier: MIT */
/* frame_pointer.c - walks the stack of a thread in a system call, of which only PC and SP are known
 * (see syscalls.h). Owns nothing.
 *
 * In code that was compiled with frame pointers, a frame can be found by rbp alone. libc's
 * functions around a system call leave rbp as it is, and most save it nowhere. So a walk from PC
 * and SP stops at the first frame of such code, and its frame pointer must be searched for in the
 * stack: it points to the caller's saved frame pointer, which has a return address above it, and
 * the walk from there comes to the outermost function.
 *
 * Calls of the past leave such pairs of words in the unused parts of younger frames, and a walk
 * from an old pair may lead into the frames of today. So the first address tried is the one that
 * follows from the size of the function's frame, which its first instructions have. If no pair is
 * there (the function has a variable array, or arguments on the stack), all addresses are tried,
 * and the callers found are marked as guesses. The best walk is the one with the fewest faults: a
 * fault is a call before a return address that names another function than the one that seems to be
 * called. Of equal ones the innermost is taken. */
#include "profiles/capture/locks.h"
#include "profiles/capture/syscalls.h"
#include "profiles/walk/learn.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { NEAR = 1 << 15 }; /* words of the stack that are tried as the frame pointer's target */
enum { CALL_MOST = 8 };  /* bytes before a return address that may hold the call */
enum { SIZES = 8 };      /* frame sizes that one function may have, by its instructions */
enum { PROLOGUE = 128 }; /* bytes of a function in which it makes its frame */

/* ---- calls ---- */

static bool is_code(uintptr_t addr)
{
    struct dl_find_object o;

    return _dl_find_object((void *)addr, &o) == 0;
}

/* Copies code. Returns false if not all of it is there. */
static bool read_code(void *to, uintptr_t addr, size_t n)
{
    return n > 0 && is_code(addr) && is_code(addr + n - 1) && weft__peek(to, (const void *)addr, n);
}

/* Returns whether an indirect jump at addr, as in the PLT, leads to `there`. Returns true as well
 * if the kernel forbids to read the jump's target. */
static bool jumps_to(uintptr_t addr, uintptr_t there)
{
    static const uint8_t endbr[] = {0xf3, 0x0f, 0x1e, 0xfa};
    uint8_t code[16];
    uintptr_t to;
    size_t at = 0;
    int32_t distance;

    if (!read_code(code, addr, sizeof code))
        return false;
    if (memcmp(code, endbr, sizeof endbr) == 0)
        at += sizeof endbr;
    if (code[at] == 0xf2) /* bnd */
        at++;
    if (code[at] != 0xff || code[at + 1] != 0x25) /* jmp *distance(%rip) */
        return false;
    memcpy(&distance, code + at + 2, sizeof distance);
    addr += at + 6 + (uintptr_t)(intptr_t)distance;
    return !weft__lock_peek((const void *)addr, 0, &to, sizeof to) || to == there;
}

/* Returns the address of the function that holds addr; 0 if that is not known. */
static uintptr_t function_of(uintptr_t addr)
{
    const struct weft__symbol *s = weft__symbolize(addr);

    return s->found ? s->frames[s->n - 1].entry : 0;
}

/* Returns 0 if the call before the return address ret may have called the function of PC callee; 1
 * if it calls another function; a negative number if there is no call. */
static int faults_of(uintptr_t callee, uintptr_t ret)
{
    uint8_t code[CALL_MOST];
    uintptr_t to, entry;
    int32_t distance;

    if (!read_code(code, ret - CALL_MOST, sizeof code))
        return -1;
    if (code[CALL_MOST - 5] == 0xe8) { /* call distance(%rip) */
        memcpy(&distance, code + CALL_MOST - 4, sizeof distance);
        to = ret + (uintptr_t)(intptr_t)distance;
        entry = function_of(callee - 1);
        return entry != 0 && to != entry && !jumps_to(to, entry);
    }
    for (int length = 2; length <= 7; length++) { /* call by register or memory: FF /2 */
        if (code[CALL_MOST - length] == 0xff && (code[CALL_MOST + 1 - length] >> 3 & 7) == 2)
            return 0;
    }
    return -1;
}

/* Finds how far above SP the saved frame pointer may be, in the function that holds addr, which has
 * pushed this many registers besides: by the numbers that its first instructions subtract from rsp.
 * Returns how many sizes were found. */
static int frame_sizes(uintptr_t addr, unsigned pushed, uintptr_t sizes[SIZES])
{
    uintptr_t entry = function_of(addr), sum = 8 * (uintptr_t)pushed;
    size_t most = addr - entry < PROLOGUE ? addr - entry : PROLOGUE;
    uint8_t code[PROLOGUE + 8] = {0};
    int32_t size;
    int n = 0;

    if (entry == 0 || !read_code(code, entry, most))
        return 0;
    for (size_t i = 0; i < most && n < SIZES; i++) {
        const uint8_t *at = code + i;

        memcpy(&size, at + 3, sizeof size);
        if (at[0] == 0x48 && at[1] == 0x83 && at[2] == 0xec) { /* sub $byte, %rsp */
            size = (int8_t)at[3];
        } else if (memcmp(at, "\x4c\x8d\x9c\x24", 4) == 0) { /* lea size(%rsp), %r11: before a */
            memcpy(&size, at + 4, sizeof size);              /* loop that takes 4096 each time */
            size = -size - 4096;
        } else if (at[0] != 0x48 || at[1] != 0x81 || at[2] != 0xec) { /* sub $size, %rsp */
            continue;
        }
        sizes[n++] = sum += (uintptr_t)(intptr_t)size;
    }
    if (n == 0) {
        sizes[n++] = sum;
        sizes[n++] = sum + 8; /* one more push, to align the stack */
    }
    return n;
}

/* ---- the search ---- */

struct seek {
    const struct weft__walk *from; /* the walk that stopped */
    struct weft__walk *try;        /* on the heap: it is large for a task's stack */
    uintptr_t lo, hi;
};

__attribute__((no_sanitize("address", "thread"))) static uintptr_t word_at(uintptr_t addr)
{
    return *(const volatile uintptr_t *)addr;
}

/* Returns whether the walk stopped at a frame whose rule needs rbp while rbp is not known. rule
 * receives that rule. */
static bool lacks_frame_pointer(const struct weft__walk *w, struct weft__rule *rule)
{
    return !w->whole && !(w->at_known >> WEFT__REG_BP & 1) && w->depth < WEFT__WALK_KEEP &&
           weft__rule_find(rule, w->at_exact ? w->at.pc : w->at.pc - 1) &&
           !(rule->flags & (WEFT__RULE_NONE | WEFT__RULE_END)) &&
           (rule->flags & WEFT__RULE_BASE) == WEFT__REG_BP;
}

/* Returns whether the walk came to the outermost function, which has a rule that says so. A walk
 * that ended at a PC of 0 did not. */
static bool is_at_end(const struct weft__walk *w)
{
    struct weft__rule rule;

    return w->whole && weft__rule_find(&rule, w->at.pc - 1) && (rule.flags & WEFT__RULE_END);
}

/* Goes on with the walk, with bp as its frame pointer. */
static void go_on(struct weft__walk *walk, const struct seek *s, uintptr_t bp)
{
    walk->at.bp = bp;
    walk->at_known |= 1u << WEFT__REG_BP;
    weft__walk_resume(walk, s->lo, s->hi, (const void *)s->lo);
}

/* Returns the number of faults of the walk with bp as its frame pointer; a negative number if bp
 * leads nowhere. */
static int try_pointer(struct seek *s, uintptr_t bp)
{
    int sum = 0;

    *s->try = *s->from;
    go_on(s->try, s, bp);
    if (!is_at_end(s->try) || s->try->kept <= s->from->kept)
        return -1;
    for (uint32_t i = s->from->kept - 1; i + 1 < s->try->kept; i++) {
        bool is_gap = i + 1 == WEFT__WALK_INNER && s->try->depth > s->try->kept;
        int faults = is_gap ? 0 : faults_of(s->try->pcs[i], s->try->pcs[i + 1]);

        if (faults < 0)
            return -1;
        sum += faults;
    }
    return sum + (s->try->guessed != s->from->guessed);
}

/* Returns whether the two words at addr may be a saved frame pointer and a return address. */
static bool may_be_pair(const struct seek *s, uintptr_t addr)
{
    uintptr_t ret = word_at(addr + 8);

    if (ret < 4096 || (ret >= s->lo && ret < s->hi))
        return false;
    return is_code(ret);
}

/* The best frame pointer so far. */
struct best {
    uintptr_t bp; /* 0: none */
    int faults;
};

static void compare(struct best *best, struct seek *s, uintptr_t at)
{
    bool inside = at % 8 == 0 && at >= s->from->at.sp && at < s->hi && s->hi - at >= 16;
    int faults = inside && may_be_pair(s, at) ? try_pointer(s, at) : -1;

    if (faults >= 0 && (best->bp == 0 || faults < best->faults))
        *best = (struct best){at, faults};
}

/* Looks for the frame pointer where the size of the frame says. */
static struct best by_size(struct seek *s, unsigned pushed)
{
    struct best best = {0, 0};
    uintptr_t sizes[SIZES];
    int n = frame_sizes(s->from->at.pc - 1, pushed, sizes);

    for (int i = 0; i < n; i++)
        compare(&best, s, s->from->at.sp + sizes[i]);
    return best;
}

/* Looks for the frame pointer in the whole stack. */
static struct best anywhere(struct seek *s)
{
    struct best best = {0, 0};
    uintptr_t at = s->from->at.sp;

    for (int i = 0; i < NEAR && at < s->hi && (best.bp == 0 || best.faults > 0); i++, at += 8)
        compare(&best, s, at);
    return best;
}

/* Finds the frame pointer that the walk lacks, at the frame that rule is for, and goes on with the
 * walk. Leaves the walk as it is if there is none. */
static void seek(struct weft__walk *walk, struct seek *s, const struct weft__rule *rule)
{
    struct best best =
        by_size(s, (unsigned)__builtin_popcount(rule->saved & ~(1u << WEFT__REG_BP)));
    uint32_t frames = walk->depth;
    bool guessed = best.bp == 0;

    if (guessed)
        best = anywhere(s);
    if (best.bp == 0)
        return;
    go_on(walk, s, best.bp);
    if (guessed && walk->guessed > frames)
        walk->guessed = frames;
}

void weft__walk_seek(struct weft__walk *walk, const struct weft__regs *regs, uintptr_t lo,
                     uintptr_t hi)
{
    struct seek s = {.from = walk, .lo = lo, .hi = hi};
    struct weft__rule rule;

    weft__walk(walk, regs, lo, hi, (const void *)lo, true);
    if (!lacks_frame_pointer(walk, &rule))
        return;
    s.try = malloc(sizeof(*s.try));
    if (s.try)
        seek(walk, &s, &rule);
    free(s.try);
}
