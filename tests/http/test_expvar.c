/* SPDX-License-Identifier: MIT */
/* test_expvar.c - published values, their JSON byte for byte, memstats. weft__alloc_try is wrapped,
 * and fails when a test asks for it. */
#include "support.h"

#include <weft/expvar.h>

#include <fcntl.h>
#include <float.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

VIRTUAL_CLOCK;

void *__real_weft__alloc_try(size_t n);
void *__wrap_weft__alloc_try(size_t n);

static int allocs_left = -1; /* until one fails; < 0: none does */

void *__wrap_weft__alloc_try(size_t n)
{
    if (allocs_left == 0)
        return NULL;
    allocs_left -= allocs_left > 0;
    return __real_weft__alloc_try(n);
}

/* Returns all that is published now, for free(). */
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

/* Returns the lines of the program's own values. */
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

/* For x, no shorter text reads back as x, and this one does. */
static void check_shortest(double x)
{
    weft_expvar *v = weft_expvar_new(NULL, WEFT_EXPVAR_FLOAT);
    static weft_expvar *map;
    char *text, *at, shorter[40];
    int digits = 0;

    map = map ? map : weft_expvar_new("my.floats", WEFT_EXPVAR_MAP);
    weft_expvar_set_float(v, x);
    weft_expvar_map_set(map, "x", v);
    text = own();
    at = strstr(text, "\"x\": ") + 5;
    CHECK(strtod(at, NULL) == x);
    for (; *at && *at != 'e' && *at != '}'; at++)
        digits += *at >= '0' && *at <= '9' && (digits > 0 || *at != '0');
    if (digits > 1 && fabs(x) < 1e300) {
        snprintf(shorter, sizeof(shorter), "%.*e", digits - 2, x);
        CHECK(strtod(shorter, NULL) != x);
    }
    free(text);
}

TEST(no_float_has_a_digit_more_than_it_needs)
{
    unsigned short state[3] = {1, 2, 3};
    double x;

    for (int i = 0; i < 500; i++) {
        uint64_t bits = (uint64_t)nrand48(state) << 33 ^ (uint64_t)nrand48(state) << 16 ^ 7u;

        memcpy(&x, &bits, sizeof(x));
        if (isfinite(x))
            check_shortest(x);
        check_shortest(ldexp(1, i - 250)); /* below a power of two doubles are closer */
    }
}

#define BIG "340282366920938463463374607431768211456.5000E+0100"

TEST(json_values_are_shown_digit_by_digit)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"[1, {\"k\": \"v\"}]", "[1,{\"k\":\"v\"}]"},
        {" \t\r\n null\n", "null"},
        {"[true,false , null,{},[] ,\"\"]", "[true,false,null,{},[],\"\"]"},
        {"0.1", "0.1"},
        {"[-0,0e1,1E+2,1.50,-12.0e-7]", "[-0,0e1,1E+2,1.50,-12.0e-7]"},
        {"9223372036854775807", "9223372036854775807"},
        {"9223372036854775808", "9223372036854775808"},
        {"18446744073709551615", "18446744073709551615"},
        {"-9223372036854775808", "-9223372036854775808"},
        {BIG, BIG},
        {"1e999", "1e999"},
        {"\"a\\u0000b\"", "\"a\\u0000b\""},
        {"{\"\\u0001\": \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00eF\"}",
         "{\"\\u0001\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00eF\"}"},
        {"\"\\ud83d\\uDE00\"", "\"\\ud83d\\uDE00\""},
        {"\"\xc3\xa9 \xf0\x9f\x98\x80 \x7f\"", "\"\xc3\xa9 \xf0\x9f\x98\x80 \x7f\""},
        {"\"<&>\xe2\x80\xa9\"", "\"\\u003c\\u0026\\u003e\\u2029\""},
        {"{\"a\": {\"b\": [{}, {\"c\": 1}]}, \"a\": 2}", "{\"a\":{\"b\":[{},{\"c\":1}]},\"a\":2}"},
    };
    weft_expvar *v = weft_expvar_new("my.json", WEFT_EXPVAR_JSON);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[200], *text;
        json_t *read;

        CHECK_EQ(weft_expvar_set_json(v, cases[i].text), 0);
        text = own();
        snprintf(expected, sizeof(expected), "\"my.json\": %s,\n", cases[i].shown);
        CHECK_STR(text, expected);
        read = json_loads(strstr(text, ": ") + 2,
                          JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL |
                              JSON_DECODE_INT_AS_REAL,
                          NULL);
        CHECK(read || strcmp(cases[i].text, "1e999") == 0); /* more than its doubles hold */
        json_decref(read);
        free(text);
    }
}

