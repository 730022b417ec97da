/* SPDX-License-Identifier: MIT */
/* test_small_ring.c - thousands of operations on a ring of 8 entries for requests and 16 for
 * completions: all of them complete, and can be cancelled and closed.
 *
 * L9: "A full submission queue must flush, not fail." L10: "When the completion queue overflows
 * the kernel keeps completions back": none is lost, nothing stalls, and the loop can still be
 * woken afterwards. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include "unit/io/rig.h"

#define SQ    8
#define CQ    16
#define PAIRS 100
/* A kernel with so small a ring searches long for what to cancel. */
#define FEWER rig_rounds(3000, 1000, 500, 200)

struct crowd {
	long count;
	long done, bytes;
	int pairs[PAIRS][2];
	knit_task **tasks;
};

static struct crowd crowd;

static void crowd_up(long count)
{
	crowd.count = count;
	crowd.tasks = calloc((size_t)crowd.count, sizeof(knit_task *));
	cr_assert_not_null(crowd.tasks);
	for (int i = 0; i < PAIRS; i++)
		rig_pair(AF_UNIX, crowd.pairs[i]);
}

static void crowd_down(void)
{
	for (int i = 0; i < PAIRS; i++)
		rig_close_all(crowd.pairs[i], 2);
	free(crowd.tasks);
}

static void start_crowd(knit_coro *coro)
{
	crowd.done = crowd.bytes = 0;
	for (long i = 0; i < crowd.count; i++) {
		crowd.tasks[i] = knit_create_task(coro, &crowd.pairs[i % PAIRS][0]);
		cr_assert_not_null(crowd.tasks[i]);
	}
}

static void finish_crowd(intptr_t outcome)
{
	for (long i = 0; i < crowd.count; i++)
		cr_assert_eq(knit_await(crowd.tasks[i]), outcome, "task %ld", i);
	cr_assert_eq(crowd.done, crowd.count);
}

static intptr_t receive_byte(void *arg)
{
	char byte = 0;
	intptr_t n = knit_sock_recv(*(int *)arg, &byte, 1);

	crowd.done++;
	if (n != 1)
		return n;
	cr_assert_eq(byte, 'x');
	crowd.bytes++;
	return 0;
}

static void send_bytes(void)
{
	for (long i = 0; i < crowd.count; i++)
		cr_assert_eq(send(crowd.pairs[i % PAIRS][1], "x", 1, 0), 1, "%s", strerror(errno));
}

static void until_all_wait(void)
{
	for (int i = 0; (long)rig_in_flight() < crowd.count; i++) {
		cr_assert_lt(i, 1000);
		rig_yield(1);
	}
}

/* ---- everything at once ---- */

static void set_flag(void *arg)
{
	*(volatile bool *)arg = true;
}

static void *post_flag(void *arg)
{
	void **post = arg;

	cr_expect_eq(knit_loop_call_soon_threadsafe(post[0], set_flag, post[1]), 0);
	return NULL;
}

/* The poll of the eventfd has survived: a thread wakes the loop out of its sleep. */
static void check_wake(void)
{
	volatile bool woken = false;
	void *post[2] = {knit_get_running_loop(), (void *)&woken};
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, post_flag, post), 0);
	rig_until(&woken);
	cr_assert_eq(pthread_join(thread, NULL), 0);
}

static intptr_t all_receive(void *arg)
{
	struct kn_engine_counters counters;

	(void)arg;
	start_crowd(receive_byte);
	until_all_wait();
	send_bytes();
	finish_crowd(0);
	cr_assert_eq(crowd.bytes, crowd.count);
	kn_engine_counters(rig_engine(), &counters);
	cr_assert_gt(counters.queue_full + counters.overflows, 0, "the rings were never too small");
	check_wake();
	return 0;
}

Test(io_small_ring, thousands_of_receives_all_complete)
{
	crowd_up(rig_rounds(10000, 4000, 2000, 200));
	rig_run_on(all_receive, NULL, SQ, CQ);
	crowd_down();
}

static intptr_t poll_one(void *arg)
{
	int r = knit_poll(*(int *)arg, POLLIN);

	crowd.done++;
	return r == POLLIN ? 0 : r;
}

/* One write wakes a hundred of them. */
static intptr_t all_poll(void *arg)
{
	(void)arg;
	start_crowd(poll_one);
	until_all_wait();
	for (int i = 0; i < PAIRS; i++)
		cr_assert_eq(send(crowd.pairs[i][1], "x", 1, 0), 1);
	finish_crowd(0);
	check_wake();
	return 0;
}

Test(io_small_ring, thousands_of_polls_that_come_true_at_once_all_complete)
{
	crowd_up(rig_rounds(10000, 4000, 2000, 200));
	rig_run_on(all_poll, NULL, SQ, CQ);
	crowd_down();
}

/* ---- cancelled, closed ---- */

