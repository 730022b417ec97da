/* SPDX-License-Identifier: MIT */
/* test_task_scenarios.c - traces of asyncio's futures and tasks, and of threads. */
#include "common.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* ---- S07, S08: tasks take turns ---------------------------------------------------- */

static intptr_t s07_worker(void *arg)
{
	trace("start %ld", (long)(intptr_t)arg);
	return (intptr_t)arg;
}

static void s07_log_done(const char *when, knit_task **tasks)
{
	trace("%s[%s, %s, %s]", when, yes(knit_task_done(tasks[0])), yes(knit_task_done(tasks[1])),
	      yes(knit_task_done(tasks[2])));
}

CORO(s07)
{
	knit_task *tasks[3];
	intptr_t last;

	for (intptr_t i = 0; i < 3; i++)
		tasks[i] = knit_create_task(s07_worker, (void *)i);
	trace("created");
	s07_log_done("", tasks);
	ticks(1);
	s07_log_done("after1 ", tasks);
	last = knit_await(tasks[2]);
	trace("%s %s", repr(last), repr(knit_await(tasks[0])));
	knit_task_unref(tasks[1]);
	return 0;
}

Test(scenarios, s07_create_task_is_lazy_and_ordered)
{
	run(s07);
	assert_trace("created | [False, False, False] | start 0 | start 1 | start 2 | "
	             "after1 [True, True, True] | 2 0");
}

static intptr_t s08_worker(void *name)
{
	for (int i = 0; i < 3; i++) {
		trace("%s%d", (const char *)name, i);
		ticks(1);
	}
	return 0;
}

CORO(s08)
{
	static const char *const names[] = {"a", "b", "c"};
	knit_task *tasks[3];

	for (int i = 0; i < 3; i++)
		tasks[i] = knit_create_task(s08_worker, (void *)names[i]);
	for (int i = 0; i < 3; i++)
		if (knit_await(tasks[i]) < 0)
			return -1;
	return 0;
}

/* Differs: three awaits in the place of gather() */
Test(scenarios, s08_sleep0_round_robin)
{
	run(s08);
	assert_trace("a0 | b0 | c0 | a1 | b1 | c1 | a2 | b2 | c2");
}

/* ---- S09, S11, S12: futures -------------------------------------------------------- */

static intptr_t s09_waiter(void *future)
{
	trace("task got %s", repr(knit_await(knit_future_ref(future))));
	return 0;
}

CORO(s09)
{
	knit_future *future = knit_future_new();
	knit_task *task;

	if (knit_future_add_done_callback(future, log_done, (void *)"cb1") < 0)
		return -1;
	task = knit_create_task(s09_waiter, future);
	ticks(1);
	if (knit_future_add_done_callback(future, log_done, (void *)"cb2") < 0)
		return -1;
	knit_loop_call_soon(NULL, log_text, (void *)"soon-before");
	(void)knit_future_set_result(future, 5);
	trace("after set_result");
	knit_loop_call_soon(NULL, log_text, (void *)"soon-after");
	if (knit_await(task) < 0)
		return -1;
	trace("main");
	knit_future_unref(future);
	return 0;
}

Test(scenarios, s09_done_callback_order_is_registration_order_not_sync)
{
	run(s09);
	assert_trace("after set_result | soon-before | cb1 | task got 5 | cb2 | soon-after | main");
}

static intptr_t s11_log(void *text)
{
	trace("%s", (const char *)text);
	return 0;
}

CORO(s11)
{
	knit_future *future = knit_future_new();
	knit_task *other;

	(void)knit_future_set_result(future, 1);
	other = knit_create_task(s11_log, (void *)"other ran");
	for (int i = 0; i < 3; i++) {
		if (knit_await(knit_future_ref(future)) != 1)
			return -1;
		trace("loop %d", i);
	}
	s11_log((void *)"plain coroutine body");
	trace("still no yield");
	ticks(1);
	trace("yielded");
	knit_future_unref(future);
	knit_task_unref(other);
	return 0;
}

Test(scenarios, s11_await_done_future_does_not_yield)
{
	run(s11);
	assert_trace("loop 0 | loop 1 | loop 2 | plain coroutine body | still no yield | "
	             "other ran | yielded");
}

/* The failure that exception() tells of: a cancellation, or the library's own. */
static const char *s12_exception(knit_future *future)
{
	const char *text;
	int code = knit_future_exception(future, &text);

	return code ? repr_error(code < 0 ? -code : code, text) : "None";
}

