/* SPDX-License-Identifier: MIT */
/*
 * group.h - task groups: a scope that the tasks made in it do not outlive (asyncio.TaskGroup).
 *
 *     knit_task_group group;
 *     intptr_t r = knit_task_group_enter(&group);
 *     if (r < 0)
 *             return r;
 *     r = knit_task_group_spawn(&group, serve, &job);
 *     return knit_task_group_exit(&group, r);
 *
 * The exit returns when the last child is done, on every path, so a child's argument may live on
 * the stack of the task that made the group. When a child fails, or the body (what the task does
 * between enter and exit), everything else in the group is cancelled, and the exit returns
 * -KNIT_EGROUP. What failed is told by knit_task_group_next_error(), and knit_task_group_done() has
 * to be called then:
 *
 *     const char *name, *text;
 *     int code;
 *
 *     if (r == -KNIT_EGROUP) {
 *             while ((code = knit_task_group_next_error(&group, &name, &text)) > 0)
 *                     log_error(name, knit_errname(code), text);
 *             knit_task_group_done(&group);
 *     }
 *
 * -KNIT_EGROUP has a text too, which lists the errors. So groups nest: of a child that returns its
 * own group's -KNIT_EGROUP, the outer group has this text.
 */
#ifndef KNIT_GROUP_H
#define KNIT_GROUP_H

#include <knit/task.h>

KNIT_BEGIN_DECLS

/* Stands in the caller's storage, which need not be initialised. */
typedef struct knit_task_group {
	uint64_t opaque[32]; /* the library's */
} knit_task_group;

/* Enters @group with the running task. Like a timeout it is a scope: left by the same task, on
 * every path, the last entered first.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_ENOTASK; -EINVAL: NULL; -KNIT_EINVALIDSTATE: it is entered already.
 * Thread: loop.  Suspends: no.  Ownership: @group is borrowed until it is left, and after
 *   -KNIT_EGROUP until knit_task_group_done(). */
KNIT_API KNIT_NODISCARD int knit_task_group_enter(knit_task_group *group);

/* Creates a child and forgets it. Its failure is the group's, its value goes to .result_free.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_EINVALIDSTATE: the group has not been entered, is shutting down (it was cancelled,
 *   or something in it failed), or is finished: knit_error_message() says which; -EINVAL: NULL;
 *   -ENOMEM; -KNIT_ECLOSED; -KNIT_EWRONGTHREAD.
 * Thread: loop; also from children and callbacks, until the last child is done.  Suspends: no.
 * Ownership: no reference for the caller; @arg as in knit_create_task(), still the caller's if this
 *   fails. */
KNIT_API KNIT_NODISCARD int knit_task_group_spawn(knit_task_group *group, knit_coro *coro,
                                                  void *arg);

/* As knit_task_group_spawn(): with keyword arguments.
 *
 * Units: see knit_task_options.  Returns: 0.
 * Errors: as knit_task_group_spawn(), and -EINVAL, -E2BIG: @options is malformed.
 * Thread: loop.  Suspends: no.  Ownership: as knit_task_group_spawn(); @options is borrowed. */
KNIT_API KNIT_NODISCARD int knit_task_group_spawn_with(knit_task_group *group, knit_coro *coro,
                                                       const knit_task_options *options);

/* Creates a child. Awaiting it is possible, not necessary: of one that fails the group learns
 * first, so that -KNIT_ECANCELLED comes out. Cancelling a child is no failure.
 *
 * Units: none.  Returns: the task.
 * Errors: NULL: as knit_task_group_spawn(); awaiting NULL returns the code.
 * Thread: loop; also from children and callbacks.  Suspends: no.
 * Ownership: one reference for the caller; @arg as in knit_task_group_spawn(). */
KNIT_API KNIT_NODISCARD knit_task *knit_task_group_create_task(knit_task_group *group,
                                                               knit_coro *coro, void *arg);

/* As knit_task_group_create_task(): with keyword arguments.
 *
 * Units: see knit_task_options.  Returns: the task.
 * Errors: as knit_task_group_create_task(), and -EINVAL, -E2BIG: @options is malformed.
 * Thread: loop.  Suspends: no.
 * Ownership: as knit_task_group_create_task(); @options is borrowed. */
KNIT_API KNIT_NODISCARD knit_task *
knit_task_group_create_task_with(knit_task_group *group, knit_coro *coro,
                                 const knit_task_options *options);

