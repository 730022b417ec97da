/* SPDX-License-Identifier: MIT */
/*
 * wait.h - waiting on several tasks and futures: gather, wait, wait_for, shield, as_completed; and
 * beyond asyncio a set to wait on, a bounded map, and a race.
 *
 * What returns the outcomes of awaitables consumes a reference to each (gather, wait_for, race);
 * what only looks borrows (wait, shield, as_completed). An awaitable that stands in an array twice
 * and is consumed needs two references.
 *
 * Which of them may return before the tasks that it was given are done? That decides where the
 * tasks' arguments may live. After knit_map() and knit_race() all are done, on every path, so
 * arguments may live on the caller's stack. knit_wait_for() returns when its one awaitable is done,
 * as knit_await() does. After all the others tasks may go on: after a failed knit_gather(), too.
 */
#ifndef KNIT_WAIT_H
#define KNIT_WAIT_H

#include <knit/task.h>

KNIT_BEGIN_DECLS

/* ---- all of them --------------------------------------------------------------------- */

/* Keyword arguments of knit_shield(). */
typedef struct knit_shield_options {
	size_t size;            /* sizeof(knit_shield_options); the macro sets it */
	knit_future *awaitable; /* the macro sets it */
	uint32_t silent;   /* not 0: a failure after the shield was cancelled is not reported */
	uint32_t reserved; /* 0 */
} knit_shield_options;

/* Keyword arguments of knit_gather() and knit_gather_future(). */
typedef struct knit_gather_options {
	size_t size;                    /* sizeof(knit_gather_options); the macro sets it */
	knit_future *const *awaitables; /* the first argument; the macro sets it */
	size_t n;                       /* the second, likewise */
	intptr_t *outcomes;             /* the third */
	uint32_t return_exceptions;     /* not 0: a failure is an outcome like others */
	uint32_t padding;               /* 0 */
} knit_gather_options;

/* Waits until all @awaitables have succeeded, and puts their outcomes into @outcomes, in the same
 * order; or until the first fails or is cancelled, whose error is returned, while the others go on:
 * their arguments must outlive them, not only this call. Failures that come later are silent.
 * Cancelling the caller cancels those that are not done. With .return_exceptions it always waits
 * for all; errors, a cancelled child's -KNIT_ECANCELLED among them, are in @outcomes, and
 * 0 is returned, or, if the caller was cancelled, -KNIT_ECANCELLED. Their texts are the tasks' own:
 * keep a reference to each and ask knit_task_exception().
 *
 * Units: none.  Returns: 0; @outcomes is written only then, and never after the return.
 * Errors: the first error of an awaitable; -KNIT_ECANCELLED: one of them, or the caller, was
 *   cancelled; -EINVAL: no array, or of another loop; for NULL in it as knit_await();
 *   -KNIT_EWRONGTHREAD; -EDEADLK: the caller is among them; -KNIT_ENOTASK; -ENOMEM;
 *   -KNIT_ECLOSED: the loop is being closed.
 * Thread: loop.  Suspends: unless all are done already.
 * Ownership: consumes a reference to each of the @n, whatever is returned. Values that do not get
 *   into @outcomes go to the result_free of their tasks; @outcomes may be NULL. */
KNIT_API KNIT_NODISCARD intptr_t knit_gather(knit_future *const awaitables[], size_t n,
                                             intptr_t outcomes[]);

/* As knit_gather(): with keyword arguments.
 *
 * Units: see knit_gather_options.  Returns: as knit_gather().
 * Errors: as knit_gather(), and -EINVAL, -E2BIG: @options is malformed, nothing is consumed.
 * Thread: loop.  Suspends: as knit_gather().  Ownership: as knit_gather(); @options is borrowed. */
KNIT_API KNIT_NODISCARD intptr_t knit_gather_with(const knit_gather_options *options);

/* As knit_gather(), as something to await, to shield or to cancel. Its cancellation is passed on to
 * those of @awaitables that are not done, and it is done when they are; the answer is false if none
 * accepts. With the last reference to it while it is pending, it lets go of them. Only the library
 * completes it.
 *
 * Units: none.  Returns: the future; done with 0 at once if @n is 0, or all are done.
 * Errors: NULL: as knit_gather(), for what keeps it from beginning, or -KNIT_ENOLOOP; awaiting NULL
 *   returns that code. The future's outcome: as knit_gather().
 * Thread: loop.  Suspends: no.
 * Ownership: one reference for the caller; consumes one to each of the @n. @awaitables is borrowed
 *   for the call, @outcomes until the future is done or freed: when it is done with 0, the values
 *   in @outcomes belong to the owner of @outcomes. */
