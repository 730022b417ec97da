/* SPDX-License-Identifier: MIT */
/*
 * task.h - futures, and tasks, which are futures that run a coroutine on a stack of their own.
 *
 * Ownership, for the whole interface: what returns an awaitable's outcome consumes a
 * reference to it (await); what only looks or derives borrows (methods, callbacks). The
 * creator of a task gets one reference; the loop keeps its own until the task is done.
 * A freed task or future that is used all the same is met by a check that ends the process
 * with a message, for at least 1,024 further frees.
 *
 * Running a coroutine inside the current task is a plain function call.
 */
#ifndef KNIT_TASK_H
#define KNIT_TASK_H

#include <knit/loop.h>

KNIT_BEGIN_DECLS

typedef void knit_done_callback(knit_future *future, void *arg);

/* Keyword arguments of what creates a task. */
typedef struct knit_task_options {
	size_t size;                           /* sizeof(knit_task_options); the macro sets it */
	void *arg;                             /* the coroutine's; the macro sets it */
	const char *name;                      /* copied; NULL: "Task-N" */
	size_t stack_size;                     /* bytes; 0: the loop's default */
	void (*arg_free)(void *arg);           /* once, when the task is done, also if it never
	                                        * ran; not if creation failed */
	void (*result_free)(intptr_t outcome); /* for a value that nobody retrieved */
	knit_context *context; /* to run in, and shared with it; NULL: a copy of the current one */
	int eager_start; /* KNIT_EAGER_*: does its first step run before the creation returns? */
	uint32_t stack_private; /* not 0: while the task sleeps or awaits, nobody but itself uses
	                         * what lies on its stack, so that it may be put aside: see
	                         * .stack_aside_after of knit_loop_options */
} knit_task_options;

/* Does the first step of a task run inside the call that creates it? If the coroutine returns in
 * that step, the task is done when the call returns. */
enum {
	KNIT_EAGER_DEFAULT = 0, /* as knit_loop_set_eager() says */
	KNIT_EAGER_YES = 1,     /* creation fails with -KNIT_ENOLOOP where the loop does not run */
	KNIT_EAGER_NO = -1,     /* in the next pass, in the order of creation */
};

/* Keyword arguments of knit_future_new(). */
typedef struct knit_future_options {
	size_t size;                           /* sizeof(knit_future_options); the macro sets it */
	void (*result_free)(intptr_t outcome); /* for a value that nobody retrieved */
} knit_future_options;

/* ---- tasks --------------------------------------------------------------------------- */

/* Creates a task on the running loop. It starts in the next pass, in the order of creation, unless
 * it starts eagerly: see KNIT_EAGER_YES. Its context is a copy of the creator's.
 *
 * Units: none.  Returns: the task.
 * Errors: NULL: -KNIT_ENOLOOP, -ENOMEM, -KNIT_ECLOSED, -EINVAL: no coroutine; awaiting NULL
 *   returns that code. Where no stack can be had at the first step, the task's outcome is
 *   -ENOMEM.
 * Thread: loop.  Suspends: no.  Ownership: one reference for the caller; @arg is borrowed until
 *   the task is done, or its own with .arg_free. */
KNIT_API KNIT_NODISCARD knit_task *knit_create_task(knit_coro *coro, void *arg);

/* As knit_create_task(): with keyword arguments.
 *
 * Units: see knit_task_options.  Returns: the task.
 * Errors: as knit_create_task(), and -EINVAL, -E2BIG: @options is malformed; -KNIT_ENOLOOP: an
 *   eager start on a loop that does not run; -KNIT_EWRONGTHREAD: another thread uses .context.
 * Thread: loop.  Suspends: no.  Ownership: as knit_create_task(); @options is borrowed. */
KNIT_API KNIT_NODISCARD knit_task *knit_create_task_with(knit_coro *coro,
                                                         const knit_task_options *options);

/* As knit_create_task(): on @loop, which may be one that does not run yet.
 *
 * Units: none.  Returns: the task.
 * Errors: as knit_create_task(), and -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: as knit_create_task(). */
KNIT_API KNIT_NODISCARD knit_task *knit_loop_create_task(knit_loop *loop, knit_coro *coro,
                                                         void *arg);

