/* SPDX-License-Identifier: MIT */
/* torture_cpu.c - the handler of the CPU profile at any instruction: `torture_cpu SECONDS SEED
 * [SIGNALS]`.
 *
 * Tasks switch, spawn, allocate, sort, load libraries and read the clock; threads of the program
 * come and go. A shooter sends each thread the profile's signal with values that its timer could
 * carry, as fast as it can, so that handlers land everywhere; the handler takes those with the
 * thread's own index for its timer's. The controller empties the rings each millisecond, since a
 * handler that finds its ring full walks no stack. Meanwhile profiles begin and end. Nothing may
 * crash, and no actor may stand still for ten seconds; each sample must have a frame. The counts
 * say where the shooter's samples were.
 *
 * With SIGNALS it ends when so many have landed, and fails if they do not within SECONDS or if
 * one of the places has none. */
#include "torture.h"

#include "profiles/cpu/cpu.h"
#include "profiles/cpu/record.h"
#include "profiles/cpu/signal.h"
#include "profiles/table/marks.h"
#include "profiles/walk/symbolize.h"
#include "runtime/base/lock.h"

#include <weft/chan.h>
#include <weft/label.h>
#include <weft/task.h>
#include <weft/time.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

enum {
    INDEXES = 1 << 14,
    TIDS = 1 << 16,
    MARK = 1 << 20,
    PAIRS = 2,
    WORKERS = 2,
    ACTORS = WORKERS + PAIRS,
    STILL = 10 /* seconds after which an actor that stands still is a hang */
};

static uint64_t sent, profiles, shot; /* atomic; shot: samples of the shooter's signals */
static uint32_t left;                 /* atomic: tasks that run */
static uint32_t targets[ACTORS];      /* atomic: the threads on which the tasks ran last */
static uint32_t index_of[TIDS];       /* atomic: by thread id: the index of its timer's signals */

static uint64_t wanted;          /* landed signals, after which it ends; 0: the time decides */
static uint64_t rounds[ACTORS];  /* atomic: how many each has begun */
static uintptr_t vdso, vdso_end; /* its code */

/* The places: the code of a switch, that of the vdso, and what a work of the tasks calls. So no
 * symbols of libc are needed. */
static struct place {
    const char *name, *work;
    uint64_t n;
} places[] = {
    {"the switch", NULL, 0}, {"the vdso", NULL, 0}, {"malloc", "churn", 0},
    {"dlopen", "load", 0},   {"qsort", "sort", 0},  {"elsewhere", NULL, 0},
};
enum { SWITCH, VDSO, FIRST_WORK, ELSEWHERE = FIRST_WORK + 3 };

/* Of weft_wraps. */
void __real_weft__futex_wait(uint32_t *word, uint32_t while_it_is, int64_t timeout_ns);
void __wrap_weft__futex_wait(uint32_t *word, uint32_t while_it_is, int64_t timeout_ns);

struct weft__cpu_record *__real_weft__cpu_record_new(int tid);
struct weft__cpu_record *__wrap_weft__cpu_record_new(int tid);

/* Tells the shooter which index the timer of that thread has. */
struct weft__cpu_record *__wrap_weft__cpu_record_new(int tid)
{
    struct weft__cpu_record *r = __real_weft__cpu_record_new(tid);

    if (r)
        torture_set(&index_of[tid % TIDS], r->index);
    return r;
}

/* The controller alone waits for 50 ms. */
void __wrap_weft__futex_wait(uint32_t *word, uint32_t while_it_is, int64_t timeout_ns)
{
    __real_weft__futex_wait(word, while_it_is, timeout_ns == 50000000 ? 1000000 : timeout_ns);
}

static struct place *place_of(const struct weft__cpu_sample *one)
{
    const struct weft__walk *w = one->walk;

    if (one->where == WEFT__CPU_SWITCH)
        return &places[SWITCH];
    if (w->pcs[0] >= vdso && w->pcs[0] < vdso_end)
        return &places[VDSO];
    for (uint32_t i = 0; i < w->kept; i++) {
        const char *name =
            weft__mark_name(w->pcs[i]) ? "" : weft__symbolize(w->pcs[i] - 1)->frames[0].function;

        if (i == 0 && strcmp(name, "weft__ctx_jump") == 0)
            return &places[SWITCH];
        for (int k = FIRST_WORK; k < ELSEWHERE; k++) {
            if (strcmp(name, places[k].work) == 0)
                return &places[i > 0 ? k : ELSEWHERE];
        }
    }
    return &places[ELSEWHERE];
}

