/* SPDX-License-Identifier: MIT */
/* profiles.c - the list of all profiles, and weft_profile_write.
 *
 * Owns: the library's list, which is constant, and the list of profiles that were added, which only
 * grows.
 * Lock: adding (rank TASKS) guards the growth. Readers take no lock: any thread may read the lists.
 * Always:
 *   both lists are in the order of names, and no two names are the same */
#include "profiles/account/profile.h"

#include "profiles/render/output.h"
#include "runtime/sched/scheduler.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* The library's profiles: each is defined by a file of this folder. */
#define PROFILES(XX)                                                                               \
    XX(allocs)                                                                                     \
    XX(block)                                                                                      \
    XX(contention)                                                                                 \
    XX(delta_block)                                                                                \
    XX(delta_heap)                                                                                 \
    XX(delta_mutex)                                                                                \
    XX(fgprof)                                                                                     \
    XX(goroutine)                                                                                  \
    XX(heap)                                                                                       \
    XX(mutex)                                                                                      \
    XX(profile)                                                                                    \
    XX(threadcreate)

#define XX(name) extern const struct weft__profile weft__profile_##name;
PROFILES(XX)
#undef XX

static const struct weft__profile *const ours[] = {
#define XX(name) &weft__profile_##name,
    PROFILES(XX)
#undef XX
};

/* Names that an added profile may not have: of other pages of /debug/pprof/, and of Go's profiles.
 * */
static const char *const reserved[] = {"cmdline", "goroutineleak", "symbol", "trace"};

enum { OURS = sizeof(ours) / sizeof(*ours), RESERVED = sizeof(reserved) / sizeof(*reserved) };

static struct weft__profile *added; /* atomic */
static uint32_t adding;

const struct weft__profile *weft__profile_next(const struct weft__profile *p)
{
    unsigned i = 0;

    if (!p)
        return ours[0];
    while (i < OURS && ours[i] != p)
        i++;
    if (i + 1 < OURS)
        return ours[i + 1];
    return weft__load_acq(i < OURS ? &added : &p->next);
}

static bool has_name(const struct weft__profile *p, const char *name)
{
    return strcmp(p->name, name) == 0 || (p->other_name && strcmp(p->other_name, name) == 0);
}

const struct weft__profile *weft__profile_find(const char *name)
{
    const struct weft__profile *p = NULL;

    while ((p = weft__profile_next(p)) != NULL && !has_name(p, name))
        ;
    return p;
}

static bool is_free(const char *name)
{
    for (unsigned i = 0; i < RESERVED; i++) {
        if (strcmp(reserved[i], name) == 0)
            return false;
    }
    return !weft__profile_find(name);
}

bool weft__profile_add(struct weft__profile *p)
{
    struct weft__profile **at = &added;
    bool good;

    weft__lock(&adding, WEFT__RANK_TASKS);
    good = is_free(p->name);
    if (good) {
        while (*at && strcmp((*at)->name, p->name) < 0)
            at = &(*at)->next;
        p->next = *at;
        weft__store_rel(at, p);
    }
    weft__unlock(&adding);
    return good;
}

/* weft_profile_write --------------------------------------------------------------------------- */

static bool wait_here(void *arg, weft_time until)
{
    (void)arg;
    return weft_sleep_until(until) == 0;
}

static int ms_of(weft_duration time)
{
    return time / WEFT_MILLISECOND > INT_MAX ? INT_MAX : (int)(time / WEFT_MILLISECOND);
}

/* Returns whether a profile has the options. */
static bool fits(const struct weft__profile *p, const weft_profile_options *o)
{
    if (o->over < 0 || o->age < 0 || (unsigned)o->form > WEFT_PROFILE_HTML)
        return false;
    if (o->text && (p->no_text || o->form != WEFT_PROFILE_PPROF))
        return false;
    return o->over == 0 || !p->take || (!o->text && weft__profile_has_change(p));
}

int weft_profile_write(int fd, const char *name, const weft_profile_options *options)
{
    const weft_profile_options o = options ? *options : (weft_profile_options){0};
    const struct weft__sink to = weft__sink_fd(fd);
    const struct weft__profile *p = weft__profile_find(name);
    struct weft__asked asked;
    char state[256];
    int rc;

    if (!p || !weft__enter_try("weft_profile_write"))
        return WEFT_EINVAL;
    weft__exit();
    if (!fits(p, &o) || (p->state && !p->state(state, sizeof(state))))
        return WEFT_EINVAL;
    weft__asked_begin(&asked, p);
    asked.debug = o.text;
    asked.form = o.form;
    asked.over = !p->take && o.over == 0 ? p->usual_time : o.over;
    asked.wait = wait_here;
    weft__asked_set(&asked, "live", !o.no_live);
    weft__asked_set(&asked, "io", o.with_io);
    weft__asked_set(&asked, "age", ms_of(o.age));
    rc = weft__asked_serve(&asked, &to);
    return rc == -ENOMEM ? WEFT_ENOMEM : rc == -ECANCELED ? WEFT_ECANCELED : rc;
}
