/* SPDX-License-Identifier: MIT */
/* interpose.c - the component weft_heap: malloc and its relatives, which count and forward.
 *
 * Owns: the component's record (component.h), each thread's count, and the addresses of the next
 * definitions of the functions. No memory is served from here, except to calls that dlsym makes
 * while it looks for these addresses. So the program's choice of an allocator stays as it is.
 *
 * A sampled block stays where the next allocator put it. To know one again, free looks at a byte
 * that counts the samples on the block's page (and on all pages whose numbers end alike). At the
 * default rate one page in 128 has a sample, so libweft is asked about few blocks. Blocks of pages
 * of their own would need no table: but holes before aligned blocks split glibc's memory, and a
 * service with 24 MB of blocks grew by 25 MB in five minutes.
 *
 * Under a sanitizer this file is empty: feeds.c uses the sanitizer's own hooks.
 *
 * Any thread may call anything here at any time, also in a signal handler. Nothing takes a lock or
 * switches tasks, so the address of the thread's count stays right during a call. */
#include "profiles/heap/component.h"

#include "runtime/base/atomic.h"

#if !defined(WEFT__ASAN) && !defined(WEFT__TSAN) && !defined(WEFT__MSAN)

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))
#define CALLER   __builtin_return_address(0)

enum {
    PAGE = 4096,
    PAGES = 1 << 20, /* counts; 4 GiB of memory share none */
    MANY = 255,      /* a count that high stays: how many more there are is not known */
    ALONE = 1 << 20, /* bytes until a thread looks again whether libweft is there */
    BOOT_BLOCKS = 32,
    BOOT_STEP = 4096,
};

static _Thread_local struct weft__heap_thread me;
static uint8_t on_page[PAGES]; /* atomic: samples and boot blocks */

static struct weft__heap_thread *thread(void)
{
    return &me;
}

static const void *behind(void);

extern struct weft__heap_component weft__heap_component;
EXPORTED struct weft__heap_component weft__heap_component = {
    .version = WEFT__HEAP_VERSION, .thread = thread, .behind = behind};

/* Marks ---------------------------------------------------------------------------------------- */

static inline uint8_t *page_of(const void *p)
{
    return &on_page[(uintptr_t)p / PAGE % PAGES];
}

/* Returns whether p may be a sample or a boot block. */
static inline bool is_marked(const void *p)
{
    return weft__load(page_of(p)) != 0;
}

/* Adds n, 1 or -1, to the count of p's page. */
static void mark(const void *p, int n)
{
    uint8_t *count = page_of(p), old = weft__load(count);

    while (old != MANY && !weft__cas(count, &old, (uint8_t)(old + n)))
        continue;
}

/* The next definitions ------------------------------------------------------------------------- */

static void *boot_malloc(size_t n);
static void *boot_calloc(size_t n, size_t size);
static void *boot_realloc(void *p, size_t n);
static void boot_free(void *p);
static void *boot_memalign(size_t align, size_t n);
static int boot_posix_memalign(void **to, size_t align, size_t n);
static void *boot_valloc(size_t n);

/* Written once, before the program has a second thread. */
static struct {
    void *(*malloc)(size_t n);
    void *(*calloc)(size_t n, size_t size);
    void *(*realloc)(void *p, size_t n);
    void (*free)(void *p);
    void *(*memalign)(size_t align, size_t n);
    void *(*aligned_alloc)(size_t align, size_t n);
    int (*posix_memalign)(void **to, size_t align, size_t n);
    void *(*valloc)(size_t n);
    void *(*pvalloc)(size_t n);
    size_t (*usable_size)(void *p);
} next = {
    .malloc = boot_malloc,
    .calloc = boot_calloc,
    .realloc = boot_realloc,
    .free = boot_free,
    .memalign = boot_memalign,
    .aligned_alloc = boot_memalign,
    .posix_memalign = boot_posix_memalign,
    .valloc = boot_valloc,
    .pvalloc = boot_valloc,
};

