/* SPDX-License-Identifier: MIT */
/* test_scope.c - cancel scopes: once cancelled every suspension inside fails, and shields. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/alloc.h"
#include "knit/socket.h"
#include "knit/timeout.h"
#include "task/scope.h"

#define CORO(name) static intptr_t name(void *arg __attribute__((unused)))

#define ENTER(scope, ...) cr_assert_eq(knit_cancel_scope_enter(&(scope), ##__VA_ARGS__), 0)

static void run(knit_coro *main)
{
	cr_assert_eq(knit_run(main, NULL, .clock = KNIT_CLOCK_VIRTUAL), 0);
}

static knit_task *me(void)
{
	return knit_current_task(NULL);
}

CORO(nothing)
{
	return 1;
}

CORO(sleep_for_ever)
{
	return knit_sleep(KNIT_FOREVER);
}

static void cancel_scope(void *scope)
{
	cr_assert_eq(knit_cancel_scope_cancel(scope), 0);
}

static void cancel_scope_soon(knit_cancel_scope *scope)
{
	cr_assert_eq(knit_handle_error(knit_loop_call_soon(NULL, cancel_scope, scope)), 0);
}

static void cancel_task(void *task)
{
	cr_assert(knit_task_cancel(task, "outside"));
}

static void cancel_task_at(int64_t delay)
{
	cr_assert_eq(knit_handle_error(knit_loop_call_later(NULL, delay, cancel_task, me())), 0);
}

/* ---- every suspension fails ---- */

static void fails_everywhere(int fd, knit_listener *listener)
{
	knit_task *child = knit_create_task(sleep_for_ever, NULL);
	knit_future *future = knit_future_new();
	char byte;

	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_eq(knit_sleep(KNIT_S), -KNIT_ECANCELLED);
	cr_assert_eq(knit_sleep_until(0), -KNIT_ECANCELLED);
	cr_assert_eq(knit_await(knit_future_ref(future)), -KNIT_ECANCELLED);
	cr_assert(knit_future_cancelled(future));
	knit_future_unref(future);
	cr_assert_eq(knit_await(knit_task_ref(child)), -KNIT_ECANCELLED);
	cr_assert(knit_task_cancelled(child), "the wait went on until it was done");
	knit_task_unref(child);
	cr_assert_eq(knit_sock_recv(fd, &byte, 1), -KNIT_ECANCELLED);
	cr_assert_eq(knit_sock_sendall(fd, "x", 1), -KNIT_ECANCELLED);
	cr_assert_eq(knit_listener_accept(listener, NULL, NULL), -KNIT_ECANCELLED);
	cr_assert_eq(knit_run_on(knit_get_running_loop(), sleep_for_ever, NULL), -KNIT_ECANCELLED);
	cr_assert_eq(knit_task_cancelling(me()), 0);
}

