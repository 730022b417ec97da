/* SPDX-License-Identifier: MIT */
/* test_lives.c - threads post while loops are made and closed under them (L16).
 *
 * Each post is a struct of its own, which counts how often it ran and keeps what the poster was
 * told. When a loop has been closed each post to it is looked at: 0 means it ran once, anything
 * else means it never did. */
#include "stress/stress.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

enum { POSTERS = 8, SHOTS = 128 };

struct shot {
	struct life *life;
	atomic_int runs;
	int result; /* the poster's */
};

/* The loop that there is now. Whoever takes a reference has the lock, and so has its maker when it
 * takes the loop away. */
struct life {
	pthread_mutex_t lock;
	knit_loop *loop;
	long number;
	atomic_bool over;
	atomic_int shots; /* that ran in this loop */
	bool stops;       /* by a shot, when there were some */
};

struct poster {
	pthread_t thread;
	struct life *life;
	struct shot *shots;
	unsigned random;
	long accepted, refused, wrong, odd, loops;
};

static void hit(void *arg)
{
	struct shot *shot = arg;

	atomic_fetch_add(&shot->runs, 1);
	/* On the loop's thread, perhaps in its close, when nothing stops. */
	if (atomic_fetch_add(&shot->life->shots, 1) == 20 && shot->life->stops)
		knit_loop_stop(knit_get_running_loop());
}

static knit_loop *take_reference(struct life *life, long *number)
{
	knit_loop *loop;

	pthread_mutex_lock(&life->lock);
	loop = knit_loop_ref(life->loop);
	*number = life->number;
	pthread_mutex_unlock(&life->lock);
	return loop;
}

/* Posts until it is refused or out of shots. Returns how many it fired. */
static int fire(struct poster *poster, knit_loop *loop)
{
	int fired = 0;

	while (fired < SHOTS) {
		struct shot *shot = &poster->shots[fired++];

		shot->life = poster->life;
		atomic_store_explicit(&shot->runs, 0, memory_order_relaxed);
		shot->result = knit_loop_call_soon_threadsafe(loop, hit, shot);
		if (shot->result < 0)
			break;
		stress_delay(&poster->random);
	}
	return fired;
}

static void look_at(struct poster *poster, int fired)
{
	for (int i = 0; i < fired; i++) {
		const struct shot *shot = &poster->shots[i];
		int runs = atomic_load(&shot->runs);

		poster->accepted += shot->result == 0;
		poster->refused += shot->result == -KNIT_ECLOSED;
		poster->odd += shot->result != 0 && shot->result != -KNIT_ECLOSED;
		poster->wrong += runs != (shot->result == 0);
	}
}

static void *poster_body(void *arg)
{
	struct poster *poster = arg;
	long last = -1;

	while (!atomic_load(&poster->life->over)) {
		long number;
		knit_loop *loop = take_reference(poster->life, &number);
		int fired;

		if (!loop || number == last) {
			knit_loop_unref(loop);
			sched_yield();
			continue;
		}
		last = number;
		poster->loops++;
		fired = fire(poster, loop);
		while (!knit_loop_is_closed(loop))
			sched_yield();
		look_at(poster, fired);
		knit_loop_unref(loop);
	}
	return NULL;
}

/* ---- the loops' side ---- */

static knit_loop *begin_life(struct life *life)
{
	knit_loop *loop = knit_loop_new(.sq_entries = 8, .cq_entries = 16);

	cr_assert_not_null(loop);
	atomic_store(&life->shots, 0);
	pthread_mutex_lock(&life->lock);
	life->loop = loop;
	life->number++;
	pthread_mutex_unlock(&life->lock);
	return loop;
}

static void end_life(struct life *life, knit_loop *loop, bool close_first)
{
	if (close_first)
		cr_assert_eq(knit_loop_close(loop), 0);
	pthread_mutex_lock(&life->lock);
	life->loop = NULL;
	pthread_mutex_unlock(&life->lock);
	if (!close_first)
		cr_assert_eq(knit_loop_close(loop), 0);
	knit_loop_unref(loop);
}

/* Some are never run, some for a pass or two, some wait until they are stopped. */
static void live(struct life *life, knit_loop *loop, long number)
{
	if (number % 4 == 0)
		return;
	if (number % 4 == 1) {
		cr_assert_eq(knit_loop_run_forever(loop), 0);
		return;
	}
	for (int i = 0; i < 3; i++)
		cr_assert_geq(knit_loop_run_once(loop, number % 4 == 2 ? 0 : 50 * KNIT_US), 0);
	(void)life;
}

Test(lives, each_accepted_post_runs_once_and_each_refused_one_never)
{
	static struct life life = {.lock = PTHREAD_MUTEX_INITIALIZER};
	static struct poster posters[POSTERS];
	long lives = stress_count(1000, 400, 500, 20), accepted = 0, refused = 0;
	int fds = test_open_fds();

	for (int i = 0; i < POSTERS; i++) {
		posters[i].life = &life;
		posters[i].random = (unsigned)i;
		posters[i].shots = calloc(SHOTS, sizeof(struct shot));
		posters[i].thread = rig_thread(poster_body, &posters[i]);
	}
	for (long i = 0; i < lives; i++) {
		knit_loop *loop;

		life.stops = i % 4 == 1;
		loop = begin_life(&life);
		live(&life, loop, i);
		end_life(&life, loop, i % 8 < 4);
	}
	atomic_store(&life.over, true);
	for (int i = 0; i < POSTERS; i++) {
		rig_join(posters[i].thread);
		cr_assert_eq(posters[i].wrong, 0, "poster %d", i);
		cr_assert_eq(posters[i].odd, 0, "poster %d", i);
		accepted += posters[i].accepted;
		refused += posters[i].refused;
		free(posters[i].shots);
	}
	cr_assert_gt(accepted, lives, "that is no stress");
	cr_assert_gt(refused, 0, "no post came too late: that is no stress");
	cr_assert_eq(test_open_fds(), fds);
}
