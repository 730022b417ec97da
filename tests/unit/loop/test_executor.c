/* SPDX-License-Identifier: MIT */
/* test_executor.c - the pool of threads: when they start, what they run, when they are gone. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "base/alloc.h"
#include "knit/executor.h"
#include "knit/task.h"
#include "loop/executor.h"

/* A function that tells that it runs, and waits until it may return. */
struct gate {
	sem_t entered, open;
};

static struct gate gate;
static atomic_int args_freed, results_freed;

static void setup(void)
{
	cr_assert_eq(sem_init(&gate.entered, 0, 0), 0);
	cr_assert_eq(sem_init(&gate.open, 0, 0), 0);
	args_freed = results_freed = 0;
}

static void sem_take(sem_t *sem)
{
	while (sem_wait(sem) < 0)
		;
}

static intptr_t wait_at_the_gate(void *arg)
{
	sem_post(&gate.entered);
	sem_take(&gate.open);
	return (intptr_t)arg;
}

static intptr_t return_it(void *arg)
{
	return (intptr_t)arg;
}

static void free_arg(void *arg)
{
	(void)arg;
	args_freed++;
}

static void free_result(intptr_t outcome)
{
	(void)outcome;
	results_freed++;
}

static int (*start_thread)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static int starts_allowed;

static int start_some(pthread_t *thread, const pthread_attr_t *attributes, void *(*main)(void *),
                      void *arg)
{
	if (starts_allowed-- <= 0)
		return EAGAIN;
	return start_thread(thread, attributes, main, arg);
}

static void allow_starts(int count)
{
	if (!start_thread)
		start_thread = kn_executor_start_thread;
	starts_allowed = count;
	kn_executor_start_thread = start_some;
}

/* ---- threads ------------------------------------------------------------------------- */

static intptr_t look_around(void *name)
{
	sigset_t mask;

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	for (int signum = 1; signum < 32; signum++)
		if (signum != SIGKILL && signum != SIGSTOP && !sigismember(&mask, signum))
			return signum;
	if (knit_get_running_loop() || knit_current_task(NULL))
		return -EINVAL;
	return -pthread_getname_np(pthread_self(), name, 16);
}

static intptr_t name_main(void *unused)
{
	knit_executor *executor = knit_executor_new(.name = "a-name-that-is-long");
	char name[16] = "";

	(void)unused;
	cr_assert_eq(knit_to_thread(look_around, name), 0);
	cr_assert_str_eq(name, "knit-1");
	cr_assert_eq(knit_to_thread(look_around, name, .executor = executor), 0);
	cr_assert_str_eq(name, "a-name-that-i-1");
	knit_executor_unref(executor);
	return 0;
}

Test(executor, a_function_runs_in_a_named_thread_with_all_signals_blocked)
{
	cr_assert_eq(knit_run(name_main, NULL), 0);
}

static intptr_t demand_main(void *unused)
{
	knit_executor *executor = knit_executor_new(.threads = 2);
	knit_future *futures[4];
	int before = test_threads();

	(void)unused;
	for (int i = 0; i < 4; i++) {
		futures[i] = knit_run_in_executor(executor, wait_at_the_gate, (void *)(intptr_t)i);
		cr_assert_not_null(futures[i]);
		cr_expect_eq(test_threads() - before, i == 0 ? 1 : 2);
	}
	for (int i = 0; i < 4; i++) {
		sem_take(&gate.entered);
		sem_post(&gate.open);
	}
	for (int i = 0; i < 4; i++)
		cr_assert_eq(knit_await(futures[i]), i);
	/* An idle one is used before another is started. */
	cr_assert_eq(knit_to_thread(return_it, (void *)7, .executor = executor), 7);
	cr_assert_eq(test_threads() - before, 2);
	cr_assert_null(knit_executor_unref(executor));
	cr_assert_eq(test_threads(), before, "idle threads are joined with the last reference");
	return 0;
}

Test(executor, threads_start_on_demand_up_to_the_limit_and_are_joined, .init = setup)
{
	int before = test_threads();

	cr_assert_eq(knit_run(demand_main, NULL), 0);
	cr_assert_eq(test_threads(), before);
}

static intptr_t early_unref_main(void *unused)
{
	knit_executor *executor = knit_executor_new(.threads = 1);
	knit_future *first = knit_run_in_executor(executor, wait_at_the_gate, (void *)1);
	knit_future *second = knit_run_in_executor(executor, return_it, (void *)2);
	int before = test_threads();

	(void)unused;
	cr_assert_eq(knit_executor_ref(executor), executor);
	knit_executor_unref(executor);
	knit_executor_unref(executor);
	sem_post(&gate.open);
	cr_assert_eq(knit_await(first), 1);
	cr_assert_eq(knit_await(second), 2);
	cr_assert_eq(test_threads(), before - 1, "joined by the loop that took the last answer");
	return 0;
}

