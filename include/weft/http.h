/* SPDX-License-Identifier: MIT */
/* weft/http.h - an HTTP/1.1 server: each connection is a task, handlers run on it.
 *
 *     static void hello(weft_http_response *w, weft_http_request *r, void *arg)
 *     {
 *         (void)arg;
 *         weft_http_printf(w, "hello, %s\n", weft_http_param(r, "name"));
 *     }
 *
 *     static int serve(void *addr)
 *     {
 *         weft_http_mux *mux = weft_http_mux_new();
 *         int rc;
 *
 *         weft_http_mux_add(mux, "GET /hello/{name}", hello, NULL);
 *         rc = weft_http_serve(addr, mux);
 *         weft_http_mux_free(mux);
 *         return rc;
 *     }
 *
 *     static int serve_for_a_moment(void *addr)
 *     {
 *         weft_group g = WEFT_GROUP_INIT;
 *
 *         weft_group_deadline(&g, weft_after(10 * WEFT_MILLISECOND));
 *         weft_group_go(&g, serve, addr);
 *         return weft_group_wait(&g);
 *     }
 *     int main(void) { return weft_run(serve_for_a_moment, "127.0.0.1:0") != WEFT_ETIMEDOUT; }
 *
 * A handler may wait for anything that tasks wait for; only its own peer notices. All that a peer
 * sends is bounded in bytes and time, and a malformed request is answered with one status, behind
 * the answers already owed; http/wire/README.md has the list.
 *
 * Handlers are tasks. Any thread may make, serve and stop a server (weft/embed.h). If the run ends
 * before weft_http_serve returns on a thread that is no task, its server may keep the mux. Request
 * and response belong to the server and end with the handler, and so do all texts had from them. */
#ifndef WEFT_HTTP_H
#define WEFT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <weft/error.h>
#include <weft/net.h>
#include <weft/time.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_http_mux weft_http_mux;
typedef struct weft_http_server weft_http_server;
typedef struct weft_http_request weft_http_request;
typedef struct weft_http_response weft_http_response;

typedef void weft_http_fn(weft_http_response *w, weft_http_request *r, void *arg);

/* Routes --------------------------------------------------------------------------------------- */

/* A pattern is a path, perhaps with a method and one blank before it. GET means HEAD, too; without
 * a method it means all. Segments are matched one by one, with their escapes resolved:
 *
 *     /orders/{id}        {id} is one segment that is not empty
 *     /static/            ends with a slash: all paths that begin so
 *     /static/{file...}   the same with a name for the rest
 *     /orders/{$}         exactly "/orders/"
 *
 * Of two patterns that match, the narrower one wins. Without a match the answer is 404, or 405 with
 * the methods there are. A path with empty or dot segments is redirected to its clean form, a path
 * that lacks only the slash of a pattern to that: 301, or 308 if the method is not GET or HEAD.
 * raw_paths switches redirects to clean forms off. */
WEFT_API weft_http_mux *weft_http_mux_new(void);
/* Panics while a server serves it. NULL does nothing. */
WEFT_API void weft_http_mux_free(weft_http_mux *m);
/* Panics if the pattern is malformed, or if there is another such that neither is narrower, or if a
 * server was made for the mux. The text is copied. */
WEFT_API void weft_http_mux_add(weft_http_mux *m, const char *pattern, weft_http_fn *fn, void *arg);

typedef struct weft_http_route {
    int64_t max_body; /* bytes of a request's body; 0: as the server; < 0: any number */
    /* Once the peer has closed the connection or its side of it, every wait of the handler returns
     * WEFT_ECANCELED. Each request then costs two tasks more: the handler's, and one that watches.
     */
    bool cancel_when_gone;
} weft_http_route;
WEFT_API void weft_http_mux_add_with(weft_http_mux *m, const char *pattern,
                                     const weft_http_route *route, weft_http_fn *fn, void *arg);

/* Servers -------------------------------------------------------------------------------------- */

