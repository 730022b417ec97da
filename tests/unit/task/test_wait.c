/* SPDX-License-Identifier: MIT */
/* test_wait.c - gather, wait, wait_for and shield beyond asyncio's rules: who owns what, misuse,
 * nesting, circles, and size. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include "knit/timeout.h"
#include "knit/wait.h"
#include "task/task.h"
#include "test.h"

static int reports, freed;

static void count_report(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(void)context;
	(void)arg;
	reports++;
}

static void count_free(intptr_t value)
{
	(void)value;
	freed++;
}

static intptr_t run_coro(void *main)
{
	knit_loop *loop = knit_get_running_loop();
	intptr_t r;

	cr_assert_eq(knit_loop_set_exception_handler(loop, count_report, NULL), 0);
	r = ((knit_coro *)main)(NULL);
	cr_assert_eq(loop->futures.live, 0);
	cr_assert_eq(loop->tasks.live, 1);
	return r;
}

static void run(knit_coro *main)
{
	intptr_t r = knit_run(run_coro, (void *)main, .clock = KNIT_CLOCK_VIRTUAL);

	cr_assert_eq(r, 0, "%s", knit_error_message(r));
}

static void ticks(int count)
{
	for (int i = 0; i < count; i++)
		cr_assert_eq(knit_sleep(0), 0);
}

static intptr_t return_arg(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t sleep_forever(void *arg)
{
	(void)arg;
	return knit_sleep(KNIT_FOREVER);
}

/* ---- who owns what ---- */

static intptr_t dropped_gather(void *unused)
{
	knit_future *child = knit_future_new(), *all;

	(void)unused;
	all = knit_gather_future((knit_future *[]){knit_future_ref(child)}, 1, NULL);
	knit_future_unref(all);
	cr_assert(kn_list_empty(&child->waiters), "it has let go");
	cr_assert_eq(child->refs, 1);
	knit_future_set_exception(child, EIO, NULL);
	knit_future_unref(child);
	cr_assert_eq(reports, 1, "the failure is the child's own again");
	return 0;
}

Test(gather, one_that_is_dropped_lets_go_of_its_children)
{
	run(dropped_gather);
}

static intptr_t failed_gather(void *unused)
{
	knit_future *value = knit_future_new(.result_free = count_free);
	knit_future *bad = knit_future_new(), *late = knit_future_new();
	knit_future *all = knit_gather_future((knit_future *[]){value, bad, knit_future_ref(late)},
	                                      3, NULL);

	(void)unused;
	knit_future_set_result(value, 1);
	ticks(1);
	knit_future_set_exception(bad, EIO, NULL);
	ticks(1);
	cr_assert(knit_future_done(all));
	cr_assert_eq(freed, 1, "the value that nobody gets");
	cr_assert_eq(late->refs, 1);
	knit_future_set_exception(late, EIO, NULL);
	knit_future_unref(late);
	cr_assert_eq(reports, 0, "the later failure is silent");
	knit_future_unref(all);
	cr_assert_eq(reports, 1, "the first one nobody has seen");
	return 0;
}

Test(gather, one_that_failed_keeps_nothing)
{
	run(failed_gather);
}

static intptr_t done_children(void *unused)
{
	knit_future *futures[3] = {knit_future_new(), knit_future_new(), knit_future_new()};
	uint64_t passes = knit_get_running_loop()->counters.passes;
	intptr_t outcomes[3];

	(void)unused;
	for (int i = 0; i < 3; i++)
		knit_future_set_result(futures[i], i);
	cr_assert_eq(knit_gather(futures, 3, outcomes), 0);
	cr_assert_eq(outcomes[2], 2);
	cr_assert_eq(knit_get_running_loop()->counters.passes, passes);
	futures[0] = knit_future_new();
	futures[1] = knit_future_new();
	knit_future_set_exception(futures[1], EIO, NULL);
	cr_assert_eq(knit_gather(futures, 2, outcomes), -EIO, "at once");
	cr_assert_eq(knit_get_running_loop()->counters.passes, passes);
	return 0;
}

Test(gather, of_done_futures_does_not_suspend)
{
	run(done_children);
}

static intptr_t nested(void *unused)
{
	intptr_t inner[2], outer[2];
	knit_future *all = knit_gather_future(
	        (knit_task *[]){knit_create_task(return_arg, (void *)1),
	                        knit_create_task(return_arg, (void *)2)},
	        2, inner);

	(void)unused;
	cr_assert_eq(knit_gather((knit_future *[]){all, knit_create_task(return_arg, (void *)3)}, 2,
	                         outer),
	             0);
	cr_assert_eq(inner[1], 2);
	cr_assert_eq(outer[0], 0);
	cr_assert_eq(outer[1], 3);
	all = knit_gather_future((knit_task *[]){knit_create_task(sleep_forever, NULL)}, 1, NULL);
	cr_assert_eq(knit_wait_for(all, KNIT_S), -ETIMEDOUT);
	return 0;
}

