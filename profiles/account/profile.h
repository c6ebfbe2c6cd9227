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

/* A parameter beside debug and seconds. One name means the same in all profiles: a request with a
 * bad value is refused by those, too, that do not have the parameter. */
struct weft__param {
    const char *name; /* NULL ends a list */
    int otherwise;    /* the value unless a request gives one */
    bool is_number;   /* any number, else 0 or 1; text that is no number is passed over */
    bool is_form;     /* if it is not 0, a request has neither debug nor seconds */
};

typedef void weft__sizes_put(void *arg, const char *of, uint32_t n, uint32_t most);

struct weft__profile {
    const char *name, *about;
    const char *other_name;   /* or NULL */
    const char *path;         /* where it is served beside /debug/pprof/NAME, or NULL */
    const char *file;         /* the name under which clients save it; NULL: its name */
    const char *text_head;    /* the first lines of debug=1, for weft__samples_write */
    const char *busy;         /* the answer to a request for which sample gives -EBUSY */
    weft_duration usual_time; /* if there is no take: how long to sample unless a request says */
    bool fractions;           /* seconds need not be whole */
    bool changes;             /* what a time adds is the difference of two views */

    /* Of each bucket. By default readers show the last one first, and the period is 1 of the first
     * one. */
    const struct weft__pprof_type *values;
    size_t n_values;
    const char *default_type;
    const struct weft__pprof_type *period_type;
    int64_t period;

    const struct weft__param *params; /* NULL: none */

    /* Takes a view of all so far; NULL without memory. If there is no take, the profile is of a
     * time only. */
    void *(*take)(const struct weft__asked *asked);
    /* Takes a view of the time asked->over alone, which begins now: it waits by weft__asked_wait,
     * and returns NULL with *rc = -ECANCELED if that returns false. NULL with -EBUSY if only one
     * can be taken at a time; with *rc as it was without memory. */
    void *(*sample)(const struct weft__asked *asked, int *rc);
    /* Writes a view; from: an earlier view, to be taken away from it, or NULL. duration: ns, 0 if
     * it is of no time. Returns 0, the sink's code or -ENOMEM. NULL: as a count of stacks. */
    int (*write)(const struct weft__asked *asked, const void *from, void *view, int64_t duration,
                 const struct weft__sink *to);
    void (*drop)(void *view);         /* NULL is allowed */
    size_t (*size)(const void *view); /* how many stacks it has */
    /* What the page shows; NULL: 0. */
    int (*count)(const struct weft__profile *p);
    /* Puts the sizes and bounds of its tables of stacks, for /debug/vars. */
    void (*sizes)(const struct weft__profile *p, weft__sizes_put *put, void *arg);

    int which;                  /* the file's own: one of several profiles with these functions */
    struct weft__profile *next; /* profiles.c's; atomic */
};

/* A request for a profile. */
struct weft__asked {
    const struct weft__profile *profile;
    int debug;                /* 0: gzip'ed profile.proto; 1: text; of tasks, 2 and 3, too */
    int params[WEFT__PARAMS]; /* in the order of profile->params */
    weft_duration over;       /* what this time adds, or is sampled in; 0: all so far */
    /* Waits until then. Returns false if the profile is not wanted any more. */
    bool (*wait)(void *arg, weft_time until);
    void *wait_arg;
};

static inline bool weft__asked_wait(const struct weft__asked *a, weft_time until)
{
    return a->wait(a->wait_arg, until);
}

/* Returns whether a profile that can be taken as it stands can also tell what a time adds. */
static inline bool weft__profile_has_change(const struct weft__profile *p)
{
    return p->take && (p->sample || p->changes);
}

/* Begins a request for a profile, with all parameters as they are otherwise. */
void weft__asked_begin(struct weft__asked *a, const struct weft__profile *p);
/* Sets a parameter, if the profile has it. */
void weft__asked_set(struct weft__asked *a, const char *name, int value);
/* Takes the view that is asked for and writes it. Returns 0; the sink's code; -ENOMEM; -ECANCELED
 * if wait returned false, or -EBUSY, and then nothing is written. In a run. */
int weft__asked_serve(const struct weft__asked *a, const struct weft__sink *to);
/* Returns the head of a profile.proto, for a write. */
struct weft__pprof_head weft__asked_head(const struct weft__asked *a, int64_t duration);

/* profiles.c: returns the profile after p, the first for NULL; NULL if p is the last. The library's
 * come first, then those that were added, both in the order of their names. */
const struct weft__profile *weft__profile_next(const struct weft__profile *p);
const struct weft__profile *weft__profile_find(const char *name); /* NULL: there is none */
/* Adds a profile for the process's life. Returns false if its name is taken. Any thread. */
bool weft__profile_add(struct weft__profile *p);

#endif
