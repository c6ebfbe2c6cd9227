/* SPDX-License-Identifier: MIT */
/* http_client.h - a server on a free port and a client that sees every byte of its answers. */
#ifndef WEFT_TESTS_HTTP_CLIENT_H
#define WEFT_TESTS_HTTP_CLIENT_H

#include "support.h"

typedef struct site {
    weft_http_mux *mux;
    weft_http_server *server;
    char addr[WEFT_ADDR_TEXT];
    weft_group group;
    weft_listener *ln;
} site;

/* Starts a server for mux, with options, or NULL for the defaults. */
void site_start(site *s, weft_http_mux *mux, const weft_http_options *options);
void site_end(site *s); /* stops it within seconds and frees all */

typedef struct client {
    weft_conn *conn;
    char buf[64 * 1024]; /* [at..filled) is not taken yet */
    size_t at, filled;
} client;

typedef struct answer {
    int status;
    char head[4096]; /* status line and fields */
    char *body;      /* with a NUL behind it; reused by the next answer put here */
    size_t body_len;
} answer;

void client_open(client *c, const site *s);
void client_send(client *c, const char *text);
void client_send_bytes(client *c, const void *bytes,
                       size_t n); /* a peer that hung up is no error */
/* The next answer, interim ones (100) included; false: the connection ended before it. *a is an
 * earlier answer or all zero. */
bool client_answer(client *c, answer *a, bool head_only);
bool client_is_at_end(client *c);              /* waits for bytes (false) or the end */
bool client_sees(client *c, const char *text); /* waits for that text or the end (false) */
void client_close(client *c);

/* Sends and checks the answer's status and body. */
void client_expect(client *c, const char *request, int status, const char *body);

#endif
