/* SPDX-License-Identifier: MIT */
/* test_posts.c - knit_loop_call_soon_threadsafe(): its promise, its memory, its wake-ups. What
 * many threads do at once is in tests/stress. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include "base/alloc.h"

static struct worker worker;

static void setup(void)
{
	worker_start(&worker);
}

static void set(void *flag)
{
	atomic_store((atomic_int *)flag, 1);
}

/* ---- waking ---- */

Test(posts, a_sleeping_loop_is_woken_by_each, .init = setup)
{
	int rounds = (int)test_scale(2000, 500, 500, 50);

	for (int i = 0; i < rounds; i++) {
		atomic_int ran = 0;

		rig_until(rig_asleep, worker.loop);
		cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, set, &ran), 0);
		rig_until(rig_is_set, &ran);
	}
	cr_assert_eq((int)atomic_load(&worker.loop->wakes), rounds, "one wake-up each");
	worker_stop(&worker);
}

struct held {
	atomic_int busy, go_on, ran;
	knit_loop *loop;
	uint64_t wakes;
};

static void hold_the_loop(void *arg)
{
	struct held *held = arg;

	atomic_store(&held->busy, 1);
	while (!atomic_load(&held->go_on))
		sched_yield();
}

static void count_run(void *arg)
{
	atomic_fetch_add(&((struct held *)arg)->ran, 1);
}

static bool all_ran(void *arg)
{
	return atomic_load(&((struct held *)arg)->ran) == 1000;
}

Test(posts, a_loop_that_is_awake_is_not_woken, .init = setup)
{
	struct held held = {0};

	cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, hold_the_loop, &held), 0);
	rig_until(rig_is_set, &held.busy);
	held.wakes = atomic_load(&worker.loop->wakes);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, count_run, &held), 0);
	cr_assert_eq(atomic_load(&worker.loop->wakes), held.wakes, "no system call");
	atomic_store(&held.go_on, 1);
	rig_until(all_ran, &held);
	worker_stop(&worker);
}

static void *post_while_cancelled(void *arg)
{
	struct held *held = arg;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cancel(pthread_self());
	while (!rig_asleep(held->loop))
		sched_yield();
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	/* The cancellation is pending: a write(2) in here would end the thread before it wrote. */
	if (knit_loop_call_soon_threadsafe(held->loop, set, &held->ran) == 0)
		atomic_store(&held->busy, 1);
	pthread_testcancel();
	return NULL;
}

Test(posts, a_thread_that_is_cancelled_still_wakes_the_loop, .init = setup)
{
	struct held held = {.loop = worker.loop};
	pthread_t thread = rig_thread(post_while_cancelled, &held);

	cr_assert_eq(rig_join(thread), PTHREAD_CANCELED);
	cr_assert_eq(atomic_load(&held.busy), 1, "the call returned");
	rig_until(rig_is_set, &held.ran);
	worker_stop(&worker);
}

/* ---- errno ---- */

Test(posts, errno_is_kept, .init = setup)
{
	atomic_int ran = 0;

	rig_until(rig_asleep, worker.loop);
	errno = EXDEV;
	cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, set, &ran), 0);
	cr_assert_eq(errno, EXDEV);
	rig_until(rig_is_set, &ran);
	worker_stop(&worker);
}

Test(posts, what_is_malformed_is_refused, .init = setup)
{
	cr_assert_eq(knit_loop_call_soon_threadsafe(NULL, set, NULL), -EINVAL);
	cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, NULL, NULL), -EINVAL);
	worker_stop(&worker);
}

/* ---- memory ---- */

/* One at a time, each waited for. */
static void post_and_wait(int count)
{
	for (int i = 0; i < count; i++) {
		atomic_int ran = 0;

		cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, set, &ran), 0);
		while (!atomic_load(&ran))
			sched_yield();
	}
}

Test(posts, a_warm_producer_allocates_nothing, .init = setup)
{
	uint64_t before;

	post_and_wait(1000);
	before = kn_alloc_count();
	post_and_wait(5000);
	cr_assert_leq(kn_alloc_count() - before, 50, "nodes go round");
	worker_stop(&worker);
}

static void *post_and_end(void *arg)
{
	post_and_wait((int)(intptr_t)arg);
	return NULL;
}

Test(posts, a_thread_that_ends_leaves_no_nodes_behind, .init = setup)
{
	/* Leak checkers look at what was in its supply. */
	for (int i = 0; i < 20; i++)
		rig_on_thread(post_and_end, (void *)(intptr_t)100);
	worker_stop(&worker);
}