/* Cancels the children and the body, which the exit does not take for a failure: it returns 0
 * where the body returned -KNIT_ECANCELLED for it. Errors are told all the same. A second call does
 * nothing, nor does one when the group is left.
 *
 * Units: none.  Returns: 0.
 * Errors: -EINVAL: NULL; -KNIT_EINVALIDSTATE: never entered; -KNIT_EWRONGTHREAD.
 * Thread: loop; any task or callback of it.  Suspends: no.  Ownership: none. */
KNIT_API int knit_task_group_cancel(knit_task_group *group);

/* Leaves @group with the outcome of the body, when all children are done. It never returns before
 * that: a task that is cancelled meanwhile cancels the children, and waits.
 *
 * Units: none.
 * Returns: @body; 0 if it is the -KNIT_ECANCELLED of the group's own.
 * Errors: -KNIT_EGROUP: children failed, or the body (an error other than -KNIT_ECANCELLED); if the
 *   task was cancelled too, its next suspension says so; -KNIT_ECANCELLED: nothing failed, and the
 *   task was cancelled by others; -EINVAL: NULL; -KNIT_EINVALIDSTATE: not entered by this task.
 *   Ends the process if a scope that was entered later is still open.
 * Thread: loop.  Suspends: unless all children are done; also while the loop is being closed.
 * Ownership: @group is the caller's again, unless -KNIT_EGROUP is returned. */
KNIT_API intptr_t knit_task_group_exit(knit_task_group *group, intptr_t body);

/* The next error of a group that was left with -KNIT_EGROUP: the children's in the order in which
 * they failed, then the body's, under the name of the task that made the group. After the last one
 * 0, and then the first again.
 *
 * Units: none.
 * Returns: the code, positive, in *@task_name whose it is, in *@message its text, or
 *   knit_strerror()'s; 0: no more.
 * Errors: -EINVAL: NULL; -KNIT_EINVALIDSTATE: never entered, or not left yet; -KNIT_EWRONGTHREAD.
 * Thread: loop.  Suspends: no.
 * Ownership: both texts are the group's, until knit_task_group_done(); both pointers may be NULL.
 */
KNIT_API int knit_task_group_next_error(knit_task_group *group, const char **task_name,
                                        const char **message);

/* Frees the errors of a group that was left with -KNIT_EGROUP. Harmless if there are none, but for
 * storage that was never a group's.
 *
 * Units: none.  Returns: nothing.
 * Errors: none; ends the process if the group has not been left, or on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: @group is the caller's again; NULL in is harmless. */
KNIT_API void knit_task_group_done(knit_task_group *group);

KNIT_END_DECLS

/* Options are keyword arguments: knit_task_group_spawn(&group, work, &job, .name = "worker") in C,
 * knit_task_group_spawn(&group, work, &job, {.name = "worker"}) in C++20. */
#ifndef __cplusplus
#define knit_task_group_spawn(group, coro, ...) \
	knit_task_group_spawn_with(group, coro, knit_task_arguments(__VA_ARGS__))
#define knit_task_group_create_task(group, coro, ...) \
	knit_task_group_create_task_with(group, coro, knit_task_arguments(__VA_ARGS__))
#else
/* As knit_task_group_spawn_with(): the C++ form of the macro.
 *
 * Units: see knit_task_options.  Returns: 0.  Errors: as knit_task_group_spawn_with().
 * Thread: loop.  Suspends: no.  Ownership: as knit_task_group_spawn(). */
static inline int knit_task_group_spawn(knit_task_group *group, knit_coro *coro, void *arg,
                                        knit_task_options options)
{
	options.size = sizeof(options);
	options.arg = arg;
	return knit_task_group_spawn_with(group, coro, &options);
}

/* As knit_task_group_create_task_with(): the C++ form of the macro.
 *
 * Units: see knit_task_options.  Returns: the task.
 * Errors: as knit_task_group_create_task_with().
 * Thread: loop.  Suspends: no.  Ownership: as knit_task_group_create_task(). */
static inline knit_task *knit_task_group_create_task(knit_task_group *group, knit_coro *coro,
                                                     void *arg, knit_task_options options)
{
	options.size = sizeof(options);
	options.arg = arg;
	return knit_task_group_create_task_with(group, coro, &options);
}
#endif
#endif
