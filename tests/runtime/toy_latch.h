/* SPDX-License-Identifier: MIT */
/* toy_latch.h - a latch: tasks wait until it was counted down to 0. A whole primitive in two files,
 * to show what one needs, and to test that this is all. README.md has the steps. */
#ifndef WEFT_TESTS_TOY_LATCH_H
#define WEFT_TESTS_TOY_LATCH_H

#include <stdint.h>
#include <weft/time.h>

typedef struct toy_latch {
    int64_t _count;
    void *_waiters[2];
    uint32_t _lock, _run;
} toy_latch;
#define TOY_LATCH_INIT(n)                                                                          \
    {                                                                                              \
        n, {0, 0}, 0, 0                                                                            \
    }

/* Counts down by one. At 0 every task that waits goes on. Panics below 0. Any thread. */
void toy_latch_down(toy_latch *l);
/* Waits until the count is 0. Returns 0, at once if it is; WEFT_ETIMEDOUT; WEFT_ECANCELED. */
int toy_latch_wait_until(toy_latch *l, weft_time deadline);

#endif
