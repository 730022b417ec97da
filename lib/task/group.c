/* SPDX-License-Identifier: MIT */
/* group.c - task groups: a scope whose exit waits for the tasks that were made in it.
 *
 * A group is a scope of kind edge, so that its request to cancel the body is told from those of
 * others. It needs no memory but the caller's storage and three words in each task: a child stands
 * in group->children, in the order of creation, and, when it has failed, in group->errors, in the
 * order of completion, with the group's reference to it; so an error cannot get lost.
 *
 * A child that is done makes its own struct kn_ready ready once more, which it needs no longer as
 * a step: that is asyncio's done-callback, one pass later and before those of others, since it was
 * registered at the creation. Only then does the group learn of it.
 *
 * The exit waits whatever happens: a cancellation cancels the children, once; a level scope that
 * was cancelled does so too, and does not make the wait spin; and it waits in a loop that is being
 * closed, which unwinds the children first. */
#include "task/group.h"
#include <stdio.h>
#include <string.h>
#include "base/options.h"

_Static_assert(sizeof(struct kn_group) <= sizeof(knit_task_group), "the storage is too small");

static struct kn_group *group_of(const knit_task_group *public)
{
	return (struct kn_group *)(uintptr_t) public;
}

static struct kn_task *child_of(struct kn_list *sibling)
{
	return kn_list_entry(sibling, struct kn_task, sibling);
}

/* ---- cancelling ---------------------------------------------------------------------- */

static void abort_children(struct kn_group *group)
{
	group->aborting = true;
	kn_list_for_each (node, &group->children) {
		struct kn_task *child = child_of(node);

		if (!kn_future_is_done(&child->future))
			(void)kn_future_request_cancel(&child->future, NULL);
	}
}

/* The children first: their cleaning up comes before the body's. */
static void abort_all(struct kn_group *group)
{
	if (group->aborting)
		return;
	abort_children(group);
	kn_task_request_cancel(group->scope.task, &group->scope, NULL);
}

int knit_task_group_cancel(knit_task_group *public)
{
	struct kn_group *group = group_of(public);
	int r;

	if (!group)
		return kn_fail(-EINVAL);
	if (!kn_scope_is_known(&group->scope))
		return kn_fail(-KNIT_EINVALIDSTATE);
	if (!kn_scope_is_open(&group->scope))
		return 0;
	r = kn_future_check(&group->scope.task->future);
	if (r == 0)
		abort_all(group);
	return r;
}

/* ---- children ------------------------------------------------------------------------ */

static void collect(struct kn_group *group, struct kn_task *child)
{
	struct kn_task *parent = group->scope.task;
	bool failed = child->future.state == KN_FINISHED && knit_is_error(child->future.outcome);

	kn_list_del(&child->sibling);
	/* A parent that was given up never comes to look at errors. */
	if (kn_unlikely(kn_future_is_done(&parent->future))) {
		kn_future_release(&child->future);
		return;
	}
	if (kn_list_empty(&group->children) && parent->wait == &group->wait)
		kn_task_wake(parent, 0, NULL);
	if (kn_likely(!failed)) {
		kn_future_release(&child->future);
		return;
	}
	child->future.retrieved = true;
	kn_list_add_tail(&group->errors, &child->sibling);
	abort_all(group);
}

static void child_is_done(struct kn_ready *ready)
{
	struct kn_task *child = kn_container_of(ready, struct kn_task, place.ready);
	struct kn_group *group = child->group;

	/* One that was given up may be woken all the same, by the kernel, for nobody. */
	child->group = NULL;
	if (kn_likely(group != NULL))
		collect(group, child);
}

void kn_group_child_ended(struct kn_task *child)
{
	child->place.ready.run = child_is_done;
	kn_loop_ready(child->future.loop, &child->place.ready);
}

static int refuse(const char *state)
{
	kn_message_record(kn_message_new(NULL, 0, KNIT_EINVALIDSTATE, "the task group %s", state));
	return -KNIT_EINVALIDSTATE;
}

/* May a child be made? */
static int check_room(const struct kn_group *group)
{
	int r;

	if (!group)
		return kn_fail(-EINVAL);
	if (!kn_scope_is_known(&group->scope))
		return refuse("has not been entered");
	if (!kn_scope_is_open(&group->scope))
		return refuse("is finished");
	r = kn_future_check(&group->scope.task->future);
	if (r < 0)
		return r;
	if (group->exiting && kn_list_empty(&group->children))
		return refuse("is finished");
	return group->aborting ? refuse("is shutting down") : 0;
}

