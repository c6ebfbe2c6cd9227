/* SPDX-License-Identifier: MIT */
/* run.h - a run, from the start of its workers to the end of the last. A plain thread of the
 * program calls it, one at a time; a second call panics. */
#ifndef WEFT_RUN_H
#define WEFT_RUN_H

#include <weft/task.h>

/* Does what weft_run_with does, without the profiles (profiles/account/run.c). */
int weft__run(const weft_run_options *options, weft_main_fn *fn, void *arg);

#endif
