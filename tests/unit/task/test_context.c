/* SPDX-License-Identifier: MIT */
/* test_context.c - contexts: who frees what when, without memory, on closing loops, on threads. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include "base/alloc.h"
#include "knit/context.h"
#include "knit/task.h"

static knit_contextvar *var;
static knit_loop *loop;
static int freed;
static intptr_t last_freed;

static void free_value(intptr_t value)
{
	freed++;
	last_freed = value;
}

static void setup(void)
{
	var = knit_contextvar_new("counted", .value_free = free_value);
	loop = knit_loop_new(.clock = KNIT_CLOCK_VIRTUAL);
	cr_assert(var && loop);
	freed = 0;
}

static void teardown(void)
{
	knit_loop_unref(loop);
	knit_contextvar_unref(var);
}

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

/* ---- variables and tokens ---- */

Test(context, a_default_or_an_error_where_nothing_was_set)
{
	knit_contextvar *plain = (knit_contextvar_new)(NULL);
	knit_contextvar *given = knit_contextvar_new("given", .default_value = 5);
	knit_contextvar *none = knit_contextvar_new("none", .no_default = true);

	cr_assert_eq(knit_contextvar_get(plain), 0);
	cr_assert_str_eq(knit_contextvar_get_name(plain), "");
	cr_assert_eq(knit_contextvar_get(given), 5);
	cr_assert_str_eq(knit_contextvar_get_name(given), "given");
	cr_assert_eq(knit_contextvar_get(none), -ENOENT);
	cr_assert_eq(knit_contextvar_get(NULL), -EINVAL);
	cr_assert_eq(knit_contextvar_set(NULL, 1, NULL), -EINVAL);
	knit_contextvar_unref(plain);
	knit_contextvar_unref(given);
	knit_contextvar_unref(none);
}

static intptr_t set_three(void *arg)
{
	knit_context_token first, second, copy;
	knit_contextvar *other = knit_contextvar_new("other");

	(void)arg;
	cr_assert_eq(knit_contextvar_set(var, 1, &first), 0);
	cr_assert_eq(knit_contextvar_set(var, 2, &second), 0);
	cr_assert_eq(freed, 0, "the token keeps the value");
	cr_assert_eq(knit_contextvar_reset(other, &second), -EINVAL);
	copy = second;
	cr_assert_eq(knit_contextvar_reset(var, &second), 0);
	cr_assert_eq(knit_contextvar_get(var), 1);
	cr_assert_eq(last_freed, 2);
	cr_assert_eq(knit_contextvar_reset(var, &second), -KNIT_EINVALIDSTATE);
	cr_assert_neq(memcmp(&copy, &second, sizeof(copy)), 0);
	cr_assert_eq(knit_contextvar_reset(var, &first), 0);
	cr_assert_eq(knit_contextvar_get(var), 0);
	cr_assert_eq(freed, 2);
	cr_assert_eq(knit_contextvar_set(var, 3, &first), 0);
	knit_context_token_drop(&first);
	knit_context_token_drop(&first);
	knit_context_token_drop(NULL);
	cr_assert_eq(knit_contextvar_reset(var, NULL), -EINVAL);
	cr_assert_eq(knit_contextvar_ref(other), other);
	knit_contextvar_unref(other);
	cr_assert_eq(knit_contextvar_set(other, 4, NULL), 0, "a reference is left");
	knit_contextvar_unref(other);
	return 0;
}

Test(context, a_token_restores_once_and_only_its_variable, .init = setup, .fini = teardown)
{
	cr_assert_eq(knit_loop_run_until_complete(loop, set_three, NULL), 0);
	cr_assert_eq(freed, 3, "the task's context is gone");
	cr_assert_eq(knit_contextvar_get(var), 0);
}

static intptr_t reset_it(void *token)
{
	return knit_contextvar_reset(var, token);
}

static intptr_t set_with_token(void *token)
{
	return knit_contextvar_set(var, 7, token);
}

