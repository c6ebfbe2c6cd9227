/* SPDX-License-Identifier: MIT */
/* test_http_early.c - a wait for a request that ends before a byte is there, which waits may do. */
#include "http_client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* Stands before libc's. Swallows a lone '!': the descriptor was readable, but no byte comes. */
WEFT_API ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    ssize_t got = syscall(SYS_recvfrom, fd, buf, n, flags, NULL, NULL);

    if (got == 1 && *(char *)buf == '!') {
        errno = EAGAIN;
        return -1;
    }
    return got;
}

static void hello(weft_http_response *w, weft_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    weft_http_write(w, "hello", 5);
}

static site s;
static client c;

static void start(const weft_http_options *options)
{
    weft_http_mux *mux = weft_http_mux_new();

    weft_http_mux_add(mux, "/", hello, NULL);
    site_start(&s, mux, options);
    client_open(&c, &s);
    client_expect(&c, GET, 200, "hello");
    client_send(&c, "!");
}

TEST(wait_that_ends_early_does_not_begin_the_time_for_a_head)
{
    start(&(weft_http_options){.head_time = WEFT_MILLISECOND});
    weft_sleep(100 * WEFT_MILLISECOND);
    client_expect(&c, GET, 200, "hello");
    client_close(&c);
    site_end(&s);
}

TEST(wait_that_ends_early_goes_on_until_the_time_of_an_idle_connection)
{
    start(&(weft_http_options){.idle_time = 100 * WEFT_MILLISECOND});
    CHECK(client_is_at_end(&c));
    client_close(&c);
    site_end(&s);
}
