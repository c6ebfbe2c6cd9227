/* SPDX-License-Identifier: MIT */
/* chan.h - what select.c, time.c and signals.c need of a channel. */
#ifndef WEFT_CHAN_INTERNAL_H
#define WEFT_CHAN_INTERNAL_H

#include "runtime/sched/park.h"

#include <weft/chan.h>

struct weft_chan {
    size_t elem_size;
    size_t cap;
    size_t count, head; /* of the ring: values, and where the oldest is */
    uint32_t lock;      /* behind what malloc writes into freed memory */
    bool closed;
    bool closing;     /* weft_chan_close has waiters left to wake; c stays in place */
    uint16_t senders; /* a timer, or signals, that send here; it may not be freed */
    uint32_t run;     /* the run whose tasks the waiters are */
    weft__waitq recvq, sendq;
    unsigned char ring[];
};

void weft__chan_lock_slow(weft_chan *c, const char *call);
void weft__chan_renew(weft_chan *c); /* forgets the waiters of an earlier run */

/* Panics with the name of the call if c was freed. */
static inline void weft__chan_lock(weft_chan *c, const char *call)
{
    uint32_t free = 0;

    weft__rank_taken(&c->lock, WEFT__RANK_OBJECT);
    if (weft__unlikely(!weft__cas(&c->lock, &free, WEFT__RANK_OBJECT)))
        weft__chan_lock_slow(c, call);
    if (weft__unlikely(c->run != weft__run_number))
        weft__chan_renew(c);
}

/* The steps of send and recv; under c->lock. woken: the task to make ready after the unlock. */
enum weft__step { WEFT__STEP_WAIT, WEFT__STEP_DONE, WEFT__STEP_CLOSED };

enum weft__step weft__chan_try_send(weft_chan *c, const void *elem, weft__task **woken);
enum weft__step weft__chan_try_recv(weft_chan *c, void *elem, weft__task **woken);
/* Sends without waiting; false if that cannot be. Any thread. */
bool weft__chan_offer(weft_chan *c, const void *elem);
/* Makes a free of c panic, from a call with true to the one with false. */
void weft__chan_keep(weft_chan *c, bool keep, const char *call);
/* Drops what is buffered; true if anything was. */
bool weft__chan_drain(weft_chan *c);
size_t weft__chan_elem_size(const weft_chan *c, const char *call);
/* Zeroes elem, which may be NULL, as a receive from a closed channel does. */
void weft__chan_zero(const weft_chan *c, void *elem);

#endif
