/* SPDX-License-Identifier: MIT */
/* expvar.c - named values and their JSON, laid out as Go's expvar does and checked against the
 * answers of its servers: one value a line, sorted by name.
 *
 * Owns: the values, which are never freed, and two kinds of lists of them: the published values,
 * and the values in a map. Lists are sorted by name.
 * Lock: `lock` (rank OBJECT) guards all lists and texts; numbers are atomic. No function of the
 * program runs under it: a list is copied before it is written.
 * Always: no map contains itself, directly or through other maps.
 * Any task or thread may call the public functions, with no lock held.
 *
 * The document is written to memory first. If memory runs out, none of it is shown: half a document
 * would look like a program that has lost its values. */
#include "http/debug/expvar.h"

#include "http/debug/json.h"

#include "runtime/base/lock.h"

#include <weft/expvar.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Kinds beside those of weft/expvar.h. */
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
    weft_expvar *next;       /* in all; constant */
    int kind;                /* constant */
    int64_t number;          /* of an INT; atomic */
    uint64_t bits;           /* of a FLOAT: those of a double; atomic */
    char *text;              /* of a STRING or JSON; NULL: never set; guarded by lock */
    struct list list;        /* of a MAP; guarded by lock */
    weft_expvar *to_look_at; /* links maps while would_loop runs; guarded by lock */
    uint32_t seen;           /* the number of the latest search that came here; guarded by lock */
    union {
        weft_expvar_int_fn *int_fn;
        weft_expvar_json_fn *json_fn;
        void (*put)(weft__json *out); /* BUILT_IN */
    };
    void *arg;
};

static uint32_t lock;
static uint32_t searches; /* the number of calls of would_loop; guarded by lock */
static weft_expvar *all;  /* every value ever made, so that leak checkers find them; atomic */

static void put_cmdline(weft__json *out);

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
static struct list published = {first, 3, 0}; /* cap 0: `first` must not be freed */

/* Lists ---------------------------------------------------------------------------------------- */

/* Returns the index of name, or the index at which it belongs. Caller holds the lock. */
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

/* Returns whether the entry at this index has that name. */
static bool has(const struct list *l, size_t at, const char *name)
{
    return at < l->n && strcmp(l->entries[at].name, name) == 0;
}

static char *copy_text(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(weft__alloc(1, n), s, n);
}

/* Inserts a value at its index. Caller holds the lock. Allocates under it, which is rare: programs
 * make their values at their start. */
static void insert(struct list *l, size_t at, const char *name, weft_expvar *value)
{
    if (l->n >= l->cap) {
        size_t cap = 2 * l->n + 4;
        struct entry *entries = weft__alloc(cap, sizeof(*entries));

        if (l->n)
            memcpy(entries, l->entries, l->n * sizeof(*entries));
        if (l->cap)
            weft__free(l->entries);
        l->entries = entries;
        l->cap = cap;
    }
    memmove(&l->entries[at + 1], &l->entries[at], (l->n - at) * sizeof(*l->entries));
    l->entries[at] = (struct entry){copy_text(name), value};
    l->n++;
}

/* Removes an entry; the value stays, as other maps may have it. Caller holds the lock. */
static void take_out(struct list *l, size_t at)
{
    weft__free(l->entries[at].name);
    l->n--;
    memmove(&l->entries[at], &l->entries[at + 1], (l->n - at) * sizeof(*l->entries));
}

/* Values --------------------------------------------------------------------------------------- */

/* Makes a value, and puts it on the list of all. */
static weft_expvar *make(int kind)
{
    weft_expvar *v = weft__alloc(1, sizeof(*v));

    v->kind = kind;
    v->next = weft__load(&all);
    while (!weft__cas(&all, &v->next, v))
        ;
    return v;
}

/* Publishes a value. Panics with Go's words if the name is taken: two parts of the program would
 * otherwise count in one value. */
