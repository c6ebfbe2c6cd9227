/* SPDX-License-Identifier: MIT */
/* addr.c - addresses as text and as values.
 *
 * Owns no state, and takes no lock. Any thread may call every function, in or out of a run. */
#include "runtime/io/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

_Static_assert(sizeof(struct sockaddr_un) <= sizeof(((weft_addr *)0)->_bytes), "any address fits");

/* An address is kept as the bytes of its sockaddr; their first member is the family. */
int weft__addr_family(const weft_addr *a)
{
    return a->_len ? weft__addr_raw(a)->sa_family : AF_UNSPEC;
}

static weft_addr from_ipv4(struct in_addr host, in_port_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = host, .sin_port = port};
    weft_addr a = {._len = sizeof(in)};

    memcpy(a._bytes, &in, sizeof(in));
    return a;
}

static weft_addr from_ipv6(struct in6_addr host, in_port_t port)
{
    struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_addr = host, .sin6_port = port};
    weft_addr a = {._len = sizeof(in)};

    memcpy(a._bytes, &in, sizeof(in));
    return a;
}

weft_addr weft__addr_from(const void *raw, socklen_t len)
{
    weft_addr a = {0};
    struct sockaddr_in6 in;
    struct in_addr host;

    if (len > sizeof(a._bytes))
        return a;
    memcpy(a._bytes, raw, len);
    a._len = len;
    if (len < sizeof(in) || weft__addr_family(&a) != AF_INET6)
        return a;
    memcpy(&in, raw, sizeof(in));
    if (!IN6_IS_ADDR_V4MAPPED(&in.sin6_addr))
        return a;
    memcpy(&host, &in.sin6_addr.s6_addr[12], sizeof(host));
    return from_ipv4(host, in.sin6_port);
}

weft_addr weft__addr_local(int fd)
{
    struct sockaddr_storage raw;
    socklen_t len = sizeof(raw);

    if (getsockname(fd, (struct sockaddr *)&raw, &len) != 0)
        return (weft_addr){0};
    return weft__addr_from(&raw, len);
}

/* Makes the address of "/path" or "@name", the text behind "unix:". A path ends with a NUL in the
 * address. An abstract name begins with a NUL instead, and has no end but its length. */
static int unix_addr(const char *path, weft_addr *out)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(path);

    if (n == 0 || (path[0] == '@' ? n : n + 1) > sizeof(un.sun_path))
        return WEFT_EINVAL;
    memcpy(un.sun_path, path, n);
    if (path[0] == '@')
        un.sun_path[0] = '\0';
    else
        n++;
    *out = weft__addr_from(&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    return 0;
}

/* Returns the text behind "unix:"; NULL if it does not begin so. */
static const char *unix_path(const char *text)
{
    return strncmp(text, "unix:", 5) == 0 ? text + 5 : NULL;
}

/* Returns the port; -1 if the text is the name of a service; WEFT_EINVAL if it is above 65535. */
static int parse_port(const char *text)
{
    int port = 0;

    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9')
            return -1;
        port = port * 10 + (*c - '0');
        if (port > 65535)
            return WEFT_EINVAL;
    }
    return port;
}

/* Splits "host:port". Returns 0; WEFT_EINVAL without a port, or with colons in a host that has no
 * brackets: "::1:80" could mean two things. */
static int split(const char *text, struct weft__parts *out)
{
    const char *host = text, *end, *colon = strrchr(text, ':');

    if (text[0] == '[') {
        host++;
        end = strchr(host, ']');
        if (!end || colon != end + 1)
            return WEFT_EINVAL;
    } else {
        end = colon;
        if (!end || strchr(text, ':') != colon)
            return WEFT_EINVAL;
    }
    if (end - host > WEFT__HOST_MAX || !colon[1] || strlen(colon + 1) > WEFT__SERVICE_MAX)
        return WEFT_EINVAL;
    memcpy(out->host, host, (size_t)(end - host));
    out->host[end - host] = '\0';
    strcpy(out->service, colon + 1);
    out->port = parse_port(out->service);
    return out->port == WEFT_EINVAL ? WEFT_EINVAL : 0;
}

/* Reads an IPv6 address with a zone, "fe80::1%eth0" or "fe80::1%2": a link-local address means
 * something on one interface only. Returns false if host is none. */
