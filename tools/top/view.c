/* SPDX-License-Identifier: MIT */
/* view.c - see view.h. Reads goroutine?per_task=1 and mutex, which are profile.proto, and
 * /debug/vars, which is JSON. Owns nothing. */
#include "tools/top/view.h"

#include "profile.pb-c.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#define LARGEST ((size_t)4 << 30) /* of a profile, inflated */

/* A profile with its locations and functions by id. */
struct profile {
    Weft__Pprof__Profile *p;
    const Weft__Pprof__Location **locations; /* by id */
    const Weft__Pprof__Function **functions;
    uint64_t n_locations, n_functions;
};

static int64_t monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Profiles ------------------------------------------------------------------------------------- */

/* Inflates gzip'ed bytes, for free(). Returns NULL if they are damaged, or if there is no memory.
 */
static unsigned char *inflate_all(const char *data, size_t n, size_t *size)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)data, .avail_in = (unsigned)n};
    size_t room = 8 * n + 4096;
    unsigned char *out = NULL, *bigger;
    int rc = inflateInit2(&z, 15 + 16);

    *size = 0;
    while (rc == Z_OK && room < LARGEST && (bigger = realloc(out, room))) {
        out = bigger;
        z.next_out = out + *size;
        z.avail_out = (unsigned)(room - *size);
        rc = inflate(&z, Z_NO_FLUSH);
        *size = room - z.avail_out;
        room *= 2;
    }
    inflateEnd(&z);
    if (rc == Z_STREAM_END)
        return out;
    free(out);
    return NULL;
}

static void profile_free(struct profile *p)
{
    if (p->p)
        weft__pprof__profile__free_unpacked(p->p, NULL);
    free(p->locations);
    free(p->functions);
}

/* Sorts the locations and functions by their ids. Returns false if the ids are not those of weft's
 * profiles, which count from 1. */
static bool index_ids(struct profile *p)
{
    p->n_locations = p->p->n_location + 1;
    p->n_functions = p->p->n_function + 1;
    p->locations = calloc(p->n_locations, sizeof(*p->locations));
    p->functions = calloc(p->n_functions, sizeof(*p->functions));
    for (size_t i = 0; p->locations && i < p->p->n_location; i++) {
        if (p->p->location[i]->id >= p->n_locations)
            return false;
        p->locations[p->p->location[i]->id] = p->p->location[i];
    }
    for (size_t i = 0; p->functions && i < p->p->n_function; i++) {
        if (p->p->function[i]->id >= p->n_functions)
            return false;
        p->functions[p->p->function[i]->id] = p->p->function[i];
    }
    return p->locations && p->functions;
}

static bool profile_get(struct profile *p, const struct source *s, const char *path,
                        char error[128])
{
    size_t n, size;
    char *body = fetch(s, path, &n, error);
    unsigned char *data = body ? inflate_all(body, n, &size) : NULL;

    *p = (struct profile){.p = NULL};
    if (data)
        p->p = weft__pprof__profile__unpack(NULL, size, data);
    free(data);
    if (p->p && index_ids(p)) {
        free(body);
        return true;
    }
    if (body)
        snprintf(error, 128, "%s is no profile", path);
    free(body);
    profile_free(p);
    return false;
}

static const char *string(const struct profile *p, int64_t i)
{
    return i >= 0 && (uint64_t)i < p->p->n_string_table ? p->p->string_table[i] : "";
}

/* Returns the function of a line of the profile; NULL if it has none. */
static const Weft__Pprof__Function *function_of(const struct profile *p, const Weft__Pprof__Line *l)
{
    return l->function_id < p->n_functions ? p->functions[l->function_id] : NULL;
}

/* Rows ----------------------------------------------------------------------------------------- */

/* Copies a text that a row points to, without control characters. */
static char *keep(struct view *v, const char *text)
{
    char *copy = strdup(text), **bigger = realloc(v->texts, (v->n_texts + 1) * sizeof(*bigger));

    if (bigger)
        v->texts = bigger;
    if (!copy || !bigger) {
        free(copy);
        return NULL;
    }
    for (char *c = copy; *c; c++) {
        if (((unsigned char)*c < ' ' && *c != '\n') || *c == 127)
            *c = '?';
    }
    return v->texts[v->n_texts++] = copy;
}

static uint64_t mix(uint64_t key, uint64_t word)
{
    return (key ^ word) * UINT64_C(0x9e3779b97f4a7c15) >> 7 ^ key << 13;
}

