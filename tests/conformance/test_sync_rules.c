/* SPDX-License-Identifier: MIT */
/* test_sync_rules.c - asyncio's rules of locks, events and conditions, one test a rule. */
#include "common.h"
#include "knit/sync.h"
#include "knit/timeout.h"

/* ---- workers --------------------------------------------------------------------------- */

struct worker {
	const char *name;
	knit_lock *lock;
	knit_event *event;
	knit_condition *condition;
};

/* Takes the lock, says so, and gives it back one pass later. */
static intptr_t use_lock(void *arg)
{
	const struct worker *worker = arg;
	int r = knit_lock_acquire(worker->lock);

	if (r < 0) {
		trace("%s %s", worker->name, repr(r));
		return r;
	}
	trace("%s in", worker->name);
	r = knit_sleep(0);
	cr_assert_eq(knit_lock_release(worker->lock), 0);
	return r;
}

static intptr_t wait_for_event(void *arg)
{
	const struct worker *worker = arg;
	int r = knit_event_wait(worker->event);

	trace("%s %s", worker->name, repr(r));
	return r;
}

/* Waits once, with the lock. */
static intptr_t wait_for_condition(void *arg)
{
	const struct worker *worker = arg;
	int r = knit_condition_acquire(worker->condition);

	if (r < 0)
		return r;
	r = knit_condition_wait(worker->condition);
	trace("%s %s%s", worker->name, repr(r),
	      knit_condition_locked(worker->condition) ? "" : " without the lock");
	cr_assert_eq(knit_condition_release(worker->condition), 0);
	return r;
}

/* ---- r167, r168, r169: whose it is; getting in ----------------------------------------- */

static knit_lock shared = KNIT_LOCK_INIT;

static intptr_t try_shared(void *arg)
{
	int r = knit_lock_acquire(&shared);

	(void)arg;
	if (r < 0)
		cr_expect_str_eq(knit_error_message(r),
		                 "the object is bound to a different event loop");
	return r == 0 ? knit_lock_release(&shared) : r;
}

static void use_from_another_loop(void *ret)
{
	*(intptr_t *)ret = knit_run(try_shared, NULL);
}

CORO(r167)
{
	intptr_t r = try_shared(NULL);

	if (r == 0)
		on_another_thread(use_from_another_loop, &r);
	trace("%s", knit_errname((int)r));
	return 0;
}

/* Differs: uncontended use is checked too, and a closed loop lets go of its objects */
Test(rules, r167_an_object_belongs_to_the_loop_of_its_first_use)
{
	intptr_t r = 1;

	run(r167);
	assert_trace("KNIT_EWRONGTHREAD");
	use_from_another_loop(&r);
	cr_assert_eq(r, 0);
}

CORO(r168)
{
	knit_lock lock = KNIT_LOCK_INIT;
	struct worker b = {"b", .lock = &lock};
	knit_task *task;

	knit_loop_call_soon(NULL, log_text, (void *)"next pass");
	cr_assert_eq(knit_lock_acquire(&lock), 0);
	trace("main in");
	task = knit_create_task(use_lock, &b);
	ticks(1);
	cr_assert_eq(knit_lock_release(&lock), 0);
	cr_assert_eq(knit_lock_acquire(&lock), 0);
	trace("main again");
	cr_assert_eq(knit_lock_release(&lock), 0);
	return knit_await(task);
}

Test(rules, r168_a_free_lock_is_taken_without_suspending_unless_somebody_is_in_line)
{
	run(r168);
	assert_trace("main in | next pass | b in | main again");
}

CORO(r169)
{
	knit_lock lock = KNIT_LOCK_INIT;
	struct worker a = {"a", .lock = &lock}, b = {"b", .lock = &lock};
	knit_task *first, *second;

	cr_assert_eq(knit_lock_acquire(&lock), 0);
	first = knit_create_task(use_lock, &a);
	ticks(1);
	second = knit_create_task(use_lock, &b); /* runs before a does, and barges in if it can */
	knit_loop_call_soon(NULL, log_text, (void *)"window");
	cr_assert_eq(knit_lock_release(&lock), 0);
	trace("locked %s", yes(knit_lock_locked(&lock)));
	cr_assert_eq(knit_await(first), 0);
	return knit_await(second);
}

Test(rules, r169_release_wakes_the_first_and_nobody_gets_in_between)
{
	run(r169);
	assert_trace("locked False | window | a in | b in");
}

/* ---- r170 to r174: misuse and cancellation --------------------------------------------- */

static intptr_t release_lock(void *lock)
{
	return knit_lock_release(lock);
}

CORO(r170)
{
	knit_lock lock = KNIT_LOCK_INIT;
	int r = knit_lock_release(&lock);

	trace("%s %s", knit_errname(r), knit_error_message(r));
	cr_assert_eq(knit_lock_acquire(&lock), 0);
	return knit_await(knit_create_task(release_lock, &lock));
}

Test(rules, r170_releasing_an_unlocked_lock_is_an_error_and_any_task_may_release)
{
	run(r170);
	assert_trace("EPERM Lock is not acquired.");
}

