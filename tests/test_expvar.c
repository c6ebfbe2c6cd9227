/* SPDX-License-Identifier: MIT */
/* test_expvar.c - published values, their JSON byte for byte, memstats. */
#include "support.h"

#include <weft/expvar.h>

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

VIRTUAL_CLOCK;

/* What is published now, from malloc. */
static char *written(void)
{
    FILE *file = tmpfile();
    char *text = NULL;
    size_t cap = 0;
    ssize_t n;

    CHECK(file != NULL);
    CHECK_EQ(weft_expvar_write(fileno(file)), 0);
    rewind(file);
    n = getdelim(&text, &cap, EOF, file);
    CHECK(n > 0);
    fclose(file);
    return text;
}

/* The lines of the program's own values. */
static char *own(void)
{
    char *text = written(), *line = strstr(text, "\n\"my."), *end = strstr(text, "\n\"weft\"");

    CHECK(line != NULL && end != NULL);
    line = strndup(line + 1, (size_t)(end - line));
    free(text);
    return line;
}

static char *some_json(void *arg)
{
    return arg ? strdup(arg) : NULL;
}

static int64_t forty_two(void *arg)
{
    (void)arg;
    weft_yield();
    return 42;
}

TEST(values_look_as_go_writes_them)
{
    weft_expvar *map = weft_expvar_new("my.map", WEFT_EXPVAR_MAP),
                *inner = weft_expvar_new(NULL, WEFT_EXPVAR_MAP),
                *big = weft_expvar_new(NULL, WEFT_EXPVAR_FLOAT),
                *string = weft_expvar_new("my.string", WEFT_EXPVAR_STRING);
    char *text;

    weft_expvar_set(weft_expvar_new("my.int", WEFT_EXPVAR_INT), -42);
    weft_expvar_set_string(string, "old");
    weft_expvar_set_string(string, "quote\" <tag> & \xe2\x80\xa8 \xc3\xa9 \x01 \xff.");
    weft_expvar_new("my.emptymap", WEFT_EXPVAR_MAP);
    weft_expvar_map_add(map, "b", 1);
    weft_expvar_map_add(map, "b", 1);
    weft_expvar_map_add(map, "a\"q", 1);
    weft_expvar_map_add(inner, "x", 1);
    weft_expvar_map_set(map, "inner", inner);
    weft_expvar_set_float(big, 1e21);
    weft_expvar_map_set(map, "f", big);
    weft_expvar_map_add(map, "gone", 1);
    weft_expvar_map_set(map, "gone", NULL);
    weft_expvar_new_json_func("my.func", some_json,
                              (void *)(uintptr_t) "{\"a\": [1, 2], \"h\": \"<&>\", \"n\": null}");
    weft_expvar_new_json_func("my.broken", some_json, (void *)(uintptr_t) "{");
    weft_expvar_new_json_func("my.none", some_json, NULL);
    weft_expvar_new_int_func("my.answer", forty_two, NULL);
    text = own();
    CHECK_STR(text, "\"my.answer\": 42,\n"
                    "\"my.broken\": null,\n"
                    "\"my.emptymap\": {},\n"
                    "\"my.func\": {\"a\":[1,2],\"h\":\"\\u003c\\u0026\\u003e\",\"n\":null},\n"
                    "\"my.int\": -42,\n"
                    "\"my.map\": {\"a\\\"q\": 1, \"b\": 2, \"f\": 1e+21, \"inner\": {\"x\": 1}},\n"
                    "\"my.none\": null,\n"
                    "\"my.string\": \"quote\\\" \\u003ctag\\u003e \\u0026 \\u2028 \xc3\xa9 \\u0001 "
                    "\xef\xbf\xbd.\",\n");
    free(text);
}

TEST(floats_have_the_fewest_digits_that_read_back)
{
    static const struct {
        double x;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {3.25, "3.25"},
        {0.1, "0.1"},
        {999999, "999999"},
        {1e6, "1e+06"},
        {1234567, "1.234567e+06"},
        {100000.5, "100000.5"},
        {0.0001, "0.0001"},
        {0.00001, "1e-05"},
        {1e100, "1e+100"},
        {-1e-7, "-1e-07"},
        {INFINITY, "null"},
        {(double)NAN, "null"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {5e-324, "5e-324"},
        {1 / 3., "0.3333333333333333"},
        {123456.7, "123456.7"},
    };
    weft_expvar *v = weft_expvar_new("my.float", WEFT_EXPVAR_FLOAT);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[64], *text;

        weft_expvar_set_float(v, cases[i].x);
        snprintf(expected, sizeof(expected), "\"my.float\": %s,\n", cases[i].text);
        text = own();
        CHECK_STR(text, expected);
        free(text);
    }
}

