/* SPDX-License-Identifier: MIT */
/* test_closing.c - a loop that is closed while tasks wait in its objects. */
#include "unit/loop/rig.h"
#include <errno.h>
#include "loop/loop.h"
#include "knit/queue.h"
#include "knit/sync.h"
#include "knit/task.h"

static knit_loop *loop;
static knit_lock lock;
static knit_condition condition;
static knit_semaphore semaphore;
static knit_queue queue;
static int unwound;

static void setup(void)
{
	loop = knit_loop_new(.clock = KNIT_CLOCK_VIRTUAL);
	cr_assert_not_null(loop);
	cr_assert_eq(knit_loop_set_exception_handler(loop, rig_ignore_exception, NULL), 0);
	cr_assert_eq(knit_lock_init(&lock), 0);
	cr_assert_eq(knit_condition_init(&condition, NULL), 0);
	cr_assert_eq(knit_semaphore_init(&semaphore, 0), 0);
	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
}

static void start(knit_coro *coro)
{
	knit_task *task = knit_loop_create_task(loop, coro, NULL);

	cr_assert_not_null(task);
	knit_task_unref(task);
	for (int i = 0; i < 3; i++)
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
}

static void finish(void)
{
	knit_loop_unref(loop);
}

/* ---- unwinding --------------------------------------------------------------------------- */

static intptr_t hold_lock(void *unused)
{
	int r;

	(void)unused;
	cr_assert_eq(knit_lock_acquire(&lock), 0);
	r = knit_sleep(KNIT_FOREVER);
	cr_assert_eq(knit_lock_release(&lock), 0);
	unwound++;
	return r;
}

static intptr_t want_lock(void *unused)
{
	int r = knit_lock_acquire(&lock);

	(void)unused;
	cr_assert_eq(r, -KNIT_ECANCELLED);
	cr_assert_lt(knit_lock_acquire(&lock), 1, "it may be free by now, or not");
	if (knit_lock_locked(&lock))
		cr_assert_eq(knit_lock_release(&lock), 0);
	unwound++;
	return r;
}

static intptr_t want_permit(void *unused)
{
	int r = knit_semaphore_acquire(&semaphore);

	(void)unused;
	cr_assert_eq(r, -KNIT_ECANCELLED);
	cr_assert_eq(knit_semaphore_acquire(&semaphore), -KNIT_ECLOSED);
	unwound++;
	return r;
}

static intptr_t want_item(void *unused)
{
	intptr_t r = knit_queue_get(&queue);

	(void)unused;
	cr_assert_eq(r, -KNIT_ECANCELLED);
	cr_assert_eq(knit_queue_get(&queue), -KNIT_ECLOSED);
	cr_assert_eq(knit_queue_put(&queue, 5), 0, "what does not suspend still works");
	unwound++;
	return r;
}

static intptr_t want_notification(void *unused)
{
	int r;

	(void)unused;
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	r = knit_condition_wait(&condition);
	cr_assert_eq(r, -KNIT_ECANCELLED);
	cr_assert(knit_condition_locked(&condition));
	cr_assert_eq(knit_condition_wait(&condition), -KNIT_ECLOSED);
	cr_assert(knit_condition_locked(&condition), "refused, it was not released");
	cr_assert_eq(knit_condition_release(&condition), 0);
	unwound++;
	return r;
}

Test(closing, tasks_that_wait_unwind_and_the_objects_are_free)
{
	setup();
	start(hold_lock);
	start(want_lock);
	start(want_permit);
	start(want_item);
	start(want_notification);
	start(want_notification);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(unwound, 6);
	cr_assert_eq(knit_lock_destroy(&lock), 0);
	cr_assert_eq(knit_semaphore_destroy(&semaphore), 0);
	cr_assert_eq(knit_condition_destroy(&condition), 0);
	cr_assert_eq(knit_queue_get_nowait(&queue), 5);
	cr_assert_eq(knit_queue_destroy(&queue), 0);
	finish();
}

/* ---- giving up ------------------------------------------------------------------------- */

static intptr_t take_and_end(void *unused)
{
	(void)unused;
	return knit_condition_acquire(&condition);
}

static intptr_t use_again(void *unused)
{
	(void)unused;
	cr_assert_eq(knit_condition_release(&condition), 0);
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	cr_assert_eq(knit_condition_notify_all(&condition), 0);
	cr_assert_eq(knit_condition_release(&condition), 0);
	return knit_condition_destroy(&condition);
}

static intptr_t wait_for_ever(void *unused)
{
	(void)unused;
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	cr_assert_eq(knit_condition_wait(&condition), 0);
	cr_assert(false, "it never has the lock again");
	return 0;
}

/* The lock was taken by a task that ended: nobody will ever release it. */
Test(closing, a_task_that_cannot_have_its_lock_again_is_given_up)
{
	setup();
	loop->grace = KNIT_MS;
	start(wait_for_ever);
	start(take_and_end);
	cr_assert_eq(knit_loop_close(loop), -EBUSY);
	cr_assert_eq(knit_run(use_again, NULL), 0, "another loop may use the condition");
	finish();
}
