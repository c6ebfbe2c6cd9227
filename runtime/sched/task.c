/* SPDX-License-Identifier: MIT */
/* task.c - the records of tasks, their registry and reuse, and weft_go.
 *
 * Owns: the slabs of records, the pool of free ones, and the sweep that gives stacks back.
 * Lock: registry.lock (rank TASKS) guards the pool and growth; sweep.lock (rank TABLES) guards the
 * sweep. A processor's free list needs no lock: only its owner uses it. task.h says which thread
 * may call what.
 *
 * Slabs are only ever added, and their directory is a fixed reservation of address space. So slots
 * are found without the lock.
 *
 * weft_go lets other tasks run every 64th time if a timer is due. A program that starts a million
 * tasks would otherwise let its timers wait for its whole time slice (p99 of their lateness: 340
 * ms, not 2). */
#include "runtime/sched/task.h"

#include "runtime/sched/keys.h"
#include "runtime/sched/lane.h"
#include "runtime/sched/observe.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SLAB = 32, /* records in a slab. Their stacks span at most two page tables: a hypervisor that
                * shadows page tables drops the table above them, and so all that it knows of a GiB,
                * when three of its entries are written and none is used in between (stack.c) */
    SLABS_MAX = 1 << 20,
    CACHE = 256,     /* the most records in a processor's free list */
    SPAWNS_TURN = 64 /* tasks that weft_go starts between two looks at the timers */
};
/* The number of slabs that come from malloc; later ones come from huge pages. */
#ifdef WEFT__ASAN
enum { FEW = SLABS_MAX }; /* checkers of leaks look for pointers only in memory of malloc */
#else
enum { FEW = 64 };
#endif

uint32_t weft__epoch;
uint64_t weft__first_id;
static weft__leave_group *leave_group;
static void weft__task_main(void) WEFT__NORETURN;

struct slab {
    weft__task tasks[SLAB];
    uintptr_t lo; /* the lowest address of the first stack; the others follow at equal distances */
    size_t size;  /* of each stack */
    bool canary;  /* the stacks have canaries instead of guards */
    /* A bit for each task; guarded by registry.lock. */
    uint64_t idle; /* the record is in the pool, and its stack may have pages */
    uint64_t old;  /* that was so already in the sweep before */
};
_Static_assert(SLAB <= 64, "a bit for each task");

static struct {
    uint32_t lock;
    uint32_t nslots;     /* the slots so far; atomic, since it is read without the lock */
    struct slab **slabs; /* SLABS_MAX pointers, reserved, filled from the front */
    weft__task *pool;    /* free records with stacks of this run's size */
    weft__task *others;  /* free records with stacks of another size: kept in a list, so that
                          * checkers of leaks find them */
    uint32_t npool;      /* the length of pool */
    uint32_t nidle;      /* bits set in `idle` of all slabs; atomic */
    uint64_t last_id;    /* of the latest task; atomic */
} registry;

static struct {
    uint32_t lock;     /* rank TABLES; guards all fields */
    uint32_t at;       /* the next slab */
    int64_t began;     /* the instant at which this sweep began */
    int64_t pause_end; /* the instant of the next step */
    uint64_t returned; /* bytes since the process began; also read without the lock */
    uint64_t rate;     /* bytes in the last full second of trimming; also read without the lock */
    int64_t second;    /* the second that is being counted, and the bytes in it */
    uint64_t bytes;
} sweep;

uint32_t weft__tasks_slots(void)
{
    return weft__load_acq(&registry.nslots);
}

weft__task *weft__tasks_at(uint32_t slot)
{
    return &registry.slabs[slot / SLAB]->tasks[slot % SLAB];
}

/* Gives t its slab's stack, instead of one of its own size. */
static void stack_home(weft__task *t)
{
    const struct slab *s = registry.slabs[t->slot / SLAB];

    weft__store(&t->ctx.lo, s->lo + t->slot % SLAB * (s->size + weft__stack_guard));
    weft__store(&t->ctx.hi, t->ctx.lo + s->size);
}

