/* SPDX-License-Identifier: MIT */
/* test_wakes.c - what waking and waiting cost: counts of writes, of passes, of context switches
 * (L18). */
#include "stress/stress.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PRODUCERS = 4 };

/* ---- under load ---- */

struct load {
	knit_loop *loop;
	long count; /* of posts, by each producer */
	atomic_long ran;
	atomic_int producing, finished, refused;
};

static void count_post(void *arg)
{
	atomic_fetch_add_explicit(&((struct load *)arg)->ran, 1, memory_order_relaxed);
}

static void *produce(void *arg)
{
	struct load *load = arg;

	atomic_fetch_add(&load->producing, 1);
	while (atomic_load(&load->producing) < PRODUCERS)
		sched_yield();
	for (long i = 0; i < load->count; i++)
		if (knit_loop_call_soon_threadsafe(load->loop, count_post, load) < 0)
			atomic_fetch_add(&load->refused, 1);
	atomic_fetch_add(&load->finished, 1);
	return NULL;
}

/* Keeps the loop from sleeping until all has been posted. */
static void stay_awake(void *arg)
{
	struct load *load = arg;

	if (atomic_load(&load->finished) < PRODUCERS)
		knit_loop_call_soon(load->loop, stay_awake, load);
}

static bool all_ran(void *arg)
{
	struct load *load = arg;

	return atomic_load(&load->ran) == PRODUCERS * load->count;
}

Test(wakes, posts_to_a_busy_loop_make_no_system_call)
{
	struct worker worker = {0};
	struct load load = {.count = stress_count(50000, 20000, 20000, 500)};
	pthread_t threads[PRODUCERS];
	uint64_t wakes;

	worker_start(&worker);
	load.loop = worker.loop;
	cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, stay_awake, &load), 0);
	for (int i = 0; i < PRODUCERS; i++)
		threads[i] = rig_thread(produce, &load);
	for (int i = 0; i < PRODUCERS; i++)
		rig_join(threads[i]);
	rig_until(all_ran, &load);
	wakes = atomic_load(&worker.loop->wakes);
	cr_assert_eq(atomic_load(&load.refused), 0);
	/* One for the first post, and a few in case the loop slept before that ran. */
	cr_assert_leq((long)wakes * 1000, PRODUCERS * load.count, "%ld writes for %ld posts",
	              (long)wakes, PRODUCERS * load.count);
	worker_stop(&worker);
}

/* A loop that does sleep in between, at its own times; posts come in bursts while it is held. */
struct burst {
	knit_loop *loop;
	atomic_int held, go_on;
	long ran;
};

static void hold(void *arg)
{
	struct burst *burst = arg;

	atomic_store(&burst->held, 1);
	while (!atomic_load(&burst->go_on))
		sched_yield();
}

static void count_burst(void *arg)
{
	((struct burst *)arg)->ran++;
}

Test(wakes, a_burst_costs_one_write_at_most)
{
	enum { BURST = 1000 };
	struct worker worker = {0};
	long bursts = stress_count(50, 20, 20, 5);
	struct burst burst = {0};

	worker_start(&worker);
	for (long i = 0; i < bursts; i++) {
		rig_until(rig_asleep, worker.loop);
		atomic_store(&burst.held, 0);
		atomic_store(&burst.go_on, 0);
		cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, hold, &burst), 0);
		rig_until(rig_is_set, &burst.held);
		for (int j = 1; j < BURST; j++)
			cr_assert_eq(
			        knit_loop_call_soon_threadsafe(worker.loop, count_burst, &burst),
			        0);
		atomic_store(&burst.go_on, 1);
	}
	rig_until(rig_asleep, worker.loop);
	cr_assert_eq((long)atomic_load(&worker.loop->wakes), bursts);
	worker_stop(&worker);
	cr_assert_eq(burst.ran, bursts * (BURST - 1));
}

/* ---- while it waits ---- */

struct sleeper {
	struct worker worker;
	atomic_int tid;
	int timer_runs;
};

static void note_thread(void *arg)
{
	struct sleeper *sleeper = arg;

	knit_loop_call_later(NULL, 3600 * KNIT_S, rig_count, &sleeper->timer_runs);
	atomic_store(&sleeper->tid, (int)gettid());
}

/* A line of /proc/self/task/TID/status. */
static bool read_status(int tid, const char *key, char *value, size_t size)
{
	char path[64], line[256];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	file = fopen(path, "r");
	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file)) {
		found = strncmp(line, key, strlen(key)) == 0;
		if (found)
			snprintf(value, size, "%s", line + strlen(key));
	}
	fclose(file);
	return found;
}

static bool in_the_kernel(void *arg)
{
	struct sleeper *sleeper = arg;
	char state[64] = "";

	return rig_asleep(sleeper->worker.loop) &&
	       read_status(atomic_load(&sleeper->tid), "State:\t", state, sizeof(state)) &&
	       (state[0] == 'S' || state[0] == 'D');
}

static long switches(const struct sleeper *sleeper)
{
	char voluntary[64] = "", forced[64] = "";

	cr_assert(read_status(atomic_load(&sleeper->tid), "voluntary_ctxt_switches:\t", voluntary,
	                      sizeof(voluntary)));
	cr_assert(read_status(atomic_load(&sleeper->tid), "nonvoluntary_ctxt_switches:\t", forced,
	                      sizeof(forced)));
	return atol(voluntary) + atol(forced);
}

Test(wakes, a_loop_that_waits_does_nothing_at_all)
{
	enum { LOOPS = 4 };
	static struct sleeper sleepers[LOOPS];
	long before[LOOPS], looks = test_scale(2000, 1000, 300, 50);

	for (int i = 0; i < LOOPS; i++) {
		worker_start(&sleepers[i].worker);
		cr_assert_eq(knit_loop_call_soon_threadsafe(sleepers[i].worker.loop, note_thread,
		                                            &sleepers[i]),
		             0);
		rig_until(rig_is_set, &sleepers[i].tid);
		rig_until(in_the_kernel, &sleepers[i]);
		before[i] = switches(&sleepers[i]);
	}
	/* A loop that polled, or whose wait had an end, would show up here. */
	for (long j = 0; j < looks; j++)
		for (int i = 0; i < LOOPS; i++)
			cr_assert(in_the_kernel(&sleepers[i]), "loop %d, look %ld", i, j);
	for (int i = 0; i < LOOPS; i++) {
		cr_assert_eq(switches(&sleepers[i]), before[i]);
		worker_stop(&sleepers[i].worker);
		cr_assert_eq(sleepers[i].timer_runs, 0);
	}
}
