/* SPDX-License-Identifier: MIT */
/* program.c - see program.h. Reads program headers and notes in the target's memory, so the files
 * themselves may be gone. Owns nothing but the program that it is given. */
#include "tools/dump/program.h"

#include "runtime/run/layout.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

struct search {
    struct program *p;
    uint64_t table; /* its address, 0: not found yet */
};

/* Looks for the note in a segment of notes. */
static void look_at_notes(struct search *s, uint64_t at, uint64_t end)
{
    Elf64_Nhdr note;
    char name[8] = "";
    uint64_t distance;

    for (; at + sizeof(note) < end;) {
        uint64_t desc;

        if (!s->p->target->read(s->p->target, at, &note, sizeof(note)))
            return;
        desc = at + sizeof(note) + ((note.n_namesz + UINT64_C(3)) & ~UINT64_C(3));
        if (note.n_type == WEFT__LAYOUT_NOTE && note.n_namesz == 5 && note.n_descsz == 8 &&
            s->p->target->read(s->p->target, at + sizeof(note), name, sizeof(name)) &&
            strcmp(name, "weft") == 0 && target_word(s->p->target, desc, &distance))
            s->table = desc + distance;
        at = desc + ((note.n_descsz + UINT64_C(3)) & ~UINT64_C(3));
    }
}

static void look_at_header(struct search *s, struct file *f, const Elf64_Phdr *p)
{
    uint64_t at = f->bias + p->p_vaddr;

    if (p->p_type == PT_LOAD && at + p->p_memsz > f->end)
        f->end = at + p->p_memsz;
    if (p->p_type == PT_GNU_EH_FRAME)
        f->eh_frame = at;
    if (p->p_type == PT_NOTE && p->p_memsz < 1 << 20)
        look_at_notes(s, at, at + p->p_memsz);
}

/* Returns whether one mapping holds the last of several segments. Then a program reads the file
 * there, such as libdw in weft itself, and has not loaded it. */
static bool is_read_only(const struct mapping *m, const Elf64_Phdr *ph, size_t n)
{
    const Elf64_Phdr *last = NULL;
    size_t loads = 0;

    for (size_t i = 0; i < n; i++) {
        if (ph[i].p_type == PT_LOAD) {
            last = &ph[i];
            loads++;
        }
    }
    return loads == 0 || (loads > 1 && m->end - m->start >= last->p_offset + last->p_filesz);
}

/* Adds the file whose first bytes are mapped here, if it is one of ELF. */
static bool add_file(struct search *s, const struct mapping *m)
{
    struct program *p = s->p;
    struct file *bigger, f = {.start = m->start, .bias = m->start, .path = m->path};
    Elf64_Ehdr e;
    Elf64_Phdr ph[64];
    size_t n;

    if (!p->target->read(p->target, m->start, &e, sizeof(e)) ||
        memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 || e.e_phentsize != sizeof(*ph))
        return true;
    n = e.e_phnum < 64 ? e.e_phnum : 64;
    if (!p->target->read(p->target, m->start + e.e_phoff, ph, n * sizeof(*ph)) ||
        is_read_only(m, ph, n))
        return true;
    for (size_t i = 0; i < n; i++) {
        if (ph[i].p_type == PT_LOAD) {
            f.bias = m->start - (ph[i].p_vaddr & ~UINT64_C(4095));
            break;
        }
    }
    for (size_t i = 0; i < n; i++)
        look_at_header(s, &f, &ph[i]);
    bigger = realloc(p->files, (p->n_files + 1) * sizeof(*bigger));
    if (!bigger)
        return false;
    p->files = bigger;
    p->files[p->n_files++] = f;
    return true;
}

static const char *const names[] = {
#define XX(name) #name,
    PROGRAM_ENTRIES(XX)
#undef XX
};

/* Returns whether an entry of the table has this name of ours. */
static bool is_name(const char *ours, const char *entry)
{
    for (; *ours && *entry; entry++) {
        if (*entry == '.' && ours[0] == '_' && ours[1] == '_')
            ours += 2;
        else if (*entry == *ours)
            ours++;
        else
            return false;
    }
    return !*ours && !*entry;
}

/* Copies the value of a name. Returns false if the table lacks it. */
static bool fill(const struct weft__layout_entry *all, uint32_t n, const char *name, uint64_t *to)
{
    for (uint32_t i = 0; i < n; i++) {
        if (is_name(name, all[i].name)) {
            *to = all[i].value;
            return true;
        }
    }
    return false;
}

static const char *read_table(struct program *p, uint64_t at)
{
    struct weft__layout_entry *all;
    uint64_t *values = (uint64_t *)&p->table;
    struct target *t = p->target;
    struct weft__layout l;
    bool ok;

    if (!t->read(t, at, &l, sizeof(l)) || memcmp(l.magic, "weftlay", 8) != 0)
        return "the table of weft's layout cannot be read";
    if (l.version != WEFT__LAYOUT_VERSION || l.entry_size != sizeof(*all) || l.count > 4096)
        return "it has a version of weft that this program does not know";
    all = calloc(l.count, sizeof(*all));
    ok = all && t->read(t, (uintptr_t)l.entries, all, l.count * sizeof(*all));
    for (size_t i = 0; ok && i < sizeof(names) / sizeof(*names); i++) {
        all[l.count - 1].name[WEFT__LAYOUT_NAME - 1] = '\0';
        ok = fill(all, l.count, names[i], &values[i]);
    }
    free(all);
    if (!ok)
        return "the table of weft's layout is not whole";
    return p->table.slabs ? NULL : "no weft_run has begun";
}

const char *program_open(struct program *p, struct target *t)
{
    struct search s = {.p = p};

    *p = (struct program){.target = t};
    for (size_t i = 0; i < t->n_maps; i++) {
        if (t->maps[i].offset == 0 && !add_file(&s, &t->maps[i]))
            return "out of memory";
    }
    if (!s.table)
        return "no weft in it";
    return read_table(p, s.table);
}

const struct file *program_file(const struct program *p, uint64_t at)
{
    size_t lo = 0, hi = p->n_files;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (p->files[mid].end <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < p->n_files && p->files[lo].start <= at ? &p->files[lo] : NULL;
}