static uint64_t key_of(const struct profile *p, const Weft__Pprof__Sample *s, const char *reason)
{
    uint64_t key = s->n_location_id;

    for (size_t i = 0; i < s->n_location_id; i++) {
        uint64_t id = s->location_id[i];

        key = mix(key, id < p->n_locations && p->locations[id] ? p->locations[id]->address : id);
    }
    for (; *reason; reason++)
        key = mix(key, (unsigned char)*reason);
    return key;
}

/* A stack that is being written as text. */
struct text {
    FILE *to;
    long begin;        /* the offset of the first line that is shown */
    const char *first; /* the innermost function of the program's own from there on */
    bool inside;       /* the lines so far are the library's, below a call of the program */
};

/* Adds a line. A task that waits is inside the library: its stack is shown from the library's call
 * on that the program made. */
static void put_line(struct text *t, const char *name, const char *file, int64_t line)
{
    bool ours = strncmp(name, "weft_", 5) == 0;

    if (ftell(t->to) == 0)
        t->inside = strncmp(name, "weft__", 6) == 0;
    if (t->inside && ours && name[5] != '_') {
        t->inside = false;
        t->first = NULL;
        t->begin = ftell(t->to);
    }
    if (!t->first && !ours)
        t->first = name;
    fprintf(t->to, "%s  %s:%" PRId64 "\n", name, file, line);
}

static void put_location(struct text *t, const struct profile *p, const Weft__Pprof__Location *l)
{
    if (l->n_line == 0)
        fprintf(t->to, "0x%" PRIx64 "\n", l->address);
    for (size_t i = 0; i < l->n_line; i++) {
        const Weft__Pprof__Function *f = function_of(p, l->line[i]);

        put_line(t, f ? string(p, f->name) : "?", f ? string(p, f->filename) : "?",
                 l->line[i]->line);
    }
}

/* Returns the function of a row: the first of the program's own, else the first of all. */
static char *function_name(struct view *v, const struct text *t, const char *stack)
{
    char *name = keep(v, t->first ? t->first : stack[0] ? stack : "(no stack)");

    if (name)
        name[strcspn(name, "\n")] = '\0';
    return name;
}

/* Fills in the texts of a row. Returns false if there is no memory. */
static bool describe(struct view *v, struct row *r, const struct profile *p,
                     const Weft__Pprof__Sample *s, const char *reason)
{
    char *text = NULL;
    size_t size;
    struct text t = {.to = open_memstream(&text, &size)};

    for (size_t i = 0; t.to && i < s->n_location_id; i++) {
        uint64_t id = s->location_id[i];

        if (id < p->n_locations && p->locations[id])
            put_location(&t, p, p->locations[id]);
    }
    if (!t.to || fclose(t.to) != 0)
        return false;
    r->stack = keep(v, text + t.begin);
    free(text);
    r->function = r->stack ? function_name(v, &t, r->stack) : NULL;
    r->reason = keep(v, reason);
    return r->function && r->reason;
}

/* Rows by their keys, while a view is made. */
struct index {
    uint32_t *slots; /* index of a row + 1; 0: free */
    size_t size;     /* a power of two, more than twice the rows */
};

static bool index_grow(struct index *ix, const struct row *rows, size_t n)
{
    if (ix->size > 2 * n + 2)
        return true;
    free(ix->slots);
    ix->size = ix->size ? 4 * ix->size : 1024;
    ix->slots = calloc(ix->size, sizeof(*ix->slots));
    for (size_t i = 0; ix->slots && i < n; i++) {
        size_t at = rows[i].key & (ix->size - 1);

        while (ix->slots[at])
            at = (at + 1) & (ix->size - 1);
        ix->slots[at] = (uint32_t)i + 1;
    }
    return ix->slots != NULL;
}

/* Returns the row of a sample, new if it is the first of its group; NULL if there is no memory. */
static struct row *row_of(struct view *v, enum tab tab, struct index *ix, const struct profile *p,
                          const Weft__Pprof__Sample *s, const char *reason)
{
    uint64_t key = key_of(p, s, reason);
    struct row *bigger;
    size_t at;

    if (!index_grow(ix, v->rows[tab], v->n[tab]))
        return NULL;
    for (at = key & (ix->size - 1); ix->slots[at]; at = (at + 1) & (ix->size - 1)) {
        if (v->rows[tab][ix->slots[at] - 1].key == key)
            return &v->rows[tab][ix->slots[at] - 1];
    }
    bigger = realloc(v->rows[tab], (v->n[tab] + 1) * sizeof(*bigger));
    if (!bigger)
        return NULL;
    v->rows[tab] = bigger;
    bigger[v->n[tab]] = (struct row){.key = key};
    if (!describe(v, &bigger[v->n[tab]], p, s, reason))
        return NULL;
    ix->slots[at] = (uint32_t)++v->n[tab];
    return &bigger[v->n[tab] - 1];
}