CORO(r171)
{
	knit_lock lock = KNIT_LOCK_INIT;
	struct worker a = {"a", .lock = &lock}, b = {"b", .lock = &lock}, c = {"c", .lock = &lock};
	knit_task *tasks[3];

	cr_assert_eq(knit_lock_acquire(&lock), 0);
	tasks[0] = knit_create_task(use_lock, &a);
	tasks[1] = knit_create_task(use_lock, &b);
	tasks[2] = knit_create_task(use_lock, &c);
	ticks(1);
	knit_task_cancel(tasks[0], NULL); /* in line */
	cr_assert_eq(knit_lock_release(&lock), 0);
	knit_task_cancel(tasks[1], NULL); /* woken */
	for (int i = 0; i < 2; i++)
		cr_assert_eq(knit_await(tasks[i]), -KNIT_ECANCELLED);
	return knit_await(tasks[2]);
}

Test(rules, r171_a_cancelled_waiter_leaves_and_passes_its_wakeup_on)
{
	run(r171);
	assert_trace("a CancelledError() | b CancelledError() | c in");
}

CORO(r172)
{
	knit_lock lock = KNIT_LOCK_INIT;
	struct worker a = {"a", .lock = &lock};
	knit_task *task;

	cr_assert_eq(knit_lock_acquire(&lock), 0);
	task = knit_create_task(use_lock, &a);
	ticks(1);
	knit_task_cancel(task, NULL);
	cr_assert_eq(knit_lock_release(&lock), 0);
	cr_assert_eq(knit_lock_acquire(&lock), 0);
	trace("not behind it");
	cr_assert_eq(knit_lock_release(&lock), 0);
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	return 0;
}

Test(rules, r172_a_cancelled_waiter_that_has_not_run_yet_blocks_nobody)
{
	run(r172);
	assert_trace("not behind it | a CancelledError()");
}

CORO(r173)
{
	knit_lock lock = KNIT_LOCK_INIT;
	struct worker a = {"a", .lock = &lock};
	knit_task *task = knit_create_task(use_lock, &a);

	ticks(1);
	knit_task_cancel(task, NULL);
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	trace("locked %s", yes(knit_lock_locked(&lock)));
	return knit_lock_destroy(&lock);
}

/* Differs: C has no exit of a scope; the program releases, and a release never suspends */
Test(rules, r173_a_cancelled_body_can_release)
{
	run(r173);
	assert_trace("a in | locked False");
}

CORO(r174)
{
	knit_lock lock = KNIT_LOCK_INIT;
	knit_timeout timeout;
	intptr_t r;

	cr_assert_eq(knit_lock_acquire(&lock), 0);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_S), 0);
	r = knit_timeout_exit(&timeout, knit_lock_acquire(&lock));
	trace("%s", repr(r));
	cr_assert_eq(knit_lock_release(&lock), 0);
	return knit_lock_destroy(&lock);
}

Test(rules, r174_a_lock_is_not_reentrant)
{
	run(r174);
	assert_trace("TimeoutError");
}

/* ---- r175, r176: events ---------------------------------------------------------------- */

CORO(r175)
{
	knit_event event = KNIT_EVENT_INIT;
	struct worker a = {"a", .event = &event}, b = {"b", .event = &event};
	knit_task *first = knit_create_task(wait_for_event, &a);
	knit_task *second = knit_create_task(wait_for_event, &b);

	ticks(1);
	cr_assert_eq(knit_event_set(&event), 0);
	cr_assert_eq(knit_event_clear(&event), 0);
	cr_assert_eq(knit_await(first), 0);
	cr_assert_eq(knit_await(second), 0);
	cr_assert_not(knit_event_is_set(&event));
	cr_assert_eq(knit_event_set(&event), 0);
	knit_loop_call_soon(NULL, log_text, (void *)"next pass");
	cr_assert_eq(knit_event_wait(&event), 0);
	trace("main");
	ticks(1);
	return knit_event_destroy(&event);
}

Test(rules, r175_set_wakes_all_in_order_though_it_be_cleared_at_once)
{
	run(r175);
	assert_trace("a 0 | b 0 | main | next pass");
}

CORO(r176)
{
	knit_event event = KNIT_EVENT_INIT;
	struct worker a = {"a", .event = &event};
	knit_task *task = knit_create_task(wait_for_event, &a);

	ticks(1);
	cr_assert_eq(knit_event_destroy(&event), -EBUSY);
	knit_task_cancel(task, NULL);
	cr_assert_eq(knit_event_destroy(&event), 0, "it has left already");
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	return 0;
}

Test(rules, r176_a_cancelled_waiter_leaves_the_event)
{
	run(r176);
	assert_trace("a CancelledError()");
}

/* ---- r177 to r181: conditions ---------------------------------------------------------- */

CORO(r177)
{
	knit_condition condition = KNIT_CONDITION_INIT;
	int r = knit_condition_wait(&condition);

	trace("%s %s", knit_errname(r), knit_error_message(r));
	r = knit_condition_notify(&condition, 1);
	trace("%s %s", knit_errname(r), knit_error_message(r));
	r = knit_condition_notify_all(&condition);
	trace("%s %s", knit_errname(r), knit_error_message(r));
	return knit_condition_destroy(&condition);
}

