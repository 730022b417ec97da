/* SPDX-License-Identifier: MIT */
/* test_misuse.c - calls by nobody, by the wrong thread, on nothing, outside of tasks. */
#include "unit/loop/rig.h"
#include <errno.h>
#include "knit/queue.h"
#include "knit/sync.h"
#include "knit/task.h"

static struct objects {
	knit_lock lock;
	knit_event event;
	knit_condition condition;
	knit_semaphore semaphore;
	knit_barrier barrier;
	knit_queue queue;
} objects;

static void make_objects(void)
{
	cr_assert_eq(knit_lock_init(&objects.lock), 0);
	cr_assert_eq(knit_event_init(&objects.event), 0);
	cr_assert_eq(knit_condition_init(&objects.condition, NULL), 0);
	cr_assert_eq(knit_semaphore_init(&objects.semaphore, 1), 0);
	cr_assert_eq(knit_barrier_init(&objects.barrier, 1), 0);
	cr_assert_eq(knit_queue_init(&objects.queue, 0, NULL), 0);
}

/* What every call that can fail returns, if it is always the same; 1 if not. @with NULL: on
 * nothing. */
static int all_return(const struct objects *with)
{
	struct objects *o = (struct objects *)with;
	const int results[] = {
	        knit_lock_acquire(o ? &o->lock : NULL),
	        knit_lock_release(o ? &o->lock : NULL),
	        knit_lock_destroy(o ? &o->lock : NULL),
	        knit_event_set(o ? &o->event : NULL),
	        knit_event_clear(o ? &o->event : NULL),
	        knit_event_wait(o ? &o->event : NULL),
	        knit_event_destroy(o ? &o->event : NULL),
	        knit_condition_acquire(o ? &o->condition : NULL),
	        knit_condition_release(o ? &o->condition : NULL),
	        knit_condition_wait(o ? &o->condition : NULL),
	        (int)knit_condition_wait_for(o ? &o->condition : NULL, NULL, NULL),
	        knit_condition_notify(o ? &o->condition : NULL, 1),
	        knit_condition_notify_all(o ? &o->condition : NULL),
	        knit_condition_destroy(o ? &o->condition : NULL),
	        knit_semaphore_acquire(o ? &o->semaphore : NULL),
	        knit_semaphore_release(o ? &o->semaphore : NULL),
	        knit_semaphore_destroy(o ? &o->semaphore : NULL),
	        knit_barrier_wait(o ? &o->barrier : NULL),
	        knit_barrier_reset(o ? &o->barrier : NULL),
	        knit_barrier_abort(o ? &o->barrier : NULL),
	        knit_barrier_parties(o ? &o->barrier : NULL),
	        knit_barrier_n_waiting(o ? &o->barrier : NULL),
	        knit_barrier_destroy(o ? &o->barrier : NULL),
	        knit_queue_put(o ? &o->queue : NULL, 1),
	        knit_queue_put_nowait(o ? &o->queue : NULL, 1),
	        (int)knit_queue_get(o ? &o->queue : NULL),
	        (int)knit_queue_get_nowait(o ? &o->queue : NULL),
	        (int)knit_queue_qsize(o ? &o->queue : NULL),
	        knit_queue_task_done(o ? &o->queue : NULL),
	        knit_queue_join(o ? &o->queue : NULL),
	        knit_queue_shutdown(o ? &o->queue : NULL, false),
	        knit_queue_destroy(o ? &o->queue : NULL),
	};

	for (size_t i = 1; i < sizeof(results) / sizeof(results[0]); i++)
		if (results[i] != results[0] && !(o && i == 10)) /* no predicate: -EINVAL */
			return 1;
	return results[0];
}

/* ---- nothing, or not initialised ------------------------------------------------------- */

static intptr_t nothing_main(void *unused)
{
	static knit_semaphore semaphore;
	static knit_barrier barrier;
	static knit_queue queue;

	(void)unused;
	cr_assert_eq(all_return(NULL), -EINVAL);
	cr_assert_eq(knit_lock_init(NULL), -EINVAL);
	cr_assert_eq(knit_event_init(NULL), -EINVAL);
	cr_assert_eq(knit_condition_init(NULL, NULL), -EINVAL);
	cr_assert_eq(knit_semaphore_init(NULL, 1), -EINVAL);
	cr_assert_eq(knit_bounded_semaphore_init(NULL, 1), -EINVAL);
	cr_assert_eq(knit_barrier_init(NULL, 1), -EINVAL);
	cr_assert_eq(knit_queue_init(NULL, 1, NULL), -EINVAL);
	cr_assert_eq(knit_lifo_queue_init(NULL, 1, NULL), -EINVAL);
	cr_assert_eq(knit_priority_queue_init(NULL, 1, NULL, NULL), -EINVAL);
	cr_assert_eq(knit_semaphore_acquire(&semaphore), -EINVAL, "all zero");
	cr_assert_eq(knit_barrier_wait(&barrier), -EINVAL);
	cr_assert_eq(knit_queue_get_nowait(&queue), -EINVAL);
	make_objects();
	cr_assert_eq(knit_queue_put(&objects.queue, -EIO), -EINVAL, "an error is no item");
	cr_assert_eq(knit_queue_put_nowait(&objects.queue, -1), -EINVAL);
	cr_assert_eq(knit_queue_put_nowait(&objects.queue, -5000), 0, "but a number may be");
	cr_assert_eq(knit_queue_get_nowait(&objects.queue), -5000);
	return 0;
}

Test(misuse, null_and_what_was_never_made_are_invalid)
{
	cr_assert_eq(knit_run(nothing_main, NULL), 0);
}

