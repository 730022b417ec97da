/* SPDX-License-Identifier: MIT */
/* raw_timer.c - timers: a 4-ary heap of 16-byte entries, for callbacks and for sleepers.
 *
 * Entries hold the deadline beside the pointer, so that sifting touches the heap only,
 * and four children lie in one cache line. The wait is epoll's, with nothing in the set;
 * what counts is CPU time, so how long it lasts does not matter. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "raw_sched.h"

#if RAW_HAS_SWITCH

struct entry {
	uint64_t deadline_ns;
	struct raw_task *task; /* NULL for a callback that does nothing */
};

static struct entry *heap;
static size_t count;
static uint64_t random_state = BENCH_SEED;
static size_t sleepers;
static volatile uint64_t sum_of_deadlines; /* so that popping them is not left out */

static void push(struct entry entry)
{
	size_t i = count++;
	while (i) {
		size_t parent = (i - 1) / 4;
		if (heap[parent].deadline_ns <= entry.deadline_ns)
			break;
		heap[i] = heap[parent];
		i = parent;
	}
	heap[i] = entry;
}

static struct entry pop(void)
{
	struct entry first = heap[0], last = heap[--count];
	size_t i = 0;
	for (;;) {
		size_t child = i * 4 + 1, least = child;
		if (child >= count)
			break;
		for (size_t k = child + 1; k < child + 4 && k < count; k++) {
			if (heap[k].deadline_ns < heap[least].deadline_ns)
				least = k;
		}
		if (heap[least].deadline_ns >= last.deadline_ns)
			break;
		heap[i] = heap[least];
		i = least;
	}
	heap[i] = last;
	return first;
}

/* Until @timers have fired; tasks among them run when they do. */
static void run_timers(size_t timers)
{
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event;
	size_t fired = 0;

	if (epoll_fd < 0)
		bench_die("epoll_create1");
	while (fired < timers) {
		uint64_t now_ns = bench_now_ns();
		while (count && heap[0].deadline_ns <= now_ns) {
			struct entry entry = pop();
			fired++;
			if (entry.task)
				raw_ready(entry.task);
		}
		if (raw_sched.head)
			raw_yield();
		if (fired >= timers)
			break;
		int64_t left_ns = (int64_t)(heap[0].deadline_ns - bench_now_ns());
		if (left_ns > 0)
			epoll_wait(epoll_fd, &event, 1, (int)((left_ns + 999999) / 1000000));
	}
	close(epoll_fd);
}

static uint64_t random_deadline_ns(void)
{
	return bench_now_ns() +
	       (1 + bench_random(&random_state) % (uint64_t)bench_counts.timer_ms) *
	               UINT64_C(1000000);
}

int raw_timer_callbacks(const struct workload *workload, double *ret_value)
{
	(void)workload;
	heap = malloc(sizeof(*heap) * ((size_t)bench_counts.timers + 1));
	if (!heap)
		return -ENOMEM;
	uint64_t begun_ns = bench_cpu_ns();
	for (long i = 0; i < bench_counts.timers; i++)
		push((struct entry){.deadline_ns = random_deadline_ns()});
	run_timers((size_t)bench_counts.timers);
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)bench_counts.timers;
	return 0;
}

static void sleep_a_while(void *argument)
{
	(void)argument;
	push((struct entry){.deadline_ns = random_deadline_ns(), .task = raw_sched.current});
	raw_park();
	sleepers--;
}

/* The argument: with a guard below each stack? */
int raw_sleeping_tasks(const struct workload *workload, double *ret_value)
{
	long tasks = bench_counts.timers;

	/* A page each, its entry in the page table, the heap, and some air. */
	if (bench_mem_available() < tasks * 4608L)
		return bench_skip("not enough memory");
	raw_colour_stacks();
	if (workload->argument && !raw_guard_stacks(tasks))
		return bench_skip("needs MADV_GUARD_INSTALL: so many guards are too many mappings");
	heap = malloc(sizeof(*heap) * ((size_t)tasks + 1));
	if (!heap)
		return -ENOMEM;
	sleepers = (size_t)tasks;
	uint64_t begun_ns = bench_cpu_ns();
	for (long i = 0; i < tasks; i++)
		raw_spawn(sleep_a_while, NULL);
	raw_yield();
	run_timers((size_t)tasks);
	while (sleepers)
		raw_yield();
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)tasks;
	return 0;
}

/* The argument is the number of timers: random deadlines are pushed, and all of them popped. */
int raw_curve_timer(const struct workload *workload, double *ret_value)
{
	long size = bench_divided(workload->argument), done = 0;
	uint64_t begun_ns = 0;

	heap = malloc(sizeof(*heap) * ((size_t)size + 1));
	if (!heap)
		return -ENOMEM;
	for (int round = 0; done < bench_counts.curve; round++) {
		if (round == 1)
			begun_ns = bench_cpu_ns();
		for (long i = 0; i < size; i++)
			push((struct entry){.deadline_ns = bench_random(&random_state) %
			                                   (uint64_t)size});
		for (long i = 0; i < size; i++)
			sum_of_deadlines += pop().deadline_ns;
		if (round > 0)
			done += size;
	}
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)done;
	return 0;
}

#endif
