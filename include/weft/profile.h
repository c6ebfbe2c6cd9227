/* SPDX-License-Identifier: MIT */
/* weft/profile.h - where tasks are, and what they wait for, and for whom; profiles without HTTP.
 *
 *     static int show_waits(void *arg)
 *     {
 *         weft_profile_options o = {.text = true}; // without it: for go tool pprof -top FILE
 *
 *         weft_profile_set_block_rate(1);
 *         weft_chan_recv_until(NULL, NULL, weft_after(WEFT_MILLISECOND));
 *         return weft_profile_write(STDOUT_FILENO, "block", &o);
 *     }
 *     int main(void) { return weft_run(show_waits, NULL); }
 *
 *   goroutine    every task
 *   threadcreate the library's threads, by the stacks that made them
 *   block        channels, select, locks, conditions, semaphores, groups: the stacks that waited
 *   mutex        mutexes and rwmutexes: the stacks that let others wait, charged as they unlock
 *   contention   the same waits with both sides: the waiter, "-- held by --", the unlocker
 *   heap         the memory from malloc that is in use, sampled, by the stacks that allocated it
 *   allocs       the same; readers show first all that was allocated so far
 *   delta_block, delta_mutex   the waits that ended since these were last written
 *   delta_heap   the change of heap since it was last written
 *   fgprof       where tasks spend a time, running or waiting: every 10 ms a look at all tasks
 *                that run and at some 50 that wait, each of which stands for its share
 *   profile      CPU time of the process by stack: 100 samples of each second of it
 *
 * Samples have labels (weft/label.h): block and contention those of the task that waited, mutex
 * those of the task that unlocked. At most 1,024 sets of labels are told apart at a time. When
 * there is no room for a new one, the half that was used least recently goes, once in ten seconds
 * at most. The samples of sets that went, and of new ones that find no room until then, have one
 * label, {labels: too many}.
 *
 * Waits are always recorded, sampled by their length: one of d is kept with probability
 * min(1, d / rate), and a kept one that is shorter than the rate stands for its like. So long waits
 * are never missed, and sums are right on average. Unless a rate was set, it is 100 us, and more on
 * a processor where that would keep more than some 5,000 waits a second. Waits that go
 * on count up to now. Formats are those of Go's runtime/pprof. */
