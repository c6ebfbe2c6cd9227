/* SPDX-License-Identifier: MIT */
/* torture_contention.c - waits are recorded and profiles written while rates change and libraries
 * come and go: `torture_contention SECONDS SEED`.
 *
 * Each round is a run. In every other round all waits are kept, from the first to the last. Then
 *   an unbuffered channel makes one of two tasks wait for each value, so gives_here and takes_here
 *     have as many waits as there were values
 *   lets_go_here was called with one waiter each time, so wants_here has as many waits as
 *     lets_go_here has charges, and the contention profile has the same time for both
 *   each wait in locks_here was ended by an unlocks_here, so their counts are equal, and no more
 *     time is charged than was waited
 * In all rounds each profile is complete; recorded counts never become smaller; a stack that goes
 * through a library contains the function that called the library, whichever library was there
 * before. */
#include "torture.h"

#include "profiles/table/places.h"
#include "reload.h"

#include <weft.h>

#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#define NOINLINE __attribute__((noinline))

enum { ACTORS = 16, PAIRS = 4, LOCKERS = 6, INSIDE = 6, WRITERS = 2 };
enum { VALUES = 150, ONE_WAITER = 60, LOCKS = 60, RATES = 400, OBJECTS = 3 };

static struct {
    bool exact;
    bool over;             /* atomic */
    weft_chan *c[OBJECTS]; /* c[i] holds i */
    weft_chan *never;
} stage;

static uint64_t values, one_waiters;               /* atomic: of the exact rounds */
static uint64_t rounds, written, opened, reloaded; /* atomic */

static bool is_over(void)
{
    return torture_stops() || torture_get(&stage.over);
}

/* Exact work ------------------------------------------------------------------------------------*/

NOINLINE void gives_here(weft_chan *c, bool more);
NOINLINE void gives_here(weft_chan *c, bool more)
{
    EXPECT(weft_chan_send(c, &more) == 0);
    torture_add(&values, 1);
}

NOINLINE bool takes_here(weft_chan *c);
NOINLINE bool takes_here(weft_chan *c)
{
    bool more;

    EXPECT(weft_chan_recv(c, &more) == 0);
    return more;
}

static int give(void *c)
{
    for (int i = 1; i < VALUES && !torture_stops(); i++) {
        gives_here(c, true);
        if (i % 7 == 0)
            weft_yield();
    }
    gives_here(c, false);
    return 0;
}

static int take(void *c)
{
    while (takes_here(c))
        ;
    return 0;
}

static weft_mutex known = WEFT_MUTEX_INIT, crowded = WEFT_MUTEX_INIT;

NOINLINE int wants_here(void *arg);
NOINLINE int wants_here(void *arg)
{
    weft_mutex_lock(&known);
    weft_mutex_unlock(&known);
    (void)arg;
    return 0;
}

NOINLINE void lets_go_here(void);
NOINLINE void lets_go_here(void)
{
    weft_mutex_unlock(&known);
    __asm__ volatile("");
}

/* There is one waiter at a time. The mutex's first bit shows that it waits. */
static int let_one_wait(void *arg)
{
    (void)arg;
    for (int i = 0; i < ONE_WAITER && !torture_stops(); i++) {
        weft_group g = WEFT_GROUP_INIT;

        weft_mutex_lock(&known);
        weft_group_go(&g, wants_here, NULL);
        while (!(torture_get(&known._state) & 1))
            weft_yield();
        lets_go_here();
        EXPECT(weft_group_join(&g) == 0);
        torture_add(&one_waiters, 1);
    }
    return 0;
}

NOINLINE void locks_here(void);
NOINLINE void locks_here(void)
{
    weft_mutex_lock(&crowded);
    __asm__ volatile("");
}

NOINLINE void unlocks_here(void);
NOINLINE void unlocks_here(void)
{
    weft_mutex_unlock(&crowded);
    __asm__ volatile("");
}

static int crowd(void *seed)
{
    uint64_t r = torture_seed((uintptr_t)seed);

    for (int i = 0; i < LOCKS && !torture_stops(); i++) {
        locks_here();
        if (torture_random(&r, 3) == 0)
            weft_yield();
        unlocks_here();
    }
    return 0;
}

