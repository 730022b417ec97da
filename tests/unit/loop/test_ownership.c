/* SPDX-License-Identifier: MIT */
/* test_ownership.c - which thread a loop belongs to, and what the others get from it. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

/* ---- the first run ---- */

static void *run_once_here(void *loop)
{
	return (void *)(intptr_t)knit_loop_run_once(loop, 0);
}

static void *fd_here(void *loop)
{
	return (void *)(intptr_t)(knit_loop_fd(loop) < 0 ? -1 : 0);
}

static void *close_here(void *loop)
{
	return (void *)(intptr_t)knit_loop_close(loop);
}

static void *until_complete_here(void *loop)
{
	return (void *)(intptr_t)knit_loop_run_until_complete(loop, nothing, NULL);
}

struct hand_over {
	knit_loop *loop;
	void *(*first)(void *loop);
	int runs;
	long first_result, second_result, close_result;
	sem_t ran, go_on;
};

/* Takes the loop over, waits until the test has looked, and closes it. */
static void *take_over(void *arg)
{
	struct hand_over *hand_over = arg;

	hand_over->first_result = (intptr_t)hand_over->first(hand_over->loop);
	sem_post(&hand_over->ran);
	while (sem_wait(&hand_over->go_on) < 0)
		;
	hand_over->second_result = knit_loop_run_once(hand_over->loop, 0);
	hand_over->close_result = knit_loop_close(hand_over->loop);
	return NULL;
}

static void check_hand_over(void *(*first)(void *loop))
{
	struct hand_over hand_over = {.loop = knit_loop_new(), .first = first};
	pthread_t thread;

	sem_init(&hand_over.ran, 0, 0);
	sem_init(&hand_over.go_on, 0, 0);
	/* The creator's until then. */
	cr_assert_eq(
	        knit_handle_error(knit_loop_call_soon(hand_over.loop, rig_count, &hand_over.runs)),
	        0);
	thread = rig_thread(take_over, &hand_over);
	while (sem_wait(&hand_over.ran) < 0)
		cr_assert_eq(errno, EINTR);
	cr_assert_eq(hand_over.first_result, 0);
	cr_assert_eq(
	        knit_handle_error(knit_loop_call_soon(hand_over.loop, rig_count, &hand_over.runs)),
	        -KNIT_EWRONGTHREAD);
	cr_assert_eq(knit_loop_run_once(hand_over.loop, 0), -KNIT_EWRONGTHREAD);
	cr_assert_eq(knit_loop_close(hand_over.loop), -KNIT_EWRONGTHREAD);
	sem_post(&hand_over.go_on);
	rig_join(thread);
	cr_assert_eq(hand_over.second_result, 0);
	cr_assert_eq(hand_over.close_result, 0);
	cr_assert_eq(hand_over.runs, 1);
	knit_loop_unref(hand_over.loop);
}

Test(ownership, the_first_run_takes_the_loop_over)
{
	check_hand_over(run_once_here);
	check_hand_over(until_complete_here);
}

Test(ownership, asking_for_the_descriptor_takes_it_over)
{
	check_hand_over(fd_here);
}

Test(ownership, without_a_run_the_creator_keeps_it)
{
	knit_loop *loop = knit_loop_new();

	cr_assert_eq((intptr_t)rig_on_thread(close_here, loop), -KNIT_EWRONGTHREAD);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq((intptr_t)rig_on_thread(run_once_here, loop), -KNIT_EWRONGTHREAD);
	knit_loop_unref(loop);
}

enum { RACERS = 4 };

struct racer {
	knit_loop *loop;
	atomic_int *ready, *done;
	long result;
};

static void *race(void *arg)
{
	struct racer *racer = arg;

	atomic_fetch_add(racer->ready, 1);
	while (atomic_load(racer->ready) < RACERS)
		sched_yield();
	racer->result = knit_loop_run_once(racer->loop, 0);
	/* Who has it now must not end before the others have asked. */
	atomic_fetch_add(racer->done, 1);
	while (atomic_load(racer->done) < RACERS)
		sched_yield();
	return NULL;
}

