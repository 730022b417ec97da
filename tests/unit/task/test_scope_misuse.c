/* SPDX-License-Identifier: MIT */
/* test_scope_misuse.c - scopes used wrongly, without memory, from foreign threads, and in a loop
 * that is being closed. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <string.h>
#include "base/alloc.h"
#include "knit/group.h"
#include "knit/timeout.h"
#include "task/scope.h"

#define CORO(name) static intptr_t name(void *arg __attribute__((unused)))

static void run(knit_coro *main)
{
	cr_assert_eq(knit_run(main, NULL, .clock = KNIT_CLOCK_VIRTUAL), 0);
}

/* ---- what ends the process ---- */

CORO(leave_out_of_order)
{
	knit_timeout outer;
	knit_cancel_scope inner;

	(void)!knit_timeout_enter(&outer, KNIT_S);
	(void)!knit_cancel_scope_enter(&inner);
	return knit_timeout_exit(&outer, 0);
}

CORO(leave_group_out_of_order)
{
	knit_task_group outer;
	knit_timeout inner;

	(void)!knit_task_group_enter(&outer);
	(void)!knit_timeout_enter(&inner, KNIT_S);
	return knit_task_group_exit(&outer, 0);
}

static knit_timeout left_open;
static knit_task_group left_open_group;

CORO(never_leave)
{
	return knit_timeout_enter(&left_open, KNIT_S);
}

CORO(never_leave_group)
{
	return knit_task_group_enter(&left_open_group);
}

CORO(free_what_is_open)
{
	(void)!knit_task_group_enter(&left_open_group);
	knit_task_group_done(&left_open_group);
	return 0;
}

static void run_it(void *coro)
{
	(void)!knit_run((knit_coro *)(uintptr_t)coro, NULL);
}

#define DIES(coro, text) test_death(run_it, (void *)(uintptr_t)(coro), text)

Test(scope_misuse, leaving_out_of_order_or_never_ends_the_process)
{
	DIES(leave_out_of_order, "leave them in reverse order");
	DIES(leave_group_out_of_order, "leave them in reverse order");
	DIES(never_leave, "returned inside a timeout");
	DIES(never_leave_group, "leave it on every path");
	DIES(free_what_is_open, "has not been left");
}

/* ---- storage ---- */

CORO(use_any_storage)
{
	knit_cancel_scope scope, copy;
	knit_timeout timeout;

	for (int fill = 0; fill < 256; fill += 85) {
		memset(&scope, fill, sizeof(scope));
		memset(&timeout, fill, sizeof(timeout));
		cr_assert_not(knit_cancel_scope_cancelled(&scope));
		cr_assert_not(knit_cancel_scope_caught(&scope));
		cr_assert_not(knit_timeout_expired(&timeout));
		cr_assert_eq(knit_cancel_scope_cancel(&scope), -KNIT_EINVALIDSTATE);
		cr_assert_eq(knit_cancel_scope_when(&scope), -KNIT_EINVALIDSTATE);
		cr_assert_eq(knit_cancel_scope_exit(&scope, 0), -KNIT_EINVALIDSTATE);
		cr_assert_eq(knit_timeout_exit(&timeout, 0), -KNIT_EINVALIDSTATE);
		cr_assert_eq(knit_cancel_scope_enter(&scope), 0);
		cr_assert_eq(knit_timeout_enter(&timeout, KNIT_S), 0);
		memcpy(&copy, &scope, sizeof(copy));
		cr_assert_eq(knit_cancel_scope_cancel(&copy), -KNIT_EINVALIDSTATE, "not its place");
		cr_assert_eq(knit_timeout_exit(&timeout, 0), 0);
		cr_assert_eq(knit_cancel_scope_exit(&scope, 0), 0);
		/* The same storage again, which still knows of its last use. */
		cr_assert_eq(knit_cancel_scope_enter(&scope), 0);
		cr_assert_eq(knit_cancel_scope_cancel(&scope), 0);
		cr_assert_eq(knit_cancel_scope_exit(&scope, knit_sleep(0)), 0);
		cr_assert_eq(knit_cancel_scope_enter(&scope), 0);
		cr_assert_not(knit_cancel_scope_cancelled(&scope));
		cr_assert_eq(knit_sleep(0), 0);
		cr_assert_eq(knit_cancel_scope_exit(&scope, 0), 0);
	}
	return 0;
}

Test(scope_misuse, storage_need_not_be_initialised_and_may_be_used_again)
{
	run(use_any_storage);
}

