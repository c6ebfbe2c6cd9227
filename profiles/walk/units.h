/* SPDX-License-Identifier: MIT */
/* units.h - finds the debug information, the symbol and the name of an address, for names.c.
 *
 * The symbolizer thread alone may call these functions: they ask libdw. */
#ifndef WEFT_UNITS_H
#define WEFT_UNITS_H

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <stdbool.h>

/* The debug information of an address. All DIEs are libdw's, and stay as long as the module. */
struct weft__debug {
    Dwarf_Addr bias;    /* to add to an address of the DIEs for one of the process */
    Dwarf_Die lines;    /* the unit with the lines */
    Dwarf_Die unit;     /* the unit with the functions: the same, or one in a .dwo file */
    Dwarf_Die function; /* the function whose code holds the address, if has_function */
    bool has_function;
    bool has_scopes;  /* the unit's language has namespaces and methods */
    bool is_entry;    /* the part of its code that holds the address has its first instruction */
    Dwarf_Addr begin; /* of the part that holds the address */
};

/* Finds the debug information of addr, an address in the process. Returns false if there is none,
 * or if mod is NULL. */
bool weft__debug_find(struct weft__debug *out, Dwfl_Module *mod, Dwarf_Addr addr);

/* Finds the namespace, type or function that a DIE is directly in. For a DIE anywhere inside a
 * function that is the function. Returns false if it is in none. */
bool weft__debug_scope(Dwarf_Die *scope, Dwarf_Die *die);

/* dienames.c. Returns the name by which the linker knows a function, or NULL. */
const char *weft__die_linkage(Dwarf_Die *die);
/* Writes a function's name with its scopes, cut to size. Returns false if it has no name. */
bool weft__die_name(char *to, size_t size, Dwarf_Die *die);

/* Forgets all units. Called before libdw drops a module. */
void weft__units_forget(void);

/* symtab.c. Returns the name that the symbol table has for the function at addr, and in begin where
 * the function begins; NULL if there is none. */
const char *weft__symtab_find(Dwfl_Module *mod, GElf_Addr addr, GElf_Addr *begin);
/* Forgets all symbol tables. Called before libdw drops a module. */
void weft__symtabs_forget(void);

/* uncompressed.c. Returns the descriptor of a file in memory with fd's sections uncompressed, and
 * closes fd. Returns fd if zlib has compressed none of them, or if that fails. */
int weft__uncompressed(int fd);

#endif
