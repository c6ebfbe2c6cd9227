/* SPDX-License-Identifier: MIT */
/* profile.c - profiles by name, to a descriptor. */
#include <weft/profile.h>

#include "../runtime/scheduler.h"
#include "out.h"
#include "tasks.h"
#include "waits.h"

#include <string.h>

static int write_waits(const struct weft__waits *w, const struct weft__sink *to, bool text)
{
    weft__buckets *b = weft__waits_take(w);
    int rc;

    if (!b)
        return WEFT_ENOMEM;
    rc = text ? weft__waits_text(w, b, to) : weft__waits_pprof(w, b, 0, to);
    weft__buckets_free(b);
    return rc;
}

int weft_profile_write(int fd, const char *name, const weft_profile_options *options)
{
    static const struct {
        const char *name;
        enum weft__contention which;
    } waits[] = {{"block", WEFT__CONTENTION_BLOCK},
                 {"mutex", WEFT__CONTENTION_MUTEX},
                 {"contention", WEFT__CONTENTION_PAIRS}};
    const weft_profile_options o = options ? *options : (weft_profile_options){0};
    const struct weft__sink to = weft__sink_fd(fd);

    if (!weft__enter_try("weft_profile_write"))
        return WEFT_EINVAL;
    weft__exit();
    if (strcmp(name, "goroutine") == 0)
        return weft__tasks_dump(&to, o.text ? WEFT_DUMP_MERGED : WEFT_DUMP_PPROF);
    for (unsigned i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
        const struct weft__waits w = {waits[i].which, o.with_io, !o.no_live};

        if (strcmp(name, waits[i].name) == 0)
            return write_waits(&w, &to, o.text);
    }
    return WEFT_EINVAL;
}
