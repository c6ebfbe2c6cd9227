/* SPDX-License-Identifier: MIT */
/* test_label.c - labels of tasks: a task reads its own, tasks that it starts inherit them, dumps
 * show them. */
#include "support.h"

#include "profiles/capture/tasks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

VIRTUAL_CLOCK;

#define LIST(...)                                                                                  \
    (weft_label[]){__VA_ARGS__}, (int)(sizeof((weft_label[]){__VA_ARGS__}) / sizeof(weft_label))

static atomic_int ran;

static void check_label(const char *key, const char *value)
{
    const char *is = weft_label_get(key);

    if (!value)
        CHECK(is == NULL);
    else
        CHECK_STR(is ? is : "(none)", value);
}

static void wait_here(void *c)
{
    weft_chan_recv(c, NULL);
}

static int occurrences(const char *text, const char *of)
{
    int n = 0;

    for (; (text = strstr(text, of)); text++)
        n++;
    return n;
}

/* ---- set and add ---- */

TEST(task_has_no_labels_at_first)
{
    check_label("a", NULL);
    CHECK_EQ(weft_labels_set(NULL, 0), 0);
    check_label("a", NULL);
    CHECK(weft_label_get(NULL) == NULL);
}

TEST(set_replaces_all_labels_and_add_keeps_the_others)
{
    CHECK_EQ(weft_labels_set(LIST({"b", "1"}, {"a", "2"})), 0);
    check_label("a", "2");
    check_label("b", "1");
    CHECK_EQ(weft_labels_add(LIST({"c", "3"}, {"a", "4"})), 0);
    check_label("a", "4");
    check_label("b", "1");
    check_label("c", "3");
    CHECK_EQ(weft_labels_set(LIST({"c", "5"})), 0);
    check_label("a", NULL);
    check_label("b", NULL);
    check_label("c", "5");
    CHECK_EQ(weft_labels_set(NULL, 0), 0);
    check_label("c", NULL);
}

TEST(last_of_equal_keys_counts)
{
    CHECK_EQ(weft_labels_set(LIST({"k", "first"}, {"j", ""}, {"k", "last"})), 0);
    check_label("k", "last");
    check_label("j", "");
}

TEST(strings_are_copied)
{
    char key[] = "key", value[] = "value";

    CHECK_EQ(weft_labels_set(LIST({key, value})), 0);
    memset(key, 'x', 3);
    memset(value, 'x', 5);
    check_label("key", "value");
    check_label("xxx", NULL);
}

/* ---- do ---- */

struct seen {
    const char *a, *b, *c;
};

static void see(void *arg)
{
    const struct seen *s = arg;

    check_label("a", s->a);
    check_label("b", s->b);
    check_label("c", s->c);
    weft_yield();
    check_label("a", s->a);
    atomic_fetch_add(&ran, 1);
}

static void nested(void *arg)
{
    check_label("a", "1");
    check_label("b", "outer");
    CHECK_EQ(
        weft_labels_do(LIST({"b", "inner"}, {"c", "3"}), see, &(struct seen){"1", "inner", "3"}),
        0);
    see(&(struct seen){"1", "outer", NULL});
    (void)arg;
}

TEST(do_adds_labels_and_restores_what_was_before)
{
    CHECK_EQ(weft_labels_do(LIST({"a", "1"}), see, &(struct seen){"1", NULL, NULL}), 0);
    see(&(struct seen){NULL, NULL, NULL});
    CHECK_EQ(weft_labels_set(LIST({"a", "1"})), 0);
    CHECK_EQ(weft_labels_do(LIST({"b", "outer"}), nested, NULL), 0);
    see(&(struct seen){"1", NULL, NULL});
    CHECK_EQ(atomic_load(&ran), 5);
}

static void change(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_labels_set(LIST({"c", "3"})), 0);
    CHECK_EQ(weft_labels_do(LIST({"b", "2"}), see, &(struct seen){NULL, "2", "3"}), 0);
    see(&(struct seen){NULL, NULL, "3"});
    CHECK_EQ(weft_labels_set(NULL, 0), 0);
    CHECK_EQ(weft_labels_do(LIST({"b", "2"}), see, &(struct seen){NULL, "2", NULL}), 0);
    see(&(struct seen){NULL, NULL, NULL});
}

