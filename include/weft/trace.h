/* SPDX-License-Identifier: MIT */
/* weft/trace.h - execution traces, for go tool trace: when each task ran, and which task woke it.
 *
 *     static int program(void *arg)
 *     {
 *         int fd = open(arg, O_WRONLY | O_CREAT | O_TRUNC, 0600);
 *         uint64_t order;
 *
 *         if (weft_trace_start(fd, NULL) < 0)
 *             return 1;
 *         order = weft_trace_task_begin("order", 0);
 *         weft_trace_region_begin(order, "pack");
 *         weft_trace_log(order, "size", "12");
 *         weft_trace_region_end(order, "pack");
 *         weft_trace_task_end(order);
 *         return weft_trace_stop();
 *     }
 *     int main(void) { return weft_run(program, "/dev/null"); }
 *
 * A running program is asked for one at /debug/pprof/trace?seconds=5 (weft/debug.h). There is one
 * trace at a time. Without one the calls below cost a few nanoseconds and do nothing.
 *
 * A traced task is a work of the program's own, such as a request, to which any tasks contribute;
 * the tool shows the latency of those with one name. Each HTTP request is one, named by its
 * pattern. A region is a part of one task's time; regions of a task nest, and an end that does not
 * fit is dropped. Texts are copied, cut at 1,023 bytes; of distinct ones 65,536 are kept in a
 * trace, and further ones are shown as "(too many texts)".
 *
 * Where the kernel kept a thread waiting for a CPU for 100 us or more before it began to run a
 * task, the task has a log of the library's, "kernel scheduling delay" with the time. In traces for
 * ui.perfetto.dev each processor has a counter of that name.
 *
 * Labels of tasks (weft/label.h) are in traces: as the text "route=/a tenant=7" beside the task,
 * for ui.perfetto.dev as arguments of each run.
 *
 * Go's tool draws tasks on processors only. So each thread of the program that calls the library
 * has one there, from 1000 on, and the library's other threads have 999; these are thread 0.
 *
 * While a CPU profile is taken (weft/profile.h), traces have its samples, each with its stack.
 *
 * No call here is a point of cancellation. Any thread may make them. */
#ifndef WEFT_TRACE_H
#define WEFT_TRACE_H

#include <stdint.h>
#include <weft/error.h>
#ifdef __cplusplus
extern "C" {
#endif

/* All zero is the default. */
typedef struct weft_trace_options {
    int format; /* 0 or 1: Go's as of 1.19, read by all tools; of no use if it is cut off.
                 * 2: as of 1.23, read whole up to its last second
                 * 3: for ui.perfetto.dev */
} weft_trace_options;

/* Begins to write a trace to fd, which stays open until weft_trace_stop returns or weft_run does. A
 * thread of the library's writes; options may be NULL. 0; WEFT_EAGAIN: a trace is being taken, or
 * there is no memory or thread for one; WEFT_EINVAL: no weft_run is under way, or no such
 * format. */
WEFT_API int weft_trace_start(int fd, const weft_trace_options *options);
/* Ends that trace, and waits until it is written. 0; WEFT_EINVAL: there is none; a negative error
 * number of write: the trace is incomplete. */
WEFT_API int weft_trace_stop(void);

/* Begins a traced task, as a part of another one, or of none if parent is 0. Returns its number; 0
 * if no trace is being taken. The calls below do nothing for a task 0, but regions and logs are
 * shown with no traced task then. */
WEFT_API uint64_t weft_trace_task_begin(const char *name, uint64_t parent);
WEFT_API void weft_trace_task_end(uint64_t task);

/* Begin and end a region of the caller's. */
WEFT_API void weft_trace_region_begin(uint64_t task, const char *name);
WEFT_API void weft_trace_region_end(uint64_t task, const char *name);

/* Notes a text at this moment. */
WEFT_API void weft_trace_log(uint64_t task, const char *key, const char *value);

#ifdef __cplusplus
}
#endif
#endif
