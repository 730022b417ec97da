/* SPDX-License-Identifier: MIT */
/* test_handles.c - callbacks, timers, and handles in every state that a callback can be in. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <stdlib.h>
#include "base/alloc.h"

static knit_loop *loop;

static void setup(void)
{
	loop = knit_loop_new(.clock = KNIT_CLOCK_VIRTUAL);
	cr_assert_not_null(loop);
}

static void teardown(void)
{
	knit_loop_unref(loop);
}

/* Runs what is ready and due now. */
static void pass(void)
{
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
}

/* ---- the states ---- */

Test(handles, a_ready_callback_is_pending_until_it_runs, .init = setup)
{
	int runs = 0;
	knit_handle handle = knit_loop_call_soon(loop, rig_count, &runs);

	cr_assert_eq(knit_handle_error(handle), 0);
	cr_assert(knit_handle_is_pending(handle));
	cr_assert_eq(knit_handle_when(handle), -KNIT_EINVALIDSTATE);
	pass();
	cr_assert_eq(runs, 1);
	cr_assert_not(knit_handle_is_pending(handle));
	cr_assert_not(knit_handle_cancel(handle));
	teardown();
}

Test(handles, a_cancelled_callback_never_runs, .init = setup)
{
	int runs = 0, others = 0;
	knit_handle handle = knit_loop_call_soon(loop, rig_count, &runs);

	knit_loop_call_soon(loop, rig_count, &others);
	cr_assert(knit_handle_cancel(handle));
	cr_assert_not(knit_handle_is_pending(handle));
	cr_assert_not(knit_handle_cancel(handle), "cancelled before: not because of this call");
	cr_assert_eq(knit_handle_error(handle), 0, "a stale handle is no error");
	pass();
	cr_assert_eq(runs, 0);
	cr_assert_eq(others, 1);
	teardown();
}

struct victim {
	knit_handle handle;
	bool pending, cancelled, again;
	int64_t when;
};

static void cancel_victim(void *arg)
{
	struct victim *victim = arg;

	victim->pending = knit_handle_is_pending(victim->handle);
	victim->when = knit_handle_when(victim->handle);
	victim->cancelled = knit_handle_cancel(victim->handle);
	victim->again = knit_handle_cancel(victim->handle);
}

Test(handles, a_callback_of_the_same_pass_can_be_cancelled, .init = setup)
{
	struct victim victim = {0};
	int runs = 0;

	knit_loop_call_soon(loop, cancel_victim, &victim);
	victim.handle = knit_loop_call_soon(loop, rig_count, &runs);
	pass();
	cr_assert(victim.pending);
	cr_assert(victim.cancelled);
	cr_assert_not(victim.again);
	pass();
	cr_assert_eq(runs, 0);
	teardown();
}

Test(handles, a_waiting_timer_tells_when_and_can_be_cancelled, .init = setup)
{
	int runs = 0;
	knit_handle handle = knit_loop_call_later(loop, 5 * KNIT_MS, rig_count, &runs);

	cr_assert(knit_handle_is_pending(handle));
	cr_assert_eq(knit_handle_when(handle), 5 * KNIT_MS);
	cr_assert(knit_handle_cancel(handle));
	cr_assert_eq(knit_handle_when(handle), -KNIT_EINVALIDSTATE);
	cr_assert_eq(loop->timers.count, 0);
	cr_assert_eq(knit_loop_run_once(loop, KNIT_S), 0);
	cr_assert_eq(runs, 0);
	teardown();
}

Test(handles, an_expired_timer_that_has_not_run_can_be_cancelled, .init = setup)
{
	struct victim victim = {0};
	int runs = 0;

	/* Equal deadlines expire in one pass; the first callback finds the second ready. */
	knit_loop_call_at(loop, KNIT_MS, cancel_victim, &victim);
	victim.handle = knit_loop_call_at(loop, KNIT_MS, rig_count, &runs);
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	cr_assert(victim.pending);
	cr_assert_eq(victim.when, -KNIT_EINVALIDSTATE, "it does not wait any more");
	cr_assert(victim.cancelled);
	pass();
	cr_assert_eq(runs, 0);
	teardown();
}

struct self {
	knit_handle handle;
	int runs;
	bool pending, cancelled;
};

static void ask_about_itself(void *arg)
{
	struct self *self = arg;

	self->runs++;
	self->pending = knit_handle_is_pending(self->handle);
	self->cancelled = knit_handle_cancel(self->handle);
}

Test(handles, a_callback_that_runs_is_not_pending, .init = setup)
{
	struct self self = {0};

	self.pending = self.cancelled = true;
	self.handle = knit_loop_call_soon(loop, ask_about_itself, &self);
	pass();
	cr_assert_eq(self.runs, 1);
	cr_assert_not(self.pending);
	cr_assert_not(self.cancelled);
	teardown();
}

