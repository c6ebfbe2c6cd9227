/* SPDX-License-Identifier: MIT */
/* mux.c - parses patterns, and finds the pattern of a path in trees.
 *
 * Owns: weft_http_mux: a tree of segments for each method, and one for patterns without a method.
 * There is no lock. One task adds the patterns before a server gets the mux; from then on the mux
 * is constant, and adding panics. Any task may call weft__mux_match.
 *
 * A path is cut at its slashes: "/a/" has the segments "a" and "", and the pattern {$} stands for
 * the empty segment. A node tries its literals first, then its wildcard {name}, then {name...}; if
 * a branch finds nothing, the next one is tried. That finds the narrowest pattern, because add
 * refuses two patterns with common paths unless one of them matches a subset of the other's
 * paths. The rules are those of Go's ServeMux. */
#include "http/server/mux.h"

#include "http/wire/path.h"
#include "runtime/base/atomic.h"

#include <llhttp.h>
#include <string.h>

typedef struct node node;

struct node {
    const char *literal;       /* the segment that leads here; the pattern owns the text */
    node *children;            /* the branches of literals */
    node *next;                /* among its parent's children */
    node *one;                 /* the branch of {name} */
    const weft__pattern *end;  /* the pattern that ends here, or NULL */
    const weft__pattern *rest; /* the pattern that takes all that follows, or NULL */
};

struct weft_http_mux {
    node *trees[WEFT__METHODS_MAX + 1]; /* by llhttp's number; the last one is for all methods */
    weft__pattern *patterns;            /* all, the latest first */
    uint32_t servers;                   /* servers that hold the mux; atomic */
    bool frozen;                        /* a server has held it, so it must not change any more */
};

enum { ANY = WEFT__METHODS_MAX };

weft_http_mux *weft_http_mux_new(void)
{
    return weft__alloc(1, sizeof(weft_http_mux));
}

/* Patterns from text --------------------------------------------------------------------------- */

static char *copy(const char *text, size_t n)
{
    char *s = weft__alloc(n + 1, 1);

    memcpy(s, text, n);
    return s;
}

/* Returns llhttp's number of the method; -1 if it knows none of that name. */
static int method_number(const char *name, size_t n)
{
#define XX(number, id, text)                                                                       \
    if (strlen(#text) == n && memcmp(name, #text, n) == 0)                                         \
        return number;
    HTTP_METHOD_MAP(XX)
#undef XX
    return -1;
}

static bool is_identifier(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!weft__is_token((unsigned char)s[i]) || strchr("!#$%&'*+.^`|~", s[i]))
            return false;
    }
    return n > 0;
}

/* Panics: a wrong pattern is a mistake in the program, which should show at its start. */
static void malformed(const weft__pattern *p, const char *why)
{
    weft__panic("http: pattern \"%s\": %s", p->text, why);
}

/* Parses {name}, {name...} or {$}: s[0..n) is the text between the braces. */
static void parse_wildcard(weft__pattern *p, struct weft__segment *g, const char *s, size_t n,
                           bool last)
{
    bool rest = n > 3 && memcmp(s + n - 3, "...", 3) == 0;

    if (n == 1 && *s == '$') {
        if (!last)
            malformed(p, "{$} not at the end");
        g->text = copy("", 0);
        return;
    }
    if (rest && !last)
        malformed(p, "{...} not at the end");
    n -= rest ? 3 : 0;
    if (!is_identifier(s, n))
        malformed(p, "bad wildcard name");
    g->kind = rest ? WEFT__REST : WEFT__ONE;
    g->text = copy(s, n);
    for (struct weft__segment *o = p->segments; o < g; o++) {
        if (o->kind != WEFT__LITERAL && strcmp(o->text, g->text) == 0)
            malformed(p, "duplicate wildcard name");
    }
}

/* Parses a segment of a pattern. An empty one at the end, as in "/a/", takes the rest of the
 * path. */
static void parse_segment(weft__pattern *p, const char *s, size_t n, bool last)
{
    struct weft__segment *g = &p->segments[p->nsegments++];

    g->kind = WEFT__LITERAL;
    if (n == 0) {
        if (!last)
            malformed(p, "unclean path");
        g->kind = WEFT__REST;
        g->text = copy("", 0);
    } else if (s[0] == '{' && s[n - 1] == '}') {
        parse_wildcard(p, g, s + 1, n - 2, last);
    } else {
        g->text = copy(s, n);
        if (strpbrk(g->text, "{}"))
            malformed(p, "a wildcard must be a whole segment");
        if (strcmp(g->text, ".") == 0 || strcmp(g->text, "..") == 0)
            malformed(p, "unclean path");
    }
}

