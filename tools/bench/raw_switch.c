/* SPDX-License-Identifier: MIT */
/* raw_switch.c - the smallest context switches of x86-64, and what they cost.
 *
 * A function call has already saved what the caller needs but six registers and the stack
 * pointer. Both switches push the six, exchange stack pointers and pop them; they differ
 * in how they resume. `ret` is predicted from a stack of return addresses that does not
 * know about the switch, so it is mispredicted wherever the two sides were suspended at
 * different places; an indirect jump is predicted by its history. Neither saves the
 * control words of SSE and x87. */
#include <stdint.h>
#include <sys/mman.h>
#include "raw.h"

void *raw_map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		bench_die("mmap");
	return memory;
}

#if RAW_HAS_SWITCH

__asm__(".text\n"
        ".globl raw_switch\n"
        ".type raw_switch, @function\n"
        ".p2align 4\n"
        "raw_switch:\n"
        "	push %rbp\n"
        "	push %rbx\n"
        "	push %r12\n"
        "	push %r13\n"
        "	push %r14\n"
        "	push %r15\n"
        "	mov %rsp, (%rdi)\n"
        "	mov %rsi, %rsp\n"
        "	pop %r15\n"
        "	pop %r14\n"
        "	pop %r13\n"
        "	pop %r12\n"
        "	pop %rbx\n"
        "	pop %rbp\n"
        "	ret\n"
        ".size raw_switch, . - raw_switch\n");

__asm__(".text\n"
        ".globl raw_switch_jump\n"
        ".type raw_switch_jump, @function\n"
        ".p2align 4\n"
        "raw_switch_jump:\n"
        "	push %rbp\n"
        "	push %rbx\n"
        "	push %r12\n"
        "	push %r13\n"
        "	push %r14\n"
        "	push %r15\n"
        "	mov %rsp, (%rdi)\n"
        "	mov %rsi, %rsp\n"
        "	pop %r15\n"
        "	pop %r14\n"
        "	pop %r13\n"
        "	pop %r12\n"
        "	pop %rbx\n"
        "	pop %rbp\n"
        "	pop %rcx\n"
        "	jmp *%rcx\n"
        ".size raw_switch_jump, . - raw_switch_jump\n");

void *raw_context(char *stack, size_t bytes, void (*function)(void))
{
	void **top = (void **)(stack + bytes - 16);

	*--top = NULL; /* where a return address would be: aligns the stack at the entry */
	*--top = (void *)(uintptr_t)function;
	for (int saved = 0; saved < 6; saved++)
		*--top = NULL;
	return top;
}

static void *caller, *callee;

static void answer_by_ret(void)
{
	for (;;)
		raw_switch(&callee, caller);
}

static void answer_by_jump(void)
{
	for (;;)
		raw_switch_jump(&callee, caller);
}

int raw_bare_switch(const struct workload *workload, double *ret_value)
{
	long count = bench_counts.switches / 2;

	(void)workload;
	callee = raw_context(raw_map(RAW_STACK_BYTES), RAW_STACK_BYTES, answer_by_ret);
	uint64_t begun_ns = bench_cpu_ns();
	for (long i = 0; i < count; i++)
		raw_switch(&caller, callee);
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)(2 * count);
	return 0;
}

int raw_bare_switch_jump(const struct workload *workload, double *ret_value)
{
	long count = bench_counts.switches / 2;

	(void)workload;
	callee = raw_context(raw_map(RAW_STACK_BYTES), RAW_STACK_BYTES, answer_by_jump);
	uint64_t begun_ns = bench_cpu_ns();
	for (long i = 0; i < count; i++)
		raw_switch_jump(&caller, callee);
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)(2 * count);
	return 0;
}

#endif