static void on_sample(struct weft__cpu_sink *s, const struct weft__cpu_sample *one)
{
    (void)s;
    EXPECT((one->walk->kept && one->walk->pcs[0]) || one->where == WEFT__CPU_SWITCH);
    if (one->weight <= MARK)
        return;
    place_of(one)->n++;
    if (torture_add(&shot, 1) + 1 == wanted)
        torture_set(&torture.stop, true);
}

/* The vdso's code is in the mapping with that name. */
static void find_vdso(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[256];

    EXPECT(f);
    while (fgets(line, sizeof(line), f)) {
        if (strstr(line, "[vdso]"))
            EXPECT(sscanf(line, "%lx-%lx", &vdso, &vdso_end) == 2);
    }
    fclose(f);
}

/* ---- what the tasks do ---- */

static void churn(uint64_t *random)
{
    void *all[16];

    for (int i = 0; i < 16; i++)
        all[i] = malloc(torture_random(random, 100000));
    for (int i = 0; i < 16; i++)
        free(all[i]);
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void sort(uint64_t *random)
{
    int numbers[256];

    for (int i = 0; i < 256; i++)
        numbers[i] = (int)torture_random(random, 1000);
    qsort(numbers, 256, sizeof(int), compare);
}

static void load(uint64_t *random)
{
    void *library = dlopen(torture_random(random, 2) ? RELOAD_FIRST : RELOAD_SECOND, RTLD_NOW);

    EXPECT(library);
    dlclose(library);
}

static void read_clock(uint64_t *random)
{
    (void)random;
    for (int i = 0; i < 1000; i++)
        torture_now();
}

static void nothing(void *arg)
{
    (void)arg;
}

static void spawn(uint64_t *random)
{
    (void)random;
    for (int i = 0; i < 16; i++)
        weft_go(nothing, NULL);
    weft_yield();
}

static void work_with(void *arg)
{
    static void (*const works[])(uint64_t *) = {churn, sort, load, read_clock, spawn};
    uint64_t *random = arg;

    works[torture_random(random, 5)](random);
}

static void work(void *arg)
{
    uint64_t random = torture_seed((uintptr_t)arg);
    char tenant[2] = {0};

    while (!torture_stops()) {
        torture_set(&targets[(uintptr_t)arg], (uint32_t)gettid());
        torture_add(&rounds[(uintptr_t)arg], 1);
        tenant[0] = (char)('a' + torture_random(&random, 20));
        weft_labels_do(&(weft_label){"tenant", tenant}, 1, work_with, &random);
    }
    torture_add(&left, -1u);
}

struct pair {
    weft_chan *c;
    int actor;
};

static void pong(void *arg)
{
    struct pair *p = arg;
    int v;

    while (weft_chan_recv(p->c, &v) == 0)
        ;
    torture_add(&left, -1u);
}

static void ping(void *arg)
{
    struct pair *p = arg;
    weft_chan *c = p->c;

    for (int v = 0; !torture_stops(); v++) {
        torture_set(&targets[p->actor], (uint32_t)gettid());
        torture_add(&rounds[p->actor], 1);
        weft_chan_send(c, &v);
    }
    weft_chan_close(c);
    torture_add(&left, -1u);
}

/* ---- threads of the program ---- */

static void *live_shortly(void *arg)
{
    uint64_t random = torture_seed((uintptr_t)arg);

    churn(&random);
    torture_spin(torture_random(&random, 2000));
    return NULL;
}

static void *make_threads(void *arg)
{
    pthread_t thread;

    for (uintptr_t i = 100; !torture_stops(); i++) {
        EXPECT(pthread_create(&thread, NULL, live_shortly, (void *)i) == 0);
        pthread_join(thread, NULL);
    }
    return arg;
}

/* Sends a signal to a thread. Its overrun tells the sample from those of the timer. */
static void shoot(int tid, uint32_t index)
{
    siginfo_t info = {0};

    info.si_code = SI_TIMER;
    info.si_overrun = MARK;
    info.si_value = weft__cpu_signal_value(index % INDEXES);
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGPROF, &info) == 0)
        torture_add(&sent, 1);
}

