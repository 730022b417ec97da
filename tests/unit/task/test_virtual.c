/* SPDX-License-Identifier: MIT */
/* test_virtual.c - the clocks as tasks see them: sleeping, periods, deadlocks. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include "knit/task.h"

/* ---- the real clock ---- */

static intptr_t block_and_sleep(void *arg)
{
	for (int i = 0; i < 3; i++) {
		int64_t due;

		/* The loop's time is that of the beginning of the pass. */
		(void)knit_loop_time(NULL);
		rig_block(15 * KNIT_MS);
		due = rig_now() + 3 * KNIT_MS;
		if (knit_sleep(3 * KNIT_MS) < 0 || rig_now() < due)
			return -1;
	}
	return (intptr_t)arg;
}

Test(virtual, a_sleep_after_blocking_code_is_not_short)
{
	cr_assert_eq(knit_run(block_and_sleep, (void *)1), 1);
}

static intptr_t sleep_never_early(void *arg)
{
	for (int i = 0; i < 50; i++) {
		int64_t delay = i * 41 * KNIT_US, due = rig_now() + delay;

		if (knit_sleep(delay) < 0 || rig_now() < due)
			return -1;
		due = knit_loop_time(NULL) + delay;
		if (knit_sleep_until(due) < 0 || rig_now() < due)
			return -2;
	}
	return (intptr_t)arg;
}

Test(virtual, no_sleep_is_short)
{
	cr_assert_eq(knit_run(sleep_never_early, (void *)1), 1);
}

/* ---- the virtual clock ---- */

static intptr_t tick(void *arg)
{
	int64_t period = KNIT_MS, begin = knit_loop_time(NULL);
	int ticks = *(int *)arg;

	for (int i = 1; i <= ticks; i++) {
		/* A callback that takes a while, now and then longer than a period. */
		if (i % 7 == 0 && knit_sleep((i % 13) * period / 9) < 0)
			return -1;
		if (knit_sleep_until(begin + i * period) < 0)
			return -2;
		if (knit_loop_time(NULL) != begin + i * period && i % 7 != 0)
			return -3;
	}
	return knit_loop_time(NULL) - begin == ticks * period;
}

Test(virtual, a_period_of_sleep_until_does_not_drift)
{
	int ticks = (int)test_scale(10000, 10000, 10000, 1000);
	int64_t begin = rig_now();

	cr_assert_eq(knit_run(tick, &ticks, .clock = KNIT_CLOCK_VIRTUAL), 1);
	/* Ten seconds have passed for it. */
	cr_assert_lt(rig_now() - begin, 3600 * KNIT_S);
}

struct sleeper {
	int64_t delay, woke;
};

static intptr_t sleep_and_note(void *arg)
{
	struct sleeper *sleeper = arg;
	int r = knit_sleep(sleeper->delay);

	sleeper->woke = knit_loop_time(NULL);
	return r;
}

enum { SLEEPERS = 1000 };

static intptr_t many_sleepers(void *arg)
{
	struct sleeper *sleepers = arg;
	knit_task *tasks[SLEEPERS];

	for (int i = 0; i < SLEEPERS; i++) {
		sleepers[i].delay = (i * 7919 % SLEEPERS) * KNIT_S;
		tasks[i] = knit_create_task(sleep_and_note, &sleepers[i]);
	}
	for (int i = 0; i < SLEEPERS; i++)
		if (knit_await(tasks[i]) < 0)
			return -1;
	return knit_loop_time(NULL) / KNIT_S;
}

Test(virtual, each_sleeper_wakes_at_its_time)
{
	static struct sleeper sleepers[SLEEPERS];

	cr_assert_eq(knit_run(many_sleepers, sleepers, .clock = KNIT_CLOCK_VIRTUAL), SLEEPERS - 1);
	for (int i = 0; i < SLEEPERS; i++)
		cr_assert_eq(sleepers[i].woke, sleepers[i].delay);
}

/* ---- deadlock ---- */

static char reported[1024];

static void note_report(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	size_t used = strlen(reported);

	(void)loop;
	(void)arg;
	snprintf(reported + used, sizeof(reported) - used, "%s: %s\n",
	         context->name ? context->name : "-", context->message);
}

static intptr_t await_arg(void *future)
{
	return knit_await(knit_future_ref(future));
}

static intptr_t wait_in_vain(void *arg)
{
	knit_future *never = knit_future_new();
	knit_task *task = knit_create_task(await_arg, never, .name = "inner");
	intptr_t outcome;

	knit_task_set_name(knit_current_task(NULL), "outer");
	knit_loop_set_exception_handler(knit_get_running_loop(), note_report, NULL);
	(void)arg;
	outcome = knit_await(task);
	knit_future_unref(never);
	return outcome;
}

Test(virtual, a_deadlock_ends_the_run_with_the_list_of_the_tasks)
{
	cr_assert_eq(knit_run(wait_in_vain, NULL, .clock = KNIT_CLOCK_VIRTUAL), -EDEADLK);
	cr_assert_str_eq(reported, "outer: Deadlock: nothing is left that could wake the task\n"
	                           "inner: Deadlock: nothing is left that could wake the task\n");
}

