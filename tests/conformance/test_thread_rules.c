/* SPDX-License-Identifier: MIT */
/* test_thread_rules.c - rules 255 to 262: what other threads may do to a loop, and what not. */
#include "common.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

/* ---- posts ------------------------------------------------------------------------- */

#define POSTERS 3
#define POSTS   500

static knit_loop *target;
static int next_of[POSTERS], out_of_order, arrived;
static knit_future *all_arrived;

static void take_post(void *arg)
{
	int poster = (int)((intptr_t)arg / POSTS), number = (int)((intptr_t)arg % POSTS);

	if (number != next_of[poster]++)
		out_of_order++;
	if (++arrived == POSTERS * POSTS)
		(void)knit_future_set_result(all_arrived, 1);
}

static void *post_all(void *arg)
{
	intptr_t first = (intptr_t)arg * POSTS;

	for (intptr_t i = 0; i < POSTS; i++)
		cr_expect_eq(knit_loop_call_soon_threadsafe(target, take_post, (void *)(first + i)),
		             0);
	return NULL;
}

CORO(receive_posts)
{
	pthread_t threads[POSTERS];

	target = knit_get_running_loop();
	/* From the loop's own thread it stands in line with call_soon(). */
	knit_loop_call_soon(target, log_text, (void *)"before");
	cr_assert_eq(knit_loop_call_soon_threadsafe(target, log_text, (void *)"own post"), 0);
	knit_loop_call_soon(target, log_text, (void *)"after");
	ticks(1);
	/* The loop waits in the kernel: nothing but a post can wake it. */
	all_arrived = knit_future_new();
	for (intptr_t i = 0; i < POSTERS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, post_all, (void *)i), 0);
	cr_assert_eq(knit_await(all_arrived), 1);
	for (int i = 0; i < POSTERS; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	ticks(2);
	cr_assert_eq(arrived, POSTERS * POSTS);
	cr_assert_eq(out_of_order, 0);
	return 0;
}

Test(rules, r255_posts_of_a_thread_run_in_order_and_wake_the_loop)
{
	cr_assert_eq(knit_run(receive_posts, NULL), 0);
	assert_trace("before | own post | after");
}

static void post_count_up(void *count)
{
	cr_expect_eq(knit_loop_call_soon_threadsafe(target, count_up, count), 0);
}

static void post_in_vain(void *count)
{
	cr_expect_eq(knit_loop_call_soon_threadsafe(target, count_up, count), -KNIT_ECLOSED);
	cr_expect_eq(knit_loop_stop_threadsafe(target), -KNIT_ECLOSED);
	cr_expect_null(knit_run_coroutine_threadsafe(target, return_arg, NULL));
}

Test(rules, r256_a_post_to_a_closed_loop_is_refused_and_one_to_a_stopped_loop_waits)
{
	int count = 0;

	target = loop_new();
	knit_loop_stop(target);
	cr_assert_eq(knit_loop_run_forever(target), 0);
	on_another_thread(post_count_up, &count);
	cr_assert_eq(count, 0);
	knit_loop_call_later(target, KNIT_S, stop_loop, target);
	cr_assert_eq(knit_loop_run_forever(target), 0);
	cr_assert_eq(count, 1);
	cr_assert_eq(knit_loop_close(target), 0);
	on_another_thread(post_in_vain, &count);
	cr_assert_eq(count, 1);
	knit_loop_unref(target);
}

static atomic_int ran;
static atomic_bool posting;

static void count_run(void *unused)
{
	(void)unused;
	atomic_fetch_add(&ran, 1);
}

#define POSTS_AT_MOST 20000 /* memory and time are bounded, should close() come late */

/* Posts until it is refused. Returns how many posts were accepted. */
static void *post_until_closed(void *unused)
{
	intptr_t accepted = 0;
	int r = 0;

	(void)unused;
	while (r == 0 && accepted < POSTS_AT_MOST) {
		r = knit_loop_call_soon_threadsafe(target, count_run, NULL);
		accepted += r == 0;
		atomic_store(&posting, true);
	}
	cr_expect(r == 0 || r == -KNIT_ECLOSED);
	return (void *)accepted;
}

CORO(wait_for_a_post)
{
	while (!atomic_load(&posting))
		ticks(1);
	return 0;
}

