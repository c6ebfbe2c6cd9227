/* SPDX-License-Identifier: MIT */
/* test_render.c - the renderers and their tables, over synthetic snapshots and made-up symbols.
 *
 *     test_render GOLDEN_DIR OUT_DIR      compares with golden files; OUT_DIR is for readers.sh
 *     test_render --update GOLDEN_DIR     writes the golden files again */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <zlib.h>

#include "fake_symbols.h"
#include "profile.pb-c.h"
#include "profiles/capture/snapshot.h"
#include "profiles/render/counts.h"
#include "profiles/render/output.h"
#include "profiles/render/pprof.h"
#include "profiles/table/marks.h"
#include "profiles/walk/unwind.h"
#include "runtime/sched/wait.h"

#define MINUTE INT64_C(60000000000)
#define NOW    (3000 * MINUTE)

static unsigned passed, failed;

#define CHECK(cond) check(!!(cond), #cond, __func__, __LINE__)

static void check(bool good, const char *what, const char *test, int line)
{
    passed += good;
    failed += !good;
    if (!good)
        printf("not ok - %s:%d: %s\n", test, line, what);
}

/* A sink that keeps its input, and fails with -EPIPE once it would have more than limit. */
struct memory {
    char *data;
    size_t n, limit, calls, calls_after_failure;
    bool failing;
};

static int memory_write(void *arg, const void *data, size_t n)
{
    struct memory *m = arg;

    m->calls++;
    m->calls_after_failure += m->failing;
    if (m->limit && m->n + n > m->limit) {
        m->failing = true;
        return -EPIPE;
    }
    m->data = realloc(m->data, m->n + n + 1);
    memcpy(m->data + m->n, data, n);
    m->n += n;
    m->data[m->n] = 0;
    return 0;
}

static struct weft__sink memory_sink(struct memory *m)
{
    return (struct weft__sink){memory_write, m};
}

/* ---- Snapshots ---- */

enum { MAX_RECORDS = 64 };

static struct weft__record records[MAX_RECORDS];

static uint32_t stack(struct weft__snapshot *s, unsigned n, const uintptr_t *pcs)
{
    struct weft__walk w = {.depth = n, .kept = n};

    memcpy(w.pcs, pcs, n * sizeof *pcs);
    return weft__stacktab_intern(s->stacks, &w);
}

#define STACK(s, ...)                                                                              \
    stack(s, sizeof((uintptr_t[]){__VA_ARGS__}) / sizeof(uintptr_t), (uintptr_t[]){__VA_ARGS__})

static uint32_t deep_stack(struct weft__snapshot *s)
{
    struct weft__walk w = {.kept = WEFT__WALK_KEEP + 1};

    for (unsigned i = 0; i < w.kept; i++)
        w.pcs[i] = FAKE_PC(FAKE_DEEP);
    w.pcs[0] = FAKE_PC(FAKE_RECV);
    w.pcs[WEFT__WALK_INNER] = WEFT__MARK_CUT;
    w.pcs[w.kept - 1] = FAKE_PC(FAKE_WORKER);
    return weft__stacktab_intern(s->stacks, &w);
}

static struct weft__record *add(struct weft__snapshot *s, unsigned state, uint32_t stack_id)
{
    struct weft__record *r = &records[s->n++];

    *r = (struct weft__record){.id = s->n, .state = (uint8_t)state, .stack = stack_id};
    r->creator = 1;
    r->creator_pc = FAKE_PC(FAKE_MAIN);
    s->alive += state != WEFT__REC_NONE;
    return r;
}

static struct weft__record *add_waiting(struct weft__snapshot *s, unsigned reason, int64_t ns,
                                        uint32_t stack_id)
{
    struct weft__record *r = add(s, WEFT__REC_WAITING, stack_id);

    r->reason = (uint8_t)reason;
    r->since = ns >= 0 ? NOW - ns : 0;
    return r;
}

static void add_states(struct weft__snapshot *s)
{
    uint32_t recv = STACK(s, FAKE_PC(FAKE_PARK), FAKE_PC(FAKE_RECV), FAKE_PC(FAKE_WORKER));
    uint32_t work = STACK(s, FAKE_PC(FAKE_WORKER));
    struct weft__record *r;

    r = add_waiting(s, WEFT__WAIT_CHAN_RECV, 5, STACK(s, FAKE_PC(FAKE_MAIN)));
    r->creator = r->creator_pc = 0;
    add(s, WEFT__REC_RUNNABLE, work)->since = 7; /* a stale start of a wait long over */
    add(s, WEFT__REC_RUNNING, work)->flags = WEFT__REC_LOCKED;
    r = add(s, WEFT__REC_SYSCALL, work);
    r->since = NOW - 2 * MINUTE;
    r->flags = WEFT__REC_LOCKED | WEFT__REC_FOREIGN_CREATOR;
    add(s, WEFT__REC_NONE, 0);
    add_waiting(s, WEFT__WAIT_CHAN_RECV, -1, recv);
    add_waiting(s, WEFT__WAIT_CHAN_RECV, MINUTE - 1, recv);
    add_waiting(s, WEFT__WAIT_CHAN_RECV, MINUTE, recv);
    add_waiting(s, WEFT__WAIT_SELECT, 59 * MINUTE + 999, recv);
    add_waiting(s, WEFT__WAIT_IO, 2000 * MINUTE + 1500000000, recv)->flags = WEFT__REC_LOCKED;
    add_waiting(s, WEFT__WAIT_SLEEP, -1, recv)->since = NOW + 5; /* began after the cut */
    add(s, WEFT__REC_RUNNABLE, work)->flags = WEFT__REC_SYSTEM;
    add(s, WEFT__REC_RUNNABLE, STACK(s, FAKE_ENTRY(FAKE_WORKER)))->flags = WEFT__REC_UNSTARTED;
    add(s, WEFT__REC_RUNNING, work)->flags = WEFT__REC_NO_STACK;
    add(s, WEFT__REC_RUNNING, 0)->creator_pc = FAKE_PC(FAKE_SPAWNER);
    add(s, WEFT__REC_RUNNABLE, STACK(s, FAKE_PC(FAKE_PARK)));
}

