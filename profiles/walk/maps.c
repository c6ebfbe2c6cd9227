/* SPDX-License-Identifier: MIT */
/* maps.c - the executable mappings of this process, the build-ids of their files, and copies of
 * memory that may be gone.
 *
 * Owns nothing. Any thread may call in, with any lock held; no lock is taken. weft__maps_read calls
 * malloc; the others are async-signal-safe.
 * A build-id is read from memory, where the kernel or the loader mapped it. So it is that of the
 * code that runs, even if the file was replaced on disk. A file may be unloaded meanwhile, so its
 * memory is copied by a system call, which fails where a read would fault. */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/uio.h>
#include <unistd.h>

#include "profiles/walk/learn.h"

enum { PAGE = 4096, HEADERS = 64, NOTES = 1024 };

bool weft__peek(void *to, const void *from, size_t n)
{
    const struct iovec dst = {to, n}, src = {(void *)(uintptr_t)from, n};
    ssize_t got = process_vm_readv(getpid(), &dst, 1, &src, 1, 0);

    if (got < 0 &&
        (errno == ENOSYS || errno == EPERM)) { /* in a sandbox: take the risk of a fault */
        memcpy(to, from, n);
        return true;
    }
    return got == (ssize_t)n;
}

void weft__peek_string(char *to, const char *from, size_t size)
{
    size_t n = 0, left;

    while (n < size) {
        left = PAGE - (uintptr_t)(from + n) % PAGE; /* the next page may not be there */
        if (left > size - n)
            left = size - n;
        if (!weft__peek(to + n, from + n, left))
            break;
        if (memchr(to + n, '\0', left) != NULL)
            return;
        n += left;
    }
    to[0] = '\0';
}

void weft__hex(char *hex, const unsigned char *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *hex++ = digits[bytes[i] >> 4];
        *hex++ = digits[bytes[i] & 15];
    }
    *hex = '\0';
}

/* Looks for the GNU build-id in a copy of a segment of notes. Returns where it is in the copy, or
 * NULL. */
static const char *find_note(char *hex, const char *at, size_t size)
{
    while (size >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const void *)at;
        size_t name = (note->n_namesz + 3u) & ~3u, desc = (note->n_descsz + 3u) & ~3u;
        size_t whole = sizeof *note + name + desc;
        const char *owner = at + sizeof *note;

        if (whole > size)
            return NULL;
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
            memcmp(owner, "GNU", 4) == 0 && note->n_descsz <= (WEFT__BUILD_ID_SIZE - 1) / 2) {
            weft__hex(hex, (const unsigned char *)owner + name, note->n_descsz);
            return owner + name;
        }
        at += whole;
        size -= whole;
    }
    return NULL;
}

/* Finds the build-id in the segment of notes at `at`. Returns where it is; NULL if there is none.
 */
static const char *find_build_id(char *hex, const char *at, size_t size)
{
    _Alignas(ElfW(Nhdr)) char notes[NOTES];
    const char *found = NULL;

    if (size > sizeof notes)
        size = sizeof notes;
    if (weft__peek(notes, at, size))
        found = find_note(hex, notes, size);
    return found == NULL ? NULL : at + (found - notes);
}

const void *weft__build_id(char hex[WEFT__BUILD_ID_SIZE], const void *start)
{
    const char *bias = start, *found = NULL;
    ElfW(Ehdr) elf;
    ElfW(Phdr) ph[HEADERS];
    size_t n;

    hex[0] = '\0';
    if (!weft__peek(&elf, start, sizeof elf) || memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0)
        return NULL;
    n = elf.e_phnum < HEADERS ? elf.e_phnum : HEADERS;
    if (!weft__peek(ph, (const char *)start + elf.e_phoff, n * sizeof ph[0]))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (ph[i].p_type == PT_LOAD && ph[i].p_offset == 0)
            bias = (const char *)start - ph[i].p_vaddr;
    }
    for (size_t i = 0; i < n && found == NULL; i++) {
        if (ph[i].p_type == PT_NOTE)
            found = find_build_id(hex, bias + ph[i].p_vaddr, ph[i].p_memsz);
    }
    return found;
}

