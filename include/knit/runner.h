/* SPDX-License-Identifier: MIT */
/*
 * runner.h - several main coroutines, one after the other, on one loop.
 *
 * A runner is what knit_run() is made of (asyncio.Runner): what one run leaves behind, tasks
 * and all, goes on in the next, until the runner is closed. All runs share one context, a copy
 * of that in which the first one was begun.
 */
#ifndef KNIT_RUNNER_H
#define KNIT_RUNNER_H

#include <knit/loop.h>

KNIT_BEGIN_DECLS

typedef struct knit_runner knit_runner;

/* Keyword arguments of knit_runner_new(): those of the loop that it makes, and its own. */
typedef struct knit_runner_options {
	size_t size;               /* sizeof(knit_runner_options); the macro sets it */
	size_t stack_size;         /* as in knit_loop_options */
	uint32_t sq_entries;       /* as in knit_loop_options */
	uint32_t cq_entries;       /* as in knit_loop_options */
	uint32_t clock;            /* KNIT_CLOCK_* */
	uint32_t paint;            /* as in knit_loop_options */
	int64_t grace;             /* as in knit_run_options */
	int32_t debug;             /* as in knit_loop_options */
	int64_t spin;              /* as in knit_loop_options */
	int64_t min_wait;          /* as in knit_loop_options */
	uint32_t min_complete;     /* as in knit_loop_options */
	int64_t stack_aside_after; /* as in knit_loop_options */
} knit_runner_options;

/* Makes a runner, and its loop.
 *
 * Units: none.  Returns: the runner.  Errors: NULL with errno set, as knit_loop_new().
 * Thread: any; from its first run on it belongs to that thread.  Suspends: no.
 * Ownership: the caller's, until knit_runner_unref(). */
KNIT_API KNIT_NODISCARD knit_runner *knit_runner_new(void);

/* As knit_runner_new(): with keyword arguments.
 *
 * Units: see knit_runner_options.  Returns: the runner.
 * Errors: as knit_runner_new(), and EINVAL, E2BIG: @options is malformed.
 * Thread: any.  Suspends: no.  Ownership: as knit_runner_new(); @options is borrowed. */
KNIT_API KNIT_NODISCARD knit_runner *knit_runner_new_with(const knit_runner_options *options);

/* Runs @coro as the main task of the runner's loop, until it returns. Tasks that it leaves go on
 * in the next run.
 *
 * Ctrl-C: in the main thread, and if SIGINT has the default action, the first one during the run
 * cancels the main task, so that its cleanup runs; a second one ends the process, as the default
 * action does. The default action is restored when the main task is done.
 *
 * Units: none.  Returns: the outcome of @coro; also if SIGINT came and the task did not end
 *   cancelled.
 * Errors: -EINTR: SIGINT came, and the task ended cancelled by it (by another request, or one
 *   more, too: -KNIT_ECANCELLED); -KNIT_ERUNNING: a loop runs in this thread; -KNIT_ECLOSED: the
 *   runner is closed; -EINVAL: no coroutine; others as knit_loop_run_until_complete().
 * Thread: loop.  Suspends: no; blocks the thread.  Ownership: @arg is borrowed until the task is
 *   done. */
KNIT_API intptr_t knit_runner_run(knit_runner *runner, knit_coro *coro, void *arg);

/* The loop that it runs.
 *
 * Units: none.  Returns: the loop.  Errors: NULL with errno = KNIT_ECLOSED: it is closed.
 * Thread: loop.  Suspends: no.  Ownership: borrowed. */
KNIT_API knit_loop *knit_runner_get_loop(const knit_runner *runner);

/* Cancels the tasks that are left and waits for them, the grace period at most; waits for
 * the loop's default executor, for as long at most; closes the loop. As the end of knit_run(),
 * which says what is reported. Closing a closed runner does nothing.
 *
 * Units: none.  Returns: 0.
 * Errors: -ETIMEDOUT: tasks or functions in threads were not done in time; -EBUSY: as
 *   knit_loop_close(); -KNIT_ERUNNING: a loop runs in this thread, and nothing was closed.
 * Thread: loop.  Suspends: no; blocks the thread.  Ownership: none. */
KNIT_API int knit_runner_close(knit_runner *runner);

/* Closes the runner if it is not closed yet, and frees it.
 *
 * Units: none.  Returns: NULL, always.
 * Errors: none; ends the process on a foreign thread, or while a loop runs in this one, if it is
 *   not closed.
 * Thread: loop.  Suspends: no; blocks the thread.  Ownership: the runner is gone; NULL in is
 *   harmless. */
KNIT_API knit_runner *knit_runner_unref(knit_runner *runner);

KNIT_END_DECLS

#ifndef __cplusplus
#define knit_runner_new(...)  \
	knit_runner_new_with( \
	        &(knit_runner_options){.size = sizeof(knit_runner_options), __VA_ARGS__})
#else
/* As knit_runner_new_with(): the C++ form of the macro.
 *
 * Units: see knit_runner_options.  Returns: the runner.  Errors: as knit_runner_new_with().
 * Thread: any.  Suspends: no.  Ownership: as knit_runner_new(). */
static inline knit_runner *knit_runner_new(knit_runner_options options)
{
	options.size = sizeof(options);
	return knit_runner_new_with(&options);
}
#endif
#endif
