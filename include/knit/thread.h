/* SPDX-License-Identifier: MIT */
/*
 * thread.h - what a thread may do to a loop that is not its own: post a callback, run a
 * coroutine there and wait for its outcome, as a plain thread or from another loop.
 *
 * Beside these, and what says "Thread: any" elsewhere, every call on an object of a loop fails
 * with -KNIT_EWRONGTHREAD on a foreign thread, or ends the process with a message where it
 * has no way to say so.
 */
#ifndef KNIT_THREAD_H
#define KNIT_THREAD_H

#include <knit/loop.h>
#include <knit/task.h>

KNIT_BEGIN_DECLS

/* Has @callback run by @loop, in the order of this thread's posts; wakes the loop if it
 * sleeps. From the loop's own thread it stands in line with knit_loop_call_soon().
 *
 * Units: none.
 * Returns: 0: it runs exactly once, in knit_loop_close() at the latest.
 * Errors: -KNIT_ECLOSED, -ENOMEM, -EINVAL (no loop or no callback): it never runs.
 * Thread: any; the caller must hold a reference to @loop.  Suspends: no.
 * Ownership: @arg is borrowed until the callback ran. */
KNIT_API int knit_loop_call_soon_threadsafe(knit_loop *loop, knit_callback *callback, void *arg);

/* As knit_loop_stop(), from any thread.
 *
 * Units: none.  Returns: 0.  Errors: -KNIT_ECLOSED; -ENOMEM.
 * Thread: any; the caller must hold a reference to @loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_loop_stop_threadsafe(knit_loop *loop);

/* ---- concurrent futures: an outcome that crosses threads ----------------------------- */

typedef struct knit_concurrent_future knit_concurrent_future;

/* Runs @coro as a task on @loop.
 *
 * Units: none.  Returns: a future for the outcome; failing to create the task, and the loop
 *   closing before it is done (-KNIT_ECLOSED), are outcomes.
 * Errors: NULL with errno set: ENOMEM; KNIT_ECLOSED: the loop is closed; EINVAL: no loop or
 *   no coroutine.
 * Thread: any; the caller must hold a reference to @loop.  Suspends: no.
 * Ownership: one reference for the caller; @arg is borrowed until the task is done. */
KNIT_API KNIT_NODISCARD knit_concurrent_future *
knit_run_coroutine_threadsafe(knit_loop *loop, knit_coro *coro, void *arg);

/* As knit_run_coroutine_threadsafe(): with keyword arguments.
 *
 * Units: see knit_task_options.  Returns: the future.
 * Errors: as knit_run_coroutine_threadsafe(), and EINVAL, E2BIG: @options is malformed.
 * Thread: any.  Suspends: no.  Ownership: as knit_run_coroutine_threadsafe(); .result_free is
 *   called, for a value that nobody retrieved, by whoever drops the future's last reference. */
KNIT_API KNIT_NODISCARD knit_concurrent_future *
knit_run_coroutine_threadsafe_with(knit_loop *loop, knit_coro *coro,
                                   const knit_task_options *options);

/* Makes a concurrent future that a thread completes by hand.
 *
 * Units: none.  Returns: the future.  Errors: NULL with errno = ENOMEM.
 * Thread: any.  Suspends: no.  Ownership: one reference for the caller. */
KNIT_API KNIT_NODISCARD knit_concurrent_future *knit_concurrent_future_new(void);

/* Completes @future. An error word is an exception without a message; -KNIT_ECANCELLED
 * cancels it.
 *
 * Units: none.  Returns: 0.  Errors: -KNIT_EINVALIDSTATE: it is done; -EINVAL: it belongs to
 *   knit_run_coroutine_threadsafe().
 * Thread: any.  Suspends: no.  Ownership: the value is the retriever's. */
KNIT_API int knit_concurrent_future_set_result(knit_concurrent_future *future, intptr_t outcome);

/* Completes @future with a failure.
 *
 * Units: @code an errno or a KNIT_E code of either sign.  Returns: 0.
 * Errors: as knit_concurrent_future_set_result(); -EINVAL: a code out of range.
 * Thread: any.  Suspends: no.  Ownership: @message is copied; it may be NULL. */
KNIT_API int knit_concurrent_future_set_exception(knit_concurrent_future *future, int code,
                                                  const char *message);

