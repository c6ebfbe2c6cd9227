/* SPDX-License-Identifier: MIT */
/* conn.h - the life of a connection, for server.c. */
#ifndef WEFT_HTTP_CONN_H
#define WEFT_HTTP_CONN_H

#include "http/server/exchange.h"

/* Puts net into the server's list, with a task of its own; closes it if the server stops. */
void weft__http_conn_begin(weft_http_server *s, weft_conn *net);
/* The connection's task. */
int weft__http_conn_main(void *conn);
int weft__http_conn_apart(void *conn); /* does the same; see weft__http_server_apart */

#endif
