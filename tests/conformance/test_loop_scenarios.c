/* SPDX-License-Identifier: MIT */
/* test_loop_scenarios.c - traces of asyncio's loop: callbacks, timers, stopping, running. */
#include "common.h"
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "knit/file.h"

/* What a call of the library itself came to, by the name of its code. */
static const char *code_of(int r)
{
	return r < 0 ? knit_errname(r) : "None";
}

/* ---- S01 to S04 -------------------------------------------------------------------- */

CALLBACK(s01_a)
{
	trace("a");
	knit_loop_call_soon(NULL, log_text, (void *)"a.child");
	knit_loop_call_soon(NULL, log_text, (void *)"a.child2");
}

CALLBACK(s01_b)
{
	trace("b");
	knit_loop_call_soon(NULL, log_text, (void *)"b.child");
}

CORO(s01)
{
	knit_loop_call_soon(NULL, s01_a, NULL);
	knit_loop_call_soon(NULL, s01_b, NULL);
	knit_loop_call_soon(NULL, log_text, (void *)"c");
	ticks(1);
	trace("main@1");
	ticks(1);
	trace("main@2");
	return 0;
}

Test(scenarios, s01_call_soon_fifo_and_next_iteration)
{
	run(s01);
	assert_trace("a | b | c | main@1 | a.child | a.child2 | b.child | main@2");
}

CORO(s02)
{
	knit_loop_call_later(NULL, 0, log_text, (void *)"later0");
	knit_loop_call_later(NULL, -5 * KNIT_S, log_text, (void *)"later-5");
	knit_loop_call_soon(NULL, log_text, (void *)"soon");
	ticks(1);
	trace("main");
	ticks(1);
	trace("main2");
	return 0;
}

Test(scenarios, s02_timer_zero_runs_after_already_ready)
{
	run(s02);
	assert_trace("soon | main | later-5 | later0 | main2");
}

CORO(s03)
{
	static const char *const names[] = {"t0", "t1", "t2", "t3", "t4", "t5"};
	int64_t when = knit_loop_time(NULL) + 10 * KNIT_MS;

	for (int i = 0; i < 6; i++)
		knit_loop_call_at(NULL, when, log_text, (void *)names[i]);
	knit_loop_call_at(NULL, when - 5 * KNIT_MS, log_text, (void *)"early");
	return knit_sleep(30 * KNIT_MS);
}

Test(scenarios, s03_equal_deadlines)
{
	run(s03);
	assert_trace("early | t0 | t1 | t2 | t3 | t4 | t5");
}

static knit_handle s04_b, s04_t;

CALLBACK(s04_a)
{
	trace("a");
	(void)knit_handle_cancel(s04_b);
	(void)knit_handle_cancel(s04_t);
}

CORO(s04)
{
	s04_t = knit_loop_call_later(NULL, 0, log_text, (void *)"T-never");
	knit_loop_call_soon(NULL, s04_a, NULL);
	s04_b = knit_loop_call_soon(NULL, log_text, (void *)"B-never");
	knit_loop_call_soon(NULL, log_text, (void *)"c");
	ticks(3);
	trace("cancelled %s %s", yes(!knit_handle_is_pending(s04_b)),
	      yes(!knit_handle_is_pending(s04_t)));
	return 0;
}

Test(scenarios, s04_handle_cancel_in_same_batch)
{
	run(s04);
	assert_trace("a | c | cancelled True True");
}

/* ---- S06: stopping ----------------------------------------------------------------- */

CORO(s06)
{
	knit_loop_stop(knit_get_running_loop());
	trace("stop called");
	ticks(1);
	trace("resumed");
	if (knit_sleep(KNIT_MS) < 0)
		return -1;
	return 7;
}

Test(scenarios, s06_stop_before_complete)
{
	knit_loop *loop = loop_new();
	knit_task *task = knit_loop_create_task(loop, s06, NULL);
	intptr_t outcome = knit_loop_run_until_complete_future(loop, task);

	trace("%s done %s", repr(outcome), yes(knit_task_done(task)));
	trace("%s", repr(knit_loop_run_until_complete_future(loop, task)));
	knit_loop_unref(loop);
	assert_trace("stop called | KNIT_ESTOPPED done False | resumed | 7");
}

/* ---- S43: knit_run(), nested and afterwards ---------------------------------------- */

static void s43_handler(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(void)arg;
	trace("HANDLER %s %s", context->message, repr_error(context->code, context->error));
}

static intptr_t s43_left(void *name)
{
	int r = knit_sleep(10 * KNIT_S);

	if (r != -KNIT_ECANCELLED)
		return -1;
	trace("%s cancelled", (const char *)name);
	if (knit_sleep(KNIT_MS) < 0)
		return -1;
	trace("%s cleaned", (const char *)name);
	return strcmp(name, "bad") == 0 ? knit_raise(EIO, "cleanup failed") : r;
}

CORO(s43_main)
{
	(void)knit_loop_set_exception_handler(knit_get_running_loop(), s43_handler, NULL);
	if (knit_spawn(s43_left, (void *)"ok", .name = "ok") < 0 ||
	    knit_spawn(s43_left, (void *)"bad") < 0)
		return -1;
	ticks(1);
	trace("main returns");
	return 9;
}

