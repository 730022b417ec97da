/* SPDX-License-Identifier: MIT */
/* future.c - the state of a future, its outcome, and its done-callbacks. */
#include "task/task.h"
#include <stdlib.h>
#include "base/alloc.h"
#include "base/options.h"

/* A registration of knit_future_add_done_callback(). It is the future's while that is pending;
 * then it is in the ready list and keeps a reference to the future. */
struct done_callback {
	struct kn_waiter waiter;
	struct kn_ready ready;
	knit_done_callback *callback;
	void *arg;
	knit_future *future;
	struct kn_vars *vars;     /* owned: what it sees */
	struct kn_origin *origin; /* owned: where it was registered; NULL but in debug mode */
	uint32_t index;
};

/* ---- completion ---------------------------------------------------------------------- */

void kn_future_complete(knit_future *future, intptr_t outcome, struct kn_message *message)
{
	kn_future_settle(future, outcome == -KNIT_ECANCELLED ? KN_CANCELLED : KN_FINISHED, outcome,
	                 message);
}

void kn_future_finish(knit_future *future, intptr_t outcome, struct kn_message *message)
{
	kn_future_settle(future, KN_FINISHED, outcome, message);
}

/* May the caller complete @future? */
static int check_settable(const knit_future *future)
{
	int r = kn_future_check(future);

	if (r < 0)
		return r;
	if (future->is_task || future->is_derived)
		return -EINVAL;
	return kn_future_is_done(future) ? -KNIT_EINVALIDSTATE : 0;
}

int knit_future_set_result(knit_future *future, intptr_t outcome)
{
	int r = check_settable(future);

	if (r == 0)
		kn_future_complete(future, outcome, NULL);
	return r;
}

int knit_future_set_exception(knit_future *future, int code, const char *message)
{
	struct kn_message *text = NULL;
	int r = check_settable(future);

	if (r < 0)
		return r;
	if (code == 0 || code < -KNIT_ERRNO_MAX || code > KNIT_ERRNO_MAX)
		return -EINVAL;
	code = abs(code);
	if (message)
		text = kn_message_new(NULL, 0, code, "%s", message);
	kn_future_complete(future, -code, text);
	return 0;
}

knit_future *knit_future_new_with(const knit_future_options *given)
{
	knit_future_options options;
	knit_future *future = NULL;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r == 0)
		r = kn_self.loop ? kn_loop_usable(kn_self.loop) : -KNIT_ENOLOOP;
	if (r == 0) {
		future = kn_future_new(kn_self.loop);
		r = future ? 0 : -ENOMEM;
	}
	if (r < 0) {
		kn_self.create_error = -r;
		return NULL;
	}
	future->result_free = options.result_free;
	return future;
}

knit_future *(knit_future_new)(void)
{
	knit_future_options options = {.size = sizeof(options)};

	return knit_future_new_with(&options);
}

/* ---- asking -------------------------------------------------------------------------- */

bool knit_future_done(const knit_future *future)
{
	kn_future_demand(future, __func__);
	return kn_future_is_done(future);
}

bool knit_future_cancelled(const knit_future *future)
{
	kn_future_demand(future, __func__);
	return future->state == KN_CANCELLED;
}

intptr_t knit_future_result(knit_future *future)
{
	int r = kn_future_check(future);

	if (r < 0)
		return r;
	if (!kn_future_is_done(future))
		return -KNIT_EINVALIDSTATE;
	return kn_future_retrieve(future);
}

int knit_future_exception(knit_future *future, const char **ret_message)
{
	int r = kn_future_check(future);

	if (ret_message)
		*ret_message = NULL;
	if (r < 0)
		return r;
	if (!kn_future_is_done(future))
		return -KNIT_EINVALIDSTATE;
	if (!knit_is_error(future->outcome))
		return 0;
	future->retrieved = true;
	if (ret_message && future->message)
		*ret_message = future->message->text;
	return future->state == KN_CANCELLED ? -KNIT_ECANCELLED : (int)-future->outcome;
}

/* ---- done-callbacks ------------------------------------------------------------------ */

static void registration_free(struct done_callback *registration)
{
	struct knit_loop *loop = registration->future->loop;
	struct kn_vars *vars = registration->vars;

	kn_origin_unref(registration->origin);
	kn_slab_free(&loop->done_callbacks, registration, registration->index);
	kn_vars_release(vars);
}

static void registration_run(struct kn_ready *ready)
{
	struct done_callback *registration = kn_container_of(ready, struct done_callback, ready);
	knit_done_callback *callback = registration->callback;
	knit_future *future = registration->future;
	void *arg = registration->arg;
	struct kn_vars_frame frame;

	kn_vars_enter(&frame, registration->vars);
	registration->vars = NULL;
	registration_free(registration);
	callback(future, arg);
	kn_vars_leave(&frame);
	kn_future_release(future);
}

