/* SPDX-License-Identifier: MIT */
/* debug_pprof.c - /debug/pprof/NAME: profiles, cmdline and symbol, as Go's net/http/pprof answers.
 *
 * debug: 0 is the binary form, from 1 on text; what is no number is 0. seconds asks for what
 * changes in that time, and is checked in Go's order. per_task=1, which is ours, asks for a binary
 * form of one sample a task. Parameters that are not known are passed over. */
#include "debug.h"

#include "expvar.h"

#include "../profiles/symbolize.h"
#include "../profiles/tasks.h"
#include "../runtime/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parameters ----------------------------------------------------------------------------------- */

/* A decimal number as Go's Atoi takes it, or otherwise. */
static int number(const char *text, int otherwise)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || *end || text[0] == ' ' || value != (int)value)
        return otherwise;
    return (int)value;
}

/* The parameter's text, "" if there is none; false: it was answered. */
static bool parameter(weft_http_response *w, weft_http_request *r, const char *name,
                      const char **text)
{
    char message[80];

    if (weft_http_query_value(r, name, text) < 0) {
        snprintf(message, sizeof(message), "malformed escape in parameter \"%s\"", name);
        weft__debug_error(w, 400, message);
        return false;
    }
    if (!*text)
        *text = "";
    return true;
}

static bool read_parameters(struct weft__debug_asked *a, weft_http_response *w,
                            weft_http_request *r)
{
    const char *debug, *seconds;

    if (!parameter(w, r, "debug", &debug) || !parameter(w, r, "seconds", &seconds))
        return false;
    a->debug = number(debug, 0);
    a->seconds = *seconds ? number(seconds, -1) : 0;
    if (*seconds && a->seconds <= 0)
        a->seconds = -1;
    return true;
}

/* Answers itself if a profile cannot be had over that time. */
static bool seconds_are_good(const struct weft__debug *d, const struct weft__debug_asked *a,
                             weft_http_response *w)
{
    char text[80];

    if (a->seconds < 0) {
        weft__debug_error(w, 400, "invalid value for \"seconds\" - must be a positive integer");
    } else if ((uint32_t)a->seconds > d->options.max_seconds) {
        snprintf(text, sizeof(text), "invalid value for \"seconds\" - must be at most %u",
                 d->options.max_seconds);
        weft__debug_error(w, 400, text);
    } else if (a->seconds > 0 && a->debug != 0) {
        weft__debug_error(w, 400, "seconds and debug params are incompatible");
    } else {
        return true;
    }
    return false;
}

bool weft__debug_parameters(struct weft__debug_asked *a, const struct weft__debug *d,
                            weft_http_response *w, weft_http_request *r)
{
    return read_parameters(a, w, r) && seconds_are_good(d, a, w);
}

bool weft__debug_flag(bool *flag, bool otherwise, const char *name, weft_http_response *w,
                      weft_http_request *r)
{
    const char *text;
    char message[80];

    if (!parameter(w, r, name, &text))
        return false;
    *flag = *text ? *text == '1' : otherwise;
    if (!*text || strcmp(text, "0") == 0 || strcmp(text, "1") == 0)
        return true;
    snprintf(message, sizeof(message), "invalid value for \"%s\" - must be 0 or 1", name);
    weft__debug_error(w, 400, message);
    return false;
}

/* Answers itself if there can be no sample a task. */
static bool per_task_is_good(const struct weft__debug_asked *a, bool per_task,
                             weft_http_response *w)
{
    if (per_task && a->debug > 0)
        weft__debug_error(w, 400, "per_task and debug params are incompatible");
    else if (per_task && a->seconds != 0)
        weft__debug_error(w, 400, "per_task and seconds params are incompatible");
    else
        return true;
    return false;
}

void weft__debug_begin(weft_http_response *w, const char *name, bool binary, bool delta)
{
    char text[64];

    weft_http_header_set(w, "X-Content-Type-Options", "nosniff");
    weft_http_header_set(w, "Content-Type",
                         binary ? "application/octet-stream" : "text/plain; charset=utf-8");
    if (!binary)
        return;
    snprintf(text, sizeof(text), "attachment; filename=\"%s%s\"", name, delta ? "-delta" : "");
    weft_http_header_set(w, "Content-Disposition", text);
}

/* A reader that is quick never makes us wait: others get their turn, and timers, between pieces. */
int weft__debug_write(void *w, const void *data, size_t n)
{
    weft_yield();
    return weft_http_write(w, data, n);
}

/* goroutine ------------------------------------------------------------------------------------ */

