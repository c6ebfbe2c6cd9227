/* SPDX-License-Identifier: MIT */
/* conn.h - begins connections: the functions of conn.c for server.c.
 *
 * Tasks call weft__http_conn_begin, with no lock held; the other two are the main functions of the
 * connections' own tasks. */
#ifndef WEFT_HTTP_CONN_H
#define WEFT_HTTP_CONN_H

#include "http/server/exchange.h"

/* Adds a connection for net to the server's list, and starts its task. Closes net instead if the
 * server stops. */
void weft__http_conn_begin(weft_http_server *s, weft_conn *net);
/* The main function of a connection's task. */
int weft__http_conn_main(void *conn);
/* Does the same under another address; weft__http_server_apart says why. */
int weft__http_conn_apart(void *conn);

#endif
