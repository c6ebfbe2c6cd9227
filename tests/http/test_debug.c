/* SPDX-License-Identifier: MIT */
/* test_debug.c - the debug endpoints as a client sees them: Go's paths, headers and errors, and
 * which clients get in. debug_clients.sh tests them with go tool pprof and panicparse. */
#include "support.h"

#include "profiles/account/profile.h"
#include "profiles/table/buckets.h"
#include "profiles/walk/unwind.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void *__real_weft__alloc_try(size_t n);
void *__wrap_weft__alloc_try(size_t n);

/* How many allocations succeed before one fails, from the first that a handler makes; < 0: none
 * fails. */
static atomic_int allocs_left = -1;
static atomic_bool failing;

void *__wrap_weft__alloc_try(size_t n)
{
    if (atomic_load(&failing) && atomic_fetch_sub(&allocs_left, 1) <= 0)
        return NULL;
    return __real_weft__alloc_try(n);
}

static char address[WEFT_ADDR_TEXT];

/* Allocations of the test, which go with the process. Volatile, so that leak checkers find them. */
static weft_http_mux *volatile mux;
static weft_http_server *volatile server;

/* Serves the endpoints with these options at address. */
static void serve(void *listener)
{
    mux = weft_http_mux_new();
    weft_debug_mount(mux);
    server = weft_http_server_new(mux, NULL);
    weft_http_server_serve(server, listener);
}

static void serve_guarded(void *listener)
{
    static const weft_debug_options options = {
        .token = "s3cret", .any_host = true, .max_requests = 1, .max_seconds = 5};

    mux = weft_http_mux_new();
    weft_debug_mount_with(mux, &options);
    server = weft_http_server_new(mux, NULL);
    weft_http_server_serve(server, listener);
}

static void start(weft_task_fn *service)
{
    weft_listener *ln;
    weft_addr at;

    CHECK_EQ(weft_listen("127.0.0.1:0", &ln), 0);
    at = weft_listener_addr(ln);
    weft_addr_name(&at, address, sizeof(address));
    weft_go(service, ln);
}

/* Returns the answer to the request, head and body, from malloc. The request closes the
 * connection. */
static char *exchange(const char *request)
{
    size_t cap = 1 << 20, n = 0;
    char *text = malloc(cap + 1);
    weft_conn *c;
    ssize_t got;

    CHECK_EQ(weft_dial(address, &c), 0);
    CHECK_EQ(weft_conn_write(c, request, strlen(request)), 0);
    while ((got = weft_conn_read(c, text + n, cap - n)) > 0)
        n += (size_t)got;
    CHECK_EQ(got, 0);
    for (size_t i = 0; i < n; i++)
        text[i] = text[i] ? text[i] : '!'; /* a string for the checks */
    text[n] = 0;
    weft_conn_close(c);
    return text;
}

/* A request with the fields that all have. fields: more, each with its CR LF. */
static char *ask(const char *method, const char *target, const char *fields, const char *body)
{
    char request[1024];

    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\n%sConnection: close\r\n%s\r\n%s", method,
             target, strncmp(fields, "Host:", 5) ? "Host: localhost:6060\r\n" : "", fields, body);
    return exchange(request);
}

static char *get(const char *target)
{
    return ask("GET", target, "", "");
}

static void check_answer(const char *method, const char *target, const char *fields,
                         const char *status, const char *contains)
{
    char *text = ask(method, target, fields, "");

    CHECK_CONTAINS(text, status);
    CHECK_CONTAINS(text, contains);
    free(text);
}

static void wait_here(void *c)
{
    weft_chan_recv(c, NULL);
}

/* ---- what is answered ---- */

TEST(goroutine_answers_in_every_form)
{
    weft_chan *c = weft_chan_new(0, 0);
    char *text;

    start(serve);
    go_many(300, wait_here, c);
    wait_for_dump("[chan receive]");
    text = get("/debug/pprof/goroutine?debug=2");
    CHECK_CONTAINS(text, "HTTP/1.1 200 OK\r\n");
    CHECK_CONTAINS(text, "Content-Type: text/plain; charset=utf-8\r\n");
    CHECK_CONTAINS(text, "X-Content-Type-Options: nosniff\r\n");
    CHECK_CONTAINS(text, "[running]:\n");
    CHECK_CONTAINS(text, "wait_here(...)\n");
    CHECK(strstr(text, "Content-Disposition") == NULL);
    free(text);
    text = get("/debug/pprof/goroutine?debug=1");
    CHECK_CONTAINS(text, "goroutine profile: total 30");
    CHECK_CONTAINS(text, "\n300 @ 0x"); /* equal waits are one record */
    free(text);
    text = get("/debug/pprof/goroutine?debug=3");
    CHECK_CONTAINS(text, "wait_here");
    free(text);
    for (int i = 0; i < 6; i++) {
        static const char *const targets[] = {"/debug/pprof/goroutine",
                                              "/debug/pprof/goroutine?debug=0",
                                              "/debug/pprof/goroutine?debug=junk",
                                              "/debug/pprof/goroutines?debug=-1&unknown=1",
                                              "/debug/pprof/goroutine?per_task=1",
                                              "/debug/pprof/goroutine?per_task=1&debug=0"};

        text = get(targets[i]);
        CHECK_CONTAINS(text, "Content-Type: application/octet-stream\r\n");
        CHECK_CONTAINS(text, "Content-Disposition: attachment; filename=\"goroutine\"\r\n");
        CHECK_CONTAINS(text, "\x1f\x8b"); /* gzip */
        free(text);
    }
    weft_chan_close(c);
}

