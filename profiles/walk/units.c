/* SPDX-License-Identifier: MIT */
/* units.c - finds the debug information of an address: its unit, the function, the scopes around.
 *
 * libdw goes through all functions of a unit to find one, and through all units where the compiler
 * wrote no .debug_aranges. With a unit of 20,000 functions the first dump took 65 s, now 0.6: each
 * unit is gone through once, when an address in it is first asked for. That makes two sorted lists:
 * the parts of code of its functions, and its scopes (namespaces, types, functions), because a DIE
 * does not point to the scope around it. They take 32 bytes for each, and stay as long as libdw
 * knows the module.
 *
 * A unit with -gsplit-dwarf is two: a skeleton with the lines, and one in a .dwo file with the
 * functions, which libdw opens if it is there.
 *
 * Owns: the indexes. Only the symbolizer thread calls in, so there is no lock. An index is linked
 * when it is complete, since libdw may fault while it is made (libdw_fault.h). */
#include "profiles/walk/units.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/walk/libdw_fault.h"

enum { NESTED_MAX = 64 };

/* A part of the code of a function, or of a unit. */
struct part {
    Dwarf_Addr lo, hi;
    Dwarf_Off die;
    bool is_first; /* of the function's parts: it has the function's entry */
};

struct parts {
    struct part *list; /* by lo */
    size_t n, room;
};

/* A DIE that other DIEs may be in. */
struct scope {
    Dwarf_Off die, end; /* offsets; end 0: it ends where the scope around it ends */
    uint32_t around;    /* the number of the scope around it, counted from 1; 0: none */
};

/* The index of a unit. With cu NULL, the index of a file: the parts of code of its units. */
struct index {
    struct index *next; /* the list begins with the index that was used last */
    Dwarf *dwarf;
    Dwarf_CU *cu;
    struct parts parts;
    struct scope *scopes; /* by die */
    size_t n_scopes, scopes_room;
    bool has_scopes; /* the language has */
};

static struct index *indexes;

/* ---- lists ---- */

/* Returns the list, moved if need be, with room for one more than its n items. Returns NULL if
 * memory ran out; the list then stays valid. */
static void *roomy(void *list, size_t n, size_t *room, size_t size)
{
    size_t more = *room > 0 ? *room * 2 : 64;
    void *bigger;

    if (n < *room)
        return list;
    bigger = realloc(list, more * size);
    if (bigger != NULL)
        *room = more;
    return bigger;
}

/* Adds the parts of a DIE's code, except code that the linker left out, which begins at 0. Returns
 * false if memory ran out. */
static bool add_parts(struct parts *to, Dwarf_Die *die)
{
    Dwarf_Addr base, lo, hi;
    ptrdiff_t at = 0;
    bool is_first = true;
    struct part *list;

    while ((at = dwarf_ranges(die, at, &base, &lo, &hi)) > 0) {
        if (lo == 0 || lo >= hi)
            continue;
        list = roomy(to->list, to->n, &to->room, sizeof(*list));
        if (list == NULL)
            return false;
        to->list = list;
        list[to->n++] = (struct part){lo, hi, dwarf_dieoffset(die), is_first};
        is_first = false;
    }
    return true;
}

static int compare_parts(const void *va, const void *vb)
{
    const struct part *a = va, *b = vb;

    return a->lo < b->lo ? -1 : a->lo > b->lo;
}

/* Returns the part that holds pc, or NULL. */
static const struct part *find_part(const struct parts *parts, Dwarf_Addr pc)
{
    size_t lo = 0, hi = parts->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (parts->list[mid].lo <= pc)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && pc < parts->list[lo - 1].hi ? &parts->list[lo - 1] : NULL;
}

/* ---- making an index ---- */

/* Adds a scope. Returns its number; 0 if memory ran out. */
static uint32_t add_scope(struct index *x, Dwarf_Die *die, uint32_t around)
{
    struct scope *scopes = roomy(x->scopes, x->n_scopes, &x->scopes_room, sizeof(*scopes));

    if (scopes == NULL)
        return 0;
    x->scopes = scopes;
    scopes[x->n_scopes++] = (struct scope){dwarf_dieoffset(die), 0, around};
    return (uint32_t)x->n_scopes;
}