/* What changes from now on; nothing if the peer goes meanwhile. */
static void goroutine_delta(int seconds, weft_http_response *w, weft_http_request *r)
{
    const struct weft__snapshot *from = NULL, *until = NULL;
    const struct weft__sink sink = {weft__debug_write, w};
    int rc = weft__snapshot_get(&from);

    if (rc == 0 && weft_http_wait_until(r, weft_after(seconds * WEFT_SECOND)) < 0)
        goto end;
    if (rc == 0 && weft__snapshot_get(&until) == 0)
        weft__tasks_pprof_delta(from, until, &sink);
    else
        weft__debug_error(w, 500, "failed to collect profile");
end:
    weft__snapshot_put(from);
    weft__snapshot_put(until);
}

static void goroutine(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    static const enum weft_dump_form forms[] = {WEFT_DUMP_PPROF, WEFT_DUMP_MERGED, WEFT_DUMP_TASKS,
                                                WEFT_DUMP_FULL};
    const struct weft__sink sink = {weft__debug_write, w};
    struct weft__debug_asked a;
    bool per_task;

    if (!weft__debug_parameters(&a, d, w, r) ||
        !weft__debug_flag(&per_task, false, "per_task", w, r) || !per_task_is_good(&a, per_task, w))
        return;
    if (a.debug < 0)
        a.debug = 0;
    if (a.debug > 3)
        a.debug = 3;
    weft__debug_begin(w, "goroutine", a.debug == 0, a.seconds > 0);
    if (!weft_http_wants_body(w))
        return;
    if (a.seconds > 0)
        goroutine_delta(a.seconds, w, r);
    else
        weft__tasks_dump(&sink, per_task ? WEFT_DUMP_PPROF_EACH : forms[a.debug]);
}

static int goroutine_count(void)
{
    struct weft__census c;

    weft__tasks_count(&c);
    return (int)(c.states[WEFT__RUNNABLE] + c.states[WEFT__RUNNING] + c.states[WEFT__PARKED] +
                 c.states[WEFT__LOST]);
}

/* Names ---------------------------------------------------------------------------------------- */

const struct weft__debug_profile weft__debug_profiles[] = {
    {"block",
     "Where tasks waited for others, and how long: channels, select, locks, groups. live=0 leaves "
     "out what is not over, io=1 adds I/O and sleeps.",
     weft__debug_block_count, weft__debug_block},
    {"cmdline", "The command line of the program.", NULL, weft__debug_cmdline},
    {"contention",
     "The same waits for locks with both sides: who waited, and who let go of the lock.",
     weft__debug_contention_count, weft__debug_contention},
    {"goroutine",
     "Every task, its state and its stack. debug=1 merges equal stacks with equal labels, debug=2 "
     "is "
     "the text of a Go panic, debug=3 adds names, labels, lock owners and exact times. per_task=1: "
     "the binary form with one sample a task, and its id, state and wait as labels of it.",
     goroutine_count, goroutine},
    {"mutex",
     "Where mutexes and rwmutexes were unlocked for which others waited, and how long all did.",
     weft__debug_mutex_count, weft__debug_mutex},
    {"symbol", "Names for addresses: the ones in the query, or in the body of a POST.", NULL,
     weft__debug_symbol},
    {NULL, NULL, NULL, NULL},
};

void weft__debug_profile(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    const char *name = weft_http_param(r, "name");

    if (name && strcmp(name, "goroutines") == 0)
        name = "goroutine";
    for (const struct weft__debug_profile *p = weft__debug_profiles; name && p->name; p++) {
        if (strcmp(name, p->name) == 0) {
            p->serve(d, w, r);
            return;
        }
    }
    weft__debug_error(w, 404, "Unknown profile");
}

/* cmdline and symbol --------------------------------------------------------------------------- */

void weft__debug_cmdline(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    size_t n = 0;
    char *text = weft__cmdline(&n);

    (void)d;
    (void)r;
    weft__debug_begin(w, "cmdline", false, false);
    if (n > 0)
        weft_http_write(w, text, n - 1); /* without the last NUL */
    free(text);
}

/* Words between '+', 0x and hex digits, or decimal; what is no address is passed over. */
static void put_symbols(weft_http_response *w, const char *words)
{
    while (*words) {
        size_t n = strcspn(words, "+");
        char *end;
        uint64_t address = strtoull(words, &end, 0);

        if (end == words + n && address != 0) {
            const struct weft__symbol *s = weft__symbolize(address);

            if (s->found)
                weft_http_printf(w, "0x%" PRIx64 " %s\n", address, s->frames[s->n - 1].function);
        }
        words += n + (words[n] == '+');
    }
}

void weft__debug_symbol(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    const char *words = weft_http_query(r);
    size_t n;

    (void)d;
    if (strcmp(weft_http_method(r), "POST") == 0 && weft_http_read_all(r, &words, &n) < 0)
        return; /* the server says why */
    weft__debug_begin(w, "symbol", false, false);
    weft_http_printf(w, "num_symbols: 1\n");
    put_symbols(w, words);
}