static weft_mutex held = WEFT_MUTEX_INIT;

static void want_it(void *arg)
{
    weft_mutex_lock(&held);
    weft_mutex_unlock(&held);
    weft_chan_recv(NULL, arg);
}

TEST(waits_for_others_answer_in_every_form)
{
    static const char *const names[] = {"block", "mutex", "contention"};
    static const char *const contains[] = {"want_it", "waits_for_others_answer_in_every_form",
                                           "\n# -- held by --\n"};
    char target[80], *text;

    start(serve);
    weft_profile_set_block_rate(1);
    weft_profile_set_mutex_rate(1);
    weft_mutex_lock(&held);
    weft_go(want_it, NULL);
    wait_for_dump("[sync.Mutex.Lock]");
    weft_mutex_unlock(&held);
    wait_for_dump("[chan receive (nil chan)]");
    for (int i = 0; i < 3; i++) {
        snprintf(target, sizeof(target), "/debug/pprof/%s?debug=1", names[i]);
        text = get(target);
        CHECK_CONTAINS(text, i == 1
                                 ? "\r\n--- mutex:\ncycles/second=1000000000\nsampling period=1\n"
                                 : "\r\n--- contention:\ncycles/second=1000000000\n");
        CHECK_CONTAINS(text, contains[i]);
        free(text);
        snprintf(target, sizeof(target), "/debug/pprof/%s?live=0", names[i]);
        text = get(target);
        CHECK_CONTAINS(text, "Content-Type: application/octet-stream\r\n");
        CHECK_CONTAINS(text, "\x1f\x8b");
        free(text);
        snprintf(target, sizeof(target), "/debug/pprof/%s?seconds=1", names[i]);
        text = get(target);
        CHECK_CONTAINS(text, "-delta\"\r\n");
        free(text);
        snprintf(target, sizeof(target), "/debug/pprof/%s?live=yes", names[i]);
        check_answer("GET", target, "", "HTTP/1.1 400 ",
                     "invalid value for \"live\" - must be 0 or 1");
    }
}

static void wait_with_labels(void *c)
{
    weft_label labels[] = {{"route", "/a"}, {"tenant", "\"x\""}};

    weft_labels_do(labels, 2, wait_here, c);
}

TEST(goroutine_tells_labels)
{
    weft_chan *c = weft_chan_new(0, 0);

    start(serve);
    go_many(3, wait_with_labels, c);
    wait_for_dump("[chan receive] {route: /a, ");
    check_answer("GET", "/debug/pprof/goroutine?debug=1", "", "200",
                 "\n# labels: {\"route\":\"/a\", \"tenant\":\"\\\"x\\\"\"}\n");
    check_answer("GET", "/debug/pprof/goroutine?debug=3", "", "200",
                 " [chan receive] {route: /a, tenant: \"\\\"x\\\"\"}:\n");
    weft_chan_close(c);
}

TEST(head_is_answered_without_a_body)
{
    char *text;

    start(serve);
    text = ask("HEAD", "/debug/pprof/goroutine?debug=2", "", "");
    CHECK_CONTAINS(text, "200 OK");
    CHECK_CONTAINS(text, "Content-Type: text/plain");
    CHECK_STR(strstr(text, "\r\n\r\n"), "\r\n\r\n");
    free(text);
}

