/* SPDX-License-Identifier: MIT */
/* test_marks.c - every form of a dump and every profile says where frames are missing from a stack,
 * and which of its frames are guesses. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

VIRTUAL_CLOCK;

#define NOINLINE __attribute__((noinline))

static const char elided[] = "...additional frames elided...\n", cut[] = "# -- frames elided --\n",
                  guess[] = "# -- guessed callers --\n";

static weft_chan *never;
static weft_mutex mutex = WEFT_MUTEX_INIT;

/* Returns a dump in the form of pprof, inflated, in which strings can be searched for. */
static char *inflated(enum weft_dump_form form, size_t *n)
{
    enum { MOST = 1 << 20 };
    weft_dump_options options = {.form = form};
    int fd = memfd_create("pprof", MFD_CLOEXEC);
    char *text = malloc(MOST);
    gzFile f;
    int got;

    CHECK_EQ(weft_dump(fd, &options), 0);
    lseek(fd, 0, SEEK_SET);
    f = gzdopen(fd, "r");
    got = gzread(f, text, MOST);
    CHECK(got > 0 && got < MOST);
    gzclose(f);
    *n = (size_t)got;
    return text;
}

static void check_pprof(enum weft_dump_form form, const char *mark)
{
    size_t n;
    char *text = inflated(form, &n);

    CHECK(memmem(text, n, mark, strlen(mark)) != NULL);
    free(text);
}

/* Returns the sample of a profile's text, or the block of a dump, that has this function in it, for
 * free(); "" if there is none. */
static char *part_with(char *text, const char *function)
{
    char *at = text, *end = text, *part = strdup("");

    for (; end; at = end + 2) {
        end = strstr(at, "\n\n");
        if (end)
            *end = '\0';
        if (strstr(at, function)) {
            free(part);
            part = malloc(strlen(at) + 2);
            strcat(strcpy(part, at), "\n");
            break;
        }
        if (!end)
            break;
    }
    free(text);
    return part;
}

static void check_dump(enum weft_dump_form form, const char *function, const char *mark, bool has)
{
    char *part = part_with(dump_text(form), function);

    CHECK(part[0] != '\0');
    CHECK_EQ(strstr(part, mark) != NULL, has);
    free(part);
}

static void check_profile(const char *name, const char *function, const char *mark, bool has)
{
    weft_duration over = strcmp(name, "fgprof") == 0 ? WEFT_SECOND : 0;
    char *part = part_with(profile_text(name, (weft_profile_options){.over = over}), function);

    CHECK(part[0] != '\0');
    CHECK_EQ(strstr(part, mark) != NULL, has);
    free(part);
}

/* Deep stacks ---------------------------------------------------------------------------------- */

struct deep {
    int frames;
    void (*bottom)(void);
};

NOINLINE void descends(int frames, void (*bottom)(void));
NOINLINE void descends(int frames, void (*bottom)(void))
{
    if (frames > 1)
        descends(frames - 1, bottom);
    else
        bottom();
    __asm__ volatile("");
}

NOINLINE void begins_here(void *arg);
NOINLINE void begins_here(void *arg)
{
    const struct deep *d = arg;

    descends(d->frames, d->bottom);
    __asm__ volatile("");
}

static void go_deep(const struct deep *d)
{
    weft_go_with(&(weft_go_options){.stack_size = 1 << 20}, begins_here, (void *)(uintptr_t)d);
}

NOINLINE static void receives(void)
{
    weft_chan_recv(never, NULL);
    __asm__ volatile("");
}

NOINLINE static void holds(void)
{
    weft_mutex_lock(&mutex);
    receives();
}

NOINLINE static void queues(void)
{
    weft_mutex_lock(&mutex);
    __asm__ volatile("");
}

static void check_deep(const char *function, bool has)
{
    check_dump(WEFT_DUMP_TASKS, function, elided, has);
    check_dump(WEFT_DUMP_FULL, function, elided, has);
    check_dump(WEFT_DUMP_MERGED, function, cut, has);
    check_profile("block", function, cut, has);
    check_profile("fgprof", function, cut, has);
}

