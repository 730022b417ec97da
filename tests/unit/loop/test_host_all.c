/* SPDX-License-Identifier: MIT */
/* test_host_all.c - a foreign main loop that waits in poll(2) for a pipe of its own and for a loop
 * with everything at once: tasks, timers, functions in threads, posts. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>
#include "knit/executor.h"
#include "knit/task.h"
#include "unit/loop/rig.h"

#define GUARD_MS 240000
#define ROUNDS   50
#define TASKS    4

static knit_loop *loop;
static int bell[2]; /* the host's own descriptor */
static int rung, timers, posts, finished;
static intptr_t sum;

static intptr_t ring(void *number)
{
	/* What a function in a thread does for the host, and for the loop. */
	if (write(bell[1], "", 1) != 1 ||
	    knit_loop_call_soon_threadsafe(loop, rig_count, &posts) < 0)
		return -EIO;
	return (intptr_t)number;
}

static intptr_t worker(void *number)
{
	for (int i = 0; i < ROUNDS; i++) {
		intptr_t r = i % 2 ? knit_to_thread(ring, number)
		                   : knit_await(knit_run_in_executor(NULL, ring, number));

		if (knit_is_error(r))
			return r;
		sum += r;
		r = knit_sleep(i % 3 ? 0 : KNIT_MS / 100);
		if (r < 0)
			return r;
	}
	finished++;
	return 0;
}

static void count_timer(void *left)
{
	timers++;
	if (--*(int *)left > 0)
		knit_loop_call_later(loop, KNIT_MS / 50, count_timer, left);
}

static void *post_all(void *unused)
{
	for (int i = 0; i < ROUNDS; i++)
		(void)!knit_loop_call_soon_threadsafe(loop, rig_count, &posts);
	return unused;
}

static bool all_done(void)
{
	return finished == TASKS && timers == ROUNDS && rung == TASKS * ROUNDS &&
	       posts == (TASKS + 1) * ROUNDS;
}

/* Goes by what poll(2) says, and by nothing else. */
static void host(void)
{
	struct pollfd polled[2] = {
	        {.fd = knit_loop_fd(loop), .events = POLLIN},
	        {.fd = bell[0], .events = POLLIN},
	};
	char bytes[64];

	cr_assert_geq(polled[0].fd, 0);
	for (int rounds = 0; !all_done(); rounds++) {
		int r = poll(polled, 2, GUARD_MS);

		cr_assert_lt(rounds, 100000);
		if (r < 0 && errno == EINTR)
			continue;
		cr_assert_gt(r, 0, "the host was not woken: %d tasks, %d timers, %d posts",
		             finished, timers, posts);
		if (polled[0].revents)
			cr_assert_geq(knit_loop_run_once(loop, 0), 0);
		if (polled[1].revents)
			rung += (int)read(bell[0], bytes, sizeof(bytes));
	}
}

Test(host, a_foreign_main_loop_hosts_tasks_timers_threads_and_posts_at_once)
{
	int left = ROUNDS, threads = test_threads(), fds = test_open_fds();
	pthread_t poster;

	cr_assert_eq(pipe(bell), 0);
	loop = knit_loop_new();
	cr_assert_not_null(loop);
	for (intptr_t i = 1; i <= TASKS; i++)
		knit_task_unref(knit_loop_create_task(loop, worker, (void *)i));
	knit_loop_call_later(loop, KNIT_MS / 50, count_timer, &left);
	poster = rig_thread(post_all, NULL);
	host();
	rig_join(poster);
	cr_assert_eq(sum, (1 + 2 + 3 + 4) * ROUNDS);
	cr_assert_eq(knit_loop_close(loop), 0);
	knit_loop_unref(loop);
	close(bell[0]);
	close(bell[1]);
	cr_assert_eq(test_threads(), threads);
	cr_assert_eq(test_open_fds(), fds);
}
