/* SPDX-License-Identifier: MIT */
/* libdw_fault.c - see libdw_fault.h.
 *
 * libdw does not check each allocation. Without memory it reads through NULL, fails an assertion of
 * its own, or calls exit(): a process short of memory would end because a profile was taken of it.
 * So the symbolizer thread calls libdw below a sigsetjmp, and the handler of a fault jumps back.
 * The memory that libdw held is lost; the caller drops its handles and starts over.
 *
 * A fault counts as libdw's in four cases: in the code of libdw or libelf; in the C library, at an
 * address near NULL that they passed; in its functions for trees, since a fault before may have
 * left a tree half made; or if an assertion failed. All others are reported as the program's: a
 * broken heap faults in malloc, with malloc's lock held.
 *
 * Owns: `call`, written by the symbolizer thread alone and read by handlers on any thread. */
#include "profiles/walk/libdw_fault.h"

#include "runtime/base/atomic.h"

#undef NDEBUG /* else assert.h has no __assert_fail */
#include <assert.h>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <search.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

static struct {
    sigjmp_buf out;
    pthread_t thread; /* atomic */
    bool is_open;     /* atomic: thread is in a call */
} call;

bool weft__libdw_call(void (*fn)(void *arg), void *arg)
{
    bool whole = false;

    weft__store(&call.thread, pthread_self());
    if (sigsetjmp(call.out, 1) == 0) {
        weft__store_rel(&call.is_open, true);
        fn(arg);
        whole = true;
    }
    weft__store_rel(&call.is_open, false);
    return whole;
}

/* Returns whether the calling thread is in a call. async-signal-safe */
static bool is_in_call(void)
{
    return weft__load_acq(&call.is_open) && pthread_equal(weft__load(&call.thread), pthread_self());
}

/* Returns whether pc is in a library whose path contains this text. async-signal-safe */
static bool is_in(uintptr_t pc, const char *library)
{
    struct dl_find_object o;

    return _dl_find_object((void *)pc, &o) == 0 && o.dlfo_link_map->l_name != NULL &&
           strstr(o.dlfo_link_map->l_name, library) != NULL;
}

/* Returns whether abort() was called because an assertion failed: then the stack has a return
 * address in __assert_fail. */
static bool is_assertion(const ucontext_t *uc)
{
    enum { WORDS = 256, LENGTH = 128 };
    const uintptr_t *sp = (const uintptr_t *)uc->uc_mcontext.gregs[REG_RSP];
    uintptr_t fails = (uintptr_t)__assert_fail;

    for (int i = 0; i < WORDS; i++) {
        if (sp[i] - fails < LENGTH)
            return true;
    }
    return false;
}

/* Returns whether pc is in one of the C library's functions for binary trees, which libdw uses. */
static bool is_in_a_tree(uintptr_t pc)
{
    enum { LENGTH = 1024 };
    const uintptr_t functions[] = {(uintptr_t)tfind, (uintptr_t)tsearch, (uintptr_t)tdelete};

    for (int i = 0; i < 3; i++) {
        if (pc - functions[i] < LENGTH)
            return true;
    }
    return false;
}

static bool is_libdws(int signo, const siginfo_t *info, const ucontext_t *uc)
{
    enum { NEAR_NULL = 65536 };
    uintptr_t pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];

    if (signo == SIGABRT)
        return is_assertion(uc);
    if (signo != SIGSEGV && signo != SIGBUS)
        return false;
    return is_in(pc, "/libdw") || is_in(pc, "/libelf") ||
           ((uintptr_t)info->si_addr < NEAR_NULL && is_in(pc, "/libc.so")) || is_in_a_tree(pc);
}

void weft__libdw_faulted(int signo, const siginfo_t *info, const void *ucontext)
{
    if (is_in_call() && is_libdws(signo, info, ucontext))
        siglongjmp(call.out, 1);
}

void weft__libdw_no_memory(void)
{
    if (is_in_call())
        siglongjmp(call.out, 1);
    abort();
}
