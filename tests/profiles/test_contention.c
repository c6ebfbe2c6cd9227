/* SPDX-License-Identifier: MIT */
/* test_contention.c - the block, mutex and contention profiles are right: to the nanosecond where
 * every wait is kept, on average where waits are sampled. */
#include "support.h"

#include "profiles/account/tables.h"
#include "profiles/table/buckets.h"
#include "profiles/table/labelset.h"
#include "profiles/walk/unwind.h"
#include "runtime/sched/observe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

VIRTUAL_CLOCK;

#define NOINLINE __attribute__((noinline))

enum { TASKS = 10, ROUNDS = 20 };
enum { SETTLED = 1 }; /* ns that go by when all settle */

/* Reading -------------------------------------------------------------------------------------- */

struct total {
    long long delay, count;
};

/* The sums of the samples that have both functions in their stacks. */
static struct total total_with(const char *name, weft_profile_options o, const char *one,
                               const char *other)
{
    char *text = profile_text(name, o), *at = strstr(text, "\n"), *end;
    struct total sum = {0, 0};
    long long delay, count;

    for (; at; at = end) {
        at += strspn(at, "\n");
        end = strstr(at, "\n\n");
        if (end)
            *end++ = 0;
        if (strncmp(at, "cycles", 6) == 0)
            at = strchr(at, '\n') + 1;
        if (strncmp(at, "sampling", 8) == 0)
            at = strchr(at, '\n') + 1;
        if (sscanf(at, "%lld %lld @", &delay, &count) == 2 && strstr(at, one) && strstr(at, other))
            sum = (struct total){sum.delay + delay, sum.count + count};
    }
    free(text);
    return sum;
}

/* The sums of the waits that have ended. */
static struct total total_over(const char *name, const char *function, const char *line)
{
    return total_with(name, (weft_profile_options){.no_live = true}, function, line);
}

static struct total total(const char *name, const char *function)
{
    return total_with(name, (weft_profile_options){0}, function, function);
}

/* Block ---------------------------------------------------------------------------------------- */

NOINLINE void receives_here(void *c);
NOINLINE void receives_here(void *c)
{
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQ(weft_chan_recv(c, NULL), 0);
    __asm__ volatile("");
}

static void send_all(weft_chan **c, weft_duration every)
{
    char byte = 0;

    for (int round = 0; round < ROUNDS; round++) {
        weft_sleep(every);
        for (int i = 0; i < TASKS; i++)
            CHECK_EQ(weft_chan_send(c[i], &byte), 0);
    }
}

/* Each task waits ROUNDS times, 5 ms each. */
static void all_receive(void)
{
    weft_chan *c[TASKS];

    for (int i = 0; i < TASKS; i++) {
        c[i] = weft_chan_new(1, 1);
        weft_go(receives_here, c[i]);
    }
    settle();
    send_all(c, 5 * WEFT_MILLISECOND);
    settle();
}

TEST(waits_of_known_length_are_all_there)
{
    struct total t;

    weft_profile_set_block_rate(1);
    all_receive();
    t = total("block", "receives_here");
    CHECK_EQ(t.delay, TASKS * (ROUNDS * 5 * WEFT_MILLISECOND + SETTLED));
    CHECK_EQ(t.count, TASKS * ROUNDS);
}

static weft_chan *never;

NOINLINE void waits_for_ever_here(void *arg);
NOINLINE void waits_for_ever_here(void *arg)
{
    (void)arg;
    weft_chan_recv(never, NULL);
    __asm__ volatile("");
}

TEST(what_is_not_over_counts_unless_left_out)
{
    struct total t;

    never = weft_chan_new(1, 0);
    go_many(3, waits_for_ever_here, NULL);
    settle();
    weft_sleep(WEFT_SECOND);
    t = total("block", "waits_for_ever_here");
    CHECK_EQ(t.delay, 3 * (WEFT_SECOND + SETTLED));
    CHECK_EQ(t.count, 3);
    t = total_with("block", (weft_profile_options){.no_live = true}, "waits_for_ever_here", "");
    CHECK_EQ(t.count, 0);
}

NOINLINE void sleeps_here(void);
NOINLINE void sleeps_here(void)
{
    weft_sleep(WEFT_SECOND);
    __asm__ volatile("");
}

