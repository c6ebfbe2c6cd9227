/* SPDX-License-Identifier: MIT */
/* format.h - formats text for reports of faults without the C library.
 *
 * The C library's printf works with data (locale, buffers) that the fault may have overwritten, and
 * signal handlers may not call it. This one works with its arguments alone. Any thread may call it,
 * under any lock and in a signal handler. */
#ifndef WEFT_FORMAT_H
#define WEFT_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* Writes text as vsnprintf does, cut at size - 1 bytes. Knows %s with a precision; %d, %u and %x
 * with l, ll or z; # before x; and %%. At any other conversion the text ends. Returns the length of
 * the text written, not the length it would have had. async-signal-safe */
size_t weft__format(char *text, size_t size, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));

#endif