/* Returns whether that stack has a canary. */
static bool has_canary(const weft__task *t)
{
    return weft__unlikely(weft__load(&weft__stack_canaries)) &&
           registry.slabs[t->slot / SLAB]->canary;
}

void weft__tasks_place(const void **slabs, const void **slots, uint32_t *per_slab)
{
    *slabs = &registry.slabs;
    *slots = &registry.nslots;
    *per_slab = SLAB;
}

static uint64_t bit_of(const weft__task *t)
{
    return UINT64_C(1) << (t->slot % SLAB);
}

/* Puts a free record into the pool, and pool_pop takes one out. Caller holds registry.lock, or no
 * other thread runs. `next` shares its place with a field that dumps read, so it is stored
 * atomically. */
static void pool_push(weft__task *t)
{
    weft__store(&t->next, registry.pool);
    registry.pool = t;
    registry.npool++;
    if (t->flags & WEFT__TOUCHED) {
        registry.slabs[t->slot / SLAB]->idle |= bit_of(t);
        weft__store(&registry.nidle, registry.nidle + 1);
    }
}

static weft__task *pool_pop(void)
{
    weft__task *t = registry.pool;
    struct slab *s;

    registry.pool = t->next;
    registry.npool--;
    if (t->flags & WEFT__TOUCHED) {
        s = registry.slabs[t->slot / SLAB];
        s->idle &= ~bit_of(t);
        s->old &= ~bit_of(t);
        weft__store(&registry.nidle, registry.nidle - 1);
    }
    return t;
}

static void pool_clear(void)
{
    registry.pool = registry.others = NULL;
    registry.npool = 0;
    weft__store(&registry.nidle, 0);
    for (uint32_t i = 0; i < registry.nslots / SLAB; i++)
        registry.slabs[i]->idle = registry.slabs[i]->old = 0;
}

/* Puts an idle record into the pool if its stack has this run's size; else the record waits for a
 * run with that size. Caller holds registry.lock. */
static void pool_push_back(weft__task *t)
{
    weft__check_holds(&registry.lock);
    if (registry.slabs[t->slot / SLAB]->size == weft__stack_size) {
        pool_push(t);
    } else {
        weft__store(&t->next, registry.others);
        registry.others = t;
    }
}

/* Fills the pool with records of a run's size. Called between runs, when the size changes: threads
 * may give their records back meanwhile. */
static void pool_refill(size_t stack_size)
{
    weft__task *t;

    weft__lock(&registry.lock, WEFT__RANK_TASKS);
    weft__stack_size = stack_size;
    pool_clear();
    for (uint32_t i = registry.nslots; i-- > 0;) {
        t = weft__tasks_at(i);
        if (weft__load(&t->state) == WEFT__IDLE && !(weft__load(&t->flags) & WEFT__FOREIGN))
            pool_push_back(t);
    }
    weft__unlock(&registry.lock);
}

