/* SPDX-License-Identifier: MIT */
/* test_sync.c - queues, locks, events and the like take no allocation once they are warm. */
#include <stdlib.h>
#include "count.h"
#include "test.h"

/* ---- queues ---- */

static intptr_t consume(void *queue)
{
	intptr_t item;

	while (!knit_is_error(item = knit_queue_get(queue)))
		must(knit_queue_task_done(queue));
	return item == -KNIT_EQSHUTDOWN ? 0 : item;
}

#define BURST 200

static void produce(void *queue)
{
	for (int i = 0; i < BURST; i++)
		must(knit_queue_put(queue, i));
	must(knit_queue_join(queue));
}

struct queue_count {
	knit_queue queue;
	uint64_t allocations;
};

static intptr_t queue_main(void *arg)
{
	struct queue_count *count = arg;
	knit_task *consumer = knit_create_task(consume, &count->queue);

	count->allocations = steady_in_task(produce, &count->queue);
	must(knit_queue_shutdown(&count->queue, false));
	must(knit_await(consumer));
	return knit_queue_destroy(&count->queue);
}

Test(steady, a_queue_of_one)
{
	struct queue_count count;
	must(knit_queue_init(&count.queue, 1, NULL));
	must(knit_run(queue_main, &count));
	cr_assert_eq(count.allocations, 0);
}

Test(steady, a_queue_without_limit)
{
	struct queue_count count;
	must(knit_queue_init(&count.queue, 0, NULL));
	must(knit_run(queue_main, &count));
	cr_assert_eq(count.allocations, 0);
}

Test(steady, a_priority_queue)
{
	struct queue_count count;
	must(knit_priority_queue_init(&count.queue, 128, NULL, NULL));
	must(knit_run(queue_main, &count));
	cr_assert_eq(count.allocations, 0);
}

/* ---- two tasks at one object ---- */

struct objects {
	knit_lock lock;
	knit_event event;
	knit_condition condition;
	knit_semaphore semaphore;
	knit_barrier barrier;
	bool is_ready, is_over;
	uint64_t allocations;
};

/* Both do the same in turn, so that each waits for the other at every object. */
static void meet(struct objects *objects)
{
	must(knit_lock_acquire(&objects->lock));
	must(knit_sleep(0));
	must(knit_lock_release(&objects->lock));
	must(knit_semaphore_acquire(&objects->semaphore));
	must(knit_sleep(0));
	must(knit_semaphore_release(&objects->semaphore));
	must(knit_barrier_wait(&objects->barrier));
}

static void lead(void *arg)
{
	struct objects *objects = arg;

	must(knit_event_set(&objects->event));
	meet(objects);
	must(knit_condition_acquire(&objects->condition));
	objects->is_ready = true;
	must(knit_condition_notify(&objects->condition, 1));
	must(knit_condition_release(&objects->condition));
	must(knit_barrier_wait(&objects->barrier));
}

static intptr_t follow(void *arg)
{
	struct objects *objects = arg;

	for (;;) {
		must(knit_event_wait(&objects->event));
		if (objects->is_over)
			return 0;
		must(knit_event_clear(&objects->event));
		meet(objects);
		must(knit_condition_acquire(&objects->condition));
		while (!objects->is_ready)
			must(knit_condition_wait(&objects->condition));
		objects->is_ready = false;
		must(knit_condition_release(&objects->condition));
		must(knit_barrier_wait(&objects->barrier));
	}
}

static intptr_t objects_main(void *arg)
{
	struct objects *objects = arg;
	knit_task *follower;

	must(knit_lock_init(&objects->lock));
	must(knit_event_init(&objects->event));
	must(knit_condition_init(&objects->condition, NULL));
	must(knit_semaphore_init(&objects->semaphore, 1));
	must(knit_barrier_init(&objects->barrier, 2));
	follower = knit_create_task(follow, objects);
	objects->allocations = steady_in_task(lead, objects);
	objects->is_over = true;
	must(knit_event_set(&objects->event));
	must(knit_await(follower));
	must(knit_barrier_destroy(&objects->barrier));
	must(knit_semaphore_destroy(&objects->semaphore));
	must(knit_condition_destroy(&objects->condition));
	must(knit_event_destroy(&objects->event));
	return knit_lock_destroy(&objects->lock);
}

Test(steady, locks_events_conditions_semaphores_and_barriers)
{
	struct objects objects = {.allocations = UINT64_MAX};
	must(knit_run(objects_main, &objects));
	cr_assert_eq(objects.allocations, 0);
}