static bool add_children(struct index *x, Dwarf_Die *parent, uint32_t around, int depth);

/* Adds a DIE and its children, but not the children of a function: dienames.c looks for these when
 * it needs them. *scope receives the DIE's number if it is a scope. Returns false if memory ran
 * out. */
static bool add_die(struct index *x, Dwarf_Die *die, uint32_t around, int depth, uint32_t *scope)
{
    int tag = dwarf_tag(die);

    switch (tag) {
    case DW_TAG_subprogram:
        if (!add_parts(&x->parts, die))
            return false;
        break;
    case DW_TAG_namespace:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
        break;
    default:
        return true;
    }
    if (!x->has_scopes || dwarf_haschildren(die) <= 0)
        return true;
    *scope = add_scope(x, die, around);
    return *scope != 0 && (tag == DW_TAG_subprogram || add_children(x, die, *scope, depth + 1));
}

static bool add_children(struct index *x, Dwarf_Die *parent, uint32_t around, int depth)
{
    Dwarf_Die die;
    uint32_t last = 0;

    if (depth == NESTED_MAX || dwarf_child(parent, &die) != 0)
        return true;
    do {
        if (last != 0)
            x->scopes[last - 1].end = dwarf_dieoffset(&die);
        last = 0;
        if (!add_die(x, &die, around, depth, &last))
            return false;
    } while (dwarf_siblingof(&die, &die) == 0);
    return true;
}

/* Returns whether the unit's language has namespaces or methods. */
static bool has_scopes(Dwarf_Die *unit)
{
    switch (dwarf_srclang(unit)) {
    case DW_LANG_C:
    case DW_LANG_C89:
    case DW_LANG_C99:
    case DW_LANG_C11:
    case DW_LANG_Mips_Assembler:
        return false;
    default:
        return true;
    }
}

static bool fill_from_unit(struct index *x, Dwarf_Die *unit)
{
    x->has_scopes = has_scopes(unit);
    return add_children(x, unit, 0, 0);
}

static bool fill_from_file(struct index *x)
{
    Dwarf_Off at = 0, next;
    size_t header;
    Dwarf_Die unit;

    for (; dwarf_nextcu(x->dwarf, at, &next, &header, NULL, NULL, NULL) == 0; at = next) {
        if (dwarf_offdie(x->dwarf, at + header, &unit) != NULL && !add_parts(&x->parts, &unit))
            return false;
    }
    return true;
}

static void index_free(struct index *x)
{
    free(x->parts.list);
    free(x->scopes);
    free(x);
}

static struct index *index_new(Dwarf *dwarf, Dwarf_Die *unit)
{
    struct index *x = calloc(1, sizeof(*x));

    if (x == NULL)
        return NULL;
    x->dwarf = dwarf;
    x->cu = unit == NULL ? NULL : unit->cu;
    if (!(unit == NULL ? fill_from_file(x) : fill_from_unit(x, unit))) {
        index_free(x);
        return NULL;
    }
    qsort(x->parts.list, x->parts.n, sizeof(*x->parts.list), compare_parts);
    return x;
}

/* Returns the index of a unit, or of a file if unit is NULL, and makes it if there is none. Returns
 * NULL if memory ran out. Moves it to the front, since the next address is likely to be in the same
 * unit. */
static const struct index *index_of(Dwarf *dwarf, Dwarf_Die *unit)
{
    const Dwarf_CU *cu = unit == NULL ? NULL : unit->cu;
    struct index **at = &indexes, *x;

    while ((x = *at) != NULL && (x->dwarf != dwarf || x->cu != cu))
        at = &x->next;
    if (x != NULL)
        *at = x->next;
    else
        x = index_new(dwarf, unit);
    if (x == NULL)
        return NULL;
    x->next = indexes;
    return indexes = x;
}