/* Makes tags with a name over so many labels, which it keeps; they are never freed. All sets have
 * one hash, so that their labels have to be compared. */
static weft__tags *tags_new(const char *name, uint32_t n, const weft_label *labels)
{
    enum { MOST = 4 };
    static _Alignas(weft__tags) char all[64][sizeof(weft__tags) + MOST * sizeof(weft_label)];
    static unsigned used;
    weft__tags *own = (weft__tags *)(void *)all[used++ % 64], *set = NULL;

    memset(own, 0, sizeof(*own));
    if (n > 0) {
        set = name ? (weft__tags *)(void *)all[used++ % 64] : own;
        CHECK(n <= MOST);
        set->n = n;
        set->set = set;
        memcpy(set->labels, labels, n * sizeof(*labels));
    }
    own->name = name;
    own->set = set;
    return own;
}

#define LABELS(...)                                                                                \
    sizeof((weft_label[]){__VA_ARGS__}) / sizeof(weft_label), (weft_label[])                       \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static void add_names(struct weft__snapshot *s)
{
    static const struct {
        const char *name;
        int64_t waited;
    } names[] = {{"plain", 700},
                 {"two words", 1500},
                 {"quote\"back\\slash\n", 12500000},
                 {"", 60000000000},
                 {"a/b.c-d_e", 3723000000001}};
    uint32_t id = STACK(s, FAKE_PC(FAKE_INLINES), FAKE_PC(FAKE_WORKER));

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct weft__record *r = add_waiting(s, WEFT__WAIT_MUTEX, names[i].waited, id);

        r->tags = tags_new(names[i].name, 0, NULL);
        r->object = i == 3 ? NULL : (void *)(uintptr_t)(0xabc0 + i);
        r->owner = i % 2 ? 3 : 0;
    }
}

static void add_symbols(struct weft__snapshot *s)
{
    for (unsigned f = FAKE_HEADER; f <= FAKE_ASSEMBLY; f++)
        add(s, WEFT__REC_RUNNABLE, STACK(s, FAKE_PC(f), FAKE_PC(FAKE_WORKER)))->creator_pc =
            FAKE_PC(f);
    add(s, WEFT__REC_RUNNABLE,
        STACK(s, FAKE_PC(FAKE_WORKER), FAKE_UNKNOWN, FAKE_PC(FAKE_NO_FILE), FAKE_PC(FAKE_MAIN)))
        ->creator_pc = FAKE_UNKNOWN;
    add_waiting(s, WEFT__WAIT_CHAN_RECV, 0, deep_stack(s));
    add(s, WEFT__REC_RUNNING,
        STACK(s, FAKE_PC(FAKE_ASSEMBLY), WEFT__MARK_GUESS, FAKE_PC(FAKE_WORKER), WEFT__MARK_CUT));
}

static struct weft__snapshot snapshot_new(void)
{
    return (struct weft__snapshot){.records = records,
                                   .now = NOW,
                                   .wall = 1700000000123456789,
                                   .stacks = weft__stacktab_new()};
}

static struct weft__snapshot full_snapshot(void)
{
    static struct weft__delay_row delays[] = {{4711, 5678901, 12345}, {4712, 0, 0}};
    struct weft__snapshot s = snapshot_new();

    add_states(&s);
    add_names(&s);
    add_symbols(&s);
    s.first = 4;
    s.sched = (struct weft__sched_counts){.procs = 2,
                                          .threads = 514,
                                          .spares = 1,
                                          .lost = 511,
                                          .max_threads = 514,
                                          .capped = true,
                                          .delays = delays,
                                          .n_delays = 2};
    return s;
}

/* Equal sets in two objects, sets that differ in one value, in their number, and none; all over one
 * stack, and over no stack. */
static struct weft__snapshot labeled_snapshot(void)
{
    struct weft__snapshot s = snapshot_new();
    uint32_t recv = STACK(&s, FAKE_PC(FAKE_PARK), FAKE_PC(FAKE_RECV), FAKE_PC(FAKE_WORKER));
    weft__tags *route = tags_new(NULL, LABELS({"route", "/a"}, {"tenant", "x"}));

