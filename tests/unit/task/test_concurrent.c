/* SPDX-License-Identifier: MIT */
/* test_concurrent.c - concurrent futures that threads complete by hand. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>
#include "knit/task.h"

/* ---- one thread ---- */

Test(concurrent, it_is_completed_once)
{
	knit_concurrent_future *future = knit_concurrent_future_new();

	cr_assert_not_null(future);
	cr_assert_not(knit_concurrent_future_done(future));
	cr_assert_eq(knit_concurrent_future_set_result(future, 42), 0);
	cr_assert(knit_concurrent_future_done(future));
	cr_assert_eq(knit_concurrent_future_result(future, 0), 42);
	cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), 42, "again");
	cr_assert_eq(knit_concurrent_future_set_result(future, 43), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_concurrent_future_set_exception(future, EIO, "no"), -KNIT_EINVALIDSTATE);
	cr_assert_not(knit_concurrent_future_cancel(future));
	cr_assert_eq(knit_concurrent_future_result(future, 0), 42);
	cr_assert_null(knit_concurrent_future_unref(future));
}

Test(concurrent, values_that_look_like_nothing_are_values)
{
	static const intptr_t values[] = {0, 1, INTPTR_MAX, INTPTR_MIN, -KNIT_ERRNO_MAX - 1};

	for (size_t i = 0; i < KN_ARRAY_SIZE(values); i++) {
		knit_concurrent_future *future = knit_concurrent_future_new();

		cr_assert_eq(knit_concurrent_future_set_result(future, values[i]), 0);
		cr_assert_eq(knit_concurrent_future_result(future, 0), values[i]);
		knit_concurrent_future_unref(future);
	}
}

Test(concurrent, a_failure_has_a_code_and_a_text)
{
	knit_concurrent_future *future = knit_concurrent_future_new();

	cr_assert_eq(knit_concurrent_future_set_exception(future, EIO, "the disk is gone"), 0);
	cr_assert_eq(knit_concurrent_future_result(future, 0), -EIO);
	cr_assert_str_eq(knit_error_message(-EIO), "the disk is gone");
	knit_concurrent_future_unref(future);
	future = knit_concurrent_future_new();
	cr_assert_eq(knit_concurrent_future_set_exception(future, -EPIPE, NULL), 0);
	cr_assert_eq(knit_concurrent_future_result(future, 0), -EPIPE);
	cr_assert_str_eq(knit_error_message(-EPIPE), knit_strerror(EPIPE));
	knit_concurrent_future_unref(future);
	future = knit_concurrent_future_new();
	cr_assert_eq(knit_concurrent_future_set_result(future, -ENOENT), 0);
	cr_assert_eq(knit_concurrent_future_result(future, 0), -ENOENT);
	knit_concurrent_future_unref(future);
}

Test(concurrent, what_is_no_code_is_refused)
{
	static const int codes[] = {0, KNIT_ERRNO_MAX + 1, -KNIT_ERRNO_MAX - 1, 1 << 30};
	knit_concurrent_future *future = knit_concurrent_future_new();

	for (size_t i = 0; i < KN_ARRAY_SIZE(codes); i++)
		cr_assert_eq(knit_concurrent_future_set_exception(future, codes[i], "no"), -EINVAL);
	cr_assert_not(knit_concurrent_future_done(future));
	knit_concurrent_future_unref(future);
	cr_assert_eq(knit_concurrent_future_set_result(NULL, 1), -EINVAL);
	cr_assert_eq(knit_concurrent_future_result(NULL, 1), -EINVAL);
	cr_assert_null(knit_concurrent_future_unref(NULL));
	cr_assert_null(knit_concurrent_future_ref(NULL));
}

Test(concurrent, it_can_be_cancelled_once)
{
	for (int by_result = 0; by_result < 2; by_result++) {
		knit_concurrent_future *future = knit_concurrent_future_new();

		if (by_result)
			cr_assert_eq(knit_concurrent_future_set_result(future, -KNIT_ECANCELLED),
			             0);
		else
			cr_assert(knit_concurrent_future_cancel(future));
		cr_assert(knit_concurrent_future_done(future));
		cr_assert_eq(knit_concurrent_future_result(future, 0), -KNIT_ECANCELLED);
		cr_assert_not(knit_concurrent_future_cancel(future));
		cr_assert_eq(knit_concurrent_future_set_result(future, 1), -KNIT_EINVALIDSTATE);
		knit_concurrent_future_unref(future);
	}
}

