/* SPDX-License-Identifier: MIT */
/* test_close.c - closing a loop: which of the things that wait still happen, and what is left
 * behind. Tasks at the end of their loop are tested in unit/task. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

static knit_loop *loop;

static void setup(void)
{
	loop = knit_loop_new();
	cr_assert_not_null(loop);
	rig_trace_reset();
}

static void *post_three(void *ignored)
{
	static const char *const names[] = {"1", "2", "3"};
	long refused = 0;

	(void)ignored;
	for (int i = 0; i < 3; i++)
		refused += knit_loop_call_soon_threadsafe(loop, rig_note, TEXT(names[i])) < 0;
	return (void *)refused;
}

/* ---- posts, callbacks, timers ---- */

Test(close, accepted_posts_run_in_order_and_callbacks_are_dropped)
{
	for (int ran = 0; ran < 2; ran++) {
		setup();
		if (ran)
			cr_assert_eq(knit_loop_run_once(loop, 0), 0);
		knit_loop_call_soon(loop, rig_note, TEXT("callback"));
		knit_loop_call_later(loop, -KNIT_S, rig_note, TEXT("timer"));
		cr_assert_eq(knit_loop_call_soon_threadsafe(loop, rig_note, TEXT("own")), 0);
		cr_assert_null(rig_on_thread(post_three, NULL));
		cr_assert_eq(knit_loop_close(loop), 0);
		cr_assert_str_eq(rig_trace, "own 1 2 3 ");
		knit_loop_unref(loop);
	}
}

Test(close, more_posts_than_a_pass_takes_all_run)
{
	int runs = 0;

	setup();
	for (int i = 0; i < 5000; i++)
		cr_assert_eq(knit_loop_call_soon_threadsafe(loop, rig_count, &runs), 0);
	cr_assert_null(rig_on_thread(post_three, NULL));
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(runs, 5000);
	cr_assert_str_eq(rig_trace, "1 2 3 ");
	knit_loop_unref(loop);
}

struct attempts {
	long soon, later, threadsafe, stop, signal, close, run, fd;
	bool closed, running_loop;
	int runs;
};

static void attempt_all(void *arg)
{
	struct attempts *a = arg;

	a->soon = knit_handle_error(knit_loop_call_soon(loop, rig_count, &a->runs));
	a->later = knit_handle_error(knit_loop_call_later(loop, 0, rig_count, &a->runs));
	a->threadsafe = knit_loop_call_soon_threadsafe(loop, rig_count, &a->runs);
	a->stop = knit_loop_stop_threadsafe(loop);
	a->signal = knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &a->runs);
	a->close = knit_loop_close(loop);
	a->run = knit_loop_run_once(loop, 0);
	a->fd = knit_loop_fd(loop);
	a->closed = knit_loop_is_closed(loop);
	a->running_loop = knit_get_running_loop() == loop;
}

Test(close, a_post_that_close_runs_can_make_nothing_new)
{
	for (int ran = 0; ran < 2; ran++) {
		struct attempts a = {.soon = 1};

		setup();
		if (ran)
			cr_assert_eq(knit_loop_run_once(loop, 0), 0);
		cr_assert_eq(knit_loop_call_soon_threadsafe(loop, attempt_all, &a), 0);
		cr_assert_eq(knit_loop_close(loop), 0);
		cr_assert_eq(a.soon, -KNIT_ECLOSED);
		cr_assert_eq(a.later, -KNIT_ECLOSED);
		cr_assert_eq(a.threadsafe, -KNIT_ECLOSED);
		cr_assert_eq(a.stop, -KNIT_ECLOSED);
		cr_assert_eq(a.signal, -KNIT_ECLOSED);
		cr_assert_eq(a.close, -KNIT_ERUNNING);
		cr_assert_lt(a.run, 0);
		cr_assert_lt(a.fd, 0);
		cr_assert_not(a.closed);
		cr_assert(a.running_loop);
		cr_assert_eq(a.runs, 0);
		cr_assert_null(knit_get_running_loop());
		knit_loop_unref(loop);
	}
}

