/* SPDX-License-Identifier: MIT */
/* names.c - getaddrinfo by libuv, on the calling thread (netpoll.h). Owns nothing; takes no lock.
 *
 * uv_getaddrinfo without a callback looks up on the calling thread. Of its loop it touches nothing
 * but a count of requests, so an empty loop of the call's own is enough. */
#include "runtime/uv/loop.h"

#include <netdb.h>

static bool has_address(const struct addrinfo *found)
{
    for (; found; found = found->ai_next) {
        if (found->ai_family == AF_INET || found->ai_family == AF_INET6)
            return true;
    }
    return false;
}

int weft__names_find(const char *host, const char *service, const struct addrinfo *hints,
                     struct addrinfo **found)
{
    uv_loop_t loop = {0};
    uv_getaddrinfo_t req;
    int rc = uv_getaddrinfo(&loop, &req, NULL, host[0] ? host : NULL, service[0] ? service : NULL,
                            hints);

    if (rc == 0 && !has_address(req.addrinfo)) {
        uv_freeaddrinfo(req.addrinfo);
        return UV_EAI_NODATA;
    }
    if (rc == 0)
        *found = req.addrinfo;
    return rc;
}

void weft__names_free(struct addrinfo *found)
{
    uv_freeaddrinfo(found);
}