Test(executor, what_was_accepted_runs_after_the_last_reference_is_gone, .init = setup)
{
	cr_assert_eq(knit_run(early_unref_main, NULL), 0);
}

static intptr_t end_the_thread(void *arg)
{
	pthread_exit(arg);
}

static intptr_t ended_main(void *unused)
{
	knit_executor *executor = knit_executor_new(.threads = 1);
	knit_future *ended = knit_run_in_executor(executor, end_the_thread, NULL);
	knit_future *next = knit_run_in_executor(executor, return_it, (void *)5);

	(void)unused;
	cr_assert_eq(knit_await(ended), -EOWNERDEAD);
	cr_assert_eq(knit_await(next), 5, "another thread goes on with the queue");
	/* Where no other can be started, what waits is told so. */
	ended = knit_run_in_executor(executor, wait_at_the_gate, NULL);
	sem_take(&gate.entered);
	allow_starts(0);
	next = knit_run_in_executor(executor, end_the_thread, NULL);
	cr_assert_eq(knit_loop_set_default_executor(NULL, executor), 0);
	knit_future *last = knit_run_in_executor(NULL, return_it, (void *)6);
	sem_post(&gate.open);
	cr_assert_eq(knit_await(ended), 0);
	cr_assert_eq(knit_await(next), -EOWNERDEAD);
	cr_assert_eq(knit_await(last), -EAGAIN);
	knit_executor_unref(executor);
	return 0;
}

Test(executor, a_function_that_ends_its_thread_loses_no_answer, .init = setup)
{
	cr_assert_eq(knit_run(ended_main, NULL), 0);
}

/* ---- refusals ------------------------------------------------------------------------ */

static intptr_t limit_main(void *unused)
{
	knit_executor *executor = knit_executor_new(.threads = 1, .queue = 1);
	knit_future *runs = knit_run_in_executor(executor, wait_at_the_gate, NULL);
	knit_future *waits, *refused;

	(void)unused;
	sem_take(&gate.entered);
	waits = knit_run_in_executor(executor, return_it, (void *)2);
	refused = knit_run_in_executor(executor, return_it, NULL, .arg_free = free_arg);
	cr_assert_null(refused);
	cr_assert_eq(knit_await(refused), -EAGAIN);
	cr_assert_eq(knit_to_thread(return_it, NULL, .executor = executor), -EAGAIN);
	cr_assert_eq(args_freed, 0, "what is refused keeps off the argument");
	sem_post(&gate.open);
	cr_assert_eq(knit_await(runs), 0);
	cr_assert_eq(knit_await(waits), 2);
	knit_executor_unref(executor);
	return 0;
}

Test(executor, a_full_queue_refuses, .init = setup)
{
	cr_assert_eq(knit_run(limit_main, NULL), 0);
}

static intptr_t unstartable_main(void *unused)
{
	knit_executor *executor = knit_executor_new(.threads = 4);
	knit_future *first, *second;

	(void)unused;
	allow_starts(0);
	cr_assert_null(knit_run_in_executor(executor, return_it, NULL, .arg_free = free_arg));
	cr_assert_eq(knit_await(NULL), -EAGAIN);
	cr_assert_eq(args_freed, 0);
	/* With one thread at least, it waits for that. */
	allow_starts(1);
	first = knit_run_in_executor(executor, wait_at_the_gate, (void *)1);
	sem_take(&gate.entered);
	second = knit_run_in_executor(executor, return_it, (void *)2);
	cr_assert_not_null(second);
	sem_post(&gate.open);
	cr_assert_eq(knit_await(first), 1);
	cr_assert_eq(knit_await(second), 2);
	knit_executor_unref(executor);
	return 0;
}

Test(executor, a_thread_that_cannot_be_started_loses_nothing, .init = setup)
{
	cr_assert_eq(knit_run(unstartable_main, NULL), 0);
}

static intptr_t no_memory_main(void *unused)
{
	knit_future *future = NULL;
	int failures = 0;

	(void)unused;
	for (; failures < 20 && !future; failures++) {
		kn_alloc_fail_after(failures);
		future = knit_run_in_executor(NULL, return_it, (void *)3, .arg_free = free_arg);
		kn_alloc_fail_after(-1);
		if (!future)
			cr_assert_eq(knit_await(NULL), -ENOMEM);
	}
	cr_assert_gt(failures, 3, "the call, the executor and the thread need memory");
	cr_assert_eq(args_freed, 0);
	cr_assert_eq(knit_await(future), 3);
	cr_assert_eq(args_freed, 1);
	return 0;
}

Test(executor, without_memory_nothing_is_lost, .init = setup)
{
	cr_assert_eq(knit_run(no_memory_main, NULL), 0);
	kn_alloc_fail_after(0);
	cr_assert_null(knit_executor_new());
	kn_alloc_fail_after(-1);
	cr_assert_eq(errno, ENOMEM);
}

