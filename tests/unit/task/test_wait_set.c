/* SPDX-License-Identifier: MIT */
/* test_wait_set.c - sets from which futures are taken as they complete, and as_completed. */
#include <errno.h>
#include "knit/timeout.h"
#include "knit/wait.h"
#include "task/task.h"
#include "test.h"

static void run(knit_coro *main)
{
	intptr_t r = knit_run(main, NULL, .clock = KNIT_CLOCK_VIRTUAL);

	cr_assert_eq(r, 0, "%s", knit_error_message(r));
}

static void ticks(int count)
{
	for (int i = 0; i < count; i++)
		cr_assert_eq(knit_sleep(0), 0);
}

/* ---- one task ---- */

static intptr_t in_order(void *unused)
{
	knit_future *futures[4], *next;
	knit_wait_set set;
	void *cookie;

	(void)unused;
	cr_assert_eq(knit_wait_set_init(&set), 0);
	for (intptr_t i = 0; i < 4; i++) {
		futures[i] = knit_future_new();
		cr_assert_eq(knit_wait_set_add(&set, futures[i], (void *)i), 0);
	}
	cr_assert_eq(knit_wait_set_count(&set), 4);
	knit_future_set_result(futures[2], 20);
	knit_future_set_result(futures[0], 0);
	knit_future_set_exception(futures[3], EIO, NULL);
	knit_future_cancel(futures[1], NULL);
	for (int i = 0; i < 4; i++) {
		static const intptr_t order[] = {2, 0, 3, 1},
		                      outcomes[] = {20, 0, -EIO, -KNIT_ECANCELLED};

		cr_assert_eq(knit_wait_set_next(&set, &next, &cookie), 1);
		cr_assert_eq((intptr_t)cookie, order[i]);
		cr_assert_eq(next, futures[order[i]]);
		cr_assert_eq(knit_await(next), outcomes[i], "the reference is the caller's");
	}
	cr_assert_eq(knit_wait_set_next(&set, &next, NULL), 0);
	cr_assert_null(next);
	return knit_wait_set_done(&set);
}

Test(wait_set, members_come_in_the_order_of_completion)
{
	run(in_order);
}

static intptr_t done_ones(void *unused)
{
	knit_future *done = knit_future_new(), *next;
	knit_loop *loop = knit_get_running_loop();
	uint64_t passes = loop->counters.passes;
	knit_wait_set set;

	(void)unused;
	knit_future_set_result(done, 1);
	cr_assert_eq(knit_wait_set_init(&set), 0);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(knit_wait_set_add(&set, done, NULL), 0);
		cr_assert_eq(knit_wait_set_add(&set, done, NULL), -EEXIST);
		cr_assert_eq(knit_wait_set_next(&set, &next, NULL), 1);
	}
	cr_assert_eq(loop->counters.passes, passes, "without a pass");
	cr_assert_eq(knit_await(next), 1);
	return knit_wait_set_done(&set);
}

Test(wait_set, one_that_is_done_can_be_added_and_taken_at_once)
{
	run(done_ones);
}

/* Pending, due for the next pass, and due: whatever the state, it can be taken out. */
static intptr_t removing(void *unused)
{
	knit_future *next;
	knit_wait_set set;

	(void)unused;
	cr_assert_eq(knit_wait_set_init(&set), 0);
	for (int state = 0; state < 3; state++) {
		knit_future *future = knit_future_new();

		cr_assert_eq(knit_wait_set_remove(&set, future), -ENOENT);
		cr_assert_eq(knit_wait_set_add(&set, future, NULL), 0);
		if (state > 0)
			knit_future_set_result(future, 1);
		if (state > 1)
			ticks(1);
		cr_assert_eq(knit_wait_set_remove(&set, future), 0);
		cr_assert_eq(knit_wait_set_count(&set), 0);
		cr_assert_eq(future->refs, 1);
		knit_future_set_result(future, 1);
		ticks(2);
		cr_assert_eq(knit_wait_set_next(&set, &next, NULL), 0);
		knit_future_unref(future);
	}
	return knit_wait_set_done(&set);
}

Test(wait_set, a_member_can_be_removed_in_every_state)
{
	run(removing);
}

static intptr_t with_members(void *unused)
{
	knit_future *future = knit_future_new();
	knit_wait_set set;

	(void)unused;
	cr_assert_eq(knit_wait_set_init(&set), 0);
	for (int i = 0; i < 40; i++)
		cr_assert_eq(knit_wait_set_add(&set, knit_future_new(), NULL), 0);
	cr_assert_eq(knit_wait_set_add(&set, knit_future_ref(future), NULL), 0);
	cr_assert_eq(knit_wait_set_done(&set), 0);
	cr_assert_eq(knit_wait_set_done(&set), -EINVAL, "once");
	cr_assert_eq(knit_get_running_loop()->futures.live, 1, "its references are dropped");
	cr_assert(kn_list_empty(&future->waiters));
	knit_future_unref(future);
	return 0;
}

Test(wait_set, ending_it_drops_what_is_left)
{
	run(with_members);
}

/* ---- several tasks ---- */

struct shared {
	knit_wait_set set;
	int order[8], taken;
};

struct consumer {
	struct shared *shared;
	int number;
};

static intptr_t take_one(void *arg)
{
	struct consumer *consumer = arg;
	knit_future *next;
	int r = knit_wait_set_next(&consumer->shared->set, &next, NULL);

	if (r != 1)
		return r;
	consumer->shared->order[consumer->shared->taken++] = consumer->number;
	return knit_await(next);
}

