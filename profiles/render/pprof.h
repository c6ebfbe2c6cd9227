/* SPDX-License-Identifier: MIT */
/* pprof.h - writes one profile in the published pprof format, gzip'ed, as it goes.
 *
 *     weft__pprof *p = weft__pprof_begin(&head, &sink);
 *     for each sample: rc = weft__pprof_add(p, &sample), until rc < 0
 *     return weft__pprof_end(p, rc);
 *
 * Samples go out at once, so memory depends on the number of distinct PCs, strings and functions
 * only. Equal stacks are not merged: the callers' tables have done that. One thread or task owns a
 * profile; the sink may block, and the symbolizer is asked, so no lock may be held. */
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
    const struct weft__pprof_type *types; /* of the values of each sample */
    size_t n_types;
    struct weft__pprof_type period_type;
    int64_t period;
    const char *default_type; /* the one readers show first, or NULL: the last */
    int64_t time;             /* CLOCK_REALTIME ns */
    int64_t duration;         /* ns, 0 if it has none */
};

struct weft__pprof_label {
    const char *key;
    const char *str; /* or NULL: num */
    int64_t num;
    const char *unit; /* of num, or NULL */
};

struct weft__pprof_sample {
    const uintptr_t *pcs; /* return addresses or marks, leaf first */
    size_t n;
    bool leaf_exact; /* pcs[0] is no return address but the instruction itself */
    const int64_t *values;
    const struct weft__pprof_label *labels;
    size_t n_labels;
};

/* NULL if memory ran out. Strings and arrays are borrowed until the function returns. */
weft__pprof *weft__pprof_begin(const struct weft__pprof_head *head, const struct weft__sink *to);
/* 0, the sink's negative code or -ENOMEM; the same code from then on. */
int weft__pprof_add(weft__pprof *p, const struct weft__pprof_sample *sample);
/* Writes what remains and frees p. If rc < 0, the profile is given up and rc is returned. */
int weft__pprof_end(weft__pprof *p, int rc);

#endif
