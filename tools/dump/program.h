/* SPDX-License-Identifier: MIT */
/* program.h - the files of a target's program, and the table by which its tasks are found.
 *
 * One thread uses a program; there is no lock. */
#ifndef WEFT_TOOLS_PROGRAM_H
#define WEFT_TOOLS_PROGRAM_H

#include "tools/dump/target.h"

/* A file that is mapped, or the vdso. */
struct file {
    uint64_t start, end; /* of its segments */
    uint64_t bias;       /* to add to an address of the file for one of the target */
    uint64_t eh_frame;   /* the address of .eh_frame_hdr, 0: it has none */
    const char *path;
};

/* The entries of runtime/run/layout.c that weft-dump uses, with "." written as "__". */
/* clang-format off */
#define PROGRAM_ENTRIES(XX)                                                                        \
    XX(slabs) XX(slots) XX(slab__tasks) XX(task__size) XX(task__sp) XX(task__lo) XX(task__hi)      \
    XX(task__state) XX(task__on_cpu) XX(task__ticket) XX(task__worker) XX(task__flags)             \
    XX(task__pins) XX(task__reason) XX(task__object) XX(task__since) XX(task__id)                  \
    XX(task__creator) XX(task__creator_pc) XX(task__fn) XX(task__tags) XX(state__idle)             \
    XX(state__runnable) XX(state__running) XX(state__parked) XX(state__lost) XX(state__dead)       \
    XX(flag__foreign) XX(flag__foreign_creator) XX(flag__started) XX(flag__calling) XX(reasons)    \
    XX(reason__count) XX(reason__size) XX(reason__text) XX(reason__flags) XX(reason__sched)        \
    XX(reason__mutex) XX(reason__rwmutex_read) XX(reason__rwmutex_write) XX(ctx__r15)              \
    XX(ctx__r14) XX(ctx__r13) XX(ctx__r12) XX(ctx__rbx) XX(ctx__rbp) XX(ctx__pc) XX(ctx__size)     \
    XX(ctx__entry) XX(ctx__end) XX(sched__procs) XX(sched__procs_by) XX(sched__threads)            \
    XX(sched__spares)                                                                              \
    XX(sched__lost) XX(sched__max_threads) XX(worker__task) XX(worker__tid)                        \
    XX(worker__lost_since) XX(tags__labels) XX(tags__count) XX(tags__set) XX(tags__name)           \
    XX(label__size) XX(label__key) XX(label__value) XX(mutex__state) XX(mutex__shift)              \
    XX(rwmutex__owner) XX(clock__tsc) XX(clock__base_ticks) XX(clock__base_nanos)                  \
    XX(clock__seen_ticks) XX(clock__seen_nanos) XX(clock__virtual) XX(clock__now)                  \
    XX(clock__died)
/* clang-format on */

struct table {
#define XX(name) uint64_t name;
    PROGRAM_ENTRIES(XX)
#undef XX
};

struct program {
    struct target *target;
    struct file *files; /* ascending */
    size_t n_files;
    struct table table;
};

/* Finds the files and the table. Returns NULL, or a text that says what is missing. */
const char *program_open(struct program *p, struct target *t);
/* Finds the file whose segments hold an address; NULL if none does. */
const struct file *program_file(const struct program *p, uint64_t at);

#endif