    add_waiting(&s, WEFT__WAIT_CHAN_RECV, 5, recv);
    add_waiting(&s, WEFT__WAIT_CHAN_RECV, 1234567, recv)->tags = route;
    add_waiting(&s, WEFT__WAIT_SELECT, -1, recv)->tags = route;
    add(&s, WEFT__REC_RUNNABLE, recv)->tags =
        tags_new("clerk 7", LABELS({"route", "/a"}, {"tenant", "x"}));
    add_waiting(&s, WEFT__WAIT_CHAN_RECV, 0, recv)->tags =
        tags_new(NULL, LABELS({"route", "/a"}, {"tenant", "y"}));
    add_waiting(&s, WEFT__WAIT_CHAN_RECV, 0, recv)->tags = tags_new("bare", 0, NULL);
    add(&s, WEFT__REC_SYSCALL, recv)->tags = tags_new(NULL, LABELS({"route", "/a"}));
    records[s.n - 1].since = NOW - 2 * MINUTE;
    add(&s, WEFT__REC_RUNNING, 0)->tags = route;
    add(&s, WEFT__REC_RUNNING, 0);
    add(&s, WEFT__REC_RUNNABLE, recv)->tags = tags_new(
        NULL, LABELS({"a b", ""}, {"q\"\\\x01\x7f\t", "gr\xc3\xbc\xc3\x9f, "
                                                      "\xe2\x80\xae\xc2\x85\xf0\x9f\x98\x80"}));
    /* Keys that the form of one sample a task has, too. */
    add(&s, WEFT__REC_RUNNABLE, recv)->tags = tags_new(
        NULL, LABELS({"goid", "mine"}, {"name", "kept"}, {"state", "?"}, {"wait", "kept"}));
    return s;
}

/* n tasks, each with a stack of its own. */
static struct weft__snapshot many_snapshot(size_t n)
{
    struct weft__snapshot s = snapshot_new();

    s.records = calloc(n, sizeof *s.records);
    s.n = s.alive = n;
    for (size_t i = 0; i < n; i++)
        s.records[i] = (struct weft__record){
            .id = i + 1,
            .creator = 1,
            .creator_pc = FAKE_PC(FAKE_MAIN),
            .state = WEFT__REC_WAITING,
            .reason = WEFT__WAIT_CHAN_SEND,
            .since = NOW - (int64_t)(i % 3) * MINUTE,
            .stack = STACK(&s, FAKE_PC(FAKE_RECV), FAKE_MANY + 0x100 * i + 0x1f, FAKE_PC(FAKE_CXX),
                           FAKE_PC(FAKE_WORKER)),
        };
    return s;
}

/* ---- Golden files ---- */

static const char *golden_dir, *out_dir;

static void write_file(const char *dir, const char *name, const struct memory *m)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "w");
    CHECK(f);
    if (!f)
        return;
    CHECK(m->n == 0 || fwrite(m->data, m->n, 1, f) == 1);
    fclose(f);
}

static void compare_golden(const char *name, const struct memory *m)
{
    char path[512], *want = calloc(1, m->n + 2);
    FILE *f;
    size_t n;

    if (!out_dir)
        write_file(golden_dir, name, m);
    else
        write_file(out_dir, name, m);
    snprintf(path, sizeof path, "%s/%s", golden_dir, name);
    f = fopen(path, "r");
    CHECK(f);
    if (f) {
        n = fread(want, 1, m->n + 1, f);
        fclose(f);
        if (n != m->n || memcmp(want, m->data, n) != 0)
            printf("# %s differs from the golden file\n", name);
        CHECK(n == m->n && memcmp(want, m->data, n) == 0);
    }
    free(want);
}

static void test_text_equals_golden_files(void)
{
    static const char *const names[] = {NULL, "debug1.txt", "debug2.txt", "debug3.txt"};
    struct weft__snapshot s = full_snapshot();

    for (int debug = 1; debug <= 3; debug++) {
        struct memory m = {0};
        struct weft__sink sink = memory_sink(&m);

        CHECK(weft__tasks_text(&s, debug, &sink) == 0);
        compare_golden(names[debug], &m);
        free(m.data);
    }
    weft__stacktab_free(s.stacks);
}

static void test_labels_equal_golden_files(void)
{
    static const struct {
        const char *name;
        int debug;
    } texts[] = {{"labeled1.txt", 1}, {"labeled3.txt", 3}};
    struct weft__snapshot s = labeled_snapshot();

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct memory m = {0};
        struct weft__sink sink = memory_sink(&m);

        CHECK(weft__tasks_text(&s, texts[i].debug, &sink) == 0);
        compare_golden(texts[i].name, &m);
        free(m.data);
    }
    weft__stacktab_free(s.stacks);
}

static void test_empty_snapshot_renders(void)
{
    struct weft__snapshot s = snapshot_new();

    for (int debug = 1; debug <= 3; debug++) {
        struct memory m = {0};
        struct weft__sink sink = memory_sink(&m);

        CHECK(weft__tasks_text(&s, debug, &sink) == 0);
        CHECK(debug == 1 ? strcmp(m.data, "goroutine profile: total 0\n") == 0 : m.n == 0);
        free(m.data);
    }
    weft__stacktab_free(s.stacks);
}