TEST(what_fn_does_to_the_labels_ends_with_do)
{
    CHECK_EQ(weft_labels_do(LIST({"a", "1"}), change, NULL), 0);
    see(&(struct seen){NULL, NULL, NULL});
    CHECK_EQ(weft_labels_set(LIST({"a", "0"})), 0);
    CHECK_EQ(weft_labels_do(LIST({"a", "1"}), change, NULL), 0);
    see(&(struct seen){"0", NULL, NULL});
}

static void rename_to(void *name)
{
    weft_task_name(name);
    check_label("a", "1");
}

static void has_name(const char *name)
{
    char want[64], *text = dump_text(WEFT_DUMP_FULL);

    snprintf(want, sizeof(want), " {name: %s", name);
    CHECK_EQ(strstr(text, want) != NULL, name[0] != 0);
    free(text);
}

TEST(name_given_in_do_stays_and_labels_go)
{
    CHECK_EQ(weft_labels_do(LIST({"a", "1"}), rename_to, "first"), 0);
    check_label("a", NULL);
    has_name("first}");
    CHECK_EQ(weft_labels_do(LIST({"a", "1"}), rename_to, "first"), 0);
    has_name("first}");
    CHECK_EQ(weft_labels_set(LIST({"a", "0"})), 0);
    has_name("first, a: 0}");
    CHECK_EQ(weft_labels_do(LIST({"a", "1"}), rename_to, "second"), 0);
    check_label("a", "0");
    has_name("second, a: 0}");
    weft_task_name(NULL);
    has_name("");
    check_label("a", "0");
}

TEST(do_calls_fn_without_labels_that_are_no_good)
{
    CHECK_EQ(weft_labels_set(LIST({"a", "1"})), 0);
    CHECK_EQ(weft_labels_do(LIST({"b", "2"}, {"", "x"}), see, &(struct seen){"1", NULL, NULL}),
             WEFT_EINVAL);
    CHECK_EQ(atomic_load(&ran), 1);
    see(&(struct seen){"1", NULL, NULL});
}

/* ---- bounds and misuse ---- */

TEST(at_most_32_labels)
{
    static char keys[WEFT_LABELS_MAX + 1][8];
    weft_label labels[WEFT_LABELS_MAX + 1];

    for (int i = 0; i <= WEFT_LABELS_MAX; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%02d", WEFT_LABELS_MAX - i);
        labels[i] = (weft_label){keys[i], keys[i]};
    }
    CHECK_EQ(weft_labels_set(labels, WEFT_LABELS_MAX + 1), WEFT_EAGAIN);
    check_label("k01", NULL);
    CHECK_EQ(weft_labels_set(labels, WEFT_LABELS_MAX), 0);
    CHECK_EQ(weft_labels_add(&labels[WEFT_LABELS_MAX], 1), WEFT_EAGAIN);
    check_label("k00", NULL);
    CHECK_EQ(weft_labels_add(LIST({"k07", "new"})), 0);
    for (int i = 1; i <= WEFT_LABELS_MAX; i++)
        check_label(keys[WEFT_LABELS_MAX - i], i == 7 ? "new" : keys[WEFT_LABELS_MAX - i]);
}

/* Returns n times 'x', then `end`. */
static const char *long_text(size_t n, const char *end)
{
    static char text[WEFT_LABEL_VALUE_MAX + 8];

    memset(text, 'x', n);
    strcpy(text + n, end);
    return text;
}

TEST(strings_have_a_greatest_length)
{
    const char *text = long_text(WEFT_LABEL_KEY_MAX, "");

    CHECK_EQ(weft_labels_set(LIST({text, "v"})), 0);
    check_label(text, "v");
    CHECK_EQ(weft_labels_set(LIST({long_text(WEFT_LABEL_KEY_MAX + 1, ""), "v"})), WEFT_EAGAIN);
    text = long_text(WEFT_LABEL_VALUE_MAX - 2, "\xc3\xbc");
    CHECK_EQ(weft_labels_set(LIST({"k", text})), 0);
    check_label("k", text);
    CHECK_EQ(weft_labels_set(LIST({"k", long_text(WEFT_LABEL_VALUE_MAX + 1, "")})), WEFT_EAGAIN);
    CHECK_EQ(weft_labels_set(LIST({"k", long_text(WEFT_LABEL_VALUE_MAX - 1, "\xc3\xbc")})),
             WEFT_EAGAIN);
}

