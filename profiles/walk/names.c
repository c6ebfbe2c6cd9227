/* SPDX-License-Identifier: MIT */
/* names.c - makes the symbol of an address from DWARF and the symbol tables.
 *
 * Owns: the memory that symbols and strings live in for the life of the process, and the set of
 * interned strings. Only the symbolizer thread calls in, so there is no lock; any thread reads the
 * symbols that it made.
 *
 * File and line of the innermost frame come from the line table. Those of a frame around it are
 * where the frame inside it was inlined (DW_AT_call_file, DW_AT_call_line). */
#include "profiles/walk/learn.h"
#include "profiles/walk/libdw_fault.h"
#include "profiles/walk/units.h"

#include "runtime/base/utf8.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 64 << 10, NESTED_MAX = 64, LONGEST_NAME = 1024 };

/* ---- memory that is never freed ---- */

struct block {
    struct block *older;
    _Alignas(16) char bytes[];
};

static struct block *blocks;
static size_t block_left;

/* Allocates memory that is never freed. Returns NULL if there is none. */
static void *keep(size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (size > block_left) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        struct block *b = malloc(sizeof *b + room);
        if (b == NULL)
            return NULL;
        b->older = blocks;
        blocks = b;
        block_left = room;
    }
    block_left -= size;
    return blocks->bytes + block_left;
}

/* ---- interned strings: open addressing, at most half full ---- */

static const char **strings;
static size_t strings_size, strings_used;

static size_t hash_of(const char *s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    while (*s != '\0')
        h = (h ^ (unsigned char)*s++) * UINT64_C(0x100000001b3);
    return (size_t)(h ^ h >> 32);
}

/* Returns the slot where s is, or the free one where it would go. */
static const char **string_slot(const char *s)
{
    size_t i = hash_of(s) & (strings_size - 1);

    while (strings[i] != NULL && strcmp(strings[i], s) != 0)
        i = (i + 1) & (strings_size - 1);
    return &strings[i];
}

static bool strings_grow(void)
{
    const char **old = strings;
    size_t old_size = strings_size;
    const char **grown = calloc(old_size == 0 ? 1024 : 2 * old_size, sizeof *grown);

    if (grown == NULL)
        return false;
    strings = grown;
    strings_size = old_size == 0 ? 1024 : 2 * old_size;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i] != NULL)
            *string_slot(old[i]) = old[i];
    }
    free(old);
    return true;
}

/* Interns a string that is UTF-8. Returns NULL if memory ran out. */
static const char *intern_clean(const char *s)
{
    const char **slot;
    size_t size = strlen(s) + 1;
    char *copy;

    if (2 * strings_used >= strings_size && !strings_grow())
        return NULL;
    slot = string_slot(s);
    if (*slot == NULL && (copy = keep(size)) != NULL) {
        *slot = memcpy(copy, s, size);
        strings_used++;
    }
    return *slot;
}

/* Interns a name from a file, which may have any bytes, as UTF-8. Returns NULL if memory ran out.
 */
static const char *intern(const char *s)
{
    const char *name;
    char *clean;

    if (weft__utf8_is(s))
        return intern_clean(s);
    clean = malloc(WEFT__UTF8_CLEAN_SIZE(strlen(s)));
    if (clean == NULL)
        return NULL;
    weft__utf8_clean(clean, s);
    name = intern_clean(clean);
    free(clean);
    return name;
}

/* ---- DWARF ---- */

/* The functions that an address is in, from the physical one to the innermost inlined one. */
struct nest {
    Dwarf_Die dies[NESTED_MAX];
    int n;
};

/* Collects the functions that are inlined into parent at pc. */
static void descend(struct nest *nest, Dwarf_Die *parent, Dwarf_Addr pc)
{
    Dwarf_Die die;

    if (nest->n == NESTED_MAX || dwarf_child(parent, &die) != 0)
        return;
    do {
        switch (dwarf_tag(&die)) {
        case DW_TAG_inlined_subroutine:
        case DW_TAG_lexical_block:
        case DW_TAG_try_block:
        case DW_TAG_catch_block:
            if (dwarf_haspc(&die, pc) <= 0)
                break;
            if (dwarf_tag(&die) == DW_TAG_inlined_subroutine)
                nest->dies[nest->n++] = die;
            descend(nest, &die, pc);
            return;
        default:
            break;
        }
    } while (dwarf_siblingof(&die, &die) == 0);
}

