/* SPDX-License-Identifier: MIT */
/* chan.h - what select.c, time.c and signals.c need of a channel. */
#ifndef WEFT_CHAN_INTERNAL_H
#define WEFT_CHAN_INTERNAL_H

#include "park.h"

#include <weft/chan.h>

struct weft_chan {
    uint32_t lock;
    bool closed;
    size_t elem_size;
    size_t cap;
    size_t count, head; /* of the ring: values, and where the oldest is */
    weft__waitq recvq, sendq;
    unsigned char ring[];
};

/* The steps of send and recv; under c->lock. woken: the task to make ready after the unlock. */
enum weft__step { WEFT__STEP_WAIT, WEFT__STEP_DONE, WEFT__STEP_CLOSED };

enum weft__step weft__chan_try_send(weft_chan *c, const void *elem, weft__task **woken);
enum weft__step weft__chan_try_recv(weft_chan *c, void *elem, weft__task **woken);
/* Sends without waiting; false if that cannot be. Any thread. */
bool weft__chan_offer(weft_chan *c, const void *elem);
/* Drops what is buffered; true if anything was. */
bool weft__chan_drain(weft_chan *c);
size_t weft__chan_elem_size(const weft_chan *c);
/* What a receive from a closed channel leaves in elem, which may be NULL. */
void weft__chan_zero(const weft_chan *c, void *elem);

#endif
