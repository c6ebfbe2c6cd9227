/* SPDX-License-Identifier: MIT */
/* component.h - the contract between libweft and the component weft_heap, which defines malloc.
 *
 * The component is an object of its own (interpose.c) that a program is linked with, or a shared
 * library that is preloaded. It counts the bytes that each thread allocates. When a thread's count
 * runs out, it asks libweft, by the functions of weft__heap_hooks, whether the block is sampled.
 * Without libweft it forwards every call and does nothing else.
 *
 * The hooks may be called anywhere where a program may call malloc or free: in a signal handler,
 * under the loader's lock, on any stack, by any thread, before main and after exit. So they take no
 * lock, allocate nothing, never wait, and keep errno. */
#ifndef WEFT_HEAP_COMPONENT_H
#define WEFT_HEAP_COMPONENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WEFT__HEAP_VERSION = 2 };

/* A thread's own state. Only the thread and its signal handlers touch it. */
struct weft__heap_thread {
    size_t left;                  /* the thread asks for the block that needs as much or more */
    bool busy;                    /* it is in a hook: calls that it makes are not sampled */
    bool begun;                   /* the fields below are set */
    uint32_t epoch;               /* of the rate for which left was drawn */
    uint64_t random;              /* state of the generator */
    uint64_t asked;               /* calls of due */
    uintptr_t stack_lo, stack_hi; /* the mapping of a stack that it was on; 0: not known */
};

/* A live sample. */
struct weft__heap_sample {
    size_t size;
    struct weft__heap_stack *stack; /* that allocated it */
    int64_t time;                   /* weft__mono */
    double weight;                  /* how many blocks it stands for */
};

struct weft__heap_hooks {
    /* Decides whether a block of n bytes is sampled, and sets t->left. */
    bool (*due)(struct weft__heap_thread *t, size_t n);
    /* Adds a block, which was due and has been allocated by a call that returns to caller. Returns
     * false if there is no room for it; it is no sample then. */
    bool (*note)(struct weft__heap_thread *t, void *p, size_t n, const void *caller);
    /* Removes a block that is about to be freed, if it is a sample. Returns whether it was. */
    bool (*forget)(const void *p, struct weft__heap_sample *was);
    /* Undoes forget: the block stays, since realloc failed. */
    void (*restore)(void *p, const struct weft__heap_sample *was);
};

struct weft__heap_component {
    uint32_t version;
    struct weft__heap_thread *(*thread)(void); /* the caller's; constant */
    const void *(*behind)(void);               /* the next malloc; constant */
    const struct weft__heap_hooks *hooks;      /* atomic; NULL: libweft is not there */
};

#endif
