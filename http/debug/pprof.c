/* SPDX-License-Identifier: MIT */
/* debug/pprof.c - /debug/pprof/NAME: profiles, cmdline and symbol, as Go's net/http/pprof answers.
 *
 * Owns no state: a request's parameters are on the stack of its task. mount.c calls the endpoints
 * for a request that was let in, on the task of its connection; a profile that samples waits.
 *
 * The parameter debug chooses the form: 0, or a text that is no number, is the binary form; from 1
 * on it is text. The parameter seconds asks for the change in that time, or for the time to sample;
 * it is checked in Go's order. The parameter format chooses another form than the binary one, of
 * which a page has the parameters base and keep. Each profile declares its other parameters.
 * Unknown ones are ignored, as in Go. */
#include "http/debug/debug.h"

#include "http/debug/expvar.h"
#include "http/wire/path.h"

#include "profiles/account/profile.h"
#include "profiles/capture/tasks.h"
#include "profiles/render/bases.h"
#include "profiles/walk/symbolize.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NONCE_SIZE = 33 }; /* hexadecimal digits and a NUL */

/* Parameters ----------------------------------------------------------------------------------- */

/* Returns the value of a decimal number in the form that Go's Atoi takes; `otherwise` if text is
 * none. */
static int number(const char *text, int otherwise)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || *end || text[0] == ' ' || value != (int)value)
        return otherwise;
    return (int)value;
}

/* Reads a parameter's text, "" if there is none. Returns false if its escapes are malformed; then
 * the request was answered. */
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

/* Returns the text form of the goroutine profile that a debug parameter asks for; 0: none. */
static int text_form(const char *debug)
{
    int n = number(debug, 0);

    return n < 0 ? 0 : n > 3 ? 3 : n;
}

/* Returns the milliseconds of a time such as 1h30m, 90s, 5ms or, in seconds, 90; -1 if it is none
 * or more than INT_MAX. "" is 0. */
static int time_in(const char *text)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"", 1000}};
    int64_t all = 0, n;
    char *end;

    for (; *text; text = end) {
        size_t i = 0, length;

        n = strtoll(text, &end, 10);
        if (end == text || *text < '0' || *text > '9' || n > INT_MAX)
            return -1;
        while (strncmp(end, units[i].unit, strlen(units[i].unit)) != 0)
            i++;
        length = strlen(units[i].unit);
        if (length == 0 && *end)
            return -1;
        end += length;
        all += n * units[i].ms;
        if (all > INT_MAX)
            return -1;
    }
    return (int)all;
}

/* Reads one parameter of a profile. Returns false if it is wrong; then the request was answered. */
static bool read_param(weft_http_response *w, weft_http_request *r, const struct weft__param *param,
                       int *value)
{
    const char *text;
    char message[80];

    if (!parameter(w, r, param->name, &text))
        return false;
    *value = param->is_time ? time_in(text) : number(text, param->otherwise);
    if (param->is_time && *value < 0) {
        snprintf(message, sizeof(message), "invalid value for \"%s\" - must be a time such as 15m",
                 param->name);
        weft__debug_error(w, 400, message);
        return false;
    }
    if (param->is_time || param->is_number || !*text || strcmp(text, "0") == 0 ||
        strcmp(text, "1") == 0)
        return true;
    snprintf(message, sizeof(message), "invalid value for \"%s\" - must be 0 or 1", param->name);
    weft__debug_error(w, 400, message);
    return false;
}

/* Reads the parameters of profile p, and keeps them in `a` if the request is for p. Sets *form_name
 * to the name of a parameter that chooses a form. Returns false if the request was answered. */
static bool read_params_of(const struct weft__profile *p, struct weft__asked *a,
                           weft_http_response *w, weft_http_request *r, const char **form_name)
{
    for (int i = 0; p->params && p->params[i].name; i++) {
        int value;

        if (!read_param(w, r, &p->params[i], &value))
            return false;
        if (p->params[i].is_form && value)
            *form_name = p->params[i].name;
        if (p == a->profile)
            a->params[i] = value;
    }
    return true;
}

/* Answers the request, and returns true, if it asks for a form and for another parameter that
 * excludes it. */
static bool excludes(weft_http_response *w, const char *form_name, const char *other)
{
    char message[80];

    if (!form_name)
        return false;
    snprintf(message, sizeof(message), "%s and %s params are incompatible", form_name, other);
    weft__debug_error(w, 400, message);
    return true;
}

