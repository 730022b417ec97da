/* SPDX-License-Identifier: MIT */
/* test_eager.c - eager first steps and task factories, at their edges. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "knit/context.h"
#include "knit/file.h"
#include "knit/group.h"
#include "knit/task.h"
#include "knit/thread.h"
#include "task/task.h"

#define EAGER .eager_start = KNIT_EAGER_YES

static knit_loop *loop;
static int freed, reported;

static void setup(void)
{
	loop = knit_loop_new(.clock = KNIT_CLOCK_VIRTUAL);
	cr_assert_not_null(loop);
	freed = reported = 0;
	knit_loop_set_exception_handler(loop, rig_count_exception, &reported);
}

static void teardown(void)
{
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(loop->tasks.live, 0);
	cr_assert_eq(loop->indirect, 0);
	knit_loop_unref(loop);
}

static void run_main(knit_coro *main)
{
	intptr_t outcome = knit_loop_run_until_complete(loop, main, NULL);

	cr_assert_eq(outcome, 0, "%s", knit_errname((int)outcome));
}

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t tick(void *arg)
{
	int r = knit_sleep(0);

	return r < 0 ? r : (intptr_t)arg;
}

static void free_arg(void *arg)
{
	(void)arg;
	/* The end of a task belongs to nobody's task. */
	cr_expect_null(knit_current_task(NULL));
	freed++;
}

/* ---- eager ---- */

static intptr_t ends(void *arg)
{
	knit_task *me = knit_current_task(NULL);

	(void)arg;
	cr_assert_eq(knit_spawn(nothing, NULL, .arg_free = free_arg, EAGER), 0);
	cr_assert_eq(freed, 1);
	cr_assert_eq(knit_spawn(nothing, (void *)-EIO, EAGER), 0);
	cr_assert_eq(reported, 1, "a failure that nobody can retrieve");
	cr_assert_eq(knit_spawn(tick, NULL, .arg_free = free_arg, EAGER), 0);
	cr_assert_eq(freed, 1);
	cr_assert_eq(knit_current_task(NULL), me);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(freed, 2);
	return 0;
}

Test(eager, one_that_nobody_refers_to_is_gone_when_it_returns, .init = setup, .fini = teardown)
{
	run_main(ends);
}

static intptr_t nest(void *depth)
{
	knit_task *task;

	if (!depth)
		return 0;
	task = knit_create_task(nest, (void *)((uintptr_t)depth - 1), EAGER);
	return knit_await(task);
}

static intptr_t nest_deep(void *arg)
{
	(void)arg;
	return nest((void *)(uintptr_t)test_scale(5000, 1000, 500, 100));
}

Test(eager, calls_nest_as_deep_as_memory_goes, .init = setup, .fini = teardown)
{
	run_main(nest_deep);
}

static intptr_t await_parent(void *parent)
{
	return knit_await(knit_task_ref(parent));
}

static intptr_t cancel_parent(void *parent)
{
	return knit_task_cancel(parent, "by the child");
}

static intptr_t family(void *arg)
{
	knit_task *child = knit_create_task(await_parent, knit_current_task(NULL), EAGER);

	(void)arg;
	cr_assert_not(knit_task_done(child));
	knit_task_unref(child);
	cr_assert_eq(knit_await(knit_create_task(cancel_parent, knit_current_task(NULL), EAGER)),
	             1);
	cr_assert_eq(knit_sleep(KNIT_S), -KNIT_ECANCELLED);
	return 0;
}

Test(eager, a_child_may_await_and_cancel_its_creator, .init = setup, .fini = teardown)
{
	run_main(family);
}

static intptr_t errno_and_record(void *arg)
{
	(void)arg;
	errno = EPERM;
	return knit_raise(EBUSY, "the child's");
}

static intptr_t creator_keeps(void *arg)
{
	const char *text;

	(void)arg;
	(void)knit_raise(EDOM, "the creator's");
	errno = EXDEV;
	if (knit_spawn(errno_and_record, NULL, EAGER) < 0)
		return -1;
	cr_assert_eq(errno, EXDEV);
	text = knit_error_message(-EDOM);
	cr_assert_str_eq(text, "the creator's");
	return 0;
}

Test(eager, the_creator_keeps_its_errno_and_its_record, .init = setup, .fini = teardown)
{
	run_main(creator_keeps);
}

static intptr_t fork_here(void *pid)
{
	*(pid_t *)pid = rig_fork();
	return knit_sleep(0);
}