/* ---- pprof ---- */

static Weft__Pprof__Profile *unpack(const struct memory *m)
{
    size_t room = 1 << 24;
    uint8_t *raw = malloc(room);
    z_stream z = {.next_in = (Bytef *)m->data, .avail_in = (uInt)m->n};
    Weft__Pprof__Profile *profile = NULL;

    z.next_out = raw;
    z.avail_out = (uInt)room;
    CHECK(inflateInit2(&z, MAX_WBITS + 16) == Z_OK);
    CHECK(inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_in == 0);
    profile = weft__pprof__profile__unpack(NULL, z.total_out, raw);
    inflateEnd(&z);
    free(raw);
    CHECK(profile);
    return profile;
}

static void list_type(FILE *f, const char *what, Weft__Pprof__Profile *p, Weft__Pprof__ValueType *t)
{
    fprintf(f, "%s %s/%s\n", what, p->string_table[t->type], p->string_table[t->unit]);
}

static void list_location(FILE *f, Weft__Pprof__Profile *p, const Weft__Pprof__Location *l)
{
    fprintf(f, "location %llu: mapping %llu, address %#llx\n", (unsigned long long)l->id,
            (unsigned long long)l->mapping_id, (unsigned long long)l->address);
    for (size_t i = 0; i < l->n_line; i++) {
        const Weft__Pprof__Function *fn = p->function[l->line[i]->function_id - 1];
        const char *name = p->string_table[fn->name];

        fprintf(f, "  %.*s%s %s:%lld, begins %lld\n", (int)strcspn(name, "\n"), name,
                name[strcspn(name, "\n")] ? "..." : "",
                fn->filename ? p->string_table[fn->filename] : "-", (long long)l->line[i]->line,
                (long long)fn->start_line);
    }
}

static void list_mapping(FILE *f, Weft__Pprof__Profile *p, const Weft__Pprof__Mapping *m)
{
    fprintf(f, "mapping %llu: %#llx-%#llx %#llx %s %s%s%s%s%s\n", (unsigned long long)m->id,
            (unsigned long long)m->memory_start, (unsigned long long)m->memory_limit,
            (unsigned long long)m->file_offset, p->string_table[m->filename],
            p->string_table[m->build_id], m->has_functions ? " functions" : "",
            m->has_filenames ? " filenames" : "", m->has_line_numbers ? " lines" : "",
            m->has_inline_frames ? " inlines" : "");
}

static void list_label(FILE *f, Weft__Pprof__Profile *p, const Weft__Pprof__Label *l)
{
    fprintf(f, " %s=", p->string_table[l->key]);
    if (l->str)
        fprintf(f, "%s", p->string_table[l->str]);
    else
        fprintf(f, "%lld%s", (long long)l->num, p->string_table[l->num_unit]);
}

static void list_sample(FILE *f, Weft__Pprof__Profile *p, const Weft__Pprof__Sample *s)
{
    fprintf(f, "sample");
    for (size_t i = 0; i < s->n_value; i++)
        fprintf(f, " %lld", (long long)s->value[i]);
    fprintf(f, ":");
    for (size_t i = 0; i < s->n_location_id; i++)
        fprintf(f, " %llu", (unsigned long long)s->location_id[i]);
    for (size_t i = 0; i < s->n_label; i++)
        list_label(f, p, s->label[i]);
    fprintf(f, "\n");
}

/* Writes the decoded profile as text, with the generated decoder. */
static struct memory list_profile(const struct memory *encoded)
{
    Weft__Pprof__Profile *p = unpack(encoded);
    struct memory m = {0};
    FILE *f = open_memstream(&m.data, &m.n);

    for (size_t i = 0; i < p->n_sample_type; i++)
        list_type(f, "type", p, p->sample_type[i]);
    list_type(f, "period", p, p->period_type);
    fprintf(f, "period %lld, time %lld, duration %lld, default %s\n", (long long)p->period,
            (long long)p->time_nanos, (long long)p->duration_nanos,
            p->string_table[p->default_sample_type]);
    for (size_t i = 0; i < p->n_mapping; i++)
        list_mapping(f, p, p->mapping[i]);
    for (size_t i = 0; i < p->n_location; i++)
        list_location(f, p, p->location[i]);
    for (size_t i = 0; i < p->n_sample; i++)
        list_sample(f, p, p->sample[i]);
    CHECK(p->n_string_table > 0 && p->string_table[0][0] == 0);
    weft__pprof__profile__free_unpacked(p, NULL);
    fclose(f);
    return m;
}

static void test_pprof_equals_golden_file(void)
{
    struct weft__snapshot s = full_snapshot();
    struct memory m = {0}, listed;
    struct weft__sink sink = memory_sink(&m);

    CHECK(weft__tasks_pprof(&s, &sink) == 0);
    if (out_dir)
        write_file(out_dir, "goroutine.pb.gz", &m);
    listed = list_profile(&m);
    compare_golden("goroutine.pprof.txt", &listed);
    free(listed.data);
    free(m.data);
    weft__stacktab_free(s.stacks);
}

