/* SPDX-License-Identifier: MIT */
/* random.h - random numbers that no adversary has to be kept from guessing. The owner of a state
 * alone calls this with it. */
#ifndef WEFT_RANDOM_H
#define WEFT_RANDOM_H

#include <stdint.h>

/* Returns the next number of a generator (xorshift). Its state begins with any value but 0. */
static inline uint64_t weft__random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

#endif
