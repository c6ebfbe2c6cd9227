/* SPDX-License-Identifier: MIT */
/* visit.h - threads that are not weft's join the run and leave it, for the torture programs. */
#ifndef VISIT_H
#define VISIT_H

#include "torture.h"

#include <weft/chan.h>
#include <weft/time.h>

static void *visit_run(void *chan)
{
    uint64_t value = 0;

    weft_chan_send_until(chan, &value, weft_after(WEFT_MILLISECOND));
    weft_chan_recv_until(chan, &value, weft_after(WEFT_MILLISECOND));
    return NULL;
}

/* Starts a thread that sends and receives at a channel of uint64_t, and waits for its end. */
static void visit(weft_chan *chan)
{
    pthread_t thread;

    EXPECT(pthread_create(&thread, NULL, visit_run, chan) == 0);
    weft_blocking(torture_join, &thread);
}

#endif