TEST(errors_are_gos)
{
    static const struct {
        const char *method, *target, *status, *text;
    } cases[] = {
        {"GET", "/debug/pprof/nope", "404", "\r\n\r\nUnknown profile\n"},
        {"GET", "/debug/pprof/goroutine/x", "404", "\r\n\r\nUnknown profile\n"},
        {"GET", "/debug/pprof/goroutine?seconds=0", "400",
         "\r\n\r\ninvalid value for \"seconds\" - must be a positive integer\n"},
        {"GET", "/debug/pprof/goroutine?seconds=-1", "400", "must be a positive integer"},
        {"GET", "/debug/pprof/goroutine?seconds=0.5", "400", "must be a positive integer"},
        {"GET", "/debug/pprof/goroutine?seconds=x", "400", "must be a positive integer"},
        {"GET", "/debug/pprof/goroutine?seconds=1&debug=1", "400",
         "\r\n\r\nseconds and debug params are incompatible\n"},
        {"GET", "/debug/pprof/goroutine?seconds=301", "400",
         "\r\n\r\ninvalid value for \"seconds\" - must be at most 300\n"},
        {"GET", "/debug/pprof/goroutine?debug=%zz", "400",
         "\r\n\r\nmalformed escape in parameter \"debug\"\n"},
        {"GET", "/debug/pprof/goroutine?seconds=&debug=1", "200", "goroutine profile: total "},
        {"GET", "/debug/pprof/goroutine?per_task=2", "400",
         "\r\n\r\ninvalid value for \"per_task\" - must be 0 or 1\n"},
        {"GET", "/debug/pprof/goroutine?per_task=yes", "400", "must be 0 or 1"},
        {"GET", "/debug/pprof/goroutine?per_task=-1", "400", "must be 0 or 1"},
        {"GET", "/debug/pprof/goroutine?per_task=%1", "400",
         "\r\n\r\nmalformed escape in parameter \"per_task\"\n"},
        {"GET", "/debug/pprof/goroutine?per_task=1&debug=1", "400",
         "\r\n\r\nper_task and debug params are incompatible\n"},
        {"GET", "/debug/pprof/goroutine?per_task=1&seconds=1", "400",
         "\r\n\r\nper_task and seconds params are incompatible\n"},
        {"GET", "/debug/pprof/goroutine?per_task=0&debug=1", "200", "goroutine profile: total "},
        {"GET", "/debug/pprof/goroutine?per_task=&debug=1", "200", "goroutine profile: total "},
        {"GET", "/debug/pprof/delta_block?seconds=1", "400",
         "\r\n\r\n\"seconds\" parameter is not supported for this profile type\n"},
        {"GET", "/debug/pprof/delta_block?seconds=0", "400", "must be a positive integer"},
        {"GET", "/debug/pprof/goroutine?format=svg", "400",
         "\r\n\r\ninvalid value for \"format\" - must be folded or html\n"},
        {"GET", "/debug/pprof/goroutine?format=folded&debug=1", "400",
         "\r\n\r\ndebug and format params are incompatible\n"},
        {"GET", "/debug/pprof/goroutine?format=folded&per_task=1", "400",
         "\r\n\r\nper_task and format params are incompatible\n"},
        {"GET", "/debug/pprof/goroutine?format=&debug=1", "200", "goroutine profile: total "},
        {"GET", "/debug/pprof/goroutine?format=folded&base=1", "400",
         "parameters of format=html\n"},
        {"GET", "/debug/pprof/goroutine?keep=1", "400", "parameters of format=html\n"},
        {"GET", "/debug/pprof/goroutine?format=html&keep=2", "400", "\"keep\" - must be 0 or 1"},
        {"GET", "/debug/pprof/goroutine?format=html&base=1", "404", "no such base: keep=1 keeps"},
        {"GET", "/debug/fgprof?seconds=301", "400", "must be at most 300"},
        {"GET", "/debug/pprof/block?io=2", "400", "\"io\" - must be 0 or 1"},
        {"POST", "/debug/fgprof?seconds=1", "405", "Allow: GET, HEAD\r\n"},
        {"POST", "/debug/pprof/goroutine", "405", "Allow: GET, HEAD\r\n"},
        {"DELETE", "/debug/vars", "405", "\r\n\r\nMethod Not Allowed\n"},
        {"GET", "/debug/pprof", "301", "Location: /debug/pprof/\r\n"},
        {"GET", "/debug/vars/", "404", "\r\n\r\n404 page not found\n"},
        {"GET", "/", "404", "\r\n\r\n404 page not found\n"},
    };

    start(serve);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_answer(cases[i].method, cases[i].target, "", cases[i].status, cases[i].text);
    check_answer("GET", "/debug/pprof/nope", "", "404", "X-Go-Pprof: 1\r\n");
    check_answer("GET", "/debug/pprof/nope", "", "404", "text/plain; charset=utf-8\r\n");
}

TEST(what_changes_in_a_second_is_a_delta_profile)
{
    start(serve);
    check_answer("GET", "/debug/pprof/goroutine?seconds=1", "", "200",
                 "attachment; filename=\"goroutine-delta\"\r\n");
}

TEST(profiles_of_the_programs_own_are_served_and_listed)
{
    weft_profile *p = weft_profile_new("a/b's \"files\"");
    const char *target = "/debug/pprof/a/b's%20%22files%22";
    char query[80];

    start(serve);
    weft_profile_add(p, &query);
    snprintf(query, sizeof(query), "%s?debug=1", target);
    check_answer("GET", query, "", "200", "\r\n\r\na/b's \"files\" profile: total 1\n1 @ 0x");
    check_answer("GET", target, "", "200", "\x1f\x8b");
    snprintf(query, sizeof(query), "%s?seconds=1", target);
    check_answer("GET", query, "", "400", "not supported for this profile type");
    check_answer("GET", "/debug/pprof/", "", "200",
                 "<a href='a/b%27s%20%22files%22?debug=1'>a/b's &quot;files&quot;</a>");
    weft_profile_remove(p, &query);
}

