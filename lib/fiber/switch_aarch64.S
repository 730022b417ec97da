/* SPDX-License-Identifier: MIT */
/* switch_aarch64.S - the context switch for the AAPCS64.
 *
 * A suspended context is its stack pointer; all else lies on its stack, lowest first:
 *
 *	  0  x29 (frame pointer), x30 (where it goes on)
 *	 16  x19 .. x28
 *	 96  d8 .. d15 (of v8 .. v15 the low halves are kept over a call, as the ABI says)
 *	160  fpcr, 8 bytes unused
 *
 * The switch ends in a branch and not in ret, because a ret is predicted from the calls
 * that were seen last, and those are the other side's; see switch_x86_64.S. Writing fpcr
 * makes the processor wait for all floating-point work before it, so it is compared first.
 *
 * Built with branch target identification, the switch does end in ret: the place it goes
 * on at is an ordinary return address, which no other branch may reach then. x30 is
 * kept as the caller left it: a caller that signs return addresses signed its own.
 *
 * The frame above is the same before and after the stack pointer changes hands, so one
 * set of CFI serves both sides. A context begins in kn_context_start(), which says that
 * it was called from nowhere: there the unwinding ends. */
#define FRAME 176

#ifdef __ARM_FEATURE_BTI_DEFAULT
#define LANDING bti	c
#define RESUME	ret
#else
#define LANDING
#define RESUME	br	x30
#endif

	.text

/* void kn_context_switch(void **save: x0, void *to: x1) */
	.globl	kn_context_switch
	.hidden	kn_context_switch
	.type	kn_context_switch, %function
	.balign	64