KNIT_API KNIT_NODISCARD knit_future *knit_gather_future(knit_future *const awaitables[], size_t n,
                                                        intptr_t outcomes[]);

/* As knit_gather_future(): with keyword arguments.
 *
 * Units: see knit_gather_options.  Returns: the future.
 * Errors: as knit_gather_future(), and -EINVAL, -E2BIG: @options is malformed.
 * Thread: loop.  Suspends: no.  Ownership: as knit_gather_future(); @options is borrowed. */
KNIT_API KNIT_NODISCARD knit_future *knit_gather_future_with(const knit_gather_options *options);

/* ---- some of them -------------------------------------------------------------------- */

/* What knit_wait() waits for. */
enum {
	KNIT_ALL_COMPLETED = 0,   /* until all are done */
	KNIT_FIRST_COMPLETED = 1, /* until one is done */
	KNIT_FIRST_EXCEPTION =
	        2, /* until one has failed, or all are done; a cancelled one has not failed */
};

/* Waits until as many of @awaitables are done as @return_when says, or @timeout is over. Never
 * cancels any of them, and never returns an outcome: knit_future_done() tells who is done.
 *
 * Units: @timeout in ns; KNIT_FOREVER: none.
 * Returns: how many are done; one that stands in the array twice counts once.
 * Errors: -EINVAL: @n is 0, @return_when is unknown, no array, or of another loop; for NULL in it
 * as knit_await(); -KNIT_EWRONGTHREAD; -KNIT_ECANCELLED: the caller was; -KNIT_ENOTASK; -ENOMEM;
 *   -KNIT_ECLOSED: the loop is being closed.
 * Thread: loop.  Suspends: always.  Ownership: @awaitables are borrowed. */
KNIT_API KNIT_NODISCARD int knit_wait(knit_future *const awaitables[], size_t n, int64_t timeout,
                                      int return_when);

/* As knit_await(), for at most @timeout: then @awaitable is cancelled, and the call returns when it
 * is done. A task may take its time for that, and may yet end with a value or an error, which is
 * returned. With a @timeout <= 0 a task that has not started never runs. To limit a function call,
 * put a knit_timeout around it.
 *
 * Units: @timeout in ns; KNIT_FOREVER: none.  Returns: the outcome of @awaitable.
 * Errors: -ETIMEDOUT; as knit_await(); -ENOMEM: @awaitable goes on.
 * Thread: loop.  Suspends: unless it is done already.
 * Ownership: consumes one reference, whatever is returned; a value that came too late goes to
 *   the result_free of @awaitable. */
KNIT_API KNIT_NODISCARD intptr_t knit_wait_for(knit_future *awaitable, int64_t timeout);

/* A future that gets the outcome of @awaitable, but whose cancellation does not touch it: awaiting
 * the shield, a cancelled task goes on without what it awaited. If @awaitable fails after that, and
 * nobody has retrieved the failure a pass later, it is reported to the exception handler. A value
 * is retrieved when it is from either of the two; what the value points to has one owner.
 *
 * Units: none.  Returns: the shield; @awaitable itself if it is done.
 * Errors: NULL: -EINVAL; -KNIT_EWRONGTHREAD; -ENOMEM; -KNIT_ECLOSED; awaiting NULL returns that.
 * Thread: loop.  Suspends: no.  Ownership: borrows @awaitable; one reference for the caller. */
KNIT_API KNIT_NODISCARD knit_future *knit_shield(knit_future *awaitable);

/* As knit_shield(): with keyword arguments.
 *
 * Units: see knit_shield_options.  Returns: as knit_shield().
 * Errors: as knit_shield(), and -EINVAL, -E2BIG: @options is malformed.
 * Thread: loop.  Suspends: no.  Ownership: as knit_shield(); @options is borrowed. */
KNIT_API KNIT_NODISCARD knit_future *knit_shield_with(const knit_shield_options *options);

/* Makes sure that @awaitable can be awaited in the running loop.
 *
 * Units: none.  Returns: @awaitable, unchanged.
 * Errors: NULL: -EINVAL: NULL, or another loop's; -KNIT_EWRONGTHREAD; awaiting NULL returns that.
 * Thread: loop.  Suspends: no.  Ownership: none: a reference of the caller's stays the caller's. */
KNIT_API knit_future *knit_ensure_future(knit_future *awaitable);

/* ---- one after the other ------------------------------------------------------------- */

typedef struct knit_as_completed {
	uint64_t opaque[16]; /* the library's */
} knit_as_completed;