/* With @references for the caller and one for the group. */
static struct kn_task *create(knit_task_group *public, knit_coro *coro,
                              const knit_task_options *given, unsigned references, int *error)
{
	struct kn_group *group = group_of(public);
	knit_task_options options;
	struct kn_task *child;

	*error = check_room(group);
	if (kn_unlikely(*error < 0))
		return NULL;
	*error = kn_options_copy(&options, sizeof(options), given);
	child = *error < 0 ? NULL
	                   : kn_task_create(group->scope.task->future.loop, coro, &options,
	                                    references + 1, error);
	if (kn_unlikely(*error < 0))
		(void)kn_fail(*error); /* a refusal has a text, this has none */
	if (kn_likely(child != NULL)) {
		child->group = group;
		kn_list_add_tail(&group->children, &child->sibling);
		kn_task_hurry(child);
	}
	return child;
}

int knit_task_group_spawn_with(knit_task_group *group, knit_coro *coro,
                               const knit_task_options *options)
{
	int error;

	(void)create(group, coro, options, 0, &error);
	return error;
}

knit_task *knit_task_group_create_task_with(knit_task_group *group, knit_coro *coro,
                                            const knit_task_options *options)
{
	int error;
	struct kn_task *child = create(group, coro, options, 1, &error);

	if (kn_likely(child != NULL))
		return &child->future;
	kn_self.create_error = -error;
	return NULL;
}

int(knit_task_group_spawn)(knit_task_group *group, knit_coro *coro, void *arg)
{
	return knit_task_group_spawn(group, coro, arg);
}

knit_task *(knit_task_group_create_task)(knit_task_group *group, knit_coro *coro, void *arg)
{
	return knit_task_group_create_task(group, coro, arg);
}

/* ---- in ------------------------------------------------------------------------------ */

static bool exit_cancel(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	struct kn_group *group = kn_container_of(wait, struct kn_group, wait);

	/* A level scope asks whenever the wait goes on. It has been heard. */
	if (group->aborting && task->requests == 0)
		return true;
	kn_task_wake(task, -KNIT_ECANCELLED, kn_message_ref(message));
	return true;
}

int knit_task_group_enter(knit_task_group *public)
{
	struct kn_group *group = group_of(public);
	int r = kn_scope_check_entry(group ? &group->scope : NULL);

	if (kn_unlikely(r < 0))
		return r;
	*group = (struct kn_group){
	        .wait = {.cancel = exit_cancel, .for_tasks = true, .stays = true}};
	kn_list_init(&group->children);
	kn_list_init(&group->errors);
	return kn_scope_enter(&group->scope, kn_task_of(kn_self.task), KNIT_FOREVER, false, false);
}

/* ---- out ----------------------------------------------------------------------------- */

/* What the body returned, and its text, before the wait overwrites that. */
static void note_body(struct kn_group *group, intptr_t body)
{
	if (!knit_is_error(body))
		return;
	group->body = body;
	group->message = kn_message_ref(kn_message_recorded(body));
	if (!group->aborting)
		abort_children(group);
}

/* The wait was ended by requests, or some came with the end. What others asked for goes on up when
 * the children are done; the first text of theirs with it. */
static void note_requests(struct kn_group *group, intptr_t outcome)
{
	struct kn_task *task = group->scope.task;
	bool others = task->requests > (group->scope.own ? 1 : 0) || task->interrupted;

	if (outcome != -KNIT_ECANCELLED && !task->must_cancel)
		return;
	if (outcome == -KNIT_ECANCELLED) {
		task->must_cancel = false;
		kn_task_delivered(task);
	} else {
		(void)kn_task_take_cancel(task);
	}
	if (others && (!group->body || (group->body == -KNIT_ECANCELLED && group->scope.asked))) {
		kn_message_unref(group->message);
		group->message = kn_message_ref(kn_message_recorded(-KNIT_ECANCELLED));
		group->body = -KNIT_ECANCELLED;
	}
	if (!group->aborting)
		abort_children(group);
}

