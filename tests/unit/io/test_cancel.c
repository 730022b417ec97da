/* SPDX-License-Identifier: MIT */
/* test_cancel.c - the cancellation of each call: while it waits, before it begins, when it is
 * done already, and twice. The races are in tests/integration/io. */
#include <sched.h>
#include <stdio.h>
#include "scenes.h"

/* ---- in the kernel ---- */

static void in_flight(const struct kind *kind, struct scene *scene)
{
	knit_task *task = rig_start(&scene->call);

	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(rig_in_flight(), 1, "%s", kind->name);
	cr_assert(knit_task_cancel(task, "stop it"));
	cr_assert_not(knit_task_done(task));
	rig_finish(task);
	scene_cancelled(kind, scene, "stop it");
	/* What comes afterwards comes to the next call. */
	kind->ready(scene);
	kind->verify(scene, false);
}

Test(io_cancel, ends_the_call_that_waits_and_takes_nothing)
{
	on_each_kind(in_flight);
}

static void not_sent_yet(const struct kind *kind, struct scene *scene)
{
	knit_task *task = rig_start(&scene->call);

	rig_yield(1);
	cr_assert(knit_task_cancel(task, "early"));
	rig_finish(task);
	scene_cancelled(kind, scene, "early");
	kind->ready(scene);
	kind->verify(scene, false);
}

Test(io_cancel, ends_the_call_that_has_not_reached_the_kernel)
{
	on_each_kind(not_sent_yet);
}

static void without_text(const struct kind *kind, struct scene *scene)
{
	knit_task *task = rig_start(&scene->call);

	rig_yield(RIG_IN_KERNEL);
	cr_assert(knit_task_cancel(task, NULL));
	rig_finish(task);
	scene_cancelled(kind, scene, knit_strerror(KNIT_ECANCELLED));
}

Test(io_cancel, needs_no_message)
{
	on_each_kind(without_text);
}

/* ---- before the call ---- */

static intptr_t cancel_then_call(void *arg)
{
	struct rig_call *call = arg;

	knit_task_cancel(knit_current_task(NULL), "beforehand");
	call->result = call->make(call);
	snprintf(call->message, sizeof(call->message), "%s", knit_error_message(call->result));
	call->next = knit_sleep(0);
	return 0;
}

/* Also where the kernel could answer at once: so a flood of data keeps no task alive. */
static void pending_at_entry(const struct kind *kind, struct scene *scene)
{
	knit_task *task;

	kind->ready(scene);
	task = knit_create_task(cancel_then_call, &scene->call);
	cr_assert_eq(knit_await(task), 0);
	scene_cancelled(kind, scene, "beforehand");
	kind->verify(scene, false);
}

Test(io_cancel, a_request_from_before_comes_before_the_kernel_is_asked)
{
	on_each_kind(pending_at_entry);
}

static intptr_t take_back_then_call(void *arg)
{
	struct rig_call *call = arg;

	knit_task_cancel(knit_current_task(NULL), NULL);
	cr_assert_eq(knit_task_uncancel(knit_current_task(NULL)), 0);
	call->result = call->make(call);
	call->next = knit_sleep(0);
	return 0;
}

static void taken_back_at_entry(const struct kind *kind, struct scene *scene)
{
	kind->ready(scene);
	cr_assert_eq(knit_await(knit_create_task(take_back_then_call, &scene->call)), 0);
	cr_assert(scene_succeeded(kind, scene), "%s: %s", kind->name,
	          knit_errname((int)scene->call.result));
	cr_assert_eq(scene->call.next, 0);
	kind->verify(scene, true);
}

Test(io_cancel, a_request_from_before_that_was_taken_back_does_nothing)
{
	on_each_kind(taken_back_at_entry);
}

/* ---- when the kernel is done, and the task has not run yet ---- */

static knit_task *victim;

static void cancel_victim(void *arg)
{
	cr_assert(knit_task_cancel(victim, arg));
}

/* In the next pass the request comes first, then the task whose call has completed. */
static void cancel_once_complete(const struct kind *kind, const char *text)
{
	for (long i = 0; !kn_engine_ready(rig_engine()); i++) {
		cr_assert_lt(i, 100000000, "%s does not complete", kind->name);
		sched_yield();
	}
	knit_loop_call_soon(NULL, cancel_victim, (void *)text);
}

static void after_completion(const struct kind *kind, struct scene *scene)
{
	victim = rig_start(&scene->call);
	rig_yield(RIG_IN_KERNEL);
	kind->ready(scene);
	cancel_once_complete(kind, "too late");
	rig_finish(victim);
	cr_assert(scene_succeeded(kind, scene), "%s: %s", kind->name,
	          knit_errname((int)scene->call.result));
	cr_assert_eq(scene->call.next, -KNIT_ECANCELLED, "%s: stays pending", kind->name);
	cr_assert_str_eq(scene->call.message, "too late");
	kind->verify(scene, true);
}

Test(io_cancel, what_has_happened_is_returned_and_the_request_comes_next)
{
	on_each_kind(after_completion);
}

/* Two requests before the task has seen one are one. */
static void twice(const struct kind *kind, struct scene *scene)
{
	knit_task *task = rig_start(&scene->call);

	rig_yield(RIG_IN_KERNEL);
	cr_assert(knit_task_cancel(task, "first"));
	cr_assert(knit_task_cancel(task, "second"));
	cr_assert_eq(knit_task_cancelling(task), 2);
	rig_finish(task);
	scene_cancelled(kind, scene, "second");
}

static void twice_and_complete(const struct kind *kind, struct scene *scene)
{
	victim = rig_start(&scene->call);
	rig_yield(RIG_IN_KERNEL);
	cr_assert(knit_task_cancel(victim, "first"));
	if (scene->listener) {
		/* Over at once; the task is in line already. */
		cr_assert(knit_task_cancel(victim, "second"));
	} else {
		cr_assert_eq(kn_engine_enter(rig_engine(), false, INT64_MAX), 0);
		cancel_once_complete(kind, "second");
	}
	rig_finish(victim);
	scene_cancelled(kind, scene, "second");
}

Test(io_cancel, two_requests_are_one_with_the_text_of_the_last)
{
	on_each_kind(twice);
	on_each_kind(twice_and_complete);
}
