/* SPDX-License-Identifier: MIT */
/* target.h - a process or a core: its memory, its mapped files, the registers of its threads.
 *
 * A live process goes on meanwhile, unless it is stopped, so two reads may be of two moments. Its
 * memory is read by process_vm_readv, and no thread is stopped for that. One thread uses a target;
 * there is no lock. */
#ifndef WEFT_TOOLS_TARGET_H
#define WEFT_TOOLS_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

/* Registers, by their DWARF numbers, which libunwind uses, too. */
enum { R_BX = 3, R_BP = 6, R_SP = 7, R_12 = 12, R_13, R_14, R_15, R_PC = 16, REGISTERS };

struct registers {
    uint64_t r[REGISTERS];
    bool whole;   /* else PC and SP alone are known */
    bool in_call; /* the thread sits in a system call */
};

struct mapping {
    uint64_t start, end;
    uint64_t offset; /* in the file */
    char *path;
    int fd; /* of the file; -1: it was not opened yet, -2: it may not be */
};

struct target {
    /* Reads n bytes at an address. Returns false if not all of them can be read. */
    bool (*read)(struct target *t, uint64_t at, void *to, size_t n);
    /* Reads the registers of a thread. Returns false if there is no such thread. */
    bool (*registers)(struct target *t, int tid, struct registers *r);
    struct mapping *maps; /* of files and the vdso, ascending */
    size_t n_maps;
    int pid;          /* of a live process; 0: a core */
    char broken[256]; /* says why a core is not whole; "": it is */

    /* Private. */
    int memory; /* /proc/PID/mem, where process_vm_readv is not allowed; -1 */
    const char *core;
    size_t core_size;
    struct segment *segments;
    size_t n_segments;
    struct thread *threads;
    size_t n_threads;
    struct page *pages;
};

/* live.c and core.c. Open a target. Return 0, or -1 with a message in broken. program replaces the
 * file of the main program, if that has moved; or NULL. */
int target_live(struct target *t, int pid);
int target_core(struct target *t, const char *path, const char *program);

/* target.c. */
bool target_word(struct target *t, uint64_t at, uint64_t *word); /* keeps pages */
bool target_half(struct target *t, uint64_t at, uint32_t *half);
/* Copies a string, cut to size. Returns false if it cannot be read. */
bool target_text(struct target *t, uint64_t at, char *to, size_t size);
void target_forget(struct target *t); /* the kept pages */
const struct mapping *target_mapping(const struct target *t, uint64_t at);
bool target_add_mapping(struct target *t, const struct mapping *m);
struct registers target_registers_of(const struct user_regs_struct *u);
/* Notes why a core is not whole, if nothing was noted before. */
void target_breaks(struct target *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
