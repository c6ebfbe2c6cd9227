/* SPDX-License-Identifier: MIT */
/* expvar.h - writes the document of /debug/vars.
 *
 * Any task or thread may call, with no lock held: the document contains the results of functions of
 * the program, which may wait. */
#ifndef WEFT_EXPVAR_INTERNAL_H
#define WEFT_EXPVAR_INTERNAL_H

#include "http/debug/json.h"

/* Puts the whole document. The caller is outside the runtime, as functions of the program are
 * called. */
void weft__expvar_put(weft__json *out);

/* memstats.c. Put the values of "memstats", which has Go's keys, and of "weft". */
void weft__memstats_put(weft__json *out);
void weft__runtime_put(weft__json *out);
/* flight.c. Puts the member "flight_recorder" of "weft", if the recorder is on. */
void weft__flight_put(weft__json *out);
/* delays.c. Puts a member of "weft": the kernel scheduling delay. */
void weft__delays_put(weft__json *out);
/* kept.c. Puts members of "weft": the sizes of the profiles' tables. */
void weft__kept_put(weft__json *out);

/* Puts the command line, each argument with its NUL; nothing if the kernel does not show it. */
void weft__cmdline(weft__json *out);

#endif
