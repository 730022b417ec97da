/* SPDX-License-Identifier: MIT */
/* test_queue_rules.c - asyncio's rules of queues, one test a rule, and its traces of them. */
#include "common.h"
#include "knit/queue.h"

struct worker {
	const char *name;
	knit_queue *queue;
	intptr_t item;
};

static intptr_t get_one(void *arg)
{
	const struct worker *worker = arg;
	intptr_t item = knit_queue_get(worker->queue);

	trace("%s %s", worker->name, repr(item));
	return item;
}

static intptr_t put_one(void *arg)
{
	const struct worker *worker = arg;
	int r = knit_queue_put(worker->queue, worker->item);

	trace("%s put %s", worker->name, repr(r));
	return r;
}

static intptr_t join(void *queue)
{
	int r = knit_queue_join(queue);

	trace("joined");
	return r;
}

/* ---- r192, r193: order ----------------------------------------------------------------- */

static void r192_drain(const char *name, knit_queue *queue)
{
	static const intptr_t items[] = {2, 3, 1};
	intptr_t got[3];

	for (int i = 0; i < 3; i++)
		cr_assert_eq(knit_queue_put(queue, items[i]), 0);
	for (int i = 0; i < 3; i++)
		got[i] = knit_queue_get(queue);
	trace("%s %ld %ld %ld", name, (long)got[0], (long)got[1], (long)got[2]);
	cr_assert_eq(knit_queue_destroy(queue), 0);
}

CORO(r192)
{
	knit_queue queue;
	struct worker a = {"a", .queue = &queue}, b = {"b", .queue = &queue};
	knit_task *first, *second;

	knit_loop_call_soon(NULL, log_text, (void *)"next pass");
	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	r192_drain("fifo", &queue);
	cr_assert_eq(knit_lifo_queue_init(&queue, 0, NULL), 0);
	r192_drain("lifo", &queue);
	cr_assert_eq(knit_priority_queue_init(&queue, 0, NULL, NULL), 0);
	r192_drain("priority", &queue);
	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	first = knit_create_task(get_one, &a);
	second = knit_create_task(get_one, &b);
	ticks(1);
	cr_assert_eq(knit_queue_put_nowait(&queue, 7), 0);
	cr_assert_eq(knit_queue_put_nowait(&queue, 8), 0);
	cr_assert_eq(knit_await(first), 7);
	cr_assert_eq(knit_await(second), 8);
	return knit_queue_destroy(&queue);
}

Test(rules, r192_no_suspension_where_none_is_needed_and_waiters_in_order)
{
	run(r192);
	assert_trace("fifo 2 3 1 | lifo 1 3 2 | priority 1 2 3 | next pass | a 7 | b 8");
}

CORO(r193)
{
	knit_queue queue;
	struct worker a = {"a", .queue = &queue};
	knit_task *task;

	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	task = knit_create_task(get_one, &a);
	ticks(1);
	cr_assert_eq(knit_queue_put_nowait(&queue, 1), 0);
	trace("barging %s", repr(knit_queue_get_nowait(&queue)));
	ticks(2);
	trace("a waits again %s", yes(!knit_task_done(task)));
	cr_assert_eq(knit_queue_put_nowait(&queue, 2), 0);
	cr_assert_eq(knit_await(task), 2);
	return knit_queue_destroy(&queue);
}

Test(rules, r193_a_woken_getter_looks_again_for_another_may_have_been_quicker)
{
	run(r193);
	assert_trace("barging 1 | a waits again True | a 2");
}

/* ---- r194 to r196: cancellation -------------------------------------------------------- */

CORO(r194)
{
	knit_queue queue;
	struct worker a = {"a", .queue = &queue}, b = {"b", .queue = &queue};
	knit_task *first, *second;

	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	first = knit_create_task(get_one, &a);
	second = knit_create_task(get_one, &b);
	ticks(1);
	cr_assert_eq(knit_queue_put_nowait(&queue, 5), 0);
	knit_task_cancel(first, NULL);
	cr_assert_eq(knit_await(first), -KNIT_ECANCELLED);
	cr_assert_eq(knit_await(second), 5);
	return knit_queue_destroy(&queue);
}

Test(rules, r194_a_woken_getter_that_is_cancelled_wakes_the_next)
{
	run(r194);
	assert_trace("a CancelledError() | b 5");
}

