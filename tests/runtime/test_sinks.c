/* SPDX-License-Identifier: MIT */
/* test_sinks.c - the events of a run: each is told once, of the right task, with the right waker.
 */
#include "runtime/sched/sinks.h"

#include "support.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { SPAWN, RUN, PARK, READY, LOST, END, OPEN, CLOSE, NEW, FREE, START, STOP };
enum { MOST = 20000 };

struct event {
    enum kind kind;
    uint64_t task;      /* id */
    uint64_t creator;   /* of a spawn */
    uint32_t worker;    /* of a run */
    int why;            /* of a park, or lost */
    const void *object; /* of a park; the socket or channel */
    struct weft__waker by;
};

/* A sink that keeps what it hears, in the order in which it hears it; but not the waits of one
 * task, which waits for others by yields. */
struct log {
    struct weft__event_sink sink;
    uint64_t patient; /* that task; 0: none */
    atomic_int n;
    struct event at[MOST];
    atomic_bool kept[MOST];
};

static void keep(struct weft__event_sink *s, struct event e)
{
    struct log *l = (struct log *)s; /* the first member */
    int i;

    if (e.task != 0 && e.task == l->patient)
        return;
    i = atomic_fetch_add(&l->n, 1);
    if (i < MOST) {
        l->at[i] = e;
        atomic_store(&l->kept[i], true);
    }
}

static void on_start(struct weft__event_sink *s)
{
    keep(s, (struct event){.kind = START});
}

static void on_stop(struct weft__event_sink *s)
{
    keep(s, (struct event){.kind = STOP});
}

static void on_spawn(struct weft__event_sink *s, const weft__task *t)
{
    keep(s, (struct event){.kind = SPAWN, .task = t->id, .creator = t->creator});
}

static void on_run(struct weft__event_sink *s, const weft__task *t, const weft__worker *w)
{
    keep(s, (struct event){.kind = RUN, .task = t->id, .worker = w->id});
}

static void on_park(struct weft__event_sink *s, const weft__task *t, enum weft__reason why,
                    const void *object)
{
    keep(s, (struct event){.kind = PARK, .task = t->id, .why = (int)why, .object = object});
}

static void on_ready(struct weft__event_sink *s, const weft__task *t, const struct weft__waker *by)
{
    keep(s, (struct event){.kind = READY, .task = t->id, .by = *by});
}

static void on_lost(struct weft__event_sink *s, const weft__task *t, const weft__worker *w,
                    enum weft__why why)
{
    keep(s, (struct event){.kind = LOST, .task = t->id, .worker = w->id, .why = (int)why});
}

static void on_end(struct weft__event_sink *s, const weft__task *t)
{
    keep(s, (struct event){.kind = END, .task = t->id});
}

static void on_open(struct weft__event_sink *s, const void *sock, int fd)
{
    keep(s, (struct event){.kind = OPEN, .object = sock, .why = fd});
}

static void on_close(struct weft__event_sink *s, const void *sock, int fd)
{
    keep(s, (struct event){.kind = CLOSE, .object = sock, .why = fd});
}

static void on_new(struct weft__event_sink *s, const struct weft_chan *c)
{
    keep(s, (struct event){.kind = NEW, .object = c});
}

static void on_free(struct weft__event_sink *s, const struct weft_chan *c)
{
    keep(s, (struct event){.kind = FREE, .object = c});
}

#define ALL_EVENTS                                                                                 \
    {                                                                                              \
        .start = on_start, .stop = on_stop, .spawn = on_spawn, .run = on_run, .park = on_park,     \
        .ready = on_ready, .lost = on_lost, .end = on_end, .sock_open = on_open,                   \
        .sock_close = on_close, .chan_new = on_new, .chan_free = on_free                           \
    }

static struct log heard = {.sink = ALL_EVENTS};

static void hear(void)
{
    heard.patient = weft_task_id();
    CHECK(weft__sinks_add(&heard.sink));
}

/* Returns the nth event of that kind, of the task or about the object, from 0 on; NULL: there are
 * not so many. */