static bool add_task(struct view *v, struct index *ix, const struct profile *p,
                     const Weft__Pprof__Sample *s)
{
    const char *reason = NULL, *state = "";
    struct row *r;
    int64_t wait = 0;

    for (size_t i = 0; i < s->n_label; i++) {
        const char *key = string(p, s->label[i]->key);

        if (strcmp(key, "reason") == 0)
            reason = string(p, s->label[i]->str);
        else if (strcmp(key, "state") == 0)
            state = string(p, s->label[i]->str);
        else if (strcmp(key, "wait") == 0)
            wait = s->label[i]->num;
    }
    r = row_of(v, TAB_TASKS, ix, p, s, reason ? reason : state);
    if (!r)
        return false;
    r->count++;
    if ((double)wait > r->wait)
        r->wait = (double)wait;
    return true;
}

static bool add_unlock(struct view *v, struct index *ix, const struct profile *p,
                       const Weft__Pprof__Sample *s)
{
    struct row *r = row_of(v, TAB_LOCKS, ix, p, s, "");

    if (!r)
        return false;
    r->count += s->n_value > 0 ? (double)s->value[0] : 0;
    r->wait += s->n_value > 1 ? (double)s->value[1] : 0;
    return true;
}

static bool read_rows(struct view *v, enum tab tab, const struct source *s, const char *path)
{
    struct index ix = {NULL, 0};
    struct profile p;
    bool ok = profile_get(&p, s, path, v->error);

    if (!ok)
        return false;
    for (size_t i = 0; ok && i < p.p->n_sample; i++)
        ok = tab == TAB_TASKS ? add_task(v, &ix, &p, p.p->sample[i])
                              : add_unlock(v, &ix, &p, p.p->sample[i]);
    if (!ok)
        snprintf(v->error, sizeof(v->error), "out of memory");
    free(ix.slots);
    profile_free(&p);
    return ok;
}

/* Rates and numbers ---------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

/* Sorts the rows by key, and finds their rates since the view before. */
static void find_rates(struct view *v, enum tab tab, const struct view *before)
{
    double seconds = before ? (double)(v->taken - before->taken) / 1e9 : 0;

    if (v->n[tab] > 0)
        qsort(v->rows[tab], v->n[tab], sizeof(*v->rows[tab]), by_key);
    for (size_t i = 0; seconds > 0 && i < v->n[tab]; i++) {
        struct row *r = &v->rows[tab][i];
        const struct row *old =
            before->n[tab] ? bsearch(r, before->rows[tab], before->n[tab], sizeof(*r), by_key)
                           : NULL;

        if (tab == TAB_TASKS)
            r->rate = (r->count - (old ? old->count : 0)) / seconds;
        else
            r->rate = (r->wait - (old ? old->wait : 0)) / seconds;
    }
}

static json_int_t number(const json_t *vars, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(vars, "weft"), name));
}

static void read_head(struct view *v, const struct source *s)
{
    size_t n;
    char *body = fetch(s, "/debug/vars", &n, v->error);
    json_t *vars = body ? json_loads(body, 0, NULL) : NULL;

    snprintf(v->head, sizeof(v->head),
             "%" JSON_INTEGER_FORMAT " tasks: %" JSON_INTEGER_FORMAT
             " running, %" JSON_INTEGER_FORMAT " runnable, %" JSON_INTEGER_FORMAT
             " waiting; %" JSON_INTEGER_FORMAT " processors, %" JSON_INTEGER_FORMAT " threads",
             number(vars, "/sched/goroutines:goroutines"),
             number(vars, "/sched/goroutines/running:goroutines"),
             number(vars, "/sched/goroutines/runnable:goroutines"),
             number(vars, "/sched/goroutines/waiting:goroutines"),
             number(vars, "/sched/gomaxprocs:threads"),
             number(vars, "/sched/threads/total:threads"));
    json_decref(vars);
    free(body);
}

struct view *view_take(const struct source *s, const struct view *before)
{
    struct view *v = calloc(1, sizeof(*v));

    if (!v)
        return NULL;
    v->taken = monotonic();
    read_head(v, s);
    if (!v->error[0] && read_rows(v, TAB_TASKS, s, "/debug/pprof/goroutine?per_task=1"))
        read_rows(v, TAB_LOCKS, s, "/debug/pprof/mutex");
    for (enum tab tab = 0; tab < TABS; tab++)
        find_rates(v, tab, before);
    return v;
}

void view_free(struct view *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->n_texts; i++)
        free(v->texts[i]);
    free(v->texts);
    for (enum tab tab = 0; tab < TABS; tab++)
        free(v->rows[tab]);
    free(v);
}
