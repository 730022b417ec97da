/* SPDX-License-Identifier: MIT */
/* raw_posts.c - one thread posts callbacks to another, or to several in turn.
 *
 * It pushes them on an intrusive stack; the receiver takes the whole stack at once, turns it
 * round and calls them; the eventfd is written only by the push that finds the stack empty. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "raw.h"

struct node {
	struct node *next;
	void (*function)(void *);
	void *argument;
};

struct receiver {
	/* Two cache lines: the prefetcher fetches pairs. */
	_Alignas(128) _Atomic(struct node *) posts;
	_Alignas(128) int event_fd;
	unsigned index;
	long delivered, expected;
	pthread_t thread;
};

static struct receiver receivers[BENCH_LOOPS_MAX];
static struct node *nodes;

static int make_nodes(long count)
{
	nodes = malloc((size_t)count * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	/* Page faults are not what is measured. */
	memset(nodes, 1, (size_t)count * sizeof(*nodes));
	return 0;
}

static void make_receiver(unsigned index, long expected)
{
	struct receiver *receiver = &receivers[index];

	receiver->index = index;
	receiver->expected = expected;
	receiver->event_fd = eventfd(0, EFD_CLOEXEC);
	if (receiver->event_fd < 0)
		bench_die("eventfd");
}

static void count_one(void *argument)
{
	(*(long *)argument)++;
}

static void post(struct receiver *receiver, struct node *node)
{
	struct node *top = atomic_load_explicit(&receiver->posts, memory_order_relaxed);
	uint64_t one = 1;

	node->function = count_one;
	node->argument = &receiver->delivered;
	do {
		node->next = top;
	} while (!atomic_compare_exchange_weak_explicit(
	        &receiver->posts, &top, node, memory_order_release, memory_order_relaxed));
	if (!top && write(receiver->event_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		bench_die("write");
}

static void call_all(struct node *newest)
{
	struct node *oldest = NULL;

	while (newest) {
		struct node *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct node *next = oldest->next;
		oldest->function(oldest->argument);
		oldest = next;
	}
}

static void receive_all(struct receiver *receiver)
{
	uint64_t value;

	while (receiver->delivered < receiver->expected) {
		if (read(receiver->event_fd, &value, sizeof(value)) != (ssize_t)sizeof(value))
			bench_die("read");
		call_all(atomic_exchange_explicit(&receiver->posts, NULL, memory_order_acquire));
	}
}

/* ---- W6b ---- */

static void *post_all(void *argument)
{
	long posts = bench_counts.posts;

	(void)argument;
	bench_pin(1);
	for (long i = 0; i < posts; i++)
		post(&receivers[0], &nodes[i]);
	return NULL;
}

int raw_posts(const struct workload *workload, double *ret_value)
{
	pthread_t thread;
	uint64_t begun_ns;

	(void)workload;
	bench_pin(0);
	make_receiver(0, bench_counts.posts);
	if (make_nodes(bench_counts.posts) < 0)
		return -ENOMEM;
	begun_ns = bench_now_ns();
	if (pthread_create(&thread, NULL, post_all, NULL))
		bench_die("pthread_create");
	receive_all(&receivers[0]);
	*ret_value = (double)(bench_now_ns() - begun_ns) / (double)bench_counts.posts;
	pthread_join(thread, NULL);
	return 0;
}

/* ---- the curve ---- */

static void *run_receiver(void *argument)
{
	struct receiver *receiver = argument;

	bench_pin(receiver->index);
	receive_all(receiver);
	return NULL;
}

int raw_curve_post(const struct workload *workload, double *ret_value)
{
	long count = workload->argument, bursts = bench_counts.curve / (count * BENCH_BURST) + 1,
	     share = bursts * BENCH_BURST;
	uint64_t begun_ns;

	if (bench_cpus() < 2)
		return bench_skip("needs two CPUs");
	if (make_nodes(share * count) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		make_receiver(i, share);
		if (pthread_create(&receivers[i].thread, NULL, run_receiver, &receivers[i]))
			bench_die("pthread_create");
	}
	bench_pin(1);
	begun_ns = bench_cpu_ns();
	for (long i = 0; i < bursts * count; i++) {
		for (long k = 0; k < BENCH_BURST; k++)
			post(&receivers[i % count], &nodes[i * BENCH_BURST + k]);
	}
	for (long k = 0; k < count; k++)
		pthread_join(receivers[k].thread, NULL);
	*ret_value = (double)(bench_cpu_ns() - begun_ns) / (double)(share * count);
	return 0;
}