typedef int renderer(const struct weft__snapshot *s, const struct weft__sink *to);

static void compare_profile(const struct weft__snapshot *s, renderer *r, const char *name)
{
    struct memory m = {0}, listed;
    struct weft__sink sink = memory_sink(&m);
    char golden[64], file[64];

    CHECK(r(s, &sink) == 0);
    snprintf(file, sizeof file, "%s.pb.gz", name);
    snprintf(golden, sizeof golden, "%s.pprof.txt", name);
    if (out_dir)
        write_file(out_dir, file, &m);
    listed = list_profile(&m);
    compare_golden(golden, &listed);
    free(listed.data);
    free(m.data);
}

static int render_delta(const struct weft__snapshot *until, const struct weft__sink *to)
{
    struct weft__snapshot from = *until;

    from.n = 2; /* one without labels, one of those that have a route and a tenant */
    return weft__tasks_pprof_delta(&from, until, to);
}

static void test_labels_in_profiles_equal_golden_files(void)
{
    struct weft__snapshot s = labeled_snapshot();

    compare_profile(&s, weft__tasks_pprof, "labeled");
    compare_profile(&s, weft__tasks_pprof_each, "each");
    compare_profile(&s, render_delta, "labeled-delta");
    weft__stacktab_free(s.stacks);
}

static void test_pprof_takes_several_values_and_labels(void)
{
    static const struct weft__pprof_type types[] = {{"samples", "count"}, {"cpu", "nanoseconds"}};
    static const struct weft__pprof_label labels[] = {{"route", "/a b", 0, NULL},
                                                      {"bytes", NULL, 4096, "bytes"}};
    const struct weft__pprof_head head = {.types = types,
                                          .n_types = 2,
                                          .period_type = types[1],
                                          .period = 10000000,
                                          .default_type = "samples",
                                          .time = 5,
                                          .duration = 6};
    const uintptr_t pcs[] = {FAKE_ENTRY(FAKE_WORKER), FAKE_PC(FAKE_MAIN)};
    struct weft__pprof_sample sample = {pcs, 2, true, (int64_t[]){3, -30000000}, labels, 2};
    struct memory m = {0}, listed;
    struct weft__sink sink = memory_sink(&m);
    weft__pprof *p = weft__pprof_begin(&head, &sink);

    CHECK(weft__pprof_add(p, &sample) == 0);
    sample.leaf_exact = false;
    sample.n = 0;
    sample.n_labels = 1;
    CHECK(weft__pprof_add(p, &sample) == 0);
    CHECK(weft__pprof_end(p, 0) == 0);
    listed = list_profile(&m);
    compare_golden("labels.pprof.txt", &listed);
    free(listed.data);
    free(m.data);
}

/* ---- Counts ---- */

#define COUNT(b, count, ...)                                                                       \
    count_stack(b, count, sizeof((uintptr_t[]){__VA_ARGS__}) / sizeof(uintptr_t),                  \
                (uintptr_t[]){__VA_ARGS__})

static void count_stack(weft__buckets *b, int64_t count, size_t n, const uintptr_t *pcs)
{
    struct weft__walk w;

    weft__walk_set(&w, pcs, n);
    weft__buckets_add(b, &w, &count);
}

/* The library's own frames, its call, inlined functions, an unknown address, a mark; equal counts,
 * whose order is that of the text; one without frames. */
static weft__buckets *counts_new(void)
{
    weft__buckets *b = weft__buckets_new(1);

    COUNT(b, 1, FAKE_PC(FAKE_WORKER), WEFT__MARK_MADE_FOR, FAKE_ENTRY(FAKE_DEEP) + 1);
    COUNT(b, 2, FAKE_PC(FAKE_WORKER), FAKE_PC(FAKE_MAIN));
    COUNT(b, 2, FAKE_UNKNOWN, FAKE_PC(FAKE_MAIN));
    COUNT(b, 2, FAKE_PC(FAKE_MAIN));
    COUNT(b, 40, FAKE_PC(FAKE_PARK), FAKE_PC(FAKE_RECV), FAKE_PC(FAKE_INLINES));
    COUNT(b, 60, FAKE_PC(FAKE_PARK), FAKE_PC(FAKE_RECV), FAKE_PC(FAKE_INLINES));
    count_stack(b, 2, 0, NULL);
    COUNT(b, 7, FAKE_PC(FAKE_DEEP));
    COUNT(b, -7, FAKE_PC(FAKE_DEEP));
    return b;
}