static _Alignas(BOOT_STEP) char boot[BOOT_BLOCKS][BOOT_STEP];
static unsigned boot_used;
static bool resolving;

static bool is_boot(const void *p)
{
    return (uintptr_t)p - (uintptr_t)boot < sizeof(boot);
}

static WEFT__NORETURN void give_up(const char *why)
{
    ssize_t n = write(STDERR_FILENO, why, strlen(why));

    (void)n;
    _exit(127);
}

static void *look_up(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (!found)
        give_up("weft_heap: there is no other malloc behind this one, as in a statically linked "
                "program: link it without weft_heap (-DWEFT_HEAP=OFF)\n");
    return found;
}

/* Looks up all of them, then makes them known. */
static void resolve(void)
{
    __typeof__(next) found;

    resolving = true;
    *(void **)&found.malloc = look_up("malloc");
    *(void **)&found.calloc = look_up("calloc");
    *(void **)&found.realloc = look_up("realloc");
    *(void **)&found.free = look_up("free");
    *(void **)&found.memalign = look_up("memalign");
    *(void **)&found.aligned_alloc = look_up("aligned_alloc");
    *(void **)&found.posix_memalign = look_up("posix_memalign");
    *(void **)&found.valloc = look_up("valloc");
    *(void **)&found.pvalloc = dlsym(RTLD_NEXT, "pvalloc");
    if (!found.pvalloc) /* musl has none */
        found.pvalloc = found.valloc;
    *(void **)&found.usable_size = look_up("malloc_usable_size");
    next = found;
    resolving = false;
}

static void *boot_malloc(size_t n)
{
    if (!resolving) {
        resolve();
        return next.malloc(n);
    }
    if (n > BOOT_STEP || boot_used == BOOT_BLOCKS)
        give_up("weft_heap: dlsym needs more memory than expected\n");
    mark(boot[boot_used], 1);
    return boot[boot_used++];
}

static void *boot_calloc(size_t n, size_t size)
{
    if (resolving)
        return boot_malloc(n * size); /* its blocks are zero, and none is used twice */
    resolve();
    return next.calloc(n, size);
}

static void *boot_realloc(void *p, size_t n)
{
    void *q;

    if (!resolving) {
        resolve();
        return next.realloc(p, n);
    }
    q = boot_malloc(n);
    if (p)
        memcpy(q, p, n);
    return q;
}

static void boot_free(void *p)
{
    if (resolving || !p)
        return;
    resolve();
    next.free(p);
}

static void *boot_memalign(size_t align, size_t n)
{
    if (resolving)
        return boot_malloc(n);
    resolve();
    return next.memalign(align, n);
}

static int boot_posix_memalign(void **to, size_t align, size_t n)
{
    resolve();
    return next.posix_memalign(to, align, n);
}

static void *boot_valloc(size_t n)
{
    resolve();
    return next.valloc(n);
}

static const void *behind(void)
{
    return *(void **)&next.malloc;
}

/* Sampling ------------------------------------------------------------------------------------- */

/* Counts n bytes. Returns false if the thread's count does not run out. */
static inline bool counts_out(size_t n)
{
    if (weft__unlikely(n >= me.left))
        return true;
    me.left -= n;
    return false;
}

/* Asks libweft whether a block of n bytes is sampled. */
static bool is_due(size_t n)
{
    const struct weft__heap_hooks *hooks = weft__load_acq(&weft__heap_component.hooks);
    bool due;

    if (me.busy)
        return false;
    if (!hooks) {
        me.left = ALONE;
        return false;
    }
    me.busy = true;
    due = hooks->due(&me, n);
    me.busy = false;
    return due;
}

/* Gives a block that was due to libweft. */
static void *note(void *p, size_t n, const void *caller)
{
    const struct weft__heap_hooks *hooks = weft__load_acq(&weft__heap_component.hooks);

    if (p && hooks) {
        mark(p, 1);
        me.busy = true;
        if (!hooks->note(&me, p, n, caller))
            mark(p, -1);
        me.busy = false;
    }
    return p;
}

