/* SPDX-License-Identifier: MIT */
/* test_burst.c - the memory of the stacks that a burst of tasks needed goes back to the kernel
 * while the loop waits, all of it but for a few, though nothing wakes the loop. */
#include "unit/loop/rig.h"
#include <sys/mman.h>
#include <unistd.h>
#include "knit/task.h"

enum { TASKS = 100, KEPT = 40 };

static void *pages[TASKS]; /* one of each task's stack */

static intptr_t touch(void *page)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	*(void **)page = (void *)(here & ~((uintptr_t)getpagesize() - 1));
	return knit_sleep(0);
}

static int resident(void)
{
	int count = 0;

	for (int i = 0; i < TASKS; i++) {
		unsigned char in = 0;

		cr_assert_eq(mincore(pages[i], 1, &in), 0);
		count += in & 1;
	}
	return count;
}

static bool is_cold(void *ignored)
{
	(void)ignored;
	return resident() <= KEPT;
}

static intptr_t burst(void *ignored)
{
	knit_task *tasks[TASKS];
	intptr_t r = 0;

	(void)ignored;
	for (int i = 0; i < TASKS; i++)
		tasks[i] = knit_create_task(touch, &pages[i]);
	for (int i = 0; r == 0 && i < TASKS; i++)
		r = knit_await(tasks[i]);
	return r == 0 ? resident() : r;
}

Test(burst, its_memory_goes_back_while_the_loop_waits)
{
	struct worker worker = {0};
	knit_concurrent_future *future;

	worker_start(&worker);
	future = knit_run_coroutine_threadsafe(worker.loop, burst, NULL);
	cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), TASKS);
	knit_concurrent_future_unref(future);
	rig_until(is_cold, NULL);
	worker_stop(&worker);
}
