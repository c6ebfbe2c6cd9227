/* SPDX-License-Identifier: MIT */
/* frame_text.c - see frame_text.h. Owns the caches; each belongs to one dump.
 *
 * Readers of such dumps give up on a line outside Go's grammar, and some then drop all that
 * follows. So every line obeys these rules, whatever a symbol table says:
 * - a function name has no control character, no nested parentheses, no "/" and no "%", but "?"
 * - a file name ends in .c, .go or .s (others get #.c behind), or is ??; a line number follows
 * - an offset is lower-case hex, and only a physical frame has one
 * ("?" and not %25: an escape in a name without a dot makes panicparse 2.3.0 crash.)
 * The cached texts are in one block of memory, the arena. Entries hold offsets, since the arena
 * moves as it grows. */
#include "profiles/render/frame_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/render/output.h"
#include "profiles/table/idmap.h"
#include "profiles/table/marks.h"
#include "profiles/walk/symbolize.h"

struct entry {
    uintptr_t ret;
    size_t at;       /* where its text begins in the arena */
    uint32_t n, mid; /* as in weft__frame_text */
    bool internal, call;
};

struct weft__frame_texts {
    enum weft__frame_kind kind;
    bool plain;
    struct weft__idmap ids; /* hash of ret -> index in entries + 1 */
    struct entry *entries;
    uint32_t n, room;
    char *arena;
    size_t used, size;
    struct weft__out *out; /* writes to the arena */
};

bool weft__frame_is_internal(const char *function)
{
    return strncmp(function, "weft__", 6) == 0;
}

bool weft__frame_is_call(const char *function)
{
    return strncmp(function, "weft_", 5) == 0 && !weft__frame_is_internal(function);
}

size_t weft__frame_first(const char *(*function)(const void *arg, size_t i), const void *arg,
                         size_t n)
{
    size_t i = 0;

    while (i < n && weft__frame_is_internal(function(arg, i)))
        i++;
    for (size_t k = i; i > 0 && k < n && k <= i + WEFT__FRAME_STATICS; k++)
        if (weft__frame_is_call(function(arg, k)))
            return k;
    return i < n ? i : 0;
}

/* The sink of l->out: adds to the arena. */
static int arena_write(void *arg, const void *data, size_t n)
{
    struct weft__frame_texts *l = arg;

    if (l->size - l->used < n) {
        size_t size = (l->used + n) * 2;
        char *bigger = realloc(l->arena, size);

        if (!bigger)
            return -ENOMEM;
        l->arena = bigger;
        l->size = size;
    }
    memcpy(l->arena + l->used, data, n);
    l->used += n;
    return 0;
}

struct weft__frame_texts *weft__frame_texts_new(enum weft__frame_kind kind, bool plain)
{
    struct weft__frame_texts *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->kind = kind;
    l->plain = plain;
    l->out = weft__out_new(&(struct weft__sink){arena_write, l});
    if (!l->out) {
        free(l);
        return NULL;
    }
    return l;
}

void weft__frame_texts_free(struct weft__frame_texts *l)
{
    if (!l)
        return;
    weft__idmap_free(&l->ids);
    free(l->entries);
    free(l->out);
    free(l->arena);
    free(l);
}

/* Returns the length of a demangled name up to its parameter list. The text behind the last
 * parenthesis tells whether that closes a list ("f(int) const") or lies inside the name
 * ("f(int)::x", "f<(E)1>"). */
static size_t bare_length(const char *name)
{
    static const char call[] = "operator()";
    const char *p = strrchr(name, ')');
    size_t depth = 0;

    if (!p || (p[1] != 0 && p[1] != ' ' && p[1] != '['))
        return strlen(name);
    if ((size_t)(p + 1 - name) >= sizeof call - 1 &&
        memcmp(p + 2 - sizeof call, call, sizeof call - 1) == 0)
        return (size_t)(p + 1 - name);
    for (; p > name; p--) {
        depth += *p == ')';
        depth -= *p == '(';
        if (depth == 0)
            return (size_t)(p - name);
    }
    return strlen(name);
}

/* Writes a function's name, without nested parentheses and what is in them. */
static void put_name(struct weft__frame_texts *l, const char *name)
{
    const char *end;
    unsigned depth = 0;

    if (!*name)
        name = "??";
    end = name + bare_length(name);
    for (const char *p = name; p < end; p++) {
        bool nested = depth > 1 || (depth == 1 && *p == '(');

        if (*p == ')' && depth == 0)
            continue;
        depth += *p == '(';
        depth -= *p == ')';
        if (!nested && !l->plain && (*p == '/' || *p == '%'))
            weft__out_char(l->out, '?');
        else if (!nested)
            weft__out_clean(l->out, p, 1);
    }
    if (depth)
        weft__out_char(l->out, ')');
}

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && memcmp(s + n - m, end, m) == 0;
}

