/* SPDX-License-Identifier: MIT */
/* base.h - attributes, asserts, and the three ways a program ends because of us. */
#ifndef WEFT_BASE_H
#define WEFT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define weft__likely(x)                    __builtin_expect(!!(x), 1)
#define weft__unlikely(x)                  __builtin_expect(!!(x), 0)
#define WEFT__NOINLINE                     __attribute__((noinline))
#define WEFT__NORETURN                     __attribute__((noreturn))
#define WEFT__PRINTF(f, a)                 __attribute__((format(printf, f, a)))
#define weft__container_of(p, type, field) ((type *)(void *)((char *)(p)-offsetof(type, field)))
#define weft__noreach()                    __builtin_unreachable()

#if defined(__SANITIZE_THREAD__)
#define WEFT__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEFT__TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WEFT__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT__ASAN 1
#endif
#endif

/* FRAMELESS: the function has no frame of its own, so a walk that it begins shows its caller.
 * NO_SANITIZE: for functions that read foreign stacks or switch them. */
#define WEFT__FRAMELESS   inline __attribute__((always_inline))
#define WEFT__NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))

/* Misuse of the API: "panic: TEXT", the calling task's stack and all others, exit 2. fatal.c */
void weft__panic(const char *format, ...) WEFT__NORETURN WEFT__PRINTF(1, 2);
/* Ends the program as weft__panic does, with Go's "fatal error: TEXT": nothing could recover. */
void weft__fatal(const char *format, ...) WEFT__NORETURN WEFT__PRINTF(1, 2);
/* limits.c: ends the program because the system gives no memory or no thread. The text says for
 * what; the limits that hold follow. remedy: a setting that the user may change, or NULL. */
void weft__no_memory(const char *remedy, const char *format, ...) WEFT__NORETURN WEFT__PRINTF(2, 3);
void weft__no_thread(unsigned beside) WEFT__NORETURN;
/* A bug of ours. */
void weft__assert_failed(const char *what, const char *file, int line) WEFT__NORETURN;

/* Strengths: assert is cheap and on in releases, check is for debug builds. */
#if WEFT_CHECK >= 1
#define weft__assert(x) (weft__likely(x) ? (void)0 : weft__assert_failed(#x, __FILE__, __LINE__))
#else
#define weft__assert(x) ((void)0)
#endif
#if WEFT_CHECK >= 2
#define weft__check(x) weft__assert(x)
#else
#define weft__check(x) ((void)0)
#endif

/* Memory of the runtime's own objects: zeroed, never NULL; running out ends the program. alloc.c */
void *weft__alloc(size_t n, size_t size);
/* Memory of a size that a peer chooses: not zeroed; NULL: there is none. */
void *weft__alloc_try(size_t n);
void weft__free(void *p);

/* Pages, reserved only; NULL: there are none. */
void *weft__map(size_t len);
/* The same from a multiple of align on. WEFT__TABLE is the memory that one page table covers,
 * and WEFT__TABLES that of one table of page tables: memory aligned so shares none with other. */
enum { WEFT__TABLE = 2 << 20, WEFT__TABLES = 1 << 30 };
void *weft__map_aligned(size_t len, size_t align);

#endif