CORO(suspend_everywhere)
{
	struct sockaddr address = {.sa_family = AF_UNIX};
	knit_listener *listener = knit_listen(&address, sizeof(sa_family_t));
	knit_cancel_scope scope;
	int fds[2];

	cr_assert_not_null(listener);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	ENTER(scope);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(knit_cancel_scope_cancel(&scope), 0);
	cr_assert(knit_cancel_scope_cancelled(&scope));
	fails_everywhere(fds[0], listener);
	fails_everywhere(fds[0], listener);
	cr_assert_eq(knit_cancel_scope_exit(&scope, -KNIT_ECANCELLED), 0);
	cr_assert(knit_cancel_scope_caught(&scope));
	cr_assert_eq(knit_sleep(0), 0);
	knit_listener_close(listener);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

Test(scope, once_cancelled_every_suspension_inside_fails)
{
	run(suspend_everywhere);
}

static intptr_t wait_somehow(int how, int fd, knit_listener *listener)
{
	char byte;

	switch (how) {
	case 0:
		return knit_sleep(KNIT_FOREVER);
	case 1:
		return knit_await(knit_future_new());
	case 2:
		return knit_await(knit_create_task(sleep_for_ever, NULL));
	case 3:
		return knit_sock_recv(fd, &byte, 1);
	case 4:
		return knit_listener_accept(listener, NULL, NULL);
	default:
		return knit_run_on(knit_get_running_loop(), sleep_for_ever, NULL);
	}
}

CORO(wait_in_scope)
{
	struct sockaddr address = {.sa_family = AF_UNIX};
	knit_listener *listener = knit_listen(&address, sizeof(sa_family_t));
	knit_cancel_scope scope;
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	for (int how = 0; how < 6; how++) {
		ENTER(scope);
		cancel_scope_soon(&scope);
		cr_assert_eq(wait_somehow(how, fds[0], listener), -KNIT_ECANCELLED, "%d", how);
		cr_assert_eq(wait_somehow(how, fds[0], listener), -KNIT_ECANCELLED, "%d", how);
		cr_assert_eq(knit_cancel_scope_exit(&scope, -KNIT_ECANCELLED), 0);
		cr_assert(knit_cancel_scope_caught(&scope));
		cr_assert_eq(knit_sleep(0), 0);
	}
	knit_listener_close(listener);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

Test(scope, cancelling_it_ends_the_call_that_the_task_is_suspended_in)
{
	run(wait_in_scope);
}

static intptr_t cancel_anothers(void *scope)
{
	cr_assert_eq(knit_cancel_scope_cancel(scope), 0);
	cr_assert_eq(knit_cancel_scope_cancel(scope), 0, "once more is nothing more");
	cr_assert_eq(knit_cancel_scope_exit(scope, 0), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_cancel_scope_reschedule(scope, KNIT_FOREVER), 0);
	return 0;
}

CORO(cancel_from_another_task)
{
	knit_cancel_scope scope;

	ENTER(scope);
	cr_assert_eq(knit_spawn(cancel_anothers, &scope), 0);
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	cr_assert_eq(knit_cancel_scope_exit(&scope, 4), 4);
	cr_assert_not(knit_cancel_scope_caught(&scope));
	cr_assert(knit_cancel_scope_cancelled(&scope));
	cr_assert_eq(knit_cancel_scope_cancel(&scope), -KNIT_EINVALIDSTATE);
	return 0;
}

Test(scope, any_task_of_the_loop_may_cancel_it)
{
	run(cancel_from_another_task);
}

CORO(expire)
{
	knit_cancel_scope scope;

	ENTER(scope, .delay = KNIT_S);
	cr_assert_eq(knit_cancel_scope_when(&scope), KNIT_S);
	cr_assert_eq(knit_cancel_scope_reschedule(&scope, 2 * KNIT_S), 0);
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	cr_assert_eq(knit_loop_time(NULL), 2 * KNIT_S);
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	cr_assert_eq(knit_cancel_scope_reschedule(&scope, 9), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_cancel_scope_exit(&scope, -KNIT_ECANCELLED), 0);
	ENTER(scope, .delay = -1);
	cr_assert_eq(knit_sleep(0), 0, "what is on its way already arrives");
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_eq(knit_cancel_scope_exit(&scope, -EIO), -EIO);
	ENTER(scope, .delay = INT64_MIN);
	cr_assert_eq(knit_sleep(KNIT_S), -KNIT_ECANCELLED);
	cr_assert_eq(knit_cancel_scope_exit(&scope, 0), 0);
	ENTER(scope, .delay = INT64_MAX - 1);
	cr_assert_eq(knit_cancel_scope_when(&scope), KNIT_FOREVER);
	cr_assert_eq(knit_cancel_scope_exit(&scope, 0), 0);
	return 0;
}

Test(scope, a_deadline_cancels_it_for_good)
{
	run(expire);
}

/* ---- whose cancellation it was ---- */

/* In all of these the request of another task or the task itself must come out, once. */
CORO(cancelled_by_both)
{
	knit_cancel_scope scope;

	ENTER(scope);
	cancel_task_at(KNIT_S);
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	cancel_scope(&scope);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_eq(knit_cancel_scope_exit(&scope, -KNIT_ECANCELLED), -KNIT_ECANCELLED);
	cr_assert_not(knit_cancel_scope_caught(&scope));
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(knit_task_uncancel(me()), 0);

	/* Pending at the entry, and delivered by what ends the scope's first suspension. */
	cancel_task(me());
	ENTER(scope);
	cancel_scope(&scope);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_eq(knit_cancel_scope_exit(&scope, -KNIT_ECANCELLED), -KNIT_ECANCELLED);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(knit_task_uncancel(me()), 0);

	/* Pending at the exit: told by the next suspension, and only there. */
	ENTER(scope);
	cancel_scope(&scope);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cancel_task(me());
	cr_assert_eq(knit_cancel_scope_exit(&scope, -KNIT_ECANCELLED), 0);
	cr_assert(knit_cancel_scope_caught(&scope));
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "outside");
	cr_assert_eq(knit_sleep(0), 0);
	return 0;
}

Test(scope, a_cancellation_from_outside_goes_on_from_its_exit)
{
	run(cancelled_by_both);
}

CORO(nest)
{
	knit_cancel_scope outer, inner;
	knit_timeout timeout;

	ENTER(outer);
	ENTER(inner);
	cancel_scope(&inner);
	cr_assert_eq(knit_cancel_scope_exit(&inner, knit_sleep(0)), 0);
	cr_assert_eq(knit_sleep(0), 0, "the outer one is not cancelled");
	ENTER(inner);
	cancel_scope(&inner);
	cancel_scope(&outer);
	cr_assert_eq(knit_cancel_scope_exit(&inner, knit_sleep(0)), -KNIT_ECANCELLED);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_eq(knit_cancel_scope_exit(&outer, -KNIT_ECANCELLED), 0);

	/* A timeout inside one that is cancelled when both are over, and one around it. */
	ENTER(outer, .delay = KNIT_S);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_S), 0);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_sleep(KNIT_FOREVER)), -KNIT_ECANCELLED);
	cr_assert_eq(knit_cancel_scope_exit(&outer, -KNIT_ECANCELLED), 0);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_S), 0);
	ENTER(inner, .delay = KNIT_S);
	cr_assert_eq(knit_cancel_scope_exit(&inner, knit_sleep(KNIT_FOREVER)), -KNIT_ECANCELLED);
	cr_assert_eq(knit_timeout_exit(&timeout, -KNIT_ECANCELLED), -ETIMEDOUT);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(knit_task_cancelling(me()), 0);
	return 0;
}