CORO(null_and_options)
{
	knit_cancel_scope scope;
	knit_cancel_scope_options options = {.size = 3};

	cr_assert_eq(knit_timeout_enter(NULL, 1), -EINVAL);
	cr_assert_eq(knit_timeout_enter_at(NULL, 1), -EINVAL);
	cr_assert_eq(knit_timeout_exit(NULL, 1), -EINVAL);
	cr_assert_eq(knit_timeout_when(NULL), -EINVAL);
	cr_assert_eq(knit_timeout_reschedule(NULL, 1), -EINVAL);
	cr_assert_not(knit_timeout_expired(NULL));
	cr_assert_eq((knit_cancel_scope_enter)(NULL), -EINVAL);
	cr_assert_eq(knit_cancel_scope_enter_with(&scope, NULL), -EINVAL);
	cr_assert_eq(knit_cancel_scope_enter_with(&scope, &options), -EINVAL);
	cr_assert_eq(knit_cancel_scope_cancel(NULL), -EINVAL);
	cr_assert_eq(knit_cancel_scope_exit(NULL, 1), -EINVAL);
	cr_assert_eq(knit_cancel_scope_when(NULL), -EINVAL);
	cr_assert_eq(knit_cancel_scope_reschedule(NULL, 1), -EINVAL);
	cr_assert_not(knit_cancel_scope_cancelled(NULL));
	cr_assert_not(knit_cancel_scope_caught(NULL));
	return 0;
}

Test(scope_misuse, null_and_malformed_options_are_refused)
{
	run(null_and_options);
}

/* ---- memory ---- */

CORO(no_memory)
{
	knit_cancel_scope scope;
	knit_timeout timeout;
	uint32_t timers = knit_get_running_loop()->timers.near.capacity;

	cr_assert_eq(timers, 0, "its first timer needs memory");
	kn_alloc_fail_after(0);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_S), -ENOMEM);
	cr_assert_eq(knit_cancel_scope_enter(&scope, .delay = KNIT_S), -ENOMEM);
	cr_assert_eq(knit_timeout_exit(&timeout, 0), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_FOREVER), 0);
	cr_assert_eq(knit_timeout_reschedule(&timeout, KNIT_S), -ENOMEM);
	kn_alloc_fail_after(-1);
	cr_assert_eq(knit_timeout_when(&timeout), KNIT_FOREVER);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_sleep(10 * KNIT_S)), 0);
	return 0;
}

Test(scope_misuse, without_memory_nothing_is_entered)
{
	run(no_memory);
}

CORO(keep_texts)
{
	knit_task *me = knit_current_task(NULL);
	knit_cancel_scope scope;

	/* Texts that are held, replaced, taken back and released: for LeakSanitizer. */
	cr_assert_eq(knit_cancel_scope_enter(&scope, .shield = 1), 0);
	cr_assert(knit_task_cancel(me, "first"));
	cr_assert(knit_task_cancel(me, "second"));
	cr_assert_eq(knit_task_uncancel(me), 1);
	cr_assert_eq(knit_task_uncancel(me), 0);
	cr_assert_eq(knit_cancel_scope_exit(&scope, 0), 0);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert(knit_task_cancel(me, "third"));
	cr_assert_eq(knit_cancel_scope_enter(&scope, .shield = 1), 0);
	cr_assert_eq(knit_cancel_scope_exit(&scope, 0), 0);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "third");
	return 0;
}

Test(scope_misuse, texts_of_held_requests_are_neither_lost_nor_leaked)
{
	run(keep_texts);
}

/* ---- threads ---- */

struct foreign {
	knit_timeout timeout;
	knit_cancel_scope scope;
	knit_task_group group;
	int exit, reschedule, when, scope_when, cancel, spawn, group_cancel, group_exit;
};

static void *use_it_here(void *arg)
{
	struct foreign *foreign = arg;

	foreign->exit = (int)knit_timeout_exit(&foreign->timeout, 0);
	foreign->reschedule = knit_timeout_reschedule(&foreign->timeout, 1);
	foreign->when = (int)knit_timeout_when(&foreign->timeout);
	foreign->scope_when = (int)knit_cancel_scope_when(&foreign->scope);
	foreign->cancel = knit_cancel_scope_cancel(&foreign->scope);
	foreign->spawn = knit_task_group_spawn(&foreign->group, use_any_storage, NULL);
	foreign->group_cancel = knit_task_group_cancel(&foreign->group);
	foreign->group_exit = (int)knit_task_group_exit(&foreign->group, 0);
	return NULL;
}

CORO(use_it_elsewhere)
{
	struct foreign foreign;

	cr_assert_eq(knit_timeout_enter(&foreign.timeout, KNIT_S), 0);
	cr_assert_eq(knit_cancel_scope_enter(&foreign.scope), 0);
	cr_assert_eq(knit_task_group_enter(&foreign.group), 0);
	(void)rig_on_thread(use_it_here, &foreign);
	cr_assert_eq(foreign.exit, -KNIT_EWRONGTHREAD);
	cr_assert_eq(foreign.reschedule, -KNIT_EWRONGTHREAD);
	cr_assert_eq(foreign.when, -KNIT_EWRONGTHREAD);
	cr_assert_eq(foreign.scope_when, -KNIT_EWRONGTHREAD);
	cr_assert_eq(foreign.cancel, -KNIT_EWRONGTHREAD);
	cr_assert_eq(foreign.spawn, -KNIT_EWRONGTHREAD);
	cr_assert_eq(foreign.group_cancel, -KNIT_EWRONGTHREAD);
	cr_assert_eq(foreign.group_exit, -KNIT_EWRONGTHREAD);
	cr_assert_eq(knit_task_group_exit(&foreign.group, 0), 0);
	cr_assert_eq(knit_cancel_scope_exit(&foreign.scope, 0), 0);
	cr_assert_eq(knit_timeout_exit(&foreign.timeout, 0), 0);
	return 0;
}