Test(concurrent, a_wait_that_expires_leaves_it_alone)
{
	knit_concurrent_future *future = knit_concurrent_future_new();
	int64_t begin = rig_now();

	cr_assert_eq(knit_concurrent_future_result(future, 0), -ETIMEDOUT);
	cr_assert_eq(knit_concurrent_future_result(future, INT64_MIN), -ETIMEDOUT);
	cr_assert_eq(knit_concurrent_future_result(future, 3 * KNIT_MS), -ETIMEDOUT);
	cr_assert_geq(rig_now() - begin, 3 * KNIT_MS);
	cr_assert_not(knit_concurrent_future_done(future));
	cr_assert_eq(knit_concurrent_future_set_result(future, 5), 0);
	cr_assert_eq(knit_concurrent_future_result(future, 0), 5);
	knit_concurrent_future_unref(future);
}

/* ---- two threads ---- */

struct waiter {
	knit_concurrent_future *future;
	int64_t timeout;
	atomic_int waits;
	intptr_t result;
	const char *text;
	bool text_fits;
};

static void *wait_for_it(void *arg)
{
	struct waiter *waiter = arg;

	atomic_store(&waiter->waits, 1);
	waiter->result = knit_concurrent_future_result(waiter->future, waiter->timeout);
	if (waiter->text)
		waiter->text_fits = !strcmp(knit_error_message(waiter->result), waiter->text);
	knit_concurrent_future_unref(waiter->future);
	return NULL;
}

Test(concurrent, all_who_wait_get_the_outcome_and_its_text)
{
	enum { WAITERS = 6 };
	struct waiter waiters[WAITERS] = {0};
	knit_concurrent_future *future = knit_concurrent_future_new();
	pthread_t threads[WAITERS];

	for (int i = 0; i < WAITERS; i++) {
		waiters[i].future = knit_concurrent_future_ref(future);
		waiters[i].timeout = i % 2 ? KNIT_FOREVER : 3600 * KNIT_S;
		waiters[i].text = "told";
		threads[i] = rig_thread(wait_for_it, &waiters[i]);
	}
	for (int i = 0; i < WAITERS; i++)
		rig_until(rig_is_set, &waiters[i].waits);
	cr_assert_eq(knit_concurrent_future_set_exception(future, EBADMSG, "told"), 0);
	knit_concurrent_future_unref(future);
	for (int i = 0; i < WAITERS; i++) {
		rig_join(threads[i]);
		cr_assert_eq(waiters[i].result, -EBADMSG);
		cr_assert(waiters[i].text_fits);
	}
}

Test(concurrent, a_thread_that_waits_can_be_cancelled)
{
	struct waiter waiter = {.timeout = KNIT_FOREVER, .result = 1};
	knit_concurrent_future *future = knit_concurrent_future_new();
	pthread_t thread;

	waiter.future = future; /* the thread will not come to drop a reference */
	thread = rig_thread(wait_for_it, &waiter);
	rig_until(rig_is_set, &waiter.waits);
	cr_assert_eq(pthread_cancel(thread), 0);
	cr_assert_eq(rig_join(thread), PTHREAD_CANCELED);
	/* It has not kept the lock. */
	cr_assert_eq(knit_concurrent_future_set_result(future, 4), 0);
	cr_assert_eq(knit_concurrent_future_result(future, 0), 4);
	knit_concurrent_future_unref(future);
}

enum { RACERS = 6 };

struct racer {
	knit_concurrent_future *future;
	atomic_int *ready;
	int number;
	bool won;
	intptr_t seen;
};

static void *race(void *arg)
{
	struct racer *racer = arg;

	atomic_fetch_add(racer->ready, 1);
	while (atomic_load(racer->ready) < RACERS)
		sched_yield();
	switch (racer->number % 3) {
	case 0:
		racer->won = knit_concurrent_future_set_result(racer->future,
		                                               1000 + racer->number) == 0;
		break;
	case 1:
		racer->won = knit_concurrent_future_set_exception(racer->future,
		                                                  100 + racer->number, "x") == 0;
		break;
	default:
		racer->won = knit_concurrent_future_cancel(racer->future);
	}
	racer->seen = knit_concurrent_future_result(racer->future, KNIT_FOREVER);
	knit_concurrent_future_unref(racer->future);
	return NULL;
}

