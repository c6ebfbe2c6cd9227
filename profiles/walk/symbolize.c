/* SPDX-License-Identifier: MIT */
/* symbolize.c - the symbolizer thread, its requests, and the table of the symbols that it made.
 *
 * Owns: the thread, the queue of requests, the table from PC to symbol.
 * Lock: `lock` guards state, queue and each request's `done`. It is held for no longer than it
 * takes to link a request, or to name a function while there is no thread, and never while libdw
 * works.
 * Always:
 *   there is at most one symbolizer, and it alone calls libdw
 *   a request is on its caller's stack until `done`, and every request queued is answered: the
 *     thread ends only on an empty queue
 *   the symbol table is written by the symbolizer thread, or under `lock` while there is no such
 *     thread. A reader takes no lock (a slot's release store pairs with the acquire load in lookup)
 *     and never sees a slot become empty
 * The functions that ask use little stack, since a task may call them on its own. */
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

/* A slot is 0 (free), or the address of a symbol. FLOATING marks a symbol for an address where no
 * file is mapped (any more): it is made again when a file is mapped there. */
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

/* Finds the slot where pc is, or the free one where it would go. */
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

/* Returns the symbol of pc; NULL if the symbolizer must be asked. Takes no lock. */
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

/* Makes sure that the table is at most half full. Returns false if memory ran out. */
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

/* Puts a symbol into the table, in place of an older one of the same PC. Called by the symbolizer
 * thread, or under the lock while there is none. */
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

/* How often rules were forgotten. The add pairs with the load in weft__learned_age: a thread that
 * sees the new age no longer finds the forgotten rules. */
static _Atomic uint32_t age;

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
    bool done; /* guarded by lock. Until it is set the other members are the symbolizer's */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t asked = PTHREAD_COND_INITIALIZER;    /* queue or state changed */
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER; /* a request is done, or state changed */
static enum { IDLE, RUNNING, STOPPING, DEAD } state;       /* guarded by lock */
static struct request *queue, **queue_end = &queue;        /* guarded by lock */
static struct request *serving;                            /* the thread's; guarded by lock */
static pthread_t thread;                                   /* valid while state is not IDLE */
static void (*on_made)(void);                              /* or NULL; guarded by lock */

/* Below weft__libdw_call: a fault in libdw leaves this function. */
static void serve_it(void *request)
{
    struct request *r = request;

    r->serve(r);
    weft__modules_trim();
}

/* Serves a request. If libdw faults, the request gets an empty answer. */
static void serve(struct request *r)
{
    if (weft__libdw_call(serve_it, r))
        return;
    weft__modules_abandon();
    r->symbol = NULL;
    if (r->rule != NULL)
        *r->rule = (struct weft__rule){.flags = WEFT__RULE_NONE};
}

/* The thread: serves requests until it is to stop and the queue is empty. */
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

/* Starts the thread unless it runs. Returns false if the kernel gives no thread, or if the
 * symbolizer is dead. Caller holds lock. */
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
    while (state == STOPPING) /* another thread is stopping it */
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

/* Has the symbolizer serve a request, and waits for that. Leaves the request as it is if there is
 * no thread. */
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
        return; /* another thread's request was for the same PC */
    mod = weft__module_at(r->addr);
    weft__rule_learn(r->rule, mod, r->addr);
    if (mod != NULL) /* else the file was just unloaded, and nothing would ever drop the rule */
        weft__rule_add(r->addr, r->rule);
}

void weft__symbolizer_learn(struct weft__rule *out, uintptr_t addr)
{
    struct request r = {.serve = serve_learn, .addr = addr, .rule = out};

    *out = (struct weft__rule){.flags = WEFT__RULE_NONE};
    ask(&r);
    /* Without the symbolizer, read .eh_frame where it is mapped. */
    if ((out->flags & WEFT__RULE_NONE) && !weft__rule_read(out, addr))
        *out = (struct weft__rule){.flags = WEFT__RULE_NONE};
}

/* Returns the symbol that pc had last, even if its file is gone; NULL if it never had one. */
static const struct weft__symbol *last_of(uintptr_t pc)
{
    struct table *t = atomic_load_explicit(&symbols, memory_order_relaxed);

    return t == NULL ? NULL
                     : symbol_of(atomic_load_explicit(slot_for(t, pc), memory_order_relaxed));
}

void (*weft__symbolizer_crash)(void); /* tests write it before they ask */

/* Returns whether one more symbol may be made. There is a limit because symbols are kept for the
 * life of the process, and HTTP clients may ask for any address. */
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

/* Names the function at addr by its symbol table, without libdw. Returns a symbol that stays; NULL
 * if memory ran out. */
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

/* Names a function while the symbolizer is dead, or the kernel gives no thread for it. In the
 * second case the name goes into the table, FLOATING, so that the symbolizer makes it again once
 * there is one. No other thread writes the table meanwhile, since this one holds the lock. */
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
    /* The answer if memory ran out, or if there are too many symbols. */
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

/* ---- files that come and go ---- */

/* The loader's counts (read_counts) at the last check. The symbolizer writes it. */
static _Atomic uint64_t seen;

static int read_counts(struct dl_phdr_info *info, size_t size, void *counts)
{
    (void)size;
    *(uint64_t *)counts = ((uint64_t)info->dlpi_adds << 32) + (uint32_t)info->dlpi_subs;
    return 1; /* ends the iteration: every entry has the same counts */
}

static void serve_check(struct request *r)
{
    if (r->changes == atomic_load_explicit(&seen, memory_order_relaxed))
        return; /* another thread's request did the check */
    weft__modules_check();
    atomic_store_explicit(&seen, r->changes, memory_order_release);
}

/* Reads the counts in the calling thread, not in the symbolizer. dl_iterate_phdr takes a recursive
 * lock of the loader, which the caller may hold already (inside a callback of its own): it would
 * then wait for the symbolizer, and the symbolizer for the lock. dlclose holds that lock while it
 * unmaps; constructors and destructors run without it. */
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
    weft__modules_close(); /* modules are reported to libdw again when they are needed */
}

void weft__symbolizer_forget(uintptr_t lo, uintptr_t hi)
{
    struct request r = {.serve = serve_forget, .addr = lo, .limit = hi};

    ask(&r);
}
