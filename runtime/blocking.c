/* SPDX-License-Identifier: MIT */
/* blocking.c - declared blocking calls, and tasks tied to their thread. */
#include "park.h"

void weft_blocking_begin(void)
{
    weft__worker *w = weft__enter("weft_blocking_begin");

    if (!w->foreign && weft__sched.handoff) {
        weft__store(&w->task->since, weft__ticks());
        weft__blocking_detach(w);
    }
    weft__exit();
}

void weft_blocking_end(void)
{
    weft__enter("weft_blocking_end"); /* which finds the processor gone, and gets another */
    weft__exit();
}

void weft_blocking(weft_task_fn *fn, void *arg)
{
    weft_blocking_begin();
    fn(arg);
    weft_blocking_end();
}

void weft_pin(void)
{
    weft__worker *w = weft__enter("weft_pin");
    weft__task *t = w->task;

    weft__store(&t->pins, (uint16_t)(t->pins + 1));
    if (t->pins == 1 && !w->foreign)
        weft__store(&w->pinned, t);
    weft__exit();
}

void weft_unpin(void)
{
    weft__worker *w = weft__enter("weft_unpin");
    weft__task *t = w->task;

    if (t->pins == 0)
        weft__panic("weft: weft_unpin without weft_pin");
    weft__store(&t->pins, (uint16_t)(t->pins - 1));
    if (t->pins == 0 && !w->foreign)
        weft__store(&w->pinned, NULL);
    weft__exit();
}
