/* SPDX-License-Identifier: MIT */
/* walk.c - see walk.h. Owns nothing but the walker that it is given.
 *
 * libunwind asks for words of the target's memory and for the registers, by the functions below,
 * and for the unwind information of a PC: that is searched in the table of the file's
 * .eh_frame_hdr, in the target's memory, and kept by libunwind for the next stack.
 *
 * A thread in a system call has PC and SP alone, but code with frame pointers needs rbp. So words
 * of the stack are tried that look like the place of a saved rbp, until a walk comes to the end. */
#include "tools/dump/walk.h"

#include "profiles/table/marks.h"

#include <libunwind-x86_64.h>
#include <string.h>

enum { SEARCHED = 64 << 10 /* bytes of a stack */, STEPS = 1 << 20 };

/* libunwind exports it without a declaration. */
#define dwarf_search_unwind_table UNW_OBJ(dwarf_search_unwind_table)
int dwarf_search_unwind_table(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t *di,
                              unw_proc_info_t *pi, int need_info, void *arg);

/* The header of .eh_frame_hdr that linkers write: offsets of 32 bits, sorted. */
struct eh_header {
    uint8_t version, eh_frame, count, table; /* encodings */
    int32_t eh_frame_at;
    uint32_t n;
};
enum { SIGNED_4_RELATIVE = 0x1b, UNSIGNED_4 = 0x03, SIGNED_4_TABLE = 0x3b };

static int find_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *pi, int need,
                     void *arg)
{
    struct walker *w = arg;
    const struct file *f = program_file(w->p, ip);
    struct target *t = w->p->target;
    unw_dyn_info_t di = {.format = UNW_INFO_FORMAT_REMOTE_TABLE};
    struct eh_header h;
    uint64_t word;

    if (!f || !f->eh_frame || !target_word(t, f->eh_frame, &word) ||
        !target_half(t, f->eh_frame + 8, &h.n))
        return -UNW_ENOINFO;
    memcpy(&h, &word, sizeof(word));
    if (h.version != 1 || h.eh_frame != SIGNED_4_RELATIVE || h.count != UNSIGNED_4 ||
        h.table != SIGNED_4_TABLE)
        return -UNW_ENOINFO;
    di.start_ip = f->start;
    di.end_ip = f->end;
    di.u.rti.segbase = f->eh_frame;
    di.u.rti.table_data = f->eh_frame + sizeof(h);
    di.u.rti.table_len = h.n; /* in words: an entry has two numbers of 32 bits */
    return dwarf_search_unwind_table(space, ip, &di, pi, need, arg);
}

static void put_info(unw_addr_space_t space, unw_proc_info_t *pi, void *arg)
{
    (void)space, (void)pi, (void)arg;
}

static int no_list(unw_addr_space_t space, unw_word_t *at, void *arg)
{
    (void)space, (void)at, (void)arg;
    return -UNW_ENOINFO;
}

static int access_memory(unw_addr_space_t space, unw_word_t at, unw_word_t *word, int write,
                         void *arg)
{
    struct walker *w = arg;

    (void)space;
    if (write)
        return -UNW_EINVAL;
    if (at >= w->at && at - w->at + sizeof(*word) <= w->held) {
        memcpy(word, w->window + (at - w->at), sizeof(*word));
        return 0;
    }
    return target_word(w->p->target, at, word) ? 0 : -UNW_EINVAL;
}

static int access_register(unw_addr_space_t space, unw_regnum_t reg, unw_word_t *word, int write,
                           void *arg)
{
    struct walker *w = arg;

    (void)space;
    if (write || reg < 0 || reg >= REGISTERS)
        return -UNW_EBADREG;
    *word = w->regs.r[reg];
    return 0;
}

static int access_float(unw_addr_space_t space, unw_regnum_t reg, unw_fpreg_t *value, int write,
                        void *arg)
{
    (void)space, (void)reg, (void)value, (void)write, (void)arg;
    return -UNW_EBADREG;
}

static int no_resume(unw_addr_space_t space, unw_cursor_t *c, void *arg)
{
    (void)space, (void)c, (void)arg;
    return -UNW_EINVAL;
}

static int no_name(unw_addr_space_t space, unw_word_t at, char *to, size_t size, unw_word_t *off,
                   void *arg)
{
    (void)space, (void)at, (void)to, (void)size, (void)off, (void)arg;
    return -UNW_EINVAL;
}

