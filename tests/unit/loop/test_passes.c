/* SPDX-License-Identifier: MIT */
/* test_passes.c - what one pass runs and in which order, stopping, and who may run a loop. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static knit_loop *loop;

static void setup(void)
{
	loop = knit_loop_new();
	cr_assert_not_null(loop);
	rig_trace_reset();
}

static void teardown(void)
{
	knit_loop_unref(loop);
}

static void pass(void)
{
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
}

/* ---- the snapshot ---- */

static void note_and_schedule(void *text)
{
	rig_note(text);
	knit_loop_call_soon(loop, rig_note, TEXT("next"));
}

Test(passes, a_pass_runs_what_was_ready_at_its_start, .init = setup)
{
	knit_loop_call_soon(loop, note_and_schedule, TEXT("a"));
	knit_loop_call_soon(loop, rig_note, TEXT("b"));
	cr_assert_eq(knit_loop_run_once(loop, 0), 1, "there is more to do");
	cr_assert_str_eq(rig_trace, "a b ");
	cr_assert_eq(knit_loop_run_once(loop, 0), 0, "that was all");
	cr_assert_str_eq(rig_trace, "a b next ");
	teardown();
}

static void schedule_itself(void *runs)
{
	++*(int *)runs;
	knit_loop_call_soon(loop, schedule_itself, runs);
}

Test(passes, what_schedules_itself_runs_once_a_pass, .init = setup)
{
	int runs = 0;

	knit_loop_call_soon(loop, schedule_itself, &runs);
	for (int i = 1; i <= 100; i++) {
		pass();
		cr_assert_eq(runs, i);
	}
	cr_assert_eq(loop->counters.passes, 100);
	teardown();
}

/* ---- the order of the sources ---- */

struct poll_op {
	struct kn_op op;
	struct kn_ready ready; /* a completion makes things ready, as a task's wake-up does */
	const char *text;
	int fd;
};

static void poll_ready(struct kn_ready *ready)
{
	rig_note(TEXT(kn_container_of(ready, struct poll_op, ready)->text));
}

static void poll_complete(struct kn_op *op)
{
	kn_loop_ready(loop, &kn_container_of(op, struct poll_op, op)->ready);
}

/* An operation that completes as soon as the kernel sees it. */
static void poll_start(struct poll_op *poll, const char *text)
{
	poll->fd = eventfd(1, EFD_CLOEXEC);
	cr_assert_geq(poll->fd, 0);
	poll->text = text;
	poll->ready.run = poll_ready;
	poll->op = (struct kn_op){
	        .opcode = KN_OP_POLL, .fd = poll->fd, .flags = 1, .complete = poll_complete};
	cr_assert_eq(kn_engine_submit(loop->engine, &poll->op), 0);
}

static void *post_twice(void *ignored)
{
	static int results[2];

	(void)ignored;
	results[0] = knit_loop_call_soon_threadsafe(loop, rig_note, TEXT("post1"));
	results[1] = knit_loop_call_soon_threadsafe(loop, rig_note, TEXT("post2"));
	return results[0] == 0 && results[1] == 0 ? results : NULL;
}

Test(passes, completions_come_before_timers_before_posts, .init = setup)
{
	struct poll_op poll = {0};

	pass();
	cr_assert_not_null(rig_on_thread(post_twice, NULL));
	knit_loop_call_later(loop, 0, rig_note, TEXT("timer"));
	poll_start(&poll, "completion");
	knit_loop_call_soon(loop, rig_note, TEXT("ready"));
	pass();
	cr_assert_str_eq(rig_trace, "ready completion timer post1 post2 ");
	close(poll.fd);
	teardown();
}

Test(passes, a_post_from_the_own_thread_is_in_line_with_call_soon, .init = setup)
{
	knit_loop_call_soon(loop, rig_note, TEXT("1"));
	cr_assert_eq(knit_loop_call_soon_threadsafe(loop, rig_note, TEXT("2")), 0);
	knit_loop_call_soon(loop, rig_note, TEXT("3"));
	cr_assert_eq(knit_loop_call_soon_threadsafe(loop, rig_note, TEXT("4")), 0);
	pass();
	cr_assert_str_eq(rig_trace, "1 2 3 4 ");
	teardown();
}

struct flood {
	long count;
	int refused;
};

