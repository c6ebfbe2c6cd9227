/* SPDX-License-Identifier: MIT */
/* tasks_each.c - writes a snapshot as a profile with one sample for each task (per_task=1), for
 * readers that select by label:
 *
 *     go tool pprof -tagfocus='reason=chan receive' -top ...
 *     go tool pprof -tagfocus=wait=1s: -traces ...
 *
 * A sample has the labels goid (num), name (if the task has one), state, reason (why it waits) and
 * wait (num, nanoseconds), then the task's own labels. Own labels with one of these keys are left
 * out, since readers know one value for each key.
 *
 * Owns nothing. Called by any task or thread with no lock held: it may wait for the symbolizer and
 * for the sink. */
#include "profiles/render/tasks_merged.h"

#include <errno.h>

#include "profiles/render/labels.h"
#include "profiles/render/pprof.h"

enum { OF_OURS = 5 }; /* labels that this file adds */

struct labels {
    size_t n;
    struct weft__pprof_label list[OF_OURS + WEFT_LABELS_MAX];
};

static const char *state_text(const struct weft__record *r)
{
    static const char *const texts[] = {[WEFT__REC_NONE] = "",
                                        [WEFT__REC_RUNNABLE] = "runnable",
                                        [WEFT__REC_RUNNING] = "running",
                                        [WEFT__REC_SYSCALL] = "syscall",
                                        [WEFT__REC_WAITING] = "waiting"};

    return texts[r->state];
}

static void add_text(struct labels *l, const char *key, const char *value)
{
    l->list[l->n++] = (struct weft__pprof_label){.key = key, .str = value};
}

static void add_number(struct labels *l, const char *key, int64_t value, const char *unit)
{
    l->list[l->n++] = (struct weft__pprof_label){.key = key, .num = value, .unit = unit};
}

static void labels_of(const struct weft__snapshot *s, const struct weft__record *r,
                      struct labels *l)
{
    int64_t wait = weft__record_waited(s, r);

    l->n = 0;
    add_number(l, "goid", (int64_t)r->id, NULL);
    if (weft__tags_name(r->tags))
        add_text(l, "name", weft__tags_name(r->tags));
    add_text(l, "state", state_text(r));
    if (r->state == WEFT__REC_WAITING)
        add_text(l, "reason", weft__wait_text(r->reason));
    if (wait >= 0)
        add_number(l, "wait", wait, "nanoseconds");
    l->n = weft__labels_add(l->list, l->n, weft__tags_set(r->tags));
}

static int add(weft__pprof *p, const struct weft__snapshot *s, const struct weft__record *r)
{
    const struct weft__stack_entry *e = weft__record_stack(s, r);
    struct labels l;

    labels_of(s, r, &l);
    return weft__pprof_add(p, &(struct weft__pprof_sample){
                                  .pcs = e ? e->pcs : NULL,
                                  .n = e ? e->kept : 0,
                                  .leaf_exact = weft__record_shift(r),
                                  .values = &(int64_t){1},
                                  .labels = l.list,
                                  .n_labels = l.n,
                              });
}

int weft__tasks_pprof_each(const struct weft__snapshot *s, const struct weft__sink *to)
{
    weft__pprof *p = weft__tasks_pprof_begin(s, 0, to);
    int rc = 0;

    if (!p)
        return -ENOMEM;
    for (size_t i = 0; i < s->n && rc == 0; i++) {
        if (weft__record_is_shown(&s->records[i]))
            rc = add(p, s, &s->records[i]);
    }
    return weft__pprof_end(p, rc);
}
