/* SPDX-License-Identifier: MIT */
/* test_cpu_truth.c - the samples of CPU time against the clocks of threads and of the process, for
 * seconds: shares within 5 points, sums within a twentieth, and 99 of 100 stacks complete in code
 * of others that keeps no frame pointers. Each test uses some 10 s of CPU. */
#include "burn.h"
#include "support.h"

#include "profiles/cpu/cpu.h"
#include "profiles/walk/symbolize.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define SECOND INT64_C(1000000000)

static int64_t process_used(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * SECOND +
           (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * INT64_C(1000);
}

static uint64_t most, some; /* periods */
static struct weft__cpu_counts counts;

static void on_sample(struct weft__cpu_sink *s, const struct weft__cpu_sample *one)
{
    (void)s;
    for (uint32_t i = 0; i < one->walk->kept; i++) {
        const struct weft__symbol *symbol = weft__symbolize(one->walk->pcs[i] - 1);
        const char *name = symbol->frames[symbol->n - 1].function;

        most += strcmp(name, "burns_most") == 0 ? one->weight : 0;
        some += strcmp(name, "burns_some") == 0 ? one->weight : 0;
    }
}

static struct weft__cpu_sink sink = {.sample = on_sample};

static void check_near(const char *of, double said, double is, double off)
{
    fprintf(stderr, "# %s: the samples say %.4f, the clocks %.4f\n", of, said, is);
    CHECK(said > is - off && said < is + off);
}

TEST(shares_are_right_within_five_points)
{
    uint64_t random = 88172645463325252u;
    int64_t a = 0, b = 0;

    CHECK_EQ(weft__cpu_start(&sink, HZ), 0);
    while (a + b < 10 * SECOND) {
        int64_t ns;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        ns = (int64_t)(random % (20 * MS)); /* so that no beat with the timer arises */
        if ((random >> 32) % 4 > 0) {
            burns_most(ns);
            a += ns;
        } else {
            burns_some(ns);
            b += ns;
        }
        weft_yield();
    }
    weft__cpu_stop(&counts);
    check_near("share", (double)most / (double)(most + some), (double)a / (double)(a + b), 0.05);
}

static atomic_int left;

static void burn_two_seconds(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        burn(20 * MS);
        weft_yield();
    }
    atomic_fetch_sub(&left, 1);
}

TEST(the_sum_of_tasks_is_that_of_getrusage)
{
    int64_t before = process_used(), used;

    CHECK_EQ(weft__cpu_start(&sink, HZ), 0);
    atomic_store(&left, 4);
    go_many(4, burn_two_seconds, NULL);
    while (atomic_load(&left) > 0)
        weft_sleep(10 * WEFT_MILLISECOND);
    weft__cpu_stop(&counts);
    used = process_used() - before;
    check_near("sum", (double)counts.weight * PERIOD / SECOND, (double)used / SECOND,
               (double)used / SECOND / 20);
    CHECK_EQ(counts.lost, 0);
}

static void *live_shortly(void *arg)
{
    burn(3 * MS);
    return arg;
}

/* The sum that the profile shows has weft.unsampled, which makes up for the threads that end before
 * they have a timer. No time is counted twice. */
TEST(a_thousand_short_threads_are_in_the_sum)
{
    int64_t before = process_used(), used;
    double sampled;

    CHECK_EQ(weft__cpu_start(&sink, HZ), 0);
    for (int i = 0; i < 1000; i++) {
        pthread_t thread;

        CHECK_EQ(pthread_create(&thread, NULL, live_shortly, NULL), 0);
        weft_blocking_begin();
        pthread_join(thread, NULL);
        weft_blocking_end();
    }
    weft__cpu_stop(&counts);
    used = process_used() - before;
    sampled = (double)(counts.weight + counts.lost) * PERIOD / SECOND;
    check_near("process", (double)counts.cpu / SECOND, (double)used / SECOND,
               (double)used / SECOND / 20);
    fprintf(stderr, "# of which %.2f s have samples\n", sampled);
    CHECK(sampled < (double)used / SECOND * 1.05);
}

/* ---- code of others ---- */

typedef unsigned char *digest(const unsigned char *data, size_t n, unsigned char *to);

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void sort(void)
{
    static int numbers[20000];

    for (int i = 0; i < 20000; i++)
        numbers[i] = (i * 7919) % 20011;
    qsort(numbers, 20000, sizeof(int), compare);
}

static void query(sqlite3 *db)
{
    CHECK_EQ(sqlite3_exec(db,
                          "DELETE FROM t; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                          "FROM n WHERE i < 3000) INSERT INTO t SELECT i, hex(i) || i FROM n; "
                          "SELECT count(*), max(s) FROM t WHERE s LIKE '%3%' ORDER BY s",
                          NULL, NULL, NULL),
             SQLITE_OK);
}

static void work_of_others(void *arg)
{
    static unsigned char data[1 << 18], to[64];
    void *crypto = dlopen("libcrypto.so.3", RTLD_NOW);
    digest *sha256 = NULL;
    sqlite3 *db;

    if (crypto)
        *(void **)&sha256 = dlsym(crypto, "SHA256");
    CHECK_EQ(sqlite3_open(":memory:", &db), SQLITE_OK);
    sqlite3_exec(db, "CREATE TABLE t(i, s)", NULL, NULL, NULL);
    for (int64_t end = clock_of(CLOCK_PROCESS_CPUTIME_ID) + 10 * SECOND;
         clock_of(CLOCK_PROCESS_CPUTIME_ID) < end;) {
        sort();
        query(db);
        for (int i = 0; i < 20 && sha256; i++)
            sha256(data, sizeof(data), to);
    }
    sqlite3_close(db);
    *(atomic_int *)arg = 1;
}

TEST(stacks_in_code_of_others_are_complete)
{
    static atomic_int done;
    weft_go_options o = {.stack_size = 1 << 20};
    uint64_t all;

    CHECK_EQ(weft__cpu_start(&sink, HZ), 0);
    weft_go_with(&o, work_of_others, &done);
    while (!atomic_load(&done))
        weft_sleep(10 * WEFT_MILLISECOND);
    weft__cpu_stop(&counts);
    all = counts.whole + counts.deferred + counts.cut;
    fprintf(stderr, "# of %d stacks %d were complete, %d were finished later, %d are cut\n",
            (int)all, (int)counts.whole, (int)counts.deferred, (int)counts.cut);
    CHECK(all > 500);
    CHECK(counts.cut * 100 <= all);
}
