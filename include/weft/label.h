/* SPDX-License-Identifier: MIT */
/* weft/label.h - key-value labels of tasks, as Go's runtime/pprof has them.
 *
 *     static void work(void *request)
 *     {
 *         printf("%s: %s\n", weft_label_get("route"), (char *)request);
 *     }
 *
 *     static int answer(void *request)
 *     {
 *         weft_label labels[] = {{"route", "/orders"}, {"tenant", "blue"}};
 *
 *         return weft_labels_do(labels, 2, work, request);
 *     }
 *     int main(void) { return weft_run(answer, "order 7"); }
 *
 * The labels of the caller are inherited by each task it starts (weft_go and its kin), at the price
 * of counting a reference. They are shown wherever tasks are: in the goroutine profile (tasks with
 * equal stacks and equal labels are merged; `go tool pprof -tags`), its form of one sample a task,
 * and WEFT_DUMP_FULL. A task changes its own labels only; those that other tasks or threads
 * inherited stay.
 *
 * None of these calls waits, and none is a point of cancellation. Any thread of the process may
 * make them while weft_run runs: a thread that is no task has labels of its own, until it ends. */
#ifndef WEFT_LABEL_H
#define WEFT_LABEL_H

#include <weft/error.h>
#include <weft/task.h>
#ifdef __cplusplus
extern "C" {
#endif

/* Both are UTF-8 and are copied; the key is not empty. */
typedef struct weft_label {
    const char *key, *value;
} weft_label;

enum {
    WEFT_LABELS_MAX = 32,        /* labels of a task */
    WEFT_LABEL_KEY_MAX = 127,    /* bytes of a key */
    WEFT_LABEL_VALUE_MAX = 1023, /* bytes of a value */
};

/* Replaces the caller's labels by these n, which may be 0. Of equal keys the last counts. 0;
 * WEFT_EAGAIN: more than one of the limits above; WEFT_EINVAL: a NULL, an empty key, a text that is
 * not UTF-8, n < 0. After an error the labels are as they were. */
WEFT_API int weft_labels_set(const weft_label *labels, int n);

/* Adds these labels to the caller's: a key that was there gets the new value. Codes as of set. */
WEFT_API int weft_labels_add(const weft_label *labels, int n);

/* Adds the labels, calls fn(arg), and restores what was before, whatever fn did to the caller's
 * labels. Calls nest; the inner value of a key is the one that counts. The codes of
 * weft_labels_set: fn was called all the same, without these labels. */
WEFT_API int weft_labels_do(const weft_label *labels, int n, weft_task_fn *fn, void *arg);

/* The value of the caller's label with this key, NULL if it has none. The string stays the
 * library's, and good until the caller's labels change. */
WEFT_API const char *weft_label_get(const char *key);

#ifdef __cplusplus
}
#endif
#endif
