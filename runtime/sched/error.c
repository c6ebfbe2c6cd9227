/* SPDX-License-Identifier: MIT */
/* error.c - texts of result codes. */
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
