/* SPDX-License-Identifier: MIT */
/* test_clock.c - the two clocks: when the virtual one jumps and when it does not, and that no
 * delay ends early. What the clocks do for tasks is tested in unit/task. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "engine/engine.h"

static knit_loop *loop;

static void make(uint32_t clock)
{
	loop = knit_loop_new(.clock = clock);
	cr_assert_not_null(loop);
}

/* ---- the real clock ---- */

struct alarm {
	int64_t due, ran;
};

static void alarm_rings(void *arg)
{
	((struct alarm *)arg)->ran = rig_now();
	knit_loop_stop(loop);
}

static void block_then_set(void *arg)
{
	struct alarm *alarm = arg;

	/* The time of the loop is that of the beginning of the pass by now. */
	(void)knit_loop_time(loop);
	rig_block(20 * KNIT_MS);
	alarm->due = rig_now() + 2 * KNIT_MS;
	knit_loop_call_later(loop, 2 * KNIT_MS, alarm_rings, alarm);
}

Test(clock, a_delay_counts_from_the_call_even_after_a_long_callback)
{
	struct alarm alarm = {0};

	make(KNIT_CLOCK_MONOTONIC);
	for (int i = 0; i < 3; i++) {
		knit_loop_call_soon(loop, block_then_set, &alarm);
		cr_assert_eq(knit_loop_run_forever(loop), 0);
		cr_assert_geq(alarm.ran, alarm.due);
	}
	knit_loop_unref(loop);
}

static void stop_at_ten(void *count)
{
	if (++*(int *)count == 10)
		knit_loop_stop(loop);
}

/* How often the loop sleeps for ten timers, a millisecond apart. */
static uint64_t sleeps_for_ten(unsigned long slack)
{
	int before = prctl(PR_GET_TIMERSLACK), count = 0;
	uint64_t sleeps;

	cr_assert_eq(prctl(PR_SET_TIMERSLACK, slack), 0);
	make(KNIT_CLOCK_MONOTONIC);
	for (int i = 1; i <= 10; i++)
		knit_loop_call_later(loop, i * KNIT_MS, stop_at_ten, &count);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(count, 10);
	sleeps = loop->counters.sleeps;
	knit_loop_unref(loop);
	cr_assert_eq(prctl(PR_SET_TIMERSLACK, (unsigned long)before), 0);
	return sleeps;
}

Test(clock, a_sleep_serves_all_deadlines_within_the_threads_timer_slack)
{
	cr_assert_eq(sleeps_for_ten(30 * KNIT_MS), 1);
	cr_assert_geq(sleeps_for_ten(1), 1);
}

Test(clock, no_timer_is_early)
{
	make(KNIT_CLOCK_MONOTONIC);
	for (int i = 0; i < 20; i++) {
		int64_t delay = i * 137 * KNIT_US;
		struct alarm alarm = {.due = rig_now() + delay};

		knit_loop_call_later(loop, delay, alarm_rings, &alarm);
		cr_assert_eq(knit_loop_run_forever(loop), 0);
		cr_assert_geq(alarm.ran, alarm.due);
	}
	knit_loop_unref(loop);
}

#define BURST 20000

/* Delays that are asked for in quick succession may share a reading of the clock. */
static void ask_for_many(void *arg)
{
	int64_t last = 0;

	(void)arg;
	for (int i = 0; i < BURST; i++) {
		int64_t before = rig_now(), after, start;
		knit_handle handle = knit_loop_call_later(loop, KNIT_S, rig_stop, NULL);

		after = rig_now();
		start = knit_handle_when(handle) - KNIT_S;
		cr_assert_geq(start, before, "it would be early");
		cr_assert_leq(start, after + 2 * KNIT_US, "the library's own lateness is bounded");
		cr_assert_geq(start, last, "equal delays keep their order");
		last = start;
		cr_assert(knit_handle_cancel(handle));
	}
	knit_loop_stop(loop);
}

Test(clock, delays_in_quick_succession_are_neither_early_nor_out_of_order)
{
	make(KNIT_CLOCK_MONOTONIC);
	for (int i = 0; i < 3; i++) {
		knit_loop_call_soon(loop, ask_for_many, NULL);
		cr_assert_eq(knit_loop_run_forever(loop), 0);
		rig_block(2 * KNIT_MS);
	}
	knit_loop_unref(loop);
}

static int64_t busy_due;
static int busy_after; /* callbacks that ran when the timer was due */

static void keep_busy(void *done)
{
	busy_after += rig_now() >= busy_due;
	if (!*(bool *)done)
		knit_loop_call_soon(loop, keep_busy, done);
}

static void busy_end(void *done)
{
	*(bool *)done = true;
	knit_loop_stop(loop);
}

