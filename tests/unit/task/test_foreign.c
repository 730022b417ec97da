/* SPDX-License-Identifier: MIT */
/* test_foreign.c - tasks and futures in the wrong hands: another thread's, another loop's, or
 * nobody's any more. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>
#include "knit/task.h"
#include "task/task.h"

static intptr_t sleep_for_ever(void *arg)
{
	(void)arg;
	return knit_sleep(KNIT_FOREVER);
}

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

/* ---- another thread's ---- */

struct objects {
	knit_loop *loop;
	knit_task *task, *done;
	knit_future *future;
};

static intptr_t make_future(void *arg)
{
	struct objects *objects = arg;

	objects->future = knit_future_new();
	return 0;
}

static void make_objects(struct objects *objects)
{
	objects->loop = knit_loop_new();
	cr_assert_eq(knit_loop_run_until_complete(objects->loop, make_future, objects), 0);
	objects->task = knit_loop_create_task(objects->loop, sleep_for_ever, NULL);
	objects->done = knit_loop_create_task(objects->loop, nothing, (void *)3);
	knit_loop_set_exception_handler(objects->loop, rig_ignore_exception, NULL);
	cr_assert_geq(knit_loop_run_once(objects->loop, 0), 0);
}

static void drop_objects(struct objects *objects)
{
	knit_task_unref(objects->task);
	knit_task_unref(objects->done);
	knit_future_unref(objects->future);
	knit_loop_unref(objects->loop);
}

static void never(knit_future *future, void *arg)
{
	(void)future;
	rig_count(arg);
}

#define EXPECT(call) failed += (call) != -KNIT_EWRONGTHREAD

/* The number of calls that did not say -KNIT_EWRONGTHREAD. */
static void *call_everything(void *arg)
{
	struct objects *o = arg;
	const char *text;
	int ran = 0;
	long failed = 0;

	EXPECT(knit_await(o->task));
	EXPECT(knit_task_uncancel(o->task));
	EXPECT(knit_task_cancelling(o->task));
	EXPECT(knit_task_set_name(o->task, "mine"));
	EXPECT(knit_future_set_result(o->future, 1));
	EXPECT(knit_future_set_exception(o->future, EIO, NULL));
	EXPECT(knit_future_result(o->done));
	EXPECT(knit_future_exception(o->done, &text));
	EXPECT(knit_future_add_done_callback(o->future, never, &ran));
	EXPECT(knit_future_remove_done_callback(o->future, never, &ran));
	EXPECT(knit_task_result(o->done));
	EXPECT(knit_task_exception(o->done, NULL));
	EXPECT(knit_task_add_done_callback(o->task, never, &ran));
	EXPECT(knit_task_remove_done_callback(o->task, never, &ran));
	failed += knit_loop_create_task(o->loop, nothing, NULL) != NULL;
	EXPECT(knit_await(NULL));
	failed += knit_future_get_loop(o->future) != o->loop;
	failed += knit_task_get_loop(o->task) != o->loop;
	failed += ran;
	return (void *)failed;
}

static intptr_t call_everything_in_a_task(void *arg)
{
	return (intptr_t)call_everything(arg);
}

static void *call_everything_from_a_loop(void *arg)
{
	return (void *)knit_run(call_everything_in_a_task, arg);
}

Test(foreign, calls_that_can_say_so_do)
{
	struct objects objects;

	make_objects(&objects);
	cr_assert_null(rig_on_thread(call_everything, &objects));
	cr_assert_null(rig_on_thread(call_everything_from_a_loop, &objects));
	/* Nothing of it had an effect. */
	cr_assert_not(knit_future_done(objects.future));
	cr_assert_not(knit_task_done(objects.task));
	cr_assert_str_neq(knit_task_get_name(objects.task), "mine");
	cr_assert_eq(knit_loop_close(objects.loop), 0);
	cr_assert_null(rig_on_thread(call_everything, &objects), "nor after the close");
	drop_objects(&objects);
}

static struct objects orphans;

static void *make_and_end(void *ignored)
{
	(void)ignored;
	make_objects(&orphans);
	knit_loop_ref(orphans.loop);
	return NULL;
}

Test(foreign, after_the_end_of_their_thread_they_are_everybodys_strangers)
{
	rig_on_thread(make_and_end, NULL);
	for (int i = 0; i < 5; i++) /* a thread at the same addresses, perhaps */
		cr_assert_null(rig_on_thread(call_everything, &orphans));
	cr_assert_null(call_everything(&orphans));
	knit_loop_unref(orphans.loop);
	/* What the ended thread has not dropped is lost, but reachable from the loop. */
}

/* Each of these has no way to say no. */
static void foreign_cancel(struct objects *o)
{
	knit_task_cancel(o->task, NULL);
}

static void foreign_future_cancel(struct objects *o)
{
	knit_future_cancel(o->future, NULL);
}

static void foreign_ref(struct objects *o)
{
	knit_task_ref(o->task);
}

static void foreign_unref(struct objects *o)
{
	knit_future_unref(o->future);
}

static void foreign_done(struct objects *o)
{
	(void)knit_task_done(o->done);
}

static void foreign_cancelled(struct objects *o)
{
	(void)knit_future_cancelled(o->future);
}

static void foreign_name(struct objects *o)
{
	knit_task_get_name(o->task);
}

static void foreign_high_water(struct objects *o)
{
	(void)knit_task_stack_high_water(o->task);
}

static void foreign_all_tasks(struct objects *o)
{
	(void)knit_all_tasks(o->loop, NULL, 0);
}

static struct objects death_objects;

