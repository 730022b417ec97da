/* SPDX-License-Identifier: MIT */
/* knit_queue_rows.c - W7: a producer and a consumer task on one loop pass items through a queue.
 *
 * The consumer adds up what it gets; a sum that is wrong is a row that failed. */
#include "knit_rows.h"

struct exchange {
	knit_queue queue;
	int64_t capacity, sum;
	double ns_per_item;
};

static intptr_t produce(void *arg)
{
	struct exchange *exchange = arg;
	long count = bench_counts.items;

	for (long i = 0; i < count; i++)
		must(knit_queue_put(&exchange->queue, i));
	return 0;
}

static intptr_t consume(void *arg)
{
	struct exchange *exchange = arg;
	long count = bench_counts.items;
	int64_t sum = 0;

	for (long i = 0; i < count; i++) {
		intptr_t item = knit_queue_get(&exchange->queue);
		must(item);
		sum += item;
	}
	exchange->sum = sum;
	return 0;
}

static intptr_t exchange_main(void *arg)
{
	struct exchange *exchange = arg;
	uint64_t start;
	knit_task *producer, *consumer;

	must(knit_queue_init(&exchange->queue, exchange->capacity, NULL));
	start = bench_cpu_ns();
	producer = knit_create_task(produce, exchange);
	consumer = knit_create_task(consume, exchange);
	must(knit_await(producer));
	must(knit_await(consumer));
	exchange->ns_per_item = (double)(bench_cpu_ns() - start) / (double)bench_counts.items;
	must(knit_queue_destroy(&exchange->queue));
	return 0;
}

int knit_queue_items(const struct workload *workload, double *ret_value)
{
	struct exchange exchange = {.capacity = workload->argument};
	int64_t count = bench_counts.items;

	must(knit_run(exchange_main, &exchange));
	if (exchange.sum != count * (count - 1) / 2)
		return -EBADMSG;
	*ret_value = exchange.ns_per_item;
	return 0;
}
