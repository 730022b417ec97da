/* SPDX-License-Identifier: MIT */
/* test_memory.c - a program in which each allocation fails once: what cannot be made is told, and
 * nothing is lost, leaked or called twice. */
#include "common.h"
#include <string.h>
#include "base/alloc.h"

/* What happened in the program while memory ran out at some point. */
static int args, values, callbacks, posts;

static intptr_t produce(void *arg)
{
	int r = knit_sleep(KNIT_MS);

	if (r < 0)
		return r;
	values++;
	return (intptr_t)arg;
}

/* A coroutine that is cancelled with a text, which may get lost. */
CORO(wait_for_ever)
{
	return knit_sleep(KNIT_FOREVER);
}

static intptr_t produce_and_await(void)
{
	knit_task *task = knit_create_task(produce, (void *)5, .name = "producer",
	                                   .arg_free = count_arg, .result_free = count_result);
	intptr_t outcome;

	args += task != NULL;
	outcome = knit_await(task);
	cr_assert(outcome == 5 || outcome == -ENOMEM, "%s", repr(outcome));
	return outcome < 0 ? outcome : 0;
}

static intptr_t cancel_with_text(void)
{
	knit_task *task = knit_create_task(wait_for_ever, NULL, .arg_free = count_arg);
	intptr_t outcome;

	if (!task)
		return knit_await(NULL);
	args++;
	ticks(1);
	if (!knit_task_done(task))
		cr_assert(knit_task_cancel(task, "enough"));
	outcome = knit_await(task);
	cr_assert(outcome == -KNIT_ECANCELLED || outcome == -ENOMEM, "%s", repr(outcome));
	return outcome == -ENOMEM ? outcome : 0;
}

static intptr_t complete_a_future(void)
{
	knit_future *future = knit_future_new(.result_free = count_result);
	int r, before = callbacks;

	if (!future)
		return knit_await(NULL);
	r = knit_future_add_done_callback(future, count_done, &callbacks);
	cr_assert(r == 0 || r == -ENOMEM);
	cr_assert_eq(knit_future_set_exception(future, EIO, "text"), 0);
	ticks(1);
	cr_assert_eq(callbacks, before + (r == 0));
	cr_assert_eq(knit_await(future), -EIO);
	return r;
}

static intptr_t schedule(void)
{
	int ran = 0, error;
	knit_handle soon = knit_loop_call_soon(NULL, count_up, &ran);
	knit_handle later = knit_loop_call_later(NULL, KNIT_US, count_up, &ran);
	int posted = knit_loop_call_soon_threadsafe(knit_get_running_loop(), count_up, &posts);
	int expected = (knit_handle_error(soon) == 0) + (knit_handle_error(later) == 0);
	int before = posts;

	cr_assert(posted == 0 || posted == -ENOMEM);
	error = knit_sleep(KNIT_MS);
	if (error < 0)
		ticks(2);
	knit_handle_cancel(later); /* the virtual time may have stood still */
	cr_assert_eq(posts, before + (posted == 0));
	if (error == 0)
		cr_assert_eq(ran, expected);
	return expected == 2 && posted == 0 ? error : -ENOMEM;
}

static intptr_t cross_threads(void)
{
	knit_loop *loop = knit_get_running_loop();
	knit_concurrent_future *future;
	knit_future *wrapped;
	intptr_t outcome = knit_run_on(loop, return_arg, (void *)4);

	cr_assert(outcome == 4 || outcome == -ENOMEM, "%s", repr(outcome));
	future = knit_run_coroutine_threadsafe(loop, return_arg, (void *)6, .name = "remote",
	                                       .arg_free = count_arg, .result_free = count_result);
	if (!future)
		return -ENOMEM;
	args++;
	wrapped = knit_wrap_future(future);
	if (!wrapped)
		ticks(2); /* what runs for it ends all the same */
	outcome = wrapped ? knit_await(wrapped) : -ENOMEM;
	cr_assert(outcome == 6 || outcome == -ENOMEM, "%s", repr(outcome));
	knit_concurrent_future_unref(future);
	return outcome == 6 ? 0 : outcome;
}

CORO(program)
{
	intptr_t (*const parts[])(void) = {produce_and_await, cancel_with_text, complete_a_future,
	                                   schedule, cross_threads};
	intptr_t worst = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		intptr_t outcome = parts[i]();

		cr_assert(outcome == 0 || outcome == -ENOMEM, "part %zu: %s", i, repr(outcome));
		worst = outcome ? outcome : worst;
	}
	return worst;
}

Test(memory, each_allocation_may_fail)
{
	intptr_t outcome = -ENOMEM;
	long allow;

	for (allow = 0; outcome == -ENOMEM && allow < 1000; allow++) {
		args = args_freed = 0;
		kn_alloc_fail_after(allow);
		outcome = knit_run(program, NULL, .clock = KNIT_CLOCK_VIRTUAL);
		kn_alloc_fail_after(-1);
		cr_assert(outcome == 0 || outcome == -ENOMEM, "allocation %ld: %s", allow,
		          repr(outcome));
		cr_assert_eq(args_freed, args, "allocation %ld: %d arguments, %d freed", allow,
		             args, args_freed);
		cr_assert_null(knit_get_running_loop());
	}
	cr_assert_eq(outcome, 0);
	cr_assert_gt(allow, 20, "the program allocated only %ld times", allow);
	cr_assert_eq(posts > 0 && values > 0, true);
}
