/* SPDX-License-Identifier: MIT */
/* test_fork.c - fork(): the child cannot use the parent's loops, and does them no harm. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

static intptr_t add_one(void *arg)
{
	int r = knit_sleep(KNIT_MS);

	return r < 0 ? r : (intptr_t)arg + 1;
}

/* A loop of the child's own works. */
static void check_own_loop(void)
{
	knit_loop *own;
	int runs = 0;

	if (rig_on_valgrind())
		return;
	own = knit_loop_new();
	child_check(knit_run(add_one, (void *)41) == 42);
	child_check(own != NULL);
	child_check(knit_loop_call_soon_threadsafe(own, rig_count, &runs) == 0);
	child_check(knit_loop_run_until_complete(own, add_one, (void *)1) == 2);
	child_check(runs == 1);
	child_check(knit_loop_close(own) == 0);
	knit_loop_unref(own);
}

/* In the child: every call on the parent's loop says no. */
static void check_refusals(knit_loop *loop, knit_handle handle)
{
	int ignored = 0;

	child_check(knit_get_running_loop() == NULL);
	child_check(knit_loop_is_closed(loop));
	child_check(!knit_loop_is_running(loop));
	child_check(knit_handle_error(knit_loop_call_soon(NULL, rig_count, &ignored)) ==
	            -KNIT_ENOLOOP);
	child_check(knit_handle_error(knit_loop_call_soon(loop, rig_count, &ignored)) < 0);
	child_check(knit_handle_error(knit_loop_call_later(loop, 1, rig_count, &ignored)) < 0);
	child_check(knit_handle_error(knit_loop_call_at(loop, 1, rig_count, &ignored)) < 0);
	child_check(knit_loop_call_soon_threadsafe(loop, rig_count, &ignored) == -KNIT_ECLOSED);
	child_check(knit_loop_stop_threadsafe(loop) == -KNIT_ECLOSED);
	child_check(knit_loop_time(loop) < 0);
	child_check(knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &ignored) < 0);
	child_check(knit_loop_remove_signal_handler(loop, SIGUSR1) < 0);
	child_check(knit_loop_set_exception_handler(loop, NULL, NULL) < 0);
	child_check(knit_loop_run_forever(loop) < 0);
	child_check(knit_loop_run_once(loop, 0) < 0);
	child_check(knit_loop_run_until_complete(loop, add_one, NULL) < 0);
	child_check(knit_loop_fd(loop) < 0);
	child_check(knit_loop_close(loop) == 0);
	child_check(!knit_handle_is_pending(handle));
	child_check(!knit_handle_cancel(handle));
	child_check(knit_handle_when(handle) == -KNIT_EINVALIDSTATE);
	child_check(ignored == 0);
}

/* ---- between runs ---- */

Test(fork, a_child_gets_errors_and_may_drop_the_loop)
{
	knit_loop *loop = knit_loop_new(), *unused = knit_loop_new();
	knit_handle handle;
	int runs = 0;
	pid_t child;

	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	handle = knit_loop_call_later(loop, KNIT_MS, rig_count, &runs);
	child = rig_fork();
	if (child == 0) {
		int fds = test_open_fds();

		check_refusals(loop, handle);
		check_refusals(unused, handle);
		knit_loop_unref(loop);
		knit_loop_unref(unused);
		child_check(test_open_fds() < fds);
		check_own_loop();
		child_done();
	}
	rig_wait_child(child);
	cr_assert(knit_handle_is_pending(handle));
	cr_assert_eq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	cr_assert_eq(runs, 1);
	cr_assert_eq(knit_loop_run_once(unused, 0), 0);
	knit_loop_unref(loop);
	knit_loop_unref(unused);
}

static void die_stopping(void *loop)
{
	if (fork() == 0)
		knit_loop_stop(loop);
	else
		_exit(1);
}

Test(fork, what_cannot_say_no_ends_the_child)
{
	knit_loop *loop = knit_loop_new();

	test_death(die_stopping, loop, "knit_loop_stop(): its loop is closed, or was made before");
	knit_loop_unref(loop);
}

/* ---- in a callback ---- */

struct forking {
	knit_loop *loop;
	knit_handle handle;
	pid_t child;
	bool sigpipe_was_blocked;
	int runs;
	void (*in_child)(struct forking *forking);
};

