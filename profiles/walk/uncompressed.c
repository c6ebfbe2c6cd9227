/* SPDX-License-Identifier: MIT */
/* uncompressed.c - debug files with compressed sections, as files in memory where they are not.
 *
 * libelf would uncompress a section into memory from malloc. When it frees several megabytes at
 * once, glibc concludes that the program does so often, and raises its thresholds (mallopt(3),
 * M_MMAP_THRESHOLD). From then on each of its arenas keeps twice as much free memory at its end:
 * the program grows for an hour. libelf maps a file in memory, as any other file. */
#include "profiles/walk/units.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* Sections together may have so many bytes. */
enum { SIZE_MOST = 1 << 30 };

struct bytes {
    unsigned char *at;
    size_t size;
};

static bool has(struct bytes b, uint64_t at, uint64_t size)
{
    return at <= b.size && size <= b.size - at;
}

static size_t to_pages(size_t size)
{
    return (size + 4095) & ~(size_t)4095;
}

/* The section headers of a file, or NULL. */
static Elf64_Shdr *sections(struct bytes file)
{
    const Elf64_Ehdr *head = (const void *)file.at;

    if (!has(file, 0, sizeof *head) || head->e_ident[EI_CLASS] != ELFCLASS64 ||
        head->e_shentsize != sizeof(Elf64_Shdr) || head->e_shoff % 8 != 0 ||
        !has(file, head->e_shoff, head->e_shnum * sizeof(Elf64_Shdr)))
        return NULL;
    return (void *)(file.at + head->e_shoff);
}

static unsigned n_sections(struct bytes file)
{
    return ((const Elf64_Ehdr *)(const void *)file.at)->e_shnum;
}

/* Returns the header of a section that zlib compressed, or NULL. */
static const Elf64_Chdr *compressed(struct bytes file, const Elf64_Shdr *s)
{
    const Elf64_Chdr *c = (const void *)(file.at + s->sh_offset);

    if (!(s->sh_flags & SHF_COMPRESSED) || !has(file, s->sh_offset, s->sh_size) ||
        s->sh_offset % 8 != 0 || s->sh_size < sizeof *c || c->ch_type != ELFCOMPRESS_ZLIB)
        return NULL;
    return c;
}

/* Returns how many bytes the compressed sections will have; 0 if there are none, or too many. */
static size_t size_of_all(struct bytes file)
{
    const Elf64_Shdr *s = sections(file);
    size_t size = 0;

    for (unsigned i = 0; s != NULL && i < n_sections(file); i++) {
        const Elf64_Chdr *c = compressed(file, &s[i]);

        if (c != NULL && c->ch_size > SIZE_MOST - size)
            return 0;
        size += c == NULL ? 0 : to_pages(c->ch_size);
    }
    return size;
}

/* Copies a part of a file to the same place. */
static bool copy(struct bytes to, struct bytes from, uint64_t at, uint64_t size)
{
    if (!has(from, at, size))
        return false;
    memcpy(to.at + at, from.at + at, size);
    return true;
}

/* Uncompresses a section to `at`, and changes its header. */
static bool uncompress_to(struct bytes to, size_t at, Elf64_Shdr *s, const Elf64_Chdr *c)
{
    uLongf size = c->ch_size;

    if (uncompress(to.at + at, &size, (const Bytef *)(c + 1), s->sh_size - sizeof *c) != Z_OK ||
        size != c->ch_size)
        return false;
    s->sh_flags &= ~(Elf64_Xword)SHF_COMPRESSED;
    s->sh_offset = at;
    s->sh_size = c->ch_size;
    s->sh_addralign = c->ch_addralign;
    return true;
}

/* Writes all of the file but the bytes of compressed sections, and these sections behind it. */
static bool fill(struct bytes to, struct bytes file)
{
    const Elf64_Ehdr *head = (const void *)file.at;
    const Elf64_Shdr *from = sections(file);
    Elf64_Shdr *s = (void *)(to.at + head->e_shoff);
    size_t end = to_pages(file.size);
    bool good = copy(to, file, 0, sizeof *head) &&
                copy(to, file, head->e_phoff, head->e_phnum * (uint64_t)head->e_phentsize) &&
                copy(to, file, head->e_shoff, head->e_shnum * sizeof *s);

    for (unsigned i = 0; good && i < n_sections(file); i++) {
        const Elf64_Chdr *c = compressed(file, &from[i]);

        if (c != NULL) {
            good = uncompress_to(to, end, &s[i], c);
            end += to_pages(c->ch_size);
        } else if (from[i].sh_type != SHT_NOBITS) {
            good = copy(to, file, from[i].sh_offset, from[i].sh_size);
        }
    }
    return good;
}

static struct bytes map(int fd, size_t size, int protection, int flags)
{
    void *at = mmap(NULL, size, protection, flags, fd, 0);

    return at == MAP_FAILED ? (struct bytes){NULL, 0} : (struct bytes){at, size};
}

/* Makes the file in memory. Returns its descriptor, or -1. */
static int make(struct bytes file, size_t more)
{
    size_t size = to_pages(file.size) + more;
    int fd = memfd_create("weft-debug-file", MFD_CLOEXEC);
    struct bytes to;
    bool good;

    if (fd < 0)
        return -1;
    to = ftruncate(fd, (off_t)size) == 0 ? map(fd, size, PROT_READ | PROT_WRITE, MAP_SHARED)
                                         : (struct bytes){NULL, 0};
    good = to.at != NULL && fill(to, file);
    if (to.at != NULL)
        munmap(to.at, to.size);
    if (good)
        return fd;
    close(fd);
    return -1;
}

int weft__uncompressed(int fd)
{
    struct stat st;
    struct bytes file;
    size_t more;
    int made;

    if (fstat(fd, &st) != 0 || st.st_size == 0)
        return fd;
    file = map(fd, (size_t)st.st_size, PROT_READ, MAP_PRIVATE);
    if (file.at == NULL)
        return fd;
    more = size_of_all(file);
    made = more > 0 ? make(file, more) : -1;
    munmap(file.at, file.size);
    if (made < 0)
        return fd;
    close(fd);
    return made;
}