/* ---- another thread -------------------------------------------------------------------- */

static intptr_t call_all(void *unused)
{
	(void)unused;
	return all_return(&objects);
}

static void *call_without_loop(void *unused)
{
	(void)unused;
	return (void *)(intptr_t)all_return(&objects);
}

static void *call_with_loop(void *unused)
{
	(void)unused;
	return (void *)knit_run(call_all, NULL);
}

/* Binds all of them to the running loop. */
static intptr_t foreign_main(void *unused)
{
	(void)unused;
	make_objects();
	cr_assert_not(knit_lock_locked(&objects.lock));
	cr_assert_not(knit_event_is_set(&objects.event));
	cr_assert_not(knit_condition_locked(&objects.condition));
	cr_assert_not(knit_semaphore_locked(&objects.semaphore));
	cr_assert_not(knit_barrier_broken(&objects.barrier));
	cr_assert(knit_queue_empty(&objects.queue));
	cr_assert_eq((intptr_t)rig_on_thread(call_without_loop, NULL), -KNIT_EWRONGTHREAD);
	cr_assert_eq((intptr_t)rig_on_thread(call_with_loop, NULL), -KNIT_EWRONGTHREAD);
	cr_assert_not(knit_lock_locked(&objects.lock), "nothing has happened");
	return 0;
}

Test(misuse, another_thread_is_refused_by_every_call)
{
	cr_assert_eq(knit_run(foreign_main, NULL), 0);
	make_objects();
}

static void *ask_lock(void *unused)
{
	(void)unused;
	(void)knit_lock_locked(&objects.lock);
	return NULL;
}

static intptr_t ask_main(void *unused)
{
	(void)unused;
	make_objects();
	(void)knit_lock_locked(&objects.lock);
	(void)rig_on_thread(ask_lock, NULL);
	return 0;
}

static void ask_from_thread(void *unused)
{
	(void)unused;
	(void)knit_run(ask_main, NULL);
}

static void ask_nothing(void *unused)
{
	(void)unused;
	(void)knit_queue_full(NULL);
}

Test(misuse, questions_that_have_no_error_end_the_process)
{
	test_death(ask_from_thread, NULL,
	           "knit_lock_locked(): the object belongs to another thread or loop");
	test_death(ask_nothing, NULL, "knit_queue_full(): NULL instead of an object");
}

/* ---- another loop of the same thread ----------------------------------------------------- */

static intptr_t acquire_main(void *unused)
{
	(void)unused;
	return knit_lock_acquire(&objects.lock);
}

static intptr_t release_main(void *unused)
{
	(void)unused;
	return knit_lock_release(&objects.lock);
}

Test(misuse, an_object_may_be_used_between_runs_of_its_loop_and_after_it_by_another)
{
	knit_loop *loop = knit_loop_new();

	cr_assert_not_null(loop);
	make_objects();
	cr_assert_eq(knit_loop_run_until_complete(loop, acquire_main, NULL), 0);
	cr_assert(knit_lock_locked(&objects.lock), "no loop runs");
	cr_assert_eq(knit_run(release_main, NULL), -KNIT_EWRONGTHREAD, "the other is open");
	cr_assert_eq(knit_lock_release(&objects.lock), 0);
	cr_assert_eq(knit_loop_run_until_complete(loop, acquire_main, NULL), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(knit_run(release_main, NULL), 0);
	cr_assert_eq(knit_lock_destroy(&objects.lock), 0);
	knit_loop_unref(loop);
}

/* ---- outside of tasks ------------------------------------------------------------------ */

static void call_outside(void *unused)
{
	(void)unused;
	cr_assert_eq(knit_lock_acquire(&objects.lock), -KNIT_ENOTASK);
	cr_assert_eq(knit_event_wait(&objects.event), -KNIT_ENOTASK);
	cr_assert_eq(knit_semaphore_acquire(&objects.semaphore), -KNIT_ENOTASK);
	cr_assert_eq(knit_barrier_wait(&objects.barrier), -KNIT_ENOTASK);
	cr_assert_eq(knit_queue_put(&objects.queue, 1), -KNIT_ENOTASK);
	cr_assert_eq(knit_queue_get(&objects.queue), -KNIT_ENOTASK);
	cr_assert_eq(knit_queue_join(&objects.queue), -KNIT_ENOTASK);
	cr_assert_eq(knit_queue_put_nowait(&objects.queue, 1), 0);
	cr_assert_eq(knit_event_set(&objects.event), 0);
}

static intptr_t outside_main(void *unused)
{
	(void)unused;
	make_objects();
	cr_assert_not_null(knit_get_running_loop());
	(void)knit_loop_call_soon(NULL, call_outside, NULL);
	cr_assert_eq(knit_event_wait(&objects.event), 0);
	cr_assert_eq(knit_queue_get(&objects.queue), 1);
	return knit_queue_destroy(&objects.queue);
}

Test(misuse, a_callback_may_do_all_that_does_not_wait)
{
	cr_assert_eq(knit_run(outside_main, NULL), 0);
}

static intptr_t many_main(void *unused)
{
	knit_semaphore semaphore;

	(void)unused;
	cr_assert_eq(knit_semaphore_init(&semaphore, INT64_MAX), 0);
	cr_assert_eq(knit_semaphore_release(&semaphore), -EOVERFLOW);
	cr_assert_eq(knit_semaphore_acquire(&semaphore), 0);
	cr_assert_eq(knit_semaphore_release(&semaphore), 0);
	return knit_semaphore_destroy(&semaphore);
}

Test(misuse, a_semaphore_does_not_wrap_around)
{
	cr_assert_eq(knit_run(many_main, NULL), 0);
}