bool kn_done_callback_describe(struct kn_ready *ready, struct kn_subject *subject)
{
	struct done_callback *registration = kn_container_of(ready, struct done_callback, ready);

	if (ready->run != registration_run)
		return false;
	kn_subject_callback(subject, (uintptr_t)registration->callback, registration->origin);
	return true;
}

static void registration_notify(struct kn_waiter *waiter, knit_future *future)
{
	struct done_callback *registration = kn_container_of(waiter, struct done_callback, waiter);

	/* A loop that is being closed runs no callbacks any more. */
	if (kn_unlikely(future->loop->phase != KN_OPEN)) {
		registration_free(registration);
		return;
	}
	future->refs++;
	kn_loop_ready(future->loop, &registration->ready);
}

static int add_done_callback(knit_future *future, knit_done_callback *callback, void *arg,
                             knit_context *context)
{
	struct done_callback *registration;
	struct kn_vars *vars;
	struct kn_slab *slab;
	uint32_t index;
	int r = kn_future_check(future);

	if (r == 0 && !callback)
		r = -EINVAL;
	if (r == 0)
		r = kn_loop_usable(future->loop);
	if (r == 0)
		r = kn_vars_take(context, &vars);
	if (r < 0)
		return r;
	slab = &future->loop->done_callbacks;
	if (!slab->size)
		kn_slab_init(slab, sizeof(*registration), NULL, 0);
	registration = kn_slab_alloc(slab, &index);
	if (!registration) {
		kn_vars_release(vars);
		return -ENOMEM;
	}
	kn_list_init(&registration->waiter.link);
	kn_list_init(&registration->ready.link);
	registration->waiter.notify = registration_notify;
	registration->ready.run = registration_run;
	registration->callback = callback;
	registration->arg = arg;
	registration->future = future;
	registration->vars = vars;
	registration->origin = kn_origin_note(future->loop);
	registration->index = index;
	if (kn_future_is_done(future))
		registration_notify(&registration->waiter, future);
	else
		kn_list_add_tail(&future->waiters, &registration->waiter.link);
	return 0;
}

int knit_future_add_done_callback(knit_future *future, knit_done_callback *callback, void *arg)
{
	return add_done_callback(future, callback, arg, NULL);
}

int knit_future_add_done_callback_with(knit_future *future, knit_done_callback *callback,
                                       const knit_callback_options *given)
{
	knit_callback_options options;
	int r = kn_options_copy(&options, sizeof(options), given);

	return r < 0 ? r : add_done_callback(future, callback, options.arg, options.context);
}

int knit_future_remove_done_callback(knit_future *future, knit_done_callback *callback, void *arg)
{
	int count = 0, r = kn_future_check(future);

	if (r < 0)
		return r;
	kn_list_for_each_safe (node, &future->waiters) {
		struct kn_waiter *waiter = kn_list_entry(node, struct kn_waiter, link);
		struct done_callback *registration;

		if (waiter->notify != registration_notify)
			continue;
		registration = kn_container_of(waiter, struct done_callback, waiter);
		if (registration->callback != callback || registration->arg != arg)
			continue;
		kn_list_del(&waiter->link);
		registration_free(registration);
		count++;
	}
	return count;
}

void kn_done_callbacks_free(knit_future *future)
{
	kn_list_for_each_safe (node, &future->waiters) {
		struct kn_waiter *waiter = kn_list_entry(node, struct kn_waiter, link);

		if (kn_likely(waiter->notify == registration_notify)) {
			registration_free(kn_container_of(waiter, struct done_callback, waiter));
			continue;
		}
		kn_list_del(&waiter->link);
		waiter->notify(waiter, future);
	}
}

void kn_done_callback_drop(struct kn_ready *ready)
{
	struct done_callback *registration;
	knit_future *future;

	if (ready->run != registration_run)
		return;
	registration = kn_container_of(ready, struct done_callback, ready);
	future = registration->future;
	kn_list_del(&ready->link);
	registration_free(registration);
	kn_future_release(future);
}

bool knit_task_done(const knit_task *) __attribute__((alias("knit_future_done")));
bool knit_task_cancelled(const knit_task *) __attribute__((alias("knit_future_cancelled")));
intptr_t knit_task_result(knit_task *) __attribute__((alias("knit_future_result")));
int knit_task_exception(knit_task *, const char **) __attribute__((alias("knit_future_exception")));
int knit_task_add_done_callback(knit_task *, knit_done_callback *, void *)
        __attribute__((alias("knit_future_add_done_callback")));
int knit_task_remove_done_callback(knit_task *, knit_done_callback *, void *)
        __attribute__((alias("knit_future_remove_done_callback")));