Test(scope_misuse, a_foreign_thread_is_told_so)
{
	run(use_it_elsewhere);
}

/* Those who cannot return an error. */
static void *ask_here(void *arg)
{
	struct foreign *foreign = arg;

	foreign->exit = knit_timeout_expired(&foreign->timeout);
	return NULL;
}

static void *ask_scope_here(void *arg)
{
	struct foreign *foreign = arg;

	foreign->exit = foreign->cancel ? knit_cancel_scope_caught(&foreign->scope)
	                                : knit_cancel_scope_cancelled(&foreign->scope);
	return NULL;
}

static intptr_t ask_elsewhere(void *which)
{
	struct foreign foreign = {.cancel = which == ask_here};

	cr_assert_eq(knit_timeout_enter(&foreign.timeout, KNIT_S), 0);
	cr_assert_eq(knit_cancel_scope_enter(&foreign.scope), 0);
	(void)rig_on_thread(which ? ask_scope_here : ask_here, &foreign);
	return knit_timeout_exit(&foreign.timeout, knit_cancel_scope_exit(&foreign.scope, 0));
}

static void run_and_ask(void *which)
{
	(void)knit_run(ask_elsewhere, which);
}

static void *ask_what_was_left(void *arg)
{
	struct foreign *foreign = arg;

	cr_assert(!knit_timeout_expired(&foreign->timeout));
	cr_assert_eq(knit_timeout_when(&foreign->timeout), KNIT_FOREVER);
	cr_assert(knit_cancel_scope_cancelled(&foreign->scope));
	cr_assert(knit_cancel_scope_caught(&foreign->scope));
	return NULL;
}

static intptr_t leave_both(void *arg)
{
	struct foreign *foreign = arg;

	cr_assert_eq(knit_timeout_enter(&foreign->timeout, KNIT_FOREVER), 0);
	cr_assert_eq(knit_cancel_scope_enter(&foreign->scope), 0);
	cr_assert_eq(knit_cancel_scope_cancel(&foreign->scope), 0);
	cr_assert_eq(knit_cancel_scope_exit(&foreign->scope, knit_sleep(0)), 0);
	return knit_timeout_exit(&foreign->timeout, 0);
}

Test(scope_misuse, a_foreign_thread_may_ask_only_what_was_left)
{
	struct foreign foreign;

	test_death(run_and_ask, NULL, "knit_timeout_expired()");
	test_death(run_and_ask, ask_scope_here, "knit_cancel_scope_cancelled()");
	test_death(run_and_ask, ask_here, "knit_cancel_scope_caught()");
	cr_assert_eq(knit_run(leave_both, &foreign), 0);
	(void)rig_on_thread(ask_what_was_left, &foreign);
}

/* ---- a loop that is being closed ---- */

static intptr_t sleep_shielded(void *ret)
{
	knit_cancel_scope scope, level;
	knit_timeout timeout;
	intptr_t r;

	cr_assert_eq(knit_cancel_scope_enter(&level, .delay = KNIT_S), 0);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_S), 0);
	cr_assert_eq(knit_cancel_scope_enter(&scope, .shield = 1), 0);
	r = knit_sleep(KNIT_FOREVER);
	cr_assert_eq(r, -KNIT_ECANCELLED);
	cr_assert_eq(knit_sleep(0), -KNIT_ECLOSED);
	r = knit_cancel_scope_exit(&scope, r);
	r = knit_timeout_exit(&timeout, r);
	*(intptr_t *)ret = knit_cancel_scope_exit(&level, r);
	/* New ones may be entered, and do nothing. */
	cr_assert_eq(knit_timeout_enter(&timeout, 0), 0);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_sleep(KNIT_S)), -KNIT_ECLOSED);
	return r;
}

Test(scope_misuse, a_closing_loop_knows_no_shields)
{
	knit_loop *loop = knit_loop_new();
	intptr_t outcome = 1;

	cr_assert_not_null(loop);
	cr_assert_eq(knit_loop_set_exception_handler(loop, rig_ignore_exception, NULL), 0);
	knit_task_unref(knit_loop_create_task(loop, sleep_shielded, &outcome));
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(outcome, -KNIT_ECANCELLED);
	knit_loop_unref(loop);
}