TEST(stack_of_700_frames_is_cut_in_every_form)
{
    const struct deep d = {700, receives};

    weft_profile_set_block_rate(1);
    never = weft_chan_new(1, 0);
    go_deep(&d);
    settle();
    check_deep("begins_here", true);
    check_pprof(WEFT_DUMP_PPROF, "-- frames elided --");
    check_pprof(WEFT_DUMP_PPROF_EACH, "-- frames elided --");
}

TEST(stack_of_500_frames_is_whole_in_every_form)
{
    const struct deep d = {490, receives};

    weft_profile_set_block_rate(1);
    never = weft_chan_new(1, 0);
    go_deep(&d);
    settle();
    check_deep("begins_here", false);
}

/* A sample of both sides has room for half as many frames of each. */
TEST(pair_of_stacks_of_500_frames_is_cut_on_both_sides)
{
    const struct deep holder = {490, holds}, waiter = {490, queues};
    char *part, *held;

    weft_profile_set_mutex_rate(1);
    never = weft_chan_new(1, 0);
    go_deep(&holder);
    settle();
    go_deep(&waiter);
    settle();
    part = part_with(profile_text("contention", (weft_profile_options){0}), "-- held by --\n");
    held = strstr(part, "# -- held by --\n");
    CHECK_CONTAINS(held, cut);
    CHECK_CONTAINS(held, "begins_here");
    CHECK_CONTAINS(held, "receives");
    *held = '\0';
    CHECK_CONTAINS(part, cut);
    CHECK_CONTAINS(part, "begins_here");
    CHECK_CONTAINS(part, "queues");
    free(part);
}

/* Frames without unwind information ------------------------------------------------------------ */

/* As people write assembly by hand. */
void calls_by_hand(void (*fn)(void));
__asm__(".pushsection .text\n"
        ".type calls_by_hand, @function\n"
        "calls_by_hand:\n"
        "push %rbp\n"
        "mov %rsp, %rbp\n"
        "sub $16, %rsp\n"
        "call *%rdi\n"
        "leave\n"
        "ret\n"
        ".size calls_by_hand, . - calls_by_hand\n"
        ".popsection\n");

/* The same, made at run time. */
static void (*made)(void (*fn)(void));

static void make_code(void)
{
    static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83,
                                         0xec, 0x10, 0xff, 0xd7, 0xc9, 0xc3};
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(at != MAP_FAILED);
    memcpy(at, code, sizeof(code));
    CHECK_EQ(mprotect(at, 4096, PROT_READ | PROT_EXEC), 0);
    memcpy(&made, &at, sizeof(made));
}

NOINLINE static void receives_below(void)
{
    made(receives);
    __asm__ volatile("");
}

NOINLINE void above_assembly(void *arg);
NOINLINE void above_assembly(void *arg)
{
    (void)arg;
    calls_by_hand(receives_below);
    __asm__ volatile("");
}

/* The two guesses have one mark, and the frames go on behind it. */
static void check_guess(enum weft_dump_form form, const char *mark)
{
    char *part = part_with(dump_text(form), "above_assembly"), *at;

    CHECK_CONTAINS(part, "receives");
    at = strstr(part, mark);
    CHECK(at != NULL);
    CHECK_CONTAINS(at, "receives_below");
    CHECK_CONTAINS(at, "calls_by_hand");
    CHECK_CONTAINS(at, "above_assembly");
    CHECK(strstr(at + 1, mark) == NULL && strstr(part, elided) == NULL);
    free(part);
}

TEST(frames_without_cfi_go_on_by_frame_pointers_as_guesses)
{
    weft_profile_set_block_rate(1);
    never = weft_chan_new(1, 0);
    make_code();
    weft_go(above_assembly, NULL);
    settle();
    check_guess(WEFT_DUMP_TASKS, "-- guessed callers --(...)\n\t??:0\n");
    check_guess(WEFT_DUMP_FULL, "-- guessed callers --(...)\n\t??:0\n");
    check_guess(WEFT_DUMP_MERGED, guess);
    check_profile("block", "above_assembly", guess, true);
    check_profile("fgprof", "above_assembly", guess, true);
    check_pprof(WEFT_DUMP_PPROF, "-- guessed callers --");
}
