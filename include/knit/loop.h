/* SPDX-License-Identifier: MIT */
/*
 * loop.h - the event loop of a thread: running it, callbacks, timers, signals.
 *
 * A thread has at most one running loop. A loop belongs to the thread that made it until
 * its first run (knit_loop_run_once() and knit_loop_fd() count), then to the thread that
 * runs it, for good. A thread that ends closes the loops that belong to it. error.h says how to
 * read the comments.
 */
#ifndef KNIT_LOOP_H
#define KNIT_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <knit/error.h>
#include <knit/macros.h>
#include <knit/time.h>

KNIT_BEGIN_DECLS

typedef struct knit_loop knit_loop;
typedef struct knit_future knit_future;   /* task.h */
typedef struct knit_future knit_task;     /* a task is a future that runs a coroutine */
typedef struct knit_context knit_context; /* context.h */

struct knit_task_options; /* task.h */

typedef intptr_t knit_coro(void *arg); /* a coroutine: may suspend, returns its outcome */
typedef void knit_callback(void *arg); /* runs on the loop's own stack; may not suspend */

/* Creates the tasks of a loop: knit_loop_set_task_factory(). It returns what knit_task_new() gave
 * it, with the reference, or NULL; then *@options and @coro are the creator's again. It may not
 * suspend: suspending calls return -KNIT_ENOTASK there. */
typedef knit_task *knit_task_factory(knit_loop *loop, knit_coro *coro,
                                     const struct knit_task_options *options, void *arg);

/* Which clock a loop's time is. */
enum {
	KNIT_CLOCK_MONOTONIC = 0, /* CLOCK_MONOTONIC */
	KNIT_CLOCK_VIRTUAL = 1,   /* starts at 0; when nothing is ready, jumps to the next deadline;
	                           * stands still while operations, calls to other loops or wrapped
	                           * concurrent futures are outstanding */
	KNIT_CLOCK_VIRTUAL_JUMP = 2, /* the same, but jumps while operations are outstanding too */
};

/* Keyword arguments of knit_loop_new(). */
typedef struct knit_loop_options {
	size_t size;         /* sizeof(knit_loop_options); the macro sets it */
	size_t stack_size;   /* of a task by default: bytes of address space; 0: 64 KiB */
	uint32_t sq_entries; /* of the submission queue; 0: 256 */
	uint32_t cq_entries; /* of the completion queue; 0: 4096 */
	uint32_t clock;      /* KNIT_CLOCK_* */
	uint32_t paint;      /* not 0: paint stacks, so that their high-water mark is exact */
	int32_t debug; /* debug mode: 1 on, -1 off, 0: as KNIT_DEBUG in the environment says */
	int64_t spin;  /* ns that the loop looks for something to do before it sleeps in the kernel;
	                * 0: not at all. Two loops on idle CPUs of their own hand over in less than
	                * a microsecond then; a loop that is idle burns its CPU for so long after
	                * each thing it did */
	int64_t min_wait; /* ns; not 0: a wait goes on for so long, or until .min_complete things
	                   * are there, and not just one. Fewer and larger passes, and everything
	                   * (timers, posts, signals, and each call of a task that waits for the
	                   * kernel: a send too) later by up to as much. Rounded up to whole
	                   * microseconds; does nothing on kernels before 6.12 */
	uint32_t min_complete; /* with .min_wait; 0: 8. Never more than operations are in flight */
	int64_t stack_aside_after; /* ns; 0: never. Once a task has slept, or waited for a task,
	                            * future, lock, queue and the like for that long (up to about
	                            * twice that), its stack is kept as a copy of the bytes in use,
	                            * and its pages go back to the system until it resumes, at the
	                            * same addresses. Done while the loop has nothing to do, and
	                            * only for tasks that are .stack_private, have at most 2 KiB in
	                            * use, and are in no timeout, cancel scope or task group. What
	                            * other tasks, threads or callbacks read there meanwhile is
	                            * zeros; what they write is lost: locks, queues, wait sets and
	                            * results that others use may not lie on such a stack. Off with
	                            * .paint. */
} knit_loop_options;

