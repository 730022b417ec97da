/* SPDX-License-Identifier: MIT */
/* wait.c - knit_wait(): until one of several is done, or all, or time is up; and knit_wait_for().
 *
 * A wait only looks. It has a reference to each future while it lasts, takes all its registrations
 * back on every path, and counts who is done when its task goes on, not when it was woken. */
#include "knit/wait.h"
#include "base/alloc.h"
#include "knit/timeout.h"
#include "task/several.h"

#define IN_FRAME 8 /* so many registrations need no allocation */

struct wait;

struct registration {
	struct kn_waiter waiter;
	struct kn_ready ready;
	struct wait *wait;
	knit_future *future; /* counted */
};

struct wait {
	struct kn_wait wait;
	struct kn_timer timer;
	struct kn_task *task;
	struct registration *registrations;
	size_t n, left; /* different futures; of these, not told of yet */
	int return_when;
	bool over; /* the task is woken */
};

/* ---- what ends it -------------------------------------------------------------------- */

static void end(struct wait *wait)
{
	if (wait->over)
		return;
	wait->over = true;
	kn_timer_stop(wait->task->future.loop, &wait->timer);
	kn_task_wake(wait->task, 0, NULL);
}

static void timer_run(struct kn_ready *ready)
{
	end(kn_container_of(ready, struct wait, timer.ready));
}

static bool has_failed(const knit_future *future)
{
	return future->state == KN_FINISHED && knit_is_error(future->outcome);
}

static void registration_run(struct kn_ready *ready)
{
	struct registration *registration = kn_container_of(ready, struct registration, ready);
	struct wait *wait = registration->wait;

	if (--wait->left == 0 || wait->return_when == KNIT_FIRST_COMPLETED ||
	    (wait->return_when == KNIT_FIRST_EXCEPTION && has_failed(registration->future)))
		end(wait);
}

static void registration_notify(struct kn_waiter *waiter, knit_future *future)
{
	struct registration *registration = kn_container_of(waiter, struct registration, waiter);

	kn_loop_ready(future->loop, &registration->ready);
}

static bool wait_cancel(struct kn_wait *base, struct kn_task *task, struct kn_message *message)
{
	struct wait *wait = kn_container_of(base, struct wait, wait);

	wait->over = true;
	kn_timer_stop(task->future.loop, &wait->timer);
	kn_task_wake(task, -KNIT_ECANCELLED, kn_message_ref(message));
	return true;
}

/* ---- registrations ------------------------------------------------------------------- */

static void add(struct wait *wait, knit_future *future)
{
	struct registration *registration = &wait->registrations[wait->n++];

	*registration = (struct registration){
	        .waiter.notify = registration_notify,
	        .ready.run = registration_run,
	        .wait = wait,
	        .future = future,
	};
	kn_list_init(&registration->waiter.link);
	kn_list_init(&registration->ready.link);
	future->refs++;
	kn_several_watch(future, &registration->waiter, &registration->ready);
}

/* One that stands there twice counts once. */
static void add_all(struct wait *wait, knit_future *const awaitables[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!awaitables[i]->marked)
			add(wait, awaitables[i]);
		awaitables[i]->marked = true;
	}
	for (size_t i = 0; i < n; i++)
		awaitables[i]->marked = false;
	wait->left = wait->n;
}

static int remove_all(struct wait *wait)
{
	int done = 0;

	for (size_t i = 0; i < wait->n; i++) {
		struct registration *registration = &wait->registrations[i];

		kn_list_del(&registration->waiter.link);
		kn_list_del(&registration->ready.link);
		done += kn_future_is_done(registration->future);
		kn_future_release(registration->future);
	}
	return done;
}

/* What is over already is a callback of the next pass, in line with the others. */
static int start_timer(struct wait *wait, int64_t timeout)
{
	struct knit_loop *loop = wait->task->future.loop;

	if (timeout > 0 && timeout != KNIT_FOREVER)
		return kn_timer_start(loop, &wait->timer, kn_loop_deadline(loop, timeout));
	if (timeout <= 0)
		kn_loop_ready(loop, &wait->timer.ready);
	return 0;
}

/* ---- the call ------------------------------------------------------------------------ */

static int wait_for_several(struct wait *wait, knit_future *const awaitables[], size_t n,
                            int64_t timeout)
{
	int done, r;

	kn_list_init(&wait->timer.ready.link);
	add_all(wait, awaitables, n);
	r = start_timer(wait, timeout);
	if (r == 0)
		r = (int)kn_task_suspend(wait->task, &wait->wait);
	else
		(void)kn_fail(r);
	done = remove_all(wait);
	return r < 0 ? r : done;
}

int knit_wait(knit_future *const awaitables[], size_t n, int64_t timeout, int return_when)
{
	struct registration in_frame[IN_FRAME];
	struct wait wait = {
	        .wait.cancel = wait_cancel,
	        .timer = {.ready.run = timer_run, .id = KN_HEAP_NONE},
	        .registrations = in_frame,
	        .return_when = return_when,
	};
	int r = 0;

	if (n == 0 || n > INT32_MAX || return_when < KNIT_ALL_COMPLETED ||
	    return_when > KNIT_FIRST_EXCEPTION)
		return kn_fail(-EINVAL);
	if (!kn_self.task)
		return kn_fail(-KNIT_ENOTASK);
	r = kn_several_check(awaitables, n, kn_self.loop);
	if (r < 0)
		return r;
	wait.task = kn_task_current(&r);
	if (!wait.task)
		return r;
	if (n > IN_FRAME)
		wait.registrations = kn_malloc(n * sizeof(*wait.registrations));
	if (!wait.registrations)
		return kn_fail(-ENOMEM);
	r = wait_for_several(&wait, awaitables, n, timeout);
	if (wait.registrations != in_frame)
		kn_free(wait.registrations);
	return r;
}

/* ---- knit_wait_for() ------------------------------------------------------------------- */

/* Time is up before it began. What is not done is cancelled, and may still come to an end of its
 * own. Consumes the reference. */
static intptr_t cancel_and_await(knit_future *future)
{
	struct kn_task *task = kn_task_of(kn_self.task);
	unsigned before = task->cancelling;
	bool its_own;
	intptr_t outcome;

	if (!kn_future_is_done(future) && future != kn_self.task && !kn_task_is_cancelled(task))
		(void)kn_future_request_cancel(future, NULL);
	else
		return knit_await(future);
	future->refs++;
	outcome = knit_await(future);
	its_own = kn_future_is_done(future) && future->outcome == -KNIT_ECANCELLED;
	kn_future_release(future);
	if (outcome == -KNIT_ECANCELLED && its_own && task->cancelling <= before &&
	    !task->interrupted)
		return kn_fail(-ETIMEDOUT);
	return outcome;
}

intptr_t knit_wait_for(knit_future *future, int64_t timeout)
{
	knit_timeout scope;
	int r;

	if (!future || kn_future_check(future) < 0 || !kn_self.task ||
	    future->loop != kn_self.loop || timeout == KNIT_FOREVER)
		return knit_await(future);
	if (timeout <= 0)
		return cancel_and_await(future);
	if (kn_future_is_done(future))
		return knit_await(future);
	r = knit_timeout_enter(&scope, timeout);
	if (r < 0) {
		kn_future_release(future);
		return r;
	}
	return knit_timeout_exit(&scope, knit_await(future));
}
