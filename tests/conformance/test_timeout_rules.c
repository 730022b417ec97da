/* SPDX-License-Identifier: MIT */
/* test_timeout_rules.c - rules 135 to 147 and their scenarios: what a timeout takes back at its
 * exit is its own cancellation, and nothing else. */
#include "common.h"
#include "knit/timeout.h"

#define ENTER(timeout, delay) cr_assert_eq(knit_timeout_enter(&(timeout), (delay)), 0)

static void cancel_me(const char *text)
{
	cr_assert(knit_task_cancel(knit_current_task(NULL), text));
}

/* ---- the deadline and others ------------------------------------------------------- */

CORO(expire)
{
	knit_timeout timeout;
	int64_t before = knit_loop_time(NULL);

	ENTER(timeout, KNIT_S);
	cr_assert_eq(knit_timeout_when(&timeout), before + KNIT_S);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_sleep(10 * KNIT_S)), -ETIMEDOUT);
	cr_assert_eq(knit_loop_time(NULL), before + KNIT_S);
	cr_assert(knit_timeout_expired(&timeout));
	cr_assert_eq(cancelling(), 0);
	ticks(1);
	return 0;
}

/* The count at the entry is what matters: an old cancellation that was never taken back. */
CORO(expire_after_a_cancellation)
{
	knit_timeout timeout;

	cancel_me(NULL);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	ENTER(timeout, KNIT_S);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_sleep(10 * KNIT_S)), -ETIMEDOUT);
	cr_assert_eq(cancelling(), 1);
	ticks(1);
	return 0;
}

Test(rules, r135_a_timeout_cancels_at_its_deadline_and_takes_that_back)
{
	run(expire);
	run(expire_after_a_cancellation);
}

static intptr_t sleep_in_timeout(void *timeout)
{
	intptr_t r;

	cr_assert_eq(knit_timeout_enter(timeout, KNIT_S), 0);
	r = knit_timeout_exit(timeout, knit_sleep(10 * KNIT_S));
	trace("%s %d", repr(r), cancelling());
	return r;
}

CORO(cancel_from_outside)
{
	knit_timeout timeout;
	knit_task *task = knit_create_task(sleep_in_timeout, &timeout);

	ticks(1);
	cr_assert(knit_task_cancel(task, "outside"));
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	cr_assert_not(knit_timeout_expired(&timeout));
	return 0;
}

Test(rules, r136_a_cancellation_from_outside_passes_through)
{
	run(cancel_from_outside);
	assert_trace("CancelledError(outside) 1");
}

static bool after_the_deadline;

CORO(cancel_at_the_deadline)
{
	knit_timeout timeout;
	knit_task *task = knit_create_task(sleep_in_timeout, &timeout);

	/* Both are due in the same pass, in either order. */
	if (after_the_deadline)
		ticks(1);
	cr_assert_eq(knit_handle_error(knit_loop_call_at(NULL, KNIT_S, cancel_it, task)), 0);
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	cr_assert(knit_timeout_expired(&timeout));
	return 0;
}

Test(rules, r137_at_the_deadline_a_cancellation_from_outside_wins)
{
	run(cancel_at_the_deadline);
	after_the_deadline = true;
	run(cancel_at_the_deadline);
	assert_trace("CancelledError() 1 | CancelledError() 1");
}

CORO(fail_after_the_deadline)
{
	knit_timeout timeout;

	ENTER(timeout, KNIT_S);
	cr_assert_eq(knit_sleep(10 * KNIT_S), -KNIT_ECANCELLED);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_raise(ENOENT, "gone")), -ENOENT);
	cr_assert_str_eq(knit_error_message(-ENOENT), "gone");
	cr_assert(knit_timeout_expired(&timeout));
	cr_assert_eq(cancelling(), 0);
	ticks(1);
	return 0;
}

Test(rules, r138_another_failure_of_the_body_goes_on)
{
	run(fail_after_the_deadline);
}

CORO(swallow)
{
	knit_timeout timeout;

	ENTER(timeout, KNIT_S);
	cr_assert_eq(knit_sleep(10 * KNIT_S), -KNIT_ECANCELLED);
	cr_assert_eq(cancelling(), 1);
	ticks(1); /* once, and not again */
	cr_assert_eq(knit_timeout_exit(&timeout, 5), 5);
	cr_assert(knit_timeout_expired(&timeout));
	cr_assert_eq(cancelling(), 0);
	return 0;
}

