/* SPDX-License-Identifier: MIT */
/* runner.c - a program's run: a loop, main tasks one after the other, and an orderly end.
 *
 * knit_run() is a runner with one run. Ctrl-C is asked for while a main task runs and no longer:
 * in the cleanup afterwards it ends the process, as in asyncio. */
#include "knit/runner.h"
#include <signal.h>
#include "base/alloc.h"
#include "base/options.h"
#include "knit/context.h"
#include "knit/executor.h"
#include "task/runner.h"

#define GRACE (60 * KNIT_S)

struct knit_runner {
	knit_loop *loop;       /* counted; NULL once the runner is closed */
	int64_t grace;         /* ns */
	knit_context *context; /* counted: of all main tasks; NULL before the first run, and in
	                        * knit_run() */
};

/* ---- making one ---------------------------------------------------------------------- */

static int init(struct knit_runner *runner, const knit_runner_options *options)
{
	knit_loop_options loop_options = {
	        .size = sizeof(loop_options),
	        .stack_size = options->stack_size,
	        .sq_entries = options->sq_entries,
	        .cq_entries = options->cq_entries,
	        .clock = options->clock,
	        .paint = options->paint,
	        .debug = options->debug,
	        .spin = options->spin,
	        .min_wait = options->min_wait,
	        .min_complete = options->min_complete,
	        .stack_aside_after = options->stack_aside_after,
	};

	if (options->grace < 0)
		return -EINVAL;
	runner->grace = options->grace ? options->grace : GRACE;
	runner->loop = knit_loop_new_with(&loop_options);
	return runner->loop ? 0 : -errno;
}

knit_runner *knit_runner_new_with(const knit_runner_options *given)
{
	knit_runner_options options;
	struct knit_runner *runner = NULL;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r == 0) {
		runner = kn_calloc(1, sizeof(*runner));
		r = runner ? init(runner, &options) : -ENOMEM;
	}
	if (r < 0) {
		kn_free(runner);
		errno = -r;
		return NULL;
	}
	return runner;
}

knit_runner *(knit_runner_new)(void)
{
	return knit_runner_new(.grace = 0);
}

knit_loop *knit_runner_get_loop(const knit_runner *runner)
{
	if (!runner || !runner->loop) {
		errno = KNIT_ECLOSED;
		return NULL;
	}
	return runner->loop;
}

/* ---- a run --------------------------------------------------------------------------- */

struct interrupt {
	struct kn_ready ready;
	struct kn_task *main;
	bool came; /* and the task has been asked to end */
	bool late; /* it was done already */
};

static void interrupt_main(struct kn_ready *ready)
{
	struct interrupt *interrupt = kn_container_of(ready, struct interrupt, ready);

	interrupt->came = kn_future_request_cancel(&interrupt->main->future, NULL);
	interrupt->late = !interrupt->came;
}

/* 0 if the task is done, or why it is not. */
static int run_interruptibly(struct knit_loop *loop, struct kn_task *main, bool *ret_interrupted)
{
	struct interrupt interrupt = {.ready.run = interrupt_main, .main = main};
	int r;

	kn_list_init(&interrupt.ready.link);
	kn_interrupt_begin(loop, &interrupt.ready);
	r = kn_run_until(loop, &main->future);
	if (kn_loop_check(loop) == 0)
		kn_interrupt_end(loop);
	if (interrupt.late)
		raise(SIGINT);
	*ret_interrupted = interrupt.came;
	return r;
}

/* The outcome of a main task that is done. Did it end by the interruption alone? */
static intptr_t outcome_of(struct kn_task *main, bool interrupted)
{
	intptr_t outcome = kn_future_retrieve(&main->future);

	if (!interrupted || main->future.state != KN_CANCELLED)
		return outcome;
	kn_task_uncancel(main);
	if (main->cancelling > 0)
		return outcome;
	kn_message_record(kn_message_new(NULL, 0, EINTR, "interrupted by SIGINT"));
	return -EINTR;
}

static intptr_t run_main(const struct knit_runner *runner, knit_coro *coro, void *arg)
{
	struct knit_loop *loop = runner->loop;
	knit_task_options options = {
	        .size = sizeof(options),
	        .arg = arg,
	        .context = runner->context,
	};
	struct kn_task *main;
	bool interrupted;
	intptr_t outcome;
	int r = kn_loop_begin_run(loop);

	if (r < 0)
		return r;
	main = kn_task_create(loop, coro, &options, 1, &r);
	outcome = r;
	if (main)
		outcome = run_interruptibly(loop, main, &interrupted);
	if (kn_loop_check(loop) < 0)
		return -KNIT_EWRONGTHREAD; /* a forked child: nothing of the loop is its own */
	if (main && outcome == 0)
		outcome = outcome_of(main, interrupted);
	/* One that is not done is the loop's, and goes on with it. */
	if (main)
		kn_future_release(&main->future);
	kn_loop_end_run(loop);
	return outcome;
}

