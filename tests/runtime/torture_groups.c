/* SPDX-License-Identifier: MIT */
/* torture_groups.c - trees of groups whose tasks, waiters and cancelers come and go at random.
 *
 * A node of the tree is a group on a task's stack. It has a deadline, a limit, or neither, and goes
 * on after an error or not. Its tasks are leaves and further nodes. Other tasks cancel it, move its
 * deadline, start tasks in it and wait for it, too. When the wait on that stack has returned, no
 * task of the group may be left: the group's magic number is overwritten, and each task checks it
 * until its end. Limits hold, causes fit the results, and a group that all nodes share is never
 * canceled. If a wait does not end, the watchdog reports it. */
#include "torture.h"

#include <weft/chan.h>
#include <weft/sync.h>
#include <weft/task.h>
#include <weft/time.h>

enum { HOSTS = 4, DEPTH = 4, CHILDREN = 5, CROWD = 400, MAGIC = 0x600df00d, ERRORS = 5 };

struct node {
    uint32_t magic; /* atomic */
    unsigned depth;
    unsigned limit;   /* 0: none */
    bool keeps_going; /* the group does */
    bool leaves_only; /* of a crowd */
    weft_group group;
    int64_t alive;         /* atomic: tasks of the group */
    weft_waitgroup beside; /* tasks that are not of the group but use it */
};

static struct {
    weft_chan *never;
    weft_group shared; /* by every node; nobody cancels it */
    uint64_t nodes, canceled, timed_out, failed, shielded, number; /* atomic */
} all;

static uint64_t fresh_random(void)
{
    return torture_seed(torture_add(&all.number, 1));
}

static weft_time soon(uint64_t *r)
{
    return weft_after(torture_random(r, 800) * WEFT_MICROSECOND);
}

static void expect_alive(struct node *n)
{
    EXPECT(torture_get(&n->magic) == MAGIC);
}

/* ---- tasks of a group ---- */

static void clean_up(void *random)
{
    uint64_t *r = random;

    EXPECT(weft_sleep(torture_random(r, 20) * WEFT_MICROSECOND) == 0);
    EXPECT(weft_chan_recv_until(all.never, NULL, soon(r)) == WEFT_ETIMEDOUT);
    torture_add(&all.shielded, 1);
}

static int live(struct node *n, uint64_t *r)
{
    int rc = 0;

    switch (torture_random(r, 5)) {
    case 0:
        return 0;
    case 1:
        weft_yield();
        return 0;
    case 2:
        rc = weft_chan_recv_until(all.never, NULL, soon(r));
        break;
    case 3:
        rc = weft_sleep_until(soon(r));
        break;
    case 4:
        rc = n->leaves_only ? weft_chan_recv(all.never, NULL) : weft_sleep_until(soon(r));
        break;
    }
    EXPECT(rc == 0 || rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED);
    if (rc == WEFT_ECANCELED) {
        EXPECT(weft_task_is_canceled() && weft_task_cause() == weft_group_cause(&n->group));
        if (torture_random(r, 4) == 0)
            weft_shield(clean_up, r);
        EXPECT(weft_sleep(WEFT_SECOND) == WEFT_ECANCELED);
    }
    return rc == WEFT_ETIMEDOUT ? 0 : rc;
}

static int be_node(unsigned depth, uint64_t *r);

static int be_task(struct node *n)
{
    uint64_t r = fresh_random();
    int64_t alive = torture_add(&n->alive, 1) + 1;
    int rc;

    expect_alive(n);
    EXPECT(n->limit == 0 || alive <= n->limit);
    rc = n->depth > 0 && !n->leaves_only && torture_random(&r, 2) ? be_node(n->depth - 1, &r)
                                                                  : live(n, &r);
    if (rc == 0 && torture_random(&r, 16) == 0) {
        torture_add(&all.failed, 1);
        rc = 1 + (int)torture_random(&r, ERRORS);
    }
    expect_alive(n);
    torture_add(&n->alive, -1);
    return rc;
}

static int with_result(void *node)
{
    return be_task(node);
}

static void without_result(void *node)
{
    struct node *n = node;

    expect_alive(n);
    torture_add(&n->alive, 1);
    weft_sleep_until(weft_after(1000));
    expect_alive(n);
    torture_add(&n->alive, -1);
}

static void start_one(struct node *n, uint64_t *r)
{
    int rc = torture_random(r, 4) || n->limit ? weft_group_go(&n->group, with_result, n)
                                              : weft_group_go(&n->group, without_result, n);

    EXPECT(rc == 0 || (rc == WEFT_ECANCELED && n->limit));
}

/* ---- tasks beside it, for which the frame waits as well ---- */

static void check_result(struct node *n, int rc)
{
    int cause = weft_group_cause(&n->group);

    EXPECT(rc == 0 || rc == WEFT_ECANCELED || rc == WEFT_ETIMEDOUT || (rc > 0 && rc <= ERRORS));
    EXPECT(rc >= 0 || rc == cause);
    EXPECT(rc <= 0 || n->keeps_going || cause != 0);
}

