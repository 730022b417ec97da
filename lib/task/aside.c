/* SPDX-License-Identifier: MIT */
/* aside.c - tasks that have waited for long do without the pages of their stacks.
 *
 * A task that sleeps needs a few hundred bytes of its stack, and holds a page. With the loop's
 * .stack_aside_after a round goes through all tasks, a bit at a time whenever the loop has nothing
 * to do. It marks those that wait; the mark goes when a wait begins. A task that the next round,
 * which comes no sooner than that time later, finds marked has waited for so long, and is put
 * aside (fiber/aside.c). The step that resumes it brings it back. So a task that waits for less
 * pays nothing but for the mark.
 *
 * While a stack is aside nobody may reach into it. The loop, futures and timers do not, for some
 * waits: those that say so (kn_wait.aside) are linked by struct kn_task alone. A scope stands in a
 * frame and is reached by its deadline, its children and who cancels it, so a task inside of one
 * stays; so does one that awaits a future in its own frame. What the program itself has pointers to
 * we cannot know: it says of a task that there is nothing (.stack_private). */
#include "task/task.h"

/* A call takes about 0.1 ms at most. */
#define VISITS_A_CALL 2048
#define MOVES_A_CALL  64

static bool may_go(const struct kn_task *task)
{
	const knit_future *awaited;

	if (!task->stack_private || !task->started || task->scope || !task->wait ||
	    !task->wait->aside || kn_future_is_done(&task->future) ||
	    kn_fiber_is_aside(&task->fiber))
		return false;
	awaited = kn_task_awaits(task);
	return !awaited || !awaited->is_derived;
}

/* One bit of a round. */
static void visit_some(struct knit_loop *loop, struct kn_aside *aside)
{
	struct kn_stack_range range = {NULL, NULL};
	unsigned moves = 0;

	for (unsigned visits = 0; visits < VISITS_A_CALL && moves < MOVES_A_CALL; visits++) {
		struct kn_task *task = kn_slab_at(&loop->tasks, aside->next);

		if (!task)
			break;
		aside->next++;
		/* A freed one has another loop. */
		if (task->future.loop != loop || !may_go(task))
			continue;
		if (!task->waits_long) {
			task->waits_long = true;
			aside->marked = true;
		} else if (kn_fiber_put_aside(&task->fiber, &range)) {
			moves++;
		}
	}
	kn_stack_range_flush(&range);
}

int64_t kn_tasks_put_aside(struct knit_loop *loop, int64_t now)
{
	struct kn_aside *aside = &loop->aside;

	if (loop->phase != KN_OPEN)
		return KNIT_FOREVER;
	if (!aside->under_way) {
		if (!aside->marked && aside->passes == loop->counters.passes)
			return KNIT_FOREVER; /* nothing has run since the last round */
		if (now < aside->due)
			return aside->due;
		aside->under_way = true;
		aside->marked = false;
		aside->next = 0;
	}
	visit_some(loop, aside);
	if (kn_slab_at(&loop->tasks, aside->next))
		return now;
	aside->under_way = false;
	aside->passes = loop->counters.passes;
	/* From the end: the first task has had its mark for longer, the last one just got it. */
	aside->due = loop->aside_after > INT64_MAX - now ? KNIT_FOREVER : now + loop->aside_after;
	return aside->marked ? aside->due : KNIT_FOREVER;
}
