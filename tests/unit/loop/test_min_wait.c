/* SPDX-License-Identifier: MIT */
/* test_min_wait.c - a loop that would rather have several completions at a time (.min_wait,
 * .min_complete): how many it asks the kernel for, and that nothing waits for ever. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "engine/uring.h"
#include "knit/runner.h"
#include "knit/task.h"

#define HOUR (3600 * KNIT_S)

static int ready_fd, quiet_fd;
static unsigned asked_for; /* by the last enter that waited */
static bool only_asked;    /* a wait ends at once */

static int note_wait(void *arg, struct kn_engine *engine, unsigned submit, unsigned wait,
                     int (*call)(struct kn_engine *, unsigned submit, unsigned wait))
{
	(void)arg;
	if (wait)
		asked_for = wait;
	if (wait && only_asked) {
		(void)call(engine, submit, 0);
		return -EINTR;
	}
	return call(engine, submit, wait);
}

static knit_loop *loop_with(int64_t min_wait, uint32_t min_complete)
{
	const struct kn_engine_faults faults = {.enter = note_wait};
	knit_loop *loop = knit_loop_new(.min_wait = min_wait, .min_complete = min_complete);

	cr_assert_not_null(loop);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	kn_engine_set_faults(loop->engine, &faults);
	ready_fd = eventfd(1, EFD_CLOEXEC);
	quiet_fd = eventfd(0, EFD_CLOEXEC);
	asked_for = 0;
	return loop;
}

static void done_with(knit_loop *loop)
{
	kn_engine_set_faults(loop->engine, NULL);
	cr_assert_eq(knit_loop_close(loop), 0);
	knit_loop_unref(loop);
	close(ready_fd);
	close(quiet_fd);
}

static bool is_known(const knit_loop *loop)
{
	return loop->engine->features & KN_FEAT_MIN_TIMEOUT && !loop->engine->valgrind;
}

static int completed;

static void complete(struct kn_op *op)
{
	(void)op;
	completed++;
}

static void poll_for(knit_loop *loop, struct kn_op *op, int fd)
{
	*op = (struct kn_op){.opcode = KN_OP_POLL, .fd = fd, .flags = 1, .complete = complete};
	cr_assert_eq(kn_engine_submit(loop->engine, op), 0);
}

/* A wait with so many operations in flight that do not complete. */
static unsigned asks_for(knit_loop *loop, int operations)
{
	struct kn_op ops[32];

	for (int i = 0; i < operations; i++)
		poll_for(loop, &ops[i], quiet_fd);
	only_asked = true;
	cr_assert_eq(knit_loop_run_once(loop, 3600 * KNIT_S), 0);
	only_asked = false;
	for (int i = 0; i < operations; i++)
		kn_engine_cancel(loop->engine, &ops[i]);
	completed = 0;
	for (int i = 0; i < 100 && completed < operations; i++)
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(completed, operations);
	return asked_for;
}

Test(min_wait, no_more_is_asked_for_than_can_come)
{
	knit_loop *loop = loop_with(KNIT_MS, 5);
	bool known = is_known(loop);

	cr_assert_eq(asks_for(loop, 0), 1, "its own poll does not count");
	cr_assert_eq(asks_for(loop, 1), 1);
	cr_assert_eq(asks_for(loop, 2), known ? 2 : 1);
	cr_assert_eq(asks_for(loop, 4), known ? 4 : 1);
	cr_assert_eq(asks_for(loop, 5), known ? 5 : 1);
	cr_assert_eq(asks_for(loop, 20), known ? 5 : 1);
	done_with(loop);
	loop = loop_with(KNIT_MS, 0);
	cr_assert_eq(asks_for(loop, 20), known ? 8 : 1, "by default");
	done_with(loop);
	loop = loop_with(0, 0);
	cr_assert_eq(asks_for(loop, 20), 1, "not unless it was asked for");
	done_with(loop);
	loop = loop_with(0, 8);
	cr_assert_eq(asks_for(loop, 20), 1);
	done_with(loop);
}

/* What the kernel has but not yet told counts among those that are waited for. */
Test(min_wait, what_is_kept_back_does_not_end_it)
{
	knit_loop *loop = loop_with(KNIT_MS, 8);
	int late_fd = eventfd(0, EFD_CLOEXEC);
	struct kn_op ops[20];

	completed = 0;
	for (int i = 0; i < 20; i++)
		poll_for(loop, &ops[i], i ? quiet_fd : late_fd);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(completed, 0);
	cr_assert_eq(eventfd_write(late_fd, 1), 0);
	only_asked = true;
	cr_assert_eq(knit_loop_run_once(loop, HOUR), 0);
	only_asked = false;
	cr_assert_eq(asked_for, is_known(loop) ? 8 : asked_for);
	cr_assert_eq(completed, 1, "and it came");
	done_with(loop);
	close(late_fd);
}

