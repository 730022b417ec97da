/* SPDX-License-Identifier: MIT */
/* leftovers.c - the end of a program's run: tasks that are not done when the main task is.
 *
 * They are cancelled, and have the grace period to clean up, which they may do by waiting. One
 * that still is not done then is reported with the place where it waits. From there on the loop is
 * closed, which refuses it every further wait; what it had in the kernel, or in a thread, comes
 * back first. Tasks that are created meanwhile are not waited for: the close ends them. */
#include "task/runner.h"

struct grace {
	struct kn_timer timer;
	struct knit_loop *loop;
	bool over;
};

/* All tasks that are not done, in the order of creation, each with a reference. */
static struct kn_task *take_leftovers(struct knit_loop *loop)
{
	struct kn_task *first = NULL, **end = &first;

	kn_list_for_each (node, &loop->all_tasks) {
		struct kn_task *task = kn_list_entry(node, struct kn_task, link);

		task->future.refs++;
		*end = task;
		end = &task->next_leftover;
	}
	*end = NULL;
	return first;
}

static void grace_is_over(struct kn_ready *ready)
{
	struct grace *grace = kn_container_of(ready, struct grace, timer.ready);

	grace->over = true;
	grace->loop->stopping = true;
}

/* Runs until @future is done, also if somebody calls knit_loop_stop() meanwhile. */
static int run_out(struct knit_loop *loop, knit_future *future, const struct grace *grace)
{
	int r = 0;

	while (r == 0 && !kn_future_is_done(future)) {
		if (grace->over)
			return -ETIMEDOUT;
		r = kn_run_until(loop, future);
		if (r == -KNIT_ESTOPPED)
			r = 0;
	}
	return r;
}

static int run_all_out(struct knit_loop *loop, struct kn_task *first, int64_t limit)
{
	struct grace grace = {
	        .timer = {.ready.run = grace_is_over, .id = KN_HEAP_NONE},
	        .loop = loop,
	};
	int r = 0;

	kn_list_init(&grace.timer.ready.link);
	/* Without memory for a timer there is no limit, as in asyncio. */
	if (limit != KNIT_FOREVER)
		(void)!kn_timer_start(loop, &grace.timer, kn_loop_deadline(loop, limit));
	for (struct kn_task *task = first; task && r == 0; task = task->next_leftover)
		r = run_out(loop, &task->future, &grace);
	if (kn_loop_check(loop) == 0)
		kn_timer_stop(loop, &grace.timer);
	return r;
}

static void report_overdue(struct kn_task *task)
{
	char place[768];
	knit_exception_context context = {
	        .message = "Task ignored its cancellation for the grace period",
	        .error = place,
	        .name = knit_task_get_name(&task->future),
	        .future = &task->future,
	};

	kn_fiber_describe(&task->fiber, place, sizeof(place));
	if (place[0] == '\0')
		context.error = NULL;
	task->overdue = true;
	kn_loop_report(task->future.loop, &context);
}

int kn_leftovers_end(struct knit_loop *loop, int64_t grace)
{
	struct kn_task *first = take_leftovers(loop), *next;
	int r;

	if (!first)
		return 0;
	for (struct kn_task *task = first; task; task = task->next_leftover)
		(void)kn_future_request_cancel(&task->future, NULL);
	r = run_all_out(loop, first, grace);
	if (kn_loop_check(loop) < 0)
		return -KNIT_EWRONGTHREAD; /* a forked child */
	for (struct kn_task *task = first; task; task = next) {
		next = task->next_leftover;
		if (kn_future_is_done(&task->future))
			kn_future_report(&task->future,
			                 "unhandled exception during knit_run() shutdown");
		else if (r == -ETIMEDOUT)
			report_overdue(task);
		kn_future_release(&task->future);
	}
	return r;
}
