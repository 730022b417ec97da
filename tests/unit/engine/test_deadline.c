/* SPDX-License-Identifier: MIT */
/* test_deadline.c - a wait ends at its deadline: never before, and without turning round
 * and round until then. Nothing here asserts that anything was fast. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>
#include "rig.h"

/* Nothing may wait as long as this; a test that does hangs. */
#define HOUR ((int64_t)3600 * SECOND)

/* Waits until @deadline with nothing to complete. */
static void wait_until(struct kn_engine *engine, int64_t deadline)
{
	cr_assert_eq(kn_engine_enter(engine, true, deadline), 0);
	cr_assert_geq(rig_now(), deadline);
	cr_assert_eq(kn_engine_reap(engine, 10), 0);
}

static void not_early(struct kn_engine *engine)
{
	static const int64_t spans[] = {1,       1000,        50000,           300000,
	                                1000000, 3 * 1000000, 17 * 1000 * 1000};

	for (size_t i = 0; i < KN_ARRAY_SIZE(spans); i++)
		for (int j = 0; j < 20 && j * spans[i] < 20 * MILLISECOND; j++)
			wait_until(engine, rig_now() + spans[i]);
}

Test(engine_deadline, a_wait_never_ends_early)
{
	rig_on_each_ring(0, 0, not_early);
}

static void past(struct kn_engine *engine)
{
	static const int64_t deadlines[] = {INT64_MIN, -1, 0, 1, 999999999, 1000000000};

	for (size_t i = 0; i < KN_ARRAY_SIZE(deadlines); i++)
		cr_assert_eq(kn_engine_enter(engine, true, deadlines[i]), 0);
	cr_assert_eq(kn_engine_enter(engine, true, rig_now()), 0);
	cr_assert_eq(rig_counters(engine).enters, 0, "there is nothing to call for");
}

Test(engine_deadline, a_deadline_in_the_past_does_not_wait)
{
	rig_on_each_ring(0, 0, past);
}

static void earlier(struct kn_engine *engine)
{
	/* Armed for much later, twice, so that the second is an update too. */
	cr_assert_eq(kn_engine_arm(engine, rig_now() + 2 * HOUR), 0);
	cr_assert_eq(kn_engine_arm(engine, rig_now() + HOUR), 0);
	uint64_t before = rig_counters(engine).enters;
	wait_until(engine, rig_now() + 2 * MILLISECOND);
	/* Telling the kernel is no event that ends the wait. (Under valgrind the wait is a poll,
	 * and the deadline may pass before it.) */
	cr_assert_leq(rig_counters(engine).enters, before + (uint64_t)test_scale(1, 1, 1, 3));
	wait_until(engine, rig_now() + 2 * MILLISECOND);
}

Test(engine_deadline, one_that_moves_earlier_counts)
{
	rig_on_each_ring(0, 0, earlier);
}

static void later(struct kn_engine *engine)
{
	for (int i = 0; i < 10; i++) {
		/* One that passes during the wait, and one that has passed before it. */
		int64_t old = rig_now() + (i % 2 ? 2000 : 200) * 1000;

		cr_assert_eq(kn_engine_arm(engine, old), 0);
		while (i % 2 == 0 && rig_now() < old + 50 * 1000)
			;
		uint64_t before = rig_counters(engine).enters;
		wait_until(engine, rig_now() + 6 * MILLISECOND);
		/* Once for nothing at the old deadline, once at the new. */
		cr_assert_leq(rig_counters(engine).enters, before + 3);
	}
}

Test(engine_deadline, one_that_moves_later_costs_one_wake_up)
{
	rig_on_each_ring(0, 0, later);
}

