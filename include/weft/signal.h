/* SPDX-License-Identifier: MIT */
/* weft/signal.h - signals as values on a channel.
 *
 *     static int run_until_asked(void *arg)
 *     {
 *         weft_chan *stop = weft_chan_new(sizeof(int), 1);
 *         int signo;
 *
 *         weft_signal_start(stop, SIGTERM);
 *         kill(getpid(), SIGTERM); // stands for somebody else's kill
 *         weft_chan_recv(stop, &signo);
 *         weft_signal_stop(stop, SIGTERM);
 *         weft_chan_free(stop);
 *         return signo;
 *     }
 *     int main(void) { return weft_run(run_until_asked, NULL) != SIGTERM; }
 *
 * A signal handler may call nothing of this library, on any thread: the call that it interrupted
 * may hold a lock that the handler would wait for. Use a channel of signals. A handler may run on a
 * thread that runs tasks, whose stacks are small. So a handler that is installed while weft_run
 * runs needs SA_ONSTACK; to those installed before, weft_run adds it until it returns.
 *
 * Tasks block the signals that weft_run's caller blocked, and so do the children they start: by
 * fork, posix_spawn, popen or system. A write to a pipe without a reader raises SIGPIPE, which ends
 * the process unless it is ignored; a write to a connection of this library never does. */
#ifndef WEFT_SIGNAL_H
#define WEFT_SIGNAL_H

#include <weft/chan.h>
#ifdef __cplusplus
extern "C" {
#endif

/* From now on signo (an int) is sent on c, without waiting: a full channel misses it. Several
 * channels may ask for one signal. While any does, the signal's default action is off; a handler
 * that the program had installed before is still called. Returns 0; WEFT_EINVAL if
 * c does not carry ints, and for SIGKILL, SIGSTOP, SIGURG (which the runtime sends to its threads)
 * and the signals of faults: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT. */
WEFT_API int weft_signal_start(weft_chan *c, int signo);
/* Ends that: after the return c gets no more of signo. When no channel is left, the former
 * disposition is restored; a signal that comes just then is received or has its default action. */
WEFT_API void weft_signal_stop(weft_chan *c, int signo);

#ifdef __cplusplus
}
#endif
#endif