TEST(what_is_no_json_is_refused)
{
    static const char *const cases[] = {
        "",
        " ",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "[1}",
        "{\"a\":1]",
        "]",
        "1 2",
        "nul",
        "nullx",
        "True",
        "NaN",
        "Infinity",
        "-",
        "01",
        "-01",
        "1.",
        ".5",
        "+1",
        "1e",
        "1e+",
        "0x1",
        "1,5",
        "'a'",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\t\"",
        "\"\n\"",
        "\"\x01\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800\\ud800\"",
        "\"\xff\"",
        "\"\xc3\"",
        "\"\xed\xa0\x80\"",
        "\"\xc0\x80\"",
        "\xef\xbb\xbf\x31",
        "[\"a\",\"b\"] x",
        "//\n1",
        "1 /*2*/",
    };
    weft_expvar *v = weft_expvar_new("my.json", WEFT_EXPVAR_JSON);
    char *text;

    CHECK_EQ(weft_expvar_set_json(v, "[\"kept\"]"), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (weft_expvar_set_json(v, cases[i]) != WEFT_EINVAL)
            FAIL("taken for JSON: %s", cases[i]);
    }
    text = own();
    CHECK_STR(text, "\"my.json\": [\"kept\"],\n");
    free(text);
}

static int set_nested(weft_expvar *v, size_t depth)
{
    char *text = malloc(2 * depth + 1);
    int rc;

    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = 0;
    rc = weft_expvar_set_json(v, text);
    memset(text, '[', 2 * depth); /* not even its end is looked for */
    CHECK_EQ(depth > WEFT_EXPVAR_DEPTH ? weft_expvar_set_json(v, text) : WEFT_EINVAL, WEFT_EINVAL);
    free(text);
    return rc;
}

TEST(json_nests_up_to_a_bound)
{
    weft_expvar *v = weft_expvar_new("my.json", WEFT_EXPVAR_JSON);

    CHECK_EQ(set_nested(v, WEFT_EXPVAR_DEPTH), 0);
    CHECK_EQ(set_nested(v, WEFT_EXPVAR_DEPTH + 1), WEFT_EINVAL);
    CHECK_EQ(set_nested(v, 5000000), WEFT_EINVAL);
}

/* By default a task's stack is small. */
TEST(maps_are_shown_up_to_a_bound)
{
    weft_expvar *map = weft_expvar_new("my.map", WEFT_EXPVAR_MAP);
    char *text, *at;
    int depth = 0;

    for (int i = 0; i < 1000; i++) {
        weft_expvar *in = weft_expvar_new(NULL, WEFT_EXPVAR_MAP);

        weft_expvar_map_set(map, "in", in);
        map = in;
    }
    text = own();
    for (at = text; (at = strchr(at, '{')) != NULL; at++)
        depth++;
    CHECK_EQ(depth, WEFT_EXPVAR_DEPTH);
    CHECK_CONTAINS(text, "{\"in\": null}}}");
    free(text);
}

TEST_DIES(map_in_itself_is_refused, 2,
          "panic: weft: weft_expvar_map_set: as \"self\" the map would be in itself")
{
    weft_expvar *map = weft_expvar_new("my.map", WEFT_EXPVAR_MAP);

    weft_expvar_map_set(map, "self", map);
}

TEST_DIES(map_in_a_map_in_itself_is_refused, 2,
          "panic: weft: weft_expvar_map_set: as \"back\" the map would be in itself")
{
    weft_expvar *maps[5];

    for (int i = 0; i < 5; i++) {
        maps[i] = weft_expvar_new(NULL, WEFT_EXPVAR_MAP);
        for (int j = 0; j < i; j++) /* in several at once, which is no loop */
            weft_expvar_map_set(maps[j], i % 2 ? "odd" : "even", maps[i]);
    }
    weft_expvar_map_set(maps[1], "none", maps[4]);
    weft_expvar_map_set(maps[4], "back", maps[1]);
}

/* German has a comma as its decimal point. Its files are made in a folder of the test's own. */
static void speak_german(void)
{
    char folder[] = "/tmp/weft_locale_XXXXXX", path[64];

    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/own.UTF-8", folder);
    weft_process_run((const char *[]){"sh", "-c", "localedef -i de_DE -f UTF-8 \"$1\" 2>/dev/null",
                                      "sh", path, NULL});
    setenv("LOCPATH", folder, 1);
    if (!setlocale(LC_ALL, "own.UTF-8"))
        SKIP("no locales can be made here");
    weft_process_run((const char *[]){"rm", "-r", folder, NULL});
    CHECK_STR(localeconv()->decimal_point, ",");
}

