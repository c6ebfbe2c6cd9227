/* SPDX-License-Identifier: MIT */
/* symbolize.c - the symbolizer thread, its requests, and the table of the symbols it made.
 *
 * Owns: the thread, the queue of requests, the table pc -> symbol.
 * Lock: `lock` guards state, queue and every request's `done`; it is held for no longer than it
 * takes to link a request, or to name a function where there is no thread, and never while libdw
 * works.
 * Always:
 *   libdw is called by the symbolizer thread alone, and there is at most one
 *   a request is on its caller's stack until `done`, and every request queued is answered: the
 *     thread ends only on an empty queue
 *   the symbol table is written by the symbolizer thread alone, or under `lock` while there is no
 *     such thread; a reader takes no lock (a slot's release store pairs with the acquire load in
 *     lookup) and never sees a slot become empty
 * The caller's side is small: it may run on a task's stack.
 */
#include "profiles/walk/symbolize.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/walk/elfnames.h"
#include "profiles/walk/learn.h"
#include "profiles/walk/libdw_fault.h"

/* ---- pc -> symbol ---- */

/* A slot is 0 (free), or a symbol's address with FLOATING set if no file was mapped where it is:
 * such a symbol is made again when there is one. */
enum { FLOATING = 1, FIRST_BITS = 10 };

struct table {
    struct table *older; /* outgrown, but a reader may be in it */
    unsigned bits;
    size_t used;
    _Atomic uintptr_t slots[];
};

static _Atomic(struct table *) symbols;
static _Atomic uint32_t n_made, n_nowhere; /* symbols so far; of addresses where no file was */

static const struct weft__symbol *symbol_of(uintptr_t slot)
{
    return (const struct weft__symbol *)(slot & ~(uintptr_t)FLOATING);
}

/* The slot where pc is or would go. */
static _Atomic uintptr_t *slot_for(struct table *t, uintptr_t pc)
{
    size_t mask = ((size_t)1 << t->bits) - 1;
    size_t i = (size_t)((pc * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - t->bits));

    for (;; i = (i + 1) & mask) {
        uintptr_t v = atomic_load_explicit(&t->slots[i], memory_order_acquire);
        if (v == 0 || symbol_of(v)->pc == pc)
            return &t->slots[i];
    }
}

static bool is_mapped(uintptr_t addr)
{
    struct dl_find_object o;

    return _dl_find_object((void *)addr, &o) == 0;
}

/* NULL if the symbolizer must be asked. Takes no lock. */
static const struct weft__symbol *lookup(uintptr_t pc)
{
    struct table *t = atomic_load_explicit(&symbols, memory_order_acquire);
    uintptr_t v;

    if (t == NULL)
        return NULL;
    v = atomic_load_explicit(slot_for(t, pc), memory_order_acquire);
    if (v == 0 || ((v & FLOATING) && is_mapped(pc)))
        return NULL;
    return symbol_of(v);
}

static bool make_room(void)
{
    struct table *old = atomic_load_explicit(&symbols, memory_order_relaxed);
    unsigned bits = old == NULL ? FIRST_BITS : old->bits + 1;
    struct table *t;

    if (old != NULL && old->used < (size_t)1 << (old->bits - 1))
        return true;
    t = calloc(1, sizeof *t + (sizeof t->slots[0] << bits));
    if (t == NULL)
        return false;
    t->older = old;
    t->bits = bits;
    for (size_t i = 0; old != NULL && i < (size_t)1 << old->bits; i++) {
        uintptr_t v = atomic_load_explicit(&old->slots[i], memory_order_relaxed);
        if (v == 0)
            continue;
        atomic_store_explicit(slot_for(t, symbol_of(v)->pc), v, memory_order_relaxed);
        t->used++;
    }
    atomic_store_explicit(&symbols, t, memory_order_release);
    return true;
}

