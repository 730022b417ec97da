/* SPDX-License-Identifier: MIT */
/* test_setup.c - making an engine, binding it to a thread, giving it back. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/alloc.h"
#include "engine/uring.h"
#include "rig.h"

static void works(struct kn_engine *engine)
{
	struct probe nop = probe_of(KN_OP_NOP, -1);

	cr_assert_eq(probe_run(engine, &nop), 0);
}

Test(engine_setup, takes_the_best_ring_that_the_kernel_has)
{
	static const unsigned all = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
	                            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
	                            IORING_SETUP_TASKRUN_FLAG;
	static const struct {
		unsigned refused, expected;
	} cases[] = {
	        {0, all & ~(unsigned)IORING_SETUP_COOP_TASKRUN},
	        {IORING_SETUP_DEFER_TASKRUN, all & ~(unsigned)IORING_SETUP_DEFER_TASKRUN},
	        {IORING_SETUP_SINGLE_ISSUER,
	         IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG},
	        {IORING_SETUP_TASKRUN_FLAG, IORING_SETUP_SUBMIT_ALL},
	        {all, 0},
	};
	struct kn_engine *engine = rig_engine(0, 0);
	bool best = engine->ring.flags & IORING_SETUP_DEFER_TASKRUN;

	rig_free(engine);
	if (!best)
		test_skip("this kernel has not all the flags");
	for (size_t i = 0; i < KN_ARRAY_SIZE(cases); i++) {
		kn_engine_refuse_setup_flags(cases[i].refused);
		engine = rig_engine(0, 0);
		cr_assert_eq(engine->ring.flags & all, cases[i].expected);
		cr_assert_eq(engine->ring.sq.ring_entries, 256);
		cr_assert_eq(engine->ring.cq.ring_entries, 4096);
		works(engine);
		rig_free(engine);
	}
	kn_engine_refuse_setup_flags(0);
}

Test(engine_setup, a_kernel_without_any_of_it_is_told_of)
{
	struct kn_engine *engine;
	char why[512] = "";

	kn_engine_refuse_setup_flags(IORING_SETUP_CQSIZE);
	cr_assert_eq(kn_engine_new(&engine, NULL, why, sizeof(why)), -EINVAL);
	cr_assert(strstr(why, "Linux 6.1"), "%s", why);
	kn_engine_refuse_setup_flags(0);
}

Test(engine_setup, sizes_are_taken_as_they_come)
{
	static const unsigned sizes[][2] = {{1, 1}, {3, 5}, {16, 2}, {1 << 20, 1 << 24}, {0, 1}};

	for (size_t i = 0; i < KN_ARRAY_SIZE(sizes); i++) {
		struct kn_engine *engine = rig_engine(sizes[i][0], sizes[i][1]);

		works(engine);
		rig_free(engine);
	}
}

Test(engine_setup, the_ring_is_not_inherited_over_exec_and_its_workers_are_bounded)
{
	struct kn_engine *engine = rig_engine(0, 0);
	unsigned most[2] = {0, 0};

	cr_assert_eq(fcntl(engine->ring.ring_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	cr_assert_geq(kn_engine_fd(engine), 0);
	cr_assert_eq(fcntl(kn_engine_fd(engine), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	cr_assert_eq(io_uring_register_iowq_max_workers(&engine->ring, most), 0);
	cr_assert_leq(most[0], 16);
	cr_assert_leq(most[1], 32);
	rig_free(engine);
}

Test(engine_setup, nothing_stays_behind)
{
	int before = test_open_fds();

	for (int i = 0; i < 20; i++) {
		struct kn_engine *engine = rig_engine(0, 0);

		cr_assert_geq(kn_engine_fd(engine), 0);
		works(engine);
		rig_free(engine);
		kn_engine_free(NULL);
	}
	cr_assert_eq(test_open_fds(), before);
}

Test(engine_setup, without_memory_it_says_so)
{
	struct kn_engine *engine;
	char why[512] = "";
	int before = test_open_fds();

	kn_alloc_fail_after(0);
	cr_assert_eq(kn_engine_new(&engine, NULL, why, sizeof(why)), -ENOMEM);
	kn_alloc_fail_after(-1);
	cr_assert(strstr(why, "memory"), "%s", why);
	cr_assert_eq(test_open_fds(), before);
}

/* Many loops on one machine: each works, or there is one line that says why not. */
Test(engine_setup, two_hundred_and_fifty_six_engines_work_or_say_why_not)
{
	enum { COUNT = 256 };
	static struct kn_engine *engines[COUNT];
	int made = 0;

	(void)rig_allow_descriptors(COUNT + 64);
	for (int i = 0; i < COUNT; i++) {
		char why[512] = "";
		int r = kn_engine_new(&engines[i], NULL, why, sizeof(why));

		if (r < 0) {
			cr_assert_neq(why[0], '\0');
			cr_assert_null(strchr(why, '\n'), "%s", why);
			cr_assert_gt(i, 0, "%s", why);
			engines[i] = NULL;
			continue;
		}
		cr_assert_eq(kn_engine_start(engines[i], why, sizeof(why)), 0, "%s", why);
		made++;
	}
	for (int i = 0; i < COUNT; i++)
		if (engines[i])
			works(engines[i]);
	for (int i = 0; i < COUNT; i++)
		if (engines[i])
			rig_free(engines[i]);
	cr_assert_gt(made, 0);
}

