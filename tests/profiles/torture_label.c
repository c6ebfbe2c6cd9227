/* SPDX-License-Identifier: MIT */
/* torture_label.c - tasks change their labels, start others and end while snapshots are taken, kept
 * and written: `torture_label SECONDS SEED`.
 *
 * Each task sleeps or receives under a label that says which of the two. Every set has two labels
 * with one value, and a hash of its content. Each snapshot must agree with that; some are checked
 * long after their tasks have gone. */
#include "torture.h"

#include "profiles/capture/tasks.h"
#include "runtime/sched/wait.h"

#include <weft/chan.h>
#include <weft/dump.h>
#include <weft/label.h>
#include <weft/task.h>
#include <weft/time.h>

#include <fcntl.h>
#include <string.h>

enum { ACTORS = 40, KEPT = 3, VALUES = 50, CHILDREN = 200 };

static uint64_t changes, judged, written, born; /* atomic */
static uint32_t alive;                          /* atomic: children */
static weft_chan *nothing_comes;
static int sink = -1;

/* Tasks -----------------------------------------------------------------------------------------*/

static void set_random(uint64_t *r, int (*set)(const weft_label *, int))
{
    char value[WEFT_LABEL_VALUE_MAX + 1];
    weft_label labels[] = {{"z", value}, {"a", value}};

    memset(value, 'v', sizeof(value));
    snprintf(value + torture_random(r, 200), 8, "%u", torture_random(r, VALUES));
    EXPECT(set(labels, 2) == 0);
    torture_add(&changes, 1);
}

static void check_own(void)
{
    const char *a = weft_label_get("a"), *z = weft_label_get("z");

    EXPECT((!a && !z) || (a && z && strcmp(a, z) == 0));
}

static void sleep_a_bit(void *r)
{
    EXPECT(strcmp(weft_label_get("at"), "sleep") == 0);
    weft_sleep(torture_random(r, 300) * WEFT_MICROSECOND);
    EXPECT(strcmp(weft_label_get("at"), "sleep") == 0);
}

static void receive_a_bit(void *r)
{
    weft_chan_recv_until(nothing_comes, NULL,
                         weft_after(torture_random(r, 300) * WEFT_MICROSECOND));
    EXPECT(strcmp(weft_label_get("at"), "recv") == 0);
}

static void act(uint64_t *r);

static void child(void *seed)
{
    uint64_t r = torture_seed((uintptr_t)seed);

    check_own();
    if (torture_random(&r, 2))
        act(&r);
    torture_add(&alive, -1u);
}

static void deeper(void *r)
{
    set_random(r, torture_random(r, 2) ? weft_labels_set : weft_labels_add);
    if (torture_random(r, 2))
        act(r);
    check_own();
}

static void start_child(void)
{
    weft_go_options named = {.name = "child"};
    uintptr_t n = torture_add(&born, 1);

    if (torture_add(&alive, 1) < CHILDREN)
        weft_go_with(n % 3 ? NULL : &named, child, (void *)(n + ACTORS));
    else
        torture_add(&alive, -1u);
}

/* Runs in the task's own code for so long that snapshots see it there. */
static void change_often(uint64_t *r)
{
    for (int i = torture_random(r, 50) == 0 ? 3000 : 3; i > 0; i--)
        set_random(r, weft_labels_set);
}

static void act(uint64_t *r)
{
    switch (torture_random(r, 7)) {
    case 0:
        EXPECT(weft_labels_do((weft_label[]){{"at", "sleep"}}, 1, sleep_a_bit, r) == 0);
        break;
    case 1:
        EXPECT(weft_labels_do((weft_label[]){{"at", "recv"}}, 1, receive_a_bit, r) == 0);
        break;
    case 2:
        EXPECT(weft_labels_do((weft_label[]){{"deep", "er"}}, 1, deeper, r) == 0);
        break;
    case 3:
        weft_task_name(torture_random(r, 2) ? "renamed" : NULL);
        break;
    case 4:
        weft_yield();
        break;
    case 5:
        change_often(r);
        break;
    default:
        start_child();
    }
    check_own();
}