bool walker_open(struct walker *w, struct program *p)
{
    static unw_accessors_t accessors = {
        .find_proc_info = find_info,
        .put_unwind_info = put_info,
        .get_dyn_info_list_addr = no_list,
        .access_mem = access_memory,
        .access_reg = access_register,
        .access_fpreg = access_float,
        .resume = no_resume,
        .get_proc_name = no_name,
    };

    *w = (struct walker){.p = p, .space = unw_create_addr_space(&accessors, 0)};
    if (!w->space)
        return false;
    unw_set_caching_policy(w->space, UNW_CACHE_GLOBAL);
    unw_set_cache_size(w->space, 4096, 0);
    return true;
}

/* Adds a frame. Beyond the frames that are kept, the outermost ones take turns in their places. */
static void add(struct weft__walk *out, uint64_t pc)
{
    uint32_t i = out->depth++;

    if (i >= WEFT__WALK_KEEP)
        i = WEFT__WALK_INNER + (i - WEFT__WALK_INNER) % WEFT__WALK_OUTER;
    else
        out->kept++;
    out->pcs[i] = pc;
}

/* Puts the outermost frames in order, and a mark before them. */
static void close_gap(struct weft__walk *out)
{
    uintptr_t ring[WEFT__WALK_OUTER];
    uint32_t first = (out->depth - WEFT__WALK_INNER) % WEFT__WALK_OUTER;

    if (out->depth <= WEFT__WALK_KEEP)
        return;
    memcpy(ring, out->pcs + WEFT__WALK_INNER, sizeof(ring));
    out->pcs[WEFT__WALK_INNER] = WEFT__MARK_CUT;
    for (uint32_t i = 0; i < WEFT__WALK_OUTER; i++)
        out->pcs[WEFT__WALK_INNER + 1 + i] = ring[(first + i) % WEFT__WALK_OUTER];
    out->kept = WEFT__WALK_KEEP + 1;
}

/* Steps to the end. Returns whether the end is that of a task. */
static bool step_all(struct walker *w, struct weft__walk *out, bool exact, bool own)
{
    const struct table *table = &w->p->table;
    unw_cursor_t c;
    unw_word_t pc;
    int rc = unw_init_remote(&c, w->space, w);

    for (int i = 0; rc >= 0 && i < STEPS; i++) {
        bool signal;

        if (unw_get_reg(&c, UNW_REG_IP, &pc) != 0 || pc == 0)
            return own;
        add(out, exact ? pc + 1 : pc);
        if (pc > table->ctx__entry && pc <= table->ctx__end)
            return true;
        signal = unw_is_signal_frame(&c) > 0;
        rc = unw_step(&c);
        if (rc == 0)
            return own;
        exact = signal;
    }
    return false;
}

static void walk_once(struct walker *w, struct weft__walk *out, bool exact, bool own)
{
    out->depth = out->kept = 0;
    out->guessed = UINT32_MAX;
    out->whole = step_all(w, out, exact, own);
}

/* Walks with what may be the place of a saved rbp. */
static void search(struct walker *w, struct weft__walk *out, bool own)
{
    uint64_t sp = w->regs.r[R_SP], bp, ret;
    struct weft__walk best;

    walk_once(w, out, false, false);
    best = *out;
    for (uint64_t at = sp; at < sp + SEARCHED && !out->whole; at += 8) {
        if (!target_word(w->p->target, at, &bp) || !target_word(w->p->target, at + 8, &ret))
            break;
        if ((bp != 0 && (bp <= at || bp - at > 1 << 20)) || !program_file(w->p, ret))
            continue;
        w->regs.r[R_BP] = at;
        walk_once(w, out, false, false);
        if (out->depth > best.depth)
            best = *out;
    }
    if (!out->whole) {
        *out = best;
        out->whole = own;
    }
}

void walker_walk(struct walker *w, struct weft__walk *out, const struct registers *r, bool exact,
                 uint64_t hi, bool own)
{
    struct target *t = w->p->target;

    w->regs = *r;
    w->at = r->r[R_SP];
    w->held = hi > w->at && hi - w->at < WALK_WINDOW ? hi - w->at : WALK_WINDOW;
    if (hi <= w->at || !t->read(t, w->at, w->window, w->held))
        w->held = 0;
    if (r->whole)
        walk_once(w, out, exact, own);
    else
        search(w, out, own);
    close_gap(out);
    if (out->whole && !own && out->kept > 2)
        out->kept -= 2; /* weft__task_main and the entry */
    if (!out->whole && out->kept > 0)
        out->pcs[out->kept++] = WEFT__MARK_CUT;
}
