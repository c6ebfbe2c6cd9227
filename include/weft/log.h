/* SPDX-License-Identifier: MIT */
/* weft/log.h - the lines that the library writes by itself.
 *
 *     static void to_our_log(void *arg, const char *line)
 *     {
 *         fprintf(arg, "<4>%s\n", line); // stdio has its own lock
 *     }
 *     static int work(void *arg)
 *     {
 *         weft_log_set(to_our_log, arg);
 *         return 0;
 *     }
 *     int main(void) { return weft_run(work, stderr); }
 *
 * They are few: a variable of the environment whose value is ignored; threads that run short;
 * accepts that fail and are tried again; a flight recorder that cannot record, or has taken a
 * snapshot; the log of HTTP servers that have none of their own. They go to stderr, or to one
 * function of the program's, never to stdout.
 *
 * Reports of the program's end (panics, deadlocks, faults, SIGQUIT, "fatal error: ...") are no such
 * lines. They go to stderr always: the program's function may need what is broken. */
#ifndef WEFT_LOG_H
#define WEFT_LOG_H

#include <weft/error.h>
#ifdef __cplusplus
extern "C" {
#endif

/* Takes one line, without its end, valid until the return; it begins with "weft: " or "http: ". */
typedef void weft_log_fn(void *arg, const char *line);

/* Has fn(arg, line) called for each line, in place of stderr; NULL: stderr again. Any thread,
 * before weft_run, in a run or after it. A line that is under way may still go where lines went
 * before.
 *
 * fn is called on the thread that has something to say, several at a time: a task's, the library's
 * own or the program's, often inside a call of the library, but never in a signal handler and never
 * while the program dies. So fn makes no call of the library, takes no lock under which the program
 * calls the library, and returns soon. It may write to a descriptor, call stdio or syslog, or post
 * the line to a queue of the program's own. */
WEFT_API void weft_log_set(weft_log_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif
#endif
