/* SPDX-License-Identifier: MIT */
/* torture_cut.c - snapshots are consistent cuts: `torture_cut SECONDS SEED [SNAPSHOTS]`.
 *
 * A thousand tasks pass tokens round rings. A ring is made of unbuffered channels, of channels that
 * hold one value, or of tasks that share a mutex. The task that has a ring's token waits in
 * holder_waits. So at any instant at most one task of a ring is in that function, and exactly one
 * if no task of the ring runs or is runnable. Snapshots are taken all the time, and each must show
 * that. torture_mutants.sh shows that this notices the mutants of WEFT_BREAK.
 *
 * A task that waits for a ring's mutex is shown with its holder at that instant, or with none, but
 * never with a task that rests outside holder_waits.
 *
 * Besides: no more tasks run than there are processors, no id is in a snapshot twice, every task of
 * the rings is in each snapshot (they live from before the first to after the last), and a task
 * that does not run has its whole stack, down to its entry. */
#include "torture.h"

#include "profiles/capture/tasks.h"
#include "runtime/sched/scheduler.h"

#include <weft/chan.h>
#include <weft/sync.h>
#include <weft/task.h>
#include <weft/time.h>

#include <string.h>

WEFT_CHAN_TYPE(tokens, int);

enum { RINGS = 20, MEMBERS = 50, TASKS = RINGS * MEMBERS, CHURNERS = 2 };
enum kind { UNBUFFERED, BUFFERED, MUTEX, KINDS };

struct ring {
    enum kind kind;
    tokens *chans[MEMBERS];
    weft_mutex mutex;
    bool ends; /* atomic */
};

static struct member {
    struct ring *ring;
    unsigned at;
    uint64_t id, seed;
} members[TASKS];

static struct ring rings[RINGS];
static uint64_t passed; /* atomic */
static uint64_t taken;
static unsigned ready;
static unsigned long wanted;

/* The functions in which the PCs of stacks are looked up. Each has a section, whose ends the linker
 * names. */
static int holder_waits(struct member *m) __attribute__((noinline));
static int channel_member(void *arg) __attribute__((noinline));
static int mutex_member(void *arg) __attribute__((noinline));

/* Holds the token for a while: sleeps, yields, or both. */
static __attribute__((section("holder_text"))) int holder_waits(struct member *m)
{
    unsigned how = torture_random(&m->seed, 4);

    if (how != 0)
        weft_sleep(torture_random(&m->seed, 300) * WEFT_MICROSECOND);
    if (how != 1)
        weft_yield();
    torture_add(&passed, 1);
    return (int)how;
}

extern const char __start_holder_text[], __stop_holder_text[], __start_member_text[],
    __stop_member_text[];

static __attribute__((section("member_text"))) int channel_member(void *arg)
{
    struct member *m = arg;
    tokens *from = m->ring->chans[m->at], *to = m->ring->chans[(m->at + 1) % MEMBERS];
    int token;

    m->id = weft_task_id();
    torture_add(&ready, 1);
    while (tokens_recv(from, &token) == 0) {
        holder_waits(m);
        EXPECT(tokens_send(to, token) == 0 || torture_get(&m->ring->ends));
    }
    return 0;
}

static __attribute__((section("member_text"))) int mutex_member(void *arg)
{
    struct member *m = arg;
    bool ends = false;

    m->id = weft_task_id();
    torture_add(&ready, 1);
    while (!ends) {
        weft_mutex_lock(&m->ring->mutex);
        holder_waits(m);
        ends = torture_get(&m->ring->ends);
        weft_mutex_unlock(&m->ring->mutex);
    }
    return 0;
}

/* Tasks that come and go beside the rings. */
static int short_life(void *arg)
{
    uint64_t *r = arg;

    return weft_sleep(torture_random(r, 200) * WEFT_MICROSECOND);
}

static int churner(void *arg)
{
    uint64_t r = torture_seed(5000 + (uintptr_t)arg), seeds[4];

    while (!torture_get(&rings[0].ends)) {
        weft_group g = WEFT_GROUP_INIT;

        for (int i = 0; i < 4; i++) {
            seeds[i] = r + 2 * (unsigned)i;
            weft_group_go(&g, short_life, &seeds[i]);
        }
        weft_group_join(&g);
        weft_sleep(torture_random(&r, 500) * WEFT_MICROSECOND);
    }
    return 0;
}

