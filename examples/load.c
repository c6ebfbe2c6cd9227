/* SPDX-License-Identifier: MIT */
/* load.c - customers of the orders service. Each customer is a task that asks, waits for the
 * answer, and asks again.
 *
 * usage: weft_load ADDRESS CUSTOMERS SECONDS
 *
 * Progress goes to stderr, a digest to stdout. Ends with status 1 if an answer was wrong. The
 * service may go away at any time; the digest then has the orders that it acknowledged. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <weft.h>

enum { KINDS = 4, ANSWER = 8192, MOST = 4000000 };

static struct {
    const char *address;
    int customers;
    weft_time end;
    weft_mutex mutex; /* guards the next two lines */
    int64_t requests, wrong, lost, stored;
    int32_t *micros;
    atomic_llong latest; /* the id of a recent order */
} load = {.mutex = WEFT_MUTEX_INIT};

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Reads one answer into text. Returns its status, or < 0. */
static int read_answer(weft_conn *c, char *text)
{
    size_t n = 0, whole = 0;
    char *body, *length;
    ssize_t got;

    while (whole == 0 || n < whole) {
        if (n == ANSWER - 1)
            return WEFT_ENOMEM;
        got = weft_conn_read(c, text + n, ANSWER - 1 - n);
        if (got <= 0)
            return got < 0 ? (int)got : WEFT_ECLOSED;
        n += (size_t)got;
        text[n] = 0;
        body = strstr(text, "\r\n\r\n");
        if (whole == 0 && body) {
            length = strcasestr(text, "\r\ncontent-length:");
            whole = (size_t)(body + 4 - text) + (length ? strtoul(length + 17, NULL, 10) : 0);
        }
    }
    return atoi(text + strlen("HTTP/1.1 "));
}

static void note(int64_t micros, bool wrong, int64_t id)
{
    weft_mutex_lock(&load.mutex);
    if (load.requests < MOST)
        load.micros[load.requests] = (int32_t)micros;
    load.requests++;
    load.wrong += wrong;
    if (id > 0) {
        load.stored++;
        atomic_store(&load.latest, id);
    }
    weft_mutex_unlock(&load.mutex);
}

/* Asks one question. Returns false if the connection is lost. */
static bool ask(weft_conn *c, int number, uint64_t *random)
{
    static const char *const items[] = {"tea", "cofee", "bread", "buter", "jam"};
    char request[512], answer[ANSWER], body[128];
    int kind = (int)(next_random(random) % KINDS), status;
    int64_t latest = atomic_load(&load.latest), id = 0;
    weft_time start = weft_now();
    bool stores = kind == 0 || latest == 0;
    char *at;

    if (stores) {
        snprintf(body, sizeof(body), "{\"customer\":\"c%d\",\"item\":\"%s\",\"quantity\":%d}",
                 number, items[next_random(random) % 5], (int)(1 + next_random(random) % 9));
        snprintf(request, sizeof(request),
                 "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
                 strlen(body), body);
    } else if (kind < 3) {
        snprintf(
            request, sizeof(request), "GET /orders/%" PRId64 " HTTP/1.1\r\nHost: localhost\r\n\r\n",
            latest - (int64_t)(next_random(random) % (uint64_t)(latest < 6000 ? latest : 6000)));
    } else {
        snprintf(request, sizeof(request),
                 "GET /orders?customer=c%d HTTP/1.1\r\nHost: localhost\r\n\r\n", number);
    }
    if (weft_conn_write(c, request, strlen(request)) < 0)
        return false;
    status = read_answer(c, answer);
    if (status < 0)
        return false;
    if (stores && status == 201 && (at = strstr(answer, "\"id\":")) != NULL)
        id = strtoll(at + 5, NULL, 10);
    note((weft_now() - start) / WEFT_MICROSECOND, status != (stores ? 201 : 200), id);
    return true;
}

static int customer(void *arg)
{
    int number = (int)(intptr_t)arg;
    uint64_t random = (uint64_t)number * 2654435761u;
    weft_conn *c;

    if (weft_dial(load.address, &c) < 0) {
        weft_mutex_lock(&load.mutex);
        load.lost++;
        weft_mutex_unlock(&load.mutex);
        return 0;
    }
    while (weft_now() < load.end && ask(c, number, &random))
        continue;
    weft_conn_close(c);
    return 0;
}

static int show_progress(void *arg)
{
    weft_ticker *ticker = weft_ticker_new(WEFT_SECOND);
    int64_t last = 0, requests, stored;

    (void)arg;
    while (weft_chan_recv(weft_ticker_chan(ticker), NULL) == 0) {
        weft_mutex_lock(&load.mutex);
        requests = load.requests;
        stored = load.stored;
        weft_mutex_unlock(&load.mutex);
        fprintf(stderr,
                "  %3d s left: %6" PRId64 " requests a second, %6" PRId64 " orders stored\n",
                (int)((load.end - weft_now() + WEFT_SECOND / 2) / WEFT_SECOND), requests - last,
                stored);
        last = requests;
    }
    weft_ticker_free(ticker);
    return 0;
}

static int ascending(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

static void show_digest(double seconds)
{
    size_t n = (size_t)(load.requests < MOST ? load.requests : MOST);

    qsort(load.micros, n, sizeof(*load.micros), ascending);
    printf("%" PRId64 " requests in %.1f s, %" PRId64 " orders stored, %" PRId64
           " wrong answers, %" PRId64 " connections refused\n",
           load.requests, seconds, load.stored, load.wrong, load.lost);
    if (n > 0)
        printf("latency: p50 %.2f ms, p99 %.2f ms, worst %.2f ms\n", load.micros[n / 2] / 1e3,
               load.micros[n * 99 / 100] / 1e3, load.micros[n - 1] / 1e3);
}

static int run(void *arg)
{
    weft_group customers = WEFT_GROUP_INIT, beside = WEFT_GROUP_INIT;
    weft_time start = weft_now();

    load.end = start + *(int *)arg * WEFT_SECOND;
    load.micros = malloc(MOST * sizeof(*load.micros));
    if (!load.micros)
        return 1;
    weft_group_go(&beside, show_progress, NULL);
    for (intptr_t i = 1; i <= load.customers; i++)
        weft_group_go(&customers, customer, (void *)i);
    weft_group_wait(&customers);
    weft_group_cancel(&beside);
    weft_group_wait(&beside);
    show_digest((double)(weft_now() - start) / WEFT_SECOND);
    free(load.micros);
    return load.wrong > 0;
}

int main(int argc, char **argv)
{
    int seconds;

    if (argc != 4 || (load.customers = atoi(argv[2])) < 1 || (seconds = atoi(argv[3])) < 1) {
        fprintf(stderr, "usage: weft_load ADDRESS CUSTOMERS SECONDS\n");
        return 2;
    }
    load.address = argv[1];
    return weft_run(run, &seconds);
}