#ifndef WEFT_PROFILE_H
#define WEFT_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft/error.h>
#include <weft/time.h>
#ifdef __cplusplus
extern "C" {
#endif

/* Sets a rate; 0: off, 1 (ns): all waits are kept. Any thread, at any time. */
WEFT_API void weft_profile_set_block_rate(weft_duration rate); /* block */
WEFT_API void weft_profile_set_mutex_rate(weft_duration rate); /* mutex and contention */

/* Sets the rate of heap and allocs: of the bytes that malloc gives, one in so many on average is
 * sampled, with its block. 524,288 unless WEFT_HEAP_RATE says otherwise; 1: all blocks, exact to
 * the byte; 0: none. Each other thread follows after its next sample, or its next MiB. Any thread,
 * at any time, also before weft_run. */
WEFT_API void weft_profile_set_heap_rate(int64_t bytes);

/* For programs that cut objects out of larger blocks: tell heap and allocs that n bytes at p are in
 * use, allocated by the caller's stack, and that p is not in use any more. They count like blocks
 * of malloc, beside the block that they are cut from. Each object is added once, and removed before
 * another has its address. Any thread, at any time, also in a signal handler. */
WEFT_API void weft_heap_alloc(const void *p, size_t n);
WEFT_API void weft_heap_free(const void *p);

/* The forms of a file with a profile. The last two need no tools of Go's. */
enum weft_profile_form {
    WEFT_PROFILE_PPROF, /* gzip'ed profile.proto, for go tool pprof */
    /* Text with one stack a line, "main;serve;handle 120", for flamegraph.pl, inferno and
     * speedscope. The value is that of the type which readers show first. */
    WEFT_PROFILE_FOLDED,
    /* A page with the flame graph, which needs no other file and no network. It compares itself
     * with another such page, or with folded stacks, that a reader drops onto it. */
    WEFT_PROFILE_HTML,
};

/* All zero is the default. */
typedef struct weft_profile_options {
    bool text;    /* debug=1, not a form */
    bool no_live; /* block, mutex, contention: without the waits that are not over */
    /* block: also I/O, sleeps and other waits for the world, sampled 100 times less */
    bool with_io;
    /* Waits for this time and writes only what it adds, never as text; of block, mutex and
     * contention each wait's part of the time. Not for delta_*. fgprof and profile: how long to
     * sample; 0: 30 seconds. */
    weft_duration over;
    /* heap, allocs: only blocks that have been in use for so long, in whole milliseconds: leaks are
     * old. */
    weft_duration age;
    enum weft_profile_form form; /* not with text */
} weft_profile_options;

/* Writes the profile of that name to fd; options may be NULL. Any thread, while weft_run runs. 0;
 * WEFT_EINVAL: no such profile, options that it does not have, or no run, or heap and the like in a
 * program whose malloc is not sampled (/debug/pprof/heap says why); WEFT_ENOMEM;
 * WEFT_ECANCELED during the time of over; the negative errno of a failed write. A slow reader of fd
 * blocks the caller's thread, not its processor. */
WEFT_API int weft_profile_write(int fd, const char *name, const weft_profile_options *options);

/* The profile of CPU time, from start to stop: of tasks and of all other threads of the process.
 *
 *     weft_cpu_profile_start(fd);
 *     ...
 *     weft_cpu_profile_stop();
 *
 * Samples have the labels of the task, and its state: running, runtime (inside a call of the
 * library, which then is the last function) or "without processor" (it hogs, or is in a long call).
 * weft.scheduler and weft.idle are the threads between tasks. weft.unsampled is CPU time of threads
 * for which there is no sample: the sum of all is the process's CPU time. The samples come by a
 * signal: SIGPROF, or another if the program has a handler for that. Its handler stays. There is
 * one such profile at a time, also over HTTP. */

/* Starts. fd stays the caller's, and open until stop. Of options, which may be NULL, only form
 * counts. Any thread, while weft_run runs. 0; WEFT_EINVAL: no run, or no such form; -EBUSY: there
 * is one already; WEFT_ENOMEM; WEFT_EAGAIN: no thread. The end of the run ends it without a file.
 */
WEFT_API int weft_cpu_profile_start_with(int fd, const weft_profile_options *options);
static inline int weft_cpu_profile_start(int fd)
{
    return weft_cpu_profile_start_with(fd, NULL);
}
/* Stops, and writes the profile. Any thread. 0; WEFT_EINVAL if start was not called; WEFT_ENOMEM;
 * the negative errno of a failed write. */
WEFT_API int weft_cpu_profile_stop(void);
/* Sets how many samples the next profiles take of each second of CPU time: 100 at first, 1000 at
 * most; 0: 100. More than the kernel has clock interrupts a second (250 or 1000) only adds weight
 * to each. Any thread, at any time. */
WEFT_API void weft_cpu_profile_set_rate(int hz);

/* Profiles of the program's own, as Go's pprof.NewProfile makes them: each lists where what is in
 * it now was added. Served as /debug/pprof/NAME, and written by weft_profile_write.
 *
 *     open_files = weft_profile_new("open_files");
 *     ...
 *     f = fopen(path, "r");
 *     weft_profile_add(open_files, f);
 *     ...
 *     weft_profile_remove(open_files, f);
 *     fclose(f);
 *
 * One lives as long as the process, and what is in it longer than a run. */
typedef struct weft_profile weft_profile;

/* Makes an empty one. The name is UTF-8 without control characters, 1 to 127 bytes, does not begin
 * or end in "/", and is neither another's nor that of a profile of the library: anything else
 * panics. (Of names with blanks, go tool pprof reads the binary form only.) Any thread, also before
 * weft_run. */
WEFT_API weft_profile *weft_profile_new(const char *name);
/* Adds a value, which is compared but never looked at, with the caller's stack; panics if it is in
 * p already. Any thread, while weft_run runs. Not cancelable. */
WEFT_API void weft_profile_add(weft_profile *p, const void *value);
/* Removes it; no effect if it is not there. Any thread, at any time. Not cancelable. */
WEFT_API void weft_profile_remove(weft_profile *p, const void *value);

#ifdef __cplusplus
}
#endif
#endif
