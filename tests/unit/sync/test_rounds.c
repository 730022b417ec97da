/* SPDX-License-Identifier: MIT */
/* test_rounds.c - barriers: round after round, cancellations, resets and aborts in between. */
#include "unit/loop/rig.h"
#include <errno.h>
#include "knit/sync.h"
#include "knit/task.h"

#define RUN(main) cr_assert_eq(knit_run(main, NULL, .clock = KNIT_CLOCK_VIRTUAL), 0)

static knit_barrier barrier;

static void ticks(int count)
{
	for (int i = 0; i < count; i++)
		cr_assert_eq(knit_sleep(0), 0);
}

static intptr_t meet(void *unused)
{
	(void)unused;
	return knit_barrier_wait(&barrier);
}

/* ---- rounds ---------------------------------------------------------------------------- */

enum { PARTIES = 4, ROUNDS = 50 };

static int arrived[ROUNDS], places[ROUNDS];

static intptr_t meet_often(void *unused)
{
	(void)unused;
	for (int round = 0; round < ROUNDS; round++) {
		int place;

		arrived[round]++;
		place = knit_barrier_wait(&barrier);
		cr_assert_geq(place, 0);
		cr_assert_eq(arrived[round], PARTIES, "nobody goes on before all have come");
		cr_assert_not(places[round] & 1 << place, "a place given twice");
		places[round] |= 1 << place;
		for (int i = place; i > 0; i--)
			if (knit_sleep(0) < 0)
				return -KNIT_ECANCELLED;
	}
	return 0;
}

static intptr_t rounds_main(void *unused)
{
	knit_task *tasks[PARTIES];

	(void)unused;
	cr_assert_eq(knit_barrier_init(&barrier, PARTIES), 0);
	for (int i = 0; i < PARTIES; i++)
		tasks[i] = knit_create_task(meet_often, NULL);
	for (int i = 0; i < PARTIES; i++)
		cr_assert_eq(knit_await(tasks[i]), 0);
	for (int round = 0; round < ROUNDS; round++)
		cr_assert_eq(places[round], (1 << PARTIES) - 1);
	return knit_barrier_destroy(&barrier);
}

Test(barrier, each_round_begins_when_the_last_is_over)
{
	RUN(rounds_main);
}

/* ---- cancellations ----------------------------------------------------------------------- */

static intptr_t released_main(void *unused)
{
	knit_task *tasks[3], *newcomer;

	(void)unused;
	cr_assert_eq(knit_barrier_init(&barrier, 4), 0);
	for (int i = 0; i < 3; i++)
		tasks[i] = knit_create_task(meet, NULL);
	ticks(1);
	cr_assert_eq(knit_barrier_wait(&barrier), 3);
	newcomer = knit_create_task(meet, NULL);
	cr_assert(knit_task_cancel(tasks[0], NULL)); /* released, has not run */
	cr_assert_eq(knit_await(tasks[0]), -KNIT_ECANCELLED);
	cr_assert_eq(knit_await(tasks[1]), 0, "there is always a first");
	cr_assert_eq(knit_await(tasks[2]), 1);
	ticks(2);
	cr_assert_eq(knit_barrier_n_waiting(&barrier), 1);
	cr_assert(knit_task_cancel(newcomer, NULL));
	cr_assert_eq(knit_await(newcomer), -KNIT_ECANCELLED);
	cr_assert_eq(knit_barrier_n_waiting(&barrier), 0);
	return knit_barrier_destroy(&barrier);
}

Test(barrier, a_released_task_that_is_cancelled_holds_nobody_up)
{
	RUN(released_main);
}

/* The last to leave is cancelled; who waits outside gets in all the same. */
static intptr_t outside_main(void *unused)
{
	knit_task *inside, *outside[2];

	(void)unused;
	cr_assert_eq(knit_barrier_init(&barrier, 2), 0);
	inside = knit_create_task(meet, NULL);
	ticks(1);
	for (int i = 0; i < 2; i++)
		outside[i] = knit_create_task(meet, NULL); /* these run before it does */
	cr_assert_eq(knit_barrier_wait(&barrier), 1);
	cr_assert(knit_task_cancel(inside, NULL));
	cr_assert_eq(knit_await(inside), -KNIT_ECANCELLED);
	cr_assert_eq(knit_await(outside[0]), 0);
	cr_assert_eq(knit_await(outside[1]), 1);
	return knit_barrier_destroy(&barrier);
}

Test(barrier, the_round_is_over_when_the_last_was_cancelled_too)
{
	RUN(outside_main);
}

/* ---- resets and aborts ------------------------------------------------------------------- */

static intptr_t reset_main(void *unused)
{
	knit_task *first, *second;

	(void)unused;
	cr_assert_eq(knit_barrier_init(&barrier, 2), 0);
	first = knit_create_task(meet, NULL);
	ticks(1);
	cr_assert_eq(knit_barrier_reset(&barrier), 0);
	cr_assert_eq(knit_barrier_n_waiting(&barrier), 0);
	second = knit_create_task(meet, NULL); /* comes before the first has left */
	cr_assert_eq(knit_await(first), -KNIT_EBROKENBARRIER);
	ticks(2);
	cr_assert_eq(knit_barrier_n_waiting(&barrier), 1, "the second belongs to the next round");
	cr_assert_eq(knit_barrier_abort(&barrier), 0);
	cr_assert_eq(knit_barrier_reset(&barrier), 0);
	cr_assert_eq(knit_await(second), -KNIT_EBROKENBARRIER, "aborted before it was reset");
	cr_assert_not(knit_barrier_broken(&barrier));
	second = knit_create_task(meet, NULL);
	ticks(1);
	cr_assert_eq(knit_barrier_wait(&barrier), 1);
	cr_assert_eq(knit_await(second), 0);
	return knit_barrier_destroy(&barrier);
}

Test(barrier, resets_and_aborts_touch_the_round_they_meet)
{
	RUN(reset_main);
}
