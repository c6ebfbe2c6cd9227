/* SPDX-License-Identifier: MIT */
/* fetch.h - gets pages of a program's debug port. Any thread; each call has a connection of its
 * own and gives up after some seconds. */
#ifndef WEFT_TOOLS_FETCH_H
#define WEFT_TOOLS_FETCH_H

#include <stddef.h>

struct source {
    const char *addr;  /* "host:port" or "unix:/path" */
    const char *token; /* for "Authorization: Bearer", or NULL */
};

/* Gets a page. Returns its body for free(), with a 0 behind it, and its length in n. Returns NULL
 * if that failed, and says why in error. */
char *fetch(const struct source *s, const char *path, size_t *n, char error[128]);

#endif