/* Reads the parameter format. Returns false if the request was answered. */
static bool read_format(struct weft__asked *a, weft_http_response *w, weft_http_request *r,
                        const char *form_name)
{
    const char *text;

    if (!parameter(w, r, "format", &text))
        return false;
    if (!*text)
        return true;
    if (strcmp(text, "folded") != 0 && strcmp(text, "html") != 0) {
        weft__debug_error(w, 400, "invalid value for \"format\" - must be folded or html");
        return false;
    }
    a->form = *text == 'h' ? WEFT_PROFILE_HTML : WEFT_PROFILE_FOLDED;
    return !excludes(w, a->debug ? "debug" : form_name, "format");
}

/* Reads the parameters base and keep of a page. page->base is to be dropped. Returns false if the
 * request was answered. */
static bool read_page(struct weft__page *page, const struct weft__asked *a, weft_http_response *w,
                      weft_http_request *r)
{
    static const struct weft__param keep = {.name = "keep"};
    struct weft__base *base;
    const char *text;
    char message[160];
    int wanted;

    if (!read_param(w, r, &keep, &wanted) || !parameter(w, r, "base", &text))
        return false;
    page->keep = wanted;
    if ((wanted || *text) && a->form != WEFT_PROFILE_HTML) {
        weft__debug_error(w, 400, "base and keep are parameters of format=html");
        return false;
    }
    if (!*text)
        return true;
    page->base = base = weft__base_find((uint32_t)number(text, 0));
    if (base && strcmp(base->profile, a->profile->name) == 0)
        return true;
    if (base)
        snprintf(message, sizeof(message), "base %d is a profile of %.100s", number(text, 0),
                 base->profile);
    else
        snprintf(message, sizeof(message),
                 "there is no such base: keep=1 keeps a profile, and the last %d stay",
                 WEFT__BASES);
    weft__debug_error(w, base ? 400 : 404, message);
    return false;
}

/* Returns the part of a second for the digits behind a point; -1 if they are no digits. */
static weft_duration part_of_second(const char *digits)
{
    weft_duration part = 0, unit = WEFT_SECOND;

    for (; *digits >= '0' && *digits <= '9'; digits++)
        part += (*digits - '0') * (unit /= 10);
    return *digits ? -1 : part;
}

/* Returns the time for a number of seconds; 0 if the text is no number above 0. */
static weft_duration time_of(const struct weft__profile *p, const char *text)
{
    const char *point = p->fractions ? strchr(text, '.') : NULL;
    weft_duration part = point ? part_of_second(point + 1) : 0;
    char whole[16];
    int seconds;

    snprintf(whole, sizeof(whole), "%.*s", point ? (int)(point - text) : INT_MAX, text);
    seconds = number(whole, -1);
    return seconds < 0 || part < 0 ? 0 : seconds * WEFT_SECOND + part;
}

/* Returns the mistake in a request for the change in a time, looked for in Go's order; NULL if it
 * has none. */
static const char *wrong_with_change(const struct weft__asked *a)
{
    if (a->over <= 0)
        return "invalid value for \"seconds\" - must be a positive integer";
    if (!weft__profile_has_change(a->profile))
        return "\"seconds\" parameter is not supported for this profile type";
    return a->debug ? "seconds and debug params are incompatible" : NULL;
}

/* Reads the time. Returns false if the request was answered. */
static bool read_seconds(struct weft__asked *a, const struct weft__debug *d, const char *text,
                         weft_http_response *w, const char *form_name)
{
    bool of_change = a->profile->take && *text;
    const char *wrong;
    char message[80];

    a->over = time_of(a->profile, text);
    if (!a->profile->take && a->over == 0)
        a->over = a->profile->usual_time;
    wrong = of_change ? wrong_with_change(a) : NULL;
    if (!wrong && of_change && excludes(w, form_name, "seconds"))
        return false;
    if (!wrong && a->over > (weft_duration)d->options.max_seconds * WEFT_SECOND) {
        snprintf(message, sizeof(message), "invalid value for \"seconds\" - must be at most %u",
                 d->options.max_seconds);
        wrong = message;
    }
    if (wrong)
        weft__debug_error(w, 400, wrong);
    return !wrong;
}

static bool read_parameters(struct weft__asked *a, const struct weft__debug *d,
                            weft_http_response *w, weft_http_request *r)
{
    const char *debug, *seconds, *form_name = NULL;
    const struct weft__profile *p = NULL;

    if (!parameter(w, r, "debug", &debug) || !parameter(w, r, "seconds", &seconds))
        return false;
    while ((p = weft__profile_next(p)) != NULL) {
        if (!read_params_of(p, a, w, r, &form_name))
            return false;
    }
    a->debug = a->profile->no_text ? 0 : text_form(debug);
    return read_seconds(a, d, seconds, w, form_name) &&
           !(a->debug && excludes(w, form_name, "debug")) && read_format(a, w, r, form_name);
}

