/* SPDX-License-Identifier: MIT */
/* exchange.h - servers, connections and exchanges: the types that the files of http/server share.
 *
 * A connection is small and lasts long. The buffers and the parser of a request are in an exchange,
 * which a connection has from the first byte of a request to the last byte of its answer; other
 * connections use it in between. So a connection that waits for a request holds the first page of
 * its stack and some hundred bytes.
 *
 * The connection's task owns its exchange; the handler runs on that task (or on one that the task
 * waits for, watched.c). So requests and answers need no lock, and the functions below are called
 * by that task unless they say otherwise. */
#ifndef WEFT_HTTP_EXCHANGE_H
#define WEFT_HTTP_EXCHANGE_H

#include "http/server/mux.h"
#include "http/wire/parse.h"
#include "runtime/base/list.h"
#include "runtime/base/lock.h"

#include <sys/uio.h>
#include <weft/sync.h>
#include <weft/task.h>

typedef struct weft__http_conn weft__http_conn;
typedef struct weft__exchange weft__exchange;

enum {
    WEFT__IN_SIZE = 4096,    /* bytes of input in an exchange; enough for most requests */
    WEFT__OUT_SIZE = 4096,   /* bytes of output in an exchange; enough for most answers */
    WEFT__IN_SLACK = 512,    /* bytes of input that no head uses: room for bytes behind it */
    WEFT__ARENA_SIZE = 512,  /* bytes for decoded text in an exchange */
    WEFT__FRONT_SIZE = 160,  /* bytes of output for the lines that the server decides last */
    WEFT__DATE_SIZE = 37,    /* of "Date: ...\r\n" */
    WEFT__DRAIN_MAX = 65536, /* bytes of an unread body that the server drops to go on */
};

struct weft_http_server {
    weft_http_mux *mux;        /* constant */
    weft_http_options options; /* constant, each with its default filled in */
    weft__limits limits;       /* constant */
    size_t exchange_size;      /* constant */
    weft_main_fn *conn_main;   /* constant: the main function of the connections' tasks */
    weft_group conns;          /* a task for each connection */
    weft_sema slots;           /* connections that may still be accepted; unused without a limit */

    uint32_t pool_lock;   /* no other lock is taken under it; guards pool and npool */
    uint32_t npool;       /* the length of pool */
    weft__exchange *pool; /* unused exchanges; the latest comes first, as it is in the cache */

    weft_mutex mutex;     /* guards the fields below */
    weft_cond changed;    /* a serving has ended */
    weft__link *servings; /* one for each call of weft_http_server_serve under way */
    weft__link *list;     /* all connections */
    uint32_t stopping;    /* atomic; written under mutex */

    weft_http_server *next; /* of those that a run left behind (server.c) */
};

/* The states of a connection for a stop. BUSY: it has a request. IDLE: it waits for one. HEAD: it
 * waits for more of a head. LEFT: the stop has asked it to close. */
enum weft__conn_state { WEFT__CONN_BUSY, WEFT__CONN_IDLE, WEFT__CONN_HEAD, WEFT__CONN_LEFT };

struct weft__http_conn {
    weft_conn *net;           /* constant; closed by the connection's task alone */
    weft_http_server *server; /* constant */
    weft__link link;          /* in server->list; guarded by its mutex */
    uint32_t state;           /* atomic: enum weft__conn_state */
    bool taken;               /* a handler took net over; used by the connection's task only */
};

/* Memory that is freed with the request, all at once. */
typedef struct weft__arena {
    char *free;                       /* the next free byte */
    size_t left;                      /* free bytes from there on */
    struct weft__arena_block *blocks; /* allocated when the exchange's own bytes were used up */
} weft__arena;

struct weft_http_request {
    weft__parse parse;
    weft__match match;
    weft__arena arena;
    /* in[start..body) is the request's head. in[rest..filled) are the bytes that came behind it and
     * were not used yet: body, or the next request. */
    char *in;
    uint32_t size; /* of in: IN_SIZE + IN_SLACK, or more if `in` is memory of its own */
    uint32_t start, body, rest, filled;
    int error;      /* of the body; 0: none yet */
    int refused;    /* the status to answer that error with; 0: none */
    bool eof;       /* the peer has shut down its side */
    bool continued; /* 100 was sent, or must not be sent any more */
    int64_t budget; /* ns that the peer may still keep us waiting for the body */
};

/* The stages of an answer. */
enum weft__stage {
    WEFT__OPEN, /* the handler can set status and header fields */
    WEFT__HELD, /* they are fixed; the whole answer so far is in the buffer */
    WEFT__SENT, /* the head is sent; the buffer holds body */
    WEFT__OVER, /* the answer is complete, or the connection was taken over */
};

