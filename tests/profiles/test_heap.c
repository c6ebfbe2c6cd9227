/* SPDX-License-Identifier: MIT */
/* test_heap.c - the heap profile: its samples are the program's blocks, with stacks and labels, and
 * malloc and its relatives do what they do without it. */
#include "heap_text.h"
#include "support.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

enum { MANY = 4000, BLOCK = 16384 };

static void *blocks[MANY];

static void free_all(int n)
{
    for (int i = 0; i < n; i++)
        free(blocks[i]);
}

NOINLINE void grows_here(int n, size_t size);
NOINLINE void grows_there(int n, size_t size);

NOINLINE void grows_here(int n, size_t size)
{
    for (int i = 0; i < n; i++)
        blocks[i] = malloc(size);
    __asm__ volatile("");
}

NOINLINE void grows_there(int n, size_t size)
{
    for (int i = 0; i < n; i++)
        blocks[MANY - 1 - i] = malloc(size);
    __asm__ volatile("");
}

/* Rate 1 --------------------------------------------------------------------------------------- */

TEST(at_rate_1_all_is_exact_to_the_byte)
{
    heap_exact();
    grows_here(1000, 24);
    heap_check("grows_here", 1000, 24000, 1000, 24000);
    free_all(300);
    heap_check("grows_here", 700, 16800, 1000, 24000);
    heap_exact();
    grows_here(300, 7);
    heap_check("grows_here", 1000, 18900, 1300, 26100);
    free_all(1000);
    heap_check("grows_here", 0, 0, 1300, 26100);
}

NOINLINE static void one_of_each(void)
{
    blocks[0] = malloc(10);
    blocks[1] = calloc(5, 20);
    blocks[2] = realloc(NULL, 1000);
    blocks[3] = aligned_alloc(64, 10048);
    blocks[4] = memalign(256, 100000);
    CHECK_EQ(posix_memalign(&blocks[5], 8192, 1000000), 0);
    blocks[6] = strdup("123456789");
    blocks[7] = malloc(0);
    blocks[8] = valloc(10000000);
    __asm__ volatile("");
}

TEST(each_function_of_malloc_is_seen)
{
    long long bytes = 11111168 + under_asan(); /* which allocates 1 byte for 0 */

    if (under_tsan())
        SKIP("its hooks see no memalign");
    heap_exact();
    one_of_each();
    heap_check("one_of_each", 9, bytes, 9, bytes);
    free_all(9);
    heap_check("one_of_each", 0, 0, 9, bytes);
}

NOINLINE static void chain(void)
{
    char *p = NULL;

    for (size_t n = 1; n <= 1 << 20; n *= 2) {
        p = realloc(p, n);
        memset(p + n / 2, (int)(n % 251), n - n / 2);
    }
    for (size_t n = 1; n <= 1 << 20; n *= 2)
        CHECK_EQ((unsigned char)p[n / 2], n % 251);
    blocks[0] = p;
    __asm__ volatile("");
}

TEST(realloc_is_a_free_and_an_allocation)
{
    heap_exact();
    chain();
    heap_check("chain", 1, 1 << 20, 21, (1 << 21) - 1);
    blocks[0] = realloc(blocks[0], 0);
    heap_check("chain", 0, 0, 21, (1 << 21) - 1);
}

/* Sanitizers end the program, or have other ends, where malloc would return NULL. */
static void needs_malloc_itself(void)
{
    if (under_asan() || under_tsan())
        SKIP("sanitizers have a malloc of their own");
}

NOINLINE static void keeps_one(void)
{
    volatile size_t too_much = SIZE_MAX / 2;

    blocks[0] = malloc(100);
    CHECK(realloc(blocks[0], too_much) == NULL);
    __asm__ volatile("");
}

TEST(block_that_realloc_could_not_move_stays)
{
    needs_malloc_itself();
    heap_exact();
    keeps_one();
    heap_check("keeps_one", 1, 100, 1, 100);
    free_all(1);
    heap_check("keeps_one", 0, 0, 1, 100);
}

/* Sampling ------------------------------------------------------------------------------------- */