static intptr_t outcome_of(const struct racer *racer)
{
	static const intptr_t kinds[] = {1000, -100, -KNIT_ECANCELLED};
	intptr_t outcome = kinds[racer->number % 3];

	if (racer->number % 3 == 2)
		return outcome;
	return outcome + (outcome < 0 ? -racer->number : racer->number);
}

Test(concurrent, of_those_who_complete_it_at_once_one_wins)
{
	int rounds = (int)test_scale(300, 100, 100, 10);

	for (int i = 0; i < rounds; i++) {
		knit_concurrent_future *future = knit_concurrent_future_new();
		struct racer racers[RACERS];
		pthread_t threads[RACERS];
		atomic_int ready = 0;
		int winner = -1;

		for (int j = 0; j < RACERS; j++) {
			racers[j] = (struct racer){knit_concurrent_future_ref(future), &ready,
			                           (j + i) % RACERS, false, 0};
			threads[j] = rig_thread(race, &racers[j]);
		}
		for (int j = 0; j < RACERS; j++) {
			rig_join(threads[j]);
			if (!racers[j].won)
				continue;
			cr_assert_eq(winner, -1, "two have won");
			winner = j;
		}
		cr_assert_geq(winner, 0);
		for (int j = 0; j < RACERS; j++)
			cr_assert_eq(racers[j].seen, outcome_of(&racers[winner]));
		knit_concurrent_future_unref(future);
	}
}

Test(concurrent, a_wait_may_expire_while_it_is_completed)
{
	int rounds = (int)test_scale(300, 100, 100, 10);

	for (int i = 0; i < rounds; i++) {
		struct waiter waiter = {.timeout = KNIT_US * (i % 100)};
		pthread_t thread;

		waiter.future = knit_concurrent_future_new();
		knit_concurrent_future_ref(waiter.future);
		thread = rig_thread(wait_for_it, &waiter);
		while (!atomic_load(&waiter.waits))
			sched_yield();
		cr_assert_eq(knit_concurrent_future_set_result(waiter.future, 9), 0);
		rig_join(thread);
		cr_assert(waiter.result == 9 || waiter.result == -ETIMEDOUT);
		cr_assert_eq(knit_concurrent_future_result(waiter.future, 0), 9);
		knit_concurrent_future_unref(waiter.future);
	}
}

/* ---- the loop's own thread ---- */

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t wait_in_own_loop(void *ret)
{
	knit_concurrent_future *future = knit_run_coroutine_threadsafe(knit_get_running_loop(),
	                                                               nothing, (void *)5);
	intptr_t *results = ret;

	results[0] = knit_concurrent_future_result(future, KNIT_FOREVER);
	results[1] = knit_concurrent_future_result(future, KNIT_S);
	results[2] = knit_concurrent_future_result(future, 0);
	for (int i = 0; i < 100 && !knit_concurrent_future_done(future); i++)
		if (knit_sleep(0) < 0)
			return -1;
	results[3] = knit_concurrent_future_result(future, KNIT_FOREVER);
	knit_concurrent_future_unref(future);
	return 0;
}

Test(concurrent, waiting_for_oneself_is_a_deadlock_that_is_told)
{
	intptr_t results[4] = {0};

	cr_assert_eq(knit_run(wait_in_own_loop, results), 0);
	cr_assert_eq(results[0], -EDEADLK);
	cr_assert_eq(results[1], -EDEADLK);
	cr_assert_eq(results[2], -ETIMEDOUT, "which does not wait");
	cr_assert_eq(results[3], 5);
}

static void *complete_it(void *future)
{
	return (void *)(intptr_t)knit_concurrent_future_set_result(future, 8);
}

static intptr_t wait_for_thread(void *future)
{
	return knit_concurrent_future_result(future, KNIT_FOREVER);
}

Test(concurrent, one_that_is_completed_by_hand_may_be_waited_for_anywhere)
{
	knit_concurrent_future *future = knit_concurrent_future_new();
	pthread_t thread = rig_thread(complete_it, future);

	cr_assert_eq(knit_run(wait_for_thread, future), 8);
	cr_assert_null(rig_join(thread));
	knit_concurrent_future_unref(future);
}
