/* SPDX-License-Identifier: MIT */
/* weft/debug.h - /debug/pprof/ and /debug/vars, served by the program's own tasks and loops.
 *
 *     static int program(void *arg)
 *     {
 *         if (weft_debug_serve(arg) < 0)
 *             return 1;
 *         return weft_sleep(10 * WEFT_MILLISECOND); // the program's own work
 *     }
 *     int main(void) { return weft_run(program, "127.0.0.1:0"); } // rather a port of your own
 *
 * With port 6060: a page at http://127.0.0.1:6060/debug/pprof/, `curl
 * .../debug/pprof/goroutine?debug=2` for every task's stack, `go tool pprof
 * http://127.0.0.1:6060/debug/pprof/goroutine`, and /debug/vars for weft/expvar.h's values and
 * memstats as JSON. Paths, parameters, headers and errors are Go's (net/http/pprof and expvar), so
 * what reads those reads these.
 *
 * Each profile has two forms that need no tools of Go's. format=html is a page with its flame
 * graph, which loads nothing else and can be saved: a click on a function shows it alone, a field
 * finds functions, a list chooses among the profile's values. The change in a time (seconds=10)
 * shows in blue the values that became less. format=folded is text with one stack a line,
 * "main;serve;handle 120", for flamegraph.pl, inferno and speedscope. Its value is that of the type
 * which readers show first: inuse_space of heap. Other values of format, or format with debug, are
 * refused with 400.
 *
 * A page can compare its profile with an earlier one, the base: functions that have more are red,
 * those that have less are blue. The base may be a file, which the reader chooses or drops onto the
 * page: a page that was saved, or folded stacks. Or the program keeps it: the page's button Keep
 * (keep=1) does that, and base=3 compares with the third profile that was kept. The last 8 stay;
 * one with more than 4 MiB of data is not kept. /debug/vars has their number (kept_bases).
 *
 * The kernel scheduling delay is the time for which a worker's thread could run, but waited for a
 * CPU: other programs, or a limit of the cgroup, had the CPUs. Each worker looks at it at most a
 * hundred times a second, between two tasks. /debug/vars has the sums of all looks and a histogram
 * (weft.kernel_delay; looks_from_us has the number of looks that found so many microseconds or
 * more, up to the next key), goroutine?debug=3 a line for each processor, traces a counter or logs
 * (weft/trace.h). Where the kernel has no /proc/thread-self/schedstat, one line says so.
 *
 * /debug/flight has the flight recorder's record, if it is on (weft/flight.h).
 *
 * Dumps tell a lot about a program. So only loopback addresses and unix sockets are served unless
 * options say otherwise, and a browser cannot be led here by a foreign page: requests for another
 * host than this machine, or from another site, are refused with 403. */
#ifndef WEFT_DEBUG_H
#define WEFT_DEBUG_H

#include <stdbool.h>
#include <stdint.h>
#include <weft/error.h>
#include <weft/http.h>
#ifdef __cplusplus
extern "C" {
#endif

/* All zero is the default. Texts are copied. */
typedef struct weft_debug_options {
    const char *token;     /* asked for as "Authorization: Bearer TOKEN"; NULL: none; else 401 */
    bool any_address;      /* serve addresses that are not loopback */
    bool any_host;         /* serve requests for any host and from any site */
    uint32_t max_requests; /* at once, 0: 16; beyond: 503 */
    uint32_t max_seconds;  /* of a profile over time, 0: 300; beyond: 400 */
} weft_debug_options;

/* Listens on addr ("host:port", "unix:/path"; ":port" is 127.0.0.1:port) and serves the endpoints
 * until weft_run returns, in tasks of its own. options may be NULL. 0 when it listens; -EACCES for
 * an address that is not loopback; codes of weft_listen. A unix socket is its owner's alone (mode
 * 0600). */
WEFT_API int weft_debug_serve_with(const char *addr, const weft_debug_options *options);
static inline int weft_debug_serve(const char *addr)
{
    return weft_debug_serve_with(addr, NULL);
}

/* Adds the endpoints, all below /debug/, to a mux of the program's. options may be NULL; they are
 * for these endpoints, and any_address means nothing here. */
WEFT_API void weft_debug_mount_with(weft_http_mux *mux, const weft_debug_options *options);
static inline void weft_debug_mount(weft_http_mux *mux)
{
    weft_debug_mount_with(mux, NULL);
}

#ifdef __cplusplus
}
#endif
#endif