/* Fewer than asked for do complete: they come, and long before the deadline. */
Test(min_wait, what_is_there_after_it_is_enough)
{
	knit_loop *loop = loop_with(500 * KNIT_US, 8);
	struct kn_op ops[20];

	completed = 0;
	for (int i = 0; i < 20; i++)
		poll_for(loop, &ops[i], i < 3 ? ready_fd : quiet_fd);
	for (int i = 0; i < 100 && completed < 3; i++)
		cr_assert_geq(knit_loop_run_once(loop, HOUR), 0);
	cr_assert_eq(completed, 3);
	done_with(loop);
}

static void *write_one(void *loop)
{
	while (!rig_asleep(loop))
		sched_yield();
	(void)!eventfd_write(quiet_fd, 1);
	return NULL;
}

static void many_come(knit_loop *loop)
{
	pthread_t other = rig_thread(write_one, loop);
	struct kn_op ops[64];
	eventfd_t count;

	completed = 0;
	for (int i = 0; i < 64; i++)
		poll_for(loop, &ops[i], quiet_fd);
	for (int i = 0; i < 1000 && completed < 64; i++)
		cr_assert_geq(knit_loop_run_once(loop, HOUR), 0);
	cr_assert_eq(completed, 64);
	rig_join(other);
	cr_assert_eq(eventfd_read(quiet_fd, &count), 0);
}

/* An hour: what has to wait until then never comes. */
Test(min_wait, as_many_as_asked_for_end_it_at_once)
{
	knit_loop *loop = loop_with(HOUR, 8);

	for (int i = 0; i < 10; i++)
		many_come(loop);
	done_with(loop);
}

Test(min_wait, timers_come_in_time)
{
	knit_loop *loop = loop_with(300 * KNIT_US, 8);
	struct kn_op ops[20];

	for (int i = 0; i < 20; i++)
		poll_for(loop, &ops[i], quiet_fd);
	for (int i = 0; i < 20; i++) {
		int64_t when = knit_loop_time(loop) + 200 * KNIT_US;

		cr_assert_eq(knit_handle_error(knit_loop_call_at(loop, when, rig_stop, NULL)), 0);
		cr_assert_eq(knit_loop_run_forever(loop), 0);
		cr_assert_geq(rig_now(), when, "never early");
	}
	done_with(loop);
}

static void *post_stop(void *loop)
{
	while (!rig_asleep(loop))
		sched_yield();
	(void)!knit_loop_stop_threadsafe(loop);
	return NULL;
}

Test(min_wait, posts_come)
{
	knit_loop *loop = loop_with(300 * KNIT_US, 8);
	struct kn_op ops[20];

	for (int i = 0; i < 20; i++)
		poll_for(loop, &ops[i], quiet_fd);
	for (int i = 0; i < 20; i++) {
		pthread_t other = rig_thread(post_stop, loop);

		cr_assert_eq(knit_loop_run_forever(loop), 0);
		rig_join(other);
	}
	done_with(loop);
}

Test(min_wait, what_is_no_time_is_refused)
{
	errno = 0;
	cr_assert_null(knit_loop_new(.min_wait = -1));
	cr_assert_eq(errno, EINVAL);
}

static intptr_t sleep_a_little(void *arg)
{
	(void)arg;
	return knit_sleep(KNIT_MS);
}

Test(min_wait, whoever_makes_a_loop_may_ask_for_it)
{
	knit_runner *runner;

	cr_assert_eq(knit_run(sleep_a_little, NULL, .min_wait = KNIT_US, .min_complete = 4,
	                      .spin = 10 * KNIT_US),
	             0);
	cr_assert_eq(knit_run(sleep_a_little, NULL, .min_wait = -1), -EINVAL);
	cr_assert_eq(knit_run(sleep_a_little, NULL, .spin = -1), -EINVAL);
	runner = knit_runner_new(.spin = 3 * KNIT_US, .min_wait = 10 * KNIT_US, .min_complete = 2);
	cr_assert_not_null(runner);
	cr_assert_eq(knit_runner_get_loop(runner)->spin, 3 * KNIT_US);
	cr_assert_eq(knit_runner_get_loop(runner)->min_complete, 2);
	cr_assert_eq(knit_runner_run(runner, sleep_a_little, NULL), 0);
	knit_runner_unref(runner);
}
