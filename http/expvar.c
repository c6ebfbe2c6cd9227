/* SPDX-License-Identifier: MIT */
/* expvar.c - named values and their JSON, laid out as Go's expvar does (../shared/FORMATS is where
 * the layout was checked against real servers): one value a line, sorted by name.
 *
 * Owns: the values, which are never freed, and two kinds of lists of them: the published ones, and
 * those in a map. Lists are sorted by name and guarded by one lock (rank OBJECT), and so are
 * strings and JSON values; numbers are atomic. Nothing of the program runs under the lock: lists
 * are copied before they are written. */
#include "expvar.h"

#include "json.h"

#include "../runtime/lock.h"

#include <weft/expvar.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INT_FUNC = WEFT_EXPVAR_JSON + 1, JSON_FUNC, BUILT_IN };

struct entry {
    char *name;
    weft_expvar *value;
};

struct list {
    struct entry *entries;
    size_t n, cap;
};

struct weft_expvar {
    weft_expvar *next; /* in all; constant */
    int kind;
    int64_t number;   /* INT; atomic */
    uint64_t bits;    /* FLOAT: those of a double; atomic */
    char *text;       /* STRING */
    json_t *json;     /* JSON; NULL: null */
    struct list list; /* MAP */
    union {
        weft_expvar_int_fn *int_fn;
        weft_expvar_json_fn *json_fn;
        void (*put)(FILE *out); /* BUILT_IN */
    };
    void *arg;
};

static uint32_t lock;
static weft_expvar *all; /* atomic: every one ever made, so that leak checkers know of it */

static void put_cmdline(FILE *out);

static weft_expvar built_in[] = {
    {.kind = BUILT_IN, .put = put_cmdline},
    {.kind = BUILT_IN, .put = weft__memstats_put},
    {.kind = BUILT_IN, .put = weft__runtime_put},
};
static struct entry first[] = {
    {(char *)"cmdline", &built_in[0]},
    {(char *)"memstats", &built_in[1]},
    {(char *)"weft", &built_in[2]},
};
static struct list published = {first, 3, 0}; /* cap 0: not from malloc */

/* Lists ---------------------------------------------------------------------------------------- */

