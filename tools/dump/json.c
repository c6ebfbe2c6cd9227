/* SPDX-License-Identifier: MIT */
/* json.c - writes a snapshot as JSON: the facts of debug=3, for programs.
 *
 * Owns nothing beyond a call. cmake/docs/weft-dump.1 has the schema, whose name is the first
 * member; a change that a reader could notice gives it another number.
 *
 * A task names its stack, a stack its calls, and a call its functions. So a million tasks with few
 * stacks are a small document, and with many stacks each function is still written once. Each task
 * is a line. */
#include "tools/dump/json.h"

#include "profiles/render/output.h"
#include "profiles/render/tasks_merged.h"
#include "profiles/table/idmap.h"
#include "profiles/table/marks.h"
#include "profiles/table/stacktab.h"
#include "profiles/walk/symbolize.h"
#include "runtime/sched/tags.h"

#include <errno.h>
#include <stdlib.h>

struct json {
    const struct weft__snapshot *s;
    struct weft__out *o;
    struct weft__idmap ids; /* finds a call's index + 1 by its hash */
    uintptr_t *calls;       /* return addresses, in the order in which they came */
    uint32_t n, room;
};

/* Members -------------------------------------------------------------------------------------- */

/* Each writes the comma before its member, and the member. */
static void put_key(struct weft__out *o, const char *key)
{
    weft__out_char(o, ',');
    weft__out_json(o, key);
    weft__out_char(o, ':');
}

static void put_text(struct weft__out *o, const char *key, const char *value)
{
    put_key(o, key);
    weft__out_json(o, value);
}

static void put_number(struct weft__out *o, const char *key, int64_t value)
{
    put_key(o, key);
    weft__out_int(o, value);
}

static void put_address(struct weft__out *o, const char *key, uintptr_t value)
{
    put_key(o, key);
    weft__out_char(o, '"');
    weft__out_hex(o, value);
    weft__out_char(o, '"');
}

static void put_flag(struct weft__out *o, const char *key, bool is)
{
    if (is) {
        put_key(o, key);
        weft__out_str(o, "true");
    }
}

/* Calls ---------------------------------------------------------------------------------------- */

/* Writes a return address as a string, and notes it for the list of calls. A mark (marks.h) is its
 * own text. */
static void put_call(struct json *j, uintptr_t ret)
{
    uint64_t hash = weft__idmap_mix(ret);
    uint32_t id, at = weft__idmap_first(&j->ids, hash);

    if (weft__mark_name(ret)) {
        weft__out_json(j->o, weft__mark_name(ret));
        return;
    }
    weft__out_char(j->o, '"');
    weft__out_hex(j->o, ret);
    weft__out_char(j->o, '"');
    while ((id = weft__idmap_next(&j->ids, hash, &at)) != 0)
        if (j->calls[id - 1] == ret)
            return;
    if (j->n == j->room) {
        uint32_t room = j->room ? 2 * j->room : 1024;
        uintptr_t *calls = realloc(j->calls, room * sizeof(*calls));

        if (!calls) {
            j->o->rc = -ENOMEM;
            return;
        }
        j->calls = calls;
        j->room = room;
    }
    j->calls[j->n++] = ret;
    if (!weft__idmap_add(&j->ids, hash, j->n))
        j->o->rc = -ENOMEM;
}

static void put_functions(struct json *j, uintptr_t ret)
{
    const struct weft__symbol *s = weft__symbolize(ret - 1);
    uintptr_t entry = s->frames[s->n - 1].entry;

    for (uint32_t i = 0; i < s->n; i++) {
        const struct weft__frame *f = &s->frames[i];

        weft__out_str(j->o, i == 0 ? "[{\"function\":" : ",{\"function\":");
        weft__out_json(j->o, f->function);
        if (f->file) {
            put_text(j->o, "file", f->file);
            put_number(j->o, "line", f->line);
        }
        if (i + 1 == s->n && entry)
            put_number(j->o, "offset", (int64_t)(ret - entry));
        put_flag(j->o, "inlined", f->inlined);
        weft__out_char(j->o, '}');
    }
    weft__out_char(j->o, ']');
}

static void put_calls(struct json *j)
{
    weft__out_str(j->o, "\"calls\":{");
    for (uint32_t i = 0; i < j->n && j->o->rc == 0; i++) {
        weft__out_str(j->o, i == 0 ? "\n\"" : ",\n\"");
        weft__out_hex(j->o, j->calls[i]);
        weft__out_str(j->o, "\":");
        put_functions(j, j->calls[i]);
    }
    weft__out_str(j->o, "}");
}

/* Stacks --------------------------------------------------------------------------------------- */

/* A stack that is a function not entered yet has its number, negated: the same address may also be
 * that of a call. */
static int64_t stack_number(const struct weft__record *r)
{
    return weft__record_shift(r) ? -(int64_t)r->stack : (int64_t)r->stack;
}

static void put_stack(struct json *j, int64_t number, bool first)
{
    const struct weft__stack_entry *e =
        weft__stacktab_get(j->s->stacks, (uint32_t)(number < 0 ? -number : number));

    weft__out_str(j->o, first ? "\n\"" : ",\n\"");
    weft__out_int(j->o, number);
    weft__out_str(j->o, "\":[");
    for (uint32_t i = 0; i < e->kept; i++) {
        if (i > 0)
            weft__out_char(j->o, ',');
        put_call(j, e->pcs[i] + (number < 0));
    }
    weft__out_char(j->o, ']');
}

