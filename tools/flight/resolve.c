/* SPDX-License-Identifier: MIT */
/* resolve.c - see resolve.h. Owns the Dwfl and the names that were looked up.
 *
 * The Dwfl gets each file at the place where the record says that it was mapped. libdwfl finds
 * debug files by build-id; the tool's main() sees to it that it asks no server. */
#include "tools/flight/resolve.h"

#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "profiles/table/idmap.h"
#include "profiles/walk/learn.h"
#include "profiles/walk/symbolize.h"

enum { PATH_SIZE = 4096, ID_SIZE = 128 };

/* A mapping of the record. */
struct mapping {
    uint64_t start, limit, offset;
    char *file, *build_id;
};

/* The name of an address. */
struct name {
    uint64_t pc;
    const struct weft__symbol *symbol; /* if a file says what is there; else NULL */
    char *function;                    /* else FILE+0xOFFSET */
};

struct resolver {
    const weft__flight *record;
    struct weft__flight_words words;
    Dwfl *dwfl;
    struct mapping *maps;
    size_t n_maps;
    struct weft__idmap ids; /* finds index + 1 in found */
    struct name *found;
    uint32_t n_found, room;
};

/* Files ---------------------------------------------------------------------------------------- */

/* Writes the build-id of a file in hex; "-" if it has none. */
static void read_build_id(Elf *elf, char hex[ID_SIZE])
{
    const void *bits;
    ssize_t n = dwelf_elf_gnu_build_id(elf, &bits);

    snprintf(hex, ID_SIZE, "-");
    for (ssize_t i = 0; i < n && i < ID_SIZE / 2 - 1; i++)
        snprintf(hex + 2 * i, 3, "%02x", ((const unsigned char *)bits)[i]);
}