struct weft_http_response {
    int status;
    uint8_t stage;
    bool head_only;  /* the request was HEAD */
    bool chunked;    /* valid from SENT on */
    bool closes;     /* the connection ends with this answer */
    bool has_date;   /* set by the handler */
    int error;       /* of the sending; all later calls return it */
    int64_t length;  /* of the body, as the handler set it; -1 if it did not */
    int64_t written; /* bytes of body that the handler has written */
    int64_t budget;  /* ns that the peer may still keep us waiting */
    /* In OPEN and HELD out[FRONT_SIZE..body) has the handler's header fields, and out[body..filled)
     * is body. In SENT out[body..filled) is body. */
    char *out;
    uint32_t size, body, filled;
};

struct weft__exchange {
    weft__exchange *next;  /* in the pool */
    weft__http_conn *conn; /* the connection that has this exchange */
    weft_http_request r;
    weft_http_response w;
    int64_t date_second;        /* the second that date stands for */
    char date[WEFT__DATE_SIZE]; /* the line of the head */
    char arena[WEFT__ARENA_SIZE];
    char in[WEFT__IN_SIZE + WEFT__IN_SLACK];
    char out[WEFT__OUT_SIZE];
    weft__field fields[]; /* limits.fields of them */
};

static inline weft__exchange *weft__exchange_of_request(const weft_http_request *r)
{
    return weft__container_of(r, weft__exchange, r);
}

static inline weft__exchange *weft__exchange_of_response(const weft_http_response *w)
{
    return weft__container_of(w, weft__exchange, w);
}

/* server.c */

/* Gives the connections of this server a main function of their own. The scheduler judges tasks by
 * their main function (lane.c), so the handlers of other servers that block or hog would count
 * against these connections. Before the server serves. */
void weft__http_server_apart(weft_http_server *s);
/* Returns whether the server stops. Any task may ask. */
static inline bool weft__http_stops(const weft_http_server *s)
{
    return weft__load_seq(&s->stopping);
}

/* exchange.c */

/* Returns an exchange for c, or NULL if there is no memory. */
weft__exchange *weft__exchange_get(weft__http_conn *c);
/* Gives it back. The connection has no bytes of a request left. */
void weft__exchange_put(weft__exchange *x);

/* log.c */

/* Writes a line to the server's log. Any task may call. */
void weft__http_log(const weft_http_server *s, const char *format, ...) WEFT__PRINTF(2, 3);

/* io.c. Waiting spends the budget; a budget that runs out ends a call with WEFT_ETIMEDOUT. */

/* Waits until bytes or the peer's end may have come. Returns 0 (possibly spurious: retry) or a
 * code. */
int weft__http_wait(weft_conn *net, int64_t *budget);
/* Makes such a wait, the one under way or else the next one, return 0. Any task may call. */
void weft__http_nudge(weft_conn *net);
/* Reads as weft_conn_read does. */
ssize_t weft__http_recv(weft_conn *net, void *buf, size_t n, int64_t *budget);
/* Writes as weft_conn_writev does, and refills the budget up to `most` for the bytes that pass.
 * Changes iov. */
int weft__http_send(weft_conn *net, struct iovec *iov, int n, int64_t *budget, int64_t most);

/* Refills a budget for n bytes that passed: a second for each KiB, up to `most`. */
static inline void weft__budget_refill(int64_t *budget, int64_t most, size_t n)
{
    int64_t more = (n < 1u << 30 ? (int64_t)n : 1 << 30) * (WEFT_SECOND / 1024);

    *budget = more < most - *budget ? *budget + more : most;
}

/* request.c */

/* Prepares the exchange for the next request of its connection. */
void weft__request_begin(weft__exchange *x);
/* Frees the memory of the request. The bytes behind it stay, for the next one. */
void weft__request_end(weft__exchange *x);
/* Returns n bytes for text that live as long as the request; NULL if there is no memory. */
char *weft__request_alloc(weft_http_request *r, size_t n);
/* Makes room behind `filled`: for more of the head, or for more of the body once all bytes of the
 * body in the buffer are used. Returns the number of bytes; 0 if there is no memory. */
size_t weft__request_room(weft__exchange *x);
/* Reads and drops the rest of the body. Returns false if it is too long, or does not come. */
bool weft__request_drain(weft__exchange *x);

/* response.c */

/* Prepares the exchange for the answer to a request. */
void weft__response_begin(weft__exchange *x);
/* Sends the rest of the answer. Returns false if the connection must end. */
bool weft__response_end(weft__exchange *x);
/* Answers a request with a refusal, unless the head of an answer is sent already. The connection
 * ends with it. */
void weft__response_refuse(weft__exchange *x, int status, const char *why);

/* head.c */

/* Returns the reason phrase of a status from 200 to 599; "" if we have none. */
const char *weft__status_text(int status);
/* Writes the lines of the head that the server decides, so that they end at w->out[FRONT_SIZE].
 * Returns the offset where they begin. */
uint32_t weft__head_front(weft__exchange *x);

/* watched.c. Runs the handler, and cancels it if its peer closes the connection. */
void weft__run_watched(weft__exchange *x);

/* dispatch.c. Runs the handler of the request, or answers itself if there is none. */
void weft__dispatch(weft__exchange *x);

#endif
