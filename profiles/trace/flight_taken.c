/* SPDX-License-Identifier: MIT */
/* flight_taken.c - see flight.h: when to record, the snapshots at signals and stalls, and the
 * recorder's part in a report of the process's end.
 *
 * Owns: the names of the files, and how many of them there are. The keeper takes the snapshots, so
 * no task and no handler waits for a file. Two of each kind are kept, and each is at most as large
 * as the record. A program that stalls again and again has one line and one snapshot a minute.
 *
 * A report of the process's end takes its time, and other tasks run on meanwhile: they would write
 * over the seconds before. So the record ends where the report begins. */
#include "profiles/trace/flight.h"

#include "profiles/render/output.h"
#include "profiles/trace/rings.h"
#include "profiles/trace/stall.h"
#include "profiles/walk/symbolize.h"

#include "runtime/base/clock.h"
#include "runtime/base/death.h"
#include "runtime/base/env.h"
#include "runtime/base/log.h"
#include "runtime/sched/sinks.h"
#include "runtime/sync/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MEGABYTES = 32, KEPT = 2, PATH_SIZE = 4160 };
#define BETWEEN_STALLS (INT64_C(60) * 1000000000)

/* A kind of snapshots. Written by the keeper; atomic. */
struct kind {
    const char *name;
    uint32_t taken, failed;
};

static char record[4096]; /* the record's path; constant in a run */
static struct kind stalls = {.name = "stall"}, asked = {.name = "signal"};
static uint32_t n_stalls; /* atomic; written by the keeper */
static int64_t next_stall;
static uint32_t wanted; /* atomic: signals since the keeper looked last */
static int signal_watched;
static int64_t limit; /* ns; a processor that stalls for longer has a snapshot */

/* Snapshots in files --------------------------------------------------------------------------- */

static void name_file(char *to, const struct kind *k, uint32_t n)
{
    snprintf(to, PATH_SIZE, "%s.%s-%u", record, k->name, n);
}

/* Writes a snapshot to a new file. Returns 0 or a negative errno; then there is no file. */
static int write_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), rc;
    const struct weft__sink to = weft__sink_fd(fd);

    if (fd < 0)
        return -errno;
    rc = weft__flight_write(&to);
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc < 0)
        unlink(path);
    return rc;
}

/* Takes a snapshot, removes the oldest of its kind, and says so, with the reason before it. */
static void take(struct kind *k, const char *why)
{
    uint32_t n = k->taken + k->failed + 1;
    char path[PATH_SIZE], old[PATH_SIZE];
    int rc;

    name_file(path, k, n);
    rc = write_file(path);
    if (rc < 0) {
        weft__store(&k->failed, k->failed + 1);
        weft__log("weft: %s%s: %s: no snapshot", why, path, strerror(-rc));
        return;
    }
    weft__store(&k->taken, k->taken + 1);
    weft__log("weft: %sthe last seconds of all tasks: weft-flight %s", why, path);
    if (n > KEPT) {
        name_file(old, k, n - KEPT);
        unlink(old);
    }
}

static void say_stall(const struct weft__stall *s)
{
    const struct weft__symbol *entry = s->task ? weft__symbolize(s->fn) : NULL;

    if (entry)
        weft__log(
            "weft: processor %u has run task %llu alone for %lld ms, and others wait; entry %s",
            s->proc, (unsigned long long)s->task, (long long)(s->lasted / 1000000),
            entry->frames[entry->n - 1].function);
    else
        weft__log("weft: processor %u has run no task for %lld ms, and some wait", s->proc,
                  (long long)(s->lasted / 1000000));
}

static void take_for_stall(const struct weft__stall *s)
{
    weft__store(&n_stalls, n_stalls + 1);
    if (weft__mono() < next_stall)
        return;
    next_stall = weft__mono() + BETWEEN_STALLS;
    say_stall(s);
    take(&stalls, "");
}

static void look(void)
{
    struct weft__stall s;
    char why[32];

    if (weft__is_dying())
        return;
    if (weft__load(&wanted) && weft__xchg(&wanted, 0)) {
        snprintf(why, sizeof(why), "signal %d: ", signal_watched);
        take(&asked, why);
    }
    if (weft__stalls_look(&s))
        take_for_stall(&s);
}

