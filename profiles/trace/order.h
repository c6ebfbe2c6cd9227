/* SPDX-License-Identifier: MIT */
/* order.h - makes one list of steps, in the order of causes, of the strands of a span. All formats
 * are written from steps.
 *
 * Steps obey the rules that readers of traces check: a thread has a processor before it runs a
 * task, a task that waits is made ready before it runs, and so on. Where events are missing, since
 * the reader came too late, steps are put in so that the rules hold. Times rise with each step.
 *
 * A form is called once for each step, before the step changes the state. Threads that are no
 * workers have a processor of their own while their task lives, from WEFT__PROC_FOREIGN on; another
 * thread may get it later. The library's other threads share thread 0, with WEFT__PROC_LIBRARY.
 *
 * One thread uses an order at a time, with no lock held. */
#ifndef WEFT_TRACE_ORDER_H
#define WEFT_TRACE_ORDER_H

#include "profiles/trace/tape.h"

enum { WEFT__PROC_LIBRARY = 999, WEFT__PROC_FOREIGN = 1000 };
enum { WEFT__DELAY_SHOWN = 100000 /* ns */ };

enum weft__task_is {
    WEFT__IS_UNKNOWN, /* not seen yet, or ended */
    WEFT__IS_UNMADE,  /* a foreign thread's: it is made as it begins to run */
    WEFT__IS_RUNNABLE,
    WEFT__IS_RUNNING,
    WEFT__IS_CALLING, /* runs without a processor */
    WEFT__IS_WAITING,
};

struct weft__traced_task {
    uint64_t id;
    enum weft__task_is is;
    uint32_t seq;                        /* of its last event; 0: it had none */
    uint32_t least;                      /* in this span */
    uint32_t span;                       /* the latest span with an event of it */
    uint32_t thread;                     /* while it is RUNNING or CALLING */
    uint32_t stack;                      /* where it waited at the start */
    uint8_t reason;                      /* the same */
    uint64_t fn;                         /* its function, or 0 */
    bool calling;                        /* RUNNING, in a declared call */
    uint32_t labels;                     /* id of their set (table/labelset.h); 0: none */
    uint64_t more;                       /* of an event MORE */
    struct weft__traced_region *regions; /* open, the latest first */
    uint64_t form_a, form_b;             /* for the form; 0 at first */
};

struct weft__traced_thread {
    uint64_t id;
    uint32_t proc;  /* or WEFT__NO_PROC */
    uint32_t last;  /* of a worker: the processor that it had last, or WEFT__NO_PROC */
    uint64_t task;  /* RUNNING or CALLING here; or 0 */
    uint64_t delay; /* ns, of events DELAY since it began to run a task */
    uint32_t form;  /* for the form; 0 at first */
    bool foreign;   /* it is no worker */
};

enum weft__step_kind {
    WEFT__STEP_PROC_START, /* thread gets proc */
    WEFT__STEP_PROC_STOP,  /* thread leaves proc */
    WEFT__STEP_CREATE,     /* arg: its function; stack: of the creator */
    WEFT__STEP_START,
    WEFT__STEP_BLOCK, /* detail: enum weft__reason; arg: object */
    WEFT__STEP_YIELD,
    WEFT__STEP_UNBLOCK, /* detail: enum weft__source; arg: the waker's id; proc: of thread, if any
                         */
    WEFT__STEP_CALL,   /* a blocking call begins; of a hog LOST is next, or of an undeclared call */
    WEFT__STEP_LOST,   /* detail: enum weft__why; thread loses proc, and calls on */
    WEFT__STEP_BACK,   /* the call without a processor is over: runnable */
    WEFT__STEP_CALLED, /* the call is over; the processor was kept */
    WEFT__STEP_END,
    /* By the program: arg as the event's, more: a parent, or the text of a log. */
    WEFT__STEP_TASK_BEGIN,
    WEFT__STEP_TASK_END,
    WEFT__STEP_REGION_BEGIN,
    WEFT__STEP_REGION_END,
    WEFT__STEP_LOG,
    WEFT__STEP_LABEL,   /* task, which runs, has other labels */
    WEFT__STEP_PROCS,   /* from now on arg processors run tasks */
    WEFT__STEP_DELAY,   /* thread, on proc, waited for a CPU; arg: ns since the last such step */
    WEFT__STEP_DELAYED, /* task, which has just begun to run, may be late: its thread waited for a
                         * CPU. arg: ns, WEFT__DELAY_SHOWN at least */
};

struct weft__step {
    enum weft__step_kind kind;
    uint8_t detail;
    uint32_t thread, proc; /* where it happens; of UNBLOCK the waker's, and proc may be NO_PROC */
    uint32_t stack;
    int64_t nanos;
    uint64_t arg, more;
    struct weft__traced_task *task; /* NULL for PROC_, PROCS and DELAY */
};

typedef struct weft__order weft__order;

/* Takes the steps. */
typedef struct weft__form weft__form;
struct weft__form {
    void (*step)(struct weft__form *f, weft__order *o, const struct weft__step *s);
};

weft__order *weft__order_new(struct weft__form *f);
void weft__order_free(weft__order *o);
/* Takes over what is known at the start, before the first span, whose events tell the rest. After
 * it the form can ask for the state, which is that at the span's beginning. Returns false if memory
 * ran out. */
bool weft__order_begin(weft__order *o, const struct weft__tape_start *start,
                       const struct weft__span *first);
/* Brings a span's events into order and gives them to the form. Returns false if memory ran out. */
bool weft__order_span(weft__order *o, const struct weft__span *s);

/* The state, for forms. each calls fn for each; the time is that of the last step. */
void weft__order_tasks(weft__order *o, void (*fn)(void *arg, struct weft__traced_task *t),
                       void *arg);
void weft__order_threads(weft__order *o, void (*fn)(void *arg, struct weft__traced_thread *t),
                         void *arg);
/* Calls fn for each processor ever seen; thread: that has it, or NULL. */
void weft__order_procs(weft__order *o,
                       void (*fn)(void *arg, uint32_t proc, struct weft__traced_thread *thread),
                       void *arg);
/* Returns how many processors run tasks; 0: it is not known. */
uint64_t weft__order_active(const weft__order *o);
struct weft__traced_thread *weft__order_thread(weft__order *o, uint32_t id);
/* Returns whether a task is in a declared call that kept its processor. */
bool weft__order_is_calling(weft__order *o, uint64_t task);
/* Returns the id of the set of a task's labels. */
uint32_t weft__order_labels(weft__order *o, uint64_t task);
/* Returns whether the state at the start, or a step, was about a task. */
bool weft__order_knows(weft__order *o, uint64_t task);
int64_t weft__order_now(const weft__order *o);
/* Converts a moment of the latest span, in ticks. */
int64_t weft__order_nanos(const weft__order *o, int64_t ticks);
void weft__order_set_now(weft__order *o, int64_t nanos); /* the next step comes later */

#endif