void weft__units_forget(void)
{
    struct index *x;

    while ((x = indexes) != NULL) {
        indexes = x->next;
        index_free(x);
    }
}

/* ---- asking it ---- */

/* Replaces a skeleton by the unit in its .dwo file, if that is there. */
static void follow_split(struct weft__debug *out)
{
    Dwarf_Die skeleton, split;
    uint8_t type;

    out->unit = out->lines;
    if (dwarf_cu_info(out->lines.cu, NULL, &type, &skeleton, &split, NULL, NULL, NULL) == 0 &&
        type == DW_UT_skeleton && dwarf_tag(&split) != DW_TAG_invalid) {
        out->unit = split;
        dwarf_new_oom_handler(dwarf_cu_getdwarf(split.cu), weft__libdw_no_memory);
    }
}

/* Looks for the function at addr in the unit that has its lines. */
static void look_in(struct weft__debug *out, const Dwarf_Die *unit, Dwarf_Addr addr)
{
    const struct index *x;
    const struct part *part;

    *out = (struct weft__debug){.bias = out->bias, .lines = *unit};
    follow_split(out);
    x = index_of(dwarf_cu_getdwarf(out->unit.cu), &out->unit);
    part = x == NULL ? NULL : find_part(&x->parts, addr - out->bias);
    out->has_scopes = x != NULL && x->has_scopes;
    if (part == NULL || dwarf_offdie(x->dwarf, part->die, &out->function) == NULL)
        return;
    out->has_function = true;
    out->begin = part->lo;
    out->is_entry = part->is_first;
}

/* First asks libdwfl, which finds a unit by .debug_aranges. In a program of which only some units
 * have that section, libdwfl gives one of these for addresses of the others. So a unit that does
 * not hold the address is not believed, and the index of the file is asked. */
bool weft__debug_find(struct weft__debug *out, Dwfl_Module *mod, Dwarf_Addr addr)
{
    Dwarf_Die *unit, other;
    Dwarf *dwarf;
    const struct index *all;
    const struct part *part;

    memset(out, 0, sizeof(*out));
    unit = mod == NULL ? NULL : dwfl_module_addrdie(mod, addr, &out->bias);
    if (unit != NULL) {
        look_in(out, unit, addr);
        if (out->has_function || dwarf_haspc(unit, addr - out->bias) > 0)
            return true;
    }
    dwarf = mod == NULL ? NULL : dwfl_module_getdwarf(mod, &out->bias);
    all = dwarf == NULL ? NULL : index_of(dwarf, NULL);
    part = all == NULL ? NULL : find_part(&all->parts, addr - out->bias);
    if (part == NULL || dwarf_offdie(dwarf, part->die, &other) == NULL)
        return unit != NULL;
    look_in(out, &other, addr);
    return true;
}

/* Returns the offset where a scope ends; the largest number if it ends with its unit. */
static Dwarf_Off end_of(const struct index *x, const struct scope *s)
{
    while (s->end == 0 && s->around != 0)
        s = &x->scopes[s->around - 1];
    return s->end == 0 ? UINT64_MAX : s->end;
}

bool weft__debug_scope(Dwarf_Die *scope, Dwarf_Die *die)
{
    Dwarf_Off off = dwarf_dieoffset(die);
    Dwarf_Die unit;
    const struct index *x =
        dwarf_diecu(die, &unit, NULL, NULL) == NULL || dwarf_tag(&unit) == DW_TAG_type_unit
            ? NULL
            : index_of(dwarf_cu_getdwarf(unit.cu), &unit);
    size_t lo = 0, hi = x == NULL ? 0 : x->n_scopes;
    uint32_t n;

    while (lo < hi) { /* the first that is not before the DIE */
        size_t mid = lo + (hi - lo) / 2;

        if (x->scopes[mid].die < off)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (n = (uint32_t)lo; n != 0 && end_of(x, &x->scopes[n - 1]) <= off;)
        n = x->scopes[n - 1].around;
    return n != 0 && dwarf_offdie(x->dwarf, x->scopes[n - 1].die, scope) != NULL;
}
