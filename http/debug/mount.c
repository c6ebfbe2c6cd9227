/* SPDX-License-Identifier: MIT */
/* debug/mount.c - puts the debug endpoints on a mux or a listener, and decides which requests are
 * let in.
 *
 * Owns: the table of endpoints, and the mounts and services, which live as long as the process.
 * There is no lock: the table is constant, and the counts and the list of services are atomic.
 * Tasks call the public functions; a mux gets its endpoints before a server gets the mux.
 *
 * A request is let in if
 *   its Host is this machine. A page of another site could otherwise give its own name our address,
 *     and read the answers (DNS rebinding). A request on a unix socket has no such host;
 *   it was not sent by the page of another site;
 *   it carries the token, if the mount has one;
 *   the requests under way are fewer than the cap. */
#include "http/debug/debug.h"
#include "http/server/exchange.h"

#include "http/wire/path.h"

#include "profiles/account/profile.h"

#include "runtime/base/atomic.h"
#include "runtime/sched/scheduler.h"

#include <weft/net.h>
#include <weft/task.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The defaults of the options, and the most bytes of addresses that a POST to symbol may have. */
enum { MAX_REQUESTS = 16, MAX_SECONDS = 300, MAX_SYMBOLS = 64 << 10 };

static const struct endpoint {
    const char *pattern;
    weft__debug_fn *fn;
} endpoints[] = {
    {"GET /debug/pprof/{$}", weft__debug_page},
    {"GET /debug/pprof/{name...}", weft__debug_profile},
    {"GET /debug/pprof/cmdline", weft__debug_cmdline},
    {"GET /debug/pprof/symbol", weft__debug_symbol},
    {"POST /debug/pprof/symbol", weft__debug_symbol},
    {"GET /debug/pprof/trace", weft__debug_trace},
    {"GET /debug/vars", weft__debug_vars},
    {"GET /debug/flight", weft__debug_flight},
};
enum { ENDPOINTS = sizeof(endpoints) / sizeof(endpoints[0]) };

/* The argument that a mux hands to an endpoint. */
struct mounted {
    struct weft__debug *debug;
    weft__debug_fn *fn;
};

/* Letting in ----------------------------------------------------------------------------------- */

/* Writes the host of "host", "host:port", "[v6]" or "[v6]:port", cut at size - 1 bytes, and returns
 * it. */
static const char *host_only(char *to, size_t size, const char *text)
{
    const char *from = text[0] == '[' ? text + 1 : text;
    size_t n = strcspn(from, text[0] == '[' ? "]" : ":");

    snprintf(to, size, "%.*s", (int)(n < size ? n : size - 1), from);
    return to;
}

/* Returns whether host is a loopback address or a name that always is one (RFC 6761). */
static bool is_this_machine(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    size_t n = strlen(host);

    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return weft__same_word(host, "localhost", n + 1) ||
           (n > 10 && weft__same_word(host + n - 10, ".localhost", 10));
}

static bool from_unix_socket(const weft_http_request *r)
{
    weft_addr peer = weft_http_peer(r);
    char text[WEFT_ADDR_TEXT];

    return weft_addr_name(&peer, text, sizeof(text)) <= 0 || strncmp(text, "unix:", 5) == 0;
}

static bool host_is_ours(const weft_http_request *r)
{
    char host[256];

    return is_this_machine(host_only(host, sizeof(host), weft_http_host(r)));
}

/* Returns whether a browser says that the page of another site sent the request. All browsers send
 * Origin with a request that may change something; newer ones send Sec-Fetch-Site always. */
static bool site_is_foreign(const weft_http_request *r)
{
    const char *site = weft_http_header(r, "Sec-Fetch-Site");
    const char *origin = weft_http_header(r, "Origin"), *at;
    char host[256];

    if (site && strcmp(site, "cross-site") == 0)
        return true;
    if (!origin)
        return false;
    at = strstr(origin, "://");
    return !at || !is_this_machine(host_only(host, sizeof(host), at + 3));
}

/* Compares in a time that does not depend on the first difference, which would let a client guess a
 * token byte by byte. The length is no secret. */
