/* SPDX-License-Identifier: MIT */
/* debug/pprof.c - /debug/pprof/NAME: profiles, cmdline and symbol, as Go's net/http/pprof answers.
 *
 * debug: 0 is the binary form, from 1 on text; what is no number is 0. seconds asks for what
 * changes in that time, or how long to sample, and is checked in Go's order. Ours are per_task=1, a
 * binary form of one sample a task, live=0, without waits that are not over, and io=1, with those
 * for the world. Parameters that are not known are passed over. */
#include "http/debug/debug.h"

#include "http/debug/expvar.h"

#include "profiles/account/profile.h"
#include "profiles/walk/symbolize.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parameters ----------------------------------------------------------------------------------- */

/* Returns a decimal number as Go's Atoi takes it, or otherwise. */
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

/* "0" or "1"; otherwise if it is not there. False: it was answered. */
static bool flag(weft_http_response *w, weft_http_request *r, const char *name, bool otherwise,
                 bool *value)
{
    const char *text;
    char message[80];

    if (!parameter(w, r, name, &text))
        return false;
    *value = *text ? *text == '1' : otherwise;
    if (!*text || strcmp(text, "0") == 0 || strcmp(text, "1") == 0)
        return true;
    snprintf(message, sizeof(message), "invalid value for \"%s\" - must be 0 or 1", name);
    weft__debug_error(w, 400, message);
    return false;
}

/* Returns the form of the goroutine profile that a debug parameter asks for. */
static int form(const char *debug)
{
    int n = number(debug, 0);

    return n < 0 ? 0 : n > 3 ? 3 : n;
}

/* Returns the fault of a request for the change in N seconds, looked for in Go's order; NULL: it
 * has none. */
static const char *wrong_with_change(const struct weft__asked *a, int seconds)
{
    if (seconds <= 0)
        return "invalid value for \"seconds\" - must be a positive integer";
    if (a->profile.kind == WEFT__PROFILE_STANDING)
        return "\"seconds\" parameter is not supported for this profile type";
    if (a->debug)
        return "seconds and debug params are incompatible";
    if (a->per_task)
        return "per_task and seconds params are incompatible";
    return NULL;
}

/* Answers itself if the time cannot be had. */
static bool read_seconds(struct weft__asked *a, const struct weft__debug *d, const char *text,
                         weft_http_response *w)
{
    bool sampled = a->profile.kind == WEFT__PROFILE_SAMPLED;
    int seconds = number(text, -1);
    const char *wrong = *text && !sampled ? wrong_with_change(a, seconds) : NULL;
    char message[80];

    if (sampled && seconds <= 0) /* as Go's CPU profile has it */
        seconds = WEFT__PROFILE_SECONDS;
    if (!wrong && seconds > 0 && (uint32_t)seconds > d->options.max_seconds) {
        snprintf(message, sizeof(message), "invalid value for \"seconds\" - must be at most %u",
                 d->options.max_seconds);
        wrong = message;
    }
    if (wrong)
        weft__debug_error(w, 400, wrong);
    a->over = seconds > 0 ? seconds * WEFT_SECOND : 0;
    return !wrong;
}

static bool read_parameters(struct weft__asked *a, const struct weft__debug *d,
                            weft_http_response *w, weft_http_request *r)
{
    const char *debug, *seconds;
    bool live;

    if (!parameter(w, r, "debug", &debug) || !parameter(w, r, "seconds", &seconds) ||
        !flag(w, r, "per_task", false, &a->per_task) || !flag(w, r, "live", true, &live) ||
        !flag(w, r, "io", false, &a->with_io))
        return false;
    a->debug = form(debug);
    a->no_live = !live;
    if (!read_seconds(a, d, seconds, w))
        return false;
    if (!a->per_task || !a->debug)
        return true;
    weft__debug_error(w, 400, "per_task and debug params are incompatible");
    return false;
}

/* Profiles ------------------------------------------------------------------------------------- */

/* Writes the name of the file that a client saves: Go's NAME or NAME-delta; for delta_block and
 * delta_mutex godeltaprof's. */
static const char *filename(char *to, size_t size, const struct weft__asked *a)
{
    const char *name = a->profile.name;

    if (strncmp(name, "delta_", 6) == 0)
        snprintf(to, size, "%s.pprof.gz", name + 6);
    else
        snprintf(to, size, "%s%s", name,
                 a->over && a->profile.kind == WEFT__PROFILE_CHANGING ? "-delta" : "");
    return to;
}

static bool wait_for_peer(void *r, weft_time until)
{
    return weft_http_wait_until(r, until) == 0;
}

static void serve(struct weft__debug *d, const char *name, weft_http_response *w,
                  weft_http_request *r)
{
    struct weft__asked asked = {.debug = 0};
    struct weft__answer answer = {.w = w};
    const struct weft__sink to = {weft__answer_put, &answer};
    char file[WEFT__FILENAME_SIZE];
    int rc;

    if (!weft__profile_find(&asked.profile, name)) {
        weft__debug_error(w, 404, "Unknown profile");
        return;
    }
    if (!read_parameters(&asked, d, w, r))
        return;
    answer.filename = asked.debug ? NULL : filename(file, sizeof(file), &asked);
    if (!weft_http_wants_body(w)) {
        weft__answer_head(w, answer.filename);
        return;
    }
    rc = weft__answer_end(&answer, weft__profile_serve(&asked, wait_for_peer, r, &to));
    if (rc < 0 && answer.begun)
        weft_http_abort(w); /* the client must see that this is not all */
    else if (rc == -ECANCELED)
        weft__debug_error(w, 500, "context canceled"); /* it may have closed one side only */
    else if (rc < 0)
        weft__debug_error(w, 500, "failed to collect profile");
}

void weft__debug_profile(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    const char *name = weft_http_param(r, "name");

    serve(d, strcmp(name, "goroutines") == 0 ? "goroutine" : name, w, r);
}

void weft__debug_fgprof(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    serve(d, "fgprof", w, r);
}

/* cmdline and symbol --------------------------------------------------------------------------- */

void weft__debug_cmdline(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    weft__json line = {0};

    (void)d;
    (void)r;
    weft__cmdline(&line);
    weft__answer_head(w, NULL);
    if (line.failed)
        weft_http_error(w, 503, "out of memory");
    else if (line.n > 0)
        weft_http_write(w, line.text, line.n - 1); /* without the last NUL */
    weft__json_free(&line);
}

/* Puts the symbol on one line, with any bytes in its name. */
static void put_symbol(weft_http_response *w, uint64_t address, const char *name)
{
    weft_http_printf(w, "0x%" PRIx64 " ", address);
    for (; *name; name++)
        weft_http_write(w, (unsigned char)*name < ' ' || *name == 0x7f ? "?" : name, 1);
    weft_http_write(w, "\n", 1);
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
                put_symbol(w, address, s->frames[s->n - 1].function);
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
    weft__answer_head(w, NULL);
    weft_http_printf(w, "num_symbols: 1\n");
    put_symbols(w, words);
}
