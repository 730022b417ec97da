/* SPDX-License-Identifier: MIT */
/* test_condition.c - conditions: the lock is held when a wait returns, whatever happened, and no
 * notification is lost. */
#include "unit/loop/rig.h"
#include <errno.h>
#include "knit/sync.h"
#include "knit/task.h"
#include "knit/timeout.h"

#define RUN(main) cr_assert_eq(knit_run(main, NULL, .clock = KNIT_CLOCK_VIRTUAL), 0)

static knit_condition condition;
static int inside; /* how many have the lock */

static void ticks(int count)
{
	for (int i = 0; i < count; i++)
		cr_assert_eq(knit_sleep(0), 0);
}

static intptr_t wait_once(void *unused)
{
	int r = knit_condition_acquire(&condition);

	(void)unused;
	if (r < 0)
		return r;
	r = knit_condition_wait(&condition);
	cr_assert_eq(++inside, 1);
	cr_assert(knit_condition_locked(&condition));
	inside--;
	cr_assert_eq(knit_condition_release(&condition), 0);
	return r;
}

/* ---- every moment ---------------------------------------------------------------------- */

enum { WAITERS = 3, MOMENTS = 4 };

/* Each of three is cancelled at one of four moments: not at all, in line, notified, or while it
 * waits for the lock. One notification was given: the first who was not cancelled has it. */
static void cancel_at(const int *moments)
{
	knit_task *tasks[WAITERS];
	int winner = -1;

	for (int i = 0; i < WAITERS; i++)
		tasks[i] = knit_create_task(wait_once, NULL);
	ticks(1);
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	for (int moment = 1; moment < MOMENTS; moment++) {
		for (int i = 0; i < WAITERS; i++)
			if (moments[i] == moment)
				cr_assert(knit_task_cancel(tasks[i], NULL));
		if (moment == 1)
			cr_assert_eq(knit_condition_notify(&condition, 1), 0);
		if (moment == 2)
			ticks(2);
	}
	cr_assert_eq(knit_condition_release(&condition), 0);
	ticks(2 * WAITERS + 2);
	for (int i = 0; i < WAITERS; i++) {
		intptr_t r;

		if (!moments[i] && winner < 0) {
			cr_assert(knit_task_done(tasks[i]), "a lost notification: %d%d%d",
			          moments[0], moments[1], moments[2]);
			winner = i;
		}
		(void)knit_task_cancel(tasks[i], NULL);
		r = knit_await(tasks[i]);
		cr_assert_eq(r, i == winner ? 0 : -KNIT_ECANCELLED);
	}
	cr_assert_not(knit_condition_locked(&condition));
}

static intptr_t moments_main(void *unused)
{
	int moments[WAITERS];

	(void)unused;
	for (moments[0] = 0; moments[0] < MOMENTS; moments[0]++)
		for (moments[1] = 0; moments[1] < MOMENTS; moments[1]++)
			for (moments[2] = 0; moments[2] < MOMENTS; moments[2]++)
				cancel_at(moments);
	return knit_condition_destroy(&condition);
}

Test(condition, cancelled_at_any_moment_the_notification_goes_to_the_next)
{
	RUN(moments_main);
}

/* ---- the way back to the lock ------------------------------------------------------------ */

static intptr_t wait_in_scope(void *unused)
{
	knit_timeout timeout;
	intptr_t r = knit_timeout_enter(&timeout, KNIT_MS);

	return r < 0 ? r : knit_timeout_exit(&timeout, wait_once(unused));
}

static intptr_t wait_in_level_scope(void *unused)
{
	knit_cancel_scope scope;
	intptr_t r = knit_cancel_scope_enter(&scope, .delay = KNIT_MS);

	if (r == 0)
		r = knit_cancel_scope_exit(&scope, wait_once(unused));
	return r == 0 && knit_cancel_scope_caught(&scope) ? 1 : r;
}