TEST(threads_are_told_with_what_made_them)
{
    start(serve);
    check_answer("GET", "/debug/pprof/threadcreate?debug=1", "", "200",
                 "\r\n\r\nthreadcreate profile: total ");
    check_answer("GET", "/debug/pprof/threadcreate?debug=1", "", "200", "weft_run");
    check_answer("GET", "/debug/pprof/threadcreate?seconds=1", "", "200",
                 "filename=\"threadcreate-delta\"\r\n");
}

TEST(what_came_since_the_last_time_is_named_as_scrapers_know_it)
{
    start(serve);
    check_answer("GET", "/debug/pprof/delta_block", "", "200",
                 "attachment; filename=\"block.pprof.gz\"\r\n");
    check_answer("GET", "/debug/pprof/delta_mutex?debug=1", "", "200", "--- mutex:\n");
}

TEST(time_is_sampled_for_as_long_as_asked)
{
    weft_time begun = weft_now();

    start(serve);
    check_answer("GET", "/debug/fgprof?seconds=1", "", "200",
                 "attachment; filename=\"fgprof\"\r\n");
    CHECK(weft_now() - begun >= WEFT_SECOND);
    check_answer("GET", "/debug/fgprof?seconds=1&debug=1", "", "200", "--- wall:\n");
}

/* A server that cuts off slow readers after a moment. */
static void serve_impatiently(void *listener)
{
    mux = weft_http_mux_new();
    weft_debug_mount(mux);
    server = weft_http_server_new(mux, &(weft_http_options){.write_time = 100 * WEFT_MILLISECOND});
    weft_http_server_serve(server, listener);
}

/* The answer to a client that shuts down its side during a profile, but still reads. */
static void check_half_close(const char *target)
{
    char request[200], *text = calloc(1, 4096);
    size_t n = 0;
    ssize_t got;
    weft_conn *c;

    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target);
    CHECK_EQ(weft_dial(address, &c), 0);
    CHECK_EQ(weft_conn_write(c, request, strlen(request)), 0);
    CHECK_EQ(weft_conn_shutdown(c, SHUT_WR), 0);
    while ((got = weft_conn_read(c, text + n, 4095 - n)) > 0)
        n += (size_t)got;
    CHECK_CONTAINS(text, "HTTP/1.1 500 Internal Server Error\r\n");
    CHECK_CONTAINS(text, "Content-Type: text/plain; charset=utf-8\r\n");
    CHECK_CONTAINS(text, "X-Go-Pprof: 1\r\n");
    CHECK_CONTAINS(text, "\r\n\r\ncontext canceled\n");
    CHECK(strstr(text, "Content-Disposition") == NULL);
    weft_conn_close(c);
    free(text);
}

TEST(client_that_half_closes_gets_an_error_in_words)
{
    start(serve);
    check_half_close("/debug/pprof/block?seconds=20");
    check_half_close("/debug/pprof/goroutine?seconds=20");
    check_half_close("/debug/fgprof?seconds=20");
    check_half_close("/debug/pprof/profile?seconds=20"); /* and ends it: the next is not refused */
    check_half_close("/debug/pprof/profile?seconds=20");
}

TEST(profile_over_a_time_is_not_cut_by_the_servers_own)
{
    start(serve_impatiently);
    check_answer("GET", "/debug/pprof/block?seconds=1", "", "200", "filename=\"block-delta\"");
    check_answer("GET", "/debug/fgprof?seconds=1", "", "200", "\x1f\x8b");
}

TEST(work_for_a_client_that_went_away_ends)
{
    static const char request[] =
        "GET /debug/fgprof?seconds=300 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    weft_conn *c;

    start(serve);
    CHECK_EQ(weft_dial(address, &c), 0);
    CHECK_EQ(weft_conn_write(c, request, sizeof(request) - 1), 0);
    wait_for_dump("weft__asked_serve");
    weft_conn_close(c);
    CHECK_EQ(weft_http_server_stop(server), 0); /* which waits for requests under way */
}

/* A profile that adds all there is for a time: it counts one stack, as often as its parameter says,
 * and only one can be taken at once. */
static atomic_bool watching;

static void *watch(const struct weft__asked *a, int *rc)
{
    struct weft__walk *walk = calloc(1, sizeof(*walk));
    weft__buckets *b = weft__buckets_new(1);
    bool busy = atomic_exchange(&watching, true);

    if (!busy && weft__asked_wait(a, weft_now() + a->over))
        *rc = 0;
    else
        *rc = busy ? -EBUSY : -ECANCELED;
    weft__buckets_add(b, walk, &(int64_t){a->params[0]});
    free(walk);
    atomic_store(&watching, busy);
    if (*rc == 0)
        return b;
    weft__buckets_free(b);
    return NULL;
}

static const struct weft__pprof_type seen = {"seen", "count"};
static const struct weft__param watch_params[] = {
    {.name = "each", .otherwise = 3, .is_number = true}, {.name = NULL}};
