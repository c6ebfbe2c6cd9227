/* SPDX-License-Identifier: MIT */
/* files.h - the descriptors of the process during a run. The thread of weft_run calls; there is one
 * run at a time. */
#ifndef WEFT_FILES_H
#define WEFT_FILES_H

#include <stdbool.h>

/* Opens the standard streams that are closed, lets the process open as many descriptors as its hard
 * limit allows, if raise, and makes room for them in the kernel's table. */
void weft__files_begin(bool raise);
/* Restores the soft limit, unless the program has set another. */
void weft__files_end(void);

#endif