/* Where name is, or where it would stand. */
static size_t find(const struct list *l, const char *name)
{
    size_t lo = 0, hi = l->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (strcmp(l->entries[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool has(const struct list *l, size_t at, const char *name)
{
    return at < l->n && strcmp(l->entries[at].name, name) == 0;
}

static struct entry *copy(const struct list *l, size_t cap)
{
    struct entry *entries = weft__alloc(cap, sizeof(*entries));

    if (l->n)
        memcpy(entries, l->entries, l->n * sizeof(*entries));
    return entries;
}

static char *copy_text(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(weft__alloc(1, n), s, n);
}

static void insert(struct list *l, size_t at, const char *name, weft_expvar *value)
{
    if (l->n >= l->cap) {
        size_t cap = 2 * l->n + 4;
        struct entry *entries = copy(l, cap);

        if (l->cap)
            weft__free(l->entries);
        l->entries = entries;
        l->cap = cap;
    }
    memmove(&l->entries[at + 1], &l->entries[at], (l->n - at) * sizeof(*l->entries));
    l->entries[at] = (struct entry){copy_text(name), value};
    l->n++;
}

static void take_out(struct list *l, size_t at)
{
    weft__free(l->entries[at].name);
    l->n--;
    memmove(&l->entries[at], &l->entries[at + 1], (l->n - at) * sizeof(*l->entries));
}

/* Values --------------------------------------------------------------------------------------- */

static weft_expvar *make(int kind)
{
    weft_expvar *v = weft__alloc(1, sizeof(*v));

    v->kind = kind;
    v->next = weft__load(&all);
    while (!weft__cas(&all, &v->next, v))
        ;
    return v;
}

static weft_expvar *publish(const char *name, weft_expvar *v)
{
    size_t at;

    weft__lock(&lock);
    at = find(&published, name);
    if (has(&published, at, name)) {
        weft__unlock(&lock);
        weft__panic("Reuse of exported var name: %s", name);
    }
    insert(&published, at, name, v);
    weft__unlock(&lock);
    return v;
}

weft_expvar *weft_expvar_new(const char *name, enum weft_expvar_kind kind)
{
    if ((unsigned)kind > WEFT_EXPVAR_JSON)
        weft__panic("weft: weft_expvar_new of kind %d, which there is not", (int)kind);
    return name ? publish(name, make((int)kind)) : make((int)kind);
}

void weft_expvar_new_int_func(const char *name, weft_expvar_int_fn *fn, void *arg)
{
    weft_expvar *v = make(INT_FUNC);

    v->int_fn = fn;
    v->arg = arg;
    publish(name, v);
}

void weft_expvar_new_json_func(const char *name, weft_expvar_json_fn *fn, void *arg)
{
    weft_expvar *v = make(JSON_FUNC);

    v->json_fn = fn;
    v->arg = arg;
    publish(name, v);
}

static weft_expvar *must_be(weft_expvar *v, enum weft_expvar_kind kind, const char *call)
{
    static const char *const names[] = {"INT", "FLOAT", "STRING", "MAP", "JSON"};

    if (!v || v->kind != (int)kind)
        weft__panic("weft: %s of a value that is no %s", call, names[kind]);
    return v;
}

void weft_expvar_add(weft_expvar *v, int64_t n)
{
    weft__add(&must_be(v, WEFT_EXPVAR_INT, "weft_expvar_add")->number, n);
}

void weft_expvar_set(weft_expvar *v, int64_t n)
{
    weft__store(&must_be(v, WEFT_EXPVAR_INT, "weft_expvar_set")->number, n);
}

int64_t weft_expvar_value(weft_expvar *v)
{
    return weft__load(&must_be(v, WEFT_EXPVAR_INT, "weft_expvar_value")->number);
}

static uint64_t to_bits(double x)
{
    uint64_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static double from_bits(uint64_t bits)
{
    double x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

void weft_expvar_add_float(weft_expvar *v, double x)
{
    uint64_t was = weft__load(&must_be(v, WEFT_EXPVAR_FLOAT, "weft_expvar_add_float")->bits);

    while (!weft__cas(&v->bits, &was, to_bits(from_bits(was) + x)))
        ;
}

void weft_expvar_set_float(weft_expvar *v, double x)
{
    weft__store(&must_be(v, WEFT_EXPVAR_FLOAT, "weft_expvar_set_float")->bits, to_bits(x));
}

void weft_expvar_set_string(weft_expvar *v, const char *s)
{
    char *text = copy_text(s), *old;

    must_be(v, WEFT_EXPVAR_STRING, "weft_expvar_set_string");
    weft__lock(&lock);
    old = v->text;
    v->text = text;
    weft__unlock(&lock);
    weft__free(old);
}

int weft_expvar_set_json(weft_expvar *v, const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL), *old;

    must_be(v, WEFT_EXPVAR_JSON, "weft_expvar_set_json");
    if (!json)
        return WEFT_EINVAL;
    weft__lock(&lock);
    old = v->json;
    v->json = json;
    weft__unlock(&lock);
    json_decref(old);
    return 0;
}

void weft_expvar_map_add(weft_expvar *v, const char *name, int64_t n)
{
    struct list *l = &must_be(v, WEFT_EXPVAR_MAP, "weft_expvar_map_add")->list;
    weft_expvar *value;
    size_t at;

    weft__lock(&lock);
    at = find(l, name);
    if (!has(l, at, name))
        insert(l, at, name, make(WEFT_EXPVAR_INT));
    value = l->entries[at].value;
    weft__unlock(&lock);
    weft_expvar_add(value, n);
}

void weft_expvar_map_set(weft_expvar *v, const char *name, weft_expvar *value)
{
    struct list *l = &must_be(v, WEFT_EXPVAR_MAP, "weft_expvar_map_set")->list;
    size_t at;

    weft__lock(&lock);
    at = find(l, name);
    if (has(l, at, name) && value)
        l->entries[at].value = value;
    else if (value)
        insert(l, at, name, value);
    else if (has(l, at, name))
        take_out(l, at);
    weft__unlock(&lock);
}

/* Writing -------------------------------------------------------------------------------------- */

static void put_value(FILE *out, weft_expvar *v);

/* The names in a copy may be freed meanwhile, so they are copied too. */
static struct list list_copy(const struct list *l)
{
    struct list c;

    weft__lock(&lock);
    c = (struct list){copy(l, l->n + 1), l->n, l->n + 1};
    for (size_t i = 0; i < c.n; i++)
        c.entries[i].name = copy_text(c.entries[i].name);
    weft__unlock(&lock);
    return c;
}

static void list_free(struct list *l)
{
    for (size_t i = 0; i < l->n; i++)
        weft__free(l->entries[i].name);
    weft__free(l->entries);
}

static void put_list(FILE *out, const struct list *l, const char *between)
{
    struct list c = list_copy(l);

    for (size_t i = 0; i < c.n; i++) {
        if (i > 0)
            fputs(between, out);
        weft__json_put_string(out, c.entries[i].name);
        fputs(": ", out);
        put_value(out, c.entries[i].value);
    }
    list_free(&c);
}

static void put_string(FILE *out, weft_expvar *v)
{
    char *text;

    weft__lock(&lock);
    text = copy_text(v->text ? v->text : "");
    weft__unlock(&lock);
    weft__json_put_string(out, text);
    weft__free(text);
}

static void put_json(FILE *out, weft_expvar *v)
{
    json_t *json;

    weft__lock(&lock);
    json = json_incref(v->json);
    weft__unlock(&lock);
    weft__json_put(out, json);
    json_decref(json);
}

static void put_json_func(FILE *out, weft_expvar *v)
{
    char *text = v->json_fn(v->arg);
    json_t *json = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

    weft__json_put(out, json);
    json_decref(json);
    free(text);
}

static void put_value(FILE *out, weft_expvar *v)
{
    switch (v->kind) {
    case WEFT_EXPVAR_INT:
        fprintf(out, "%" PRId64, weft__load(&v->number));
        break;
    case WEFT_EXPVAR_FLOAT:
        weft__json_put_float(out, from_bits(weft__load(&v->bits)));
        break;
    case WEFT_EXPVAR_STRING:
        put_string(out, v);
        break;
    case WEFT_EXPVAR_MAP:
        putc('{', out);
        put_list(out, &v->list, ", ");
        putc('}', out);
        break;
    case WEFT_EXPVAR_JSON:
        put_json(out, v);
        break;
    case INT_FUNC:
        fprintf(out, "%" PRId64, v->int_fn(v->arg));
        break;
    case JSON_FUNC:
        put_json_func(out, v);
        break;
    default:
        v->put(out);
    }
}

void weft__expvar_put(FILE *out)
{
    fputs("{\n", out);
    put_list(out, &published, ",\n");
    fputs("\n}\n", out);
}

/* Files of /proc tell no size. */
char *weft__cmdline(size_t *n)
{
    FILE *file = fopen("/proc/self/cmdline", "re");
    char *text = NULL;
    size_t cap = 0;
    ssize_t length;

    if (!file)
        return NULL;
    length = getdelim(&text, &cap, EOF, file);
    fclose(file);
    *n = length > 0 ? (size_t)length : 0;
    return text;
}

static void put_cmdline(FILE *out)
{
    size_t n = 0;
    char *text = weft__cmdline(&n);

    putc('[', out);
    for (size_t at = 0; at < n; at += strlen(text + at) + 1) {
        if (at > 0)
            putc(',', out);
        weft__json_put_string(out, text + at);
    }
    putc(']', out);
    free(text);
}

int weft_expvar_write(int fd)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    int rc = 0;

    if (!out)
        return WEFT_ENOMEM;
    weft__expvar_put(out);
    if (fclose(out) != 0)
        rc = WEFT_ENOMEM;
    for (size_t at = 0; rc == 0 && at < n;) {
        ssize_t did = write(fd, text + at, n - at);

        if (did >= 0)
            at += (size_t)did;
        else if (errno != EINTR)
            rc = -errno;
    }
    free(text);
    return rc;
}