static void post_on(void *arg)
{
	struct held *held = arg;

	if (knit_loop_call_soon_threadsafe(held->loop, count_run, held) < 0)
		atomic_store(&held->busy, -1);
}

static void *end_with_posts(void *arg)
{
	struct held *held = arg;
	knit_loop *own = knit_loop_new();

	/* Run by the close at the thread's end, when its supply has been freed already. */
	for (int i = 0; i < 1000; i++)
		if (knit_loop_call_soon_threadsafe(own, post_on, held) < 0)
			atomic_store(&held->busy, -1);
	return own;
}

/* ---- batches ---- */

struct line {
	struct held held;
	int order[40], count;
};

static struct line line;

static void note(void *number)
{
	line.order[line.count++] = (int)(intptr_t)number;
}

static void make_note(void *number)
{
	note(number);
	cr_expect_eq(knit_handle_error(knit_loop_call_soon(NULL, note, (void *)5)), 0);
	cr_expect_eq(knit_loop_call_soon_threadsafe(line.held.loop, note, (void *)6), 0);
}

static void post_number(int number)
{
	cr_expect_eq(knit_loop_call_soon_threadsafe(line.held.loop, note, (void *)(intptr_t)number),
	             0);
}

static void *post_odd(void *number)
{
	post_number((int)(intptr_t)number);
	return NULL;
}

static void hold_line(void)
{
	line = (struct line){.held.loop = worker.loop};
	cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, hold_the_loop, &line.held), 0);
	rig_until(rig_is_set, &line.held.busy);
}

/* They were to note 0, 1 and so on. Ends the loop. */
static void expect_order(int count)
{
	atomic_store(&line.held.go_on, 1);
	rig_until(rig_asleep, worker.loop);
	worker_stop(&worker);
	cr_assert_eq(line.count, count);
	for (int i = 0; i < count; i++)
		cr_assert_eq(line.order[i], i, "the %dth is %d", i, line.order[i]);
}

Test(posts, those_of_one_thread_share_memory, .init = setup)
{
	uint64_t before;

	hold_line();
	before = kn_alloc_count();
	for (int i = 0; i < 36; i++)
		post_number(i);
	cr_assert_leq(kn_alloc_count() - before, 3);
	expect_order(36);
}

Test(posts, of_several_threads_they_run_in_the_order_in_which_they_were_made, .init = setup)
{
	hold_line();
	for (int i = 0; i < 40; i++) {
		/* One, two or three in a row by this thread. */
		if (i % 7 == 1 || i % 7 == 4)
			rig_on_thread(post_odd, (void *)(intptr_t)i);
		else
			post_number(i);
	}
	expect_order(40);
}

Test(posts, to_two_loops_in_turn_they_come_in_order, .init = setup)
{
	knit_loop *other = knit_loop_new();
	atomic_int ran = 0;

	hold_line();
	cr_assert_eq(knit_loop_run_once(other, 0), 0);
	for (int i = 0; i < 40; i++) {
		post_number(i);
		if (i % 3 == 0) /* from its own thread: in a batch of its own */
			cr_assert_eq(knit_loop_call_soon_threadsafe(other, set, &ran), 0);
	}
	expect_order(40);
	cr_assert_eq(knit_loop_run_once(other, 0), 0);
	cr_assert_eq(atomic_load(&ran), 1);
	knit_loop_unref(other);
}

static knit_loop *many[20]; /* more than a thread has batches open */

/* Two to each, numbered as they run when one loop runs after the other. */
static void *post_to_many(void *unused)
{
	(void)unused;
	for (int i = 0; i < 40; i++)
		cr_expect_eq(knit_loop_call_soon_threadsafe(
		                     many[i % 20], note, (void *)(intptr_t)(i % 20 * 2 + i / 20)),
		             0);
	/* The first two again, whose batches are not open or not the latest any more. */
	cr_expect_eq(knit_loop_call_soon_threadsafe(many[0], set, &line.held.ran), 0);
	cr_expect_eq(knit_loop_call_soon_threadsafe(many[1], set, &line.held.busy), 0);
	return NULL;
}

