/* SPDX-License-Identifier: MIT */
/* elfnames.c - see elfnames.h. Owns no state but the main program's path.
 *
 * Nothing is prepared beforehand: the symbol table of a file is gone through when a fault is
 * reported. That takes some milliseconds for 100,000 symbols, and no memory before. A file that was
 * replaced on disk has another build-id than the loaded one, and gives no names. */
#include "profiles/walk/elfnames.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profiles/walk/learn.h"

/* An ELF file as it lies on disk. */
struct image {
    const char *at;
    size_t size;
};

/* A symbol table of a file, and its names. */
struct symbols {
    const ElfW(Sym) * syms;
    size_t n;
    const char *names;
    size_t names_size;
};

/* Returns whether the file has n bytes at off. */
static bool holds(const struct image *im, size_t off, size_t n)
{
    return off <= im->size && n <= im->size - off;
}

static bool is_elf(const struct image *im)
{
    const ElfW(Ehdr) *elf = (const void *)im->at;

    return holds(im, 0, sizeof *elf) && memcmp(elf->e_ident, ELFMAG, SELFMAG) == 0 &&
           elf->e_shentsize == sizeof(ElfW(Shdr)) &&
           holds(im, elf->e_shoff, (size_t)elf->e_shnum * sizeof(ElfW(Shdr)));
}

/* Maps a file; im->at is NULL if that fails. */
static void map_file(struct image *im, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *at = MAP_FAILED;

    *im = (struct image){NULL, 0};
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0)
        at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    if (at != MAP_FAILED)
        *im = (struct image){at, (size_t)st.st_size};
}

/* Returns whether the file has the build-id of the module that is loaded at start. A file's notes
 * are in its first segment, at the same distance from its beginning on disk as in memory. */
static bool is_same(const struct image *im, const void *start)
{
    char ours[WEFT__BUILD_ID_SIZE], theirs[WEFT__BUILD_ID_SIZE];

    weft__build_id(ours, start);
    weft__build_id(theirs, im->at);
    return strcmp(ours, theirs) == 0;
}

/* Finds the first section of a type (SHT_SYMTAB or SHT_DYNSYM). Returns false if there is none, or
 * if it is not whole. */
static bool find_table(struct symbols *to, const struct image *im, unsigned type)
{
    const ElfW(Ehdr) *elf = (const void *)im->at;
    const ElfW(Shdr) *sections = (const void *)(im->at + elf->e_shoff);

    for (size_t i = 0; i < elf->e_shnum; i++) {
        const ElfW(Shdr) *s = &sections[i], *strings;

        if (s->sh_type != type || s->sh_link >= elf->e_shnum)
            continue;
        strings = &sections[s->sh_link];
        if (!holds(im, s->sh_offset, s->sh_size) ||
            !holds(im, strings->sh_offset, strings->sh_size) || strings->sh_size == 0)
            return false;
        *to = (struct symbols){.syms = (const void *)(im->at + s->sh_offset),
                               .n = s->sh_size / sizeof(ElfW(Sym)),
                               .names = im->at + strings->sh_offset,
                               .names_size = strings->sh_size};
        return true;
    }
    return false;
}

static bool is_function(const ElfW(Sym) * s)
{
    unsigned type = s->st_info & 0xf;

    return s->st_shndx != SHN_UNDEF &&
           (type == STT_FUNC || type == STT_GNU_IFUNC || (type == STT_NOTYPE && s->st_size > 0));
}

/* Takes a symbol for p if it holds pc and is better than the best so far: it begins nearer, or is
 * visible to other files. pc is p's address in the file's own addresses. */
static void offer(struct weft__location *p, const struct symbols *from, const ElfW(Sym) * s,
                  uintptr_t pc)
{
    uintptr_t offset = pc - s->st_value;
    bool is_local = s->st_info >> 4 == STB_LOCAL;

    if (pc < s->st_value || (offset >= s->st_size && offset > 0) || s->st_name >= from->names_size)
        return;
    if (p->name && (offset > p->offset || (offset == p->offset && is_local)))
        return;
    p->name = from->names + s->st_name;
    p->offset = offset;
}