static intptr_t busy_main(void *unused)
{
	knit_task *edge = knit_create_task(wait_in_scope, NULL);
	knit_task *level = knit_create_task(wait_in_level_scope, NULL);

	(void)unused;
	ticks(1);
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	cr_assert_eq(knit_sleep(KNIT_S), 0, "those who are in line spin, or let time go on");
	cr_assert_not(knit_task_done(edge));
	cr_assert_not(knit_task_done(level));
	cr_assert_eq(knit_condition_release(&condition), 0);
	cr_assert_eq(knit_await(edge), -ETIMEDOUT);
	cr_assert_eq(knit_await(level), 1);
	return knit_condition_destroy(&condition);
}

Test(condition, a_deadline_does_not_bring_a_wait_back_without_the_lock)
{
	RUN(busy_main);
}

static intptr_t place_main(void *unused)
{
	knit_task *first = knit_create_task(wait_once, NULL), *second;

	(void)unused;
	ticks(1);
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	cr_assert_eq(knit_condition_notify_all(&condition), 0);
	ticks(2);
	second = knit_create_task(wait_once, NULL); /* behind the first, for the lock */
	ticks(1);
	for (int i = 0; i < 3; i++) {
		cr_assert(knit_task_cancel(first, "again"));
		ticks(2);
	}
	cr_assert_eq(knit_task_cancelling(first), 3);
	cr_assert_eq(knit_condition_release(&condition), 0);
	ticks(1);
	cr_assert(knit_task_done(first), "it has kept its place");
	cr_assert_eq(knit_await(first), -KNIT_ECANCELLED);
	ticks(2);
	cr_assert(knit_task_cancel(second, NULL));
	cr_assert_eq(knit_await(second), -KNIT_ECANCELLED);
	return knit_condition_destroy(&condition);
}

Test(condition, requests_while_it_waits_for_the_lock_are_one_and_keep_its_place)
{
	RUN(place_main);
}

/* ---- a shared lock --------------------------------------------------------------------- */

static knit_lock lock = KNIT_LOCK_INIT;

static intptr_t shared_main(void *unused)
{
	knit_condition other;
	knit_task *task;

	(void)unused;
	cr_assert_eq(knit_condition_init(&condition, &lock), 0);
	cr_assert_eq(knit_condition_init(&other, &lock), 0);
	task = knit_create_task(wait_once, NULL);
	ticks(1);
	cr_assert_eq(knit_condition_destroy(&condition), -EBUSY);
	cr_assert_eq(knit_condition_acquire(&other), 0);
	cr_assert(knit_lock_locked(&lock));
	cr_assert(knit_condition_locked(&condition));
	cr_assert_eq(knit_condition_notify_all(&other), 0);
	ticks(2);
	cr_assert_not(knit_task_done(task), "that was the other one");
	cr_assert_eq(knit_condition_notify(&condition, 1), 0);
	cr_assert_eq(knit_condition_release(&other), 0);
	cr_assert_eq(knit_await(task), 0);
	cr_assert_eq(knit_condition_destroy(&condition), 0);
	cr_assert_eq(knit_condition_destroy(&other), 0);
	return knit_lock_destroy(&lock);
}

Test(condition, two_may_share_a_lock)
{
	RUN(shared_main);
}

/* ---- predicates ------------------------------------------------------------------------ */

static intptr_t fail(void *unused)
{
	(void)unused;
	return knit_raise(EIO, "no");
}

static intptr_t predicate_main(void *unused)
{
	(void)unused;
	cr_assert_eq(knit_condition_wait_for(&condition, fail, NULL), -EIO);
	cr_assert_str_eq(knit_error_message(-EIO), "no");
	cr_assert_eq(knit_condition_wait_for(&condition, NULL, NULL), -EINVAL);
	return knit_condition_destroy(&condition);
}

Test(condition, a_predicates_error_ends_the_waiting)
{
	RUN(predicate_main);
}
