/* SPDX-License-Identifier: MIT */
/* weft/expvar.h - named values of the program, published as JSON: Go's expvar.
 *
 *     static int count_orders(void *arg)
 *     {
 *         weft_expvar *orders = weft_expvar_new("orders", WEFT_EXPVAR_INT);
 *
 *         weft_expvar_add(orders, 1);
 *         return weft_expvar_write(STDOUT_FILENO);
 *     }
 *     int main(void) { return weft_run(count_orders, NULL); }
 *
 * /debug/vars shows all of them sorted by name, and beside them cmdline, memstats and weft, the
 * runtime's own numbers. They live as long as the process. Every function may be called on any
 * thread, also before weft_run; none waits. A name that is taken panics with Go's words, and so
 * does a call that does not fit the kind. */
#ifndef WEFT_EXPVAR_H
#define WEFT_EXPVAR_H

#include <stdint.h>
#include <weft/error.h>
#ifdef __cplusplus
extern "C" {
#endif

enum weft_expvar_kind {
    WEFT_EXPVAR_INT,    /* 0 at first */
    WEFT_EXPVAR_FLOAT,  /* 0 at first; infinity and NaN, which JSON lacks, are shown as null */
    WEFT_EXPVAR_STRING, /* "" at first; shown as UTF-8, with U+FFFD for other bytes */
    WEFT_EXPVAR_MAP,    /* of names to values; empty at first */
    WEFT_EXPVAR_JSON,   /* any JSON value; null at first */
};

/* How deep maps are shown in maps (a deeper one is shown as null), and how deep JSON may nest. */
enum { WEFT_EXPVAR_DEPTH = 100 };

typedef struct weft_expvar weft_expvar;

/* Makes a value, and publishes it if it has a name; one without a name (NULL) is for
 * weft_expvar_map_set. It is never freed. The name is copied. */
WEFT_API weft_expvar *weft_expvar_new(const char *name, enum weft_expvar_kind kind);

/* INT: add n to the value; replace it; return it. */
WEFT_API void weft_expvar_add(weft_expvar *v, int64_t n);
WEFT_API void weft_expvar_set(weft_expvar *v, int64_t n);
WEFT_API int64_t weft_expvar_value(weft_expvar *v);

/* FLOAT: add x to the value; replace it. */
WEFT_API void weft_expvar_add_float(weft_expvar *v, double x);
WEFT_API void weft_expvar_set_float(weft_expvar *v, double x);

/* STRING: replaces the value by a copy of s. */
WEFT_API void weft_expvar_set_string(weft_expvar *v, const char *s);

/* JSON: replaces the value by a copy without white space; numbers keep their digits, however large.
 * Returns 0; WEFT_EINVAL if text is not one JSON value (RFC 8259) in UTF-8, has half of a surrogate
 * pair, or nests deeper than WEFT_EXPVAR_DEPTH; WEFT_ENOMEM. After an error v keeps its value. */
WEFT_API int weft_expvar_set_json(weft_expvar *v, const char *text);

/* MAP: adds n to the INT of that name, which comes into being with the first call. */
WEFT_API void weft_expvar_map_add(weft_expvar *v, const char *name, int64_t n);
/* MAP: shows value, which was made without a name, under this one. NULL: shows nothing there any
 * more. A value that was there before lives on. Panics if the map would then contain itself. */
WEFT_API void weft_expvar_map_set(weft_expvar *v, const char *name, weft_expvar *value);

/* Publish a value that fn(arg) returns at each request; fn may wait. The second kind returns JSON
 * from malloc, as weft_expvar_set_json takes it, which the library frees; NULL or anything else is
 * shown as null. */
typedef int64_t weft_expvar_int_fn(void *arg);
typedef char *weft_expvar_json_fn(void *arg);
WEFT_API void weft_expvar_new_int_func(const char *name, weft_expvar_int_fn *fn, void *arg);
WEFT_API void weft_expvar_new_json_func(const char *name, weft_expvar_json_fn *fn, void *arg);

/* Writes the text of /debug/vars to fd. Returns 0; WEFT_ENOMEM, and nothing was written; the
 * negative errno of a failed write. Blocks the thread while fd does; functions of values may wait.
 */
WEFT_API int weft_expvar_write(int fd);

#ifdef __cplusplus
}
#endif
#endif
