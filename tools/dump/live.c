/* SPDX-License-Identifier: MIT */
/* live.c - a live process: memory by process_vm_readv, registers of the threads that run tasks.
 *
 * Owns nothing but the target that it is given.
 *
 * A thread in a system call is left alone: /proc/PID/task/TID/syscall has its PC and SP. A signal,
 * or a stop by ptrace, would end calls such as epoll_wait early. A thread that computes, or that is
 * stopped, is asked by ptrace, which stops it for some microseconds. */
#include "tools/dump/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static bool read_live(struct target *t, uint64_t at, void *to, size_t n)
{
    struct iovec local = {to, n}, remote = {(void *)(uintptr_t)at, n};

    if (t->memory < 0)
        return process_vm_readv(t->pid, &local, 1, &remote, 1, 0) == (ssize_t)n;
    return pread(t->memory, to, n, (off_t)at) == (ssize_t)n;
}

/* Reads a file of /proc. Returns false if it is not there. */
static bool read_proc(char *to, size_t size, int pid, int tid, const char *name)
{
    char path[64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, to, size - 1);
    if (fd >= 0)
        close(fd);
    to[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Returns the state of a thread: 'R', 'S', 'T'; 0 if there is no such thread. */
static char state_of(int pid, int tid)
{
    char text[512];
    const char *end;

    if (!read_proc(text, sizeof(text), pid, tid, "stat"))
        return 0;
    end = strrchr(text, ')');
    return end && end[1] ? end[2] : 0;
}

/* Gets the registers by ptrace. Returns false if the kernel does not allow it. */
static bool ask_thread(int tid, struct registers *r)
{
    struct user_regs_struct u;
    int status;
    bool ok;

    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0)
        return false;
    ok = ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0 && waitpid(tid, &status, __WALL) == tid &&
         WIFSTOPPED(status) && ptrace(PTRACE_GETREGS, tid, NULL, &u) == 0;
    ptrace(PTRACE_DETACH, tid, NULL, NULL);
    if (ok)
        *r = target_registers_of(&u);
    return ok;
}

/* Reads "NUMBER ARGUMENTS SP PC" of a thread in a call, and "-1 SP PC" of one that is stopped. */
static bool read_call(int pid, int tid, struct registers *r)
{
    char text[256], *sp, *pc;

    if (!read_proc(text, sizeof(text), pid, tid, "syscall") || strncmp(text, "running", 7) == 0)
        return false;
    *r = (struct registers){.in_call = text[0] != '-'};
    pc = strrchr(text, ' ');
    if (!pc)
        return false;
    *pc++ = '\0';
    sp = strrchr(text, ' ');
    r->r[R_PC] = strtoull(pc, NULL, 16);
    r->r[R_SP] = sp ? strtoull(sp + 1, NULL, 16) : 0;
    return r->r[R_SP] != 0;
}

static bool registers_live(struct target *t, int tid, struct registers *r)
{
    char state = state_of(t->pid, tid);
    bool known = read_call(t->pid, tid, r), in_call = known && r->in_call;

    if (!state || (known && state != 'T' && state != 't'))
        return known;
    if (ask_thread(tid, r))
        known = true;
    r->in_call = in_call;
    return known;
}

/* Adds a line of /proc/PID/maps, if it is of a file or of the vdso. */
static bool add_line(struct target *t, const char *line)
{
    struct mapping m = {0};
    char path[4096] = "";

    if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %4095[^\n]", &m.start, &m.end, &m.offset, path) < 4)
        return true;
    m.path = path;
    if (path[0] != '/' && strcmp(path, "[vdso]") != 0)
        return true;
    return target_add_mapping(t, &m);
}

static bool read_maps(struct target *t)
{
    char path[64], *line = NULL;
    size_t size = 0;
    bool ok = true;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/maps", t->pid);
    f = fopen(path, "re");
    if (!f)
        return false;
    while (ok && getline(&line, &size, f) > 0)
        ok = add_line(t, line);
    free(line);
    fclose(f);
    return ok && t->n_maps > 0;
}

int target_live(struct target *t, int pid)
{
    char path[64];
    uint64_t word;

    *t = (struct target){.read = read_live, .registers = registers_live, .pid = pid, .memory = -1};
    errno = 0;
    if (!read_maps(t)) {
        if (errno == ENOENT)
            target_breaks(t, "no such process");
        else
            target_breaks(t, "cannot read its mappings: %s",
                          errno ? strerror(errno) : "it has none");
        return -1;
    }
    if (read_live(t, t->maps[0].start, &word, sizeof(word)))
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    t->memory = open(path, O_RDONLY | O_CLOEXEC);
    if (t->memory >= 0 && read_live(t, t->maps[0].start, &word, sizeof(word)))
        return 0;
    target_breaks(t, "cannot read its memory: %s", strerror(errno));
    return -1;
}
