/* SPDX-License-Identifier: MIT */
/* label.c - the public calls of weft/label.h, on the tags of the task that calls. Owns nothing:
 * tags.c does. Tasks and foreign threads call for themselves, in a run; no call waits. */
#include "runtime/sched/scheduler.h"

#include <weft/label.h>

#include <string.h>

int weft_labels_set(const weft_label *labels, int n)
{
    return weft__tags_relabel(weft__caller("weft_labels_set"), NULL, labels, n);
}

int weft_labels_add(const weft_label *labels, int n)
{
    weft__task *t = weft__caller("weft_labels_add");

    return weft__tags_relabel(t, weft__tags_set(t->tags), labels, n);
}

int weft_labels_do(const weft_label *labels, int n, weft_task_fn *fn, void *arg)
{
    int rc = weft__tags_push(weft__caller("weft_labels_do"), labels, n);

    fn(arg);
    /* A thread that is no task may have another record now, or none, if a run ended meanwhile. */
    if (rc == 0 && weft__self())
        weft__tags_pop(weft__self()->task);
    return rc;
}

const char *weft_label_get(const char *key)
{
    const weft__tags *set = weft__tags_set(weft__caller("weft_label_get")->tags);

    for (uint32_t i = 0; set && key && i < set->n; i++) {
        if (strcmp(set->labels[i].key, key) == 0)
            return set->labels[i].value;
    }
    return NULL;
}
