/* SPDX-License-Identifier: MIT */
/* test_layout.c - the table for debuggers (runtime/run/layout.c): it is found without symbols, and
 * a reader that follows it finds what the tasks did. */
#include "support.h"

#include "runtime/run/layout.h"
#include "runtime/sched/task.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

static const struct weft__layout *table;

/* Looks for the note in a segment of notes. */
static void look_at_notes(const char *at, size_t size)
{
    const char *end = at + size;

    while (at + sizeof(ElfW(Nhdr)) < end) {
        const ElfW(Nhdr) *note = (const void *)at;
        const char *name = at + sizeof(*note);
        const char *desc = name + ((note->n_namesz + 3) & ~3u);
        int64_t distance;

        if (note->n_type == WEFT__LAYOUT_NOTE && note->n_namesz == 5 && !strcmp(name, "weft")) {
            CHECK_EQ(note->n_descsz, sizeof(distance));
            memcpy(&distance, desc, sizeof(distance));
            table = (const void *)(desc + distance);
        }
        at = desc + ((note->n_descsz + 3) & ~3u);
    }
}

static int look_at_file(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size, (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_NOTE)
            look_at_notes((const char *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr,
                          info->dlpi_phdr[i].p_memsz);
    }
    return 0;
}

static const struct weft__layout *find_table(void)
{
    dl_iterate_phdr(look_at_file, NULL);
    CHECK(table != NULL);
    return table;
}

/* Returns the value of a name that stands in the table once. */
static uint64_t value(const char *name)
{
    const struct weft__layout *l = find_table();
    const struct weft__layout_entry *found = NULL;

    for (uint32_t i = 0; i < l->count; i++) {
        if (strcmp(l->entries[i].name, name) != 0)
            continue;
        CHECK(found == NULL);
        found = &l->entries[i];
    }
    if (!found)
        FAIL("no entry %s", name);
    return found->value;
}

static uint64_t word_at(uint64_t at, size_t size)
{
    uint64_t word = 0;

    memcpy(&word, (const void *)at, size);
    return word;
}

static uint64_t field(uint64_t task, const char *name, size_t size)
{
    return word_at(task + value(name), size);
}

/* Follows the table to the record of a slot. */
static uint64_t record_of(uint32_t slot)
{
    uint64_t slabs = word_at(value("slabs"), 8), per = value("slab.tasks");

    CHECK(slot < word_at(value("slots"), 4));
    return word_at(slabs + slot / per * 8, 8) + slot % per * value("task.size");
}

static uint64_t record_with(uint64_t id)
{
    for (uint32_t slot = 0; slot < word_at(value("slots"), 4); slot++) {
        if (field(record_of(slot), "task.id", 8) == id)
            return record_of(slot);
    }
    FAIL("no record of task %llu", (unsigned long long)id);
}

TEST_PLAIN(table_is_found_by_its_note)
{
    const struct weft__layout *l = find_table();

    CHECK_STR(l->magic, "weftlay");
    CHECK_EQ(l->version, WEFT__LAYOUT_VERSION);
    CHECK_EQ(l->entry_size, sizeof(struct weft__layout_entry));
    for (uint32_t i = 0; i < l->count; i++) {
        CHECK(memchr(l->entries[i].name, 0, WEFT__LAYOUT_NAME) != NULL);
        value(l->entries[i].name);
    }
    CHECK_EQ(value("slabs"), 0);
}

TEST(records_are_those_of_the_registry)
{
    CHECK_EQ(word_at(value("slots"), 4), weft__tasks_slots());
    for (uint32_t slot = 0; slot < weft__tasks_slots(); slot++)
        CHECK_EQ(record_of(slot), (uintptr_t)weft__tasks_at(slot));
}

static uint64_t waiter_id;

static void wait_named(void *c)
{
    waiter_id = weft_task_id();
    weft_chan_recv(c, NULL);
}

TEST(a_waiting_task_is_read_as_it_is)
{
    weft_chan *c = weft_chan_new(0, 0);
    uint64_t t, sp, kind, tags;

    weft_go_with(&(weft_go_options){.name = "reader"}, wait_named, c);
    wait_for_dump("[chan receive]");
    t = record_with(waiter_id);
    CHECK_EQ(field(t, "task.state", 4), value("state.parked"));
    CHECK_EQ(field(t, "task.object", 8), (uintptr_t)c);
    CHECK_EQ(field(t, "task.creator", 8), weft_task_id());
    CHECK_EQ(field(t, "task.fn", 8), (uintptr_t)wait_named);
    CHECK(field(t, "task.flags", 2) & value("flag.started"));
    kind = value("reasons") + field(t, "task.reason", 1) * value("reason.size");
    CHECK_STR((const char *)word_at(kind + value("reason.text"), 8), "chan receive");
    sp = field(t, "task.sp", 8);
    CHECK(sp > field(t, "task.lo", 8) && sp + value("ctx.size") < field(t, "task.hi", 8));
    CHECK(word_at(sp + value("ctx.pc"), 8) != 0);
    tags = field(t, "task.tags", 8);
    CHECK_STR((const char *)word_at(tags + value("tags.name"), 8), "reader");
    weft_chan_close(c);
}

TEST(a_mutex_names_its_holder)
{
    weft_mutex m = WEFT_MUTEX_INIT;
    weft_rwmutex rw = WEFT_RWMUTEX_INIT;

    weft_mutex_lock(&m);
    weft_rwmutex_lock(&rw);
    CHECK_EQ(word_at((uintptr_t)&m + value("mutex.state"), 8) >> value("mutex.shift"),
             weft_task_id());
    CHECK_EQ(word_at((uintptr_t)&rw + value("rwmutex.owner"), 8), weft_task_id());
    weft_rwmutex_unlock(&rw);
    weft_mutex_unlock(&m);
}

TEST(a_worker_is_the_thread_that_runs_a_task)
{
    uint64_t self = record_with(weft_task_id()), worker;

    weft_pin();
    worker = field(self, "task.worker", 8);
    CHECK_EQ(word_at(worker + value("worker.task"), 8), self);
    CHECK_EQ(word_at(worker + value("worker.tid"), 4), (uint64_t)gettid());
    weft_unpin();
}
