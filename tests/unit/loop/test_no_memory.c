/* SPDX-License-Identifier: MIT */
/* test_no_memory.c - the loop layer where memory is short: each allocation in turn fails, each
 * time that is told, and nothing is lost by it. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <signal.h>
#include <unistd.h>
#include "base/alloc.h"

#define ATTEMPTS 200 /* more allocations than anything here makes */

static knit_loop *loop;

/* Repeats @attempt with one more allocation allowed each time, until it returns 0. Returns how
 * often it failed, which must have been for want of memory. */
static int exhaust(int (*attempt)(void))
{
	int failures = 0;

	for (;;) {
		int r;

		cr_assert_lt(failures, ATTEMPTS);
		kn_alloc_fail_after(failures);
		r = attempt();
		kn_alloc_fail_after(-1);
		if (r == 0)
			return failures;
		cr_assert_eq(r, -ENOMEM, "%s", knit_errname(r));
		failures++;
	}
}

/* ---- making and running loops ---- */

static int make_loop(void)
{
	errno = 0;
	loop = knit_loop_new();
	return loop ? 0 : -errno;
}

Test(no_memory, making_a_loop)
{
	int fds = test_open_fds();

	cr_assert_gt(exhaust(make_loop), 0);
	knit_loop_unref(loop);
	cr_assert_eq(test_open_fds(), fds, "of those that failed nothing is left");
}

static int run_loop(void)
{
	return knit_loop_run_once(loop, 0);
}

Test(no_memory, the_first_run)
{
	int fds = test_open_fds(), runs = 0;

	cr_assert_eq(make_loop(), 0);
	knit_loop_call_soon(loop, rig_count, &runs);
	cr_assert_gt(exhaust(run_loop), 0);
	cr_assert_eq(runs, 1, "it ran when there was memory");
	knit_loop_unref(loop);
	cr_assert_eq(test_open_fds(), fds);
}

static int wait_in_loop(void)
{
	return knit_loop_run_once(loop, KNIT_MS);
}

Test(no_memory, a_first_run_that_waits)
{
	cr_assert_eq(make_loop(), 0);
	cr_assert_gt(exhaust(wait_in_loop), 0);
	cr_assert_gt(loop->counters.sleeps, 0);
	knit_loop_unref(loop);
}

static int ask_for_fd(void)
{
	int fd = knit_loop_fd(loop);

	return fd < 0 ? fd : 0;
}

Test(no_memory, the_descriptor_for_a_host)
{
	int fds = test_open_fds();

	cr_assert_eq(make_loop(), 0);
	cr_assert_gt(exhaust(ask_for_fd), 0);
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	knit_loop_unref(loop);
	cr_assert_eq(test_open_fds(), fds);
}

static int close_loop(void)
{
	return knit_loop_close(loop);
}

Test(no_memory, closing_needs_none)
{
	int runs = 0;

	cr_assert_eq(make_loop(), 0);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &runs), 0);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(knit_loop_call_soon_threadsafe(loop, rig_count, &runs), 0);
	cr_assert_eq(exhaust(close_loop), 0);
	cr_assert_eq(runs, 1000);
	knit_loop_unref(loop);
}

/* ---- callbacks ---- */

static int runs;

static int soon(void)
{
	return knit_handle_error(knit_loop_call_soon(loop, rig_count, &runs));
}

static int later(void)
{
	return knit_handle_error(knit_loop_call_later(loop, 0, rig_count, &runs));
}

static int at(void)
{
	return knit_handle_error(knit_loop_call_at(loop, 0, rig_count, &runs));
}

static int post(void)
{
	return knit_loop_call_soon_threadsafe(loop, rig_count, &runs);
}

static void check_callback(int (*attempt)(void))
{
	runs = 0;
	cr_assert_eq(make_loop(), 0);
	cr_assert_gt(exhaust(attempt), 0);
	cr_assert_eq(loop->timers.count, attempt == later || attempt == at);
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(runs, 1, "those that failed never run");
	cr_assert_eq(loop->callbacks.live, 0);
	knit_loop_unref(loop);
}

Test(no_memory, callbacks_and_timers)
{
	check_callback(soon);
	check_callback(later);
	check_callback(at);
}

Test(no_memory, a_post_from_the_own_thread)
{
	check_callback(post);
}

static void *post_from_thread(void *ignored)
{
	(void)ignored;
	return (void *)(intptr_t)exhaust(post);
}

Test(no_memory, a_post_from_another_thread)
{
	runs = 0;
	cr_assert_eq(make_loop(), 0);
	cr_assert_eq((intptr_t)rig_on_thread(post_from_thread, NULL), 1);
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(runs, 1);
	knit_loop_unref(loop);
}

/* ---- signals ---- */

static int add_handler(void)
{
	return knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &runs);
}

Test(no_memory, signal_handlers)
{
	knit_loop *loops[10];

	rig_set_action(SIGUSR1);
	runs = 0;
	for (int i = 0; i < 10; i++) {
		cr_assert_eq(make_loop(), 0);
		loops[i] = loop;
		cr_assert_gt(exhaust(add_handler), 0);
		cr_assert_eq(exhaust(add_handler), 0, "replacing needs none");
		cr_assert_not(rig_is_action(SIGUSR1));
	}
	raise(SIGUSR1);
	for (int i = 0; i < 10; i++)
		cr_assert_geq(knit_loop_run_once(loops[i], 0), 0);
	cr_assert_eq(runs, 10);
	for (int i = 0; i < 10; i++)
		knit_loop_unref(loops[i]);
	cr_assert(rig_is_action(SIGUSR1));
}

static int add_first_handler_that_fails(void)
{
	int r = add_handler();

	/* After a failure nothing of it is in place. */
	if (r < 0 && !rig_is_action(SIGUSR1))
		return -EINVAL;
	return r;
}

Test(no_memory, a_signal_handler_that_cannot_be_added_leaves_the_action_alone)
{
	rig_set_action(SIGUSR1);
	cr_assert_eq(make_loop(), 0);
	cr_assert_gt(exhaust(add_first_handler_that_fails), 1);
	cr_assert_eq(knit_loop_remove_signal_handler(loop, SIGUSR1), 1);
	cr_assert(rig_is_action(SIGUSR1));
	knit_loop_unref(loop);
}
