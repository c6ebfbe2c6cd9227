/* SPDX-License-Identifier: MIT */
/* dienames.c - names a function by the DIEs around it: "net::Server::run",
 * "main::{lambda(int)#1}::operator()".
 *
 * For functions whose mangled name is not known or cannot be demangled. Parameters are left out,
 * except those of lambdas, which have no other name. Owns nothing. Only the symbolizer thread calls
 * in, since libdw reads the DIEs. */
#include "profiles/walk/units.h"

#include <dwarf.h>
#include <stdio.h>
#include <string.h>

enum { NESTED_MAX = 64, TYPE_SIZE = 128 };

/* A name that is being written. Characters beyond size are dropped. */
struct name {
    char *text;
    size_t n, size;
    bool is_type; /* the type of a parameter: of a type in a function only the name is written */
};

static void put(struct name *to, const char *s)
{
    while (*s != '\0' && to->n + 1 < to->size)
        to->text[to->n++] = *s++;
    to->text[to->n] = '\0';
}

/* Finds the DIE that an attribute refers to. Returns false if there is none. */
static bool follow(Dwarf_Die *to, Dwarf_Die *die, unsigned attribute)
{
    Dwarf_Attribute a;

    return dwarf_attr(die, attribute, &a) != NULL && dwarf_formref_die(&a, to) != NULL;
}

/* Returns the DIE of a function's declaration, which stands in its scope. An inlined function and a
 * definition elsewhere refer to it. */
static Dwarf_Die declaration_of(const Dwarf_Die *die)
{
    Dwarf_Die at = *die;

    for (int i = 0; i < NESTED_MAX; i++) {
        if (!follow(&at, &at, DW_AT_abstract_origin) && !follow(&at, &at, DW_AT_specification))
            break;
    }
    return at;
}

static void put_name(struct name *to, Dwarf_Die *die, int depth);

/* Writes the type of a parameter. */
static void put_type_of(struct name *to, Dwarf_Die *die, int depth)
{
    Dwarf_Die type;

    if (depth == NESTED_MAX || !follow(&type, die, DW_AT_type)) {
        put(to, "void");
        return;
    }
    switch (dwarf_tag(&type)) {
    case DW_TAG_pointer_type:
    case DW_TAG_reference_type:
    case DW_TAG_rvalue_reference_type:
    case DW_TAG_const_type:
    case DW_TAG_typedef:
        put_type_of(to, &type, depth + 1);
        break;
    default:
        put_name(to, &type, depth + 1);
    }
    switch (dwarf_tag(&type)) {
    case DW_TAG_pointer_type:
        put(to, "*");
        break;
    case DW_TAG_reference_type:
        put(to, "&");
        break;
    case DW_TAG_rvalue_reference_type:
        put(to, "&&");
        break;
    case DW_TAG_const_type:
        put(to, " const");
        break;
    default:
        break;
    }
}

static bool is_type(Dwarf_Die *die)
{
    int tag = dwarf_tag(die);

    return tag == DW_TAG_class_type || tag == DW_TAG_structure_type || tag == DW_TAG_union_type;
}

/* Finds operator() of a lambda, which is a type without a name. Returns false if the type is none.
 */
static bool find_call(Dwarf_Die *call, Dwarf_Die *type)
{
    if (!is_type(type) || dwarf_diename(type) != NULL || dwarf_child(type, call) != 0)
        return false;
    do {
        const char *name = dwarf_tag(call) == DW_TAG_subprogram ? dwarf_diename(call) : NULL;

        if (name != NULL && strcmp(name, "operator()") == 0)
            return true;
    } while (dwarf_siblingof(call, call) == 0);
    return false;
}

/* Writes the types of a lambda's parameters. Returns false if the type is no lambda. */
static bool put_parameters(struct name *to, Dwarf_Die *type, int depth)
{
    Dwarf_Die call, die;
    const char *before = "";

    if (!find_call(&call, type))
        return false;
    if (dwarf_child(&call, &die) != 0)
        return true;
    do {
        if (dwarf_tag(&die) != DW_TAG_formal_parameter || dwarf_hasattr(&die, DW_AT_artificial))
            continue;
        put(to, before);
        put_type_of(to, &die, depth + 1);
        before = ", ";
    } while (dwarf_siblingof(&die, &die) == 0);
    return true;
}

