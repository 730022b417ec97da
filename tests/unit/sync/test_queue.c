/* SPDX-License-Identifier: MIT */
/* test_queue.c - queues: cancellations at every moment, shutting down, memory, who owns items. */
#include "unit/loop/rig.h"
#include <errno.h>
#include "base/alloc.h"
#include "knit/queue.h"
#include "knit/task.h"
#include "knit/timeout.h"

#define RUN(main) cr_assert_eq(knit_run(main, NULL, .clock = KNIT_CLOCK_VIRTUAL), 0)

static knit_queue queue;

static void ticks(int count)
{
	for (int i = 0; i < count; i++)
		cr_assert_eq(knit_sleep(0), 0);
}

static intptr_t get(void *unused)
{
	(void)unused;
	return knit_queue_get(&queue);
}

static intptr_t put(void *item)
{
	return knit_queue_put(&queue, (intptr_t)item);
}

/* ---- every moment ---------------------------------------------------------------------- */

enum { WAITERS = 5 };

/* Two items for five getters, of whom some are cancelled before the puts and some after. */
static void cancel_getters(unsigned before, unsigned after)
{
	knit_task *tasks[WAITERS];
	intptr_t next = 1;

	for (int i = 0; i < WAITERS; i++)
		tasks[i] = knit_create_task(get, NULL);
	ticks(1);
	for (int i = 0; i < WAITERS; i++)
		if (before & 1u << i)
			cr_assert(knit_task_cancel(tasks[i], NULL));
	cr_assert_eq(knit_queue_put_nowait(&queue, 1), 0);
	cr_assert_eq(knit_queue_put_nowait(&queue, 2), 0);
	for (int i = 0; i < WAITERS; i++)
		if (after & 1u << i)
			cr_assert(knit_task_cancel(tasks[i], NULL));
	ticks(WAITERS + 2);
	for (int i = 0; i < WAITERS; i++) {
		intptr_t r;
		bool cancelled = (before | after) & 1u << i, has = !cancelled && next <= 2;

		cr_assert_eq(knit_task_done(tasks[i]), cancelled || has, "before %x after %x",
		             before, after);
		(void)knit_task_cancel(tasks[i], NULL);
		r = knit_await(tasks[i]);
		cr_assert_eq(r, has ? next++ : -KNIT_ECANCELLED);
	}
	for (; next <= 2; next++)
		cr_assert_eq(knit_queue_get_nowait(&queue), next);
}

static intptr_t getters_main(void *unused)
{
	(void)unused;
	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	for (unsigned before = 0; before < 1u << WAITERS; before++)
		for (unsigned after = 0; after < 1u << WAITERS; after++)
			cancel_getters(before, after & ~before);
	return knit_queue_destroy(&queue);
}

Test(queue, getters_cancelled_at_any_moment_lose_no_item)
{
	RUN(getters_main);
}

/* Room for one, and three putters. */
static void cancel_putters(unsigned before, unsigned after)
{
	knit_task *tasks[3];
	intptr_t winner = 0;

	cr_assert_eq(knit_queue_put_nowait(&queue, 100), 0);
	for (intptr_t i = 0; i < 3; i++)
		tasks[i] = knit_create_task(put, (void *)(i + 1));
	ticks(1);
	for (int i = 0; i < 3; i++)
		if (before & 1u << i)
			cr_assert(knit_task_cancel(tasks[i], NULL));
	cr_assert_eq(knit_queue_get_nowait(&queue), 100);
	for (int i = 0; i < 3; i++)
		if (after & 1u << i)
			cr_assert(knit_task_cancel(tasks[i], NULL));
	ticks(6);
	for (int i = 0; i < 3; i++) {
		intptr_t r;

		if (!winner && !((before | after) & 1u << i))
			winner = i + 1;
		(void)knit_task_cancel(tasks[i], NULL);
		r = knit_await(tasks[i]);
		cr_assert_eq(r, winner == i + 1 ? 0 : -KNIT_ECANCELLED, "before %x after %x",
		             before, after);
	}
	cr_assert_eq(knit_queue_get_nowait(&queue), winner ? winner : -KNIT_EQEMPTY);
}

static intptr_t putters_main(void *unused)
{
	(void)unused;
	cr_assert_eq(knit_queue_init(&queue, 1, NULL), 0);
	for (unsigned before = 0; before < 8; before++)
		for (unsigned after = 0; after < 8; after++)
			cancel_putters(before, after & ~before);
	return knit_queue_destroy(&queue);
}

Test(queue, putters_cancelled_at_any_moment_lose_no_room)
{
	RUN(putters_main);
}

