/* SPDX-License-Identifier: MIT */
/* chan.h - a channel's fields and steps, for select.c, time.c and the signals as channels.
 *
 * The public functions are in chan.c. The functions that take the channel's lock may be called by
 * any thread, under locks of rank GROUP at most. weft__chan_offer is for callers inside the
 * runtime, since it may make a task ready. */
#ifndef WEFT_CHAN_INTERNAL_H
#define WEFT_CHAN_INTERNAL_H

#include "runtime/sched/park.h"

#include <weft/chan.h>

struct weft_chan {
    size_t elem_size;   /* constant */
    size_t cap;         /* constant until the free */
    size_t count, head; /* of the ring: the number of values, and the place of the oldest; count is
                         * read without the lock, too */
    uint32_t lock;      /* rank OBJECT; guards all fields. malloc writes only to the first bytes of
                         * freed memory, so the lock here keeps the mark of a freed channel */
    bool closed;        /* read without the lock, too */
    bool closing;       /* weft_chan_close has waiters left to wake; c stays in place meanwhile */
    uint16_t senders;   /* timers and signals that send here: a free panics while there are any */
    uint32_t run;       /* the run whose tasks the waiters are */
    weft__waitq recvq, sendq;
    unsigned char ring[]; /* cap values */
};

/* The slow parts of weft__chan_lock: waits for the lock; forgets the waiters of an earlier run. */
void weft__chan_lock_slow(weft_chan *c, const char *call);
void weft__chan_renew(weft_chan *c);

/* Takes the lock of c. Panics with the name of the call if c was freed. */
static inline void weft__chan_lock(weft_chan *c, const char *call)
{
    uint32_t free = 0;

    weft__rank_taken(&c->lock, WEFT__RANK_OBJECT);
    if (weft__unlikely(!weft__cas(&c->lock, &free, WEFT__RANK_OBJECT)))
        weft__chan_lock_slow(c, call);
    if (weft__unlikely(c->run != weft__run_number))
        weft__chan_renew(c);
}

/* The results of a step: the caller must wait; the value was transferred; the channel is closed. */
enum weft__step { WEFT__STEP_WAIT, WEFT__STEP_DONE, WEFT__STEP_CLOSED };

/* Send or receive without waiting. Caller holds c->lock, and makes *woken (if any) ready after it
 * has released the lock. */
enum weft__step weft__chan_try_send(weft_chan *c, const void *elem, weft__task **woken);
enum weft__step weft__chan_try_recv(weft_chan *c, void *elem, weft__task **woken);
/* Sends if that needs no wait, and returns whether it did. Takes the lock itself. */
bool weft__chan_offer(weft_chan *c, const void *elem);
/* Makes a free of c panic between a call with true and one with false: a timer or a signal still
 * sends to c. */
void weft__chan_keep(weft_chan *c, bool keep, const char *call);
/* Drops the buffered values. Returns whether there were any. */
bool weft__chan_drain(weft_chan *c);
/* Returns the size of an element. Panics with the name of the call if c was freed. */
size_t weft__chan_elem_size(const weft_chan *c, const char *call);
/* Zeroes elem, which may be NULL, as a receive from a closed channel does. */
void weft__chan_zero(const weft_chan *c, void *elem);

#endif