/* All zero is the default. */
typedef struct weft_http_options {
    uint32_t max_line;       /* bytes of a request line; 0: 8 KiB; beyond: 414 */
    uint32_t max_head;       /* bytes of all header fields; 0: 32 KiB; beyond: 431 */
    uint32_t max_fields;     /* header fields; 0: 100; beyond: 431 */
    uint32_t max_conns;      /* connections at once; 0: any number; the rest waits to be accepted */
    int64_t max_body;        /* bytes of a body; 0: 1 MiB; < 0: any number; beyond: 413 */
    weft_duration idle_time; /* wait for a request; 0: 75 s; then it is closed */
    weft_duration head_time; /* from a request's first byte to the end of its head; 0: 10 s; 408 */
    /* Waiting for a body, and for a peer that does not read: 0: 60 s. Each KiB that passes gives a
     * second back, so it is also how long a peer may stay below 1 KiB/s. */
    weft_duration read_time;  /* then 408 */
    weft_duration write_time; /* then the connection is cut, and that is logged */
    /* Usable bytes of the stack that the handlers of a connection run on, as in weft_go_options; 0:
     * the run's default. Another size costs each connection some system calls, and more memory. */
    size_t stack_size;
    /* Paths are matched as they were sent, segment by segment, and not redirected to their clean
     * form: for proxies. Handlers then meet empty segments, "." and "..", escaped or not. */
    bool raw_paths;
    /* A line of text without its end; NULL: as weft/log.h says. May be called by many tasks at
     * once. */
    void (*log)(void *arg, const char *text);
    void *log_arg;
} weft_http_options;

/* Listens on addr and serves the mux there until that fails. Returns a negative code of weft_listen
 * or weft_accept, or WEFT_ECANCELED. */
WEFT_API int weft_http_serve(const char *addr, weft_http_mux *mux);

/* A server that can be stopped. The mux stays the caller's and must outlive it; options may be
 * NULL. */
WEFT_API weft_http_server *weft_http_server_new(weft_http_mux *mux,
                                                const weft_http_options *options);
/* Frees s. Panics before weft_http_server_stop, and while a serve has not returned. NULL does
 * nothing. */
WEFT_API void weft_http_server_free(weft_http_server *s);
/* Accepts from ln, which it takes over and closes, until s is stopped. Returns 0 then; a negative
 * code of weft_accept if that fails, which is logged, too; WEFT_ECANCELED. Several tasks may serve
 * one server, each its own listener. */
WEFT_API int weft_http_server_serve(weft_http_server *s, weft_listener *ln);
/* Stops the server; it cannot serve again. Listeners and idle connections are closed at once.
 * Requests under way are finished, each with "Connection: close"; a request whose head is not
 * complete gets five more seconds. At the deadline, or if the caller is canceled, the handlers that
 * still run are canceled: each of their waits returns WEFT_ECANCELED. Returns when the last
 * connection is gone: 0; WEFT_ETIMEDOUT or WEFT_ECANCELED if handlers had to be canceled. */
WEFT_API int weft_http_server_stop_until(weft_http_server *s, weft_time deadline);
static inline int weft_http_server_stop(weft_http_server *s)
{
    return weft_http_server_stop_until(s, WEFT_FOREVER);
}

/* Requests ------------------------------------------------------------------------------------- */

WEFT_API const char *weft_http_method(const weft_http_request *r);
/* The texts of a request are valid until its handler ends. */
/* Returns the path with its escapes resolved; NULL if memory ran out. */
WEFT_API const char *weft_http_path(weft_http_request *r);
/* Returns the target of the request line byte for byte: path and query, or a whole URI, or "*". For
 * proxies, as "%2F" and "/" differ in it. NULL if memory ran out. */
WEFT_API const char *weft_http_target(weft_http_request *r);
/* Returns the text behind the '?', as it was sent; "" if there is none. */
WEFT_API const char *weft_http_query(const weft_http_request *r);
/* Finds the first parameter of that name in the query. Returns 0, and *value is its text, decoded,
 * or NULL if there is none; WEFT_EINVAL if an escape in it is malformed; WEFT_ENOMEM. */
WEFT_API int weft_http_query_value(weft_http_request *r, const char *name, const char **value);
/* Returns the text that a wildcard of the pattern matched, decoded, so it may contain slashes.
 * NULL if the pattern has none of that name, or if memory ran out. */
WEFT_API const char *weft_http_param(weft_http_request *r, const char *name);
/* Returns the value of the first header field of that name, in any case; NULL if there is none. */
WEFT_API const char *weft_http_header(const weft_http_request *r, const char *name);
/* Writes name and value of field number *i, counted from 0, and increments *i. Returns false if
 * there is no such field. */
WEFT_API bool weft_http_header_each(const weft_http_request *r, size_t *i, const char **name,
                                    const char **value);
WEFT_API const char *weft_http_host(const weft_http_request *r); /* "" in HTTP/1.0 without Host */
/* Returns the address of the peer. */
WEFT_API weft_addr weft_http_peer(const weft_http_request *r);
/* Returns the length of the body in bytes; -1 if it comes in chunks. */
WEFT_API int64_t weft_http_length(const weft_http_request *r);

