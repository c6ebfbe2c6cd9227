/* SPDX-License-Identifier: MIT */
/* profile.h - the descriptor of a profile, by which it is listed, taken and written, for HTTP and
 * weft_profile_write.
 *
 * Each profile is one file that defines its descriptor; profiles.c names all of them. No other file
 * knows a profile by its name. A view is the content of a profile at one time; only `write` changes
 * it. Unless a descriptor says otherwise, its views are tables of buckets (buckets.h) with the
 * values that the descriptor names.
 *
 * The functions of a descriptor are called by a task, or by a foreign thread in a run, with no lock
 * held. They may wait. */
#ifndef WEFT_PROFILE_INTERNAL_H
#define WEFT_PROFILE_INTERNAL_H

#include "profiles/capture/snapshot.h"
#include "profiles/render/pprof.h"

#include <weft/profile.h>

struct weft__asked;
struct weft__profile;

enum { WEFT__PARAMS = 4 /* of one profile, at most */, WEFT__PROFILE_NAME_MAX = 127 };

/* A parameter of requests, beside debug and seconds. A name means the same in all profiles. So a
 * request with a bad value is refused even by a profile that does not have the parameter. */
struct weft__param {
    const char *name; /* NULL ends a list */
    int otherwise;    /* the value if a request gives none */
    bool is_number;   /* true: any number, and other text is ignored; false: 0 or 1 */
    bool is_form;     /* if it is not 0, the request may have neither debug nor seconds */
    bool is_time;     /* a time such as 90s, 15m or 1h30m, in ms; other text is refused */
};

typedef void weft__sizes_put(void *arg, const char *of, uint32_t n, uint32_t most);

struct weft__profile {
    const char *name, *about;
    const char *other_name;   /* or NULL */
    const char *path;         /* where it is served beside /debug/pprof/NAME, or NULL */
    const char *file;         /* the name under which clients save it; NULL: its name */
    const char *text_head;    /* the first lines of debug=1, for weft__samples_write */
    const char *busy;         /* the answer to a request for which sample gave -EBUSY */
    weft_duration usual_time; /* how long to sample if there is no take and a request says none */
    bool fractions;           /* seconds may be a fraction */
    bool no_text;             /* requests for debug=1 get the binary form, as in Go */
    bool changes;             /* a span of time may be shown by the difference of two views */

    /* The values of each bucket. Readers show default_type first; NULL: the last one. The period is
     * 1 of the first value, unless period_type is set. */
    const struct weft__pprof_type *values;
    size_t n_values;
    const char *default_type;
    const struct weft__pprof_type *period_type;
    int64_t period;

    const struct weft__param *params; /* NULL: none */

    /* Takes a view of all so far. Returns NULL if memory ran out. A profile without take shows
     * spans of time only. */
    void *(*take)(const struct weft__asked *asked);
    /* Takes a view of the time from now on, asked->over long; waits by weft__asked_wait. Returns
     * NULL with *rc = -ECANCELED if that wait returned false; with -EBUSY if another is being
     * taken, and there can be one at a time only; with *rc unchanged if memory ran out. */
    void *(*sample)(const struct weft__asked *asked, int *rc);
    /* Writes a view, minus an earlier view `from` unless that is NULL. duration: in ns; 0 if the
     * view shows a moment. Returns 0, the sink's code, or -ENOMEM. If write is NULL, the view is
     * written as a count of stacks. */
    int (*write)(const struct weft__asked *asked, const void *from, void *view, int64_t duration,
                 const struct weft__sink *to);
    void (*drop)(void *view);         /* NULL is allowed */
    size_t (*size)(const void *view); /* how many stacks it has */
    /* Writes a line about the source of the profile, and how to mend it if it gives nothing.
     * Returns whether there is a profile; if not, requests are refused with the line. NULL: there
     * always is. */
    bool (*state)(char *to, size_t size);
    /* Returns the count that the page shows; NULL: the page shows 0. */
    int (*count)(const struct weft__profile *p);
    /* Calls put for each of its tables of stacks, with size and bound, for /debug/vars. */
    void (*sizes)(const struct weft__profile *p, weft__sizes_put *put, void *arg);

    int which;                  /* for the defining file: which of its profiles this is */
    struct weft__profile *next; /* for profiles.c; atomic */
};

/* A request for a profile. */
struct weft__asked {
    const struct weft__profile *profile;
    int debug; /* 0: the form; 1: text; 2 and 3: dumps of tasks */
    enum weft_profile_form form;
    const struct weft__page *page; /* for WEFT_PROFILE_HTML; NULL: it becomes a file */
    int params[WEFT__PARAMS];      /* in the order of profile->params */
    weft_duration over;            /* show so long a time from now on; 0: all so far */
    /* Waits until that time. Returns false if the profile is not wanted any more. */
    bool (*wait)(void *arg, weft_time until);
    void *wait_arg;
};

static inline bool weft__asked_wait(const struct weft__asked *a, weft_time until)
{
    return a->wait(a->wait_arg, until);
}

/* Returns whether a profile can show both all so far and a span of time alone. */
static inline bool weft__profile_has_change(const struct weft__profile *p)
{
    return p->take && (p->sample || p->changes);
}

/* Makes a request for a profile, with the default of each parameter. */
void weft__asked_begin(struct weft__asked *a, const struct weft__profile *p);
/* Sets a parameter, if the profile has it. */
void weft__asked_set(struct weft__asked *a, const char *name, int value);
/* Takes the view that is asked for and writes it. Returns 0; the sink's code; -ENOMEM; or, with
 * nothing written, -ECANCELED if wait returned false, or -EBUSY. In a run. */
int weft__asked_serve(const struct weft__asked *a, const struct weft__sink *to);
/* Returns the head of a profile.proto, for a write. */
struct weft__pprof_head weft__asked_head(const struct weft__asked *a, int64_t duration);

/* profiles.c */

/* Returns the profile after p, or the first for NULL; NULL if p is the last. The library's profiles
 * come first, then those that were added, both in the order of their names. */
const struct weft__profile *weft__profile_next(const struct weft__profile *p);
const struct weft__profile *weft__profile_find(const char *name); /* NULL if there is none */
/* Adds a profile for the process's life. Returns false if its name is taken. Any thread. */
bool weft__profile_add(struct weft__profile *p);

#endif
