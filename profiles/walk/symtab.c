/* SPDX-License-Identifier: MIT */
/* symtab.c - finds the function at an address by the symbol table of its file.
 *
 * libdwfl goes through all symbols for each address: the first dump of 20,000 functions without
 * debug information took 22 s. So the functions of a file are sorted once, when an address in it is
 * first asked for. They take 24 bytes each, and stay as long as libdwfl knows the module. Symbols
 * without a size, and addresses between functions, are left to libdwfl.
 *
 * Owns: the sorted lists. Only the symbolizer thread calls in, so there is no lock. A list is
 * linked when it is complete, since libdw may fault while it is made (libdw_fault.h). */
#include "profiles/walk/units.h"

#include <stdlib.h>

/* A function, by its addresses in the process. */
struct entry {
    GElf_Addr lo, hi;
    int symbol; /* libdwfl's number; in libdwfl's order, globals stand before locals */
    bool is_local;
};

struct symtab {
    struct symtab *next;
    Dwfl_Module *mod;
    size_t n;
    struct entry list[]; /* by lo; of entries with the same lo the best comes first */
};

static struct symtab *symtabs;

static int compare_entries(const void *va, const void *vb)
{
    const struct entry *a = va, *b = vb;

    if (a->lo != b->lo)
        return a->lo < b->lo ? -1 : 1;
    if (a->is_local != b->is_local)
        return a->is_local - b->is_local;
    return a->symbol - b->symbol;
}

static bool is_function(const GElf_Sym *sym)
{
    unsigned type = GELF_ST_TYPE(sym->st_info);

    return sym->st_shndx != SHN_UNDEF && sym->st_size > 0 &&
           (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE);
}

/* Makes the list of a module. Returns NULL if memory ran out. */
static struct symtab *symtab_new(Dwfl_Module *mod)
{
    int n = dwfl_module_getsymtab(mod);
    struct symtab *t = malloc(sizeof(*t) + (n > 0 ? (size_t)n : 0) * sizeof(t->list[0]));
    GElf_Sym sym;
    GElf_Addr addr;

    if (t == NULL)
        return NULL;
    *t = (struct symtab){.mod = mod};
    for (int i = 0; i < n; i++) {
        if (dwfl_module_getsym_info(mod, i, &sym, &addr, NULL, NULL, NULL) == NULL ||
            !is_function(&sym))
            continue;
        t->list[t->n++] =
            (struct entry){addr, addr + sym.st_size, i, GELF_ST_BIND(sym.st_info) == STB_LOCAL};
    }
    qsort(t->list, t->n, sizeof(t->list[0]), compare_entries);
    t->next = symtabs;
    return symtabs = t;
}

static const struct symtab *symtab_of(Dwfl_Module *mod)
{
    const struct symtab *t = symtabs;

    while (t != NULL && t->mod != mod)
        t = t->next;
    return t != NULL ? t : symtab_new(mod);
}

void weft__symtabs_forget(void)
{
    struct symtab *t;

    while ((t = symtabs) != NULL) {
        symtabs = t->next;
        free(t);
    }
}

/* Returns the best function among those that begin last before addr; NULL if it ends before addr.
 */
static const struct entry *find(const struct symtab *t, GElf_Addr addr)
{
    size_t lo = 0, hi = t == NULL ? 0 : t->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (t->list[mid].lo <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    while (lo > 1 && t->list[lo - 2].lo == t->list[lo - 1].lo)
        lo--;
    return lo > 0 && addr < t->list[lo - 1].hi ? &t->list[lo - 1] : NULL;
}

const char *weft__symtab_find(Dwfl_Module *mod, GElf_Addr addr, GElf_Addr *begin)
{
    const struct entry *e = find(symtab_of(mod), addr);
    const char *name;
    GElf_Sym sym;
    GElf_Off off;

    if (e != NULL) {
        *begin = e->lo;
        return dwfl_module_getsym(mod, e->symbol, &sym, NULL);
    }
    name = dwfl_module_addrinfo(mod, addr, &off, &sym, NULL, NULL, NULL);
    if (name != NULL)
        *begin = addr - off;
    return name;
}
