/* SPDX-License-Identifier: MIT */
/* weft/signal.h - signals as values on a channel.
 *
 *     weft_chan *stop = weft_chan_new(sizeof(int), 1);
 *     weft_signal_start(stop, SIGTERM);
 *     weft_chan_recv(stop, &signo);
 *
 * A signal handler may call nothing of this library, on whatever thread it runs: the call it
 * interrupted may hold a lock that it would wait for. A channel of signals is the way. */
#ifndef WEFT_SIGNAL_H
#define WEFT_SIGNAL_H

#include <weft/chan.h>
#ifdef __cplusplus
extern "C" {
#endif

/* From now on signo (an int) is sent on c, without waiting: a full channel misses it. Several
 * channels may ask for one signal. While any does, the signal's default action is off; a handler
 * that the program had installed before is still called. 0; WEFT_EINVAL (SIGKILL, SIGSTOP and
 * the synchronous signals cannot be had). */
WEFT_API int weft_signal_start(weft_chan *c, int signo);
/* After the return c gets no more of it. With the last one the former disposition is back. */
WEFT_API void weft_signal_stop(weft_chan *c, int signo);

#ifdef __cplusplus
}
#endif
#endif
