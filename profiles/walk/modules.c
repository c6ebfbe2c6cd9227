/* SPDX-License-Identifier: MIT */
/* modules.c - the loaded files, as libdwfl wants them, and where their debug files are.
 *
 * Owns: the one Dwfl, and the list of the files of which rules or symbols were learned. Only the
 * symbolizer thread calls in, so there is no lock.
 *
 * A file is reported to the Dwfl when an address in it is first asked for.
 * (dwfl_linux_proc_report is not used: it takes libelf's own mappings of a library for the
 * library.)
 * Always:
 *   every module of the Dwfl is in the list; the list outlives the Dwfl, as rules and symbols do
 *   no two files in the list overlap
 *   a module's file has the build-id of what is in memory, so that a file that was replaced on disk
 *     gives no names rather than wrong ones
 *   debug files are looked for on this machine only; libdwfl's own callback would ask debuginfod */
#include "profiles/walk/images.h"
#include "profiles/walk/learn.h"
#include "profiles/walk/units.h"

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
#include <time.h>
#include <unistd.h>
#include <zlib.h>

/* A file of which rules or symbols may have been learned. */
struct known {
    struct known *next;
    struct weft__image image;
    char file[]; /* the memory of image.file */
};

static struct known *known;
static Dwfl *dwfl;
static time_t opened;     /* when dwfl was made, by seconds() */
static uint32_t requests; /* how many dwfl has served */
/* When the Dwfl is a minute old and has served REQUESTS, it is closed, and made again when it is
 * needed. libdw keeps all debug information that it has read, and continuous profiling asks for
 * ever new addresses. */
enum { REQUESTS = 64, MINUTE = 60 };
/* How often a call of libdw faulted. Each time its memory is lost, so after FALLS_MAX times it is
 * not asked any more. */
enum { FALLS_MAX = 50 };
static unsigned falls;

static bool has_build_id(Elf *elf, const char *want)
{
    const void *bits;
    ssize_t n = dwelf_elf_gnu_build_id(elf, &bits);
    char hex[WEFT__BUILD_ID_SIZE] = "";

    if (n > 0 && n <= (WEFT__BUILD_ID_SIZE - 1) / 2)
        weft__hex(hex, bits, (size_t)n);
    return strcmp(hex, want) == 0;
}

/* Returns whether a file has the checksum of a .gnu_debuglink. */
static bool has_crc(int fd, uint32_t want)
{
    unsigned char piece[16 << 10];
    uLong crc = crc32(0, NULL, 0);
    off_t at = 0;
    ssize_t n;

    for (; (n = pread(fd, piece, sizeof piece, at)) > 0; at += n)
        crc = crc32(crc, piece, (uInt)n);
    return n == 0 && crc == want;
}

/* Opens path if it is an ELF file with this build-id. Returns a descriptor, or -1. */
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

/* libdwfl's callback: opens the file of a module. Returns a descriptor, or -1. */
static int find_elf(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
                    char **file_name, Elf **elf)
{
    const struct known *k = *userdata;
    int fd;

    (void)mod;
    if (base == getauxval(AT_SYSINFO_EHDR)) {
        /* the vdso: there is no file, but all of it is in memory */
        *elf = elf_memory((char *)(uintptr_t)base, k->image.end - base);
        return -1;
    }
    fd = open_exactly(name, k->image.build_id);
    /* perhaps the program, which was rebuilt or deleted while it runs */
    if (fd < 0 && k->image.build_id[0] != '\0')
        fd = open_exactly("/proc/self/exe", k->image.build_id);
    if (fd < 0)
        return -1;
    *file_name = strdup(name); /* libdwfl opens a name that comes without a descriptor */
    return weft__uncompressed(fd);
}

/* How a module names its debug file. */
struct wanted {
    const char *id;   /* its build-id; "": it has none, and the checksum decides */
    const char *dir;  /* of the module's file */
    const char *link; /* the .gnu_debuglink's name, or NULL */
    uint32_t crc;     /* the .gnu_debuglink's checksum */
};

/* Opens path if it is the debug file that is wanted. Returns the descriptor, or -1. */
static int open_wanted(const char *path, const struct wanted *w)
{
    int fd = open_exactly(path, w->id);

    if (fd < 0 || w->id[0] != '\0' || has_crc(fd, w->crc))
        return fd;
    close(fd);
    return -1;
}

/* Looks for a debug file where Debian and gdb put them. Returns a descriptor, or -1; path then has
 * its name. */
static int open_debug(char *path, size_t size, const struct wanted *w)
{
    static const char *const places[] = {"%s/%s", "%s/.debug/%s", "/usr/lib/debug%s/%s"};
    int fd = -1;

    if (w->id[0] != '\0') {
        snprintf(path, size, "/usr/lib/debug/.build-id/%.2s/%s.debug", w->id, w->id + 2);
        fd = open_wanted(path, w);
    }
    for (size_t i = 0; fd < 0 && w->link != NULL && i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, size, places[i], w->dir, w->link);
        fd = open_wanted(path, w);
    }
    return fd;
}