static void use(void *node)
{
    struct node *n = node;
    uint64_t r = fresh_random();

    if (torture_random(&r, 2))
        weft_sleep_until(soon(&r));
    switch (torture_random(&r, 6)) {
    case 0:
        weft_group_cancel(&n->group);
        break;
    case 1:
        weft_group_deadline(&n->group, soon(&r));
        break;
    case 2:
        start_one(n, &r);
        break;
    case 3:
        check_result(n, weft_group_wait(&n->group));
        break;
    case 4:
        check_result(n, weft_group_join(&n->group));
        break;
    default:
        weft_group_wait_until(&n->group, soon(&r));
    }
    weft_waitgroup_done(&n->beside);
}

static int share(void *arg)
{
    (void)arg;
    EXPECT(weft_sleep(1000) == 0);
    return 0;
}

/* ---- the frame ---- */

static int wait_somehow(struct node *n, uint64_t *r)
{
    int rc;

    if (torture_random(r, 4) == 0) {
        rc = weft_group_wait_until(&n->group, soon(r));
        if (rc != WEFT_EPENDING)
            return rc;
        if (torture_random(r, 2))
            weft_group_cancel(&n->group);
    }
    /* Nothing but a canceler ends the tasks that wait for ever. */
    if (n->leaves_only)
        weft_group_cancel(&n->group);
    return torture_random(r, 2) ? weft_group_wait(&n->group) : weft_group_join(&n->group);
}

static void set_up(struct node *n, uint64_t *r)
{
    if (torture_random(r, 3) == 0)
        weft_group_deadline(&n->group, soon(r));
    if (n->keeps_going)
        weft_group_keep_going(&n->group);
    if (n->limit)
        weft_group_limit(&n->group, n->limit);
}

static void populate(struct node *n, uint64_t *r)
{
    unsigned tasks = n->leaves_only ? CROWD : torture_random(r, CHILDREN + 1);
    unsigned users = torture_random(r, 3);

    weft_waitgroup_add(&n->beside, users);
    for (unsigned i = 0; i < tasks; i++)
        start_one(n, r);
    for (unsigned i = 0; i < users; i++)
        weft_go(use, n);
    weft_group_go(&all.shared, share, NULL);
}

static int be_node(unsigned depth, uint64_t *r)
{
    struct node n = {.magic = MAGIC, .depth = depth};
    int rc;

    n.keeps_going = torture_random(r, 3) == 0;
    n.leaves_only = depth == DEPTH && torture_random(r, 8) == 0;
    n.limit = torture_random(r, 3) || n.leaves_only ? 0 : 1 + torture_random(r, 3);
    set_up(&n, r);
    populate(&n, r);
    rc = wait_somehow(&n, r);
    check_result(&n, rc);
    /* Users may have started more; they go first, with a wait that no cancellation ends. */
    weft_shield_begin();
    EXPECT(weft_waitgroup_wait(&n.beside) == 0);
    weft_shield_end();
    weft_group_join(&n.group);
    EXPECT(torture_get(&n.alive) == 0);
    torture_set(&n.magic, 0);
    torture_add(&all.nodes, 1);
    if (weft_group_is_canceled(&n.group))
        torture_add(weft_group_cause(&n.group) == WEFT_ETIMEDOUT ? &all.timed_out : &all.canceled,
                    1);
    return rc == WEFT_ECANCELED || rc == WEFT_ETIMEDOUT ? 0 : rc;
}

static int host(void *arg)
{
    (void)arg;
    while (!torture_stops()) {
        uint64_t r = fresh_random();

        be_node(DEPTH, &r);
        EXPECT(weft_group_cause(&all.shared) == 0);
        if (torture_random(&r, 4) == 0)
            EXPECT(weft_group_wait(&all.shared) == 0);
    }
    return 0;
}

/* The same, by a thread that is no task. */
static void *outsider(void *arg)
{
    (void)arg;
    while (!torture_stops()) {
        uint64_t r = fresh_random();

        be_node(DEPTH, &r);
    }
    return NULL;
}

static int play(void *arg)
{
    weft_group hosts = WEFT_GROUP_INIT;
    pthread_t thread;

    (void)arg;
    all.never = weft_chan_new(1, 0);
    EXPECT(pthread_create(&thread, NULL, outsider, NULL) == 0);
    for (int i = 0; i < HOSTS; i++)
        weft_group_go(&hosts, host, NULL);
    EXPECT(weft_group_wait(&hosts) == 0);
    weft_blocking(torture_join, &thread);
    EXPECT(weft_group_wait(&all.shared) == 0);
    weft_chan_free(all.never);
    return 0;
}

int main(int argc, char **argv)
{
    double s = torture_play(argc, argv, play);

    printf("groups: a second: nodes %.0f canceled %.0f timed out %.0f errors %.0f shielded %.0f\n",
           (double)all.nodes / s, (double)all.canceled / s, (double)all.timed_out / s,
           (double)all.failed / s, (double)all.shielded / s);
    return 0;
}
