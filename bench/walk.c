/* SPDX-License-Identifier: MIT */
/* walk.c - walks a million distinct parked stacks: walk [tasks] [frames] [rounds].
 *
 * Each stack is a page of its own in one mapping, with its top coloured as a runtime's would be;
 * a task on it calls down through functions of several shapes and parks by a switch like the
 * runtime's. One thread walks them all; each word of them is read for the first time since they
 * parked, so the time is that of cache misses. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "../profiles/symbolize.h"
#include "../profiles/unwind.h"

enum { STACK_SIZE = 4096, SAVED = 6 };

/* bench_switch(&from, to): saves the callee-saved registers on the stack and changes stacks.
 * bench_base: the outermost function. */
void bench_switch(uintptr_t **from, uintptr_t *to);
void bench_base(void);
__asm__(".pushsection .text\n"
        ".type bench_switch, @function\n"
        "bench_switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, (%rdi)\n"
        "mov %rsi, %rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\n"
        "ret\n"
        ".size bench_switch, . - bench_switch\n"
        ".type bench_base, @function\n"
        "bench_base:\n"
        ".cfi_startproc\n"
        ".cfi_undefined rip\n"
        "nop\n"
        "call bench_task\n"
        "ud2\n"
        ".cfi_endproc\n"
        ".size bench_base, . - bench_base\n"
        ".popsection\n");

static uintptr_t *main_sp, *task_sp;
static volatile unsigned sink;
static unsigned frames = 8;

/* Four shapes of frame, as varied as the callers of a runtime are. */
static void descend(unsigned left, unsigned a);

#define SHAPE(name, words)                                                                         \
    __attribute__((noinline)) static void name(unsigned left, unsigned a)                          \
    {                                                                                              \
        volatile unsigned room[words];                                                             \
        room[a % (words)] = a;                                                                     \
        descend(left, a * 7 + 1);                                                                  \
        sink += room[a % (words)] + a;                                                             \
    }
SHAPE(one, 2)
SHAPE(two, 6)
SHAPE(three, 12)
SHAPE(four, 3)

__attribute__((always_inline)) static inline void descend(unsigned left, unsigned a)
{
    static void (*const shapes[])(unsigned, unsigned) = {one, two, three, four};

    if (left == 0)
        bench_switch(&task_sp, main_sp);
    else
        shapes[a / 8 % 4](left - 1, a);
}

static unsigned seed;

void bench_task(void);
__attribute__((used)) void bench_task(void)
{
    descend(frames - 2, seed); /* with this function and its base, as many as asked for */
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uintptr_t *park_one(char *stack, unsigned i)
{
    uintptr_t *sp = (uintptr_t *)(stack + STACK_SIZE - i % 16 * 64) - SAVED - 2;

    sp[SAVED] = (uintptr_t)bench_base; /* the switch returns into it */
    seed = i * 2654435761u;
    bench_switch(&main_sp, sp);
    return task_sp;
}

/* The registers as bench_switch saved them. */
static struct weft__regs regs_of(const uintptr_t *sp)
{
    return (struct weft__regs){.r15 = sp[0],
                               .r14 = sp[1],
                               .r13 = sp[2],
                               .r12 = sp[3],
                               .bx = sp[4],
                               .bp = sp[5],
                               .pc = sp[SAVED],
                               .sp = (uintptr_t)(sp + SAVED + 1),
                               .known = true};
}

int main(int argc, char **argv)
{
    size_t tasks = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    int rounds = argc > 3 ? atoi(argv[3]) : 3;
    uintptr_t **parked = malloc(tasks * sizeof *parked);
    char *stacks = mmap(NULL, tasks * STACK_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    static struct weft__walk w;

    frames = argc > 2 ? (unsigned)atoi(argv[2]) : 8;
    if (parked == NULL || stacks == MAP_FAILED)
        return 1;
    madvise(stacks, tasks * STACK_SIZE, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < tasks; i++)
        parked[i] = park_one(stacks + i * STACK_SIZE, (unsigned)i);
    for (int round = 0; round < rounds; round++) {
        size_t depth = 0, whole = 0;
        double start = now(), taken;
        for (size_t i = 0; i < tasks; i++) {
            struct weft__regs regs = regs_of(parked[i]);
            uintptr_t lo = (uintptr_t)stacks + i * STACK_SIZE;
            weft__walk(&w, &regs, lo, lo + STACK_SIZE, (void *)lo, true);
            depth += w.depth;
            whole += w.whole;
        }
        taken = now() - start;
        printf(
            "%zu stacks, %zu whole, %.1f frames each: %.3f s, %.0f ns a stack, %.1f ns a frame\n",
            tasks, whole, (double)depth / (double)tasks, taken, taken * 1e9 / (double)tasks,
            taken * 1e9 / (double)depth);
    }
    weft__symbolizer_stop();
    return 0;
}
