/* SPDX-License-Identifier: MIT */
/* test_signals.c - signals as callbacks, on one loop and on many. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <signal.h>
#include <unistd.h>

static knit_loop *loop;

static void setup(void)
{
	loop = knit_loop_new();
	cr_assert_not_null(loop);
	rig_trace_reset();
}

static void teardown(void)
{
	knit_loop_unref(loop);
}

static void pass(void)
{
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
}

/* ---- one loop ---- */

Test(signals, a_handler_runs_as_a_callback_once_for_each_delivery, .init = setup)
{
	int runs = 0;

	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &runs), 0);
	for (int i = 1; i <= 20; i++) {
		raise(SIGUSR1);
		cr_assert_eq(runs, i - 1, "not in the signal's context");
		pass();
		cr_assert_eq(runs, i);
		pass();
		cr_assert_eq(runs, i);
	}
	teardown();
}

Test(signals, deliveries_between_two_passes_count_as_one, .init = setup)
{
	int runs = 0;

	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &runs), 0);
	for (int i = 0; i < 10; i++)
		raise(SIGUSR1);
	pass();
	pass();
	cr_assert_eq(runs, 1);
	teardown();
}

Test(signals, adding_again_replaces, .init = setup)
{
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_note, TEXT("a")), 0);
	raise(SIGUSR1);
	pass();
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_note, TEXT("b")), 0);
	raise(SIGUSR1);
	pass();
	cr_assert_str_eq(rig_trace, "a b ");
	cr_assert_eq(knit_loop_remove_signal_handler(loop, SIGUSR1), 1);
	cr_assert_eq(knit_loop_remove_signal_handler(loop, SIGUSR1), 0, "there was one only");
	teardown();
}

Test(signals, each_signal_has_its_own_handler, .init = setup)
{
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR2, rig_note, TEXT("usr2")), 0);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_note, TEXT("usr1")), 0);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGRTMIN + 1, rig_note, TEXT("rt")), 0);
	raise(SIGRTMIN + 1);
	pass();
	raise(SIGUSR1);
	pass();
	raise(SIGUSR2);
	pass();
	cr_assert_str_eq(rig_trace, "rt usr1 usr2 ");
	teardown();
}

Test(signals, a_delivery_before_the_first_run_is_not_lost, .init = setup)
{
	int runs = 0;

	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &runs), 0);
	raise(SIGUSR1);
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	/* The first pass may have gone to what woke it. */
	pass();
	cr_assert_eq(runs, 1);
	teardown();
}

static void remove_itself(void *runs)
{
	rig_count(runs);
	cr_assert_eq(knit_loop_remove_signal_handler(loop, SIGUSR1), 1);
}

Test(signals, a_handler_may_remove_itself, .init = setup)
{
	int runs = 0;

	rig_set_action(SIGUSR1);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, remove_itself, &runs), 0);
	raise(SIGUSR1);
	pass();
	cr_assert_eq(runs, 1);
	cr_assert(rig_is_action(SIGUSR1));
	teardown();
}

Test(signals, a_handler_removed_after_the_delivery_does_not_run, .init = setup)
{
	int runs = 0;

	rig_set_action(SIGUSR1);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &runs), 0);
	raise(SIGUSR1);
	cr_assert_eq(knit_loop_remove_signal_handler(loop, SIGUSR1), 1);
	pass();
	pass();
	cr_assert_eq(runs, 0);
	teardown();
}

/* ---- errors ---- */

Test(signals, what_cannot_be_handled_is_refused, .init = setup)
{
	static const int refused[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL, SIGFPE,
	                              0,       -1,      65,      32,     33,     1 << 20};
	int runs = 0;

	for (size_t i = 0; i < KN_ARRAY_SIZE(refused); i++) {
		cr_assert_eq(knit_loop_add_signal_handler(loop, refused[i], rig_count, &runs),
		             -EINVAL, "signal %d", refused[i]);
		cr_assert_eq(knit_loop_remove_signal_handler(loop, refused[i]), -EINVAL,
		             "signal %d", refused[i]);
	}
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, NULL, NULL), -EINVAL);
	cr_assert_eq(knit_loop_remove_signal_handler(loop, SIGUSR1), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &runs), -KNIT_ECLOSED);
	teardown();
}

/* ---- the action of before ---- */

