/* SPDX-License-Identifier: MIT */
/* knit_curve_posts.c - one thread posts to one loop, or to eight in turn.
 *
 * What counts is the CPU time of all threads for a post: from the call to the end of the
 * callback, with the wake-ups of loops that have nothing left. It posts bursts, because a loop that
 * is woken for each post costs a wake-up for each post, and W6 measures those. More loops than CPUs
 * are as good as any; they share them. */
#include <pthread.h>
#include <semaphore.h>
#include "knit_rows.h"

struct receiver {
	_Alignas(128) knit_loop *loop;
	long left; /* posts to come */
	unsigned index;
	pthread_t thread;
};

static struct receiver receivers[BENCH_LOOPS_MAX];
static sem_t said; /* a loop runs; a loop has had all */

static void say(void *arg)
{
	(void)arg;
	sem_post(&said);
}

static void receive(void *arg)
{
	struct receiver *receiver = arg;

	if (--receiver->left == 0)
		say(NULL);
}

static void *run_receiver(void *arg)
{
	struct receiver *receiver = arg;

	bench_pin(receiver->index);
	must(knit_loop_run_forever(receiver->loop));
	must(knit_loop_close(receiver->loop));
	return NULL;
}

static void start_receivers(long loops, long share)
{
	sem_init(&said, 0, 0);
	for (unsigned i = 0; i < loops; i++) {
		struct receiver *receiver = &receivers[i];

		receiver->loop = knit_loop_new();
		receiver->left = share;
		receiver->index = i;
		if (!receiver->loop)
			bench_die("knit_loop_new");
		if (pthread_create(&receiver->thread, NULL, run_receiver, receiver))
			bench_die("pthread_create");
		must(knit_loop_call_soon_threadsafe(receiver->loop, say, NULL));
		sem_wait(&said);
	}
}

static void post_burst(struct receiver *receiver)
{
	for (int i = 0; i < BENCH_BURST; i++)
		must(knit_loop_call_soon_threadsafe(receiver->loop, receive, receiver));
}

int knit_curve_post(const struct workload *workload, double *ret_value)
{
	long loops = workload->argument, bursts = bench_counts.curve / (loops * BENCH_BURST) + 1,
	     share = bursts * BENCH_BURST;
	uint64_t start;

	if (bench_cpus() < 2)
		return bench_skip("needs two CPUs");
	start_receivers(loops, share);
	bench_pin(1);
	start = bench_cpu_ns();
	for (long i = 0; i < bursts * loops; i++)
		post_burst(&receivers[i % loops]);
	for (long k = 0; k < loops; k++)
		sem_wait(&said);
	*ret_value = (double)(bench_cpu_ns() - start) / (double)(share * loops);
	for (long k = 0; k < loops; k++) {
		must(knit_loop_stop_threadsafe(receivers[k].loop));
		pthread_join(receivers[k].thread, NULL);
		knit_loop_unref(receivers[k].loop);
	}
	return 0;
}
