/* SPDX-License-Identifier: MIT */
/* task.h - the record of a task, its states, and the registry of all records.
 *
 * Records come in slabs and are never unmapped. So a stale pointer with its ticket may be tested,
 * and the registry is simply every slot. A record with a stack of the default size keeps the stack
 * when its task ends, and the next task gets both while they are in the cache.
 *
 * A field without a note belongs to the thread that runs the task, or that has picked it. Dumpers
 * read most fields at any time, so those are stored atomically.
 *
 * The README of this folder has the table of states: which file moves a task from one to another,
 * and to which thread the stack belongs meanwhile. weft__task_move is the only writer of a
 * state. */
#ifndef WEFT_TASK_INTERNAL_H
#define WEFT_TASK_INTERNAL_H

#include "runtime/base/list.h"
#include "runtime/machine/ctx.h"
#include "runtime/machine/stack.h"
#include "runtime/sched/tags.h"
#include "runtime/sched/timer.h"
#include "runtime/sched/wait.h"

#include <weft/task.h>

typedef struct weft__task weft__task;
typedef struct weft__worker weft__worker;
typedef struct weft__proc weft__proc;

enum weft__state {
    WEFT__IDLE,
    WEFT__RUNNABLE,
    WEFT__RUNNING,
    WEFT__PARKED,
    WEFT__LOST,
    WEFT__DEAD,
    WEFT__STATES
};

enum weft__task_flags {
    WEFT__FOREIGN = 1,         /* stands for a thread that is not ours, which waits on a futex */
    WEFT__FOREIGN_CREATOR = 2, /* the creator was such a thread */
    WEFT__BIG = 4,             /* has a stack of its own size */
    WEFT__TOUCHED = 8,         /* its stack may hold pages: set when it is in the pool */
    WEFT__LANE = 16,           /* has its turn of the hog lane */
    WEFT__STARTED = 32,
    WEFT__RESULT = 64,    /* fn is a weft_main_fn */
    WEFT__CANARY = 128,   /* its stack has a canary instead of a guard */
    WEFT__PASSED = 256,   /* has waited for a thread, and need not again before it has run */
    WEFT__HOG = 512,      /* burnt CPU until its processor was taken, the last time it ran */
    WEFT__HEAVY = 2048,   /* a hog whose burst was long */
    WEFT__SAT = 4096,     /* sat in an undeclared call until its processor was taken */
    WEFT__CALLING = 1024, /* is between weft_blocking_begin and weft_blocking_end */
};

struct weft__task {
    /* A switch touches this cache line, and a wait the next one. */
    weft__ctx ctx;
    uint32_t state;       /* atomic: enum weft__state */
    uint32_t on_cpu;      /* atomic: 1 from being picked until its stack is left */
    uint32_t snap;        /* atomic: 2E: recorded in snapshot E, 2E+1: born in it (observe.h) */
    uint32_t ready_epoch; /* atomic: the epoch when it was last made ready */
    uint64_t ticket; /* atomic: odd: a wait is open; the thread that makes it even ends the wait */
    weft__worker *worker; /* the thread it runs on or ran on last; it is tied to it if pins > 0 */
    int32_t result;       /* of the wait; written by the claimer */
    uint16_t flags;       /* changes only while the task runs or is picked */
    uint8_t pins;         /* running owner only */
    uint8_t reason;       /* of the wait: written by park.c before the ticket opens */

    /* Of the wait: its object, start and deadline. */
    union {
        const void *object;
        weft__task *next; /* in the one list it is on: a free list, the lane */
    };
    int64_t since;     /* ticks */
    weft__timer timer; /* its deadline */

    /* Constant while the task lives. */
    uint64_t id;
    uint64_t creator;
    uintptr_t creator_pc;
    weft_task_fn *fn;
    void *arg;
    uint32_t slot;
    uint32_t canceled; /* atomic: WEFT__CANCELED, and WEFT__SHIELD for each shield */

    /* Guarded by group->_lock for writing. group is atomic. */
    weft_group *group;
    weft__link in_group;

    weft__tags *tags; /* atomic: a reference, or NULL; written by the running owner */
    void **locals;    /* running owner only */
};

/* Change a flag. One thread at a time writes the flags, so no read-modify-write is needed; dumpers
 * read them. */
static inline void weft__flag_set(weft__task *t, unsigned flag)
{
    weft__store(&t->flags, (uint16_t)(t->flags | flag));
}

static inline void weft__flag_clear(weft__task *t, unsigned flag)
{
    weft__store(&t->flags, (uint16_t)(t->flags & ~flag));
}

