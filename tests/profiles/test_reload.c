/* SPDX-License-Identifier: MIT */
/* test_reload.c - dumps and profiles while libraries are loaded and unloaded. */
#include "reload.h"
#include "support.h"

#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

VIRTUAL_CLOCK;

#define NOINLINE __attribute__((noinline))

enum { TRIES = 20 };

static struct reload library;
static weft_chan *queue;
static weft_mutex mutex = WEFT_MUTEX_INIT;

static void receive(void *arg)
{
    (void)arg;
    weft_chan_recv(queue, NULL);
}

static void unlock(void *arg)
{
    (void)arg;
    weft_mutex_unlock(&mutex);
}

NOINLINE void waits_inside(void *arg);
NOINLINE void waits_inside(void *arg)
{
    library.call(receive, arg);
    __asm__ volatile("");
}

NOINLINE void unlocks_inside(void *arg);
NOINLINE void unlocks_inside(void *arg)
{
    weft_mutex_lock(&mutex);
    weft_sleep(WEFT_MILLISECOND);
    library.call(unlock, arg);
    __asm__ volatile("");
}

static void wants(void *arg)
{
    (void)arg;
    weft_mutex_lock(&mutex);
    weft_mutex_unlock(&mutex);
}

static void open_library(bool second)
{
    CHECK(reload_open(&library, second));
}

/* Tasks wait for locks and unlock in the library. None is left in it. */
static void use_library(void)
{
    weft_go(unlocks_inside, NULL);
    weft_go(waits_inside, NULL);
    settle();
    weft_go(wants, NULL);
    settle();
    weft_sleep(WEFT_SECOND);
    CHECK_EQ(weft_chan_send(queue, NULL), 0);
    settle();
}

TEST(stack_through_the_second_library_is_its_own)
{
    uintptr_t last = 0;
    int same = 0;

    queue = weft_chan_new(0, 0);
    for (int i = 0; i < TRIES; i++) {
        char *text;

        open_library(i % 2);
        same += library.ret == last;
        last = library.ret;
        weft_go(waits_inside, NULL);
        settle();
        text = dump_text(WEFT_DUMP_TASKS);
        CHECK_CONTAINS(text, reload_name(i % 2));
        CHECK(!strstr(text, reload_name(!(i % 2))));
        CHECK_CONTAINS(strstr(text, reload_name(i % 2)), "waits_inside");
        free(text);
        CHECK_EQ(weft_chan_send(queue, NULL), 0);
        settle();
        dlclose(library.handle);
    }
    CHECK(same > 0);
}

/* The profile is written in its binary form, for which names are looked up, too. */
static void check_binary(const char *name)
{
    int fd = memfd_create("profile", MFD_CLOEXEC);

    CHECK_EQ(weft_profile_write(fd, name, NULL), 0);
    CHECK(lseek(fd, 0, SEEK_END) > 0);
    close(fd);
}

static void check_profiles(const char *contain)
{
    static const char *const names[] = {"block", "mutex", "contention"};

    for (int i = 0; i < 3; i++) {
        char *text = profile_text(names[i], (weft_profile_options){0});

        CHECK_CONTAINS(text, contain);
        free(text);
        check_binary(names[i]);
    }
}

TEST(frames_of_a_library_gone_before_it_was_named_are_shown_as_numbers)
{
    char hex[32];

    weft_profile_set_block_rate(1);
    weft_profile_set_mutex_rate(1);
    queue = weft_chan_new(0, 0);
    open_library(false);
    use_library();
    dlclose(library.handle);
    snprintf(hex, sizeof(hex), "#\t%#lx\n", library.ret - 1);
    check_profiles(hex);
}

TEST(frames_of_an_unloaded_library_keep_their_names)
{
    weft_profile_set_block_rate(1);
    weft_profile_set_mutex_rate(1);
    queue = weft_chan_new(0, 0);
    open_library(true);
    use_library();
    check_profiles("second_calls");
    dlclose(library.handle);
    check_profiles("second_calls");
}

/* A constructor ------------------------------------------------------------------------------- */

static bool waits_in_constructor;
static int constructed, phdrs, dumped;

static int count_one(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)info, (void)size, (void)arg;
    phdrs++;
    return 0;
}

static void *look_outside(void *arg)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    dl_iterate_phdr(count_one, arg);
    dumped = weft_dump(fd, &(weft_dump_options){WEFT_DUMP_FULL});
    close(fd);
    return NULL;
}

__attribute__((visibility("default"))) void reload_opened(void)
{
    pthread_t thread;

    if (!waits_in_constructor)
        return;
    dumped = 1;
    CHECK_EQ(pthread_create(&thread, NULL, look_outside, NULL), 0);
    pthread_join(thread, NULL);
    constructed++;
}

TEST(constructor_may_wait_for_a_thread_that_takes_a_dump)
{
    waits_in_constructor = true;
    open_library(false);
    CHECK_EQ(constructed, 1);
    CHECK(phdrs > 1);
    CHECK_EQ(dumped, 0);
    dlclose(library.handle);
}

static int dump_inside(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)info, (void)size, (void)arg;
    look_outside(NULL);
    return 1;
}

TEST(dump_may_be_taken_where_the_loaders_lock_is_held)
{
    dumped = 1;
    dl_iterate_phdr(dump_inside, NULL);
    CHECK_EQ(dumped, 0);
}
