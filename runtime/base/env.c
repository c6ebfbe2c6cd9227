/* SPDX-License-Identifier: MIT */
/* env.c - reads the WEFT_ variables of the environment.
 *
 * Owns: the list of the variables whose value was already called unknown.
 * A panic reads WEFT_TRACEBACK on any thread, perhaps with a damaged heap and under any lock. So
 * nothing here allocates or locks. */
#include "runtime/base/env.h"

#include "runtime/base/atomic.h"
#include "runtime/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* VARIABLES: more than weft has; with a full list a complaint would be left out. */
enum { VARIABLES = 32, TEXT = 512 };

/* Atomic; string literals of the callers, in the order of the complaints. */
static const char *said[VARIABLES];

const char *weft__env_text(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

/* Returns true for the first call with this name. */
static bool is_first(const char *name)
{
    for (int i = 0; i < VARIABLES; i++) {
        const char *have = NULL;

        if (weft__cas(&said[i], &have, name))
            return true;
        if (strcmp(have, name) == 0)
            return false;
    }
    return false;
}

/* Says that the variable's value is ignored. known lists the values it knows. The value is cut at
 * 64 bytes, since the environment is not ours and may hold anything. */
static void complain(const char *name, const char *value, const char *known)
{
    if (is_first(name))
        weft__log("weft: %s=%.64s is ignored: its value may be %s", name, value, known);
}

/* Writes "a, b or c" to text. */
static void list(char *text, size_t size, const char *const *words)
{
    size_t n = 0;

    for (int i = 0; words[i] && n < size; i++) {
        const char *glue = i == 0 ? "" : words[i + 1] ? ", " : " or ";

        n += (size_t)snprintf(text + n, size - n, "%s%s", glue, words[i]);
    }
}

int weft__env_word(const char *name, const char *const *words, int otherwise)
{
    const char *value = weft__env_text(name);
    char known[TEXT / 2];

    if (!value)
        return otherwise;
    for (int i = 0; words[i]; i++) {
        if (strcmp(value, words[i]) == 0)
            return i;
    }
    list(known, sizeof(known), words);
    complain(name, value, known);
    return otherwise;
}

int64_t weft__env_number(const char *name, int64_t least, int64_t most, int64_t otherwise)
{
    const char *value = weft__env_text(name);
    char known[TEXT / 2], *end;
    long long n;

    if (!value)
        return otherwise;
    errno = 0;
    n = strtoll(value, &end, 10);
    if (!*end && errno == 0 && n >= least && n <= most)
        return n;
    snprintf(known, sizeof(known), "a number from %lld to %lld", (long long)least, (long long)most);
    complain(name, value, known);
    return otherwise;
}

bool weft__env_off(const char *name)
{
    static const char *const words[] = {"0", "1", NULL};

    return weft__env_word(name, words, 1) == 0;
}