/* Begins to iterate over @awaitables as they complete; one that stands there twice comes once:
 *
 *     r = knit_as_completed_init(&all, tasks, n);
 *     while (r >= 0 && (r = knit_as_completed_next(&all, &task)) > 0)
 *             use(knit_await(task));
 *     knit_as_completed_done(&all);
 *
 * Put a knit_timeout around it to limit the time; no task is cancelled by that.
 *
 * Units: none.  Returns: 0.
 * Errors: -EINVAL: NULL, or an awaitable of another loop; for NULL in the array as knit_await();
 *   -KNIT_ENOLOOP; -KNIT_EWRONGTHREAD; -ENOMEM.
 * Thread: loop.  Suspends: no.
 * Ownership: @iterator is borrowed until knit_as_completed_done(), which is only for one that was
 *   begun. @awaitables are borrowed; the iterator has references of its own to those to come. */
KNIT_API KNIT_NODISCARD int knit_as_completed_init(knit_as_completed *iterator,
                                                   knit_future *const awaitables[], size_t n);

/* Waits for the next one that is done. Several tasks may share an iterator.
 *
 * Units: none.  Returns: 1 and one of the awaitables, done; 0 and NULL: there are no more.
 * Errors: -KNIT_ECANCELLED; -EINVAL; -KNIT_ENOTASK; -KNIT_EWRONGTHREAD; -KNIT_ECLOSED: the loop is
 *   being closed. None is lost by an error: the next call gets it.
 * Thread: loop.  Suspends: unless one is done already.
 * Ownership: *@ret_future is borrowed: the reference is the one that the caller has. */
KNIT_API KNIT_NODISCARD int knit_as_completed_next(knit_as_completed *iterator,
                                                   knit_future **ret_future);

/* Ends the iteration, at any time.
 *
 * Units: none.  Returns: 0.
 * Errors: -EBUSY: a task waits in knit_as_completed_next(); -EINVAL: not begun;
 *   -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: @iterator is the caller's again. */
KNIT_API int knit_as_completed_done(knit_as_completed *iterator);

/* A set of futures, each with a cookie, from which they are taken as they complete. Adding,
 * removing and taking cost the same whatever the size, where a loop around knit_wait() looks at all
 * of them each time. A future is in a set at most once, and may be in several sets. */
typedef struct knit_wait_set {
	uint64_t opaque[16]; /* the library's */
} knit_wait_set;

/* Begins an empty set for the running loop.
 *
 * Units: none.  Returns: 0.  Errors: -EINVAL: NULL; -KNIT_ENOLOOP.
 * Thread: loop.  Suspends: no.  Ownership: @set is borrowed until knit_wait_set_done(). */
KNIT_API KNIT_NODISCARD int knit_wait_set_init(knit_wait_set *set);

/* Puts @future into the set. One that is done can be taken at once.
 *
 * Units: none.  Returns: 0.
 * Errors: -EEXIST: it is in the set; -ENOMEM; -EINVAL: @set was not begun, or @future is another
 *   loop's; for NULL as knit_await(); -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.
 * Ownership: takes the caller's reference over (take knit_future_ref() to keep one); with an
 *   error it stays the caller's. @cookie is the caller's, and comes back as it is. */
KNIT_API KNIT_NODISCARD int knit_wait_set_add(knit_wait_set *set, knit_future *future,
                                              void *cookie);

/* Takes @future out of the set, done or not.
 *
 * Units: none.  Returns: 0.  Errors: -ENOENT: it is not in the set; -EINVAL; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: the set's reference is the caller's again. */
KNIT_API int knit_wait_set_remove(knit_wait_set *set, knit_future *future);

/* Waits for a member that is done, and takes it out; in the order of completion, to several tasks
 * in the order of their calls.
 *
 * Units: none.
 * Returns: 1, the future and its cookie; 0 and NULL: the set is, or has become, empty.
 * Errors: as knit_as_completed_next().
 * Thread: loop.  Suspends: unless one is done already.
 * Ownership: the set's reference is the caller's: knit_await() it to get the outcome and drop it.
 *   @ret_cookie may be NULL. */
KNIT_API KNIT_NODISCARD int knit_wait_set_next(knit_wait_set *set, knit_future **ret_future,
                                               void **ret_cookie);

/* How many members there are, done or not.
 *
 * Units: none.  Returns: the number.  Errors: -EINVAL: not begun; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API ptrdiff_t knit_wait_set_count(const knit_wait_set *set);

/* Ends the set, and drops its references: the tasks in it go on by themselves.
 *
 * Units: none.  Returns: 0.
 * Errors: -EBUSY: a task waits in knit_wait_set_next(); -EINVAL: not begun; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.  Ownership: @set is the caller's again. */
KNIT_API int knit_wait_set_done(knit_wait_set *set);

/* ---- many inputs, one winner --------------------------------------------------------- */

