/* SPDX-License-Identifier: MIT */
/* fault.c - the first part of a fault's report: which task died, and its stack.
 *
 *   weft: goroutine 7 "worker" died on thread 4242 "weft-0" in
 *       guilty+0x4 (service+0x13b4)
 *     ? main_loop+0x21 (service+0x1452)
 *       0x7f0000001000
 *   created by start+0x30 (service+0x1600) in goroutine 1
 *
 * Behind a name is the offset in the function, and in parentheses the offset in the file, for
 * addr2line. Both are those of the call's last byte; in the first frame they are those of the
 * instruction, which is known. Frames with "?" are guesses. The lines do not follow Go's grammar,
 * so that its readers do not count the task twice when the full report follows.
 *
 * All code here runs in a signal handler. The thread may hold malloc's lock or any other, and may
 * have overwritten any memory. So this file takes no lock, allocates nothing, and reads no memory
 * of the program but the stack and the task's record. If it faults, runtime/sched/fatal.c jumps out
 * of it. One thread runs it, once in a process, so it uses static memory. */
#include "profiles/render/fault.h"

#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "profiles/capture/dying.h"
#include "profiles/table/marks.h"
#include "profiles/walk/elfnames.h"
#include "profiles/walk/unwind.h"
#include "runtime/base/death.h"
#include "runtime/base/format.h"

enum { HALF = WEFT__REPORT_HALF, COPIED = 64 << 10, SEARCHED = 16 * COPIED };

/* The part [lo, hi) of a stack that may be walked. Its bytes are at image. */
struct bounds {
    uintptr_t lo, hi;
    const void *image;
};

/* The task or thread that died. */
struct dead {
    const weft__task *task; /* NULL if there is none, or if its record was overwritten */
    uint64_t id;            /* of the task; 0 if it is not known */
    struct bounds stack;
};

static void line(int fd, const char *format, ...) WEFT__PRINTF(2, 3);

static void line(int fd, const char *format, ...)
{
    char text[512];
    va_list ap;
    size_t n;

    va_start(ap, format);
    n = weft__format(text, sizeof text, format, ap);
    va_end(ap);
    weft__death_write(fd, text, n);
}

/* Copies the stack from sp on: as much as is mapped and fits. */
static struct bounds copy_stack(uintptr_t sp)
{
    static _Alignas(16) char copy[COPIED];
    struct iovec to = {copy, sizeof copy}, from;
    uintptr_t lo = (sp & ~(uintptr_t)7) - WEFT__RED_ZONE;
    ssize_t n;

    from = (struct iovec){(void *)lo, sizeof copy};
    n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
    if (n <= 0) { /* nothing is mapped below sp */
        lo += WEFT__RED_ZONE;
        from.iov_base = (void *)lo;
        n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
    }
    return (struct bounds){lo, n > 0 ? lo + (uintptr_t)n : lo, copy};
}

/* Finds the mark that ends each task's stack (runtime/machine/ctx.h) in a copy of a stack. Returns
 * the address behind it; 0 if it is not there. */
static uintptr_t mark_in(const struct bounds *b, uint64_t *id)
{
    const uint64_t *words = b->image;
    size_t n = (b->hi - b->lo) / sizeof(*words);

    for (size_t i = b->lo % 16 / 8; i + 1 < n; i += 2) {
        uintptr_t at = b->lo + i * sizeof(*words);

        if (words[i] && words[i + 1] == weft__ctx_check(words[i], at)) {
            *id = words[i];
            return at + sizeof(struct weft__ctx_mark);
        }
    }
    return 0;
}

/* Finds the mark of the stack that sp is in, and the task's id by it. Returns where the stack ends;
 * 0 if it is no task's stack, or if the mark was overwritten. */
static uintptr_t find_mark(uintptr_t sp, uint64_t *id)
{
    for (uintptr_t at = sp; at - sp < SEARCHED; at += COPIED - sizeof(struct weft__ctx_mark)) {
        struct bounds b = copy_stack(at);
        uintptr_t end = mark_in(&b, id);

        if (end || b.hi - b.lo < COPIED)
            return end;
    }
    return 0;
}

/* Finds which task died, and where its stack is. */
static struct dead find_dead(const struct weft__death *d, uintptr_t sp)
{
    struct dead dead = {.task = weft__dying_task(d)};
    const weft__task *t = dead.task;
    uintptr_t end = find_mark(sp, &dead.id);