/* libdwfl's callback: opens the debug file of a module. Returns a descriptor, or -1. */
static int find_debuginfo(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
                          const char *file_name, const char *link, GElf_Word crc, char **found)
{
    char dir[PATH_MAX], path[2 * PATH_MAX];
    const struct wanted wanted = {
        .id = ((const struct known *)*userdata)->image.build_id,
        .dir = dir,
        .link = link,
        .crc = crc,
    };
    char *slash;
    int fd;

    (void)mod, (void)name, (void)base;
    /* a link without a checksum names a dwz file, which libdw finds by itself */
    if (file_name == NULL || (link != NULL && crc == 0))
        return -1;
    snprintf(dir, sizeof dir, "%s", file_name);
    slash = strrchr(dir, '/');
    if (slash != NULL)
        *slash = '\0';
    fd = open_debug(path, sizeof path, &wanted);
    if (fd < 0)
        return -1;
    *found = strdup(path);
    return weft__uncompressed(fd);
}

/* Returns whether two files overlap, so that other, which was there before, is gone. */
static bool is_in_the_way(const struct weft__image *other, const struct weft__image *im)
{
    return other->start < im->end && im->start < other->end;
}

/* Reports a file to the Dwfl. Called between dwfl_report_begin and _end. Returns NULL if memory ran
 * out. */
static Dwfl_Module *report(struct known *k)
{
    Dwfl_Module *mod = dwfl_report_module(dwfl, k->file, k->image.start, k->image.end);
    void **userdata;

    if (mod == NULL)
        return NULL;
    dwfl_module_info(mod, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
    *userdata = k;
    return mod;
}

/* Forgets what points into modules, before libdw drops them. */
static void forget_indexes(void)
{
    weft__units_forget();
    weft__symtabs_forget();
}

/* Reports all files of the list again. That drops all other modules from the Dwfl. */
static void report_known(void)
{
    forget_indexes();
    dwfl_report_begin(dwfl);
    for (struct known *k = known; k != NULL; k = k->next)
        report(k);
    dwfl_report_end(dwfl, NULL, NULL);
}

/* Forgets the files for which which(image, arg) is true, with their rules and symbols. */
static void forget(bool (*which)(const struct weft__image *, const struct weft__image *),
                   const struct weft__image *arg)
{
    struct known *gone = NULL;

    for (struct known **at = &known, *k; (k = *at) != NULL;) {
        if (!which(&k->image, arg)) {
            at = &k->next;
            continue;
        }
        *at = k->next;
        k->next = gone;
        gone = k;
        weft__learned_forget(k->image.start, k->image.end);
    }
    if (gone != NULL && dwfl != NULL)
        report_known();
    for (struct known *k; (k = gone) != NULL;) {
        gone = k->next;
        free(k);
    }
}

static bool is_gone(const struct weft__image *im, const struct weft__image *unused)
{
    (void)unused;
    return weft__image_is_gone(im);
}

void weft__modules_check(void)
{
    forget(is_gone, NULL);
}

static struct known *known_at(uintptr_t addr)
{
    struct known *k = known;

    while (k != NULL && (addr < k->image.start || addr >= k->image.end))
        k = k->next;
    return k;
}

/* Finds the file that is loaded at addr in the list, or adds it. Returns NULL if there is none, or
 * if memory ran out. */
static struct known *know(uintptr_t addr)
{
    char name[PATH_MAX];
    struct weft__image im;
    struct known *k = known_at(addr);
    size_t size;

    if (k != NULL && weft__image_is_there(&k->image))
        return k;
    if (!weft__image_at(&im, name, addr))
        return NULL;
    forget(is_in_the_way, &im);
    size = strlen(name) + 1;
    k = malloc(sizeof *k + size);
    if (k == NULL)
        return NULL;
    k->image = im;
    k->image.file = memcpy(k->file, name, size);
    k->next = known;
    return known = k;
}

struct weft__image *weft__module_image(uintptr_t addr)
{
    struct known *k = know(addr);

    return k == NULL ? NULL : &k->image;
}

static time_t seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

/* Makes the Dwfl if there is none. Returns false if that fails. */
static bool begin(void)
{
    static const Dwfl_Callbacks callbacks = {.find_elf = find_elf,
                                             .find_debuginfo = find_debuginfo};

    if (dwfl != NULL)
        return true;
    dwfl = dwfl_begin(&callbacks);
    opened = seconds();
    requests = 0;
    return dwfl != NULL;
}

Dwfl_Module *weft__module_at(uintptr_t addr)
{
    struct known *k = know(addr);
    Dwfl_Module *mod;

    if (k == NULL || falls >= FALLS_MAX || !begin())
        return NULL;
    mod = dwfl_addrmodule(dwfl, addr);
    if (mod != NULL)
        return mod;
    dwfl_report_begin_add(dwfl);
    mod = report(k);
    dwfl_report_end(dwfl, NULL, NULL);
    return mod;
}

void weft__modules_close(void)
{
    forget_indexes();
    if (dwfl != NULL)
        dwfl_end(dwfl);
    dwfl = NULL;
}

void weft__modules_trim(void)
{
    if (dwfl != NULL && ++requests >= REQUESTS && seconds() - opened >= MINUTE)
        weft__modules_close();
}

void weft__modules_abandon(void)
{
    forget_indexes();
    dwfl = NULL;
    falls++;
}
