/* SPDX-License-Identifier: MIT */
/* api.c - the HTTP side: JSON in, JSON out.
 *
 *     POST /orders           {"customer": "ada", "item": "tea", "quantity": 2}    201 and the order
 *     GET /orders/{id}       the order, or 404
 *     GET /orders?customer=  that customer's latest 20
 *     GET /sold              what was sold, by item */
#include "orders.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATEST = 20, HISTORY = 1000 };

static struct {
    weft_expvar *accepted, *refused, *hits, *misses;
} vars;

static const char no_memory[] = "out of memory";

/* Answers with a value, which it frees. NULL stands for a value that found no memory. */
static void answer(weft_http_response *w, int status, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);

    json_decref(value);
    if (!text) {
        weft_http_error(w, 503, no_memory);
        return;
    }
    weft_http_status_set(w, status);
    weft_http_header_set(w, "Content-Type", "application/json");
    weft_http_printf(w, "%s\n", text);
    free(text);
}

/* Drops a list or a table that could not be completed, and sets it to NULL. */
static void drop(json_t **value)
{
    json_decref(*value);
    *value = NULL;
}

static void refuse(weft_http_response *w, int status, const char *why)
{
    weft_expvar_add(vars.refused, 1);
    answer(w, status, json_pack("{s:s}", "error", why));
}

static json_t *to_json(const order *o)
{
    return json_pack("{s:I, s:s, s:s, s:i, s:I}", "id", (json_int_t)o->id, "customer", o->customer,
                     "item", o->item, "quantity", o->quantity, "cents", (json_int_t)o->cents);
}

/* Reads an order from JSON. Returns NULL, the mistake in the order, or no_memory. */
static const char *parse(const char *text, size_t n, order *o)
{
    json_error_t error;
    json_t *value = json_loadb(text, n, 0, &error);
    const char *customer, *item, *wrong = NULL;
    int quantity;

    if (!value)
        return json_error_code(&error) == json_error_out_of_memory ? no_memory
                                                                   : "the body is no JSON object";
    if (json_unpack(value, "{s:s, s:s, s:i}", "customer", &customer, "item", &item, "quantity",
                    &quantity) < 0)
        wrong = "an order has a customer, an item, and a quantity";
    else if (!*customer || strlen(customer) >= sizeof(o->customer))
        wrong = "customer: 1 to 63 bytes";
    else if (!*item || strlen(item) >= sizeof(o->item))
        wrong = "item: 1 to 31 bytes";
    else if (quantity < 1 || quantity > 1000)
        wrong = "quantity: 1 to 1000";
    if (!wrong) {
        *o = (order){.quantity = quantity};
        strcpy(o->customer, customer);
        strcpy(o->item, item);
    }
    json_decref(value);
    return wrong;
}

static void take_order(weft_http_response *w, weft_http_request *r, void *arg)
{
    const char *body, *wrong;
    char location[48];
    size_t n;
    order o;
    int rc;

    (void)arg;
    if (weft_http_read_all(r, &body, &n) < 0)
        return; /* the server answers a body that it could not read */
    wrong = parse(body, n, &o);
    if (wrong) {
        refuse(w, wrong == no_memory ? 503 : 400, wrong);
        return;
    }
    rc = shop_take(&o);
    if (rc < 0) {
        refuse(w, 503, "the order could not be stored");
        return;
    }
    cache_put(&o);
    weft_expvar_add(vars.accepted, 1);
    snprintf(location, sizeof(location), "/orders/%lld", (long long)o.id);
    weft_http_header_set(w, "Location", location);
    answer(w, 201, to_json(&o));
}

static void show_order(weft_http_response *w, weft_http_request *r, void *arg)
{
    const char *text = weft_http_param(r, "id");
    int64_t id = text ? strtoll(text, NULL, 10) : 0;
    order o;
    int found = id > 0 && cache_get(id, &o);

    (void)arg;
    if (!text) {
        refuse(w, 503, no_memory);
        return;
    }
    weft_expvar_add(found ? vars.hits : vars.misses, 1);
    if (!found && id > 0) {
        found = store_get(id, &o);
        if (found > 0)
            cache_put(&o);
    }
    if (found > 0) {
        shop_look(o.item);
        answer(w, 200, to_json(&o));
        return;
    }
    refuse(w, found < 0 ? 503 : 404, found < 0 ? "no answer from the store" : "no such order");
}

/* Returns room for all that a customer ever ordered, though only the latest are read. That is
 * wasteful on purpose: look for it in the profile of allocations. */
static order *room_for_history(void)
{
    return malloc(HISTORY * sizeof(order));
}

static json_t *to_list(const order *found, int n)
{
    json_t *list = json_array();

    for (int i = 0; i < n && list; i++) {
        if (json_array_append_new(list, to_json(&found[i])) < 0)
            drop(&list);
    }
    return list;
}

static void list_orders(weft_http_response *w, weft_http_request *r, void *arg)
{
    const char *customer;
    order *found;
    int n = weft_http_query_value(r, "customer", &customer);

    (void)arg;
    if (n < 0 || !customer) {
        refuse(w, n == WEFT_ENOMEM ? 503 : 400, n == WEFT_ENOMEM ? no_memory : "which customer?");
        return;
    }
    found = room_for_history();
    n = found ? store_latest(customer, found, LATEST) : WEFT_ENOMEM;
    if (n < 0)
        refuse(w, 503, "no answer from the store");
    else
        answer(w, 200, to_list(found, n));
    free(found);
}

static void show_sold(weft_http_response *w, weft_http_request *r, void *arg)
{
    json_t *all = json_object();
    int64_t sold, cents;
    char item[32];

    (void)r;
    (void)arg;
    for (int i = 0; all && shop_sold(i, item, &sold, &cents); i++) {
        json_t *one = json_pack("{s:I, s:I}", "sold", (json_int_t)sold, "cents", (json_int_t)cents);

        if (json_object_set_new(all, item, one) < 0)
            drop(&all);
    }
    answer(w, 200, all);
}

int64_t api_accepted(void)
{
    return weft_expvar_value(vars.accepted);
}

void api_mount(weft_http_mux *mux)
{
    vars.accepted = weft_expvar_new("orders.accepted", WEFT_EXPVAR_INT);
    vars.refused = weft_expvar_new("orders.refused", WEFT_EXPVAR_INT);
    vars.hits = weft_expvar_new("cache.hits", WEFT_EXPVAR_INT);
    vars.misses = weft_expvar_new("cache.misses", WEFT_EXPVAR_INT);
    weft_http_mux_add(mux, "POST /orders", take_order, NULL);
    weft_http_mux_add(mux, "GET /orders/{id}", show_order, NULL);
    weft_http_mux_add(mux, "GET /orders", list_orders, NULL);
    weft_http_mux_add(mux, "GET /sold", show_sold, NULL);
}