static struct weft__profile watches = {
    .name = "watch",
    .about = "Watches for a time.",
    .other_name = "watches",
    .path = "/debug/watch",
    .file = "watch.gz",
    .busy = "watching already",
    .usual_time = 50 * WEFT_MILLISECOND,
    .fractions = true,
    .values = &seen,
    .n_values = 1,
    .params = watch_params,
    .sample = watch,
};

TEST(heap_is_served_with_its_state)
{
    start(serve);
    check_answer("GET", "/debug/pprof/heap?gc=1", "", "200", "filename=\"heap\"\r\n");
    check_answer("GET", "/debug/pprof/allocs?seconds=1", "", "200", "filename=\"allocs-delta\"");
    check_answer("GET", "/debug/pprof/delta_heap", "", "200", "filename=\"heap.pprof.gz\"");
    check_answer("GET", "/debug/pprof/heap?debug=1&gc=1", "", "200", "\nheap profile: ");
    check_answer("GET", "/debug/pprof/heap?debug=1&age=1h30m", "", "200",
                 "heap profile: 0: 0 [0: 1] @");
    for (const char *const *bad = (const char *[]){"x", "1x", "-1s", "99999h", NULL}; *bad; bad++) {
        char path[64];

        snprintf(path, sizeof(path), "/debug/pprof/heap?age=%s", *bad);
        check_answer("GET", path, "", "400",
                     "invalid value for \"age\" - must be a time such as 15m\n");
    }
    check_answer("GET", "/debug/pprof/", "", "200",
                 "heap profile sampling: one block every 524288 bytes");
    check_answer("GET", "/debug/vars", "", "200", "\"heap_profile\":\"sampling: one block");
}

TEST(profile_is_served_as_its_descriptor_says)
{
    CHECK(weft__profile_add(&watches));
    CHECK(!weft__profile_add(&(struct weft__profile){.name = "watches"}));
    CHECK(!weft__profile_add(&(struct weft__profile){.name = "heap"}));
    start(serve);
    check_answer("GET", "/debug/watch", "", "200", "filename=\"watch.gz\"\r\n");
    check_answer("GET", "/debug/watch?debug=1", "", "200", "\r\n\r\nwatch profile: total 3\n");
    check_answer("GET", "/debug/pprof/watches?debug=1&each=7&seconds=0.05", "", "200", "total 7\n");
    check_answer("GET", "/debug/pprof/watch?debug=1&each=x&seconds=0.x", "", "200", "total 3\n");
    check_answer("GET", "/debug/watch?seconds=300.1", "", "400", "must be at most 300\n");
    check_answer("GET", "/debug/pprof/", "", "200", "watch</a></td><td>Watches for a time.</td>");
}

/* Returns the sum of the values of folded stacks, which are the body of the answer. */
static int64_t sum_of_lines(const char *answer)
{
    int64_t sum = 0;

    for (const char *line = strstr(answer, "\r\n\r\n") + 4, *end; *line; line = end + 1) {
        const char *space;
        char *stop;

        end = strchr(line, '\n');
        CHECK(end != NULL);
        space = memrchr(line, ' ', (size_t)(end - line));
        CHECK(space != NULL);
        sum += strtoll(space + 1, &stop, 10);
        CHECK(stop == end);
    }
    return sum;
}

/* Asks for a profile in a form. HTTP/1.0 gets no chunks. */
static char *get_form(const char *profile, const char *query)
{
    char request[160];

    snprintf(request, sizeof(request), "GET /debug/pprof/%s?%s HTTP/1.0\r\nHost: localhost\r\n\r\n",
             profile, query);
    return exchange(request);
}

TEST(every_profile_folds_its_stacks)
{
    const struct weft__profile *p = NULL;
    weft_profile *own = weft_profile_new("own;\"<&'");
    weft_chan *c = weft_chan_new(0, 0);
    char *text;

    start(serve);
    go_many(300, wait_here, c);
    wait_for_dump("[chan receive]");
    weft_profile_add(own, c);
    weft_profile_add(own, own);
    while ((p = weft__profile_next(p)) != NULL) {
        if (strchr(p->name, '"'))
            continue;
        text = get_form(p->name, p->take ? "format=folded" : "format=folded&seconds=1");
        CHECK_CONTAINS(text, "200 OK\r\n");
        CHECK_CONTAINS(text, "Content-Type: text/plain; charset=utf-8\r\n");
        CHECK(sum_of_lines(text) >= 0);
        free(text);
    }
    text = get_form("goroutine", "format=folded");
    CHECK_CONTAINS(text, "wait_here;weft_chan_recv");
    CHECK_CONTAINS(text, " 300\n");
    CHECK(sum_of_lines(text) > 300 && sum_of_lines(text) < 320);
    free(text);
    text = get_form("own%3B%22%3C%26'", "format=folded");
    CHECK_EQ(sum_of_lines(text), 2);
    free(text);
    weft_profile_remove(own, c);
    weft_profile_remove(own, own);
    weft_chan_close(c);
}

/* Checks a page with a flame graph: it is whole, its script may run by its nonce, it asks for
 * nothing else, and its data is JSON. Returns the sum of the first value of all its calls. */
