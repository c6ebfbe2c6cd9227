/* SPDX-License-Identifier: MIT */
/* reload.c - a library that is built twice, so that each build can take the other's place
 * (reload.h).
 *
 * Both builds have the same layout, and call from the same address in it, but with different
 * frames. The second counts its frame from rbp, which is 0 while the first runs. Where the first
 * has its return address, the second has a word that is 0. So a walk by the other build's rules
 * never gets beyond this frame, and the tests see it. */
typedef void reload_fn(void (*fn)(void *), void *arg);

__attribute__((visibility("default"))) reload_fn reload_call;
__attribute__((weak)) void reload_opened(void);

#ifdef IS_SECOND
#define NAME "second_calls"
#define ENTER                                                                                      \
    "push %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset rbp, -16\n"                                  \
    "mov %rsp, %rbp\n .cfi_def_cfa_register rbp\n"                                                 \
    "push %rbx\n .cfi_offset rbx, -24\n"                                                           \
    "push %r12\n .cfi_offset r12, -32\n"                                                           \
    "sub $64, %rsp\n"                                                                              \
    "movq $0, 56(%rsp)\n"
#define LEAVE                                                                                      \
    "add $64, %rsp\n"                                                                              \
    "pop %r12\n .cfi_restore r12\n"                                                                \
    "pop %rbx\n .cfi_restore rbx\n"                                                                \
    "pop %rbp\n .cfi_restore rbp\n .cfi_def_cfa rsp, 8\n"
#else
#define NAME "first_calls"
#define ENTER                                                                                      \
    "push %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset rbp, -16\n"                                  \
    "push %rbx\n .cfi_def_cfa_offset 24\n .cfi_offset rbx, -24\n"                                  \
    "sub $40, %rsp\n .cfi_def_cfa_offset 64\n"                                                     \
    "xor %ebp, %ebp\n"
#define LEAVE                                                                                      \
    "add $40, %rsp\n .cfi_def_cfa_offset 24\n"                                                     \
    "pop %rbx\n .cfi_restore rbx\n .cfi_def_cfa_offset 16\n"                                       \
    "pop %rbp\n .cfi_restore rbp\n .cfi_def_cfa_offset 8\n"
#endif

reload_fn calls __asm__(NAME);
__asm__(".pushsection .text\n"
        ".balign 64\n"
        ".globl " NAME "\n"
        ".type " NAME ", @function\n" NAME ":\n"
        ".cfi_startproc\n" ENTER "xor %ebx, %ebx\n"
        "mov %rdi, %rax\n"
        "mov %rsi, %rdi\n"
        ".org " NAME " + 46, 0x90\n"
        "call *%rax\n" LEAVE "ret\n"
        ".cfi_endproc\n"
        ".org " NAME " + 96, 0x90\n"
        ".size " NAME ", . - " NAME "\n"
        ".popsection\n");

void reload_call(void (*fn)(void *), void *arg)
{
    calls(fn, arg);
    __asm__ volatile("");
}

__attribute__((constructor)) static void open_it(void)
{
    if (reload_opened)
        reload_opened();
}