CORO(r195)
{
	knit_queue queue;
	struct worker a = {"a", .queue = &queue, .item = 2}, b = {"b", .queue = &queue, .item = 3};
	knit_task *first, *second;

	cr_assert_eq(knit_queue_init(&queue, 1, NULL), 0);
	cr_assert_eq(knit_queue_put_nowait(&queue, 1), 0);
	first = knit_create_task(put_one, &a);
	second = knit_create_task(put_one, &b);
	ticks(1);
	trace("%s", repr(knit_queue_get_nowait(&queue)));
	knit_task_cancel(first, NULL);
	cr_assert_eq(knit_await(first), -KNIT_ECANCELLED);
	cr_assert_eq(knit_await(second), 0);
	trace("%s", repr(knit_queue_get_nowait(&queue)));
	return knit_queue_destroy(&queue);
}

Test(rules, r195_a_woken_putter_that_is_cancelled_leaves_its_room_to_the_next)
{
	run(r195);
	assert_trace("1 | a put CancelledError() | b put 0 | 3");
}

CORO(r196)
{
	knit_queue queue;
	struct worker a = {"a", .queue = &queue}, b = {"b", .queue = &queue, .item = 2};
	knit_task *task;

	cr_assert_eq(knit_queue_init(&queue, 1, NULL), 0);
	task = knit_create_task(get_one, &a);
	ticks(1);
	cr_assert_eq(knit_queue_destroy(&queue), -EBUSY);
	knit_task_cancel(task, NULL);
	cr_assert_eq(knit_queue_destroy(&queue), 0, "the getter has left");
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	cr_assert_eq(knit_queue_init(&queue, 1, NULL), 0);
	cr_assert_eq(knit_queue_put_nowait(&queue, 1), 0);
	task = knit_create_task(put_one, &b);
	ticks(1);
	cr_assert_eq(knit_queue_destroy(&queue), -EBUSY);
	knit_task_cancel(task, NULL);
	cr_assert_eq(knit_queue_destroy(&queue), 0, "the putter has left");
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	return 0;
}

Test(rules, r196_cancelled_getters_and_putters_leave_their_lines)
{
	run(r196);
	assert_trace("a CancelledError() | b put CancelledError()");
}

/* ---- r197, r198: sizes, joining -------------------------------------------------------- */

CORO(r197)
{
	static const int64_t sizes[] = {0, -1};
	knit_queue queue;

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(knit_queue_init(&queue, sizes[i], NULL), 0);
		cr_assert(knit_queue_empty(&queue));
		for (intptr_t item = 0; item < 1000; item++)
			cr_assert_eq(knit_queue_put_nowait(&queue, item), 0);
		cr_assert_not(knit_queue_full(&queue));
		cr_assert_eq(knit_queue_qsize(&queue), 1000);
		cr_assert_eq(knit_queue_maxsize(&queue), sizes[i]);
		cr_assert_eq(knit_queue_destroy(&queue), 0);
	}
	cr_assert_eq(knit_queue_init(&queue, 1, NULL), 0);
	cr_assert_not(knit_queue_full(&queue));
	cr_assert_eq(knit_queue_put_nowait(&queue, 1), 0);
	cr_assert(knit_queue_full(&queue));
	return knit_queue_destroy(&queue);
}

Test(rules, r197_a_size_of_0_or_less_is_no_limit)
{
	run(r197);
}

CORO(r198)
{
	knit_queue queue;
	knit_task *task;
	int r;

	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	knit_loop_call_soon(NULL, log_text, (void *)"next pass");
	cr_assert_eq(knit_queue_join(&queue), 0);
	trace("fresh");
	cr_assert_eq(knit_queue_put(&queue, 1), 0);
	task = knit_create_task(join, &queue);
	ticks(1);
	cr_assert_eq(knit_queue_get(&queue), 1);
	cr_assert_eq(knit_queue_put(&queue, 2), 0);
	cr_assert_eq(knit_queue_task_done(&queue), 0);
	ticks(2);
	trace("armed again %s", yes(!knit_task_done(task)));
	cr_assert_eq(knit_queue_get(&queue), 2);
	cr_assert_eq(knit_queue_task_done(&queue), 0);
	cr_assert_eq(knit_await(task), 0);
	r = knit_queue_task_done(&queue);
	trace("%s %s", knit_errname(r), knit_error_message(r));
	return knit_queue_destroy(&queue);
}