/* Counts the lambdas in a function before off that have these parameters: a lambda's number. */
static unsigned count_lambdas(Dwarf_Die *function, Dwarf_Off off, const char *parameters, int depth)
{
    char text[TYPE_SIZE];
    struct name name = {.text = text, .size = sizeof text, .is_type = true};
    unsigned n = 0;
    Dwarf_Die die;

    if (depth == NESTED_MAX || dwarf_child(function, &die) != 0)
        return 0;
    do {
        if (dwarf_dieoffset(&die) >= off)
            break;
        name.n = 0;
        text[0] = '\0';
        if (dwarf_tag(&die) == DW_TAG_lexical_block)
            n += count_lambdas(&die, off, parameters, depth + 1);
        else if (put_parameters(&name, &die, depth) && strcmp(text, parameters) == 0)
            n++;
    } while (dwarf_siblingof(&die, &die) == 0);
    return n;
}

/* Writes the name of a type in a function. Lambdas are told apart by their number. */
static void put_local_type(struct name *to, Dwarf_Die *type, Dwarf_Die *function, int depth)
{
    char text[TYPE_SIZE] = "", number[16];
    struct name name = {.text = text, .size = sizeof text, .is_type = true};

    if (dwarf_diename(type) != NULL || !put_parameters(&name, type, depth)) {
        put(to, dwarf_diename(type) != NULL ? dwarf_diename(type) : "{unnamed type}");
        return;
    }
    snprintf(number, sizeof number, ")#%u}",
             count_lambdas(function, dwarf_dieoffset(type), text, 0) + 1);
    put(to, "{lambda(");
    put(to, text);
    put(to, number);
}

/* Writes the types, and their functions, between a function and the DIE at off inside it. */
static void put_local_scopes(struct name *to, Dwarf_Die *scope, Dwarf_Off off, int depth)
{
    Dwarf_Die at = *scope, function = *scope, die, last;

    while (dwarf_child(&at, &die) == 0 && dwarf_dieoffset(&die) <= off) {
        do {
            if (dwarf_dieoffset(&die) > off)
                break;
            last = die;
        } while (dwarf_siblingof(&die, &die) == 0);
        if (dwarf_dieoffset(&last) == off)
            break;
        at = last;
        if (!is_type(&at) && dwarf_tag(&at) != DW_TAG_subprogram)
            continue;
        if (is_type(&at)) {
            put_local_type(to, &at, &function, depth);
        } else {
            function = at;
            put(to, dwarf_diename(&at) != NULL ? dwarf_diename(&at) : "{unnamed function}");
        }
        put(to, "::");
    }
}

/* Writes a name with its scopes. */
static void put_name(struct name *to, Dwarf_Die *die, int depth)
{
    Dwarf_Die at = declaration_of(die), scope;
    const char *own = dwarf_diename(die);

    if (depth < NESTED_MAX && weft__debug_scope(&scope, &at)) {
        put_name(to, &scope, depth + 1);
        put(to, "::");
        if (dwarf_tag(&scope) == DW_TAG_subprogram && !to->is_type)
            put_local_scopes(to, &scope, dwarf_dieoffset(&at), depth + 1);
    }
    if (own != NULL)
        put(to, own);
    else
        put(to, dwarf_tag(&at) == DW_TAG_namespace ? "(anonymous namespace)" : "{unnamed type}");
}

const char *weft__die_linkage(Dwarf_Die *die)
{
    Dwarf_Attribute a;
    const char *name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_linkage_name, &a));

    return name != NULL ? name
                        : dwarf_formstring(dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &a));
}

bool weft__die_name(char *to, size_t size, Dwarf_Die *die)
{
    struct name name = {.text = to, .size = size};

    if (dwarf_diename(die) == NULL)
        return false;
    put_name(&name, die, 0);
    return true;
}
