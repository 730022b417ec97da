/* SPDX-License-Identifier: MIT */
/* test_sync_scenarios.c - traces of asyncio's locks, events, conditions and barriers. */
#include "common.h"
#include <string.h>
#include "knit/queue.h"
#include "knit/sync.h"

/* Names of workers, as arguments. */
static void *const names[] = {(void *)"a", (void *)"b", (void *)"c", (void *)"d",
                              (void *)"e", (void *)"f", (void *)"g", (void *)"h"};

static const char *text(int error)
{
	return error < 0 ? knit_error_message(error) : "?";
}

/* Waits for its end, whatever it is. */
static void finish(knit_task *task)
{
	intptr_t outcome = knit_await(task);

	cr_assert(outcome != -KNIT_ECLOSED && outcome != -EINVAL);
}

/* ---- S35, S36: locks ------------------------------------------------------------------- */

static knit_lock lock = KNIT_LOCK_INIT;

static intptr_t s35_worker(void *number)
{
	int r = knit_lock_acquire(&lock);

	if (r < 0)
		return r;
	trace("%ld in", (long)(intptr_t)number);
	r = knit_sleep(0);
	cr_assert_eq(knit_lock_release(&lock), 0);
	trace("%ld out", (long)(intptr_t)number);
	return r;
}