Test(rules, r257_a_loop_may_be_closed_while_other_threads_wake_it)
{
	long rounds = test_scale(50, 20, 10, 5);

	for (long i = 0; i < rounds; i++) {
		pthread_t threads[POSTERS];
		intptr_t accepted = 0;

		atomic_store(&ran, 0);
		atomic_store(&posting, false);
		target = knit_loop_new();
		cr_assert_not_null(target);
		for (int t = 0; t < POSTERS; t++)
			cr_assert_eq(pthread_create(&threads[t], NULL, post_until_closed, NULL), 0);
		cr_assert_eq(knit_loop_run_until_complete(target, wait_for_a_post, NULL), 0);
		cr_assert_eq(knit_loop_close(target), 0);
		for (int t = 0; t < POSTERS; t++) {
			void *count;

			cr_assert_eq(pthread_join(threads[t], &count), 0);
			accepted += (intptr_t)count;
		}
		cr_assert_eq(atomic_load(&ran), accepted, "a yes means that it runs, once");
		knit_loop_unref(target);
	}
}

/* ---- coroutines -------------------------------------------------------------------- */

static intptr_t fail_not_found(void *text)
{
	return knit_raise(ENOENT, "%s", (const char *)text);
}

static atomic_int remote_begun, remote_cancelled;

CORO(wait_to_be_cancelled)
{
	int r;

	atomic_store(&remote_begun, 1);
	r = knit_sleep(KNIT_FOREVER);

	if (r == -KNIT_ECANCELLED)
		atomic_fetch_add(&remote_cancelled, 1);
	return r;
}

/* What a plain thread sees of the coroutines that it runs on a loop. */
struct remote_results {
	intptr_t value, error, timeout, after_cancel;
	char error_text[32];
	bool done_after_timeout, cancelled, cancelled_again;
	intptr_t malformed;
};

static void *call_from_thread(void *arg)
{
	struct remote_results *results = arg;
	knit_concurrent_future *future;

	future = knit_run_coroutine_threadsafe(target, return_arg, (void *)12);
	results->value = knit_concurrent_future_result(future, KNIT_FOREVER);
	knit_concurrent_future_unref(future);

	future = knit_run_coroutine_threadsafe(target, fail_not_found, (void *)"remote");
	results->error = knit_concurrent_future_result(future, KNIT_FOREVER);
	strncpy(results->error_text, knit_error_message(results->error),
	        sizeof(results->error_text) - 1);
	knit_concurrent_future_unref(future);

	future = knit_run_coroutine_threadsafe(target, wait_to_be_cancelled, NULL);
	while (!atomic_load(&remote_begun))
		sched_yield(); /* what is cancelled before it begins does not run at all */
	results->timeout = knit_concurrent_future_result(future, KNIT_MS);
	results->done_after_timeout = knit_concurrent_future_done(future);
	results->cancelled = knit_concurrent_future_cancel(future);
	results->cancelled_again = knit_concurrent_future_cancel(future);
	results->after_cancel = knit_concurrent_future_result(future, 0);
	knit_concurrent_future_unref(future);

	errno = 0;
	results->malformed = knit_run_coroutine_threadsafe(target, NULL, NULL) ? 1
	                                                                       : -(intptr_t)errno;
	cr_expect_eq(knit_loop_call_soon_threadsafe(target, complete_with_1, all_arrived), 0);
	return NULL;
}

CORO(serve_a_thread)
{
	struct remote_results results = {0};
	pthread_t thread;

	target = knit_get_running_loop();
	all_arrived = knit_future_new();
	cr_assert_eq(pthread_create(&thread, NULL, call_from_thread, &results), 0);
	cr_assert_eq(knit_await(all_arrived), 1);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	ticks(2);
	cr_assert_eq(results.value, 12);
	cr_assert_eq(results.error, -ENOENT);
	cr_assert_str_eq(results.error_text, "remote");
	cr_assert_eq(results.timeout, -ETIMEDOUT);
	cr_assert_not(results.done_after_timeout, "a timeout cancels nothing");
	cr_assert(results.cancelled);
	cr_assert_not(results.cancelled_again);
	cr_assert_eq(results.after_cancel, -KNIT_ECANCELLED);
	cr_assert_eq(atomic_load(&remote_cancelled), 1);
	cr_assert_eq(results.malformed, -EINVAL);
	cr_assert_eq(knit_all_tasks(NULL, NULL, 0), 1, "the cancelled task has ended");
	return 0;
}

Test(rules, r259_a_thread_runs_coroutines_on_a_loop_and_gets_their_outcomes)
{
	cr_assert_eq(knit_run(serve_a_thread, NULL), 0);
}