TEST(numbers_have_points_where_the_locale_has_commas)
{
    weft_expvar *json = weft_expvar_new("my.json", WEFT_EXPVAR_JSON);
    char *text;

    speak_german();
    weft_expvar_set_float(weft_expvar_new("my.float", WEFT_EXPVAR_FLOAT), 1234.5);
    weft_expvar_set_float(weft_expvar_new("my.huge", WEFT_EXPVAR_FLOAT), -1.7976931348623157e308);
    weft_expvar_set_float(weft_expvar_new("my.small", WEFT_EXPVAR_FLOAT), 0.1);
    CHECK_EQ(weft_expvar_set_json(json, "[0.1, 3.14, 1.0]"), 0);
    text = own();
    CHECK_STR(text, "\"my.float\": 1234.5,\n\"my.huge\": -1.7976931348623157e+308,\n"
                    "\"my.json\": [0.1,3.14,1.0],\n\"my.small\": 0.1,\n");
    free(text);
}

static void publish_one_of_each(void)
{
    weft_expvar *map = weft_expvar_new("my.map", WEFT_EXPVAR_MAP),
                *json = weft_expvar_new("my.json", WEFT_EXPVAR_JSON);
    char big[9000];

    weft_expvar_map_add(map, "a", 1);
    weft_expvar_map_set(map, "in", weft_expvar_new(NULL, WEFT_EXPVAR_MAP));
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    weft_expvar_set_string(weft_expvar_new("my.string", WEFT_EXPVAR_STRING), big);
    weft_expvar_set_json(json, "{\"k\": [1, 2, \"v\"]}");
    weft_expvar_new_json_func("my.func", some_json, (void *)(uintptr_t) "{\"a\": 1}");
}

TEST(without_memory_nothing_is_shown)
{
    int n = 0;

    publish_one_of_each();
    for (int rc = WEFT_ENOMEM; rc != 0; n++) {
        int fd = memfd_create("written", MFD_CLOEXEC);

        allocs_left = n;
        rc = weft_expvar_write(fd);
        allocs_left = -1;
        CHECK(rc == 0 || rc == WEFT_ENOMEM);
        CHECK_EQ(lseek(fd, 0, SEEK_END) > 0, rc == 0);
        close(fd);
    }
    CHECK(n > 8);
}

TEST(json_that_finds_no_memory_is_not_set)
{
    weft_expvar *v = weft_expvar_new("my.json", WEFT_EXPVAR_JSON);
    char *text;

    CHECK_EQ(weft_expvar_set_json(v, "1"), 0);
    allocs_left = 0;
    CHECK_EQ(weft_expvar_set_json(v, "2"), WEFT_ENOMEM);
    CHECK_EQ(weft_expvar_set_json(v, "["), WEFT_EINVAL);
    allocs_left = -1;
    text = own();
    CHECK_STR(text, "\"my.json\": 1,\n");
    free(text);
}

static void drain(void *pipe)
{
    char bytes[4096];

    while (read(*(int *)pipe, bytes, sizeof(bytes)) > 0)
        ;
}

/* A pipe holds less than this document. */
TEST(descriptor_that_does_not_block_gets_all_of_it)
{
    char *big = calloc(1, 300001);
    static int ends[2]; /* drain may outlive this frame */

    memset(big, 'x', 300000);
    weft_expvar_set_string(weft_expvar_new("my.string", WEFT_EXPVAR_STRING), big);
    free(big);
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    weft_go(drain, &ends[0]);
    CHECK_EQ(weft_expvar_write(ends[1]), 0);
    close(ends[1]);
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

/* The document has the bound of each table that lives as long as the process. */
TEST(what_is_kept_has_a_bound)
{
    char *text = written();
    json_t *all = json_loads(text, 0, NULL), *kept;
    const char *key;
    int n = 0;

    json_object_foreach(json_object_get(all, "weft"), key, kept)
    {
        if (strncmp(key, "kept_", 5) != 0)
            continue;
        n++;
        CHECK(json_integer_value(json_object_get(kept, "most")) > 0);
        CHECK(json_integer_value(json_object_get(kept, "n")) <=
              json_integer_value(json_object_get(kept, "most")));
    }
    CHECK_EQ(n, 12);
    json_decref(all);
    free(text);
}

/* Each look is in one step of the histogram. Looks go on meanwhile, so the sum may be behind. */
TEST(kernel_delay_has_a_histogram)
{
    char *text = written();
    json_t *all = json_loads(text, 0, NULL), *count;
    json_t *delay = json_object_get(json_object_get(all, "weft"), "kernel_delay");
    json_int_t looks = json_integer_value(json_object_get(delay, "looks")), sum = 0;
    const char *key;

    CHECK(delay != NULL);
    if (!json_object_get(delay, "error")) {
        json_object_foreach(json_object_get(delay, "looks_from_us"), key, count)
        {
            sum += json_integer_value(count);
        }
        CHECK(sum <= looks && sum + 8 >= looks);
        CHECK_EQ(json_array_size(json_object_get(delay, "processors_ns")), weft_procs());
    }
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
    /* The task that writes this runs, without a processor if it took too long. */
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
