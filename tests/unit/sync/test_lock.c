/* SPDX-License-Identifier: MIT */
/* test_lock.c - locks, semaphores and events: a cancellation at every moment of a hand-over. */
#include "unit/loop/rig.h"
#include <errno.h>
#include "knit/sync.h"
#include "knit/task.h"
#include "knit/timeout.h"

#define RUN(main) cr_assert_eq(knit_run(main, NULL, .clock = KNIT_CLOCK_VIRTUAL), 0)

static void ticks(int count)
{
	for (int i = 0; i < count; i++)
		cr_assert_eq(knit_sleep(0), 0);
}

static knit_lock lock;
static knit_semaphore semaphore;
static knit_event event;

static intptr_t acquire_lock(void *unused)
{
	(void)unused;
	return knit_lock_acquire(&lock);
}

static intptr_t acquire_permit(void *unused)
{
	(void)unused;
	return knit_semaphore_acquire(&semaphore);
}

static intptr_t wait_for_event(void *unused)
{
	(void)unused;
	return knit_event_wait(&event);
}

/* ---- every moment ---------------------------------------------------------------------- */

enum { WAITERS = 5 };

/* Some of five in line are cancelled before the release, some after it: the first who was cancelled
 * at no time gets it, and nobody else. */
static void cancel_around_release(knit_coro *acquire, int (*release)(void), unsigned before,
                                  unsigned after)
{
	knit_task *tasks[WAITERS];
	int winner = -1;

	for (int i = 0; i < WAITERS; i++)
		tasks[i] = knit_create_task(acquire, NULL);
	ticks(1);
	for (int i = 0; i < WAITERS; i++)
		if (before & 1u << i)
			cr_assert(knit_task_cancel(tasks[i], NULL));
	cr_assert_eq(release(), 0);
	for (int i = 0; i < WAITERS; i++)
		if (after & 1u << i)
			cr_assert(knit_task_cancel(tasks[i], NULL));
	ticks(WAITERS + 2);
	for (int i = 0; i < WAITERS; i++) {
		bool cancelled = (before | after) & 1u << i;

		if (!cancelled && winner < 0)
			winner = i;
		cr_assert_eq(knit_task_done(tasks[i]), cancelled || i == winner,
		             "%d of before %x after %x", i, before, after);
		cr_assert_eq(knit_task_cancelled(tasks[i]), cancelled);
	}
	for (int i = 0; i < WAITERS; i++) {
		intptr_t r;

		(void)knit_task_cancel(tasks[i], NULL);
		r = knit_await(tasks[i]);
		cr_assert_eq(r, i == winner ? 0 : -KNIT_ECANCELLED);
	}
	if (winner >= 0)
		cr_assert_eq(release(), 0);
}

static int release_lock(void)
{
	return knit_lock_release(&lock);
}

static int release_permit(void)
{
	return knit_semaphore_release(&semaphore);
}

static intptr_t lock_main(void *unused)
{
	(void)unused;
	for (unsigned before = 0; before < 1u << WAITERS; before++)
		for (unsigned after = 0; after < 1u << WAITERS; after++) {
			cr_assert_eq(knit_lock_acquire(&lock), 0);
			cancel_around_release(acquire_lock, release_lock, before, after & ~before);
			cr_assert_not(knit_lock_locked(&lock));
		}
	return knit_lock_destroy(&lock);
}

Test(lock, cancelled_at_any_moment_it_goes_to_the_next)
{
	RUN(lock_main);
}

static intptr_t semaphore_main(void *unused)
{
	(void)unused;
	cr_assert_eq(knit_bounded_semaphore_init(&semaphore, 1), 0);
	for (unsigned before = 0; before < 1u << WAITERS; before++)
		for (unsigned after = 0; after < 1u << WAITERS; after++) {
			cr_assert_eq(knit_semaphore_acquire(&semaphore), 0);
			cancel_around_release(acquire_permit, release_permit, before,
			                      after & ~before);
			cr_assert_not(knit_semaphore_locked(&semaphore));
		}
	return knit_semaphore_destroy(&semaphore);
}

Test(semaphore, cancelled_at_any_moment_the_permit_goes_to_the_next)
{
	RUN(semaphore_main);
}

/* ---- deadlines and scopes -------------------------------------------------------------- */

static intptr_t deadline_main(void *unused)
{
	knit_timeout timeout;
	knit_cancel_scope scope;

	(void)unused;
	cr_assert_eq(knit_lock_acquire(&lock), 0);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_MS), 0);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_lock_acquire(&lock)), -ETIMEDOUT);
	cr_assert_eq(knit_cancel_scope_enter(&scope), 0);
	cr_assert_eq(knit_cancel_scope_cancel(&scope), 0);
	cr_assert_eq(knit_lock_acquire(&lock), -KNIT_ECANCELLED);
	cr_assert_eq(knit_lock_acquire(&lock), -KNIT_ECANCELLED, "again and again");
	cr_assert_eq(knit_lock_release(&lock), 0);
	cr_assert_eq(knit_lock_acquire(&lock), 0, "what does not suspend is not hurt");
	cr_assert_eq(knit_cancel_scope_exit(&scope, 0), 0);
	cr_assert_eq(knit_lock_release(&lock), 0);
	return knit_lock_destroy(&lock);
}

Test(lock, a_deadline_or_a_cancelled_scope_ends_the_wait)
{
	RUN(deadline_main);
}

/* ---- destroying ------------------------------------------------------------------------ */

static intptr_t destroy_main(void *unused)
{
	knit_task *task;

	(void)unused;
	cr_assert_eq(knit_lock_acquire(&lock), 0);
	cr_assert_eq(knit_lock_destroy(&lock), -EBUSY, "locked");
	task = knit_create_task(acquire_lock, NULL);
	ticks(1);
	cr_assert_eq(knit_lock_release(&lock), 0);
	cr_assert_eq(knit_lock_destroy(&lock), -EBUSY, "somebody is coming");
	cr_assert_eq(knit_await(task), 0);
	cr_assert_eq(knit_lock_release(&lock), 0);
	cr_assert_eq(knit_lock_destroy(&lock), 0);
	cr_assert_eq(knit_semaphore_init(&semaphore, 0), 0);
	task = knit_create_task(acquire_permit, NULL);
	ticks(1);
	cr_assert_eq(knit_semaphore_destroy(&semaphore), -EBUSY);
	cr_assert_eq(knit_semaphore_release(&semaphore), 0);
	cr_assert_eq(knit_semaphore_destroy(&semaphore), -EBUSY);
	cr_assert_eq(knit_await(task), 0);
	cr_assert_eq(knit_semaphore_destroy(&semaphore), 0);
	cr_assert_eq(knit_event_init(&event), 0);
	task = knit_create_task(wait_for_event, NULL);
	ticks(1);
	cr_assert_eq(knit_event_set(&event), 0);
	cr_assert_eq(knit_event_destroy(&event), -EBUSY);
	cr_assert_eq(knit_await(task), 0);
	return knit_event_destroy(&event);
}

Test(lock, destroying_what_is_waited_for_is_refused)
{
	RUN(destroy_main);
}