#if WEFT_CHECK >= 2
/* Panics unless t is in that state, and may go from there to the other. task.c */
void weft__task_moves(const weft__task *t, enum weft__state from, enum weft__state to);
#else
static inline void weft__task_moves(const weft__task *t, enum weft__state from, enum weft__state to)
{
    (void)t, (void)from, (void)to;
}
#endif

/* Moves t from one state to another. No other function writes a task's state. */
static inline void weft__task_move(weft__task *t, enum weft__state from, enum weft__state to)
{
    weft__task_moves(t, from, to);
    weft__store_rel(&t->state, (uint32_t)to);
}

/* Parts of task.canceled. A canceler sets the first, under group->_lock; only the task itself adds
 * and subtracts the second. */
enum { WEFT__CANCELED = 1, WEFT__SHIELD = 2 };

/* Returns whether the task's cancelable waits end at once: it is canceled, and no shield is up. */
static inline bool weft__is_canceled(const weft__task *t)
{
    return weft__load(&t->canceled) == WEFT__CANCELED;
}

/* Returns how far below its stack's end a task begins, so that tasks do not all use the same cache
 * sets. */
static inline size_t weft__task_color(const weft__task *t)
{
    return (t->slot % 8) * (size_t)128;
}

/* The epoch of the latest snapshot; 0: none was ever taken. */
extern WEFT__HIDDEN uint32_t weft__epoch;

#if !defined(WEFT__ASAN) && !defined(WEFT__TSAN)
_Static_assert(offsetof(struct weft__task, object) == 64, "a switch touches one line");
_Static_assert(sizeof(struct weft__task) == 192, "a million tasks take 192 MB of records");
#endif

/* task.c */
extern uint64_t weft__first_id; /* of this run; ids are not used again in later runs */
/* leave: takes a task, whose function has returned this result, out of its group. */
typedef void weft__leave_group(weft__task *t, int result);
void weft__tasks_init(size_t stack_size, weft__leave_group *leave);
weft__task *weft__task_new(weft__proc *p, const weft_go_options *options, weft_task_fn *fn,
                           void *arg);
/* Makes a new task RUNNABLE. Snapshots see it from here on. */
void weft__visible(weft__task *t);
/* Makes a new task visible and queues it on w's processor. site: the place that creates it. */
void weft__spawn(weft__worker *w, weft__task *t, uintptr_t site);
/* Frees the record of a DEAD task, into p's free list. Called by the worker, after the task's last
 * switch. */
void weft__task_free(weft__proc *p, weft__task *t);
/* Make and free the record of a thread that is not ours. in_run: the run that is under way knows
 * it, and hears of its end. */
weft__task *weft__task_foreign(void);
void weft__task_foreign_free(weft__task *t, bool in_run);
/* Gives p's free list back to the pool, at the end of a run. */
void weft__task_flush(weft__proc *p);
/* Frees the records of all tasks that are left, after the last worker has gone. keep_work: except
 * those that wait for the thread pool, whose call may still use their stack. */
void weft__tasks_discard(bool keep_work);
uint32_t weft__tasks_slots(void); /* slots ever made: 0..n-1 */
weft__task *weft__tasks_at(uint32_t slot);
/* Tells where the registry has the pointer to its array of slabs and the number of slots, and how
 * many tasks, which come first in it, a slab has. For debuggers (run/layout.c). */
void weft__tasks_place(const void **slabs, const void **slots, uint32_t *per_slab);
/* The number of tasks in each state, with the hog lane counted apart, and the memory of their
 * stacks. This is a count and no snapshot: tasks run on meanwhile, so the numbers may not add
 * up. */
struct weft__census {
    uint32_t states[WEFT__DEAD + 1];
    uint32_t hog_lane; /* of those that are parked or runnable */
    uint64_t created;
    size_t stacks;      /* bytes from the saved stack pointers up, in pages */
    size_t idle_stacks; /* bytes that finished tasks may have left in memory, in pages */
    size_t records;     /* bytes */
    uint64_t returned;  /* bytes of idle stacks given back to the kernel since the process began */
    uint64_t return_rate; /* of them in the last second */
};
void weft__tasks_count(struct weft__census *c);
/* Gives stacks that no task has used for a while back to the kernel, in small steps. now is an
 * instant of weft__mono. Returns the nanoseconds after which it should be called again; -1: not
 * before more tasks have ended. Only the monitor calls it. */
int64_t weft__tasks_trim(int64_t now);

/* switch.c. The first call on a fresh stack; returns the task that begins there. */
weft__task *weft__worker_arrived(void);

#endif