static void test_pprof_strings_are_utf8(void)
{
    static const struct weft__pprof_label label = {"route\xff", "\xc3\xa9\xc3", 0, NULL};
    const struct weft__pprof_head head = {.types = (struct weft__pprof_type[]){{"n", "count"}},
                                          .n_types = 1,
                                          .period_type = {"n", "count"}};
    struct weft__pprof_sample sample = {NULL, 0, false, (int64_t[]){1}, &label, 1};
    struct memory m = {0};
    const struct weft__sink sink = memory_sink(&m);
    weft__pprof *p = weft__pprof_begin(&head, &sink);
    Weft__Pprof__Profile *read;
    const Weft__Pprof__Label *l;

    CHECK(weft__pprof_add(p, &sample) == 0 && weft__pprof_add(p, &sample) == 0);
    CHECK(weft__pprof_end(p, 0) == 0);
    read = unpack(&m);
    CHECK(read->sample[0]->label[0]->key == read->sample[1]->label[0]->key);
    l = read->sample[1]->label[0];
    CHECK(strcmp(read->string_table[l->key], "route\xef\xbf\xbd") == 0);
    CHECK(strcmp(read->string_table[l->str], "\xc3\xa9\xef\xbf\xbd") == 0);
    weft__pprof__profile__free_unpacked(read, NULL);
    free(m.data);
}

static const struct weft__pprof_type open_file = {"open files", "count"};
static const struct weft__pprof_head open_files = {.types = &open_file,
                                                   .n_types = 1,
                                                   .period_type = {"open files", "count"},
                                                   .period = 1,
                                                   .time = 1,
                                                   .duration = 5000000000};

static void test_counts_equal_golden_file(void)
{
    weft__buckets *b = counts_new(), *none = weft__buckets_new(1);
    struct memory m = {0}, empty = {0};
    struct weft__sink sink = memory_sink(&m), other = memory_sink(&empty);

    CHECK(weft__counts_text("open files", &open_files, b, &sink) == 0);
    compare_golden("counts.txt", &m);
    CHECK(weft__counts_text("threadcreate", &open_files, none, &other) == 0);
    CHECK(strcmp(empty.data, "threadcreate profile: total 0\n") == 0);
    free(m.data);
    free(empty.data);
    weft__buckets_free(b);
    weft__buckets_free(none);
}

static void test_counts_in_pprof(void)
{
    weft__buckets *b = counts_new();
    struct memory m = {0};
    struct weft__sink sink = memory_sink(&m);
    Weft__Pprof__Profile *p;
    int64_t sum = 0;

    COUNT(b, -3, FAKE_PC(FAKE_SLASH));
    CHECK(weft__counts_pprof(&open_files, b, &sink) == 0);
    if (out_dir)
        write_file(out_dir, "counts.pb.gz", &m);
    p = unpack(&m);
    CHECK(p->n_sample_type == 1 && p->n_sample == 7);
    CHECK(strcmp(p->string_table[p->sample_type[0]->type], "open files") == 0);
    CHECK(strcmp(p->string_table[p->sample_type[0]->unit], "count") == 0);
    CHECK(strcmp(p->string_table[p->period_type->type], "open files") == 0);
    CHECK(p->period == 1 && p->duration_nanos == 5000000000 && p->time_nanos > 0);
    for (size_t i = 0; i < p->n_sample; i++)
        sum += p->sample[i]->value[0];
    CHECK(sum == 109 - 3 && p->sample[0]->value[0] == 100 && p->sample[6]->value[0] == -3);
    weft__pprof__profile__free_unpacked(p, NULL);
    free(m.data);
    weft__buckets_free(b);
}

static int render_form(const weft__buckets *b, enum weft_profile_form form,
                       const struct weft__sink *to)
{
    struct weft__pprof_head head = open_files;

    head.form = form;
    return weft__counts_pprof(&head, b, to);
}

static void test_stacks_fold_into_lines_from_main_to_leaf(void)
{
    weft__buckets *b = counts_new();
    struct memory m = {0};
    const struct weft__sink sink = memory_sink(&m);

    CHECK(render_form(b, WEFT_PROFILE_FOLDED, &sink) == 0);
    CHECK(strcmp(m.data, "outer;middle;leaf;weft_chan_recv;weft__park 100\n"
                         "-- no stack -- 2\n"
                         "main 2\n"
                         "main;worker 2\n"
                         "main;[stripped.so] 2\n"
                         "deep;-- made for --;worker 1\n") == 0);
    free(m.data);
    weft__buckets_free(b);
}

static void test_names_cannot_end_a_line_or_the_data_of_a_page(void)
{
    weft__buckets *b = weft__buckets_new(1);
    struct memory lines = {0}, page = {0};
    const struct weft__sink to_lines = memory_sink(&lines), to_page = memory_sink(&page);

    COUNT(b, 5, FAKE_PC(FAKE_CONTROL), FAKE_PC(FAKE_CXX_DEEP));
    CHECK(render_form(b, WEFT_PROFILE_FOLDED, &to_lines) == 0);
    CHECK(strstr(lines.data, "> >(int, void (*)(int));odd?name? 5\n") != NULL);
    CHECK(render_form(b, WEFT_PROFILE_HTML, &to_page) == 0);
    CHECK(strstr(page.data, "run\\u003cstd::function\\u003cvoid") != NULL);
    CHECK(strstr(page.data, "\"odd\\u000aname\x7f\"") != NULL);
    CHECK(strstr(page.data, "\"calls\":[1,0,0,\n2,1,5]}\n") != NULL);
    free(lines.data);
    free(page.data);
    weft__buckets_free(b);
}

/* ---- Sinks ---- */

