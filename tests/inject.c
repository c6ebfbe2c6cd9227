/* SPDX-License-Identifier: MIT */
/* inject.c - a library to be preloaded, which makes calls fail; for torture_inject.py.
 *
 * INJECT=KIND:FIRST:COUNT fails COUNT calls of a kind, from number FIRST on. Calls are counted from
 * 0, beginning with the program's first. KIND is
 *
 *   memory   for malloc, calloc, realloc, aligned_alloc, posix_memalign, strdup
 *   map      for mmap, mprotect
 *   call     for system calls that make descriptors or threads, wait, read or write sockets */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum kind { NONE, MEMORY, MAP, CALL };

static enum kind kind;
static unsigned long first, count, seen; /* seen is atomic */

/* The C library's own functions, under names that need no lookup. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

__attribute__((constructor)) static void read_environment(void)
{
    const char *text = getenv("INJECT");
    char name[16] = "";

    if (!text || sscanf(text, "%15[a-z]:%lu:%lu", name, &first, &count) != 3)
        return;
    kind = strcmp(name, "memory") == 0 ? MEMORY : strcmp(name, "map") == 0 ? MAP : CALL;
}

static int refuses(enum kind k)
{
    unsigned long n;

    if (__builtin_expect(k != kind, 1))
        return 0;
    n = __atomic_fetch_add(&seen, 1, __ATOMIC_RELAXED);
    return n >= first && n - first < count;
}

/* ---- memory ---- */

static void *none(void)
{
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t n)
{
    return refuses(MEMORY) ? none() : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return refuses(MEMORY) ? none() : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return refuses(MEMORY) ? none() : __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    return refuses(MEMORY) ? none() : __libc_memalign(align, n);
}

void *memalign(size_t align, size_t n)
{
    return refuses(MEMORY) ? none() : __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
    void *p = refuses(MEMORY) ? NULL : __libc_memalign(align, n);

    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

/* ---- mappings ---- */

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    if (refuses(MAP)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
}

void *mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    return mmap(at, len, prot, flags, fd, offset);
}

int mprotect(void *at, size_t len, int prot)
{
    if (refuses(MAP)) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_mprotect, at, len, prot);
}

/* ---- system calls ---- */

#define REFUSE(error)                                                                              \
    if (refuses(CALL)) {                                                                           \
        errno = (error);                                                                           \
        return -1;                                                                                 \
    }

int epoll_create1(int flags)
{
    REFUSE(EMFILE)
    return (int)syscall(SYS_epoll_create1, flags);
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    if (op == EPOLL_CTL_ADD)
        REFUSE(ENOSPC)
    return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

int pipe2(int fds[2], int flags)
{
    REFUSE(EMFILE)
    return (int)syscall(SYS_pipe2, fds, flags);
}

int eventfd(unsigned value, int flags)
{
    REFUSE(ENFILE)
    return (int)syscall(SYS_eventfd2, value, flags);
}

int timerfd_create(int clock, int flags)
{
    REFUSE(EMFILE)
    return (int)syscall(SYS_timerfd_create, clock, flags);
}

int socket(int family, int type, int protocol)
{
    REFUSE(EMFILE)
    return (int)syscall(SYS_socket, family, type, protocol);
}

int accept4(int fd, struct sockaddr *at, socklen_t *len, int flags)
{
    REFUSE(EPERM)
    return (int)syscall(SYS_accept4, fd, at, len, flags);
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    REFUSE(ENOMEM)
    return syscall(SYS_recvfrom, fd, buf, n, flags, NULL, NULL);
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
    REFUSE(ENOBUFS)
    return syscall(SYS_sendto, fd, buf, n, flags, NULL, 0);
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    int mode;

    va_start(ap, flags);
    mode = flags & O_CREAT ? va_arg(ap, int) : 0;
    va_end(ap);
    REFUSE(EMFILE)
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
