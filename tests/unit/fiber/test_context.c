/* SPDX-License-Identifier: MIT */
/* test_context.c - the bare switch keeps what the ABI says, and marks what it is. */
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <string.h>

#include "fiber/context.h"
#include "fiber/stack.h"
#include "test.h"

/* switch_with_registers(save, to, in, out): fills the callee-saved registers from @in, calls
 * kn_context_switch(@save, @to), stores what they hold afterwards in @out. */
void switch_with_registers(void **save, void *to, const uint64_t *in, uint64_t *out);

#if defined(__x86_64__)
#define REGISTERS 6
__asm__(".text\n"
        ".globl switch_with_registers\n"
        ".type switch_with_registers, @function\n"
        "switch_with_registers:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rcx\n"
        "mov 0(%rdx), %rbx; mov 8(%rdx), %rbp; mov 16(%rdx), %r12\n"
        "mov 24(%rdx), %r13; mov 32(%rdx), %r14; mov 40(%rdx), %r15\n"
        "call kn_context_switch\n"
        "pop %rcx\n"
        "mov %rbx, 0(%rcx); mov %rbp, 8(%rcx); mov %r12, 16(%rcx)\n"
        "mov %r13, 24(%rcx); mov %r14, 32(%rcx); mov %r15, 40(%rcx)\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n");
#elif defined(__aarch64__)
#define REGISTERS 19
__asm__(".text\n"
        ".globl switch_with_registers\n"
        ".type switch_with_registers, %function\n"
        "switch_with_registers:\n"
        "stp x29, x30, [sp, #-176]!\n"
        "stp x19, x20, [sp, #16]\n stp x21, x22, [sp, #32]\n stp x23, x24, [sp, #48]\n"
        "stp x25, x26, [sp, #64]\n stp x27, x28, [sp, #80]\n"
        "stp d8, d9, [sp, #96]\n stp d10, d11, [sp, #112]\n"
        "stp d12, d13, [sp, #128]\n stp d14, d15, [sp, #144]\n"
        "str x3, [sp, #160]\n"
        "ldp x19, x20, [x2]\n ldp x21, x22, [x2, #16]\n ldp x23, x24, [x2, #32]\n"
        "ldp x25, x26, [x2, #48]\n ldp x27, x28, [x2, #64]\n"
        "ldp d8, d9, [x2, #80]\n ldp d10, d11, [x2, #96]\n"
        "ldp d12, d13, [x2, #112]\n ldp d14, d15, [x2, #128]\n"
        "ldr x29, [x2, #144]\n"
        "bl kn_context_switch\n"
        "ldr x3, [sp, #160]\n"
        "stp x19, x20, [x3]\n stp x21, x22, [x3, #16]\n stp x23, x24, [x3, #32]\n"
        "stp x25, x26, [x3, #48]\n stp x27, x28, [x3, #64]\n"
        "stp d8, d9, [x3, #80]\n stp d10, d11, [x3, #96]\n"
        "stp d12, d13, [x3, #112]\n stp d14, d15, [x3, #128]\n"
        "str x29, [x3, #144]\n"
        "ldp x19, x20, [sp, #16]\n ldp x21, x22, [sp, #32]\n ldp x23, x24, [sp, #48]\n"
        "ldp x25, x26, [sp, #64]\n ldp x27, x28, [sp, #80]\n"
        "ldp d8, d9, [sp, #96]\n ldp d10, d11, [sp, #112]\n"
        "ldp d12, d13, [sp, #128]\n ldp d14, d15, [sp, #144]\n"
        "ldp x29, x30, [sp], #176\n"
        "ret\n");
#endif

static void *thread_context, *other_context;
static char other_stack[65536] __attribute__((aligned(64)));

static void *make_other(kn_context_main *main, kn_fiber_entry *entry, void *arg)
{
	other_context = kn_context_make(other_stack + sizeof(other_stack), main, entry, arg,
	                                kn_context_control());
	return other_context;
}

#ifdef REGISTERS
static uint64_t pattern(unsigned side, unsigned number)
{
	return (uint64_t)0x1234567812345678 * (2 * number + side + 1);
}

static void fill(unsigned side, uint64_t *in)
{
	for (unsigned i = 0; i < REGISTERS; i++)
		in[i] = pattern(side, i);
}

/* Counts the switches of the other side after which a register was not what it had been. */
static void switch_back_for_ever(kn_fiber_entry *entry, void *arg)
{
	uint64_t in[REGISTERS], out[REGISTERS];

	(void)entry;
	fill(1, in);
	for (;;) {
		switch_with_registers(&other_context, thread_context, in, out);
		*(unsigned *)arg += memcmp(in, out, sizeof(in)) != 0;
	}
}

Test(context, each_side_keeps_its_callee_saved_registers)
{
	uint64_t in[REGISTERS], out[REGISTERS];
	unsigned damaged = 0;

	fill(0, in);
	make_other(switch_back_for_ever, NULL, &damaged);
	for (int round = 0; round < 3; round++) {
		memset(out, 0, sizeof(out));
		switch_with_registers(&thread_context, other_context, in, out);
		for (unsigned i = 0; i < REGISTERS; i++)
			cr_expect_eq(out[i], in[i], "register %u in round %d", i, round);
	}
	cr_expect_eq(damaged, 0);
}
#endif

/* ---- the floating-point environment ---------------------------------------------- */

