/* SPDX-License-Identifier: MIT */
/* test_references.c - the end of loops that nobody closes by hand: the last reference, and the
 * end of the thread. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

static void drop(void *loop)
{
	knit_loop_unref(loop);
}

static void *drop_here(void *loop)
{
	return knit_loop_unref(loop);
}

static void *post_note(void *loop)
{
	static const char *const names[] = {"1", "2", "3"};
	long refused = 0;

	for (int i = 0; i < 3; i++)
		refused += knit_loop_call_soon_threadsafe(loop, rig_note, TEXT(names[i])) < 0;
	return (void *)refused;
}

/* ---- the last reference ---- */

Test(references, no_loop_is_harmless)
{
	cr_assert_null(knit_loop_unref(NULL));
	cr_assert_null(knit_loop_ref(NULL));
}

Test(references, the_last_one_closes_an_open_loop_on_its_own_thread)
{
	int runs = 0, fds = test_open_fds();

	for (int ran = 0; ran < 2; ran++) {
		knit_loop *loop = knit_loop_new();

		rig_trace_reset();
		cr_assert_eq(knit_loop_ref(loop), loop);
		if (ran)
			cr_assert_eq(knit_loop_run_once(loop, 0), 0);
		cr_assert_null(rig_on_thread(post_note, loop));
		knit_loop_call_soon(loop, rig_count, &runs);
		knit_loop_call_later(loop, 0, rig_count, &runs);
		cr_assert_null(knit_loop_unref(loop));
		cr_assert_not(knit_loop_is_closed(loop), "there is one more");
		cr_assert_null(knit_loop_unref(loop));
		cr_assert_str_eq(rig_trace, "1 2 3 ", "accepted posts run");
		cr_assert_eq(runs, 0, "callbacks are dropped");
		cr_assert_eq(test_open_fds(), fds);
	}
}

static void die_dropping_a_foreign_one(void *ignored)
{
	struct worker worker = {0};

	(void)ignored;
	worker_start(&worker);
	rig_until(rig_asleep, worker.loop);
	knit_loop_unref(worker.loop); /* the test's own */
	knit_loop_unref(worker.loop); /* the thread's */
}

static void die_dropping_the_running_one(void *ignored)
{
	knit_loop *loop = knit_loop_new();

	(void)ignored;
	knit_loop_call_soon(loop, drop, loop);
	(void)!knit_loop_run_forever(loop);
}

Test(references, the_last_one_to_an_open_loop_is_not_for_others_to_drop)
{
	test_death(die_dropping_a_foreign_one, NULL,
	           "the last reference to an open loop was dropped on a thread that does not own");
	test_death(die_dropping_the_running_one, NULL,
	           "the last reference to a running loop was dropped");
}

Test(references, the_last_one_to_a_closed_loop_may_be_dropped_anywhere)
{
	int fds = test_open_fds();
	knit_loop *loop = knit_loop_new();

	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_null(rig_on_thread(drop_here, loop));
	cr_assert_eq(test_open_fds(), fds);
}

/* ---- the end of the thread ---- */

struct ending {
	knit_loop *loop;
	int runs;
	bool leave_in_callback;
	sem_t made, end;
	long run;
};

static void leave(void *ignored)
{
	(void)ignored;
	rig_note(TEXT("leave"));
	pthread_exit(NULL);
}

/* Ends without closing its loop, nor dropping its reference. */
static void *end_without_closing(void *arg)
{
	struct ending *ending = arg;

	ending->loop = knit_loop_ref(knit_loop_new());
	knit_loop_call_later(ending->loop, KNIT_S, rig_count, &ending->runs);
	ending->run = knit_loop_run_once(ending->loop, 0);
	sem_post(&ending->made);
	while (sem_wait(&ending->end) < 0)
		;
	if (ending->leave_in_callback) {
		knit_loop_call_soon(ending->loop, leave, NULL);
		knit_loop_call_soon(ending->loop, rig_count, &ending->runs);
		ending->run = knit_loop_run_forever(ending->loop);
	}
	return NULL;
}

static void check_ending(struct ending ending, const char *trace)
{
	int fds = test_open_fds(), runs = 0;
	pthread_t thread;

	rig_trace_reset();
	sem_init(&ending.made, 0, 0);
	sem_init(&ending.end, 0, 0);
	thread = rig_thread(end_without_closing, &ending);
	while (sem_wait(&ending.made) < 0)
		cr_assert_eq(errno, EINTR);
	cr_assert_null(post_note(ending.loop));
	sem_post(&ending.end);
	rig_join(thread);
	cr_assert_eq(ending.run, 0);
	cr_assert(knit_loop_is_closed(ending.loop));
	cr_assert_not(knit_loop_is_running(ending.loop));
	cr_assert_str_eq(rig_trace, trace);
	cr_assert_eq(ending.runs, 0);
	cr_assert_eq(knit_loop_call_soon_threadsafe(ending.loop, rig_count, &runs), -KNIT_ECLOSED);
	cr_assert_eq(test_open_fds(), fds);
	knit_loop_unref(ending.loop);
	knit_loop_unref(ending.loop); /* the one that the thread forgot */
}

