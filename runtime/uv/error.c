/* SPDX-License-Identifier: MIT */
/* error.c - the texts of result codes. Owns constant tables only; any thread may call, in or out of
 * a run. Codes of the system have strerrordesc_np's texts, which no locale changes and no other
 * call overwrites; the others are libuv's. */
#include <weft/error.h>

#include <string.h>
#include <uv.h>

static const char *text_of_libuv(int code)
{
    switch (code) {
#define XX(name, text)                                                                             \
    case UV_##name:                                                                                \
        return text;
        UV_ERRNO_MAP(XX)
#undef XX
    default:
        return "unknown error";
    }
}

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
        return strerrordesc_np(-code) ? strerrordesc_np(-code) : text_of_libuv(code);
    }
}
