/* SPDX-License-Identifier: MIT */
/* switch_x86_64.S - the context switch for the System V ABI of x86-64.
 *
 * A suspended context is its stack pointer; all else lies on its stack, lowest first:
 *
 *	 0   mxcsr (4 bytes), x87 control word (2 bytes), 2 bytes unused
 *	 8   r15, r14, r13, r12, rbx, rbp
 *	56   where it goes on
 *
 * Those are all the registers a called function must keep. The flags of past exceptions
 * in mxcsr are not among them, but come along, so each side has its own.
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

/* void kn_context_switch(void **save: rdi, void *to: rsi)
 * kn_context_jump: the same for those who come by a jump, with their address in rax. */
	.globl	kn_context_jump, kn_context_switch
	.hidden	kn_context_jump, kn_context_switch
	.type	kn_context_jump, @function
	.type	kn_context_switch, @function
	.balign	64
kn_context_jump:
	.cfi_startproc
	.cfi_def_cfa rsp, 0
	.cfi_register rip, rax
	pushq	%rax
	.cfi_adjust_cfa_offset 8
	.cfi_offset rip, -8
kn_context_switch:
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
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
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbp
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register rip, rcx
	jmpq	*%rcx
	.cfi_endproc
	.size	kn_context_jump, .-kn_context_jump
	.size	kn_context_switch, .-kn_context_switch

/* void *kn_context_make(void *high: rdi, main: rsi, entry: rdx, arg: rcx)
 *
 * Lays out the frame of a context that was suspended just before it calls
 * main(entry, arg), with the caller's floating-point environment. Two words of zero
 * above it are for tools that look there for a return address. */
	.globl	kn_context_make
	.hidden	kn_context_make
	.type	kn_context_make, @function
	.balign	16
kn_context_make:
	.cfi_startproc
	andq	$-16, %rdi
	leaq	-80(%rdi), %rax
	stmxcsr	(%rax)
	fnstcw	4(%rax)
	movw	$0, 6(%rax)
	movq	$0, 8(%rax)		/* r15 */
	movq	%rcx, 16(%rax)		/* r14 */
	movq	%rdx, 24(%rax)		/* r13 */
	movq	%rsi, 32(%rax)		/* r12 */
	movq	$0, 40(%rax)		/* rbx */
	movq	$0, 48(%rax)		/* rbp: ends a chain of frame pointers */
	leaq	.Lgo(%rip), %rdx
	movq	%rdx, 56(%rax)
	movq	$0, 64(%rax)
	movq	$0, 72(%rax)
	ret
	.cfi_endproc
	.size	kn_context_make, .-kn_context_make

/* Where a context begins. The nop is there for unwinders: they look up the address
 * before the one that a frame goes on at, which must be of this function too. What it calls
 * stays below the frame that was laid out, so that one which ends may lay out the frame of the
 * next on its own stack. */
	.globl	kn_context_start
	.hidden	kn_context_start
	.type	kn_context_start, @function
	.balign	16
kn_context_start:
	.cfi_startproc
	.cfi_def_cfa rsp, 16
	.cfi_undefined rip
	nop
.Lgo:
	subq	$64, %rsp
	.cfi_adjust_cfa_offset 64
	movq	%r13, %rdi
	movq	%r14, %rsi
	callq	*%r12
	ud2
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
	.cfi_def_cfa rbx, 64
	.cfi_offset rip, -8
	.cfi_offset rbp, -16
	.cfi_offset rbx, -24
	.cfi_offset r12, -32
	.cfi_offset r13, -40
	.cfi_offset r14, -48
	.cfi_offset r15, -56
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