static int64_t check_page(const char *answer)
{
    static const char begin[] = "id=\"data\">\n";
    const char *nonce = strstr(answer, "script-src 'nonce-"), *data = strstr(answer, begin);
    char script[96];
    json_t *all, *calls;
    size_t stride;
    int64_t sum = 0;

    CHECK_CONTAINS(answer, "Content-Type: text/html; charset=utf-8\r\n");
    CHECK_CONTAINS(answer, "Content-Security-Policy: default-src 'none'; ");
    CHECK(nonce && data);
    snprintf(script, sizeof(script), "\n<script type=\"module\" nonce=\"%.32s\">\n",
             nonce + strlen("script-src 'nonce-"));
    CHECK_CONTAINS(answer, script);
    CHECK(strstr(strstr(answer, script) + 1, "</script>\n</body>\n</html>\n") != NULL);
    CHECK(!strstr(answer, "http:") && !strstr(answer, "https:") && !strstr(answer, "src=") &&
          !strstr(answer, "@import") && !strstr(answer, "innerHTML"));
    all = json_loads(data + strlen(begin), JSON_DISABLE_EOF_CHECK, NULL);
    CHECK(all != NULL);
    CHECK(strcspn(data + strlen(begin), "<&'") ==
          (size_t)(strstr(data, "</script>") - data) - strlen(begin));
    calls = json_object_get(all, "calls");
    stride = json_array_size(json_object_get(all, "types")) + 2;
    CHECK(json_array_size(calls) % stride == 0);
    for (size_t i = 0; i < json_array_size(calls); i += stride)
        sum += json_integer_value(json_array_get(calls, i + 2));
    json_decref(all);
    return sum;
}

TEST(every_profile_has_a_page_with_its_flame_graph)
{
    const struct weft__profile *p = NULL;
    weft_profile *own = weft_profile_new("own</script>\"<&'");
    char *text, *other;

    start(serve);
    weft_profile_add(own, own);
    weft_profile_add(own, &own);
    while ((p = weft__profile_next(p)) != NULL) {
        if (strchr(p->name, '"'))
            continue;
        text = get_form(p->name, p->take ? "format=html" : "format=html&seconds=1");
        CHECK(check_page(text) >= 0);
        free(text);
    }
    text = get_form("own%3C/script%3E%22%3C%26'", "format=html");
    other = get_form("own%3C/script%3E%22%3C%26'", "format=html");
    CHECK_EQ(check_page(text), 2);
    CHECK_CONTAINS(text, "{\"name\":\"own\\u003c/script\\u003e\\u0022\\u003c\\u0026\\u0027\",");
    CHECK(strncmp(strstr(text, "nonce-"), strstr(other, "nonce-"), 6 + 32) != 0);
    free(text);
    free(other);
    text = ask("HEAD", "/debug/pprof/profile?format=html", "", "");
    CHECK_CONTAINS(text, "Content-Type: text/html; charset=utf-8\r\n");
    free(text);
    weft_profile_remove(own, own);
    weft_profile_remove(own, &own);
}

/* Asks for a page, checks it, and checks what it says of the server's bases. */
static char *get_page(const char *query, const char *bases)
{
    char *text = get_form("goroutine", query), begin[96];

    CHECK(check_page(text) > 0);
    snprintf(begin, sizeof(begin), "id=\"server\">\n%s", bases);
    CHECK_CONTAINS(text, begin);
    return text;
}

TEST(page_has_the_base_that_was_kept_to_be_compared_with)
{
    char *first, *second, *data, *end;

    start(serve);
    free(get_page("format=html", "{\"kept\":0,\"base\":0,\"bases\":[]}\n"));
    first = get_page("format=html&keep=1", "{\"kept\":1,\"base\":0,\"bases\":[[1,");
    second = get_page("format=html&base=1", "{\"kept\":0,\"base\":1,\"bases\":[[1,");
    data = strstr(first, "id=\"data\">\n") + strlen("id=\"data\">\n");
    end = strstr(data, "</script>");
    CHECK(end != NULL);
    *end = 0;
    CHECK_CONTAINS(strstr(second, "id=\"base\">\n"), data);
    free(first);
    free(second);
}

TEST(last_eight_bases_are_kept)
{
    weft_profile *own = weft_profile_new("own");

    start(serve);
    weft_profile_add(own, own);
    for (int i = 0; i < 10; i++)
        free(get_form("own", i == 0 ? "format=html&base=&keep=1" : "format=html&keep=1"));
    check_answer("GET", "/debug/pprof/own?format=html&base=2", "", "404", "no such base");
    check_answer("GET", "/debug/pprof/own?format=html&base=3", "", "200", "id=\"base\"");
    check_answer("GET", "/debug/pprof/goroutine?format=html&base=3", "", "400",
                 "\r\n\r\nbase 3 is a profile of own\n");
    check_answer("GET", "/debug/vars", "", "200", "\"kept_bases\":{\"n\": 8, \"most\": 8}");
    check_answer("HEAD", "/debug/pprof/own?format=html&keep=1", "", "200", "");
    check_answer("GET", "/debug/pprof/own?format=html&base=3", "", "200", "");
    weft_profile_remove(own, own);
}