Test(clock, callbacks_without_end_do_not_delay_a_timer)
{
	make(KNIT_CLOCK_MONOTONIC);
	for (int i = 0; i < 30; i++) {
		int64_t delay = (i % 3 ? 1 : 40) * i * 10 * KNIT_US;
		bool done = false;

		/* A farther one too, which the loop may have looked at first. */
		knit_handle far = knit_loop_call_later(loop, KNIT_S, rig_stop, NULL);

		knit_loop_call_soon(loop, keep_busy, &done);
		for (int k = 0; k < 3; k++)
			cr_assert_eq(knit_loop_run_once(loop, 0), 1);
		knit_loop_call_later(loop, delay, busy_end, &done);
		busy_due = rig_now() + delay + 2 * KNIT_US;
		busy_after = 0;
		cr_assert_eq(knit_loop_run_forever(loop), 0);
		cr_assert_leq(busy_after, 3, "of its pass, of that before, of the one it stopped");
		cr_assert(knit_handle_cancel(far));
		cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	}
	knit_loop_unref(loop);
}

static void read_time_twice(void *times)
{
	((int64_t *)times)[0] = knit_loop_time(loop);
	rig_block(KNIT_MS);
	((int64_t *)times)[1] = knit_loop_time(loop);
}

Test(clock, the_time_stands_still_within_a_pass_and_never_goes_back)
{
	int64_t before, times[4];

	make(KNIT_CLOCK_MONOTONIC);
	before = rig_now();
	for (int i = 0; i < 2; i++) {
		knit_loop_call_soon(loop, read_time_twice, times + 2 * i);
		cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	}
	cr_assert_geq(times[0], before);
	cr_assert_eq(times[0], times[1]);
	cr_assert_gt(times[2], times[0]);
	cr_assert_leq(times[2], rig_now());
	knit_loop_unref(loop);
}

/* ---- the virtual clock: jumps ---- */

Test(clock, virtual_time_jumps_to_the_next_deadline)
{
	int64_t day = 24 * 3600 * KNIT_S;
	int runs = 0;

	make(KNIT_CLOCK_VIRTUAL);
	cr_assert_eq(knit_loop_time(loop), 0);
	for (int i = 1; i <= 365; i++)
		knit_loop_call_at(loop, i * day, rig_count, &runs);
	for (int i = 1; i <= 365; i++) {
		cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
		cr_assert_eq(runs, i);
		cr_assert_eq(knit_loop_time(loop), i * day);
	}
	cr_assert_eq(loop->counters.sleeps, 0);
	knit_loop_unref(loop);
}

static void call_soon_until_zero(void *left)
{
	if (--*(int *)left)
		knit_loop_call_soon(loop, call_soon_until_zero, left);
}

Test(clock, virtual_time_does_not_jump_while_something_is_ready)
{
	int left = 100, runs = 0;

	make(KNIT_CLOCK_VIRTUAL);
	knit_loop_call_soon(loop, call_soon_until_zero, &left);
	knit_loop_call_at(loop, 1, rig_count, &runs);
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(knit_loop_time(loop), 0);
		cr_assert_geq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
		cr_assert_eq(runs, 0);
	}
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	cr_assert_eq(runs, 1);
	knit_loop_unref(loop);
}

Test(clock, run_once_jumps_no_farther_than_its_limit)
{
	int runs = 0;

	make(KNIT_CLOCK_VIRTUAL);
	knit_loop_call_at(loop, KNIT_S, rig_count, &runs);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(knit_loop_time(loop), 0);
	cr_assert_eq(knit_loop_run_once(loop, KNIT_MS), 0);
	cr_assert_eq(knit_loop_time(loop), KNIT_MS);
	cr_assert_eq(runs, 0);
	cr_assert_eq(knit_loop_run_once(loop, 2 * KNIT_S), 0);
	cr_assert_eq(knit_loop_time(loop), KNIT_S);
	cr_assert_eq(runs, 1);
	knit_loop_unref(loop);
}

Test(clock, virtual_time_never_goes_back)
{
	int runs = 0;

	make(KNIT_CLOCK_VIRTUAL);
	knit_loop_call_at(loop, KNIT_S, rig_count, &runs);
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	knit_loop_call_at(loop, 1, rig_count, &runs);
	knit_loop_call_at(loop, INT64_MIN, rig_count, &runs);
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	cr_assert_eq(runs, 3);
	cr_assert_eq(knit_loop_time(loop), KNIT_S);
	knit_loop_unref(loop);
}

/* ---- what it waits for ---- */

/* An operation that another thread ends. */
struct outside {
	struct kn_op op;
	int64_t loop_time; /* when it completed; -1 before */
};

static void outside_complete(struct kn_op *op)
{
	kn_container_of(op, struct outside, op)->loop_time = knit_loop_time(loop);
	knit_loop_stop(loop);
}

static void outside_start(void *arg)
{
	struct outside *outside = arg;

	cr_assert_eq(kn_engine_submit(loop->engine, &outside->op), 0);
}

