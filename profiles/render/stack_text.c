/* SPDX-License-Identifier: MIT */
/* stack_text.c - see stack_text.h. Owns nothing.
 *
 *   3 @ 0x1205 0x1134
 *   #       0x1204  take+0x24       /src/app.c:20
 *   #       0x1133  worker+0x33     /src/app.c:31
 *
 * The data line has return addresses; the "#" lines have the address of the call. A column is one
 * wider than its longest cell, rounded up to a multiple of 8, and is filled with tabs. An address
 * without a name stands alone on its line, as a mark does, and new columns begin behind it. */
#include "profiles/render/stack_text.h"

#include <stdbool.h>

#include "profiles/render/frame_text.h"
#include "profiles/table/marks.h"
#include "profiles/walk/symbolize.h"

enum { TAB = 8 };

struct stack {
    const uintptr_t *rets;
    size_t n;
    uintptr_t shift;
};

struct widths {
    size_t address, name;
};

void weft__stack_text_addresses(struct weft__out *o, const uintptr_t *rets, size_t n,
                                uintptr_t shift)
{
    for (size_t i = 0; i < n; i++) {
        weft__out_char(o, ' ');
        weft__out_hex(o, rets[i] + shift);
    }
    weft__out_str(o, n > 0 ? "\n" : " 0x0\n");
}

/* Compares two addresses by their hex digits, without leading zeros, as text. */
static int compare_as_text(uintptr_t a, uintptr_t b)
{
    int digits_a = a ? (67 - __builtin_clzll(a)) / 4 : 1;
    int digits_b = b ? (67 - __builtin_clzll(b)) / 4 : 1;
    uint64_t left_a = (uint64_t)a << (64 - 4 * digits_a);
    uint64_t left_b = (uint64_t)b << (64 - 4 * digits_b);

    if (left_a != left_b)
        return left_a < left_b ? -1 : 1;
    return digits_a - digits_b;
}

int weft__stack_text_compare(const uintptr_t *a, size_t n_a, uintptr_t shift_a, const uintptr_t *b,
                             size_t n_b, uintptr_t shift_b)
{
    for (size_t i = 0; i < n_a && i < n_b; i++) {
        int c = compare_as_text(a[i] + shift_a, b[i] + shift_b);
        if (c)
            return c;
    }
    return n_a < n_b ? -1 : n_a > n_b;
}

static const struct weft__symbol *symbol_of(const struct stack *s, size_t i)
{
    return weft__symbolize(s->rets[i] + s->shift - 1);
}

static size_t hex_length(uintptr_t v)
{
    size_t n = 3;

    while (v >>= 4)
        n++;
    return n;
}

static uintptr_t entry_of(const struct weft__symbol *sym)
{
    return sym->frames[sym->n - 1].entry;
}

static size_t name_length(const struct weft__symbol *sym, uint32_t frame)
{
    size_t n = strlen(sym->frames[frame].function);

    return entry_of(sym) ? n + 1 + hex_length(sym->pc - entry_of(sym)) : n;
}

static void put_tabs(struct weft__out *o, size_t length, size_t width)
{
    for (; length < width; length = length / TAB * TAB + TAB)
        weft__out_char(o, '\t');
}

static size_t column(size_t longest)
{
    return longest / TAB * TAB + TAB;
}

static void put_symbol(struct weft__out *o, const struct weft__symbol *sym,
                       const struct widths *width)
{
    for (uint32_t i = 0; i < sym->n; i++) {
        const struct weft__frame *f = &sym->frames[i];

        weft__out_str(o, "#\t");
        weft__out_hex(o, sym->pc);
        put_tabs(o, hex_length(sym->pc), width->address);
        weft__out_clean(o, f->function, SIZE_MAX);
        if (entry_of(sym)) {
            weft__out_char(o, '+');
            weft__out_hex(o, sym->pc - entry_of(sym));
        }
        put_tabs(o, name_length(sym, i), width->name);
        weft__out_clean(o, f->file ? f->file : "??", SIZE_MAX);
        weft__out_char(o, ':');
        weft__out_dec(o, f->line);
        weft__out_char(o, '\n');
    }
}

/* Returns the end of the run of named addresses that begins at i. width receives the widths of its
 * columns. */
static size_t measure(const struct stack *s, size_t i, struct widths *width)
{
    struct widths longest = {0, 0};

    for (; i < s->n && !weft__mark_name(s->rets[i]); i++) {
        const struct weft__symbol *sym = symbol_of(s, i);

        if (!sym->found)
            break;
        if (hex_length(sym->pc) > longest.address)
            longest.address = hex_length(sym->pc);
        for (uint32_t k = 0; k < sym->n; k++)
            if (name_length(sym, k) > longest.name)
                longest.name = name_length(sym, k);
    }
    *width = (struct widths){column(longest.address), column(longest.name)};
    return i;
}

static const char *function_of(const void *arg, size_t i)
{
    const struct stack *s = arg;
    const char *mark = weft__mark_name(s->rets[i]);
    const struct weft__symbol *sym;

    if (mark)
        return mark;
    sym = symbol_of(s, i);
    return sym->frames[sym->n - 1].function;
}

static size_t first_shown(const struct stack *s)
{
    return weft__frame_first(function_of, s, s->n);
}

size_t weft__stack_text_first(const uintptr_t *rets, size_t n, uintptr_t shift)
{
    return first_shown(&(struct stack){rets, n, shift});
}

size_t weft__stack_text_caller(const uintptr_t *rets, size_t n)
{
    const struct stack s = {rets, n, 0};
    size_t first = first_shown(&s), i = first;

    while (i < n && weft__frame_is_call(function_of(&s, i)))
        i++;
    return i < n ? i : first;
}

/* Writes a mark, or an address without a name. */
static void put_alone(struct weft__out *o, uintptr_t ret, uintptr_t shift)
{
    const char *mark = weft__mark_name(ret);

    weft__out_str(o, mark ? "# " : "#\t");
    if (mark)
        weft__out_str(o, mark);
    else
        weft__out_hex(o, ret + shift - 1);
    weft__out_char(o, '\n');
}

void weft__stack_text_frames(struct weft__out *o, const uintptr_t *rets, size_t n, uintptr_t shift)
{
    const struct stack s = {rets, n, shift};
    struct widths width;

    if (n == 0)
        weft__out_str(o, "#\t0x0\n");
    for (size_t i = first_shown(&s); i < n;) {
        size_t end = measure(&s, i, &width);

        for (; i < end; i++)
            put_symbol(o, symbol_of(&s, i), &width);
        if (i < n)
            put_alone(o, rets[i++], shift);
    }
}
