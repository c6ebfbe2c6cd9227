/* SPDX-License-Identifier: MIT */
/* poisson.h - the arithmetic of sampling: gaps between sampled bytes, and the chance of a block.
 *
 * Bytes are sampled as a Poisson process of one in `rate`, and a block is sampled if one of its
 * bytes is. The mathematical library is not used, since no program that links libweft had to name
 * it so far. Pure functions: any thread, anywhere. */
#ifndef WEFT_HEAP_POISSON_H
#define WEFT_HEAP_POISSON_H

#include <stdint.h>
#include <string.h>

/* Returns the next number of a generator (splitmix64), with all bits random. */
static inline uint64_t weft__heap_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Returns the natural logarithm of x > 0, right to ten digits. */
static inline double weft__heap_log(double x)
{
    uint64_t bits;
    double m, s, q;
    int exponent;

    memcpy(&bits, &x, sizeof(bits));
    exponent = (int)(bits >> 52) - 1023;
    bits = (bits & (UINT64_MAX >> 12)) | UINT64_C(1023) << 52;
    memcpy(&m, &bits, sizeof(m)); /* in [1, 2) */
    if (m > 1.4142135623730951) {
        m /= 2;
        exponent++;
    }
    s = (m - 1) / (m + 1);
    q = s * s;
    return 2 * s * (1 + q * (1. / 3 + q * (1. / 5 + q * (1. / 7 + q * (1. / 9 + q / 11))))) +
           exponent * 0.6931471805599453;
}

/* Returns a random gap, exponential with mean rate. */
static inline double weft__heap_gap(uint64_t *state, double rate)
{
    double uniform = (double)((weft__heap_random(state) >> 11) + 1) * 0x1p-53; /* in (0, 1] */

    return -weft__heap_log(uniform) * rate;
}

/* Returns the chance that a block of size bytes is sampled: 1 - exp(-size / rate). */
static inline double weft__heap_chance(double size, double rate)
{
    double x = size / rate, chance;
    int halvings = 0;

    if (x > 40)
        return 1;
    for (; x > 1. / 16; x /= 2)
        halvings++;
    chance = x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5 * (1 - x / 6)))));
    while (halvings-- > 0)
        chance *= 2 - chance;
    return chance;
}

#endif
