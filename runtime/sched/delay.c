/* SPDX-License-Identifier: MIT */
/* delay.c - see delay.h.
 *
 * Owns: the histogram of the run, and the sums of its processors, which are read at any time, also
 * outside of a run. The numbers are atomic, and are not of one moment.
 *
 * Each processor keeps the file of its latest worker open: so the number of descriptors is that of
 * the processors, not that of the threads. A file that cannot be opened is not tried again, unless
 * descriptors were short. */
#include "runtime/sched/delay.h"

#include "runtime/sched/sinks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

const uint64_t weft__delay_steps[WEFT__DELAY_STEPS] = {
    0,       10000,    30000,    100000,    300000,    1000000,
    3000000, 10000000, 30000000, 100000000, 300000000, 1000000000,
};
const char *weft__delay_file = "/proc/thread-self/schedstat";

static struct weft__delays run;           /* each field is atomic */
static uint64_t by_proc[WEFT__PROCS_MAX]; /* ns; atomic */

void weft__delays_begin(void)
{
    weft__store(&run.error, 0);
    weft__store(&run.looks, 0);
    weft__store(&run.total, 0);
    weft__store(&run.most, 0);
    for (int i = 0; i < WEFT__DELAY_STEPS; i++)
        weft__store(&run.counts[i], 0);
    for (int i = 0; i < WEFT__PROCS_MAX; i++)
        weft__store(&by_proc[i], 0);
}

void weft__delay_end(weft__proc *p)
{
    if (p->delay.thread)
        close(p->delay.fd);
    weft__store(&p->delay.thread, 0);
}

/* Opens the file of the calling thread in the place of another one's. Returns false if that
 * fails. */
static bool open_file(weft__proc *p, int thread)
{
    weft__delay_end(p);
    p->delay.fd = open(weft__delay_file, O_RDONLY | O_CLOEXEC);
    if (p->delay.fd < 0) {
        if (errno != EMFILE && errno != ENFILE && errno != EINTR)
            weft__store(&run.error, errno);
        return false;
    }
    weft__store(&p->delay.thread, thread);
    return true;
}

/* Reads the delay of the calling thread so far. The file has three numbers: the time that the
 * thread ran, the delay, and how often it ran, which is 0 if the kernel counts nothing. */
static bool read_file(weft__proc *p, uint64_t *ns)
{
    char text[80], *at = text;
    ssize_t n = pread(p->delay.fd, text, sizeof(text) - 1, 0);

    if (n <= 0) { /* most likely the program has closed all descriptors */
        weft__store(&p->delay.thread, 0);
        return false;
    }
    text[n] = '\0';
    strtoull(at, &at, 10);
    *ns = strtoull(at, &at, 10);
    if (strtoull(at, &at, 10) > 0)
        return true;
    weft__store(&run.error, EOPNOTSUPP);
    return false;
}

static void count(weft__proc *p, uint64_t ns)
{
    uint64_t most = weft__load(&run.most);
    int step = WEFT__DELAY_STEPS - 1;

    while (ns < weft__delay_steps[step])
        step--;
    weft__store(&p->delay.latest, ns);
    weft__add(&by_proc[p->index], ns);
    weft__add(&run.looks, 1);
    weft__add(&run.total, ns);
    weft__add(&run.counts[step], 1);
    while (ns > most && !weft__cas(&run.most, &most, ns))
        ;
}

void weft__delay_look(weft__worker *w)
{
    weft__proc *p = w->p;
    uint64_t before = w->delay_seen, now;

    p->delay.looked = w->now;
    if (weft__load(&run.error) || (p->delay.thread != w->tid && !open_file(p, w->tid)) ||
        !read_file(p, &now))
        return;
    w->delay_seen = now;
    if (before == WEFT__DELAY_UNSEEN)
        return;
    count(p, now - before);
    weft__tell_delayed(w, now - before);
}

uint64_t weft__delay_of(uint32_t proc)
{
    return weft__load(&by_proc[proc]);
}

void weft__delays_read(struct weft__delays *out)
{
    out->error = weft__load(&run.error);
    out->looks = weft__load(&run.looks);
    out->total = weft__load(&run.total);
    out->most = weft__load(&run.most);
    for (int i = 0; i < WEFT__DELAY_STEPS; i++)
        out->counts[i] = weft__load(&run.counts[i]);
}