/* On weft_run's thread. */
static void on_signal(void)
{
    weft__store(&wanted, 1);
    weft__flight_ring();
}

/* The end of the process ----------------------------------------------------------------------- */

static uint32_t ticket; /* of the keeper, since the process ends; atomic */

/* async-signal-safe */
static void stop_record(const char *why)
{
    weft__store(&weft__tape.cut, 0);
    weft__flight_because(why);
    weft__store(&ticket, weft__flight_ring());
}

/* Waits for the keeper, which writes the stacks that were seen last; not for long, since the thread
 * that dies may hold what the keeper needs. async-signal-safe */
static void tell_of_record(void)
{
    const struct timespec ms = {.tv_nsec = 1000000};

    for (int i = 0; i < 100 && !weft__flight_heard(weft__load(&ticket)); i++)
        nanosleep(&ms, NULL);
    weft__death_say("weft: the last seconds of all tasks: weft-flight %s\n", record);
}

/* The whole ------------------------------------------------------------------------------------ */

/* Returns the signal at which snapshots are taken; 0: none. */
static int signal_of(const weft_run_options *o)
{
    static const char *const words[] = {"HUP", "USR1", "USR2", NULL};
    static const int signals[] = {SIGHUP, SIGUSR1, SIGUSR2, 0};

    if (o->no_signals)
        return 0;
    if (o->flight_signal == 0)
        return signals[weft__env_word("WEFT_FLIGHT_SIGNAL", words, 3)];
    if (!weft__signal_may_be_asked_for(o->flight_signal) || o->flight_signal == SIGQUIT)
        weft__panic("weft_run: flight_signal is %d, which the program cannot use",
                    o->flight_signal);
    return o->flight_signal;
}

static int64_t limit_of(const weft_run_options *o)
{
    return o->flight_stall != 0
               ? o->flight_stall
               : weft__env_number("WEFT_FLIGHT_STALL", 1, INT32_MAX, 1000) * WEFT_MILLISECOND;
}

static void run_begins(struct weft__event_sink *s)
{
    (void)s;
    weft__stalls_begin(limit);
}

static void run_ends(struct weft__event_sink *s)
{
    (void)s;
    weft__stalls_end();
}

static struct weft__event_sink sink = {.start = run_begins, .stop = run_ends};

/* Sets all back. */
static void begin(const weft_run_options *o)
{
    limit = limit_of(o);
    signal_watched = signal_of(o);
    stalls = (struct kind){.name = stalls.name};
    asked = (struct kind){.name = asked.name};
    n_stalls = wanted = 0;
    next_stall = 0;
}

void weft__flight_begin(const weft_run_options *o)
{
    static const struct weft__death_record report = {stop_record, tell_of_record};
    const char *name = o->flight ? o->flight : weft__env_text("WEFT_FLIGHT");
    int64_t megabytes =
        o->flight_mb > 0 ? o->flight_mb : weft__env_number("WEFT_FLIGHT_MB", 1, 1 << 16, MEGABYTES);

    begin(o);
    if (!name || !name[0] || !weft__flight_open(name, megabytes, record, sizeof(record), look))
        return;
    weft__sinks_add(&sink);
    weft__signals_watch(signal_watched, on_signal);
    weft__store_rel(&weft__death_record, &report);
}

void weft__flight_end(void)
{
    if (!weft__flight_is_on())
        return;
    weft__store_rel(&weft__death_record, NULL);
    weft__fence_full(); /* now a report sees no record, or weft__flight_close sees the report */
    weft__signals_watch(0, NULL);
    weft__sinks_remove(&sink);
    weft__flight_close();
}

void weft__flight_state(struct weft__flight_state *out)
{
    *out = (struct weft__flight_state){
        .file = record,
        .bytes = weft__flight_is_on() ? weft__flight_size() : 0,
        .stalls = weft__load(&n_stalls),
        .snapshots = weft__load(&stalls.taken) + weft__load(&asked.taken),
        .failed = weft__load(&stalls.failed) + weft__load(&asked.failed),
        .files_most = 2 * KEPT,
    };
}
