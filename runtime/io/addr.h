/* SPDX-License-Identifier: MIT */
/* addr.h - addresses as values, and the list of addresses that a text stands for.
 *
 * Any thread may call the functions of addr.c, which take no lock. weft__resolve may wait: its
 * callers are outside the runtime (before weft__enter). */
#ifndef WEFT_ADDR_H
#define WEFT_ADDR_H

#include <weft/net.h>

#include <stdint.h>
#include <sys/socket.h>

enum { WEFT__ADDRS_MAX = 16, WEFT__HOST_MAX = 255, WEFT__SERVICE_MAX = 31 };

/* The addresses of a text, best first. More than WEFT__ADDRS_MAX are left out. */
typedef struct weft__addrs {
    int n;
    weft_addr at[WEFT__ADDRS_MAX];
} weft__addrs;

enum weft__purpose { WEFT__TO_LISTEN, WEFT__TO_DIAL };

/* The parts of "host:port"; "" stands for no host. */
struct weft__parts {
    char host[WEFT__HOST_MAX + 1];
    char service[WEFT__SERVICE_MAX + 1];
    int port; /* -1: service is a name */
};

static inline struct sockaddr *weft__addr_raw(const weft_addr *a)
{
    return (struct sockaddr *)(uintptr_t)a->_bytes;
}

int weft__addr_family(const weft_addr *a); /* AF_UNSPEC of an empty address */
/* Returns the address of a sockaddr. An IPv4 address written as IPv6 becomes IPv4, so that a peer
 * has one address on all kinds of listeners. */
weft_addr weft__addr_from(const void *raw, socklen_t len);
/* Returns the address of our end of a socket; empty if the kernel does not tell. */
weft_addr weft__addr_local(int fd);
/* Reads a text and writes all addresses that it stands for. type: SOCK_STREAM or SOCK_DGRAM.
 * Returns 0; WEFT_EINVAL if text is no address; 1 if the text has a name, whose parts it writes. */
int weft__addrs_read(const char *text, enum weft__purpose purpose, int type, weft__addrs *out,
                     struct weft__parts *name);

/* dns.c. Writes all addresses that text stands for, with names looked up. Returns 0; WEFT_EINVAL if
 * text is no address; a UV_EAI_* if its name is not found; WEFT_ETIMEDOUT; WEFT_ECANCELED. */
int weft__resolve(const char *text, enum weft__purpose purpose, int type, weft_time deadline,
                  weft__addrs *out);

#endif