/* Tries an index with each thread of the process. */
static void shoot_everybody(uint32_t index)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *e;

    while (dir && (e = readdir(dir)) != NULL)
        shoot(atoi(e->d_name), index);
    closedir(dir);
}

static void *shoot_all(void *arg)
{
    uint64_t random = torture_seed(1);

    for (uint32_t i = 0; !torture_stops(); i++) {
        if (i % 64 == 0)
            shoot_everybody(i / 64 % 32);
        for (int k = 0; k < ACTORS; k++) {
            uint32_t tid = torture_get(&targets[k]);

            shoot((int)tid, torture_get(&index_of[tid % TIDS]));
        }
        torture_spin(torture_random(&random, 20));
    }
    return arg;
}

static void *profile(void *arg)
{
    struct weft__cpu_sink sink = {.sample = on_sample};
    uint64_t random = torture_seed(2);
    struct weft__cpu_counts c;

    while (!torture_stops()) {
        EXPECT(weft__cpu_start(&sink, 1000) == 0);
        for (double end = torture_now() + torture_random(&random, 1000) * 1e-3;
             torture_now() < end && !torture_stops();)
            usleep(10000); /* which signals end early */
        weft__cpu_stop(&c);
        torture_add(&profiles, 1);
    }
    return arg;
}

/* The watchdog: each actor begins a round in each STILL seconds. */
static void *watch(void *arg)
{
    uint64_t before[ACTORS] = {0};
    double moved[ACTORS];

    for (int i = 0; i < ACTORS; i++)
        moved[i] = torture_now();
    while (!torture_stops()) {
        usleep(100000);
        for (int i = 0; i < ACTORS; i++) {
            if (torture_get(&rounds[i]) != before[i])
                moved[i] = torture_now();
            before[i] = torture_get(&rounds[i]);
            if (torture_now() - moved[i] > STILL) {
                fprintf(stderr, "torture_cpu: actor %d stands still\n", i);
                kill(getpid(), SIGQUIT);
            }
        }
    }
    return arg;
}

/* From here on the signal has its handler. */
static void profile_once(void)
{
    struct weft__cpu_sink sink = {.sample = on_sample};
    struct weft__cpu_counts c;

    EXPECT(weft__cpu_start(&sink, 1000) == 0);
    weft__cpu_stop(&c);
    EXPECT(c.signo == SIGPROF);
}

static int run(void *arg)
{
    static void *(*const fns[])(void *) = {make_threads, shoot_all, profile, watch};
    enum { THREADS = sizeof(fns) / sizeof(*fns) };
    static struct pair pairs[PAIRS];
    pthread_t threads[THREADS];

    (void)arg;
    profile_once();
    left = 2 * PAIRS + WORKERS;
    for (uintptr_t i = 0; i < WORKERS; i++)
        weft_go(work, (void *)i);
    for (int i = 0; i < PAIRS; i++) {
        pairs[i] = (struct pair){weft_chan_new(sizeof(int), 0), WORKERS + i};
        weft_go(pong, &pairs[i]);
        weft_go(ping, &pairs[i]);
    }
    for (int i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, fns[i], NULL) == 0);
    while (torture_get(&left) > 0)
        weft_sleep(10 * WEFT_MILLISECOND);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

int main(int argc, char **argv)
{
    bool all = true;
    int rc;

    wanted = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    find_vdso();
    torture_begin(argc, argv);
    rc = weft_run(run, NULL);
    torture_end();
    printf("torture_cpu: %llu signals, %llu landed, %llu profiles:", (unsigned long long)sent,
           (unsigned long long)shot, (unsigned long long)profiles);
    for (struct place *p = places; p <= places + ELSEWHERE; p++) {
        printf("%s %llu in %s", p == places ? "" : ",", (unsigned long long)p->n, p->name);
        all &= p->n > 0;
    }
    printf("\n");
    return rc != 0 || (wanted && (shot < wanted || !all));
}
