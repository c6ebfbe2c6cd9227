/* SPDX-License-Identifier: MIT */
/* profile.h - the profiles by name: how each is taken and written, for HTTP and
 * weft_profile_write. */
#ifndef WEFT_PROFILE_INTERNAL_H
#define WEFT_PROFILE_INTERNAL_H

#include "profiles/account/wall.h"
#include "profiles/capture/snapshot.h"

#include <weft/profile.h>

struct weft__asked;

/* A view is the content of a profile at one time; only write changes it. */
struct weft__profile {
    const char *name, *about;
    enum weft__profile_kind {
        WEFT__PROFILE_STANDING, /* as it stands only */
        WEFT__PROFILE_CHANGING, /* and what a time adds */
        WEFT__PROFILE_SAMPLED,  /* over a time only: it has no take */
    } kind;
    int (*count)(const struct weft__profile *p);    /* what the page shows; NULL: nothing */
    void *(*take)(const struct weft__asked *asked); /* NULL without memory */
    /* A time alone: end makes a view of begin's result and frees that; NULL without memory. cancel
     * only frees it. If begin is NULL, a time alone is the difference of two views. */
    void *(*begin)(const struct weft__asked *asked);
    void *(*end)(const struct weft__asked *asked, void *begun);
    void (*cancel)(void *begun);
    /* from: an earlier view, and duration the ns since; or NULL. 0, the sink's code, -ENOMEM. */
    int (*write)(const struct weft__asked *asked, const void *from, void *view, int64_t duration,
                 const struct weft__sink *to);
    void (*drop)(void *view);         /* NULL allowed */
    size_t (*size)(const void *view); /* how many stacks it has */
    int which;                        /* of those with these functions; theirs alone */
    weft_profile *custom;             /* the program's own */
};

/* A request for a profile. Forms and options that a profile does not have, it passes over. */
struct weft__asked {
    struct weft__profile profile;
    int debug; /* 0: gzip'ed profile.proto; 1: text; of tasks, 2 and 3 too */
    bool per_task, no_live, with_io;
    weft_duration over; /* what this time adds, or is sampled in; 0: as it stands */
};

enum {
    WEFT__PROFILE_SECONDS = 30, /* that a sampled one takes unless told */
    WEFT__PROFILE_NAME_MAX = 127,
};

/* The library's by name, then the program's own. */
void weft__profile_each(void (*fn)(const struct weft__profile *p, void *arg), void *arg);
/* False if there is none of that name. */
bool weft__profile_find(struct weft__profile *out, const char *name);

/* Takes what is asked for and writes it; wait is called for the time that it takes. 0; the sink's
 * code; -ENOMEM; -ECANCELED: wait said false, and nothing is written. In a run. */
int weft__profile_serve(const struct weft__asked *asked, weft__wall_wait *wait, void *arg,
                        const struct weft__sink *to);

#endif
