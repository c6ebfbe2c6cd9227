/* SPDX-License-Identifier: MIT */
/* test_end.c - who is late at the end of a run: in the runtime, or back from a call into C, when
 * it is torn down. What is late must not reach the next run: weft__global_push is wrapped, and
 * holds such a caller up until the run is over, or until it is plain that the end waits for it. */
#include "../runtime/scheduler.h"
#include "support.h"

#include <unistd.h>

enum { PATIENCE = 200 /* ms */ };

static atomic_int held, let_go, late; /* callers */
static atomic_bool armed;

void __real_weft__global_push(weft__task *t);
void __wrap_weft__global_push(weft__task *t);

/* The end of the run reached w: it told a foreign thread to go, and gave a worker up. */
static bool is_reached(weft__worker *w)
{
    return w->foreign ? weft__load_acq(&w->take) != 0 : weft__load_acq(&w->end) != WEFT__ALIVE;
}

static void hold_up(weft__worker *w)
{
    atomic_fetch_add(&held, 1);
    while (!is_reached(w))
        usleep(1000);
    for (int i = 0; i < PATIENCE && weft__load_acq(&weft__sched.running); i++)
        usleep(1000);
    atomic_fetch_add(&late, !weft__load_acq(&weft__sched.running));
    atomic_fetch_add(&let_go, 1);
}

static void check_nobody_late(void)
{
    CHECK(atomic_load(&held) > 0);
    while (atomic_load(&let_go) < atomic_load(&held))
        usleep(1000);
    CHECK_EQ(atomic_load(&late), 0);
}

void __wrap_weft__global_push(weft__task *t)
{
    weft__worker *w = weft__self();

    if (atomic_load(&armed) && w && !weft__load(&w->p))
        hold_up(w);
    __real_weft__global_push(t);
}

/* ---- the hog lane ---- */

static atomic_int sits;

/* Holds a slot, and is in C when the run ends. */
static void sit_in_c(void *arg)
{
    (void)arg;
    CHECK(weft__lane_admit(weft__self()->task));
    weft_blocking_begin();
    atomic_store(&sits, 1);
    while (!weft__load_acq(&weft__sched.stopping))
        usleep(1000);
    weft_blocking_end(); /* the slot goes to the next in the lane */
}

static void nothing(void *arg)
{
    (void)arg;
}

/* Several wait in it, as the monitor may add a slot. */
static int leave_a_full_lane(void *arg)
{
    weft_go(sit_in_c, arg);
    wait_for(&sits, 1);
    for (int waiting = 0; waiting < 5;) {
        weft__task *t = weft__task_new(NULL, NULL, nothing, NULL);

        weft__visible(t);
        waiting += !weft__lane_admit(t);
    }
    atomic_store(&armed, true);
    return 0;
}

TEST_PLAIN(late_hog_passes_nothing_on)
{
    CHECK_EQ(weft_run(leave_a_full_lane, NULL), 0);
    check_nobody_late();
}
