/* SPDX-License-Identifier: MIT */
/* test_sync_more_rules.c - asyncio's rules of semaphores and barriers, one test a rule; and what
 * they have in common with the others. */
#include "common.h"
#include "knit/queue.h"
#include "knit/sync.h"

struct worker {
	const char *name;
	knit_semaphore *semaphore;
	knit_barrier *barrier;
};

/* Takes a permit, and keeps it. */
static intptr_t take(void *arg)
{
	const struct worker *worker = arg;
	int r = knit_semaphore_acquire(worker->semaphore);

	trace("%s %s", worker->name, repr(r));
	return r;
}

static intptr_t meet(void *arg)
{
	const struct worker *worker = arg;
	int r = knit_barrier_wait(worker->barrier);

	trace("%s %s", worker->name, repr(r));
	return r;
}

/* Waits for its end, whatever it is. */
static void finish(knit_task *task)
{
	intptr_t outcome = knit_await(task);

	cr_assert(outcome != -KNIT_ECLOSED && outcome != -EINVAL);
}

/* ---- r182 to r187: semaphores ---------------------------------------------------------- */

CORO(r182)
{
	knit_semaphore semaphore;
	struct worker a = {"a", .semaphore = &semaphore}, b = {"b", .semaphore = &semaphore};
	knit_task *tasks[2];

	cr_assert_eq(knit_semaphore_init(&semaphore, 1), 0);
	trace("%s", yes(knit_semaphore_locked(&semaphore)));
	cr_assert_eq(knit_semaphore_acquire(&semaphore), 0);
	trace("%s", yes(knit_semaphore_locked(&semaphore)));
	tasks[0] = knit_create_task(take, &a);
	ticks(1);
	cr_assert_eq(knit_semaphore_release(&semaphore), 0);
	cr_assert_eq(knit_semaphore_release(&semaphore), 0);
	trace("a is coming %s", yes(knit_semaphore_locked(&semaphore)));
	tasks[1] = knit_create_task(take, &b);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(knit_await(tasks[i]), 0);
	return knit_semaphore_destroy(&semaphore);
}

Test(rules, r182_a_newcomer_stands_behind_who_waits_though_there_is_a_permit)
{
	run(r182);
	assert_trace("False | True | a is coming True | a 0 | b 0");
}

CORO(r183)
{
	knit_semaphore semaphore;
	struct worker a = {"a", .semaphore = &semaphore};
	knit_task *task;

	cr_assert_eq(knit_semaphore_init(&semaphore, 0), 0);
	task = knit_create_task(take, &a);
	ticks(1);
	cr_assert_eq(knit_semaphore_release(&semaphore), 0);
	/* The permit is a's already: after a, nothing is left. */
	cr_assert_eq(knit_await(task), 0);
	trace("%s", yes(knit_semaphore_locked(&semaphore)));
	return knit_semaphore_destroy(&semaphore);
}

Test(rules, r183_release_hands_the_permit_to_the_first_in_line)
{
	run(r183);
	assert_trace("a 0 | True");
}

CORO(r184)
{
	knit_semaphore semaphore;
	struct worker workers[3] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
	knit_task *tasks[3];

	cr_assert_eq(knit_semaphore_init(&semaphore, 0), 0);
	for (int i = 0; i < 3; i++) {
		workers[i].semaphore = &semaphore;
		tasks[i] = knit_create_task(take, &workers[i]);
	}
	ticks(1);
	knit_task_cancel(tasks[0], NULL);
	cr_assert_eq(knit_semaphore_release(&semaphore), 0);
	knit_task_cancel(tasks[1], NULL);
	cr_assert_eq(knit_await(tasks[0]), -KNIT_ECANCELLED);
	cr_assert_eq(knit_await(tasks[1]), -KNIT_ECANCELLED);
	return knit_await(tasks[2]);
}

Test(rules, r184_a_cancelled_waiter_gives_its_permit_back_and_wakes_the_next)
{
	run(r184);
	assert_trace("a CancelledError() | b CancelledError() | c 0");
}

CORO(r185)
{
	knit_semaphore semaphore;
	struct worker workers[4] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}};
	knit_task *tasks[4];

	cr_assert_eq(knit_semaphore_init(&semaphore, 0), 0);
	for (int i = 0; i < 4; i++)
		workers[i].semaphore = &semaphore;
	tasks[0] = knit_create_task(take, &workers[0]);
	ticks(1);
	for (int i = 1; i < 4; i++)
		tasks[i] = knit_create_task(take, &workers[i]);
	/* The others stand in line before a runs, while there are two permits left. */
	for (int i = 0; i < 3; i++)
		cr_assert_eq(knit_semaphore_release(&semaphore), 0);
	ticks(1);
	trace("nobody before a");
	for (int i = 0; i < 3; i++)
		cr_assert_eq(knit_await(tasks[i]), 0);
	trace("d waits %s", yes(!knit_task_done(tasks[3])));
	cr_assert_eq(knit_semaphore_release(&semaphore), 0);
	return knit_await(tasks[3]);
}

