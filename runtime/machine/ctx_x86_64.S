/* SPDX-License-Identifier: MIT */
/* ctx_x86_64.S - the switch between stacks, for the System V ABI. ctx.h says when each function may
 * be called.
 *
 * void weft__ctx_jump(void **save_sp, void *to_sp)
 *
 * A context that does not run is its stack pointer. At that address lie, upwards:
 *   +0 r15  +8 r14  +16 r13  +24 r12  +32 rbx  +40 rbp  +48 return address
 * These are the registers that the ABI wants preserved over a call; the caller has saved the rest.
 *
 * The floating point controls (mxcsr and the x87 control word) are not saved, as weft/task.h says.
 * With them a yield would take 16.5 ns, not 14.8; comparing them before saving would make it 15.6.
 *
 * The .cfi lines let debuggers and unwinders walk through a switch. A port to another processor is
 * one file like this one, and the offsets in ctx.h. */
        .macro save register
        pushq   %\register
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \register, 0
        .endm

        .macro restore register
        popq    %\register
        .cfi_adjust_cfa_offset -8
        .cfi_restore \register
        .endm

        .macro save_registers
        save    rbp
        save    rbx
        save    r12
        save    r13
        save    r14
        save    r15
        .endm

        .macro restore_registers
        restore r15
        restore r14
        restore r13
        restore r12
        restore rbx
        restore rbp
        .endm

        .text
        .globl  weft__ctx_jump
        .hidden weft__ctx_jump
        .type   weft__ctx_jump, @function
        .p2align 4
weft__ctx_jump:
        .cfi_startproc
        save_registers
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
        restore_registers
        ret
        .cfi_endproc
        .size   weft__ctx_jump, .-weft__ctx_jump

/* void weft__ctx_call(void **save_sp, void (*fn)(void *arg), void *arg)
 * Calls fn on the same stack, with the caller's context saved as a switch would save it. Other
 * threads can walk the stack from there until fn returns. The 8 bytes align the stack for fn. */
        .globl  weft__ctx_call
        .hidden weft__ctx_call
        .type   weft__ctx_call, @function
        .p2align 4
weft__ctx_call:
        .cfi_startproc
        save_registers
        movq    %rsp, (%rdi)
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        movq    %rdx, %rdi
        call    *%rsi
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        restore_registers
        ret
        .cfi_endproc
        .size   weft__ctx_call, .-weft__ctx_call

/* The outermost frame of every task. The undefined return address tells unwinders that the stack
 * ends here. Unwinders that run cleanups call the personality routine: so a pthread_exit in a task
 * ends the program with a text. 0x1b means a pc-relative address of 4 bytes.
 *
 * The first switch to a fresh stack "returns" to the byte behind the nop. Unwinders look a return
 * address up at one byte less, and one byte before the nop would be another function. */
        .globl  weft__ctx_entry
        .hidden weft__ctx_entry
        .type   weft__ctx_entry, @function
        .p2align 4
weft__ctx_entry:
        .cfi_startproc
        .cfi_undefined rip
        .cfi_personality 0x1b, weft__ctx_unwound
        nop
        xorl    %ebp, %ebp
        call    *%rbx
        ud2
        .globl  weft__ctx_entry_end
        .hidden weft__ctx_entry_end
weft__ctx_entry_end:
        .cfi_endproc
        .size   weft__ctx_entry, .-weft__ctx_entry
        .section .note.GNU-stack,"",@progbits