void weft__tasks_init(size_t stack_size, weft__leave_group *leave)
{
    leave_group = leave;
    if (!registry.slabs) {
        registry.slabs = mmap(NULL, SLABS_MAX * sizeof(*registry.slabs), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (registry.slabs == MAP_FAILED)
            weft__no_memory(NULL, "task registry");
        weft__stacks_init();
    }
    stack_size = weft__stack_size_of(stack_size, "weft_run_with");
    if (stack_size != weft__stack_size)
        pool_refill(stack_size);
    weft__first_id = registry.last_id + 1;
}

/* Returns zeroed memory for a slab. With many tasks each wake-up touches another record; in small
 * pages that would be one more miss of the TLB, so records beyond FEW slabs are in huge pages.
 * Those are far from the stacks; SLAB says why. */
static struct slab *slab_memory(void)
{
    static char *next, *end;
    size_t size = (sizeof(struct slab) + 63) & ~(size_t)63;
    struct slab *s;

    if (registry.nslots >= FEW * SLAB && (size_t)(end - next) < size) {
        next = weft__map_aligned(WEFT__TABLES, WEFT__TABLES);
        end = next ? next + WEFT__TABLES : NULL;
        if (next)
            madvise(next, WEFT__TABLES, MADV_HUGEPAGE);
    }
    if ((size_t)(end - next) >= size) {
        s = (struct slab *)(void *)next;
        next += size;
        return s;
    }
    s = aligned_alloc(64, size);
    if (s)
        memset(s, 0, size);
    return s;
}

/* Adds a slab to the pool. Caller holds the lock. */
static struct slab *grow(void)
{
    weft__check_holds(&registry.lock);
    struct slab *s = slab_memory();
    uint32_t first = registry.nslots;

    if (!s || first / SLAB >= SLABS_MAX)
        weft__no_memory(NULL, "%u tasks", first);
    s->size = weft__stack_size;
    s->lo = weft__stacks_map(SLAB, s->size, &s->canary);
    registry.slabs[first / SLAB] = s;
    for (uint32_t i = SLAB; i-- > 0;) {
        s->tasks[i].slot = first + i;
        stack_home(&s->tasks[i]);
        pool_push(&s->tasks[i]);
    }
    weft__store_rel(&registry.nslots, first + SLAB);
    return s;
}

/* Takes a record from the pool, and with p also a batch for p's free list. The returned record has
 * these flags; they are set under the lock, so that weft__tasks_discard knows the record of a
 * foreign thread. */
static weft__task *pool_take(weft__proc *p, unsigned flags)
{
    struct slab *fresh = NULL;
    weft__task *t, *more;

    weft__lock(&registry.lock, WEFT__RANK_TASKS);
    if (!registry.pool)
        fresh = grow();
    t = pool_pop();
    for (int i = 1; p && i < SLAB && registry.pool; i++) {
        more = pool_pop();
        weft__store(&more->next, p->free);
        p->free = more;
        p->nfree++;
    }
    weft__store(&t->flags, (uint16_t)flags);
    weft__unlock(&registry.lock);
    /* A program that needs a second slab will most likely use all of it. Faults one by one would
     * make each task a third more expensive to start. */
    if (p && fresh && fresh != registry.slabs[0])
        weft__stacks_populate(fresh->lo, SLAB, fresh->size);
    return t;
}

/* Gives n records of p's free list back to the pool. */
static void pool_give(weft__proc *p, uint32_t n)
{
    weft__task *t;

    weft__lock(&registry.lock, WEFT__RANK_TASKS);
    for (; n > 0 && (t = p->free); n--) {
        p->free = t->next;
        p->nfree--;
        pool_push(t);
    }
    weft__unlock(&registry.lock);
}

void weft__task_flush(weft__proc *p)
{
    pool_give(p, p->nfree);
}

/* Takes a free record, from p's free list if p is not NULL. */
static weft__task *take(weft__proc *p)
{
    weft__task *t;

    if (weft__likely(p && p->free)) {
        t = p->free;
        p->free = t->next;
        p->nfree--;
        return t;
    }
    return pool_take(p, 0);
}

/* Gives t a stack of another size than the slab's; it is unmapped when the task ends. */
static void stack_big(weft__task *t, size_t size)
{
    bool canary;

    size = weft__stack_size_of(size, "weft_go_with");
    weft__store(&t->ctx.lo, weft__stacks_map(1, size, &canary));
    weft__store(&t->ctx.hi, t->ctx.lo + size);
    weft__store(&t->flags, WEFT__BIG | (canary ? WEFT__CANARY : 0));
}

/* Fills the record of a new task. Dumpers may read it at any moment, hence the atomic stores; they
 * believe nothing of it before weft__visible. */
static void born(weft__task *t, weft_task_fn *fn, void *arg)
{
    weft__worker *w = weft__self();
    const weft__task *creator = w ? w->task : NULL;
    uint32_t epoch = weft__load_acq(&weft__epoch);

    weft__store(&t->id, weft__add(&registry.last_id, 1) + 1);
    weft__store(&t->fn, fn);
    t->arg = arg;
    weft__store(&t->creator, creator ? creator->id : 0);
    weft__store(&t->flags, (uint16_t)((t->flags & (WEFT__BIG | WEFT__FOREIGN | WEFT__CANARY)) |
                                      (w && w->foreign ? WEFT__FOREIGN_CREATOR : 0)));
    weft__store(&t->pins, 0);
    weft__store(&t->group, NULL);
    weft__store(&t->on_cpu, 0);
    weft__store(&t->reason, WEFT__WAIT_NONE);
    weft__store(&t->canceled, 0);
    weft__store(&t->ready_epoch, 0);
    weft__store(&t->since, 0);
    weft__store_rel(&t->snap, 2 * epoch + 1);
    if (weft__unlikely(creator && creator->tags))
        weft__tags_inherit(t, creator);
}

#if WEFT_CHECK >= 2
/* The states that each state may go to. tests/lint.sh compares them with the table in this folder's
 * README. */
#define TO(state) (1 << WEFT__##state)
static const uint8_t moves[WEFT__STATES] = {
    [WEFT__IDLE] = TO(RUNNABLE),
    [WEFT__RUNNABLE] = TO(RUNNING),
    [WEFT__RUNNING] = TO(RUNNABLE) | TO(PARKED) | TO(LOST) | TO(DEAD) | TO(IDLE),
    [WEFT__PARKED] = TO(RUNNABLE) | TO(RUNNING),
    [WEFT__LOST] = TO(RUNNABLE) | TO(DEAD),
    [WEFT__DEAD] = TO(IDLE),
};

void weft__task_moves(const weft__task *t, enum weft__state from, enum weft__state to)
{
    static const char *const names[WEFT__STATES] = {"IDLE",   "RUNNABLE", "RUNNING",
                                                    "PARKED", "LOST",     "DEAD"};
    uint32_t is = weft__load(&t->state);

    if (weft__unlikely(is != (uint32_t)from || !(moves[from] >> to & 1)))
        weft__panic("weft: bug: task %llu goes from %s to %s, but is %s", (unsigned long long)t->id,
                    names[from], names[to], names[is]);
}
#endif

/* Makes the record visible to snapshots; observe.h has the order. A task that still sees the epoch
 * of its birth is no part of that snapshot (snap is 2E + 1). If the epoch has changed in between,
 * it may be a part of the new one or not, and is made none. */
void weft__visible(weft__task *t)
{
    uint32_t snap, epoch;

    weft__tell(spawn, t);
    snap = weft__load(&t->snap);
    weft__task_move(t, WEFT__IDLE, WEFT__RUNNABLE);
    weft__fence_light();
    epoch = weft__load_acq(&weft__epoch);
    if (weft__unlikely(snap != 2 * epoch + 1))
        weft__cas(&t->snap, &snap, 2 * epoch + 1);
}

weft__task *weft__task_new(weft__proc *p, const weft_go_options *options, weft_task_fn *fn,
                           void *arg)
{
    weft__task *t = take(p);

    weft__store(&t->flags, has_canary(t) ? WEFT__CANARY : 0);
    if (weft__unlikely(options != NULL && options->stack_size > 0))
        stack_big(t, options->stack_size);
    born(t, fn, arg);
    if (weft__unlikely(options != NULL && options->name))
        weft__tags_rename(t, options->name);
    weft__ctx_make(&t->ctx, t->ctx.lo, t->ctx.hi, weft__task_color(t), t->id, weft__task_main);
    return t;
}

void weft__task_free(weft__proc *p, weft__task *t)
{
    if (weft__unlikely(t->tags != NULL))
        weft__tags_clear(t);
    weft__ctx_drop(&t->ctx);
    if (weft__unlikely(t->flags & WEFT__BIG)) {
        weft__stack_unmap(t->ctx.lo, t->ctx.hi - t->ctx.lo, t->flags & WEFT__CANARY);
        stack_home(t);
    }
    weft__store(&t->flags, WEFT__TOUCHED);
    weft__task_move(t, WEFT__DEAD, WEFT__IDLE);
    weft__store_rel(&t->on_cpu, 0);
    weft__store(&t->next, p->free);
    p->free = t;
    if (weft__unlikely(++p->nfree > CACHE))
        pool_give(p, CACHE / 2);
}

/* A thread of the program that calls the library has a record, too: waiting needs one, and dumps
 * show it. */
weft__task *weft__task_foreign(void)
{
    weft__task *t = pool_take(NULL, WEFT__FOREIGN);

    born(t, NULL, NULL);
    weft__store(&t->creator_pc, 0);
    weft__store(&t->on_cpu, 1);
    weft__visible(t);
    weft__task_move(t, WEFT__RUNNABLE, WEFT__RUNNING);
    return t;
}

void weft__task_foreign_free(weft__task *t, bool in_run)
{
    if (in_run && weft__heard(end))
        weft__tell_end(t);
    weft__tags_clear(t);
    weft__store(&t->ctx.sp, NULL);
    stack_home(t);
    weft__task_move(t, WEFT__RUNNING, WEFT__IDLE);
    weft__store_rel(&t->on_cpu, 0);
    weft__lock(&registry.lock, WEFT__RANK_TASKS);
    weft__store(&t->flags, WEFT__TOUCHED);
    pool_push_back(t);
    weft__unlock(&registry.lock);
}

/* Ends t, before its last switch, on its own stack. */
/* Frees the caller's locals and leaves its group. */
static void leave_all(weft__task *t, int result)
{
    if (weft__unlikely(t->locals != NULL))
        weft__locals_end(t);
    if (t->group)
        leave_group(t, result);
}

/* Puts the records of all tasks that no longer run back into the pool. A thread that the end of the
 * run has abandoned keeps the task that it still runs. Takes the lock, since foreign threads may
 * come and end meanwhile. */
void weft__tasks_discard(bool keep_work)
{
    weft__lock(&registry.lock, WEFT__RANK_TASKS);
    pool_clear();
    for (uint32_t i = registry.nslots; i-- > 0;) {
        weft__task *t = weft__tasks_at(i);
        uint32_t state = weft__load_acq(&t->state); /* an abandoned thread may be coming back */

        if (state == WEFT__RUNNING || state == WEFT__LOST || (t->flags & WEFT__FOREIGN))
            continue;
        if (keep_work && state == WEFT__PARKED && t->reason == WEFT__WAIT_WORK)
            continue;
        if (state != WEFT__IDLE) {
            weft__ctx_drop(&t->ctx);
            weft__locals_drop(t);
            if (t->ticket & 1)
                t->ticket++;
        }
        if (t->flags & WEFT__BIG)
            weft__stack_unmap(t->ctx.lo, t->ctx.hi - t->ctx.lo, t->flags & WEFT__CANARY);
        weft__tags_clear(t);
        t->flags = state == WEFT__IDLE ? t->flags & WEFT__TOUCHED : WEFT__TOUCHED;
        t->group = NULL;
        t->state = WEFT__IDLE;
        t->on_cpu = 0;
        t->timer.pos = 0;
        stack_home(t);
        pool_push_back(t);
    }
    weft__unlock(&registry.lock);
}

/* Returns the bytes of pages that a waiting task's stack uses, from its saved stack pointer up. The
 * stack of a running task counts as a page: its depth is not known. */
static size_t stack_used(const weft__task *t)
{
    uintptr_t hi = weft__load(&t->ctx.hi), sp = (uintptr_t)weft__load(&t->ctx.sp);

    return sp >= weft__load(&t->ctx.lo) && sp < hi ? ((hi - sp) + 4095) & ~(size_t)4095 : 4096;
}

void weft__tasks_count(struct weft__census *c)
{
    uint32_t n = weft__tasks_slots();

    *c = (struct weft__census){.created = weft__load(&registry.last_id) + 1 - weft__first_id,
                               .records = n * sizeof(weft__task),
                               .returned = weft__load(&sweep.returned),
                               .return_rate = weft__load(&sweep.rate)};
    for (uint32_t i = 0; i < n; i++) {
        const weft__task *t = weft__tasks_at(i);
        uint32_t state = weft__load(&t->state);

        c->states[state]++;
        c->hog_lane += state != WEFT__IDLE && weft__load(&t->reason) == WEFT__WAIT_HOG_LANE;
        if (state != WEFT__IDLE)
            c->stacks += weft__load(&t->flags) & WEFT__FOREIGN ? 0 : stack_used(t);
        else if (weft__load(&t->flags) & WEFT__TOUCHED)
            c->idle_stacks += 4096;
    }
}

/* Gives the pages of n stacks that lie together back to the kernel. Their guards stay. */
static void stacks_drop(const struct slab *s, unsigned first, unsigned n)
{
    uintptr_t step = s->size + weft__stack_guard, lo = s->lo + first * step;

    if (!s->canary) {
        madvise((void *)lo, n * step - weft__stack_guard, MADV_DONTNEED);
        return;
    }
    for (; n > 0; n--, lo += step) /* the canary is in the lowest page */
        madvise((void *)(lo + 4096), s->size - 4096, MADV_DONTNEED);
}

/* Gives back the stacks that were idle in the sweep before and have been since. Returns their
 * number. Caller holds sweep.lock and registry.lock. */
static uint32_t slab_trim(struct slab *s)
{
    weft__check_holds(&sweep.lock);
    uint64_t go = s->idle & s->old, rest = go;

    s->idle &= ~go;
    s->old = s->idle;
    while (rest) {
        unsigned first = (unsigned)__builtin_ctzll(rest), n = 0;

        for (; first + n < SLAB && (rest >> (first + n) & 1); n++) {
            weft__flag_clear(&s->tasks[first + n], WEFT__TOUCHED);
            rest &= rest - 1;
        }
        stacks_drop(s, first, n);
    }
    weft__store(&registry.nidle, registry.nidle - (uint32_t)__builtin_popcountll(go));
    return (uint32_t)__builtin_popcountll(go);
}

/* Counts bytes given back, in total and by second. */
static void count_returned(uint64_t bytes, int64_t now)
{
    weft__store(&sweep.returned, sweep.returned + bytes);
    if (now / WEFT_SECOND != sweep.second) {
        weft__store(&sweep.rate, sweep.bytes);
        sweep.second = now / WEFT_SECOND;
        sweep.bytes = 0;
    }
    sweep.bytes += bytes;
}

/* Makes a step of a sweep over the slabs. Returns the nanoseconds until the next one. A step takes
 * STEP at most and is followed by a pause a hundred times as long: giving pages back must not show
 * in the program's latency. A sweep begins SWEEP after the one before. */
static int64_t sweep_step(int64_t now)
{
    static const int64_t SWEEP = 10 * WEFT_SECOND, STEP = WEFT_MILLISECOND / 10;
    uint32_t nslabs = weft__tasks_slots() / SLAB, n = 0;
    int64_t began, took;

    if (now < sweep.pause_end)
        return sweep.pause_end - now;
    if (sweep.at >= nslabs) {
        count_returned(0, now);
        if (now - sweep.began < SWEEP)
            return sweep.began + SWEEP - now;
        sweep.at = 0;
        sweep.began = now;
    }
    began = weft__mono();
    do {
        weft__lock(&registry.lock, WEFT__RANK_TASKS);
        n += slab_trim(registry.slabs[sweep.at++]);
        weft__unlock(&registry.lock);
        took = weft__mono() - began;
    } while (sweep.at < nslabs && took < STEP);
    count_returned((uint64_t)n * 4096, now);
    sweep.pause_end = now + 100 * took;
    return 100 * took;
}

int64_t weft__tasks_trim(int64_t now)
{
    enum { KEEP = 256 };
    int64_t pause;

    if (weft__load(&registry.nidle) <= KEEP) {
        weft__store(&sweep.rate, 0);
        return -1;
    }
    weft__lock(&sweep.lock, WEFT__RANK_TABLES);
    pause = sweep_step(now);
    weft__unlock(&sweep.lock);
    return pause;
}

static void task_finish(weft__task *t, int result) WEFT__NORETURN;

/* Ends the calling task. */
static void task_finish(weft__task *t, int result)
{
    leave_all(t, result);
    weft__enter("a task's end");
    weft__switch_away(weft__self(), WEFT__LEAVE_EXIT);
    weft__noreach();
}

/* The first function of every task's stack. Debuggers show its name, hence the prefix. */
static void weft__task_main(void)
{
    weft__task *t = weft__worker_arrived();
    int result = 0;

    weft__exit();
    if (t->flags & WEFT__RESULT)
        result = ((weft_main_fn *)(void (*)(void))t->fn)(t->arg);
    else
        t->fn(t->arg);
    task_finish(t, result);
}

void weft__spawn(weft__worker *w, weft__task *t, uintptr_t site)
{
    weft__store(&t->creator_pc, site);
    if (weft__unlikely(weft__gates_any()))
        weft__store(&t->since, weft__ticks()); /* the hog lane asks how old a new task is */
    weft__visible(t);
    if (weft__likely(w->p != NULL)) {
        weft__runq_push(&w->p->runq, t, true);
        if (weft__runq_stealable(&w->p->runq))
            weft__wake_one();
    } else {
        weft__global_push(t);
        weft__fence_full();
        weft__wake_one();
    }
}

/* Lets other tasks run now and then while a task starts many: due timers would be late. */
static inline void spawned(weft__worker *w)
{
    weft__proc *p = w->p;

    if (weft__unlikely(p && ++p->spawns % SPAWNS_TURN == 0 &&
                       weft__load(&p->timers.next) <= weft__nanos())) {
        weft__store(&p->turn, p->tick);
        weft__switch_away(w, WEFT__LEAVE_YIELD);
    }
    weft__exit();
}

static inline void go(weft_task_fn *fn, void *arg, unsigned flags, uintptr_t site)
{
    weft__worker *w = weft__enter("weft_go");
    weft__task *t = weft__task_new(w->p, NULL, fn, arg);

    if (flags)
        weft__flag_set(t, flags);
    weft__spawn(w, t, site);
    spawned(w);
}

void(weft_go)(weft_task_fn *fn, void *arg)
{
    go(fn, arg, 0, (uintptr_t)__builtin_return_address(0));
}

void weft_go_int(weft_main_fn *fn, void *arg)
{
    go((weft_task_fn *)(void (*)(void))fn, arg, WEFT__RESULT,
       (uintptr_t)__builtin_return_address(0));
}

void weft_go_with(const weft_go_options *options, weft_task_fn *fn, void *arg)
{
    weft__worker *w = weft__enter("weft_go_with");

    weft__spawn(w, weft__task_new(w->p, options, fn, arg), (uintptr_t)__builtin_return_address(0));
    spawned(w);
}

uint64_t weft_task_id(void)
{
    return weft__caller("weft_task_id")->id;
}

void weft_task_name(const char *name)
{
    weft__task *t = weft__caller("weft_task_name");

    weft__tags_rename(t, name);
    weft__tell(tagged, t);
}
