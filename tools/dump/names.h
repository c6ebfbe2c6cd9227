/* SPDX-License-Identifier: MIT */
/* names.h - names the addresses of a program, for the renderers of dumps. */
#ifndef WEFT_TOOLS_NAMES_H
#define WEFT_TOOLS_NAMES_H

#include "tools/dump/program.h"

/* Makes weft__symbolize name the addresses of this program from now on. Returns false if there is
 * no memory. One thread; no lock. */
bool names_open(const struct program *p);

#endif
