/* SPDX-License-Identifier: MIT */
/* fake_symbols.c - see fake_symbols.h. Any thread may call it: the table never changes. */
#include "fake_symbols.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/walk/symbolize.h"
#include "runtime/sched/wait.h"

enum {
    MANY = 16384 /* functions above FAKE_MANY */
};

static const struct {
    const char *name, *file;
    unsigned line;
} functions[FAKE_COUNT] = {
    [FAKE_MAIN] = {"main", "/src/app.c", 10},
    [FAKE_WORKER] = {"worker", "/src/app.c", 42},
    [FAKE_INLINES] = {"outer", "/src/app.c", 50},
    [FAKE_HEADER] = {"from_header", "/src/include/queue.h", 7},
    [FAKE_CXX] = {"net::Conn::read(char*, unsigned long) const", "/src/conn.cc", 90},
    [FAKE_CXX_DEEP] = {"void run<std::function<void (int (*)(char))> >(int, void (*)(int))",
                       "/src/run.hpp", 5},
    [FAKE_CALL] = {"main::{lambda(int)#1}::operator()(int) const", "/src/conn.cc", 12},
    [FAKE_ANONYMOUS] = {"(anonymous namespace)::loop(int) [clone .isra.0]", "/src/conn.cc", 13},
    [FAKE_PERCENT] = {"big::operator%(big const&)", "/src/big.cc", 3},
    [FAKE_SLASH] = {"lib/core/big.div/100%", "/src/big.s", 4},
    [FAKE_CONTROL] = {"odd\nname\x7f", "/src/odd\n.c", 1},
    [FAKE_NO_FILE] = {"qsort_r", NULL, 0},
    [FAKE_LINE_ONLY] = {"generated", NULL, 33},
    [FAKE_ASSEMBLY] = {"start", "/src/start.s", 8},
    [FAKE_SPAWNER] = {"serve", "/src/serve.c", 70},
    [FAKE_PARK] = {"weft__park", "/weft/runtime/park.c", 120},
    [FAKE_RECV] = {"weft_chan_recv", "/weft/runtime/chan.c", 88},
    [FAKE_DEEP] = {"deep", "/src/deep.c", 6},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct weft__symbol *cache[FAKE_COUNT][2], *many[MANY], *unknown; /* guarded by lock */

static struct weft__symbol *symbol_new(uintptr_t addr, uint32_t n)
{
    struct weft__symbol *s = calloc(1, sizeof *s + n * sizeof s->frames[0]);

    s->pc = addr;
    s->n = n;
    s->found = s->has_inlines = true;
    return s;
}

static struct weft__symbol *make_named(unsigned f, uintptr_t addr)
{
    uint32_t inlined = f == FAKE_INLINES ? 2 : f == FAKE_SPAWNER ? 1 : 0;
    struct weft__symbol *s = symbol_new(addr, inlined + 1);

    if (f == FAKE_INLINES) {
        s->frames[0] = (struct weft__frame){"leaf", "/src/include/leaf.h", 3, 2, 0, true, NULL};
        s->frames[1] = (struct weft__frame){"middle", "/src/app.c", 30, 28, 0, true, NULL};
    }
    if (f == FAKE_SPAWNER)
        s->frames[0] =
            (struct weft__frame){"weft_go", "/weft/include/weft/task.h", 20, 19, 0, true, NULL};
    s->frames[inlined] = (struct weft__frame){functions[f].name,
                                              functions[f].file,
                                              functions[f].line,
                                              functions[f].line > 2 ? 2 : 0,
                                              f == FAKE_ASSEMBLY ? 0 : FAKE_ENTRY(f),
                                              false,
                                              f == FAKE_CXX ? "_ZNK3net4Conn4readEPcm" : NULL};
    return s;
}

static struct weft__symbol *make_many(unsigned f, uintptr_t addr)
{
    struct weft__symbol *s = symbol_new(addr, 1);
    char name[64], file[64];

    snprintf(name, sizeof name, "request_handler_number_%u", f);
    snprintf(file, sizeof file, "/src/service/handlers/part_%u.c", f % 100);
    s->frames[0] =
        (struct weft__frame){strdup(name), strdup(file), f % 5000 + 1, 0, addr - 0x1e, false, NULL};
    return s;
}

static struct weft__symbol *make_unknown(uintptr_t addr)
{
    struct weft__symbol *s = symbol_new(addr, 1);

    s->found = s->has_inlines = false;
    s->frames[0].function = "0x7f0000001234";
    return s;
}

const struct weft__symbol *weft__symbolize(uintptr_t addr)
{
    struct weft__symbol *s, **at = &unknown;
    uintptr_t f = (addr - FAKE_BASE) / 0x1000;

    pthread_mutex_lock(&lock);
    if (addr >= FAKE_BASE && f < FAKE_COUNT) {
        at = &cache[f][addr == FAKE_ENTRY(f)];
        if (!*at)
            *at = make_named((unsigned)f, addr);
    } else if (addr >= FAKE_MANY && addr < FAKE_MANY + MANY * 0x100) {
        f = (addr - FAKE_MANY) / 0x100;
        at = &many[f];
        if (!*at)
            *at = make_many((unsigned)f, addr);
    } else if (!*at) {
        *at = make_unknown(addr);
    }
    s = *at;
    pthread_mutex_unlock(&lock);
    return s;
}

struct weft__mapping *weft__maps_read(size_t *n)
{
    static const struct weft__mapping maps[] = {
        {0x400000, 0x20000000, 0x1000, "/no/such/prog", "00112233445566778899aabbccddeeff00112233"},
        {0x7e0000000000, 0x7e0000001000, 0, "/no/such/unused.so", ""},
        {0x7f0000000000, 0x7f0000100000, 0x2000, "/no/such/stripped.so", "0badcafe"},
    };
    struct weft__mapping *copy = malloc(sizeof maps);

    *n = copy ? sizeof maps / sizeof maps[0] : 0;
    for (size_t i = 0; i < *n; i++)
        copy[i] = maps[i];
    return copy;
}

const char *weft__wait_text(unsigned reason)
{
    static const char *const texts[] = {
#define XX(name, text, flags) text,
        WEFT__WAIT_MAP(XX)
#undef XX
    };
    return reason < WEFT__WAIT_COUNT ? texts[reason] : texts[0];
}