static intptr_t fork_in_child(void *pid)
{
	knit_task *task = knit_create_task(fork_here, pid, EAGER);

	if (*(pid_t *)pid == 0) {
		child_check(knit_get_running_loop() == NULL);
		child_check(knit_current_task(NULL) == NULL);
		child_check(knit_sleep(0) == -KNIT_ENOTASK);
		child_done();
	}
	return knit_await(task);
}

Test(eager, the_child_of_a_fork_goes_on_as_nobodys_task, .init = setup, .fini = teardown)
{
	pid_t pid = -1;

	if (KN_TSAN)
		test_skip("ThreadSanitizer does not see switches in the child of a fork()");
	cr_assert_eq(knit_loop_run_until_complete(loop, fork_in_child, &pid), 0);
	rig_wait_child(pid);
}

static intptr_t default_eager(void *arg)
{
	knit_task_group group;
	knit_task *task;

	(void)arg;
	cr_assert_eq(knit_loop_set_eager(NULL, true), 0);
	cr_assert(knit_loop_get_eager(NULL));
	task = knit_create_task(nothing, (void *)1);
	cr_assert(knit_task_done(task));
	cr_assert_eq(knit_await(task), 1);
	task = knit_create_task(nothing, (void *)2, .eager_start = KNIT_EAGER_NO);
	cr_assert_not(knit_task_done(task));
	cr_assert_eq(knit_await(task), 2);
	cr_assert_eq(knit_run_on(knit_get_running_loop(), nothing, (void *)3), 3);
	cr_assert_eq(knit_task_group_enter(&group), 0);
	task = knit_task_group_create_task(&group, nothing, (void *)4);
	cr_assert(knit_task_done(task));
	cr_assert_eq(knit_task_group_spawn(&group, tick, NULL), 0);
	cr_assert_eq(knit_task_group_exit(&group, 0), 0);
	cr_assert_eq(knit_await(task), 4);
	return 0;
}

Test(eager, the_default_holds_for_every_creator, .init = setup, .fini = teardown)
{
	run_main(default_eager);
	cr_assert_not(knit_loop_get_eager(NULL));
	cr_assert_eq(knit_loop_set_eager(NULL, true), -KNIT_ENOLOOP);
}

/* ---- factories ---- */

static int made;

struct wrapped {
	knit_coro *coro;
	void *arg;
};

static intptr_t call_wrapped(void *arg)
{
	struct wrapped wrapped = *(struct wrapped *)arg;

	free(arg);
	return wrapped.coro(wrapped.arg) + 100;
}

static knit_task *wrap(knit_loop *the_loop, knit_coro *coro, const knit_task_options *options,
                       void *count)
{
	struct wrapped *wrapped = malloc(sizeof(*wrapped));
	knit_task_options changed = *options;

	*wrapped = (struct wrapped){coro, options->arg};
	changed.arg = wrapped;
	changed.name = "wrapped";
	++*(int *)count;
	return knit_task_new(the_loop, call_wrapped, &changed);
}

static intptr_t use_factory(void *arg)
{
	knit_task *task = knit_create_task(nothing, (void *)1);
	void *count;

	(void)arg;
	cr_assert_str_eq(knit_task_get_name(task), "wrapped");
	cr_assert_eq(knit_await(task), 101);
	task = knit_create_task(nothing, (void *)2, EAGER);
	cr_assert(knit_task_done(task), "it starts once the factory has returned");
	cr_assert_eq(knit_await(task), 102);
	cr_assert_eq(knit_spawn(nothing, NULL), 0);
	cr_assert_eq(knit_run_on(knit_get_running_loop(), nothing, (void *)3), 103);
	cr_assert_eq(made, 5, "with the main task");
	cr_assert_eq(knit_loop_get_task_factory(NULL, &count), wrap);
	cr_assert_eq(count, &made);
	cr_assert_eq(knit_loop_set_task_factory(NULL, NULL, NULL), 0);
	cr_assert_null(knit_loop_get_task_factory(NULL, NULL));
	cr_assert_eq(knit_await(knit_create_task(nothing, (void *)4)), 4);
	return 0;
}

Test(factory, every_task_goes_through_it, .init = setup, .fini = teardown)
{
	made = 0;
	cr_assert_eq(knit_loop_set_task_factory(loop, wrap, &made), 0);
	cr_assert_eq(knit_loop_run_until_complete(loop, use_factory, NULL), 100);
	cr_assert_null(knit_loop_get_task_factory(NULL, NULL));
	cr_assert_eq(knit_loop_set_task_factory(NULL, wrap, NULL), -KNIT_ENOLOOP);
}