Test(scope, of_nested_ones_the_outermost_that_is_cancelled_takes_it)
{
	run(nest);
}

static intptr_t swallow_and_give_7(void *arg)
{
	(void)arg;
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	cr_assert_eq(knit_sleep(KNIT_S), 0, "the scope is not the child's");
	return 7;
}

CORO(await_a_stubborn_child)
{
	knit_task *child = knit_create_task(swallow_and_give_7, NULL);
	knit_cancel_scope scope;

	cr_assert_eq(knit_sleep(0), 0);
	ENTER(scope);
	cancel_scope(&scope);
	cr_assert_eq(knit_await(child), 7);
	cr_assert_eq(knit_await(knit_create_task(nothing, NULL)), -KNIT_ECANCELLED);
	cr_assert_eq(knit_cancel_scope_exit(&scope, -KNIT_ECANCELLED), 0);
	return 0;
}

Test(scope, an_awaited_child_is_cancelled_once_and_waited_for)
{
	run(await_a_stubborn_child);
}

CORO(get_what_came_first)
{
	knit_cancel_scope scope;
	knit_future *future = knit_future_new();

	ENTER(scope);
	cr_assert_eq(knit_future_set_result(future, 3), 0);
	cancel_scope(&scope);
	cr_assert_eq(knit_await(future), 3, "that is no suspension");
	cr_assert_eq(knit_cancel_scope_exit(&scope, 3), 3);
	return 0;
}

Test(scope, what_is_there_already_is_returned)
{
	run(get_what_came_first);
}

/* ---- shields ---- */

CORO(shield_from_task_cancel)
{
	knit_cancel_scope scope;

	cancel_task(me());
	ENTER(scope, .shield = 1);
	cr_assert_eq(knit_sleep(0), 0);
	cancel_task_at(KNIT_S);
	cr_assert_eq(knit_sleep(2 * KNIT_S), 0);
	cr_assert_eq(knit_task_cancelling(me()), 2);
	cr_assert_eq(knit_cancel_scope_exit(&scope, 6), 6);
	cr_assert_eq(knit_sleep(KNIT_S), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "outside");
	cr_assert_eq(knit_sleep(0), 0, "one delivery");
	while (knit_task_uncancel(me()) > 0)
		;
	/* Taken back while it is held. */
	ENTER(scope, .shield = 1);
	cancel_task(me());
	cr_assert_eq(knit_task_uncancel(me()), 0);
	cr_assert_eq(knit_cancel_scope_exit(&scope, 0), 0);
	cr_assert_eq(knit_sleep(0), 0);
	return 0;
}

Test(scope, a_shield_holds_requests_until_its_exit)
{
	run(shield_from_task_cancel);
}

