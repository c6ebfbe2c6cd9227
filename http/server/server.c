/* SPDX-License-Identifier: MIT */
/* server.c - servers: listeners, the list of connections, and stopping.
 *
 * Owns: weft_http_server and its lists.
 * Lock: s->mutex, a mutex of tasks, guards both lists. It is held for a few instructions, except
 * while connections start and end. A connection's own task takes it out of the list, and only then
 * closes and frees it. So a task that holds the mutex may touch each connection that it finds in
 * the list. The same is true for servings and their listeners.
 * Tasks and foreign threads call the public functions, and hold no lock. serve and stop wait. A
 * server is freed after its stop has returned. */
#include "http/server/conn.h"

#include "runtime/base/log.h"
#include "runtime/machine/stack.h"
#include "runtime/sched/scheduler.h"

#include <weft/embed.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A call of weft_http_server_serve, on its frame. */
struct serving {
    weft_listener *ln; /* NULL once no other task may touch it; guarded by s->mutex */
    weft__link link;   /* in s->servings */
};

/* Options -------------------------------------------------------------------------------------- */

static void log_as_others(void *arg, const char *text)
{
    (void)arg;
    weft__log("%s", text);
}

#define DEFAULT(field, value) o->field = o->field ? o->field : (value)

/* Gives each option that is 0 its default; weft/http.h has the same table. Panics on limits that
 * cannot be meant, and on a stack_size out of range, at the call that has the mistake. */
static void fill_options(weft_http_options *o)
{
    DEFAULT(max_line, 8 * 1024);
    DEFAULT(max_head, 32 * 1024);
    DEFAULT(max_fields, 100);
    DEFAULT(max_body, 1024 * 1024);
    DEFAULT(idle_time, 75 * WEFT_SECOND);
    DEFAULT(head_time, 10 * WEFT_SECOND);
    DEFAULT(read_time, 60 * WEFT_SECOND);
    DEFAULT(write_time, 60 * WEFT_SECOND);
    DEFAULT(log, log_as_others);
    if (o->max_line > 1 << 24 || o->max_head > 1 << 24 || o->max_fields > 1 << 16)
        weft__panic("http: limits out of range");
    if (o->stack_size > 0)
        weft__stack_size_of(o->stack_size, "weft_http_server_new");
}

weft_http_server *weft_http_server_new(weft_http_mux *mux, const weft_http_options *options)
{
    weft_http_server *s = weft__alloc(1, sizeof(*s));

    if (options)
        s->options = *options;
    fill_options(&s->options);
    s->mux = mux;
    weft__mux_hold(mux);
    s->conn_main = weft__http_conn_main;
    s->limits.line = s->options.max_line;
    s->limits.head = s->options.max_head;
    s->limits.fields = s->options.max_fields;
    s->exchange_size = sizeof(weft__exchange) + s->limits.fields * sizeof(weft__field);
    if (s->options.max_conns > 0)
        weft_sema_add(&s->slots, s->options.max_conns);
    return s;
}

void weft__http_server_apart(weft_http_server *s)
{
    s->conn_main = weft__http_conn_apart;
}

void weft_http_server_free(weft_http_server *s)
{
    weft__exchange *x;

    if (!s)
        return;
    if (s->servings || s->list)
        weft__panic("http: a server is freed that still serves");
    while ((x = s->pool) != NULL) {
        s->pool = x->next;
        weft__free(x);
    }
    weft__mux_release(s->mux);
    weft__free(s);
}

/* Serving -------------------------------------------------------------------------------------- */

/* Adds v to the servings. Returns false if the server stops: then no call may begin to serve. */
static bool enlist(weft_http_server *s, struct serving *v)
{
    bool stops;

    weft_mutex_lock(&s->mutex);
    stops = weft__http_stops(s);
    if (!stops)
        weft__list_push(&s->servings, &v->link);
    weft_mutex_unlock(&s->mutex);
    return !stops;
}

/* Closes the listener and takes v out of the servings. Closing waits, which no task may do under
 * the mutex; so v->ln becomes NULL first, and a stop leaves the listener alone. v leaves the list
 * last: a stop waits until all listeners are closed. */
static void delist(weft_http_server *s, struct serving *v)
{
    weft_listener *ln = v->ln;

    weft_mutex_lock(&s->mutex);
    v->ln = NULL;
    weft_mutex_unlock(&s->mutex);
    weft_listener_close(ln);
    weft_mutex_lock(&s->mutex);
    weft__list_remove(&v->link);
    weft_cond_broadcast(&s->changed);
    weft_mutex_unlock(&s->mutex);
}