/* "unhandled errors in a task group (2): worker: EINVAL: port 0 is out of range; Task-9: ..." */
KN_COLD static struct kn_message *list_errors(struct kn_group *group)
{
	knit_task_group *public = (knit_task_group *)group;
	char text[1000];
	const char *name, *message;
	size_t used = 0;
	int code, count = 0;

	while (knit_task_group_next_error(public, NULL, NULL) > 0)
		count++;
	used += (size_t)snprintf(text, sizeof(text), "unhandled errors in a task group (%d)",
	                         count);
	while ((code = knit_task_group_next_error(public, &name, &message)) > 0) {
		int length = used < sizeof(text)
		                     ? snprintf(text + used, sizeof(text) - used, "%s %s: %s: %s",
		                                text[used - 1] == ')' ? ":" : ";", name,
		                                knit_errname(code), message)
		                     : 0;

		used += length > 0 ? (size_t)length : 0;
	}
	if (used >= sizeof(text))
		strcpy(text + sizeof(text) - 4, "...");
	return kn_message_new(NULL, 0, KNIT_EGROUP, "%s", text);
}

static intptr_t leave(struct kn_group *group, intptr_t body)
{
	struct kn_scope *scope = &group->scope;
	bool asked = scope->asked;
	unsigned others;

	kn_scope_exit(scope);
	others = asked ? kn_scope_withdraw(scope) : kn_scope_others(scope);
	if ((group->body && group->body != -KNIT_ECANCELLED) || !kn_list_empty(&group->errors)) {
		group->parent = knit_future_ref(&scope->task->future);
		if (others)
			kn_scope_redeliver(scope,
			                   group->body == -KNIT_ECANCELLED ? group->message : NULL);
		kn_message_record(list_errors(group));
		return -KNIT_EGROUP;
	}
	if (group->body && (others || !asked)) {
		kn_message_record(group->message);
		return -KNIT_ECANCELLED;
	}
	kn_message_unref(group->message);
	return body == -KNIT_ECANCELLED ? 0 : body;
}

intptr_t knit_task_group_exit(knit_task_group *public, intptr_t body)
{
	struct kn_group *group = group_of(public);
	int r = kn_scope_check_exit(group ? &group->scope : NULL);

	if (kn_unlikely(r < 0))
		return r;
	if (kn_unlikely(group->exiting))
		return kn_fail(-KNIT_EINVALIDSTATE);
	kn_scope_demand_innermost(&group->scope);
	group->exiting = true;
	note_body(group, body);
	while (!kn_list_empty(&group->children))
		note_requests(group, kn_task_park(group->scope.task, &group->wait));
	return leave(group, body);
}

/* ---- errors -------------------------------------------------------------------------- */

static int tell(struct kn_task *task, intptr_t outcome, const struct kn_message *text,
                const char **task_name, const char **message)
{
	if (task_name)
		*task_name = knit_task_get_name(&task->future);
	if (message)
		*message = text ? text->text : knit_strerror((int)outcome);
	return (int)-outcome;
}

int knit_task_group_next_error(knit_task_group *public, const char **task_name,
                               const char **message)
{
	struct kn_group *group = group_of(public);
	struct kn_task *task;

	if (!group)
		return kn_fail(-EINVAL);
	if (!kn_scope_is_known(&group->scope) || kn_scope_is_open(&group->scope))
		return kn_fail(-KNIT_EINVALIDSTATE);
	if (!group->parent)
		return 0;
	if (kn_future_check(group->parent) < 0)
		return -KNIT_EWRONGTHREAD;
	if (!group->told)
		group->told = &group->errors;
	if (!group->told_body && group->told->next != &group->errors) {
		group->told = group->told->next;
		task = child_of(group->told);
		return tell(task, task->future.outcome, task->future.message, task_name, message);
	}
	group->told_body = !group->told_body && group->body && group->body != -KNIT_ECANCELLED;
	if (group->told_body)
		return tell(kn_task_of(group->parent), group->body, group->message, task_name,
		            message);
	group->told = NULL;
	return 0;
}

void knit_task_group_done(knit_task_group *public)
{
	struct kn_group *group = group_of(public);

	if (!group || !kn_scope_is_known(&group->scope))
		return;
	if (kn_scope_is_open(&group->scope))
		kn_panic("knit_task_group_done() for a task group that has not been left");
	if (!group->parent)
		return;
	kn_future_demand(group->parent, __func__);
	while (!kn_list_empty(&group->errors)) {
		struct kn_task *child = child_of(group->errors.next);

		kn_list_del(&child->sibling);
		kn_future_release(&child->future);
	}
	group->message = kn_message_unref(group->message);
	kn_future_release(group->parent);
	group->parent = NULL;
}