static intptr_t foreign_token(void *arg)
{
	knit_context_token token;
	knit_context *context;

	(void)arg;
	cr_assert_eq(knit_contextvar_set(var, 1, NULL), 0);
	cr_assert_eq(knit_contextvar_set(var, 2, &token), 0);
	cr_assert_eq(knit_await(knit_create_task(reset_it, &token)), -EINVAL);
	context = knit_copy_context();
	cr_assert_eq(knit_context_run(context, reset_it, &token), -EINVAL);
	cr_assert_eq(knit_contextvar_reset(var, &token), 0);
	cr_assert_eq(knit_contextvar_get(var), 1);
	/* One from a context that is gone. */
	cr_assert_eq(knit_await(knit_create_task(set_with_token, &token)), 0);
	cr_assert_eq(knit_contextvar_reset(var, &token), -EINVAL);
	knit_context_token_drop(&token);
	/* One from a given context is good wherever that is entered. */
	cr_assert_eq(knit_context_run(context, set_with_token, &token), 0);
	cr_assert_eq(knit_context_run(context, reset_it, &token), 0);
	knit_context_unref(context);
	return 0;
}

Test(context, a_token_of_another_context_is_refused, .init = setup, .fini = teardown)
{
	cr_assert_eq(knit_loop_run_until_complete(loop, foreign_token, NULL), 0);
}

/* ---- many variables ---- */

#define MANY 40

static knit_contextvar *many[MANY];

static intptr_t sum_many(void *arg)
{
	intptr_t sum = 0;

	(void)arg;
	for (int i = 0; i < MANY; i++)
		sum += knit_contextvar_get(many[i]);
	return sum;
}

static intptr_t use_many(void *arg)
{
	knit_context *context;

	(void)arg;
	for (int i = MANY - 1; i >= 0; i -= 2)
		cr_assert_eq(knit_contextvar_set(many[i], i, NULL), 0);
	context = knit_copy_context();
	for (int i = 0; i < MANY; i += 2)
		cr_assert_eq(knit_contextvar_set(many[i], i, NULL), 0);
	cr_assert_eq(sum_many(NULL), MANY * (MANY - 1) / 2);
	cr_assert_eq(knit_context_run(context, sum_many, NULL), MANY / 2 * MANY / 2);
	knit_context_unref(context);
	return 0;
}

Test(context, a_copy_stays_as_it_was, .init = setup, .fini = teardown)
{
	for (int i = 0; i < MANY; i++)
		many[i] = knit_contextvar_new("one of many");
	cr_assert_eq(knit_loop_run_until_complete(loop, use_many, NULL), 0);
	for (int i = 0; i < MANY; i++)
		knit_contextvar_unref(many[i]);
}

/* ---- life ---- */

static intptr_t set_and_copy(void *ret)
{
	cr_assert_eq(knit_contextvar_set(var, 4, NULL), 0);
	*(knit_context **)ret = knit_copy_context();
	return 0;
}

static intptr_t get_var(void *arg)
{
	(void)arg;
	return knit_contextvar_get(var);
}

Test(context, a_context_outlives_its_loop, .init = setup, .fini = teardown)
{
	knit_context *context;

	cr_assert_eq(knit_loop_run_until_complete(loop, set_and_copy, &context), 0);
	knit_loop_close(loop);
	cr_assert_eq(freed, 0);
	cr_assert_eq(knit_context_run(context, get_var, NULL), 4);
	cr_assert_eq(knit_contextvar_get(var), 0);
	knit_context_ref(context);
	knit_context_unref(context);
	cr_assert_eq(freed, 0);
	knit_context_unref(context);
	cr_assert_eq(freed, 1);
}

static void never(void *arg)
{
	(void)arg;
	cr_assert_not("a callback of a closed loop ran");
}

static void never_done(knit_future *future, void *arg)
{
	(void)future;
	never(arg);
}

static intptr_t leave_much(void *arg)
{
	knit_context *context;
	knit_future *future = knit_future_new();

	(void)arg;
	cr_assert_eq(knit_contextvar_set(var, 1, NULL), 0);
	context = knit_copy_context();
	knit_loop_call_later(NULL, KNIT_S, never, NULL);
	knit_loop_call_later_with(NULL, KNIT_S, never,
	                          knit_callback_arguments(NULL, .context = context));
	knit_loop_call_at_with(NULL, KNIT_S, never,
	                       knit_callback_arguments(NULL, .context = context));
	knit_handle_cancel(knit_loop_call_soon_with(
	        NULL, never, knit_callback_arguments(NULL, .context = context)));
	knit_future_add_done_callback(future, never_done, NULL);
	knit_future_remove_done_callback(future, never_done, NULL);
	knit_future_add_done_callback(future, never_done, NULL);
	knit_future_unref(future);
	if (knit_spawn(nothing, NULL, .context = context) < 0)
		return -1;
	knit_loop_add_signal_handler(NULL, SIGUSR1, never, NULL);
	cr_assert_eq(knit_contextvar_set(var, 2, NULL), 0);
	knit_context_unref(context);
	return 0;
}

