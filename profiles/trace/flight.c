/* SPDX-License-Identifier: MIT */
/* flight.c - see flight.h: the recorder.
 *
 * Owns: the file of the record, and the thread that keeps it up to date, the keeper. Lock: `lock`,
 * a pthread mutex, guards what the keeper writes. No lock that a task may hold is taken under it.
 *
 * Threads write their events into the file's memory themselves (tape.h), and so do creators of
 * tasks with names. The keeper does the rest twenty times a second: new stacks, new mappings, the
 * number of processors, and the clocks, which give the rate of ticks. So a SIGKILL loses at most a
 * stack that was seen for the first time in the last 50 ms. Its event is there without it.
 *
 * The file must not be there before, since it may be the record of a crash. %p in its name is the
 * process's id. It lies on a tmpfs unless its name says otherwise: there are no write-backs then,
 * which would stop a task at its next event. All of its memory is allocated and mapped at the
 * start, so no event waits for a page. */
#include "profiles/trace/flight.h"

#include "profiles/capture/tasks.h"
#include "profiles/render/output.h"
#include "profiles/trace/tape.h"
#include "profiles/walk/symbolize.h"

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/sched/errand.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sinks.h"

#include <weft/flight.h>

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAPS = 1 << 20, STACKS = 8 << 20, NAMES = 1 << 15, EVERY = 50 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t keeper;
static int bell = -1;                  /* an eventfd, which wakes the keeper; atomic */
static uint32_t rung, heard;           /* atomic: rings of the bell; those that the keeper heard */
static bool ending;                    /* atomic: the keeper is to end */
static void (*look)(void);             /* the keeper calls it each time */
static struct weft__flight_head *head; /* NULL: nothing is recorded; atomic */
static weft__reader *reader;           /* which keeps the tape open; nothing is read */
static uint32_t stacks_done;           /* guarded by lock */
static unsigned long long files_seen;  /* guarded by lock: files loaded so far */

static void *part(const struct weft__flight_part *p)
{
    return (char *)head + p->at;
}

/* Mappings, stacks, clocks --------------------------------------------------------------------- */

/* Adds a line for each mapping, behind those that are there: a file may have taken the place of
 * another one, and its line comes later. */
static void write_maps(void)
{
    size_t n;
    struct weft__mapping *maps = weft__maps_read(&n);
    uint64_t used = head->maps_used;

    for (size_t i = 0; maps && i < n; i++) {
        const struct weft__mapping *m = &maps[i];
        int len = snprintf((char *)part(&head->maps) + used, head->maps.size - used,
                           "%lx %lx %lx %s %s\n", (unsigned long)m->start, (unsigned long)m->limit,
                           (unsigned long)m->offset, m->build_id[0] ? m->build_id : "-", m->file);

        if (len < 0 || (uint64_t)len >= head->maps.size - used)
            break;
        used += (uint64_t)len;
    }
    free(maps);
    weft__store_rel(&head->maps_used, used);
}

static int count_files(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    *(unsigned long long *)arg = info->dlpi_adds;
    return 1;
}

static void look_at_files(void)
{
    unsigned long long now = 0;

    dl_iterate_phdr(count_files, &now);
    if (now != files_seen)
        write_maps();
    files_seen = now;
}

static void write_stacks(void)
{
    uint64_t used = head->stacks_used, *to = part(&head->stacks);

    for (uint32_t most = weft__tape_stacks(); stacks_done < most;) {
        const struct weft__stack_entry *e = weft__tape_stack(stacks_done + 1);
        uint64_t size = (1 + (uint64_t)e->kept) * sizeof(*to);

        if (size > head->stacks.size - used)
            return;
        stacks_done++;
        to[used / sizeof(*to)] = (uint64_t)stacks_done << 32 | e->kept;
        for (uint32_t i = 0; i < e->kept; i++)
            to[used / sizeof(*to) + 1 + i] = e->pcs[i];
        used += size;
        weft__store_rel(&head->stacks_used, used);
    }
}