static weft_expvar *publish(const char *name, weft_expvar *v)
{
    size_t at;

    weft__lock(&lock, WEFT__RANK_OBJECT);
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
        weft__panic("weft: weft_expvar_new: there is no kind %d", (int)kind);
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

/* Returns v, or panics if it is of another kind. */
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

/* Replaces v's text, and frees the old one. */
static void set_text(weft_expvar *v, char *text)
{
    char *old;

    weft__lock(&lock, WEFT__RANK_OBJECT);
    old = v->text;
    v->text = text;
    weft__unlock(&lock);
    weft__free(old);
}

void weft_expvar_set_string(weft_expvar *v, const char *s)
{
    set_text(must_be(v, WEFT_EXPVAR_STRING, "weft_expvar_set_string"), copy_text(s));
}

int weft_expvar_set_json(weft_expvar *v, const char *text)
{
    weft__json json = {0};
    int rc = 0;

    must_be(v, WEFT_EXPVAR_JSON, "weft_expvar_set_json");
    if (!weft__json_put_value(&json, text))
        rc = WEFT_EINVAL;
    weft__json_put(&json, "", 1); /* its NUL */
    if (rc == 0 && json.failed)
        rc = WEFT_ENOMEM;
    if (rc < 0)
        weft__json_free(&json);
    else
        set_text(v, json.text);
    return rc;
}

void weft_expvar_map_add(weft_expvar *v, const char *name, int64_t n)
{
    struct list *l = &must_be(v, WEFT_EXPVAR_MAP, "weft_expvar_map_add")->list;
    weft_expvar *value;
    size_t at;

    weft__lock(&lock, WEFT__RANK_OBJECT);
    at = find(l, name);
    if (!has(l, at, name))
        insert(l, at, name, make(WEFT_EXPVAR_INT));
    value = l->entries[at].value;
    weft__unlock(&lock);
    weft_expvar_add(value, n);
}

/* Returns whether map is value, or is contained in it. Visits each map once, by a list through the
 * maps themselves: recursion could be as deep as the program likes. Caller holds the lock. */
static bool would_loop(const weft_expvar *map, weft_expvar *value)
{
    weft__check_holds(&lock);
    weft_expvar *next = value;

    searches++;
    value->to_look_at = NULL;
    while (next && next != map) {
        weft_expvar *v = next;

        next = v->to_look_at;
        for (size_t i = 0; i < v->list.n; i++) {
            weft_expvar *in = v->list.entries[i].value;

            if (in->kind != WEFT_EXPVAR_MAP || in->seen == searches)
                continue;
            in->seen = searches;
            in->to_look_at = next;
            next = in;
        }
    }
    return next != NULL;
}

void weft_expvar_map_set(weft_expvar *v, const char *name, weft_expvar *value)
{
    struct list *l = &must_be(v, WEFT_EXPVAR_MAP, "weft_expvar_map_set")->list;
    size_t at;

    weft__lock(&lock, WEFT__RANK_OBJECT);
    if (value && value->kind == WEFT_EXPVAR_MAP && would_loop(v, value)) {
        weft__unlock(&lock);
        weft__panic("weft: weft_expvar_map_set: as \"%s\" the map would be in itself", name);
    }
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

static void put_value(weft__json *out, weft_expvar *v, unsigned depth);

/* Returns a copy of a list, with its names behind the entries: other threads may free the list's
 * own names meanwhile. Returns NULL if there is no memory. */
static struct entry *list_copy(const struct list *l, size_t *n)
{
    size_t size = sizeof(struct entry);
    struct entry *entries;
    char *names;

    weft__lock(&lock, WEFT__RANK_OBJECT);
    for (size_t i = 0; i < l->n; i++)
        size += sizeof(struct entry) + strlen(l->entries[i].name) + 1;
    *n = l->n;
    entries = weft__alloc_try(size);
    names = entries ? (char *)(entries + l->n) : NULL;
    for (size_t i = 0; entries && i < l->n; i++) {
        entries[i] = (struct entry){names, l->entries[i].value};
        names = stpcpy(names, l->entries[i].name) + 1;
    }
    weft__unlock(&lock);
    return entries;
}

/* Puts the members of a list. */
static void put_list(weft__json *out, const struct list *l, const char *between, unsigned depth)
{
    size_t n;
    struct entry *entries = list_copy(l, &n);

    if (!entries) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            weft__json_put_text(out, between);
        weft__json_put_string(out, entries[i].name);
        weft__json_put_text(out, ": ");
        put_value(out, entries[i].value, depth);
    }
    weft__free(entries);
}

/* Puts a map. Beyond the depth that readers of JSON take it puts null. */
static void put_map(weft__json *out, weft_expvar *v, unsigned depth)
{
    if (depth == WEFT_EXPVAR_DEPTH) {
        weft__json_put_text(out, "null");
        return;
    }
    weft__json_put(out, "{", 1);
    put_list(out, &v->list, ", ", depth + 1);
    weft__json_put(out, "}", 1);
}

/* Returns a copy of v's text, or of `otherwise` if v has none yet. Returns NULL if there is no
 * memory. */
static char *text_copy(weft_expvar *v, const char *otherwise)
{
    const char *from;
    char *text;

    weft__lock(&lock, WEFT__RANK_OBJECT);
    from = v->text ? v->text : otherwise;
    text = weft__alloc_try(strlen(from) + 1);
    if (text)
        strcpy(text, from);
    weft__unlock(&lock);
    return text;
}

static void put_text(weft__json *out, weft_expvar *v)
{
    bool is_string = v->kind == WEFT_EXPVAR_STRING;
    char *text = text_copy(v, is_string ? "" : "null");

    if (!text)
        out->failed = true;
    else if (is_string)
        weft__json_put_string(out, text);
    else
        weft__json_put_text(out, text); /* weft_expvar_set_json has checked it */
    weft__free(text);
}

/* Puts the result of a function of the program; null if that is no JSON, so that the document stays
 * readable. */
static void put_json_func(weft__json *out, weft_expvar *v)
{
    char *text = v->json_fn(v->arg);

    if (!text || !weft__json_put_value(out, text))
        weft__json_put_text(out, "null");
    free(text);
}

static void put_value(weft__json *out, weft_expvar *v, unsigned depth)
{
    if (out->failed) /* the document will not be shown, so no more functions need run */
        return;
    switch (v->kind) {
    case WEFT_EXPVAR_INT:
        weft__json_put_int(out, weft__load(&v->number));
        break;
    case WEFT_EXPVAR_FLOAT:
        weft__json_put_float(out, from_bits(weft__load(&v->bits)));
        break;
    case WEFT_EXPVAR_MAP:
        put_map(out, v, depth);
        break;
    case WEFT_EXPVAR_STRING:
    case WEFT_EXPVAR_JSON:
        put_text(out, v);
        break;
    case INT_FUNC:
        weft__json_put_int(out, v->int_fn(v->arg));
        break;
    case JSON_FUNC:
        put_json_func(out, v);
        break;
    default:
        v->put(out);
    }
}

void weft__expvar_put(weft__json *out)
{
    weft__json_put_text(out, "{\n");
    put_list(out, &published, ",\n", 0);
    weft__json_put_text(out, "\n}\n");
}

void weft__cmdline(weft__json *out)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    char piece[1024];
    ssize_t n;

    if (fd < 0)
        return;
    while ((n = read(fd, piece, sizeof(piece))) > 0)
        weft__json_put(out, piece, (size_t)n);
    close(fd);
    if (out->n > 0 && out->text[out->n - 1])
        weft__json_put(out, "", 1); /* a title that the program set may lack its NUL */
}

static void put_cmdline(weft__json *out)
{
    weft__json line = {0};

    weft__cmdline(&line);
    weft__json_put(out, "[", 1);
    for (size_t at = 0; !line.failed && at < line.n; at += strlen(line.text + at) + 1) {
        if (at > 0)
            weft__json_put(out, ",", 1);
        weft__json_put_string(out, line.text + at);
    }
    weft__json_put(out, "]", 1);
    out->failed |= line.failed;
    weft__json_free(&line);
}

/* Writes all bytes. Waits in poll if the descriptor is non-blocking: the program chose it. */
static int write_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t did = write(fd, text, n);

        if (did < 0 && errno == EAGAIN)
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        else if (did < 0 && errno != EINTR)
            return -errno;
        text += did > 0 ? did : 0;
        n -= did > 0 ? (size_t)did : 0;
    }
    return 0;
}

int weft_expvar_write(int fd)
{
    weft__json out = {0};
    int rc = WEFT_ENOMEM;

    weft__expvar_put(&out);
    if (!out.failed)
        rc = write_all(fd, out.text, out.n);
    weft__json_free(&out);
    return rc;
}
