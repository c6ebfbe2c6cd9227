/* SPDX-License-Identifier: MIT */
/* weft/select.h - wait for the first of several channel operations.
 *
 *     static void answer(void *c) { weft_chan_send(c, &(int){42}); }
 *
 *     static int ask(void *arg)
 *     {
 *         weft_chan *answers = weft_chan_new(sizeof(int), 1), *quit = NULL; // NULL: never ready
 *         int v;
 *         weft_case on[] = {weft_on_recv(answers, &v), weft_on_recv(quit, NULL)};
 *
 *         weft_go(answer, answers);
 *         switch (weft_select_until(on, 2, weft_after(3 * WEFT_SECOND))) {
 *         case 0: // on[0].result is 0, or WEFT_ECLOSED
 *             return v;
 *         case 1:
 *             return 1;
 *         default: // WEFT_ETIMEDOUT, or WEFT_ECANCELED
 *             return 2;
 *         }
 *     }
 *     int main(void) { return weft_run(ask, NULL) != 42; }
 *
 * A NULL channel is never ready, so a case can be switched off by clearing it. When
 * several cases are ready, one is picked at random, as in Go. */
#ifndef WEFT_SELECT_H
#define WEFT_SELECT_H

#include <weft/chan.h>
#ifdef __cplusplus
extern "C" {
#endif

enum weft_case_op { WEFT_CASE_RECV, WEFT_CASE_SEND };

typedef struct weft_case {
    weft_chan *chan;
    void *elem;
    enum weft_case_op op;
    int result; /* set for the chosen case */
} weft_case;

static inline weft_case weft_on_recv(weft_chan *c, void *elem)
{
    weft_case k = {c, elem, WEFT_CASE_RECV, 0};
    return k;
}

static inline weft_case weft_on_send(weft_chan *c, const void *elem)
{
#ifdef __cplusplus
    weft_case k = {c, const_cast<void *>(elem), WEFT_CASE_SEND, 0};
#else
    weft_case k = {c, (void *)(uintptr_t)elem, WEFT_CASE_SEND, 0};
#endif
    return k;
}

/* Waits until one case can run and runs it. The index of the case that ran; WEFT_ETIMEDOUT at the
 * deadline; WEFT_ECANCELED. WEFT_NOW as the deadline is Go's default clause. A send case on a
 * closed channel is ready, its result WEFT_ECLOSED. n may be 0: that waits for the deadline alone.
 */
WEFT_API int weft_select_until(weft_case *cases, int n, weft_time deadline);

static inline int weft_select(weft_case *cases, int n)
{
    return weft_select_until(cases, n, WEFT_FOREVER);
}

#ifdef __cplusplus
}
#endif
#endif