enum { EACH = -1 }; /* the form of one sample a task */

static int render(const struct weft__snapshot *s, int debug, const struct weft__sink *to)
{
    switch (debug) {
    case EACH:
        return weft__tasks_pprof_each(s, to);
    case 0:
        return weft__tasks_pprof(s, to);
    default:
        return weft__tasks_text(s, debug, to);
    }
}

static void test_failing_sink_ends_each_rendering_with_its_code(void)
{
    struct weft__snapshot s = many_snapshot(3000);
    size_t limits[] = {1, WEFT__OUT_SIZE, 3 * WEFT__OUT_SIZE};

    for (size_t i = 0; i < 3; i++) {
        for (int debug = EACH; debug <= 3; debug++) {
            struct memory m = {.limit = debug > 0 ? limits[i] : 1};
            struct weft__sink sink = memory_sink(&m);

            CHECK(render(&s, debug, &sink) == -EPIPE);
            CHECK(m.calls_after_failure == 0);
            CHECK(m.n % WEFT__OUT_SIZE == 0);
            free(m.data);
        }
    }
    free(s.records);
    weft__stacktab_free(s.stacks);
}

static void on_alarm(int sig)
{
    (void)sig;
}

static void *slow_reader(void *arg)
{
    struct memory *m = arg;
    char piece[1021];
    ssize_t n;

    while ((n = read((int)m->limit, piece, sizeof piece)) > 0) {
        m->data = realloc(m->data, m->n + (size_t)n);
        memcpy(m->data + m->n, piece, (size_t)n);
        m->n += (size_t)n;
        if (m->n % 4096 < 1021)
            usleep(200);
    }
    return NULL;
}

/* Signals cut the writes to a full pipe short; nothing may be lost or doubled. */
static void test_descriptor_sink_survives_partial_writes(void)
{
    struct weft__snapshot s = many_snapshot(3000);
    struct sigaction act = {.sa_handler = on_alarm};
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    struct memory want = {0}, got = {0};
    struct weft__sink sink = memory_sink(&want);
    sigset_t alarms;
    pthread_t reader;
    int fds[2];

    CHECK(weft__tasks_text(&s, 2, &sink) == 0);
    CHECK(pipe(fds) == 0);
    got.limit = (size_t)fds[0];
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarms, NULL);
    pthread_create(&reader, NULL, slow_reader, &got);
    pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
    sigaction(SIGALRM, &act, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    sink = weft__sink_fd(fds[1]);
    CHECK(weft__tasks_text(&s, 2, &sink) == 0);
    setitimer(ITIMER_REAL, &never, NULL);
    close(fds[1]);
    pthread_join(reader, NULL);
    close(fds[0]);
    CHECK(got.n == want.n && memcmp(got.data, want.data, want.n) == 0);
    if (out_dir)
        write_file(out_dir, "many.txt", &got);
    CHECK(weft__tasks_text(&s, 2, &sink) == -EBADF);
    free(want.data);
    free(got.data);
    free(s.records);
    weft__stacktab_free(s.stacks);
}

/* ---- Running out of memory ---- */

/* The linker sends every allocation of the program here (--wrap in CMakeLists.txt). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);

/* How many allocations succeed before one fails; < 0: all do. It is set while one thread runs. */
static long left = -1;

