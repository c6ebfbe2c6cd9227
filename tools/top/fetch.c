/* SPDX-License-Identifier: MIT */
/* fetch.c - see fetch.h. Owns nothing. Asks as HTTP/1.0, so the answer is the body as it is, to the
 * end of the connection. */
#include "tools/top/fetch.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { SECONDS = 10, PIECE = 64 << 10 };

static int dial_unix(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    strncpy(sa.sun_path, path, sizeof(sa.sun_path) - 1);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Connects to "host:port"; the host is this machine if it is left out. */
static int dial_tcp(const char *addr)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    const char *colon = strrchr(addr, ':');
    char host[256] = "127.0.0.1";
    int fd = -1;

    errno = EINVAL;
    if (colon && colon > addr)
        snprintf(host, sizeof(host), "%.*s", (int)(colon - addr), addr);
    if (!colon || getaddrinfo(host, colon + 1, &hints, &list) != 0)
        return -1;
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

static int dial(const struct source *s)
{
    const struct timeval most = {.tv_sec = SECONDS};
    int fd = strncmp(s->addr, "unix:", 5) == 0 ? dial_unix(s->addr + 5) : dial_tcp(s->addr);

    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
    }
    return fd;
}

/* Sends the request and reads all of the answer, for free(). */
static char *converse(int fd, const struct source *s, const char *path, size_t *n)
{
    char request[1024], *all = NULL;
    ssize_t got = 1;
    int size = snprintf(
        request, sizeof(request), "GET %s HTTP/1.0\r\nHost: localhost\r\n%s%s%s\r\n", path,
        s->token ? "Authorization: Bearer " : "", s->token ? s->token : "", s->token ? "\r\n" : "");

    *n = 0;
    if (size >= (int)sizeof(request) || send(fd, request, (size_t)size, MSG_NOSIGNAL) != size)
        return NULL;
    while (got > 0) {
        char *bigger = realloc(all, *n + PIECE + 1);

        if (!bigger)
            break;
        all = bigger;
        got = recv(fd, all + *n, PIECE, 0);
        *n += got > 0 ? (size_t)got : 0;
    }
    if (got == 0) {
        all[*n] = '\0';
        return all;
    }
    free(all);
    return NULL;
}

/* Moves the body to the front, in place of the head. Returns NULL, with the reason, unless the
 * status is 200. */
static char *body_of(char *all, size_t *n, char error[128])
{
    char *body = strstr(all, "\r\n\r\n");
    int status = 0;

    if (!body || sscanf(all, "HTTP/%*s %d", &status) != 1 || status != 200) {
        snprintf(error, 128, "status %d: %.90s", status, body ? body + 4 : "no answer of HTTP");
        error[strcspn(error, "\r\n")] = '\0';
        free(all);
        return NULL;
    }
    body += 4;
    *n -= (size_t)(body - all);
    memmove(all, body, *n + 1);
    return all;
}

char *fetch(const struct source *s, const char *path, size_t *n, char error[128])
{
    int fd = dial(s);
    char *all = fd < 0 ? NULL : converse(fd, s, path, n);

    if (!all)
        snprintf(error, 128, "%.60s: %.60s", s->addr,
                 errno == EAGAIN ? "no answer in time" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return all ? body_of(all, n, error) : NULL;
}
