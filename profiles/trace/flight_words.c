/* SPDX-License-Identifier: MIT */
/* flight_words.c - see flight.h: the words for the numbers of a record. Names of addresses come
 * from a function of the caller's; names and labels of tasks, stacks and times from the record.
 * With them a record of this process becomes a trace. */
#include "profiles/trace/flight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/render/frame_text.h"
#include "profiles/table/marks.h"
#include "profiles/trace/formats.h"
#include "profiles/trace/perfetto.h"
#include "profiles/trace/settle.h"
#include "profiles/walk/symbolize.h"

/* A stack of a record. */
struct stack {
    const struct weft__flight_words *words;
    const uint64_t *pcs;
};

/* Returns the name of the function that an address is in, without those that are inlined there. */
static const char *function_at(const void *arg, size_t i)
{
    const struct stack *s = arg;
    struct weft__trace_frame frames[WEFT__TRACE_FRAMES];
    const char *mark = weft__mark_name(s->pcs[i]);
    size_t n;

    if (mark)
        return mark;
    n = s->words->address(s->words->arg, s->pcs[i] - 1, frames, WEFT__TRACE_FRAMES);
    return n ? frames[n - 1].function : "";
}

/* Writes the frames without those of the library that noted the event. */
static size_t frames_of(void *arg, uint32_t stack, struct weft__trace_frame *to)
{
    struct weft__flight_words *w = arg;
    uint32_t n;
    const uint64_t *pcs = weft__flight_stack(w->record, stack, &n);
    size_t made = 0;

    for (size_t i = weft__frame_first(function_at, &(struct stack){w, pcs}, n);
         i < n && made < WEFT__TRACE_FRAMES; i++) {
        const char *mark = weft__mark_name(pcs[i]);

        if (mark)
            to[made++] = (struct weft__trace_frame){.pc = pcs[i], .function = mark};
        else
            made += w->address(w->arg, pcs[i] - 1, to + made, WEFT__TRACE_FRAMES - made);
    }
    return made;
}

static const char *function_name(void *arg, uint64_t fn)
{
    struct weft__flight_words *w = arg;
    struct weft__trace_frame frame;

    return w->address(w->arg, fn, &frame, 1) ? frame.function : NULL;
}

static const char *task_name(void *arg, uint64_t task)
{
    struct weft__flight_words *w = arg;

    if (!weft__flight_name_of(w->record, task, &w->task))
        return NULL;
    if (w->task.name[0])
        return w->task.name;
    return w->task.fn ? function_name(arg, w->task.fn) : NULL;
}

static int label_of(void *arg, uint64_t task, unsigned i, const char **key, const char **value)
{
    struct weft__flight_words *w = arg;
    const char *at = w->labels.labels;

    if (i == 0 && !weft__flight_name_of(w->record, task, &w->labels))
        w->labels.labels[0] = '\0';
    for (; *at; at += strlen(at) + 1) {
        *key = at;
        at += strlen(at) + 1;
        *value = at;
        if (i-- == 0)
            return 1;
    }
    return 0;
}

static int64_t nanos_of(void *arg, int64_t ticks)
{
    return weft__flight_nanos(((struct weft__flight_words *)arg)->record, ticks);
}

void weft__flight_words_begin(struct weft__flight_words *w, const weft__flight *record,
                              weft__flight_address *address, void *arg)
{
    *w = (struct weft__flight_words){.record = record, .address = address, .arg = arg};
    w->words = (struct weft__trace_words){
        .arg = w,
        .program = record->head->program,
        .pid = (int)record->head->pid,
        .frames = frames_of,
        .task = task_name,
        .label = label_of,
        .function = function_name,
        .nanos = nanos_of,
    };
}

size_t weft__trace_frames(const struct weft__symbol *s, struct weft__trace_frame *to, size_t most)
{
    size_t n;

    for (n = 0; n < s->n && n < most; n++)
        to[n] =
            (struct weft__trace_frame){s->pc | (uint64_t)(s->n - 1 - n) << 56,
                                       s->frames[n].function, s->frames[n].file, s->frames[n].line};
    return n;
}

size_t weft__trace_address(uint64_t pc, struct weft__trace_frame *to, size_t most)
{
    return weft__trace_frames(weft__symbolize(pc), to, most);
}

static size_t address_here(void *arg, uint64_t pc, struct weft__trace_frame *to, size_t most)
{
    (void)arg;
    return weft__trace_address(pc, to, most);
}

static int write_perfetto(weft__flight *f, const struct weft__trace_words *words,
                          const struct weft__sink *to)
{
    size_t n = 0;
    struct weft__settled *list = weft__settle(&f->span, &n);
    weft__perfetto *p = list ? weft__perfetto_begin(words, to) : NULL;
    int rc = -ENOMEM;

    if (p) {
        rc = 0;
        for (size_t i = 0; i < n && rc == 0; i++)
            rc = weft__perfetto_add(p, list[i].event);
        if (rc == 0)
            rc = weft__perfetto_counters(p, &f->span);
        rc = weft__perfetto_end(p, rc);
    }
    free(list);
    return rc;
}

static int write_with_words(weft__flight *f, const struct weft__sink *to)
{
    struct weft__flight_words *words = malloc(sizeof(*words));
    int rc = -ENOMEM;

    if (words) {
        weft__flight_words_begin(words, f, address_here, NULL);
        rc = write_perfetto(f, &words->words, to);
    }
    free(words);
    return rc;
}

int weft__flight_trace(const void *bytes, uint64_t size, enum weft__trace_format format,
                       const struct weft__sink *to)
{
    weft__flight f;
    int rc;

    if (weft__flight_read(&f, bytes, size) != NULL)
        return -ENOMEM;
    rc = format == WEFT__TRACE_V1   ? weft__flight_go(&f, weft__writer_v1(), to)
         : format == WEFT__TRACE_V2 ? weft__flight_go(&f, weft__writer_v2(), to)
                                    : write_with_words(&f, to);
    weft__flight_free(&f);
    return rc;
}