CORO(s35)
{
	knit_task *tasks[3];

	cr_assert_eq(knit_lock_acquire(&lock), 0);
	for (intptr_t i = 0; i < 3; i++)
		tasks[i] = knit_create_task(s35_worker, (void *)i);
	ticks(1);
	cr_assert_eq(knit_lock_release(&lock), 0);
	trace("released, locked() %s", yes(knit_lock_locked(&lock)));
	cr_assert_eq(knit_lock_acquire(&lock), 0);
	trace("releaser re-acquired last");
	cr_assert_eq(knit_lock_release(&lock), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(knit_await(tasks[i]), 0);
	return 0;
}

Test(scenarios, s35_lock_fifo_no_barging)
{
	run(s35);
	assert_trace("released, locked() False | 0 in | 0 out | 1 in | 1 out | 2 in | 2 out | "
	             "releaser re-acquired last");
}

static intptr_t s36_worker(void *name)
{
	int r = knit_lock_acquire(&lock);

	if (r < 0) {
		trace("%s cancelled", (const char *)name);
		return r;
	}
	trace("%s in", (const char *)name);
	return knit_lock_release(&lock);
}

CORO(s36)
{
	knit_task *a, *b;
	int r;

	cr_assert_eq(knit_lock_acquire(&lock), 0);
	a = knit_create_task(s36_worker, names[0]);
	b = knit_create_task(s36_worker, names[1]);
	ticks(1);
	cr_assert_eq(knit_lock_release(&lock), 0);
	knit_task_cancel(a, NULL);
	finish(knit_task_ref(a));
	finish(knit_task_ref(b));
	trace("%s %s %s", yes(knit_lock_locked(&lock)), yes(knit_task_cancelled(a)),
	      yes(knit_task_done(b)));
	r = knit_lock_release(&lock);
	trace("%s(%s)", knit_errname(r), text(r));
	knit_task_unref(a);
	knit_task_unref(b);
	return 0;
}

Test(scenarios, s36_lock_woken_waiter_cancelled)
{
	run(s36);
	assert_trace("a cancelled | b in | False True True | EPERM(Lock is not acquired.)");
}

/* ---- S38: events ----------------------------------------------------------------------- */

static knit_event event = KNIT_EVENT_INIT;

static intptr_t s38_worker(void *name)
{
	int r = knit_event_wait(&event);

	trace("%s %s %s", (const char *)name, yes(r == 0), yes(knit_event_is_set(&event)));
	return r;
}

CORO(s38)
{
	knit_task *first = knit_create_task(s38_worker, (void *)"0");
	knit_task *second = knit_create_task(s38_worker, (void *)"1"), *late;

	ticks(1);
	late = knit_create_task(s38_worker, (void *)"late");
	cr_assert_eq(knit_event_set(&event), 0);
	cr_assert_eq(knit_event_clear(&event), 0);
	ticks(2);
	trace("[%s, %s] %s", yes(knit_task_done(first)), yes(knit_task_done(second)),
	      yes(knit_task_done(late)));
	cr_assert_eq(knit_event_set(&event), 0);
	knit_task_unref(first);
	knit_task_unref(second);
	return knit_await(late);
}

Test(scenarios, s38_event_set_clear)
{
	run(s38);
	assert_trace("0 True False | 1 True False | [True, True] False | late True True");
}

/* ---- S39: conditions ------------------------------------------------------------------- */

static knit_condition condition = KNIT_CONDITION_INIT;

static intptr_t s39_worker(void *name)
{
	int r = knit_condition_acquire(&condition);

	if (r < 0)
		return r;
	r = knit_condition_wait(&condition);
	trace("%s %s %s", (const char *)name,
	      r == -KNIT_ECANCELLED ? "cancelled, holds lock" : "woke",
	      yes(knit_condition_locked(&condition)));
	cr_assert_eq(knit_condition_release(&condition), 0);
	return r;
}

static void s39_refused(int r)
{
	trace("%s(%s)", knit_errname(r), text(r));
}

CORO(s39)
{
	knit_task *tasks[3];

	for (int i = 0; i < 3; i++)
		tasks[i] = knit_create_task(s39_worker, names[i]);
	ticks(1);
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	cr_assert_eq(knit_condition_notify(&condition, 1), 0);
	trace("notified, not yet run");
	ticks(1);
	trace("a still blocked on lock");
	cr_assert_eq(knit_condition_release(&condition), 0);
	ticks(2);
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	cr_assert_eq(knit_condition_notify(&condition, 1), 0);
	knit_task_cancel(tasks[1], NULL);
	cr_assert_eq(knit_condition_release(&condition), 0);
	ticks(4);
	trace("[%s, %s, %s] %s", yes(knit_task_done(tasks[0])), yes(knit_task_done(tasks[1])),
	      yes(knit_task_done(tasks[2])),
	      knit_task_done(tasks[2]) ? "wakeup passed on" : "LOST WAKEUP");
	for (int i = 0; i < 3; i++)
		finish(tasks[i]);
	s39_refused(knit_condition_notify(&condition, 1));
	s39_refused(knit_condition_notify_all(&condition));
	s39_refused(knit_condition_wait(&condition));
	return 0;
}

Test(scenarios, s39_condition)
{
	run(s39);
	assert_trace("notified, not yet run | a still blocked on lock | a woke True | "
	             "b cancelled, holds lock True | c woke True | [True, True, True] wakeup "
	             "passed on | "
	             "EPERM(cannot notify on un-acquired lock) | "
	             "EPERM(cannot notify on un-acquired lock) | "
	             "EPERM(cannot wait on un-acquired lock)");
}

/* ---- S42: barriers --------------------------------------------------------------------- */

static knit_barrier barrier;

static intptr_t s42_worker(void *name)
{
	int r = knit_barrier_wait(&barrier);

	if (r >= 0)
		trace("%s idx %d", (const char *)name, r);
	else if (r != -KNIT_ECANCELLED)
		trace("%s BrokenBarrierError(%s)", (const char *)name, text(r));
	return r == -KNIT_ECANCELLED ? r : 0;
}

static void s42_start(knit_task **tasks, int first, int count)
{
	for (int i = 0; i < count; i++)
		tasks[i] = knit_create_task(s42_worker, names[first + i]);
	ticks(1);
}

static void s42_await(knit_task **tasks, int count)
{
	for (int i = 0; i < count; i++)
		finish(tasks[i]);
}

CORO(s42)
{
	knit_task *tasks[3];

	cr_assert_eq(knit_barrier_init(&barrier, 3), 0);
	s42_start(tasks, 0, 3);
	trace("n_waiting %d", knit_barrier_n_waiting(&barrier));
	s42_await(tasks, 3);
	s42_start(tasks, 3, 2);
	trace("%d", knit_barrier_n_waiting(&barrier));
	cr_assert_eq(knit_barrier_reset(&barrier), 0);
	s42_await(tasks, 2);
	trace("broken %s %d", yes(knit_barrier_broken(&barrier)), knit_barrier_n_waiting(&barrier));
	s42_start(tasks, 5, 2);
	knit_task_cancel(tasks[0], NULL);
	ticks(3);
	trace("cancel leaves %d %s", knit_barrier_n_waiting(&barrier),
	      yes(knit_barrier_broken(&barrier)));
	cr_assert_eq(knit_barrier_abort(&barrier), 0);
	s42_await(tasks, 2);
	(void)s42_worker(names[7]);
	trace("%s", yes(knit_barrier_broken(&barrier)));
	return 0;
}

Test(scenarios, s42_barrier)
{
	run(s42);
	assert_trace("c idx 2 | n_waiting 0 | a idx 0 | b idx 1 | 2 | "
	             "d BrokenBarrierError(Abort or reset of barrier) | "
	             "e BrokenBarrierError(Abort or reset of barrier) | broken False 0 | "
	             "cancel leaves 1 False | g BrokenBarrierError(Abort or reset of barrier) | "
	             "h BrokenBarrierError(Barrier aborted) | True");
}

/* ---- S74: what a wait costs, in passes ------------------------------------------------- */

static int passes;
static bool counted;

CALLBACK(s74_tick)
{
	passes++;
	if (!counted)
		knit_loop_call_soon(NULL, s74_tick, NULL);
}

static void s74_put(void *queue)
{
	cr_assert_eq(knit_queue_put_nowait(queue, 1), 0);
}

static void s74_set(void *unused)
{
	(void)unused;
	cr_assert_eq(knit_event_set(&event), 0);
}

static void s74_log(const char *name, int before, intptr_t outcome)
{
	trace("%s %d", name, passes - before);
	cr_assert_geq(outcome, 0);
}

CORO(s74)
{
	knit_queue queue;
	intptr_t r;
	int a;

	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	knit_loop_call_soon(NULL, s74_tick, NULL);
	ticks(1);
	a = passes;
	r = knit_lock_acquire(&lock);
	s74_log("lock uncontended", a, r);
	cr_assert_eq(knit_lock_release(&lock), 0);
	s74_put(&queue);
	a = passes;
	r = knit_queue_get(&queue);
	s74_log("queue.get nonempty", a, r);
	knit_loop_call_soon(NULL, s74_put, &queue);
	a = passes;
	r = knit_queue_get(&queue);
	s74_log("queue.get empty", a, r);
	knit_loop_call_soon(NULL, s74_set, NULL);
	a = passes;
	r = knit_event_wait(&event);
	s74_log("event.wait", a, r);
	counted = true;
	return knit_queue_destroy(&queue);
}

Test(scenarios, s74_exact_tick_counts_of_locks_queues_and_events)
{
	run(s74);
	assert_trace(
	        "lock uncontended 0 | queue.get nonempty 0 | queue.get empty 2 | event.wait 2");
}