TEST(profile_that_is_being_taken_already_says_so)
{
    static const char request[] =
        "GET /debug/watch?seconds=300 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    weft_conn *c;

    CHECK(weft__profile_add(&watches));
    start(serve);
    CHECK_EQ(weft_dial(address, &c), 0);
    CHECK_EQ(weft_conn_write(c, request, sizeof(request) - 1), 0);
    while (!atomic_load(&watching))
        weft_sleep(WEFT_MILLISECOND);
    check_answer("GET", "/debug/watch", "", "500", "\r\n\r\nwatching already\n");
    weft_conn_close(c);
    CHECK_EQ(weft_http_server_stop(server), 0);
}

TEST(cmdline_has_a_nul_between_arguments_and_none_at_the_end)
{
    char *text, *body;

    start(serve);
    text = get("/debug/pprof/cmdline");
    body = strstr(text, "\r\n\r\n") + 4;
    CHECK(strlen(body) > 0 && body[strlen(body) - 1] != '!');
    free(text);
}

TEST(symbol_names_addresses)
{
    char target[128], body[256], fields[64], *text;

    start(serve);
    snprintf(target, sizeof(target), "/debug/pprof/symbol?0x%jx+0+junk+12",
             (uintmax_t)(uintptr_t)wait_here + 4);
    text = get(target);
    CHECK_CONTAINS(text, "\r\n\r\nnum_symbols: 1\n0x");
    CHECK_CONTAINS(text, " wait_here\n");
    free(text);
    snprintf(body, sizeof(body), "0x%jx+%ju", (uintmax_t)(uintptr_t)wait_here + 4,
             (uintmax_t)(uintptr_t)serve + 4);
    snprintf(fields, sizeof(fields), "Content-Length: %zu\r\n", strlen(body));
    text = ask("POST", "/debug/pprof/symbol", fields, body);
    CHECK_CONTAINS(text, " wait_here\n");
    CHECK_CONTAINS(text, " serve\n");
    free(text);
    check_answer("POST", "/debug/pprof/symbol", "Content-Length: 65537\r\n", "413", "");
    CHECK_EQ(weft_http_server_stop(server), 0); /* which drops the body that does not come */
}

TEST(vars_are_json)
{
    char *text;
    json_t *all;

    start(serve);
    weft_expvar_add(weft_expvar_new("orders", WEFT_EXPVAR_INT), 3);
    text = get("/debug/vars");
    CHECK_CONTAINS(text, "Content-Type: application/json; charset=utf-8\r\n");
    CHECK(strstr(text, "nosniff") == NULL);
    CHECK_CONTAINS(text, "\"orders\": 3,\n");
    free(text);
    text = exchange("GET /debug/vars HTTP/1.0\r\n\r\n");
    CHECK_CONTAINS(text, "403");
    free(text);
    text = exchange("GET /debug/vars HTTP/1.0\r\nHost: localhost\r\n\r\n");
    all = json_loads(strstr(text, "\r\n\r\n") + 4, 0, NULL);
    CHECK(json_is_object(json_object_get(all, "memstats")));
    json_decref(all);
    free(text);
}

static char *start_to_fail(void *arg)
{
    (void)arg;
    atomic_store(&failing, true);
    return strdup("1");
}

/* "a" is the first of all names: from there on the handler gets no memory. */
TEST(vars_without_memory_are_503)
{
    bool whole = false;
    int n;

    start(serve);
    weft_expvar_new_json_func("a", start_to_fail, NULL);
    for (n = 0; !whole; n++) {
        char *text;

        atomic_store(&allocs_left, n);
        text = get("/debug/vars");
        atomic_store(&failing, false);
        whole = strncmp(text, "HTTP/1.1 200 OK\r\n", 17) == 0;
        if (whole)
            CHECK_CONTAINS(text, "}\n}\n");
        else
            CHECK_CONTAINS(text, "HTTP/1.1 503 Service Unavailable\r\n");
        CHECK(whole || strstr(text, "out of memory\n") != NULL);
        free(text);
    }
    CHECK(n > 4);
}

TEST(any_profile_name_leaves_the_header_and_the_page_valid)
{
    char *text;

    start(serve);
    weft_profile_new("a\"b\\c<&>'/\xc3\xa9 %");
    text = get("/debug/pprof/a%22b%5Cc%3C%26%3E%27/%C3%A9%20%25");
    CHECK_CONTAINS(text, "Content-Disposition: attachment; filename=\"a_b_c_&_____ _\"; "
                         "filename*=UTF-8''a%22b%5Cc%3C&%3E%27%2F%C3%A9%20%25\r\n");
    free(text);
    text = get("/debug/pprof/");
    CHECK_CONTAINS(text, "<a href='a%22b%5Cc%3C%26%3E%27/%C3%A9%20%25?debug=1'>"
                         "a&quot;b\\c&lt;&amp;&gt;'/\xc3\xa9 %</a>");
    free(text);
}

