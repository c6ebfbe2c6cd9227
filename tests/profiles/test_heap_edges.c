/* SPDX-License-Identifier: MIT */
/* test_heap_edges.c - the heap profile where malloc is called in unusual places: many threads, a
 * child of fork, signal handlers, the end of threads and of the process, little memory. */
#include "heap_text.h"
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

enum { THREADS = 1000, EACH = 10, SIZE = 100 };

static void *blocks[THREADS][EACH];

NOINLINE static void grows(void **to, int n, size_t size)
{
    for (int i = 0; i < n; i++)
        to[i] = malloc(size);
    __asm__ volatile("");
}

static void *of_thread(void *to)
{
    void *passing[EACH];

    grows(to, EACH, SIZE);
    grows(passing, EACH, SIZE);
    for (int i = 0; i < EACH; i++)
        free(passing[i]);
    return NULL;
}

TEST(thousand_threads_are_counted_exactly)
{
    int n = under_asan() || under_tsan() ? 100 : THREADS;
    pthread_t threads[THREADS];
    pthread_attr_t small;

    heap_exact();
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 * 1024);
    weft_blocking_begin();
    for (int i = 0; i < n; i++)
        CHECK_EQ(pthread_create(&threads[i], &small, of_thread, blocks[i]), 0);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    weft_blocking_end();
    heap_check("of_thread", n * EACH, n * EACH * SIZE, 2LL * n * EACH, 2LL * n * EACH * SIZE);
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < EACH; k++)
            free(blocks[i][k]);
    }
    heap_check("of_thread", 0, 0, 2LL * n * EACH, 2LL * n * EACH * SIZE);
}

/* Blocks that one task allocates and another frees, on all processors. */
enum { ROUNDS = 2000 };

static void sender(void *to)
{
    for (int i = 0; i < ROUNDS; i++) {
        void *p;

        grows(&p, 1, (size_t)i % 300 + 1);
        weft_chan_send(to, &p);
    }
}

static void receiver(void *from)
{
    void *p;

    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(weft_chan_recv(from, &p), 0);
        free(p);
    }
}

TEST(blocks_that_change_hands_leave_nothing)
{
    weft_chan *c = weft_chan_new(sizeof(void *), 10);
    weft_group g = WEFT_GROUP_INIT;
    struct heap_sums s;

    heap_exact();
    for (int i = 0; i < 4; i++) {
        weft_group_go(&g, sender, c);
        weft_group_go(&g, receiver, c);
    }
    weft_group_wait(&g);
    s = heap_sums_now("grows");
    CHECK_EQ(s.live, 0);
    CHECK_EQ(s.live_bytes, 0);
    CHECK(s.allocs > 0);
    weft_chan_free(c);
}

static int in_a_run(void *arg)
{
    (void)arg;
    heap_check("grows", EACH, EACH * SIZE, 2 * EACH, 2 * EACH * SIZE);
    return 0;
}

TEST_PLAIN(child_of_fork_goes_on_with_the_samples)
{
    int status;
    pid_t child;

    heap_exact();
    grows(blocks[0], EACH, SIZE);
    child = fork();
    if (child == 0) {
        grows(blocks[1], EACH, SIZE);
        for (int i = 0; i < EACH; i++)
            free(blocks[0][i]);
        _exit(weft_run(in_a_run, NULL));
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

NOINLINE static void on_signal(int signal)
{
    (void)signal;
    grows(blocks[2], 1, 3 * SIZE);
}

TEST(signal_handler_on_its_own_stack_may_allocate)
{
    stack_t mine = {.ss_size = 1 << 16};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK}, before;
    stack_t old;

    if (under_tsan())
        SKIP("its hooks are off in signal handlers");
    mine.ss_sp = malloc(mine.ss_size);
    CHECK_EQ(sigaltstack(&mine, &old), 0);
    CHECK_EQ(sigaction(SIGUSR2, &action, &before), 0);
    heap_exact();
    raise(SIGUSR2);
    heap_check("on_signal", 1, 3 * SIZE, 1, 3 * SIZE);
    sigaltstack(&old, NULL);
    free(blocks[2][0]);
    free(mine.ss_sp);
}

static pthread_key_t key;

static void at_thread_end(void *p)
{
    free(p);
    grows(blocks[3], 1, SIZE);
}

static void *has_a_destructor(void *arg)
{
    pthread_setspecific(key, malloc(SIZE));
    return arg;
}

TEST(destructors_of_threads_may_allocate)
{
    pthread_t thread;

    heap_exact();
    CHECK_EQ(pthread_key_create(&key, at_thread_end), 0);
    CHECK_EQ(pthread_create(&thread, NULL, has_a_destructor, NULL), 0);
    weft_blocking_begin();
    pthread_join(thread, NULL);
    weft_blocking_end();
    heap_check("at_thread_end", 1, SIZE, 1, SIZE);
    heap_check("has_a_destructor", 0, 0, 1, SIZE);
    free(blocks[3][0]);
}

static void at_exit(void)
{
    for (int i = 0; i < 10000; i++) {
        grows(blocks[4], EACH, (size_t)i);
        for (int k = 0; k < EACH; k++)
            free(blocks[4][k]);
    }
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void ends(void)
{
    atexit(at_exit);
    weft_run(nothing, NULL);
    exit(3);
}

TEST_PLAIN(exit_handlers_may_allocate)
{
    char err[4096];

    CHECK_EQ(in_child(ends, err, sizeof(err)), 3);
    CHECK_STR(err, "");
}

/* With the memory nearly used up, malloc fails as it would, and the samples stay right. */
TEST_PLAIN(little_address_space_ends_no_program)
{
    static void *large[THREADS];
    struct rlimit limit = {.rlim_cur = 512 << 20, .rlim_max = RLIM_INFINITY};
    int n = 0;

    if (under_asan() || under_tsan())
        SKIP("sanitizers reserve more");
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    while (n < THREADS && (large[n] = malloc(1 << 20)) != NULL)
        n++;
    CHECK(n < THREADS && n > 100);
    for (int i = 0; i < n; i++)
        large[i] = realloc(large[i], 1000);
    for (int i = 0; i < n; i++)
        free(large[i]);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_AS, &limit);
    CHECK_EQ(weft_run(nothing, NULL), 0);
}

/* Objects in an arena -------------------------------------------------------------------------- */

NOINLINE static void cuts(char *arena, int n)
{
    for (int i = 0; i < n; i++)
        weft_heap_alloc(arena + i * 16, 16);
    __asm__ volatile("");
}

TEST(objects_of_an_arena_count_beside_their_block)
{
    static char *arena;

    heap_exact();
    grows(&blocks[5][0], 1, 1600);
    arena = blocks[5][0];
    cuts(arena, 100);
    heap_check("cuts", 100, 1600, 100, 1600);
    for (int i = 0; i < 50; i++)
        weft_heap_free(arena + i * 16);
    heap_check("cuts", 50, 800, 100, 1600);
    for (int i = 50; i < 100; i++)
        weft_heap_free(arena + i * 16);
    free(arena);
    heap_check("cuts", 0, 0, 100, 1600);
    heap_check("grows", 0, 0, 1, 1600);
}