static bool fails(void)
{
    return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
    return fails() ? NULL : __real_calloc(n, m);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

static int null_write(void *arg, const void *data, size_t n)
{
    (void)arg;
    (void)data;
    (void)n;
    return 0;
}

/* Only the list of mappings may be missing without an error. */
static void test_each_failed_allocation_ends_the_rendering(void)
{
    const struct weft__sink sink = {null_write, NULL};
    struct weft__snapshot s = many_snapshot(300);

    for (size_t i = 0; i < 300; i += 3)
        s.records[i].tags = tags_new(NULL, LABELS({"route", "/a"}, {"tenant", "x"}));
    for (int debug = EACH; debug <= 3; debug++) {
        bool failed_one = true;
        unsigned whole = 0;

        CHECK(render(&s, debug, &sink) == 0); /* fills the symbolizer's cache */
        for (long nth = 0; failed_one; nth++) {
            int rc;

            left = nth;
            rc = render(&s, debug, &sink);
            failed_one = left < 0;
            left = -1;
            whole += rc != -ENOMEM;
        }
        CHECK(whole == (debug > 0 ? 1 : 2));
    }
    free(s.records);
    weft__stacktab_free(s.stacks);
}

enum { TEXT = -1 }; /* beside the forms */

static int render_counts(const weft__buckets *b, int form, const struct weft__sink *to)
{
    return form == TEXT ? weft__counts_text("open files", &open_files, b, to)
                        : render_form(b, (enum weft_profile_form)form, to);
}

static void test_each_failed_allocation_ends_the_rendering_of_counts(void)
{
    const struct weft__sink sink = {null_write, NULL};
    weft__buckets *b = counts_new();

    for (int form = TEXT; form <= WEFT_PROFILE_HTML; form++) {
        bool failed_one = true;
        unsigned whole = 0;

        CHECK(render_counts(b, form, &sink) == 0);
        for (long nth = 0; failed_one; nth++) {
            int rc;

            left = nth;
            rc = render_counts(b, form, &sink);
            failed_one = left < 0;
            left = -1;
            whole += rc != -ENOMEM;
        }
        CHECK(whole == (form == TEXT ? 1 : 2));
    }
    weft__buckets_free(b);
}

/* ---- Stack table ---- */

enum { THREADS = 4, STACKS = 20000 };

static void make_stack(struct weft__walk *w, uint32_t i)
{
    w->depth = w->kept = 1 + i % 9;
    for (uint32_t k = 0; k < w->kept; k++)
        w->pcs[k] = k + 1 == w->kept ? 0x1000 + i : 0x5000 + k;
}

struct interner {
    weft__stacktab *table;
    uint32_t seed;
    uint32_t ids[STACKS];
};

/* All threads intern the same stacks, each in another order, and compare what they read back. */
static void *intern_all(void *arg)
{
    struct interner *in = arg;
    struct weft__walk *w = calloc(1, sizeof *w);

    for (uint32_t k = 0; k < STACKS; k++) {
        uint32_t i = (k * 7919 + in->seed) % STACKS;
        const struct weft__stack_entry *e;

        make_stack(w, i);
        in->ids[i] = weft__stacktab_intern(in->table, w);
        e = weft__stacktab_get(in->table, in->ids[i]);
        if (e->kept != w->kept || memcmp(e->pcs, w->pcs, w->kept * sizeof w->pcs[0]) != 0)
            in->ids[i] = 0;
        e = weft__stacktab_get(in->table, weft__stacktab_count(in->table));
        if (e->kept < 1 || e->kept > 9)
            in->ids[i] = 0;
    }
    free(w);
    return NULL;
}

static void test_threads_interning_the_same_stacks_get_the_same_ids(void)
{
    struct interner *in = calloc(THREADS, sizeof *in);
    weft__stacktab *table = weft__stacktab_new();
    bool *seen = calloc(STACKS + 1, sizeof *seen);
    pthread_t threads[THREADS];
    unsigned bad = 0;

    for (uint32_t t = 0; t < THREADS; t++) {
        in[t].table = table;
        in[t].seed = t * 4999;
        pthread_create(&threads[t], NULL, intern_all, &in[t]);
    }
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    CHECK(weft__stacktab_count(table) == STACKS);
    for (uint32_t i = 0; i < STACKS; i++) {
        uint32_t id = in[0].ids[i];

        bad += id == 0 || id > STACKS || seen[id];
        seen[id <= STACKS ? id : 0] = true;
        for (unsigned t = 1; t < THREADS; t++)
            bad += in[t].ids[i] != id;
    }
    CHECK(bad == 0);
    free(seen);
    free(in);
    weft__stacktab_free(table);
}

static void test_failed_allocation_costs_one_stack_and_leaves_ids_dense(void)
{
    enum { N = 5000 };
    for (long nth = 1; nth < 150; nth++) {
        weft__stacktab *table = weft__stacktab_new();
        struct weft__walk w = {.depth = 2, .kept = 2};
        uint32_t lost = 0, highest = 0;

        left = nth;
        for (uint32_t i = 0; i < N; i++) {
            uint32_t id;

            w.pcs[0] = i;
            id = weft__stacktab_intern(table, &w);
            lost += id == 0;
            highest = id > highest ? id : highest;
        }
        left = -1;
        CHECK(lost <= 1 && highest == N - lost && weft__stacktab_count(table) == highest);
        weft__stacktab_free(table);
    }
}

static void run(const char *name, void (*test)(void))
{
    unsigned before = failed;

    test();
    printf("%s - %s\n", failed == before ? "ok" : "not ok", name);
}

#define RUN(test) run(#test, test)

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: test_render GOLDEN_DIR OUT_DIR | --update GOLDEN_DIR\n");
        return 2;
    }
    if (strcmp(argv[1], "--update") == 0) {
        golden_dir = argv[2];
    } else {
        golden_dir = argv[1];
        out_dir = argv[2];
        mkdir(out_dir, 0777);
    }
    RUN(test_text_equals_golden_files);
    RUN(test_labels_equal_golden_files);
    RUN(test_empty_snapshot_renders);
    RUN(test_pprof_equals_golden_file);
    RUN(test_labels_in_profiles_equal_golden_files);
    RUN(test_pprof_takes_several_values_and_labels);
    RUN(test_pprof_strings_are_utf8);
    RUN(test_counts_equal_golden_file);
    RUN(test_counts_in_pprof);
    RUN(test_stacks_fold_into_lines_from_main_to_leaf);
    RUN(test_names_cannot_end_a_line_or_the_data_of_a_page);
    RUN(test_failing_sink_ends_each_rendering_with_its_code);
    RUN(test_descriptor_sink_survives_partial_writes);
    RUN(test_each_failed_allocation_ends_the_rendering);
    RUN(test_each_failed_allocation_ends_the_rendering_of_counts);
    RUN(test_threads_interning_the_same_stacks_get_the_same_ids);
    RUN(test_failed_allocation_costs_one_stack_and_leaves_ids_dense);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