static int actor(void *seed)
{
    uint64_t r = torture_seed((uintptr_t)seed);

    while (!torture_stops())
        act(&r);
    return 0;
}

/* A thread that is no task. */
static void *outsider(void *arg)
{
    uint64_t r = torture_seed(ACTORS - 1);

    (void)arg;
    while (!torture_stops())
        act(&r);
    return NULL;
}

/* Judging ---------------------------------------------------------------------------------------*/

static const char *value_of(const weft__tags *set, const char *key)
{
    for (uint32_t i = 0; set && i < set->n; i++) {
        if (strcmp(set->labels[i].key, key) == 0)
            return set->labels[i].value;
    }
    return "";
}

static uint64_t hash_of(const weft__tags *set)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (uint32_t i = 0; i < 2 * set->n; i++) {
        const char *s = i % 2 ? set->labels[i / 2].value : set->labels[i / 2].key;

        for (size_t k = 0; k <= strlen(s); k++)
            hash = (hash ^ (unsigned char)s[k]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static void judge(const struct weft__snapshot *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct weft__record *r = &s->records[i];
        const weft__tags *set = weft__tags_set(r->tags);
        const char *name = weft__tags_name(r->tags);

        if (r->state == WEFT__REC_NONE)
            continue;
        if (r->state == WEFT__REC_WAITING && r->reason == WEFT__WAIT_SLEEP)
            EXPECT(strcmp(value_of(set, "at"), "sleep") == 0);
        if (r->state == WEFT__REC_WAITING && r->reason == WEFT__WAIT_CHAN_RECV)
            EXPECT(strcmp(value_of(set, "at"), "recv") == 0);
        EXPECT(strcmp(value_of(set, "a"), value_of(set, "z")) == 0);
        EXPECT(!set || set->hash == hash_of(set));
        EXPECT(!name || strcmp(name, "child") == 0 || strcmp(name, "renamed") == 0);
    }
    torture_add(&judged, 1);
}

static int judge_often(void *arg)
{
    const struct weft__snapshot *kept[KEPT] = {NULL};

    for (int i = 0; !torture_stops(); i = (i + 1) % KEPT) {
        const struct weft__snapshot *s;

        EXPECT(weft__snapshot_get(&s) == 0);
        judge(s);
        if (kept[i])
            judge(kept[i]);
        weft__snapshot_put(kept[i]);
        kept[i] = s;
        weft_yield();
    }
    for (int i = 0; i < KEPT; i++)
        weft__snapshot_put(kept[i]);
    (void)arg;
    return 0;
}

static int write_often(void *arg)
{
    static const enum weft_dump_form forms[] = {WEFT_DUMP_MERGED, WEFT_DUMP_PPROF, WEFT_DUMP_FULL,
                                                WEFT_DUMP_PPROF_EACH};

    (void)arg;
    for (int i = 0; !torture_stops(); i++) {
        EXPECT(weft_dump(sink, &(weft_dump_options){.form = forms[i % 4]}) == 0);
        torture_add(&written, 1);
    }
    return 0;
}

/* The run ---------------------------------------------------------------------------------------*/

/* The tasks that still act when it returns are discarded inside weft_labels_do. */
static int play(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;
    pthread_t thread;

    (void)arg;
    for (uintptr_t i = 0; i < ACTORS; i++)
        weft_group_go(&g, actor, (void *)i);
    weft_group_go(&g, judge_often, NULL);
    weft_group_go(&g, judge_often, NULL);
    weft_group_go(&g, write_often, NULL);
    EXPECT(pthread_create(&thread, NULL, outsider, NULL) == 0);
    weft_blocking(torture_join, &thread);
    EXPECT(weft_group_join(&g) == 0);
    return 0;
}

int main(int argc, char **argv)
{
    sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
    nothing_comes = weft_chan_new(0, 0);
    torture_begin(argc, argv);
    weft_run(play, NULL);
    torture_end();
    weft_chan_free(nothing_comes);
    printf("label: %llu sets, %llu children, %llu snapshots judged, %llu dumps\n",
           (unsigned long long)changes, (unsigned long long)born, (unsigned long long)judged,
           (unsigned long long)written);
    return 0;
}
