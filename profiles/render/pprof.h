/* SPDX-License-Identifier: MIT */
/* pprof.h - writes one profile, as a rule in the published pprof format, gzip'ed, as it goes.
 *
 *     weft__pprof *p = weft__pprof_begin(&head, &sink);
 *     for each sample: rc = weft__pprof_add(p, &sample), until rc < 0
 *     return weft__pprof_end(p, rc);
 *
 * Samples are written at once, so memory depends on the number of distinct PCs, strings and
 * functions only. Equal stacks are not merged: the caller's table has done that. A profile in
 * another form than pprof is collected in a tree instead (calltree.h) and written at the end. One
 * task or thread owns a profile. All three functions may wait for the sink and for the symbolizer,
 * so call them with no lock held. */
#ifndef WEFT_PPROF_H
#define WEFT_PPROF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/capture/snapshot.h"
#include "profiles/table/marks.h"

typedef struct weft__pprof weft__pprof;

struct weft__pprof_type {
    const char *type, *unit; /* "goroutine", "count" */
};

struct weft__pprof_head {
    const char *name; /* of the profile; NULL: not known */
    enum weft_profile_form form;
    const struct weft__page *page;        /* for WEFT_PROFILE_HTML; NULL: it becomes a file */
    const struct weft__pprof_type *types; /* of the values of each sample */
    size_t n_types;
    struct weft__pprof_type period_type;
    int64_t period;
    const char *default_type;    /* the type that readers show first; NULL: the last one */
    int64_t time;                /* CLOCK_REALTIME ns */
    int64_t duration;            /* ns; 0 if the profile shows a moment */
    const char *const *comments; /* lines that readers show on demand (go tool pprof -comments) */
    size_t n_comments;
};

struct weft__pprof_label {
    const char *key;
    const char *str; /* the value; NULL: num is the value */
    int64_t num;
    const char *unit; /* of num; or NULL */
};

struct weft__pprof_sample {
    const uintptr_t *pcs; /* return addresses or marks, leaf first */
    size_t n;
    bool leaf_exact; /* pcs[0] is no return address but the instruction itself */
    const int64_t *values;
    const struct weft__pprof_label *labels;
    size_t n_labels;
};

/* Begins a profile. Borrows name, page and types until weft__pprof_end returns, all other strings
 * and arrays until it returns. Returns NULL if memory ran out. */
weft__pprof *weft__pprof_begin(const struct weft__pprof_head *head, const struct weft__sink *to);
/* Writes a sample. Returns 0, the sink's negative code, or -ENOMEM. After an error it writes no
 * more, and returns the same code. */
int weft__pprof_add(weft__pprof *p, const struct weft__pprof_sample *sample);
/* Writes the rest and frees p. Returns as weft__pprof_add does. If rc < 0 it writes nothing more,
 * and returns rc. */
int weft__pprof_end(weft__pprof *p, int rc);

#endif