static int serve(weft_http_server *s, weft_listener *ln)
{
    struct serving v = {.ln = ln};
    weft_conn *net;
    int rc = 0;

    if (!enlist(s, &v)) {
        weft_listener_close(ln);
        return 0;
    }
    while (rc == 0) {
        if (s->options.max_conns > 0)
            rc = weft_sema_wait(&s->slots, 1);
        if (rc == 0)
            rc = weft_accept(ln, &net);
        if (rc == 0)
            weft__http_conn_begin(s, net);
    }
    if (weft__http_stops(s) && rc == WEFT_ECLOSED)
        rc = 0;
    if (rc < 0 && rc != WEFT_ECANCELED)
        weft__http_log(s, "http: a listener has ended: %s", weft_strerror(rc));
    delist(s, &v);
    return rc;
}

static bool on_foreign_thread(void)
{
    const weft__worker *w = weft__self();

    return !w || w->foreign;
}

struct serve_call {
    weft_http_server *s;
    weft_listener *ln;
};

/* The task that serves for a foreign thread; frees arg. */
static int serve_by_task(void *arg)
{
    struct serve_call c = *(struct serve_call *)arg;

    weft__free(arg);
    return serve(c.s, c.ln);
}

/* A foreign thread has a task serve, since the run may end between any two of its calls. */
int weft_http_server_serve(weft_http_server *s, weft_listener *ln)
{
    struct serve_call *c;

    if (!on_foreign_thread())
        return serve(s, ln);
    c = weft__alloc(1, sizeof(*c));
    *c = (struct serve_call){s, ln};
    return weft_call(serve_by_task, c);
}

/* Servers that the end of a run left behind, one for each thread that served then. Tasks of that
 * run which do not return may still read them, so they stay. */
static weft_http_server *left_behind; /* atomic */

static void leave_behind(weft_http_server *s)
{
    s->next = weft__load(&left_behind);
    while (!weft__cas(&left_behind, &s->next, s))
        continue;
}

static int listen_and_serve(const char *addr, weft_http_mux *mux)
{
    weft_http_server *s;
    weft_listener *ln;
    int rc = weft_listen(addr, &ln);

    if (rc < 0)
        return rc;
    s = weft_http_server_new(mux, NULL);
    rc = weft_http_server_serve(s, ln);
    if (rc == WEFT_ECANCELED && on_foreign_thread()) {
        leave_behind(s);
        return rc;
    }
    weft_http_server_stop_until(s, WEFT_NOW);
    weft_http_server_free(s);
    return rc;
}

int weft_http_serve(const char *addr, weft_http_mux *mux)
{
    int rc;

    weft__steps_begin("weft_http_serve");
    rc = listen_and_serve(addr, mux);
    weft__steps_end();
    return rc;
}

/* Stopping ------------------------------------------------------------------------------------- */

/* Ends the waits of all listeners and connections. Caller holds the mutex. The fence orders the
 * store of `stopping` before the reads of the connections' states (conn.c). */
static void end_waits(weft_http_server *s)
{
    weft__store_seq(&s->stopping, 1);
    weft__fence_full();
    for (weft__link *l = s->servings; l; l = l->next) {
        struct serving *v = weft__container_of(l, struct serving, link);

        if (v->ln)
            weft_listener_shutdown(v->ln);
        if (s->options.max_conns > 0)
            weft_sema_add(&s->slots, 1); /* the serving may wait for a slot */
    }
    for (weft__link *l = s->list; l; l = l->next) {
        weft__http_conn *c = weft__container_of(l, weft__http_conn, link);
        uint32_t idle = WEFT__CONN_IDLE;

        if (weft__cas(&c->state, &idle, WEFT__CONN_LEFT) || idle == WEFT__CONN_HEAD)
            weft__http_nudge(c->net);
    }
}

static int stop_until(weft_http_server *s, weft_time deadline)
{
    int rc = 0;

    weft_mutex_lock(&s->mutex);
    end_waits(s);
    while (s->servings && rc == 0)
        rc = weft_cond_wait_until(&s->changed, &s->mutex, deadline);
    weft_mutex_unlock(&s->mutex);
    rc = weft_group_wait_until(&s->conns, deadline);
    if (rc == WEFT_EPENDING) {
        rc = deadline <= weft_now() ? WEFT_ETIMEDOUT : WEFT_ECANCELED;
        weft_group_cancel(&s->conns);
        weft_group_wait(&s->conns);
    }
    return rc;
}

int weft_http_server_stop_until(weft_http_server *s, weft_time deadline)
{
    int rc;

    weft__steps_begin("weft_http_server_stop");
    rc = stop_until(s, deadline);
    weft__steps_end();
    return rc;
}
