/* SPDX-License-Identifier: MIT */
/* exchange.h - what the files of http/ share: servers, connections, and exchanges.
 *
 * A connection is small and lasts; what a request needs is in an exchange, which the connection has
 * from the request's first byte to its answer's last and which others use meanwhile. So a
 * connection that waits for a request holds its stack's first page and some hundred bytes. */
#ifndef WEFT_HTTP_EXCHANGE_H
#define WEFT_HTTP_EXCHANGE_H

#include "http/server/mux.h"
#include "http/wire/parse.h"
#include "runtime/base/lock.h"

#include <sys/uio.h>
#include <weft/sync.h>
#include <weft/task.h>

typedef struct weft__http_conn weft__http_conn;
typedef struct weft__exchange weft__exchange;
typedef struct weft__serving weft__serving;

enum {
    WEFT__IN_SIZE = 4096,  /* an exchange's own buffers, that do for most requests */
    WEFT__OUT_SIZE = 4096, /* and answers */
    WEFT__IN_SLACK = 512,  /* of the input, never part of a head: room for what follows */
    WEFT__ARENA_SIZE = 512,
    WEFT__FRONT_SIZE = 160,  /* of the output: the head's lines that only its end decides */
    WEFT__DATE_SIZE = 37,    /* of "Date: ...\r\n" */
    WEFT__DRAIN_MAX = 65536, /* bytes of a body that nobody read and that are passed over */
};

struct weft_http_server {
    weft_http_mux *mux;        /* constant */
    weft_http_options options; /* constant, each with its default filled in */
    weft__limits limits;       /* constant */
    size_t exchange_size;      /* constant */
    weft_main_fn *conn_main;   /* constant: the connections' tasks */
    weft_group conns;          /* a task for each connection */
    weft_sema slots;           /* connections that may still be accepted; unused without a limit */

    uint32_t pool_lock; /* leaf; guards pool, npool */
    uint32_t npool;
    weft__exchange *pool; /* unused ones, hot first */

    weft_mutex mutex;        /* guards what follows */
    weft_cond changed;       /* servings got fewer */
    weft__serving *servings; /* one for each call of serve */
    weft__http_conn *list;   /* all connections */
    uint32_t stopping;       /* atomic; written under mutex */
};

/* BUSY: has a request. IDLE: waits for one. HEAD: waits for more of its head. LEFT: a stop asked it
 * to close. */
enum weft__conn_state { WEFT__CONN_BUSY, WEFT__CONN_IDLE, WEFT__CONN_HEAD, WEFT__CONN_LEFT };

struct weft__http_conn {
    weft_conn *net;           /* constant; closed by the connection's task alone */
    weft_http_server *server; /* constant */
    weft__http_conn *next, *prev;
    uint32_t state; /* atomic: enum weft__conn_state */
    bool taken;     /* net is a handler's; the connection's task */
};

/* Memory that ends with the request. */
typedef struct weft__arena {
    char *free;
    size_t left;
    struct weft__arena_block *blocks; /* beyond the exchange's own */
} weft__arena;

struct weft_http_request {
    weft__parse parse;
    weft__match match;
    weft__arena arena;
    /* in[start..body) is the request's head, in[rest..filled) what came behind it and was not
     * taken yet. */
    char *in;
    uint32_t size; /* of in; IN_SIZE + IN_SLACK, or memory of its own */
    uint32_t start, body, rest, filled;
    int error;      /* of the body; 0: none yet */
    int refused;    /* the status that error calls for; 0: none */
    bool eof;       /* the peer has shut down its side */
    bool continued; /* 100 was sent, or is not to be sent */
    int64_t budget; /* ns that the peer may still keep us waiting for the body */
};

enum weft__stage {
    WEFT__OPEN, /* status and header can be set */
    WEFT__HELD, /* they are fixed; all of it is in the buffer */
    WEFT__SENT, /* the head is out; the buffer holds body */
    WEFT__OVER,
};

