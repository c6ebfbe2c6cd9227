/* SPDX-License-Identifier: MIT */
/* log.c - writes lines to the log that the server's options name.
 *
 * Owns no state. Any task may call, with no lock held: the program's log function may wait. Longer
 * lines are cut, since their text has parts that a peer chose. */
#include "http/server/exchange.h"

#include <stdarg.h>
#include <stdio.h>

void weft__http_log(const weft_http_server *s, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    s->options.log(s->options.log_arg, text);
}