Test(rules, r198_join_waits_until_all_that_was_put_is_done)
{
	run(r198);
	assert_trace("fresh | next pass | armed again True | joined | "
	             "EOVERFLOW task_done() called too many times");
}

/* ---- r199, r200: shutting down --------------------------------------------------------- */

CORO(r199)
{
	knit_queue queue;
	struct worker a = {"a", .queue = &queue}, b = {"b", .queue = &queue, .item = 2};
	knit_task *task;

	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	task = knit_create_task(get_one, &a);
	ticks(1);
	cr_assert_eq(knit_queue_shutdown(&queue, false), 0);
	cr_assert_eq(knit_await(task), -KNIT_EQSHUTDOWN);
	cr_assert_eq(knit_queue_destroy(&queue), 0);
	cr_assert_eq(knit_queue_init(&queue, 1, NULL), 0);
	cr_assert_eq(knit_queue_put_nowait(&queue, 1), 0);
	task = knit_create_task(put_one, &b);
	ticks(1);
	cr_assert_eq(knit_queue_shutdown(&queue, false), 0);
	cr_assert_eq(knit_await(task), -KNIT_EQSHUTDOWN);
	cr_assert_eq(knit_queue_put(&queue, 3), -KNIT_EQSHUTDOWN);
	cr_assert_eq(knit_queue_put_nowait(&queue, 3), -KNIT_EQSHUTDOWN);
	(void)get_one(&a);
	(void)get_one(&a);
	cr_assert_eq(knit_queue_get_nowait(&queue), -KNIT_EQSHUTDOWN);
	return knit_queue_destroy(&queue);
}

Test(rules, r199_shutdown_refuses_puts_and_lets_gets_empty_the_queue)
{
	run(r199);
	assert_trace("a KNIT_EQSHUTDOWN | b put KNIT_EQSHUTDOWN | a 1 | a KNIT_EQSHUTDOWN");
}

CORO(r200)
{
	knit_queue queue;
	knit_task *task;

	cr_assert_eq(knit_queue_init(&queue, 0, count_result), 0);
	for (intptr_t item = 1; item <= 3; item++)
		cr_assert_eq(knit_queue_put_nowait(&queue, item), 0);
	cr_assert_eq(knit_queue_get(&queue), 1);
	task = knit_create_task(join, &queue);
	ticks(1);
	cr_assert_eq(knit_queue_shutdown(&queue, true), 0);
	trace("%d freed, %d left", results_freed, (int)knit_queue_qsize(&queue));
	ticks(2);
	trace("one is being worked on");
	cr_assert_eq(knit_queue_task_done(&queue), 0);
	cr_assert_eq(knit_await(task), 0);
	cr_assert_eq(knit_queue_task_done(&queue), -EOVERFLOW);
	return knit_queue_destroy(&queue);
}

Test(rules, r200_immediate_shutdown_drops_items_and_counts_them_as_done)
{
	run(r200);
	assert_trace("2 freed, 0 left | one is being worked on | joined");
}

/* ---- r201: threads --------------------------------------------------------------------- */

struct crossing {
	knit_queue queue;
	knit_loop *loop;
	int direct, posted;
};

static void put_here(void *arg)
{
	struct crossing *crossing = arg;

	cr_assert_eq(knit_queue_put_nowait(&crossing->queue, 42), 0);
}

static void put_from_thread(void *arg)
{
	struct crossing *crossing = arg;

	crossing->direct = knit_queue_put_nowait(&crossing->queue, 41);
	crossing->posted = knit_loop_call_soon_threadsafe(crossing->loop, put_here, crossing);
}

CORO(r201)
{
	struct crossing crossing = {.loop = knit_get_running_loop()};
	struct worker a = {"a", .queue = &crossing.queue};
	knit_task *task;

	cr_assert_eq(knit_queue_init(&crossing.queue, 0, NULL), 0);
	task = knit_create_task(get_one, &a);
	ticks(1);
	on_another_thread(put_from_thread, &crossing);
	trace("%s %d", knit_errname(crossing.direct), crossing.posted);
	cr_assert_eq(knit_await(task), 42);
	return knit_queue_destroy(&crossing.queue);
}

