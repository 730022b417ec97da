/* SPDX-License-Identifier: MIT */
/* test_group.c - task groups where things go wrong: misuse, no memory, scopes that are cancelled,
 * a loop that is being closed. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <string.h>
#include "base/alloc.h"
#include "knit/group.h"
#include "knit/timeout.h"
#include "task/group.h"

#define CORO(name) static intptr_t name(void *arg __attribute__((unused)))

#define ENTER(group)            cr_assert_eq(knit_task_group_enter(&(group)), 0)
#define SPAWN(group, coro, ...) cr_assert_eq(knit_task_group_spawn(group, coro, __VA_ARGS__), 0)

static void run(knit_coro *main)
{
	cr_assert_eq(knit_run(main, NULL, .clock = KNIT_CLOCK_VIRTUAL), 0);
}

static uint32_t live_tasks(void)
{
	return knit_get_running_loop()->tasks.live;
}

static intptr_t fail(void *text)
{
	return knit_raise(EIO, "%s", (const char *)text);
}

/* ---- misuse ---- */

CORO(misuse)
{
	knit_task_group group;
	knit_task_options bad = {.size = 3};
	knit_future *not_used = NULL;

	memset(&group, 0x5a, sizeof(group));
	cr_assert_eq(knit_task_group_enter(NULL), -EINVAL);
	cr_assert_eq(knit_task_group_exit(NULL, 0), -EINVAL);
	cr_assert_eq(knit_task_group_exit(&group, 0), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_task_group_cancel(NULL), -EINVAL);
	cr_assert_eq(knit_task_group_cancel(&group), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_task_group_next_error(NULL, NULL, NULL), -EINVAL);
	cr_assert_eq(knit_task_group_next_error(&group, NULL, NULL), -KNIT_EINVALIDSTATE);
	cr_assert_eq((knit_task_group_spawn)(NULL, fail, NULL), -EINVAL);
	cr_assert_null((knit_task_group_create_task)(NULL, fail, NULL));
	cr_assert_eq(knit_await(not_used), -EINVAL);
	knit_task_group_done(NULL);
	knit_task_group_done(&group);
	ENTER(group);
	cr_assert_eq(knit_task_group_next_error(&group, NULL, NULL), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_task_group_spawn_with(&group, fail, &bad), -EINVAL);
	cr_assert_eq(knit_task_group_spawn(&group, NULL, NULL), -EINVAL);
	cr_assert_null(knit_task_group_create_task_with(&group, fail, NULL));
	cr_assert_eq(knit_await(not_used), -EINVAL);
	cr_assert_eq(knit_task_group_exit(&group, 5), 5);
	cr_assert_eq(knit_task_group_next_error(&group, NULL, NULL), 0);
	knit_task_group_done(&group);
	return 0;
}

Test(group, misuse_is_refused)
{
	run(misuse);
}

/* ---- memory ---- */

static int freed;

static void count_freed(void *arg)
{
	(void)arg;
	freed++;
}

/* However little memory there is: the codes arrive, and their texts or those that are static. */
CORO(fail_without_memory)
{
	knit_task_group group;
	int complete = 0, children, creations;

	for (int allow = 0; !complete; allow++) {
		const char *name, *text;
		intptr_t r;
		int code;

		cr_assert_lt(allow, 100);
		ENTER(group);
		freed = children = creations = 0;
		kn_alloc_fail_after(allow);
		for (int i = 0; i < 3; i++)
			creations += knit_task_group_spawn(&group, fail, TEXT("text"), .name = "x",
			                                   .arg_free = count_freed) == 0;
		r = knit_task_group_exit(&group, 0);
		complete = creations == 3;
		cr_assert_eq(freed, creations);
		cr_assert_eq(r, creations ? -KNIT_EGROUP : 0);
		while ((code = knit_task_group_next_error(&group, &name, &text)) > 0) {
			/* One that had no stack. */
			cr_assert(code == EIO || code == ENOMEM);
			cr_assert_not_null(name);
			complete = complete && strcmp(text, "text") == 0;
			children++;
		}
		kn_alloc_fail_after(-1);
		cr_assert_eq(children, creations);
		knit_task_group_done(&group);
		cr_assert_eq(live_tasks(), 1);
	}
	return 0;
}

