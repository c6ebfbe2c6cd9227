/* SPDX-License-Identifier: MIT */
/* core.c - a core: memory by its segments and the files that its notes name, registers by its
 * notes.
 *
 * Owns nothing but the target that it is given, which maps the core. A core may be cut or damaged:
 * each offset is checked against the size of the file, and what is not there cannot be read. */
#include "tools/dump/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };

struct segment {
    uint64_t at, size;   /* in memory */
    uint64_t file, held; /* offset in the core, and how many bytes it has */
};

struct thread {
    int tid;
    struct registers regs;
};

/* Returns n bytes of the core; NULL if it does not have them. */
static const void *bytes(const struct target *t, uint64_t offset, uint64_t n)
{
    return offset <= t->core_size && n <= t->core_size - offset ? t->core + offset : NULL;
}

static const struct segment *segment_of(const struct target *t, uint64_t at)
{
    size_t lo = 0, hi = t->n_segments;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (t->segments[mid].at + t->segments[mid].size <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < t->n_segments && t->segments[lo].at <= at ? &t->segments[lo] : NULL;
}

/* Reads from the file that was mapped at an address. Returns how many bytes it read. */
static size_t read_file(struct target *t, uint64_t at, void *to, size_t n)
{
    struct mapping *m = (struct mapping *)(uintptr_t)target_mapping(t, at);
    ssize_t got;

    if (!m || m->fd == -2)
        return 0;
    if (m->fd == -1 && (m->fd = open(m->path, O_RDONLY | O_CLOEXEC)) < 0) {
        m->fd = -2;
        target_breaks(t, "%s, which it needs: %s", m->path, strerror(errno));
        return 0;
    }
    if (n > m->end - at)
        n = (size_t)(m->end - at);
    got = pread(m->fd, to, n, (off_t)(m->offset + (at - m->start)));
    if (got > 0 && (size_t)got < n) { /* behind the file's end in its last page */
        memset((char *)to + got, 0, n - (size_t)got);
        got = (ssize_t)n;
    }
    return got > 0 ? (size_t)got : 0;
}

/* Reads the first of n bytes, as far as one segment has them. Returns how many it read. */
static size_t read_some(struct target *t, uint64_t at, void *to, size_t n)
{
    const struct segment *s = segment_of(t, at);
    const void *from;

    if (!s || at - s->at >= s->held)
        return read_file(t, at, to, n);
    if (n > s->held - (at - s->at))
        n = (size_t)(s->held - (at - s->at));
    from = bytes(t, s->file + (at - s->at), n);
    if (!from)
        return 0;
    memcpy(to, from, n);
    return n;
}

static bool read_core(struct target *t, uint64_t at, void *to, size_t n)
{
    for (size_t got; n > 0; n -= got, at += got, to = (char *)to + got) {
        got = read_some(t, at, to, n);
        if (got == 0)
            return false;
    }
    return true;
}

static bool registers_core(struct target *t, int tid, struct registers *r)
{
    for (size_t i = 0; i < t->n_threads; i++) {
        if (t->threads[i].tid == tid) {
            *r = t->threads[i].regs;
            return true;
        }
    }
    return false;
}

static void add_thread(struct target *t, const char *desc, size_t size)
{
    struct elf_prstatus status;
    struct user_regs_struct regs;
    struct thread *bigger = realloc(t->threads, (t->n_threads + 1) * sizeof(*bigger));

    if (!bigger)
        return;
    t->threads = bigger;
    if (size < sizeof(status))
        return;
    memcpy(&status, desc, sizeof(status));
    memcpy(&regs, status.pr_reg, sizeof(regs));
    t->threads[t->n_threads++] = (struct thread){status.pr_pid, target_registers_of(&regs)};
}

/* Adds the mappings of a note of files: their number, the size of a page, start, end and offset of
 * each, then the paths. */
static void add_files(struct target *t, const char *desc, size_t size)
{
    const char *end = desc + size, *path;
    uint64_t head[2], m[3];

    if (size < sizeof(head))
        return;
    memcpy(head, desc, sizeof(head));
    desc += sizeof(head);
    if (head[0] > (size - sizeof(head)) / sizeof(m))
        return;
    path = desc + head[0] * sizeof(m);
    for (uint64_t i = 0; i < head[0]; i++, desc += sizeof(m)) {
        const char *next = memchr(path, 0, (size_t)(end - path));

        memcpy(m, desc, sizeof(m));
        if (!next || !target_add_mapping(t, &(struct mapping){m[0], m[1], m[2] * head[1],
                                                              (char *)(uintptr_t)path, -1}))
            return;
        path = next + 1;
    }
}

static void read_notes(struct target *t, const Elf64_Phdr *p)
{
    uint64_t at = p->p_offset, end = p->p_offset + p->p_filesz;
    const Elf64_Nhdr *note;

    while (at + sizeof(*note) <= end && (note = bytes(t, at, sizeof(*note)))) {
        uint64_t desc = at + sizeof(*note) + ((note->n_namesz + UINT64_C(3)) & ~UINT64_C(3));
        const char *data = bytes(t, desc, note->n_descsz);

        if (!data)
            break;
        if (note->n_type == NT_PRSTATUS)
            add_thread(t, data, note->n_descsz);
        else if (note->n_type == NT_FILE)
            add_files(t, data, note->n_descsz);
        at = desc + ((note->n_descsz + UINT64_C(3)) & ~UINT64_C(3));
    }
    if (at < end)
        target_breaks(t, "its notes end at byte %lu of %lu", at, end);
}

static int by_address(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;

    return (x->at > y->at) - (x->at < y->at);
}

static int by_start(const void *a, const void *b)
{
    const struct mapping *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

static void read_header(struct target *t, const Elf64_Phdr *p, uint64_t *needs)
{
    if (p->p_type == PT_NOTE)
        read_notes(t, p);
    if (p->p_type == PT_LOAD)
        t->segments[t->n_segments++] =
            (struct segment){p->p_vaddr, p->p_memsz, p->p_offset, p->p_filesz};
    if (p->p_offset + p->p_filesz > *needs)
        *needs = p->p_offset + p->p_filesz;
}

/* Reads the headers. Returns false if they are not those of a core. */
static bool read_headers(struct target *t)
{
    const Elf64_Ehdr *e = bytes(t, 0, sizeof(*e));
    const Elf64_Shdr *first;
    uint64_t n, needs = 0;
    const Elf64_Phdr *p;

    if (!e || memcmp(e->e_ident, ELFMAG, SELFMAG) != 0 || e->e_type != ET_CORE)
        return false;
    n = e->e_phnum;
    if (n == PN_XNUM && (first = bytes(t, e->e_shoff, sizeof(*first))))
        n = first->sh_info;
    if (e->e_phentsize != sizeof(*p) || !(p = bytes(t, e->e_phoff, n * sizeof(*p)))) {
        target_breaks(t, "its headers are not whole");
        return true;
    }
    t->segments = calloc(n + 1, sizeof(*t->segments));
    for (uint64_t i = 0; t->segments && i < n; i++)
        read_header(t, &p[i], &needs);
    if (needs > t->core_size)
        target_breaks(t, "it ends at byte %zu of %lu", t->core_size, needs);
    return true;
}

/* Forgets where the sections are in the first page of a file of ELF, which strip changes. */
static void forget_sections(char *page)
{
    Elf64_Ehdr *e = (Elf64_Ehdr *)page;

    e->e_shoff = 0;
    e->e_shnum = e->e_shstrndx = 0;
}

/* Returns whether the file of a mapping, if it is one of ELF and can be read, begins as the core
 * says: a core has the first page, with the headers and the build id. */
static bool is_same_file(const struct target *t, const struct mapping *m)
{
    const struct segment *s = segment_of(t, m->start);
    const char *held = s && s->held >= PAGE ? bytes(t, s->file, PAGE) : NULL;
    _Alignas(Elf64_Ehdr) char now[PAGE], then[PAGE];
    ssize_t n;
    int fd;

    if (!held || s->at != m->start || memcmp(held, ELFMAG, SELFMAG) != 0)
        return true;
    fd = open(m->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    n = pread(fd, now, PAGE, 0);
    close(fd);
    memcpy(then, held, PAGE);
    forget_sections(then);
    forget_sections(now);
    return n < (ssize_t)sizeof(Elf64_Ehdr) || memcmp(now, then, (size_t)n) == 0;
}

/* Leaves out files that were replaced since: a reader would take their code for the program's. */
static void drop_others(struct target *t)
{
    for (size_t i = 0; i < t->n_maps; i++) {
        if (t->maps[i].offset != 0 || t->maps[i].fd == -2 || is_same_file(t, &t->maps[i]))
            continue;
        target_breaks(t, "%s is not the file that the process ran", t->maps[i].path);
        for (size_t k = 0; k < t->n_maps; k++) {
            if (strcmp(t->maps[k].path, t->maps[i].path) == 0)
                t->maps[k].fd = -2;
        }
    }
}

/* Puts the program's file in the place of the one that the core names. The main program is the
 * first that is mapped. */
static void replace_program(struct target *t, const char *program)
{
    char *old = t->n_maps > 0 ? t->maps[0].path : NULL;

    for (size_t i = t->n_maps; old && i-- > 0;) {
        if (strcmp(t->maps[i].path, old) == 0)
            t->maps[i].path = strdup(program);
    }
}

int target_core(struct target *t, const char *path, const char *program)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    *t = (struct target){.read = read_core, .registers = registers_core, .memory = -1};
    if (fd < 0 || fstat(fd, &st) != 0) {
        target_breaks(t, "%s", strerror(errno));
        return -1;
    }
    t->core_size = (size_t)st.st_size;
    t->core = mmap(NULL, t->core_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (t->core == MAP_FAILED || !read_headers(t)) {
        target_breaks(t, "it is no core");
        return -1;
    }
    if (program)
        replace_program(t, program);
    if (t->n_segments > 0)
        qsort(t->segments, t->n_segments, sizeof(*t->segments), by_address);
    if (t->n_maps > 0)
        qsort(t->maps, t->n_maps, sizeof(*t->maps), by_start);
    drop_others(t);
    return 0;
}