static void work_exactly(void)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_chan *c[PAIRS];

    for (int i = 0; i < PAIRS; i++) {
        c[i] = weft_chan_new(sizeof(bool), 0);
        weft_group_go(&g, give, c[i]);
        weft_group_go(&g, take, c[i]);
    }
    weft_group_go(&g, let_one_wait, NULL);
    for (uintptr_t i = 0; i < LOCKERS; i++)
        weft_group_go(&g, crowd, (void *)(i + 100 * rounds));
    EXPECT(weft_group_join(&g) == 0);
    for (int i = 0; i < PAIRS; i++)
        weft_chan_free(c[i]);
}

static void change_rates(void)
{
    static const weft_duration rates[] = {1, 0, 1000, 100000};
    uint64_t r = torture_seed(1000 + rounds);

    for (int i = 0; i < RATES && !torture_stops(); i++) {
        weft_profile_set_block_rate(rates[torture_random(&r, 4)]);
        weft_profile_set_mutex_rate(rates[torture_random(&r, 4)]);
        weft_sleep(torture_random(&r, 1000) * WEFT_MICROSECOND);
    }
}

/* Churn -----------------------------------------------------------------------------------------*/

static weft_mutex mutexes[OBJECTS];
static weft_rwmutex rwmutexes[OBJECTS];
static weft_cond conds[OBJECTS];
static weft_sema semas[OBJECTS];

static weft_time soon(uint64_t *r)
{
    return weft_after(torture_random(r, 300) * WEFT_MICROSECOND);
}

static void use_chan(uint64_t *r)
{
    weft_chan *c = stage.c[torture_random(r, OBJECTS)];
    char byte = 1;

    if (torture_random(r, 2))
        weft_chan_send_until(c, &byte, soon(r));
    else
        weft_chan_recv_until(c, &byte, soon(r));
}

static void use_select(uint64_t *r)
{
    char byte = 1;
    weft_case on[] = {weft_on_recv(stage.c[torture_random(r, OBJECTS)], NULL),
                      weft_on_send(stage.c[torture_random(r, OBJECTS)], &byte),
                      weft_on_recv(stage.never, NULL)};

    weft_select_until(on, 3, soon(r));
}

static void use_mutex(uint64_t *r)
{
    weft_mutex *m = &mutexes[torture_random(r, OBJECTS)];

    if (torture_random(r, 4) || !weft_mutex_trylock(m))
        weft_mutex_lock(m);
    if (torture_random(r, 2))
        weft_yield();
    weft_mutex_unlock(m);
}

static void use_rwmutex(uint64_t *r)
{
    weft_rwmutex *m = &rwmutexes[torture_random(r, OBJECTS)];

    if (torture_random(r, 3)) {
        weft_rwmutex_read_lock(m);
        weft_yield();
        weft_rwmutex_read_unlock(m);
    } else {
        weft_rwmutex_lock(m);
        weft_yield();
        weft_rwmutex_unlock(m);
    }
}

static void use_cond(uint64_t *r)
{
    unsigned i = torture_random(r, OBJECTS);

    weft_mutex_lock(&mutexes[i]);
    if (torture_random(r, 2))
        weft_cond_wait_until(&conds[i], &mutexes[i], soon(r));
    else
        weft_cond_broadcast(&conds[i]);
    weft_mutex_unlock(&mutexes[i]);
}

static void use_sema(uint64_t *r)
{
    weft_sema *s = &semas[torture_random(r, OBJECTS)];

    if (torture_random(r, 2))
        weft_sema_add(s, 1);
    else
        weft_sema_wait_until(s, 1 + torture_random(r, 2), soon(r));
}

static void done(void *wg)
{
    weft_yield();
    weft_waitgroup_done(wg);
}

static void use_waitgroup(uint64_t *r)
{
    weft_waitgroup wg = WEFT_WAITGROUP_INIT;
    int n = 1 + (int)torture_random(r, 3);

    weft_waitgroup_add(&wg, n);
    for (int i = 0; i < n; i++)
        weft_go(done, &wg);
    EXPECT(weft_waitgroup_wait(&wg) == 0);
}

static int wait_for_the_end(void *arg)
{
    (void)arg;
    return weft_chan_recv(stage.never, NULL);
}

static void use_group(uint64_t *r)
{
    weft_group g = WEFT_GROUP_INIT;
    int rc;

    if (torture_random(r, 2))
        weft_group_deadline(&g, soon(r));
    for (int i = 0; i < 3; i++)
        weft_group_go(&g, wait_for_the_end, NULL);
    weft_group_wait_until(&g, soon(r));
    weft_group_cancel(&g);
    rc = weft_group_join(&g);
    EXPECT(rc == WEFT_ECANCELED || rc == WEFT_ETIMEDOUT);
}