Test(rules, r139_a_body_that_goes_on_all_the_same_is_not_timed_out)
{
	run(swallow);
}

/* ---- nested ------------------------------------------------------------------------ */

static intptr_t nest(int64_t outer_when, int64_t inner_when)
{
	knit_timeout outer, inner;
	intptr_t r;

	cr_assert_eq(knit_timeout_enter_at(&outer, outer_when), 0);
	cr_assert_eq(knit_timeout_enter_at(&inner, inner_when), 0);
	r = knit_timeout_exit(&inner, knit_sleep(KNIT_FOREVER));
	trace("inner->%s %s %s", r == -KNIT_ECANCELLED ? "CancelledError" : repr(r),
	      yes(knit_timeout_expired(&inner)), yes(knit_timeout_expired(&outer)));
	if (r == -ETIMEDOUT && inner_when < outer_when)
		r = knit_sleep(0);
	r = knit_timeout_exit(&outer, r);
	trace("outer %s %s %d", repr(r), yes(knit_timeout_expired(&outer)), cancelling());
	return r;
}

CORO(nest_with_one_deadline)
{
	cr_assert_eq(nest(KNIT_S, KNIT_S), -ETIMEDOUT);
	return 0;
}

Test(rules, r140_of_nested_ones_with_one_deadline_the_outermost_is_told)
{
	run(nest_with_one_deadline);
	assert_trace("inner->CancelledError True True | outer TimeoutError True 0");
}

CORO(nest_inner_first)
{
	cr_assert_eq(nest(2 * KNIT_S, KNIT_S), 0);
	return 0;
}

Test(rules, r141_an_inner_one_that_is_earlier_leaves_the_outer_alone)
{
	run(nest_inner_first);
	assert_trace("inner->TimeoutError True False | outer 0 False 0");
}

CORO(nest_as_python)
{
	knit_timeout outer, inner;
	int r;

	(void)nest(10 * KNIT_MS, 10 * KNIT_MS);
	ENTER(outer, 10 * KNIT_S);
	ENTER(inner, 5 * KNIT_MS);
	r = (int)knit_timeout_exit(&inner, knit_sleep(10 * KNIT_S));
	cr_assert_eq(r, -ETIMEDOUT);
	trace("inner only %s %s %d", yes(knit_timeout_expired(&inner)),
	      yes(knit_timeout_expired(&outer)), cancelling());
	ticks(1);
	trace("outer body continues");
	cr_assert_eq(knit_timeout_exit(&outer, 0), 0);
	trace("%s", yes(knit_timeout_expired(&outer)));
	return 0;
}

Test(scenarios, s28_timeout_nested_same_deadline)
{
	run(nest_as_python);
	assert_trace("inner->CancelledError True True | outer TimeoutError True 0 | "
	             "inner only True False 0 | outer body continues | False");
}

/* ---- no time at all ---------------------------------------------------------------- */

static void try_past_delay(int64_t delay)
{
	knit_timeout timeout;

	ENTER(timeout, delay);
	cr_assert_eq(knit_timeout_exit(&timeout, 7), 7, "nothing suspended");
	cr_assert_not(knit_timeout_expired(&timeout));
	ENTER(timeout, delay);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_sleep(0)), -ETIMEDOUT);
	cr_assert(knit_timeout_expired(&timeout));
	cr_assert_eq(cancelling(), 0);
	ticks(1);
}

CORO(past_delays)
{
	try_past_delay(0);
	try_past_delay(-1);
	try_past_delay(INT64_MIN);
	cr_assert_eq(knit_sleep(KNIT_S), 0);
	try_past_delay(-1);
	return 0;
}

Test(rules, r142_a_deadline_that_has_passed_hurts_at_the_first_suspension)
{
	run(past_delays);
}

CORO(cancel_before_a_timeout)
{
	knit_timeout timeout;

	cancel_me("earlier");
	ENTER(timeout, 0);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_sleep(KNIT_S)), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "earlier");
	cr_assert_eq(cancelling(), 1);
	ticks(1);
	return 0;
}