/* Keyword arguments of knit_run(): those of the loop that it makes, and the main task's. */
typedef struct knit_run_options {
	size_t size;           /* sizeof(knit_run_options); the macro sets it */
	void *arg;             /* the coroutine's; the macro sets it */
	size_t stack_size;     /* as in knit_loop_options */
	uint32_t sq_entries;   /* as in knit_loop_options */
	uint32_t cq_entries;   /* as in knit_loop_options */
	uint32_t clock;        /* KNIT_CLOCK_* */
	uint32_t paint;        /* as in knit_loop_options */
	int64_t grace;         /* ns that cancelled tasks, and then functions in threads, may take
	                        * at the end; 0: 60 s; KNIT_FOREVER: no limit */
	int32_t debug;         /* as in knit_loop_options */
	int64_t spin;          /* as in knit_loop_options */
	int64_t min_wait;      /* as in knit_loop_options */
	uint32_t min_complete; /* as in knit_loop_options */
	int64_t stack_aside_after; /* as in knit_loop_options */
} knit_run_options;

/* ---- running ------------------------------------------------------------------------- */

/* Runs the coroutine @main as the main task of a new loop, until it returns; then cancels
 * the tasks that are left, waits for them and for functions in threads, and closes the loop
 * (asyncio.run). Failures of the tasks that were left go to the exception handler; so do those
 * that ignore their cancellation for the grace period, each with the place where it waits:
 * from then on every further wait of theirs fails, so that they unwind.
 *
 * Ctrl-C: in the main thread, and if SIGINT has the default action, the first one cancels @main,
 * so that its cleanup runs; a second one, or one after @main has returned, ends the process.
 *
 * Units: none.
 * Returns: the outcome of @main; also if SIGINT came and @main did not end cancelled.
 * Errors: -KNIT_ERUNNING a loop runs in this thread; -ENOMEM; -EPERM, -ENOSYS, -EMFILE and
 *   the like: no io_uring to be had (knit_error_message() says why and what to do);
 *   -EINTR: SIGINT came, and @main ended cancelled by it; where @main did not fail: -ETIMEDOUT:
 *   tasks or functions in threads were not done within the grace period; -EBUSY: as
 *   knit_loop_close(); -EDEADLK: virtual clock, and nothing left to wait for.
 * Thread: any.  Suspends: no; blocks the thread, and may not be called in a task.
 * Ownership: @arg is borrowed until the return. */
KNIT_API intptr_t knit_run(knit_coro *main, void *arg);

/* As knit_run(): with keyword arguments.
 *
 * Units: see knit_run_options.  Returns: as knit_run().  Errors: as knit_run(), and -EINVAL,
 *   -E2BIG: @options is malformed (a negative .grace is).
 * Thread: any.  Suspends: no.  Ownership: @options is borrowed for the call. */
KNIT_API intptr_t knit_run_with(knit_coro *main, const knit_run_options *options);

/* The loop that runs in this thread.
 *
 * Units: none.  Returns: the loop, or NULL with errno = KNIT_ENOLOOP.  Errors: as said.
 * Thread: any.  Suspends: no.  Ownership: borrowed. */
KNIT_API knit_loop *knit_get_running_loop(void);

/* Makes a loop.
 *
 * Units: none.  Returns: the loop.
 * Errors: NULL with errno set: ENOMEM; EPERM, ENOSYS, EMFILE and the like where there is no
 *   io_uring (knit_error_message(-errno) says why and what to do).
 * Thread: any.  Suspends: no.  Ownership: the caller gets one reference. */
KNIT_API KNIT_NODISCARD knit_loop *knit_loop_new(void);

