/* SPDX-License-Identifier: MIT */
/* ctx.c - prepares contexts, and tells ASan and TSan of every switch.
 *
 * Owns no data: a weft__ctx belongs to its task or thread. ctx.h says which thread may call. In a
 * build without sanitizers a switch is the assembly alone, inlined from ctx.h. */
#include "runtime/machine/ctx.h"

#include "runtime/base/atomic.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"

#include <string.h>
#include <ucontext.h>
#include <unwind.h>
#if defined(WEFT__ASAN)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(WEFT__TSAN)
#include <sanitizer/tsan_interface.h>
#endif

#if !defined(WEFT__TSAN) && !defined(WEFT__ASAN)
/* Of the sanitizers' runtimes: NULL in a program without them. */
void __tsan_init(void) __attribute__((weak));
void __asan_init(void) __attribute__((weak));

void weft__ctx_init(void)
{
    static bool told;

    if (__tsan_init)
        weft__fatal("weft: the program has -fsanitize=thread, and this library was built without: "
                    "build weft with -DWEFT_SANITIZE=thread");
    if (__asan_init && !weft__xchg(&told, true))
        weft__log("weft: the program has -fsanitize=address, and this library was built without: "
                  "exceptions and longjmp can cause false reports; with -DWEFT_SANITIZE=address "
                  "weft causes none");
}
#else
void weft__ctx_init(void)
{
}
#endif

void weft__ctx_make(weft__ctx *ctx, uintptr_t lo, uintptr_t hi, size_t color, uint64_t id,
                    void (*first)(void))
{
    struct weft__ctx_mark *mark = (struct weft__ctx_mark *)(hi - color) - 1;
    void **sp = (void **)mark;

    weft__assert((hi - color) % 16 == 0 && lo < hi - color - 4096);
    weft__store(&ctx->lo, lo); /* dumpers of other threads read both */
    weft__store(&ctx->hi, hi);
    mark->id = id;
    mark->check = weft__ctx_check(id, (uintptr_t)mark);
    /* The mark has 16 bytes and the saved registers 7 words. So the sp is a multiple of 16 when
     * weft__ctx_entry calls first, which is in rbx, as the ABI asks. */
    sp -= WEFT__CTX_WORDS;
    memset(sp, 0, WEFT__CTX_WORDS * sizeof(*sp));
    sp[WEFT__CTX_BX] = (void *)(uintptr_t)first;
    sp[WEFT__CTX_PC] = WEFT__CTX_START;
    weft__store(&ctx->sp, sp);
#if defined(WEFT__ASAN)
    ctx->fake = NULL;
#elif defined(WEFT__TSAN)
    ctx->fiber = __tsan_create_fiber(0);
#endif
}

_Unwind_Reason_Code weft__ctx_unwound(int, _Unwind_Action, _Unwind_Exception_Class,
                                      struct _Unwind_Exception *, struct _Unwind_Context *);

/* The personality routine of every stack's outermost frame. pthread_exit unwinds by force up to
 * here; it would then end the thread and leave the task in the middle, so this panics. An exception
 * passes: its own library reports that no frame catches it. */
_Unwind_Reason_Code weft__ctx_unwound(int version, _Unwind_Action actions,
                                      _Unwind_Exception_Class class, struct _Unwind_Exception *e,
                                      struct _Unwind_Context *context)
{
    (void)version;
    (void)class;
    (void)e;
    (void)context;
    if (actions & _UA_FORCE_UNWIND)
        weft__panic("weft: pthread_exit called in a task");
    return _URC_CONTINUE_UNWIND;
}

uintptr_t weft__ctx_pc(const void *ucontext)
{
    const mcontext_t *m = &((const ucontext_t *)ucontext)->uc_mcontext;

#ifdef __x86_64__
    return (uintptr_t)m->gregs[REG_RIP];
#else
    return (uintptr_t)m->pc;
#endif
}

/* ASan needs the bounds of the thread's own stack at each switch back to it. */
void weft__ctx_thread(weft__ctx *ctx)
{
    memset(ctx, 0, sizeof(*ctx));
#if defined(WEFT__ASAN)
    pthread_attr_t attr;
    void *lo;
    size_t size;

    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &lo, &size);
    pthread_attr_destroy(&attr);
    ctx->lo = (uintptr_t)lo;
    ctx->hi = (uintptr_t)lo + size;
#elif defined(WEFT__TSAN)
    ctx->fiber = __tsan_get_current_fiber();
#endif
}

/* The frames of a stack that never returned are still poisoned for ASan; the next task on this
 * memory would be reported for using its own locals. */
void weft__ctx_drop(weft__ctx *ctx)
{
#if defined(WEFT__ASAN)
    __asan_unpoison_memory_region((void *)ctx->lo, ctx->hi - ctx->lo);
#elif defined(WEFT__TSAN)
    __tsan_destroy_fiber(ctx->fiber);
    ctx->fiber = NULL;
#endif
    weft__store(&ctx->sp, NULL); /* runq.c prefetches from it, at any time */
}

#if defined(WEFT__ASAN) || defined(WEFT__TSAN)
/* Not instrumented itself: half of it runs on one stack and half on the other. */
WEFT__NO_SANITIZE void weft__ctx_switch(weft__ctx *from, weft__ctx *to, bool last)
{
    (void)last;
#if defined(WEFT__ASAN)
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake, (void *)to->lo, to->hi - to->lo);
#elif defined(WEFT__TSAN)
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
    weft__ctx_jump(&from->sp, to->sp);
#if defined(WEFT__ASAN)
    __sanitizer_finish_switch_fiber(from->fake, NULL, NULL);
#endif
}
#endif

WEFT__NO_SANITIZE void weft__ctx_started(weft__ctx *self)
{
    (void)self;
#if defined(WEFT__ASAN)
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
}
