/* SPDX-License-Identifier: MIT */
/* test_dips.c - the stacks that a burst of tasks needed: they stay while the load goes up and down,
 * and go when it has been low for many passes. */
#include <poll.h>
#include <unistd.h>
#include "fiber/stack.h"
#include "knit.h"
#include "loop/loop.h"
#include "test.h"

enum { BURST = 100 };

static size_t trimmed(void)
{
	struct kn_stack_stats stats;

	kn_stack_pool_stats(knit_get_running_loop()->stacks, &stats);
	return stats.trimmed;
}

/* A pass in which the loop has nothing else to do: it asks the kernel to wait. */
static void wait_shortly(int fd)
{
	cr_assert_gt(knit_poll(fd, POLLIN), 0);
}

static intptr_t yield(void *arg)
{
	(void)arg;
	return knit_sleep(0);
}

static void burst(void)
{
	knit_task *tasks[BURST];

	for (int i = 0; i < BURST; i++)
		tasks[i] = knit_create_task(yield, NULL);
	for (int i = 0; i < BURST; i++)
		cr_assert_eq(knit_await(tasks[i]), 0);
}

static intptr_t up_and_down(void *arg)
{
	int fd = *(int *)arg;
	size_t before;

	burst();
	before = trimmed();
	for (int i = 0; i < 30; i++) {
		burst();
		for (int j = 0; j < 10; j++)
			wait_shortly(fd);
	}
	cr_assert_eq(trimmed(), before, "a dip is no quiet time");
	for (int i = 0; i < 256 * 60 && trimmed() < BURST - 20; i++)
		wait_shortly(fd);
	cr_assert_geq(trimmed(), BURST - 20, "%zu", trimmed());
	return 0;
}

Test(dips, stacks_stay_in_a_dip_of_the_load_and_go_after_many_quiet_passes)
{
	int ends[2];

	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(write(ends[1], "x", 1), 1);
	cr_assert_eq(knit_run(up_and_down, &ends[0]), 0);
	close(ends[0]);
	close(ends[1]);
}
