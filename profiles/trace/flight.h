/* SPDX-License-Identifier: MIT */
/* flight.h - the flight recorder: a tape in a file that outlives the process, and its readers.
 *
 * The file is mapped shared, so all that was written is in it whatever ends the process. It has all
 * that a reader needs who has the program's files: events, stacks, names, mappings, clocks. It is
 * laid out so, each part on a page of its own:
 *
 *     head      struct weft__flight_head
 *     maps      a line for each executable mapping: START LIMIT OFFSET BUILD-ID FILE; hex; - : none
 *     stacks    words: id << 32 | n, then n return addresses; maps and stacks are only added to
 *     names     struct weft__flight_name, at the hash of a task's id; a newer task takes the place
 *     tape      as tape.h says
 *
 * flight.c writes it, flight_read.c reads it. A reader trusts nothing: a length may be that of a
 * torn or foreign file. */
#ifndef WEFT_TRACE_FLIGHT_H
#define WEFT_TRACE_FLIGHT_H

#include "profiles/capture/snapshot.h"
#include "profiles/trace/tape.h"
#include "profiles/trace/trace.h"
#include "profiles/trace/words.h"

#include <weft/task.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEFT__FLIGHT_MAGIC "weft flight\n\0\0\0"
enum { WEFT__FLIGHT_VERSION = 1, WEFT__FLIGHT_PAGE = 4096 };

struct weft__flight_part {
    uint64_t at, size; /* bytes in the file */
};

enum { WEFT__FLIGHT_PROCS = 16 };

struct weft__flight_clock {
    int64_t ticks, nanos; /* one moment on both clocks */
};

struct weft__flight_head {
    char magic[16];
    uint32_t version, pid;
    uint64_t size; /* of the file */
    struct weft__flight_part maps, stacks, names, tape;
    uint64_t maps_used, stacks_used;    /* bytes; atomic; those before it never change */
    struct weft__flight_clock first;    /* when the run began */
    struct weft__flight_clock later[2]; /* the latest two moments, in turn */
    uint32_t later_at;                  /* atomic: the index of the latest, which is whole */
    uint32_t ended;                     /* the run ended in order */
    int64_t wall;                       /* CLOCK_REALTIME ns at `first` */
    char program[256];
    char why[256]; /* the message of the report that ended the process; or empty */
    /* The latest changes of the number of processors that run tasks, in turn. */
    struct weft__flight_procs {
        int64_t ticks;
        uint64_t n;
    } procs[WEFT__FLIGHT_PROCS];
    uint64_t procs_n; /* atomic: changes so far; the latest is at (procs_n - 1) % 16 */
};
_Static_assert(sizeof(struct weft__flight_head) <= WEFT__FLIGHT_PAGE, "on a page");

/* The words for a task. seq is odd while they are being written. */
struct weft__flight_name {
    uint32_t seq; /* atomic */
    uint32_t unused;
    uint64_t task, fn;
    char name[32];
    char labels[72]; /* KEY NUL VALUE NUL ...; an empty key ends them */
};
_Static_assert(sizeof(struct weft__flight_name) == 128, "two cache lines");

/* Returns the place of a task's name among n. */
static inline uint64_t weft__flight_place(uint64_t task, uint64_t n)
{
    return task * UINT64_C(0x9e3779b97f4a7c15) >> 20 & (n - 1);
}

/* flight.c ------------------------------------------------------------------------------------- */

/* Begins and ends to record, before and after a run. open returns false, after a line on stderr, if
 * the file cannot be made. path receives the file's path. A thread, the keeper, calls look twenty
 * times a second, and after each ring; it may write files. */
bool weft__flight_open(const char *name, int64_t megabytes, char *path, size_t path_size,
                       void (*look)(void));
void weft__flight_close(void);
bool weft__flight_is_on(void);
uint64_t weft__flight_size(void); /* of the file; in a run, while it is on */
/* Makes a copy of the record as it is now, for weft__flight_copy_free. Returns 0; WEFT_EINVAL if
 * nothing is recorded; WEFT_ENOMEM. Takes milliseconds, without the caller's processor. */
int weft__flight_copy(void **copy, uint64_t *size);
void weft__flight_copy_free(void *copy, uint64_t size);
/* Writes a copy to a sink. Returns as weft__flight_copy does, or the sink's code. */
int weft__flight_write(const struct weft__sink *to);

/* For flight_taken.c. async-signal-safe: */
/* Has the keeper look at once. Returns a number; heard is true once the keeper has written all that
 * was there before the call of ring that returned it. */
uint32_t weft__flight_ring(void);
bool weft__flight_heard(uint32_t ring);
void weft__flight_because(const char *why); /* notes why the process ends */

/* flight_taken.c ------------------------------------------------------------------------------- */

/* Begins and ends to record, if the options or WEFT_FLIGHT name a file. Between the two snapshots
 * are taken into files beside it, at a signal and at stalls. */
void weft__flight_begin(const weft_run_options *o);
void weft__flight_end(void);

struct weft__flight_state {
    const char *file;
    uint64_t bytes; /* of it; no snapshot is larger */
    uint32_t stalls, snapshots, failed;
    uint32_t files_most; /* snapshots that are kept */
};
/* While nothing is recorded the numbers are those of the latest record. */
void weft__flight_state(struct weft__flight_state *out);

/* flight_read.c -------------------------------------------------------------------------------- */

/* A record that is being read. Borrows its bytes. */
typedef struct weft__flight {
    const struct weft__flight_head *head;
    const char *bytes;
    uint64_t size;
    bool torn;               /* the file is shorter than its head says */
    struct weft__span span;  /* all events */
    const uint64_t **stacks; /* by id; NULL: unknown */
    uint32_t n_stacks;
} weft__flight;

/* Reads a record of size bytes, which must stay. Returns NULL, or what is wrong with it. */
const char *weft__flight_read(weft__flight *f, const void *bytes, uint64_t size);
void weft__flight_free(weft__flight *f);
/* Returns the stack of an id: n, then n return addresses; NULL if the record has none. */
const uint64_t *weft__flight_stack(const weft__flight *f, uint32_t id, uint32_t *n);
/* Finds what a task is called. Returns false if the record does not say. */
bool weft__flight_name_of(const weft__flight *f, uint64_t task, struct weft__flight_name *out);
int64_t weft__flight_nanos(const weft__flight *f, int64_t ticks);

/* flight_words.c ------------------------------------------------------------------------------- */

/* Writes the frames of an address, innermost first. Returns how many, of most. */
typedef size_t weft__flight_address(void *arg, uint64_t pc, struct weft__trace_frame *to,
                                    size_t most);

/* The words for a record. */
struct weft__flight_words {
    struct weft__trace_words words;
    const weft__flight *record;
    weft__flight_address *address;
    void *arg;                             /* address's */
    struct weft__flight_name task, labels; /* which the words that were asked for last point into */
};

/* Sets words, whose address must not change, since words.arg is it. */
void weft__flight_words_begin(struct weft__flight_words *w, const weft__flight *record,
                              weft__flight_address *address, void *arg);
/* Writes a record of this process as a trace. Waits for the symbolizer, and for the sink. Returns
 * 0, the sink's code, or -ENOMEM. */
int weft__flight_trace(const void *bytes, uint64_t size, enum weft__trace_format format,
                       const struct weft__sink *to);

/* flight_go.c ---------------------------------------------------------------------------------- */

/* Writes a record by a writer of Go's formats, NULL if memory ran out, and frees the writer.
 * Returns as weft__flight_trace does. */
struct weft__writer;
int weft__flight_go(weft__flight *f, struct weft__writer *w, const struct weft__sink *to);

#endif
