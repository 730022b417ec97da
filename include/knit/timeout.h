/* SPDX-License-Identifier: MIT */
/*
 * timeout.h - parts of a task that can be cancelled by themselves: by a deadline, or on demand.
 *
 * A scope is entered and left by the same task, and stands in the caller's storage, which need not
 * be initialised. Leave it on every path, the last entered first: what is returned there is what
 * goes on up. Every suspending call inside it obeys it, so no call has a timeout of its own:
 *
 *     knit_timeout timeout;
 *     int r = knit_timeout_enter(&timeout, 5 * KNIT_S);
 *     if (r < 0)
 *             return r;
 *     return knit_timeout_exit(&timeout, fetch(url));
 *
 * There are two kinds. knit_timeout is asyncio's: at the deadline the task is cancelled once, and
 * code that goes on all the same may. knit_cancel_scope is of the kind that asyncio does not have:
 * once it is cancelled every suspension inside it fails, until it is left; and it can shield what
 * runs inside from cancellations that come from outside.
 */
#ifndef KNIT_TIMEOUT_H
#define KNIT_TIMEOUT_H

#include <knit/task.h>

KNIT_BEGIN_DECLS

/* ---- timeouts ------------------------------------------------------------------------ */

typedef struct knit_timeout {
	uint64_t opaque[16]; /* the library's */
} knit_timeout;

/* Enters a scope with a deadline: once @delay has passed, the task is cancelled as by
 * knit_task_cancel(). A delay <= 0 is over in the next pass: what does not suspend is not hurt.
 *
 * Units: @delay in ns from now; KNIT_FOREVER: no deadline.  Returns: 0.
 * Errors: -KNIT_ENOTASK; -EINVAL: NULL; -KNIT_EINVALIDSTATE: it is entered already; -ENOMEM.
 * Thread: loop.  Suspends: no.  Ownership: @timeout is borrowed until it is left. */
KNIT_API KNIT_NODISCARD int knit_timeout_enter(knit_timeout *timeout, int64_t delay);

/* As knit_timeout_enter(): with a time of the loop's clock (asyncio.timeout_at).
 *
 * Units: @when in ns of knit_loop_time(); KNIT_FOREVER: no deadline.  Returns: 0.
 * Errors: as knit_timeout_enter().
 * Thread: loop.  Suspends: no.  Ownership: as knit_timeout_enter(). */
KNIT_API KNIT_NODISCARD int knit_timeout_enter_at(knit_timeout *timeout, int64_t when);

/* Leaves the scope with the outcome of what ran inside. Takes the scope's own cancellation back,
 * and only that: if the task was cancelled by others too, that is what goes on.
 *
 * Units: none.
 * Returns: -ETIMEDOUT if @body is the -KNIT_ECANCELLED of the scope's own; else @body.
 * Errors: -EINVAL: NULL; -KNIT_EINVALIDSTATE: not entered by this task. Ends the process if a
 *   scope that was entered later is still open.
 * Thread: loop.  Suspends: no.  Ownership: @timeout is the caller's again. */
KNIT_API intptr_t knit_timeout_exit(knit_timeout *timeout, intptr_t body);

/* Has the deadline passed while the scope was entered?
 *
 * Units: none.  Returns: the answer; false for NULL and one never entered.
 * Errors: none; ends the process on a foreign thread while the scope is entered.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_timeout_expired(const knit_timeout *timeout);

/* The deadline.
 *
 * Units: ns of knit_loop_time(); KNIT_FOREVER: none.  Returns: the time.
 * Errors: -EINVAL: NULL; -KNIT_EINVALIDSTATE: never entered.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int64_t knit_timeout_when(const knit_timeout *timeout);

/* Moves the deadline. One in the past is over in the next pass.
 *
 * Units: @when in ns of knit_loop_time(); KNIT_FOREVER: none.  Returns: 0.
 * Errors: -EINVAL: NULL; -KNIT_EINVALIDSTATE: not entered, or the deadline has passed, or left;
 *   -KNIT_EWRONGTHREAD; -ENOMEM: there is no deadline now.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_timeout_reschedule(knit_timeout *timeout, int64_t when);

/* ---- cancel scopes ------------------------------------------------------------------- */

typedef struct knit_cancel_scope {
	uint64_t opaque[16]; /* the library's */
} knit_cancel_scope;

/* Keyword arguments of knit_cancel_scope_enter(). */
typedef struct knit_cancel_scope_options {
	size_t size;      /* sizeof(knit_cancel_scope_options); the macro sets it */
	int64_t delay;    /* ns from now after which it is cancelled; 0: no deadline */
	uint32_t shield;  /* not 0: cancellations from outside wait until it is left */
	uint32_t padding; /* 0 */
} knit_cancel_scope_options;

