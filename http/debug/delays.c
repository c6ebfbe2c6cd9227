/* SPDX-License-Identifier: MIT */
/* debug/delays.c - puts the kernel scheduling delay into the "weft" of /debug/vars: how long the
 * kernel kept workers, which could run, waiting for a CPU (runtime/sched/delay.h).
 *
 * Owns no state. expvar.c calls while it writes the document, with no lock held.
 *
 *   "kernel_delay": {"looks": 812, "total_ns": 91234, "most_ns": 41000,
 *       "looks_from_us": {"0": 810, "10": 1, "30": 1, "100": 0, ...}, "processors_ns": [90000,
 * 1234]} "kernel_delay": {"error": "No such file or directory"}
 *
 * looks_from_us is the histogram: how many looks found at least so many us since the look before,
 * and fewer than the next key says. */
#include "http/debug/expvar.h"

#include "runtime/sched/delay.h"

#include <string.h>

static void put(weft__json *o, const char *before, uint64_t n)
{
    weft__json_put_text(o, before);
    weft__json_put_unsigned(o, n);
}

static void put_numbers(weft__json *o, const struct weft__delays *d)
{
    put(o, "{\"looks\": ", d->looks);
    put(o, ", \"total_ns\": ", d->total);
    put(o, ", \"most_ns\": ", d->most);
    put(o, ", \"looks_from_us\": {\"0\": ", d->counts[0]);
    for (int i = 1; i < WEFT__DELAY_STEPS; i++) {
        put(o, ", \"", weft__delay_steps[i] / 1000);
        put(o, "\": ", d->counts[i]);
    }
    weft__json_put_text(o, "}, \"processors_ns\": [");
    for (int i = 0; i < weft__load_acq(&weft__sched.nprocs); i++)
        put(o, i == 0 ? "" : ", ", weft__delay_of((uint32_t)i));
    weft__json_put_text(o, "]}");
}

void weft__delays_put(weft__json *o)
{
    struct weft__delays d;

    weft__delays_read(&d);
    weft__json_put_key(o, "kernel_delay");
    if (!d.error) {
        put_numbers(o, &d);
        return;
    }
    weft__json_put_text(o, "{\"error\": ");
    weft__json_put_string(o, strerrordesc_np(d.error));
    weft__json_put_text(o, "}");
}
