/* SPDX-License-Identifier: MIT */
/* shop.c - an order's way through the shop:
 *
 *     handler -> incoming -> a pool of clerks -> priced -> one bookkeeper -> the handler's own
 *                            (the hot mutex)               (SQLite)          channel
 *
 * The bookkeeper stores as many orders with one commit as have come while the last one waited for
 * the disk. An order is acknowledged after that, so what a client was told is on the disk. Closing
 * a channel behind the last sender passes the end on to the next stage. */
#include "orders.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { CLERKS = 8, BATCH = 64, ITEMS = 16 };

/* Shared by handler and shop: a handler that is canceled leaves it to the shop. */
struct work {
    order o;
    weft_chan *done; /* of an int: the result for the handler */
    atomic_int users;
};

WEFT_CHAN_TYPE(works, struct work *);

static works *incoming, *priced;
static weft_waitgroup clerks, bookkeeper;

/* One mutex for everything that is sold and looked at, held over slow work and over a wait. It is
 * slow on purpose: look for it in the dump. */
static struct {
    weft_mutex mutex;
    int n;
    struct {
        char name[32];
        int64_t sold, cents, looks;
    } items[ITEMS];
} book = {.mutex = WEFT_MUTEX_INIT};

static void work_drop(struct work *w)
{
    if (atomic_fetch_sub(&w->users, 1) > 1)
        return;
    weft_chan_free(w->done);
    free(w);
}

static void work_end(struct work *w, int rc)
{
    weft_chan_send(w->done, &rc); /* never waits: the channel has room for one result */
    work_drop(w);
}

/* Returns the index of an item; of the last entry if all are in use. Caller holds the mutex. */
static int find(const char *name)
{
    int i = 0;

    while (i < book.n && strcmp(book.items[i].name, name) != 0)
        i++;
    if (i == book.n && book.n < ITEMS) {
        strcpy(book.items[i].name, book.n == ITEMS - 1 ? "other" : name);
        book.n++;
    }
    return i < ITEMS ? i : ITEMS - 1;
}

static void set_price(order *o)
{
    int i;

    weft_mutex_lock(&book.mutex);
    o->cents = o->quantity * catalogue_price(o->item);
    i = find(o->item);
    book.items[i].sold += o->quantity;
    book.items[i].cents += o->cents;
    weft_mutex_unlock(&book.mutex);
}

void shop_look(const char *item)
{
    weft_mutex_lock(&book.mutex);
    book.items[find(item)].looks++;
    weft_sleep(50 * WEFT_MICROSECOND); /* tells the board at the door */
    weft_mutex_unlock(&book.mutex);
}

static void clerk(void *arg)
{
    struct work *w;

    (void)arg;
    weft_task_name("clerk");
    while (works_recv(incoming, &w) == 0) {
        set_price(&w->o);
        works_send(priced, w);
    }
    weft_waitgroup_done(&clerks);
}

static void keep_books(void *arg)
{
    struct work *batch[BATCH];
    order *orders[BATCH];
    int n, rc;

    (void)arg;
    weft_task_name("bookkeeper");
    while (works_recv(priced, &batch[0]) == 0) {
        for (n = 1; n < BATCH && works_recv_until(priced, &batch[n], WEFT_NOW) == 0; n++)
            continue;
        for (int i = 0; i < n; i++)
            orders[i] = &batch[i]->o;
        rc = store_add(orders, n);
        for (int i = 0; i < n; i++)
            work_end(batch[i], rc);
    }
    weft_waitgroup_done(&bookkeeper);
}

void shop_open(void)
{
    catalogue_open();
    incoming = works_new(256);
    priced = works_new(256);
    weft_waitgroup_add(&clerks, CLERKS);
    for (int i = 0; i < CLERKS; i++)
        weft_go(clerk, NULL);
    weft_waitgroup_add(&bookkeeper, 1);
    weft_go(keep_books, NULL);
}

void shop_close(void)
{
    works_close(incoming);
    weft_waitgroup_wait(&clerks);
    works_close(priced);
    weft_waitgroup_wait(&bookkeeper);
    works_free(incoming);
    works_free(priced);
}

int shop_take(order *o)
{
    struct work *w = malloc(sizeof(*w));
    int rc, answer;

    if (!w)
        return WEFT_ENOMEM;
    w->o = *o;
    w->done = weft_chan_new(sizeof(int), 1);
    atomic_init(&w->users, 2);
    rc = works_send(incoming, w);
    if (rc < 0) { /* canceled before the shop took the order */
        work_drop(w);
        work_drop(w);
        return rc;
    }
    rc = weft_chan_recv(w->done, &answer);
    if (rc == 0) {
        rc = answer;
        *o = w->o;
    }
    work_drop(w);
    return rc;
}

bool shop_sold(int i, char item[32], int64_t *n, int64_t *cents)
{
    bool there;

    weft_mutex_lock(&book.mutex);
    there = i < book.n;
    if (there) {
        strcpy(item, book.items[i].name);
        *n = book.items[i].sold;
        *cents = book.items[i].cents;
    }
    weft_mutex_unlock(&book.mutex);
    return there;
}
