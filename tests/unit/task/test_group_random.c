/* SPDX-License-Identifier: MIT */
/* test_group_random.c - random trees of groups: children make groups, fail, cancel each other and
 * are cancelled. Every child's argument stands in its parent's frame, so a parent that left too
 * early is found out; and in the end nothing is left. */
#include "unit/loop/rig.h"
#include <errno.h>
#include "knit/group.h"
#include "task/task.h"

#define DEPTH    4
#define CHILDREN 4

static uint64_t state;
static int begun, ended;

static unsigned pick(unsigned n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % n;
}

struct node {
	struct node *parent;
	knit_task_group *group; /* that it is in */
	int depth;
	int children; /* that have begun and not ended; their arguments are in our frame */
	bool left;    /* its group */
};

static void cancel_somebody(void)
{
	knit_task *tasks[32];
	size_t n = knit_all_tasks(NULL, tasks, 32);

	n = n < 32 ? n : 32;
	/* Not the first, which runs the test. */
	if (n > 1)
		(void)knit_task_cancel(tasks[1 + pick((unsigned)n - 1)], "at random");
	for (size_t i = 0; i < n; i++)
		knit_task_unref(tasks[i]);
}

static intptr_t node_main(void *arg);

static void count_end(void *arg)
{
	struct node *node = arg;

	cr_assert_not(node->parent->left);
	node->parent->children--;
	ended++;
}

static int spawn(struct node *node, struct node *child, knit_task_group *group)
{
	int r;

	*child = (struct node){.parent = node, .group = group, .depth = node->depth - 1};
	r = knit_task_group_spawn(group, node_main, child, .arg_free = count_end);
	if (r == 0) {
		node->children++;
		begun++;
	}
	return r;
}

static intptr_t something(void)
{
	switch (pick(6)) {
	case 0:
		return knit_raise(EIO, "node %d", ended);
	case 1:
		cancel_somebody();
		return knit_sleep(0);
	case 2:
		return knit_sleep(1000); /* far beyond the others */
	default:
		return knit_sleep(pick(3));
	}
}

static intptr_t in_group(struct node *node)
{
	struct node children[CHILDREN];
	knit_task_group group;
	intptr_t r = 0;

	cr_assert_eq(knit_task_group_enter(&group), 0);
	for (int i = 0; i < CHILDREN && r == 0; i++) {
		r = spawn(node, &children[i], &group);
		cr_assert(r == 0 || r == -KNIT_EINVALIDSTATE);
		if (r == 0 && pick(3) == 0)
			r = something();
	}
	if (pick(3) == 0)
		cr_assert_eq(knit_task_group_cancel(&group), 0);
	else if (r == 0 && pick(3) == 0)
		r = -EPERM;
	r = knit_task_group_exit(&group, r);
	cr_assert_eq(node->children, 0);
	if (r == -KNIT_EGROUP) {
		int errors = 0;

		while (knit_task_group_next_error(&group, NULL, NULL) > 0)
			errors++;
		cr_assert_gt(errors, 0);
		knit_task_group_done(&group);
	}
	return r;
}

static intptr_t node_main(void *arg)
{
	struct node *node = arg;
	intptr_t r = 0;

	if (node->depth > 0 && pick(4))
		r = in_group(node);
	if (r == 0)
		r = something();
	if (r == 0 && pick(8) == 0)
		(void)knit_task_group_cancel(node->group);
	return r;
}

static intptr_t grow(void *arg)
{
	struct node *root = arg;

	return in_group(root);
}

static intptr_t many_trees(void *rounds)
{
	for (intptr_t seed = 1; seed <= (intptr_t)rounds; seed++) {
		struct node root = {.depth = DEPTH};
		intptr_t r;

		state = (uint64_t)seed;
		begun = ended = 0;
		r = knit_await(knit_create_task(grow, &root));
		root.left = true;
		cr_assert(r >= 0 || r == -KNIT_EGROUP || r == -KNIT_ECANCELLED, "seed %ld: %s",
		          (long)seed, knit_errname((int)r));
		cr_assert_eq(begun, ended, "seed %ld", (long)seed);
		cr_assert_eq(knit_get_running_loop()->tasks.live, 1, "seed %ld", (long)seed);
		cr_assert_eq(knit_get_running_loop()->timers.count, 0);
	}
	return 0;
}

static int reports;

static intptr_t trees(void *rounds)
{
	knit_loop *loop = knit_get_running_loop();

	cr_assert_eq(knit_loop_set_exception_handler(loop, rig_count_exception, &reports), 0);
	return many_trees(rounds);
}

Test(group_random, every_child_ends_before_its_parent_and_nothing_is_left)
{
	long rounds = test_scale(2000, 300, 200, 30);

	cr_assert_eq(knit_run(trees, (void *)rounds, .clock = KNIT_CLOCK_VIRTUAL), 0);
	cr_assert_eq(reports, 0, "every error was collected by its group");
}
