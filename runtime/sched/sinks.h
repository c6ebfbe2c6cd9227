/* SPDX-License-Identifier: MIT */
/* sinks.h - the events of a run, and the sinks that hear them.
 *
 * An event sink is a struct of functions, one for each event that it wants to hear; the others are
 * NULL. Up to WEFT__SINKS of them hear events at the same time. They are added and removed while
 * tasks run. (The sink that a text is written to is another thing: profiles/render/output.h.)
 *
 * Of one task a sink hears spawn, run, then any number of times park, ready, run, then end; lost
 * may come between a run and the park after it. A sink that was added later begins in the middle.
 * Tasks that exist when main returns have no end: stop is the last event of a run, and no other
 * comes until the next start. The record of a thread that is not ours (foreign.c) counts as a task.
 *
 * Functions of a sink are called in the midst of the scheduler. So none may wait, switch, call a
 * public function of the library, add or remove a sink, or look at the state of a task other than
 * the event's. Each says on which stack it is called and which locks are held then: it may take
 * locks of higher ranks only (base/lock.h). On a task's stack it uses a kilobyte at most, or calls
 * weft__ctx_call or a thread's own memory for more. malloc is allowed everywhere.
 *
 * A hot point (spawn, run, park, ready, end, calls, channels, sockets) reads one byte, which says
 * whether a sink wants to hear it (weft__sched.heard), and branches. The byte is beside others that
 * a switch reads. Only if it is set, sinks.c is called. */
#ifndef WEFT_SINKS_H
#define WEFT_SINKS_H

#include "runtime/sched/scheduler.h"
#include "runtime/sched/wait.h"

struct weft_chan;

enum { WEFT__SINKS = 16 };

/* Says who made a task ready. */
struct weft__waker {
    enum weft__source {
        WEFT__BY_LIBRARY, /* a thread of the library: a pool's, the monitor, weft_run's (signals) */
        WEFT__BY_LOOP,    /* an event loop: a socket or a descriptor */
        WEFT__BY_TIMER,   /* a deadline of the task's own, or a timer */
        WEFT__BY_ITSELF,  /* its wait was over before it left its stack; or it only yielded */
        WEFT__BY_TASK,
        WEFT__BY_THREAD, /* a thread that is not ours, which has a record, too */
    } source;
    uint64_t id; /* of the task or the record; else 0 */
    /* The same; NULL where it has left its stack already: the wait for a condition unlocks the
     * mutex then. Otherwise the event is told on its stack, which shows the call. */
    const weft__task *task;
    /* Where in the library it was made ready, as a return address: which call of the library it
     * was. NULL if the task ended its wait itself (BY_ITSELF, or a deadline of a foreign thread).
     */
    const void *site;
};

/* The waits that an unlock is charged with (sync/charge.h). */
struct weft__charge {
    weft__task *self;
    const void *site;
    int64_t now;    /* ticks */
    int64_t waited; /* by all */
    uint32_t n;     /* waiters */
    weft__task *first;
    int64_t first_waited;  /* since it was queued last */
    const int64_t *inside; /* of waited, by window; NULL: no window began since the last charge */
};

/* In each, s is the sink itself, so that a sink may be part of a larger struct. */
struct weft__event_sink {
    /* A run begins; no task and no worker exists. On weft_run's thread, without locks. Sinks start
     * in the order in which they were added, if none was removed before, and stop in reverse. */
    void (*start)(struct weft__event_sink *s);
    /* The run ends: no worker runs a task any more, and from the return on nothing may look at
     * workers and tasks. As start. */
    void (*stop)(struct weft__event_sink *s);

    /* t will run. Its id, creator, creator_pc and fn are set. On the creator's stack, or a timer's
     * worker's own. The creator's group may be locked (rank GROUP). */
    void (*spawn)(struct weft__event_sink *s, const weft__task *t);
    /* t begins to run on w, which has a processor unless w is foreign; w->now is when. On the stack
     * of the task that ran before, with the locks that it held when it parked (ranks up to OBJECT),
     * or on w's own. */
    void (*run)(struct weft__event_sink *s, const weft__task *t, const weft__worker *w);
    /* t, the caller, waits for object, which may be NULL; its worker's now is since when. why is
     * WEFT__WAIT_NONE if it does not wait but lets others run, or has just come back after it was
     * lost: then ready follows at once. Before any waker can find t. On t's stack (back from
     * lost: on the worker's own), with the object's locks (ranks up to OBJECT). */
    void (*park)(struct weft__event_sink *s, const weft__task *t, enum weft__reason why,
                 const void *object);
    /* t's wait is over, and t will run. On the waker's stack, with its locks (ranks up to
     * OBJECT). */
    void (*ready)(struct weft__event_sink *s, const weft__task *t, const struct weft__waker *by);
    /* t goes on without a processor: w's was taken. On the monitor's thread, with w->lk (rank
     * RUNQ); or, if t declared a call that is known to last, on t's stack without locks. */
    void (*lost)(struct weft__event_sink *s, const weft__task *t, const weft__worker *w,
                 enum weft__why why);
    /* t, the caller, begins a declared blocking call, which lost may follow; and it is back from
     * it, with a processor. A call of the library's own may have no end but the next event of t. On
     * t's stack, without locks. */
    void (*call)(struct weft__event_sink *s, const weft__task *t);
    void (*called)(struct weft__event_sink *s, const weft__task *t);
    /* w is about to sleep in its loop. On its own stack, without locks. */
    void (*idle)(struct weft__event_sink *s, const weft__worker *w);
    /* The thread of w could run for ns, but waited for a CPU, since the last such event of w
     * (delay.h). On its own stack, without locks. */
    void (*delayed)(struct weft__event_sink *s, const weft__worker *w, uint64_t ns);
    /* t, the caller, has something to tell that only sinks understand (profiles/trace/user.h). On
     * its stack, without locks. */
    void (*note)(struct weft__event_sink *s, const weft__task *t, const void *what);
    /* t, the caller, ends at its worker's now. On its stack, without locks. */
    void (*end)(struct weft__event_sink *s, const weft__task *t);

