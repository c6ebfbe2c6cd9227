/* SPDX-License-Identifier: MIT */
/* test_orders.c - the example answers correctly when memory for its JSON runs out. */
#include "examples/orders/orders.h"
#include "tests/http/http_client.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int allocs_left; /* of jansson, until one fails */

static void *scarce(size_t n)
{
    return atomic_fetch_sub(&allocs_left, 1) > 0 ? malloc(n) : NULL;
}

/* Whichever allocation fails, the answer is complete or a 503. If it was jansson's while it read
 * the request, the answer may be a 400, since jansson reports it like a mistake in the text. */
static void check_answers(const site *s, const char *request, int status, const char *in_body)
{
    static client c; /* too large for a stack */
    answer a = {0};
    int n;

    for (n = 0; n < 200 && a.status != status; n++) {
        client_open(&c, s);
        atomic_store(&allocs_left, n);
        client_send(&c, request);
        CHECK(client_answer(&c, &a, false));
        client_close(&c);
        if (a.status == status)
            CHECK_CONTAINS(a.body, in_body);
        else
            CHECK(a.status == 503 || (status == 201 && a.status == 400));
        CHECK(a.body_len > 0);
    }
    CHECK(n > 4 && a.status == status);
    free(a.body);
}

TEST(answers_without_memory_are_503)
{
    weft_http_mux *mux = weft_http_mux_new();
    char folder[] = "/tmp/weft_orders_XXXXXX", path[64];
    site s;

    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/db", folder);
    json_set_alloc_funcs(scarce, free);
    CHECK_EQ(store_open(path), 0);
    shop_open();
    api_mount(mux);
    site_start(&s, mux, NULL);
    check_answers(&s,
                  "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 49\r\n\r\n"
                  "{\"customer\": \"ada\", \"item\": \"tea\", \"quantity\": 2}",
                  201, "\"customer\":\"ada\"");
    check_answers(&s, "GET /orders/1 HTTP/1.1\r\nHost: a\r\n\r\n", 200, "\"item\":\"tea\"");
    check_answers(&s, "GET /sold HTTP/1.1\r\nHost: a\r\n\r\n", 200, "\"tea\":{");
    check_answers(&s, "GET /orders/77 HTTP/1.1\r\nHost: a\r\n\r\n", 404, "no such order");
    site_end(&s);
    shop_close();
    store_close();
    weft_process_run((const char *[]){"rm", "-r", folder, NULL});
}
