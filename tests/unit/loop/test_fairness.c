/* SPDX-License-Identifier: MIT */
/* test_fairness.c - nothing that goes on for ever keeps the rest of the loop from its turn.
 *
 * Four floods - completions, callbacks, posts, timers - each strong enough to fill every pass.
 * Under each of them, and under all at once, one of everything is begun, and has to happen
 * within a number of passes that follows from how much stands in line before it. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	OPERATIONS = 600, /* in flight at a time: more than a pass takes */
	CALLBACKS = 50,
	TIMERS = 500,
	POSTS = 2000,  /* outstanding at most */
	WARM_UP = 20,  /* passes */
	PATIENCE = 60, /* passes: all that stands in line, taken by 200 in a pass, several times */
};

static knit_loop *loop;
static atomic_bool stop;
static unsigned long happened[4]; /* completions, callbacks, timers, posts */

static void setup(void)
{
	loop = knit_loop_new();
	cr_assert_not_null(loop);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
}

static void pass(void)
{
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
}

/* ---- floods ---- */

static struct kn_op operations[OPERATIONS];
static int ready_fd;

static void operation_complete(struct kn_op *op)
{
	happened[0]++;
	if (!stop)
		(void)!kn_engine_submit(loop->engine, op);
}

static void flood_operations(void)
{
	ready_fd = eventfd(1, EFD_CLOEXEC);
	cr_assert_geq(ready_fd, 0);
	for (int i = 0; i < OPERATIONS; i++) {
		operations[i] = (struct kn_op){.opcode = KN_OP_POLL,
		                               .fd = ready_fd,
		                               .flags = 1,
		                               .complete = operation_complete};
		cr_assert_eq(kn_engine_submit(loop->engine, &operations[i]), 0);
	}
}

static void again_soon(void *arg)
{
	happened[1]++;
	if (!stop)
		knit_loop_call_soon(loop, again_soon, arg);
}

static void flood_callbacks(void)
{
	for (int i = 0; i < CALLBACKS; i++)
		knit_loop_call_soon(loop, again_soon, NULL);
}

static void again_later(void *arg)
{
	happened[2]++;
	if (!stop)
		knit_loop_call_later(loop, 0, again_later, arg);
}

static void flood_timers(void)
{
	for (int i = 0; i < TIMERS; i++)
		knit_loop_call_later(loop, 0, again_later, NULL);
}

static atomic_int outstanding, producing;
static pthread_t producer;

static void take_post(void *ignored)
{
	(void)ignored;
	happened[3]++;
	atomic_fetch_sub(&outstanding, 1);
}

static void *produce(void *ignored)
{
	(void)ignored;
	atomic_store(&producing, 1);
	while (!atomic_load(&stop)) {
		if (atomic_load(&outstanding) >= POSTS) {
			sched_yield();
			continue;
		}
		atomic_fetch_add(&outstanding, 1);
		if (knit_loop_call_soon_threadsafe(loop, take_post, NULL) < 0)
			break;
	}
	return NULL;
}

static void flood_posts(void)
{
	producer = rig_thread(produce, NULL);
	rig_until(rig_is_set, &producing);
}

/* ---- victims ---- */

static uint64_t began;
static uint64_t took[4]; /* passes; 0: has not happened */

static void victim_ran(void *index)
{
	took[(intptr_t)index] = loop->counters.passes - began;
}

static void victim_complete(struct kn_op *op)
{
	victim_ran(op->address);
}

static void *victim_post(void *ignored)
{
	static int result;

	(void)ignored;
	result = knit_loop_call_soon_threadsafe(loop, victim_ran, (void *)2);
	return &result;
}

/* One of everything, begun in the same pass. */
static void check_victims(void)
{
	static struct kn_op op;
	int fd = eventfd(1, EFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	began = loop->counters.passes;
	op = (struct kn_op){.opcode = KN_OP_POLL,
	                    .fd = fd,
	                    .flags = 1,
	                    .address = (void *)0,
	                    .complete = victim_complete};
	cr_assert_eq(kn_engine_submit(loop->engine, &op), 0);
	knit_loop_call_soon(loop, victim_ran, (void *)1);
	cr_assert_eq(*(int *)rig_on_thread(victim_post, NULL), 0);
	knit_loop_call_later(loop, 0, victim_ran, (void *)3);
	for (int i = 0; i < PATIENCE && !(took[0] && took[1] && took[2] && took[3]); i++)
		pass();
	cr_expect_gt(took[0], 0, "no completion");
	cr_expect_eq(took[1], 1, "a callback runs in the next pass, not after %d", (int)took[1]);
	cr_expect_gt(took[2], 0, "no post");
	cr_expect_eq(took[3], 1, "a timer runs when it is due, not after %d", (int)took[3]);
	close(fd);
}

static void settle(void)
{
	atomic_store(&stop, true);
	if (producing)
		rig_join(producer);
	cr_assert_eq(knit_loop_close(loop), 0);
	loop = knit_loop_unref(loop);
	if (ready_fd)
		close(ready_fd);
}

/* How often the floods came round in that many passes. */
static void warm_up(void)
{
	for (int i = 0; i < WARM_UP; i++)
		pass();
}

Test(fairness, under_a_flood_of_completions, .init = setup)
{
	flood_operations();
	warm_up();
	cr_assert_gt(happened[0], WARM_UP * OPERATIONS / 10, "that is no flood");
	check_victims();
	settle();
}

Test(fairness, under_callbacks_that_never_end, .init = setup)
{
	flood_callbacks();
	warm_up();
	cr_assert_eq(happened[1], WARM_UP * CALLBACKS);
	check_victims();
	settle();
}

Test(fairness, under_a_flood_of_timers, .init = setup)
{
	flood_timers();
	warm_up();
	cr_assert_geq(happened[2], (WARM_UP - 1) * TIMERS);
	check_victims();
	settle();
}

Test(fairness, under_a_flood_of_posts, .init = setup)
{
	flood_posts();
	while (happened[3] < POSTS)
		pass();
	check_victims();
	settle();
}

Test(fairness, under_all_floods_at_once, .init = setup)
{
	flood_operations();
	flood_callbacks();
	flood_timers();
	flood_posts();
	warm_up();
	check_victims();
	for (int i = 0; i < 3; i++)
		cr_assert_gt(happened[i], WARM_UP);
	settle();
}

Test(fairness, a_pass_takes_a_bounded_number_of_completions, .init = setup)
{
	unsigned long before;
	int passes;

	flood_operations();
	atomic_store(&stop, true); /* each completes once */
	for (passes = 0; happened[0] < OPERATIONS; passes++) {
		before = happened[0];
		cr_assert_lt(passes, OPERATIONS);
		pass();
		cr_assert_leq(happened[0] - before, 256);
	}
	cr_assert_geq(passes, OPERATIONS / 256);
	settle();
}
