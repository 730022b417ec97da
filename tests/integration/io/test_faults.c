/* SPDX-License-Identifier: MIT */
/* test_faults.c - the races once more, with a kernel that has no room, breaks off what it has
 * begun, or tells late; and in a storm of signals.
 *
 * L2: "Stack-resident operations and an early return are a use after free: no entry for the
 * operation, none for the cancellation". L3: "A failed submit does not mean that the kernel did
 * not see the entry". L14: "EINTR, EAGAIN and EBUSY are normal". */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include "base/compiler.h"
#include "data.h"

static uint32_t dice;

static bool one_in(uint32_t n)
{
	return rig_random(&dice) % n == 0;
}

/* ---- the faults ---- */

static bool little_room(void *arg, const struct kn_op *op)
{
	(void)arg;
	(void)op;
	return !one_in(3);
}

static const int lies[] = {-EINTR, -EAGAIN, -EBUSY, -ENOMEM};

/* The kernel takes the entries, and says that it failed. */
static int takes_and_fails(void *arg, struct kn_engine *engine, unsigned submit, unsigned wait,
                           int (*call)(struct kn_engine *, unsigned, unsigned))
{
	int r;

	(void)arg;
	if (!one_in(3))
		return call(engine, submit, wait);
	/* It never fails after a wait that was successful. */
	r = call(engine, submit, 0);
	return r < 0 ? r : lies[rig_random(&dice) % KN_ARRAY_SIZE(lies)];
}

/* It takes some or nothing. */
static int takes_little(void *arg, struct kn_engine *engine, unsigned submit, unsigned wait,
                        int (*call)(struct kn_engine *, unsigned, unsigned))
{
	(void)arg;
	if (!one_in(3))
		return call(engine, submit, wait);
	if (submit > 1 && one_in(2))
		return call(engine, submit / 2, 0);
	return lies[rig_random(&dice) % KN_ARRAY_SIZE(lies)];
}

static bool tells_late(void *arg, const struct kn_op *op, int *result)
{
	(void)arg;
	(void)op;
	(void)result;
	return !one_in(3);
}

static const struct kn_engine_faults kinds[] = {
        {.room = little_room},
        {.enter = takes_and_fails},
        {.enter = takes_little},
        {.completion = tells_late},
        {.room = little_room, .enter = takes_and_fails, .completion = tells_late},
        {.room = little_room, .enter = takes_little, .completion = tells_late},
};
static const struct kn_engine_faults *chosen;

static void set_faults(struct race *race)
{
	(void)race;
	kn_engine_set_faults(rig_engine(), chosen);
}

Test(io_faults, recv_loses_nothing_to_a_kernel_that_fails_now_and_then)
{
	for (chosen = kinds; chosen < kinds + KN_ARRAY_SIZE(kinds); chosen++)
		data_race_recv(AF_UNIX, rig_rounds(500, 200, 100, 10), set_faults);
}

Test(io_faults, sendall_loses_nothing_to_a_kernel_that_fails_now_and_then)
{
	for (chosen = kinds; chosen < kinds + KN_ARRAY_SIZE(kinds); chosen++)
		data_race_sendall(AF_UNIX, rig_rounds(300, 100, 50, 10), set_faults);
}

/* ---- a storm of signals ---- */

static struct {
	pthread_t target, thread;
	atomic_bool over;
	atomic_long sent;
} storm;

static void ignore(int signum)
{
	(void)signum;
}

static void *send_signals(void *arg)
{
	const struct timespec pause = {.tv_nsec = 200000};

	(void)arg;
	while (!atomic_load(&storm.over)) {
		pthread_kill(storm.target, SIGUSR1);
		atomic_fetch_add(&storm.sent, 1);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* Without SA_RESTART: each signal interrupts what can be interrupted. */
static void begin_storm(void)
{
	struct sigaction action = {.sa_handler = ignore};

	cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
	storm.target = pthread_self();
	atomic_store(&storm.over, false);
	cr_assert_eq(pthread_create(&storm.thread, NULL, send_signals, NULL), 0);
}

static void end_storm(void)
{
	atomic_store(&storm.over, true);
	cr_assert_eq(pthread_join(storm.thread, NULL), 0);
	cr_assert_gt(atomic_load(&storm.sent), 10);
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * KNIT_S + t.tv_nsec;
}

/* Waits out of which signals call the loop; none of them ends early. */
static intptr_t sleep_in_the_storm(void *arg)
{
	uint32_t random = 5;

	(void)arg;
	for (long i = 0; i < rig_rounds(40, 40, 40, 10) || atomic_load(&storm.sent) < 50; i++) {
		int64_t delay = rig_random(&random) % (3 * KNIT_MS), start = now();

		cr_assert_eq(knit_sleep(delay), 0);
		cr_assert_geq(now() - start, delay, "too early");
	}
	return 0;
}

Test(io_faults, no_timer_is_early_in_a_storm_of_signals)
{
	begin_storm();
	rig_run(sleep_in_the_storm, NULL);
	end_storm();
}

/* The peer's thread gets none of the signals: they are for the loop's. */
Test(io_faults, no_byte_is_lost_in_a_storm_of_signals)
{
	begin_storm();
	do {
		data_race_recv(AF_UNIX, rig_rounds(1000, 300, 200, 10), NULL);
		data_race_sendall(AF_UNIX, rig_rounds(300, 100, 50, 5), NULL);
	} while (atomic_load(&storm.sent) < 100);
	end_storm();
}