/* As knit_loop_new(): with keyword arguments.
 *
 * Units: see knit_loop_options.  Returns: the loop.  Errors: as knit_loop_new(), and EINVAL,
 *   E2BIG: @options is malformed.
 * Thread: any.  Suspends: no.  Ownership: one reference; @options is borrowed for the call. */
KNIT_API KNIT_NODISCARD knit_loop *knit_loop_new_with(const knit_loop_options *options);

/* Takes a reference. A post to a closed loop says so as long as the poster has one.
 *
 * Units: none.  Returns: @loop.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: one reference more for the caller. */
KNIT_API knit_loop *knit_loop_ref(knit_loop *loop);

/* Drops a reference. The last one to an open loop closes it on its own thread, and ends the
 * process with a message on another.
 *
 * Units: none.  Returns: NULL, always.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: one reference less; NULL in is harmless. */
KNIT_API knit_loop *knit_loop_unref(knit_loop *loop);

/* Runs @loop until the coroutine, run as a task, is done.
 *
 * Units: none.  Returns: the coroutine's outcome.
 * Errors: -KNIT_ERUNNING this or another loop runs in this thread; -KNIT_ECLOSED; -ENOMEM;
 *   -KNIT_ESTOPPED: knit_loop_stop() came first, the task goes on in the next run;
 *   -EDEADLK: virtual clock, and nothing left to wait for.
 * Thread: loop.  Suspends: no; blocks the thread.  Ownership: @arg is borrowed until the
 *   task is done. */
KNIT_API intptr_t knit_loop_run_until_complete(knit_loop *loop, knit_coro *coro, void *arg);

/* Runs @loop until @future is done, and consumes a reference to it, as knit_await() does.
 * With -KNIT_ESTOPPED and the errors before the run the reference stays the caller's.
 *
 * Units: none.  Returns: the future's outcome.
 * Errors: as knit_loop_run_until_complete(); -EINVAL: @future is NULL or another loop's.
 * Thread: loop.  Suspends: no; blocks the thread.  Ownership: consumes one reference. */
KNIT_API intptr_t knit_loop_run_until_complete_future(knit_loop *loop, knit_future *future);

/* Runs @loop until knit_loop_stop().
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_ERUNNING; -KNIT_ECLOSED; -EDEADLK: virtual clock, nothing left to wait for.
 * Thread: loop.  Suspends: no; blocks the thread.  Ownership: none. */
KNIT_API int knit_loop_run_forever(knit_loop *loop);

/* One pass: waits until there is something to do, @timeout at most, and does it. For a host
 * with a main loop of its own, beside knit_loop_fd().
 *
 * Units: @timeout in ns; 0: do not wait; KNIT_FOREVER: no limit.
 * Returns: 1 if there is more to do at once, else 0.
 * Errors: as knit_loop_run_forever().
 * Thread: loop.  Suspends: no; blocks the thread.  Ownership: none. */
KNIT_API int knit_loop_run_once(knit_loop *loop, int64_t timeout);

/* A descriptor that polls readable when a pass has work to do, the next timer included.
 * Poll it, then call knit_loop_run_once(loop, 0); nothing else may be done with it.
 *
 * Units: none.  Returns: the descriptor.  Errors: -KNIT_ECLOSED; as knit_loop_new().
 * Thread: loop.  Suspends: no.  Ownership: the loop's. */
KNIT_API int knit_loop_fd(knit_loop *loop);