static intptr_t all_cancelled(void *arg)
{
	(void)arg;
	start_crowd(receive_byte);
	until_all_wait();
	for (long i = 0; i < crowd.count; i++)
		cr_assert(knit_task_cancel(crowd.tasks[i], NULL));
	finish_crowd(-KNIT_ECANCELLED);
	cr_assert_eq(rig_in_flight(), 0);
	/* And nothing was taken by anybody. */
	send_bytes();
	for (int i = 0; i < PAIRS; i++)
		crowd.bytes += (long)rig_drain(crowd.pairs[i][0]);
	cr_assert_eq(crowd.bytes, crowd.count);
	return 0;
}

Test(io_small_ring, thousands_are_cancelled_at_once)
{
	crowd_up(FEWER);
	rig_run_on(all_cancelled, NULL, SQ, CQ);
	crowd_down();
}

/* Half of what waits is still in line for the ring when it is cancelled. */
static intptr_t cancelled_early(void *arg)
{
	long cancelled = 0;

	(void)arg;
	start_crowd(receive_byte);
	rig_yield(1);
	send_bytes();
	for (long i = 0; i < crowd.count; i += 2)
		cr_assert(knit_task_cancel(crowd.tasks[i], NULL));
	for (long i = 0; i < crowd.count; i++) {
		intptr_t r = knit_await(crowd.tasks[i]);

		cr_assert(r == 0 || (i % 2 == 0 && r == -KNIT_ECANCELLED));
		cancelled += r != 0;
	}
	/* A success that came first is one; then the request came after it, and the task ended
	 * without another suspension: which counts as cancelled too. */
	for (int i = 0; i < PAIRS; i++)
		crowd.bytes += (long)rig_drain(crowd.pairs[i][0]);
	cr_assert_eq(crowd.bytes, crowd.count, "%ld of %ld bytes", crowd.bytes, crowd.count);
	cr_assert_leq(cancelled, crowd.count / 2);
	return 0;
}

Test(io_small_ring, what_is_in_line_for_the_ring_is_cancelled_or_succeeds)
{
	crowd_up(FEWER);
	rig_run_on(cancelled_early, NULL, SQ, CQ);
	crowd_down();
}

static intptr_t all_closed(void *arg)
{
	(void)arg;
	start_crowd(receive_byte);
	until_all_wait();
	for (int i = 0; i < PAIRS; i++)
		cr_assert_eq(knit_close(crowd.pairs[i][0]), 0);
	finish_crowd(-EBADF);
	cr_assert_eq(rig_in_flight(), 0);
	for (int i = 0; i < PAIRS; i++) {
		close(crowd.pairs[i][1]);
		rig_pair(AF_UNIX, crowd.pairs[i]);
	}
	return 0;
}

Test(io_small_ring, a_hundred_waiters_on_each_descriptor_end_when_it_is_closed)
{
	crowd_up(FEWER);
	rig_run_on(all_closed, NULL, SQ, CQ);
	crowd_down();
}

/* ---- the loop closed ---- */

static intptr_t leave_crowd(void *arg)
{
	(void)arg;
	start_crowd(receive_byte);
	until_all_wait();
	return 0;
}

Test(io_small_ring, the_loop_is_closed_with_thousands_in_flight)
{
	int fds;
	knit_loop *loop;

	crowd_up(FEWER);
	fds = test_open_fds();
	loop = knit_loop_new(.sq_entries = SQ, .cq_entries = CQ);
	rig_silence(loop);
	cr_assert_eq(knit_loop_run_until_complete(loop, leave_crowd, NULL), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(crowd.done, crowd.count);
	for (long i = 0; i < crowd.count; i++) {
		cr_assert(knit_task_done(crowd.tasks[i]));
		knit_task_unref(crowd.tasks[i]);
	}
	knit_loop_unref(loop);
	cr_assert_eq(test_open_fds(), fds);
	crowd_down();
}

/* ---- a pipe that breaks while the loop is being closed ---- */

#define PIPES 100

static intptr_t write_for_ever(void *arg)
{
	char byte = 'x';
	intptr_t r = knit_write(*(int *)arg, &byte, 1, -1);

	return r == -EPIPE ? 0 : r;
}

static intptr_t start_writers(void *arg)
{
	int(*pipes)[2] = arg;

	for (int i = 0; i < PIPES; i++)
		cr_assert_eq(knit_spawn(write_for_ever, &pipes[i][1]), 0);
	rig_yield(50);
	cr_assert_eq(rig_in_flight(), PIPES);
	return 0;
}

/* Handing over the cancellations takes many entries into the kernel, and with each some of the
 * broken writes are tried again: no SIGPIPE may come of it. */
Test(io_small_ring, closing_a_loop_with_broken_pipes_raises_no_signal)
{
	int pipes[PIPES][2];
	knit_loop *loop = knit_loop_new(.sq_entries = SQ, .cq_entries = CQ);

	signal(SIGPIPE, SIG_DFL);
	rig_silence(loop);
	for (int i = 0; i < PIPES; i++) {
		rig_pipe(pipes[i]);
		rig_fill(pipes[i][1]);
	}
	cr_assert_eq(knit_loop_run_until_complete(loop, start_writers, pipes), 0);
	for (int i = 0; i < PIPES; i++)
		close(pipes[i][0]);
	cr_assert_eq(knit_loop_close(loop), 0);
	knit_loop_unref(loop);
	for (int i = 0; i < PIPES; i++)
		close(pipes[i][1]);
}