static bool numeric_in_zone(const char *host, in_port_t port, weft_addr *out)
{
    const char *mark = strchr(host, '%');
    struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = port};
    char address[INET6_ADDRSTRLEN], *end;
    unsigned long zone;

    if (!mark || !mark[1] || (size_t)(mark - host) >= sizeof(address))
        return false;
    memcpy(address, host, (size_t)(mark - host));
    address[mark - host] = 0;
    if (inet_pton(AF_INET6, address, &in.sin6_addr) != 1)
        return false;
    zone = mark[1] >= '0' && mark[1] <= '9' ? strtoul(mark + 1, &end, 10) : 0;
    if (zone == 0 || *end)
        zone = if_nametoindex(mark + 1);
    if (zone == 0 || zone > UINT32_MAX)
        return false;
    in.sin6_scope_id = (uint32_t)zone;
    *out = (weft_addr){._len = sizeof(in)};
    memcpy(out->_bytes, &in, sizeof(in));
    return true;
}

/* Reads a host that is an address. Returns false if the host or the port is a name. */
static bool numeric(const struct weft__parts *p, weft_addr *out)
{
    in_port_t port = htons((uint16_t)p->port);
    struct in_addr v4;
    struct in6_addr v6;

    if (p->port < 0)
        return false;
    if (inet_pton(AF_INET, p->host, &v4) == 1)
        *out = from_ipv4(v4, port);
    else if (inet_pton(AF_INET6, p->host, &v6) == 1)
        *out = from_ipv6(v6, port);
    else
        return numeric_in_zone(p->host, port, out);
    return true;
}

int weft_addr_init(weft_addr *a, const char *text)
{
    struct weft__parts p;
    const char *path = unix_path(text);

    if (path)
        return unix_addr(path, a);
    return split(text, &p) == 0 && numeric(&p, a) ? 0 : WEFT_EINVAL;
}

int weft__addrs_read(const char *text, enum weft__purpose purpose, int type, weft__addrs *out,
                     struct weft__parts *name)
{
    const char *path = unix_path(text);
    in_port_t port;
    int rc;

    out->n = 1;
    if (path)
        return type == SOCK_STREAM ? unix_addr(path, &out->at[0]) : WEFT_EINVAL;
    rc = split(text, name);
    if (rc < 0 || numeric(name, &out->at[0]))
        return rc;
    if (name->host[0] || name->port < 0)
        return 1;
    /* No host. To listen: the "any" of IPv6 also takes IPv4, and the "any" of IPv4 is for machines
     * without IPv6. To dial: this machine. */
    port = htons((uint16_t)name->port);
    out->n = 2;
    if (purpose == WEFT__TO_LISTEN) {
        out->at[0] = from_ipv6(in6addr_any, port);
        out->at[1] = from_ipv4((struct in_addr){htonl(INADDR_ANY)}, port);
    } else {
        out->at[0] = from_ipv4((struct in_addr){htonl(INADDR_LOOPBACK)}, port);
        out->at[1] = from_ipv6(in6addr_loopback, port);
    }
    return 0;
}

/* Writes a unix address as "unix:/path" or "unix:@name", as snprintf does. */
static int unix_name(const weft_addr *a, char *text, size_t size)
{
    struct sockaddr_un un;
    size_t n = a->_len - offsetof(struct sockaddr_un, sun_path);

    if (a->_len <= offsetof(struct sockaddr_un, sun_path))
        return snprintf(text, size, "unix:"); /* the end that dialed has no name */
    memcpy(&un, a->_bytes, a->_len);
    if (un.sun_path[0] == '\0')
        un.sun_path[0] = '@';
    else
        n = strnlen(un.sun_path, n);
    return snprintf(text, size, "unix:%.*s", (int)n, un.sun_path);
}

int weft_addr_name(const weft_addr *a, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    char zone[16] = "";

    switch (weft__addr_family(a)) {
    case AF_INET:
        memcpy(&v4, a->_bytes, sizeof(v4));
        inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
        return snprintf(text, size, "%s:%d", host, ntohs(v4.sin_port));
    case AF_INET6:
        memcpy(&v6, a->_bytes, sizeof(v6));
        inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
        if (v6.sin6_scope_id)
            snprintf(zone, sizeof(zone), "%%%u", v6.sin6_scope_id);
        return snprintf(text, size, "[%s%s]:%d", host, zone, ntohs(v6.sin6_port));
    case AF_UNIX:
        return unix_name(a, text, size);
    default:
        if (size)
            text[0] = '\0';
        return 0;
    }
}