/* Makes the run return once the callbacks that are ready now have run. Before a run: the next
 * run makes one pass without waiting.
 *
 * Units: none.  Returns: nothing.  Errors: none; ends the process on a foreign thread (there
 *   it is knit_loop_stop_threadsafe()).
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API void knit_loop_stop(knit_loop *loop);

/* Does @loop run, in whatever thread?
 *
 * Units: none.  Returns: the answer; outdated at once on a foreign thread.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_loop_is_running(const knit_loop *loop);

/* Is @loop closed? Once true, true for good.
 *
 * Units: none.  Returns: the answer.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_loop_is_closed(const knit_loop *loop);

/* Closes @loop: refuses further posts, runs those that were accepted, drops callbacks and
 * timers without running them, cancels the tasks that are left (each is reported to the
 * exception handler; from here on a suspending call returns -KNIT_ECLOSED at once, so that
 * they unwind), ends the operations in flight and waits for the kernel to let go of them.
 * Ports, locks and descriptors are free when it returns. Closing a closed loop does nothing.
 * Drops no reference.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_ERUNNING: it runs; -EBUSY: operations, tasks, or functions in threads did not end
 *   within 5 s; what they use (stacks, the ring) is kept for good, the loop is closed all the same.
 * Thread: loop.  Suspends: no; blocks the thread.  Ownership: none. */
KNIT_API int knit_loop_close(knit_loop *loop);

/* The loop's time: read at most once a pass, when first asked for. (Relative delays count
 * from the moment of the call, even after a callback that took long.)
 *
 * Units: ns.  Returns: the time of @loop, of the running one if NULL.
 * Errors: -KNIT_ENOLOOP: NULL and none runs; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int64_t knit_loop_time(const knit_loop *loop);

/* ---- callbacks and timers ---------------------------------------------------------
 * A handle is a small value: using a stale one is harmless, there is nothing to release,
 * {0} is none. In these calls a NULL loop is the running one. */
typedef struct knit_handle {
	uint64_t opaque[2]; /* the library's */
} knit_handle;

/* Keyword arguments of the calls below that end in _with. */
typedef struct knit_callback_options {
	size_t size;           /* sizeof(knit_callback_options); the macro sets it */
	void *arg;             /* the callback's; the macro sets it */
	knit_context *context; /* to run in, and shared with it; NULL: a copy of the current one */
} knit_callback_options;

/* Calls @callback in the next pass, in the order of the calls.
 *
 * Units: none.  Returns: a handle; knit_handle_error() tells whether it failed.
 * Errors: in the handle: -EINVAL: no callback; -ENOMEM; -KNIT_ECLOSED; -KNIT_ENOLOOP;
 *   -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: @arg is borrowed until it ran, is cancelled, or
 *   the loop is closed. */
KNIT_API knit_handle knit_loop_call_soon(knit_loop *loop, knit_callback *callback, void *arg);

/* Calls @callback once @delay has passed; never early; equal deadlines in the order of the
 * calls. A delay <= 0 means the next pass, after what is ready. The loop sleeps no shorter than
 * the timer slack that its thread had when the loop was first used there: 50 us, or what prctl(2)
 * set by PR_SET_TIMERSLACK; one wake-up then serves all that is due.
 *
 * Units: @delay in ns from now; KNIT_FOREVER: never.
 * Returns: as knit_loop_call_soon().  Errors: as knit_loop_call_soon().
 * Thread: loop.  Suspends: no.  Ownership: as knit_loop_call_soon(). */
KNIT_API knit_handle knit_loop_call_later(knit_loop *loop, int64_t delay, knit_callback *callback,
                                          void *arg);

/* As knit_loop_call_later(): at a time of the loop's clock.
 *
 * Units: @when in ns of knit_loop_time().
 * Returns: as knit_loop_call_soon().  Errors: as knit_loop_call_soon().
 * Thread: loop.  Suspends: no.  Ownership: as knit_loop_call_soon(). */
KNIT_API knit_handle knit_loop_call_at(knit_loop *loop, int64_t when, knit_callback *callback,
                                       void *arg);

/* As knit_loop_call_soon(): with keyword arguments, which knit_callback_arguments() makes.
 *
 * Units: none.  Returns: as knit_loop_call_soon().  Errors: in the handle: as
 *   knit_loop_call_soon(), and -EINVAL, -E2BIG: @options is malformed; -KNIT_EWRONGTHREAD: another
 *   thread uses the context.
 * Thread: loop.  Suspends: no.  Ownership: as knit_loop_call_soon(); @options is borrowed. */