Test(gather, gathers_nest_and_take_time_limits)
{
	run(nested);
}

/* ---- circles ---- */

static intptr_t await_other(void *other)
{
	return knit_await(knit_task_ref(*(knit_task **)other));
}

static intptr_t gather_other(void *other)
{
	knit_future *one = knit_task_ref(*(knit_task **)other);

	return knit_gather(&one, 1, NULL);
}

static intptr_t circle(void *unused)
{
	knit_task *a, *b;

	(void)unused;
	a = knit_create_task(gather_other, &b);
	b = knit_create_task(await_other, &a);
	ticks(2);
	cr_assert(knit_task_cancel(b, NULL));
	ticks(6);
	cr_assert(knit_task_cancelled(a));
	cr_assert(knit_task_cancelled(b));
	knit_task_unref(a);
	knit_task_unref(b);
	return 0;
}

Test(gather, a_circle_through_it_can_be_cancelled)
{
	run(circle);
}

/* ---- size ---- */

static intptr_t hundred_thousand(void *unused)
{
	size_t n = (size_t)test_scale(100000, 20000, 10000, 500);
	knit_task **tasks = calloc(n, sizeof(*tasks));
	intptr_t *outcomes = calloc(n, sizeof(*outcomes));

	(void)unused;
	for (size_t i = 0; i < n; i++)
		tasks[i] = knit_create_task(return_arg, (void *)i);
	cr_assert_eq(knit_gather(tasks, n, outcomes), 0);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(outcomes[i], (intptr_t)i);
	free(tasks);
	free(outcomes);
	return 0;
}

Test(gather, of_a_hundred_thousand)
{
	run(hundred_thousand);
}

/* One gather in the other: on the stack, that would be the end of it. */
static intptr_t go_down(void *levels)
{
	knit_task *task;

	if (!levels)
		return knit_sleep(KNIT_FOREVER);
	task = knit_create_task(go_down, (void *)((intptr_t)levels - 1));
	return knit_gather(&task, 1, NULL);
}

static intptr_t deep(void *unused)
{
	intptr_t levels = test_scale(3000, 1000, 1000, 100);
	knit_task *task = knit_create_task(go_down, (void *)levels);
	knit_future *all = knit_future_new();

	(void)unused;
	ticks((int)levels + 2);
	knit_task_cancel(task, "deep");
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "deep");
	for (int i = 0; i < levels; i++)
		all = knit_gather_future(&all, 1, NULL);
	knit_future_unref(all);
	return 0;
}

Test(gather, a_thousand_one_in_the_other_are_cancelled_and_dropped)
{
	run(deep);
}

/* ---- misuse ---- */

static intptr_t misuse(void *unused)
{
	knit_task *self = knit_current_task(NULL);
	knit_future *pair[2] = {knit_future_new(), NULL}, *future = knit_future_new();
	knit_future *all = knit_gather_future(&future, 1, NULL), *shield = knit_shield(all);

	(void)unused;
	cr_assert_eq(knit_gather((knit_task *[]){knit_task_ref(self)}, 1, NULL), -EDEADLK);
	cr_assert_eq(knit_gather(pair, 2, NULL), -EINVAL, "NULL; the other one is consumed");
	cr_assert_eq(knit_gather(NULL, 1, NULL), -EINVAL);
	cr_assert_eq(knit_gather_with(NULL), -EINVAL);
	cr_assert_null(knit_gather_future_with(NULL));
	cr_assert_eq(knit_wait(&all, 1, 0, 3), -EINVAL);
	cr_assert_eq(knit_wait(NULL, 1, 0, KNIT_ALL_COMPLETED), -EINVAL);
	cr_assert_eq(knit_future_set_result(all, 1), -EINVAL, "the library completes it");
	cr_assert_eq(knit_future_set_result(shield, 1), -EINVAL);
	cr_assert_null(knit_shield(NULL));
	cr_assert_eq(knit_wait_for(knit_task_ref(self), 0), -EDEADLK);
	cr_assert_eq(knit_wait_for(knit_task_ref(self), 1), -EDEADLK);
	knit_future_unref(shield);
	knit_future_unref(all);
	return 0;
}

Test(several, misuse_is_an_error)
{
	run(misuse);
}