static void write_clock(void)
{
    uint32_t at = !head->later_at;

    head->later[at] = (struct weft__flight_clock){weft__ticks(), weft__nanos()};
    weft__store_rel(&head->later_at, at);
}

static void write_procs(void)
{
    uint64_t n = (uint64_t)weft__load_acq(&weft__sched.active), done = head->procs_n;

    if (n == 0 || (done > 0 && head->procs[(done - 1) % WEFT__FLIGHT_PROCS].n == n))
        return;
    head->procs[done % WEFT__FLIGHT_PROCS] =
        (struct weft__flight_procs){weft__load(&weft__sched.active_since), n};
    weft__store_rel(&head->procs_n, done + 1);
}

/* Caller holds the lock. */
static void keep(void)
{
    if (!weft__load_acq(&head->first.nanos))
        return;
    look_at_files();
    write_stacks();
    write_procs();
    write_clock();
}

static void *keep_always(void *arg)
{
    struct pollfd p = {.fd = bell, .events = POLLIN};
    eventfd_t n;

    (void)arg;
    pthread_setname_np(pthread_self(), "weft-flight");
    while (!weft__load_acq(&ending)) {
        uint32_t rings = weft__load_acq(&rung);

        pthread_mutex_lock(&lock);
        keep();
        pthread_mutex_unlock(&lock);
        weft__store_rel(&heard, rings);
        look();
        if (poll(&p, 1, EVERY) > 0)
            eventfd_read(bell, &n);
    }
    return NULL;
}

uint32_t weft__flight_ring(void)
{
    uint32_t ring = weft__add_seq(&rung, 1) + 1;

    eventfd_write(weft__load(&bell), 1);
    return ring;
}

bool weft__flight_heard(uint32_t ring)
{
    return (int32_t)(weft__load_acq(&heard) - ring) >= 0;
}

void weft__flight_because(const char *why)
{
    size_t i;

    for (i = 0; why[i] && i + 1 < sizeof(head->why); i++)
        head->why[i] = why[i];
    head->why[i] = '\0';
}

/* Names ---------------------------------------------------------------------------------------- */

static void copy_labels(const weft__tags *set, char *to, size_t room)
{
    for (uint32_t i = 0; set && i < set->n; i++) {
        size_t key = strlen(set->labels[i].key) + 1, value = strlen(set->labels[i].value) + 1;

        if (key + value + 1 > room)
            return;
        memcpy(to, set->labels[i].key, key);
        memcpy(to + key, set->labels[i].value, value);
        to += key + value;
        room -= key + value;
    }
}

/* Notes the name of a task, and its labels. If another thread writes the same place, one of the two
 * is lost. */
static void write_name(const weft__task *t)
{
    struct weft__flight_name *names = part(&head->names);
    struct weft__flight_name *to = &names[weft__flight_place(t->id, NAMES)];
    const weft__tags *tags = weft__load_acq(&t->tags);
    uint32_t seq = weft__load(&to->seq);

    if (seq % 2 || !weft__cas(&to->seq, &seq, seq + 1))
        return;
    to->task = t->id;
    to->fn = (uintptr_t)weft__load(&t->fn);
    memset(to->name, 0, sizeof(to->name) + sizeof(to->labels));
    if (weft__tags_name(tags))
        memcpy(to->name, tags->name, strnlen(tags->name, sizeof(to->name) - 1));
    copy_labels(weft__tags_set(tags), to->labels, sizeof(to->labels));
    weft__store_rel(&to->seq, seq + 2);
}

static void hear_name(struct weft__event_sink *s, const weft__task *t)
{
    (void)s;
    write_name(t);
}

static void hear_start(struct weft__event_sink *s)
{
    (void)s;
    head->wall = weft__realtime();
    head->first.ticks = weft__clock_base.ticks;
    weft__store_rel(&head->first.nanos, weft__clock_base.nanos);
}

static struct weft__event_sink sink = {
    .start = hear_start, .spawn = hear_name, .tagged = hear_name};

/* Copies --------------------------------------------------------------------------------------- */

bool weft__flight_is_on(void)
{
    return weft__load_acq(&head) != NULL;
}

uint64_t weft__flight_size(void)
{
    return head->size;
}

