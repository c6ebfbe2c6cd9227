/* SPDX-License-Identifier: MIT */
/* forbidden.h - tries the calls by which reports look at their own process, where the kernel may
 * forbid them: in a sandbox (seccomp), or in a process that is not dumpable (setuid,
 * prctl(PR_SET_DUMPABLE, 0)). Any thread; no lock is taken. */
#ifndef WEFT_FORBIDDEN_H
#define WEFT_FORBIDDEN_H

#include "profiles/render/output.h"

/* Tries each call, and writes a line for each that fails: the text before, the call, why it failed,
 * and what is not shown because of that. Returns the number of lines. */
int weft__forbidden_put(struct weft__out *o, const char *before);

#endif