static void *post_many(void *arg)
{
	struct flood *flood = arg;
	static int ignored;

	for (long i = 0; i < flood->count; i++)
		if (knit_loop_call_soon_threadsafe(loop, rig_count, &ignored) < 0)
			flood->refused++;
	return NULL;
}

Test(passes, posts_from_one_thread_keep_their_order_over_many_passes, .init = setup)
{
	struct flood flood = {.count = 1000};
	int passes;

	cr_assert_eq(knit_loop_call_soon_threadsafe(loop, rig_note, TEXT("own")), 0);
	rig_on_thread(post_many, &flood);
	cr_assert_not_null(rig_on_thread(post_twice, NULL));
	cr_assert_eq(flood.refused, 0);
	for (passes = 0; loop->counters.posts < 1002; passes++) {
		cr_assert_lt(passes, 100);
		pass();
	}
	cr_assert_str_eq(rig_trace, "own post1 post2 ");
	cr_assert_gt(passes, 1, "a pass takes a bounded number of posts");
	teardown();
}

/* ---- stopping ---- */

static void stop_and_note(void *text)
{
	knit_loop_stop(loop);
	rig_note(text);
	knit_loop_call_soon(loop, rig_note, TEXT("after"));
}

Test(passes, stop_lets_the_pass_end, .init = setup)
{
	knit_loop_call_soon(loop, stop_and_note, TEXT("stop"));
	knit_loop_call_soon(loop, rig_note, TEXT("same-pass"));
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_str_eq(rig_trace, "stop same-pass ");
	knit_loop_call_soon(loop, rig_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_str_eq(rig_trace, "stop same-pass after ");
	teardown();
}

Test(passes, stop_before_a_run_makes_it_one_pass_without_waiting, .init = setup)
{
	knit_loop_call_soon(loop, note_and_schedule, TEXT("a"));
	knit_loop_stop(loop);
	knit_loop_stop(loop);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_str_eq(rig_trace, "a ");
	cr_assert_eq(loop->counters.passes, 1);
	cr_assert_eq(loop->counters.sleeps, 0);
	knit_loop_call_soon(loop, rig_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0, "stopping twice counts once");
	cr_assert_eq(loop->counters.passes, 2);
	teardown();
}

Test(passes, stop_from_another_thread_ends_a_run_that_waits)
{
	struct worker worker = {0};

	worker_start(&worker);
	rig_until(rig_asleep, worker.loop);
	cr_assert(knit_loop_is_running(worker.loop));
	cr_assert_eq(knit_loop_stop_threadsafe(worker.loop), 0);
	worker_join(&worker);
	cr_assert_eq(worker.run, 0);
	cr_assert_eq(knit_loop_stop_threadsafe(worker.loop), -KNIT_ECLOSED);
	cr_assert_not(knit_loop_is_running(worker.loop));
	cr_assert(knit_loop_is_closed(worker.loop));
	knit_loop_unref(worker.loop);
}

/* ---- run_once ---- */

Test(passes, run_once_without_waiting_returns_at_once, .init = setup)
{
	int runs = 0;

	knit_loop_call_later(loop, KNIT_FOREVER, rig_count, &runs);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(knit_loop_run_once(loop, -5), 0);
	cr_assert_eq(loop->counters.sleeps, 0);
	cr_assert_eq(runs, 0);
	teardown();
}

Test(passes, run_once_waits_for_the_timer_but_not_beyond_its_limit, .init = setup)
{
	int64_t begin = rig_now();
	int runs = 0;

	knit_loop_call_later(loop, KNIT_S * 1000, rig_count, &runs);
	cr_assert_eq(knit_loop_run_once(loop, 2 * KNIT_MS), 0);
	cr_assert_geq(rig_now() - begin, 2 * KNIT_MS);
	cr_assert_eq(runs, 0);
	knit_loop_call_later(loop, KNIT_MS, rig_count, &runs);
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	cr_assert_eq(runs, 1);
	teardown();
}

Test(passes, run_once_does_not_wait_if_something_is_ready, .init = setup)
{
	int runs = 0;

	knit_loop_call_soon(loop, rig_count, &runs);
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	cr_assert_eq(runs, 1);
	knit_loop_stop(loop);
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0, "stopped: one pass, no wait");
	cr_assert_eq(loop->counters.sleeps, 0);
	teardown();
}