/* Differs: a put from another thread is an error; a posted one wakes the loop */
Test(rules, r201_a_queue_is_its_loops_own)
{
	run(r201);
	assert_trace("KNIT_EWRONGTHREAD 0 | a 42");
}

/* ---- S41, S61 -------------------------------------------------------------------------- */

CORO(s41)
{
	knit_queue queue, small;
	knit_task *task;
	int r;

	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	for (intptr_t i = 0; i < 2; i++)
		cr_assert_eq(knit_queue_put_nowait(&queue, i), 0);
	task = knit_create_task(join, &queue);
	ticks(1);
	for (intptr_t i = 0; i < 2; i++)
		cr_assert_eq(knit_queue_get_nowait(&queue), i);
	ticks(2);
	trace("empty but not joined %s", yes(knit_task_done(task)));
	cr_assert_eq(knit_queue_task_done(&queue), 0);
	ticks(2);
	trace("%s", yes(knit_task_done(task)));
	cr_assert_eq(knit_queue_task_done(&queue), 0);
	cr_assert_eq(knit_await(task), 0);
	r = knit_queue_task_done(&queue);
	trace("%s(%s)", knit_errname(r), knit_error_message(r));
	trace("%s", repr(knit_queue_get_nowait(&queue)));
	cr_assert_eq(knit_queue_init(&small, 1, NULL), 0);
	cr_assert_eq(knit_queue_put_nowait(&small, 1), 0);
	trace("%s", repr(knit_queue_put_nowait(&small, 2)));
	cr_assert_eq(knit_queue_destroy(&small), 0);
	return knit_queue_destroy(&queue);
}

Test(scenarios, s41_queue_join)
{
	run(s41);
	assert_trace("empty but not joined False | False | joined | "
	             "EOVERFLOW(task_done() called too many times) | KNIT_EQEMPTY | KNIT_EQFULL");
}

static intptr_t s61_get(void *queue)
{
	intptr_t item = knit_queue_get(queue);

	if (item >= 0)
		trace("got %ld", (long)item);
	else
		trace("%s", knit_errname((int)item));
	return 0;
}

static intptr_t s61_put(void *queue)
{
	int r = knit_queue_put(queue, 2);

	trace("put: %s", knit_errname(r));
	return 0;
}

static void s61_immediate(void)
{
	knit_queue queue;

	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	cr_assert_eq(knit_queue_put_nowait(&queue, 1), 0);
	cr_assert_eq(knit_queue_put_nowait(&queue, 2), 0);
	cr_assert_eq(knit_queue_get_nowait(&queue), 1);
	cr_assert_eq(knit_queue_shutdown(&queue, true), 0);
	trace("%d", (int)knit_queue_qsize(&queue));
	cr_assert_eq(knit_queue_task_done(&queue), 0);
	if (knit_queue_task_done(&queue) == -EOVERFLOW)
		trace("immediate drained the count");
	cr_assert_eq(knit_queue_destroy(&queue), 0);
}

CORO(s61)
{
	knit_queue queue;
	knit_task *task, *joiner;

	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	task = knit_create_task(s61_get, &queue);
	ticks(1);
	cr_assert_eq(knit_queue_shutdown(&queue, false), 0);
	cr_assert_eq(knit_await(task), 0);
	cr_assert_eq(knit_queue_destroy(&queue), 0);
	cr_assert_eq(knit_queue_init(&queue, 1, NULL), 0);
	cr_assert_eq(knit_queue_put_nowait(&queue, 1), 0);
	task = knit_create_task(s61_put, &queue);
	joiner = knit_create_task(join, &queue);
	ticks(1);
	cr_assert_eq(knit_queue_shutdown(&queue, false), 0);
	cr_assert_eq(knit_await(task), 0);
	trace("%ld %s", (long)knit_queue_get(&queue), yes(knit_task_done(joiner)));
	(void)s61_get(&queue);
	cr_assert_eq(knit_queue_task_done(&queue), 0);
	cr_assert_eq(knit_await(joiner), 0);
	s61_immediate();
	return knit_queue_destroy(&queue);
}

Test(scenarios, s61_queue_shutdown)
{
	run(s61);
	assert_trace(
	        "KNIT_EQSHUTDOWN | put: KNIT_EQSHUTDOWN | 1 False | KNIT_EQSHUTDOWN | joined | "
	        "0 | immediate drained the count");
}