static weft__pattern *parse_pattern(const char *text)
{
    weft__pattern *p = weft__alloc(1, sizeof(*p));
    const char *path = *text == '/' ? NULL : strpbrk(text, " \t");
    uint32_t slashes = 0;

    p->text = copy(text, strlen(text));
    p->method = -1;
    if (path) {
        p->method = method_number(text, (size_t)(path - text));
        if (p->method < 0 || p->method == HTTP_CONNECT || p->method == HTTP_PRI)
            malformed(p, "unknown method");
        path += strspn(path, " \t");
    } else {
        path = text;
    }
    if (*path != '/')
        malformed(p, "no path");
    for (const char *s = path; *s; s++)
        slashes += *s == '/';
    p->segments = weft__alloc(slashes, sizeof(*p->segments));
    while (*path) {
        size_t n = strcspn(++path, "/");

        parse_segment(p, path, n, path[n] == 0);
        path += n;
    }
    return p;
}

/* Which of two patterns is narrower ------------------------------------------------------------ */

/* The relation of two sets. The | of two relations is the relation of the pairs: if a is wider in
 * one part and b in another, the result is CROSS. Disjoint parts are handled before. */
enum { SAME = 0, A_WIDER = 1, B_WIDER = 2, CROSS = 3, DISJOINT = 4 };

static int compare_methods(int a, int b)
{
    if (a == b)
        return SAME;
    if (a < 0 || (a == HTTP_GET && b == HTTP_HEAD))
        return A_WIDER;
    if (b < 0 || (b == HTTP_GET && a == HTTP_HEAD))
        return B_WIDER;
    return DISJOINT;
}

static int compare_segments(const struct weft__segment *a, const struct weft__segment *b)
{
    if (a->kind == WEFT__LITERAL && b->kind == WEFT__LITERAL)
        return strcmp(a->text, b->text) == 0 ? SAME : DISJOINT;
    if (a->kind == WEFT__LITERAL)
        return *a->text || b->kind == WEFT__REST ? B_WIDER : DISJOINT;
    if (b->kind == WEFT__LITERAL)
        return *b->text || a->kind == WEFT__REST ? A_WIDER : DISJOINT;
    if (a->kind == b->kind)
        return SAME;
    return a->kind == WEFT__REST ? A_WIDER : B_WIDER;
}

static int compare_paths(const weft__pattern *a, const weft__pattern *b)
{
    int rel = SAME;

    for (uint32_t i = 0;; i++) {
        int one;

        if (i == a->nsegments || i == b->nsegments)
            return a->nsegments == b->nsegments ? rel : DISJOINT;
        one = compare_segments(&a->segments[i], &b->segments[i]);
        if (one == DISJOINT)
            return DISJOINT;
        rel |= one;
        if (a->segments[i].kind == WEFT__REST || b->segments[i].kind == WEFT__REST)
            return rel;
    }
}

/* Panics if a path could match both patterns and neither is narrower: the order in which they were
 * added would then decide. */
static void check_conflict(const weft__pattern *a, const weft__pattern *b)
{
    int rel = compare_methods(a->method, b->method), paths = compare_paths(a, b);

    if (rel == DISJOINT || paths == DISJOINT)
        return;
    rel |= paths;
    if (rel == SAME || rel == CROSS)
        weft__panic("http: pattern \"%s\" conflicts with pattern \"%s\": %s", a->text, b->text,
                    rel == SAME ? "they match the same requests" : "neither is narrower");
}

/* Trees ---------------------------------------------------------------------------------------- */

/* Returns the branch of a literal, which it makes if there is none. */
static node *child(node *n, const char *literal)
{
    node *c;

    for (c = n->children; c; c = c->next) {
        if (strcmp(c->literal, literal) == 0)
            return c;
    }
    c = weft__alloc(1, sizeof(*c));
    c->literal = literal;
    c->next = n->children;
    n->children = c;
    return c;
}

/* Adds a pattern to its tree. */
static void plant(weft_http_mux *m, const weft__pattern *p)
{
    node **tree = &m->trees[p->method < 0 ? ANY : p->method], *n;

    if (!*tree)
        *tree = weft__alloc(1, sizeof(**tree));
    n = *tree;
    for (uint32_t i = 0; i < p->nsegments; i++) {
        const struct weft__segment *g = &p->segments[i];

        if (g->kind == WEFT__REST) {
            n->rest = p;
            return;
        }
        if (g->kind == WEFT__LITERAL) {
            n = child(n, g->text);
        } else {
            if (!n->one)
                n->one = weft__alloc(1, sizeof(*n->one));
            n = n->one;
        }
    }
    n->end = p;
}

/* Frees a tree. */
static void fell(node *n)
{
    node *c, *next;

    if (!n)
        return;
    for (c = n->children; c; c = next) {
        next = c->next;
        fell(c);
    }
    fell(n->one);
    weft__free(n);
}