Test(references, a_thread_that_ends_closes_its_open_loop)
{
	check_ending((struct ending){0}, "1 2 3 ");
}

Test(references, a_thread_may_even_end_in_a_callback)
{
	check_ending((struct ending){.leave_in_callback = true}, "leave 1 2 3 ");
}

static void *close_with_leaving_post(void *arg)
{
	knit_loop *mine = knit_loop_new();

	*(knit_loop **)arg = knit_loop_ref(mine);
	(void)!knit_loop_run_once(mine, 0);
	(void)!knit_loop_call_soon_threadsafe(mine, leave, NULL);
	(void)!knit_loop_call_soon_threadsafe(mine, rig_note, TEXT("next"));
	(void)knit_loop_close(mine);
	return mine;
}

Test(references, a_thread_may_even_end_in_a_post_that_close_runs)
{
	int fds = test_open_fds();
	knit_loop *loop = NULL;

	rig_trace_reset();
	cr_assert_null(rig_on_thread(close_with_leaving_post, &loop), "it did not come back");
	cr_assert(knit_loop_is_closed(loop));
	cr_assert_str_eq(rig_trace, "leave next ");
	cr_assert_eq(test_open_fds(), fds);
	knit_loop_unref(loop);
	knit_loop_unref(loop);
}

static void *close_while_cancelled(void *arg)
{
	knit_loop *mine = arg;

	pthread_cancel(pthread_self());
	(void)knit_loop_close(mine);
	rig_note(TEXT("closed"));
	pthread_testcancel();
	return NULL;
}

static void *make_and_close_while_cancelled(void *ret)
{
	*(knit_loop **)ret = knit_loop_new();
	(void)!knit_loop_run_once(*(knit_loop **)ret, 0);
	return close_while_cancelled(*(knit_loop **)ret);
}

Test(references, a_thread_that_is_cancelled_closes_its_loop_to_the_end)
{
	int fds = test_open_fds();
	knit_loop *loop = NULL;

	rig_trace_reset();
	cr_assert_eq(rig_on_thread(make_and_close_while_cancelled, &loop), PTHREAD_CANCELED);
	cr_assert_str_eq(rig_trace, "closed ");
	cr_assert(knit_loop_is_closed(loop));
	cr_assert_eq(test_open_fds(), fds);
	knit_loop_unref(loop);
}

static void *end_with_many(void *arg)
{
	knit_loop **loops = arg;

	for (int i = 0; i < 10; i++)
		loops[i] = knit_loop_new(.sq_entries = 8, .cq_entries = 16);
	for (int i = 0; i < 10; i += 2)
		(void)!knit_loop_run_once(loops[i], 0);
	return NULL;
}

Test(references, a_thread_that_ends_closes_all_its_loops_but_not_those_of_others)
{
	int fds = test_open_fds();
	knit_loop *loops[10], *mine = knit_loop_new();

	rig_on_thread(end_with_many, loops);
	for (int i = 0; i < 10; i++) {
		cr_assert(knit_loop_is_closed(loops[i]), "loop %d", i);
		knit_loop_unref(loops[i]);
	}
	cr_assert_not(knit_loop_is_closed(mine));
	cr_assert_eq(knit_loop_run_once(mine, 0), 0);
	knit_loop_unref(mine);
	cr_assert_eq(test_open_fds(), fds);
}

static void *make_only(void *ret)
{
	*(knit_loop **)ret = knit_loop_new();
	return NULL;
}

Test(references, a_loop_that_was_never_run_ends_with_its_maker)
{
	knit_loop *loop = NULL;

	rig_on_thread(make_only, &loop);
	cr_assert(knit_loop_is_closed(loop));
	cr_assert_eq(knit_loop_run_once(loop, 0), -KNIT_ECLOSED);
	knit_loop_unref(loop);
}

/* ---- both at once ---- */

struct meeting {
	knit_loop *loop;
	atomic_int made, go;
};

static void *close_and_end(void *arg)
{
	struct meeting *meeting = arg;
	knit_loop *loop = knit_loop_new(.sq_entries = 8, .cq_entries = 16);

	meeting->loop = knit_loop_ref(loop);
	atomic_store(&meeting->made, 1);
	(void)!knit_loop_close(loop);
	knit_loop_unref(loop);
	while (!atomic_load(&meeting->go))
		sched_yield();
	return NULL;
}

Test(references, the_last_one_may_be_dropped_while_the_owner_ends)
{
	int rounds = (int)test_scale(600, 300, 300, 20);

	for (int i = 0; i < rounds; i++) {
		struct meeting meeting = {0};
		pthread_t thread = rig_thread(close_and_end, &meeting);

		while (!atomic_load(&meeting.made) || !knit_loop_is_closed(meeting.loop))
			sched_yield();
		atomic_store(&meeting.go, 1);
		for (int j = 0; j < i % 200; j++)
			(void)knit_loop_is_closed(meeting.loop);
		knit_loop_unref(meeting.loop);
		rig_join(thread);
	}
}