CORO(s12)
{
	knit_future *f = knit_future_new(), *g = knit_future_new();
	knit_task *task;
	const char *result, *message;
	bool cancelled[2];
	int r[2];

	result = repr(knit_future_result(f));
	trace("%s %s", result, s12_exception(f));
	(void)knit_future_set_result(f, 3);
	r[0] = knit_future_set_result(f, 4);
	r[1] = knit_future_set_exception(f, EINVAL, NULL);
	cancelled[0] = knit_future_cancel(f, NULL);
	trace("%s %s %s %s %s", knit_errname(r[0]), knit_errname(r[1]), yes(cancelled[0]),
	      s12_exception(f), repr(knit_future_result(f)));
	cancelled[0] = knit_future_cancel(g, "m1");
	cancelled[1] = knit_future_cancel(g, "m2");
	result = repr(knit_future_result(g));
	message = s12_exception(g);
	trace("%s %s %s %s %s %s %s", yes(cancelled[0]), yes(cancelled[1]),
	      yes(knit_future_cancelled(g)), yes(knit_future_done(g)), result, message,
	      knit_errname(knit_future_set_result(g, 1)));
	task = knit_create_task(return_arg, (void *)1);
	r[0] = knit_future_set_result(task, 1);
	r[1] = knit_future_set_exception(task, EINVAL, NULL);
	trace("%s %s", knit_errname(r[0]), knit_errname(r[1]));
	knit_future_unref(f);
	knit_future_unref(g);
	return knit_await(task) == 1 ? 0 : -1;
}

Test(scenarios, s12_future_state_errors)
{
	run(s12);
	assert_trace("KNIT_EINVALIDSTATE KNIT_EINVALIDSTATE | "
	             "KNIT_EINVALIDSTATE KNIT_EINVALIDSTATE False None 3 | "
	             "True False True True CancelledError(m1) CancelledError(m1) "
	             "KNIT_EINVALIDSTATE | EINVAL EINVAL");
}

/* ---- S44: what nobody retrieves --------------------------------------------------- */

static void s44_handler(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(void)arg;
	trace("HANDLER %s %s", context->message, repr_error(context->code, context->error));
}

static intptr_t s44_bad(void *text)
{
	return knit_raise(EINVAL, "%s", (const char *)text);
}

CORO(s44)
{
	knit_future *future;
	knit_task *task;

	(void)knit_loop_set_exception_handler(knit_get_running_loop(), s44_handler, NULL);
	task = knit_create_task(s44_bad, (void *)"dropped");
	ticks(1);
	trace("done, nothing reported yet");
	knit_task_unref(task);
	trace("--");
	task = knit_create_task(s44_bad, (void *)"peeked");
	ticks(1);
	(void)knit_task_exception(task, NULL);
	knit_task_unref(task);
	trace("peeked: silent");
	task = knit_create_task(s44_bad, (void *)"cancel-after");
	ticks(1);
	trace("%s", yes(knit_task_cancel(task, NULL)));
	knit_task_unref(task);
	trace("cancel() on done marks retrieved: silent");
	future = knit_future_new();
	(void)knit_future_set_exception(future, ENOENT, "f");
	knit_future_unref(future);
	trace("--");
	future = knit_future_new();
	(void)knit_future_set_result(future, 1);
	knit_future_unref(future);
	future = knit_future_new();
	knit_future_unref(future);
	trace("unretrieved result / pending future: silent");
	return 0;
}

Test(scenarios, s44_never_retrieved)
{
	run(s44);
	assert_trace("done, nothing reported yet | "
	             "HANDLER Task exception was never retrieved ValueError(dropped) | -- | "
	             "peeked: silent | False | cancel() on done marks retrieved: silent | "
	             "HANDLER Future exception was never retrieved KeyError(f) | -- | "
	             "unretrieved result / pending future: silent");
}

/* ---- S47: which tasks there are --------------------------------------------------- */

CALLBACK(s47_callback)
{
	trace("in callback %s %zu", knit_current_task(NULL) ? "a task" : "None",
	      knit_all_tasks(NULL, NULL, 0));
}

CORO(s47_worker)
{
	return knit_sleep(0);
}

CORO(s47)
{
	knit_task *task, *all[2];
	size_t count;

	trace("in task %s", yes(knit_current_task(NULL) != NULL));
	knit_loop_call_soon(NULL, s47_callback, NULL);
	task = knit_create_task(s47_worker, NULL);
	trace("%zu", knit_all_tasks(NULL, NULL, 0));
	if (knit_await(knit_task_ref(task)) < 0)
		return -1;
	count = knit_all_tasks(NULL, all, 2);
	trace("%zu %s", count, yes(all[0] == task));
	knit_task_unref(all[0]);
	knit_task_unref(task);
	return 0;
}

Test(scenarios, s47_current_task_and_all_tasks)
{
	run(s47);
	assert_trace("in task True | 2 | in callback None 2 | 1 False");
}

/* ---- S50: threads ----------------------------------------------------------------- */

static knit_loop *s50_loop;
static knit_future *s50_future;

CALLBACK(s50_wake)
{
	(void)knit_future_set_result(s50_future, (intptr_t) "woken");
}

struct s50_job {
	int64_t delay;
	const char *error;
	atomic_bool begun;
};