/* Writes the stacks that tasks have. */
static void put_stacks(struct json *j)
{
    const struct weft__record *end = j->s->records + j->s->n;
    size_t count = weft__stacktab_count(j->s->stacks);
    bool *seen = calloc(2 * count + 1, sizeof(*seen)), first = true;

    if (!seen) {
        j->o->rc = -ENOMEM;
        return;
    }
    weft__out_str(j->o, "\"stacks\":{");
    for (const struct weft__record *r = j->s->records; r < end && j->o->rc == 0; r++) {
        bool *is = &seen[count + (size_t)stack_number(r)];

        if (!weft__record_is_shown(r) || !weft__record_stack(j->s, r) || *is)
            continue;
        *is = true;
        put_stack(j, stack_number(r), first);
        first = false;
    }
    weft__out_str(j->o, "},\n");
    free(seen);
}

/* Tasks ---------------------------------------------------------------------------------------- */

static void put_tags(struct weft__out *o, const weft__tags *tags)
{
    const weft__tags *set = weft__tags_set(tags);

    if (weft__tags_name(tags))
        put_text(o, "name", weft__tags_name(tags));
    if (!set)
        return;
    put_key(o, "labels");
    weft__out_char(o, '{');
    for (uint32_t i = 0; i < set->n; i++) {
        if (i > 0)
            weft__out_char(o, ',');
        weft__out_json(o, set->labels[i].key);
        weft__out_char(o, ':');
        weft__out_json(o, set->labels[i].value);
    }
    weft__out_char(o, '}');
}

static void put_wait(struct json *j, const struct weft__record *r)
{
    int64_t ns = weft__record_waited(j->s, r);

    if (r->state == WEFT__REC_WAITING)
        put_text(j->o, "reason", weft__wait_text(r->reason));
    if (ns >= 0)
        put_number(j->o, "waited_ns", ns);
    if (r->state == WEFT__REC_WAITING && r->object)
        put_address(j->o, "waits_for", (uintptr_t)r->object);
    if (r->state == WEFT__REC_WAITING && r->owner)
        put_number(j->o, "held_by", (int64_t)r->owner);
}

static void put_creator(struct json *j, const struct weft__record *r)
{
    if (!r->creator_pc)
        return;
    put_key(j->o, "created_by");
    weft__out_str(j->o, "{\"call\":");
    put_call(j, r->creator_pc);
    if (!(r->flags & WEFT__REC_FOREIGN_CREATOR))
        put_number(j->o, "task", (int64_t)r->creator);
    weft__out_char(j->o, '}');
}

static void put_task(struct json *j, const struct weft__record *r)
{
    static const char *const states[] = {
        [WEFT__REC_RUNNABLE] = "runnable",
        [WEFT__REC_RUNNING] = "running",
        [WEFT__REC_SYSCALL] = "in a call",
        [WEFT__REC_WAITING] = "waiting",
    };

    weft__out_str(j->o, "{\"id\":");
    weft__out_dec(j->o, r->id);
    put_text(j->o, "state", states[r->state]);
    put_wait(j, r);
    put_flag(j->o, "locked_to_thread", r->flags & WEFT__REC_LOCKED);
    if (r->tags)
        put_tags(j->o, r->tags);
    if (weft__record_stack(j->s, r))
        put_number(j->o, "stack", stack_number(r));
    put_creator(j, r);
    weft__out_char(j->o, '}');
}

static void put_tasks(struct json *j)
{
    const struct weft__record *end = j->s->records + j->s->n;
    bool first = true;

    weft__out_str(j->o, "\"tasks\":[");
    for (const struct weft__record *r = j->s->records; r < end && j->o->rc == 0; r++) {
        if (!weft__record_is_shown(r))
            continue;
        weft__out_str(j->o, first ? "\n" : ",\n");
        first = false;
        put_task(j, r);
    }
    weft__out_str(j->o, "],\n");
}

static void put_head(struct json *j, const char *what, const char *broken)
{
    const struct weft__sched_counts *c = &j->s->sched;

    weft__out_str(j->o, "{\"schema\":\"weft-tasks/1\"");
    put_text(j->o, "of", what);
    if (*broken)
        put_text(j->o, "missing", broken);
    put_number(j->o, "processors", c->procs);
    if (c->procs_by)
        put_text(j->o, "processors_by", c->procs_by);
    put_number(j->o, "threads", c->threads);
    put_number(j->o, "threads_spare", c->spares);
    put_number(j->o, "threads_without_processor", c->lost);
    put_number(j->o, "threads_max", c->max_threads);
    weft__out_str(j->o, ",\n");
}

int json_write(const struct weft__snapshot *s, const char *what, const char *broken,
               const struct weft__sink *to)
{
    struct json j = {.s = s, .o = weft__out_new(to)};
    int rc;

    if (!j.o)
        return -ENOMEM;
    put_head(&j, what, broken);
    put_tasks(&j);
    put_stacks(&j);
    put_calls(&j);
    weft__out_str(j.o, "}\n");
    rc = weft__out_end(j.o);
    weft__idmap_free(&j.ids);
    free(j.calls);
    return rc;
}