static intptr_t sleep_for_ever(void *arg)
{
	(void)arg;
	return knit_sleep(KNIT_FOREVER);
}

Test(virtual, sleeping_for_ever_is_a_deadlock_and_the_loop_of_use_afterwards)
{
	knit_loop *loop = knit_loop_new(.clock = KNIT_CLOCK_VIRTUAL_JUMP);
	int reports = 0;

	knit_loop_set_exception_handler(loop, rig_count_exception, &reports);
	cr_assert_eq(knit_loop_run_until_complete(loop, sleep_for_ever, NULL), -EDEADLK);
	cr_assert_eq(reports, 1);
	cr_assert_eq(knit_loop_run_until_complete(loop, tick, &(int){10}), 1);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(reports, 2, "and destroyed while pending");
	knit_loop_unref(loop);
}

/* ---- no deadlock ---- */

struct rescuer {
	knit_loop *loop;
	knit_future *future;
};

static void rescue(void *arg)
{
	(void)knit_future_set_result(((struct rescuer *)arg)->future, 9);
}

static void *rescue_when_asleep(void *arg)
{
	struct rescuer *rescuer = arg;
	static int result;

	while (!rig_asleep(rescuer->loop))
		sched_yield();
	result = knit_loop_call_soon_threadsafe(rescuer->loop, rescue, rescuer);
	knit_loop_unref(rescuer->loop);
	return &result;
}

static intptr_t wait_for_rescue(void *arg)
{
	struct rescuer *rescuer = arg;
	pthread_t thread;
	intptr_t outcome;

	rescuer->future = knit_future_new();
	rescuer->loop = knit_loop_ref(knit_get_running_loop());
	if (pthread_create(&thread, NULL, rescue_when_asleep, rescuer))
		return -1;
	outcome = knit_await(rescuer->future);
	pthread_join(thread, NULL);
	return knit_loop_time(NULL) == 0 ? outcome : -2;
}

Test(virtual, another_threads_reference_is_hope)
{
	struct rescuer rescuer = {0};

	cr_assert_eq(knit_run(wait_for_rescue, &rescuer, .clock = KNIT_CLOCK_VIRTUAL), 9);
}

/* Is handed a reference again and again; each time it posts, drops it, and has none. */
struct quick {
	_Atomic(knit_loop *) handed;
	knit_future *future;
	atomic_bool over;
	int rounds;
};

static void complete_quick(void *arg)
{
	(void)knit_future_set_result(((struct quick *)arg)->future, 9);
}

static void *post_and_drop(void *arg)
{
	struct quick *quick = arg;
	long refused = 0;

	while (!atomic_load(&quick->over)) {
		knit_loop *loop = atomic_exchange(&quick->handed, NULL);

		if (!loop) {
			sched_yield();
			continue;
		}
		refused += knit_loop_call_soon_threadsafe(loop, complete_quick, quick) < 0;
		knit_loop_unref(loop);
	}
	return (void *)refused;
}

static intptr_t hand_over_and_wait(void *arg)
{
	struct quick *quick = arg;

	for (int i = 0; i < quick->rounds; i++) {
		quick->future = knit_future_new();
		atomic_store(&quick->handed, knit_loop_ref(knit_get_running_loop()));
		if (knit_await(quick->future) != 9)
			return -1;
	}
	return quick->rounds;
}

Test(virtual, a_reference_dropped_after_a_post_is_no_deadlock)
{
	struct quick quick = {.rounds = (int)test_scale(20000, 10000, 10000, 300)};
	pthread_t thread = rig_thread(post_and_drop, &quick);
	intptr_t outcome = knit_run(hand_over_and_wait, &quick, .clock = KNIT_CLOCK_VIRTUAL);

	atomic_store(&quick.over, true);
	cr_assert_null(rig_join(thread));
	cr_assert_eq(outcome, quick.rounds, "%s", knit_errname((int)outcome));
}

static struct worker worker;

static intptr_t dawdle(void *arg)
{
	for (int i = 0; i < 1000; i++)
		if (knit_sleep(0) < 0)
			return -1;
	return (intptr_t)arg;
}

static intptr_t call_with_timer(void *arg)
{
	knit_task *timer = knit_create_task(sleep_and_note, arg);
	intptr_t outcome = knit_run_on(worker.loop, dawdle, (void *)8);

	if (knit_loop_time(NULL) != 0)
		return -3; /* it jumped */
	return knit_await(timer) < 0 ? -4 : outcome;
}

Test(virtual, time_stands_still_while_another_loop_is_called)
{
	struct sleeper sleeper = {.delay = KNIT_S};

	worker_start(&worker);
	cr_assert_eq(knit_run(call_with_timer, &sleeper, .clock = KNIT_CLOCK_VIRTUAL), 8);
	cr_assert_eq(sleeper.woke, KNIT_S);
	worker_stop(&worker);
}
