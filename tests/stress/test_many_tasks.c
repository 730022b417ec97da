/* SPDX-License-Identifier: MIT */
/* test_many_tasks.c - L27: hundreds of thousands of live tasks, and what happens when there is no
 * memory for one more. */
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "knit.h"
#include "test.h"

struct crowd {
	long tasks;
	long alive, finished, failed, freed; /* counts */
	knit_future *gate;                   /* what they all wait for */
};

static intptr_t wait_at_the_gate(void *arg)
{
	struct crowd *crowd = arg;
	intptr_t r;

	crowd->alive++;
	r = knit_await(knit_future_ref(crowd->gate));
	crowd->finished++;
	return r;
}

static intptr_t crowd_main(void *arg)
{
	struct crowd *crowd = arg;

	crowd->gate = knit_future_new();
	for (long i = 0; i < crowd->tasks; i++)
		cr_assert_eq(knit_spawn(wait_at_the_gate, crowd), 0);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(crowd->alive, crowd->tasks);
	cr_assert_eq((long)knit_all_tasks(NULL, NULL, 0), crowd->tasks + 1);
	cr_assert_eq(knit_future_set_result(crowd->gate, 0), 0);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(crowd->finished, crowd->tasks);
	cr_assert_eq((long)knit_all_tasks(NULL, NULL, 0), 1);
	knit_future_unref(crowd->gate);
	return 0;
}

/* More than vm.max_map_count allows with a mapping for each guard. 1,000,000 with KNIT_STRESS=1
 * (4.5 GB), where the kernel has guard regions. The sanitizers give each fiber that it watches
 * for use after return a mapping or two of its own. */
Test(many_tasks, hundreds_of_thousands_live_at_once)
{
	struct crowd crowd = {.tasks = test_scale(200000, 20000, 5000, 1000)};
	const char *stress = getenv("KNIT_STRESS");

	if (stress && atoi(stress) > 0)
		crowd.tasks *= 5;
	cr_assert_eq(knit_run(crowd_main, &crowd), 0);
}

/* ---- no memory for one more ---- */

static void count_freed(void *arg)
{
	((struct crowd *)arg)->freed++;
}

static intptr_t scarce_main(void *arg)
{
	struct crowd *crowd = arg;
	knit_task **tasks = calloc((size_t)crowd->tasks, sizeof(*tasks));
	intptr_t outcome;

	crowd->gate = knit_future_new();
	for (long i = 0; i < crowd->tasks; i++) {
		tasks[i] = knit_create_task(wait_at_the_gate, crowd, .arg_free = count_freed);
		if (!tasks[i])
			return -ENOMEM; /* the limit leaves room for tasks: only stacks are scarce
			                 */
	}
	if (knit_sleep(0) < 0 || knit_future_set_result(crowd->gate, 0) < 0)
		return -EINVAL;
	for (long i = 0; i < crowd->tasks; i++) {
		outcome = knit_await(tasks[i]);
		if (outcome == -ENOMEM)
			crowd->failed++;
		else if (outcome < 0)
			return outcome;
	}
	/* What they gave back is there for the next one. */
	outcome = knit_await(knit_create_task(wait_at_the_gate, crowd));
	knit_future_unref(crowd->gate);
	free(tasks);
	return outcome;
}

/* In a child: address space for some hundred stacks, asked for by some thousand tasks. */
static int live_in_scarcity(void)
{
	struct crowd crowd = {.tasks = 4000};
	struct rlimit limit = {160 << 20, 160 << 20};

	if (setrlimit(RLIMIT_AS, &limit) < 0)
		return 2;
	if (knit_run(scarce_main, &crowd) != 0)
		return 3;
	if (crowd.failed == 0 || crowd.finished == 1)
		return 4; /* the limit was not between none and all */
	return crowd.finished + crowd.failed == crowd.tasks + 1 && crowd.freed == crowd.tasks ? 0
	                                                                                      : 5;
}

Test(many_tasks, a_task_without_a_stack_fails_and_the_others_go_on)
{
	int status;
	pid_t pid;

	/* The checkers need terabytes of address space for themselves. */
	if (test_scale(1, 0, 0, 0) == 0)
		test_skip("no limit on the address space under a checker");
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0)
		_exit(live_in_scarcity());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}
