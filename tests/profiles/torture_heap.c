/* SPDX-License-Identifier: MIT */
/* torture_heap.c - tasks and foreign threads allocate, move and free each other's blocks while the
 * rate changes and profiles are taken: `torture_heap SECONDS SEED`.
 *
 * When all blocks are freed, no sample of theirs may be live, whatever the rate was. */
#include "torture.h"

#include "profiles/heap/stacks.h"
#include "runtime/base/atomic.h"

#include <weft.h>

#include <fcntl.h>
#include <string.h>

enum { ACTORS = 16, THREADS = 4, SLOTS = 500, LARGEST = 20000, NEAR = 16, CODE = 512 };

static void *slots[SLOTS];          /* atomic: each block belongs to the slot that it is in */
static uint64_t allocated, written; /* atomic */

__attribute__((noinline)) static void *grow(void *p, size_t n, unsigned how)
{
    void *q = NULL;

    switch (how) {
    case 0:
        q = calloc(1, n);
        free(p);
        break;
    case 1:
        q = realloc(p, n);
        break;
    case 2:
        EXPECT(posix_memalign(&q, 256, n) == 0);
        free(p);
        break;
    default:
        q = malloc(n);
        free(p);
    }
    EXPECT(q);
    memset(q, 1, n);
    __asm__ volatile("");
    return q;
}

static void replace(uint64_t *r)
{
    void **slot = &slots[torture_random(r, SLOTS)];
    void *p = weft__xchg(slot, NULL);

    p = grow(p, 1 + torture_random(r, LARGEST), torture_random(r, 4));
    free(weft__xchg(slot, p));
    torture_add(&allocated, 1);
}

static void replace_some(void *r)
{
    for (int i = 0; i < 50; i++)
        replace(r);
    weft_yield();
}

static void actor(void *number)
{
    uint64_t r = torture_seed((uintptr_t)number);
    char value[8];
    weft_label label = {"actor", value};

    while (!torture_stops()) {
        snprintf(value, sizeof(value), "%u", torture_random(&r, 2000));
        EXPECT(weft_labels_do(&label, 1, replace_some, &r) == 0);
    }
}

static void *outsider(void *number)
{
    uint64_t r = torture_seed((uintptr_t)number);

    while (!torture_stops())
        replace(&r);
    return NULL;
}

static void change_rates(void *arg)
{
    static const int64_t rates[] = {1, 1000, 70000, 0, 512 * 1024};
    uint64_t r = torture_seed(1000);

    (void)arg;
    while (!torture_stops()) {
        weft_profile_set_heap_rate(rates[torture_random(&r, 5)]);
        weft_sleep(torture_random(&r, 20) * WEFT_MILLISECOND);
    }
}

static void write_often(void *arg)
{
    static const char *const names[] = {"heap", "allocs", "delta_heap"};
    uint64_t r = torture_seed(1001);
    int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)arg;
    while (!torture_stops()) {
        weft_profile_options o = {.age = torture_random(&r, 3) * WEFT_MILLISECOND};

        EXPECT(weft_profile_write(sink, names[torture_random(&r, 3)], &o) == 0);
        torture_add(&written, 1);
        weft_sleep(10 * WEFT_MILLISECOND);
    }
    close(sink);
}

static void join(void *threads)
{
    for (int i = 0; i < THREADS; i++)
        pthread_join(((pthread_t *)threads)[i], NULL);
}

static int play(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;
    pthread_t threads[THREADS];

    (void)arg;
    for (uintptr_t i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, outsider, (void *)(i + 500)) == 0);
    for (uintptr_t i = 0; i < ACTORS; i++)
        weft_group_go(&g, actor, (void *)i);
    weft_group_go(&g, change_rates, NULL);
    weft_group_go(&g, write_often, NULL);
    weft_blocking(join, threads);
    EXPECT(weft_group_join(&g) == 0);
    return 0;
}

/* Returns whether grow allocated the samples of this stack. */
static bool is_ours(const struct weft__heap_stack *s)
{
    for (uint32_t i = 0; i < s->n && i < NEAR; i++) {
        if (s->pcs[i] - (uintptr_t)grow < CODE)
            return true;
    }
    return false;
}

static void check_none_is_live(void)
{
    const struct weft__heap_stack *s = NULL;
    int64_t allocs = 0;

    while ((s = weft__heap_stack_next(s)) != NULL) {
        if (!is_ours(s))
            continue;
        allocs += s->sums[WEFT__HEAP_ALLOCS];
        for (int i = WEFT__HEAP_LIVE; i < WEFT__HEAP_SUMS; i += WEFT__HEAP_SAMPLED) {
            EXPECT(s->sums[i] == 0);
            EXPECT(s->sums[i + 1] == 0);
        }
    }
    EXPECT(allocs > 0);
}

int main(int argc, char **argv)
{
    torture_begin(argc, argv);
    weft_run(play, NULL);
    torture_end();
    for (int i = 0; i < SLOTS; i++)
        free(slots[i]);
    check_none_is_live();
    printf("heap: %llu blocks, %llu profiles\n", (unsigned long long)allocated,
           (unsigned long long)written);
    return 0;
}