static void remember(const struct weft__symbol *s, bool is_floating)
{
    struct table *t;
    _Atomic uintptr_t *slot;

    if (!make_room())
        return;
    t = atomic_load_explicit(&symbols, memory_order_relaxed);
    slot = slot_for(t, s->pc);
    t->used += atomic_load_explicit(slot, memory_order_relaxed) == 0;
    atomic_store_explicit(slot, (uintptr_t)s | (is_floating ? FLOATING : 0), memory_order_release);
}

/* Marks the symbols in [lo, hi) to be made again. */
static void symbols_float(uintptr_t lo, uintptr_t hi)
{
    struct table *t = atomic_load_explicit(&symbols, memory_order_relaxed);

    for (size_t i = 0; t != NULL && i < (size_t)1 << t->bits; i++) {
        uintptr_t v = atomic_load_explicit(&t->slots[i], memory_order_relaxed);
        if (v != 0 && symbol_of(v)->pc >= lo && symbol_of(v)->pc < hi)
            atomic_store_explicit(&t->slots[i], v | FLOATING, memory_order_release);
    }
}

static _Atomic uint32_t age; /* its store pairs with the load in weft__learned_age */

void weft__learned_forget(uintptr_t lo, uintptr_t hi)
{
    weft__rule_drop(lo, hi);
    symbols_float(lo, hi);
    atomic_fetch_add_explicit(&age, 1, memory_order_release);
}

/* async-signal-safe */
uint32_t weft__learned_age(void)
{
    return atomic_load_explicit(&age, memory_order_acquire);
}

/* ---- requests ---- */

struct request {
    struct request *next;
    void (*serve)(struct request *);
    uintptr_t addr, limit;
    uint64_t changes; /* the loader's counts, as read_counts has them */
    struct weft__rule *rule;
    const struct weft__symbol *symbol;
    bool done; /* guarded by lock; the rest is the symbolizer's until then */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t asked = PTHREAD_COND_INITIALIZER;    /* queue or state changed */
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER; /* a request is done, or state changed */
static enum { IDLE, RUNNING, STOPPING, DEAD } state;       /* guarded by lock */
static struct request *queue, **queue_end = &queue;        /* guarded by lock */
static struct request *serving;                            /* by the thread; guarded by lock */
static pthread_t thread;                                   /* valid while state is not IDLE */
static void (*on_made)(void);                              /* or NULL; guarded by lock */

static void serve_it(void *request)
{
    struct request *r = request;

    r->serve(r);
    weft__modules_trim();
}

/* Serves a request. If libdw faults, the request has no answer. */
static void serve(struct request *r)
{
    if (weft__rescue_call(serve_it, r))
        return;
    weft__modules_abandon();
    r->symbol = NULL;
    if (r->rule != NULL)
        *r->rule = (struct weft__rule){.flags = WEFT__RULE_NONE};
}

static void *symbolizer(void *arg)
{
    struct request *r;

    pthread_mutex_lock(&lock);
    for (;;) {
        while (queue == NULL && state == RUNNING)
            pthread_cond_wait(&asked, &lock);
        if (queue == NULL)
            break;
        r = queue;
        queue = r->next;
        if (queue == NULL)
            queue_end = &queue;
        serving = r;
        pthread_mutex_unlock(&lock);
        serve(r);
        pthread_mutex_lock(&lock);
        serving = NULL;
        r->done = true;
        pthread_cond_broadcast(&answered);
    }
    pthread_mutex_unlock(&lock);
    weft__modules_close();
    return arg;
}

/* Starts the thread. Returns false if there can be none. Caller holds the lock. */
static bool start(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t all, old;

    while (state == STOPPING)
        pthread_cond_wait(&answered, &lock);
    if (state != IDLE)
        return state == RUNNING;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&all, faults[i]); /* their handlers report a fault in libdw */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, NULL, symbolizer, NULL) == 0) {
        pthread_setname_np(thread, "weft-symbols");
        state = RUNNING;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (state == RUNNING && on_made != NULL)
        on_made();
    return state == RUNNING;
}

