/* SPDX-License-Identifier: MIT */
/* addr.h - addresses, and all those that a text stands for. */
#ifndef WEFT_ADDR_H
#define WEFT_ADDR_H

#include <weft/net.h>

#include <stdint.h>
#include <sys/socket.h>

enum { WEFT__ADDRS_MAX = 16, WEFT__HOST_MAX = 255, WEFT__SERVICE_MAX = 31 };

typedef struct weft__addrs {
    int n;
    weft_addr at[WEFT__ADDRS_MAX];
} weft__addrs;

enum weft__purpose { WEFT__TO_LISTEN, WEFT__TO_DIAL };

static inline struct sockaddr *weft__addr_raw(const weft_addr *a)
{
    return (struct sockaddr *)(uintptr_t)a->_bytes;
}

int weft__addr_family(const weft_addr *a);
/* IPv4 in IPv6 becomes IPv4. */
weft_addr weft__addr_from(const void *raw, socklen_t len);
weft_addr weft__addr_local(int fd);
/* All addresses that text stands for; type: SOCK_STREAM or SOCK_DGRAM. 0; WEFT_EINVAL; a UV_EAI_*;
 * WEFT_ETIMEDOUT; WEFT_ECANCELED. May park; the caller is a task, not in the runtime. */
int weft__resolve(const char *text, enum weft__purpose purpose, int type, weft_time deadline,
                  weft__addrs *out);

/* uv/dns.c: like weft__resolve, for the parts of an address; "" is none. */
int weft__dns(const char *host, const char *service, enum weft__purpose purpose, int type,
              weft_time deadline, weft__addrs *out);

#endif
