/* SPDX-License-Identifier: MIT */
/* raw_queue.c - W7 on the bare switch: a ring of words with room for one who waits on each side. */
#include <errno.h>
#include <stdlib.h>
#include "raw_sched.h"

#if RAW_HAS_SWITCH

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
	long count = bench_counts.items;

	for (long i = 0; i < count; i++)
		put(argument, (uint64_t)i);
}

static uint64_t sum_of_items;

static void consume(void *argument)
{
	long count = bench_counts.items;
	uint64_t sum = 0;

	for (long i = 0; i < count; i++)
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
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)bench_counts.items;
	free(queue.items);
	if (sum_of_items != (uint64_t)bench_counts.items * (uint64_t)(bench_counts.items - 1) / 2)
		return -EBADMSG;
	return 0;
}

#endif
