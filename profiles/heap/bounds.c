/* SPDX-License-Identifier: MIT */
/* bounds.c - see bounds.h. Owns nothing.
 *
 * pthread_getattr_np would allocate, and knows nothing of alternate stacks. /proc/self/maps knows
 * every stack. It is read once for a thread, and again when the thread is on another stack. */
#include "profiles/heap/bounds.h"

#include "profiles/capture/running.h"
#include "runtime/sched/scheduler.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A line of maps begins with "lo-hi ", in lower-case hex. */
struct scan {
    uintptr_t number[2]; /* lo, hi */
    int field;           /* 0, 1: in a number; 2: behind them */
};

/* Takes one more character. Returns whether it ends the two numbers of a line. */
static bool scan(struct scan *s, char c)
{
    if (c == '\n') {
        *s = (struct scan){{0, 0}, 0};
    } else if (s->field < 2 && (c == '-' || c == ' ')) {
        return ++s->field == 2;
    } else if (s->field < 2) {
        s->number[s->field] =
            s->number[s->field] << 4 | (uintptr_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return false;
}

/* Finds the mapping around sp. System calls are made directly, since the functions of libc are
 * cancellation points. */
static bool find_mapping(uintptr_t sp, uintptr_t *lo, uintptr_t *hi)
{
    struct scan s = {{0, 0}, 0};
    char piece[1024];
    bool found = false;
    long n, fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && !found && (n = syscall(SYS_read, fd, piece, sizeof(piece))) > 0) {
        for (long i = 0; i < n && !found; i++)
            found = scan(&s, piece[i]) && sp >= s.number[0] && sp < s.number[1];
    }
    if (fd >= 0)
        syscall(SYS_close, fd);
    *lo = s.number[0];
    *hi = s.number[1];
    return found;
}

bool weft__heap_bounds(struct weft__heap_thread *t, uintptr_t sp, uintptr_t *lo, uintptr_t *hi)
{
    const weft__worker *w = weft__self();
    const weft__task *task = w ? w->task : NULL;

    if (task && weft__stack_bounds(task, lo, hi) && sp >= *lo && sp < *hi)
        return true;
    if (sp < t->stack_lo || sp >= t->stack_hi) {
        if (!find_mapping(sp, lo, hi))
            return false;
        t->stack_lo = *lo;
        t->stack_hi = *hi;
    }
    *lo = t->stack_lo;
    *hi = t->stack_hi;
    return true;
}
