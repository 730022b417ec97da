/* SPDX-License-Identifier: MIT */
/*
 * executor.h - functions that block, in threads of their own.
 *
 * An executor is a pool of threads. They are started when there is work for them, wait for
 * more of it, and are joined at the end. Several pools keep what is slow from starving what is
 * not: name look-ups in one of their own do not hold up files.
 *
 * The functions run with all signals blocked, outside of any loop: they may block, lock and
 * use what says "Thread: any"; they may not suspend.
 */
#ifndef KNIT_EXECUTOR_H
#define KNIT_EXECUTOR_H

#include <knit/loop.h>
#include <knit/task.h>

KNIT_BEGIN_DECLS

typedef struct knit_executor knit_executor;

/* Runs in a thread of an executor; returns its outcome, as a coroutine does. knit_raise() gives
 * a failure its text. One that ends its thread has the outcome -EOWNERDEAD. */
typedef intptr_t knit_function(void *arg);

/* Keyword arguments of knit_executor_new(). */
typedef struct knit_executor_options {
	size_t size;      /* sizeof(knit_executor_options); the macro sets it */
	const char *name; /* copied; threads are called NAME-1, NAME-2 ...; NULL: "knit" */
	uint32_t threads; /* at most; 0: CPUs of the process + 4, and no more than 32 */
	uint32_t queue;   /* calls that may wait for a thread; 0: any number */
} knit_executor_options;

/* Keyword arguments of knit_run_in_executor(). */
typedef struct knit_call_options {
	size_t size;                           /* sizeof(knit_call_options); the macro sets it */
	void *arg;                             /* the function's; the macro sets it */
	void (*arg_free)(void *arg);           /* once, when the function has returned, also if it
	                                        * never ran; not if the call was refused */
	void (*result_free)(intptr_t outcome); /* for a value that nobody retrieved */
} knit_call_options;

/* Keyword arguments of knit_to_thread(). */
typedef struct knit_to_thread_options {
	size_t size;             /* sizeof(knit_to_thread_options); the macro sets it */
	void *arg;               /* the function's; the macro sets it */
	knit_executor *executor; /* borrowed for the call; NULL: the loop's default */
} knit_to_thread_options;

/* ---- pools --------------------------------------------------------------------------- */

/* Makes a pool of threads, none of which is started yet.
 *
 * Units: none.  Returns: the executor.  Errors: NULL with errno = ENOMEM.
 * Thread: any.  Suspends: no.  Ownership: one reference for the caller. */
KNIT_API KNIT_NODISCARD knit_executor *knit_executor_new(void);

/* As knit_executor_new(): with keyword arguments.
 *
 * Units: see knit_executor_options.  Returns: the executor.
 * Errors: as knit_executor_new(), and EINVAL, E2BIG: @options is malformed.
 * Thread: any.  Suspends: no.  Ownership: one reference; @options is borrowed for the call. */
KNIT_API KNIT_NODISCARD knit_executor *knit_executor_new_with(const knit_executor_options *options);

/* Takes a reference.
 *
 * Units: none.  Returns: @executor.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: one reference more for the caller. */
KNIT_API knit_executor *knit_executor_ref(knit_executor *executor);

/* Drops a reference. After the last one, and once the outcomes of all that it was given have
 * been taken, its threads are joined: here if it has nothing left to do, else by the loop that
 * takes the last outcome.
 *
 * Units: none.  Returns: NULL, always.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: one reference less; NULL in is harmless. */
KNIT_API knit_executor *knit_executor_unref(knit_executor *executor);

/* Sets what NULL means in the calls below; without one the loop makes its own at the first need.
 * Calls that the one before has accepted go on there.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_ENOLOOP: @loop is NULL and none runs; -KNIT_ECLOSED: @loop is closed, or its
 *   default executor has been shut down; -EINVAL: no executor.
 * Thread: loop.  Suspends: no.  Ownership: takes a reference of its own, until another one is
 *   set or the loop is closed. */
KNIT_API int knit_loop_set_default_executor(knit_loop *loop, knit_executor *executor);

/* Shuts the default executor of the running loop down: from now on it refuses calls; waits until
 * those that this loop made have returned; drops the loop's reference. knit_run() does so at its
 * end. Once shut down, the call does nothing.
 *
 * Units: @timeout in ns; <= 0: do not wait; KNIT_FOREVER: no limit.  Returns: 0.
 * Errors: -ETIMEDOUT: not all have returned in time; they go on, and what waits for them too;
 *   -KNIT_ECANCELLED; -KNIT_ENOTASK; -ENOMEM; -KNIT_ECLOSED: the loop is being closed.
 * Thread: loop.  Suspends: unless there is nothing to wait for.  Ownership: none. */
KNIT_API KNIT_NODISCARD int knit_loop_shutdown_default_executor(int64_t timeout);

/* ---- calls --------------------------------------------------------------------------- */