Test(group, without_memory_no_error_is_lost)
{
	run(fail_without_memory);
}

/* ---- groups in groups ---- */

static intptr_t inner_group(void *name)
{
	knit_task_group group;
	intptr_t r;

	ENTER(group);
	SPAWN(&group, fail, TEXT("no disk"), .name = name);
	r = knit_task_group_exit(&group, 0);
	knit_task_group_done(&group);
	return r;
}

CORO(nest_errors)
{
	knit_task_group group;
	const char *name, *text;

	ENTER(group);
	SPAWN(&group, inner_group, TEXT("writer"), .name = "storage");
	cr_assert_eq(knit_task_group_exit(&group, 0), -KNIT_EGROUP);
	cr_assert_str_eq(knit_error_message(-KNIT_EGROUP),
	                 "unhandled errors in a task group (1): storage: KNIT_EGROUP: "
	                 "unhandled errors in a task group (1): writer: EIO: no disk");
	cr_assert_eq(knit_task_group_next_error(&group, &name, &text), KNIT_EGROUP);
	cr_assert_str_eq(name, "storage");
	cr_assert_str_eq(text, "unhandled errors in a task group (1): writer: EIO: no disk");
	knit_task_group_done(&group);
	return 0;
}

Test(group, the_text_of_a_group_lists_its_errors)
{
	run(nest_errors);
}

CORO(very_many_errors)
{
	knit_task_group group;
	const char *text;
	int count = 0;

	ENTER(group);
	for (int i = 0; i < 200; i++)
		SPAWN(&group, fail, TEXT("a text of some length"), .name = "and a name");
	cr_assert_eq(knit_task_group_exit(&group, 0), -KNIT_EGROUP);
	text = knit_error_message(-KNIT_EGROUP);
	cr_assert_lt(strlen(text), 1000);
	cr_assert_str_eq(text + strlen(text) - 3, "...");
	while (knit_task_group_next_error(&group, NULL, NULL) > 0)
		count++;
	cr_assert_eq(count, 200);
	knit_task_group_done(&group);
	cr_assert_eq(live_tasks(), 1);
	return 0;
}

Test(group, a_long_list_is_cut_in_the_text_only)
{
	run(very_many_errors);
}

/* ---- scopes around and inside ---- */

struct counted {
	int done, passes;
};

static intptr_t clean_up(void *arg)
{
	struct counted *counted = arg;
	int r = knit_sleep(KNIT_FOREVER);

	cr_assert_eq(r, -KNIT_ECANCELLED);
	cr_assert_eq(knit_sleep(KNIT_S), 0, "the scope is the parent's");
	counted->done++;
	return r;
}

CORO(exit_in_cancelled_scope)
{
	struct counted counted = {0, 0};
	knit_cancel_scope scope;
	knit_task_group group;
	uint64_t passes;

	cr_assert_eq(knit_cancel_scope_enter(&scope, .delay = KNIT_S), 0);
	ENTER(group);
	SPAWN(&group, clean_up, &counted);
	SPAWN(&group, clean_up, &counted);
	passes = knit_get_running_loop()->counters.passes;
	cr_assert_eq(knit_task_group_exit(&group, 0), -KNIT_ECANCELLED);
	cr_assert_lt(knit_get_running_loop()->counters.passes - passes, 20, "it did not spin");
	cr_assert_eq(counted.done, 2);
	cr_assert_eq(knit_cancel_scope_exit(&scope, -KNIT_ECANCELLED), 0);
	cr_assert(knit_cancel_scope_caught(&scope));
	/* Cancelled before. */
	cr_assert_eq(knit_cancel_scope_enter(&scope), 0);
	ENTER(group);
	SPAWN(&group, clean_up, &counted);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(knit_cancel_scope_cancel(&scope), 0);
	cr_assert_eq(knit_task_group_exit(&group, knit_sleep(0)), -KNIT_ECANCELLED);
	cr_assert_eq(counted.done, 3);
	cr_assert_eq(knit_cancel_scope_exit(&scope, -KNIT_ECANCELLED), 0);
	cr_assert_eq(knit_task_cancelling(knit_current_task(NULL)), 0);
	cr_assert_eq(knit_sleep(0), 0);
	return 0;
}