/* Checks an estimate against a count of n blocks, each of which is a sample with that chance: five
 * standard deviations are exceeded once in 1.7 million runs. */
static void check_near(long long samples, long long n, double chance)
{
    double off = (double)samples - (double)n * chance, variance = (double)n * chance * (1 - chance);

    if (off * off > 25 * variance)
        FAIL("%lld samples of %lld blocks, of which %.1f were expected", samples, n,
             (double)n * chance);
}

/* 1 - exp(-16384 / 524288) */
static const double chance_of_block = 0.030766766;

TEST(samples_are_in_proportion)
{
    struct heap_sums here, there;

    grows_here(3000, BLOCK);
    grows_there(1000, BLOCK);
    here = heap_sums_now("grows_here");
    there = heap_sums_now("grows_there");
    check_near(here.live, 3000, chance_of_block);
    check_near(there.live, 1000, chance_of_block);
    CHECK_EQ(here.live_bytes, here.live * BLOCK);
    free_all(2000);
    CHECK(heap_sums_now("grows_here").live < here.live);
    CHECK_EQ(heap_sums_now("grows_there").live, there.live);
    for (int i = 2000; i < MANY; i++)
        free(blocks[i]);
    heap_check("grows_here", 0, 0, here.allocs, here.alloc_bytes);
    heap_check("grows_there", 0, 0, there.allocs, there.alloc_bytes);
}

/* The blocks of a rate of one in two samples are real blocks: as large, as aligned, as zero as
 * others. */
static void check_block(void *p, size_t n, size_t align, bool zero)
{
    unsigned char *bytes = p;

    CHECK(p != NULL);
    CHECK_EQ((uintptr_t)p % align, 0);
    CHECK(malloc_usable_size(p) >= n);
    for (size_t i = 0; zero && i < n; i++)
        CHECK_EQ(bytes[i], 0);
    memset(p, 0x5a, n);
}

TEST(sampled_blocks_are_like_others)
{
    weft_profile_set_heap_rate(64 * 1024);
    for (size_t n = 1; n < 2000000; n += n / 3 + 1) {
        void *p = NULL;

        check_block(p = malloc(n), n, 16, false);
        check_block(p = realloc(p, 2 * n), 2 * n, 16, false);
        CHECK_EQ(*((unsigned char *)p + n - 1), 0x5a);
        free(p);
        check_block(p = calloc(n, 1), n, 16, true);
        free(p);
        check_block(p = memalign(32768, n), n, 32768, false);
        free(p);
    }
}

TEST_PLAIN(errors_of_malloc_are_its_own)
{
    /* Compilers know malloc: clang takes one whose block is not used away. */
    void *(*volatile allocate)(size_t n) = malloc;
    void *(*volatile allocate_zeros)(size_t n, size_t size) = calloc;
    volatile size_t too_much = SIZE_MAX - 64;
    void *p = blocks;

    needs_malloc_itself();
    heap_exact();
    errno = 0;
    CHECK(allocate(too_much) == NULL);
    CHECK_EQ(errno, ENOMEM);
    errno = 0;
    CHECK(allocate_zeros(too_much, 3) == NULL);
    CHECK_EQ(errno, ENOMEM);
    CHECK_EQ(posix_memalign(&p, 24, 8), EINVAL);
    CHECK(p == blocks);
    free(NULL);
    errno = 7;
    free(malloc(1));
    CHECK_EQ(errno, 7);
}

/* Stacks and labels ---------------------------------------------------------------------------- */

static void labelled(void *arg)
{
    (void)arg;
    grows_here(1, 1000);
}

TEST(samples_have_the_labels_of_their_task)
{
    const weft_label label = {"user", "ann"};
    char *text;

    heap_exact();
    CHECK_EQ(weft_labels_do(&label, 1, labelled, NULL), 0);
    text = heap_text();
    CHECK_CONTAINS(text, "# labels: {\"user\":\"ann\"}\n#\t");
    CHECK_EQ(heap_sums_of(text, "labelled").live, 1);
    free(text);
    free_all(1);
}

