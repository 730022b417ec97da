/* SPDX-License-Identifier: MIT */
/* test_pingpong.c - two loops that wake each other again and again (L17). Nothing here has a
 * time-out, so a wake-up that is lost shows: the test does not end. */
#include "stress/stress.h"
#include <errno.h>
#include "knit/task.h"

/* ---- posts ---- */

struct player {
	struct worker worker;
	struct player *other;
	atomic_long *rounds_left;
	knit_concurrent_future *over;
	unsigned random;
	bool delays;
};

static void play(void *arg)
{
	struct player *player = arg;

	if (player->delays)
		stress_delay(&player->random);
	if (atomic_fetch_sub(player->rounds_left, 1) <= 1)
		(void)knit_concurrent_future_set_result(player->over, 1);
	else if (knit_loop_call_soon_threadsafe(player->other->worker.loop, play, player->other) <
	         0)
		(void)knit_concurrent_future_set_result(player->over, -EIO);
}

static void check_game(bool delays, long rounds)
{
	struct player players[2] = {{.random = 1}, {.random = 2}};
	knit_concurrent_future *over = knit_concurrent_future_new();
	atomic_long rounds_left = rounds;

	for (int i = 0; i < 2; i++) {
		players[i].other = &players[1 - i];
		players[i].rounds_left = &rounds_left;
		players[i].over = over;
		players[i].delays = delays;
		worker_start(&players[i].worker);
	}
	cr_assert_eq(knit_loop_call_soon_threadsafe(players[0].worker.loop, play, &players[0]), 0);
	cr_assert_eq(knit_concurrent_future_result(over, KNIT_FOREVER), 1);
	for (int i = 0; i < 2; i++)
		worker_stop(&players[i].worker);
	knit_concurrent_future_unref(over);
	cr_assert_eq(atomic_load(&rounds_left), 0);
}

Test(pingpong, two_loops_post_to_each_other)
{
	check_game(false, stress_count(20000, 10000, 10000, 500));
}

Test(pingpong, two_loops_post_to_each_other_at_odd_moments)
{
	check_game(true, stress_count(20000, 10000, 10000, 500));
}

/* ---- calls ---- */

static struct worker there;

static intptr_t echo(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t call_and_call(void *arg)
{
	long rounds = *(long *)arg;

	for (intptr_t i = 1; i <= rounds; i++)
		if (knit_run_on(there.loop, echo, (void *)i) != i)
			return -i;
	return rounds;
}

Test(pingpong, a_loop_calls_another)
{
	long rounds = stress_count(10000, 4000, 4000, 200);

	worker_start(&there);
	cr_assert_eq(knit_run(call_and_call, &rounds), rounds);
	worker_stop(&there);
}

/* ---- a thread and a loop ---- */

Test(pingpong, a_thread_calls_a_loop)
{
	long rounds = stress_count(10000, 4000, 4000, 200);

	worker_start(&there);
	for (intptr_t i = 1; i <= rounds; i++) {
		knit_concurrent_future *call = knit_run_coroutine_threadsafe(there.loop, echo,
		                                                             (void *)i);

		cr_assert_eq(knit_concurrent_future_result(call, KNIT_FOREVER), i);
		knit_concurrent_future_unref(call);
	}
	worker_stop(&there);
}