intptr_t knit_runner_run(knit_runner *runner, knit_coro *coro, void *arg)
{
	if (!runner || !coro)
		return kn_fail(-EINVAL);
	if (kn_self.loop)
		return kn_fail(-KNIT_ERUNNING);
	if (!runner->loop)
		return kn_fail(-KNIT_ECLOSED);
	if (!runner->context)
		runner->context = knit_copy_context();
	return runner->context ? run_main(runner, coro, arg) : -ENOMEM;
}

/* ---- the end ------------------------------------------------------------------------- */

static intptr_t shut_executor(void *grace)
{
	return knit_loop_shutdown_default_executor(*(const int64_t *)grace);
}

/* Functions in threads cannot be cancelled, but waited for. */
static int end_executor(struct knit_loop *loop, int64_t grace)
{
	knit_task_options options = {.size = sizeof(options), .arg = &grace};
	struct kn_task *task;
	int r;

	if (loop->default_jobs == 0)
		return 0;
	/* The program is over: its factory may count on things that are gone. */
	(void)knit_loop_set_task_factory(loop, NULL, NULL);
	task = kn_task_create(loop, shut_executor, &options, 1, &r);
	if (!task)
		return r;
	do
		r = kn_run_until(loop, &task->future);
	while (r == -KNIT_ESTOPPED);
	if (kn_loop_check(loop) < 0)
		return -KNIT_EWRONGTHREAD;
	if (r == 0)
		r = (int)kn_future_retrieve(&task->future);
	kn_future_release(&task->future);
	return r;
}

/* What is left comes to its end while the loop runs. */
static int run_out(const struct knit_runner *runner)
{
	struct knit_loop *loop = runner->loop;
	int r;

	if (kn_list_empty(&loop->all_tasks) && loop->default_jobs == 0)
		return 0;
	r = kn_loop_begin_run(loop);
	if (r == -KNIT_ECLOSED)
		return 0; /* by somebody else */
	if (r < 0)
		return r;
	r = kn_leftovers_end(loop, runner->grace);
	if (r == 0)
		r = end_executor(loop, runner->grace);
	kn_run_end(loop);
	return r;
}

static int close_loop(struct knit_runner *runner)
{
	int r = run_out(runner), closed;

	/* A foreign thread, or the child of a fork(): there it is closed, and stays the parent's.
	 */
	if (kn_loop_check(runner->loop) < 0) {
		if (knit_loop_is_closed(runner->loop))
			runner->loop = knit_loop_unref(runner->loop);
		return -KNIT_EWRONGTHREAD;
	}
	closed = knit_loop_close(runner->loop);
	runner->loop = knit_loop_unref(runner->loop);
	/* That a virtual clock has run out is said of a main task only. */
	if (r < 0 && r != -EDEADLK)
		return r;
	return closed;
}

int knit_runner_close(knit_runner *runner)
{
	if (!runner)
		return -EINVAL;
	if (!runner->loop)
		return 0;
	return kn_self.loop ? -KNIT_ERUNNING : close_loop(runner);
}

knit_runner *knit_runner_unref(knit_runner *runner)
{
	int r;

	if (!runner)
		return NULL;
	r = knit_runner_close(runner);
	if (runner->loop)
		kn_panic("knit_runner_unref(): the runner is not closed, and cannot be here: %s",
		         knit_strerror(r));
	knit_context_unref(runner->context);
	kn_free(runner);
	return NULL;
}

/* ---- knit_run ------------------------------------------------------------------------ */

/* The end of a run must not cost its main task the text of its failure. */
static intptr_t run_once(struct knit_runner *runner, knit_coro *main, void *arg)
{
	intptr_t outcome = run_main(runner, main, arg);
	struct kn_message *message = kn_message_ref(kn_message_recorded(outcome));
	int r;

	if (kn_loop_check(runner->loop) < 0) {
		kn_message_unref(message);
		return outcome;
	}
	r = close_loop(runner);
	if (!knit_is_error(outcome)) {
		kn_message_unref(message);
		return r < 0 ? r : outcome;
	}
	kn_message_record(message);
	return outcome;
}

intptr_t knit_run_with(knit_coro *main, const knit_run_options *given)
{
	struct knit_runner runner = {.loop = NULL};
	knit_run_options options;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r == 0 && !main)
		r = -EINVAL;
	if (r == 0 && kn_self.loop)
		r = -KNIT_ERUNNING;
	if (r < 0)
		return kn_fail(r);
	r = init(&runner, &(knit_runner_options){
	                          .stack_size = options.stack_size,
	                          .sq_entries = options.sq_entries,
	                          .cq_entries = options.cq_entries,
	                          .clock = options.clock,
	                          .paint = options.paint,
	                          .grace = options.grace,
	                          .debug = options.debug,
	                          .spin = options.spin,
	                          .min_wait = options.min_wait,
	                          .min_complete = options.min_complete,
	                          .stack_aside_after = options.stack_aside_after,
	                  });
	return r < 0 ? r : run_once(&runner, main, options.arg);
}

intptr_t(knit_run)(knit_coro *main, void *arg)
{
	return knit_run(main, arg);
}
