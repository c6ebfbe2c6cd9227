/* SPDX-License-Identifier: MIT */
/* names.c - see names.h. Owns libdw's view of the program's files.
 *
 * The renderers call weft__symbolize. In the library the symbolizer's thread serves that, for the
 * process itself; here it is served for the target, by the same function that makes symbols
 * (profiles/walk/names.c). So a frame reads the same in a dump of either. */
#include "tools/dump/names.h"

#include "profiles/walk/learn.h"
#include "profiles/walk/libdw_fault.h"

#include <elfutils/libdwfl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static Dwfl *dwfl;

/* Reports a file under its load address. A file that cannot be opened, or is not the one that made
 * the core, gives its frames no names. A live process may have another root, and its program may
 * have been replaced since it began. */
static void report(const struct program *p, const struct file *f)
{
    const struct mapping *m = target_mapping(p->target, f->start);
    char path[4200];

    if (f->path[0] == '[' || !m || m->fd == -2)
        return;
    snprintf(path, sizeof(path), "%s", f->path);
    if (p->target->pid)
        snprintf(path, sizeof(path), "/proc/%d/root%s", p->target->pid, f->path);
    if (p->target->pid && access(path, R_OK) != 0 && f == p->files)
        snprintf(path, sizeof(path), "/proc/%d/exe", p->target->pid);
    dwfl_report_elf(dwfl, f->path, path, -1, f->bias, true);
}

bool names_open(const struct program *p)
{
    static char *paths; /* of debug information; NULL: libdw's usual ones */
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_build_id_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
        .debuginfo_path = &paths,
    };

    unsetenv("DEBUGINFOD_URLS"); /* no network */
    dwfl = dwfl_begin(&callbacks);
    if (!dwfl)
        return false;
    for (size_t i = 0; i < p->n_files; i++)
        report(p, &p->files[i]);
    dwfl_report_end(dwfl, NULL, NULL);
    return true;
}

const struct weft__symbol *weft__symbolize(uintptr_t addr)
{
    const struct weft__symbol *s = weft__symbol_make(dwfl_addrmodule(dwfl, addr), addr);

    if (!s)
        weft__libdw_no_memory();
    return s;
}

void weft__libdw_no_memory(void)
{
    fputs("weft-dump: out of memory\n", stderr);
    exit(1);
}