struct weft_http_response {
    int status;
    uint8_t stage;
    bool head_only; /* the request was HEAD */
    bool chunked;   /* valid once sent */
    bool closes;    /* the connection ends with this answer */
    bool has_date;  /* set by the handler */
    int error;
    int64_t length;  /* of the body, as set; -1: not */
    int64_t written; /* bytes of body given to us */
    int64_t budget;  /* ns that the peer may still keep us waiting */
    /* OPEN, HELD: out[FRONT_SIZE..body) are the handler's header fields, out[body..filled) is body.
     * SENT: out[body..filled) is body. */
    char *out;
    uint32_t size, body, filled;
};

struct weft__exchange {
    weft__exchange *next; /* in the pool */
    weft__http_conn *conn;
    weft_http_request r;
    weft_http_response w;
    int64_t date_second; /* of date */
    char date[WEFT__DATE_SIZE];
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
/* Gives the connections of this server a function of their own. The scheduler judges tasks by their
 * function, so other servers' handlers that block or hog would count against these. */
void weft__http_server_apart(weft_http_server *s);
static inline bool weft__http_stops(const weft_http_server *s)
{
    return weft__load_seq(&s->stopping);
}

/* exchange.c */
weft__exchange *weft__exchange_get(weft__http_conn *c); /* NULL: out of memory */
void weft__exchange_put(weft__exchange *x);

/* log.c */
void weft__http_log(const weft_http_server *s, const char *format, ...) WEFT__PRINTF(2, 3);

/* io.c. As weft_conn_read and _writev, but waiting spends the budget, and an end of it is
 * WEFT_ETIMEDOUT. Sending refills it up to `most`, and changes iov. */
int weft__http_wait(weft_conn *net, int64_t *budget); /* for bytes or the end: 0, may be spurious */
void weft__http_nudge(weft_conn *net); /* makes such a wait, now or the next one, return 0 */
ssize_t weft__http_recv(weft_conn *net, void *buf, size_t n, int64_t *budget);
int weft__http_send(weft_conn *net, struct iovec *iov, int n, int64_t *budget, int64_t most);

/* n bytes passed: a second for a KiB. */
static inline void weft__budget_refill(int64_t *budget, int64_t most, size_t n)
{
    int64_t more = (n < 1u << 30 ? (int64_t)n : 1 << 30) * (WEFT_SECOND / 1024);

    *budget = more < most - *budget ? *budget + more : most;
}

/* request.c */
void weft__request_begin(weft__exchange *x);
/* Frees what the request took; bytes behind it stay. */
void weft__request_end(weft__exchange *x);
char *weft__request_alloc(weft_http_request *r, size_t n); /* for text; NULL: out of memory */
/* Makes room behind filled for more of the head, or, when nothing of it is left, of the body. The
 * number of bytes; 0: out of memory. */
size_t weft__request_room(weft__exchange *x);
/* Reads and drops what is left of the body. False: it is too long, or does not come. */
bool weft__request_drain(weft__exchange *x);

/* response.c */
void weft__response_begin(weft__exchange *x);
/* Sends what is not sent yet. False: the connection must end. */
bool weft__response_end(weft__exchange *x);
/* Answers a request that is refused, unless an answer is on its way; the connection ends. */
void weft__response_refuse(weft__exchange *x, int status, const char *why);

/* head.c */
const char *weft__status_text(int status); /* "" for one we have no words for */
/* Writes the lines of a head that the server decides so that they end at w->out[FRONT_SIZE].
 * Where they begin. */
uint32_t weft__head_front(weft__exchange *x);

/* watched.c: runs the handler, and cancels it if its peer goes. */
void weft__run_watched(weft__exchange *x);

/* dispatch.c: runs the handler that the request is for, or answers in its stead. */
void weft__dispatch(weft__exchange *x);

#endif