/* Returns how far from its addresses a file is mapped; -1 if it has no such mapping. */
static int64_t bias_of(Elf *elf, const struct mapping *m)
{
    uint64_t page = 4096;
    size_t n;
    GElf_Phdr p;

    if (elf_getphdrnum(elf, &n) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (gelf_getphdr(elf, (int)i, &p) && p.p_type == PT_LOAD && (p.p_flags & PF_X) &&
            p.p_offset / page == m->offset / page)
            return (int64_t)(m->start - p.p_vaddr / page * page);
    return -1;
}

/* Gives the Dwfl the file of a mapping. Returns NULL, or why it has no names for the mapping. */
static const char *report_file(resolver *r, const struct mapping *m)
{
    int fd = open(m->file, O_RDONLY | O_CLOEXEC);
    Elf *elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
    const char *why = fd < 0 ? strerror(errno) : "it is no ELF file";
    char id[ID_SIZE];
    int64_t bias;

    if (elf) {
        read_build_id(elf, id);
        bias = bias_of(elf, m);
        why = strcmp(id, m->build_id) != 0 ? "it was rebuilt since (its build-id is another)"
                                           : "it is mapped elsewhere";
        if (strcmp(id, m->build_id) == 0 && bias >= 0 &&
            dwfl_report_elf(r->dwfl, m->file, m->file, -1, (GElf_Addr)bias, false))
            why = NULL;
    }
    elf_end(elf);
    if (fd >= 0)
        close(fd);
    return why;
}

static bool add_mapping(resolver *r, const struct mapping *m)
{
    struct mapping *more = realloc(r->maps, (r->n_maps + 1) * sizeof(*more));

    if (!more || !m->file || !m->build_id)
        return false;
    r->maps = more;
    r->maps[r->n_maps++] = *m;
    return true;
}

/* Reads the record's list of mappings. */
static void read_maps(resolver *r)
{
    const char *text = r->record->bytes + r->record->head->maps.at;
    uint64_t left = r->record->head->maps_used;

    if (r->record->head->maps.at + left > r->record->size)
        return;
    while (left > 0) {
        const char *end = memchr(text, '\n', left);
        size_t len = end ? (size_t)(end - text) : left;
        char line[PATH_SIZE + 256], file[PATH_SIZE], id[ID_SIZE];
        unsigned long start, limit, offset;

        snprintf(line, sizeof(line), "%.*s", (int)(len < sizeof(line) ? len : sizeof(line) - 1),
                 text);
        if (sscanf(line, "%lx %lx %lx %127s %4095[^\n]", &start, &limit, &offset, id, file) == 5 &&
            !add_mapping(r, &(struct mapping){start, limit, offset, strdup(file), strdup(id)}))
            return;
        text += len + (end != NULL);
        left -= len + (end != NULL);
    }
}

/* Returns whether a later line of the list, which takes the place of an earlier one, covers the
 * mapping. */
static bool is_covered(const resolver *r, size_t i)
{
    for (size_t k = i + 1; k < r->n_maps; k++)
        if (r->maps[k].start < r->maps[i].limit && r->maps[i].start < r->maps[k].limit)
            return true;
    return false;
}

/* Gives the Dwfl all files, and says on stderr which have no names to give. */
static void report_all(resolver *r)
{
    for (size_t i = 0; i < r->n_maps; i++) {
        const struct mapping *m = &r->maps[i];
        const char *why = m->file[0] != '/' || is_covered(r, i) ? NULL : report_file(r, m);

        if (why)
            fprintf(stderr, "weft-flight: %s: %s; its functions are shown as %s+0xOFFSET\n",
                    m->file, why, strrchr(m->file, '/') + 1);
    }
}

/* Names ---------------------------------------------------------------------------------------- */

static char *name_by_mapping(const resolver *r, uint64_t pc)
{
    char text[PATH_SIZE];

    snprintf(text, sizeof(text), "0x%llx", (unsigned long long)pc);
    for (size_t i = r->n_maps; i-- > 0;) {
        const struct mapping *m = &r->maps[i];
        const char *base = strrchr(m->file, '/');

        if (pc >= m->start && pc < m->limit) {
            snprintf(text, sizeof(text), "%s+0x%llx", base ? base + 1 : m->file,
                     (unsigned long long)(pc - m->start + m->offset));
            break;
        }
    }
    return strdup(text);
}

static struct name look_up(resolver *r, uint64_t pc)
{
    struct name n = {.pc = pc, .symbol = weft__symbol_make(dwfl_addrmodule(r->dwfl, pc), pc)};

    if (n.symbol && !n.symbol->found)
        n.symbol = NULL;
    if (!n.symbol)
        n.function = name_by_mapping(r, pc);
    return n;
}

/* Returns the name of an address; it stays until the next call. NULL: memory ran out. */
static const struct name *name_of(resolver *r, uint64_t pc)
{
    uint64_t hash = weft__idmap_mix(pc);
    uint32_t id, at = weft__idmap_first(&r->ids, hash);

    while ((id = weft__idmap_next(&r->ids, hash, &at)))
        if (r->found[id - 1].pc == pc)
            return &r->found[id - 1];
    if (r->n_found == r->room) {
        struct name *more = realloc(r->found, (r->room * 2 + 64) * sizeof(*more));

        if (!more)
            return NULL;
        r->found = more;
        r->room = r->room * 2 + 64;
    }
    r->found[r->n_found] = look_up(r, pc);
    if ((!r->found[r->n_found].symbol && !r->found[r->n_found].function) ||
        !weft__idmap_add(&r->ids, hash, r->n_found + 1))
        return NULL;
    return &r->found[r->n_found++];
}

static size_t frames_of(void *arg, uint64_t pc, struct weft__trace_frame *to, size_t most)
{
    const struct name *name = name_of(arg, pc);

    if (name && name->symbol)
        return weft__trace_frames(name->symbol, to, most);
    *to = (struct weft__trace_frame){.pc = pc, .function = name ? name->function : "?"};
    return 1;
}

/* The whole ------------------------------------------------------------------------------------ */

resolver *resolver_new(const weft__flight *f)
{
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_build_id_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
    };
    resolver *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    elf_version(EV_CURRENT);
    r->record = f;
    r->dwfl = dwfl_begin(&callbacks);
    if (!r->dwfl) {
        free(r);
        return NULL;
    }
    dwfl_report_begin(r->dwfl);
    read_maps(r);
    report_all(r);
    dwfl_report_end(r->dwfl, NULL, NULL);
    weft__flight_words_begin(&r->words, f, frames_of, r);
    return r;
}

void resolver_free(resolver *r)
{
    for (size_t i = 0; i < r->n_maps; i++) {
        free(r->maps[i].file);
        free(r->maps[i].build_id);
    }
    for (uint32_t i = 0; i < r->n_found; i++)
        free(r->found[i].function);
    weft__idmap_free(&r->ids);
    free(r->maps);
    free(r->found);
    dwfl_end(r->dwfl);
    free(r);
}

const struct weft__trace_words *resolver_words(resolver *r)
{
    return &r->words.words;
}