static void act(uint64_t *r)
{
    static void (*const uses[])(uint64_t *) = {use_chan, use_select, use_mutex,     use_rwmutex,
                                               use_cond, use_sema,   use_waitgroup, use_group};

    uses[torture_random(r, sizeof(uses) / sizeof(*uses))](r);
}

static void act_labeled(void *r)
{
    act(r);
}

static int actor(void *seed)
{
    uint64_t r = torture_seed((uintptr_t)seed + 100 * rounds);

    while (!is_over()) {
        char value[8];

        snprintf(value, sizeof(value), "%u", torture_random(&r, 5));
        if (torture_random(&r, 2))
            weft_labels_set((weft_label[]){{"act", value}}, 1);
        if (torture_random(&r, 2))
            weft_labels_do((weft_label[]){{"deep", value}}, 1, act_labeled, &r);
        else
            act(&r);
    }
    return 0;
}

/* Libraries -------------------------------------------------------------------------------------*/

static weft_mutex inside_mutex = WEFT_MUTEX_INIT;

/* A task's call into the library. */
struct visit {
    const struct reload *lib;
    weft_chan *c;
    void (*fn)(void *);
};

NOINLINE void gives_inside(void *c);
NOINLINE void gives_inside(void *c)
{
    EXPECT(weft_chan_send(c, "") == 0);
}

NOINLINE void takes_inside(void *c);
NOINLINE void takes_inside(void *c)
{
    EXPECT(weft_chan_recv(c, NULL) == 0);
}

NOINLINE void locks_inside(void *arg);
NOINLINE void locks_inside(void *arg)
{
    (void)arg;
    weft_mutex_lock(&inside_mutex);
    weft_yield();
    weft_mutex_unlock(&inside_mutex);
}

NOINLINE int calls_library(void *arg);
NOINLINE int calls_library(void *arg)
{
    const struct visit *v = arg;

    v->lib->call(v->fn, v->c);
    __asm__ volatile("");
    return 0;
}

static void visit_library(const struct reload *lib)
{
    static void (*const fns[])(void *) = {gives_inside, takes_inside, locks_inside};
    struct visit visits[INSIDE];
    weft_group g = WEFT_GROUP_INIT;
    weft_chan *c = weft_chan_new(1, 0);

    for (int i = 0; i < INSIDE; i++) {
        visits[i] = (struct visit){lib, c, fns[i % 3]};
        weft_group_go(&g, calls_library, &visits[i]);
    }
    EXPECT(weft_group_join(&g) == 0);
    weft_chan_free(c);
}

static int reload_often(void *arg)
{
    uint64_t r = torture_seed(2000 + rounds);
    uintptr_t last = 0;

    (void)arg;
    while (!is_over()) {
        struct reload lib;

        EXPECT(reload_open(&lib, torture_random(&r, 2)));
        torture_add(&opened, 1);
        torture_add(&reloaded, lib.ret == last);
        last = lib.ret;
        visit_library(&lib);
        if (torture_random(&r, 4))
            visit_library(&lib);
        EXPECT(dlclose(lib.handle) == 0);
    }
    return 0;
}

/* Reading ---------------------------------------------------------------------------------------*/

struct total {
    long long delay, count;
};

static bool has(const char *from, const char *end, const char *word)
{
    return memmem(from, (size_t)(end - from), word, strlen(word)) != NULL;
}

/* Reads a text to its end. Returns the sum of the samples that have both functions in their stacks.
 */
static struct total sum(const char *text, const char *one, const char *other)
{
    static const char *const heads[] = {
        "--- contention:\ncycles/second=1000000000\n",
        "--- mutex:\ncycles/second=1000000000\nsampling period=1\n"};
    const char *head = heads[strncmp(text, heads[0], 8) != 0], *end;
    struct total sum = {0, 0};
    long long delay, count;

    EXPECT(strncmp(text, head, strlen(head)) == 0);
    for (const char *at = text + strlen(head); *at; at = end + 2) {
        end = strstr(at, "\n\n");
        EXPECT(end && sscanf(at, "%lld %lld @ 0x", &delay, &count) == 2);
        EXPECT(delay > 0 && count > 0);
        if (has(at, end, one) && has(at, end, other))
            sum = (struct total){sum.delay + delay, sum.count + count};
    }
    return sum;
}

