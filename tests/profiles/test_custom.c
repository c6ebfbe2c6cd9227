/* SPDX-License-Identifier: MIT */
/* test_custom.c - profiles of the program's own: their values, by the stack that added each. */
#include "support.h"

#include "profiles/account/profile.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

enum { MANY = 100000 };

static char values[MANY];

/* The descriptor of a profile is its beginning. */
static const char *name_of(const weft_profile *p)
{
    return ((const struct weft__profile *)p)->name;
}

static int count(const weft_profile *p)
{
    return count_of(name_of(p));
}

static char *text_of(const weft_profile *p)
{
    return counts_text(name_of(p));
}

static void check_text(const weft_profile *p, const char *contains)
{
    char *text = text_of(p);

    CHECK_CONTAINS(text, contains);
    free(text);
}

/* Returns the count of the sample whose innermost frame is this function; 0 if there is none. */
static int count_by(const weft_profile *p, const char *function)
{
    char *text = text_of(p), leaf[128];
    int count = 0, n;

    for (char *at = strchr(text, '\n') + 1; *at; at = strstr(at, "\n\n") + 2) {
        CHECK_EQ(sscanf(at, "%d @ %*[^\n]\n#\t%*s\t%127[^+]", &n, leaf), 2);
        if (strcmp(leaf, function) == 0)
            count += n;
    }
    free(text);
    return count;
}

NOINLINE void adds_here(weft_profile *p, char *from, int n);
NOINLINE void adds_there(weft_profile *p, char *from, int n);

NOINLINE void adds_here(weft_profile *p, char *from, int n)
{
    for (int i = 0; i < n; i++)
        weft_profile_add(p, from + i);
    __asm__ volatile("");
}

NOINLINE void adds_there(weft_profile *p, char *from, int n)
{
    for (int i = 0; i < n; i++)
        weft_profile_add(p, from + i);
    __asm__ volatile("");
}

static void remove_all(weft_profile *p, char *from, int n)
{
    for (int i = 0; i < n; i++)
        weft_profile_remove(p, from + i);
}

/* Adding and removing -------------------------------------------------------------------------- */

TEST(new_profile_is_empty)
{
    weft_profile *p = weft_profile_new("open files");
    char *text = text_of(p);

    CHECK_STR(text, "open files profile: total 0\n");
    CHECK_EQ(count(p), 0);
    free(text);
}

TEST(values_count_where_they_were_added_the_most_first)
{
    weft_profile *p = weft_profile_new("a");
    char *text;

    adds_here(p, values, 3);
    adds_there(p, values + 100, 5);
    text = text_of(p);
    CHECK(strncmp(text, "a profile: total 8\n5 @ 0x", 25) == 0);
    CHECK(strstr(text, "\n\n3 @ 0x") > strstr(text, "\tadds_there+0x"));
    CHECK(strstr(text, "\tadds_here+0x") > strstr(text, "\n\n3 @ 0x"));
    CHECK(strstr(text, "weft_profile_add") == NULL);
    free(text);
    CHECK_EQ(count_by(p, "adds_here"), 3);
    CHECK_EQ(count_by(p, "adds_there"), 5);
    CHECK_EQ(count(p), 8);
}

TEST(removed_values_are_gone_and_may_come_again)
{
    weft_profile *p = weft_profile_new("a");

    adds_here(p, values, 10);
    remove_all(p, values, 7);
    weft_profile_remove(p, values);
    weft_profile_remove(p, &p);
    CHECK_EQ(count_by(p, "adds_here"), 3);
    adds_there(p, values, 7);
    CHECK_EQ(count_by(p, "adds_here"), 3);
    CHECK_EQ(count_by(p, "adds_there"), 7);
    remove_all(p, values, 10);
    CHECK_EQ(count(p), 0);
    check_text(p, "a profile: total 0\n");
}

TEST(profiles_have_nothing_in_common)
{
    weft_profile *a = weft_profile_new("a"), *b = weft_profile_new("b");

    adds_here(a, values, 4);
    adds_here(b, values, 2);
    weft_profile_remove(a, values);
    CHECK_EQ(count(a), 3);
    CHECK_EQ(count(b), 2);
}

