/* SPDX-License-Identifier: MIT */
/* format.h - formats text for reports of faults, with nothing of the C library: a fault may have
 * overwritten the data that its printf works with. */
#ifndef WEFT_FORMAT_H
#define WEFT_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* Writes as vsnprintf does and cuts at size - 1. Knows %s with a precision, %d, %u, %x with l, ll
 * or z, # before x, and %%. Returns the length of what it wrote. async-signal-safe */
size_t weft__format(char *text, size_t size, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));

#endif