static void *foreign(void *arg)
{
    grows_there(1, 5000);
    return arg;
}

TEST(blocks_of_other_threads_have_whole_stacks)
{
    pthread_t thread;

    heap_exact();
    CHECK_EQ(pthread_create(&thread, NULL, foreign, NULL), 0);
    weft_blocking_begin();
    pthread_join(thread, NULL);
    weft_blocking_end();
    CHECK_EQ(heap_sums_now("foreign").live_bytes, 5000);
    CHECK_EQ(heap_sums_now("start_thread").live_bytes >= 5000, 1);
    free(blocks[MANY - 1]);
}

static int after_main(void *arg)
{
    (void)arg;
    heap_check("before_run", 3, 300, 3, 300);
    return 0;
}

NOINLINE static void before_run(void)
{
    grows_here(3, 100);
    __asm__ volatile("");
}

TEST_PLAIN(blocks_from_before_the_run_are_seen)
{
    heap_exact();
    before_run();
    CHECK_EQ(weft_run(after_main, NULL), 0);
}

/* Views ---------------------------------------------------------------------------------------- */

static struct heap_sums sums_of_age(weft_duration age)
{
    char *text = profile_text("heap", (weft_profile_options){.age = age});
    struct heap_sums s = heap_sums_of(text, "grows_here");

    free(text);
    return s;
}

TEST(age_leaves_out_younger_blocks)
{
    struct heap_sums s;

    heap_exact();
    grows_here(10, 100);
    weft_sleep(5 * WEFT_MILLISECOND);
    free_all(3);
    weft_profile_set_heap_rate(512 * 1024);
    CHECK_EQ(sums_of_age(3600 * WEFT_SECOND).allocs, 0);
    s = sums_of_age(WEFT_MILLISECOND);
    CHECK_EQ(s.live, 7);
    CHECK_EQ(s.live_bytes, 700);
    CHECK_EQ(s.allocs, 7);
    CHECK_EQ(weft_profile_write(1, "heap", &(weft_profile_options){.age = -1}), WEFT_EINVAL);
}

static struct heap_sums sums_of_delta(void)
{
    char *text = profile_text("delta_heap", (weft_profile_options){0});
    struct heap_sums s = heap_sums_of(text, "grows_here");

    free(text);
    return s;
}

TEST(delta_heap_has_the_change)
{
    struct heap_sums s;

    heap_exact();
    grows_here(10, 100);
    weft_profile_set_heap_rate(512 * 1024);
    CHECK_EQ(sums_of_delta().live, 10);
    free_all(4);
    s = sums_of_delta();
    CHECK_EQ(s.live, -4);
    CHECK_EQ(s.live_bytes, -400);
    CHECK_EQ(s.allocs, 0);
    CHECK_EQ(sums_of_delta().live, 0);
}

/* The text ------------------------------------------------------------------------------------- */

TEST(text_is_as_gos_with_memstats)
{
    char *text = profile_text("allocs", (weft_profile_options){0});
    long long n[4], rate;

    CHECK_EQ(sscanf(text, "heap profile: %lld: %lld [%lld: %lld] @ heap/%lld\n", &n[0], &n[1],
                    &n[2], &n[3], &rate),
             5);
    CHECK_EQ(rate, 2 * 512 * 1024);
    CHECK_CONTAINS(text, "\n\n# runtime.MemStats\n# Alloc = ");
    CHECK_CONTAINS(text, "\n# GCCPUFraction = 0\n# DebugGC = false\n# MaxRSS = ");
    CHECK_CONTAINS(text, "\n# weft: heap profile sampling: ");
    free(text);
}

TEST(off_takes_no_samples)
{
    char *text;

    weft_profile_set_heap_rate(0);
    grows_here(MANY, BLOCK);
    text = profile_text("heap", (weft_profile_options){0});
    CHECK_EQ(heap_sums_of(text, "grows_here").allocs, 0);
    CHECK_CONTAINS(text, "\n# weft: heap profile off: unset WEFT_HEAP_RATE, or call ");
    free(text);
    free_all(MANY);
}