static void fork_here(void *arg)
{
	struct forking *forking = arg;

	forking->child = rig_fork();
	if (forking->child == 0 && forking->in_child)
		forking->in_child(forking);
}

static void refusals_in_child(struct forking *forking)
{
	check_refusals(forking->loop, forking->handle);
}

/* Runs the loop until the callback has forked; in the child, returns the run's result. */
static int run_forking(struct forking *forking)
{
	knit_loop_call_soon(forking->loop, fork_here, forking);
	knit_loop_call_soon(forking->loop, rig_count, &forking->runs);
	knit_loop_call_soon(forking->loop, rig_stop, NULL);
	return knit_loop_run_forever(forking->loop);
}

Test(fork, a_child_that_returns_into_the_loop_comes_out_of_the_run)
{
	struct forking forking = {.loop = knit_loop_new(), .in_child = refusals_in_child};
	int r;

	forking.handle = knit_loop_call_later(forking.loop, KNIT_FOREVER, rig_count, &forking.runs);
	r = run_forking(&forking);
	if (forking.child == 0) {
		child_check(r == -KNIT_EWRONGTHREAD);
		child_check(forking.runs == 0);
		check_refusals(forking.loop, forking.handle);
		check_own_loop();
		knit_loop_unref(forking.loop);
		child_done();
	}
	cr_assert_eq(r, 0);
	cr_assert_eq(forking.runs, 1);
	rig_wait_child(forking.child);
	cr_assert(knit_handle_cancel(forking.handle));
	knit_loop_unref(forking.loop);
}

static int once_forking(struct forking *forking)
{
	knit_loop_call_soon(forking->loop, fork_here, forking);
	return knit_loop_run_once(forking->loop, 0);
}

Test(fork, run_once_and_hosted_loops_too)
{
	for (int hosted = 0; hosted < 2; hosted++) {
		struct forking forking = {.loop = knit_loop_new(), .in_child = refusals_in_child};
		int r;

		if (hosted)
			cr_assert_geq(knit_loop_fd(forking.loop), 0);
		r = once_forking(&forking);
		if (forking.child == 0) {
			child_check(r < 0);
			check_own_loop();
			knit_loop_unref(forking.loop);
			child_done();
		}
		cr_assert_geq(r, 0);
		rig_wait_child(forking.child);
		forking.child = 0;
		knit_loop_call_soon(forking.loop, rig_count, &forking.runs);
		if (hosted) {
			struct pollfd polled = {knit_loop_fd(forking.loop), POLLIN, 0};

			cr_assert_eq(poll(&polled, 1, 240000), 1);
		}
		cr_assert_geq(knit_loop_run_once(forking.loop, 0), 0);
		cr_assert_eq(forking.runs, 1);
		knit_loop_unref(forking.loop);
	}
}

static void run_here_and_exit(struct forking *forking)
{
	(void)forking;
	check_own_loop();
	child_done();
}

Test(fork, a_child_may_run_a_loop_of_its_own_inside_the_callback)
{
	struct forking forking = {.loop = knit_loop_new(), .in_child = run_here_and_exit};

	cr_assert_eq(run_forking(&forking), 0);
	rig_wait_child(forking.child);
	knit_loop_unref(forking.loop);
}

static bool sigpipe_blocked(void)
{
	sigset_t set;

	pthread_sigmask(SIG_BLOCK, NULL, &set);
	return sigismember(&set, SIGPIPE) == 1;
}

static void check_sigpipe_and_exit(struct forking *forking)
{
	/* What it executes next would inherit the mask. */
	child_check(sigpipe_blocked() == forking->sigpipe_was_blocked);
	child_done();
}

Test(fork, a_child_has_the_signal_mask_from_before_the_run)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	for (int blocked = 0; blocked < 2; blocked++) {
		struct forking forking = {.loop = knit_loop_new(),
		                          .in_child = check_sigpipe_and_exit,
		                          .sigpipe_was_blocked = blocked};

		pthread_sigmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
		cr_assert_eq(run_forking(&forking), 0);
		cr_assert_eq(sigpipe_blocked(), blocked);
		rig_wait_child(forking.child);
		knit_loop_unref(forking.loop);
	}
}

static void *post_fork(void *arg)
{
	struct forking *forking = arg;
	long refused = knit_loop_call_soon_threadsafe(forking->loop, fork_here, forking) < 0;

	refused += knit_loop_call_soon_threadsafe(forking->loop, rig_count, &forking->runs) < 0;
	return (void *)refused;
}

