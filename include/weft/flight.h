/* SPDX-License-Identifier: MIT */
/* weft/flight.h - the flight recorder, which keeps the last seconds of all tasks.
 *
 *     static int serve(void *arg)
 *     {
 *         weft_time begin = weft_now();
 *
 *         weft_sleep(WEFT_MILLISECOND); // a request
 *         // Of a slow one it is of interest what happened meanwhile.
 *         weft_flight_snapshot_if(weft_now() - begin > WEFT_SECOND, STDOUT_FILENO);
 *         return 0;
 *     }
 *     int main(void) { return weft_run(serve, NULL); }
 *
 * It is on while a run lasts whose options have a `flight` (weft/task.h), or whose process has
 * WEFT_FLIGHT=FILE in its environment; the options go first. FILE, which must not be there yet, is
 * in /dev/shm unless it has a slash; %p in it is the process's id. Of WEFT_FLIGHT_MB megabytes
 * (32), of some 30,000 events each, the oldest are written over. The record outlives the process,
 * whatever ends it, SIGKILL included, and stays until it is removed. If the file cannot be made,
 * stderr says why, and the program runs without it.
 *
 * Reports of panics, deadlocks, faults and SIGQUIT end with a line that names FILE. The record ends
 * where such a report begins, so the report, which takes its time, costs none of the seconds
 * before.
 *
 * The recorder takes snapshots by itself, each into a file beside FILE, and says so (weft/log.h).
 * It takes FILE.signal-N at the signal of WEFT_FLIGHT_SIGNAL (HUP, USR1 or USR2), or of the
 * options. It takes FILE.stall-N if a processor has run one task, or none, for WEFT_FLIGHT_STALL
 * milliseconds (1000) while others waited: hand-off is off, threads are short, or the machine does
 * not run the program's threads; once a minute at most. The latest two of each stay, and none is
 * larger than FILE. /debug/vars counts them, and stalls.
 *
 * `weft-flight FILE` shows the last events of each task, and which task waited for which; with
 * --format=perfetto it makes a trace for ui.perfetto.dev, with --format=1 or 2 one for go tool
 * trace (2: Go 1.23 or later). It needs the program's files for the names of functions.
 * `/debug/flight` (weft/debug.h) answers with a copy of the record, and with one of these traces if
 * it is asked for format=1, 2 or perfetto. */
#ifndef WEFT_FLIGHT_H
#define WEFT_FLIGHT_H

#include <stdbool.h>
#include <weft/error.h>
#ifdef __cplusplus
extern "C" {
#endif

/* Writes a copy of the record to fd, for weft-flight. Any thread, while weft_run runs. 0;
 * WEFT_EINVAL: the recorder is off; WEFT_ENOMEM; the negative errno of a failed write. A slow
 * reader of fd blocks the caller's thread, not its processor. */
WEFT_API int weft_flight_snapshot(int fd);
/* The same, if a condition holds; else 0. */
static inline int weft_flight_snapshot_if(bool wanted, int fd)
{
    return wanted ? weft_flight_snapshot(fd) : 0;
}

#ifdef __cplusplus
}
#endif
#endif