Test(ownership, of_many_first_runs_at_once_one_wins)
{
	int rounds = (int)test_scale(200, 50, 50, 10);

	for (int i = 0; i < rounds; i++) {
		knit_loop *loop = knit_loop_new(.sq_entries = 8, .cq_entries = 16);
		atomic_int ready = 0, done = 0;
		struct racer racers[RACERS];
		pthread_t threads[RACERS];
		int won = 0;

		for (int j = 0; j < RACERS; j++) {
			racers[j] = (struct racer){loop, &ready, &done, 1};
			threads[j] = rig_thread(race, &racers[j]);
		}
		for (int j = 0; j < RACERS; j++) {
			rig_join(threads[j]);
			won += racers[j].result == 0;
			cr_assert(racers[j].result == 0 || racers[j].result == -KNIT_EWRONGTHREAD ||
			                  racers[j].result == -KNIT_ERUNNING,
			          "%ld", racers[j].result);
		}
		cr_assert_eq(won, 1);
		cr_assert(knit_loop_is_closed(loop), "the winner's end has closed it");
		knit_loop_unref(loop);
	}
}

struct orphan {
	_Atomic(knit_loop *) loop;
	atomic_int go;
	int run, runs;
};

/* Ends while another thread is about to run what it made. */
static void *make_and_end(void *arg)
{
	struct orphan *orphan = arg;
	knit_loop *loop = knit_loop_new(.sq_entries = 8, .cq_entries = 16);

	(void)!knit_loop_call_soon_threadsafe(loop, rig_count, &orphan->runs);
	atomic_store(&orphan->loop, knit_loop_ref(loop));
	knit_loop_unref(loop);
	while (!atomic_load(&orphan->go))
		sched_yield();
	return NULL;
}

Test(ownership, the_end_of_the_maker_and_the_first_run_do_not_meet)
{
	int rounds = (int)test_scale(500, 200, 200, 20);

	for (int i = 0; i < rounds; i++) {
		struct orphan orphan = {.run = 1};
		pthread_t thread = rig_thread(make_and_end, &orphan);
		knit_loop *loop;

		while (!(loop = atomic_load(&orphan.loop)))
			sched_yield();
		atomic_store(&orphan.go, 1);
		for (int j = 0; j < i % 100; j++)
			(void)knit_loop_is_closed(loop);
		orphan.run = knit_loop_run_once(loop, 0);
		rig_join(thread);
		if (orphan.run == 0) {
			cr_assert_not(knit_loop_is_closed(loop));
			cr_assert_eq(knit_loop_run_once(loop, 0), 0, "it is ours");
		} else {
			cr_assert(orphan.run == -KNIT_ECLOSED || orphan.run == -KNIT_EWRONGTHREAD,
			          "%s", knit_errname(orphan.run));
			cr_assert(knit_loop_is_closed(loop));
		}
		cr_assert_eq(orphan.runs, 1, "the post was accepted, so it ran");
		knit_loop_unref(loop);
	}
}

/* ---- calls from a foreign thread ---- */

/* Every call that has a way to say so. */
static void *call_everything(void *arg)
{
	knit_loop *loop = arg;
	knit_exception_context context = {.message = "text"};
	int ignored = 0;
	bool refused = knit_handle_error(knit_loop_call_soon(loop, rig_count, &ignored)) ==
	                       -KNIT_EWRONGTHREAD &&
	               knit_handle_error(knit_loop_call_later(loop, 1, rig_count, &ignored)) ==
	                       -KNIT_EWRONGTHREAD &&
	               knit_handle_error(knit_loop_call_at(loop, 1, rig_count, &ignored)) ==
	                       -KNIT_EWRONGTHREAD &&
	               knit_loop_time(loop) == -KNIT_EWRONGTHREAD &&
	               knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &ignored) ==
	                       -KNIT_EWRONGTHREAD &&
	               knit_loop_remove_signal_handler(loop, SIGUSR1) == -KNIT_EWRONGTHREAD &&
	               knit_loop_set_exception_handler(loop, NULL, NULL) == -KNIT_EWRONGTHREAD &&
	               knit_loop_call_exception_handler(loop, &context) == -KNIT_EWRONGTHREAD;

	return refused && ignored == 0 ? arg : NULL;
}

/* Running and closing are refused as well, with a reason that depends on the loop's state. */
static void *run_and_close(void *arg)
{
	knit_loop *loop = arg;
	bool refused = knit_loop_run_forever(loop) < 0 && knit_loop_run_once(loop, 0) < 0 &&
	               knit_loop_run_until_complete(loop, nothing, NULL) < 0 &&
	               knit_loop_fd(loop) < 0;

	return refused ? arg : NULL;
}