/* Judging ---------------------------------------------------------------------------------------*/

static bool has(const struct weft__stack_entry *e, const char *from, const char *to)
{
    for (uint32_t i = 0; i < e->kept; i++) {
        if (e->pcs[i] > (uintptr_t)from && e->pcs[i] <= (uintptr_t)to)
            return true;
    }
    return false;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = (*(const struct weft__record *const *)a)->id;
    uint64_t y = (*(const struct weft__record *const *)b)->id;

    return x < y ? -1 : x > y;
}

static const struct weft__record *find(const struct weft__record *const *r, size_t n, uint64_t id)
{
    struct weft__record key = {.id = id};
    const struct weft__record *k = &key;
    const struct weft__record *const *at = bsearch(&k, r, n, sizeof(*r), by_id);

    return at ? *at : NULL;
}

static const struct weft__record **sorted(const struct weft__snapshot *s, size_t *n)
{
    const struct weft__record **r = malloc((s->n + 1) * sizeof(*r));

    *n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->records[i].state != WEFT__REC_NONE)
            r[(*n)++] = &s->records[i];
    }
    qsort(r, *n, sizeof(*r), by_id);
    return r;
}

static void bad(const struct ring *ring, const char *what, unsigned holders, unsigned busy)
{
    static const char *const names[] = {"unbuffered channels", "buffered channels", "a mutex"};

    fprintf(stderr, "cut: snapshot %llu: %s in a ring of %s: %u hold the token, %u run or may\n",
            (unsigned long long)taken, what, names[ring->kind], holders, busy);
    exit(1);
}

/* At the cut a task runs on each processor and on each thread that lost its own, no more. A
 * task that waited then and was resumed since must not be recorded as running. */
static struct {
    uint32_t may, run;
} running;

static uint32_t lost_so_far(void)
{
    return torture_get(&weft__sched.taken);
}

static uint64_t told, untold; /* waits for a ring's mutex with and without a holder */

/* holder: the record of the task that rests with the token, or NULL. */
static void judge_owner(const struct ring *ring, const struct weft__record *r,
                        const struct weft__record *holder, const struct weft__record *const *of)
{
    const struct weft__record *owner = NULL;

    if (r->state != WEFT__REC_WAITING || r->object != &ring->mutex)
        return;
    untold += !r->owner;
    told += r->owner != 0;
    for (int i = 0; i < MEMBERS; i++)
        owner = of[i]->id == r->owner ? of[i] : owner;
    if (r->owner && (!owner || (holder && owner != holder)))
        bad(ring, "another owner than the holder", holder != NULL, 0);
    if (owner && owner != holder && owner->state == WEFT__REC_WAITING)
        bad(ring, "an owner that waits", 0, 0);
}

/* Checks one ring, whose members' records are in a row. */
static void judge_ring(const struct weft__snapshot *s, const struct ring *ring,
                       const struct weft__record *const *of)
{
    const struct weft__record *holder = NULL;
    unsigned holders = 0, busy = 0;

    for (int i = 0; i < MEMBERS; i++) {
        const struct weft__record *r = of[i];
        const struct weft__stack_entry *e =
            r->stack ? weft__stacktab_get(s->stacks, r->stack) : NULL;
        bool rests = r->state == WEFT__REC_WAITING || r->state == WEFT__REC_RUNNABLE;

        busy += r->state != WEFT__REC_WAITING;
        running.run += !rests;
        if (!rests)
            continue;
        if (!e || !has(e, __start_member_text, __stop_member_text))
            bad(ring, "half a stack", holders, busy);
        if (has(e, __start_holder_text, __stop_holder_text)) {
            holders++;
            holder = r;
        }
    }
    if (holders > 1)
        bad(ring, "too many", holders, busy);
    if (holders == 0 && busy == 0)
        bad(ring, "none", holders, busy);
    for (int i = 0; i < MEMBERS && ring->kind == MUTEX; i++)
        judge_owner(ring, of[i], holder, of);
}

