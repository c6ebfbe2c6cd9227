/* SPDX-License-Identifier: MIT */
/* weft/chan.h - typed, optionally buffered channels with Go's semantics.
 *
 * Sends and receives are cancelable. Values are copied; the channel keeps no pointer of the
 * caller's after the return. Any thread may call; calls that may wait belong between the start and
 * the end of weft_run.
 *
 *     WEFT_CHAN_TYPE(numbers, int); // a type of its own: numbers_new, numbers_send, ...
 *
 *     static void count(void *to)
 *     {
 *         for (int i = 1; i <= 3; i++)
 *             numbers_send(to, i);
 *         numbers_close(to);
 *     }
 *
 *     static int add_up(void *arg)
 *     {
 *         numbers *c = numbers_new(1);
 *         int n, sum = 0;
 *
 *         weft_go(count, c);
 *         while (numbers_recv(c, &n) == 0) // ends when c is closed and drained
 *             sum += n;
 *         numbers_free(c);
 *         return sum;
 *     }
 *     int main(void) { return weft_run(add_up, NULL) != 6; }
 */
#ifndef WEFT_CHAN_H
#define WEFT_CHAN_H

#include <stddef.h>
#include <weft/error.h>
#include <weft/time.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_chan weft_chan;

/* capacity 0: a send meets its receiver. Panics if elem_size * capacity is out of reach. */
WEFT_API weft_chan *weft_chan_new(size_t elem_size, size_t capacity);
/* Frees c and drops the values still buffered. Panics if a task waits on c (the end of a run
 * discards those that do), if signals are sent on it, or if a timer owns it. NULL does nothing. A
 * later call with c panics, until malloc gives the memory to something else. */
WEFT_API void weft_chan_free(weft_chan *c);
/* Closes c and wakes every waiter; with many of them other tasks run in between. Panics if c is
 * closed or NULL, as in Go. */
WEFT_API void weft_chan_close(weft_chan *c);

/* Sends a copy of *elem. 0; WEFT_ECLOSED (C has no recover: Go panics here); WEFT_ETIMEDOUT;
 * WEFT_ECANCELED. On a NULL channel waits for the deadline or for cancellation. */
WEFT_API int weft_chan_send_until(weft_chan *c, const void *elem, weft_time deadline);
/* Receives into *elem; NULL: drops the value. 0; WEFT_ECLOSED only once the buffer is drained, and
 * *elem is then zeroed; WEFT_ETIMEDOUT; WEFT_ECANCELED. A NULL channel as in a send. */
WEFT_API int weft_chan_recv_until(weft_chan *c, void *elem, weft_time deadline);

WEFT_API size_t weft_chan_len(weft_chan *c); /* values buffered now; 0 for NULL */
WEFT_API size_t weft_chan_cap(weft_chan *c);

static inline int weft_chan_send(weft_chan *c, const void *elem)
{
    return weft_chan_send_until(c, elem, WEFT_FOREVER);
}

static inline int weft_chan_recv(weft_chan *c, void *elem)
{
    return weft_chan_recv_until(c, elem, WEFT_FOREVER);
}

#define WEFT__INLINE static inline __attribute__((unused))

/* Values are copied as bytes and dropped without a destructor. Casts are such that -Wold-style-cast
 * is content. */
#ifdef __cplusplus
#define WEFT__CAST(T, x) reinterpret_cast<T>(x)
#define WEFT__CARRIES(T)                                                                           \
    static_assert(__is_trivially_copyable(T),                                                      \
                  "a channel carries bytes: send a pointer to this type")
#else
#define WEFT__CAST(T, x) ((T)(x))
#define WEFT__CARRIES(T) _Static_assert(sizeof(T) > 0, "")
#endif

/* The one macro for users: a channel type `name` that carries values of type T. In C++ T must be
 * trivially copyable, or it does not compile. */
#define WEFT_CHAN_TYPE(name, T)                                                                    \
    WEFT__CARRIES(T);                                                                              \
    typedef struct name name;                                                                      \
    WEFT__INLINE weft_chan *name##_raw(name *c)                                                    \
    {                                                                                              \
        return WEFT__CAST(weft_chan *, c);                                                         \
    }                                                                                              \
    WEFT__INLINE name *name##_new(size_t cap)                                                      \
    {                                                                                              \
        return WEFT__CAST(name *, weft_chan_new(sizeof(T), cap));                                  \
    }                                                                                              \
    WEFT__INLINE void name##_free(name *c)                                                         \
    {                                                                                              \
        weft_chan_free(name##_raw(c));                                                             \
    }                                                                                              \
    WEFT__INLINE void name##_close(name *c)                                                        \
    {                                                                                              \
        weft_chan_close(name##_raw(c));                                                            \
    }                                                                                              \
    WEFT__INLINE int name##_send(name *c, T v)                                                     \
    {                                                                                              \
        return weft_chan_send(name##_raw(c), &v);                                                  \
    }                                                                                              \
    WEFT__INLINE int name##_recv(name *c, T *v)                                                    \
    {                                                                                              \
        return weft_chan_recv(name##_raw(c), v);                                                   \
    }                                                                                              \
    WEFT__INLINE int name##_send_until(name *c, T v, weft_time deadline)                           \
    {                                                                                              \
        return weft_chan_send_until(name##_raw(c), &v, deadline);                                  \
    }                                                                                              \
    WEFT__INLINE int name##_recv_until(name *c, T *v, weft_time deadline)                          \
    {                                                                                              \
        return weft_chan_recv_until(name##_raw(c), v, deadline);                                   \
    }                                                                                              \
    struct name

#ifdef __cplusplus
}
#endif
#endif