/* As knit_loop_create_task(): with keyword arguments.
 *
 * Units: see knit_task_options.  Returns: the task.
 * Errors: as knit_loop_create_task(), and -EINVAL, -E2BIG.
 * Thread: loop.  Suspends: no.  Ownership: as knit_create_task(); @options is borrowed. */
KNIT_API KNIT_NODISCARD knit_task *knit_loop_create_task_with(knit_loop *loop, knit_coro *coro,
                                                              const knit_task_options *options);

/* Creates a task on the running loop and forgets it. Its failure goes to the loop's exception
 * handler, its value to .result_free.
 *
 * Units: none.  Returns: 0.  Errors: -KNIT_ENOLOOP; -ENOMEM; -KNIT_ECLOSED.
 * Thread: loop.  Suspends: no.  Ownership: no reference for the caller; @arg as in
 *   knit_create_task(). */
KNIT_API KNIT_NODISCARD int knit_spawn(knit_coro *coro, void *arg);

/* As knit_spawn(): with keyword arguments.
 *
 * Units: see knit_task_options.  Returns: 0.  Errors: as knit_spawn(), and -EINVAL, -E2BIG.
 * Thread: loop.  Suspends: no.  Ownership: as knit_spawn(); @options is borrowed. */
KNIT_API KNIT_NODISCARD int knit_spawn_with(knit_coro *coro, const knit_task_options *options);

/* Makes all tasks of @loop (NULL: the running loop) start eagerly that are created while it runs
 * and do not say .eager_start, or ends that.
 *
 * Units: none.  Returns: 0.  Errors: -KNIT_EWRONGTHREAD; -KNIT_ENOLOOP: NULL, and none runs.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_loop_set_eager(knit_loop *loop, bool eager);

/* Do they (NULL: those of the running loop)?
 *
 * Units: none.  Returns: the answer.
 * Errors: none; false if there is no loop; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_loop_get_eager(const knit_loop *loop);

/* Sets what is called for every task that is about to be created on @loop (NULL: the running loop),
 * whoever creates it: it calls knit_task_new(), with another coroutine or other options if it
 * likes. NULL: none.
 *
 * Units: none.  Returns: 0.  Errors: -KNIT_EWRONGTHREAD; -KNIT_ENOLOOP: NULL, and none runs.
 * Thread: loop.  Suspends: no.  Ownership: @arg is borrowed until another one is set, or the loop
 *   is closed. */
KNIT_API int knit_loop_set_task_factory(knit_loop *loop, knit_task_factory *factory, void *arg);

/* The factory of @loop (NULL: the running loop), and in *@ret_arg its argument.
 *
 * Units: none.  Returns: the factory, NULL if there is none.
 * Errors: none; NULL if there is no loop; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: @ret_arg may be NULL. */
KNIT_API knit_task_factory *knit_loop_get_task_factory(const knit_loop *loop, void **ret_arg);

/* Creates a task as knit_loop_create_task_with() does, but without asking the factory. In a factory
 * it does not start before the factory has returned.
 *
 * Units: see knit_task_options.  Returns: the task.
 * Errors: as knit_loop_create_task_with().
 * Thread: loop.  Suspends: no.  Ownership: as knit_create_task(); @options is borrowed. */
KNIT_API KNIT_NODISCARD knit_task *knit_task_new(knit_loop *loop, knit_coro *coro,
                                                 const knit_task_options *options);

/* Waits until @awaitable is done, and consumes a reference to it, whatever is returned, as
 * pthread_join() does; take knit_task_ref() first to look at it afterwards. Cancelling the
 * caller cancels the awaited future or task, and the wait goes on until it is done: when the
 * call returns, an awaited task is done, so its argument may live on the caller's stack.
 *
 * Units: none.  Returns: the outcome of @awaitable.
 * Errors: its outcome; -KNIT_ECANCELLED: it, or the caller, was cancelled; -EDEADLK: a task
 *   awaits itself; -KNIT_ENOTASK; -KNIT_EWRONGTHREAD: it is another loop's (on a foreign
 *   thread the reference stays); for NULL the reason why the last creation in this thread
 *   failed, or -EINVAL; -KNIT_ECLOSED: the loop is being closed.
 * Thread: loop.  Suspends: unless it is done already.  Ownership: consumes one reference. */