/* The rounding mode in the control words themselves: <fenv.h> needs another library. */
#if defined(__x86_64__)
enum { NEAREST = 0, DOWNWARD = 1, UPWARD = 2 };

static void set_rounding(uint32_t mode)
{
	uint32_t mxcsr;
	uint16_t control;

	__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(control));
	mxcsr = (mxcsr & ~0x6000u) | mode << 13;
	control = (uint16_t)((control & ~0xc00u) | mode << 10);
	__asm__ volatile("ldmxcsr %0; fldcw %1" : : "m"(mxcsr), "m"(control));
}

static uint32_t control_words(void)
{
	uint32_t mxcsr;
	uint16_t control;

	__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(control));
	return (mxcsr & 0xffc0) | (uint32_t)control << 16;
}
#elif defined(__aarch64__)
enum { NEAREST = 0, DOWNWARD = 2, UPWARD = 1 };

static void set_rounding(uint64_t mode)
{
	uint64_t fpcr;

	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	fpcr = (fpcr & ~(uint64_t)0xc00000) | mode << 22;
	__asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
}

static uint32_t control_words(void)
{
	uint64_t fpcr;

	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	return (uint32_t)fpcr;
}
#endif

#ifdef REGISTERS
/* Computed at run time, in the rounding mode of the moment: not moved past its change. */
__attribute__((noinline)) static double third(void)
{
	volatile double one = 1, three = 3;

	return one / three;
}

__attribute__((noinline)) static long double long_third(void)
{
	volatile long double one = 1, three = 3;

	return one / three;
}

struct rounding {
	uint32_t words;
	double third;
	long double long_third;
};

static struct rounding look(void)
{
	return (struct rounding){control_words(), third(), long_third()};
}

static void expect_same(const char *where, struct rounding seen, struct rounding want)
{
	cr_expect_eq(seen.words, want.words, "%s: %#x, not %#x", where, seen.words, want.words);
	cr_expect(seen.third == want.third, "%s", where);
	cr_expect(seen.long_third == want.long_third, "%s", where);
}

static void round_upward(kn_fiber_entry *entry, void *arg)
{
	struct rounding *seen = arg;

	(void)entry;
	seen[0] = look();
	set_rounding(UPWARD);
	kn_context_switch(&other_context, thread_context);
	seen[1] = look();
	kn_context_switch(&other_context, thread_context);
}

Test(context, rounding_mode_is_inherited_and_then_each_sides_own)
{
	struct rounding seen[2], down, nearest, up;

	nearest = look();
	set_rounding(UPWARD);
	up = look();
	set_rounding(DOWNWARD);
	down = look();
	/* valgrind keeps the words, but rounds as it likes. */
	if (!test_scale(0, 0, 0, 1))
		cr_assert(down.third < up.third);
	make_other(round_upward, NULL, seen);
	set_rounding(NEAREST);
	kn_context_switch(&thread_context, other_context);
	expect_same("the thread after one switch", look(), nearest);
	kn_context_switch(&thread_context, other_context);
	expect_same("the thread after two switches", look(), nearest);
	expect_same("the fresh side, as at kn_context_make()", seen[0], down);
	expect_same("the other side, resumed", seen[1], up);
}
#endif

/* ---- the start -------------------------------------------------------------------- */

static void note_arguments(kn_fiber_entry *entry, void *arg)
{
	void **seen = arg;

	seen[0] = (void *)entry;
	seen[1] = arg;
	kn_context_switch(&other_context, thread_context);
}

static void some_entry(void *arg)
{
	(void)arg;
}

Test(context, main_gets_entry_and_argument)
{
	void *seen[2] = {NULL, NULL};

	make_other(note_arguments, some_entry, seen);
	kn_context_switch(&thread_context, other_context);
	cr_expect_eq(seen[0], (void *)some_entry);
	cr_expect_eq(seen[1], (void *)seen);
}

/* ---- what the program says of itself -------------------------------------------- */

struct notes {
	bool stack_found, stack_executable;
	uint32_t features; /* x86: IBT is 1, SHSTK is 2 */
};

/* In a PT_GNU_PROPERTY segment: a note header, "GNU", then entries of type, size, data. */
static void read_properties(const char *note, struct notes *notes)
{
	const uint32_t *header = (const uint32_t *)(const void *)note;
	const char *at = note + 16, *end = at + header[1];

	while (at + 8 <= end) {
		const uint32_t *entry = (const uint32_t *)(const void *)at;

		if (entry[0] == 0xc0000002) /* GNU_PROPERTY_X86_FEATURE_1_AND */
			notes->features = entry[2];
		at += 8 + ((entry[1] + 7) & ~7u);
	}
}

static int read_segments(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct notes *notes = arg;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

		if (segment->p_type == PT_GNU_STACK) {
			notes->stack_found = true;
			notes->stack_executable = segment->p_flags & PF_X;
		}
#ifdef PT_GNU_PROPERTY
		if (segment->p_type == PT_GNU_PROPERTY)
			read_properties((const char *)(info->dlpi_addr + segment->p_vaddr), notes);
#endif
	}
	return 1; /* the first is the program, with the library linked in */
}

Test(context, claims_neither_an_executable_stack_nor_shadow_stacks)
{
	struct notes notes = {0};

	dl_iterate_phdr(read_segments, &notes);
	cr_expect(notes.stack_found);
	cr_expect_not(notes.stack_executable);
#ifdef __x86_64__
	cr_expect_eq(notes.features & 3, 0, "SHSTK or IBT is claimed");
#endif
}
