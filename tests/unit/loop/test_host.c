/* SPDX-License-Identifier: MIT */
/* test_host.c - a loop as the guest of a main loop that waits in poll(2). */
#include "unit/loop/rig.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GUARD_MS 240000

static knit_loop *loop;
static int fd;

static void begin(knit_loop *made)
{
	loop = made;
	cr_assert_not_null(loop);
	fd = knit_loop_fd(loop);
	cr_assert_geq(fd, 0);
	rig_trace_reset();
}

static void setup(void)
{
	begin(knit_loop_new());
}

static void teardown(void)
{
	knit_loop_unref(loop);
}

static bool readable(int timeout_ms)
{
	struct pollfd asked = {.fd = fd, .events = POLLIN};
	int r;

	do
		r = poll(&asked, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	cr_assert_geq(r, 0, "poll");
	return r > 0;
}

/* What a host does until @done is not 0; it never asks what it was not told of. */
static void host_until(const int *done)
{
	for (int rounds = 0; !*done; rounds++) {
		cr_assert_lt(rounds, 100000);
		cr_assert(readable(GUARD_MS), "the host was not woken");
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	}
}

/* A stale deadline may make the descriptor readable for nothing, but not again and again. */
static void quiet(void)
{
	int rounds;

	for (rounds = 0; readable(0); rounds++) {
		cr_assert_lt(rounds, 10, "readable with nothing to do");
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	}
}

/* ---- when there is nothing to do ---- */

Test(host, an_idle_loop_is_not_readable, .init = setup)
{
	int runs = 0;

	quiet();
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	cr_assert_not(readable(0));
	knit_loop_call_later(loop, 3600 * KNIT_S, rig_count, &runs);
	quiet();
	cr_assert_not(readable(0));
	cr_assert_eq(runs, 0);
	teardown();
}

Test(host, the_descriptor_stays_the_same, .init = setup)
{
	cr_assert_eq(knit_loop_fd(loop), fd);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(knit_loop_fd(loop), fd);
	quiet();
	cr_assert_eq(knit_loop_fd(loop), fd);
	cr_assert_not(readable(0));
	teardown();
}

/* ---- what wakes the host ---- */

Test(host, what_was_ready_before_makes_it_readable)
{
	int runs = 0;
	knit_loop *made = knit_loop_new();

	knit_loop_call_soon(made, rig_count, &runs);
	begin(made);
	host_until(&runs);
	quiet();
	teardown();
}

Test(host, a_timer_wakes_it_and_never_early, .init = setup)
{
	for (int i = 0; i < 5; i++) {
		int runs = 0;
		int64_t due = rig_now() + 2 * KNIT_MS;

		knit_loop_call_later(loop, 2 * KNIT_MS, rig_count, &runs);
		host_until(&runs);
		cr_assert_geq(rig_now(), due);
	}
	quiet();
	teardown();
}

Test(host, an_earlier_timer_replaces_a_later_one, .init = setup)
{
	int late = 0, early = 0;
	knit_handle handle = knit_loop_call_later(loop, 3600 * KNIT_S, rig_count, &late);

	quiet();
	knit_loop_call_later(loop, KNIT_MS, rig_count, &early);
	host_until(&early);
	cr_assert(knit_handle_cancel(handle));
	quiet();
	cr_assert_eq(late, 0);
	teardown();
}

static void *post_one(void *counter)
{
	static int result;

	result = knit_loop_call_soon_threadsafe(loop, rig_count, counter);
	return &result;
}

Test(host, a_post_wakes_it, .init = setup)
{
	int runs = 0;

	cr_assert_eq(*(int *)rig_on_thread(post_one, &runs), 0);
	cr_assert(readable(GUARD_MS));
	host_until(&runs);
	quiet();
	teardown();
}

static atomic_int round_trips;

static void *post_many(void *count)
{
	for (int i = 0; i < *(int *)count; i++) {
		static int ignored;

		if (knit_loop_call_soon_threadsafe(loop, rig_count, &ignored) < 0)
			break;
		atomic_fetch_add(&round_trips, 1);
	}
	return NULL;
}

Test(host, no_post_of_many_is_left_lying, .init = setup)
{
	int count = (int)test_scale(20000, 5000, 5000, 500);
	pthread_t thread = rig_thread(post_many, &count);

	while (loop->counters.posts < (uint64_t)count) {
		cr_assert(readable(GUARD_MS), "after %d posts", (int)loop->counters.posts);
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	}
	rig_join(thread);
	quiet();
	teardown();
}

Test(host, the_hosts_own_calls_between_passes_wake_it, .init = setup)
{
	int runs = 0;

	quiet();
	knit_loop_call_soon(loop, rig_count, &runs);
	cr_assert(readable(0));
	host_until(&runs);
	quiet();
	runs = 0;
	cr_assert_eq(knit_loop_call_soon_threadsafe(loop, rig_count, &runs), 0);
	cr_assert(readable(0));
	host_until(&runs);
	quiet();
	knit_loop_stop(loop);
	cr_assert(readable(0), "run_once() has a stop to clear");
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	quiet();
	teardown();
}

Test(host, a_signal_wakes_it, .init = setup)
{
	int runs = 0;

	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &runs), 0);
	quiet();
	for (int i = 1; i <= 3; i++) {
		int before = runs;

		raise(SIGUSR1);
		while (runs == before) {
			cr_assert(readable(GUARD_MS));
			cr_assert_geq(knit_loop_run_once(loop, 0), 0);
		}
		cr_assert_eq(runs, i);
		quiet();
	}
	teardown();
}