static void outside(void *unused)
{
	knit_future *future = knit_future_new(), *one = knit_future_new();

	(void)unused;
	cr_expect_eq(knit_gather((knit_future *[]){knit_future_ref(one)}, 1, NULL), -KNIT_ENOTASK);
	cr_expect_eq(knit_race((knit_future *[]){knit_future_ref(one)}, 1, NULL), -KNIT_ENOTASK);
	cr_expect_eq(knit_wait(&one, 1, 0, KNIT_ALL_COMPLETED), -KNIT_ENOTASK);
	cr_expect_eq(knit_wait_for(knit_future_ref(one), 1), -KNIT_ENOTASK);
	cr_expect_eq(knit_map(return_arg, NULL, 1, 1, NULL), -KNIT_ENOTASK);
	cr_expect_eq(one->refs, 1, "consumed all the same");
	knit_future_unref(one);
	knit_future_unref(future);
}

static intptr_t call_outside(void *unused)
{
	(void)unused;
	(void)knit_loop_call_soon(NULL, outside, NULL);
	ticks(1);
	return 0;
}

Test(several, waiting_outside_a_task_is_refused)
{
	run(call_outside);
}

static void *foreign(void *arg)
{
	knit_future *future = arg;

	cr_expect_null(knit_gather_future(&future, 1, NULL));
	cr_expect_eq(knit_gather(&future, 1, NULL), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_wait_for(future, 1), -KNIT_EWRONGTHREAD);
	cr_expect_null(knit_shield(future));
	cr_expect_null(knit_ensure_future(future));
	cr_expect_eq(knit_await(NULL), -KNIT_EWRONGTHREAD);
	return NULL;
}

static intptr_t on_a_foreign_thread(void *unused)
{
	knit_future *future = knit_future_new();
	pthread_t thread;

	(void)unused;
	cr_assert_eq(pthread_create(&thread, NULL, foreign, future), 0);
	pthread_join(thread, NULL);
	cr_assert_eq(future->refs, 1, "the references stay");
	cr_assert(kn_list_empty(&future->waiters));
	knit_future_unref(future);
	return 0;
}

Test(several, a_foreign_thread_is_refused_and_consumes_nothing)
{
	run(on_a_foreign_thread);
}

/* ---- shields ---- */

static intptr_t value_of_a_shield(void *unused)
{
	(void)unused;
	for (int retrieve = 0; retrieve < 2; retrieve++) {
		knit_future *inner = knit_future_new(.result_free = count_free), *shield;

		freed = 0;
		shield = knit_shield(inner);
		knit_future_set_result(inner, 1);
		ticks(1);
		cr_assert(knit_future_done(shield));
		if (retrieve)
			cr_assert_eq(knit_future_result(shield), 1);
		knit_future_unref(shield);
		knit_future_unref(inner);
		cr_assert_eq(freed, !retrieve, "one owner, through either of the two");
	}
	return 0;
}

Test(shield, a_value_has_one_owner)
{
	run(value_of_a_shield);
}

static intptr_t abandoned_shields(void *unused)
{
	knit_future *inner = knit_future_new(), *shield = knit_shield(inner);

	(void)unused;
	knit_future_cancel(shield, NULL);
	knit_future_unref(shield);
	knit_future_unref(inner); /* pending: with it goes what the shield left there */
	inner = knit_future_new();
	shield = knit_shield(inner);
	knit_future_unref(inner); /* the shield has a reference of its own */
	cr_assert_eq(inner->refs, 1);
	knit_future_unref(shield);
	return 0;
}

Test(shield, keeps_nothing_in_memory_that_is_of_no_use)
{
	run(abandoned_shields);
}

/* ---- texts --------------------------------------------------------------------------- */

static intptr_t say_no(void *who)
{
	return knit_raise(EIO, "%s refuses", (const char *)who);
}

static intptr_t ask_for_texts(void *unused)
{
	static char old[] = "the old one", new[] = "the new one";
	knit_task *task;
	intptr_t outcome;
	const char *text;

	(void)unused;
	cr_assert_eq(knit_await(knit_create_task(say_no, old)), -EIO);
	cr_assert_str_eq(knit_error_message(-EIO), "the old one refuses");
	task = knit_create_task(say_no, new);
	knit_task_ref(task);
	cr_assert_eq(knit_gather(&task, 1, &outcome, .return_exceptions = 1), 0);
	cr_assert_eq(outcome, -EIO);
	cr_assert_str_eq(knit_error_message(outcome), knit_strerror(EIO), "not the old one's");
	cr_assert_eq(knit_task_exception(task, &text), EIO);
	cr_assert_str_eq(text, "the new one refuses");
	knit_task_unref(task);
	return 0;
}

Test(wait, gathered_failures_do_not_have_the_text_of_an_earlier_one)
{
	run(ask_for_texts);
}