/* Names a function by its linkage name if that can be demangled. */
static void name_by_linkage(struct weft__frame *f, const char *linkage)
{
    char *bare = linkage == NULL ? NULL : weft__cxx_name(linkage);

    if (linkage != NULL)
        f->linkage = intern(linkage);
    if (bare != NULL)
        f->function = intern(bare);
    free(bare);
}

/* Names a function that has no name yet by the DIEs around it. */
static void name_by_die(struct weft__frame *f, Dwarf_Die *die)
{
    char name[LONGEST_NAME];

    if (f->function != NULL || !weft__die_name(name, sizeof name, die))
        return;
    f->function = intern(name);
    if (f->linkage == NULL && strcmp(name, dwarf_diename(die)) != 0)
        f->linkage = intern(dwarf_diename(die));
}

/* Returns whether a mangled symbol may be that of a function with this short name. The linker may
 * have merged equal functions into one that has the symbols of all, so the first symbol found may
 * belong to another. */
static bool may_be_of(const char *symbol, const char *name)
{
    if (strncmp(symbol, "_Z", 2) != 0 || name == NULL)
        return false;
    name += *name == '~';
    return strncmp(name, "operator", 8) == 0 ||
           memmem(symbol, strlen(symbol), name, strcspn(name, "<")) != NULL;
}

/* Names the physical function. gcc writes no linkage name for a function that no other unit can
 * call; then the symbol table has it. */
static void name_physical(struct weft__frame *f, struct weft__debug *d, Dwfl_Module *mod,
                          uintptr_t addr)
{
    const char *linkage = weft__die_linkage(&d->function), *symbol = NULL;
    GElf_Addr begin;

    if (linkage == NULL && d->has_scopes)
        symbol = weft__symtab_find(mod, addr, &begin);
    if (symbol != NULL && may_be_of(symbol, dwarf_diename(&d->function)))
        linkage = symbol;
    name_by_linkage(f, linkage);
    name_by_die(f, &d->function);
}

/* ---- files and lines ---- */

static const char *comp_dir(Dwarf_Die *unit)
{
    Dwarf_Attribute a;

    return dwarf_formstring(dwarf_attr(unit, DW_AT_comp_dir, &a));
}

/* Interns a path, made absolute by the directory that the unit was compiled in. */
static const char *intern_path(Dwarf_Die *unit, const char *file)
{
    const char *dir = comp_dir(unit);
    char path[2 * PATH_MAX];

    if (file == NULL)
        return NULL;
    if (file[0] == '/' || dir == NULL)
        return intern(file);
    snprintf(path, sizeof path, "%s/%s", dir, file);
    return intern(path);
}

static uint32_t number(Dwarf_Die *die, unsigned attribute)
{
    Dwarf_Attribute a;
    Dwarf_Word n;

    if (dwarf_formudata(dwarf_attr_integrate(die, attribute, &a), &n) != 0)
        return 0;
    return (uint32_t)n;
}

/* Sets file and line of a frame to where it called the inlined function. */
static void set_call_line(struct weft__frame *f, struct weft__debug *d, Dwarf_Die *inlined)
{
    Dwarf_Files *files;
    size_t n;

    if (dwarf_getsrcfiles(&d->unit, &files, &n) != 0)
        return;
    f->file =
        intern_path(&d->lines, dwarf_filesrc(files, number(inlined, DW_AT_call_file), NULL, NULL));
    f->line = number(inlined, DW_AT_call_line);
}

/* Sets file and line of the innermost frame by the line table. */
static void set_line(struct weft__frame *f, Dwarf_Die *unit, Dwarf_Addr pc)
{
    Dwarf_Line *line = dwarf_getsrc_die(unit, pc);
    int n;

    if (line == NULL || dwarf_lineno(line, &n) != 0)
        return;
    f->file = intern_path(unit, dwarf_linesrc(line, NULL, NULL));
    f->line = (uint32_t)n;
}