/* Has @executor (NULL: the default of the running loop) call @function in a thread. Cancelling
 * the future takes effect at once: a function that no thread has taken yet never runs; one that
 * runs goes on to its end, and its value goes to .result_free. Closing the loop cancels it,
 * and waits for the functions that run, for the 5 s of knit_loop_close(); what returns later
 * has its .arg_free and .result_free called in the executor's thread. Virtual time stands still
 * while a function runs.
 *
 * Units: none.  Returns: a future for its outcome.
 * Errors: NULL: -KNIT_ENOLOOP; -ENOMEM; -EINVAL: no function; -KNIT_ECLOSED: the loop is being
 *   closed, or the executor was shut down, or is the parent's of a fork(); -EAGAIN: as many calls
 *   wait as may, or the first thread could not be started; awaiting NULL returns that code.
 * Thread: loop.  Suspends: no.  Ownership: one reference for the caller; borrows @executor; @arg
 *   is borrowed until the function has returned, which a cancelled future does not tell: give
 *   it .arg_free, or call knit_to_thread(). */
KNIT_API KNIT_NODISCARD knit_future *knit_run_in_executor(knit_executor *executor,
                                                          knit_function *function, void *arg);

/* As knit_run_in_executor(): with keyword arguments.
 *
 * Units: see knit_call_options.  Returns: the future.
 * Errors: as knit_run_in_executor(), and -EINVAL, -E2BIG: @options is malformed.
 * Thread: loop.  Suspends: no.  Ownership: as knit_run_in_executor(); @options is borrowed. */
KNIT_API KNIT_NODISCARD knit_future *knit_run_in_executor_with(knit_executor *executor,
                                                               knit_function *function,
                                                               const knit_call_options *options);

/* Calls @function in a thread, in a copy of the caller's context, and waits for it. It returns
 * only after the function has, so @arg may live on the caller's stack. Cancelling the caller ends
 * the call at once if no thread has taken the function yet, which then never runs. If one has, the
 * call goes on to the function's end and returns its outcome, and the request stays pending (an I/O
 * call that succeeds does the same): so no outcome is ever lost. A knit_timeout round it does not
 * shorten a function that runs: its value comes out of the exit too, and knit_timeout_expired()
 * tells that it was late. Virtual time stands still meanwhile.
 *
 * Units: none.  Returns: the function's outcome.
 * Errors: its outcome; -KNIT_ECANCELLED: it never ran; -KNIT_ENOTASK; the others as
 *   knit_run_in_executor().
 * Thread: loop.  Suspends: always.  Ownership: @arg is borrowed until the return. */
KNIT_API KNIT_NODISCARD intptr_t knit_to_thread(knit_function *function, void *arg);

/* As knit_to_thread(): with keyword arguments.
 *
 * Units: see knit_to_thread_options.  Returns: the function's outcome.
 * Errors: as knit_to_thread(), and -EINVAL, -E2BIG: @options is malformed.
 * Thread: loop.  Suspends: always.  Ownership: as knit_to_thread(); @options is borrowed. */
KNIT_API KNIT_NODISCARD intptr_t knit_to_thread_with(knit_function *function,
                                                     const knit_to_thread_options *options);

KNIT_END_DECLS

#ifndef __cplusplus
#define knit_executor_new(...)  \
	knit_executor_new_with( \
	        &(knit_executor_options){.size = sizeof(knit_executor_options), __VA_ARGS__})
#define knit_run_in_executor(executor, function, ...) \
	knit_run_in_executor_with(                    \
	        executor, function,                   \
	        &(knit_call_options){.size = sizeof(knit_call_options), .arg = __VA_ARGS__})
#define knit_to_thread(function, ...)                                                         \
	knit_to_thread_with(function,                                                         \
	                    &(knit_to_thread_options){.size = sizeof(knit_to_thread_options), \
	                                              .arg = __VA_ARGS__})
#else
/* As knit_executor_new_with(): the C++ form of the macro.
 *
 * Units: see knit_executor_options.  Returns: the executor.
 * Errors: as knit_executor_new_with().
 * Thread: any.  Suspends: no.  Ownership: one reference. */
static inline knit_executor *knit_executor_new(knit_executor_options options)
{
	options.size = sizeof(options);
	return knit_executor_new_with(&options);
}

/* As knit_run_in_executor_with(): the C++ form of the macro.
 *
 * Units: see knit_call_options.  Returns: the future.
 * Errors: as knit_run_in_executor_with().
 * Thread: loop.  Suspends: no.  Ownership: as knit_run_in_executor(). */
static inline knit_future *knit_run_in_executor(knit_executor *executor, knit_function *function,
                                                void *arg, knit_call_options options)
{
	options.size = sizeof(options);
	options.arg = arg;
	return knit_run_in_executor_with(executor, function, &options);
}

/* As knit_to_thread_with(): the C++ form of the macro.
 *
 * Units: see knit_to_thread_options.  Returns: the outcome.  Errors: as knit_to_thread_with().
 * Thread: loop.  Suspends: always.  Ownership: as knit_to_thread(). */
static inline intptr_t knit_to_thread(knit_function *function, void *arg,
                                      knit_to_thread_options options)
{
	options.size = sizeof(options);
	options.arg = arg;
	return knit_to_thread_with(function, &options);
}
#endif
#endif
