/* SPDX-License-Identifier: MIT */
/* test_scope_random.c - random nests of timeouts, cancel scopes and groups, on a virtual clock so
 * coarse that deadlines, completions and cancellations from outside meet all the time.
 *
 * The bodies are obedient: a cancellation goes straight up. Then what must come out at the top is
 * known, whatever happened inside: nothing if nobody outside asked, else at least one
 * -KNIT_ECANCELLED and at most as many as there were requests; and the count of requests is theirs.
 */
#include "unit/loop/rig.h"
#include <errno.h>
#include "knit/group.h"
#include "knit/timeout.h"
#include "task/task.h"

#define DEPTH 4

static uint64_t state;

static unsigned pick(unsigned n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % n;
}

static bool coin(void)
{
	return pick(2);
}

static intptr_t nest(int depth);

/* ---- children ---- */

struct child {
	knit_task_group *group; /* to cancel it; NULL: not */
	int *alive;
	int64_t delay;
	int outcome;
};

static intptr_t live(void *arg)
{
	struct child *child = arg;
	int r = knit_sleep(child->delay);

	if (child->group)
		(void)knit_task_group_cancel(child->group);
	--*child->alive;
	return r < 0 ? r : child->outcome;
}

static int64_t delay(void)
{
	return pick(4);
}

/* ---- the kinds of scopes ---- */

static intptr_t in_timeout(int depth)
{
	knit_timeout timeout;

	cr_assert_eq(knit_timeout_enter(&timeout, (int64_t)pick(7) - 1), 0);
	if (pick(4) == 0)
		cr_assert_eq(knit_timeout_reschedule(&timeout, knit_loop_time(NULL) + delay()), 0);
	return knit_timeout_exit(&timeout, nest(depth - 1));
}

static void cancel_scope(void *scope)
{
	cr_assert_eq(knit_cancel_scope_cancel(scope), 0);
}

static intptr_t in_scope(int depth)
{
	knit_cancel_scope scope;
	knit_handle handle = {0};
	bool on_demand = coin();
	intptr_t r;

	cr_assert_eq(knit_cancel_scope_enter(&scope, .delay = pick(5), .shield = coin()), 0);
	if (on_demand)
		handle = knit_loop_call_later(NULL, delay(), cancel_scope, &scope);
	r = nest(depth - 1);
	if (on_demand)
		(void)knit_handle_cancel(handle);
	return knit_cancel_scope_exit(&scope, r);
}

static intptr_t in_group(int depth)
{
	struct child children[3];
	knit_task_group group;
	int alive = 0;
	intptr_t r;

	cr_assert_eq(knit_task_group_enter(&group), 0);
	for (unsigned i = 0, n = pick(4); i < n; i++) {
		children[i] = (struct child){coin() ? &group : NULL, &alive, delay() + 1,
		                             coin() ? -EIO : 0};
		alive++;
		cr_assert_eq(knit_task_group_spawn(&group, live, &children[i]), 0);
	}
	r = nest(depth - 1);
	/* One that is cancelled before it began never runs. */
	r = knit_task_group_exit(&group, r);
	for (unsigned i = 0; i < 3; i++)
		children[i].alive = NULL;
	if (r == -KNIT_EGROUP)
		knit_task_group_done(&group);
	return r;
}

static intptr_t await_child(void)
{
	int alive = 1;
	struct child child = {NULL, &alive, delay(), 0};

	return knit_await(knit_create_task(live, &child));
}

static intptr_t step(int depth)
{
	switch (pick(depth > 0 ? 6 : 2)) {
	case 0:
		return knit_sleep(delay());
	case 1:
		return await_child();
	case 2:
	case 3:
		return in_timeout(depth);
	case 4:
		return in_scope(depth);
	default:
		return in_group(depth);
	}
}

static intptr_t nest(int depth)
{
	intptr_t r = 0;

	for (unsigned i = 0, n = 1 + pick(3); i < n; i++) {
		r = step(depth);
		if (r == -KNIT_ECANCELLED || (r < 0 && coin()))
			return r;
		cr_assert(r == 0 || r == -ETIMEDOUT || r == -KNIT_EGROUP, "%s",
		          knit_errname((int)r));
	}
	return r;
}

/* ---- the top ---- */

static int requests;

static void ask(void *task)
{
	cr_assert(knit_task_cancel(task, "outside"));
	requests++;
}

static intptr_t one_round(void *seed)
{
	knit_handle handles[3];
	unsigned n = pick(4);
	int delivered, before;

	requests = 0;
	for (unsigned i = 0; i < n; i++)
		handles[i] = knit_loop_call_later(NULL, pick(10), ask, knit_current_task(NULL));
	/* Sometimes behind a cancellation that was never taken back, or one that is pending. */
	before = pick(4) == 0;
	if (before) {
		ask(knit_current_task(NULL));
		requests = 0;
		cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	}
	if (pick(4) == 0)
		ask(knit_current_task(NULL));
	delivered = nest(DEPTH) == -KNIT_ECANCELLED;
	for (unsigned i = 0; i < n; i++)
		(void)knit_handle_cancel(handles[i]);
	for (int i = 0; i < 4; i++)
		delivered += knit_sleep(0) == -KNIT_ECANCELLED;
	cr_assert(requests ? delivered >= 1 : delivered == 0, "seed %ld: %d requests, %d came out",
	          (long)(intptr_t)seed, requests, delivered);
	cr_assert_leq(delivered, requests, "seed %ld", (long)(intptr_t)seed);
	cr_assert_eq(knit_task_cancelling(knit_current_task(NULL)), requests + before, "seed %ld",
	             (long)(intptr_t)seed);
	cr_assert_null(kn_task_of(knit_current_task(NULL))->scope);
	cr_assert_eq(kn_task_of(knit_current_task(NULL))->held, 0);
	return 0;
}

static intptr_t many_rounds(void *rounds)
{
	uint32_t timers = knit_get_running_loop()->timers.count;

	for (intptr_t seed = 1; seed <= (intptr_t)rounds; seed++) {
		state = (uint64_t)seed;
		cr_assert_eq(knit_await(knit_create_task(one_round, (void *)seed)), 0);
		cr_assert_eq(knit_get_running_loop()->tasks.live, 1, "seed %ld", (long)seed);
		cr_assert_eq(knit_get_running_loop()->timers.count, timers);
	}
	return 0;
}

Test(scope_random, no_scope_takes_a_cancellation_but_its_own)
{
	long rounds = test_scale(20000, 4000, 2000, 300);

	cr_assert_eq(knit_run(many_rounds, (void *)rounds, .clock = KNIT_CLOCK_VIRTUAL), 0);
}