/* The goroutine profile's numbers add up to what its head says. */
static void check_tasks(const char *text)
{
    long long total, count, left;
    const char *at = strchr(text, '\n') + 1, *end;

    EXPECT(sscanf(text, "goroutine profile: total %lld\n", &total) == 1);
    for (left = total; *at; at = end + 2) {
        end = strstr(at, "\n\n");
        EXPECT(end && sscanf(at, "%lld @", &count) == 1 && count > 0);
        left -= count;
    }
    EXPECT(left == 0);
}

static unsigned char *unzip(const char *bytes, size_t n, size_t *size)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)n};
    unsigned char *out = NULL;
    size_t room = 1 << 16;
    int rc = Z_OK;

    EXPECT(inflateInit2(&z, MAX_WBITS + 16) == Z_OK);
    for (*size = 0; rc == Z_OK; *size = z.total_out) {
        room *= 2;
        out = realloc(out, room);
        z.next_out = out + *size;
        z.avail_out = (uInt)(room - *size);
        rc = inflate(&z, Z_NO_FLUSH);
    }
    EXPECT(rc == Z_STREAM_END && z.avail_in == 0);
    inflateEnd(&z);
    return out;
}

static uint64_t varint(const unsigned char **at, const unsigned char *end)
{
    uint64_t v = 0;
    unsigned shift = 0;

    do {
        EXPECT(*at < end && shift < 64);
        v |= (uint64_t)(**at & 127) << shift;
        shift += 7;
    } while (*(*at)++ & 128);
    return v;
}

/* Checks a message: its fields end where it does, it has the types of its values, and its strings
 * are last or not there, the empty one first. */
static void check_binary(const char *bytes, size_t n, unsigned types)
{
    enum { SAMPLE_TYPE = 1, STRING = 6, LENGTH = 2 };
    size_t size;
    unsigned char *out = unzip(bytes, n, &size);
    const unsigned char *at = out, *end = out + size;
    unsigned strings = 0;

    while (at < end) {
        uint64_t tag = varint(&at, end), value = varint(&at, end);

        EXPECT(tag % 8 == 0 || tag % 8 == LENGTH);
        if (tag % 8 != LENGTH)
            continue;
        EXPECT(value <= (uint64_t)(end - at));
        types -= tag / 8 == SAMPLE_TYPE;
        if (tag / 8 == STRING)
            EXPECT((value == 0) == (strings++ == 0));
        at += value;
    }
    EXPECT(types == 0 && strings > 0);
    free(out);
}

/* Writing ---------------------------------------------------------------------------------------*/

static const char *const names[] = {"block", "mutex", "contention", "goroutine"};
enum { BLOCK, MUTEX, CONTENTION, TASKS, NAMES };

static char *read_back(int fd, size_t *n)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *bytes = malloc((size_t)size + 1);

    EXPECT(size > 0 && pread(fd, bytes, (size_t)size, 0) == size);
    bytes[size] = '\0';
    *n = (size_t)size;
    return bytes;
}

static char *profile(int name, weft_profile_options o, size_t *n)
{
    int fd = memfd_create("profile", MFD_CLOEXEC);
    char *bytes;

    EXPECT(weft_profile_write(fd, names[name], &o) == 0);
    bytes = read_back(fd, n);
    close(fd);
    torture_add(&written, 1);
    return bytes;
}

static void check_through_library(const char *text)
{
    static const char *const inside[] = {"gives_inside", "takes_inside", "locks_inside"};

    for (int i = 0; i < 3; i++) {
        struct total all = sum(text, inside[i], ""), whole = sum(text, inside[i], "calls_library");

        EXPECT(all.delay == whole.delay && all.count == whole.count);
    }
}

/* `last` has the sum of each at the writer's last look. Waits that go on are left out of the
 * profiles of locks while their rate changes. */