static const struct event *nth(const struct log *l, enum kind kind, uint64_t task,
                               const void *object, int n)
{
    int kept = atomic_load(&l->n);

    for (int i = 0; i < kept && i < MOST; i++) {
        const struct event *e = &l->at[i];

        if (atomic_load(&l->kept[i]) && e->kind == kind && e->task == task &&
            (!object || e->object == object) && n-- == 0)
            return e;
    }
    return NULL;
}

static int count(const struct log *l, enum kind kind, uint64_t task, const void *object)
{
    int n = 0;

    while (nth(l, kind, task, object, n))
        n++;
    return n;
}

static void wait_until_heard(enum kind kind, uint64_t task, const void *object)
{
    while (!nth(&heard, kind, task, object, 0))
        weft_yield();
}

/* Forgets the sink. No event is written into the log any more. */
static void deaf(void)
{
    weft__sinks_remove(&heard.sink);
    CHECK(atomic_load(&heard.n) <= MOST);
}

/* Checks that the first park of the task ended as it is to. */
static const struct weft__waker *waker_of(uint64_t task)
{
    const struct event *park = nth(&heard, PARK, task, NULL, 0);
    const struct event *ready = nth(&heard, READY, task, NULL, 0);
    const struct event *run = nth(&heard, RUN, task, NULL, 1);

    CHECK(park && ready && run);
    CHECK(park < ready && ready < run);
    return &ready->by;
}

/* The task of most tests: it notes its id and does one thing. */
struct doer {
    void (*what)(struct doer *d);
    _Atomic uint64_t id;
    weft_chan *chan;
    weft_mutex *mutex;
    weft_cond *cond;
    int fd;
    atomic_int did;
};

static void do_it(void *arg)
{
    struct doer *d = arg;

    atomic_store(&d->id, weft_task_id());
    d->what(d);
    atomic_store(&d->did, 1);
}

/* Starts it, and waits until it waits for something. Returns its id. */
static uint64_t begin(struct doer *d, const void *object)
{
    weft_go(do_it, d);
    while (atomic_load(&d->id) == 0)
        weft_yield();
    wait_until_heard(PARK, d->id, object);
    return d->id;
}

static void finish(struct doer *d)
{
    wait_until_heard(END, d->id, NULL);
    deaf();
    CHECK_EQ(d->did, 1);
    CHECK_EQ(count(&heard, SPAWN, d->id, NULL), 1);
    CHECK_EQ(count(&heard, END, d->id, NULL), 1);
    CHECK_EQ(nth(&heard, SPAWN, d->id, NULL, 0)->creator, weft_task_id());
    CHECK(nth(&heard, SPAWN, d->id, NULL, 0) < nth(&heard, RUN, d->id, NULL, 0));
    CHECK(nth(&heard, RUN, d->id, NULL, 0)->worker > 0);
    CHECK_EQ(count(&heard, READY, d->id, NULL), count(&heard, PARK, d->id, NULL));
    CHECK_EQ(count(&heard, RUN, d->id, NULL), count(&heard, PARK, d->id, NULL) + 1);
}

static void check_by_task(const struct weft__waker *by, uint64_t id)
{
    CHECK_EQ(by->source, WEFT__BY_TASK);
    CHECK_EQ(by->id, id);
    CHECK(by->task != NULL);
    CHECK(by->site != NULL);
}

static void receive(struct doer *d)
{
    weft_chan_recv(d->chan, NULL);
}

TEST(sender_makes_the_receiver_ready)
{
    struct doer d = {.what = receive, .chan = weft_chan_new(0, 0)};
    uint64_t id;

    hear();
    id = begin(&d, d.chan);
    CHECK_EQ(weft_chan_send(d.chan, NULL), 0);
    finish(&d);
    CHECK_EQ(nth(&heard, PARK, id, d.chan, 0)->why, WEFT__WAIT_CHAN_RECV);
    check_by_task(waker_of(id), weft_task_id());
}