/* The deadline comes while the body cleans up after the other cancellation. */
CORO(cancel_before_a_timeout_that_expires_later)
{
	knit_timeout timeout;

	cancel_me(NULL);
	ENTER(timeout, KNIT_S);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_eq(knit_sleep(10 * KNIT_S), -KNIT_ECANCELLED);
	cr_assert(knit_timeout_expired(&timeout));
	cr_assert_eq(knit_timeout_exit(&timeout, -KNIT_ECANCELLED), -KNIT_ECANCELLED);
	cr_assert_eq(cancelling(), 1);
	return 0;
}

/* The request that was pending at the entry went to the task that the body awaits. */
CORO(cancel_before_a_timeout_that_awaits)
{
	knit_task *child = knit_create_task(sleep_forever, NULL);
	knit_timeout timeout;

	ticks(1);
	cancel_me(NULL);
	ENTER(timeout, 0);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_await(child)), -KNIT_ECANCELLED);
	cr_assert_eq(cancelling(), 1);
	ticks(1);
	return 0;
}

Test(rules, r143_a_timeout_never_swallows_an_earlier_cancellation)
{
	run(cancel_before_a_timeout);
	run(cancel_before_a_timeout_that_expires_later);
	run(cancel_before_a_timeout_that_awaits);
}

/* ---- states ------------------------------------------------------------------------ */

CORO(misuse)
{
	knit_timeout timeout = {{0}};

	cr_assert_eq(knit_timeout_reschedule(&timeout, 1), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_timeout_when(&timeout), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_timeout_exit(&timeout, 1), -KNIT_EINVALIDSTATE);
	ENTER(timeout, KNIT_FOREVER);
	cr_assert_eq(knit_timeout_when(&timeout), KNIT_FOREVER);
	cr_assert_eq(knit_timeout_enter(&timeout, 1), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_sleep(1000 * KNIT_S), 0);
	cr_assert_eq(knit_timeout_reschedule(&timeout, knit_loop_time(NULL) + 5), 0);
	cr_assert_eq(knit_timeout_reschedule(&timeout, KNIT_FOREVER), 0);
	cr_assert_eq(knit_sleep(1000 * KNIT_S), 0);
	cr_assert_eq(knit_timeout_reschedule(&timeout, knit_loop_time(NULL) + 5), 0);
	cr_assert_eq(knit_sleep(KNIT_S), -KNIT_ECANCELLED);
	cr_assert_eq(knit_timeout_reschedule(&timeout, KNIT_FOREVER), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_timeout_exit(&timeout, -KNIT_ECANCELLED), -ETIMEDOUT);
	cr_assert_eq(knit_timeout_reschedule(&timeout, 1), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_timeout_exit(&timeout, 1), -KNIT_EINVALIDSTATE);
	return 0;
}

/* Differs: storage that was left can be entered again */
Test(rules, r144_without_a_deadline_and_misused)
{
	knit_timeout timeout;

	run(misuse);
	cr_assert_eq(knit_timeout_enter(&timeout, 1), -KNIT_ENOTASK);
}

CORO(reschedule_to_the_past)
{
	knit_timeout timeout;

	ENTER(timeout, 10 * KNIT_S);
	cr_assert_eq(knit_timeout_reschedule(&timeout, knit_loop_time(NULL) - 1), 0);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_sleep(0)), -ETIMEDOUT);
	ENTER(timeout, 0);
	cr_assert_eq(knit_timeout_reschedule(&timeout, KNIT_FOREVER), 0);
	ticks(2);
	cr_assert_eq(knit_timeout_exit(&timeout, 0), 0);
	return 0;
}

Test(rules, r145_a_deadline_moved_to_the_past_is_over_in_the_next_pass)
{
	run(reschedule_to_the_past);
}

CORO(states)
{
	knit_timeout timeout = {{0}};

	cr_assert_not(knit_timeout_expired(&timeout), "created");
	ENTER(timeout, KNIT_S);
	cr_assert_not(knit_timeout_expired(&timeout), "active");
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	cr_assert(knit_timeout_expired(&timeout), "expiring");
	cr_assert_eq(knit_timeout_exit(&timeout, 0), 0);
	cr_assert(knit_timeout_expired(&timeout), "expired");
	ENTER(timeout, KNIT_S);
	cr_assert_eq(knit_timeout_exit(&timeout, 0), 0);
	cr_assert_not(knit_timeout_expired(&timeout), "finished");
	cr_assert_eq(knit_timeout_when(&timeout), 2 * KNIT_S);
	return 0;
}

