/* SPDX-License-Identifier: MIT */
/* log.c - the way of each line that the library writes by itself.
 *
 * Owns: the sink, which is stderr or a function of the program's.
 * Lock: `lock` guards the sink. It is a pthread mutex, which has no rank: lines come from under any
 * lock, and no other is taken under it. A thread that dies may have it, so from then on it is not
 * taken. tests/lint.sh lets no file write to stderr by another way, except reports of death. */
#include "runtime/base/log.h"

#include "runtime/base/atomic.h"

#include <weft/log.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 1024 /* it may have a path */ };

struct sink {
    weft_log_fn *fn; /* NULL: stderr */
    void *arg;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sink sink;
bool weft__log_dies;

/* Returns where lines go now, and has them go to `then`, unless that is NULL. */
static struct sink exchange(const struct sink *then)
{
    struct sink now;

    pthread_mutex_lock(&lock);
    now = sink;
    if (then)
        sink = *then;
    pthread_mutex_unlock(&lock);
    return now;
}

/* Writes text, whose NUL becomes the line's end, in one piece. */
static void write_line(char *text)
{
    size_t n = strlen(text);

    text[n] = '\n';
    if (write(STDERR_FILENO, text, n + 1) < 0)
        return; /* stderr is closed: there is no other place to complain */
}

void weft__log(const char *format, ...)
{
    struct sink to = {0};
    char text[LINE];
    va_list args;

    if (!weft__load(&weft__log_dies))
        to = exchange(NULL);
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (to.fn)
        to.fn(to.arg, text);
    else
        write_line(text);
}

void weft_log_set(weft_log_fn *fn, void *arg)
{
    exchange(&(struct sink){fn, arg});
}