TEST(sleeps_are_there_if_asked_for)
{
    sleeps_here();
    CHECK_EQ(total("block", "sleeps_here").count, 0);
    CHECK_EQ(total_with("block", (weft_profile_options){.with_io = true}, "sleeps_here", "").delay,
             WEFT_SECOND);
}

/* This task's own store came after the store of the task that woke it. */
TEST(rate_that_a_worker_did_not_hear_of_is_noticed)
{
    weft_profile_set_block_rate(1);
    weft__lock(&weft__sched.lock, WEFT__RANK_RUNQ); /* workers may still be added */
    for (weft__worker *w = weft__sched.all; w; w = w->all)
        weft__store(&w->waits.left, WEFT__NEVER);
    weft__unlock(&weft__sched.lock);
    all_receive();
    CHECK(total("block", "receives_here").count >= TASKS);
}

TEST(nothing_is_recorded_when_off)
{
    weft_profile_set_block_rate(0);
    all_receive();
    CHECK_EQ(total("block", "receives_here").count, 0);
}

NOINLINE void receives_once_here(void *c);
NOINLINE void receives_once_here(void *c)
{
    CHECK_EQ(weft_chan_recv(c, NULL), WEFT_ECLOSED);
    __asm__ volatile("");
}

/* The waits last a tenth of the rate, so one in ten is kept, and counts for ten. */
static void check_average(weft_duration rate)
{
    enum { EACH = 200 };
    int seeds = under_asan() || under_tsan() || getenv("WEFT_CHAOS") ? 100 : 1000;
    double variance = EACH * 0.1 * (1 - 0.1) * seeds * (double)rate * (double)rate, sum = 0, off;

    for (int seed = 0; seed < seeds; seed++) {
        weft_chan *c = weft_chan_new(1, 0);
        weft_time since;

        weft_profile_set_block_rate(rate);
        go_many(EACH, receives_once_here, c);
        settle();
        since = weft_now();
        weft_sleep(rate / 10);
        sum += (double)(weft_now() - since + SETTLED) * EACH;
        weft_chan_close(c);
        settle();
        weft_chan_free(c);
    }
    off = (double)total("block", "receives_once_here").delay - sum;
    CHECK(off * off < 9 * variance); /* three times sigma */
}

TEST(waits_sampled_at_a_microsecond_add_up_on_average)
{
    check_average(WEFT_MICROSECOND);
}

TEST(waits_sampled_at_a_hundred_microseconds_add_up_on_average)
{
    check_average(100 * WEFT_MICROSECOND);
}

/* Locks ---------------------------------------------------------------------------------------- */

static weft_mutex mutex = WEFT_MUTEX_INIT;

NOINLINE void wants_it_here(void *arg);
NOINLINE void wants_it_here(void *arg)
{
    (void)arg;
    weft_mutex_lock(&mutex);
    weft_mutex_unlock(&mutex);
    __asm__ volatile("");
}

NOINLINE void lets_go_here(void);
NOINLINE void lets_go_here(void)
{
    weft_mutex_unlock(&mutex);
    __asm__ volatile("");
}

static void hold_against(int waiters)
{
    weft_profile_set_block_rate(1);
    weft_profile_set_mutex_rate(1);
    weft_mutex_lock(&mutex);
    go_many(waiters, wants_it_here, NULL);
    settle();
    weft_sleep(300 * WEFT_MILLISECOND);
    lets_go_here();
    settle();
}

TEST(unlocker_is_charged_with_its_one_waiter)
{
    hold_against(1);
    CHECK_EQ(total("mutex", "lets_go_here").delay, 300 * WEFT_MILLISECOND + SETTLED);
    CHECK_EQ(total("mutex", "wants_it_here").delay, 0);
    CHECK_EQ(total("block", "wants_it_here").delay, 300 * WEFT_MILLISECOND + SETTLED);
}

TEST(unlocker_is_charged_with_all_its_waiters)
{
    hold_against(TASKS);
    CHECK_EQ(total("mutex", "lets_go_here").delay, TASKS * (300 * WEFT_MILLISECOND + SETTLED));
    CHECK_EQ(total("mutex", "wants_it_here").delay, 0);
    CHECK_EQ(total("block", "wants_it_here").delay, TASKS * (300 * WEFT_MILLISECOND + SETTLED));
}

TEST(both_sides_are_joined)
{
    struct total t;

    hold_against(1);
    t = total_with("contention", (weft_profile_options){0}, "wants_it_here", "lets_go_here");
    CHECK_EQ(t.delay, 300 * WEFT_MILLISECOND + SETTLED);
    CHECK_EQ(t.count, 1);
}