KNIT_API knit_handle knit_loop_call_soon_with(knit_loop *loop, knit_callback *callback,
                                              const knit_callback_options *options);

/* As knit_loop_call_later(): with keyword arguments.
 *
 * Units: as knit_loop_call_later().  Returns: as knit_loop_call_soon().
 * Errors: as knit_loop_call_soon_with().
 * Thread: loop.  Suspends: no.  Ownership: as knit_loop_call_soon_with(). */
KNIT_API knit_handle knit_loop_call_later_with(knit_loop *loop, int64_t delay,
                                               knit_callback *callback,
                                               const knit_callback_options *options);

/* As knit_loop_call_at(): with keyword arguments.
 *
 * Units: as knit_loop_call_at().  Returns: as knit_loop_call_soon().
 * Errors: as knit_loop_call_soon_with().
 * Thread: loop.  Suspends: no.  Ownership: as knit_loop_call_soon_with(). */
KNIT_API knit_handle knit_loop_call_at_with(knit_loop *loop, int64_t when, knit_callback *callback,
                                            const knit_callback_options *options);

/* Cancels the callback.
 *
 * Units: none.  Returns: true: it will not run, because of this call; false: it ran, was
 *   cancelled before, or never was.
 * Errors: none; ends the process on a foreign thread while the loop is open.
 * Thread: loop.  Suspends: no.  Ownership: the callback's argument is the caller's again. */
KNIT_API bool knit_handle_cancel(knit_handle handle);

/* Will the callback still run?
 *
 * Units: none.  Returns: true until it starts, is cancelled, or the loop is closed.
 * Errors: none; ends the process on a foreign thread while the loop is open.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_handle_is_pending(knit_handle handle);

/* When a timer is due.
 *
 * Units: ns of knit_loop_time().  Returns: the time.
 * Errors: -KNIT_EINVALIDSTATE: not a timer that is waiting.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int64_t knit_handle_when(knit_handle handle);

/* Why no handle could be made.
 *
 * Units: none.  Returns: 0, or the negative code.  Errors: as said.
 * Thread: any.  Suspends: no.  Ownership: none. */
KNIT_API int knit_handle_error(knit_handle handle);

/* ---- signals ------------------------------------------------------------------------- */

/* Calls @callback on @loop, as a plain callback, after each delivery of @signum to the
 * process (deliveries in quick succession may count as one). Each loop may have one handler
 * for a signal, and every loop that has one gets it; again on the same loop replaces.
 *
 * Units: none.  Returns: 0.
 * Errors: -EINVAL: no such signal, or SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL, SIGFPE;
 *   -ENOMEM; -KNIT_ECLOSED; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: @arg is borrowed until the handler is removed or
 *   the loop closed. */
KNIT_API int knit_loop_add_signal_handler(knit_loop *loop, int signum, knit_callback *callback,
                                          void *arg);

/* As knit_loop_add_signal_handler(): with keyword arguments. All deliveries see the context of
 * this call, or of .context.
 *
 * Units: none.  Returns: 0.
 * Errors: as knit_loop_add_signal_handler(), and -EINVAL, -E2BIG: @options is malformed;
 *   -KNIT_EWRONGTHREAD: another thread uses the context.
 * Thread: loop.  Suspends: no.  Ownership: as knit_loop_add_signal_handler(); @options is
 *   borrowed. */
KNIT_API int knit_loop_add_signal_handler_with(knit_loop *loop, int signum, knit_callback *callback,
                                               const knit_callback_options *options);

/* Removes the handler. With the last one of a signal goes the library's signal action: the one
 * from before is restored.
 *
 * Units: none.  Returns: 1 if there was one, else 0.  Errors: -EINVAL; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: the handler's argument is the caller's again. */
KNIT_API int knit_loop_remove_signal_handler(knit_loop *loop, int signum);

