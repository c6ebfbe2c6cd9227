/* SPDX-License-Identifier: MIT */
/* main.c - weft-top: a live view of a program's tasks and locks, over its debug port.
 *
 *     weft-top [-i SECONDS] [-t TOKEN] [HOST:PORT | unix:/PATH]
 *
 * The address is 127.0.0.1:6060 if there is none; TOKEN is the one that the program asks for, also
 * from the variable WEFT_TOKEN. Status 0; 1: no terminal; 2: usage.
 *
 * A thread fetches views, and the main thread draws them and reads keys. So a program that does not
 * answer leaves the screen usable. `shared.lock` guards all that both use. */
#include "tools/top/screen.h"

#include <curses.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* something below changed for the fetcher */
    struct source source;
    double interval;
    struct view *view; /* never NULL once the fetcher runs */
    bool paused, now, dump;
    char message[160]; /* about a dump; "": none */
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .interval = 1};

/* Writes all tasks to a new file in the current folder. */
static void take_dump(void)
{
    char name[64], error[128], said[160];
    time_t now = time(NULL);
    size_t n, wrote = 0;
    char *body = fetch(&shared.source, "/debug/pprof/goroutine?debug=3", &n, error);
    FILE *f = NULL;

    strftime(name, sizeof(name), "weft-tasks-%Y%m%d-%H%M%S.txt", localtime(&now));
    if (body && (f = fopen(name, "wxe")))
        wrote = fwrite(body, 1, n, f);
    if (f && fclose(f) == 0 && wrote == n)
        snprintf(said, sizeof(said), "wrote %s", name);
    else
        snprintf(said, sizeof(said), "no dump: %s", body ? "cannot write a file here" : error);
    free(body);
    pthread_mutex_lock(&shared.lock);
    strcpy(shared.message, said);
    pthread_mutex_unlock(&shared.lock);
}

/* Shows a new view. After an error the last one stays, with the error. */
static void publish(struct view *v)
{
    struct view *old;

    if (!v)
        return;
    pthread_mutex_lock(&shared.lock);
    old = shared.view;
    if (v->error[0]) {
        memcpy(old->error, v->error, sizeof(old->error));
        old = v;
    } else {
        shared.view = v;
    }
    pthread_mutex_unlock(&shared.lock);
    view_free(old);
}

/* Waits for the time of the next view, or for a wish. Returns whether a dump is wished for. */
static bool wait_next(void)
{
    struct timespec until;
    bool dump;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)shared.interval;
    until.tv_nsec += (long)((shared.interval - (double)(time_t)shared.interval) * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&shared.lock);
    while (!shared.now && !shared.dump) {
        if (shared.paused)
            pthread_cond_wait(&shared.wake, &shared.lock);
        else if (pthread_cond_timedwait(&shared.wake, &shared.lock, &until) != 0)
            break;
    }
    dump = shared.dump;
    shared.now = shared.dump = false;
    pthread_mutex_unlock(&shared.lock);
    return dump;
}

static void *fetch_views(void *arg)
{
    (void)arg;
    for (;;) {
        publish(view_take(&shared.source, shared.view->taken ? shared.view : NULL));
        while (wait_next())
            take_dump();
    }
    return NULL;
}

/* Draws, and acts on one key. Returns false at the end. */
static bool turn(struct screen *s)
{
    enum wish wish = WISH_NOTHING;
    int key;

    pthread_mutex_lock(&shared.lock);
    if (shared.message[0])
        memcpy(s->message, shared.message, sizeof(s->message));
    shared.message[0] = '\0';
    screen_draw(s, shared.view);
    pthread_mutex_unlock(&shared.lock);
    key = getch();
    if (key == ERR)
        return true;
    pthread_mutex_lock(&shared.lock);
    /* The rows may have been freed since; the list is made again. */
    screen_draw(s, shared.view);
    wish = screen_key(s, key);
    shared.paused = s->paused;
    shared.dump |= wish == WISH_DUMP;
    shared.now |= wish == WISH_NOW;
    pthread_cond_signal(&shared.wake);
    pthread_mutex_unlock(&shared.lock);
    return wish != WISH_QUIT;
}

static int usage(void)
{
    fputs("usage: weft-top [-i SECONDS] [-t TOKEN] [HOST:PORT | unix:/PATH]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct screen s = {.addr = "127.0.0.1:6060"};
    pthread_t fetcher;
    int option;

    shared.source.token = getenv("WEFT_TOKEN");
    while ((option = getopt(argc, argv, "i:t:")) != -1) {
        if (option == 'i' && (shared.interval = atof(optarg)) >= 0.1)
            continue;
        if (option != 't')
            return usage();
        shared.source.token = optarg;
    }
    if (argc - optind > 1)
        return usage();
    if (argc > optind)
        s.addr = argv[optind];
    shared.source.addr = s.addr;
    shared.view = calloc(1, sizeof(*shared.view));
    if (!isatty(STDOUT_FILENO) || !shared.view) {
        fputs("weft-top: it needs a terminal\n", stderr);
        return 1;
    }
    screen_open(&s);
    if (pthread_create(&fetcher, NULL, fetch_views, NULL) != 0) {
        screen_close();
        return 1;
    }
    pthread_detach(fetcher); /* it may be waiting for an answer at the end */
    while (turn(&s))
        ;
    screen_close();
    return 0;
}