TEST(null_is_a_value)
{
    weft_profile *p = weft_profile_new("a");

    weft_profile_remove(p, NULL);
    weft_profile_add(p, NULL);
    CHECK_EQ(count(p), 1);
    weft_profile_remove(p, NULL);
    CHECK_EQ(count(p), 0);
}

/* The profile is compared with a plain table of the values that are in it. */
TEST(adding_and_removing_at_random_keeps_count)
{
    enum { RANGE = 5000, STEPS = 100000 };
    static bool in[RANGE];
    weft_profile *p = weft_profile_new("a");
    unsigned seed = 1;
    int n = 0;

    for (int step = 0; step < STEPS; step++) {
        int i = rand_r(&seed) % RANGE;

        if (in[i])
            weft_profile_remove(p, values + i);
        else
            adds_here(p, values + i, 1);
        in[i] = !in[i];
        n += in[i] ? 1 : -1;
    }
    CHECK_EQ(count(p), n);
    CHECK_EQ(count_by(p, "adds_here"), n);
    for (int i = 0; i < RANGE; i++)
        weft_profile_remove(p, values + i);
    CHECK_EQ(count(p), 0);
}

TEST(a_hundred_thousand_values)
{
    weft_profile *p = weft_profile_new("a");

    adds_here(p, values, MANY);
    CHECK_EQ(count(p), MANY);
    CHECK_EQ(count_by(p, "adds_here"), MANY);
    remove_all(p, values, MANY);
    CHECK_EQ(count(p), 0);
}

/* Callers -------------------------------------------------------------------------------------- */

static void *add_some(void *p)
{
    adds_here(p, values, 10);
    weft_profile_remove(p, values);
    return NULL;
}

TEST(foreign_threads_add_and_remove)
{
    weft_profile *p = weft_profile_new("a");
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, add_some, p), 0);
    weft_blocking_begin();
    CHECK_EQ(pthread_join(thread, NULL), 0);
    weft_blocking_end();
    CHECK_EQ(count_by(p, "adds_here"), 9);
    check_text(p, "\tadd_some+0x");
}

static weft_profile *shared;
static atomic_int first, ended, stop;

enum { TASKS = 8, EACH = 2000 };

static void add_and_remove(void *arg)
{
    char *from = values + atomic_fetch_add(&first, EACH);

    (void)arg;
    for (int round = 0; round < 3; round++) {
        adds_here(shared, from, EACH);
        weft_yield();
        remove_all(shared, from, EACH - 1);
        weft_yield();
        weft_profile_remove(shared, from + EACH - 1);
    }
    adds_there(shared, from, 5);
    atomic_fetch_add(&ended, 1);
}

static void *add_and_remove_outside(void *arg)
{
    add_and_remove(arg);
    return NULL;
}

static void take_all_the_time(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        free(text_of(shared));
        weft_yield();
    }
    atomic_fetch_add(&ended, 1);
}