/* Names those of the locations that are in the file loaded at o. */
static void name_all(const struct symbols *from, const struct dl_find_object *o,
                     struct weft__location *locations, size_t n)
{
    uintptr_t start = (uintptr_t)o->dlfo_map_start, end = (uintptr_t)o->dlfo_map_end;
    uintptr_t bias = o->dlfo_link_map->l_addr, low = UINTPTR_MAX, high = 0;

    for (size_t i = 0; i < n; i++) {
        uintptr_t pc = locations[i].addr - bias;

        if (locations[i].addr < start || locations[i].addr >= end)
            continue;
        low = pc < low ? pc : low;
        high = pc > high ? pc : high;
    }
    for (size_t k = 0; k < from->n; k++) {
        const ElfW(Sym) *s = &from->syms[k];

        if (s->st_value > high || s->st_value + s->st_size < low || !is_function(s))
            continue;
        for (size_t i = 0; i < n; i++) {
            if (locations[i].addr >= start && locations[i].addr < end)
                offer(&locations[i], from, s, locations[i].addr - bias);
        }
    }
}

/* Returns the path of a module's file, and stores its name for the report. */
static const char *path_of(const struct link_map *map, const char **name)
{
    static char self[4096];
    const char *path = map->l_name, *slash;
    ssize_t n;

    if (path[0] == '\0') {
        n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n > 0 ? n : 0] = '\0';
        *name = (slash = strrchr(self, '/')) ? slash + 1 : self;
        return "/proc/self/exe"; /* can be opened even if the file was deleted */
    }
    *name = (slash = strrchr(path, '/')) ? slash + 1 : path;
    return path;
}

/* Finds symbols: in the file's own .symtab, else in that of the debug file installed under its
 * build-id, else in .dynsym. Returns false if there are none, or if the file at path is not the one
 * that is loaded. */
static bool find_symbols(struct symbols *to, const char *path, const void *start)
{
    char id[WEFT__BUILD_ID_SIZE], debug[WEFT__BUILD_ID_SIZE + 64];
    struct image own, other;

    map_file(&own, path);
    if (!own.at || !is_elf(&own) || !is_same(&own, start))
        return false;
    if (find_table(to, &own, SHT_SYMTAB))
        return true;
    weft__build_id(id, start);
    snprintf(debug, sizeof debug, "/usr/lib/debug/.build-id/%.2s/%s.debug", id,
             id[0] != '\0' ? id + 2 : "");
    map_file(&other, debug);
    return (other.at && is_elf(&other) && find_table(to, &other, SHT_SYMTAB)) ||
           find_table(to, &own, SHT_DYNSYM);
}

/* Names all locations that are in the same file as locations[0], which is loaded at o. */
static void find_in_file(struct weft__location *locations, size_t n, const struct dl_find_object *o)
{
    const char *name, *path = path_of(o->dlfo_link_map, &name);
    struct symbols symbols;

    for (size_t i = 0; i < n; i++) {
        if (locations[i].addr < (uintptr_t)o->dlfo_map_start ||
            locations[i].addr >= (uintptr_t)o->dlfo_map_end)
            continue;
        locations[i].file = name;
        locations[i].position = locations[i].addr - o->dlfo_link_map->l_addr;
    }
    if (find_symbols(&symbols, path, o->dlfo_map_start))
        name_all(&symbols, o, locations, n);
}

void weft__locations_find(struct weft__location *locations, size_t n)
{
    struct dl_find_object o;

    for (size_t i = 0; i < n; i++)
        locations[i] = (struct weft__location){.addr = locations[i].addr};
    for (size_t i = 0; i < n; i++) {
        if (!locations[i].file && _dl_find_object((void *)locations[i].addr, &o) == 0)
            find_in_file(locations + i, n - i, &o);
    }
}