static bool forget(void *p, struct weft__heap_sample *was)
{
    const struct weft__heap_hooks *hooks = weft__load_acq(&weft__heap_component.hooks);

    if (!p || !hooks || !is_marked(p) || !hooks->forget(p, was))
        return false;
    mark(p, -1);
    return true;
}

static WEFT__NOINLINE void *malloc_slow(size_t n, const void *caller)
{
    bool due = is_due(n);
    void *p = next.malloc(n);

    return due ? note(p, n, caller) : p;
}

static WEFT__NOINLINE void *calloc_slow(size_t n, size_t size, const void *caller)
{
    size_t bytes;
    bool due = !__builtin_mul_overflow(n, size, &bytes) && is_due(bytes);
    void *p = next.calloc(n, size);

    return due ? note(p, bytes, caller) : p;
}

/* A boot block's size is not known, so a step is copied. */
static void *realloc_boot(const void *p, size_t n)
{
    void *q = next.malloc(n);

    return q ? memcpy(q, p, n < BOOT_STEP ? n : BOOT_STEP) : NULL;
}

/* Counts as a free and an allocation. p is forgotten first: once it is free, another thread may
 * allocate at its address. */
static WEFT__NOINLINE void *realloc_slow(void *p, size_t n, bool out, const void *caller)
{
    struct weft__heap_sample was;
    bool sampled, due;
    void *q;

    if (is_boot(p))
        return realloc_boot(p, n);
    sampled = forget(p, &was);
    due = out && n > 0 && is_due(n);
    q = next.realloc(p, n);
    if (!q && n > 0 && sampled) {
        mark(p, 1);
        weft__load_acq(&weft__heap_component.hooks)->restore(p, &was);
    }
    return due ? note(q, n, caller) : q;
}

static WEFT__NOINLINE void free_slow(void *p)
{
    struct weft__heap_sample was;

    if (!p || is_boot(p))
        return;
    forget(p, &was);
    next.free(p);
}

/* The functions -------------------------------------------------------------------------------- */

EXPORTED void *malloc(size_t n)
{
    if (counts_out(n))
        return malloc_slow(n, CALLER);
    return next.malloc(n);
}

EXPORTED void free(void *p)
{
    if (weft__unlikely(is_marked(p)))
        free_slow(p);
    else
        next.free(p);
}

EXPORTED void *calloc(size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes) || counts_out(bytes))
        return calloc_slow(n, size, CALLER);
    return next.calloc(n, size);
}

EXPORTED void *realloc(void *p, size_t n)
{
    bool out = counts_out(n);

    if (weft__unlikely(out || is_marked(p)))
        return realloc_slow(p, n, out, CALLER);
    return next.realloc(p, n);
}

EXPORTED void *memalign(size_t align, size_t n)
{
    if (counts_out(n) && is_due(n))
        return note(next.memalign(align, n), n, CALLER);
    return next.memalign(align, n);
}

EXPORTED void *aligned_alloc(size_t align, size_t n)
{
    if (counts_out(n) && is_due(n))
        return note(next.aligned_alloc(align, n), n, CALLER);
    return next.aligned_alloc(align, n);
}

EXPORTED int posix_memalign(void **to, size_t align, size_t n)
{
    bool due = counts_out(n) && is_due(n);
    int rc = next.posix_memalign(to, align, n);

    if (rc == 0 && due)
        note(*to, n, CALLER);
    return rc;
}

EXPORTED void *valloc(size_t n)
{
    bool due = counts_out(n) && is_due(n);
    void *p = next.valloc(n);

    return due ? note(p, n, CALLER) : p;
}

EXPORTED void *pvalloc(size_t n)
{
    bool due = counts_out(n) && is_due(n);
    void *p = next.pvalloc(n);

    return due ? note(p, n, CALLER) : p;
}

#else
extern const char weft__heap_nothing; /* an empty file is not C */
#endif