static uint64_t pages(uint64_t size)
{
    return (size + WEFT__FLIGHT_PAGE - 1) / WEFT__FLIGHT_PAGE * WEFT__FLIGHT_PAGE;
}

/* Copies words that other threads may be writing. */
static void copy_words(void *to, const void *from, uint64_t size)
{
    uint64_t *into = to;
    const uint64_t *word = from;

    for (uint64_t i = 0; i < size / sizeof(*word); i++)
        into[i] = weft__load(&word[i]);
}

/* Copies a piece of the tape. Returns false if it is empty, or was given away meanwhile. */
static bool copy_piece(struct weft__tape_piece *to, const struct weft__tape_piece *from)
{
    uint64_t serial = weft__load_acq(&from->serial);

    if (serial == 0)
        return false;
    copy_words(to, from, sizeof(*to));
    weft__fence_full();
    return weft__load(&from->serial) == serial;
}

/* Copies a part whose first `used` bytes are in use, to where the copy ends; moves that end. */
static void copy_part(char *copy, struct weft__flight_part *to,
                      const struct weft__flight_part *from, uint64_t used, uint64_t *end)
{
    *to = (struct weft__flight_part){*end, pages(used)};
    copy_words(copy + *end, part(from), used);
    *end += to->size;
}

/* Copies the tape, as copy_part does, without the pieces that are not in use. */
static void copy_tape(char *copy, struct weft__flight_part *to, uint64_t *end)
{
    const char *from = part(&head->tape);
    uint64_t at = WEFT__TAPE_HEAD_SIZE, size = WEFT__TAPE_HEAD_SIZE;

    copy_words(copy + *end, from, WEFT__TAPE_HEAD_SIZE);
    for (; at + sizeof(struct weft__tape_piece) <= head->tape.size;
         at += sizeof(struct weft__tape_piece))
        if (copy_piece((void *)(copy + *end + size), (const void *)(from + at)))
            size += sizeof(struct weft__tape_piece);
    *to = (struct weft__flight_part){*end, size};
    *end += size;
}

/* Makes the copy. The lock keeps the record there. */
static int copy_record(void **copy, uint64_t *size)
{
    uint64_t end = WEFT__FLIGHT_PAGE;
    struct weft__flight_head *to;

    if (!head)
        return WEFT_EINVAL;
    keep();
    *size = head->size;
    *copy = to = weft__map(head->size);
    if (!to)
        return WEFT_ENOMEM;
    *to = *head;
    copy_part((char *)to, &to->maps, &head->maps, pages(head->maps_used), &end);
    copy_part((char *)to, &to->stacks, &head->stacks, pages(head->stacks_used), &end);
    copy_part((char *)to, &to->names, &head->names, head->names.size, &end);
    copy_tape((char *)to, &to->tape, &end);
    munmap((char *)to + end, *size - end);
    to->size = *size = end;
    return 0;
}

int weft__flight_copy(void **copy, uint64_t *size)
{
    bool aside = weft__stand_aside(SIZE_MAX);
    int rc;

    pthread_mutex_lock(&lock);
    rc = copy_record(copy, size);
    pthread_mutex_unlock(&lock);
    if (aside)
        weft__stand_back();
    return rc;
}

int weft__flight_write(const struct weft__sink *to)
{
    struct weft__out *out = weft__out_new(to);
    int rc = WEFT_ENOMEM;
    uint64_t size;
    void *copy;

    if (out)
        rc = weft__flight_copy(&copy, &size);
    if (rc == 0) {
        weft__out_put(out, copy, size);
        weft__flight_copy_free(copy, size);
    }
    if (out)
        out->rc = out->rc < 0 ? out->rc : rc;
    return out ? weft__out_end(out) : rc;
}

void weft__flight_copy_free(void *copy, uint64_t size)
{
    munmap(copy, size);
}

/* The file ------------------------------------------------------------------------------------- */

/* Writes the path of the record: a name without a slash is one in /dev/shm, %p is the process's id.
 * Returns false if it is too long. */