static intptr_t s50_remote(void *arg)
{
	struct s50_job *job = arg;
	int64_t delay = job->delay;
	int r;

	/* From here on the thread may go its way, and end. */
	atomic_store(&job->begun, true);
	r = knit_sleep(delay);
	if (r == -KNIT_ECANCELLED)
		trace("remote coroutine cancelled");
	if (r < 0)
		return r;
	return job->error ? knit_raise(ENOENT, "%s", job->error) : 0;
}

static char s50_out[160];

static void *s50_thread(void *unused)
{
	struct s50_job ok = {0, NULL, false}, bad = {0, "r", false};
	struct s50_job slow = {KNIT_FOREVER, NULL, false};
	knit_concurrent_future *future;
	const char *value, *error, *timeout;
	bool done, cancelled;

	if (knit_loop_call_soon_threadsafe(s50_loop, s50_wake, NULL) < 0)
		return unused;
	future = knit_run_coroutine_threadsafe(s50_loop, s50_remote, &ok);
	value = repr(knit_concurrent_future_result(future, KNIT_FOREVER));
	knit_concurrent_future_unref(future);
	future = knit_run_coroutine_threadsafe(s50_loop, s50_remote, &bad);
	error = repr(knit_concurrent_future_result(future, KNIT_FOREVER));
	knit_concurrent_future_unref(future);
	future = knit_run_coroutine_threadsafe(s50_loop, s50_remote, &slow);
	while (!atomic_load(&slow.begun))
		sched_yield(); /* what is cancelled before it begins does not run at all */
	timeout = repr(knit_concurrent_future_result(future, KNIT_MS));
	done = knit_concurrent_future_done(future);
	cancelled = knit_concurrent_future_cancel(future);
	knit_concurrent_future_unref(future);
	snprintf(s50_out, sizeof(s50_out), "[%s, '%s', 'timeout:%s', %s, %s]", value, error,
	         timeout, yes(done), yes(cancelled));
	/* After the cancellation, in the order of this thread's posts. */
	(void)!knit_loop_call_soon_threadsafe(s50_loop, complete_with_1, s50_future);
	return unused;
}

CORO(s50)
{
	pthread_t thread;

	s50_loop = knit_loop_ref(knit_get_running_loop());
	s50_future = knit_future_new();
	if (pthread_create(&thread, NULL, s50_thread, NULL) != 0)
		return -1;
	trace("%s", (const char *)knit_pointer(knit_await(s50_future)));
	s50_future = knit_future_new();
	if (knit_await(s50_future) != 1)
		return -1;
	ticks(1);
	pthread_join(thread, NULL);
	trace("%s", s50_out);
	return 0;
}

/* Differs: the thread tells the loop when it is through; how long it took is not asked */
Test(scenarios, s50_threadsafe)
{
	cr_assert_eq(knit_run(s50, NULL), 0);
	errno = 0;
	cr_assert_null(knit_run_coroutine_threadsafe(s50_loop, s50, NULL));
	trace("%s", knit_errname(errno));
	knit_loop_unref(s50_loop);
	assert_trace("woken | remote coroutine cancelled | "
	             "[0, 'KeyError(r)', 'timeout:TimeoutError', False, True] | KNIT_ECLOSED");
}

/* ---- S74: what an await costs, in passes ------------------------------------------ */

static int s74_n;
static bool s74_stop;

CALLBACK(s74_tick)
{
	s74_n++;
	if (!s74_stop)
		knit_loop_call_soon(NULL, s74_tick, NULL);
}

CORO(s74_yield)
{
	return knit_sleep(0);
}

/* Logs what it cost since @before. */
static void s74_log(const char *name, int before, intptr_t outcome)
{
	trace("%s %d", name, s74_n - before);
	cr_assert_geq(outcome, 0);
}

CORO(s74)
{
	knit_future *future = knit_future_new();
	intptr_t r;
	int a;

	knit_loop_call_soon(NULL, s74_tick, NULL);
	ticks(1);
	a = s74_n;
	r = knit_sleep(0);
	s74_log("sleep(0)", a, r);
	a = s74_n;
	r = return_arg((void *)1);
	s74_log("coroutine", a, r);
	a = s74_n;
	r = knit_await(knit_create_task(return_arg, (void *)1));
	s74_log("task(return)", a, r);
	a = s74_n;
	r = knit_await(knit_create_task(s74_yield, NULL));
	s74_log("task(sleep0)", a, r);
	knit_loop_call_soon(NULL, complete_with_1, future);
	a = s74_n;
	r = knit_await(knit_future_ref(future));
	s74_log("future set by call_soon", a, r);
	a = s74_n;
	r = knit_await(future);
	s74_log("done future", a, r);
	s74_stop = true;
	return 0;
}

/* Differs: the rows of what exists so far, and a finished future */
Test(scenarios, s74_exact_tick_counts)
{
	run(s74);
	assert_trace("sleep(0) 1 | coroutine 0 | task(return) 2 | task(sleep0) 3 | "
	             "future set by call_soon 2 | done future 0");
}