void weft__symbolizer_start(void)
{
    pthread_mutex_lock(&lock);
    start();
    pthread_mutex_unlock(&lock);
}

void weft__symbolizer_stop(void)
{
    pthread_mutex_lock(&lock);
    if (state == RUNNING) {
        state = STOPPING;
        pthread_cond_signal(&asked);
        pthread_mutex_unlock(&lock);
        pthread_join(thread, NULL);
        pthread_mutex_lock(&lock);
        state = IDLE;
        pthread_cond_broadcast(&answered);
    }
    while (state == STOPPING) /* another's stop */
        pthread_cond_wait(&answered, &lock);
    pthread_mutex_unlock(&lock);
}

bool weft__symbolizer_watch(void (*made)(void))
{
    bool is_made;

    pthread_mutex_lock(&lock);
    on_made = made;
    is_made = state == RUNNING;
    pthread_mutex_unlock(&lock);
    return is_made;
}

void weft__symbolizer_died(void)
{
    pthread_mutex_lock(&lock);
    on_made = NULL;
    if ((state == RUNNING || state == STOPPING) && pthread_equal(thread, pthread_self())) {
        state = DEAD;
        if (serving != NULL)
            serving->done = true;
        for (; queue != NULL; queue = queue->next)
            queue->done = true;
        pthread_cond_broadcast(&answered);
    }
    pthread_mutex_unlock(&lock);
}