static intptr_t misuse_main(void *loop)
{
	knit_call_options options = {.size = 3};

	cr_assert_null(knit_run_in_executor(NULL, NULL, NULL));
	cr_assert_eq(knit_await(NULL), -EINVAL);
	cr_assert_null(knit_run_in_executor_with(NULL, return_it, &options));
	cr_assert_eq(knit_await(NULL), -EINVAL);
	cr_assert_eq(knit_to_thread(NULL, NULL), -EINVAL);
	cr_assert_eq(knit_to_thread_with(return_it, NULL), -EINVAL);
	cr_assert_eq(knit_loop_set_default_executor(loop, NULL), -EINVAL);
	return 0;
}

Test(executor, misuse_is_told)
{
	knit_executor_options options = {.size = 1};

	cr_assert_eq(knit_run(misuse_main, NULL), 0);
	cr_assert_null(knit_run_in_executor(NULL, return_it, NULL));
	cr_assert_eq(knit_await(NULL), -KNIT_ENOLOOP);
	cr_assert_eq(knit_to_thread(return_it, NULL), -KNIT_ENOTASK);
	cr_assert_eq(knit_loop_shutdown_default_executor(0), -KNIT_ENOTASK);
	cr_assert_eq(knit_loop_set_default_executor(NULL, NULL), -KNIT_ENOLOOP);
	errno = 0;
	cr_assert_null(knit_executor_new_with(&options));
	cr_assert_eq(errno, EINVAL);
	cr_assert_null(knit_executor_unref(NULL));
	cr_assert_null(knit_executor_ref(NULL));
}

/* ---- a loop that goes first, a fork -------------------------------------------------- */

static intptr_t leave_call(void *executor)
{
	knit_future *future = knit_run_in_executor(executor, wait_at_the_gate, (void *)8,
	                                           .arg_free = free_arg,
	                                           .result_free = free_result);

	cr_assert_not_null(future);
	sem_take(&gate.entered);
	return (intptr_t)future;
}

static bool thread_is_gone(void *before)
{
	return test_threads() == *(const int *)before;
}

Test(executor, an_answer_to_a_closed_loop_ends_in_the_thread, .init = setup)
{
	knit_loop *loop = knit_loop_new();
	knit_executor *executor = knit_executor_new();
	int before = test_threads();
	knit_future *future;

	future = knit_pointer(knit_loop_run_until_complete(loop, leave_call, executor));
	cr_assert_not_null(future);
	loop->grace = 0;
	cr_assert_eq(knit_loop_close(loop), -EBUSY);
	cr_assert(knit_future_cancelled(future));
	knit_future_unref(future);
	knit_loop_unref(loop);
	knit_executor_unref(executor);
	cr_assert_eq(results_freed + args_freed, 0);
	sem_post(&gate.open);
	rig_until(thread_is_gone, &before);
	cr_assert_eq(results_freed, 1);
	cr_assert_eq(args_freed, 1);
}

Test(executor, a_loop_that_closes_waits_for_the_functions_that_run, .init = setup)
{
	knit_loop *loop = knit_loop_new();
	knit_future *future;

	future = knit_pointer(knit_loop_run_until_complete(loop, leave_call, NULL));
	cr_assert_not_null(future);
	sem_post(&gate.open);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert(knit_future_cancelled(future));
	cr_assert_eq(results_freed, 1);
	cr_assert_eq(args_freed, 1);
	knit_future_unref(future);
	knit_loop_unref(loop);
}

static intptr_t use_parents_executor(void *executor)
{
	child_check(!knit_run_in_executor(executor, return_it, NULL));
	child_check(knit_await(NULL) == -KNIT_ECLOSED);
	child_check(knit_to_thread(return_it, NULL, .executor = executor) == -KNIT_ECLOSED);
	/* ThreadSanitizer allows no threads in the child of a process that had several. */
	child_check(KN_TSAN || knit_to_thread(return_it, (void *)4) == 4);
	return 0;
}

static intptr_t start_one(void *executor)
{
	return knit_to_thread(return_it, (void *)1, .executor = executor);
}

Test(executor, a_forked_child_is_refused_and_makes_its_own)
{
	knit_executor *executor = knit_executor_new();
	pid_t child;

	if (rig_on_valgrind())
		test_skip("valgrind takes the parent's threads for leaks of the child");
	cr_assert_eq(knit_run(start_one, executor), 1);
	child = rig_fork();
	if (child == 0) {
		child_check(knit_run(use_parents_executor, executor) == 0);
		knit_executor_unref(executor);
		child_done();
	}
	rig_wait_child(child);
	cr_assert_eq(knit_run(start_one, executor), 1);
	knit_executor_unref(executor);
}