Test(rules, r146_it_is_active_then_expiring_then_expired_or_finished)
{
	run(states);
}

/* The deadline has made the task ready with a cancellation, which the task does not see: what it
 * waited for had come before. */
CORO(leave_with_a_cancellation_pending)
{
	knit_timeout timeout;

	ENTER(timeout, KNIT_S);
	cr_assert_eq(knit_sleep(KNIT_S - 1), 0);
	/* A request of its own that nobody delivers, and the deadline's. */
	cr_assert_eq(knit_timeout_reschedule(&timeout, 0), 0);
	cr_assert_eq(knit_timeout_exit(&timeout, 1), 1);
	cr_assert_eq(cancelling(), 0);
	ticks(2);
	ENTER(timeout, KNIT_S);
	cancel_me("mine");
	cr_assert_eq(knit_timeout_exit(&timeout, 1), 1);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "mine");
	return 0;
}

CORO(leave_no_timer)
{
	knit_timeout timeout;
	intptr_t bodies[] = {0, 3, -EIO, -KNIT_ECANCELLED};

	for (int i = 0; i < 4; i++) {
		ENTER(timeout, KNIT_S);
		cr_assert_eq(knit_timeout_exit(&timeout, bodies[i]), bodies[i]);
	}
	cr_assert_eq(knit_sleep(10 * KNIT_S), 0);
	cr_assert_eq(cancelling(), 0);
	return 0;
}

Test(rules, r147_the_exit_stops_the_timer_and_takes_exactly_its_own_cancellation)
{
	run(leave_with_a_cancellation_pending);
	run(leave_no_timer);
}

static const char *spell(int r)
{
	return r == -KNIT_EINVALIDSTATE ? "INVALIDSTATE" : repr(r);
}

CORO(states_as_python)
{
	knit_timeout timeout = {{0}}, second;

	trace("%s", spell(knit_timeout_reschedule(&timeout, 1)));
	ENTER(timeout, 10 * KNIT_MS);
	cr_assert_eq(knit_timeout_reschedule(&timeout, KNIT_FOREVER), 0);
	cr_assert_eq(knit_sleep(20 * KNIT_MS), 0);
	trace("alive %s %s", yes(knit_timeout_expired(&timeout)),
	      knit_timeout_when(&timeout) == KNIT_FOREVER ? "None" : "a time");
	trace("%s", spell(knit_timeout_enter(&timeout, 1)));
	cr_assert_eq(knit_timeout_exit(&timeout, 0), 0);
	trace("%s", spell(knit_timeout_reschedule(&timeout, 1)));
	ENTER(second, 10 * KNIT_S);
	cr_assert_eq(knit_timeout_reschedule(&second, knit_loop_time(NULL) - KNIT_S), 0);
	if (knit_timeout_exit(&second, knit_sleep(0)) == -ETIMEDOUT)
		trace("past deadline -> next iteration");
	ENTER(second, 0);
	trace("no await: body completes");
	cr_assert_eq(knit_timeout_exit(&second, 0), 0);
	trace("expired %s", yes(knit_timeout_expired(&second)));
	ENTER(second, KNIT_MS);
	cr_assert_eq(knit_sleep(KNIT_S), -KNIT_ECANCELLED);
	if (knit_timeout_exit(&second, 0) == 0)
		trace("swallowed inside: no TimeoutError %s %d", yes(knit_timeout_expired(&second)),
		      cancelling());
	return 0;
}

/* Differs: a code in place of the texts; storage that was left can be entered again */
Test(scenarios, s30_timeout_states_and_reschedule)
{
	run(states_as_python);
	assert_trace("INVALIDSTATE | alive False None | INVALIDSTATE | INVALIDSTATE | "
	             "past deadline -> next iteration | no await: body completes | expired False | "
	             "swallowed inside: no TimeoutError True 0");
}