Test(rules, r185_who_gets_a_permit_wakes_others_while_there_are_more)
{
	run(r185);
	assert_trace("a 0 | nobody before a | b 0 | c 0 | d waits True | d 0");
}

CORO(r186)
{
	knit_semaphore semaphore;
	int r = knit_semaphore_init(&semaphore, -1);

	trace("%s", repr(r));
	cr_assert_eq(knit_bounded_semaphore_init(&semaphore, 1), 0);
	cr_assert_eq(knit_semaphore_acquire(&semaphore), 0);
	cr_assert_eq(knit_semaphore_release(&semaphore), 0);
	r = knit_semaphore_release(&semaphore);
	trace("%s %s", knit_errname(r), knit_error_message(r));
	return 0;
}

Test(rules, r186_negative_values_and_permits_too_many_are_errors)
{
	run(r186);
	assert_trace("ValueError(Semaphore initial value must be >= 0) | "
	             "EOVERFLOW BoundedSemaphore released too many times");
}

static intptr_t take_silently(void *semaphore)
{
	return knit_semaphore_acquire(semaphore);
}

CORO(r187)
{
	enum { N = 1000 };
	static knit_task *tasks[N];
	knit_semaphore semaphore;
	int done = 0;

	cr_assert_eq(knit_semaphore_init(&semaphore, 0), 0);
	for (int i = 0; i < N; i++)
		tasks[i] = knit_create_task(take_silently, &semaphore);
	ticks(1);
	for (int i = 0; i < N / 20; i++)
		cr_assert_eq(knit_semaphore_release(&semaphore), 0);
	ticks(1);
	for (int i = 0; i < N; i++) {
		done += knit_task_done(tasks[i]);
		knit_task_cancel(tasks[i], NULL);
		finish(tasks[i]);
	}
	cr_assert_eq(done, N / 20);
	return 0;
}

Test(rules, r187_as_many_are_woken_in_one_pass_as_there_are_permits)
{
	run(r187);
}

/* ---- r188 to r191: barriers ------------------------------------------------------------ */

CORO(r188)
{
	knit_barrier barrier;
	struct worker a = {"a", .barrier = &barrier}, b = {"b", .barrier = &barrier};
	knit_task *tasks[2];
	int r = knit_barrier_init(&barrier, 0);

	trace("%s", repr(r));
	cr_assert_eq(knit_barrier_init(&barrier, 3), 0);
	tasks[0] = knit_create_task(meet, &a);
	tasks[1] = knit_create_task(meet, &b);
	ticks(1);
	knit_loop_call_soon(NULL, log_text, (void *)"next pass");
	trace("main %d of %d", knit_barrier_wait(&barrier), knit_barrier_parties(&barrier));
	cr_assert_eq(knit_await(tasks[0]), 0);
	cr_assert_eq(knit_await(tasks[1]), 1);
	return knit_barrier_destroy(&barrier);
}

Test(rules, r188_each_gets_its_place_and_the_last_does_not_suspend)
{
	run(r188);
	assert_trace("ValueError(parties must be >= 1) | main 2 of 3 | next pass | a 0 | b 1");
}

CORO(r189)
{
	knit_barrier barrier;
	struct worker workers[4] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}};
	knit_task *tasks[4];

	cr_assert_eq(knit_barrier_init(&barrier, 2), 0);
	for (int i = 0; i < 4; i++) {
		workers[i].barrier = &barrier;
		tasks[i] = knit_create_task(meet, &workers[i]);
	}
	/* a waits, b fills it, c and d come while a is still inside. */
	ticks(1);
	trace("draining %d", knit_barrier_n_waiting(&barrier));
	cr_assert_eq(knit_barrier_destroy(&barrier), -EBUSY);
	for (int i = 0; i < 4; i++)
		cr_assert_geq(knit_await(tasks[i]), 0);
	return knit_barrier_destroy(&barrier);
}

Test(rules, r189_who_comes_while_a_round_ends_waits_for_the_next)
{
	run(r189);
	assert_trace("b 1 | draining 0 | a 0 | d 1 | c 0");
}

CORO(r190)
{
	knit_barrier barrier;
	struct worker workers[4] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}};
	knit_task *tasks[4];

	cr_assert_eq(knit_barrier_init(&barrier, 2), 0);
	for (int i = 0; i < 4; i++)
		workers[i].barrier = &barrier;
	tasks[0] = knit_create_task(meet, &workers[0]);
	ticks(1);
	cr_assert_eq(knit_barrier_reset(&barrier), 0);
	finish(tasks[0]);
	trace("broken %s", yes(knit_barrier_broken(&barrier)));
	tasks[1] = knit_create_task(meet, &workers[1]);
	ticks(1);
	cr_assert_eq(knit_barrier_abort(&barrier), 0);
	finish(tasks[1]);
	trace("broken %s", yes(knit_barrier_broken(&barrier)));
	(void)meet(&workers[2]);
	cr_assert_eq(knit_barrier_reset(&barrier), 0);
	tasks[2] = knit_create_task(meet, &workers[2]);
	tasks[3] = knit_create_task(meet, &workers[3]);
	finish(tasks[2]);
	finish(tasks[3]);
	return 0;
}