/* Returns where the library woke a receiver. */
static const void *site_of(int (*wake)(weft_chan *c))
{
    static struct doer d; /* ends before the next */
    uint64_t id;

    d = (struct doer){.what = receive, .chan = weft_chan_new(0, 0)};
    hear();
    id = begin(&d, d.chan);
    wake(d.chan);
    finish(&d);
    return waker_of(id)->site;
}

static int wake_by_send(weft_chan *c)
{
    return weft_chan_send(c, NULL);
}

static int wake_by_close(weft_chan *c)
{
    weft_chan_close(c);
    return 0;
}

TEST(ready_tells_the_librarys_calls_apart)
{
    const void *sent = site_of(wake_by_send), *closed = site_of(wake_by_close);

    CHECK(sent != closed);
    CHECK(site_of(wake_by_send) == sent);
}

static void lock(struct doer *d)
{
    weft_mutex_lock(d->mutex);
    weft_mutex_unlock(d->mutex);
}

TEST(unlocker_makes_the_next_holder_ready)
{
    weft_mutex m = WEFT_MUTEX_INIT;
    struct doer d = {.what = lock, .mutex = &m};
    uint64_t id;

    hear();
    weft_mutex_lock(&m);
    id = begin(&d, &m);
    weft_mutex_unlock(&m);
    finish(&d);
    CHECK_EQ(nth(&heard, PARK, id, &m, 0)->why, WEFT__WAIT_MUTEX);
    check_by_task(waker_of(id), weft_task_id());
}

/* A wait for a condition unlocks the mutex when its stack is left: another task runs there. */
TEST(wait_for_a_condition_makes_the_next_holder_ready)
{
    weft_mutex m = WEFT_MUTEX_INIT;
    weft_cond c = WEFT_COND_INIT;
    struct doer d = {.what = lock, .mutex = &m};
    const struct weft__waker *by;
    uint64_t id;

    hear();
    weft_mutex_lock(&m);
    id = begin(&d, &m);
    CHECK_EQ(weft_cond_wait_until(&c, &m, weft_after(WEFT_MILLISECOND)), WEFT_ETIMEDOUT);
    weft_mutex_unlock(&m);
    finish(&d);
    by = waker_of(id);
    CHECK_EQ(by->source, WEFT__BY_TASK);
    CHECK_EQ(by->id, weft_task_id());
    CHECK(by->task == NULL);
}

static void nap(struct doer *d)
{
    (void)d;
    weft_sleep(50 * WEFT_MILLISECOND); /* on a busy machine less is over before the wait */
}

TEST(timer_makes_the_sleeper_ready)
{
    struct doer d = {.what = nap};
    uint64_t id;

    hear();
    id = begin(&d, NULL);
    finish(&d);
    CHECK_EQ(nth(&heard, PARK, id, NULL, 0)->why, WEFT__WAIT_SLEEP);
    CHECK_EQ(waker_of(id)->source, WEFT__BY_TIMER);
    CHECK_EQ(waker_of(id)->id, 0);
}

static void wait_for_timer(struct doer *d)
{
    weft_timer *t = weft_timer_new();

    d->chan = weft_timer_chan(t);
    weft_timer_start(t, weft_after(50 * WEFT_MILLISECOND));
    weft_chan_recv(d->chan, NULL);
    weft_timer_free(t);
}

TEST(timers_channel_makes_the_receiver_ready)
{
    struct doer d = {.what = wait_for_timer};
    uint64_t id;

    hear();
    id = begin(&d, NULL);
    finish(&d);
    CHECK_EQ(nth(&heard, PARK, id, NULL, 0)->why, WEFT__WAIT_CHAN_RECV);
    CHECK_EQ(waker_of(id)->source, WEFT__BY_TIMER);
}

static void try_to_receive(struct doer *d)
{
    CHECK_EQ(weft_chan_recv_until(d->chan, NULL, WEFT_NOW), WEFT_ETIMEDOUT);
}