static void judge(const struct weft__snapshot *s)
{
    size_t n;
    const struct weft__record **r = sorted(s, &n), *of[MEMBERS];

    for (size_t i = 1; i < n; i++) {
        if (r[i]->id == r[i - 1]->id) {
            fprintf(stderr, "cut: task %llu is in twice\n", (unsigned long long)r[i]->id);
            exit(1);
        }
    }
    for (int i = 0; i < TASKS; i++) {
        of[i % MEMBERS] = find(r, n, members[i].id);
        if (!of[i % MEMBERS]) {
            fprintf(stderr, "cut: task %llu is missing\n", (unsigned long long)members[i].id);
            exit(1);
        }
        if (i % MEMBERS == MEMBERS - 1)
            judge_ring(s, &rings[i / MEMBERS], of);
    }
    free(r);
    if (running.run > running.may) {
        fprintf(stderr, "cut: snapshot %llu: %u run, where %u can\n", (unsigned long long)taken,
                running.run, running.may);
        exit(1);
    }
}

/* Runs on a thread of its own, which runs none of the tasks. */
static void *photographer(void *arg)
{
    (void)arg;
    while (wanted ? taken < wanted && !torture_stops() : !torture_stops()) {
        uint32_t before = lost_so_far(), lost = torture_get(&weft__sched.nlost);
        const struct weft__snapshot *s = weft__snapshot_take();

        EXPECT(s != NULL);
        running.run = 0;
        running.may = (uint32_t)weft_procs() + lost + lost_so_far() - before;
        judge(s);
        weft__snapshot_free(s);
        taken++;
    }
    return NULL;
}

/* The run ---------------------------------------------------------------------------------------*/

static void start(weft_group *g)
{
    for (int i = 0; i < RINGS; i++) {
        rings[i].kind = (enum kind)(i % KINDS);
        for (int j = 0; j < MEMBERS && rings[i].kind != MUTEX; j++)
            rings[i].chans[j] = tokens_new(rings[i].kind == BUFFERED);
    }
    for (unsigned i = 0; i < TASKS; i++) {
        struct ring *ring = &rings[i / MEMBERS];

        members[i] = (struct member){ring, i % MEMBERS, 0, torture_seed(i)};
        weft_group_go(g, ring->kind == MUTEX ? mutex_member : channel_member, &members[i]);
    }
    while (torture_get(&ready) < TASKS)
        weft_sleep(WEFT_MILLISECOND);
    for (int i = 0; i < RINGS; i++) {
        if (rings[i].kind != MUTEX)
            EXPECT(tokens_send(rings[i].chans[0], i) == 0);
    }
}

static int play(void *arg)
{
    weft_group g = WEFT_GROUP_INIT, churn = WEFT_GROUP_INIT;
    pthread_t thread;

    (void)arg;
    start(&g);
    for (uintptr_t i = 0; i < CHURNERS; i++)
        weft_group_go(&churn, churner, (void *)i);
    EXPECT(pthread_create(&thread, NULL, photographer, NULL) == 0);
    weft_blocking(torture_join, &thread);
    for (int i = 0; i < RINGS; i++) {
        torture_set(&rings[i].ends, true);
        for (int j = 0; j < MEMBERS && rings[i].kind != MUTEX; j++)
            tokens_close(rings[i].chans[j]);
    }
    EXPECT(weft_group_join(&g) == 0 && weft_group_join(&churn) == 0);
    for (int i = 0; i < RINGS; i++) {
        for (int j = 0; j < MEMBERS; j++)
            tokens_free(rings[i].chans[j]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    double s;

    wanted = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    s = torture_play(argc, argv, play);
    if (taken < wanted) {
        fprintf(stderr, "cut: only %llu snapshots\n", (unsigned long long)taken);
        return 1;
    }
    printf("cut: %llu snapshots, tokens passed %llu, %llu of %llu waits with an owner, in %.1f s\n",
           (unsigned long long)taken, (unsigned long long)passed, (unsigned long long)told,
           (unsigned long long)(told + untold), s);
    return 0;
}
