/* SPDX-License-Identifier: MIT */
/* debug/answer.c - the answer into which a profile is written, and its header.
 *
 * Owns no state: a weft__answer is on the stack of the connection's task, which calls everything
 * here.
 *
 * The header is set with the first piece, so that an earlier failure can set another one. Each
 * piece is twice as long as the one before, up to a bound. In a program that is short of CPU, each
 * piece costs a turn among all tasks that want to run: 100,000 of them take 50 ms. Between two
 * turns the piece is made without a processor, and the kernel gives the thread a fair share.
 *
 * Pieces are mapped. If malloc's were freed, glibc would take it that the program often frees such
 * blocks, raise its thresholds (mallopt(3), M_MMAP_THRESHOLD), and keep as much free memory in each
 * of its arenas. */
#include "http/debug/debug.h"

#include "http/wire/path.h"

#include "profiles/account/profile.h"
#include "profiles/capture/tasks.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { PIECE_FIRST = 64 << 10, PIECE_LAST = 4 << 20 };

void weft__debug_error(weft_http_response *w, int status, const char *text)
{
    weft_http_header_set(w, "X-Content-Type-Options", "nosniff");
    weft_http_header_set(w, "X-Go-Pprof", "1");
    weft_http_error(w, status, text);
}

/* Returns whether a character of a file's name needs no escape in a header field, quoted or not,
 * and in a URL. */
static bool is_plain(char c)
{
    return weft__is_token((unsigned char)c) && !strchr("%'*", c);
}

/* Sets the file's name. Old clients get "_" for characters that are not plain; the name itself
 * follows in the form of RFC 6266. */
static void set_disposition(weft_http_response *w, const char *filename)
{
    char text[4 * WEFT__FILENAME_SIZE + 80], *to = stpcpy(text, "attachment; filename=\"");
    bool plain = true;

    for (const char *c = filename; *c; c++) {
        *to++ = is_plain(*c) || *c == ' ' ? *c : '_';
        plain &= is_plain(*c);
    }
    *to++ = '"';
    if (!plain)
        to = stpcpy(to, "; filename*=UTF-8''");
    for (const char *c = filename; !plain && *c; c++)
        to += sprintf(to, is_plain(*c) ? "%c" : "%%%02X", (unsigned char)*c);
    *to = 0;
    weft_http_header_set(w, "Content-Disposition", text);
}

void weft__answer_head(weft_http_response *w, const char *filename)
{
    weft_http_header_set(w, "X-Content-Type-Options", "nosniff");
    weft_http_header_set(w, "Content-Type",
                         filename ? "application/octet-stream" : "text/plain; charset=utf-8");
    if (filename)
        set_disposition(w, filename);
}

void weft__answer_page_head(weft_http_response *w, const char *nonce)
{
    char policy[192];

    snprintf(policy, sizeof(policy),
             "default-src 'none'; style-src 'unsafe-inline'; %s%s%s"
             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
             nonce ? "script-src 'nonce-" : "", nonce ? nonce : "", nonce ? "'; " : "");
    weft_http_header_set(w, "X-Content-Type-Options", "nosniff");
    weft_http_header_set(w, "Content-Type", "text/html; charset=utf-8");
    weft_http_header_set(w, "Content-Security-Policy", policy);
}

void weft__answer_begin(struct weft__answer *a)
{
    if (!a->begun && a->nonce)
        weft__answer_page_head(a->w, a->nonce);
    else if (!a->begun)
        weft__answer_head(a->w, a->filename);
    a->begun = true;
}

/* Writes data. Lets other tasks and timers run before, since writing to a quick reader never
 * waits. */
static int write_now(struct weft__answer *a, const void *data, size_t n)
{
    weft__answer_begin(a);
    if (a->aside)
        weft__stand_back();
    else
        weft_yield();
    a->aside = false;
    a->n = 0;
    return weft_http_write(a->w, data, n);
}

static void drop_piece(struct weft__answer *a)
{
    if (a->piece)
        munmap(a->piece, a->room);
}

static bool make_room(struct weft__answer *a)
{
    size_t room = a->room == 0 ? PIECE_FIRST : a->room * 2;
    char *bigger = room <= PIECE_LAST ? weft__map(room) : NULL;

    if (bigger) {
        drop_piece(a);
        a->piece = bigger;
        a->room = room;
    }
    return a->piece != NULL;
}

int weft__answer_put(void *answer, const void *data, size_t n)
{
    struct weft__answer *a = answer;
    int rc = 0;

    if (a->n + n > a->room) {
        rc = a->n > 0 ? write_now(a, a->piece, a->n) : 0;
        if (rc == 0 && (!make_room(a) || n > a->room))
            return write_now(a, data, n);
        a->aside = rc == 0 && a->room > PIECE_FIRST && weft__stand_aside(SIZE_MAX);
    }
    if (rc == 0) {
        memcpy(a->piece + a->n, data, n);
        a->n += n;
    }
    return rc;
}

int weft__answer_end(struct weft__answer *a, int rc)
{
    if (rc == 0 && a->n > 0)
        rc = write_now(a, a->piece, a->n);
    else if (rc == 0)
        weft__answer_begin(a);
    drop_piece(a);
    return rc;
}