Test(rules, r177_wait_and_notify_want_the_lock)
{
	run(r177);
	assert_trace("EPERM cannot wait on un-acquired lock | "
	             "EPERM cannot notify on un-acquired lock | "
	             "EPERM cannot notify on un-acquired lock");
}

CORO(r178)
{
	knit_condition condition = KNIT_CONDITION_INIT;
	struct worker a = {"a", .condition = &condition};
	knit_task *task = knit_create_task(wait_for_condition, &a);
	const char *text;

	ticks(1);
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	cr_assert_eq(knit_condition_notify(&condition, 1), 0);
	ticks(2);
	knit_task_cancel(task, "first"); /* it waits for the lock now */
	ticks(2);
	knit_task_cancel(task, "second");
	ticks(2);
	trace("still waiting %s", yes(!knit_task_done(task)));
	cr_assert_eq(knit_condition_release(&condition), 0);
	ticks(2);
	cr_assert_eq(knit_task_exception(task, &text), -KNIT_ECANCELLED);
	trace("%s", text);
	knit_task_unref(task);
	return knit_condition_destroy(&condition);
}

Test(rules, r178_wait_has_the_lock_again_whatever_it_returns)
{
	run(r178);
	assert_trace("still waiting True | a CancelledError(second) | second");
}

CORO(r179)
{
	knit_condition condition = KNIT_CONDITION_INIT;
	struct worker a = {"a", .condition = &condition}, b = {"b", .condition = &condition},
	              c = {"c", .condition = &condition};
	knit_task *tasks[3];

	tasks[0] = knit_create_task(wait_for_condition, &a);
	tasks[1] = knit_create_task(wait_for_condition, &b);
	tasks[2] = knit_create_task(wait_for_condition, &c);
	ticks(1);
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	cr_assert_eq(knit_condition_notify(&condition, 1), 0);
	knit_task_cancel(tasks[0], NULL); /* woken, has not run */
	ticks(2);
	knit_task_cancel(tasks[1], NULL); /* waits for the lock */
	cr_assert_eq(knit_condition_release(&condition), 0);
	cr_assert_eq(knit_await(tasks[0]), -KNIT_ECANCELLED);
	cr_assert_eq(knit_await(tasks[1]), -KNIT_ECANCELLED);
	return knit_await(tasks[2]);
}

Test(rules, r179_a_notified_waiter_that_is_cancelled_passes_the_notification_on)
{
	run(r179);
	assert_trace("a CancelledError() | b CancelledError() | c 0");
}

CORO(r180)
{
	knit_condition condition = KNIT_CONDITION_INIT;
	struct worker workers[3] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
	knit_task *tasks[3];

	for (int i = 0; i < 3; i++) {
		workers[i].condition = &condition;
		tasks[i] = knit_create_task(wait_for_condition, &workers[i]);
	}
	ticks(1);
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	cr_assert_eq(knit_condition_notify(&condition, 2), 0);
	ticks(2);
	trace("released");
	cr_assert_eq(knit_condition_release(&condition), 0);
	ticks(4);
	trace("c waits %s", yes(!knit_task_done(tasks[2])));
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	cr_assert_eq(knit_condition_notify_all(&condition), 0);
	cr_assert_eq(knit_condition_release(&condition), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(knit_await(tasks[i]), 0);
	return 0;
}

Test(rules, r180_notify_wakes_n_in_order_and_they_run_once_the_lock_is_free)
{
	run(r180);
	assert_trace("released | a 0 | b 0 | c waits True | c 0");
}

static intptr_t at_least_2(void *count)
{
	trace("look");
	return *(int *)count >= 2 ? *(int *)count : 0;
}

struct count {
	knit_condition condition;
	int count;
};

static intptr_t wait_for_2(void *arg)
{
	struct count *count = arg;
	intptr_t r = knit_condition_acquire(&count->condition);

	if (r < 0)
		return r;
	r = knit_condition_wait_for(&count->condition, at_least_2, &count->count);
	cr_assert_eq(knit_condition_release(&count->condition), 0);
	return r;
}

CORO(r181)
{
	struct count count = {.condition = KNIT_CONDITION_INIT, .count = 2};
	knit_task *task;

	trace("%s", repr(knit_condition_wait_for(&count.condition, at_least_2, &count.count)));
	count.count = 0;
	trace("%s", knit_errname((int)knit_condition_wait_for(&count.condition, at_least_2,
	                                                      &count.count)));
	task = knit_create_task(wait_for_2, &count);
	for (int i = 0; i < 2; i++) {
		ticks(2);
		cr_assert_eq(knit_condition_acquire(&count.condition), 0);
		count.count++;
		cr_assert_eq(knit_condition_notify(&count.condition, 1), 0);
		cr_assert_eq(knit_condition_release(&count.condition), 0);
	}
	trace("%s", repr(knit_await(task)));
	return 0;
}

Test(rules, r181_wait_for_looks_again_after_each_wakeup_and_returns_what_it_saw)
{
	run(r181);
	assert_trace("look | 2 | look | EPERM | look | look | look | 2");
}