/* Runs @coro once for each of @args, as tasks, at most @limit at a time, begun in order. At the
 * first error, or when the caller is cancelled, no more are begun and the others are cancelled. The
 * call returns when all are done, on every path, so @args may point to the caller's stack.
 *
 * Units: @limit in tasks; 0: no limit.  Returns: 0: all have succeeded.
 * Errors: the first error of a task; -KNIT_ECANCELLED: the caller, or one of the tasks, was
 *   cancelled; -ENOMEM; -EINVAL: no @coro; -KNIT_ENOTASK; -KNIT_ECLOSED: the loop is being closed.
 * Thread: loop.  Suspends: unless @n is 0, or nothing could be begun.
 * Ownership: @args are borrowed until the return; NULL gives each task NULL. Once anything was
 *   begun, every one of the @n @outcomes is written, also with an error: -KNIT_ECANCELLED for what
 *   was not begun. The values in it are the caller's. @outcomes may be NULL if there is nothing to
 *   own. */
KNIT_API KNIT_NODISCARD intptr_t knit_map(knit_coro *coro, void *const args[], size_t n,
                                          size_t limit, intptr_t outcomes[]);

/* Waits for the first of @awaitables that succeeds, cancels the others, and returns when all are
 * done, on every path, so their arguments may live on the caller's stack. Of several that are done
 * already, the first in the array wins.
 *
 * Units: none.
 * Returns: the value of the winner, and in *@ret_index its place; if none succeeds, the error that
 *   came first, and its place.
 * Errors: as said; *@ret_index is @n for what follows: -KNIT_ECANCELLED: the caller was cancelled;
 *   -EINVAL: @n is 0, no array, or of another loop; for NULL in it as knit_await(); -EDEADLK: the
 *   caller is among them; -KNIT_ENOTASK; -KNIT_EWRONGTHREAD; -ENOMEM: they go on; -KNIT_ECLOSED:
 *   the loop is being closed.
 * Thread: loop.  Suspends: unless all are done already.
 * Ownership: consumes a reference to each of the @n, whatever is returned. Values of others than
 *   the winner go to the result_free of their tasks; their failures are silent. @ret_index may be
 *   NULL. */
KNIT_API KNIT_NODISCARD intptr_t knit_race(knit_future *const awaitables[], size_t n,
                                           size_t *ret_index);

KNIT_END_DECLS

/* Options are keyword arguments: knit_gather(tasks, n, outcomes, .return_exceptions = 1) in C,
 * knit_gather(tasks, n, outcomes, {.return_exceptions = 1}) in C++20. */
#ifndef __cplusplus
/* What the macros below pass on: the three arguments, then .name = value pairs. */
#define knit_gather_arguments(...) \
	(&(knit_gather_options){.size = sizeof(knit_gather_options), .awaitables = __VA_ARGS__})
#define knit_gather(...)        knit_gather_with(knit_gather_arguments(__VA_ARGS__))
#define knit_gather_future(...) knit_gather_future_with(knit_gather_arguments(__VA_ARGS__))
#define knit_shield(...)                                                             \
	knit_shield_with(&(knit_shield_options){.size = sizeof(knit_shield_options), \
	                                        .awaitable = __VA_ARGS__})
#else
/* As knit_gather_with(): the C++ form of the macro.
 *
 * Units: see knit_gather_options.  Returns: as knit_gather().  Errors: as knit_gather_with().
 * Thread: loop.  Suspends: as knit_gather().  Ownership: as knit_gather(). */
static inline intptr_t knit_gather(knit_future *const awaitables[], size_t n, intptr_t outcomes[],
                                   knit_gather_options options)
{
	options.size = sizeof(options);
	options.awaitables = awaitables;
	options.n = n;
	options.outcomes = outcomes;
	return knit_gather_with(&options);
}

/* As knit_gather_future_with(): the C++ form of the macro.
 *
 * Units: see knit_gather_options.  Returns: the future.
 * Errors: as knit_gather_future_with().
 * Thread: loop.  Suspends: no.  Ownership: as knit_gather_future(). */
static inline knit_future *knit_gather_future(knit_future *const awaitables[], size_t n,
                                              intptr_t outcomes[], knit_gather_options options)
{
	options.size = sizeof(options);
	options.awaitables = awaitables;
	options.n = n;
	options.outcomes = outcomes;
	return knit_gather_future_with(&options);
}

/* As knit_shield_with(): the C++ form of the macro.
 *
 * Units: see knit_shield_options.  Returns: the shield.  Errors: as knit_shield_with().
 * Thread: loop.  Suspends: no.  Ownership: as knit_shield(). */
static inline knit_future *knit_shield(knit_future *awaitable, knit_shield_options options)
{
	options.size = sizeof(options);
	options.awaitable = awaitable;
	return knit_shield_with(&options);
}
#endif
#endif