/* Blocks the thread until @future is done. A timeout does not cancel it.
 *
 * Units: @timeout in ns; <= 0: do not wait; KNIT_FOREVER: no limit.  Returns: the outcome.
 * Errors: its outcome; -ETIMEDOUT: not done in time (or it failed so: ask
 *   knit_concurrent_future_done()); -EDEADLK: not done, and the calling thread is that of the
 *   loop that must complete it; -KNIT_ECLOSED: that loop closed first, or is the parent's of a
 *   fork().
 * Thread: any.  Suspends: no; blocks.  Ownership: none. */
KNIT_API intptr_t knit_concurrent_future_result(knit_concurrent_future *future, int64_t timeout);

/* Cancels @future: at once; a task that runs for it gets a cancel request on its loop.
 *
 * Units: none.  Returns: true, unless it is done.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_concurrent_future_cancel(knit_concurrent_future *future);

/* Is it done?
 *
 * Units: none.  Returns: the answer.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_concurrent_future_done(const knit_concurrent_future *future);

/* Takes a reference.
 *
 * Units: none.  Returns: @future.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: one reference more for the caller. */
KNIT_API knit_concurrent_future *knit_concurrent_future_ref(knit_concurrent_future *future);

/* Drops a reference.
 *
 * Units: none.  Returns: NULL, always.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: one reference less; NULL in is harmless. */
KNIT_API knit_concurrent_future *knit_concurrent_future_unref(knit_concurrent_future *future);

/* A future of the running loop that is done when @future is. Cancelling it cancels @future,
 * and returns before the other side is done. Wrapped twice, the value comes out twice: whoever
 * does that has to agree on who frees it, and may not leave it to .result_free.
 *
 * Units: none.  Returns: the loop's future.
 * Errors: NULL: -KNIT_ENOLOOP, -ENOMEM, -KNIT_ECLOSED; awaiting NULL returns that code; -EINVAL
 *   if @future is NULL.
 * Thread: loop.  Suspends: no.  Ownership: borrows @future; one reference to the result. */
KNIT_API KNIT_NODISCARD knit_future *knit_wrap_future(knit_concurrent_future *future);

/* Runs @coro as a task on @loop and waits for it; returns only after it is done there, so the
 * caller's stack is safe. Cancelling the caller requests the cancellation of that task.
 *
 * Units: none.  Returns: the coroutine's outcome.
 * Errors: its outcome; -KNIT_ENOTASK; -ENOMEM; -EINVAL: no loop or no coroutine;
 *   -KNIT_ECLOSED: @loop is closed, or was closed before it was done.
 * Thread: loop (the caller's), with a reference to @loop.  Suspends: always.
 * Ownership: @arg is borrowed until the return. */
KNIT_API KNIT_NODISCARD intptr_t knit_run_on(knit_loop *loop, knit_coro *coro, void *arg);

/* As knit_run_on(): with keyword arguments.
 *
 * Units: see knit_task_options.  Returns: the coroutine's outcome.
 * Errors: as knit_run_on(), and -EINVAL, -E2BIG: @options is malformed.
 * Thread: loop.  Suspends: always.  Ownership: as knit_run_on(). */
KNIT_API KNIT_NODISCARD intptr_t knit_run_on_with(knit_loop *loop, knit_coro *coro,
                                                  const knit_task_options *options);

KNIT_END_DECLS

#ifndef __cplusplus
#define knit_run_coroutine_threadsafe(loop, coro, ...) \
	knit_run_coroutine_threadsafe_with(loop, coro, knit_task_arguments(__VA_ARGS__))
#define knit_run_on(loop, coro, ...) knit_run_on_with(loop, coro, knit_task_arguments(__VA_ARGS__))
#else
/* As knit_run_coroutine_threadsafe_with(): the C++ form of the macro.
 *
 * Units: see knit_task_options.  Returns: the future.
 * Errors: as knit_run_coroutine_threadsafe_with().
 * Thread: any.  Suspends: no.  Ownership: as knit_run_coroutine_threadsafe(). */
static inline knit_concurrent_future *knit_run_coroutine_threadsafe(knit_loop *loop,
                                                                    knit_coro *coro, void *arg,
                                                                    knit_task_options options)
{
	options.size = sizeof(options);
	options.arg = arg;
	return knit_run_coroutine_threadsafe_with(loop, coro, &options);
}

/* As knit_run_on_with(): the C++ form of the macro.
 *
 * Units: see knit_task_options.  Returns: the outcome.  Errors: as knit_run_on_with().
 * Thread: loop.  Suspends: always.  Ownership: as knit_run_on(). */
static inline intptr_t knit_run_on(knit_loop *loop, knit_coro *coro, void *arg,
                                   knit_task_options options)
{
	options.size = sizeof(options);
	options.arg = arg;
	return knit_run_on_with(loop, coro, &options);
}
#endif
#endif