Test(context, what_a_closing_loop_drops_lets_go_of_its_values, .init = setup, .fini = teardown)
{
	cr_assert_eq(knit_loop_run_until_complete(loop, leave_much, NULL), 0);
	cr_assert_eq(freed, 1, "the callbacks still have the other");
	cr_assert_eq(last_freed, 2);
	knit_loop_close(loop);
	cr_assert_eq(freed, 2);
}

/* ---- without memory ---- */

static int attempt_set(void)
{
	knit_context_token token = {{NULL}};
	int r = knit_contextvar_set(var, 1, &token);

	if (r == 0)
		r = knit_contextvar_reset(var, &token);
	if (r < 0 && r != -ENOMEM)
		return r;
	knit_context_token_drop(&token);
	return r;
}

static intptr_t set_again(void *arg)
{
	(void)arg;
	return knit_contextvar_set(var, 9, NULL);
}

/* Each time with one more allocation; returns how often it failed. */
static int exhaust(int (*attempt)(void))
{
	for (int failures = 0;; failures++) {
		int r;

		cr_assert_lt(failures, 50);
		kn_alloc_fail_after(failures);
		r = attempt();
		kn_alloc_fail_after(-1);
		if (r == 0)
			return failures;
		cr_assert_eq(r, -ENOMEM, "%s", knit_errname(r));
	}
}

static int attempt_new(void)
{
	knit_contextvar *another = knit_contextvar_new("another");
	knit_context *context;

	if (!another)
		return -errno;
	knit_contextvar_unref(another);
	context = knit_copy_context();
	knit_context_unref(context);
	return context ? 0 : -errno;
}

static int attempt_shared(void)
{
	knit_context *context = knit_copy_context();
	int r;

	if (!context)
		return -errno;
	r = (int)knit_context_run(context, set_again, NULL);
	if (r == 0)
		cr_assert_eq(knit_context_run(context, get_var, NULL), 9);
	else
		cr_assert_eq(knit_context_run(context, get_var, NULL), 3);
	knit_context_unref(context);
	return r;
}

static intptr_t exhaust_all(void *arg)
{
	int before;

	(void)arg;
	cr_assert_geq(exhaust(attempt_new), 3);
	cr_assert_geq(exhaust(attempt_set), 3);
	cr_assert_eq(knit_contextvar_get(var), 0);
	cr_assert_eq(knit_contextvar_set(var, 3, NULL), 0);
	before = freed;
	cr_assert_geq(exhaust(attempt_shared), 3);
	cr_assert_eq(knit_contextvar_get(var), 3);
	cr_assert_eq(freed, before + 1, "only the value that was set");
	return 0;
}

Test(context, a_set_without_memory_changes_nothing, .init = setup, .fini = teardown)
{
	cr_assert_eq(knit_loop_run_until_complete(loop, exhaust_all, NULL), 0);
}

static int attempt_create(void)
{
	knit_context *context = knit_copy_context();
	knit_task *task;
	knit_handle handle;
	int r = 0;

	if (!context)
		return -errno;
	task = knit_create_task(nothing, NULL, .name = "a name of some length", .context = context);
	if (!task)
		r = (int)knit_await(NULL);
	else
		r = (int)knit_await(task);
	handle = knit_loop_call_later_with(NULL, KNIT_S, never,
	                                   knit_callback_arguments(NULL, .context = context));
	if (r == 0)
		r = knit_handle_error(handle);
	knit_handle_cancel(handle);
	knit_context_unref(context);
	return r;
}

static intptr_t create_all(void *arg)
{
	(void)arg;
	cr_assert_eq(knit_contextvar_set(var, 3, NULL), 0);
	cr_assert_geq(exhaust(attempt_create), 2);
	return 0;
}

Test(context, a_creation_without_memory_lets_go_of_the_context, .init = setup, .fini = teardown)
{
	cr_assert_eq(knit_loop_run_until_complete(loop, create_all, NULL), 0);
	knit_loop_close(loop);
	cr_assert_eq(freed, 1);
}

/* ---- threads ---- */