NOINLINE void wants_its_own_here(void *m);
NOINLINE void wants_its_own_here(void *m)
{
    weft_mutex_lock(m);
    weft_mutex_unlock(m);
    __asm__ volatile("");
}

TEST(locks_beyond_eight_thousand_are_told_as_one)
{
    enum { LOCKS = 8200 };
    weft_mutex *all = calloc(LOCKS, sizeof(*all));

    if (under_tsan())
        SKIP("TSan has at most some 8,000 tasks");
    weft_profile_set_mutex_rate(1);
    for (int i = 0; i < LOCKS; i++) {
        weft_mutex_lock(&all[i]);
        weft_go(wants_its_own_here, &all[i]);
    }
    settle();
    for (int i = 0; i < LOCKS; i++)
        weft_mutex_unlock(&all[i]);
    settle();
    CHECK_EQ(total_over("contention", "wants_its_own_here", "").count, LOCKS);
    CHECK_EQ(total_over("contention", "wants_its_own_here", "# sync.Mutex.Lock many\n").count, 8);
    free(all);
}

static weft_rwmutex rw = WEFT_RWMUTEX_INIT;

NOINLINE void reads_it_here(void *arg);
NOINLINE void reads_it_here(void *arg)
{
    (void)arg;
    weft_rwmutex_read_lock(&rw);
    weft_rwmutex_read_unlock(&rw);
    __asm__ volatile("");
}

NOINLINE void ends_writing_here(void);
NOINLINE void ends_writing_here(void)
{
    weft_rwmutex_unlock(&rw);
    __asm__ volatile("");
}

TEST(writer_is_charged_with_the_readers)
{
    weft_profile_set_mutex_rate(1);
    weft_rwmutex_lock(&rw);
    go_many(TASKS, reads_it_here, NULL);
    settle();
    weft_sleep(WEFT_SECOND);
    ends_writing_here();
    settle();
    CHECK_EQ(total("mutex", "ends_writing_here").delay, TASKS * (WEFT_SECOND + SETTLED));
}

static weft_cond cond = WEFT_COND_INIT;

NOINLINE void waits_for_cond_here(void *arg);
NOINLINE void waits_for_cond_here(void *arg)
{
    (void)arg;
    weft_mutex_lock(&mutex);
    weft_sleep(WEFT_SECOND);
    weft_cond_wait(&cond, &mutex);
    weft_mutex_unlock(&mutex);
    __asm__ volatile("");
}

TEST(wait_for_a_condition_lets_go_of_the_mutex_where_it_is)
{
    weft_profile_set_mutex_rate(1);
    weft_go(waits_for_cond_here, NULL);
    weft_yield();
    weft_sleep(WEFT_MILLISECOND);
    weft_go(wants_it_here, NULL);
    weft_sleep(2 * WEFT_SECOND);
    CHECK_EQ(total("mutex", "waits_for_cond_here").delay, 999 * WEFT_MILLISECOND);
    weft_cond_signal(&cond);
}

/* Two waits that never end, among others that go on. */
static weft_mutex a = WEFT_MUTEX_INIT, b = WEFT_MUTEX_INIT;

NOINLINE void a_then_b(void *arg);
NOINLINE void b_then_a(void *arg);

NOINLINE void a_then_b(void *arg)
{
    (void)arg;
    weft_mutex_lock(&a);
    weft_sleep(WEFT_MILLISECOND);
    weft_mutex_lock(&b);
    __asm__ volatile("");
}

NOINLINE void b_then_a(void *arg)
{
    (void)arg;
    weft_mutex_lock(&b);
    weft_sleep(WEFT_MILLISECOND);
    weft_mutex_lock(&a);
    __asm__ volatile("");
}

TEST(deadlock_shows_both_sides_though_no_wait_has_ended)
{
    struct total one, other;

    never = weft_chan_new(1, 0);
    go_many(1000, waits_for_ever_here, NULL);
    weft_go(a_then_b, NULL);
    weft_go(b_then_a, NULL);
    weft_sleep(WEFT_SECOND + WEFT_MILLISECOND);
    CHECK_EQ(total("block", "a_then_b").delay, WEFT_SECOND);
    CHECK_EQ(total("block", "b_then_a").delay, WEFT_SECOND);
    CHECK_EQ(total("mutex", "a_then_b").delay, WEFT_SECOND);
    one = total_with("contention", (weft_profile_options){0}, "a_then_b", "b_then_a");
    other = total("contention", "a_then_b");
    CHECK_EQ(one.delay, 2 * WEFT_SECOND);
    CHECK_EQ(other.delay, one.delay);
}