/* Waits for the next bytes of the body. Returns their number, > 0; 0 at its end; WEFT_EINVAL if it
 * is malformed; -EMSGSIZE if it is too long; WEFT_ETIMEDOUT; WEFT_ECANCELED; WEFT_ECLOSED if the
 * peer went before its end; other codes of weft_conn_read. After an error the connection will be
 * closed, and a handler that has set no status and written nothing by its end leaves the answer to
 * the server (400, 413, 408, or none if the connection is of no use). Trailers are checked and
 * dropped. The first call asks for the body, if the peer expects that. */
WEFT_API ssize_t weft_http_read(weft_http_request *r, void *buf, size_t n);
/* Reads the rest of the body. Returns 0, and it is at *data, *n bytes and a NUL, until the
 * handler's end; WEFT_ENOMEM, which the server answers with 503; a code of weft_http_read. */
WEFT_API int weft_http_read_all(weft_http_request *r, const char **data, size_t *n);
/* Waits until the peer goes. Returns 0 at the deadline; WEFT_ECLOSED if the peer has closed the
 * connection or its side of it; WEFT_ECANCELED; other codes of weft_conn_read. */
WEFT_API int weft_http_wait_until(weft_http_request *r, weft_time deadline);

/* Responses ------------------------------------------------------------------------------------ */

/* Status and header may be set until the first byte of the body is written; later it is
 * WEFT_EINVAL. The server adds Date; Connection; and Content-Length if the handler's end comes
 * before the buffer (some 4 KB) is full. Else, and if the handler set no Content-Length, the body
 * goes out in chunks (to HTTP/1.0: until the connection's end).
 *
 * HEAD runs the handler; its body is counted and dropped. A handler whose body takes much work asks
 * weft_http_wants_body and sets the header alone. */

/* Sets the status, 200 at first. Returns 0; WEFT_EINVAL if it is not 200 to 599. 204 and 304 have
 * no body. */
WEFT_API int weft_http_status_set(weft_http_response *w, int status);
/* Set a header field in place of the fields of that name, or add it beside them. The texts are
 * copied. Return 0; WEFT_EINVAL if name is no token, if value
 * has control characters (so no text can begin another field), for Transfer-Encoding and Trailer,
 * for a Content-Length that is no number, for a Connection that is not "close"; WEFT_ENOMEM. */
WEFT_API int weft_http_header_set(weft_http_response *w, const char *name, const char *value);
WEFT_API int weft_http_header_add(weft_http_response *w, const char *name, const char *value);
WEFT_API bool weft_http_wants_body(const weft_http_response *w); /* false for HEAD, 204, 304 */

/* Writes part of the body: into a buffer; data that does not fit goes out at once, uncopied, and
 * that waits for the peer. Returns 0; WEFT_EINVAL if it is more than the Content-Length that was
 * set; WEFT_ETIMEDOUT if the peer does not read; WEFT_ECANCELED; other codes of weft_conn_write.
 * After one of the last three all further calls return it and the connection will be closed. */
WEFT_API int weft_http_write(weft_http_response *w, const void *data, size_t n);
/* Writes formatted text, with the results of weft_http_write; WEFT_ENOMEM; WEFT_EINVAL also if the
 * format cannot be written. */
WEFT_API int weft_http_printf(weft_http_response *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Sends the bytes in the buffer, the head first, with the results of weft_http_write. */
WEFT_API int weft_http_flush(weft_http_response *w);

/* Ends the answer, which is not complete: the part that is not sent is dropped, and the connection
 * is cut. For a handler that fails when it is too late for another status. */
WEFT_API void weft_http_abort(weft_http_response *w);

/* Takes the connection over, for another protocol than HTTP. protocol: one that the request's
 * Upgrade field offers; the answer is 101 with it and the header fields set so far. NULL: nothing
 * is sent, the caller answers. From then on reads and writes of r and w return WEFT_ECLOSED, and a
 * stop of the server waits for the handler but not for the connection. Returns 0, and *conn is the
 * caller's to close, perhaps long after the handler; *rest, *n are the bytes behind the request
 * that were read already, valid until the handler's end. WEFT_EINVAL: something was written, the
 * body was not read to its end, or the request is not HTTP/1.1 or does not offer protocol.
 * WEFT_ENOMEM, or the codes of weft_http_write: the connection ends. Cancelable while it sends the
 * answer. */
WEFT_API int weft_http_upgrade(weft_http_response *w, const char *protocol, weft_conn **conn,
                               const char **rest, size_t *n);

/* Answer with a line of plain text, or with a redirect to location. Have the results of
 * weft_http_header_set and weft_http_write. */
WEFT_API int weft_http_error(weft_http_response *w, int status, const char *text);
WEFT_API int weft_http_redirect(weft_http_response *w, int status, const char *location);

#ifdef __cplusplus
}
#endif
#endif
