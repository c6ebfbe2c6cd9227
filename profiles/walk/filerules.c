/* SPDX-License-Identifier: MIT */
/* filerules.c - learns all rules of a file from a copy of its .eh_frame, as rows (rows.h).
 *
 * Owns: the list of files to learn, and the file that is being learned. Symbolizer thread only.
 *
 * .eh_frame is read by ehframe.c and not by libdw: that needs no file on disk, and takes a third of
 * the time. The tests hold both against each other, and against libunwind. A file may be unloaded
 * at any time, so the copy is made by a system call, and the rows count only if the file is still
 * there, with the same bytes, when they are done. Two kinds of code are left to libdw, PC by PC:
 * that of a file that is too large, and that which only a .debug_frame describes.
 *
 * The symbolizer does this between requests, in pieces (weft__files_work), so no request waits for
 * more than a piece. A thread of lower priority would do it while the machine is idle, but could
 * not hurry once a dump or a profile waits for it. */
#include "profiles/walk/filerules.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "profiles/walk/ehframe.h"
#include "profiles/walk/images.h"
#include "profiles/walk/rows.h"

enum { PIECE = 128 }; /* functions, of some ten rows each */

static struct weft__places wanted; /* those from next on are to be learned */
static size_t next;

/* The file that is being learned; cfi.n > 0 says that there is one. */
static struct {
    uintptr_t start, end;
    struct weft__cfi cfi;
    uint32_t function; /* the next of cfi */
    uint32_t n, room;  /* rows */
    uint32_t *offsets;
    uint16_t *ids;
    bool asks_libdw; /* for code that .eh_frame does not describe: the file has a .debug_frame */
    bool failed;     /* memory ran out, or there are too many rows */
} job;

void weft__files_want(struct weft__places *places)
{
    free(wanted.at);
    wanted = *places;
    *places = (struct weft__places){NULL, 0};
    next = 0;
}

static void job_end(void)
{
    weft__cfi_free(&job.cfi);
    free(job.offsets);
    free(job.ids);
    memset(&job, 0, sizeof job);
}

void weft__files_leave(void)
{
    job_end();
    weft__files_want(&(struct weft__places){NULL, 0});
}

/* Returns where the header of the file's .eh_frame is; NULL if it has none, or is gone. */
static const void *header_of(uintptr_t start, uintptr_t end)
{
    struct dl_find_object o;

    if (_dl_find_object((void *)start, &o) != 0 || (uintptr_t)o.dlfo_map_start != start ||
        (uintptr_t)o.dlfo_map_end != end)
        return NULL;
    return o.dlfo_eh_frame;
}

/* Makes room for one more row. Returns false if there is none. */
static bool make_room(void)
{
    uint32_t room = job.room == 0 ? 1024 : job.room * 2;
    uint32_t *offsets;
    uint16_t *ids;

    if (job.n < job.room)
        return true;
    if (room > WEFT__ROWS_MOST)
        return false;
    offsets = realloc(job.offsets, room * sizeof *offsets);
    if (offsets != NULL)
        job.offsets = offsets;
    ids = realloc(job.ids, room * sizeof *ids);
    if (ids != NULL)
        job.ids = ids;
    if (offsets == NULL || ids == NULL)
        return false;
    job.room = room;
    return true;
}

static void add_row(void *arg, uintptr_t pc, const struct weft__rule *r)
{
    bool leave = r == NULL || (job.asks_libdw && (r->flags & WEFT__RULE_NONE));
    uint16_t id = leave ? 0 : weft__rule_id(r);
    uint32_t offset = (uint32_t)(pc - job.start);

    (void)arg;
    if (pc < job.start || pc > job.end || (job.n > 0 && offset < job.offsets[job.n - 1]))
        return;
    if (job.n > 0 && offset == job.offsets[job.n - 1])
        job.n--; /* the end of a function where the next begins */
    if (job.n > 0 && id == job.ids[job.n - 1])
        return;
    job.failed |= !make_room();
    if (job.failed)
        return;
    job.offsets[job.n] = offset;
    job.ids[job.n++] = id;
}

/* Returns whether a file on disk has a section of this name. */
static bool has_section(const char *file, const char *name)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    Elf *elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
    const char *found = NULL;
    size_t names;

    for (Elf_Scn *s = NULL;
         elf != NULL && elf_getshdrstrndx(elf, &names) == 0 && (s = elf_nextscn(elf, s)) != NULL;) {
        GElf_Shdr header;
        found = gelf_getshdr(s, &header) == NULL ? NULL : elf_strptr(elf, names, header.sh_name);
        if (found != NULL && strcmp(found, name) == 0)
            break;
        found = NULL;
    }
    elf_end(elf);
    if (fd >= 0)
        close(fd);
    return found != NULL;
}

/* Begins with the file at addr, unless it is learned. */
static void job_begin(uintptr_t addr)
{
    struct weft__image *im = weft__module_image(addr);
    const void *header;

    if (im == NULL || im->has_rows)
        return;
    header = header_of(im->start, im->end);
    if (header == NULL || im->end - im->start > UINT32_MAX || !weft__cfi_copy(&job.cfi, header)) {
        im->has_rows = true;
        return;
    }
    job.start = im->start;
    job.end = im->end;
    job.asks_libdw = has_section(im->file, ".debug_frame");
    if (job.asks_libdw)
        add_row(NULL, job.start, NULL);
}

/* Publishes the rows if the file is still there. */
static void job_publish(void)
{
    struct weft__image *im = weft__module_image(job.start);

    if (im == NULL || header_of(job.start, job.end) != (const void *)job.cfi.header ||
        !weft__cfi_is_there(&job.cfi))
        return;
    im->has_rows = true;
    if (!job.failed)
        weft__rows_publish(job.start, job.end, job.offsets, job.ids, job.n);
}

void weft__files_want_one(uintptr_t addr)
{
    const struct weft__image *im = weft__module_image(addr);
    uintptr_t *grown;

    if (im == NULL || im->has_rows || (job.cfi.n > 0 && im->start == job.start))
        return;
    for (size_t i = next; i < wanted.n; i++) {
        if (wanted.at[i] >= im->start && wanted.at[i] < im->end)
            return;
    }
    grown = realloc(wanted.at, (wanted.n + 1) * sizeof *grown);
    if (grown == NULL)
        return;
    wanted.at = grown;
    wanted.at[wanted.n++] = addr;
}

bool weft__files_work(void)
{
    if (job.cfi.n == 0) {
        if (next < wanted.n)
            job_begin(wanted.at[next++]);
        return next < wanted.n || job.cfi.n > 0;
    }
    for (int i = 0; i < PIECE && job.function < job.cfi.n && !job.failed; i++)
        weft__cfi_rows(&job.cfi, job.function++, add_row, NULL);
    if (job.function < job.cfi.n && !job.failed)
        return true;
    job_publish();
    job_end();
    return next < wanted.n;
}