Test(posts, a_thread_may_post_to_many_loops_in_turn)
{
	line = (struct line){.count = 0};
	for (int i = 0; i < 20; i++) {
		many[i] = knit_loop_new();
		cr_assert_eq(knit_loop_run_once(many[i], 0), 0);
	}
	rig_on_thread(post_to_many, NULL);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(knit_loop_run_once(many[i], 0), 0);
	cr_assert_eq(line.count, 40);
	for (int i = 0; i < 40; i++)
		cr_assert_eq(line.order[i], i, "the %dth is %d", i, line.order[i]);
	cr_assert_eq(atomic_load(&line.held.ran), 1);
	cr_assert_eq(atomic_load(&line.held.busy), 1);
	for (int i = 0; i < 20; i++)
		knit_loop_unref(many[i]);
}

/* All of a batch was ready when the pass began; what it makes ready was not. */
Test(posts, what_a_post_makes_ready_runs_in_the_next_pass, .init = setup)
{
	hold_line();
	cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, make_note, (void *)0), 0);
	for (int i = 1; i < 5; i++)
		post_number(i);
	expect_order(7);
}

static pthread_barrier_t both;

static void *run_own_loop(void *unused)
{
	(void)unused;
	line = (struct line){.held.loop = knit_loop_new()};
	pthread_barrier_wait(&both);
	pthread_barrier_wait(&both);
	(void)!knit_loop_run_forever(line.held.loop);
	return NULL;
}

static void leave(void *result)
{
	pthread_exit(result);
}

Test(posts, a_callback_may_end_its_thread_in_the_middle_of_a_batch)
{
	pthread_t thread;

	pthread_barrier_init(&both, NULL, 2);
	thread = rig_thread(run_own_loop, NULL);
	pthread_barrier_wait(&both);
	post_number(0);
	cr_assert_eq(knit_loop_call_soon_threadsafe(line.held.loop, leave, &line), 0);
	post_number(1);
	post_number(2);
	pthread_barrier_wait(&both);
	cr_assert_eq(rig_join(thread), &line);
	cr_assert(knit_loop_is_closed(line.held.loop));
	cr_assert_eq(line.count, 3, "the close runs the rest");
	for (int i = 0; i < 3; i++)
		cr_assert_eq(line.order[i], i);
	knit_loop_unref(line.held.loop);
	pthread_barrier_destroy(&both);
}

Test(posts, posts_made_at_the_end_of_a_thread_leave_nothing_either, .init = setup)
{
	struct held held = {.loop = worker.loop};
	knit_loop *own;

	post_and_wait(2000); /* so that the loop has nodes to give away */
	own = rig_on_thread(end_with_posts, &held);
	rig_until(all_ran, &held);
	cr_assert_eq(atomic_load(&held.busy), 0);
	knit_loop_unref(own);
	worker_stop(&worker);
}

/* ---- threads that have loops of their own ---- */

static pthread_key_t late;
static atomic_int kept; /* 1: the thread's end left its supply, -1: it did not */

static bool has_batches(void)
{
	bool open = false;

	for (int i = 0; i < KN_OPEN_BATCHES; i++)
		open |= kn_self.posting.open[i].loop != NULL;
	return open || kn_self.posting.spare;
}

/* The second time is after the library's own destructor, whichever of them comes first. */
static void look_late(void *times)
{
	if ((intptr_t)times < 2)
		pthread_setspecific(late, (void *)((intptr_t)times + 1));
	else
		atomic_store(&kept, has_batches() ? 1 : -1);
}

static void meet(void *unused)
{
	(void)unused;
	pthread_barrier_wait(&both);
}

static void *post_beside_an_own_loop(void *loop)
{
	knit_loop *own = knit_loop_new();

	cr_expect_eq(knit_loop_call_soon_threadsafe(loop, meet, NULL), 0);
	pthread_barrier_wait(&both);
	cr_expect(has_batches(), "the one that ran is this thread's");
	pthread_setspecific(late, (void *)1);
	cr_expect_eq(knit_loop_stop_threadsafe(loop), 0);
	knit_loop_unref(own);
	return NULL;
}

Test(posts, a_thread_with_a_loop_of_its_own_leaves_no_nodes_behind)
{
	knit_loop *loop = knit_loop_new();
	pthread_t thread;

	cr_assert_eq(pthread_key_create(&late, look_late), 0);
	pthread_barrier_init(&both, NULL, 2);
	thread = rig_thread(post_beside_an_own_loop, loop);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	rig_join(thread);
	cr_assert_eq(atomic_load(&kept), -1);
	pthread_barrier_destroy(&both);
	knit_loop_unref(loop);
}