/* Enters a scope that can be cancelled on demand or by a deadline. With .shield, requests to
 * cancel the task that come while it is inside, those of timeouts further out among them, are
 * delivered after the exit; but for those of a loop that is being closed. (Cleanup after a
 * cancellation that has come out already needs no shield: it is for the next one.)
 *
 * Units: see knit_cancel_scope_options.  Returns: 0.
 * Errors: -KNIT_ENOTASK; -EINVAL, -E2BIG: NULL, or options malformed; -KNIT_EINVALIDSTATE: it is
 *   entered already; -ENOMEM.
 * Thread: loop.  Suspends: no.  Ownership: @scope is borrowed until it is left. */
KNIT_API KNIT_NODISCARD int knit_cancel_scope_enter(knit_cancel_scope *scope);

/* As knit_cancel_scope_enter(): with keyword arguments.
 *
 * Units: see knit_cancel_scope_options.  Returns: 0.  Errors: as knit_cancel_scope_enter().
 * Thread: loop.  Suspends: no.  Ownership: as knit_cancel_scope_enter(); @options is borrowed. */
KNIT_API KNIT_NODISCARD int knit_cancel_scope_enter_with(knit_cancel_scope *scope,
                                                         const knit_cancel_scope_options *options);

/* Cancels what runs inside: -KNIT_ECANCELLED comes out of the call that the task is suspended in,
 * and out of every one that it suspends in before it leaves. What a call has got already it
 * returns first. Not counted by knit_task_cancelling(). Once cancelled, always cancelled.
 *
 * Units: none.  Returns: 0.
 * Errors: -EINVAL: NULL; -KNIT_EINVALIDSTATE: not entered, or left; -KNIT_EWRONGTHREAD.
 * Thread: loop; any task or callback of it.  Suspends: no.  Ownership: none. */
KNIT_API int knit_cancel_scope_cancel(knit_cancel_scope *scope);

/* Leaves the scope with the outcome of what ran inside. The -KNIT_ECANCELLED of its own ends here:
 * ask knit_cancel_scope_caught().
 *
 * Units: none.
 * Returns: 0 if @body is the -KNIT_ECANCELLED of the scope's own, and no other cancellation came
 *   out inside; else @body.
 * Errors: as knit_timeout_exit().
 * Thread: loop.  Suspends: no.  Ownership: @scope is the caller's again. */
KNIT_API intptr_t knit_cancel_scope_exit(knit_cancel_scope *scope, intptr_t body);

/* Was it cancelled, on demand or by its deadline?
 *
 * Units: none.  Returns: the answer; false for NULL and one never entered.
 * Errors: none; ends the process on a foreign thread while the scope is entered.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_cancel_scope_cancelled(const knit_cancel_scope *scope);

/* Did the exit take the body's -KNIT_ECANCELLED for its own?
 *
 * Units: none.  Returns: the answer; false for NULL and one never left.
 * Errors: none; ends the process on a foreign thread while the scope is entered.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_cancel_scope_caught(const knit_cancel_scope *scope);

/* When the scope is cancelled by itself.
 *
 * Units: ns of knit_loop_time(); KNIT_FOREVER: never.  Returns: the time.
 * Errors: -EINVAL: NULL; -KNIT_EINVALIDSTATE: never entered.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int64_t knit_cancel_scope_when(const knit_cancel_scope *scope);

/* Moves the deadline.
 *
 * Units: @when in ns of knit_loop_time(); KNIT_FOREVER: none.  Returns: 0.
 * Errors: as knit_timeout_reschedule().
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_cancel_scope_reschedule(knit_cancel_scope *scope, int64_t when);

KNIT_END_DECLS

/* Options are keyword arguments: knit_cancel_scope_enter(&scope, .shield = 1) in C,
 * knit_cancel_scope_enter(&scope, {.shield = 1}) in C++20. */
#ifndef __cplusplus
#define knit_cancel_scope_enter(...) \
	knit_cancel_scope_enter_macro(__VA_ARGS__, .size = sizeof(knit_cancel_scope_options))
/* Of knit_cancel_scope_enter(): the scope, then .name = value pairs, the size among them. */
#define knit_cancel_scope_enter_macro(scope, ...) \
	knit_cancel_scope_enter_with(scope, &(knit_cancel_scope_options){__VA_ARGS__})
#else
/* As knit_cancel_scope_enter_with(): the C++ form of the macro.
 *
 * Units: see knit_cancel_scope_options.  Returns: 0.  Errors: as knit_cancel_scope_enter().
 * Thread: loop.  Suspends: no.  Ownership: as knit_cancel_scope_enter(). */
static inline int knit_cancel_scope_enter(knit_cancel_scope *scope,
                                          knit_cancel_scope_options options)
{
	options.size = sizeof(options);
	return knit_cancel_scope_enter_with(scope, &options);
}
#endif
#endif