TEST(wait_that_is_over_before_it_began_is_made_ready_by_itself)
{
    struct doer d = {.what = try_to_receive, .chan = weft_chan_new(0, 0)};
    uint64_t id;

    hear();
    id = begin(&d, d.chan);
    finish(&d);
    CHECK_EQ(waker_of(id)->source, WEFT__BY_ITSELF);
}

static void yield(struct doer *d)
{
    (void)d;
    weft_yield();
}

TEST(yield_parks_for_no_reason)
{
    struct doer d = {.what = yield};
    uint64_t id;

    hear();
    id = begin(&d, NULL);
    finish(&d);
    CHECK_EQ(nth(&heard, PARK, id, NULL, 0)->why, WEFT__WAIT_NONE);
    CHECK_EQ(waker_of(id)->source, WEFT__BY_ITSELF);
}

static void read_byte(struct doer *d)
{
    weft_conn *c;
    char byte;

    CHECK_EQ(weft_conn_adopt(d->fd, &c), 0);
    CHECK_EQ(weft_conn_read(c, &byte, 1), 1);
    weft_conn_close(c);
}

TEST(event_loop_makes_the_reader_ready)
{
    struct doer d = {.what = read_byte};
    const struct event *open;
    uint64_t id;
    int pair[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    d.fd = pair[0];
    hear();
    id = begin(&d, NULL);
    CHECK_EQ(write(pair[1], "x", 1), 1);
    finish(&d);
    open = nth(&heard, OPEN, 0, NULL, 0);
    CHECK(open != NULL);
    CHECK_EQ(count(&heard, OPEN, 0, open->object), 1);
    while (count(&heard, CLOSE, 0, open->object) < 1)
        weft_yield(); /* the socket ends on the processor that watches it */
    CHECK_EQ(nth(&heard, PARK, id, open->object, 0)->why, WEFT__WAIT_IO);
    CHECK_EQ(waker_of(id)->source, WEFT__BY_LOOP);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void work(struct doer *d)
{
    (void)d;
    CHECK_EQ(weft_work(nothing, NULL), 0);
}

TEST(thread_of_the_pool_makes_its_task_ready)
{
    struct doer d = {.what = work};
    uint64_t id;

    hear();
    id = begin(&d, NULL);
    finish(&d);
    CHECK_EQ(nth(&heard, PARK, id, NULL, 0)->why, WEFT__WAIT_WORK);
    CHECK_EQ(waker_of(id)->source, WEFT__BY_LIBRARY);
}

/* A thread that is not ours sends, waits for a deadline, and ends. */
static void *thread_sends(void *arg)
{
    struct doer *d = arg;
    weft_chan *never = weft_chan_new(0, 0);

    CHECK_EQ(weft_chan_send(d->chan, NULL), 0);
    CHECK_EQ(weft_chan_recv_until(never, NULL, weft_after(WEFT_MILLISECOND)), WEFT_ETIMEDOUT);
    weft_chan_free(never);
    d->fd = (int)weft_task_id();
    return NULL;
}

static void join_thread(void *thread)
{
    pthread_join(*(pthread_t *)thread, NULL);
}

TEST(foreign_thread_makes_the_receiver_ready_and_is_heard_itself)
{
    struct doer d = {.what = receive, .chan = weft_chan_new(0, 0)};
    pthread_t thread;
    uint64_t id, foreign;

    hear();
    id = begin(&d, d.chan);
    CHECK_EQ(pthread_create(&thread, NULL, thread_sends, &d), 0);
    weft_blocking(join_thread, &thread);
    finish(&d);
    foreign = (uint64_t)d.fd;
    CHECK_EQ(waker_of(id)->source, WEFT__BY_THREAD);
    CHECK_EQ(waker_of(id)->id, foreign);
    CHECK(waker_of(foreign)->source == WEFT__BY_TIMER || /* or the time was over before the wait */
          waker_of(foreign)->source == WEFT__BY_ITSELF);
    CHECK_EQ(count(&heard, SPAWN, foreign, NULL), 1);
    CHECK_EQ(count(&heard, RUN, foreign, NULL), 2);
    CHECK_EQ(count(&heard, PARK, foreign, NULL), 1);
    CHECK_EQ(count(&heard, READY, foreign, NULL), 1);
    CHECK_EQ(count(&heard, END, foreign, NULL), 1);
}

static void burn(struct doer *d)
{
    while (!nth(&heard, LOST, d->id, NULL, 0))
        continue;
}

TEST(task_that_burns_loses_its_processor_and_comes_back)
{
    struct doer d = {.what = burn};
    const struct event *lost;
    uint64_t id;

    hear();
    id = begin(&d, NULL);
    finish(&d);
    lost = nth(&heard, LOST, id, NULL, 0);
    CHECK_EQ(count(&heard, LOST, id, NULL), 1);
    CHECK(lost->worker == nth(&heard, RUN, id, NULL, 0)->worker);
    CHECK(lost->why == WEFT__BURNT || lost->why == WEFT__STALLED);
    CHECK(lost < nth(&heard, PARK, id, NULL, 0));
    CHECK_EQ(nth(&heard, PARK, id, NULL, 0)->why, WEFT__WAIT_NONE);
    CHECK_EQ(waker_of(id)->source, WEFT__BY_ITSELF);
}

TEST(channels_are_heard_as_they_come_and_go)
{
    weft_chan *before = weft_chan_new(0, 0), *c;

    hear();
    c = weft_chan_new(0, 0);
    weft_chan_free(c);
    weft_chan_free(before);
    deaf();
    weft_chan_free(weft_chan_new(0, 0));
    CHECK_EQ(count(&heard, NEW, 0, NULL), 1);
    CHECK_EQ(count(&heard, NEW, 0, c), 1);
    CHECK_EQ(count(&heard, FREE, 0, c), 1);
    CHECK_EQ(count(&heard, FREE, 0, before), 1);
}

TEST(sinks_hear_the_same_and_a_removed_one_hears_nothing)
{
    static struct log other = {.sink = ALL_EVENTS};
    static const struct weft__heard none;
    struct doer d = {.what = yield};
    uint64_t id;

    hear();
    other.patient = heard.patient;
    CHECK(weft__sinks_add(&other.sink));
    id = begin(&d, NULL);
    wait_until_heard(END, id, NULL);
    weft__sinks_remove(&other.sink);
    deaf();
    for (enum kind k = SPAWN; k <= END; k++)
        CHECK_EQ(count(&other, k, id, NULL), count(&heard, k, id, NULL));
    id = (uint64_t)other.n;
    weft_yield();
    weft_chan_free(weft_chan_new(0, 0));
    CHECK_EQ(other.n, (int)id);
    CHECK(memcmp(&weft__sched.heard, &none, sizeof(none)) == 0);
}

TEST(sink_is_refused_if_there_are_too_many)
{
    static struct weft__event_sink many[WEFT__SINKS + 1];
    int n = 0;

    while (n <= WEFT__SINKS && weft__sinks_add(&many[n]))
        n++;
    CHECK(n > 0 && n < WEFT__SINKS); /* the profiles have some */
    CHECK(!weft__sinks_add(&many[n]));
    weft__sinks_remove(&many[0]);
    CHECK(weft__sinks_add(&many[n]));
    for (int i = 1; i <= n; i++)
        weft__sinks_remove(&many[i]);
}

static int run_main(void *arg)
{
    *(uint64_t *)arg = weft_task_id();
    weft_go(nothing, NULL);
    weft_yield();
    return 0;
}

TEST_PLAIN(start_is_first_and_stop_is_last_in_each_run)
{
    uint64_t id;
    int n;

    CHECK(weft__sinks_add(&heard.sink));
    for (int run = 0; run < 2; run++) {
        atomic_store(&heard.n, 0);
        weft_run(run_main, &id);
        n = atomic_load(&heard.n);
        CHECK_EQ(heard.at[0].kind, START);
        CHECK_EQ(heard.at[1].kind, SPAWN);
        CHECK_EQ(heard.at[1].task, id);
        CHECK_EQ(heard.at[n - 1].kind, STOP);
    }
    deaf();
}