/* ---- what nobody else will see ------------------------------------------------------- */

/* What the exception handler is told. Everything is borrowed for the call. */
typedef struct knit_exception_context {
	size_t size;         /* sizeof(knit_exception_context) as the library knows it */
	const char *message; /* what happened: "Task exception was never retrieved" */
	const char *error;   /* the failure's own text; NULL if there was no failure */
	const char *name;    /* the task's name; NULL if no task is concerned */
	const char *file;    /* where knit_raise() was called; NULL if not known */
	knit_future *future; /* the task or future; NULL if none is concerned */
	int code;            /* the failure's code, positive; 0 if there was none */
	int line;            /* in file */
	const char *created; /* debug mode: where it was created, the innermost call first: names of
	                      * functions as far as the linker knows them; NULL if not known */
} knit_exception_context;

typedef void knit_exception_handler(knit_loop *loop, const knit_exception_context *context,
                                    void *arg);

/* Sets what is called, on the loop's thread, for failures that nobody retrieved and the like.
 * NULL restores knit_loop_default_exception_handler(). It may not suspend.
 *
 * Units: none.  Returns: 0.  Errors: -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: @arg is borrowed until another handler is set, or
 *   the loop is closed, which restores the default. */
KNIT_API int knit_loop_set_exception_handler(knit_loop *loop, knit_exception_handler *handler,
                                             void *arg);

/* Writes one line to stderr: "knit: MESSAGE: task 'NAME': ERROR (at FILE:LINE) (created at A < B)".
 *
 * Units: none.  Returns: nothing.  Errors: none.
 * Thread: loop.  Suspends: no.  Ownership: @context is borrowed. */
KNIT_API void knit_loop_default_exception_handler(knit_loop *loop,
                                                  const knit_exception_context *context, void *arg);

/* Reports @context to the exception handler of @loop; in the context of its .future if that is a
 * task.
 *
 * Units: none.  Returns: 0.  Errors: -KNIT_EWRONGTHREAD; -EINVAL: no context.
 * Thread: loop.  Suspends: no.  Ownership: @context is borrowed. */
KNIT_API int knit_loop_call_exception_handler(knit_loop *loop,
                                              const knit_exception_context *context);

KNIT_END_DECLS

/* Options are keyword arguments: knit_run(main, arg, .clock = KNIT_CLOCK_VIRTUAL) in C,
 * knit_run(main, arg, {.clock = KNIT_CLOCK_VIRTUAL}) in C++20. */
#ifndef __cplusplus
/* Keyword arguments of a callback: knit_callback_arguments(arg, .context = context). */
#define knit_callback_arguments(...) \
	(&(knit_callback_options){.size = sizeof(knit_callback_options), .arg = __VA_ARGS__})
#define knit_run(main, ...) \
	knit_run_with(main, \
	              &(knit_run_options){.size = sizeof(knit_run_options), .arg = __VA_ARGS__})
#define knit_loop_new(...) \
	knit_loop_new_with(&(knit_loop_options){.size = sizeof(knit_loop_options), __VA_ARGS__})
#else
/* As knit_run_with(): the C++ form of the macro.
 *
 * Units: see knit_run_options.  Returns: as knit_run().  Errors: as knit_run_with().
 * Thread: any.  Suspends: no.  Ownership: as knit_run(). */
static inline intptr_t knit_run(knit_coro *main, void *arg, knit_run_options options)
{
	options.size = sizeof(options);
	options.arg = arg;
	return knit_run_with(main, &options);
}

/* As knit_loop_new_with(): the C++ form of the macro.
 *
 * Units: see knit_loop_options.  Returns: the loop.  Errors: as knit_loop_new_with().
 * Thread: any.  Suspends: no.  Ownership: one reference. */
static inline knit_loop *knit_loop_new(knit_loop_options options)
{
	options.size = sizeof(options);
	return knit_loop_new_with(&options);
}
#endif
#endif