CORO(s43_nested)
{
	knit_loop *other = knit_loop_new(.clock = KNIT_CLOCK_VIRTUAL);

	trace("%s", code_of((int)knit_run(s43_main, NULL)));
	trace("%s", code_of(knit_loop_run_forever(other)));
	trace("%s", code_of(knit_loop_run_forever(knit_get_running_loop())));
	trace("%s", code_of(knit_loop_close(knit_get_running_loop())));
	knit_loop_unref(other);
	return 0;
}

/* Differs: current_task() where no loop runs is NULL, as in a callback, and no error */
Test(scenarios, s43_run_cancels_leftovers_and_reports)
{
	trace("%s", repr(knit_run(s43_main, NULL, .clock = KNIT_CLOCK_VIRTUAL)));
	run(s43_nested);
	errno = 0;
	trace("%s", knit_get_running_loop() ? "a loop" : knit_errname(errno));
	trace("%s", knit_current_task(NULL) ? "a task" : "None");
	assert_trace("main returns | ok cancelled | bad cancelled | ok cleaned | bad cleaned | "
	             "HANDLER unhandled exception during knit_run() shutdown "
	             "RuntimeError(cleanup failed) | 9 | KNIT_ERUNNING | KNIT_ERUNNING | "
	             "KNIT_ERUNNING | KNIT_ERUNNING | KNIT_ENOLOOP | None");
}

/* ---- S45: callbacks that fail ----------------------------------------------------- */

static void s45_bad(void *loop)
{
	knit_exception_context context = {.message = "bad()", .error = "cb", .code = EINVAL};

	(void)knit_loop_call_exception_handler(loop, &context);
}

static void s45_broken_handler(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	int *depth = arg;

	/* The nearest thing to an error in a handler: it reports one itself. */
	if ((*depth)++ == 0)
		(void)knit_loop_call_exception_handler(loop, context);
}

/* Differs: callbacks report by a call; there are no exceptions that would leave the loop */
Test(scenarios, s45_callback_exception_does_not_stop_loop)
{
	knit_loop *loop = loop_new();
	int depth = 0;

	(void)knit_loop_set_exception_handler(loop, s43_handler, NULL);
	knit_loop_call_soon(loop, s45_bad, loop);
	knit_loop_call_soon(loop, log_text, (void *)"next");
	knit_loop_call_soon(loop, stop_loop, loop);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	trace("running %s", yes(knit_loop_is_running(loop)));
	(void)knit_loop_set_exception_handler(loop, s45_broken_handler, &depth);
	knit_loop_call_soon(loop, s45_bad, loop);
	knit_loop_call_soon(loop, stop_loop, loop);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	trace("broken handler survived");
	knit_loop_unref(loop);
	assert_trace("HANDLER bad() ValueError(cb) | next | running False | "
	             "broken handler survived");
}

/* ---- S55: signals ----------------------------------------------------------------- */

static knit_future *s55_event;

CALLBACK(s55_handler)
{
	trace("handler in loop %s", knit_current_task(NULL) ? "a task" : "None");
	(void)knit_future_set_result(s55_event, 1);
}

CORO(s55)
{
	knit_loop *loop = knit_get_running_loop();
	int removed[2];

	s55_event = knit_future_new();
	if (knit_loop_add_signal_handler(loop, SIGUSR1, s55_handler, NULL) < 0)
		return -1;
	kill(getpid(), SIGUSR1);
	trace("not yet");
	if (knit_await(s55_event) != 1)
		return -1;
	trace("got");
	removed[0] = knit_loop_remove_signal_handler(loop, SIGUSR1);
	removed[1] = knit_loop_remove_signal_handler(loop, SIGUSR1);
	trace("%s %s", yes(removed[0] == 1), yes(removed[1] == 1));
	trace("%s", code_of(knit_loop_add_signal_handler(loop, SIGKILL, s55_handler, NULL)));
	trace("%s", code_of(knit_loop_add_signal_handler(loop, 0, s55_handler, NULL)));
	return 0;
}

Test(scenarios, s55_signal_handler)
{
	run(s55);
	assert_trace("not yet | handler in loop None | got | True False | EINVAL | EINVAL");
}

/* ---- S68: a task that spins ------------------------------------------------------- */

static int s68_stop;

static intptr_t s68_reader(void *arg)
{
	int *fd = arg;
	char byte;

	if (knit_poll(*fd, 0x001 /* POLLIN */) < 0 || read(*fd, &byte, 1) != 1)
		return -1;
	s68_stop++;
	trace("io");
	return 0;
}

CALLBACK(s68_timer)
{
	s68_stop++;
	trace("timer");
}

CORO(s68)
{
	int ends[2], spins = 0;
	knit_task *reader;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		return -1;
	reader = knit_create_task(s68_reader, &ends[0]);
	ticks(2); /* it polls now */
	if (write(ends[1], "x", 1) != 1)
		return -1;
	knit_loop_call_later(NULL, KNIT_MS, s68_timer, NULL);
	for (; s68_stop < 2; spins++)
		ticks(1);
	trace("%s", yes(spins > 1));
	close(ends[0]);
	close(ends[1]);
	return knit_await(reader);
}

/* Differs: a task that polls in the place of a reader callback; how long it took is not asked */
Test(scenarios, s68_spinning_task_does_not_starve_io_or_timers)
{
	cr_assert_eq(knit_run(s68, NULL), 0);
	assert_trace("io | timer | True");
}