Test(group, the_exit_waits_inside_a_cancelled_scope)
{
	run(exit_in_cancelled_scope);
}

CORO(time_out)
{
	struct counted counted = {0, 0};
	knit_timeout timeout;
	knit_task_group group;
	intptr_t r;

	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_S), 0);
	ENTER(group);
	SPAWN(&group, clean_up, &counted);
	r = knit_timeout_exit(&timeout, knit_task_group_exit(&group, 0));
	cr_assert_eq(r, -ETIMEDOUT);
	cr_assert_eq(counted.done, 1);
	cr_assert_eq(knit_loop_time(NULL), 2 * KNIT_S);
	/* With an error the timeout's request is made again, and taken back by its exit. */
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_S), 0);
	ENTER(group);
	r = knit_task_group_exit(&group, knit_sleep(2 * KNIT_S) == -KNIT_ECANCELLED ? -EIO : 0);
	cr_assert_eq(r, -KNIT_EGROUP);
	knit_task_group_done(&group);
	cr_assert_eq(knit_timeout_exit(&timeout, r), -KNIT_EGROUP);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(knit_task_cancelling(knit_current_task(NULL)), 0);
	return 0;
}

Test(group, a_timeout_around_it_cancels_it)
{
	run(time_out);
}

CORO(shield_the_body)
{
	knit_cancel_scope shield;
	knit_task_group group;

	ENTER(group);
	SPAWN(&group, fail, TEXT("x"));
	cr_assert_eq(knit_cancel_scope_enter(&shield, .shield = 1), 0);
	cr_assert_eq(knit_sleep(KNIT_S), 0);
	cr_assert_eq(knit_cancel_scope_exit(&shield, 0), 0);
	cr_assert_eq(knit_task_group_exit(&group, knit_sleep(KNIT_S)), -KNIT_EGROUP);
	knit_task_group_done(&group);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(knit_task_cancelling(knit_current_task(NULL)), 0);
	return 0;
}

Test(group, a_shield_in_the_body_holds_the_groups_cancellation)
{
	run(shield_the_body);
}

/* ---- awaiting children, and outcomes that are owned ---- */

static intptr_t last_freed;

static void note_freed(intptr_t outcome)
{
	last_freed = outcome;
}

CORO(give_8)
{
	return 8;
}

CORO(await_children)
{
	knit_task_group group;
	knit_task *failing, *kept;

	ENTER(group);
	cr_assert_eq(knit_await(knit_task_group_create_task(&group, give_8, NULL)), 8);
	kept = knit_task_group_create_task(&group, give_8, NULL, .result_free = note_freed);
	SPAWN(&group, give_8, NULL, .result_free = note_freed);
	failing = knit_task_group_create_task(&group, fail, TEXT("x"));
	/* The group learns of the failure first, and cancels the body. */
	cr_assert_eq(knit_await(failing), -KNIT_ECANCELLED);
	cr_assert_eq(last_freed, 8);
	last_freed = 0;
	cr_assert_eq(knit_task_group_exit(&group, 0), -KNIT_EGROUP);
	cr_assert_eq(last_freed, 0);
	knit_task_unref(kept);
	cr_assert_eq(last_freed, 8);
	knit_task_group_done(&group);
	return 0;
}

Test(group, children_can_be_awaited_and_own_their_outcomes)
{
	run(await_children);
}

/* ---- closing ---- */

static int ended;

CORO(end_soon)
{
	int r = knit_sleep(KNIT_FOREVER);

	ended++;
	return r;
}