/* Fills in the frames, the innermost first. Leaves name and entry of the physical function out. */
static void describe(struct weft__symbol *s, struct nest *nest, struct weft__debug *d,
                     Dwarf_Addr pc)
{
    set_line(&s->frames[0], &d->lines, pc);
    for (int i = 0; i < nest->n; i++) {
        Dwarf_Die *die = &nest->dies[nest->n - 1 - i];
        struct weft__frame *f = &s->frames[i];

        if (i < nest->n - 1) {
            name_by_linkage(f, weft__die_linkage(die));
            name_by_die(f, die);
        }
        f->start_line = number(die, DW_AT_decl_line);
        f->inlined = i < nest->n - 1;
        if (f->inlined)
            set_call_line(f + 1, d, die);
    }
}

/* Sets file and line of a function to its declaration. */
static void set_declared_line(struct weft__frame *f, Dwarf_Die *unit, Dwarf_Die *die)
{
    f->file = intern_path(unit, dwarf_decl_file(die));
    f->line = f->start_line;
}

/* ---- a symbol ---- */

static struct weft__symbol *symbol_new(uintptr_t addr, int n)
{
    size_t size = sizeof(struct weft__symbol) + (size_t)n * sizeof(struct weft__frame);
    struct weft__symbol *s = keep(size);

    if (s == NULL)
        return NULL;
    memset(s, 0, size);
    s->pc = addr;
    s->n = (uint32_t)n;
    return s;
}

/* Takes name and entry of the physical function from the symbol table if DWARF had none. */
static void ask_symbol_table(struct weft__symbol *s, Dwfl_Module *mod)
{
    struct weft__frame *f = &s->frames[s->n - 1];
    GElf_Addr begin;
    const char *name;

    if (mod == NULL || (f->function != NULL && f->entry != 0))
        return;
    name = weft__symtab_find(mod, s->pc, &begin);
    if (name == NULL)
        return;
    if (f->function == NULL)
        name_by_linkage(f, name);
    if (f->function == NULL)
        f->function = intern(name);
    if (f->entry == 0)
        f->entry = begin;
}

static void name_the_nameless(struct weft__symbol *s)
{
    char hex[2 + 2 * sizeof s->pc + 1];

    snprintf(hex, sizeof hex, "0x%jx", (uintmax_t)s->pc);
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->frames[i].function == NULL && (s->frames[i].function = intern(hex)) == NULL)
            s->frames[i].function = "?";
    }
}

/* Finds the functions at pc. At the first instruction of a function, DWARF may name functions
 * inlined into it, since the compiler may have moved code of theirs there. They are left out, else
 * a task that did not run yet would seem to be in one. Returns true if some were left out. */
static bool find_nest(struct nest *nest, const struct weft__debug *d, Dwarf_Addr pc)
{
    if (!d->has_function)
        return false;
    nest->dies[nest->n++] = d->function;
    descend(nest, &nest->dies[0], pc);
    if (nest->n < 2 || !d->is_entry || d->begin != pc)
        return false;
    nest->n = 1;
    return true;
}

const struct weft__symbol *weft__symbol_make(Dwfl_Module *mod, uintptr_t addr)
{
    struct nest nest = {.n = 0};
    struct weft__debug d;
    struct weft__symbol *s;
    Dwarf_Addr unused;
    Dwarf *dwarf = mod == NULL ? NULL : dwfl_module_getdwarf(mod, &unused);
    bool known, cut;

    if (dwarf != NULL)
        dwarf_new_oom_handler(dwarf, weft__libdw_no_memory);
    known = weft__debug_find(&d, mod, addr);
    cut = find_nest(&nest, &d, addr - d.bias);
    s = symbol_new(addr, nest.n == 0 ? 1 : nest.n);
    if (s == NULL)
        return NULL;
    if (known)
        describe(s, &nest, &d, addr - d.bias);
    if (nest.n > 0)
        name_physical(&s->frames[nest.n - 1], &d, mod, addr);
    if (cut)
        set_declared_line(&s->frames[0], &d.lines, &nest.dies[0]);
    if (nest.n > 0)
        s->frames[nest.n - 1].entry = d.begin + d.bias;
    s->has_inlines = nest.n > 0;
    ask_symbol_table(s, mod);
    s->found = s->frames[s->n - 1].function != NULL || s->frames[0].line != 0;
    name_the_nameless(s);
    return s;
}
