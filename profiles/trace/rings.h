/* SPDX-License-Identifier: MIT */
/* rings.h - the tape's memory and the writer's end of each strand, for hear.c, which writes, and
 * tape.c, which reads. */
#ifndef WEFT_TRACE_RINGS_H
#define WEFT_TRACE_RINGS_H

#include "profiles/trace/tape.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"

/* The writer's end of a strand. One thread writes it; the shared one is guarded by tape.shared. Its
 * cache lines have nothing that another thread writes. */
typedef struct weft__ring weft__ring;
struct weft__ring {
    uint32_t busy __attribute__((aligned(64))); /* atomic: an event is being written */
    uint32_t cut;                               /* the latest cut that the strand has a mark for */
    uint32_t thread;
    uint32_t n; /* events in the piece */
    struct weft__tape_piece *piece;
    int64_t latest;   /* ticks of the latest event */
    uint64_t before;  /* events in earlier pieces */
    uint32_t strand;  /* constant */
    weft__ring *next; /* constant; all rings of the tape */
};

/* The last event of a task's record. */
struct weft__tape_last {
    uint32_t seq, strand;
};

extern WEFT__HIDDEN struct weft__tape {
    uint32_t cut;       /* atomic: the number that events bear now; 0: nothing is written */
    uint32_t cuts;      /* atomic: the number of the latest cut; written by tape.c under its lock */
    uint32_t ended_run; /* atomic: the number of the latest run that ended */
    uint32_t age;       /* atomic: of the rings; a worker's ring of another age is not its own */
    uint32_t shared;    /* lock (rank TASKS) of the shared strand */
    weft__ring common;
    struct weft__tape_last *lasts; /* by slot; guarded by what orders the events of the task */
    weft__stacktab *stacks;
    struct weft__tape_piece *pieces; /* constant while there is a tape, as the next */
    uint32_t n_pieces;
    uint32_t n_strands; /* atomic, as the next; written under rings.c's lock */
    uint64_t serials;   /* pieces begun */
} weft__tape;

/* Lays out the memory of the tape, and frees it while no thread writes or reads. Returns false if
 * memory ran out. */
bool weft__tape_new(void);
void weft__tape_free(void);
/* Waits until every event that began before the latest cut is written. */
void weft__tape_wait(void);
/* Makes a worker's ring. Returns NULL if memory ran out. */
weft__ring *weft__ring_new(weft__worker *w);
/* Begins a piece of the ring's strand. Returns false if there is none. */
bool weft__ring_turn(weft__ring *r);
/* Leaves a stack whose unwind rules are not known to a reader, which learns them (really), or
 * forgets about them. */
struct weft__deferred;
void weft__tape_learn(struct weft__deferred *d);
void weft__tape_learn_all(bool really);
/* For the sink: a run begins, and ends. */
void weft__tape_run_begins(struct weft__event_sink *s);
void weft__tape_run_ends(struct weft__event_sink *s);

/* hear.c */
extern WEFT__HIDDEN struct weft__event_sink weft__hear;
/* Writes the notes of the program. The flight recorder does without: its record has no texts. The
 * sink is there only while a reader has the tape open. */
extern WEFT__HIDDEN struct weft__event_sink weft__hear_notes;
void weft__hear_begin(void); /* the tape begins: forgets the stacks of an earlier one */

#endif