TEST(json_values_are_checked_when_they_are_set)
{
    weft_expvar *v = weft_expvar_new("my.json", WEFT_EXPVAR_JSON);
    char *text;

    CHECK_EQ(weft_expvar_set_json(v, "[1, {\"k\": \"v\"}]"), 0);
    CHECK_EQ(weft_expvar_set_json(v, "[1,"), WEFT_EINVAL);
    text = own();
    CHECK_STR(text, "\"my.json\": [1,{\"k\":\"v\"}],\n");
    free(text);
}

TEST(all_of_it_is_json_with_gos_memstats)
{
    char *text = written();
    json_t *all = json_loads(text, 0, NULL), *memstats = json_object_get(all, "memstats");
    const char *key = json_object_iter_key(json_object_iter(memstats));

    CHECK(all != NULL);
    CHECK(strncmp(text, "{\n\"cmdline\": [\"", 15) == 0);
    CHECK_STR(text + strlen(text) - 4, "}\n}\n");
    CHECK(json_array_size(json_object_get(all, "cmdline")) >= 1);
    CHECK_STR(key, "Alloc");
    CHECK_EQ(json_object_size(memstats), 32);
    CHECK(json_is_integer(json_object_get(memstats, "PauseTotalNs")));
    CHECK_EQ(json_array_size(json_object_get(memstats, "BySize")), 61);
    CHECK(under_asan() || under_tsan() || /* their own malloc */
          json_integer_value(json_object_get(memstats, "HeapAlloc")) > 0);
    json_decref(all);
    free(text);
}

static void park(void *c)
{
    weft_chan_recv(c, NULL);
}

static json_int_t tasks(const json_t *weft, const char *state)
{
    char key[64];

    snprintf(key, sizeof(key), "/sched/goroutines%s:goroutines", state);
    return json_integer_value(json_object_get(weft, key));
}

TEST(tasks_are_counted_by_state)
{
    weft_chan *c = weft_chan_new(0, 0);
    json_t *all, *weft;
    char *text;

    go_many(10, park, c);
    settle();
    text = written();
    all = json_loads(text, 0, NULL);
    weft = json_object_get(all, "weft");
    CHECK_EQ(tasks(weft, "/waiting"), 10);
    /* Who writes this runs, without a processor if it took too long. */
    CHECK_EQ(tasks(weft, "/running") + tasks(weft, "/not-in-go"), 1);
    CHECK_EQ(tasks(weft, ""), 11);
    json_decref(all);
    free(text);
    weft_chan_close(c);
    settle();
    weft_chan_free(c);
}

static weft_expvar *counter, *sum, *names;

static void count(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        weft_expvar_add(counter, 1);
        weft_expvar_add_float(sum, 0.5);
        weft_expvar_map_add(names, i % 2 ? "odd" : "even", 1);
        if (i % 100 == 0)
            weft_expvar_map_set(names, "own", i % 200 ? counter : NULL);
    }
}

TEST(many_tasks_count_while_others_write)
{
    char *text;

    counter = weft_expvar_new("my.counter", WEFT_EXPVAR_INT);
    sum = weft_expvar_new("my.sum", WEFT_EXPVAR_FLOAT);
    names = weft_expvar_new("my.names", WEFT_EXPVAR_MAP);
    go_many(8, count, NULL);
    for (int i = 0; i < 20; i++)
        free(written());
    settle();
    weft_expvar_map_set(names, "own", NULL);
    CHECK_EQ(weft_expvar_value(counter), 8000);
    text = own();
    CHECK_STR(text, "\"my.counter\": 8000,\n\"my.names\": {\"even\": 4000, \"odd\": 4000},\n"
                    "\"my.sum\": 4000,\n");
    free(text);
}

TEST_PLAIN(values_may_be_published_before_the_run)
{
    char *text;

    weft_expvar_add(weft_expvar_new("my.early", WEFT_EXPVAR_INT), 7);
    text = own();
    CHECK_STR(text, "\"my.early\": 7,\n");
    free(text);
}

TEST_DIES(taken_name_panics, 2, "panic: Reuse of exported var name: memstats")
{
    weft_expvar_new("memstats", WEFT_EXPVAR_INT);
}

TEST_DIES(call_that_does_not_fit_the_kind_panics, 2,
          "panic: weft: weft_expvar_add of a value that is no INT")
{
    weft_expvar_add(weft_expvar_new(NULL, WEFT_EXPVAR_MAP), 1);
}