Test(passes, a_pass_with_nothing_to_do_makes_no_system_call, .init = setup)
{
	struct kn_engine_counters before, after;
	int runs = 0;

	pass();
	kn_engine_counters(loop->engine, &before);
	knit_loop_call_soon(loop, schedule_itself, &runs);
	for (int i = 0; i < 1000; i++)
		pass();
	kn_engine_counters(loop->engine, &after);
	cr_assert_eq(runs, 1000);
	cr_assert_eq(before.enters, after.enters);
	teardown();
}

/* ---- who may run ---- */

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

struct attempts {
	knit_loop *other;
	long own_forever, own_once, own_until, other_forever, other_once, other_until, run, close;
};

static void attempt_all(void *arg)
{
	struct attempts *a = arg;

	a->own_forever = knit_loop_run_forever(loop);
	a->own_once = knit_loop_run_once(loop, 0);
	a->own_until = knit_loop_run_until_complete(loop, nothing, NULL);
	a->other_forever = knit_loop_run_forever(a->other);
	a->other_once = knit_loop_run_once(a->other, 0);
	a->other_until = knit_loop_run_until_complete(a->other, nothing, NULL);
	a->run = knit_run(nothing, NULL);
	a->close = knit_loop_close(loop);
	knit_loop_stop(loop);
}

Test(passes, loops_do_not_nest, .init = setup)
{
	struct attempts a = {.other = knit_loop_new()};

	knit_loop_call_soon(loop, attempt_all, &a);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(a.own_forever, -KNIT_ERUNNING);
	cr_assert_eq(a.own_once, -KNIT_ERUNNING);
	cr_assert_eq(a.own_until, -KNIT_ERUNNING);
	cr_assert_eq(a.other_forever, -KNIT_ERUNNING);
	cr_assert_eq(a.other_once, -KNIT_ERUNNING);
	cr_assert_eq(a.other_until, -KNIT_ERUNNING);
	cr_assert_eq(a.run, -KNIT_ERUNNING);
	cr_assert_eq(a.close, -KNIT_ERUNNING);
	cr_assert_not(knit_loop_is_closed(loop));
	/* The refusals have left nothing behind: both run. */
	cr_assert_eq(knit_loop_run_until_complete(a.other, nothing, (void *)7), 7);
	cr_assert_eq(knit_loop_run_until_complete(loop, nothing, (void *)8), 8);
	knit_loop_unref(a.other);
	teardown();
}

Test(passes, two_loops_of_a_thread_take_turns, .init = setup)
{
	knit_loop *other = knit_loop_new();
	int runs = 0, others = 0;

	knit_loop_call_soon(loop, schedule_itself, &runs);
	knit_loop_call_soon(other, rig_count, &others);
	for (int i = 0; i < 10; i++) {
		pass();
		cr_assert_eq(knit_loop_run_once(other, 0), 0);
	}
	cr_assert_eq(runs, 10);
	cr_assert_eq(others, 1);
	cr_assert_null(knit_get_running_loop());
	cr_assert_eq(errno, KNIT_ENOLOOP);
	knit_loop_unref(other);
	teardown();
}

static void close_another(void *other)
{
	knit_loop_call_soon(other, rig_note, TEXT("dropped"));
	cr_assert_eq(knit_loop_call_soon_threadsafe(other, rig_note, TEXT("post")), 0);
	cr_assert_eq(knit_loop_close(other), 0);
	cr_assert_eq(knit_get_running_loop(), loop);
	rig_note(TEXT("closed"));
	knit_loop_stop(loop);
}

Test(passes, another_loop_of_the_thread_can_be_closed_in_a_callback, .init = setup)
{
	knit_loop *other = knit_loop_new();

	cr_assert_eq(knit_loop_run_once(other, 0), 0);
	knit_loop_call_soon(loop, close_another, other);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_str_eq(rig_trace, "post closed ");
	knit_loop_unref(other);
	teardown();
}

Test(passes, a_closed_loop_does_not_run, .init = setup)
{
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(knit_loop_run_forever(loop), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_run_once(loop, 0), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_run_until_complete(loop, nothing, NULL), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_fd(loop), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_close(loop), 0);
	teardown();
}