Test(rules, r190_reset_and_abort_fail_who_waits_and_only_abort_lasts)
{
	run(r190);
	assert_trace("a KNIT_EBROKENBARRIER(Abort or reset of barrier) | broken False | "
	             "b KNIT_EBROKENBARRIER(Abort or reset of barrier) | broken True | "
	             "c KNIT_EBROKENBARRIER(Barrier aborted) | d 1 | c 0");
}

CORO(r191)
{
	knit_barrier barrier;
	struct worker workers[4] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}};
	knit_task *tasks[4];

	cr_assert_eq(knit_barrier_init(&barrier, 3), 0);
	for (int i = 0; i < 4; i++)
		workers[i].barrier = &barrier;
	tasks[0] = knit_create_task(meet, &workers[0]);
	tasks[1] = knit_create_task(meet, &workers[1]);
	ticks(1);
	knit_task_cancel(tasks[0], NULL);
	cr_assert_eq(knit_await(tasks[0]), -KNIT_ECANCELLED);
	trace("%d %s", knit_barrier_n_waiting(&barrier), yes(knit_barrier_broken(&barrier)));
	tasks[2] = knit_create_task(meet, &workers[2]);
	tasks[3] = knit_create_task(meet, &workers[3]);
	for (int i = 1; i < 4; i++)
		cr_assert_geq(knit_await(tasks[i]), 0);
	return 0;
}

/* Differs: the places stay different: asyncio would give the same one to b and c */
Test(rules, r191_a_cancelled_waiter_just_leaves_the_barrier)
{
	run(r191);
	assert_trace("a CancelledError() | 1 False | d 2 | b 0 | c 1");
}

/* ---- r101: what was handed over ---------------------------------------------------------- */

static knit_lock lock = KNIT_LOCK_INIT;
static knit_semaphore permit;
static knit_queue queue;
static knit_condition condition = KNIT_CONDITION_INIT;

static intptr_t get_lock(void *unused)
{
	int r = knit_lock_acquire(&lock);

	(void)unused;
	return r < 0 ? r : knit_lock_release(&lock);
}

static intptr_t get_permit(void *unused)
{
	(void)unused;
	return knit_semaphore_acquire(&permit);
}

static intptr_t get_item(void *unused)
{
	(void)unused;
	return knit_queue_get(&queue);
}

static intptr_t get_notification(void *unused)
{
	int r = knit_condition_acquire(&condition);

	(void)unused;
	if (r < 0)
		return r;
	r = knit_condition_wait(&condition);
	cr_assert_eq(knit_condition_release(&condition), 0);
	return r;
}

static void hand_lock(void)
{
	cr_assert_eq(knit_lock_release(&lock), 0);
}

static void hand_permit(void)
{
	cr_assert_eq(knit_semaphore_release(&permit), 0);
}

static void hand_item(void)
{
	cr_assert_eq(knit_queue_put_nowait(&queue, 7), 0);
}

static void hand_notification(void)
{
	cr_assert_eq(knit_condition_acquire(&condition), 0);
	cr_assert_eq(knit_condition_notify(&condition, 1), 0);
	cr_assert_eq(knit_condition_release(&condition), 0);
}

/* Two wait; the first is handed something, and cancelled before it runs. */
static void cancel_the_first(const char *name, knit_coro *wait, void (*hand)(void))
{
	knit_task *first = knit_create_task(wait, NULL), *second = knit_create_task(wait, NULL);
	intptr_t r;

	ticks(1);
	hand();
	cr_assert(knit_task_cancel(first, NULL));
	r = knit_await(first);
	trace("%s %s", name, repr(r));
	r = knit_await(second);
	trace("%s", repr(r));
}

CORO(r101)
{
	cr_assert_eq(knit_lock_acquire(&lock), 0);
	cr_assert_eq(knit_semaphore_init(&permit, 0), 0);
	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	cancel_the_first("lock", get_lock, hand_lock);
	cancel_the_first("permit", get_permit, hand_permit);
	cancel_the_first("item", get_item, hand_item);
	cancel_the_first("notification", get_notification, hand_notification);
	return knit_queue_destroy(&queue);
}

Test(rules, r101_what_a_cancelled_task_was_handed_goes_to_the_next)
{
	run(r101);
	assert_trace("lock CancelledError() | 0 | permit CancelledError() | 0 | "
	             "item CancelledError() | 7 | notification CancelledError() | 0");
}
