/* SPDX-License-Identifier: MIT */
/* user.h - a note of the program's (weft/trace.h), on its way to the sink. */
#ifndef WEFT_TRACE_USER_H
#define WEFT_TRACE_USER_H

#include "profiles/trace/event.h"

#include <stdbool.h>

struct weft__note {
    enum weft__event_kind kind;
    uint64_t task;     /* traced task; or 0 */
    uint64_t parent;   /* of TASK_BEGIN */
    const char *name;  /* or key; NULL: none */
    const char *value; /* of LOG */
};

#endif
