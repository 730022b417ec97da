/* SPDX-License-Identifier: MIT */
/* test_spin.c - a loop that looks out for a while before it sleeps (.spin): it misses nothing
 * meanwhile, nobody has to wake it, and it comes to its end. A spin of an hour shows by the test's
 * end that something ended it. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HOUR (3600 * KNIT_S)

static void set(void *flag)
{
	atomic_store((atomic_int *)flag, 1);
}

/* ---- what it sees ---- */

static uint64_t times_slept(void *loop)
{
	return ((knit_loop *)loop)->counters.sleeps;
}

static void note_sleeps(void *arg)
{
	uint64_t *sleeps = arg;

	*sleeps = times_slept(knit_get_running_loop());
}

Test(spin, a_spinning_loop_is_not_woken_for_a_post)
{
	struct worker worker = {.options = {.spin = HOUR}};
	int rounds = (int)test_scale(2000, 500, 500, 20);
	uint64_t sleeps = 1;

	worker_start(&worker);
	for (int i = 0; i < rounds; i++) {
		atomic_int ran = 0;

		cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, set, &ran), 0);
		rig_until(rig_is_set, &ran);
	}
	cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, note_sleeps, &sleeps), 0);
	worker_join(&worker);
	cr_assert_eq(worker.run, 0);
	cr_assert_eq((int)atomic_load(&worker.loop->wakes), 0, "nobody wrote the eventfd");
	cr_assert_eq(sleeps, 0, "it never slept");
	knit_loop_unref(worker.loop);
}

Test(spin, a_timer_ends_it)
{
	knit_loop *loop = knit_loop_new(.spin = HOUR);

	cr_assert_not_null(loop);
	for (int i = 0; i < 20; i++) {
		int64_t when = knit_loop_time(loop) + 200 * KNIT_US;

		cr_assert_eq(knit_handle_error(knit_loop_call_at(loop, when, rig_stop, NULL)), 0);
		cr_assert_eq(knit_loop_run_forever(loop), 0);
		cr_assert_geq(rig_now(), when, "never early");
	}
	cr_assert_eq(loop->counters.sleeps, 0);
	/* A bounded pass ends at its bound. */
	cr_assert_eq(knit_loop_run_once(loop, KNIT_MS), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	knit_loop_unref(loop);
}

static void *raise_later(void *arg)
{
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

Test(spin, a_signal_is_seen)
{
	knit_loop *loop = knit_loop_new(.spin = HOUR);
	pthread_t self = pthread_self(), other;

	cr_assert_not_null(loop);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, rig_stop, NULL), 0);
	for (int i = 0; i < 20; i++) {
		other = rig_thread(raise_later, &self);
		cr_assert_eq(knit_loop_run_forever(loop), 0);
		rig_join(other);
	}
	cr_assert_eq(knit_loop_close(loop), 0);
	knit_loop_unref(loop);
}

/* ---- completions ---- */

static void complete(struct kn_op *op)
{
	(void)op;
	knit_loop_stop(NULL);
}

static void *write_one(void *fd)
{
	(void)!eventfd_write(*(int *)fd, 1);
	return NULL;
}

/* The kernel's part of it may be left to an enter that a spinning loop has no other reason for. */
static void sees_completions(unsigned refused_flags)
{
	knit_loop *loop;
	int fd = eventfd(0, EFD_CLOEXEC);
	uint64_t value;

	kn_engine_refuse_setup_flags(refused_flags);
	loop = knit_loop_new(.spin = HOUR);
	kn_engine_refuse_setup_flags(0);
	cr_assert_not_null(loop);
	for (int i = 0; i < 50; i++) {
		struct kn_op op = {.opcode = KN_OP_READ,
		                   .fd = fd,
		                   .address = &value,
		                   .length = sizeof(value),
		                   .offset = (uint64_t)-1,
		                   .complete = complete};
		pthread_t other;

		/* The first run makes the loop this thread's. */
		if (i == 0)
			cr_assert_eq(knit_loop_run_once(loop, 0), 0);
		cr_assert_eq(kn_engine_submit(loop->engine, &op), 0);
		other = rig_thread(write_one, &fd);
		cr_assert_eq(knit_loop_run_forever(loop), 0);
		cr_assert_eq(op.result, (int)sizeof(value));
		rig_join(other);
	}
	cr_assert_eq(knit_loop_close(loop), 0);
	knit_loop_unref(loop);
	close(fd);
}

Test(spin, a_completion_is_seen_on_each_kind_of_ring)
{
	sees_completions(0);
	sees_completions(IORING_SETUP_DEFER_TASKRUN);
	sees_completions(IORING_SETUP_SINGLE_ISSUER);
	sees_completions(IORING_SETUP_COOP_TASKRUN);
	sees_completions(IORING_SETUP_SUBMIT_ALL);
}

/* ---- and then ---- */

Test(spin, it_sleeps_when_its_time_is_over)
{
	struct worker worker = {.options = {.spin = 20 * KNIT_US}};

	worker_start(&worker);
	for (int i = 0; i < 50; i++) {
		atomic_int ran = 0;

		rig_until(rig_asleep, worker.loop);
		cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, set, &ran), 0);
		rig_until(rig_is_set, &ran);
	}
	cr_assert_eq((int)atomic_load(&worker.loop->wakes), 50, "one wake-up each");
	worker_stop(&worker);
}

struct ball {
	knit_loop *loops[2];
	int left;
	int at;
	atomic_int done;
};

static void pass_on(void *arg)
{
	struct ball *ball = arg;

	if (ball->left-- == 0) {
		atomic_store(&ball->done, 1);
		return;
	}
	ball->at ^= 1;
	if (knit_loop_call_soon_threadsafe(ball->loops[ball->at], pass_on, ball) < 0)
		atomic_store(&ball->done, 2);
}

/* A spin about as long as a hand-over ends just as the ball comes, again and again. */
Test(spin, no_wake_up_is_lost_at_its_end)
{
	static const int64_t spins[] = {1, 300, KNIT_US, 3 * KNIT_US, 10 * KNIT_US, 40 * KNIT_US};

	for (size_t i = 0; i < KN_ARRAY_SIZE(spins); i++) {
		struct worker workers[2] = {{.options = {.spin = spins[i]}},
		                            {.options = {.spin = spins[i]}}};
		struct ball ball = {.left = (int)test_scale(5000, 2000, 1000, 100)};

		for (int k = 0; k < 2; k++) {
			worker_start(&workers[k]);
			ball.loops[k] = workers[k].loop;
		}
		cr_assert_eq(knit_loop_call_soon_threadsafe(ball.loops[0], pass_on, &ball), 0);
		rig_until(rig_is_set, &ball.done);
		cr_assert_eq(atomic_load(&ball.done), 1);
		worker_stop(&workers[0]);
		worker_stop(&workers[1]);
	}
}

Test(spin, what_is_no_time_is_refused)
{
	errno = 0;
	cr_assert_null(knit_loop_new(.spin = -1));
	cr_assert_eq(errno, EINVAL);
	/* Longer than the clock can count. */
	knit_loop *loop = knit_loop_new(.spin = KNIT_FOREVER);

	cr_assert_not_null(loop);
	cr_assert_eq(knit_handle_error(knit_loop_call_later(loop, KNIT_MS, rig_stop, NULL)), 0);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	knit_loop_unref(loop);
}