static void *run_foreign(void *context)
{
	return (void *)knit_context_run(context, get_var, NULL);
}

static void *set_own(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)knit_contextvar_set(var, 6, NULL);
}

static intptr_t in_context(void *context)
{
	return (intptr_t)rig_on_thread(run_foreign, context);
}

Test(context, one_thread_at_a_time_is_in_a_context, .init = setup, .fini = teardown)
{
	knit_context *context;
	knit_task *task;

	cr_assert_eq(knit_loop_run_until_complete(loop, set_and_copy, &context), 0);
	cr_assert_eq(in_context(context), 4);
	cr_assert_eq(knit_context_run(context, in_context, context), -KNIT_EWRONGTHREAD);
	task = knit_loop_create_task(loop, nothing, NULL, .context = context);
	cr_assert_eq(in_context(context), -KNIT_EWRONGTHREAD);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	knit_task_unref(task);
	cr_assert_eq(in_context(context), 4);
	cr_assert_eq(knit_context_run(NULL, get_var, NULL), -EINVAL);
	knit_context_unref(context);
}

Test(context, a_threads_own_values_go_with_it, .init = setup, .fini = teardown)
{
	cr_assert_null(rig_on_thread(set_own, NULL));
	cr_assert_eq(freed, 1);
	cr_assert_eq(knit_contextvar_get(var), 0);
	cr_assert_eq(knit_contextvar_set(var, 8, NULL), 0);
	cr_assert_eq(knit_loop_run_until_complete(loop, get_var, NULL), 8);
}

/* ---- callbacks ---- */

static void get_then_set(void *ret_value)
{
	*(intptr_t *)ret_value = knit_contextvar_get(var);
	cr_assert_eq(knit_contextvar_set(var, 5, NULL), 0);
}

Test(context, what_a_callback_sets_goes_with_it, .init = setup, .fini = teardown)
{
	intptr_t seen[3] = {-1, -1, -1};

	for (int i = 0; i < 3; i++)
		knit_loop_call_soon(loop, get_then_set, &seen[i]);
	cr_assert_eq(knit_contextvar_set(var, 8, NULL), 0);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(seen[i], 0);
	cr_assert_eq(freed, 3);
	cr_assert_eq(knit_contextvar_get(var), 8, "the thread's own are back");
}

static void set_and_end_the_thread(void *arg)
{
	(void)arg;
	(void)!knit_contextvar_set(var, 7, NULL);
	pthread_exit(NULL);
}

static void *end_in_a_callback(void *ret_loop)
{
	knit_loop *own = knit_loop_new();

	*(knit_loop **)ret_loop = own;
	knit_loop_call_soon(own, set_and_end_the_thread, NULL);
	(void)!knit_contextvar_set(var, 6, NULL);
	(void)!knit_loop_run_forever(own);
	return own; /* not reached */
}

Test(context, a_thread_that_ends_in_a_callback_leaves_no_values, .init = setup, .fini = teardown)
{
	knit_loop *ended = NULL;

	cr_assert_null(rig_on_thread(end_in_a_callback, &ended));
	cr_assert_eq(freed, 2);
	knit_loop_unref(ended);
}

static void report(knit_loop *ignored, const knit_exception_context *context, void *ret_value)
{
	(void)ignored;
	(void)context;
	*(intptr_t *)ret_value = knit_contextvar_get(var);
	(void)!knit_contextvar_set(var, 9, NULL);
}

static void get_value(void *ret_value)
{
	*(intptr_t *)ret_value = knit_contextvar_get(var);
}

static void report_own(struct kn_ready *ready)
{
	(void)ready;
	knit_loop_call_exception_handler(
	        loop, &(knit_exception_context){.size = sizeof(knit_exception_context),
	                                        .message = "from the loop's own code"});
}

/* What the loop reports between its callbacks is none of theirs. */
Test(context, the_loops_own_reports_are_made_in_the_threads_context, .init = setup,
     .fini = teardown)
{
	struct kn_ready own = {.run = report_own};
	intptr_t seen = -1, after = -1;

	knit_loop_set_exception_handler(loop, report, &seen);
	kn_loop_ready(loop, &own);
	knit_loop_call_soon(loop, get_value, &after);
	cr_assert_eq(knit_contextvar_set(var, 8, NULL), 0);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(seen, 8);
	cr_assert_eq(after, 0);
	cr_assert_eq(knit_contextvar_get(var), 9);
}
