/* SPDX-License-Identifier: MIT */
/* test_yield.c - tasks that yield for ever, switching straight to each other, let everything else
 * have its turn (L23): callbacks, timers, posts, signals, completions, a stop. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "knit/task.h"

enum { YIELDERS = 5 };

static knit_loop *loop;
static atomic_bool enough;
static uint64_t turns;

static intptr_t yield_for_ever(void *arg)
{
	int r = 0;

	while (!atomic_load(&enough) && r == 0) {
		r = knit_sleep(0);
		turns++;
	}
	(void)arg;
	return r;
}

static void setup(void)
{
	loop = knit_loop_new();
	for (int i = 0; i < YIELDERS; i++)
		knit_task_unref(knit_loop_create_task(loop, yield_for_ever, NULL));
}

/* The run must end by itself, long before this. */
static void guard(void)
{
	alarm(200);
}

static void finish(void)
{
	atomic_store(&enough, true);
	for (int i = 0; i < 5; i++)
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(loop->tasks.live, 0);
	knit_loop_unref(loop);
	alarm(0);
}

static uint64_t began, took;

static void note_and_stop(void *ignored)
{
	(void)ignored;
	took = loop->counters.passes - began;
	knit_loop_stop(loop);
}

static void begin(void)
{
	guard();
	began = loop->counters.passes;
	took = 0;
}

Test(yield, callbacks_have_their_turn, .init = setup)
{
	begin();
	knit_loop_call_soon(loop, note_and_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(took, 1);
	finish();
}

static intptr_t make_callback_later(void *arg)
{
	for (int i = 0; i < 100; i++)
		if (knit_sleep(0) < 0)
			return -1;
	began = loop->counters.passes;
	knit_loop_call_soon(loop, note_and_stop, NULL);
	return (intptr_t)arg;
}

Test(yield, callbacks_made_in_between_run_in_the_next_pass, .init = setup)
{
	begin();
	knit_task_unref(knit_loop_create_task(loop, make_callback_later, NULL));
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(took, 1);
	cr_assert_geq(turns, 100 * YIELDERS, "everybody had a turn in each pass");
	finish();
}

Test(yield, timers_are_due_all_the_same, .init = setup)
{
	int64_t due = rig_now() + 2 * KNIT_MS;

	begin();
	knit_loop_call_later(loop, 2 * KNIT_MS, note_and_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_geq(rig_now(), due);
	cr_assert_gt(took, 0);
	finish();
}

static void *post_stop(void *ignored)
{
	static int result;

	(void)ignored;
	/* Only once they are at it. */
	while (!knit_loop_is_running(loop))
		;
	result = knit_loop_call_soon_threadsafe(loop, note_and_stop, NULL);
	return &result;
}

Test(yield, posts_of_other_threads_come_through, .init = setup)
{
	pthread_t thread;

	begin();
	thread = rig_thread(post_stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(*(int *)rig_join(thread), 0);
	finish();
}

static void *raise_when_running(void *ignored)
{
	while (!knit_loop_is_running(loop))
		;
	kill(getpid(), SIGUSR1);
	return ignored;
}

Test(yield, signals_come_through, .init = setup)
{
	pthread_t thread;

	begin();
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, note_and_stop, NULL), 0);
	thread = rig_thread(raise_when_running, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	rig_join(thread);
	cr_assert_gt(took, 0);
	finish();
}

/* A descriptor that is always ready, asked again and again. */
struct source {
	struct kn_op op;
	int left;
};

static void source_ready(struct kn_op *op)
{
	struct source *source = kn_container_of(op, struct source, op);

	if (--source->left == 0)
		note_and_stop(NULL);
	else if (kn_engine_submit(loop->engine, op) < 0)
		source->left = -1;
}

static void source_start(void *arg)
{
	cr_assert_eq(kn_engine_submit(loop->engine, &((struct source *)arg)->op), 0);
}

Test(yield, completions_come_every_pass_or_so, .init = setup)
{
	struct source source = {.op = {.opcode = KN_OP_POLL,
	                               .fd = eventfd(1, EFD_CLOEXEC),
	                               .flags = POLLIN,
	                               .complete = source_ready},
	                        .left = 100};

	begin();
	knit_loop_call_soon(loop, source_start, &source);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(source.left, 0);
	cr_assert_leq(took, 300);
	close(source.op.fd);
	finish();
}

static void *write_when_running(void *fd)
{
	const uint64_t one = 1;

	while (!knit_loop_is_running(loop))
		;
	return write(*(int *)fd, &one, sizeof(one)) == (ssize_t)sizeof(one) ? fd : NULL;
}

Test(yield, a_completion_from_outside_comes_through, .init = setup)
{
	struct source source = {.op = {.opcode = KN_OP_POLL,
	                               .fd = eventfd(0, EFD_CLOEXEC),
	                               .flags = POLLIN,
	                               .complete = source_ready},
	                        .left = 1};
	pthread_t thread;

	begin();
	knit_loop_call_soon(loop, source_start, &source);
	thread = rig_thread(write_when_running, &source.op.fd);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_not_null(rig_join(thread));
	cr_assert_eq(source.left, 0);
	close(source.op.fd);
	finish();
}

static intptr_t stop_after(void *passes)
{
	for (intptr_t i = 0; i < (intptr_t)passes; i++)
		if (knit_sleep(0) < 0)
			return -1;
	began = loop->counters.passes;
	knit_loop_stop(loop);
	return 0;
}

Test(yield, a_stop_by_a_task_ends_the_run_with_the_pass, .init = setup)
{
	begin();
	knit_task_unref(knit_loop_create_task(loop, stop_after, (void *)50));
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(loop->counters.passes, began, "no further pass has begun");
	finish();
}
