/* SPDX-License-Identifier: MIT */
/* symbolize.c - the symbolizer thread and its requests.
 *
 * Owns: the thread, the queue of requests.
 * Lock: `lock` guards state, queue and each request's `done`. It is held for no longer than it
 * takes to link a request, or to name a function while there is no thread, and never while libdw
 * works.
 * Always:
 *   there is at most one symbolizer, and it alone calls libdw
 *   a request is on its caller's stack until `done`, and every request queued is answered: the
 *     thread ends only on an empty queue
 *   the symbol table is written by the symbolizer thread, or under `lock` while there is no such
 *     thread
 * The functions that ask use little stack, since a task may call them on its own. */
#include "profiles/walk/symbolize.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/walk/elfnames.h"
#include "profiles/walk/filerules.h"
#include "profiles/walk/learn.h"
#include "profiles/walk/libdw_fault.h"
#include "profiles/walk/ruletable.h"

/* ---- requests ---- */

struct request {
    struct request *next;
    void (*serve)(struct request *);
    uintptr_t addr, limit;
    uint64_t changes;          /* the loader's counts, as read_counts has them */
    struct weft__places files; /* to be learned */
    struct weft__rule *rule;
    const struct weft__symbol *symbol;
    bool is_posted; /* of malloc, and nobody waits for it */
    bool done;      /* guarded by lock. Until it is set the other members are the symbolizer's */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t asked = PTHREAD_COND_INITIALIZER;    /* queue or state changed */
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER; /* a request is done, or state changed */
static enum { IDLE, RUNNING, STOPPING, DEAD } state;       /* guarded by lock */
static struct request *queue, **queue_end = &queue;        /* guarded by lock */
static struct request *serving;                            /* the thread's; guarded by lock */
static pthread_t thread;                                   /* valid while state is not IDLE */
/* Set between begin and stop: files are learned as soon as weft__symbolizer_look sees them. */
static _Atomic bool learns;
static void (*on_made)(void); /* or NULL; guarded by lock */

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

static void work(void *learning)
{
    *(bool *)learning = weft__files_work();
}

/* Waits for a request. While files are left to learn, it does a piece of that if none comes for a
 * moment. So a thread that asks again and again does not wait for that work, which takes half a CPU
 * at most. Caller holds lock. */
static void wait_for_request(bool *learning)
{
    enum { MOMENT = 300 * 1000 }; /* ns */
    struct timespec until;

    if (!*learning) {
        pthread_cond_wait(&asked, &lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += MOMENT;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (pthread_cond_clockwait(&asked, &lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
        return;
    pthread_mutex_unlock(&lock);
    if (!weft__libdw_call(work, learning)) {
        weft__files_leave();
        weft__modules_abandon();
        *learning = false;
    }
    pthread_mutex_lock(&lock);
}

static void free_posted(struct request *r)
{
    free(r->files.at);
    free(r);
}

/* Takes the first request off the queue and serves it. Caller holds lock. */
static void serve_first(void)
{
    struct request *r = queue;

    queue = r->next;
    if (queue == NULL)
        queue_end = &queue;
    serving = r;
    pthread_mutex_unlock(&lock);
    serve(r);
    pthread_mutex_lock(&lock);
    serving = NULL;
    if (r->is_posted) {
        free_posted(r);
        return;
    }
    r->done = true;
    pthread_cond_broadcast(&answered);
}

/* The thread: serves requests until it is to stop and the queue is empty. */
static void *symbolizer(void *arg)
{
    bool learning = false;

    pthread_mutex_lock(&lock);
    for (;;) {
        while (queue == NULL && state == RUNNING)
            wait_for_request(&learning);
        if (queue == NULL)
            break;
        serve_first();
        learning = true; /* perhaps: the request may have been to learn */
    }
    pthread_mutex_unlock(&lock);
    weft__files_leave();
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
    atomic_store_explicit(&learns, false, memory_order_relaxed);
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

/* Puts a request into the queue. Caller holds lock, and start has returned true. */
static void enqueue(struct request *r)
{
    *queue_end = r;
    queue_end = &r->next;
    pthread_cond_signal(&asked);
}

/* Has the symbolizer serve a request, and waits for that. Leaves the request as it is if there is
 * no thread. */
static void ask(struct request *r)
{
    pthread_mutex_lock(&lock);
    if (start()) {
        enqueue(r);
        while (!r->done)
            pthread_cond_wait(&answered, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static void serve_learn(struct request *r)
{
    Dwfl_Module *mod;

    if (weft__rule_kept(r->rule, r->addr))
        return; /* another thread's request was for the same PC */
    mod = weft__module_at(r->addr);
    weft__rule_learn(r->rule, mod, r->addr);
    if (mod != NULL) /* else the file was just unloaded, and nothing would ever drop the rule */
        weft__rule_add(r->addr, r->rule);
    if (atomic_load_explicit(&learns, memory_order_relaxed))
        weft__files_want_one(r->addr);
}

/* Without the symbolizer, reads .eh_frame where it is mapped. As a callback of dl_iterate_phdr, at
 * whose first file it ends the iteration: no file can be unloaded meanwhile. */
static int read_mapped(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct request *r = arg;

    (void)info, (void)size;
    if (!weft__rule_read(r->rule, r->addr))
        *r->rule = (struct weft__rule){.flags = WEFT__RULE_NONE};
    return 1;
}

void weft__symbolizer_learn(struct weft__rule *out, uintptr_t addr)
{
    struct request r = {.serve = serve_learn, .addr = addr, .rule = out};

    *out = (struct weft__rule){.flags = WEFT__RULE_NONE};
    ask(&r);
    if (out->flags & WEFT__RULE_NONE)
        dl_iterate_phdr(read_mapped, &r);
}

void (*weft__symbolizer_crash)(void); /* tests write it before they ask */

static void serve_name(struct request *r)
{
    Dwfl_Module *mod;

    if (weft__symbolizer_crash != NULL)
        weft__symbolizer_crash();

    r->symbol = weft__symbol_lookup(r->addr);
    if (r->symbol != NULL)
        return;
    mod = weft__module_at(r->addr);
    if (mod == NULL && (r->symbol = weft__symbol_last(r->addr)) != NULL)
        return; /* its file was unloaded just now */
    if (!weft__symbol_may_make(r->addr))
        return;
    r->symbol = weft__symbol_make(mod, r->addr);
    if (r->symbol == NULL)
        return;
    weft__symbol_keep(r->symbol, mod == NULL);
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
    s = state == IDLE ? weft__symbol_last(addr) : NULL;
    if (s == NULL && (state == DEAD || (state == IDLE && weft__symbol_may_make(addr)))) {
        s = name_alone(addr);
        if (s != NULL && state == IDLE)
            weft__symbol_keep(s, true);
    }
    pthread_mutex_unlock(&lock);
    return s;
}

const struct weft__symbol *weft__symbolize(uintptr_t addr)
{
    /* The answer if memory ran out, or if there are too many symbols. */
    __extension__ static const struct weft__symbol nothing = {.n = 1,
                                                              .frames = {{.function = "?"}}};
    const struct weft__symbol *s = weft__symbol_lookup(addr);
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

/* Adds an address in the code of a file to the list. */
static int note_file(struct dl_phdr_info *info, size_t size, void *places)
{
    enum { STEP = 64 };
    struct weft__places *p = places;
    uintptr_t *grown;

    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
            continue;
        if (p->n % STEP == 0) {
            grown = realloc(p->at, (p->n + STEP) * sizeof *p->at);
            if (grown == NULL)
                return 1;
            p->at = grown;
        }
        p->at[p->n++] = info->dlpi_addr + ph->p_vaddr;
        break;
    }
    return 0;
}

static void check(const struct request *r)
{
    uint64_t before = atomic_load_explicit(&seen, memory_order_relaxed);

    if (r->changes == before)
        return;                                   /* another thread's request did the check */
    if ((uint32_t)r->changes != (uint32_t)before) /* something was unloaded */
        weft__modules_check();
    atomic_store_explicit(&seen, r->changes, memory_order_release);
}

static void serve_check(struct request *r)
{
    check(r);
    if (r->files.at != NULL)
        weft__files_want(&r->files);
}

static void serve_files(struct request *r)
{
    serve_check(r);
    while (weft__files_work())
        ;
}

/* Reads the counts in the calling thread, not in the symbolizer. dl_iterate_phdr takes a recursive
 * lock of the loader, which the caller may hold already (inside a callback of its own): it would
 * then wait for the symbolizer, and the symbolizer for the lock. dlclose holds that lock while it
 * unmaps; constructors and destructors run without it. */
uint32_t weft__symbolizer_look(void)
{
    struct request r = {.serve = serve_check};

    dl_iterate_phdr(read_counts, &r.changes);
    if (r.changes == atomic_load_explicit(&seen, memory_order_acquire))
        return weft__learned_age();
    if (atomic_load_explicit(&learns, memory_order_relaxed))
        dl_iterate_phdr(note_file, &r.files);
    ask(&r);
    free(r.files.at);
    return weft__learned_age();
}

void weft__symbolizer_settle(void)
{
    struct request r = {.serve = serve_files};

    dl_iterate_phdr(read_counts, &r.changes);
    dl_iterate_phdr(note_file, &r.files);
    ask(&r);
    free(r.files.at);
}

void weft__symbolizer_begin(void)
{
    struct request *r = calloc(1, sizeof *r);
    bool is_posted;

    atomic_store_explicit(&learns, true, memory_order_relaxed);
    if (r == NULL)
        return;
    r->serve = serve_check;
    r->is_posted = true;
    dl_iterate_phdr(read_counts, &r->changes);
    dl_iterate_phdr(note_file, &r->files);
    pthread_mutex_lock(&lock);
    is_posted = start();
    if (is_posted)
        enqueue(r);
    pthread_mutex_unlock(&lock);
    if (!is_posted)
        free_posted(r);
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