TEST(all_at_once)
{
    pthread_t thread;

    shared = weft_profile_new("shared");
    weft_go(take_all_the_time, NULL);
    CHECK_EQ(pthread_create(&thread, NULL, add_and_remove_outside, NULL), 0);
    go_many(TASKS, add_and_remove, NULL);
    wait_for(&ended, TASKS + 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    atomic_store(&stop, 1);
    wait_for(&ended, TASKS + 2);
    CHECK_EQ(count_by(shared, "adds_here"), 0);
    CHECK_EQ(count_by(shared, "adds_there"), 5 * (TASKS + 1));
}

static int add_in_a_run(void *p)
{
    adds_here(p, values + count(p), 2);
    return 0;
}

TEST_PLAIN(what_is_in_it_outlives_a_run)
{
    weft_profile *p = weft_profile_new("a");

    CHECK_EQ(weft_run(add_in_a_run, p), 0);
    CHECK_EQ(weft_run(add_in_a_run, p), 0);
    CHECK_EQ(count(p), 4);
    weft_profile_remove(p, values + 3);
    CHECK_EQ(count(p), 3);
    CHECK_EQ(weft_run(add_in_a_run, p), 0);
}

/* Names ---------------------------------------------------------------------------------------- */

/* The first of the program's own. */
static const struct weft__profile *first_own(void)
{
    return weft__profile_next(weft__profile_find("threadcreate"));
}

TEST_PLAIN(profiles_are_found_by_name_and_listed_in_order)
{
    static const char *const names[] = {"m", "z", "a/b", "m m", "gr\xc3\xbc\xc3\x9f", "B"};
    char listed[64] = "";
    char longest[128];

    for (int i = 0; i < 6; i++)
        CHECK_STR(name_of(weft_profile_new(names[i])), names[i]);
    for (int i = 0; i < 6; i++)
        CHECK_STR(weft__profile_find(names[i])->name, names[i]);
    CHECK(weft__profile_find("m ") == NULL);
    for (const struct weft__profile *p = first_own(); p; p = weft__profile_next(p)) {
        strcat(listed, p->name);
        strcat(listed, " ");
    }
    CHECK_STR(listed, "B a/b gr\xc3\xbc\xc3\x9f m m m z ");
    memset(longest, 'x', 127);
    longest[127] = 0;
    CHECK_STR(name_of(weft_profile_new(longest)), longest);
}

static const char *bad_name;

static void make_bad(void)
{
    weft_profile_new(bad_name);
}

static void check_refused(const char *name, const char *says)
{
    static char err[4096];

    bad_name = name;
    CHECK_EQ(in_child(make_bad, err, sizeof(err)), 2);
    CHECK_CONTAINS(err, says);
}

TEST_PLAIN(names_that_are_none_are_refused)
{
    static const char *const bad[] = {"/a",    "a/",   "/",         "a\nb",
                                      "a\x7f", "\xff", "a\xc2\x85", "\xe2\x80\xae"};
    char long_name[129];

    memset(long_name, 'x', 128);
    long_name[128] = 0;
    check_refused(NULL, "panic: weft: weft_profile_new: NULL is no name for a profile\n");
    check_refused("", "panic: weft: weft_profile_new: \"\" is no name for a profile\n");
    check_refused(long_name, "xxxx\" is no name for a profile\n");
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        check_refused(bad[i], "\" is no name for a profile\n");
    check_refused("a\nb", "\"a?b\" is no name");
}

TEST_PLAIN(names_that_are_taken_are_refused)
{
    static const char *const taken[] = {
        "goroutine",    "heap",       "allocs",        "block",      "mutex",  "contention",
        "threadcreate", "profile",    "trace",         "cmdline",    "symbol", "delta_block",
        "delta_mutex",  "delta_heap", "goroutineleak", "goroutines", "mine"};
    char says[128];

    weft_profile_new("mine");
    for (unsigned i = 0; i < sizeof(taken) / sizeof(*taken); i++) {
        snprintf(says, sizeof(says), "panic: weft: weft_profile_new: the name \"%s\" is taken\n",
                 taken[i]);
        check_refused(taken[i], says);
    }
}

static void *make_the_same(void *arg)
{
    char name[16];

    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "p%d.%d", *(int *)arg, i * 7 % 50);
        weft_profile_new(name);
    }
    return NULL;
}

TEST_PLAIN(threads_make_profiles_at_once)
{
    pthread_t threads[4];
    int ids[4], n = 0;

    for (int i = 0; i < 4; i++) {
        ids[i] = i;
        CHECK_EQ(pthread_create(&threads[i], NULL, make_the_same, &ids[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    for (const struct weft__profile *p = first_own(); p; p = weft__profile_next(p))
        n++;
    CHECK_EQ(n, 200);
    CHECK(weft__profile_find("p3.49") != NULL);
}

/* Misuse --------------------------------------------------------------------------------------- */

TEST_DIES(value_added_twice_panics, 2,
          "panic: weft: weft_profile_add of a value that is in \"open files\" already: 0x123\n\n"
          "goroutine 1 [running]:\n")
{
    weft_profile *p = weft_profile_new("open files");

    weft_profile_add(p, (void *)0x123);
    weft_profile_add(p, (void *)0x123);
}

TEST_DIES_PLAIN(add_outside_a_run_panics, 2,
                "panic: weft: weft_profile_add called outside weft_run")
{
    weft_profile_add(weft_profile_new("a"), values);
}