CORO(wait_for_own_loop)
{
	knit_concurrent_future *future = knit_run_coroutine_threadsafe(knit_get_running_loop(),
	                                                               return_arg, (void *)3);

	cr_assert_not_null(future);
	cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), -EDEADLK);
	cr_assert_eq(knit_concurrent_future_result(future, KNIT_S), -EDEADLK);
	cr_assert_eq(knit_concurrent_future_result(future, 0), -ETIMEDOUT, "that does not wait");
	ticks(2);
	cr_assert(knit_concurrent_future_done(future));
	cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), 3);
	knit_concurrent_future_unref(future);
	return 0;
}

/* Differs: asyncio hangs */
Test(rules, r260_waiting_for_ones_own_loop_is_told_as_a_deadlock)
{
	knit_concurrent_future *future;

	run(wait_for_own_loop);
	/* Also while it does not run: nobody else ever can run it. */
	target = loop_new();
	cr_assert_eq(knit_loop_run_until_complete(target, return_arg, NULL), 0);
	future = knit_run_coroutine_threadsafe(target, return_arg, (void *)4);
	cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), -EDEADLK);
	cr_assert_eq(knit_loop_close(target), 0);
	cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), -KNIT_ECLOSED);
	knit_concurrent_future_unref(future);
	knit_loop_unref(target);
}

/* ---- what other threads may not ---------------------------------------------------- */

struct foreign {
	knit_loop *loop;
	knit_future *future;
	knit_task *task;
	int count;
};

static void touch(void *arg)
{
	struct foreign *foreign = arg;
	knit_exception_context context = {.message = "foreign"};
	knit_future *future = foreign->future;
	knit_loop *loop = foreign->loop;
	knit_task *task = foreign->task;
	int *count = &foreign->count;

	cr_expect_eq(knit_handle_error(knit_loop_call_soon(loop, count_up, count)),
	             -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_handle_error(knit_loop_call_later(loop, 0, count_up, count)),
	             -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_handle_error(knit_loop_call_at(loop, 0, count_up, count)),
	             -KNIT_EWRONGTHREAD);
	cr_expect_null(knit_loop_create_task(loop, return_arg, NULL));
	cr_expect_eq(knit_await(NULL), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_await(future), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_future_result(future), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_future_exception(future, NULL), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_future_set_result(future, 1), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_future_set_exception(future, EIO, NULL), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_future_add_done_callback(future, count_done, count), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_future_remove_done_callback(future, count_done, count),
	             -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_task_uncancel(task), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_task_cancelling(task), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_task_set_name(task, "x"), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_loop_time(loop), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_loop_set_exception_handler(loop, NULL, NULL), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_loop_call_exception_handler(loop, &context), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_loop_add_signal_handler(loop, 10, count_up, count), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_loop_remove_signal_handler(loop, 10), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_loop_close(loop), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_loop_run_forever(loop), -KNIT_ERUNNING);
	cr_expect_eq(knit_future_get_loop(future), loop);
}

CORO(be_touched)
{
	struct foreign foreign = {knit_get_running_loop(), knit_future_new(),
	                          knit_current_task(NULL), 0};

	on_another_thread(touch, &foreign);
	ticks(2);
	cr_assert_eq(foreign.count, 0);
	cr_assert_not(knit_future_done(foreign.future));
	knit_future_unref(foreign.future);
	return 0;
}

/* Differs: caught always, not in a debug mode only */
Test(rules, r261_a_foreign_thread_that_touches_an_object_of_a_loop_is_told_so)
{
	run(be_touched);
}

static void list_tasks(void *loop)
{
	(void)knit_all_tasks(loop, NULL, 0);
}

CORO(list_elsewhere)
{
	on_another_thread(list_tasks, knit_get_running_loop());
	return 0;
}

static void die_by_listing(void *unused)
{
	(void)unused;
	(void)!knit_run(list_elsewhere, NULL);
}

static void see_no_task(void *loop)
{
	cr_expect_null(knit_current_task(loop));
	cr_expect_null(knit_current_task(NULL));
	cr_expect_eq(knit_all_tasks(NULL, NULL, 0), 0);
}

/* A second loop in a second thread has tasks of its own. */
static void run_another(void *main_task)
{
	cr_expect_neq(knit_run(return_arg, main_task), 0);
}

CORO(tasks_by_thread)
{
	knit_task *self = knit_current_task(NULL);

	on_another_thread(see_no_task, knit_get_running_loop());
	on_another_thread(run_another, self);
	cr_assert_eq(knit_current_task(NULL), self);
	cr_assert_eq(knit_all_tasks(NULL, NULL, 0), 1);
	return 0;
}

/* Differs: the tasks of another thread's loop are not listed for anybody else */
Test(rules, r262_current_task_and_all_tasks_are_the_threads_own)
{
	run(tasks_by_thread);
	test_death(die_by_listing, NULL, "knit_all_tasks(): called on a thread");
}
