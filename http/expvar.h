/* SPDX-License-Identifier: MIT */
/* expvar.h - what /debug/vars answers with. */
#ifndef WEFT_EXPVAR_INTERNAL_H
#define WEFT_EXPVAR_INTERNAL_H

#include <stdio.h>

/* All of it. In user code, as functions of the program are called. */
void weft__expvar_put(FILE *out);

/* memstats.c: the values of "memstats", with Go's keys, and of "weft". */
void weft__memstats_put(FILE *out);
void weft__runtime_put(FILE *out);

/* The command line, each argument with its NUL; the caller frees it. NULL if it cannot be had. */
char *weft__cmdline(size_t *n);

#endif