static intptr_t group_on_closing_loop(void *ret)
{
	knit_task_group group;
	intptr_t r;

	ENTER(group);
	SPAWN(&group, end_soon, NULL);
	SPAWN(&group, end_soon, NULL);
	r = knit_task_group_exit(&group, 0);
	cr_assert_eq(ended, 2);
	*(intptr_t *)ret = r;
	return r;
}

static intptr_t body_on_closing_loop(void *ret)
{
	knit_task_group group;
	intptr_t r;

	ENTER(group);
	SPAWN(&group, end_soon, NULL);
	r = knit_sleep(KNIT_FOREVER);
	cr_assert_eq(r, -KNIT_ECANCELLED);
	cr_assert_eq(knit_task_group_spawn(&group, end_soon, NULL), -KNIT_ECLOSED);
	r = knit_task_group_exit(&group, knit_sleep(0));
	cr_assert_eq(ended, 1);
	*(intptr_t *)ret = r;
	knit_task_group_done(&group);
	return r;
}

static intptr_t close_with(knit_coro *coro, int expected)
{
	knit_loop *loop = knit_loop_new();
	intptr_t outcome = 1;

	ended = 0;
	cr_assert_not_null(loop);
	cr_assert_eq(knit_loop_set_exception_handler(loop, rig_ignore_exception, NULL), 0);
	loop->grace = KNIT_MS;
	knit_task_unref(knit_loop_create_task(loop, coro, &outcome));
	for (int i = 0; i < 3; i++)
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(knit_loop_close(loop), expected);
	knit_loop_unref(loop);
	return outcome;
}

Test(group, a_closing_loop_lets_the_exit_wait)
{
	cr_assert_eq(close_with(group_on_closing_loop, 0), -KNIT_ECANCELLED);
	cr_assert_eq(close_with(body_on_closing_loop, 0), -KNIT_EGROUP);
}

/* A child that never returns is given up; then its parent may go on, for the child's frame is never
 * entered again. */
CORO(never_return)
{
	while (knit_sleep(KNIT_FOREVER) < 0)
		;
	return 0;
}

static intptr_t group_of_the_stuck(void *ret)
{
	knit_task_group group;
	const char *name;

	ENTER(group);
	SPAWN(&group, never_return, NULL, .name = "stuck");
	*(intptr_t *)ret = knit_task_group_exit(&group, 0);
	cr_assert_eq(knit_task_group_next_error(&group, &name, NULL), KNIT_ECLOSED);
	cr_assert_str_eq(name, "stuck");
	knit_task_group_done(&group);
	ended++;
	return 0;
}

Test(group, a_child_that_is_given_up_lets_its_parent_go)
{
	/* Its stack and the tasks are kept for good, on purpose. */
	if (KN_ASAN || rig_on_valgrind())
		test_skip("what is given up is leaked");
	cr_assert_eq(close_with(group_of_the_stuck, -EBUSY), -KNIT_EGROUP);
	cr_assert_eq(ended, 1);
}

static bool never(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	(void)wait;
	(void)task;
	(void)message;
	return true; /* as an operation that the kernel does not let go of */
}

CORO(hang)
{
	struct kn_wait wait = {.cancel = never};

	return kn_task_park(kn_task_of(knit_current_task(NULL)), &wait);
}

static intptr_t group_of_the_hung(void *ret)
{
	knit_task_group group;

	ENTER(group);
	SPAWN(&group, hang, NULL, .name = "hung");
	*(intptr_t *)ret = knit_task_group_exit(&group, 0);
	knit_task_group_done(&group);
	ended++;
	return 0;
}

Test(group, a_child_that_hangs_is_given_up_before_its_parent)
{
	if (KN_ASAN || rig_on_valgrind())
		test_skip("what is given up is leaked");
	cr_assert_eq(close_with(group_of_the_hung, -EBUSY), -KNIT_EGROUP);
	cr_assert_eq(ended, 1);
}
