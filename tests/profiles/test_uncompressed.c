/* SPDX-License-Identifier: MIT */
/* test_uncompressed.c - a file whose sections are compressed becomes one where they are not, with
 * the same bytes; other files, and broken ones, stay as they are. */
#include "check.h"

#include "profiles/walk/units.h"

#include <fcntl.h>
#include <gelf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Copies this program, with its debug information compressed. */
static int compressed_copy(void)
{
    static char piece[1 << 16];
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = memfd_create("copy", MFD_CLOEXEC);
    Elf *elf;
    ssize_t n;

    CHECK(from >= 0 && to >= 0);
    while ((n = read(from, piece, sizeof piece)) > 0)
        CHECK_EQ(write(to, piece, (size_t)n), n);
    close(from);
    elf_version(EV_CURRENT);
    elf = elf_begin(to, ELF_C_RDWR, NULL);
    CHECK(elf != NULL);
    for (Elf_Scn *s = NULL; (s = elf_nextscn(elf, s)) != NULL;) {
        GElf_Shdr head;

        gelf_getshdr(s, &head);
        if (head.sh_type == SHT_PROGBITS && !(head.sh_flags & SHF_ALLOC) && head.sh_size > 4096)
            CHECK_EQ(elf_compress(s, ELFCOMPRESS_ZLIB, 0), 1);
    }
    CHECK(elf_update(elf, ELF_C_WRITE) > 0);
    elf_end(elf);
    return to;
}

/* Returns how many sections of two files have the same bytes, once uncompressed. None of b's may be
 * compressed. */
static int same_sections(int a, int b)
{
    Elf *one = elf_begin(a, ELF_C_READ, NULL), *other = elf_begin(b, ELF_C_READ, NULL);
    Elf_Scn *s = NULL, *t = NULL;
    int n = 0;

    CHECK(one != NULL && other != NULL);
    while ((s = elf_nextscn(one, s)) != NULL && (t = elf_nextscn(other, t)) != NULL) {
        GElf_Shdr head;
        Elf_Data *x, *y;

        gelf_getshdr(t, &head);
        CHECK(!(head.sh_flags & SHF_COMPRESSED));
        gelf_getshdr(s, &head);
        if (head.sh_flags & SHF_COMPRESSED)
            elf_compress(s, 0, 0);
        x = elf_getdata(s, NULL);
        y = elf_getdata(t, NULL);
        CHECK_EQ(x->d_size, y->d_size);
        CHECK(head.sh_type == SHT_NOBITS || !x->d_size ||
              memcmp(x->d_buf, y->d_buf, x->d_size) == 0);
        n++;
    }
    CHECK(s == NULL);
    elf_end(one);
    elf_end(other);
    return n;
}

TEST_PLAIN(sections_are_uncompressed)
{
    int fd = compressed_copy(), kept = dup(fd), made = weft__uncompressed(fd);

    CHECK(made >= 0 && made != fd);
    CHECK(same_sections(kept, made) > 10);
    CHECK_EQ(weft__uncompressed(made), made);
    close(made);
    close(kept);
}

TEST_PLAIN(broken_files_stay)
{
    off_t size;
    int fd = compressed_copy();

    for (size = lseek(fd, 0, SEEK_END); size > 0; size /= 2) {
        CHECK_EQ(ftruncate(fd, size - 1), 0);
        CHECK_EQ(weft__uncompressed(fd), fd);
    }
    close(fd);
}
