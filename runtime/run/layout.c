/* SPDX-License-Identifier: MIT */
/* layout.c - the table for debuggers, the note by which they find it, and gdb's script. See
 * layout.h.
 *
 * Owns: the table, which is constant after weft__layout_init.
 *
 * The names of the entries:
 *   slabs, slots       addresses of the pointer to the array of slabs and of the 32-bit number of
 *                      slots. Slot i is slabs[i / slab.tasks] + i % slab.tasks * task.size
 *   TYPE.FIELD         the offset of a field: task, worker, tags, label, mutex, rwmutex, once
 *   state.*, flag.*    numbers in task.state, bits in task.flags
 *   reasons            address of an array with text and flags for each of reason.count reasons;
 *                      reason.* are offsets, the size of an element and numbers of reasons
 *   ctx.*              where the word at a saved SP has which register; ctx.size: their bytes. The
 *                      return address of a stack's outermost frame is from ctx.entry to ctx.end
 *   sched.*            addresses of the numbers of the scheduler, 32 bits each, and of the list of
 *                      workers (sched.workers)
 *   clock.*            addresses: clock.tsc (8 bits), whether ticks are the TSC's, else they are
 *                      nanoseconds; two moments in both units, the start (base) and the
 *                      latest one that was noted (seen); clock.virtual (8 bits), clock.now: the
 *                      virtual time; clock.died: ticks when
 *                      the process began to die, or 0 */
#include "runtime/run/layout.h"

#include "runtime/base/death.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/tags.h"
#include "runtime/sched/task.h"
#include "runtime/sched/wait.h"
#include "runtime/sync/mutex.h"

#include <weft/sync.h>

#define ADDRESS(name, object)                                                                      \
    {                                                                                              \
        name, (uint64_t)(uintptr_t) & (object)                                                     \
    }
#define FIELD(name, type, member)                                                                  \
    {                                                                                              \
        name, offsetof(type, member)                                                               \
    }
#define TASK(member)   FIELD("task." #member, struct weft__task, member)
#define WORKER(member) FIELD("worker." #member, struct weft__worker, member)
#define REGISTER(name, word)                                                                       \
    {                                                                                              \
        "ctx." name, WEFT__CTX_##word * sizeof(void *)                                             \
    }
#define REASON(name, reason)                                                                       \
    {                                                                                              \
        "reason." name, WEFT__WAIT_##reason                                                        \
    }

/* The entries that weft__layout_init fills in come first. */
enum { SLABS, SLOTS, PER_SLAB };

