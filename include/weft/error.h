/* SPDX-License-Identifier: MIT */
/* weft/error.h - result codes, and panics.
 *
 *     static int wait_in_vain(void *arg)
 *     {
 *         int rc = weft_chan_recv_until(NULL, NULL, weft_after(WEFT_MILLISECOND));
 *
 *         if (rc < 0)
 *             printf("no value: %s\n", weft_strerror(rc)); // deadline exceeded
 *         return rc;
 *     }
 *     int main(void) { return weft_run(wait_in_vain, NULL) != WEFT_ETIMEDOUT; }
 *
 * Every call that can fail returns 0 (or a count >= 0) on success and a negative
 * code from this list, or any other negative UV_E* code passed through from libuv.
 * errno is never part of the API: it belongs to an OS thread, and a task may wake
 * up on another one. */
#ifndef WEFT_ERROR_H
#define WEFT_ERROR_H

#include <errno.h>

/* Every function of the library that programs call carries this; all else is hidden. */
#define WEFT_API __attribute__((visibility("default")))

/* Initializes all with zeros; no compiler of C or C++ warns of it. */
#ifdef __cplusplus
#define WEFT__ZEROS                                                                                \
    {                                                                                              \
    }
#else
#define WEFT__ZEROS                                                                                \
    {                                                                                              \
        0                                                                                          \
    }
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* name, code, text */
#define WEFT_ERROR_MAP(XX)                                                                         \
    XX(ECLOSED, -10001, "closed")          /* chan, listener or conn */                            \
    XX(EPENDING, -10002, "tasks are left") /* of weft_group_wait_until alone */                    \
    XX(ETIMEDOUT, -ETIMEDOUT, "deadline exceeded")                                                 \
    XX(ECANCELED, -ECANCELED, "canceled")                                                          \
    XX(EINVAL, -EINVAL, "invalid argument")                                                        \
    XX(ENOMEM, -ENOMEM, "out of memory")                                                           \
    XX(EAGAIN, -EAGAIN, "limit reached")                                                           \
    XX(ENOSYS, -ENOSYS, "not available here")

enum weft_error {
#define XX(name, code, text) WEFT_##name = (code),
    WEFT_ERROR_MAP(XX)
#undef XX
};

/* Text for a code; never NULL, never freed. */
WEFT_API const char *weft_strerror(int code);

/* Ends the program because of a bug, as misuse of the library does: "panic: TEXT" on stderr, cut at
 * some 500 bytes, then every task, the caller's first and from where this is called, and status 2
 * (weft/dump.h; WEFT_TRACEBACK). format is printf's. Any thread; outside weft_run without tasks. */
WEFT_API void weft_panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#ifdef __cplusplus
}
#endif
#endif
