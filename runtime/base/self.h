/* SPDX-License-Identifier: MIT */
/* self.h - what each thread has of its own. */
#ifndef WEFT_SELF_H
#define WEFT_SELF_H

#include "runtime/base/base.h"

struct weft__worker;

void *weft__self_called(void); /* the calling thread's worker, or NULL */
void weft__self_set(struct weft__worker *w);
int *weft__errno_at(void);
uint32_t *weft__ranks_held(void); /* how many locks of each rank it holds; WEFT_CHECK=2 */

#endif
