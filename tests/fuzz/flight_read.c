/* SPDX-License-Identifier: MIT */
/* flight_read.c - records of the flight recorder from arbitrary bytes: the reader, its stacks,
 * names and times, and the order of the events. */
#include "profiles/trace/flight.h"
#include "profiles/trace/settle.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The function of tape.c that the reader calls. */
void weft__span_free(struct weft__span *s)
{
    free(s->events);
    free(s->strands);
    *s = (struct weft__span){.events = NULL};
}

static volatile uint64_t read_so_far; /* so that the compiler leaves no read out */

static void ask(const weft__flight *f)
{
    struct weft__flight_name name;
    uint64_t sum = 0;
    uint32_t n;

    for (uint32_t id = 0; id < 100; id++) {
        const uint64_t *pcs = weft__flight_stack(f, id, &n);

        for (uint32_t i = 0; i < n; i++)
            sum += pcs[i];
    }
    for (uint64_t task = 0; task < 100; task++)
        if (weft__flight_name_of(f, task, &name))
            sum += strlen(name.name) + strlen(name.labels);
    read_so_far = sum;
}

/* Checks what settle.h promises: of each task an unbroken end of its events, in order. */
static void check_order(const struct weft__settled *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n && k < i + 50; k++) {
            if (list[k].event->task != list[i].event->task)
                continue;
            if (list[k].event->seq != list[i].event->seq + 1)
                abort();
            break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *bytes = malloc(size + 1); /* aligned, as a file's memory is */
    struct weft__settled *list;
    weft__flight f;
    size_t n = 0;

    memcpy(bytes, data, size);
    if (!weft__flight_read(&f, bytes, size)) {
        ask(&f);
        for (size_t i = 0; i < f.span.n; i++)
            weft__flight_nanos(&f, f.span.events[i].ticks);
        list = weft__settle(&f.span, &n);
        if (list)
            check_order(list, n);
        free(list);
        weft__flight_free(&f);
    }
    free(bytes);
    return 0;
}
