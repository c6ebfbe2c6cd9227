/* SPDX-License-Identifier: MIT */
/* group.h - groups, for task.c. */
#ifndef WEFT_GROUP_H
#define WEFT_GROUP_H

#include "task.h"

void weft__group_leave(weft__task *t, int result); /* t's function returned; t is in a group */

#endif