KNIT_API KNIT_NODISCARD intptr_t knit_await(knit_future *awaitable);

/* Waits. With @delay <= 0 the others run once, for one pass.
 *
 * Units: @delay in ns; KNIT_FOREVER: until cancelled.  Returns: 0.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -ENOMEM; -KNIT_ECLOSED: the loop is being closed.
 * Thread: loop.  Suspends: always.  Ownership: none. */
KNIT_API KNIT_NODISCARD int knit_sleep(int64_t delay);

/* As knit_sleep(): until a time of the loop's clock, for periodic work without drift.
 *
 * Units: @when in ns of knit_loop_time().  Returns: 0.  Errors: as knit_sleep().
 * Thread: loop.  Suspends: always.  Ownership: none. */
KNIT_API KNIT_NODISCARD int knit_sleep_until(int64_t when);

/* Requests that @task be cancelled: at its next suspension, or in the one that it is in,
 * -KNIT_ECANCELLED comes out once. If it awaits a task or future, that is cancelled first. A
 * task that has not started never runs.
 *
 * Units: none.  Returns: true, unless @task is done (then its failure counts as retrieved).
 * Errors: none; ends the process on a foreign thread (post the call instead).
 * Thread: loop.  Suspends: no.  Ownership: @msg is copied; it may be NULL. */
KNIT_API bool knit_task_cancel(knit_task *task, const char *msg);

/* Takes one request back: the task has dealt with it. At 0 a request that has not been
 * delivered is dropped.
 *
 * Units: none.  Returns: the requests that are left.
 * Errors: -EINVAL: not a task; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_task_uncancel(knit_task *task);

/* How many cancel requests less uncancels @task has had.
 *
 * Units: none.  Returns: the number.  Errors: -EINVAL: not a task; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_task_cancelling(const knit_task *task);

/* Renames @task.
 *
 * Units: none.  Returns: 0.  Errors: -ENOMEM; -EINVAL: not a task; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: @name is copied. */
KNIT_API int knit_task_set_name(knit_task *task, const char *name);

/* The name of @task: "Task-N" unless it was given one.
 *
 * Units: none.  Returns: the name, never NULL.
 * Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: the task's, until it is renamed or freed. */
KNIT_API const char *knit_task_get_name(const knit_task *task);

/* The coroutine that @task runs.
 *
 * Units: none.  Returns: the function, NULL for a plain future.  Errors: none.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API knit_coro *knit_task_get_coro(const knit_task *task);

/* How much of its stack @task has touched: by the page, exactly with the loop's .paint.
 * Without painting, what an earlier task touched on the same stack counts too.
 *
 * Units: bytes.  Returns: the bytes; 0 for a task that has no stack (not started, or done).
 * Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API size_t knit_task_stack_high_water(const knit_task *task);

/* The task that runs now on @loop (NULL: the running loop).
 *
 * Units: none.  Returns: the task; NULL in plain callbacks and where no loop runs.
 * Errors: none.
 * Thread: loop.  Suspends: no.  Ownership: borrowed. */
KNIT_API knit_task *knit_current_task(const knit_loop *loop);

/* The tasks of @loop (NULL: the running loop) that are not done, in the order of creation.
 *
 * Units: @room in elements of @tasks.
 * Returns: how many there are; min(that, @room) are stored.
 * Errors: none; 0 if there is no loop; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: each stored task is a new reference of the caller's. */
KNIT_API size_t knit_all_tasks(const knit_loop *loop, knit_task **tasks, size_t room);

/* ---- futures --------------------------------------------------------------------------
 * Everything below serves tasks too; the same functions under the prefix knit_task_ follow. */

/* Makes a future of the running loop, to be completed by knit_future_set_result(), or
 * knit_future_set_exception(), or cancelled.
 *
 * Units: none.  Returns: the future.
 * Errors: NULL: -KNIT_ENOLOOP, -ENOMEM, -KNIT_ECLOSED; awaiting NULL returns that code.
 * Thread: loop.  Suspends: no.  Ownership: one reference for the caller. */
KNIT_API KNIT_NODISCARD knit_future *knit_future_new(void);

