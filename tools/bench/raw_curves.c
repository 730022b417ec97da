/* SPDX-License-Identifier: MIT */
/* raw_curves.c - what cache misses alone make of more tasks.
 *
 * Spawning: records of 256 bytes that are taken from a free list, filled in, queued, called and
 * given back, with no stack and no switch. Cancelling: tasks of the bare scheduler, each on a
 * stack of its own, that are parked, made ready and joined. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "raw_sched.h"

#define RECORD_BYTES 256

struct record {
	_Alignas(64) struct record *next;
	void (*function)(struct record *);
	long outcome;
	char rest[RECORD_BYTES - 3 * sizeof(void *)];
};

static struct record *free_records;
static volatile long sum_of_outcomes;

static void complete(struct record *record)
{
	record->outcome = 1;
}

static struct record *take(void)
{
	struct record *record = free_records;

	free_records = record->next;
	memset(record, 0, sizeof(*record));
	/* volatile, so that the call stays an indirect one. */
	*(void (*volatile *)(struct record *)) & record->function = complete;
	return record;
}

static void spawn_round(struct record **records, long size)
{
	struct record *head = NULL, **tail = &head;
	long sum = 0;

	for (long i = 0; i < size; i++) {
		records[i] = *tail = take();
		tail = &records[i]->next;
	}
	*tail = NULL;
	for (struct record *record = head; record; record = record->next)
		record->function(record);
	for (long i = 0; i < size; i++) {
		sum += records[i]->outcome;
		records[i]->next = free_records;
		free_records = records[i];
	}
	sum_of_outcomes = sum;
}

int raw_curve_spawn(const struct workload *workload, double *ret_value)
{
	long size = bench_divided(workload->argument), done = 0;
	struct record **records = calloc((size_t)size, sizeof(struct record *));
	struct record *memory = aligned_alloc(64, (size_t)size * sizeof(*memory));
	uint64_t begun_ns;

	if (!records || !memory)
		return -ENOMEM;
	for (long i = size; i-- > 0;) {
		memory[i].next = free_records;
		free_records = &memory[i];
	}
	spawn_round(records, size);
	begun_ns = bench_cpu_ns();
	for (; done < bench_counts.curve; done += size)
		spawn_round(records, size);
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)done;
	return sum_of_outcomes == size ? 0 : -EBADMSG;
}

#if RAW_HAS_SWITCH

static void park_once(void *argument)
{
	(void)argument;
	raw_park();
}

static uint64_t cancel_round(struct raw_task **tasks, long size)
{
	for (long i = 0; i < size; i++)
		tasks[i] = raw_spawn(park_once, NULL);
	raw_yield();
	uint64_t begun_ns = bench_cpu_ns();
	for (long i = 0; i < size; i++)
		raw_ready(tasks[i]);
	for (long i = 0; i < size; i++)
		raw_join(tasks[i]);
	return bench_cpu_ns() - begun_ns;
}

int raw_curve_cancel(const struct workload *workload, double *ret_value)
{
	long size = bench_divided(workload->argument), done = 0;
	struct raw_task **tasks = calloc((size_t)size, sizeof(struct raw_task *));
	uint64_t sum_ns = 0;

	if (!tasks)
		return -ENOMEM;
	if (bench_mem_available() < size * 4608)
		return bench_skip("not enough memory");
	raw_colour_stacks();
	(void)cancel_round(tasks, size);
	for (; done < bench_counts.curve; done += size)
		sum_ns += cancel_round(tasks, size);
	*ret_value = (double)sum_ns / (double)done;
	return 0;
}

#endif