static void start_consumers(struct shared *shared, struct consumer consumers[], knit_task *tasks[],
                            int n)
{
	cr_assert_eq(knit_wait_set_init(&shared->set), 0);
	shared->taken = 0;
	for (int i = 0; i < n; i++) {
		consumers[i] = (struct consumer){shared, i};
		tasks[i] = knit_create_task(take_one, &consumers[i]);
	}
}

static intptr_t fifo(void *unused)
{
	struct consumer consumers[3];
	struct shared shared;
	knit_task *tasks[3];
	knit_future *futures[3] = {knit_future_new(), knit_future_new(), knit_future_new()};

	(void)unused;
	start_consumers(&shared, consumers, tasks, 3);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(knit_wait_set_add(&shared.set, futures[i], NULL), 0);
	ticks(2);
	cr_assert_eq(knit_wait_set_done(&shared.set), -EBUSY);
	for (int i = 2; i >= 0; i--)
		knit_future_set_result(futures[i], i);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(knit_await(tasks[i]), 2 - i);
	return knit_wait_set_done(&shared.set);
}

Test(wait_set, tasks_are_served_in_the_order_of_their_calls)
{
	run(fifo);
}

static intptr_t hand_back(void *unused)
{
	struct consumer consumers[2];
	struct shared shared;
	knit_task *tasks[2];
	knit_future *future = knit_future_new(), *other = knit_future_new();

	(void)unused;
	start_consumers(&shared, consumers, tasks, 2);
	cr_assert_eq(knit_wait_set_add(&shared.set, future, NULL), 0);
	cr_assert_eq(knit_wait_set_add(&shared.set, other, NULL), 0);
	ticks(2);
	knit_future_set_result(future, 5);
	ticks(1); /* it has been handed over just now, and the taker is ready behind us */
	knit_task_cancel(tasks[0], NULL);
	cr_assert_eq(knit_await(tasks[0]), -KNIT_ECANCELLED);
	cr_assert_eq(knit_await(tasks[1]), 5, "the next one gets it");
	cr_assert_eq(knit_wait_set_count(&shared.set), 1);
	return knit_wait_set_done(&shared.set);
}

Test(wait_set, a_member_handed_to_a_cancelled_task_goes_to_the_next)
{
	run(hand_back);
}

static intptr_t taken_away(void *unused)
{
	struct consumer consumers[2];
	struct shared shared;
	knit_task *tasks[2];
	knit_future *future = knit_future_new();

	(void)unused;
	start_consumers(&shared, consumers, tasks, 2);
	cr_assert_eq(knit_wait_set_add(&shared.set, future, NULL), 0);
	ticks(2);
	knit_future_set_result(future, 5);
	ticks(1);
	cr_assert_eq(knit_wait_set_remove(&shared.set, future), 0);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(knit_await(tasks[i]), 0, "the set has become empty");
	knit_future_unref(future);
	return knit_wait_set_done(&shared.set);
}

Test(wait_set, tasks_that_wait_for_a_set_that_becomes_empty_are_told)
{
	run(taken_away);
}

/* ---- size ---- */

static intptr_t re_arm(void *unused)
{
	int n = (int)test_scale(10000, 3000, 3000, 500);
	knit_wait_set set;
	knit_future *next;

	(void)unused;
	cr_assert_eq(knit_wait_set_init(&set), 0);
	for (int i = 0; i < n; i++)
		cr_assert_eq(knit_wait_set_add(&set, knit_future_new(), NULL), 0);
	for (int i = 0; i < 2 * n; i++) {
		knit_future *future = knit_future_new();

		cr_assert_eq(knit_wait_set_add(&set, future, (void *)(intptr_t)i), 0);
		knit_future_set_result(future, i);
		cr_assert_eq(knit_wait_set_next(&set, &next, NULL), 1);
		cr_assert_eq(knit_await(next), i);
	}
	cr_assert_eq(knit_wait_set_count(&set), n);
	return knit_wait_set_done(&set);
}

Test(wait_set, ten_thousand_members_and_one_after_the_other_taken)
{
	run(re_arm);
}

/* ---- misuse ---- */

static intptr_t misuse(void *unused)
{
	knit_wait_set set = {{0}};
	knit_as_completed all = {{0}};
	knit_future *future = knit_future_new(), *next = future;

	(void)unused;
	cr_assert_eq(knit_wait_set_add(&set, future, NULL), -EINVAL, "not begun");
	cr_assert_eq(knit_wait_set_count(&set), -EINVAL);
	cr_assert_eq(knit_wait_set_init(NULL), -EINVAL);
	cr_assert_eq(knit_as_completed_init(NULL, &future, 1), -EINVAL);
	cr_assert_eq(knit_as_completed_done(&all), -EINVAL);
	cr_assert_eq(knit_as_completed_next(&all, &next), -EINVAL);
	cr_assert_null(next);
	knit_future_unref(future);
	cr_assert_eq(knit_wait_set_init(&set), 0);
	cr_assert_eq(knit_wait_set_add(&set, NULL, NULL), -EINVAL);
	cr_assert_eq(knit_wait_set_next(&set, NULL, NULL), -EINVAL);
	return knit_wait_set_done(&set);
}

Test(wait_set, misuse_is_an_error)
{
	knit_wait_set set;

	cr_assert_eq(knit_wait_set_init(&set), -KNIT_ENOLOOP);
	run(misuse);
}