/* As knit_future_new(): with keyword arguments.
 *
 * Units: none.  Returns: the future.
 * Errors: as knit_future_new(), and -EINVAL, -E2BIG: @options is malformed.
 * Thread: loop.  Suspends: no.  Ownership: one reference; @options is borrowed. */
KNIT_API KNIT_NODISCARD knit_future *knit_future_new_with(const knit_future_options *options);

/* Completes @future. An error word is an exception without a message; -KNIT_ECANCELLED
 * cancels it.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_EINVALIDSTATE: it is done; -EINVAL: it is a task; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: the value is the future's; see .result_free. */
KNIT_API int knit_future_set_result(knit_future *future, intptr_t outcome);

/* Completes @future with a failure.
 *
 * Units: @code an errno or a KNIT_E code of either sign.  Returns: 0.
 * Errors: -KNIT_EINVALIDSTATE: it is done; -EINVAL: a code out of range, or it is a task;
 *   -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: @message is copied; it may be NULL. */
KNIT_API int knit_future_set_exception(knit_future *future, int code, const char *message);

/* Cancels a future: at once if it is pending. A task: knit_task_cancel().
 *
 * Units: none.  Returns: true, unless it is done.
 * Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: @msg is copied; it may be NULL. */
KNIT_API bool knit_future_cancel(knit_future *future, const char *msg);

/* Was it cancelled (and is done)?
 *
 * Units: none.  Returns: the answer.  Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_future_cancelled(const knit_future *future);

/* Is it done: has a result, has failed, or was cancelled?
 *
 * Units: none.  Returns: the answer.  Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_future_done(const knit_future *future);

/* The outcome. Counts as retrieving it.
 *
 * Units: none.  Returns: the outcome.
 * Errors: the outcome's; -KNIT_EINVALIDSTATE: not done; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: what the outcome points to is the caller's from
 *   the first retrieval on, as between the two programs' parts agreed. */
KNIT_API intptr_t knit_future_result(knit_future *future);

/* The failure. Counts as retrieving it.
 *
 * Units: none.
 * Returns: 0: none; positive: its code, and in *@ret_message its text, if any.
 * Errors: -KNIT_ECANCELLED (with the message of the cancellation); -KNIT_EINVALIDSTATE: not
 *   done; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: the text is the future's; @ret_message may be NULL. */
KNIT_API int knit_future_exception(knit_future *future, const char **ret_message);

/* Calls @callback in the pass after @future is done (after this call if it is), in the order
 * of registration, tasks that await it among them.
 *
 * Units: none.  Returns: 0.
 * Errors: -EINVAL: no callback; -ENOMEM; -KNIT_ECLOSED; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: @arg is borrowed until the callback has run, was
 *   removed, @future was freed without being done, or the loop is closed, which drops the
 *   callback; @future stays until the callback ran. */
KNIT_API int knit_future_add_done_callback(knit_future *future, knit_done_callback *callback,
                                           void *arg);

/* As knit_future_add_done_callback(): with keyword arguments, which knit_callback_arguments()
 * makes.
 *
 * Units: none.  Returns: 0.
 * Errors: as knit_future_add_done_callback(), and -EINVAL, -E2BIG: @options is malformed;
 *   -KNIT_EWRONGTHREAD: another thread uses the context.
 * Thread: loop.  Suspends: no.  Ownership: as knit_future_add_done_callback(); @options is
 *   borrowed. */
KNIT_API int knit_future_add_done_callback_with(knit_future *future, knit_done_callback *callback,
                                                const knit_callback_options *options);

/* Takes back all registrations of @callback with @arg that have not been scheduled.
 *
 * Units: none.  Returns: how many there were.  Errors: -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: @arg is the caller's again if the result is not 0. */
KNIT_API int knit_future_remove_done_callback(knit_future *future, knit_done_callback *callback,
                                              void *arg);

/* The loop that @future belongs to.
 *
 * Units: none.  Returns: the loop.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: borrowed. */
KNIT_API knit_loop *knit_future_get_loop(const knit_future *future);

/* Takes a reference.
 *
 * Units: none.  Returns: @future.  Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: one reference more for the caller. */
KNIT_API knit_future *knit_future_ref(knit_future *future);

