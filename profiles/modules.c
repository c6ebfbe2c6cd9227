/* SPDX-License-Identifier: MIT */
/* modules.c - the loaded files, as libdwfl wants them, and where their debug files are.
 *
 * Owns: the one Dwfl. Only the symbolizer thread comes here; there is no lock.
 * A module is reported when an address in it is first asked for, found by _dl_find_object. That
 * takes no lock of the dynamic loader, where dl_iterate_phdr would deadlock with a constructor
 * that waits for the symbolizer inside dlopen. It is also why nothing must be told of dlopen.
 * (dwfl_linux_proc_report takes libelf's own mappings of a library for the library.)
 * Always:
 *   a module's file has the build-id of what is in memory, so that a file replaced on disk
 *     gives no names rather than wrong ones
 *   debug files are looked for on this machine only; the standard callback asks debuginfod
 */
#include "learn.h"

#include <dlfcn.h>
#include <elf.h>
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static Dwfl *dwfl;

static bool has_build_id(Elf *elf, const char *want)
{
    const void *bits;
    ssize_t n = dwelf_elf_gnu_build_id(elf, &bits);
    char hex[WEFT__BUILD_ID_SIZE] = "";

    if (n > 0 && n <= (WEFT__BUILD_ID_SIZE - 1) / 2)
        weft__hex(hex, bits, (size_t)n);
    return strcmp(hex, want) == 0;
}

/* Opens path if it is an ELF file with this build-id. */
static int open_exactly(const char *path, const char *build_id)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    Elf *elf;
    bool same;

    if (fd < 0)
        return -1;
    elf = elf_begin(fd, ELF_C_READ, NULL);
    same = elf != NULL && has_build_id(elf, build_id);
    elf_end(elf);
    if (same)
        return fd;
    close(fd);
    return -1;
}

static int find_elf(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
                    char **file_name, Elf **elf)
{
    char build_id[WEFT__BUILD_ID_SIZE];
    Dwarf_Addr end;
    int fd;

    (void)userdata;
    dwfl_module_info(mod, NULL, NULL, &end, NULL, NULL, NULL, NULL);
    if (base == getauxval(AT_SYSINFO_EHDR)) {
        /* The vdso is no file, but it is whole in memory. */
        *elf = elf_memory((char *)(uintptr_t)base, end - base);
        return -1;
    }
    weft__build_id(build_id, (const void *)(uintptr_t)base);
    fd = open_exactly(name, build_id);
    /* A program that was rebuilt or deleted while it runs. */
    if (fd < 0 && build_id[0] != '\0')
        fd = open_exactly("/proc/self/exe", build_id);
    if (fd >= 0)
        *file_name = strdup(name); /* libdwfl opens a name that comes without a descriptor */
    return fd;
}

/* Tries the places where Debian and gdb put debug files. dir is the directory of the module's file,
 * link its .gnu_debuglink name or NULL. */
static int open_debug(char *path, size_t size, const char *id, const char *dir, const char *link)
{
    static const char *const places[] = {"%s/%s", "%s/.debug/%s", "/usr/lib/debug%s/%s"};
    int fd;

    snprintf(path, size, "/usr/lib/debug/.build-id/%.2s/%s.debug", id, id + 2);
    fd = open_exactly(path, id);
    for (size_t i = 0; fd < 0 && link != NULL && i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, size, places[i], dir, link);
        fd = open_exactly(path, id);
    }
    return fd;
}

static int find_debuginfo(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
                          const char *file_name, const char *link, GElf_Word crc, char **found)
{
    char id[WEFT__BUILD_ID_SIZE], dir[PATH_MAX], path[2 * PATH_MAX];
    char *slash;
    int fd;

    (void)mod, (void)userdata, (void)name;
    weft__build_id(id, (const void *)(uintptr_t)base);
    /* A link without a checksum is a dwz file's, which libdw finds by itself. Without a build-id
     * nothing tells whether a debug file belongs to the module. */
    if (id[0] == '\0' || file_name == NULL || (link != NULL && crc == 0))
        return -1;
    snprintf(dir, sizeof dir, "%s", file_name);
    slash = strrchr(dir, '/');
    if (slash != NULL)
        *slash = '\0';
    fd = open_debug(path, sizeof path, id, dir, link);
    if (fd >= 0)
        *found = strdup(path);
    return fd;
}

static bool is_same(Dwfl_Module *mod, const struct dl_find_object *o, const char *name)
{
    char build_id[WEFT__BUILD_ID_SIZE];
    void **userdata;
    Dwarf_Addr start, end;
    const char *was = dwfl_module_info(mod, &userdata, &start, &end, NULL, NULL, NULL, NULL);

    weft__build_id(build_id, o->dlfo_map_start);
    return start == (uintptr_t)o->dlfo_map_start && strcmp(was, name) == 0 && *userdata != NULL &&
           strcmp(*userdata, build_id) == 0;
}

static Dwfl_Module *report(const struct dl_find_object *o, const char *name)
{
    char build_id[WEFT__BUILD_ID_SIZE];
    Dwfl_Module *mod;
    void **userdata;

    dwfl_report_begin_add(dwfl);
    mod = dwfl_report_module(dwfl, name, (uintptr_t)o->dlfo_map_start, (uintptr_t)o->dlfo_map_end);
    dwfl_report_end(dwfl, NULL, NULL);
    if (mod == NULL)
        return NULL;
    weft__build_id(build_id, o->dlfo_map_start);
    dwfl_module_info(mod, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
    *userdata = strdup(build_id);
    /* What was learned here before came from another file. */
    weft__learned_forget((uintptr_t)o->dlfo_map_start, (uintptr_t)o->dlfo_map_end);
    return mod;
}

/* The main program's name is empty in the loader's list. */
static const char *file_of(const struct dl_find_object *o, char *buf, size_t size)
{
    const char *name = o->dlfo_link_map->l_name;
    ssize_t n;

    if (name[0] != '\0')
        return name;
    n = readlink("/proc/self/exe", buf, size - 1);
    buf[n > 0 ? n : 0] = '\0';
    return buf;
}

Dwfl_Module *weft__module_at(uintptr_t addr)
{
    static const Dwfl_Callbacks callbacks = {.find_elf = find_elf,
                                             .find_debuginfo = find_debuginfo};
    char buf[PATH_MAX];
    struct dl_find_object o;
    Dwfl_Module *mod;
    const char *name;

    if (_dl_find_object((void *)addr, &o) != 0)
        return NULL;
    name = file_of(&o, buf, sizeof buf);
    if (dwfl != NULL && (mod = dwfl_addrmodule(dwfl, addr)) != NULL) {
        if (is_same(mod, &o, name))
            return mod;
        weft__modules_close(); /* something was unloaded, and this took its place */
    }
    if (dwfl == NULL && (dwfl = dwfl_begin(&callbacks)) == NULL)
        return NULL;
    return report(&o, name);
}

static int free_userdata(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
                         void *arg)
{
    (void)mod, (void)name, (void)base, (void)arg;
    free(*userdata);
    return DWARF_CB_OK;
}

void weft__modules_close(void)
{
    if (dwfl == NULL)
        return;
    dwfl_getmodules(dwfl, free_userdata, NULL, 0);
    dwfl_end(dwfl);
    dwfl = NULL;
}