/* ---- threads ---- */

static void *start_elsewhere(void *arg)
{
	char why[512] = "";

	cr_assert_eq(kn_engine_start(arg, why, sizeof(why)), -EEXIST);
	cr_assert(strstr(why, "another thread"), "%s", why);
	return NULL;
}

Test(engine_setup, starting_twice_is_harmless_but_not_from_another_thread)
{
	struct kn_engine *engine = rig_engine(0, 0);
	pthread_t thread;
	char why[512];

	cr_assert_eq(kn_engine_start(engine, why, sizeof(why)), 0);
	works(engine);
	cr_assert_eq(pthread_create(&thread, NULL, start_elsewhere, engine), 0);
	pthread_join(thread, NULL);
	works(engine);
	rig_free(engine);
}

static void *start_and_use(void *arg)
{
	char why[512] = "";

	cr_assert_eq(kn_engine_start(arg, why, sizeof(why)), 0, "%s", why);
	works(arg);
	return NULL;
}

/* The maker's own ring is registered with its thread under an index, and so is the other's
 * with the other: freeing the other's here must not take ours away. */
Test(engine_setup, made_in_one_thread_used_in_another_freed_in_the_first)
{
	struct kn_engine *own = rig_engine(0, 0);
	int before = test_open_fds();

	for (int i = 0; i < 20; i++) {
		struct kn_engine *engine = NULL;
		pthread_t thread;
		char why[512] = "";

		cr_assert_eq(kn_engine_new(&engine, NULL, why, sizeof(why)), 0, "%s", why);
		cr_assert_eq(pthread_create(&thread, NULL, start_and_use, engine), 0);
		pthread_join(thread, NULL);
		rig_free(engine);
		works(own);
	}
	cr_assert_eq(test_open_fds(), before);
	rig_free(own);
}

Test(engine_setup, an_engine_that_was_never_started_can_be_freed)
{
	struct kn_engine *engine = NULL;
	char why[512] = "";

	cr_assert_eq(kn_engine_new(&engine, NULL, why, sizeof(why)), 0, "%s", why);
	kn_engine_free(engine);
}

/* ---- fork ---- */

static void fork_with(struct kn_engine *engine, bool free_in_child)
{
	pid_t child = fork();
	int status = 0;

	cr_assert_geq(child, 0);
	if (child == 0) {
		if (free_in_child)
			kn_engine_free(engine);
		_exit(0);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

static void forking(struct kn_engine *engine)
{
	int fds[2];
	char byte;

	rig_socketpair(fds);
	cr_assert_geq(kn_engine_fd(engine), 0);
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);
	probe_submit(engine, &receiving);
	cr_assert_eq(kn_engine_arm(engine, rig_now() + RIG_GUARD), 0);
	fork_with(engine, true);
	works(engine);
	fork_with(engine, false);
	works(engine);
	cr_assert_eq(receiving.calls, 0);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	rig_pump(engine, &receiving.finals, 1);
	cr_assert_eq(receiving.result, 1);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_setup, a_child_process_does_no_harm_to_its_parents_engine)
{
	rig_on_each_ring(0, 0, forking);
}

static void touch_ring(void *arg)
{
	struct kn_engine *engine = arg;

	(void)kn_engine_ready(engine);
}

Test(engine_setup, a_child_process_cannot_touch_the_ring)
{
	struct kn_engine *engine = rig_engine(0, 0);

	/* The text is the sanitizers'; without them the signal says it all. */
	test_death(touch_ring, engine, "");
	works(engine);
	rig_free(engine);
}