static void same(struct kn_engine *engine)
{
	struct probe nop = probe_of(KN_OP_NOP, -1);
	int64_t deadline = rig_now() + HOUR;

	for (int i = 0; i < 100; i++) {
		char byte;
		int fds[2];

		/* A wait that another operation ends. */
		rig_socketpair(fds);
		struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);
		probe_submit(engine, &receiving);
		probe_submit(engine, &nop);
		cr_assert_eq(kn_engine_enter(engine, true, deadline + i), 0);
		cr_assert_eq(kn_engine_reap(engine, 10), 1);
		close(fds[1]);
		cr_assert_eq(kn_engine_enter(engine, true, deadline + i), 0);
		while (kn_engine_reap(engine, 10) == 0)
			cr_assert_eq(kn_engine_enter(engine, true, deadline + i), 0);
		close(fds[0]);
	}
	/* Two operations a round, and at most one entry for the deadline in all. */
	cr_assert_leq(rig_counters(engine).submitted, 201);
}

Test(engine_deadline, one_that_stays_or_moves_later_is_told_once)
{
	rig_on_each_ring(0, 0, same);
}

static void *write_later(void *arg)
{
	int fd = *(int *)arg;

	cr_assert_eq(write(fd, "x", 1), 1);
	return NULL;
}

static void forever(struct kn_engine *engine)
{
	pthread_t thread;
	char byte;
	int fds[2];

	rig_socketpair(fds);
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);
	probe_submit(engine, &receiving);
	cr_assert_eq(pthread_create(&thread, NULL, write_later, &fds[1]), 0);
	while (!receiving.finals) {
		cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), 0);
		kn_engine_reap(engine, 10);
	}
	pthread_join(thread, NULL);
	cr_assert_eq(rig_counters(engine).submitted, 1, "no timer for that");
	close(fds[0]);
	close(fds[1]);
}

Test(engine_deadline, without_one_a_completion_ends_the_wait)
{
	rig_on_each_ring(0, 0, forever);
}

static bool no_timer(void *arg, const struct kn_op *op)
{
	++*(int *)arg;
	return op != NULL;
}

static void without_room(struct kn_engine *engine)
{
	int asked = 0;
	struct kn_engine_faults faults = {.arg = &asked, .room = no_timer};

	kn_engine_set_faults(engine, &faults);
	/* On a slow machine a deadline may pass before anybody waits for it. */
	int tries = 0;
	do {
		wait_until(engine, rig_now() + MILLISECOND);
	} while (asked < 5 && ++tries < 1000);
	cr_assert_geq(asked, 5);
	cr_assert_eq(rig_counters(engine).submitted, 0);
	kn_engine_set_faults(engine, NULL);
	wait_until(engine, rig_now() + MILLISECOND);
}

Test(engine_deadline, it_counts_where_the_ring_has_no_room_for_it)
{
	rig_on_each_ring(0, 0, without_room);
}

/* ---- signals ---- */

struct pest {
	pthread_t victim;
	int count;
	atomic_bool stop;
};

static atomic_int handled;

static void handler(int signal)
{
	(void)signal;
	atomic_fetch_add(&handled, 1);
}

/* Each signal only after the last was handled, so that each interrupts something. */
static void *pester(void *arg)
{
	struct pest *pest = arg;

	for (int i = 0; i < pest->count; i++) {
		pthread_kill(pest->victim, SIGUSR1);
		while (atomic_load(&handled) <= i)
			if (atomic_load(&pest->stop))
				return NULL;
	}
	return NULL;
}

static void interrupted(struct kn_engine *engine)
{
	struct pest pest = {.victim = pthread_self(),
	                    .count = (int)test_scale(2000, 1000, 500, 100)};
	int64_t guard = rig_now() + RIG_GUARD;
	pthread_t thread;
	char byte;
	int fds[2];

	atomic_store(&handled, 0);
	rig_socketpair(fds);
	cr_assert_eq(pthread_create(&thread, NULL, pester, &pest), 0);
	while (atomic_load(&handled) < pest.count && rig_now() < guard) {
		int64_t deadline = rig_now() + 200 * 1000;
		struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);

		probe_submit(engine, &receiving);
		while (rig_now() < deadline) {
			cr_assert_eq(kn_engine_enter(engine, true, deadline), 0);
			cr_assert_eq(kn_engine_reap(engine, 10), 0);
		}
		cr_assert_eq(write(fds[1], "x", 1), 1);
		rig_pump(engine, &receiving.finals, 1);
		cr_assert_eq(receiving.result, 1);
	}
	atomic_store(&pest.stop, true);
	pthread_join(thread, NULL);
	cr_assert_eq(atomic_load(&handled), pest.count);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_deadline, a_storm_of_signals_disturbs_neither_waits_nor_operations)
{
	struct sigaction action = {.sa_handler = handler};

	sigaction(SIGUSR1, &action, NULL);
	rig_on_each_ring(0, 0, interrupted);
}