Test(handles, no_handle_is_harmless, .init = setup)
{
	knit_handle none = {{0}};

	cr_assert_not(knit_handle_is_pending(none));
	cr_assert_not(knit_handle_cancel(none));
	cr_assert_eq(knit_handle_when(none), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_handle_error(none), 0);
	teardown();
}

/* ---- generations ---- */

Test(handles, a_stale_handle_does_not_cancel_the_next_user_of_its_slot, .init = setup)
{
	int runs = 0;
	knit_handle old = knit_loop_call_soon(loop, rig_count, &runs), next;

	pass();
	next = knit_loop_call_soon(loop, rig_count, &runs);
	cr_assert_eq(old.opaque[0], next.opaque[0], "the test wants the same slot");
	cr_assert_not(knit_handle_is_pending(old));
	cr_assert_not(knit_handle_cancel(old));
	cr_assert(knit_handle_is_pending(next));
	pass();
	cr_assert_eq(runs, 2);
	teardown();
}

struct chain {
	int left;
	knit_handle first;
	bool first_pending;
};

static void chain_on(void *arg)
{
	struct chain *chain = arg;

	chain->first_pending |= knit_handle_is_pending(chain->first);
	if (--chain->left)
		knit_loop_call_soon(loop, chain_on, chain);
}

Test(handles, a_slot_that_is_used_ten_thousand_times_has_as_many_generations, .init = setup)
{
	struct chain chain = {.left = 10000};

	chain.first = knit_loop_call_soon(loop, chain_on, &chain);
	while (chain.left)
		pass();
	cr_assert_not(chain.first_pending);
	cr_assert_eq(loop->callbacks.fresh, 1, "the chain needs one slot");
	cr_assert_eq(loop->callbacks.live, 0);
	teardown();
}

Test(handles, a_handle_does_not_fit_another_loop, .init = setup)
{
	knit_loop *other = knit_loop_new();
	int runs = 0;
	knit_handle mine = knit_loop_call_soon(loop, rig_count, &runs);
	knit_handle theirs = knit_loop_call_soon(other, rig_count, &runs);

	cr_assert_eq((uint32_t)mine.opaque[0], (uint32_t)theirs.opaque[0], "the same index");
	cr_assert(knit_handle_cancel(theirs));
	cr_assert(knit_handle_is_pending(mine));
	pass();
	cr_assert_eq(runs, 1);
	knit_loop_unref(other);
	teardown();
}

/* ---- errors ---- */

Test(handles, a_closed_loop_takes_nothing, .init = setup)
{
	int runs = 0;
	knit_handle before = knit_loop_call_soon(loop, rig_count, &runs);
	knit_handle timer = knit_loop_call_later(loop, KNIT_S, rig_count, &runs);

	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_not(knit_handle_is_pending(before));
	cr_assert_not(knit_handle_cancel(before));
	cr_assert_not(knit_handle_is_pending(timer));
	cr_assert_not(knit_handle_cancel(timer));
	cr_assert_eq(knit_handle_when(timer), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_handle_error(knit_loop_call_soon(loop, rig_count, &runs)), -KNIT_ECLOSED);
	cr_assert_eq(knit_handle_error(knit_loop_call_later(loop, 1, rig_count, &runs)),
	             -KNIT_ECLOSED);
	cr_assert_eq(knit_handle_error(knit_loop_call_at(loop, 1, rig_count, &runs)),
	             -KNIT_ECLOSED);
	cr_assert_eq(runs, 0);
	teardown();
}

Test(handles, without_a_running_loop_a_loop_must_be_named, .init = setup)
{
	int runs = 0;
	knit_handle handle = knit_loop_call_soon(NULL, rig_count, &runs);

	cr_assert_eq(knit_handle_error(handle), -KNIT_ENOLOOP);
	cr_assert_not(knit_handle_is_pending(handle));
	cr_assert_not(knit_handle_cancel(handle));
	cr_assert_eq(knit_handle_error(knit_loop_call_later(NULL, 0, rig_count, &runs)),
	             -KNIT_ENOLOOP);
	cr_assert_eq(knit_handle_error(knit_loop_call_at(NULL, 0, rig_count, &runs)),
	             -KNIT_ENOLOOP);
	cr_assert_eq(knit_loop_time(NULL), -KNIT_ENOLOOP);
	teardown();
}

static void schedule_on_the_running_loop(void *arg)
{
	knit_loop_call_soon(NULL, rig_count, arg);
	knit_loop_call_later(NULL, 0, rig_count, arg);
	knit_loop_call_at(NULL, 0, rig_count, arg);
}

Test(handles, null_means_the_running_loop, .init = setup)
{
	int runs = 0;

	knit_loop_call_soon(loop, schedule_on_the_running_loop, &runs);
	pass();
	cr_assert_eq(runs, 0);
	pass();
	cr_assert_eq(runs, 3);
	teardown();
}

/* ---- delays ---- */