/* Writes file, line and offset of a frame. Offsets 0 and 1 are left out: no call is that short, so
 * the function was not entered yet. */
static void put_line(struct weft__frame_texts *l, const struct weft__frame *f, uintptr_t offset)
{
    struct weft__out *o = l->out;

    weft__out_str(o, "\n\t");
    weft__out_clean(o, f->file ? f->file : "??", SIZE_MAX);
    if (f->file && !l->plain && !ends_in(f->file, ".c") && !ends_in(f->file, ".go") &&
        !ends_in(f->file, ".s"))
        weft__out_str(o, "#.c");
    weft__out_char(o, ':');
    weft__out_dec(o, f->line);
    if (offset > 1) {
        weft__out_str(o, " +");
        weft__out_hex(o, offset);
    }
    weft__out_char(o, '\n');
}

static void put_frames(struct weft__frame_texts *l, const struct weft__symbol *s, uintptr_t offset)
{
    for (uint32_t i = 0; i < s->n; i++) {
        put_name(l, s->frames[i].function);
        weft__out_str(l->out, "(...)");
        put_line(l, &s->frames[i], i + 1 == s->n ? offset : 0);
    }
}

static void put_mark(struct weft__frame_texts *l, uintptr_t mark)
{
    if (mark == WEFT__MARK_CUT) {
        weft__out_str(l->out, WEFT__ELIDED);
        return;
    }
    weft__out_str(l->out, weft__mark_name(mark));
    weft__out_str(l->out, "(...)\n\t??:0\n");
}

/* Returns the frame that is shown as a task's creator: the program's, not the inline function of
 * the library's header that it called. */
static const struct weft__frame *creator_frame(const struct weft__symbol *s)
{
    uint32_t i = 0;

    while (i + 1 < s->n && strncmp(s->frames[i].function, "weft_", 5) == 0)
        i++;
    return &s->frames[i];
}

static void put_creator(struct weft__frame_texts *l, const struct weft__symbol *s, struct entry *e,
                        uintptr_t offset)
{
    const struct weft__frame *f = creator_frame(s);

    weft__out_str(l->out, "created by ");
    put_name(l, f->function);
    weft__out_flush(l->out);
    e->mid = (uint32_t)(l->used - e->at);
    put_line(l, f, f->inlined ? 0 : offset);
}

static bool all_internal(const struct weft__symbol *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (!weft__frame_is_internal(s->frames[i].function))
            return false;
    return true;
}

static bool any_call(const struct weft__symbol *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (weft__frame_is_call(s->frames[i].function))
            return true;
    return false;
}

static void put_text(struct weft__frame_texts *l, struct entry *e)
{
    const struct weft__symbol *s = weft__symbolize(e->ret - 1);
    uintptr_t entry = s->frames[s->n - 1].entry;
    uintptr_t offset = entry ? e->ret - entry : 0;

    e->internal = all_internal(s);
    e->call = any_call(s);
    if (l->kind == WEFT__FRAME_CREATOR)
        put_creator(l, s, e, offset);
    else
        put_frames(l, s, offset);
}

/* Adds the text of ret. Returns its index + 1; 0 if memory ran out. */
static uint32_t add(struct weft__frame_texts *l, uintptr_t ret, uint64_t hash)
{
    struct entry e = {.ret = ret, .at = l->used};

    if (l->n == l->room) {
        uint32_t room = l->room ? l->room * 2 : 256;
        struct entry *bigger = realloc(l->entries, room * sizeof *bigger);

        if (!bigger)
            return 0;
        l->entries = bigger;
        l->room = room;
    }
    if (weft__mark_name(ret))
        put_mark(l, ret);
    else
        put_text(l, &e);
    if (weft__out_flush(l->out) < 0 || !weft__idmap_add(&l->ids, hash, l->n + 1))
        return 0;
    e.n = (uint32_t)(l->used - e.at);
    l->entries[l->n++] = e;
    return l->n;
}

struct weft__frame_text weft__frame_text_of(struct weft__frame_texts *l, uintptr_t ret)
{
    uint64_t hash = weft__idmap_mix(ret);
    uint32_t id, at = weft__idmap_first(&l->ids, hash);
    const struct entry *e;

    while ((id = weft__idmap_next(&l->ids, hash, &at)))
        if (l->entries[id - 1].ret == ret)
            break;
    if (!id)
        id = add(l, ret, hash);
    if (!id)
        return (struct weft__frame_text){0};
    e = &l->entries[id - 1];
    return (struct weft__frame_text){l->arena + e->at, e->n, e->mid, e->internal, e->call};
}
