/* SPDX-License-Identifier: MIT */
/* http_parse.c - requests from arbitrary bytes: whole and cut into pieces they are understood in
 * the same way, and what is understood has the form that the rest of http/ relies on. */
#include "tests/http/http_peer.h"

#include "http/wire/path.h"
#include "runtime/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void weft__assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    abort();
}

static void check(bool so)
{
    if (!so)
        abort();
}

static void check_head(const struct peer *s)
{
    const weft__parse *p = &s->parse;

    check(p->path[0] == '/' || strcmp(p->path, "*") == 0);
    check(weft__path_is_valid(p->path));
    check(!strpbrk(p->path, " \t\r\n#?"));
    check(!p->query || !strpbrk(p->query, " \t\r\n#"));
    check(p->minor == 0 || p->host);
    check(!p->host || weft__host_is_valid(p->host, strlen(p->host)));
    check(p->nfields <= CASE_FIELDS);
    check((p->body == WEFT__BODY_CHUNKED) == (p->length < 0));
    for (uint32_t i = 0; i < p->nfields; i++) {
        const char *name = p->base + p->fields[i].name, *value = p->base + p->fields[i].value;

        check(strlen(name) == p->fields[i].name_len && *name);
        check(strlen(value) == p->fields[i].value_len);
        for (; *name; name++)
            check(weft__is_token((unsigned char)*name));
        for (; *value; value++)
            check((unsigned char)*value >= ' ' || *value == '\t');
    }
}

static void talk(struct peer *s, const char *bytes, size_t n, unsigned piece)
{
    peer_begin(s, n);
    s->on_head = check_head;
    for (size_t at = 0, some; at < n && !s->ended; at += some) {
        some = n - at < piece ? n - at : piece;
        peer_feed(s, bytes + at, some);
    }
    free(s->in);
}

/* The first byte says how the rest is cut. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct peer whole, cut;
    const char *bytes = (const char *)data + 1;

    if (size < 2)
        return 0;
    talk(&whole, bytes, size - 1, UINT32_MAX);
    talk(&cut, bytes, size - 1, data[0] % 16 + 1);
    check(strcmp(whole.says, cut.says) == 0);
    check(whole.print == cut.print);
    check(whole.ended == cut.ended);
    return 0;
}