Test(handles, timers_run_by_deadline_then_in_the_order_of_the_calls, .init = setup)
{
	rig_trace_reset();
	knit_loop_call_at(loop, 30, rig_note, TEXT("d"));
	knit_loop_call_at(loop, 10, rig_note, TEXT("a"));
	knit_loop_call_at(loop, 20, rig_note, TEXT("b"));
	knit_loop_call_at(loop, 20, rig_note, TEXT("c"));
	knit_loop_call_at(loop, 40, rig_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_str_eq(rig_trace, "a b c d ");
	cr_assert_eq(knit_loop_time(loop), 40);
	teardown();
}

Test(handles, a_delay_of_nothing_or_less_is_due_in_the_next_pass_after_what_is_ready, .init = setup)
{
	rig_trace_reset();
	knit_loop_call_later(loop, -KNIT_S, rig_note, TEXT("past"));
	knit_loop_call_later(loop, INT64_MIN, rig_note, TEXT("long-past"));
	knit_loop_call_later(loop, 0, rig_note, TEXT("now"));
	knit_loop_call_soon(loop, rig_note, TEXT("soon"));
	pass();
	cr_assert_str_eq(rig_trace, "soon long-past past now ");
	teardown();
}

Test(handles, for_ever_never_comes_and_can_be_cancelled, .init = setup)
{
	int runs = 0;
	knit_handle never = knit_loop_call_later(loop, KNIT_FOREVER, rig_count, &runs);
	knit_handle beyond = knit_loop_call_later(loop, KNIT_FOREVER - 1, rig_count, &runs);

	cr_assert_eq(knit_handle_when(never), KNIT_FOREVER);
	cr_assert_eq(knit_handle_when(beyond), KNIT_FOREVER - 1, "the clock stands at 0");
	knit_loop_call_later(loop, KNIT_S, rig_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	/* now + delay does not fit any more */
	cr_assert_eq(
	        knit_handle_when(knit_loop_call_later(loop, KNIT_FOREVER - 1, rig_count, &runs)),
	        KNIT_FOREVER);
	cr_assert(knit_handle_cancel(never));
	cr_assert(knit_handle_cancel(beyond));
	cr_assert_eq(runs, 0);
	teardown();
}

/* ---- many ---- */

struct order {
	int64_t last;
	long runs, early, disorder;
};

static void check_order(void *arg)
{
	struct order *order = arg;
	int64_t now = knit_loop_time(NULL);

	order->runs++;
	order->disorder += now < order->last;
	order->last = now;
}

Test(handles, a_million_timers_expire_in_order_but_for_the_cancelled, .init = setup)
{
	long count = test_scale(1000000, 100000, 100000, 5000), cancelled = 0;
	knit_handle *handles = malloc((size_t)count * sizeof(*handles));
	struct order order = {0};
	unsigned seed = 7;

	for (long i = 0; i < count; i++) {
		int64_t when = rand_r(&seed) % (10 * count);

		handles[i] = knit_loop_call_at(loop, when, check_order, &order);
		cr_assert_eq(knit_handle_error(handles[i]), 0);
	}
	for (long i = 0; i < count; i += 3, cancelled++)
		cr_assert(knit_handle_cancel(handles[i]));
	knit_loop_call_at(loop, 10 * count, rig_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(order.runs, count - cancelled);
	cr_assert_eq(order.disorder, 0);
	for (long i = 0; i < count; i++)
		cr_assert_not(knit_handle_cancel(handles[i]));
	free(handles);
	teardown();
}

Test(handles, one_of_many_timers_can_be_cancelled, .init = setup)
{
	enum { MANY = 5000 };
	static int runs[MANY];
	knit_handle chosen = {{0}};

	for (int i = 0; i < MANY; i++) {
		knit_handle handle = knit_loop_call_at(loop, i % 7, rig_count, &runs[i]);

		if (i == 3211)
			chosen = handle;
	}
	cr_assert(knit_handle_cancel(chosen));
	knit_loop_call_at(loop, 7, rig_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	for (int i = 0; i < MANY; i++)
		cr_assert_eq(runs[i], i != 3211);
	teardown();
}

/* ---- memory ---- */

static void batch(long count)
{
	static int runs;

	for (long i = 0; i < count; i++) {
		knit_loop_call_soon(loop, rig_count, &runs);
		knit_loop_call_later(loop, i % 5, rig_count, &runs);
	}
	knit_loop_call_later(loop, 10, rig_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
}

Test(handles, a_warm_loop_schedules_without_allocating, .init = setup)
{
	uint64_t before;

	batch(1000);
	before = kn_alloc_count();
	for (int i = 0; i < 10; i++)
		batch(1000);
	cr_assert_eq(kn_alloc_count(), before);
	teardown();
}

Test(handles, cancelling_frees_the_slot_at_once, .init = setup)
{
	int runs = 0;

	for (int i = 0; i < 10000; i++)
		cr_assert(knit_handle_cancel(knit_loop_call_later(loop, i, rig_count, &runs)));
	cr_assert_eq(loop->callbacks.fresh, 1);
	cr_assert_eq(loop->timers.count, 0);
	teardown();
}