/* A sample begins with the library's call, then its caller, and not with the library's own
 * frames. */
TEST(stacks_begin_with_the_librarys_call)
{
    static const char *const profiles[] = {"mutex", "block"};
    static const char *const begins[] = {"weft_mutex_unlock+", "weft_mutex_lock+"};

    hold_against(1);
    for (int i = 0; i < 2; i++) {
        char *text = profile_text(profiles[i], (weft_profile_options){0});
        char *at = strstr(text, i == 0 ? "lets_go_here" : "wants_it_here");

        CHECK(at != NULL);
        while (strncmp(at, " @ ", 3) != 0)
            at--; /* the record's first line */
        at = strtok(strstr(at, "\n#\t"), "\n");
        CHECK_CONTAINS(at, begins[i]);
        free(text);
    }
}

/* Labels --------------------------------------------------------------------------------------- */

static void hold_a_second(void *arg)
{
    (void)arg;
    weft_mutex_lock(&mutex);
    weft_sleep(WEFT_SECOND);
    lets_go_here();
}

static void hold_as_clerk(void *arg)
{
    weft_labels_do(&(weft_label){"who", "clerk"}, 1, hold_a_second, arg);
}

static void want_as_customer(void *arg)
{
    weft_labels_do(&(weft_label){"who", "customer"}, 1, wants_it_here, arg);
}

static void check_labels(void)
{
    const weft_profile_options o = {0};

    CHECK_EQ(total_with("block", o, "wants_it_here", "# labels: {\"who\":\"customer\"}").count, 1);
    CHECK_EQ(total_with("contention", o, "wants_it_here", "{\"who\":\"customer\"}").count, 1);
}

TEST(waits_have_the_labels_of_who_waited_and_unlocks_of_who_unlocked)
{
    weft_profile_set_block_rate(1);
    weft_profile_set_mutex_rate(1);
    weft_go(hold_as_clerk, NULL);
    weft_yield();
    weft_sleep(WEFT_MILLISECOND);
    weft_go(want_as_customer, NULL);
    weft_sleep(WEFT_MILLISECOND);
    check_labels(); /* while it waits */
    CHECK_EQ(total_with("mutex", (weft_profile_options){0}, "hold_a_second", "clerk").count, 1);
    weft_sleep(WEFT_SECOND);
    check_labels(); /* and when it is over */
    CHECK_EQ(total_over("mutex", "lets_go_here", "{\"who\":\"clerk\"}").delay,
             999 * WEFT_MILLISECOND);
    CHECK_EQ(total_over("mutex", "lets_go_here", "customer").count, 0);
}

static void receive_once(void *c)
{
    weft_chan_recv(c, NULL);
}

enum { NUMBERS = 1600, MANY_NUMBERS = 20000 };

static void receive_with_number(int i, weft_chan *c)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", i);
    weft_labels_do(&(weft_label){"request", text}, 1, receive_once, c);
}

static void receive_numbered(void *c)
{
    static int next; /* one task at a time */

    for (int i = 0; i < MANY_NUMBERS; i++)
        receive_with_number(next++, c);
}

/* Returns the time of the waits of receive_once with this label. */
static long long waits_with(const char *labels)
{
    return total_over("block", "receive_once", labels).count;
}

static void wait_with_number(weft_chan *c)
{
    char byte = 0;

    weft_sleep(WEFT_MILLISECOND);
    weft_chan_send(c, &byte);
}

TEST(labels_beyond_a_thousand_sets_are_told_as_one)
{
    weft_chan *c = weft_chan_new(1, 1);

    weft_profile_set_block_rate(1);
    weft_go(receive_numbered, c);
    for (int i = 0; i < NUMBERS; i++)
        wait_with_number(c);
    settle();
    CHECK_EQ(waits_with("{\"request\":\"511\"}"), 0);
    CHECK_EQ(waits_with("{\"request\":\"512\"}"), 1);
    CHECK_EQ(waits_with("{\"request\":\"1535\"}"), 1);
    CHECK_EQ(waits_with("{\"request\":\"1536\"}"), 0); /* no half may go again so soon */
    CHECK_EQ(waits_with("{\"labels\":\"too many\"}"), 512 + NUMBERS - 1536);
    CHECK_EQ(waits_with(""), NUMBERS);
    CHECK_EQ(weft__labelset_gone(), 512);
}