TEST(what_is_no_label_is_einval_and_changes_nothing)
{
    static const weft_label bad[] = {
        {NULL, "v"},           {"k", NULL},      {"", "v"},
        {"\xff", "v"},         {"k", "\xc3"},    {"k", "\xc0\x80"},
        {"k", "\xed\xa0\x80"}, {"k", "a\xfc z"}, {"k", "\xf4\x90\x80\x80"}};

    CHECK_EQ(weft_labels_set(LIST({"k", "kept"})), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQ(weft_labels_set(&bad[i], 1), WEFT_EINVAL);
        CHECK_EQ(weft_labels_add(&bad[i], 1), WEFT_EINVAL);
    }
    CHECK_EQ(weft_labels_add(NULL, 1), WEFT_EINVAL);
    CHECK_EQ(weft_labels_add(bad, -1), WEFT_EINVAL);
    check_label("k", "kept");
}

/* ---- inheritance ---- */

static int see_and_return(void *arg)
{
    see(arg);
    return 0;
}

static void spawn_each_way(void *arg)
{
    weft_go_options named = {.name = "named"};
    weft_group *g = arg;
    static struct seen with = {"1", NULL, NULL};

    weft_go(see, &with);
    weft_go_with(&named, see, &with);
    weft_group_go(g, see_and_return, &with);
}

TEST(tasks_inherit_the_labels_of_who_starts_them)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_task_name("not inherited");
    CHECK_EQ(weft_labels_do(LIST({"a", "1"}), spawn_each_way, &g), 0);
    see(&(struct seen){NULL, NULL, NULL});
    CHECK_EQ(weft_labels_set(LIST({"b", "too late"})), 0);
    CHECK_EQ(weft_group_wait(&g), 0);
    settle();
    CHECK_EQ(atomic_load(&ran), 4);
}

static void change_own(void *arg)
{
    check_label("a", "1");
    CHECK_EQ(weft_labels_add(LIST({"a", "own"})), 0);
    weft_chan_recv(arg, NULL);
    check_label("a", "own");
    atomic_fetch_add(&ran, 1);
}

TEST(change_of_a_task_reaches_neither_its_creator_nor_its_kin)
{
    weft_chan *c = weft_chan_new(0, 0);
    char *text;

    weft_task_name("parent");
    CHECK_EQ(weft_labels_set(LIST({"a", "1"})), 0);
    go_many(2, change_own, c);
    weft_go(wait_here, c);
    settle();
    check_label("a", "1");
    text = dump_text(WEFT_DUMP_FULL);
    CHECK_EQ(occurrences(text, " {name: parent, a: 1}:\n"), 1);
    CHECK_EQ(occurrences(text, " {a: own}:\n"), 2);
    CHECK_EQ(occurrences(text, " {a: 1}:\n"), 1);
    free(text);
    weft_chan_close(c);
    settle();
    CHECK_EQ(atomic_load(&ran), 2);
    weft_chan_free(c);
}

/* Each task starts the next in its own weft_labels_do, and each inherits all labels of before. */
static void start_next(void *arg);

static void go_next(void *arg)
{
    if (atomic_fetch_add(&ran, 1) < 2000)
        weft_go(start_next, arg);
}

static void start_next(void *arg)
{
    char n[16];

    snprintf(n, sizeof(n), "%d", atomic_load(&ran));
    CHECK_EQ(weft_labels_do(LIST({"n", n}), go_next, arg), 0);
}

TEST(tasks_that_start_each_other_under_labels_keep_none_of_the_earlier)
{
    CHECK_EQ(weft_labels_do(LIST({"first", "1"}), start_next, NULL), 0);
    settle();
    CHECK_EQ(atomic_load(&ran), 2001);
    check_label("n", NULL);
}

/* ---- what is shown ---- */

static void set_and_wait(void *c)
{
    CHECK_EQ(weft_labels_set(LIST({"route", "/a \"b\""}, {"k", "v"})),
             0); /* a set of its own each */
    weft_chan_recv(c, NULL);
}

