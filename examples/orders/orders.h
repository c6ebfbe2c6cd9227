/* SPDX-License-Identifier: MIT */
/* orders.h - a shop's orders: taken over HTTP, priced by a pool of workers, kept in SQLite. */
#ifndef ORDERS_H
#define ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft.h>

typedef struct order {
    int64_t id; /* > 0 once it is stored */
    char customer[64];
    char item[32];
    int quantity;
    int64_t cents;
} order;

/* store.c: orders in a database. Calls block in SQLite, straight from tasks. 0, or < 0 and the
 * reason was printed. */
int store_open(const char *path);
void store_close(void);
int store_add(order *const orders[], int n); /* all of them or none; gives them ids; one caller */
/* Any number of callers. 1: found. */
int store_get(int64_t id, order *out);
int store_latest(const char *customer, order *out, int most); /* their number */

/* cache.c: the orders asked for lately. */
bool cache_get(int64_t id, order *out);
void cache_put(const order *o);

/* shop.c: an order's way through the shop. */
void shop_open(void);
/* Takes the order, and returns when it is in the database: 0; WEFT_ECANCELED, and it may be there
 * or not; another code: it is not. */
int shop_take(order *o);
void shop_look(const char *item); /* counts that somebody looked at an order of it */
void shop_close(void); /* when nobody is in shop_take any more; returns when all is stored */
/* What was sold: item number i, counted from 0; false: there is none. */
bool shop_sold(int i, char item[32], int64_t *n, int64_t *cents);

/* api.c */
void api_mount(weft_http_mux *mux);
int64_t api_accepted(void); /* orders so far */

#endif
