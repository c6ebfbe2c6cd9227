/* SPDX-License-Identifier: MIT */
/* wait.h - the one list of wait reasons: name, the exact text a dump shows, flags.
 *
 * The list is constant, and any thread may call the functions. A new wait adds its line here and
 * its text to include/weft/dump.h. Texts are Go's where Go has the wait, since tools parse them; a
 * text has no comma and no ']'. */
#ifndef WEFT_WAIT_H
#define WEFT_WAIT_H

/* The flags of a reason, for the deadlock rule, cancellation and the profiles. */
enum {
    WEFT__WAIT_CANCELABLE = 1, /* a canceled group ends it */
    WEFT__WAIT_OUTSIDE = 2, /* something outside the tasks can end it: no deadlock while it lasts */
    WEFT__WAIT_SCHED = 4,   /* waits for a processor, not for an event */
    WEFT__WAIT_BLOCK = 8,   /* for other tasks: the block profile has it; others if asked for */
};

#define WEFT__WAIT_MAP(XX)                                                                         \
    XX(NONE, "unknown wait reason", 0)                                                             \
    XX(CHAN_RECV, "chan receive", WEFT__WAIT_CANCELABLE | WEFT__WAIT_BLOCK)                        \
    XX(CHAN_SEND, "chan send", WEFT__WAIT_CANCELABLE | WEFT__WAIT_BLOCK)                           \
    XX(CHAN_RECV_NIL, "chan receive (nil chan)", WEFT__WAIT_CANCELABLE | WEFT__WAIT_BLOCK)         \
    XX(CHAN_SEND_NIL, "chan send (nil chan)", WEFT__WAIT_CANCELABLE | WEFT__WAIT_BLOCK)            \
    XX(SELECT, "select", WEFT__WAIT_CANCELABLE | WEFT__WAIT_BLOCK)                                 \
    XX(SELECT_NONE, "select (no cases)", WEFT__WAIT_CANCELABLE | WEFT__WAIT_BLOCK)                 \
    XX(MUTEX, "sync.Mutex.Lock", WEFT__WAIT_BLOCK)                                                 \
    XX(RWMUTEX_READ, "sync.RWMutex.RLock", WEFT__WAIT_BLOCK)                                       \
    XX(RWMUTEX_WRITE, "sync.RWMutex.Lock", WEFT__WAIT_BLOCK)                                       \
    XX(COND, "sync.Cond.Wait", WEFT__WAIT_CANCELABLE | WEFT__WAIT_BLOCK)                           \
    XX(ONCE, "sync.Once.Do", WEFT__WAIT_BLOCK)                                                     \
    XX(GROUP, "sync.WaitGroup.Wait", WEFT__WAIT_CANCELABLE | WEFT__WAIT_BLOCK)                     \
    XX(JOIN, "sync.WaitGroup.Wait", WEFT__WAIT_BLOCK)                                              \
    XX(GROUP_LIMIT, "group limit", WEFT__WAIT_CANCELABLE | WEFT__WAIT_BLOCK)                       \
    XX(SEMA, "semacquire", WEFT__WAIT_CANCELABLE | WEFT__WAIT_BLOCK)                               \
    XX(SLEEP, "sleep", WEFT__WAIT_CANCELABLE)                                                      \
    XX(IO, "IO wait", WEFT__WAIT_CANCELABLE | WEFT__WAIT_OUTSIDE)                                  \
    XX(IO_RETRY, "IO retry wait", WEFT__WAIT_CANCELABLE | WEFT__WAIT_OUTSIDE)                      \
    XX(CLOSE, "IO close wait", WEFT__WAIT_OUTSIDE)                                                 \
    XX(DNS, "DNS lookup", WEFT__WAIT_CANCELABLE | WEFT__WAIT_OUTSIDE)                              \
    XX(WORK, "uv work wait", WEFT__WAIT_OUTSIDE)                                                   \
    XX(PROCESS, "process wait", WEFT__WAIT_OUTSIDE)                                                \
    XX(HOG_LANE, "hog lane", WEFT__WAIT_SCHED)                                                     \
    XX(THREAD, "thread wait", WEFT__WAIT_SCHED)

enum weft__reason {
#define XX(name, text, flags) WEFT__WAIT_##name,
    WEFT__WAIT_MAP(XX)
#undef XX
        WEFT__WAIT_COUNT
};

/* The list as an array, for debuggers (run/layout.c). */
struct weft__wait_kind {
    const char *text;
    unsigned flags;
};
extern const struct weft__wait_kind weft__wait_kinds[];

const char *weft__wait_text(unsigned reason);
unsigned weft__wait_flags(unsigned reason);

/* Returns whether it is for a mutex or rwmutex, whose holders are charged with the wait. */
static inline int weft__wait_is_for_lock(unsigned reason)
{
    return reason == WEFT__WAIT_MUTEX || reason == WEFT__WAIT_RWMUTEX_WRITE ||
           reason == WEFT__WAIT_RWMUTEX_READ;
}

#endif
