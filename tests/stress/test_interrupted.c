/* SPDX-License-Identifier: MIT */
/* test_interrupted.c - loops whose every system call may be interrupted (L14): a thread fires
 * signals at them all the time. Nothing is lost, and no timer is early. */
#include "stress/stress.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include "knit/task.h"

enum { LOOPS = 3, SLEEPERS = 8 };

static atomic_long delivered;

static void ignore_signal(int signum)
{
	(void)signum;
	atomic_fetch_add_explicit(&delivered, 1, memory_order_relaxed);
}

struct target {
	struct worker worker;
	atomic_int known;
	pthread_t thread;
};

struct storm {
	struct target *targets;
	atomic_bool over;
};

static void tell_thread(void *arg)
{
	struct target *target = arg;

	target->thread = pthread_self();
	atomic_store(&target->known, 1);
}

/* A thousand times a second or more, at each. */
static void *storm_body(void *arg)
{
	struct storm *storm = arg;

	while (!atomic_load(&storm->over)) {
		for (int i = 0; i < LOOPS; i++)
			pthread_kill(storm->targets[i].thread, SIGUSR2);
		sched_yield();
	}
	return NULL;
}

static intptr_t sleep_on_time(void *arg)
{
	unsigned random = (unsigned)(intptr_t)arg;
	long naps = test_scale(60, 30, 30, 10);

	for (long i = 0; i < naps; i++) {
		int64_t delay = (int64_t)stress_random(&random, 2000) * KNIT_US;
		int64_t due = rig_now() + delay;
		int r = knit_sleep(delay);

		if (r < 0)
			return r;
		if (rig_now() < due)
			return -ETIME;
	}
	return 1;
}

static atomic_long posts_ran;

static void post_ran(void *arg)
{
	(void)arg;
	atomic_fetch_add(&posts_ran, 1);
}

/* Sleepers on each loop, and calls between them meanwhile. */
static void run_programs(struct target *targets, long calls)
{
	knit_concurrent_future *sleepers[LOOPS][SLEEPERS];

	for (int i = 0; i < LOOPS; i++)
		for (int j = 0; j < SLEEPERS; j++)
			sleepers[i][j] = knit_run_coroutine_threadsafe(
			        targets[i].worker.loop, sleep_on_time,
			        (void *)(intptr_t)(i * 31 + j));
	for (long i = 0; i < calls; i++) {
		cr_assert_eq(knit_loop_call_soon_threadsafe(targets[i % LOOPS].worker.loop,
		                                            post_ran, NULL),
		             0);
		if (i % 10 == 0)
			sched_yield();
	}
	for (int i = 0; i < LOOPS; i++)
		for (int j = 0; j < SLEEPERS; j++) {
			intptr_t r = knit_concurrent_future_result(sleepers[i][j], KNIT_FOREVER);

			cr_assert_eq(r, 1, "%s", knit_errname((int)r));
			knit_concurrent_future_unref(sleepers[i][j]);
		}
}

Test(interrupted, timers_are_never_early_and_no_post_is_lost)
{
	/* Without SA_RESTART. */
	struct sigaction action = {.sa_handler = ignore_signal};
	static struct target targets[LOOPS];
	struct storm storm = {.targets = targets};
	long calls = stress_count(3000, 1000, 1000, 100);
	pthread_t thread;

	sigaction(SIGUSR2, &action, NULL);
	for (int i = 0; i < LOOPS; i++) {
		worker_start(&targets[i].worker);
		cr_assert_eq(knit_loop_call_soon_threadsafe(targets[i].worker.loop, tell_thread,
		                                            &targets[i]),
		             0);
		rig_until(rig_is_set, &targets[i].known);
	}
	thread = rig_thread(storm_body, &storm);
	run_programs(targets, calls);
	atomic_store(&storm.over, true);
	rig_join(thread);
	for (int i = 0; i < LOOPS; i++)
		worker_stop(&targets[i].worker);
	cr_assert_eq(atomic_load(&posts_ran), calls);
	cr_assert_gt(atomic_load(&delivered), LOOPS, "that is no storm");
}