static struct outside outside_of(int fd)
{
	return (struct outside){.op = {.opcode = KN_OP_POLL,
	                               .fd = fd,
	                               .flags = POLLIN,
	                               .complete = outside_complete},
	                        .loop_time = -1};
}

/* Ends it once the loop has gone to sleep: then it cannot have jumped. */
static void *end_when_asleep(void *fd)
{
	const uint64_t one = 1;

	while (!rig_asleep(loop))
		sched_yield();
	return write(*(int *)fd, &one, sizeof(one)) == sizeof(one) ? fd : NULL;
}

Test(clock, virtual_time_stands_still_while_an_operation_is_outstanding)
{
	int fd = eventfd(0, EFD_CLOEXEC), runs = 0;
	struct outside outside = outside_of(fd);
	pthread_t thread;

	make(KNIT_CLOCK_VIRTUAL);
	knit_loop_call_soon(loop, outside_start, &outside);
	knit_loop_call_later(loop, KNIT_S, rig_count, &runs);
	thread = rig_thread(end_when_asleep, &fd);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_not_null(rig_join(thread));
	cr_assert_eq(outside.loop_time, 0);
	cr_assert_eq(runs, 0);
	/* And goes on afterwards. */
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	cr_assert_eq(runs, 1);
	cr_assert_eq(knit_loop_time(loop), KNIT_S);
	knit_loop_unref(loop);
	close(fd);
}

Test(clock, the_jumping_clock_jumps_over_operations)
{
	int fd = eventfd(0, EFD_CLOEXEC), runs = 0;
	struct outside outside = outside_of(fd);

	make(KNIT_CLOCK_VIRTUAL_JUMP);
	knit_loop_call_soon(loop, outside_start, &outside);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	knit_loop_call_later(loop, KNIT_S, rig_count, &runs);
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	cr_assert_eq(runs, 1);
	cr_assert_eq(knit_loop_time(loop), KNIT_S);
	cr_assert_eq(outside.loop_time, -1);
	/* With no deadline left it waits for the operation. */
	pthread_t thread = rig_thread(end_when_asleep, &fd);

	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_not_null(rig_join(thread));
	cr_assert_eq(outside.loop_time, KNIT_S);
	knit_loop_unref(loop);
	close(fd);
}

struct posting {
	int64_t time; /* of the loop, when the post ran */
	bool ran;
};

static void note_time(void *arg)
{
	struct posting *posting = arg;

	posting->time = knit_loop_time(loop);
	posting->ran = true;
}

static void *post_note_time(void *posting)
{
	return knit_loop_call_soon_threadsafe(loop, note_time, posting) == 0 ? posting : NULL;
}

Test(clock, virtual_time_does_not_jump_over_a_post)
{
	struct posting posting = {0};
	int runs = 0;

	make(KNIT_CLOCK_VIRTUAL);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	knit_loop_call_later(loop, KNIT_S, rig_count, &runs);
	cr_assert_not_null(rig_on_thread(post_note_time, &posting));
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	cr_assert(posting.ran);
	cr_assert_eq(posting.time, 0);
	cr_assert_eq(runs, 0);
	knit_loop_unref(loop);
}

/* ---- nothing left ---- */

Test(clock, with_nothing_left_to_wait_for_the_run_ends)
{
	int runs = 0;

	make(KNIT_CLOCK_VIRTUAL);
	cr_assert_eq(knit_loop_run_forever(loop), -EDEADLK);
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), -EDEADLK);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0, "which does not wait");
	cr_assert_eq(knit_loop_run_once(loop, KNIT_S), 0, "which waits for a time");
	knit_loop_call_later(loop, KNIT_S, rig_count, &runs);
	cr_assert_eq(knit_loop_run_forever(loop), -EDEADLK);
	cr_assert_eq(runs, 1);
	knit_loop_call_later(loop, KNIT_FOREVER, rig_count, &runs);
	cr_assert_eq(knit_loop_run_forever(loop), -EDEADLK, "never is nothing");
	knit_loop_call_soon(loop, rig_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0, "the loop is of use still");
	knit_loop_unref(loop);
}

static void *stop_when_asleep(void *arg)
{
	knit_loop *mine = arg;
	static int result;

	while (!rig_asleep(mine))
		sched_yield();
	result = knit_loop_stop_threadsafe(mine);
	knit_loop_unref(mine);
	return &result;
}

Test(clock, another_threads_reference_is_something_to_wait_for)
{
	make(KNIT_CLOCK_VIRTUAL);
	for (int i = 0; i < 10; i++) {
		pthread_t thread = rig_thread(stop_when_asleep, knit_loop_ref(loop));

		cr_assert_eq(knit_loop_run_forever(loop), 0);
		cr_assert_eq(*(int *)rig_join(thread), 0);
	}
	cr_assert_eq(knit_loop_run_forever(loop), -EDEADLK, "it has been dropped");
	knit_loop_unref(loop);
}