/* Reads a whole file, whose size is not known beforehand. Returns a string for free(); NULL if that
 * failed. */
static char *slurp(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t size = 1 << 14, n = 0;
    char *text = malloc(size), *grown;
    ssize_t got = 0;

    while (fd >= 0 && text != NULL && (got = read(fd, text + n, size - n - 1)) > 0) {
        n += (size_t)got;
        if (size - n > 1)
            continue;
        grown = realloc(text, size *= 2);
        if (grown == NULL)
            got = -1;
        if (grown == NULL)
            break;
        text = grown;
    }
    if (fd >= 0)
        close(fd);
    if (text == NULL || fd < 0 || got < 0) {
        free(text);
        return NULL;
    }
    text[n] = '\0';
    return text;
}

/* Parses a line of /proc/self/maps; m->file points into it. Returns false if the mapping is not
 * executable. */
static bool parse(struct weft__mapping *m, char *line)
{
    static const char deleted[] = " (deleted)";
    char perms[5];
    int path = 0;
    size_t n;

    if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %n", &m->start, &m->limit, perms, &m->offset, &path) <
            4 ||
        perms[2] != 'x' || path == 0)
        return false;
    n = strlen(line + path);
    if (n >= sizeof deleted && strcmp(line + path + n - (sizeof deleted - 1), deleted) == 0)
        line[(size_t)path + n - (sizeof deleted - 1)] = '\0';
    m->file = line + path;
    return true;
}

static void add_build_id(struct weft__mapping *m, char *room)
{
    struct dl_find_object o;

    room[0] = '\0';
    m->build_id = room;
    if (_dl_find_object((void *)m->start, &o) == 0)
        weft__build_id(room, o.dlfo_map_start);
}

/* Moves the mapping of the program's entry to the front. */
static void main_first(struct weft__mapping *m, size_t n)
{
    uintptr_t entry = getauxval(AT_ENTRY);

    for (size_t i = 1; i < n; i++) {
        struct weft__mapping it = m[i];
        if (entry < it.start || entry >= it.limit)
            continue;
        memmove(m + 1, m, i * sizeof *m);
        m[0] = it;
    }
}

/* Returns a copy of the list with the strings behind it, in one block of memory for free(). Returns
 * NULL if memory ran out. */
static struct weft__mapping *pack(const struct weft__mapping *found, size_t n)
{
    size_t size = n * (sizeof *found + WEFT__BUILD_ID_SIZE);
    struct weft__mapping *m;
    char *room;

    for (size_t i = 0; i < n; i++)
        size += strlen(found[i].file) + 1;
    m = malloc(size > 0 ? size : 1);
    if (m == NULL)
        return NULL;
    room = (char *)(m + n);
    for (size_t i = 0; i < n; i++) {
        m[i] = found[i];
        m[i].file = strcpy(room, found[i].file);
        room += strlen(room) + 1;
        add_build_id(&m[i], room);
        room += WEFT__BUILD_ID_SIZE;
    }
    main_first(m, n);
    return m;
}

struct weft__mapping *weft__maps_read(size_t *n)
{
    char *text = slurp("/proc/self/maps"), *rest = text, *line;
    struct weft__mapping *found = NULL, *grown, *m;

    *n = 0;
    while (text != NULL && (line = strsep(&rest, "\n")) != NULL) {
        if (*n % 64 == 0) {
            grown = realloc(found, (*n + 64) * sizeof *found);
            if (grown == NULL)
                break;
            found = grown;
        }
        *n += parse(&found[*n], line);
    }
    m = pack(found, *n);
    free(found);
    free(text);
    return m;
}
