/* SPDX-License-Identifier: MIT */
/* raw_cancel.c - timers that are cancelled before they fire: a 4-ary heap that knows where each
 * of its timers is, so that one in the middle can be taken out.
 *
 * What a timer is beside its deadline, a callback, a state, a handle, is not here. */
#include <errno.h>
#include <stdlib.h>
#include "raw.h"

struct entry {
	uint64_t deadline_ns;
	uint64_t timer;
};

static struct {
	struct entry *entries;
	size_t *places; /* of each timer: its index in entries */
	size_t count;
} heap;

static void put_at(size_t i, struct entry entry)
{
	heap.entries[i] = entry;
	heap.places[entry.timer] = i;
}

static void sift_up(size_t i, struct entry entry)
{
	while (i) {
		size_t parent = (i - 1) / 4;
		if (heap.entries[parent].deadline_ns <= entry.deadline_ns)
			break;
		put_at(i, heap.entries[parent]);
		i = parent;
	}
	put_at(i, entry);
}

static void sift_down(size_t i, struct entry entry)
{
	for (;;) {
		size_t child = i * 4 + 1, least = child;
		if (child >= heap.count)
			break;
		for (size_t k = child + 1; k < child + 4 && k < heap.count; k++) {
			if (heap.entries[k].deadline_ns < heap.entries[least].deadline_ns)
				least = k;
		}
		if (heap.entries[least].deadline_ns >= entry.deadline_ns)
			break;
		put_at(i, heap.entries[least]);
		i = least;
	}
	put_at(i, entry);
}

static void push(uint64_t timer, uint64_t deadline_ns)
{
	sift_up(heap.count++, (struct entry){.deadline_ns = deadline_ns, .timer = timer});
}

/* The last entry takes the place of the one that goes. */
static void cancel(uint64_t timer)
{
	size_t i = heap.places[timer];
	struct entry last = heap.entries[--heap.count];

	if (i == heap.count)
		return;
	if (i && heap.entries[(i - 1) / 4].deadline_ns > last.deadline_ns)
		sift_up(i, last);
	else
		sift_down(i, last);
}

static bool make_heap(long timers)
{
	heap.entries = calloc((size_t)timers, sizeof(*heap.entries));
	heap.places = calloc((size_t)timers, sizeof(*heap.places));
	return heap.entries && heap.places;
}

/* W4b. The deadline is relative, so the clock is read each time, as it is by a runtime. */
int raw_timer_cancel(const struct workload *workload, double *ret_value)
{
	long rounds = bench_counts.cancels;

	(void)workload;
	if (!make_heap(BENCH_CANCEL_TIMERS))
		return -ENOMEM;
	for (uint64_t i = 0; i < BENCH_CANCEL_TIMERS; i++)
		push(i, bench_now_ns() + (60 + i % 60) * UINT64_C(1000000000));
	uint64_t begun_ns = bench_cpu_ns();
	for (long round = 0; round < rounds; round++) {
		for (uint64_t i = 0; i < BENCH_CANCEL_TIMERS; i++) {
			cancel(i);
			push(i, bench_now_ns() +
			                (60 + (i + (uint64_t)round) % 60) * UINT64_C(1000000000));
		}
	}
	*ret_value = (double)(bench_cpu_ns() - begun_ns) /
	             ((double)BENCH_CANCEL_TIMERS * (double)rounds);
	return heap.count == BENCH_CANCEL_TIMERS ? 0 : -EBADMSG;
}

int raw_curve_timer_cancel(const struct workload *workload, double *ret_value)
{
	long size = bench_divided(workload->argument), done = 0;
	uint64_t random_state = BENCH_SEED, begun_ns;

	if (!make_heap(size))
		return -ENOMEM;
	for (long i = 0; i < size; i++)
		push((uint64_t)i, bench_random(&random_state) % (uint64_t)size);
	begun_ns = bench_cpu_ns();
	while (done < bench_counts.curve) {
		for (long i = 0; i < size; i++) {
			cancel((uint64_t)i);
			push((uint64_t)i, bench_random(&random_state) % (uint64_t)size);
		}
		done += size;
	}
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)done;
	return heap.count == (size_t)size ? 0 : -EBADMSG;
}