TEST(page_has_counts_and_links)
{
    char *text;

    start(serve);
    text = get("/debug/pprof/");
    CHECK_CONTAINS(text, "Content-Type: text/html; charset=utf-8\r\n");
    CHECK_CONTAINS(text, "<title>/debug/pprof/</title>");
    CHECK_CONTAINS(text, "Types of profiles available");
    CHECK_CONTAINS(text, "<a href='goroutine?debug=1'>goroutine</a>");
    CHECK_CONTAINS(text, "<a href=\"goroutine?debug=2\">full goroutine stack dump</a>");
    CHECK_CONTAINS(text, "<td>waiting</td>");
    CHECK_CONTAINS(text, "<a href='heap?format=html'>flame graph</a>");
    CHECK_CONTAINS(text, "<a href='profile?format=html&amp;seconds=5'>flame graph, 5 s</a>");
    free(text);
}

/* ---- who is let in ---- */

TEST(foreign_hosts_and_sites_are_refused)
{
    static const struct {
        const char *fields, *status;
    } cases[] = {
        {"Host: localhost\r\n", "200"},
        {"Host: LOCALHOST:1\r\n", "200"},
        {"Host: 127.0.0.1:6060\r\n", "200"},
        {"Host: 127.1.2.3\r\n", "200"},
        {"Host: [::1]:6060\r\n", "200"},
        {"Host: app.localhost\r\n", "200"},
        {"Host: evil.example\r\n", "403"},
        {"Host: 127.0.0.1.evil.example\r\n", "403"},
        {"Host: localhost.evil.example\r\n", "403"},
        {"Host: 10.0.0.1\r\n", "403"},
        {"Host: notlocalhost\r\n", "403"},
        {"Sec-Fetch-Site: cross-site\r\n", "403"},
        {"Sec-Fetch-Site: same-origin\r\n", "200"},
        {"Sec-Fetch-Site: none\r\n", "200"},
        {"Origin: http://evil.example\r\n", "403"},
        {"Origin: null\r\n", "403"},
        {"Origin: http://localhost:6060\r\n", "200"},
    };

    start(serve);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_answer("GET", "/debug/pprof/cmdline", cases[i].fields, cases[i].status, "");
}

TEST(token_is_asked_for)
{
    start(serve_guarded);
    check_answer("GET", "/debug/pprof/", "", "401", "WWW-Authenticate: Bearer\r\n");
    check_answer("GET", "/debug/vars", "Authorization: Bearer s3cre\r\n", "401", "token");
    check_answer("GET", "/debug/vars", "Authorization: Bearer s3creT\r\n", "401", "token");
    check_answer("GET", "/debug/vars", "Authorization: Bearer s3cret\r\n", "200", "memstats");
    check_answer("GET", "/debug/pprof/goroutine?seconds=6", "Authorization: Bearer s3cret\r\n",
                 "400", "must be at most 5");
}

static void ask_for_a_second(void *done)
{
    check_answer("GET", "/debug/pprof/goroutine?seconds=1", "Authorization: Bearer s3cret\r\n",
                 "200", "gorout");
    atomic_fetch_add((atomic_int *)done, 1);
}

TEST(one_request_too_many_is_told_so)
{
    atomic_int done = 0;

    start(serve_guarded);
    weft_go(ask_for_a_second, &done);
    wait_for_dump("weft_http_wait_until");
    check_answer("GET", "/debug/vars", "Authorization: Bearer s3cret\r\n", "503",
                 "there are 1 debug requests under way, the most at once");
    wait_for(&done, 1);
    check_answer("GET", "/debug/vars", "Authorization: Bearer s3cret\r\n", "200", "memstats");
}

TEST(unix_socket_is_its_owners_and_asks_for_no_host)
{
    char path[64];
    struct stat st;

    snprintf(path, sizeof(path), "/tmp/weft-debug-%d", (int)getpid());
    snprintf(address, sizeof(address), "unix:%s", path);
    CHECK_EQ(weft_debug_serve(address), 0);
    CHECK_EQ(stat(path, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
    check_answer("GET", "/debug/pprof/cmdline", "Host: whatever\r\n", "200", "");
    unlink(path);
}

TEST(only_loopback_is_served_unless_asked_otherwise)
{
    static const weft_debug_options public = {.any_address = true};

    CHECK_EQ(weft_debug_serve("0.0.0.0:0"), -EACCES);
    CHECK_EQ(weft_debug_serve("[::]:0"), -EACCES);
    CHECK_EQ(weft_debug_serve("127.0.0.1:0"), 0);
    CHECK_EQ(weft_debug_serve(":0"), 0);
    CHECK_EQ(weft_debug_serve_with("0.0.0.0:0", &public), 0);
    CHECK_EQ(weft_debug_serve("nonsense"), WEFT_EINVAL);
}