static bool same_text(const char *a, const char *b)
{
    size_t n = strlen(a);
    unsigned char differ = 0;

    if (strlen(b) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

static bool has_token(const weft_http_request *r, const char *token)
{
    const char *sent = weft_http_header(r, "Authorization");

    return sent && weft__same_word(sent, "Bearer ", 7) && same_text(sent + 7, token);
}

/* Returns whether the request is let in. If not, has answered it with the reason. */
static bool let_in(const weft_debug_options *o, weft_http_response *w, const weft_http_request *r)
{
    if (!o->any_host && !from_unix_socket(r) && !host_is_ours(r)) {
        weft__debug_error(w, 403,
                          "the debug endpoints answer requests for this machine only: use "
                          "localhost or 127.0.0.1 as the host");
        return false;
    }
    if (!o->any_host && site_is_foreign(r)) {
        weft__debug_error(w, 403, "the debug endpoints answer no requests from other sites");
        return false;
    }
    if (o->token && !has_token(r, o->token)) {
        weft_http_header_set(w, "WWW-Authenticate", "Bearer");
        weft__debug_error(w, 401, "the debug endpoints ask for their bearer token");
        return false;
    }
    return true;
}

/* The handler of every endpoint: lets the request in, counts it, and calls the endpoint. */
static void answer(weft_http_response *w, weft_http_request *r, void *arg)
{
    struct mounted *m = arg;
    struct weft__debug *d = m->debug;
    char text[80];

    if (!let_in(&d->options, w, r))
        return;
    if (weft__add(&d->requests, 1) < d->options.max_requests) {
        m->fn(d, w, r);
    } else {
        snprintf(text, sizeof(text), "there are %u debug requests under way, the most at once",
                 d->options.max_requests);
        weft_http_header_set(w, "Retry-After", "1");
        weft__debug_error(w, 503, text);
    }
    weft__sub(&d->requests, 1);
}

/* Mounting ------------------------------------------------------------------------------------- */

static void add(weft_http_mux *mux, const char *pattern, struct weft__debug *d, weft__debug_fn *fn)
{
    const weft_http_route route = {.max_body = MAX_SYMBOLS};
    struct mounted *m = weft__alloc(1, sizeof(*m));

    *m = (struct mounted){d, fn};
    weft_http_mux_add_with(mux, pattern, &route, answer, m);
}

void weft_debug_mount_with(weft_http_mux *mux, const weft_debug_options *options)
{
    struct weft__debug *d = weft__alloc(1, sizeof(*d));
    const struct weft__profile *p = NULL;
    char pattern[80];

    if (options)
        d->options = *options;
    if (d->options.token)
        d->options.token = strdup(d->options.token);
    if (d->options.max_requests == 0)
        d->options.max_requests = MAX_REQUESTS;
    if (d->options.max_seconds == 0)
        d->options.max_seconds = MAX_SECONDS;
    for (int i = 0; i < ENDPOINTS; i++)
        add(mux, endpoints[i].pattern, d, endpoints[i].fn);
    while ((p = weft__profile_next(p)) != NULL) {
        if (p->path) {
            snprintf(pattern, sizeof(pattern), "GET %s", p->path);
            add(mux, pattern, d, weft__debug_profile);
        }
    }
}

/* A listener of weft_debug_serve. It lives as long as the process, since the end of a run ends its
 * task at any place, and no code runs afterwards that could free it. */
struct service {
    struct service *next; /* in services; constant */
    weft_http_mux *mux;
    weft_http_server *server;
    weft_listener *listener;
};

static struct service *services; /* all, so that leak checkers find them; atomic */

/* The main function of a service's task. */
static void serve(void *arg)
{
    struct service *s = arg;

    weft_http_server_serve(s->server, s->listener);
}

static bool is_loopback(const weft_listener *ln)
{
    weft_addr a = weft_listener_addr((weft_listener *)(uintptr_t)ln);
    char text[WEFT_ADDR_TEXT], host[WEFT_ADDR_TEXT];

    weft_addr_name(&a, text, sizeof(text));
    return strncmp(text, "unix:", 5) == 0 || is_this_machine(host_only(host, sizeof(host), text));
}

static int listen_and_serve(const char *addr, const weft_debug_options *options)
{
    static const weft_go_options named = {.name = "weft debug server"};
    struct service *s;
    weft_listener *ln;
    char local[64];
    int rc;

    if (addr[0] == ':' && !(options && options->any_address)) {
        snprintf(local, sizeof(local), "127.0.0.1%s", addr);
        addr = local;
    }
    rc = weft_listen(addr, &ln);
    if (rc < 0)
        return rc;
    if (!(options && options->any_address) && !is_loopback(ln)) {
        weft_listener_close(ln);
        return -EACCES;
    }
    s = weft__alloc(1, sizeof(*s));
    s->mux = weft_http_mux_new();
    weft_debug_mount_with(s->mux, options);
    s->server = weft_http_server_new(s->mux, NULL);
    weft__http_server_apart(s->server);
    s->listener = ln;
    s->next = weft__load(&services);
    while (!weft__cas(&services, &s->next, s))
        ;
    weft_go_with(&named, serve, s);
    return 0;
}

int weft_debug_serve_with(const char *addr, const weft_debug_options *options)
{
    int rc;

    weft__steps_begin("weft_debug_serve");
    rc = listen_and_serve(addr, options);
    weft__steps_end();
    return rc;
}