/* Drops a reference. With the last one a failure that nobody retrieved goes to the exception
 * handler, and a value that nobody retrieved to .result_free.
 *
 * Units: none.  Returns: NULL, always.
 * Errors: none; ends the process on a foreign thread, or when there was none to drop.
 * Thread: loop.  Suspends: no.  Ownership: one reference less; NULL in is harmless. */
KNIT_API knit_future *knit_future_unref(knit_future *future);

/* As knit_future_cancelled(): the same function. */
KNIT_API bool knit_task_cancelled(const knit_task *task);

/* As knit_future_done(): the same function. */
KNIT_API bool knit_task_done(const knit_task *task);

/* As knit_future_result(): the same function. */
KNIT_API intptr_t knit_task_result(knit_task *task);

/* As knit_future_exception(): the same function. */
KNIT_API int knit_task_exception(knit_task *task, const char **ret_message);

/* As knit_future_add_done_callback(): the same function. */
KNIT_API int knit_task_add_done_callback(knit_task *task, knit_done_callback *callback, void *arg);

/* As knit_future_remove_done_callback(): the same function. */
KNIT_API int knit_task_remove_done_callback(knit_task *task, knit_done_callback *callback,
                                            void *arg);

/* As knit_future_get_loop(): the same function. */
KNIT_API knit_loop *knit_task_get_loop(const knit_task *task);

/* As knit_future_ref(): the same function. */
KNIT_API knit_task *knit_task_ref(knit_task *task);

/* As knit_future_unref(): the same function. */
KNIT_API knit_task *knit_task_unref(knit_task *task);

KNIT_END_DECLS

/* Options are keyword arguments: knit_create_task(work, &job, .name = "worker") in C,
 * knit_create_task(work, &job, {.name = "worker"}) in C++20. */
#ifndef __cplusplus
/* What the macros below pass on: the coroutine's argument, then .name = value pairs. */
#define knit_task_arguments(...) \
	(&(knit_task_options){.size = sizeof(knit_task_options), .arg = __VA_ARGS__})
#define knit_create_task(coro, ...) knit_create_task_with(coro, knit_task_arguments(__VA_ARGS__))
#define knit_loop_create_task(loop, coro, ...) \
	knit_loop_create_task_with(loop, coro, knit_task_arguments(__VA_ARGS__))
#define knit_spawn(coro, ...) knit_spawn_with(coro, knit_task_arguments(__VA_ARGS__))
#define knit_future_new(...)  \
	knit_future_new_with( \
	        &(knit_future_options){.size = sizeof(knit_future_options), __VA_ARGS__})
#else
/* As knit_create_task_with(): the C++ form of the macro.
 *
 * Units: see knit_task_options.  Returns: the task.  Errors: as knit_create_task_with().
 * Thread: loop.  Suspends: no.  Ownership: as knit_create_task(). */
static inline knit_task *knit_create_task(knit_coro *coro, void *arg, knit_task_options options)
{
	options.size = sizeof(options);
	options.arg = arg;
	return knit_create_task_with(coro, &options);
}

/* As knit_loop_create_task_with(): the C++ form of the macro.
 *
 * Units: see knit_task_options.  Returns: the task.  Errors: as knit_loop_create_task_with().
 * Thread: loop.  Suspends: no.  Ownership: as knit_create_task(). */
static inline knit_task *knit_loop_create_task(knit_loop *loop, knit_coro *coro, void *arg,
                                               knit_task_options options)
{
	options.size = sizeof(options);
	options.arg = arg;
	return knit_loop_create_task_with(loop, coro, &options);
}

/* As knit_spawn_with(): the C++ form of the macro.
 *
 * Units: see knit_task_options.  Returns: 0.  Errors: as knit_spawn_with().
 * Thread: loop.  Suspends: no.  Ownership: as knit_spawn(). */
static inline int knit_spawn(knit_coro *coro, void *arg, knit_task_options options)
{
	options.size = sizeof(options);
	options.arg = arg;
	return knit_spawn_with(coro, &options);
}

/* As knit_future_new_with(): the C++ form of the macro.
 *
 * Units: none.  Returns: the future.  Errors: as knit_future_new_with().
 * Thread: loop.  Suspends: no.  Ownership: one reference. */
static inline knit_future *knit_future_new(knit_future_options options)
{
	options.size = sizeof(options);
	return knit_future_new_with(&options);
}
#endif
#endif