    /* t, the caller, has another name or other labels. On its stack, without locks. */
    void (*tagged)(struct weft__event_sink *s, const weft__task *t);

    /* A wait of t, the caller's task, is over, and used up w->waits.left (observe.h): the ticks
     * that it lasted. On t's stack, as it was while it waited, without locks. */
    void (*waited)(struct weft__event_sink *s, weft__task *t, enum weft__reason why, int64_t ticks);
    /* charged: a charge used up w->charges.left: self unlocks a lock for which other tasks waited
     * c->waited ticks that nobody was charged for yet. paired: first's wait used up w->pairs.left;
     * first got the lock and is not yet ready. self is NULL if its stack cannot be walked; then it
     * is at site. On the stack of the unlocker, without locks. */
    void (*held_up)(struct weft__event_sink *s, const struct weft__charge *c, bool charged,
                    bool paired);

    /* The caller has just made a thread: that of w, or, if w is NULL, one that lasts as long as the
     * run. made_for: the entry of the task that lost its processor or waits tied to its thread, if
     * that is the reason and the stack does not show it; else NULL. On any kind of stack, without
     * locks. */
    void (*thread_made)(struct weft__event_sink *s, weft__worker *w, weft_task_fn *made_for);
    /* The thread of w is about to end, before the run does. On the monitor's, without locks. */
    void (*thread_gone)(struct weft__event_sink *s, weft__worker *w);

    /* The object of a park for sock. On the caller's stack, or a worker's own, without locks. */
    void (*sock_open)(struct weft__event_sink *s, const void *sock, int fd);
    void (*sock_close)(struct weft__event_sink *s, const void *sock, int fd);
    /* c was made; will be freed. On the caller's stack, without locks; outside the runtime, so that
     * the processor may be taken meanwhile. */
    void (*chan_new)(struct weft__event_sink *s, const struct weft_chan *c);
    void (*chan_free)(struct weft__event_sink *s, const struct weft_chan *c);
};

/* Adds s, which stays in place until it is removed. It hears what happens after the return, and may
 * hear what happens before. Returns false if there are WEFT__SINKS already. Any thread. */
bool weft__sinks_add(struct weft__event_sink *s);
/* Removes s. When this returns, none of its functions is being called any more, nor will be. Any
 * thread that holds no lock of ours; a task's processor stands still meanwhile. */
void weft__sinks_remove(struct weft__event_sink *s);

/* run.c: the run begins and ends. */
void weft__sinks_start(void);
void weft__sinks_stop(void);

/* Returns whether a sink wants to hear the event. */
#define weft__heard(event) weft__unlikely(weft__is_set(&weft__sched.heard.event))

/* Tells an event of a hot point, if it is heard: weft__tell(run, t, w). */
#define weft__tell(event, ...) (weft__heard(event) ? weft__tell_##event(__VA_ARGS__) : (void)0)

/* Call the sinks. */
void weft__tell_spawn(const weft__task *t);
void weft__tell_run(const weft__task *t, weft__worker *w);
/* Returns the time in ticks, which is that of the wait's start, and is in w->now. */
int64_t weft__tell_park(const weft__task *t, enum weft__reason why, const void *object);
/* site: in the library, where t is made ready. */
void weft__tell_ready(const weft__task *t, const void *site);
/* t is made ready by a source that is no task. */
void weft__tell_ready_by(const weft__task *t, enum weft__source source);
void weft__tell_yield(const weft__task *t); /* park and ready: t does not wait */
void weft__tell_skip(const weft__task *t);  /* ready and run: its wait is over already */
void weft__tell_lost(const weft__task *t, const weft__worker *w, enum weft__why why);
void weft__tell_call(const weft__task *t);
void weft__tell_called(const weft__task *t);
void weft__tell_idle(const weft__worker *w);
void weft__tell_delayed(const weft__worker *w, uint64_t ns);
void weft__tell_note(const weft__task *t, const void *what);
void weft__tell_end(const weft__task *t);
void weft__tell_tagged(const weft__task *t);
void weft__tell_waited(weft__task *t, enum weft__reason why, int64_t ticks);
void weft__tell_held_up(const struct weft__charge *c, bool charged, bool paired);
void weft__tell_thread_made(weft__worker *w, weft_task_fn *made_for);
void weft__tell_thread_gone(weft__worker *w);
void weft__tell_sock_open(const void *sock, int fd);
void weft__tell_sock_close(const void *sock, int fd);
void weft__tell_chan_new(const struct weft_chan *c);
void weft__tell_chan_free(const struct weft_chan *c);

#endif
