/* SPDX-License-Identifier: MIT */
/* tape.h - the tape: the memory that all threads write their events to, and its readers.
 *
 * Threads write events while at least one reader has the tape open (hear.c); else nothing is
 * written, and the scheduler tests one byte. Writing takes no lock and never waits. The memory is
 * of a fixed size. When it is full the oldest piece is written over, so a reader must read often
 * enough, or it misses events (weft__span.missed).
 *
 * A cut divides all events in two: an event that happened after another one lies not before it.
 * So what a reader gets between two cuts, a span, has of each task all events without a hole, and
 * any number of readers may make cuts of their own. Time does not define a cut, causality does.
 *
 * Any task, or thread in a run, may open; any thread may read and close, one at a time for each
 * reader. No function here waits for a task, and none may be called with a lock held. */
#ifndef WEFT_TAPE_H
#define WEFT_TAPE_H

#include "profiles/table/stacktab.h"
#include "profiles/trace/event.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct weft__reader weft__reader;

/* The events of one strand between two cuts. Most strands are of one thread; one strand is shared
 * by all threads that are no workers, with a mark at each change. */
struct weft__strand {
    size_t first, n; /* in weft__span.events */
};

/* The events between two cuts. It is all zero at first. */
struct weft__span {
    struct weft__event *events;
    size_t n, cap;
    struct weft__strand *strands;
    size_t n_strands, strands_cap;
    int64_t from, until; /* ticks of the two cuts */
    bool missed;         /* events are missing: the reader came too late */
    bool ended;          /* the reader's run has ended: no event comes any more */
};

void weft__span_free(struct weft__span *s);
/* Adds to a span that n processors run tasks from a moment on, on a strand of its own. Needs room
 * for a strand and two events. */
static inline void weft__span_add_procs(struct weft__span *s, int64_t ticks, uint64_t n)
{
    s->strands[s->n_strands++] = (struct weft__strand){s->n, 2};
    s->events[s->n++] = (struct weft__event){
        .ticks = ticks, .kind = WEFT__EV_MARK, .arg = weft__event_place(0, WEFT__NO_PROC)};
    s->events[s->n++] = (struct weft__event){.ticks = ticks, .kind = WEFT__EV_PROCS, .arg = n};
}

/* Begins to read, with a cut: the run under way, or else the next one. The first reader makes
 * threads write. Returns NULL if memory ran out, or if there are too many sinks. */
weft__reader *weft__tape_open(void);
/* Makes a cut, and reads all events since the reader's last one into the span, in the place of what
 * it had. Returns false if memory ran out; these events are missing then. */
bool weft__tape_read(weft__reader *r, struct weft__span *to);
/* Returns the share of the tape, in 1/256, that was written since the reader's last cut. */
unsigned weft__tape_fill(const weft__reader *r);
/* Returns whether the reader's run has ended. */
bool weft__tape_ended(const weft__reader *r);
/* Ends reading. With the last reader threads stop writing; stacks and spans' ids are void then. */
void weft__tape_close(weft__reader *r);

/* Returns the stack of an event's id, which stays as long as a reader has the tape open. */
const struct weft__stack_entry *weft__tape_stack(uint32_t id);
/* Adds a stack, and returns its id; 0 if there are too many. */
struct weft__walk;
uint32_t weft__tape_intern(const struct weft__walk *walk);
/* Returns how many stacks there are; ids are 1 to this number. */
uint32_t weft__tape_stacks(void);

/* Which thread has which processor, and runs which task. */
struct weft__tape_thread {
    uint32_t thread; /* the kernel's id */
    uint32_t proc;   /* or WEFT__NO_PROC */
    uint64_t task;   /* or 0 */
};

struct weft__snapshot;
/* The state when a reader began, as far as its first span does not tell it.
 *
 * The first event of a task in the span tells what the task did before: it ran if it parks, it
 * waited if it is made ready, and so on. For tasks, and threads, without an event in the first span
 * this has the state; for all tasks it has names and stacks. */
struct weft__tape_start {
    const struct weft__snapshot *tasks; /* NULL: no snapshot could be had */
    struct weft__tape_thread *threads;
    size_t n_threads;
};

/* Looks at everything, after weft__tape_open and before the first read. Tasks run on meanwhile. A
 * task, or a thread in a run. Returns false if memory ran out. */
bool weft__tape_start(struct weft__tape_start *out);
void weft__tape_start_free(struct weft__tape_start *s);

/* Sets the memory that the next first reader's tape lies in, such as a mapped file; NULL: memory
 * of the tape's own. It must be all zero, 64 KiB at least, and stay until the tape is closed. */
void weft__tape_place(void *memory, size_t size);

/* How the memory is laid out: a head, then pieces. --------------------------------------------- */

enum { WEFT__PIECE_EVENTS = 1023, WEFT__TAPE_MAGIC = 0x77747031 };

/* A piece of a strand. Fields are atomic. A piece that is being written over has serial 0. */
struct weft__tape_piece {
    uint64_t serial; /* counts all pieces ever begun, from 1 */
    uint64_t before; /* events of the strand before this piece */
    uint32_t strand;
    uint32_t n; /* events so far */
    uint64_t unused;
    struct weft__event events[WEFT__PIECE_EVENTS]; /* the first is a mark */
};
_Static_assert(sizeof(struct weft__tape_piece) == 32768, "a whole number of pages");

struct weft__tape_head {
    uint32_t magic, version;
    uint32_t piece_size, pieces;
    int64_t base_ticks, base_nanos; /* one instant on both clocks */
};
enum { WEFT__TAPE_HEAD_SIZE = 4096 };

#endif