Test(ownership, a_running_loop_refuses_other_threads)
{
	struct worker worker = {0};

	worker_start(&worker);
	rig_until(rig_asleep, worker.loop);
	cr_assert_not_null(call_everything(worker.loop));
	cr_assert_not_null(run_and_close(worker.loop));
	cr_assert_eq(knit_loop_close(worker.loop), -KNIT_EWRONGTHREAD);
	cr_assert_not(knit_loop_is_closed(worker.loop));
	worker_stop(&worker);
}

Test(ownership, a_loop_that_does_not_run_refuses_other_threads)
{
	knit_loop *loop = knit_loop_new();

	cr_assert_eq(rig_on_thread(call_everything, loop), loop);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(rig_on_thread(call_everything, loop), loop);
	cr_assert_eq(rig_on_thread(run_and_close, loop), loop);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(rig_on_thread(call_everything, loop), loop, "closed");
	cr_assert_eq(rig_on_thread(run_and_close, loop), loop, "closed");
	cr_assert_eq((intptr_t)rig_on_thread(close_here, loop), 0, "closing twice does nothing");
	knit_loop_unref(loop);
}

Test(ownership, after_the_owners_end_nobody_owns_it)
{
	struct worker worker = {0};
	knit_loop *loop;

	worker_start(&worker);
	loop = knit_loop_ref(worker.loop);
	worker_stop(&worker);
	cr_assert(knit_loop_is_closed(loop));
	cr_assert_not_null(call_everything(loop));
	cr_assert_not_null(run_and_close(loop));
	/* The next thread may get the same thread-local addresses. */
	for (int i = 0; i < 10; i++) {
		cr_assert_eq(rig_on_thread(call_everything, loop), loop);
		cr_assert_eq(rig_on_thread(run_and_close, loop), loop);
	}
	knit_loop_unref(loop);
}

/* ---- calls that cannot say so ---- */

static struct worker death_worker;
static knit_handle foreign_handle;

static void make_handle(void *installed)
{
	static int ignored;

	foreign_handle = knit_loop_call_later(NULL, KNIT_FOREVER, rig_count, &ignored);
	atomic_store((atomic_int *)installed, 1);
}

static void have_a_foreign_loop(void)
{
	static atomic_int installed;

	worker_start(&death_worker);
	if (knit_loop_call_soon_threadsafe(death_worker.loop, make_handle, &installed) < 0)
		_exit(0);
	while (!atomic_load(&installed))
		sched_yield();
}

static void die_stopping(void *ignored)
{
	(void)ignored;
	have_a_foreign_loop();
	knit_loop_stop(death_worker.loop);
}

static void die_cancelling(void *ignored)
{
	(void)ignored;
	have_a_foreign_loop();
	knit_handle_cancel(foreign_handle);
}

static void die_asking_for_pending(void *ignored)
{
	(void)ignored;
	have_a_foreign_loop();
	knit_handle_is_pending(foreign_handle);
}

Test(ownership, what_cannot_refuse_ends_the_process_with_a_message)
{
	test_death(die_stopping, NULL, "knit_loop_stop(): called on a thread that does not own");
	test_death(die_cancelling, NULL, "knit_handle_cancel(): the handle's loop belongs to");
	test_death(die_asking_for_pending, NULL, "knit_handle_is_pending(): the handle's loop");
}

static void die_stopping_after_the_end(void *ignored)
{
	(void)ignored;
	have_a_foreign_loop();
	worker_join(&death_worker);
	knit_loop_stop(death_worker.loop);
}

Test(ownership, a_loop_without_an_owner_says_so)
{
	test_death(die_stopping_after_the_end, NULL, "knit_loop_stop(): its loop is closed");
}

Test(ownership, the_handle_of_a_closed_foreign_loop_is_harmless)
{
	static atomic_int installed;

	worker_start(&death_worker);
	cr_assert_eq(knit_loop_call_soon_threadsafe(death_worker.loop, make_handle, &installed), 0);
	rig_until(rig_is_set, &installed);
	worker_join(&death_worker);
	cr_assert_not(knit_handle_is_pending(foreign_handle));
	cr_assert_not(knit_handle_cancel(foreign_handle));
	cr_assert_eq(knit_handle_when(foreign_handle), -KNIT_EINVALIDSTATE);
	knit_loop_unref(death_worker.loop);
	cr_assert_not(knit_handle_cancel(foreign_handle), "nor of one that is gone");
}
