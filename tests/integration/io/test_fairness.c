/* SPDX-License-Identifier: MIT */
/* test_fairness.c - nobody keeps the others from running: a socket that always has data, a task
 * that yields for ever, timers that are due in each pass, a thread that posts without end.
 *
 * All is counted in passes. While the main task lives through a number of them, each of the others
 * must have had about as many turns, whoever else is there. */
#include <pthread.h>
#include <stdatomic.h>
#include "loop/loop.h"
#include "unit/io/rig.h"

static struct {
	long read, yielded, timers, posted;
	atomic_bool over;
	knit_loop *loop;
	int pair[2];
} turns;

/* The other end writes what this one takes: there always is something. */
static intptr_t read_for_ever(void *arg)
{
	char byte;

	(void)arg;
	for (;;) {
		intptr_t n = knit_sock_recv(turns.pair[0], &byte, 1);

		if (n < 0)
			return n;
		cr_assert_eq(n, 1);
		cr_assert_eq(send(turns.pair[1], &byte, 1, 0), 1);
		turns.read++;
	}
}

static intptr_t yield_for_ever(void *arg)
{
	int r;

	(void)arg;
	while ((r = knit_sleep(0)) == 0)
		turns.yielded++;
	return r;
}

static void timer(void *arg)
{
	(void)arg;
	turns.timers++;
	if (!atomic_load(&turns.over))
		knit_loop_call_later(NULL, 0, timer, NULL);
}

static void count_post(void *arg)
{
	(void)arg;
	turns.posted++;
}

#define POSTS_AHEAD 2000

/* As fast as the loop takes them, some ahead. */
static void *post_for_ever(void *arg)
{
	static atomic_long *taken;

	taken = arg;
	for (long posted = 0; !atomic_load(&turns.over);)
		if (posted - atomic_load(taken) < POSTS_AHEAD) {
			cr_expect_eq(knit_loop_call_soon_threadsafe(turns.loop, count_post, NULL),
			             0);
			posted++;
		}
	return NULL;
}

#define PASSES 2000

/* After a start without counting, everybody's turns in so many passes of ours. */
static void live(atomic_long *taken)
{
	rig_yield(100);
	turns.read = turns.yielded = turns.timers = 0;
	for (int i = 0; i < PASSES; i++) {
		rig_yield(1);
		atomic_store(taken, turns.posted);
	}
}

static intptr_t everybody(void *arg)
{
	static atomic_long taken;
	knit_task *tasks[2];
	pthread_t thread;
	uint64_t passes;
	long posted;

	(void)arg;
	turns.loop = knit_get_running_loop();
	rig_pair(AF_UNIX, turns.pair);
	cr_assert_eq(send(turns.pair[1], "x", 1, 0), 1);
	tasks[0] = knit_create_task(read_for_ever, NULL);
	tasks[1] = knit_create_task(yield_for_ever, NULL);
	knit_loop_call_later(NULL, 0, timer, NULL);
	cr_assert_eq(pthread_create(&thread, NULL, post_for_ever, &taken), 0);
	while (!turns.posted)
		rig_yield(1);
	posted = turns.posted;
	passes = turns.loop->counters.passes;
	live(&taken);
	passes = turns.loop->counters.passes - passes;
	cr_assert_leq(passes, PASSES + 200, "a turn of ours in each pass");
	cr_assert_geq(turns.read, PASSES / 2, "%ld reads", turns.read);
	cr_assert_geq(turns.yielded, PASSES - 1, "%ld yields", turns.yielded);
	cr_assert_geq(turns.timers, PASSES - 1, "%ld timers", turns.timers);
	/* The thread gets its turns from the machine, not from us; what it posted is run. */
	while (turns.posted < posted + POSTS_AHEAD) {
		rig_yield(1);
		atomic_store(&taken, turns.posted);
	}
	atomic_store(&turns.over, true);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	for (int i = 0; i < 2; i++) {
		knit_task_cancel(tasks[i], NULL);
		cr_assert_eq(knit_await(tasks[i]), -KNIT_ECANCELLED);
	}
	rig_close_all(turns.pair, 2);
	return 0;
}

Test(io_fairness, sockets_yielders_timers_and_posts_all_get_their_turns)
{
	rig_run(everybody, NULL);
}

/* ---- many sockets ---- */

#define READERS 1000

static long reads[READERS];
static int (*pairs)[2];

static intptr_t read_mine(void *arg)
{
	long *count = arg;
	int *ends = pairs[count - reads];
	char byte;

	for (;;) {
		intptr_t n = knit_sock_recv(ends[0], &byte, 1);

		if (n < 0)
			return n;
		++*count;
		cr_assert_eq(send(ends[1], &byte, 1, 0), 1);
	}
}

/* More completions in each pass than one pass takes: they come round in turn. */
static intptr_t crowd(void *arg)
{
	static int sockets[READERS][2];
	knit_task *tasks[READERS];
	long least, most, yields = 0;

	(void)arg;
	pairs = sockets;
	memset(reads, 0, sizeof(reads));
	for (int i = 0; i < READERS; i++) {
		rig_pair(AF_UNIX, sockets[i]);
		cr_assert_eq(send(sockets[i][1], "x", 1, 0), 1);
		tasks[i] = knit_create_task(read_mine, &reads[i]);
	}
	do {
		rig_yield(1);
		least = most = reads[0];
		for (int i = 1; i < READERS; i++) {
			least = reads[i] < least ? reads[i] : least;
			most = reads[i] > most ? reads[i] : most;
		}
		cr_assert_lt(++yields, 10000, "some are never read: %ld, others %ld", least, most);
	} while (least < 20);
	cr_assert_leq(most, 2 * least, "from %ld to %ld reads", least, most);
	for (int i = 0; i < READERS; i++)
		knit_task_cancel(tasks[i], NULL);
	for (int i = 0; i < READERS; i++) {
		cr_assert_eq(knit_await(tasks[i]), -KNIT_ECANCELLED);
		rig_close_all(sockets[i], 2);
	}
	return 0;
}

Test(io_fairness, a_thousand_busy_sockets_are_read_in_turn)
{
	if (!rig_allow_descriptors(2 * READERS + 100))
		test_skip("too few descriptors");
	rig_run(crowd, NULL);
	rig_run_on(crowd, NULL, 32, 64);
}

/* ---- a flood, and a request ---- */

static intptr_t drain_for_ever(void *arg)
{
	char buffer[16];
	intptr_t n;

	while ((n = knit_sock_recv(*(int *)arg, buffer, sizeof(buffer))) > 0)
		turns.read++;
	return n;
}

static intptr_t flood(void *arg)
{
	int pair[2];
	knit_task *task;
	size_t sent;

	(void)arg;
	for (int when = 1; when < 20; when++) {
		rig_pair(AF_UNIX, pair);
		sent = rig_fill(pair[1]);
		turns.read = 0;
		task = knit_create_task(drain_for_ever, &pair[0]);
		rig_yield(when);
		cr_assert(knit_task_cancel(task, NULL));
		cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
		cr_assert_leq(turns.read, when + 2, "it read on");
		cr_assert_eq((size_t)turns.read * 16 + rig_drain(pair[0]), sent);
		rig_close_all(pair, 2);
	}
	return 0;
}

Test(io_fairness, a_task_under_a_flood_of_data_is_cancelled_at_once)
{
	rig_run(flood, NULL);
}
