/* SPDX-License-Identifier: MIT */
/* dump.c - weft_dump: takes a snapshot and writes it in the form that its caller asks for.
 *
 * Owns nothing. Tasks, and foreign threads in a run, call weft_dump and weft__tasks_write with no
 * lock held; the sink may wait. */
#include "profiles/render/dump.h"

#include "profiles/render/output.h"

#include <weft/task.h>

int weft__tasks_render(const struct weft__snapshot *s, uint64_t first, const struct weft__sink *to,
                       enum weft_dump_form form)
{
    struct weft__snapshot view = *s;

    view.first = first;
    switch (form) {
    case WEFT_DUMP_MERGED:
        return weft__tasks_text(&view, 1, to);
    case WEFT_DUMP_PPROF:
        return weft__tasks_pprof(&view, to);
    case WEFT_DUMP_FULL:
        return weft__tasks_text(&view, 3, to);
    case WEFT_DUMP_PPROF_EACH:
        return weft__tasks_pprof_each(&view, to);
    default:
        return weft__tasks_text(&view, 2, to);
    }
}

int weft__tasks_write(const struct weft__snapshot *s, enum weft_dump_form form,
                      const struct weft__sink *to)
{
    uint64_t self = weft_task_id();
    bool aside = weft__stand_aside(s->n);
    int rc = weft__tasks_render(s, self, to, form);

    if (aside)
        weft__stand_back();
    return rc;
}

int weft_dump(int fd, const weft_dump_options *options)
{
    enum weft_dump_form form = options ? options->form : WEFT_DUMP_TASKS;
    struct weft__sink sink = weft__sink_fd(fd);
    const struct weft__snapshot *s;
    bool aside;
    int rc;

    if ((unsigned)form > WEFT_DUMP_PPROF_EACH)
        return WEFT_EINVAL;
    rc = weft__snapshot_get_aside(&s, &aside);
    if (rc == 0) {
        rc = weft__tasks_render(s, weft_task_id(), &sink, form);
        weft__snapshot_put(s);
    }
    if (aside) /* after the writing: in a busy program each end of a call waits for a processor */
        weft__stand_back();
    return rc;
}
