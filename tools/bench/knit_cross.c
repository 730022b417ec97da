/* SPDX-License-Identifier: MIT */
/* knit_cross.c - the workloads of two loops on two CPUs. */
#include <pthread.h>
#include <semaphore.h>
#include "knit_rows.h"

/* W6_pingpong_spin */
#define SPIN_NS    (100 * KNIT_US) /* far longer than a hand-over */
#define SPIN_SHARE 0.95            /* of two CPUs that the loops must have had */

static knit_loop *loops[2];
static sem_t other_runs;

static void tell(void *semaphore)
{
	sem_post(semaphore);
}

static void *run_other(void *arg)
{
	(void)arg;
	bench_pin(1);
	must(knit_loop_run_forever(loops[1]));
	return NULL;
}

static void make_loops(int64_t spin)
{
	for (int i = 0; i < 2; i++) {
		loops[i] = knit_loop_new(.spin = spin);
		if (!loops[i])
			bench_die("knit_loop_new");
	}
	sem_init(&other_runs, 0, 0);
	bench_pin(0);
}

static void free_loops(void)
{
	for (int i = 0; i < 2; i++)
		knit_loop_unref(loops[i]);
}

/* ---- W6 ---- */

static uint64_t round_trips, wall_start, wall_end;

static void ping(void *arg);

static void pong(void *arg)
{
	must(knit_loop_call_soon_threadsafe(loops[0], ping, arg));
}

static void ping(void *arg)
{
	wall_end = bench_now_ns();
	if (wall_end - wall_start >= bench_counts.ping_ns) {
		must(knit_loop_stop_threadsafe(loops[1]));
		knit_loop_stop(loops[0]);
		return;
	}
	round_trips++;
	must(knit_loop_call_soon_threadsafe(loops[1], pong, arg));
}

/* Two threads that spin use two CPUs. Where somebody else had a part of these, a hand-over lasted
 * as long as a time slice, and the figure says nothing. */
static bool had_two_cpus(uint64_t cpu_ns, uint64_t wall_ns)
{
	return (double)cpu_ns / (double)wall_ns / 2 >= SPIN_SHARE;
}

int knit_pingpong(const struct workload *workload, double *ret_value)
{
	bool is_spinning = workload->argument == KNIT_PING_SPIN;
	pthread_t other;
	uint64_t cpu, wall;

	if (bench_cpus() < 2)
		return bench_skip("needs two CPUs");
	make_loops(is_spinning ? SPIN_NS : 0);
	if (pthread_create(&other, NULL, run_other, NULL))
		bench_die("pthread_create");
	must(knit_loop_call_soon_threadsafe(loops[1], tell, &other_runs));
	sem_wait(&other_runs);
	cpu = bench_cpu_ns();
	wall_start = bench_now_ns();
	must(knit_handle_error(knit_loop_call_soon(loops[0], ping, NULL)));
	must(knit_loop_run_forever(loops[0]));
	cpu = bench_cpu_ns() - cpu;
	wall = wall_end - wall_start;
	*ret_value = (double)(workload->argument == KNIT_PING_CPU ? cpu : wall) /
	             (double)round_trips / 1000;
	pthread_join(other, NULL);
	(void)knit_loop_close(loops[1]);
	free_loops();
	if (is_spinning && !had_two_cpus(cpu, wall))
		return bench_skip("needs two CPUs that nobody else uses");
	return 0;
}

/* ---- W6b ---- */

static long delivered;

static void deliver(void *loop)
{
	if (++delivered == bench_counts.posts)
		knit_loop_stop(loop);
}

static void *post_all(void *arg)
{
	long posts = bench_counts.posts;

	(void)arg;
	bench_pin(1);
	for (long i = 0; i < posts; i++)
		must(knit_loop_call_soon_threadsafe(loops[0], deliver, loops[0]));
	return NULL;
}

int knit_post(const struct workload *workload, double *ret_value)
{
	pthread_t producer;
	uint64_t start;

	(void)workload;
	if (bench_cpus() < 2)
		return bench_skip("needs two CPUs");
	make_loops(0);
	start = bench_now_ns();
	if (pthread_create(&producer, NULL, post_all, NULL))
		bench_die("pthread_create");
	must(knit_loop_run_forever(loops[0]));
	*ret_value = (double)(bench_now_ns() - start) / (double)bench_counts.posts;
	pthread_join(producer, NULL);
	free_loops();
	return 0;
}