kn_context_switch:
	.cfi_startproc
	LANDING
	stp	x29, x30, [sp, #-FRAME]!
	.cfi_adjust_cfa_offset FRAME
	.cfi_rel_offset x29, 0
	.cfi_rel_offset x30, 8
	stp	x19, x20, [sp, #16]
	.cfi_rel_offset x19, 16
	.cfi_rel_offset x20, 24
	stp	x21, x22, [sp, #32]
	.cfi_rel_offset x21, 32
	.cfi_rel_offset x22, 40
	stp	x23, x24, [sp, #48]
	.cfi_rel_offset x23, 48
	.cfi_rel_offset x24, 56
	stp	x25, x26, [sp, #64]
	.cfi_rel_offset x25, 64
	.cfi_rel_offset x26, 72
	stp	x27, x28, [sp, #80]
	.cfi_rel_offset x27, 80
	.cfi_rel_offset x28, 88
	stp	d8, d9, [sp, #96]
	.cfi_rel_offset d8, 96
	.cfi_rel_offset d9, 104
	stp	d10, d11, [sp, #112]
	.cfi_rel_offset d10, 112
	.cfi_rel_offset d11, 120
	stp	d12, d13, [sp, #128]
	.cfi_rel_offset d12, 128
	.cfi_rel_offset d13, 136
	stp	d14, d15, [sp, #144]
	.cfi_rel_offset d14, 144
	.cfi_rel_offset d15, 152
	mrs	x3, fpcr
	str	x3, [sp, #160]

	mov	x2, sp
	str	x2, [x0]
	mov	sp, x1

	ldr	x4, [sp, #160]
	cmp	x3, x4
	b.eq	1f
	msr	fpcr, x4
1:
	ldp	d14, d15, [sp, #144]
	.cfi_restore d14
	.cfi_restore d15
	ldp	d12, d13, [sp, #128]
	.cfi_restore d12
	.cfi_restore d13
	ldp	d10, d11, [sp, #112]
	.cfi_restore d10
	.cfi_restore d11
	ldp	d8, d9, [sp, #96]
	.cfi_restore d8
	.cfi_restore d9
	ldp	x27, x28, [sp, #80]
	.cfi_restore x27
	.cfi_restore x28
	ldp	x25, x26, [sp, #64]
	.cfi_restore x25
	.cfi_restore x26
	ldp	x23, x24, [sp, #48]
	.cfi_restore x23
	.cfi_restore x24
	ldp	x21, x22, [sp, #32]
	.cfi_restore x21
	.cfi_restore x22
	ldp	x19, x20, [sp, #16]
	.cfi_restore x19
	.cfi_restore x20
	ldp	x29, x30, [sp], #FRAME
	.cfi_adjust_cfa_offset -FRAME
	.cfi_restore x29
	.cfi_restore x30
	RESUME
	.cfi_endproc
	.size	kn_context_switch, .-kn_context_switch

/* uint64_t kn_context_control(void) */
	.globl	kn_context_control
	.hidden	kn_context_control
	.type	kn_context_control, %function
	.balign	16
kn_context_control:
	.cfi_startproc
	LANDING
	mrs	x0, fpcr
	ret
	.cfi_endproc
	.size	kn_context_control, .-kn_context_control

/* void *kn_context_make(void *high: x0, main: x1, entry: x2, arg: x3, control: x4)
 *
 * Lays out the frame of a context that was suspended just before it calls
 * main(entry, arg). */
	.globl	kn_context_make
	.hidden	kn_context_make
	.type	kn_context_make, %function
	.balign	16
kn_context_make:
	.cfi_startproc
	LANDING
	and	x0, x0, #-16
	sub	x0, x0, #FRAME
	adr	x5, .Lgo
	stp	xzr, x5, [x0]		/* x29 of 0 ends a chain of frame pointers */
	stp	x1, x2, [x0, #16]	/* x19, x20 */
	stp	x3, xzr, [x0, #32]	/* x21, x22 */
	stp	xzr, xzr, [x0, #48]
	stp	xzr, xzr, [x0, #64]
	stp	xzr, xzr, [x0, #80]
	stp	xzr, xzr, [x0, #96]
	stp	xzr, xzr, [x0, #112]
	stp	xzr, xzr, [x0, #128]
	stp	xzr, xzr, [x0, #144]
	stp	x4, xzr, [x0, #160]
	ret
	.cfi_endproc
	.size	kn_context_make, .-kn_context_make

/* Where a context begins. The nops are there for unwinders: they look up the address
 * before the one that a frame goes on at, which must be of this function too. Why it calls
 * by a jump: see switch_x86_64.S. */
	.globl	kn_context_start
	.hidden	kn_context_start
	.type	kn_context_start, %function
	.balign	16
kn_context_start:
	.cfi_startproc
	.cfi_undefined x30
	nop
.Lgo:
	sub	sp, sp, #FRAME		/* what runs stays below the frame: see switch_x86_64.S */
	.cfi_adjust_cfa_offset FRAME
	mov	x0, x20
	mov	x1, x21
	adr	x30, .Lreturned
	mov	x16, x19		/* from there, a jump may go to a landing for calls */
	br	x16
	nop
.Lreturned:
	bl	kn_context_returned
	.cfi_endproc
	.size	kn_context_start, .-kn_context_start

/* void kn_context_inspect(void *suspended: x0, function: x1, arg: x2): see switch_x86_64.S. */
	.globl	kn_context_inspect, kn_context_inspected
	.hidden	kn_context_inspect, kn_context_inspected
	.type	kn_context_inspect, %function
	.balign	16
kn_context_inspect:
	.cfi_startproc
	LANDING
	stp	x29, x30, [sp, #-32]!
	.cfi_adjust_cfa_offset 32
	.cfi_rel_offset x29, 0
	.cfi_rel_offset x30, 8
	str	x19, [sp, #16]
	.cfi_rel_offset x19, 16
	mov	x19, x0
	mov	x0, x2
	.cfi_remember_state
	.cfi_def_cfa x19, FRAME
	.cfi_offset x29, -FRAME
	.cfi_offset x30, 8-FRAME
	.cfi_offset x19, 16-FRAME
	.cfi_offset x20, 24-FRAME
	.cfi_offset x21, 32-FRAME
	.cfi_offset x22, 40-FRAME
	.cfi_offset x23, 48-FRAME
	.cfi_offset x24, 56-FRAME
	.cfi_offset x25, 64-FRAME
	.cfi_offset x26, 72-FRAME
	.cfi_offset x27, 80-FRAME
	.cfi_offset x28, 88-FRAME
	blr	x1
kn_context_inspected:
	nop
	.cfi_restore_state
	ldr	x19, [sp, #16]
	.cfi_restore x19
	ldp	x29, x30, [sp], #32
	.cfi_adjust_cfa_offset -32
	.cfi_restore x29
	.cfi_restore x30
	ret
	.cfi_endproc
	.size	kn_context_inspect, .-kn_context_inspect

#ifdef __ARM_FEATURE_BTI_DEFAULT
/* The note by which a linker knows that this object has its landing pads. */
	.section .note.gnu.property,"a"
	.balign	8
	.long	4, 16, 5
	.asciz	"GNU"
	.long	0xc0000000, 4, 1, 0
#endif
	.section .note.GNU-stack,"",%progbits
