/* SPDX-License-Identifier: MIT */
/* switch_x86_64.S - the context switch for the System V ABI of x86-64.
 *
 * A suspended context is its stack pointer; all else lies on its stack, lowest first:
 *
 *	 0   mxcsr (4 bytes), x87 control word (2 bytes), 2 bytes unused
 *	 8   rbp
 *	16   where it goes on
 *
 * The other registers that a called function must keep are the business of who jumps here: the
 * inline switch tells the compiler that they are lost, which then keeps, in the frame it has
 * anyway, those that it uses; kn_context_switch() puts them above this frame. (Saving them here
 * too, when the compiler has already done so, cost ten instructions of a switch.) The flags of past
 * exceptions in mxcsr are not among what must be kept, but come along, so each side has its own.
 *
 * Why the switch ends in a jump and not in ret: the processor predicts a ret from the
 * calls it has seen, and the call that this side would return from is the other side's.
 * With the two sides suspended at different places each ret is mispredicted (8.6 ns
 * against 1.8 ns), while an indirect jump learns where it went the last time.
 *
 * Why the control words are loaded always: the store of mxcsr is the dear part (2.5 ns of
 * a switch on Zen 4), the loads cost 0.3 ns there. Loading only what differs means to read
 * the stored words back, which costs 1.7 ns.
 *
 * The frame above is the same before and after the stack pointer changes hands, so one
 * set of CFI serves both sides and there is no instruction at which gdb, perf or the C++
 * unwinder could not tell where it is. A context begins in kn_context_start(), which
 * says that it was called from nowhere: there the unwinding ends.
 *
 * No note claims shadow stacks or indirect branch tracking (SHSTK, IBT): the switch does
 * not switch shadow stacks, and the place it jumps to is an ordinary return address. */
	.text

/* kn_context_jump(void **save: rdi, void *to: rsi, where to go on: rax), for those who come by a
 * jump and need nothing else kept. */
	.section .text.hot,"ax",@progbits
	.globl	kn_context_jump
	.hidden	kn_context_jump
	.type	kn_context_jump, @function
	.balign	64
kn_context_jump:
	.cfi_startproc
	.cfi_def_cfa rsp, 0
	.cfi_register rip, rax
	pushq	%rax
	.cfi_adjust_cfa_offset 8
	.cfi_offset rip, -8
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	stmxcsr	(%rsp)
	fnstcw	4(%rsp)

	movq	%rsp, (%rdi)
	movq	%rsi, %rsp

	ldmxcsr	(%rsp)
	fldcw	4(%rsp)
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbp
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register rip, rcx
	jmpq	*%rcx
	.cfi_endproc
	.size	kn_context_jump, .-kn_context_jump
	.text

/* kn_context_leave(void *to: rdi): for one that never comes back. */
	.globl	kn_context_leave
	.hidden	kn_context_leave
	.type	kn_context_leave, @function
	.balign	64
kn_context_leave:
	.cfi_startproc
	movq	%rdi, %rsp
	.cfi_def_cfa rsp, 24
	.cfi_offset rbp, -16
	.cfi_offset rip, -8
	ldmxcsr	(%rsp)
	fldcw	4(%rsp)
	movq	8(%rsp), %rbp
	.cfi_restore rbp
	movq	16(%rsp), %rcx
	.cfi_register rip, rcx
	addq	$24, %rsp
	.cfi_adjust_cfa_offset -24
	jmpq	*%rcx
	.cfi_endproc
	.size	kn_context_leave, .-kn_context_leave

/* void kn_context_switch(void **save: rdi, void *to: rsi) */
	.globl	kn_context_switch
	.hidden	kn_context_switch
	.type	kn_context_switch, @function
	.balign	64
kn_context_switch:
	.cfi_startproc
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	leaq	.Lback(%rip), %rax
	jmp	kn_context_jump
.Lback:
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	ret
	.cfi_endproc
	.size	kn_context_switch, .-kn_context_switch

/* uint64_t kn_context_control(void) */
	.globl	kn_context_control
	.hidden	kn_context_control
	.type	kn_context_control, @function
	.balign	64
kn_context_control:
	.cfi_startproc
	pushq	$0
	.cfi_adjust_cfa_offset 8
	stmxcsr	(%rsp)
	fnstcw	4(%rsp)
	popq	%rax
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
	.size	kn_context_control, .-kn_context_control

/* Where a context begins, with main, entry and arg above the frame that kn_context_make() laid out
 * (context.h). The nop is there for unwinders: they look up the address
 * before the one that a frame goes on at, which must be of this function too. What it calls
 * stays below the frame that was laid out, so that one which ends may lay out the frame of the
 * next on its own stack.
 *
 * It calls by a jump, with a return address to match: nobody ever returns to it, so a call would
 * put the processor's predictions of the other side's returns out of step (10 ns of a task that
 * is spawned and awaited). */
	.globl	kn_context_start
	.hidden	kn_context_start
	.type	kn_context_start, @function
	.balign	16
kn_context_start:
	.cfi_startproc
	.cfi_def_cfa rsp, 40
	.cfi_undefined rip
	nop
	movq	(%rsp), %rax
	movq	8(%rsp), %rdi
	movq	16(%rsp), %rsi
	leaq	.Lreturned(%rip), %rcx
	subq	$24, %rsp
	.cfi_adjust_cfa_offset 24
	pushq	%rcx
	.cfi_adjust_cfa_offset 8
	jmpq	*%rax
	.cfi_adjust_cfa_offset -8
	nop
.Lreturned:
	callq	kn_context_returned
	.cfi_endproc
	.size	kn_context_start, .-kn_context_start

/* void kn_context_inspect(void *suspended: rdi, function: rsi, arg: rdx)
 *
 * Calls function(arg) on the caller's own stack, but says of this frame that it was called where
 * the suspended context goes on: what unwinds from there finds that one's frames. */
	.globl	kn_context_inspect, kn_context_inspected
	.hidden	kn_context_inspect, kn_context_inspected
	.type	kn_context_inspect, @function
	.balign	16
kn_context_inspect:
	.cfi_startproc
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	movq	%rdi, %rbx
	movq	%rdx, %rdi
	.cfi_remember_state
	.cfi_def_cfa rbx, 24
	.cfi_offset rip, -8
	.cfi_offset rbp, -16
	.cfi_undefined rbx
	.cfi_undefined r12
	.cfi_undefined r13
	.cfi_undefined r14
	.cfi_undefined r15
	callq	*%rsi
kn_context_inspected:
	nop
	.cfi_restore_state
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	ret
	.cfi_endproc
	.size	kn_context_inspect, .-kn_context_inspect

	.section .note.GNU-stack,"",@progbits