Test(signals, removing_the_last_handler_restores_the_action_of_before, .init = setup)
{
	knit_loop *other = knit_loop_new();
	int runs = 0;

	rig_set_action(SIGUSR1);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &runs), 0);
	cr_assert_eq(knit_loop_add_signal_handler(other, SIGUSR1, rig_count, &runs), 0);
	cr_assert_not(rig_is_action(SIGUSR1));
	cr_assert_eq(knit_loop_remove_signal_handler(loop, SIGUSR1), 1);
	cr_assert_not(rig_is_action(SIGUSR1));
	cr_assert_eq(knit_loop_remove_signal_handler(other, SIGUSR1), 1);
	cr_assert(rig_is_action(SIGUSR1));
	raise(SIGUSR1);
	cr_assert_eq(atomic_load(&rig_action_calls), 1);
	pass();
	cr_assert_eq(runs, 0);
	knit_loop_unref(other);
	teardown();
}

Test(signals, closing_a_loop_removes_its_handlers, .init = setup)
{
	knit_loop *other = knit_loop_new();
	int runs = 0, others = 0;

	rig_set_action(SIGUSR1);
	rig_set_action(SIGUSR2);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &runs), 0);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR2, rig_count, &runs), 0);
	cr_assert_eq(knit_loop_add_signal_handler(other, SIGUSR2, rig_count, &others), 0);
	raise(SIGUSR1);
	raise(SIGUSR2);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert(rig_is_action(SIGUSR1));
	cr_assert_not(rig_is_action(SIGUSR2));
	cr_assert_eq(runs, 0, "callbacks are dropped at the close");
	raise(SIGUSR2);
	cr_assert_geq(knit_loop_run_once(other, 0), 0);
	cr_assert_eq(others, 1);
	knit_loop_unref(other);
	cr_assert(rig_is_action(SIGUSR2));
	teardown();
}

Test(signals, a_child_process_has_the_actions_of_before, .init = setup)
{
	int runs = 0;
	pid_t child;

	rig_set_action(SIGUSR1);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &runs), 0);
	child = rig_fork();
	if (child == 0) {
		child_check(rig_is_action(SIGUSR1));
		raise(SIGUSR1);
		child_check(atomic_load(&rig_action_calls) == 1);
		child_done();
	}
	rig_wait_child(child);
	cr_assert_not(rig_is_action(SIGUSR1));
	raise(SIGUSR1);
	pass();
	cr_assert_eq(runs, 1, "the parent is unharmed");
	teardown();
}

/* ---- many loops ---- */

enum { LOOPS = 16 };

struct listener {
	struct worker worker;
	atomic_int runs, installed;
};

static void listener_ran(void *arg)
{
	atomic_fetch_add(&((struct listener *)arg)->runs, 1);
}

static void listener_install(void *arg)
{
	struct listener *listener = arg;

	atomic_store(&listener->installed,
	             knit_loop_add_signal_handler(knit_get_running_loop(), SIGTERM, listener_ran,
	                                          listener) == 0
	                     ? 1
	                     : -1);
}

static bool all_ran(void *arg)
{
	struct listener *listeners = arg;

	for (int i = 0; i < LOOPS; i++)
		if (atomic_load(&listeners[i].runs) == 0)
			return false;
	return true;
}

Test(signals, one_sigterm_reaches_each_of_sixteen_sleeping_loops_once)
{
	static struct listener listeners[LOOPS];

	rig_set_action(SIGTERM);
	for (int i = 0; i < LOOPS; i++) {
		worker_start(&listeners[i].worker);
		cr_assert_eq(knit_loop_call_soon_threadsafe(listeners[i].worker.loop,
		                                            listener_install, &listeners[i]),
		             0);
		rig_until(rig_is_set, &listeners[i].installed);
		cr_assert_eq(atomic_load(&listeners[i].installed), 1);
	}
	for (int i = 0; i < LOOPS; i++)
		rig_until(rig_asleep, listeners[i].worker.loop);
	kill(getpid(), SIGTERM);
	rig_until(all_ran, listeners);
	for (int i = 0; i < LOOPS; i++)
		worker_stop(&listeners[i].worker);
	for (int i = 0; i < LOOPS; i++)
		cr_assert_eq(atomic_load(&listeners[i].runs), 1);
	cr_assert(rig_is_action(SIGTERM));
	cr_assert_eq(atomic_load(&rig_action_calls), 0);
}
