/* SPDX-License-Identifier: MIT */
/* raw_sched.c - tasks on the bare switch: yield, spawn, join, idle memory, a queue; and a
 * ring of callbacks. */
#include <errno.h>
#include <stdlib.h>
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
	(void)argument;
	for (int i = 0; i < BENCH_SWITCHES / 2; i++)
		raw_yield();
}

int raw_yield_two(const struct workload *workload, double *ret_value)
{
	(void)workload;
	uint64_t begun_ns = bench_cpu_ns();
	struct raw_task *a = raw_spawn(yield_often, NULL), *b = raw_spawn(yield_often, NULL);
	raw_join(a);
	raw_join(b);
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / BENCH_SWITCHES;
	return 0;
}

int raw_spawn_join(const struct workload *workload, double *ret_value)
{
	(void)workload;
	uint64_t begun_ns = bench_cpu_ns();
	for (int i = 0; i < BENCH_SPAWNS; i++)
		raw_join(raw_spawn(do_nothing, NULL));
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / BENCH_SPAWNS;
	return 0;
}

/* The argument says which batch counts: 0 the first, which pays for the memory, or 1. */
int raw_spawn_batch(const struct workload *workload, double *ret_value)
{
	struct raw_task **tasks = malloc(BENCH_BATCH * sizeof(*tasks));

	if (!tasks)
		return -ENOMEM;
	for (long batch = 0; batch <= workload->argument; batch++) {
		uint64_t begun_ns = bench_cpu_ns();
		for (int i = 0; i < BENCH_BATCH; i++)
			tasks[i] = raw_spawn(do_nothing, NULL);
		for (int i = 0; i < BENCH_BATCH; i++)
			raw_join(tasks[i]);
		*ret_value = (double)(bench_cpu_ns() - begun_ns) / BENCH_BATCH;
	}
	free(tasks);
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
	long tasks = workload->argument;

	/* A page each, its entry in the page table, and some air. */
	if (bench_mem_available() < tasks * 4608)
		return BENCH_SKIPPED;
	long before = bench_mem_bytes();
	for (long i = 0; i < tasks; i++) {
		raw_spawn(sleep_for_ever, NULL);
		raw_park();
	}
	*ret_value = (double)(bench_mem_bytes() - before) / (double)tasks;
	return 0;
}

struct queue {
	uint64_t *items;
	unsigned capacity, first, count; /* the capacity is a power of two */
	struct raw_task *putter, *getter;
};

static void put(struct queue *queue, uint64_t item)
{
	while (queue->count == queue->capacity) {
		queue->putter = raw_sched.current;
		raw_park();
	}
	queue->items[(queue->first + queue->count++) & (queue->capacity - 1)] = item;
	if (queue->getter) {
		raw_ready(queue->getter);
		queue->getter = NULL;
	}
}

static uint64_t get(struct queue *queue)
{
	while (!queue->count) {
		queue->getter = raw_sched.current;
		raw_park();
	}
	uint64_t item = queue->items[queue->first++ & (queue->capacity - 1)];
	queue->count--;
	if (queue->putter) {
		raw_ready(queue->putter);
		queue->putter = NULL;
	}
	return item;
}

static void produce(void *argument)
{
	for (int i = 0; i < BENCH_ITEMS; i++)
		put(argument, (uint64_t)i);
}

static uint64_t sum_of_items;

static void consume(void *argument)
{
	uint64_t sum = 0;
	for (int i = 0; i < BENCH_ITEMS; i++)
		sum += get(argument);
	sum_of_items = sum;
}

/* The argument is the capacity. */
int raw_queue(const struct workload *workload, double *ret_value)
{
	struct queue queue = {.capacity = (unsigned)workload->argument};

	queue.items = calloc(queue.capacity, sizeof(*queue.items));
	if (!queue.items)
		return -ENOMEM;
	uint64_t begun_ns = bench_cpu_ns();
	struct raw_task *producer = raw_spawn(produce, &queue);
	struct raw_task *consumer = raw_spawn(consume, &queue);
	raw_join(producer);
	raw_join(consumer);
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / BENCH_ITEMS;
	free(queue.items);
	if (sum_of_items != (uint64_t)BENCH_ITEMS * (BENCH_ITEMS - 1) / 2)
		return -EBADMSG;
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

	(void)workload;
	uint64_t begun_ns = bench_cpu_ns();
	for (int i = 0; i < BENCH_SOONS; i++) {
		/* volatile, so that the call stays an indirect one. */
		void (*volatile function)(void *) = ring[head % 64].function;
		void *argument = ring[head % 64].argument;
		head++;
		function(argument);
		ring[tail % 64].function = function;
		ring[tail % 64].argument = argument;
		tail++;
	}
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / BENCH_SOONS;
	return 0;
}

#endif