CORO(shield_from_scopes)
{
	knit_cancel_scope outer, shield, inner;
	knit_timeout timeout;

	ENTER(outer);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_S), 0);
	ENTER(shield, .shield = 1);
	cancel_scope(&outer);
	cr_assert_eq(knit_sleep(2 * KNIT_S), 0);
	cr_assert(knit_timeout_expired(&timeout));
	/* A shield in the shield, and one that is cancelled itself. */
	ENTER(inner, .shield = 1);
	cancel_scope(&shield);
	cr_assert_eq(knit_sleep(KNIT_S), 0);
	cr_assert_eq(knit_cancel_scope_exit(&inner, 0), 0);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	ENTER(inner, .shield = 1);
	cancel_scope(&inner);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_eq(knit_cancel_scope_exit(&inner, -KNIT_ECANCELLED), -KNIT_ECANCELLED);
	cr_assert_eq(knit_cancel_scope_exit(&shield, 0), 0);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_eq(knit_timeout_exit(&timeout, -KNIT_ECANCELLED), -KNIT_ECANCELLED);
	cr_assert_eq(knit_cancel_scope_exit(&outer, -KNIT_ECANCELLED), 0);
	cr_assert_eq(knit_task_cancelling(me()), 0);
	cr_assert_eq(knit_sleep(0), 0);
	return 0;
}

Test(scope, a_shield_holds_outer_timeouts_and_scopes)
{
	run(shield_from_scopes);
}

CORO(timeout_in_shield)
{
	knit_cancel_scope shield, level;
	knit_timeout timeout;

	ENTER(shield, .shield = 1);
	cancel_task_at(KNIT_S / 2);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_S), 0);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_sleep(KNIT_FOREVER)), -ETIMEDOUT);
	ENTER(level, .delay = KNIT_S);
	cancel_task_at(KNIT_S / 2);
	cr_assert_eq(knit_cancel_scope_exit(&level, knit_sleep(KNIT_FOREVER)), 0);
	cr_assert(knit_cancel_scope_caught(&level));
	cr_assert_eq(knit_cancel_scope_exit(&shield, 0), 0);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_eq(knit_task_cancelling(me()), 2);
	return 0;
}

Test(scope, a_timeout_inside_a_shield_works_while_something_is_held)
{
	run(timeout_in_shield);
}

static intptr_t shielded_sleep(void *arg)
{
	knit_cancel_scope scope;
	int r;

	(void)arg;
	ENTER(scope, .shield = 1);
	r = knit_sleep(KNIT_S);
	cr_assert_eq(r, 0);
	cr_assert_eq(knit_cancel_scope_exit(&scope, r), 0);
	return knit_sleep(KNIT_S);
}

CORO(await_the_shielded)
{
	knit_task *child = knit_create_task(shielded_sleep, NULL);
	knit_timeout timeout;

	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_MS), 0);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_await(child)), -ETIMEDOUT);
	cr_assert_eq(knit_loop_time(NULL), KNIT_S, "cancelled when the shield was gone");
	return 0;
}

Test(scope, a_chain_of_awaits_stops_at_a_shield)
{
	run(await_the_shielded);
}

/* ---- what it costs ---- */

CORO(count_allocations)
{
	knit_cancel_scope scope;
	knit_timeout timeout;
	uint64_t before;
	uint32_t timers = knit_get_running_loop()->timers.count;
	uint32_t sequence = knit_get_running_loop()->timers.near.sequence;

	cr_assert_eq(knit_sleep(1), 0); /* the heap's first memory */
	timers = knit_get_running_loop()->timers.count;
	sequence = knit_get_running_loop()->timers.near.sequence;
	before = kn_alloc_count();
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(knit_timeout_enter(&timeout, KNIT_S), 0);
		ENTER(scope, .delay = KNIT_S, .shield = 1);
		cr_assert_eq(knit_get_running_loop()->timers.count, timers + 2);
		cr_assert_eq(knit_cancel_scope_exit(&scope, 0), 0);
		cr_assert_eq(knit_timeout_exit(&timeout, 0), 0);
		cr_assert_eq(knit_get_running_loop()->timers.count, timers);
	}
	cr_assert_eq(kn_alloc_count(), before);
	cr_assert_eq(knit_get_running_loop()->timers.near.sequence, sequence + 200,
	             "one push each");
	return 0;
}

Test(scope, entering_and_leaving_is_two_timer_operations_and_no_allocation)
{
	run(count_allocations);
}
