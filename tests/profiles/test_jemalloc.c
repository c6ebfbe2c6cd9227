/* SPDX-License-Identifier: MIT */
/* test_jemalloc.c - a program that links weft::jemalloc: which malloc serves it, and the counts of
 * jemalloc's size classes. */
#include "support.h"

#include "profiles/heap/jemalloc.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MANY = 5000, BLOCK = 10000, CLASS = 10240 };

static void *volatile kept[MANY];

static void keep_many(void)
{
    for (int i = 0; i < MANY; i++)
        kept[i] = malloc(BLOCK);
}

static void drop_many(void)
{
    for (int i = 0; i < MANY; i++)
        free(kept[i]);
}

TEST(profile_says_that_jemalloc_serves)
{
    char *text = profile_text("heap", (weft_profile_options){0});

    CHECK_CONTAINS(text,
                   "# weft: heap profile sampling: one block every 524288 bytes of jemalloc ");
    CHECK_CONTAINS(text, ", whose own profiling is ");
    CHECK_CONTAINS(text, "; bytes from jemalloc's mallctl, counts from the samples\n");
    free(text);
}

/* Reads the line of a size class. */
static void read_class(const char *text, unsigned long long *live, unsigned long long *allocated)
{
    char begin[32];
    unsigned long long bytes, freed, slabs;
    const char *line;

    snprintf(begin, sizeof(begin), "\n# %d = ", CLASS);
    line = strstr(text, begin);
    CHECK(line != NULL);
    CHECK_EQ(sscanf(line + strlen(begin), "%llu: %llu [%llu, %llu], %llu", live, &bytes, allocated,
                    &freed, &slabs),
             5);
    CHECK_EQ(bytes, *live * CLASS);
    CHECK(slabs > 0);
}

TEST(size_classes_are_counted)
{
    unsigned long long before, live, allocated;
    char *text;

    keep_many();
    text = profile_text("heap", (weft_profile_options){0});
    read_class(text, &before, &allocated);
    CHECK(before >= MANY && before < 2 * MANY && allocated >= MANY);
    free(text);
    drop_many();
    text = profile_text("heap", (weft_profile_options){0});
    read_class(text, &live, &allocated);
    CHECK(live < before - MANY + 500); /* some stay in the thread's cache */
    free(text);
}

/* The sum of Mallocs of the classes of /debug/vars. */
static json_int_t mallocs_by_size(const char *vars)
{
    json_t *all = json_loads(vars, 0, NULL), *one;
    json_int_t sum = 0;
    size_t i;

    CHECK(all != NULL);
    json_array_foreach(json_object_get(json_object_get(all, "memstats"), "BySize"), i, one)
    {
        CHECK(i < 61);
        sum += json_integer_value(json_object_get(one, "Mallocs"));
    }
    json_decref(all);
    return sum;
}

TEST(size_classes_are_in_the_memstats)
{
    int fd = memfd_create("vars", MFD_CLOEXEC);
    char *vars;

    keep_many();
    CHECK_EQ(weft_expvar_write(fd), 0);
    vars = contents(fd);
    CHECK(mallocs_by_size(vars) >= MANY);
    free(vars);
    drop_many();
}

TEST(class_behind_the_last_is_none)
{
    struct weft__jemalloc_bin b;
    uint64_t size = 0;
    unsigned i = 0;

    CHECK(weft__jemalloc_serves());
    for (; weft__jemalloc_bin(i, &b); i++) {
        CHECK(b.size > size);
        size = b.size;
    }
    CHECK(i > 36 && size > UINT64_C(1) << 40);
}