TEST(merged_dump_has_labels_and_merges_equal_ones)
{
    weft_chan *c = weft_chan_new(0, 0);
    char *text;

    go_many(20, set_and_wait, c);
    settle();
    CHECK_EQ(weft_labels_set(LIST({"k", "w"})), 0);
    go_many(5, wait_here, c);
    CHECK_EQ(weft_labels_set(LIST({"k", "x"})), 0);
    go_many(4, wait_here, c);
    CHECK_EQ(weft_labels_set(NULL, 0), 0);
    go_many(6, wait_here, c);
    settle();
    text = dump_text(WEFT_DUMP_MERGED);
    CHECK_CONTAINS(text, "goroutine profile: total 36\n20 @ 0x");
    CHECK_CONTAINS(text, "\n# labels: {\"k\":\"v\", \"route\":\"/a \\\"b\\\"\"}\n#\t0x");
    CHECK_CONTAINS(text, "\n6 @ 0x");
    CHECK_CONTAINS(text, "\n5 @ 0x");
    CHECK_CONTAINS(text, "\n# labels: {\"k\":\"w\"}\n");
    CHECK_CONTAINS(text, "\n4 @ 0x");
    CHECK_CONTAINS(text, "\n# labels: {\"k\":\"x\"}\n");
    CHECK_EQ(occurrences(text, "# labels: "), 3);
    free(text);
    weft_chan_close(c);
    settle();
    text = dump_text(WEFT_DUMP_MERGED);
    CHECK_EQ(occurrences(text, "# labels: "), 0);
    free(text);
    weft_chan_free(c);
}

static int write_memory(void *arg, const void *data, size_t n)
{
    return fwrite(data, 1, n, arg) == n ? 0 : -1;
}

TEST(snapshot_keeps_the_labels_of_its_cut)
{
    weft_chan *c = weft_chan_new(0, 0);
    const struct weft__snapshot *s;
    char *text = NULL;
    size_t n;
    struct weft__sink to = {write_memory, open_memstream(&text, &n)};

    weft_go_with(&(weft_go_options){.name = "old"}, set_and_wait, c);
    settle();
    CHECK_EQ(weft_labels_set(LIST({"main", "old"})), 0);
    CHECK_EQ(weft__snapshot_get(&s), 0);
    CHECK_EQ(weft_labels_set(LIST({"main", "new"})), 0);
    weft_chan_close(c);
    settle(); /* the other has ended */
    CHECK_EQ(weft__tasks_text(s, 3, &to), 0);
    fclose(to.arg);
    CHECK_CONTAINS(text, " {main: old}:\n");
    CHECK_CONTAINS(text, " {name: old, k: v, route: \"/a \\\"b\\\"\"}:\n");
    weft__snapshot_put(s);
    free(text);
    weft_chan_free(c);
}

/* ---- threads that are no tasks ---- */

static void *thread_with_labels(void *arg)
{
    check_label("a", NULL);
    CHECK_EQ(weft_labels_set(LIST({"a", "1"})), 0);
    CHECK_EQ(weft_labels_do(LIST({"b", "2"}), see, &(struct seen){"1", "2", NULL}), 0);
    weft_go(see, arg);
    wait_for_dump("locked to thread] {a: 1}:\n");
    see(arg);
    return NULL;
}

static void join(void *thread)
{
    CHECK_EQ(pthread_join(*(pthread_t *)thread, NULL), 0);
}

TEST(thread_has_labels_of_its_own_which_its_tasks_inherit)
{
    struct seen own = {"1", NULL, NULL};
    pthread_t thread;
    char *text;

    CHECK_EQ(weft_labels_set(LIST({"a", "main's"})), 0);
    CHECK_EQ(pthread_create(&thread, NULL, thread_with_labels, &own), 0);
    weft_blocking(join, &thread);
    wait_for(&ran, 3);
    check_label("a", "main's");
    text = dump_text(WEFT_DUMP_FULL);
    CHECK_EQ(occurrences(text, "{a: 1}"), 0);
    free(text);
}

/* ---- the end of a run ---- */

static void wait_labeled(void *c)
{
    CHECK_EQ(weft_labels_do(LIST({"b", "inner"}), wait_here, c), 0);
}

static int leave_tasks_in_do(void *c)
{
    weft_label outer = {"a", "outer"};

    for (int i = 0; i < 10; i++) {
        weft_go(wait_labeled, c);
        CHECK_EQ(weft_labels_do(&outer, 1, go_next, c), 0);
        CHECK_EQ(weft_labels_set(LIST({"c", "1"})), 0);
        weft_task_name("main");
    }
    weft_yield();
    return 0;
}

/* Leak checkers see what the discarded tasks left behind. */
TEST_PLAIN(tasks_discarded_in_do_leave_nothing_to_the_next_run)
{
    weft_chan *c = weft_chan_new(0, 0);

    for (int i = 0; i < 3; i++) {
        atomic_store(&ran, 10000);
        CHECK_EQ(weft_run(leave_tasks_in_do, c), 0);
    }
    weft_chan_free(c);
}

TEST_DIES(death_with_labels_is_reported, 2, "goroutine 1 [running]:\n")
{
    CHECK_EQ(weft_labels_set(LIST({"a", "1"})), 0);
    weft_unpin();
}
