/* SPDX-License-Identifier: MIT */
/* support.c - see support.h. */
#include "support.h"

#include "profiles/account/profile.h"
#include "profiles/render/counts.h"
#include "runtime/sched/scheduler.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

void support_setenv(const char *name, const char *value)
{
    setenv(name, value, 1);
}

void settle(void)
{
    CHECK_STR(getenv("WEFT_CLOCK"), "virtual");
    CHECK_EQ(weft_sleep(1), 0);
}

void go_many(int n, weft_task_fn *fn, void *arg)
{
    for (int i = 0; i < n; i++)
        weft_go(fn, arg);
}

char *contents(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = malloc((size_t)size + 1);

    CHECK(text != NULL);
    CHECK_EQ(pread(fd, text, (size_t)size, 0), size);
    text[size] = '\0';
    close(fd);
    return text;
}

char *dump_text(enum weft_dump_form form)
{
    weft_dump_options options = {.form = form};
    int fd = memfd_create("dump", MFD_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_EQ(weft_dump(fd, &options), 0);
    return contents(fd);
}

char *profile_text(const char *name, weft_profile_options o)
{
    int fd = memfd_create("profile", MFD_CLOEXEC);

    o.text = true;
    CHECK(fd >= 0);
    CHECK_EQ(weft_profile_write(fd, name, &o), 0);
    return contents(fd);
}

static bool wait_in_window(void *arg, weft_time until)
{
    (void)arg;
    return weft_sleep_until(until) == 0;
}

static int write_window(void *fd, const void *data, size_t n)
{
    CHECK_EQ(write(*(int *)fd, data, n), (ssize_t)n);
    return 0;
}

/* Programs cannot ask for a window's profile as text, so this calls what HTTP requests call. */
char *window_text(const char *name, weft_duration over)
{
    int fd = memfd_create("window", MFD_CLOEXEC);
    const struct weft__sink to = {write_window, &fd};
    struct weft__asked asked;

    CHECK(fd >= 0);
    weft__asked_begin(&asked, weft__profile_find(name));
    asked.debug = 1;
    asked.over = over;
    asked.wait = wait_in_window;
    CHECK_EQ(weft__asked_serve(&asked, &to), 0);
    return contents(fd);
}

char *counts_text(const char *name)
{
    int fd = memfd_create("profile", MFD_CLOEXEC);
    const struct weft__sink to = {write_window, &fd};
    struct weft__asked asked;
    struct weft__pprof_head head;
    void *view;

    CHECK(fd >= 0);
    weft__asked_begin(&asked, weft__profile_find(name));
    head = weft__asked_head(&asked, 0);
    view = asked.profile->take(&asked);
    CHECK(view != NULL);
    CHECK_EQ(weft__counts_text(name, &head, view, &to), 0);
    weft__buckets_free(view);
    return contents(fd);
}

int count_of(const char *name)
{
    const struct weft__profile *p = weft__profile_find(name);

    return p->count(p);
}

long long time_in(const char *profile, const char *frame)
{
    char *copy = strdup(profile), *save, *line;
    long long sum = 0, of_record = 0;

    for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strstr(line, " @ ")) {
            of_record = atoll(line);
        } else if (strstr(line, frame)) {
            sum += of_record;
            of_record = 0;
        }
    }
    free(copy);
    return sum;
}

void wait_for_dump(const char *text)
{
    bool found = false;

    while (!found) {
        char *dump = dump_text(WEFT_DUMP_FULL);

        found = strstr(dump, text) != NULL;
        free(dump);
        if (!found)
            weft_yield();
    }
}

void wait_for(atomic_int *flag, int at_least)
{
    while (atomic_load(flag) < at_least)
        weft_yield();
}

void wait_until_idle(void)
{
    while (!weft__all_idle())
        usleep(1000);
}

int in_child(void (*body)(void), char *err, size_t size)
{
    static const struct rlimit no_core = {0, 0};
    int fd = memfd_create("stderr", MFD_CLOEXEC), status;
    pid_t pid = fork();
    char *text;

    CHECK(fd >= 0 && pid >= 0);
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(fd, STDERR_FILENO);
        body();
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    text = contents(fd);
    snprintf(err, size, "%s", text);
    free(text);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

#if defined(__has_feature)
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif

int count_threads(bool only_ours)
{
    DIR *d = opendir("/proc/self/task");
    char path[300], name[32];
    int n = 0;

    CHECK(d != NULL);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        FILE *f;

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
        if (e->d_name[0] == '.' || (f = fopen(path, "re")) == NULL)
            continue;
        if (fgets(name, sizeof(name), f) != NULL)
            n += !only_ours || strncmp(name, "weft-", 5) == 0;
        fclose(f);
    }
    closedir(d);
    return n;
}

bool under_asan(void)
{
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
    return true;
#else
    return false;
#endif
}

bool under_tsan(void)
{
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
    return true;
#else
    return false;
#endif
}
