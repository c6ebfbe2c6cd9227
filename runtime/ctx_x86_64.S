/* SPDX-License-Identifier: MIT */
/* ctx_x86_64.S - the switch, System V ABI.
 *
 * void weft__ctx_jump(void **save_sp, void *to_sp)
 *
 * A context that does not run is its stack pointer; at it lie, upwards:
 *   +0 r15  +8 r14  +16 r13  +24 r12  +32 rbx  +40 rbp  +48 return address
 * mxcsr and the x87 control word are not saved: they would double the cost, and a task that
 * changes them must change them back before it waits. A port is one file like this one, and the
 * offsets in ctx.h. */
        .text
        .globl  weft__ctx_jump
        .hidden weft__ctx_jump
        .type   weft__ctx_jump, @function
        .p2align 4
weft__ctx_jump:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        ret
        .cfi_endproc
        .size   weft__ctx_jump, .-weft__ctx_jump

/* void weft__ctx_call(void **save_sp, void (*fn)(void *arg), void *arg)
 * Calls fn on the same stack, with the caller's context saved as for a switch: others can walk the
 * stack from there until fn returns. */
        .globl  weft__ctx_call
        .hidden weft__ctx_call
        .type   weft__ctx_call, @function
        .p2align 4
weft__ctx_call:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
        movq    %rsp, (%rdi)
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        movq    %rdx, %rdi
        call    *%rsi
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        ret
        .cfi_endproc
        .size   weft__ctx_call, .-weft__ctx_call

/* The outermost frame of every task. The undefined return address tells unwinders that the stack
 * ends here. A fresh stack "returns" behind the nop: a return address that is a function's first
 * byte would be looked up in the function before it. */
        .globl  weft__ctx_entry
        .hidden weft__ctx_entry
        .type   weft__ctx_entry, @function
        .p2align 4
weft__ctx_entry:
        .cfi_startproc
        .cfi_undefined rip
        nop
        .globl  weft__ctx_entry_resume
        .hidden weft__ctx_entry_resume
weft__ctx_entry_resume:
        xorl    %ebp, %ebp
        call    weft__task_main
        ud2
        .cfi_endproc
        .size   weft__ctx_entry, .-weft__ctx_entry
        .section .note.GNU-stack,"",@progbits
