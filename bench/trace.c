/* SPDX-License-Identifier: MIT */
/* trace.c - execution traces: the bytes of an event in Go's newer format, and the gap of tickers
 * while a trace of a million tasks begins. The cost of a trace, and of the flight recorder, is in
 * pairs of runs (waits.c, serve.c). */
#include "bench.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const weft_trace_options newer = {.format = 2};

/* Traces trips between two tasks. Returns the bytes of the trace. */
static double traced_bytes(int trips)
{
    int fd = memfd_create("trace", MFD_CLOEXEC);
    struct stat st;

    bench_check(weft_trace_start(fd, &newer), "weft_trace_start");
    bench_roundtrips("trace_bytes_trip", trips, 2 * trips);
    bench_check(weft_trace_stop(), "weft_trace_stop");
    fstat(fd, &st);
    close(fd);
    return (double)st.st_size;
}

/* Each trip has two waits, of a block, an unblock and a start each. The difference of two lengths
 * leaves out what each trace has once. */
void bench_trace_bytes(void)
{
    enum { FEW = 20000, MANY = 120000, EVENTS = 6 };
    double few = traced_bytes(FEW), many = traced_bytes(MANY);

    bench_result("trace_bytes", "", (many - few) / ((MANY - FEW) * EVENTS), "B");
}

void bench_trace_start1m(void)
{
    weft_duration task, bare;
    int fd = memfd_create("trace", MFD_CLOEXEC);
    weft_time start;

    bench_park_frames(1000000, 7);
    bench_gap_start();
    weft_sleep(100 * WEFT_MILLISECOND);
    start = weft_now();
    bench_check(weft_trace_start(fd, &newer), "weft_trace_start");
    bench_result("trace_start1m", "_wall", (double)(weft_now() - start) / 1e9, "s");
    weft_sleep(WEFT_SECOND);
    bench_check(weft_trace_stop(), "weft_trace_stop");
    bench_gap_stop(&task, &bare);
    bench_result("trace_start1m", "_gap", (double)task / 1e6, "ms");
    bench_result("trace_start1m", "_bare", (double)bare / 1e6, "ms");
}

void bench_trace_begin(void)
{
    if (getenv("BENCH_TRACE"))
        bench_check(weft_trace_start(open("/dev/null", O_WRONLY | O_CLOEXEC), &newer),
                    "weft_trace_start");
}