static knit_task *refuse(knit_loop *the_loop, knit_coro *coro, const knit_task_options *options,
                         void *code)
{
	(void)options;
	if (code) /* fails as a creation does */
		return knit_task_new(the_loop, NULL, options);
	(void)coro;
	return NULL;
}

static knit_task *same_again(knit_loop *the_loop, knit_coro *coro, const knit_task_options *options,
                             void *task)
{
	(void)the_loop;
	(void)coro;
	(void)options;
	return task;
}

static intptr_t refused(void *arg)
{
	knit_task *old = knit_create_task(nothing, NULL);

	(void)arg;
	cr_assert_eq(knit_sleep(0), 0);
	for (uintptr_t code = 0; code < 2; code++) {
		knit_loop_set_task_factory(NULL, refuse, (void *)code);
		cr_assert_null(knit_create_task(nothing, NULL, .arg_free = free_arg));
		cr_assert_eq(knit_await(NULL), -EINVAL);
		cr_assert_eq(knit_spawn(nothing, NULL, .arg_free = free_arg), -EINVAL);
	}
	knit_loop_set_task_factory(NULL, same_again, old);
	cr_assert_null(knit_create_task(nothing, NULL, .arg_free = free_arg));
	cr_assert_eq(knit_await(NULL), -EINVAL);
	cr_assert_eq(freed, 0);
	knit_task_unref(old);
	return 0;
}

/* Logging to a file, for example. What it starts eagerly is a task as any other. */
static knit_task *suspending(knit_loop *on, knit_coro *coro, const knit_task_options *options,
                             void *arg)
{
	static const knit_task_options other = {.size = sizeof(other), .arg = (void *)7, EAGER};

	cr_assert_eq(knit_sleep(0), -KNIT_ENOTASK);
	cr_assert_eq(knit_fsync(1), -KNIT_ENOTASK);
	*(knit_task **)arg = knit_loop_create_task_with(on, tick, &other);
	cr_assert_not_null(knit_current_task(NULL));
	return knit_task_new(on, coro, options);
}

static intptr_t create_with_suspending(void *arg)
{
	knit_task *other = NULL, *task;

	(void)arg;
	knit_loop_set_task_factory(NULL, suspending, &other);
	task = knit_create_task(tick, (void *)8);
	knit_loop_set_task_factory(NULL, NULL, NULL);
	cr_assert_eq(knit_await(task), 8);
	cr_assert_eq(knit_await(other), 7);
	return 0;
}

Test(factory, one_may_not_suspend, .init = setup, .fini = teardown)
{
	run_main(create_with_suspending);
}

/* Not started yet, but somebody else's: of a group, for example. */
static knit_task *twice(knit_loop *on, knit_coro *coro, const knit_task_options *options, void *arg)
{
	knit_task **first = arg;

	if (*first)
		return *first; /* refused, so the reference stays */
	*first = knit_task_new(on, coro, options);
	return knit_task_ref(*first);
}

static intptr_t create_the_same_twice(void *arg)
{
	knit_task *first = knit_create_task(nothing, (void *)1);
	knit_task_group group;

	(void)arg;
	knit_loop_set_task_factory(NULL, twice, &first);
	cr_assert_null(knit_create_task(nothing, (void *)1));
	cr_assert_eq(knit_await(first), 1);
	first = NULL;
	cr_assert_eq(knit_task_group_enter(&group), 0);
	cr_assert_eq(knit_task_group_spawn(&group, nothing, (void *)1), 0);
	cr_assert_eq(knit_task_group_spawn(&group, nothing, (void *)1), -EINVAL);
	cr_assert_eq(knit_task_group_exit(&group, 0), 0);
	return knit_await(first);
}

Test(factory, one_that_returns_a_task_twice_fails_the_creation, .init = setup, .fini = teardown)
{
	cr_assert_eq(knit_loop_run_until_complete(loop, create_the_same_twice, NULL), 1);
}

Test(factory, one_that_makes_no_new_task_fails_the_creation, .init = setup, .fini = teardown)
{
	run_main(refused);
}

static intptr_t without_factory(void *arg)
{
	const knit_task_options options = {.size = sizeof(options), .arg = (void *)5, EAGER};
	knit_task *task = knit_task_new(NULL, nothing, &options);

	(void)arg;
	cr_assert(knit_task_done(task));
	return knit_await(task) - 5;
}

Test(factory, task_new_by_itself_starts_eagerly_too, .init = setup, .fini = teardown)
{
	const knit_task_options options = {.size = sizeof(options)};

	run_main(without_factory);
	cr_assert_null(knit_task_new(NULL, nothing, &options));
	cr_assert_eq(knit_await(NULL), -KNIT_ENOLOOP);
}