/* ---- a host that polls the descriptor ---- */

static int readable(struct kn_engine *engine, int64_t timeout_ms)
{
	struct pollfd item = {.fd = kn_engine_fd(engine), .events = POLLIN};

	return poll(&item, 1, (int)timeout_ms);
}

/* As a host does: older kernels interrupt its call when a completion is to be worked out. */
static void await_readable(struct kn_engine *engine)
{
	int r;

	while ((r = readable(engine, RIG_GUARD / MILLISECOND)) < 0)
		cr_assert_eq(errno, EINTR);
	cr_assert_eq(r, 1, "nobody woke the host");
}

static void host_deadline(struct kn_engine *engine)
{
	for (int i = 0; i < 5; i++) {
		int64_t deadline = rig_now() + MILLISECOND;

		cr_assert_eq(kn_engine_arm(engine, deadline), 0);
		/* What the host does: it may wake for a deadline that has moved. */
		while (rig_now() < deadline) {
			await_readable(engine);
			cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
			cr_assert_eq(kn_engine_reap(engine, 10), 0);
			cr_assert_eq(kn_engine_arm(engine, deadline), 0);
		}
	}
	cr_assert_eq(kn_engine_arm(engine, 0), 0);
	await_readable(engine);
	cr_assert_eq(kn_engine_arm(engine, INT64_MIN), 0);
	await_readable(engine);
}

Test(engine_deadline, the_descriptor_polls_readable_at_the_deadline)
{
	rig_on_each_ring(0, 0, host_deadline);
}

static void host_completion(struct kn_engine *engine)
{
	pthread_t thread;
	char byte;
	int fds[2];

	rig_socketpair(fds);
	cr_assert_geq(kn_engine_fd(engine), 0);
	cr_assert_eq(kn_engine_arm(engine, INT64_MAX), 0);
	cr_assert_eq(readable(engine, 0), 0, "nothing is in flight");
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);
	probe_submit(engine, &receiving);
	cr_assert_eq(kn_engine_arm(engine, INT64_MAX), 0);
	cr_assert_eq(readable(engine, 0), 0, "nothing has completed");
	/* Once while the host polls, if the other thread is slow enough, or before. */
	cr_assert_eq(pthread_create(&thread, NULL, write_later, &fds[1]), 0);
	await_readable(engine);
	pthread_join(thread, NULL);
	rig_pump(engine, &receiving.finals, 1);
	cr_assert_eq(receiving.result, 1);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_deadline, the_descriptor_polls_readable_for_a_completion)
{
	rig_on_each_ring(0, 0, host_completion);
}

static bool never(void *arg, const struct kn_op *op)
{
	(void)arg;
	return op == NULL;
}

/* The kernel does not know of it: it was cancelled before it got that far. */
static void host_finished(struct kn_engine *engine)
{
	struct kn_engine_faults faults = {.room = never};
	struct probe nop = probe_of(KN_OP_NOP, -1);

	cr_assert_geq(kn_engine_fd(engine), 0);
	cr_assert_eq(kn_engine_arm(engine, INT64_MAX), 0);
	cr_assert_eq(readable(engine, 0), 0);
	kn_engine_set_faults(engine, &faults);
	probe_submit(engine, &nop);
	kn_engine_cancel(engine, &nop.op);
	cr_assert_eq(kn_engine_arm(engine, INT64_MAX), 0);
	await_readable(engine);
	cr_assert_eq(kn_engine_reap(engine, 10), 1);
	kn_engine_set_faults(engine, NULL);
	rig_settle(engine);
}

Test(engine_deadline, the_descriptor_polls_readable_for_what_the_kernel_never_saw)
{
	rig_on_each_ring(0, 0, host_finished);
}
