/* SPDX-License-Identifier: MIT */
/* test_chain.c - what completes at once, again and again, does not nest: the stack stays as deep
 * as it was. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <stdlib.h>
#include "knit/task.h"

/* How far the loop's stack went down, from where it was at first. */
struct depth {
	uintptr_t first, lowest, highest;
};

static void look(struct depth *depth)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	if (!depth->first)
		depth->first = depth->lowest = depth->highest = here;
	if (here < depth->lowest)
		depth->lowest = here;
	if (here > depth->highest)
		depth->highest = here;
}

static size_t spread(const struct depth *depth)
{
	return depth->highest - depth->lowest;
}

struct chain {
	knit_loop *loop;
	long left;
	struct depth depth;
	knit_future **futures; /* of a chain made before it begins */
	long count;
	knit_concurrent_future *source;
};

static long length(void)
{
	return test_scale(1000000, 100000, 100000, 5000);
}

static void end(struct chain *chain)
{
	knit_loop_stop(chain->loop);
}

/* ---- callbacks that find the next future done ---- */

static void next_done_future(knit_future *future, void *arg)
{
	struct chain *chain = arg;
	knit_future *next;

	look(&chain->depth);
	if (!knit_future_done(future) || --chain->left <= 0) {
		end(chain);
		return;
	}
	next = knit_future_new();
	if (knit_future_set_result(next, 1) < 0 ||
	    knit_future_add_done_callback(next, next_done_future, chain) < 0)
		end(chain);
	(void)knit_future_result(next);
	knit_future_unref(next);
}

static intptr_t begin_chain(void *arg)
{
	struct chain *chain = arg;
	knit_future *first = knit_future_new();

	(void)knit_future_set_result(first, 1);
	(void)knit_future_add_done_callback(first, next_done_future, chain);
	knit_future_unref(first);
	return 0;
}

Test(chain, futures_that_are_done_at_once_do_not_nest)
{
	struct chain chain = {.loop = knit_loop_new(), .left = length()};

	cr_assert_eq(knit_loop_run_until_complete(chain.loop, begin_chain, &chain), 0);
	cr_assert_eq(knit_loop_run_forever(chain.loop), 0);
	cr_assert_eq(chain.left, 0);
	cr_assert_lt(spread(&chain.depth), 4096);
	knit_loop_unref(chain.loop);
}

/* ---- a row of futures, each completed by the one before ---- */

static void complete_next(knit_future *future, void *arg)
{
	struct chain *chain = arg;

	(void)future;
	look(&chain->depth);
	if (++chain->left == chain->count) {
		end(chain);
		return;
	}
	if (knit_future_set_result(chain->futures[chain->left], 1) < 0)
		end(chain);
}

static intptr_t make_row(void *arg)
{
	struct chain *chain = arg;

	for (long i = 0; i < chain->count; i++) {
		chain->futures[i] = knit_future_new();
		if (knit_future_add_done_callback(chain->futures[i], complete_next, chain) < 0)
			return -1;
	}
	return knit_future_set_result(chain->futures[0], 1);
}

Test(chain, a_row_of_futures_that_complete_each_other_does_not_nest)
{
	struct chain chain = {.loop = knit_loop_new(), .count = length()};

	chain.futures = calloc((size_t)chain.count, sizeof(chain.futures[0]));
	cr_assert_eq(knit_loop_run_until_complete(chain.loop, make_row, &chain), 0);
	if (chain.left < chain.count)
		cr_assert_eq(knit_loop_run_forever(chain.loop), 0);
	cr_assert_eq(chain.left, chain.count);
	cr_assert_lt(spread(&chain.depth), 4096);
	for (long i = 0; i < chain.count; i++)
		knit_future_unref(chain.futures[i]);
	free(chain.futures);
	knit_loop_unref(chain.loop);
}

/* ---- posts and callbacks that make the next ---- */

static void post_next(void *arg)
{
	struct chain *chain = arg;

	look(&chain->depth);
	if (--chain->left <= 0 || knit_loop_call_soon_threadsafe(chain->loop, post_next, chain) < 0)
		end(chain);
}

static void call_next(void *arg)
{
	struct chain *chain = arg;

	look(&chain->depth);
	if (--chain->left <= 0 ||
	    knit_handle_error(knit_loop_call_later(chain->loop, -1, call_next, chain)) < 0)
		end(chain);
}

Test(chain, posts_and_timers_that_make_the_next_do_not_nest)
{
	struct chain posts = {.loop = knit_loop_new(), .left = length() / 2};
	struct chain timers = {.loop = posts.loop, .left = length() / 2};

	knit_loop_call_soon(posts.loop, post_next, &posts);
	cr_assert_eq(knit_loop_run_forever(posts.loop), 0);
	knit_loop_call_soon(posts.loop, call_next, &timers);
	cr_assert_eq(knit_loop_run_forever(posts.loop), 0);
	cr_assert_eq(posts.left, 0);
	cr_assert_eq(timers.left, 0);
	cr_assert_lt(spread(&posts.depth), 4096);
	cr_assert_lt(spread(&timers.depth), 4096);
	knit_loop_unref(posts.loop);
}

/* ---- tasks ---- */

static intptr_t spawn_next(void *arg)
{
	struct chain *chain = arg;

	look(&chain->depth);
	if (--chain->left <= 0 || knit_spawn(spawn_next, chain) < 0)
		end(chain);
	return 0;
}

Test(chain, tasks_that_make_the_next_need_a_handful_of_stacks)
{
	struct chain chain = {.loop = knit_loop_new(), .left = length() / 2};
	struct kn_stack_stats stats;
	knit_task *first = knit_loop_create_task(chain.loop, spawn_next, &chain);

	cr_assert_eq(knit_loop_run_forever(chain.loop), 0);
	cr_assert_eq(chain.left, 0);
	kn_stack_pool_stats(chain.loop->stacks, &stats);
	cr_assert_leq(stats.stacks, 4);
	knit_task_unref(first);
	knit_loop_unref(chain.loop);
}

static intptr_t await_arg(void *task)
{
	return knit_await(task);
}

/* Each task awaits the one before; all end when the first does. */
static intptr_t await_in_a_row(void *arg)
{
	struct chain *chain = arg;
	knit_future *gate = knit_future_new();
	knit_task *last = knit_create_task(await_arg, knit_future_ref(gate));

	for (long i = 1; i < chain->count; i++)
		last = knit_create_task(await_arg, last);
	if (knit_sleep(0) < 0 || knit_sleep(0) < 0)
		return -1;
	(void)knit_future_set_result(gate, 21);
	knit_future_unref(gate);
	return knit_await(last);
}

Test(chain, a_row_of_tasks_that_await_each_other_unwinds_pass_by_pass)
{
	struct chain chain = {.count = test_scale(20000, 5000, 5000, 300)};

	cr_assert_eq(knit_run(await_in_a_row, &chain), 21);
}

static intptr_t cancel_a_row(void *arg)
{
	struct chain *chain = arg;
	knit_task *last = knit_create_task(await_arg, knit_future_new());
	intptr_t outcome;

	for (long i = 1; i < chain->count; i++)
		last = knit_create_task(await_arg, last);
	if (knit_sleep(0) < 0 || knit_sleep(0) < 0)
		return -1;
	knit_task_cancel(last, NULL);
	outcome = knit_await(last);
	return outcome == -KNIT_ECANCELLED ? 22 : outcome;
}

Test(chain, a_row_of_tasks_is_cancelled_without_recursion)
{
	struct chain chain = {.count = test_scale(20000, 5000, 5000, 300)};

	cr_assert_eq(knit_run(cancel_a_row, &chain), 22);
}