/* Each set of labels is another entry of the table, which has room for 16,384. */
TEST(sets_that_went_make_room_in_the_tables)
{
    weft_chan *c = weft_chan_new(1, 1);
    char last[40];

    weft__labelset_least = 0;
    weft_profile_set_block_rate(1);
    weft_go(receive_numbered, c);
    for (int i = 0; i < MANY_NUMBERS; i++)
        wait_with_number(c);
    settle();
    while (weft__tables_count(WEFT__RECORDED_BLOCK) > 8192) /* a thread replaces them */
        weft_yield();
    snprintf(last, sizeof(last), "{\"request\":\"%d\"}", MANY_NUMBERS - 1);
    CHECK_EQ(waits_with(last), 1);
    CHECK_EQ(waits_with(""), MANY_NUMBERS);
    CHECK(waits_with("{\"labels\":\"too many\"}") >= MANY_NUMBERS - 1024);
}

TEST(stacks_beyond_a_bound_are_told_as_one)
{
    enum { MOST = 100, ALL = 1000 };
    weft__buckets *kept = weft__buckets_new(2);
    struct weft__walk *w = calloc(1, sizeof(*w));
    struct weft__bucket *all;
    int64_t sum = 0;
    size_t n;

    CHECK(weft__buckets_limit(kept, MOST, w));
    for (uintptr_t i = 1; i <= ALL; i++) {
        weft__walk_set(w, &i, 1);
        weft__buckets_add(kept, w, (int64_t[]){1, 2});
    }
    all = weft__buckets_read(kept, 1, &n);
    for (size_t i = 0; i < n; i++)
        sum += all[i].values[0];
    CHECK_EQ(n, MOST);
    CHECK_EQ(all[0].stack->kept, 0);
    CHECK_EQ(all[0].values[0], ALL - MOST + 1);
    CHECK_EQ(all[0].values[1], 2 * (ALL - MOST + 1));
    CHECK_EQ(sum, ALL);
    free(all);
    free(w);
    weft__buckets_free(kept);
}

/* The change in a time ------------------------------------------------------------------------- */

/* Keeps so many sets that were never seen before that all others go. */
static void make_all_sets_go(void)
{
    for (uint64_t i = 0; i < 2 * WEFT__LABELSETS; i++) {
        weft__tags *set = weft__alloc(1, sizeof(*set) + sizeof(set->labels[0]) + 24);
        char *value = (char *)&set->labels[1];

        snprintf(value, 24, "%" PRIu64, i);
        set->refs = set->n = 1;
        set->hash = i;
        set->set = set;
        set->labels[0] = (weft_label){"new", value};
        weft__labelset_keep(set);
        weft__tags_drop(set);
    }
}

bool __real_weft__samples_add(weft__buckets *to, const weft__buckets *from, int times);
bool __wrap_weft__samples_add(weft__buckets *to, const weft__buckets *from, int times);

static bool go_before_taking_away;

bool __wrap_weft__samples_add(weft__buckets *to, const weft__buckets *from, int times)
{
    if (times < 0 && go_before_taking_away) {
        go_before_taking_away = false;
        make_all_sets_go();
    }
    return __real_weft__samples_add(to, from, times);
}

/* One wait of a second in receive_once. */
static void wait_a_second(void)
{
    weft_chan *c = weft_chan_new(1, 1);
    char byte = 0;

    weft_go(receive_once, c);
    weft_yield();
    weft_sleep(WEFT_SECOND);
    weft_chan_send(c, &byte);
    settle();
    weft_chan_free(c);
}

TEST(deltas_have_what_came_since_the_last)
{
    weft_profile_set_block_rate(1);
    wait_a_second();
    wait_a_second();
    CHECK_EQ(total("delta_block", "receive_once").count, 2);
    CHECK_EQ(total("delta_block", "receive_once").count, 0);
    wait_a_second();
    CHECK_EQ(total("block", "receive_once").count, 3);
    CHECK_EQ(total("delta_block", "receive_once").count, 1);
}