static intptr_t deadline_main(void *unused)
{
	knit_timeout timeout;

	(void)unused;
	cr_assert_eq(knit_queue_init(&queue, 1, NULL), 0);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_MS), 0);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_queue_get(&queue)), -ETIMEDOUT);
	cr_assert_eq(knit_queue_put(&queue, 1), 0);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_MS), 0);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_queue_put(&queue, 2)), -ETIMEDOUT);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_MS), 0);
	cr_assert_eq(knit_timeout_exit(&timeout, knit_queue_join(&queue)), -ETIMEDOUT);
	cr_assert_eq(knit_queue_qsize(&queue), 1);
	return knit_queue_destroy(&queue);
}

Test(queue, a_deadline_ends_each_wait)
{
	RUN(deadline_main);
}

/* ---- items ----------------------------------------------------------------------------- */

static int freed;
static intptr_t freed_sum;

static void free_item(intptr_t item)
{
	freed++;
	freed_sum += item;
	/* It may look at its queue. */
	cr_assert_eq(knit_queue_put_nowait(&queue, 1), -KNIT_EQSHUTDOWN);
}

static intptr_t items_main(void *unused)
{
	(void)unused;
	cr_assert_eq(knit_lifo_queue_init(&queue, 0, free_item), 0);
	for (intptr_t i = 1; i <= 20; i++)
		cr_assert_eq(knit_queue_put_nowait(&queue, i), 0);
	cr_assert_eq(knit_queue_get_nowait(&queue), 20);
	cr_assert_eq(knit_queue_shutdown(&queue, true), 0);
	cr_assert_eq(freed, 19);
	cr_assert_eq(freed_sum, 190);
	cr_assert_eq(knit_queue_get(&queue), -KNIT_EQSHUTDOWN);
	cr_assert_eq(knit_queue_destroy(&queue), 0);
	cr_assert_eq(knit_priority_queue_init(&queue, 0, NULL, free_item), 0);
	cr_assert_eq(knit_queue_put_nowait(&queue, 3), 0);
	cr_assert_eq(knit_queue_destroy(&queue), 0);
	cr_assert_eq(freed, 20, "what is left at the end is freed too");
	return 0;
}

Test(queue, dropped_items_go_to_item_free)
{
	RUN(items_main);
}

static int descending(intptr_t one, intptr_t other)
{
	return (int)(other / 10 - one / 10);
}

static intptr_t priority_main(void *unused)
{
	static const intptr_t in[] = {11, 31, 21, 32, 12}, out[] = {31, 32, 21, 11, 12};

	(void)unused;
	cr_assert_eq(knit_priority_queue_init(&queue, 0, descending, NULL), 0);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(knit_queue_put_nowait(&queue, in[i]), 0);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(knit_queue_get_nowait(&queue), out[i]);
	return knit_queue_destroy(&queue);
}

Test(queue, a_priority_queue_asks_compare_and_keeps_equal_items_in_order)
{
	RUN(priority_main);
}

/* ---- memory ---------------------------------------------------------------------------- */

static intptr_t memory_main(void *unused)
{
	knit_task *getter;

	(void)unused;
	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	getter = knit_create_task(get, NULL);
	ticks(1);
	kn_alloc_fail_after(0);
	cr_assert_eq(knit_queue_put_nowait(&queue, 1), -ENOMEM);
	cr_assert_eq(knit_queue_put(&queue, 1), -ENOMEM);
	kn_alloc_fail_after(-1);
	cr_assert_eq(knit_queue_qsize(&queue), 0);
	cr_assert_eq(knit_queue_put_nowait(&queue, 2), 0);
	cr_assert_eq(knit_await(getter), 2);
	return knit_queue_destroy(&queue);
}

Test(queue, a_put_without_memory_leaves_everything_as_it_was)
{
	RUN(memory_main);
}

static intptr_t frames_main(void *unused)
{
	knit_task *task;
	uint64_t before;

	(void)unused;
	cr_assert_eq(knit_queue_init(&queue, 1, NULL), 0);
	cr_assert_eq(knit_queue_put_nowait(&queue, 1), 0);
	task = knit_create_task(put, (void *)2);
	ticks(1);
	before = kn_alloc_count();
	for (int i = 1; i <= 2; i++)
		cr_assert_eq(knit_queue_get(&queue), i);
	cr_assert_eq(kn_alloc_count(), before, "waiting and waking allocate nothing");
	cr_assert_eq(knit_await(task), 0);
	return knit_queue_destroy(&queue);
}

Test(queue, waiting_allocates_nothing)
{
	RUN(frames_main);
}