    if (end && (!t || t->id != dead.id)) { /* the record was overwritten */
        dead.task = NULL;
        dead.stack = (struct bounds){sp & ~(uintptr_t)7, end, (const void *)(sp & ~(uintptr_t)7)};
        return dead;
    }
    if (t)
        dead.id = t->id;
    if (weft__is_on_stack(t, sp)) {
        uintptr_t lo = weft__fault_lo(t, sp);
        dead.stack = (struct bounds){lo, t->ctx.hi, (const void *)lo};
    } else {
        dead.stack = copy_stack(sp);
    }
    return dead;
}

static void put_header(int fd, const struct dead *dead, bool distrust)
{
    const char *name = dead->task ? weft__tags_name(dead->task->tags) : NULL;
    char thread[16] = "";
    long tid = syscall(SYS_gettid);

    prctl(PR_GET_NAME, thread);
    if (!dead->id)
        line(fd, "weft: thread %ld \"%s\", %s, died in\n", tid, thread,
             distrust ? "whose task cannot be told" : "which runs no task");
    else
        line(fd, "weft: goroutine %llu%s%s%s died on thread %ld \"%s\" in\n",
             (unsigned long long)dead->id, name ? " \"" : "", name ? name : "", name ? "\"" : "",
             tid, thread);
}

static void put_location(int fd, const char *before, const struct weft__location *p,
                         const char *after)
{
    if (!p->file)
        line(fd, "%s0x%llx%s", before, (unsigned long long)p->addr, after);
    else if (!p->name)
        line(fd, "%s%s+0x%llx%s", before, p->file, (unsigned long long)p->position, after);
    else
        line(fd, "%s%s+0x%llx (%s+0x%llx)%s", before, p->name, (unsigned long long)p->offset,
             p->file, (unsigned long long)p->position, after);
}

void weft__put_place(int fd, uintptr_t pc)
{
    struct weft__location location = {.addr = pc};

    weft__locations_find(&location, 1);
    put_location(fd, "", &location, "");
}

/* Fills in the addresses of a walk's HALF innermost and HALF outermost frames, and which of them
 * are guesses. Returns their number. */
static size_t pick(struct weft__location *locations, bool *guesses, const struct weft__walk *walk)
{
    size_t n = 0;

    for (uint32_t i = 0; i < walk->kept; i++) {
        uint32_t outer = walk->kept - i; /* frames from here to the outermost */

        if (i >= HALF && outer > HALF)
            continue;
        locations[n].addr =
            walk->pcs[i] - 1; /* the call, or the instruction: see struct weft__walk */
        guesses[n++] = (i < HALF ? i : walk->depth - outer) >= walk->guessed;
    }
    return n;
}

static void put_stack(int fd, const weft__task *t, const struct weft__walk *walk)
{
    static struct weft__location locations[2 * HALF + 2];
    static bool guesses[2 * HALF];
    size_t n = pick(locations, guesses, walk);
    struct weft__location *entry = &locations[n], *creator = &locations[n + 1];

    entry->addr = t && t->fn ? (uintptr_t)t->fn : 0;
    creator->addr = t && t->creator_pc ? t->creator_pc - 1 : 0;
    weft__locations_find(locations, n + 2);
    for (size_t i = 0; i < n; i++) {
        if (i == HALF && walk->depth > 2 * HALF)
            line(fd, "    ...%u frames elided...\n", walk->depth - 2 * HALF);
        put_location(fd, guesses[i] ? "  ? " : "    ", &locations[i], "\n");
    }
    if (!walk->whole && entry->addr)
        put_location(fd, "    ...\n    ", entry, "\n");
    if (creator->addr)
        put_location(fd, "created by ", creator, "");
    if (creator->addr)
        line(fd, " in goroutine %llu\n", (unsigned long long)t->creator);
    line(fd, "\n");
}

void weft__explain_first(int fd, const struct weft__death *d)
{
    static struct weft__walk walk;
    struct weft__regs regs = weft__regs_of(d->ucontext);
    struct dead dead = find_dead(d, regs.sp);

    regs.exact = true;
    put_header(fd, &dead, d->distrust);
    weft__walk_fault(&walk, &regs, dead.stack.lo, dead.stack.hi, dead.stack.image, true);
    weft__drop_entry(&walk);
    put_stack(fd, dead.task, &walk);
}
