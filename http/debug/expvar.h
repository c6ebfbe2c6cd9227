/* SPDX-License-Identifier: MIT */
/* expvar.h - what /debug/vars answers with. */
#ifndef WEFT_EXPVAR_INTERNAL_H
#define WEFT_EXPVAR_INTERNAL_H

#include "http/debug/json.h"

/* All of it. In user code, as functions of the program are called. */
void weft__expvar_put(weft__json *out);

/* memstats.c: the values of "memstats", with Go's keys, and of "weft". */
void weft__memstats_put(weft__json *out);
void weft__runtime_put(weft__json *out);
/* debug/kept.c: members of "weft". */
void weft__kept_put(weft__json *out);

/* Puts the command line, each argument with its NUL; nothing if the system does not tell. */
void weft__cmdline(weft__json *out);

#endif
