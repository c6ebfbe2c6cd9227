/* SPDX-License-Identifier: MIT */
/* base.h - attributes, memory, and the functions that end the program.
 *
 * Every file of weft includes this header, so it includes nothing of weft and knows no tasks. Any
 * thread may call the functions, under any lock. None of them switches tasks. Only malloc, which
 * the memory functions use, keeps them from signal handlers. */
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

/* For variables that hot paths read: no other library can see them, so they are read without a look
 * at the table of addresses (GOT), which costs an instruction each time. */
#define WEFT__HIDDEN __attribute__((visibility("hidden")))

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

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#define WEFT__MSAN 1
#endif
#endif

/* FRAMELESS: the function has no frame of its own, so a walk that it begins shows its caller.
 * NO_SANITIZE: for functions that read the stacks of other tasks or switch stacks. The sanitizers
 * would report such reads as errors. */
#define WEFT__FRAMELESS   inline __attribute__((always_inline))
#define WEFT__NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))

/* Reports a misuse of the API: prints "panic: TEXT", the calling task's stack and all other stacks,
 * and exits with status 2. death.c */
void weft__panic(const char *format, ...) WEFT__NORETURN WEFT__PRINTF(1, 2);
/* Ends the program as weft__panic does, but prints Go's "fatal error: TEXT". Go uses these words
 * for faults that no recover() could catch; tools that read reports tell the two apart. */
void weft__fatal(const char *format, ...) WEFT__NORETURN WEFT__PRINTF(1, 2);
/* Ends the program because the system gives no memory. The text names the thing that needed it; the
 * limits in force follow. remedy names a setting that the user may change, or is NULL. limits.c */
void weft__no_memory(const char *remedy, const char *format, ...) WEFT__NORETURN WEFT__PRINTF(2, 3);
/* Ends the program because the system gives no thread beside the `beside` that run. limits.c */
void weft__no_thread(unsigned beside) WEFT__NORETURN;
/* Returns zeroed memory for n objects of the runtime. Never returns NULL: running out of memory
 * ends the program, since no caller could do anything sensible without the object. alloc.c */
void *weft__alloc(size_t n, size_t size);
/* Returns n bytes, not zeroed, or NULL. For memory whose size a peer chooses: a peer must not be
 * able to end the program. */
void *weft__alloc_try(size_t n);
/* Frees memory of the two functions before. p may be NULL. */
void weft__free(void *p);

/* Reserves len bytes of address space; the kernel gives a page when it is first touched. Returns
 * NULL if there is no room. */
void *weft__map(size_t len);
/* Reserves len bytes as weft__map does, at a multiple of align. WEFT__TABLE is the span of memory
 * that one page table describes; WEFT__TABLES is the span of one table of page tables. Memory that
 * is aligned to a span shares no such table with other memory. stack.c says why that matters. */
enum { WEFT__TABLE = 2 << 20, WEFT__TABLES = 1 << 30 };
void *weft__map_aligned(size_t len, size_t align);
/* Gives memory of weft__map a name in /proc/self/maps, if the kernel has names (Linux 5.17). */
void weft__map_name(void *at, size_t len, const char *name);

#endif
