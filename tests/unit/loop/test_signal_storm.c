/* SPDX-License-Identifier: MIT */
/* test_signal_storm.c - signals that never end, while loops come, go, and fork. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/alloc.h"

static atomic_bool storm_over;

static void *storm(void *ignored)
{
	(void)ignored;
	while (!atomic_load(&storm_over)) {
		kill(getpid(), SIGUSR1);
		sched_yield();
	}
	return NULL;
}

Test(signal_storm, loops_come_and_go_in_a_storm_of_signals)
{
	int rounds = (int)test_scale(300, 100, 100, 20), runs = 0, fds;
	pthread_t thread;

	rig_set_action(SIGUSR1);
	fds = test_open_fds();
	thread = rig_thread(storm, NULL);
	for (int i = 0; i < rounds; i++) {
		knit_loop *loops[3];

		for (int j = 0; j < 3; j++) {
			loops[j] = knit_loop_new(.sq_entries = 8, .cq_entries = 16);
			cr_assert_not_null(loops[j]);
			cr_assert_eq(
			        knit_loop_add_signal_handler(loops[j], SIGUSR1, rig_count, &runs),
			        0);
		}
		cr_assert_geq(knit_loop_run_once(loops[i % 3], 0), 0);
		for (int j = 0; j < 3; j++) {
			cr_assert_eq(knit_loop_close(loops[(i + j) % 3]), 0);
			knit_loop_unref(loops[(i + j) % 3]);
		}
	}
	atomic_store(&storm_over, true);
	rig_join(thread);
	cr_assert(rig_is_action(SIGUSR1));
	cr_assert_eq(test_open_fds(), fds);
}

Test(signal_storm, removing_a_handler_needs_no_memory_in_a_storm_neither)
{
	int rounds = (int)test_scale(300, 100, 100, 20), runs[3] = {0};
	knit_loop *loops[3];
	pthread_t thread;

	for (int j = 0; j < 3; j++)
		loops[j] = knit_loop_new(.sq_entries = 8, .cq_entries = 16);
	rig_set_action(SIGUSR1);
	thread = rig_thread(storm, NULL);
	for (int i = 0; i < rounds; i++) {
		int gone = i % 3;

		for (int j = 0; j < 3; j++)
			cr_assert_eq(knit_loop_add_signal_handler(loops[j], SIGUSR1, rig_count,
			                                          &runs[j]),
			             0);
		kn_alloc_fail_after(0);
		cr_assert_eq(knit_loop_remove_signal_handler(loops[gone], SIGUSR1), 1);
		kn_alloc_fail_after(-1);
		for (int j = 0; j < 3; j++) {
			int before = runs[j];

			raise(SIGUSR1);
			cr_assert_geq(knit_loop_run_once(loops[j], 0), 0);
			cr_assert_eq(runs[j] > before, j != gone);
		}
	}
	atomic_store(&storm_over, true);
	rig_join(thread);
	for (int j = 0; j < 3; j++)
		knit_loop_unref(loops[j]);
	cr_assert(rig_is_action(SIGUSR1));
}

static void *group_storm(void *ignored)
{
	(void)ignored;
	while (!atomic_load(&storm_over)) {
		kill(0, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

/* In a process group of its own: forks while signals hit all the group. */
static void fork_in_a_storm(int rounds)
{
	knit_loop *loop;
	int runs = 0;
	pthread_t thread;

	child_check(setpgid(0, 0) == 0);
	rig_set_action(SIGUSR1);
	loop = knit_loop_new();
	child_check(loop != NULL);
	child_check(knit_loop_add_signal_handler(loop, SIGUSR1, rig_count, &runs) == 0);
	child_check(pthread_create(&thread, NULL, group_storm, NULL) == 0);
	for (int i = 0; i < rounds; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			for (int j = 0; j < 10; j++)
				sched_yield();
			_exit(0);
		}
		while (waitpid(pid, NULL, 0) < 0)
			child_check(errno == EINTR);
	}
	atomic_store(&storm_over, true);
	child_check(pthread_join(thread, NULL) == 0);
	/* Whoever else wrote to the eventfd was a child. */
	kn_loop_take_wakes(loop);
	child_check(loop->wakes_taken == atomic_load(&loop->signal_wakes));
	child_done();
}

Test(signal_storm, a_signal_during_a_fork_does_not_make_the_child_wake_the_parents_loop)
{
	pid_t child = rig_fork();

	if (child == 0)
		fork_in_a_storm((int)test_scale(300, 60, 60, 10));
	rig_wait_child(child);
}