static bool path_of(const char *name, char *to, size_t size)
{
    size_t n = 0;

    if (!strchr(name, '/'))
        n += (size_t)snprintf(to, size, "/dev/shm/");
    for (; *name && n + 16 < size; name++) {
        if (name[0] == '%' && name[1] == 'p') {
            n += (size_t)snprintf(to + n, size - n, "%d", (int)getpid());
            name++;
        } else {
            to[n++] = *name;
        }
    }
    to[n] = '\0';
    return !*name;
}

/* Returns the file's memory, all zero and its own; NULL with errno if there is none. */
static void *make_file(const char *path, uint64_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    void *memory = MAP_FAILED;
    int rc;

    if (fd < 0)
        return NULL;
    rc = posix_fallocate(fd, 0, (off_t)size);
    if (rc == 0)
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    else
        errno = rc;
    if (memory == MAP_FAILED) {
        rc = errno;
        unlink(path);
        errno = rc;
    } else {
        madvise(memory, size, MADV_DONTFORK); /* a child's events are no part of the record */
    }
    close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

static uint64_t lay_out(struct weft__flight_head *h, uint64_t tape)
{
    uint64_t at = WEFT__FLIGHT_PAGE;
    const struct weft__flight_part parts[] = {
        {0, MAPS}, {0, STACKS}, {0, NAMES * sizeof(struct weft__flight_name)}, {0, tape}};
    struct weft__flight_part *to[] = {&h->maps, &h->stacks, &h->names, &h->tape};

    for (int i = 0; i < 4; i++) {
        *to[i] = (struct weft__flight_part){at, parts[i].size};
        at += parts[i].size;
    }
    return at;
}

static void start_keeper(void)
{
    sigset_t all, old;

    stacks_done = 0;
    files_seen = 0;
    ending = false;
    bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (bell < 0 || pthread_create(&keeper, NULL, keep_always, NULL) != 0)
        weft__fatal("no thread for the flight recorder");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* Makes the file of the record and its head. Returns false, after a line that says why, if it
 * cannot be made: a program runs without a recorder rather than not at all. */
static bool make_record(const char *name, int64_t megabytes, char *path, size_t path_size)
{
    struct weft__flight_head first = {.version = WEFT__FLIGHT_VERSION, .pid = (uint32_t)getpid()};
    struct weft__flight_head *h;

    memcpy(first.magic, WEFT__FLIGHT_MAGIC, sizeof(first.magic));
    snprintf(first.program, sizeof(first.program), "%s", program_invocation_name);
    first.size = lay_out(&first, (uint64_t)megabytes << 20);
    h = path_of(name, path, path_size) ? make_file(path, first.size) : NULL;
    if (!h) {
        weft__log("weft: flight recorder: %s: %s: nothing is recorded", name, strerror(errno));
        return false;
    }
    *h = first;
    weft__store_rel(&head, h);
    return true;
}

bool weft__flight_open(const char *name, int64_t megabytes, char *path, size_t path_size,
                       void (*keeper_looks)(void))
{
    if (!make_record(name, megabytes, path, path_size))
        return false;
    look = keeper_looks;
    weft__tape_place(part(&head->tape), head->tape.size);
    reader = weft__tape_open();
    weft__sinks_add(&sink);
    start_keeper();
    return true;
}

void weft__flight_close(void)
{
    struct weft__flight_head *h = head;

    weft__death_wait(); /* a report that has begun uses the record */
    weft__store_rel(&ending, true);
    weft__flight_ring();
    pthread_join(keeper, NULL);
    close(bell);
    pthread_mutex_lock(&lock);
    keep();
    weft__sinks_remove(&sink);
    if (reader)
        weft__tape_close(reader);
    weft__tape_place(NULL, 0);
    h->ended = 1;
    weft__store_rel(&head, NULL);
    munmap(h, h->size);
    pthread_mutex_unlock(&lock);
}

int weft_flight_snapshot(int fd)
{
    const struct weft__sink to = weft__sink_fd(fd);

    if (!weft__enter_try("weft_flight_snapshot"))
        return WEFT_EINVAL;
    weft__exit();
    return weft__flight_write(&to);
}