Test(close, twice_is_once_and_a_running_loop_is_not_closed)
{
	setup();
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert(knit_loop_is_closed(loop));
	cr_assert_eq(knit_loop_call_soon_threadsafe(loop, rig_note, TEXT("no")), -KNIT_ECLOSED);
	cr_assert_eq((intptr_t)rig_on_thread(post_three, NULL), 3, "refused");
	cr_assert_str_eq(rig_trace, "");
	knit_loop_unref(loop);
}

Test(close, a_stop_that_was_asked_for_does_not_matter)
{
	setup();
	knit_loop_stop(loop);
	cr_assert_null(rig_on_thread(post_three, NULL));
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_str_eq(rig_trace, "1 2 3 ");
	knit_loop_unref(loop);
}

/* ---- what is left behind ---- */

Test(close, no_descriptor_and_no_thread)
{
	int fds = test_open_fds(), threads = test_threads();

	for (int i = 0; i < 20; i++) {
		setup();
		if (i % 2)
			cr_assert_eq(knit_loop_run_once(loop, 0), 0);
		if (i % 4 == 3)
			cr_assert_geq(knit_loop_fd(loop), 0);
		cr_assert_eq(knit_loop_close(loop), 0);
		cr_assert_eq(test_open_fds(), fds, "closed is enough");
		knit_loop_unref(loop);
	}
	cr_assert_eq(test_threads(), threads);
}

static void *loop_life(void *ignored)
{
	knit_loop *mine = knit_loop_new();

	(void)ignored;
	(void)!knit_loop_run_once(mine, 0);
	knit_loop_unref(mine);
	return NULL;
}

Test(close, loops_on_threads_leave_nothing_either)
{
	int fds, threads;

	rig_on_thread(loop_life, NULL);
	fds = test_open_fds();
	threads = test_threads();
	for (int i = 0; i < 20; i++)
		rig_on_thread(loop_life, NULL);
	cr_assert_eq(test_open_fds(), fds);
	cr_assert_eq(test_threads(), threads);
}

/* ---- operations ---- */

struct operation {
	struct kn_op op;
	int calls, result;
};

static void operation_complete(struct kn_op *op)
{
	struct operation *operation = kn_container_of(op, struct operation, op);

	operation->calls++;
	operation->result = op->result;
}

static void operation_start(void *arg)
{
	cr_assert_eq(kn_engine_submit(loop->engine, &((struct operation *)arg)->op), 0);
}

static struct operation wait_for(int fd)
{
	return (struct operation){.op = {.opcode = KN_OP_POLL,
	                                 .fd = fd,
	                                 .flags = POLLIN,
	                                 .complete = operation_complete}};
}

Test(close, operations_in_flight_are_ended)
{
	int fd = eventfd(0, EFD_CLOEXEC), fds = test_open_fds();
	struct operation operations[10];

	setup();
	for (int i = 0; i < 10; i++) {
		operations[i] = wait_for(fd);
		knit_loop_call_soon(loop, operation_start, &operations[i]);
	}
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	for (int i = 0; i < 10; i++) {
		cr_assert_eq(operations[i].calls, 1);
		cr_assert_eq(operations[i].result, -ECANCELED);
	}
	cr_assert_eq(test_open_fds(), fds);
	knit_loop_unref(loop);
	close(fd);
}

/* The kernel does not give it back. */
static bool keep_back(void *arg, const struct kn_op *op, int *result)
{
	(void)result;
	return op != arg;
}

Test(close, what_the_kernel_does_not_give_back_is_kept_for_good)
{
	int fd = eventfd(0, EFD_CLOEXEC), runs = 0;
	static struct operation operation;
	struct kn_engine_faults faults = {.arg = &operation.op, .completion = keep_back};

	operation = wait_for(fd);
	setup();
	loop->grace = 20 * KNIT_MS;
	knit_loop_call_soon(loop, operation_start, &operation);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	kn_engine_set_faults(loop->engine, &faults);
	cr_assert_null(rig_on_thread(post_three, NULL));
	cr_assert_eq(knit_loop_close(loop), -EBUSY);
	/* Closed all the same. */
	cr_assert(knit_loop_is_closed(loop));
	cr_assert_str_eq(rig_trace, "1 2 3 ");
	cr_assert_eq(knit_loop_call_soon_threadsafe(loop, rig_count, &runs), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(operation.calls, 0);
	knit_loop_unref(loop);
	close(fd);
}
