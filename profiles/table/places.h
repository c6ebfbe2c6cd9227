/* SPDX-License-Identifier: MIT */
/* places.h - recognizes, without a walk, the stacks at which tasks waited before, and finds the
 * cells in which such waits are counted. For recorder.c, which records each wait.
 *
 * Any thread may call these functions. Finding takes no lock. Adding takes one, and gives up if
 * another thread has it. */
#ifndef WEFT_PLACES_H
#define WEFT_PLACES_H

#include "profiles/table/buckets.h"
#include "profiles/walk/fingerprint.h"
#include "runtime/sched/task.h"

enum { WEFT__PLACE_FRAMES = 64, WEFT__PLACE_STEPS = 48 };
enum { WEFT__PLACES = 4096 /* at most, at one time */ };

/* A place. All members are atomic, since the memory of a forgotten place is used again. */
typedef struct weft__place {
    uint64_t id; /* no two places ever have the same; 0 while the rest changes */
    /* The fingerprint's steps, or none if it has more. The chain is that of frame pointers: a word
     * that says where the next such word is, and a return address above it. It ends with a return
     * address, or with 0. words has the other return addresses, then the other words that count
     * from sp. */
    uint32_t n_chained, n_returns, n_words;
    uintptr_t last;
    struct weft__place_frame {
        uintptr_t next; /* in bytes above sp */
        uintptr_t pc;
    } chain[WEFT__PLACE_STEPS / 2];
    struct {
        uint32_t at; /* in bytes above sp */
        uintptr_t value;
    } words[WEFT__PLACE_STEPS];
    uint32_t n;
    uintptr_t pcs[WEFT__PLACE_FRAMES];
} weft__place;

/* A place that was found. It may be forgotten at any time; its id still names its stack. */
struct weft__known {
    const weft__place *place;
    uint64_t id; /* 0: none was found */
};

void weft__places_start(void); /* a run begins; ends the process if there is no memory */
/* Finds the place of t, whose context is saved and stays so. Returns id 0 if no task waited there,
 * or not for a long time. */
struct weft__known weft__place_find(const weft__task *t);
/* Adds the place of t for its walk. Returns id 0 if there are too many places, or if the walk has
 * no fingerprint. fingerprint: memory for the function's own use. */
struct weft__known weft__place_add(const weft__task *t, const struct weft__walk *walk,
                                   struct weft__fingerprint *fingerprint);
/* Copies the place's stack to walk. Returns false if the place was forgotten and its memory used
 * again. */
bool weft__place_read(struct weft__known known, struct weft__walk *walk);
uint32_t weft__places_count(void);
extern int64_t weft__places_least; /* ns that a generation of places (places.c) lasts at least */

/* The key of a bucket's cell, by which the cell is found without comparing stacks. */
struct weft__cell_key {
    uint64_t table;         /* the table's number */
    uint64_t place, holder; /* ids; holder: 0 if it is no pair */
    const void *object;
    uint64_t labels_reason;
};

weft__cell *weft__cell_find(const struct weft__cell_key *key); /* or NULL */
void weft__cell_remember(const struct weft__cell_key *key, weft__cell *cell);

#endif