static struct weft__layout_entry entries[] = {
    [SLABS] = {"slabs", 0},
    [SLOTS] = {"slots", 0},
    [PER_SLAB] = {"slab.tasks", 0},
    {"task.size", sizeof(struct weft__task)},
    FIELD("task.sp", struct weft__task, ctx.sp),
    FIELD("task.lo", struct weft__task, ctx.lo),
    FIELD("task.hi", struct weft__task, ctx.hi),
    TASK(state),
    TASK(on_cpu),
    TASK(ticket),
    TASK(worker),
    TASK(flags),
    TASK(pins),
    TASK(reason),
    TASK(object),
    TASK(since),
    TASK(id),
    TASK(creator),
    TASK(creator_pc),
    TASK(fn),
    TASK(group),
    TASK(tags),
    {"state.idle", WEFT__IDLE},
    {"state.runnable", WEFT__RUNNABLE},
    {"state.running", WEFT__RUNNING},
    {"state.parked", WEFT__PARKED},
    {"state.lost", WEFT__LOST},
    {"state.dead", WEFT__DEAD},
    {"flag.foreign", WEFT__FOREIGN},
    {"flag.foreign_creator", WEFT__FOREIGN_CREATOR},
    {"flag.started", WEFT__STARTED},
    {"flag.calling", WEFT__CALLING},
    ADDRESS("reasons", weft__wait_kinds),
    {"reason.count", WEFT__WAIT_COUNT},
    {"reason.size", sizeof(struct weft__wait_kind)},
    FIELD("reason.text", struct weft__wait_kind, text),
    FIELD("reason.flags", struct weft__wait_kind, flags),
    {"reason.sched", WEFT__WAIT_SCHED},
    REASON("mutex", MUTEX),
    REASON("rwmutex_read", RWMUTEX_READ),
    REASON("rwmutex_write", RWMUTEX_WRITE),
    REASON("once", ONCE),
    REGISTER("r15", R15),
    REGISTER("r14", R14),
    REGISTER("r13", R13),
    REGISTER("r12", R12),
    REGISTER("rbx", BX),
    REGISTER("rbp", BP),
    REGISTER("pc", PC),
    REGISTER("size", WORDS),
    {"ctx.entry", (uint64_t)(uintptr_t)weft__ctx_entry},
    {"ctx.end", (uint64_t)(uintptr_t)weft__ctx_entry_end},
    ADDRESS("sched.workers", weft__sched.all),
    ADDRESS("sched.procs", weft__sched.active),
    ADDRESS("sched.procs_by", weft__sched.procs_by),
    ADDRESS("sched.threads", weft__sched.nthreads),
    ADDRESS("sched.spares", weft__sched.nspares),
    ADDRESS("sched.lost", weft__sched.nlost),
    ADDRESS("sched.max_threads", weft__sched.max_threads),
    FIELD("worker.next", struct weft__worker, all),
    WORKER(task),
    WORKER(p),
    WORKER(tid),
    WORKER(now),
    WORKER(lost_since),
    WORKER(call_began),
    FIELD("tags.labels", weft__tags, labels),
    FIELD("tags.count", weft__tags, n),
    FIELD("tags.set", weft__tags, set),
    FIELD("tags.name", weft__tags, name),
    {"label.size", sizeof(weft_label)},
    FIELD("label.key", weft_label, key),
    FIELD("label.value", weft_label, value),
    FIELD("mutex.state", weft_mutex, _state),
    {"mutex.shift", WEFT__MUTEX_HOLDER},
    FIELD("mutex.site", weft_mutex, _site),
    FIELD("rwmutex.owner", weft_rwmutex, _owner),
    FIELD("rwmutex.site", weft_rwmutex, _site),
    FIELD("once.owner", weft_once, _owner),
    ADDRESS("clock.tsc", weft__clock_tsc),
    ADDRESS("clock.base_ticks", weft__clock_base.ticks),
    ADDRESS("clock.base_nanos", weft__clock_base.nanos),
    ADDRESS("clock.seen_ticks", weft__clock_noted.ticks),
    ADDRESS("clock.seen_nanos", weft__clock_noted.nanos),
    ADDRESS("clock.virtual", weft__clock_virtual),
    ADDRESS("clock.now", weft__clock_vnow),
    ADDRESS("clock.died", weft__death_ticks),
};

/* Hidden, so that the note may say where it is without a relocation. */
WEFT__HIDDEN extern const struct weft__layout weft__layout;
const struct weft__layout weft__layout = {
    .magic = "weftlay",
    .version = WEFT__LAYOUT_VERSION,
    .count = sizeof(entries) / sizeof(*entries),
    .entry_size = sizeof(*entries),
    .entries = entries,
};

/* Lengths of name and description, the type, the name, the description. Linkers keep notes. */
__asm__(".pushsection .note.weft,\"a\",@note\n"
        ".balign 4\n"
        ".long 5, 8, 1\n"
        ".asciz \"weft\"\n"
        ".balign 4\n"
        "1: .quad weft__layout - 1b\n"
        ".popsection\n");

/* gdb's script, which gdb loads with the file: 4 means that the text itself follows. The section is
 * allocated, so strip leaves it, and retained by linkers that drop what is not used. */
__asm__(".pushsection .debug_gdb_scripts,\"aR\",@progbits\n"
        ".byte 4\n"
        ".ascii \"gdb.inlined-script-weft\\n\"\n"
        ".incbin \"tools/gdb/weft-gdb.py\"\n"
        ".byte 0\n"
        ".popsection\n");

void weft__layout_init(void)
{
    const void *slabs, *slots;
    uint32_t per_slab;

    weft__tasks_place(&slabs, &slots, &per_slab);
    entries[PER_SLAB].value = per_slab;
    entries[SLOTS].value = (uint64_t)(uintptr_t)slots;
    entries[SLABS].value = (uint64_t)(uintptr_t)slabs;
}