void weft_http_mux_add_with(weft_http_mux *m, const char *pattern, const weft_http_route *route,
                            weft_http_fn *fn, void *arg)
{
    weft__pattern *p = parse_pattern(pattern);
    uint32_t wildcards = 0;

    if (m->frozen)
        weft__panic("http: pattern \"%s\" added to a mux that a server has", pattern);
    for (uint32_t i = 0; i < p->nsegments; i++)
        wildcards += p->segments[i].kind != WEFT__LITERAL;
    if (wildcards > WEFT__WILDCARDS_MAX)
        malformed(p, "too many wildcards");
    for (const weft__pattern *o = m->patterns; o; o = o->next)
        check_conflict(p, o);
    p->fn = fn;
    p->arg = arg;
    p->max_body = route ? route->max_body : 0;
    p->watched = route && route->cancel_when_gone;
    p->next = m->patterns;
    m->patterns = p;
    plant(m, p);
}

void weft_http_mux_add(weft_http_mux *m, const char *pattern, weft_http_fn *fn, void *arg)
{
    weft_http_mux_add_with(m, pattern, NULL, fn, arg);
}

void weft_http_mux_free(weft_http_mux *m)
{
    weft__pattern *p, *next;

    if (!m)
        return;
    if (weft__load_acq(&m->servers) > 0)
        weft__panic("http: a mux is freed that a server has");
    for (int i = 0; i <= ANY; i++)
        fell(m->trees[i]);
    for (p = m->patterns; p; p = next) {
        next = p->next;
        for (uint32_t i = 0; i < p->nsegments; i++)
            weft__free(p->segments[i].text);
        weft__free(p->segments);
        weft__free(p->text);
        weft__free(p);
    }
    weft__free(m);
}

void weft__mux_hold(weft_http_mux *m)
{
    m->frozen = true;
    weft__add(&m->servers, 1);
}

void weft__mux_release(weft_http_mux *m)
{
    weft__sub(&m->servers, 1);
}

/* Finding -------------------------------------------------------------------------------------- */

/* Returns the pattern below n that matches path, or NULL, and adds the texts of its wildcards to m.
 * path is the rest of a path, which begins with a slash, or "". With slash, the path is read as if
 * a slash stood at its end. */
static const weft__pattern *descend(const node *n, const char *path, bool slash, weft__match *m)
{
    const weft__pattern *p;
    const char *seg;
    size_t len;

    if (*path == 0) {
        if (!slash)
            return n->end;
        path = "/";
        slash = false;
    }
    seg = path + 1;
    len = strcspn(seg, "/");
    for (const node *c = n->children; c; c = c->next) {
        if (weft__text_is(seg, len, c->literal, false) && (p = descend(c, seg + len, slash, m)))
            return p;
    }
    if (n->one && len > 0) {
        m->values[m->nvalues++] = (weft__span){seg, len};
        if ((p = descend(n->one, seg + len, slash, m)) != NULL)
            return p;
        m->nvalues--;
    }
    if (n->rest)
        m->values[m->nvalues++] = (weft__span){seg, strlen(seg)};
    return n->rest;
}

/* Returns the pattern for a path, or NULL. A HEAD also finds the patterns of GET, as in Go. */
static const weft__pattern *find(const weft_http_mux *m, unsigned method, const char *path,
                                 bool slash, weft__match *out)
{
    const node *trees[] = {m->trees[method], method == HTTP_HEAD ? m->trees[HTTP_GET] : NULL,
                           m->trees[ANY]};
    const weft__pattern *p;

    for (int i = 0; i < 3; i++) {
        out->nvalues = 0;
        if (trees[i] && (p = descend(trees[i], path, slash, out)) != NULL)
            return p;
    }
    return NULL;
}

/* Returns whether the pattern ends with {name...} or a slash. */
static bool takes_rest(const weft__pattern *p)
{
    return p->segments[p->nsegments - 1].kind == WEFT__REST;
}

/* Returns whether the peer should be redirected to the path with a slash behind it. p is the
 * pattern of the path as it is, or NULL. That is so if p does not name the path exactly, and the
 * path with a slash has a pattern that does: "/a" for the pattern "/a/". */
static bool lacks_slash(const weft_http_mux *m, unsigned method, const char *path,
                        const weft__pattern *p)
{
    weft__match longer;
    uint32_t slashes = 1;

    if (path[strlen(path) - 1] == '/' || (p && !takes_rest(p)))
        return false;
    p = find(m, method, path, true, &longer);
    for (; *path; path++)
        slashes += *path == '/';
    return p && (!takes_rest(p) || p->nsegments == slashes);
}

void weft__mux_match(const weft_http_mux *m, unsigned method, const char *path, weft__match *out)
{
    out->pattern = find(m, method, path, false, out);
    out->add_slash = lacks_slash(m, method, path, out->pattern);
}

uint64_t weft__mux_methods(const weft_http_mux *m, const char *path)
{
    uint64_t methods = 0;
    weft__match match;

    for (unsigned i = 0; i < WEFT__METHODS_MAX; i++) {
        match.nvalues = 0;
        if (m->trees[i] && descend(m->trees[i], path, false, &match))
            methods |= (uint64_t)1 << i;
    }
    if (methods & 1u << HTTP_GET)
        methods |= 1u << HTTP_HEAD;
    return methods;
}