Test(fork, a_post_that_close_runs_may_fork)
{
	struct forking forking = {.loop = knit_loop_new(), .in_child = refusals_in_child};
	int r;

	cr_assert_eq(knit_loop_run_once(forking.loop, 0), 0);
	cr_assert_null(rig_on_thread(post_fork, &forking));
	r = knit_loop_close(forking.loop);
	if (forking.child == 0) {
		child_check(r < 0);
		child_check(forking.runs == 0);
		child_check(knit_get_running_loop() == NULL);
		check_own_loop();
		child_done();
	}
	cr_assert_eq(r, 0);
	cr_assert_eq(forking.runs, 1);
	rig_wait_child(forking.child);
	knit_loop_unref(forking.loop);
}

/* ---- with other threads ---- */

struct busy {
	knit_loop *loop;
	atomic_bool stop;
	atomic_int posted;
};

static void ran(void *arg)
{
	struct busy *busy = arg;

	atomic_fetch_sub(&busy->posted, 1);
}

static void *post_all_the_time(void *arg)
{
	struct busy *busy = arg;
	long failed = 0;

	while (!atomic_load(&busy->stop)) {
		if (atomic_load(&busy->posted) > 1000) {
			sched_yield();
			continue;
		}
		atomic_fetch_add(&busy->posted, 1);
		failed += knit_loop_call_soon_threadsafe(busy->loop, ran, busy) < 0;
	}
	return (void *)failed;
}

Test(fork, while_other_loops_sleep_and_work)
{
	struct worker asleep = {0}, busy = {0};
	struct busy work = {0};
	int rounds = (int)test_scale(50, 20, 20, 5);
	pthread_t poster;

	worker_start(&asleep);
	worker_start(&busy);
	work.loop = busy.loop;
	poster = rig_thread(post_all_the_time, &work);
	for (int i = 0; i < rounds; i++) {
		pid_t child;

		rig_until(rig_asleep, asleep.loop);
		child = rig_fork();
		if (child == 0) {
			check_refusals(asleep.loop, (knit_handle){{0}});
			check_refusals(busy.loop, (knit_handle){{0}});
			check_own_loop();
			knit_loop_unref(asleep.loop);
			child_done();
		}
		rig_wait_child(child);
	}
	atomic_store(&work.stop, true);
	cr_assert_null(rig_join(poster), "no post was refused in the parent");
	worker_stop(&busy);
	worker_stop(&asleep);
	cr_assert_eq(atomic_load(&work.posted), 0, "each ran once");
}

/* ---- the parent ---- */

struct reading {
	struct kn_op op;
	knit_loop *loop;
	int calls, result;
};

static void reading_complete(struct kn_op *op)
{
	struct reading *reading = kn_container_of(op, struct reading, op);

	reading->calls++;
	reading->result = op->result;
}

static void reading_start(void *arg)
{
	struct reading *reading = arg;

	cr_assert_eq(kn_engine_submit(reading->loop->engine, &reading->op), 0);
}

Test(fork, the_parents_operations_and_timers_go_on)
{
	knit_loop *loop = knit_loop_new();
	struct reading reading = {.loop = loop,
	                          .op = {.opcode = KN_OP_POLL,
	                                 .fd = eventfd(0, EFD_CLOEXEC),
	                                 .flags = POLLIN,
	                                 .complete = reading_complete}};
	const uint64_t one = 1;
	int runs = 0;

	knit_loop_call_soon(loop, reading_start, &reading);
	knit_loop_call_later(loop, 2 * KNIT_MS, rig_count, &runs);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	for (int i = 0; i < 5; i++) {
		pid_t child = rig_fork();

		if (child == 0)
			child_done();
		rig_wait_child(child);
	}
	cr_assert_eq(reading.calls, 0);
	cr_assert_eq(write(reading.op.fd, &one, sizeof(one)), (ssize_t)sizeof(one));
	for (int i = 0; i < 1000 && !(reading.calls && runs); i++)
		cr_assert_geq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	cr_assert_eq(reading.calls, 1);
	cr_assert_eq(reading.result, POLLIN);
	cr_assert_eq(runs, 1);
	knit_loop_unref(loop);
	close(reading.op.fd);
}
