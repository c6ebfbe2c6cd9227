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

/* store.c: orders in a database. The calls block in SQLite, straight from tasks. They return < 0
 * after they have printed the reason, and 0 unless their comments say otherwise. */
int store_open(const char *path);
void store_close(void);
/* Stores all of the orders or none, and gives them ids. One task calls it. */
int store_add(order *const orders[], int n);
/* Returns 1 if there is such an order, else 0. Any task may call it, and store_latest. */
int store_get(int64_t id, order *out);
/* Returns the number of orders found. */
int store_latest(const char *customer, order *out, int most);

/* cache.c: the orders that were asked for lately. */
bool cache_get(int64_t id, order *out);
void cache_put(const order *o);

/* catalogue.c: the goods, and their prices. */
void catalogue_open(void);
/* Replaces item by the name that is spelled most like it. Returns the price in cents. */
int64_t catalogue_price(char item[32]);

/* shop.c: an order's way through the shop. */
void shop_open(void);
/* Takes an order. Returns 0 once it is in the database; WEFT_ECANCELED if it may be there or not;
 * another code if it is not. */
int shop_take(order *o);
/* Counts that a customer looked at an order of the item. */
void shop_look(const char *item);
/* Closes the shop, and returns when all orders are stored. No task is in shop_take any more. */
void shop_close(void);
/* Writes the sales of item number i, counted from 0. Returns false if there is no such item. */
bool shop_sold(int i, char item[32], int64_t *n, int64_t *cents);

/* api.c */
void api_mount(weft_http_mux *mux);
int64_t api_accepted(void); /* the number of orders so far */

#endif
