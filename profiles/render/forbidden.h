/* SPDX-License-Identifier: MIT */
/* forbidden.h - the calls by which reports look at their own process, where the kernel forbids
 * them: a sandbox (seccomp), or a process that is not dumpable (setuid, prctl(PR_SET_DUMPABLE, 0)).
 */
#ifndef WEFT_FORBIDDEN_H
#define WEFT_FORBIDDEN_H

#include "profiles/render/output.h"

/* Tries these calls, and puts a line for each that fails: before, the call, why it fails, and what
 * therefore is not shown. Returns the number of lines. */
int weft__forbidden_put(struct weft__out *o, const char *before);

#endif