/* Profiles ------------------------------------------------------------------------------------- */

/* Writes the name of the file that a client saves: Go's NAME or NAME-delta, or the profile's
 * own. */
static const char *filename(char *to, size_t size, const struct weft__asked *a)
{
    const struct weft__profile *p = a->profile;

    if (p->file)
        return p->file;
    snprintf(to, size, "%s%s", p->name, a->over && p->take ? "-delta" : "");
    return to;
}

static bool wait_for_peer(void *r, weft_time until)
{
    return weft_http_wait_until(r, until) == 0;
}

/* Answers a request whose profile could not be written. If the client has a part of it already, the
 * answer is cut off, so that the client sees that it is incomplete. A client that has canceled may
 * have closed its sending side only, and still gets a text. */
static void fail(const struct weft__answer *answer, const struct weft__profile *p, int rc)
{
    if (answer->begun)
        weft_http_abort(answer->w);
    else if (rc == -ECANCELED)
        weft__debug_error(answer->w, 500, "context canceled");
    else if (rc == -EBUSY && p->busy)
        weft__debug_error(answer->w, 500, p->busy);
    else
        weft__debug_error(answer->w, 500, "failed to collect profile");
}

/* Makes a nonce for a page's script, which no peer can guess unless the kernel gives no random
 * bytes. */
static void make_nonce(char to[NONCE_SIZE])
{
    uint8_t bytes[(NONCE_SIZE - 1) / 2] = {0};

    getentropy(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(to + 2 * i, 3, "%02x", bytes[i]);
}

/* Returns the name of the profile: the path behind /debug/pprof/, or the end of a profile's own
 * path. */
static const char *name_of(weft_http_request *r)
{
    const char *name = weft_http_param(r, "name");

    return name ? name : strrchr(weft_http_path(r), '/') + 1;
}

/* Answers a request whose parameters are read. */
static void serve(struct weft__asked *asked, weft_http_response *w)
{
    const struct weft__profile *p = asked->profile;
    struct weft__answer answer = {.w = w};
    const struct weft__sink to = {weft__answer_put, &answer};
    char file[WEFT__FILENAME_SIZE], state[256];
    int rc;

    if (p->state && !p->state(state, sizeof(state))) {
        weft__debug_error(w, 501, state);
        return;
    }
    answer.filename = asked->debug || asked->form ? NULL : filename(file, sizeof(file), asked);
    answer.nonce = asked->page ? asked->page->nonce : NULL;
    if (!weft_http_wants_body(w)) {
        weft__answer_begin(&answer);
        return;
    }
    rc = weft__answer_end(&answer, weft__asked_serve(asked, &to));
    if (rc < 0)
        fail(&answer, p, rc);
}

void weft__debug_profile(struct weft__debug *d, weft_http_response *w, weft_http_request *r)
{
    const struct weft__profile *p = weft__profile_find(name_of(r));
    char nonce[NONCE_SIZE];
    struct weft__page page = {.nonce = nonce};
    struct weft__asked asked;

    if (!p) {
        weft__debug_error(w, 404, "Unknown profile");
        return;
    }
    weft__asked_begin(&asked, p);
    asked.wait = wait_for_peer;
    asked.wait_arg = r;
    if (read_parameters(&asked, d, w, r) && read_page(&page, &asked, w, r)) {
        if (asked.form == WEFT_PROFILE_HTML) {
            make_nonce(nonce);
            asked.page = &page;
        }
        serve(&asked, w);
    }
    weft__base_drop(page.base);
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

/* Puts an address and its symbol on one line. A symbol's name may have any bytes. */
static void put_symbol(weft_http_response *w, uint64_t address, const char *name)
{
    weft_http_printf(w, "0x%" PRIx64 " ", address);
    for (; *name; name++)
        weft_http_write(w, (unsigned char)*name < ' ' || *name == 0x7f ? "?" : name, 1);
    weft_http_write(w, "\n", 1);
}

/* Puts the symbols of addresses: words separated by '+', hexadecimal with 0x, or decimal. A word
 * that is no address is ignored, as in Go. */
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
        return; /* the server answers a body that it could not read */
    weft__answer_head(w, NULL);
    weft_http_printf(w, "num_symbols: 1\n");
    put_symbols(w, words);
}