/* Has the symbolizer serve a request and waits. If there is no thread, it stays unserved. */
static void ask(struct request *r)
{
    pthread_mutex_lock(&lock);
    if (start()) {
        *queue_end = r;
        queue_end = &r->next;
        pthread_cond_signal(&asked);
        while (!r->done)
            pthread_cond_wait(&answered, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static void serve_learn(struct request *r)
{
    Dwfl_Module *mod;

    if (weft__rule_find(r->rule, r->addr))
        return; /* somebody else asked too */
    mod = weft__module_at(r->addr);
    weft__rule_learn(r->rule, mod, r->addr);
    if (mod != NULL) /* else it was unloaded just now, and the rule would never be dropped */
        weft__rule_add(r->addr, r->rule);
}

void weft__symbolizer_learn(struct weft__rule *out, uintptr_t addr)
{
    struct request r = {.serve = serve_learn, .addr = addr, .rule = out};

    *out = (struct weft__rule){.flags = WEFT__RULE_NONE};
    ask(&r);
    /* Without the symbolizer .eh_frame as it is mapped must do. */
    if ((out->flags & WEFT__RULE_NONE) && !weft__rule_read(out, addr))
        *out = (struct weft__rule){.flags = WEFT__RULE_NONE};
}

/* Returns the symbol by which pc was known last; NULL if there was none. */
static const struct weft__symbol *last_of(uintptr_t pc)
{
    struct table *t = atomic_load_explicit(&symbols, memory_order_relaxed);

    return t == NULL ? NULL
                     : symbol_of(atomic_load_explicit(slot_for(t, pc), memory_order_relaxed));
}

void (*weft__symbolizer_crash)(void); /* written before a request */

/* Symbols are kept for the life of the process, and clients may ask for any address. */
static bool may_make(bool is_nowhere)
{
    return atomic_load_explicit(&n_made, memory_order_relaxed) < WEFT__SYMBOLS_MOST &&
           (!is_nowhere ||
            atomic_load_explicit(&n_nowhere, memory_order_relaxed) < WEFT__NOWHERE_MOST);
}

void weft__symbols_count(uint32_t *all, uint32_t *nowhere)
{
    *all = atomic_load_explicit(&n_made, memory_order_relaxed);
    *nowhere = atomic_load_explicit(&n_nowhere, memory_order_relaxed);
}

static void serve_name(struct request *r)
{
    Dwfl_Module *mod;

    if (weft__symbolizer_crash != NULL)
        weft__symbolizer_crash();

    r->symbol = lookup(r->addr);
    if (r->symbol != NULL)
        return;
    mod = weft__module_at(r->addr);
    if (mod == NULL && (r->symbol = last_of(r->addr)) != NULL)
        return; /* its file was unloaded just now */
    if (!may_make(mod == NULL))
        return;
    r->symbol = weft__symbol_make(mod, r->addr);
    if (r->symbol == NULL)
        return;
    remember(r->symbol, mod == NULL);
    atomic_fetch_add_explicit(&n_made, 1, memory_order_relaxed);
    if (mod == NULL)
        atomic_fetch_add_explicit(&n_nowhere, 1, memory_order_relaxed);
}

/* Names the function alone, without libdw; NULL without memory. The caller may not free it. */
static const struct weft__symbol *name_alone(uintptr_t addr)
{
    struct weft__location location = {.addr = addr};
    struct weft__symbol *s = calloc(1, sizeof *s + sizeof s->frames[0]);

    weft__locations_find(&location, 1);
    if (s == NULL)
        return NULL;
    s->pc = addr;
    s->n = 1;
    s->found = location.name != NULL;
    s->frames[0].function = location.name != NULL ? location.name : "?";
    s->frames[0].entry = location.name != NULL ? addr - location.offset : 0;
    return s;
}

/* Names a function where the symbolizer is dead or the kernel gives no thread for it. In the second
 * case the name is kept until there is one, which makes it again: nobody else writes the table
 * while the caller holds the lock. */
static const struct weft__symbol *name_without_thread(uintptr_t addr)
{
    const struct weft__symbol *s;

    pthread_mutex_lock(&lock);
    s = state == IDLE ? last_of(addr) : NULL;
    if (s == NULL && (state == DEAD || (state == IDLE && may_make(!is_mapped(addr))))) {
        s = name_alone(addr);
        if (s != NULL && state == IDLE) {
            remember(s, true);
            atomic_fetch_add_explicit(&n_made, 1, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&lock);
    return s;
}

const struct weft__symbol *weft__symbolize(uintptr_t addr)
{
    /* For want of memory or a thread, or of room for more. */
    __extension__ static const struct weft__symbol nothing = {.n = 1,
                                                              .frames = {{.function = "?"}}};
    const struct weft__symbol *s = lookup(addr);
    struct request r = {.serve = serve_name, .addr = addr};

    if (s != NULL)
        return s;
    ask(&r);
    if (r.symbol == NULL)
        r.symbol = name_without_thread(addr);
    return r.symbol != NULL ? r.symbol : &nothing;
}

/* ---- what changes ---- */

static _Atomic uint64_t seen; /* the loader's counts at the last check; the symbolizer writes it */

static int read_counts(struct dl_phdr_info *info, size_t size, void *counts)
{
    (void)size;
    *(uint64_t *)counts = ((uint64_t)info->dlpi_adds << 32) + (uint32_t)info->dlpi_subs;
    return 1; /* they are the same in all */
}

static void serve_check(struct request *r)
{
    if (r->changes == atomic_load_explicit(&seen, memory_order_relaxed))
        return; /* somebody else asked too */
    weft__modules_check();
    atomic_store_explicit(&seen, r->changes, memory_order_release);
}

/* The lock of dl_iterate_phdr is held while dlclose unmaps and while others iterate, but not while
 * constructors or destructors run. It is recursive, so it is taken here, by a caller that may hold
 * it already, and not by the symbolizer, which that caller would wait for. */
uint32_t weft__symbolizer_look(void)
{
    struct request r = {.serve = serve_check};

    dl_iterate_phdr(read_counts, &r.changes);
    if (r.changes != atomic_load_explicit(&seen, memory_order_acquire))
        ask(&r);
    return weft__learned_age();
}

static void serve_forget(struct request *r)
{
    weft__learned_forget(r->addr, r->limit);
    weft__modules_close(); /* they are reported again as they are needed */
}

void weft__symbolizer_forget(uintptr_t lo, uintptr_t hi)
{
    struct request r = {.serve = serve_forget, .addr = lo, .limit = hi};

    ask(&r);
}
