/* SPDX-License-Identifier: MIT */
/* weft/time.h - instants and durations: int64_t nanoseconds on the monotonic clock; and the rule of
 * waiting.
 *
 *     static int three_ticks(void *arg)
 *     {
 *         weft_time start = weft_now(), at = 0;
 *         weft_ticker *t = weft_ticker_new(WEFT_MILLISECOND);
 *
 *         for (int i = 0; i < 3; i++)
 *             weft_chan_recv(weft_ticker_chan(t), &at);
 *         weft_ticker_free(t);
 *         return at - start >= 3 * WEFT_MILLISECOND ? 0 : 1;
 *     }
 *     int main(void) { return weft_run(three_ticks, NULL); }
 *
 * Waiting. A call that waits has two forms throughout weft: x() waits for ever, x_until() to an
 * instant. There is no try form: WEFT_NOW as the instant only tries. A call is cancelable if
 * WEFT_ECANCELED is among its results, and no other call is. These have no _until form:
 *   - reads and writes of a connection, and calls on a UDP socket: the deadline is the socket's, as
 *     in Go (weft_conn_set_deadline, weft_udp_set_deadline). So one deadline covers all calls of a
 *     request, also those that a library makes, and another task can move it while they wait
 *   - reads and writes of an HTTP request: the server's read_time and write_time bound them, and
 *     the server's stop ends them
 *   - locks and weft_once_do, which cannot fail
 *   - weft_group_go with a limit, names looked up by weft_listen, weft_profile_write over a time: a
 *     group's deadline ends them
 *   - weft_work, weft_process_run, weft_blocking_begin when threads are short, and the closing of
 *     listeners: they are not cancelable, since the caller cannot go on without their end
 *   - weft_http_serve and weft_http_server_serve, which end when they are stopped */
#ifndef WEFT_TIME_H
#define WEFT_TIME_H

#include <stdbool.h>
#include <stdint.h>
#include <weft/error.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef int64_t weft_time;     /* an instant; compare with <, never with wall time */
typedef int64_t weft_duration; /* a length of time */

#define WEFT_MICROSECOND INT64_C(1000)
#define WEFT_MILLISECOND (1000 * WEFT_MICROSECOND)
#define WEFT_SECOND      (1000 * WEFT_MILLISECOND)

#define WEFT_NOW     INT64_C(0) /* a deadline long past: do not block */
#define WEFT_FOREVER INT64_MAX  /* a deadline that never comes */

/* These two do not wait, and any thread may call them. weft_after returns weft_now() + d; an
 * instant too late to be expressed is WEFT_FOREVER. */
WEFT_API weft_time weft_now(void);
WEFT_API weft_time weft_after(weft_duration d);

/* Waits until the instant; yields the processor if it has passed. Returns 0; WEFT_ECANCELED.
 * weft_sleep waits for that long, from now on. */
WEFT_API int weft_sleep_until(weft_time when);
static inline int weft_sleep(weft_duration d)
{
    return weft_sleep_until(weft_after(d));
}

struct weft_chan;

/* A timer sends the instant it fired, a weft_time, on its channel, which holds one value. As in
 * Go 1.23, no value of an earlier setting is received after start or stop returned. */
typedef struct weft_timer weft_timer;
typedef void weft_timer_fn(void *arg);

/* Makes a timer, which is not set. The caller owns it, and frees it with weft_timer_free. No call
 * on a timer waits. */
WEFT_API weft_timer *weft_timer_new(void);
/* Makes a timer without a channel: each time it fires, fn(arg) runs as a task of its own. Dumps
 * show the caller of weft_timer_start as its creator. */
WEFT_API weft_timer *weft_timer_new_func(weft_timer_fn *fn, void *arg);
/* Stops t and frees it with its channel; panics if a task waits on the channel. */
WEFT_API void weft_timer_free(weft_timer *t);
/* Returns the channel, which the timer owns and the caller does not close; NULL if t is from
 * weft_timer_new_func. */
WEFT_API struct weft_chan *weft_timer_chan(weft_timer *t);
/* Sets t, or sets it again; at WEFT_FOREVER it never fires. Returns whether it was active: set,
 * with its value not yet received, or its fn not yet started. */
WEFT_API bool weft_timer_start(weft_timer *t, weft_time when);
/* Makes t inactive until it is set again. Returns whether it was active. */
WEFT_API bool weft_timer_stop(weft_timer *t);

/* A ticker sends the instant, a weft_time, every period. A receiver that is late misses ticks and
 * never gets several in a burst. */
typedef struct weft_ticker weft_ticker;

/* Makes a ticker whose first tick is a period from now; during a run only. Panics if period <= 0.
 * The caller owns it, and frees it with weft_ticker_free. No call on a ticker waits. */
WEFT_API weft_ticker *weft_ticker_new(weft_duration period);
/* Stops t and frees it with its channel; panics if a task waits on the channel. */
WEFT_API void weft_ticker_free(weft_ticker *t);
/* Returns the channel, which the ticker owns and the caller does not close. */
WEFT_API struct weft_chan *weft_ticker_chan(weft_ticker *t);
/* Begins a new period, from now on; also of a ticker that was stopped. Panics if period <= 0. */
WEFT_API void weft_ticker_start(weft_ticker *t, weft_duration period);
/* Ends the ticks until weft_ticker_start. */
WEFT_API void weft_ticker_stop(weft_ticker *t);

#ifdef __cplusplus
}
#endif
#endif
