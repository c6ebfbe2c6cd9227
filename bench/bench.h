/* SPDX-License-Identifier: MIT */
/* bench.h - the weft side of the bench: the same work as peers/peer.go, case by case.
 *
 *     bench CASE    runs the case as the main task and prints "name value unit" lines; those of
 *                   serve.c print where they listen, and serve until they are killed
 *
 * The number of processors is WEFT_PROCS; the rates of the profiles are BENCH_BLOCK_RATE and
 * BENCH_MUTEX_RATE, or else the defaults. With BENCH_CPU a profile of CPU time is on, with
 * BENCH_TRACE a trace is written to /dev/null, and WEFT_FLIGHT switches the flight recorder on.
 * run.py calls the sides in turn and compares.
 *
 * A case runs once in a process, as its main task, so it may keep its state in static variables and
 * need not free anything. */
#ifndef WEFT_BENCH_H
#define WEFT_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <weft.h>

/* Prints one result; NAME and SUFFIX make its name. */
void bench_result(const char *name, const char *suffix, double value, const char *unit);
/* Prints the nanoseconds since start, divided by the operations done. */
void bench_ns(const char *name, weft_time start, int64_t ops);
/* Prints p50, p99 and the worst of n times in nanoseconds, as milliseconds. Sorts them. */
void bench_lateness(const char *name, int64_t *late, size_t n);
/* Ends the bench with a message if a call of the library failed. */
void bench_check(int rc, const char *call);

/* gap.c. Starts two 1 ms tickers; stops them, and returns the longest gap that each has seen. */
void bench_gap_start(void);
void bench_gap_stop(weft_duration *task, weft_duration *bare);

/* page.c */
void bench_page_touch(void);
void bench_page_warm(void);
/* switch.c */
void bench_yield2(void);
void bench_yield100k(void);
void bench_spawn_batch1000(void);
/* chan.c */
void bench_roundtrips(const char *name, int trips, int waits); /* ns of each wait */
void bench_transfers(const char *name, int items);
void bench_unbuffered_roundtrip(void);
void bench_buffered128(void);
void bench_select4(void);
/* lock.c */
void bench_locks_over_yield(const char *name, int each);
void bench_lock_uncontended(void);
void bench_lock_over_yield1000(void);
/* park.c */
void bench_park1m(void);
/* timer.c */
void bench_timers1m(void);
/* hogs.c */
/* Sleeps 1 ms at a time for this length and prints how late it woke each time. */
void bench_tick(const char *name, weft_duration length);
void bench_ticker_hogs(void);
void bench_ticker_hogs1000(void);
/* storm.c */
void bench_accept_storm(void);
/* heap.c */
void bench_heap_pair(void);
/* fd.c */
void bench_fd_wait(void);
/* blocked.c */
void bench_ticker_blocked1000(void);
void bench_short_call(void);
/* known.c. Return the share of a known waiting time that the profiles have: 1 is all. The second
 * returns the block profile's share, and sets *charged to the mutex profile's. */
double bench_held_chan(void);
double bench_held_lock(double *charged);
/* Starts the profile of CPU time, for BENCH_CPU. */
void bench_cpu_on(void);
/* Returns the share of a known amount that the profile has which the environment turns on:
 * BENCH_CPU's of CPU time, which ends then; BENCH_HEAP's of bytes; else that of bench_held_chan. */
double bench_held(void);
/* waits.c */
void bench_waits_roundtrip(void);
void bench_waits_buffered128(void);
void bench_waits_lock(void);
void bench_waits_kept(void);
void bench_waits_none(void);
void bench_waits_resume(void);
/* cpu.c */
void bench_cpu_compute(void);
void bench_cpu_sample(void);
/* trace.c */
void bench_trace_begin(void); /* if the environment asks for a trace */
void bench_trace_bytes(void);
void bench_trace_start1m(void);
/* scrape.c */
void bench_scrape10k(void);
void bench_scrape10k_live(void);
/* dump.c */
/* Parks tasks at the ends of 2^depth paths of calls, until bench_release_frames. */
void bench_park_frames(int tasks, int depth);
void bench_release_frames(void);
void bench_dump10k(void);
void bench_dump100k(void);
void bench_dump_busy100k(void);
/* walk.c */
void bench_walk1m(void);
/* serve.c */
void bench_serve_hello(void);
void bench_serve_parked100k(void);

#endif
