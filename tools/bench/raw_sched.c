/* SPDX-License-Identifier: MIT */
/* raw_sched.c - tasks on the bare switch: yield, spawn, join, idle memory; and a ring of
 * callbacks. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "raw_sched.h"

#if RAW_HAS_SWITCH

#define STACKS_OF_MAPPING 64
#define COLOURS           32
#define CACHE_LINE        ((size_t)64)

struct raw_sched raw_sched = {.current = &raw_sched.thread, .tail = &raw_sched.head};

static struct {
	bool is_on;
	char *next; /* the next stack of the mapping */
	unsigned taken;
} colour;

void raw_colour_stacks(void)
{
	colour.is_on = true;
}

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#define GUARD_BYTES  ((size_t)4096)
#define MAPPINGS_MAX 65530 /* vm.max_map_count, unless somebody has changed it */

static enum { GUARD_NONE, GUARD_MADVISE, GUARD_MPROTECT } guard;

bool raw_guard_stacks(long stacks)
{
	void *page = raw_map(GUARD_BYTES);

	guard = madvise(page, GUARD_BYTES, MADV_GUARD_INSTALL) == 0 ? GUARD_MADVISE
	                                                            : GUARD_MPROTECT;
	munmap(page, GUARD_BYTES);
	/* A guard of mprotect() makes two mappings of each stack. */
	return guard == GUARD_MADVISE || 2 * stacks < MAPPINGS_MAX;
}

static void protect(char *stack)
{
	int r = guard == GUARD_MADVISE ? madvise(stack, GUARD_BYTES, MADV_GUARD_INSTALL)
	                               : mprotect(stack, GUARD_BYTES, PROT_NONE);

	if (r < 0)
		bench_die("guard");
}

static void enter(void)
{
	for (;;) {
		struct raw_task *self = raw_sched.current;
		self->function(self->argument);
		self->is_done = 1;
		if (self->joiner)
			raw_ready(self->joiner);
		raw_park(); /* goes on when spawned again */
	}
}

static char *take_stack(size_t *ret_shift)
{
	char *stack;

	*ret_shift = 0;
	if (!colour.is_on)
		return raw_map(RAW_STACK_BYTES);
	if (colour.taken % STACKS_OF_MAPPING == 0)
		colour.next = raw_map(RAW_STACK_BYTES * STACKS_OF_MAPPING);
	stack = colour.next;
	colour.next += RAW_STACK_BYTES;
	*ret_shift = colour.taken++ % COLOURS * CACHE_LINE;
	return stack;
}

/* A task lies at the top of its own stack: one page holds both. */
static struct raw_task *new_task(void)
{
	size_t shift, room = (sizeof(struct raw_task) + CACHE_LINE - 1) & ~(CACHE_LINE - 1);
	char *stack = take_stack(&shift), *top = stack + RAW_STACK_BYTES - room - shift;
	struct raw_task *task = (struct raw_task *)top;

	if (guard != GUARD_NONE)
		protect(stack);
	task->context = raw_context(stack, (size_t)(top - stack), enter);
	return task;
}

struct raw_task *raw_spawn(void (*function)(void *), void *argument)
{
	struct raw_task *task = raw_sched.free;

	if (task)
		raw_sched.free = task->next;
	else
		task = new_task();
	task->function = function;
	task->argument = argument;
	task->is_done = 0;
	task->joiner = NULL;
	raw_ready(task);
	return task;
}

void raw_join(struct raw_task *task)
{
	if (!task->is_done) {
		task->joiner = raw_sched.current;
		raw_park();
	}
	task->next = raw_sched.free;
	raw_sched.free = task;
}

static void do_nothing(void *argument)
{
	(void)argument;
}

static void yield_often(void *argument)
{
	long count = bench_counts.switches / 2;

	(void)argument;
	for (long i = 0; i < count; i++)
		raw_yield();
}

int raw_yield_two(const struct workload *workload, double *ret_value)
{
	(void)workload;
	uint64_t begun_ns = bench_cpu_ns();
	struct raw_task *a = raw_spawn(yield_often, NULL), *b = raw_spawn(yield_often, NULL);
	raw_join(a);
	raw_join(b);
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)bench_counts.switches;
	return 0;
}

int raw_spawn_join(const struct workload *workload, double *ret_value)
{
	long count = bench_counts.spawns;

	(void)workload;
	uint64_t begun_ns = bench_cpu_ns();
	for (long i = 0; i < count; i++)
		raw_join(raw_spawn(do_nothing, NULL));
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)count;
	return 0;
}

/* The argument says which batch counts: 0 the first, which pays for the memory, or 1. */
int raw_spawn_batch(const struct workload *workload, double *ret_value)
{
	long count = bench_counts.batch;
	struct raw_task **tasks = malloc((size_t)count * sizeof(*tasks));

	if (!tasks)
		return -ENOMEM;
	for (long batch = 0; batch <= workload->argument; batch++) {
		uint64_t begun_ns = bench_cpu_ns();
		for (long i = 0; i < count; i++)
			tasks[i] = raw_spawn(do_nothing, NULL);
		for (long i = 0; i < count; i++)
			raw_join(tasks[i]);
		*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)count;
	}
	free(tasks);
	return 0;
}

/* What nobody can leave out of a first batch whose tasks are all alive at once: their memory is
 * touched for the first time. */
int raw_touch(const struct workload *workload, double *ret_value)
{
	long count = bench_counts.batch;
	uint64_t begun_ns = bench_cpu_ns();
	char *memory = malloc((size_t)count * RAW_TASK_BYTES);

	if (!memory)
		return -ENOMEM;
	for (long i = 0; i < count * RAW_TASK_BYTES; i += 64)
		((volatile char *)memory)[i] = 1;
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)count;
	(void)workload;
	free(memory);
	return 0;
}

static void sleep_for_ever(void *argument)
{
	(void)argument;
	raw_ready(&raw_sched.thread);
	raw_park();
}

int raw_idle_tasks(const struct workload *workload, double *ret_value)
{
	long tasks = bench_divided(workload->argument);

	/* A page each, its entry in the page table, and some air. */
	if (bench_mem_available() < tasks * 4608)
		return bench_skip("not enough memory");
	long before = bench_mem_bytes();
	for (long i = 0; i < tasks; i++) {
		raw_spawn(sleep_for_ever, NULL);
		raw_park();
	}
	*ret_value = (double)(bench_mem_bytes() - before) / (double)tasks;
	return 0;
}

/* A callback that posts itself again to a ring of 64 entries. */
int raw_call_soon(const struct workload *workload, double *ret_value)
{
	struct {
		void (*function)(void *);
		void *argument;
	} ring[64] = {{.function = do_nothing}};
	unsigned head = 0, tail = 1;
	long count = bench_counts.soons;

	(void)workload;
	uint64_t begun_ns = bench_cpu_ns();
	for (long i = 0; i < count; i++) {
		/* volatile, so that the call stays an indirect one. */
		void (*volatile function)(void *) = ring[head % 64].function;
		void *argument = ring[head % 64].argument;
		head++;
		function(argument);
		ring[tail % 64].function = function;
		ring[tail % 64].argument = argument;
		tail++;
	}
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)count;
	return 0;
}

#endif