static void *foreign_call(void *call)
{
	(*(void (**)(struct objects *))call)(&death_objects);
	return NULL;
}

static void die_of(void *call)
{
	pthread_t thread;

	make_objects(&death_objects);
	if (pthread_create(&thread, NULL, foreign_call, call) == 0)
		pthread_join(thread, NULL);
}

Test(foreign, calls_that_cannot_end_the_process_and_say_which)
{
	static const struct {
		void (*call)(struct objects *);
		const char *text;
	} cases[] = {
	        {foreign_cancel, "cancel(): the task belongs to a loop of another thread"},
	        {foreign_future_cancel, "cancel(): the future belongs to a loop of"},
	        {foreign_ref, "ref(): the task belongs to a loop of another thread"},
	        {foreign_unref, "unref(): the future belongs to a loop of another thread"},
	        {foreign_done, "done(): the task belongs to a loop of another thread"},
	        {foreign_cancelled, "cancelled(): the future belongs to a loop of another"},
	        {foreign_name, "knit_task_get_name(): the task belongs to a loop of"},
	        {foreign_high_water, "knit_task_stack_high_water(): the task belongs"},
	        {foreign_all_tasks, "knit_all_tasks(): called on a thread that does not own the"},
	};

	for (size_t i = 0; i < KN_ARRAY_SIZE(cases); i++)
		test_death(die_of, (void *)&cases[i].call, cases[i].text);
}

/* ---- another loop's ---- */

static intptr_t await_a_stranger(void *arg)
{
	return knit_await(knit_task_ref(arg));
}

Test(foreign, a_task_of_another_loop_of_the_thread_cannot_be_awaited)
{
	struct objects objects;
	uint32_t refs;

	make_objects(&objects);
	refs = objects.task->refs;
	cr_assert_eq(knit_run(await_a_stranger, objects.task), -KNIT_EWRONGTHREAD);
	cr_assert_eq(objects.task->refs, refs, "the reference was consumed");
	cr_assert_eq(knit_loop_run_until_complete_future(NULL, objects.task), -EINVAL);
	drop_objects(&objects);
}

/* ---- nobody's ---- */

static intptr_t make_stale(void *ret)
{
	knit_task *task = knit_create_task(nothing, NULL);

	*(knit_task **)ret = task;
	return knit_await(task);
}

static void use_stale_in_await(void *ignored)
{
	knit_loop *loop = knit_loop_new();
	knit_task *stale = NULL;

	(void)ignored;
	(void)!knit_loop_run_until_complete(loop, make_stale, &stale);
	(void)!knit_loop_run_until_complete(loop, await_a_stranger, stale);
}

static void use_stale_in_result(void *ignored)
{
	knit_loop *loop = knit_loop_new();
	knit_task *stale = NULL;

	(void)ignored;
	(void)!knit_loop_run_until_complete(loop, make_stale, &stale);
	(void)knit_task_result(stale);
}

static void drop_twice(void *ignored)
{
	struct objects objects;

	(void)ignored;
	make_objects(&objects);
	knit_future_unref(objects.future);
	knit_future_unref(objects.future);
}

static void drop_done_task_twice(void *ignored)
{
	struct objects objects;

	(void)ignored;
	make_objects(&objects);
	knit_task_unref(objects.done);
	knit_task_unref(objects.done);
}

static void drop_pending_task_twice(void *ignored)
{
	struct objects objects;

	(void)ignored;
	make_objects(&objects);
	knit_task_unref(objects.task);
	knit_task_unref(objects.task); /* the loop's */
	(void)!knit_loop_close(objects.loop);
}

Test(foreign, a_stale_pointer_ends_the_process_with_a_message)
{
	test_death(use_stale_in_await, NULL, "was used after its last reference was dropped");
	test_death(use_stale_in_result, NULL, "was used after its last reference was dropped");
	test_death(drop_twice, NULL, "was used after its last reference was dropped");
	test_death(drop_done_task_twice, NULL, "was used after its last reference was dropped");
}

Test(foreign, the_loops_own_reference_is_not_the_users_to_drop)
{
	test_death(drop_pending_task_twice, NULL, "knit: ");
}

/* Frees one, then so many others, then makes one more: its address is the first one's only if
 * that has left the quarantine. */
static intptr_t free_and_make(void *arg)
{
	intptr_t others = (intptr_t)arg;
	knit_future *first = knit_future_new(), *next;
	bool reused = false;

	knit_future_unref(first);
	for (intptr_t i = 0; i < others; i++) {
		next = knit_future_new();
		reused |= next == first;
		knit_future_unref(next);
	}
	next = knit_future_new();
	reused |= next == first;
	knit_future_unref(next);
	return reused;
}

Test(foreign, a_freed_slot_is_not_used_for_at_least_1024_frees)
{
	cr_assert_eq(knit_run(free_and_make, (void *)1023), 0);
	cr_assert_eq(knit_run(free_and_make, (void *)2048), 1, "but then it is");
}

static void use_stale_in_quarantine(void *ignored)
{
	knit_loop *loop = knit_loop_new();
	knit_task *stale = NULL, *other;

	(void)ignored;
	(void)!knit_loop_run_until_complete(loop, make_stale, &stale);
	/* One is freed by this call, the rest below. */
	for (int i = 0; i < 1000; i++)
		(void)!knit_loop_run_until_complete(loop, make_stale, &other);
	(void)knit_task_done(stale);
}

Test(foreign, a_stale_pointer_is_found_out_a_thousand_tasks_later)
{
	test_death(use_stale_in_quarantine, NULL, "was used after its last reference was dropped");
}
