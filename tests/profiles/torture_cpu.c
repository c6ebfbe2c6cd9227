/* SPDX-License-Identifier: MIT */
/* torture_cpu.c - the handler of the CPU profile at any instruction: `torture_cpu SECONDS SEED`.
 *
 * Tasks switch, spawn, allocate, sort, load libraries and read the clock; threads of the program
 * come and go. A shooter sends each thread the profile's signal with values that its timer could
 * carry, as fast as it can, so that handlers land everywhere; the handler takes those with the
 * thread's own index for its timer's. Meanwhile profiles begin and end. Nothing may crash or hang,
 * and each sample must have a frame. The counts say where the samples were. */
#include "torture.h"

#include "profiles/cpu/cpu.h"
#include "profiles/cpu/signal.h"
#include "profiles/table/marks.h"
#include "profiles/walk/symbolize.h"

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
    ACTORS = WORKERS + PAIRS
};

static uint64_t sent, profiles, shot; /* atomic; shot: samples of the shooter's signals */
static uint32_t left;                 /* atomic: tasks that run */
static uint32_t targets[ACTORS];      /* atomic: the threads on which the tasks ran last */
static uint32_t learned[TIDS];        /* atomic: by thread id: the index of its timer's signals */

static struct count {
    const char *part; /* of the name of the innermost function */
    uint64_t n;
} counts[] = {{"weft.switch", 0}, {"weft__ctx_jump", 0}, {"malloc", 0}, {"free", 0},
              {"_dl_", 0},        {"clock_gettime", 0},  {"sort", 0},   {"", 0}};

static void on_sample(struct weft__cpu_sink *s, const struct weft__cpu_sample *one)
{
    uintptr_t pc = one->walk->kept ? one->walk->pcs[0] : 0;
    const char *name = "weft.switch";

    (void)s;
    if (one->weight > MARK) {
        torture_set(&learned[one->tid % TIDS], one->weight - 1 - MARK);
        torture_add(&shot, 1);
    }
    EXPECT(pc != 0 || one->where == WEFT__CPU_SWITCH);
    if (one->where != WEFT__CPU_SWITCH)
        name = weft__mark_name(pc) ? "" : weft__symbolize(pc - 1)->frames[0].function;
    for (struct count *c = counts;; c++) {
        if (strstr(name, c->part)) {
            c->n++;
            return;
        }
    }
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

/* Sends a signal to a thread. Its overrun has the index, so that the sample tells which was right.
 */
static void shoot(int tid, uint32_t index)
{
    siginfo_t info = {0};

    info.si_code = SI_TIMER;
    info.si_overrun = MARK + (int)index;
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

            shoot((int)tid, torture_get(&learned[tid % TIDS]));
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
    static void *(*const fns[])(void *) = {make_threads, shoot_all, profile};
    static struct pair pairs[PAIRS];
    pthread_t threads[3];

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
    for (int i = 0; i < 3; i++)
        EXPECT(pthread_create(&threads[i], NULL, fns[i], NULL) == 0);
    while (torture_get(&left) > 0)
        weft_sleep(10 * WEFT_MILLISECOND);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

int main(int argc, char **argv)
{
    int rc;

    torture_begin(argc, argv);
    rc = weft_run(run, NULL);
    torture_end();
    printf("torture_cpu: %llu signals, %llu landed, %llu profiles; samples:",
           (unsigned long long)sent, (unsigned long long)shot, (unsigned long long)profiles);
    for (struct count *c = counts;; c++) {
        printf(" %llu %s", (unsigned long long)c->n, *c->part ? c->part : "elsewhere");
        if (!*c->part)
            break;
    }
    printf("\n");
    return rc;
}
