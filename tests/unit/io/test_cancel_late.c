/* SPDX-License-Identifier: MIT */
/* test_cancel_late.c - a cancellation and a success together; requests that are taken back; calls
 * that a worker thread of the kernel makes. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "scenes.h"

/* ---- a success after the request ---- */

/* The ring has no room for cancellations: so the kernel never hears of one. */
static bool no_cancellations(void *arg, const struct kn_op *op)
{
	(void)arg;
	return !op || !op->cancel_requested;
}

static void deaf_kernel(bool deaf)
{
	const struct kn_engine_faults faults = {.room = no_cancellations};

	kn_engine_set_faults(rig_engine(), deaf ? &faults : NULL);
}

static void success_after(const struct kind *kind, struct scene *scene)
{
	knit_task *task;

	if (scene->listener)
		return; /* never asks the kernel to cancel */
	task = rig_start(&scene->call);
	rig_yield(RIG_IN_KERNEL);
	deaf_kernel(true);
	cr_assert(knit_task_cancel(task, "meanwhile"));
	rig_yield(5);
	cr_assert_not(scene->call.done, "%s: the kernel has not let go", kind->name);
	kind->ready(scene);
	rig_finish(task);
	deaf_kernel(false);
	cr_assert(scene_succeeded(kind, scene), "%s: %s", kind->name,
	          knit_errname((int)scene->call.result));
	cr_assert_eq(scene->call.next, -KNIT_ECANCELLED, "%s: it must come now", kind->name);
	cr_assert_str_eq(scene->call.message, "meanwhile");
	kind->verify(scene, true);
}

/* L4: "Success after cancel leaks resources": here nothing that the kernel gave is lost. */
Test(io_cancel_late, a_success_after_the_request_is_returned_and_the_request_comes_next)
{
	on_each_kind(success_after);
}

static void taken_back(const struct kind *kind, struct scene *scene)
{
	knit_task *task;

	if (scene->listener)
		return;
	task = rig_start(&scene->call);
	rig_yield(RIG_IN_KERNEL);
	deaf_kernel(true);
	cr_assert(knit_task_cancel(task, "never mind"));
	rig_yield(1);
	cr_assert_eq(knit_task_uncancel(task), 0);
	kind->ready(scene);
	rig_finish(task);
	deaf_kernel(false);
	cr_assert(scene_succeeded(kind, scene), "%s: %s", kind->name,
	          knit_errname((int)scene->call.result));
	cr_assert_eq(scene->call.next, 0, "%s: it was taken back", kind->name);
	kind->verify(scene, true);
}

Test(io_cancel_late, a_request_taken_back_before_the_success_is_not_delivered)
{
	on_each_kind(taken_back);
}

/* Taken back when the kernel has ended the call because of it: as in asyncio, that is what comes
 * out of the call, once, and nothing after it. */
static void taken_back_too_late(const struct kind *kind, struct scene *scene)
{
	knit_task *task = rig_start(&scene->call);

	rig_yield(RIG_IN_KERNEL);
	cr_assert(knit_task_cancel(task, "over"));
	cr_assert_eq(knit_task_uncancel(task), 0);
	rig_finish(task);
	scene_cancelled(kind, scene, "over");
	kind->ready(scene);
	kind->verify(scene, false);
}

Test(io_cancel_late, a_request_taken_back_after_it_ended_the_call_is_what_the_call_returns)
{
	on_each_kind(taken_back_too_late);
}

/* ---- both at once ---- */

static void either(const struct kind *kind, struct scene *scene, bool cancel_first)
{
	knit_task *task = rig_start(&scene->call);
	bool taken;

	rig_yield(RIG_IN_KERNEL);
	if (cancel_first)
		knit_task_cancel(task, "race");
	kind->ready(scene);
	if (!cancel_first)
		knit_task_cancel(task, "race");
	rig_finish(task);
	taken = scene_succeeded(kind, scene);
	if (taken)
		cr_assert_eq(scene->call.next, -KNIT_ECANCELLED, "%s", kind->name);
	else
		scene_cancelled(kind, scene, "race");
	cr_assert_str_eq(scene->call.message, "race", "%s", kind->name);
	kind->verify(scene, taken);
}

static void cancelled_then_ready(const struct kind *kind, struct scene *scene)
{
	either(kind, scene, true);
}

static void ready_then_cancelled(const struct kind *kind, struct scene *scene)
{
	either(kind, scene, false);
}

Test(io_cancel_late, whichever_comes_first_exactly_one_cancellation_comes_out)
{
	on_each_kind(cancelled_then_ready);
	on_each_kind(ready_then_cancelled);
}

/* ---- calls without a descriptor to wait on ---- */

static intptr_t open_fifo(struct rig_call *call)
{
	return knit_open(call->more, O_RDONLY | O_CREAT, 0600);
}

/* Opening a FIFO blocks a worker thread of the kernel until somebody writes. (Without O_CREAT the
 * kernel tries to open without blocking first, and succeeds.) */
static intptr_t blocked_open(void *arg)
{
	char path[64];
	struct rig_call call = {.make = open_fifo, .more = path};
	knit_task *task;

	(void)arg;
	snprintf(path, sizeof(path), "/tmp/knit-fifo-%d", (int)getpid());
	cr_assert_eq(mkfifo(path, 0600), 0, "%s", strerror(errno));
	for (int round = 1; round < 30; round++) {
		task = rig_start(&call);
		rig_yield(round);
		cr_assert(knit_task_cancel(task, "no writer"));
		rig_finish(task);
		cr_assert_eq(call.result, -KNIT_ECANCELLED, "%s", knit_errname((int)call.result));
		cr_assert_str_eq(call.message, "no writer");
		cr_assert_eq(call.next, 0);
	}
	unlink(path);
	return 0;
}

Test(io_cancel_late, ends_an_open_that_blocks)
{
	rig_run(blocked_open, NULL);
}

static intptr_t connect_on(struct rig_call *call)
{
	struct rig_address *to = call->more;

	return knit_sock_connect(call->fd, RIG_NAME(to), to->length);
}

static intptr_t connect_over_tcp(void *arg)
{
	struct rig_address to;
	int listening = rig_listening(AF_INET, 0, &to), fds[16], count = 0;
	struct rig_call call = {.make = connect_on, .more = &to};
	knit_task *task;

	(void)arg;
	/* Once the backlog is full the kernel drops what asks for a connection. */
	for (bool full = false; !full && count < 16; count++) {
		fds[count] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		call.fd = fds[count];
		task = rig_start(&call);
		rig_yield(50);
		full = !call.done;
		if (full)
			cr_assert(knit_task_cancel(task, "nobody answers"));
		rig_finish(task);
	}
	cr_assert_eq(call.result, -KNIT_ECANCELLED, "%s", knit_errname((int)call.result));
	cr_assert_eq(call.next, 0);
	rig_close_all(fds, count);
	close(listening);
	return 0;
}

Test(io_cancel_late, ends_a_connect_that_nobody_answers)
{
	rig_run(connect_over_tcp, NULL);
}