struct completion {
	struct kn_op op;
	int calls;
};

static void completion_complete(struct kn_op *op)
{
	kn_container_of(op, struct completion, op)->calls++;
}

static void start_poll(void *arg)
{
	struct completion *completion = arg;

	cr_assert_eq(kn_engine_submit(loop->engine, &completion->op), 0);
}

Test(host, a_completion_wakes_it, .init = setup)
{
	const uint64_t one = 1;
	struct completion completion = {.op = {.opcode = KN_OP_POLL,
	                                       .fd = eventfd(0, EFD_CLOEXEC),
	                                       .flags = POLLIN,
	                                       .complete = completion_complete}};

	cr_assert_geq(completion.op.fd, 0);
	knit_loop_call_soon(loop, start_poll, &completion);
	quiet();
	cr_assert_eq(completion.calls, 0);
	cr_assert_eq(write(completion.op.fd, &one, sizeof(one)), (ssize_t)sizeof(one));
	host_until(&completion.calls);
	quiet();
	close(completion.op.fd);
	teardown();
}

/* ---- passes of a hosted loop ---- */

static void call_soon_again(void *left)
{
	if (--*(int *)left)
		knit_loop_call_soon(loop, call_soon_again, left);
}

Test(host, it_stays_readable_as_long_as_there_is_more_to_do, .init = setup)
{
	int left = 50;

	knit_loop_call_soon(loop, call_soon_again, &left);
	for (int i = 50; i > 0; i--) {
		cr_assert_eq(left, i);
		cr_assert(readable(0));
		cr_assert_eq(knit_loop_run_once(loop, 0), i > 1);
	}
	quiet();
	teardown();
}

Test(host, run_once_may_wait_too, .init = setup)
{
	int64_t due = rig_now() + 3 * KNIT_MS;
	int runs = 0;

	quiet();
	knit_loop_call_at(loop, due, rig_count, &runs);
	/* A pass or two may serve what had been there. */
	for (int i = 0; i < 5 && !runs; i++)
		cr_assert_geq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	cr_assert_eq(runs, 1, "run_once() returned although there was nothing to do");
	cr_assert_geq(rig_now(), due);
	quiet();
	teardown();
}

Test(host, a_run_in_between_leaves_a_loop_that_wakes_its_host, .init = setup)
{
	int runs = 0;

	knit_loop_call_soon(loop, rig_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	quiet();
	cr_assert_eq(*(int *)rig_on_thread(post_one, &runs), 0);
	host_until(&runs);
	runs = 0;
	knit_loop_call_soon(loop, rig_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	knit_loop_call_later(loop, KNIT_MS, rig_count, &runs);
	host_until(&runs);
	quiet();
	teardown();
}

static void ask_for_descriptor(void *ret)
{
	*(int *)ret = knit_loop_fd(loop);
	knit_loop_stop(loop);
}

Test(host, a_running_loop_can_become_a_hosted_one)
{
	int runs = 0;

	loop = knit_loop_new();
	fd = -1;
	knit_loop_call_soon(loop, ask_for_descriptor, &fd);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_geq(fd, 0);
	quiet();
	cr_assert_eq(*(int *)rig_on_thread(post_one, &runs), 0);
	host_until(&runs);
	teardown();
}

Test(host, virtual_time_needs_no_waiting)
{
	int runs = 0, later = 0;

	begin(knit_loop_new(.clock = KNIT_CLOCK_VIRTUAL));
	quiet();
	knit_loop_call_later(loop, 3600 * KNIT_S, rig_count, &runs);
	knit_loop_call_later(loop, 7200 * KNIT_S, rig_count, &later);
	for (int i = 0; i < 10 && !later; i++) {
		cr_assert(readable(0));
		cr_assert_geq(knit_loop_run_once(loop, KNIT_FOREVER), 0);
	}
	cr_assert_eq(runs, 1);
	cr_assert_eq(later, 1);
	cr_assert_eq(knit_loop_time(loop), 7200 * KNIT_S);
	quiet();
	teardown();
}

/* ---- the end ---- */

Test(host, a_hosted_loop_can_be_closed)
{
	int runs = 0, fds = test_open_fds();

	setup();
	knit_loop_call_later(loop, 3600 * KNIT_S, rig_count, &runs);
	quiet();
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(knit_loop_fd(loop), -KNIT_ECLOSED);
	knit_loop_unref(loop);
	cr_assert_eq(test_open_fds(), fds);
}

Test(host, a_hosted_loop_runs_the_posts_that_woke_it_when_it_is_closed)
{
	int runs = 0, fds = test_open_fds();

	setup();
	cr_assert_eq(*(int *)rig_on_thread(post_one, &runs), 0);
	knit_loop_unref(loop);
	cr_assert_eq(runs, 1);
	cr_assert_eq(test_open_fds(), fds);
}
