/* SPDX-License-Identifier: MIT */
/* error.c - the texts of result codes. Owns constant tables only; any thread may call, in or out of
 * a run. Codes of the system have strerrordesc_np's texts, which no locale changes and no other
 * call overwrites. */
#include "runtime/sched/netpoll.h"

#include <weft/error.h>

#include <string.h>

const char *weft_strerror(int code)
{
    switch (code) {
#define XX(name, number, text)                                                                     \
    case WEFT_##name:                                                                              \
        return text;
        WEFT_ERROR_MAP(XX)
#undef XX
    case 0:
        return "ok";
    default:
        return strerrordesc_np(-code) ? strerrordesc_np(-code) : weft__loop_error(code);
    }
}