static void write_one(uint64_t *r, long long last[NAMES])
{
    int name = (int)torture_random(r, NAMES);
    weft_profile_options o = {.text = torture_random(r, 2),
                              .no_live = torture_random(r, 2) ||
                                         (!stage.exact && (name == MUTEX || name == CONTENTION)),
                              .with_io = torture_random(r, 4) == 0};
    size_t n;
    char *bytes = profile(name, o, &n);

    if (!o.text) {
        check_binary(bytes, n, name == TASKS ? 1 : 2);
    } else if (name == TASKS) {
        check_tasks(bytes);
    } else if (o.no_live && !o.with_io) {
        long long delay = sum(bytes, "", "").delay;

        EXPECT(delay >= last[name]);
        last[name] = delay;
        check_through_library(bytes);
    } else {
        sum(bytes, "", "");
    }
    free(bytes);
}

static void write_often(uint64_t seed)
{
    uint64_t r = torture_seed(seed);
    long long last[NAMES] = {0};

    while (!is_over())
        write_one(&r, last);
}

static int writer(void *seed)
{
    write_often((uintptr_t)seed + 3000 + 10 * rounds);
    return 0;
}

/* A thread that is no task. */
static void *outsider(void *arg)
{
    write_often(4000 + rounds);
    return arg;
}

/* The run ---------------------------------------------------------------------------------------*/

static struct total total_of(int name, const char *one, const char *other)
{
    size_t n;
    char *text = profile(name, (weft_profile_options){.text = true, .no_live = true}, &n);
    struct total t = sum(text, one, other);

    free(text);
    return t;
}

/* Ticks become nanoseconds at a rate that is measured more exactly with time. */
static bool is_about(long long a, long long b)
{
    return llabs(a - b) <= b / 100 + (long long)one_waiters;
}

static void check_exactly(void)
{
    struct total charged = total_of(MUTEX, "lets_go_here", "");
    struct total pairs = total_of(CONTENTION, "lets_go_here", "wants_here");
    struct total waited = total_of(BLOCK, "locks_here", "");
    struct total crowd = total_of(MUTEX, "unlocks_here", "");

    EXPECT(total_of(BLOCK, "gives_here", "").count + total_of(BLOCK, "takes_here", "").count ==
           (long long)values);
    EXPECT(total_of(BLOCK, "wants_here", "").count == (long long)one_waiters);
    EXPECT(charged.count == (long long)one_waiters && pairs.count == charged.count);
    EXPECT((charged.delay > 0) == (one_waiters > 0) && is_about(pairs.delay, charged.delay));
    EXPECT(waited.count == crowd.count && crowd.delay <= waited.delay + waited.delay / 10);
    EXPECT(total_of(CONTENTION, "locks_here", "unlocks_here").count == crowd.count);
}

static int play(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;
    pthread_t thread;

    for (size_t i = 0; i < OBJECTS; i++)
        stage.c[i] = weft_chan_new(1, i);
    stage.never = weft_chan_new(1, 0);
    for (uintptr_t i = 0; i < ACTORS; i++)
        weft_group_go(&g, actor, (void *)i);
    for (uintptr_t i = 0; i < WRITERS; i++)
        weft_group_go(&g, writer, (void *)i);
    weft_group_go(&g, reload_often, NULL);
    EXPECT(pthread_create(&thread, NULL, outsider, NULL) == 0);
    if (stage.exact)
        work_exactly();
    else
        change_rates();
    torture_set(&stage.over, true);
    weft_blocking(torture_join, &thread);
    EXPECT(weft_group_join(&g) == 0);
    if (stage.exact)
        check_exactly();
    for (size_t i = 0; i < OBJECTS; i++)
        weft_chan_free(stage.c[i]);
    weft_chan_free(stage.never);
    (void)arg;
    return 0;
}

/* The rates are set before the run, so that they hold for its first wait. */
static void play_round(void)
{
    stage.exact = rounds % 2 == 0;
    torture_set(&stage.over, false);
    weft_profile_set_block_rate(1);
    weft_profile_set_mutex_rate(1);
    weft_run(play, NULL);
    rounds++;
}

int main(int argc, char **argv)
{
    torture_begin(argc, argv);
    /* Places are forgotten early, so that their memory is used again many times. */
    weft__places_least = 10 * WEFT_MILLISECOND;
    while (!torture_stops())
        play_round();
    torture_end();
    printf(
        "contention: %llu rounds, %llu values, %llu profiles, %llu libraries, %llu in the place of "
        "the last\n",
        (unsigned long long)rounds, (unsigned long long)values, (unsigned long long)written,
        (unsigned long long)opened, (unsigned long long)reloaded);
    return 0;
}