TEST(mutex_has_its_own_deltas)
{
    hold_against(1);
    CHECK_EQ(total("delta_block", "wants_it_here").count, 1);
    CHECK_EQ(total("delta_mutex", "lets_go_here").delay, 300 * WEFT_MILLISECOND + SETTLED);
    CHECK_EQ(total("delta_mutex", "lets_go_here").count, 0);
}

static void write_change(void *fd)
{
    weft_profile_options o = {.over = 10 * WEFT_SECOND};

    CHECK_EQ(weft_profile_write(*(int *)fd, "block", &o), 0);
    *(int *)fd = -1;
}

/* The view of before has the sets as they were, the new one has {labels: too many}. */
TEST(sets_that_go_while_a_difference_is_taken_leave_no_rows)
{
    enum { SETS = 100 };
    weft_chan *c = weft_chan_new(1, 1);
    weft_profile_options as_text = {.text = true};
    char *text;

    weft__labelset_least = 0;
    weft_profile_set_block_rate(1);
    weft_go(receive_numbered, c);
    for (int i = 0; i < SETS; i++)
        wait_with_number(c);
    settle();
    weft_profile_set_block_rate(0);
    free(profile_text("delta_block", as_text));
    go_before_taking_away = true;
    text = profile_text("delta_block", as_text);
    CHECK(!go_before_taking_away);
    CHECK_STR(text, "--- contention:\ncycles/second=1000000000\n");
    free(text);
}

TEST(profile_over_a_time_waits_for_it)
{
    int fd = memfd_create("profile", MFD_CLOEXEC);
    weft_time start = weft_now();

    weft_go(write_change, &fd);
    while (fd >= 0)
        weft_sleep(WEFT_SECOND);
    CHECK(weft_now() - start >= 10 * WEFT_SECOND);
}

/* The call ------------------------------------------------------------------------------------- */

TEST(profile_of_no_name_is_invalid)
{
    CHECK_EQ(weft_profile_write(1, "blocks", NULL), WEFT_EINVAL);
    CHECK_EQ(weft_profile_write(-1, "block", NULL), -9);
}

TEST(option_that_a_profile_does_not_have_is_invalid)
{
    weft_profile_options text = {.text = true, .over = 1}, over = {.over = 1}, back = {.over = -1};

    CHECK_EQ(weft_profile_write(1, "block", &text), WEFT_EINVAL);
    CHECK_EQ(weft_profile_write(1, "block", &back), WEFT_EINVAL);
    CHECK_EQ(weft_profile_write(1, "delta_block", &over), WEFT_EINVAL);
}

static char *in_form(const char *name, enum weft_profile_form form)
{
    int fd = memfd_create("profile", MFD_CLOEXEC);

    CHECK_EQ(weft_profile_write(fd, name, &(weft_profile_options){.form = form}), 0);
    return contents(fd);
}

TEST(profile_is_written_in_each_form)
{
    weft_profile_options both = {.text = true, .form = WEFT_PROFILE_HTML};
    weft_profile_options none = {.form = WEFT_PROFILE_HTML + 1};
    char *folded = in_form("goroutine", WEFT_PROFILE_FOLDED);
    char *page = in_form("goroutine", WEFT_PROFILE_HTML);
    char *pprof = in_form("block", WEFT_PROFILE_PPROF);

    CHECK_CONTAINS(folded, ";in_form;weft_profile_write;");
    CHECK(strncmp(page, "<!DOCTYPE html>\n", 16) == 0);
    CHECK_CONTAINS(page, "weft_profile_write");
    CHECK(!strstr(page, "id=\"server\""));
    CHECK(memcmp(pprof, "\x1f\x8b", 2) == 0);
    CHECK_EQ(weft_profile_write(1, "block", &both), WEFT_EINVAL);
    CHECK_EQ(weft_profile_write(1, "block", &none), WEFT_EINVAL);
    free(folded);
    free(page);
    free(pprof);
}

static int write_in_group(void *arg)
{
    weft_profile_options o = {.over = WEFT_SECOND};

    (void)arg;
    CHECK_EQ(weft_profile_write(1, "block", &o), WEFT_ECANCELED);
    CHECK_EQ(weft_profile_write(1, "fgprof", &o), WEFT_ECANCELED);
    return 0;
}

TEST(cancellation_ends_the_wait_for_a_profile)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_group_go(&g, write_in_group, NULL);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), 0);
}

TEST_PLAIN(profile_outside_a_run_is_invalid)
{
    CHECK_EQ(weft_profile_write(1, "block", NULL), WEFT_EINVAL);
}
