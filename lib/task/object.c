/* SPDX-License-Identifier: MIT */
/* object.c - the memory of futures and tasks: references, and what happens at the last one.
 *
 * Both come from slabs of their loop. A freed object's loop pointer leads to kn_freed_loop,
 * which no thread owns. So the one compare that every call makes - does the loop of this object
 * belong to me - finds a stale pointer too, while the object is in quarantine. */
#include "task/task.h"
#include <string.h>
#include "base/alloc.h"

#define QUARANTINE 1024 /* further frees before a freed object is reused */

struct knit_loop kn_freed_loop;

int kn_future_misused(const knit_future *future)
{
	if (!future)
		return kn_fail(-EINVAL);
	if (future->loop == &kn_freed_loop)
		kn_panic("a task or future was used after its last reference was dropped; "
		         "knit_await() drops one: take knit_task_ref() before it");
	return kn_fail(-KNIT_EWRONGTHREAD);
}

void kn_future_foreign(const knit_future *future, const char *function)
{
	if (!future)
		kn_panic("%s(): NULL is not a task or future", function);
	/* The methods of both are the same functions, under the name of the future's. */
	if (future->is_task && !strncmp(function, "knit_future_", 12))
		kn_panic("knit_task_%s(): the task belongs to a loop of another thread; post the "
		         "call "
		         "there with knit_loop_call_soon_threadsafe()",
		         function + 12);
	kn_panic("%s(): the %s belongs to a loop of another thread; post the call there with "
	         "knit_loop_call_soon_threadsafe()",
	         function, future->is_task ? "task" : "future");
}

/* Reports about a task are made in its context (rule 30). */
static struct kn_vars **vars_of(knit_future *future)
{
	if (!future->is_task || kn_loop_check(future->loop) < 0)
		return NULL;
	return &kn_task_of(future)->current.vars;
}

static bool describe_ready(struct kn_ready *ready, struct kn_subject *subject)
{
	return kn_task_describe(ready, subject) || kn_done_callback_describe(ready, subject);
}

void kn_tasks_attach_now(struct knit_loop *loop)
{
	kn_slab_init(&loop->futures, sizeof(struct knit_future), &kn_freed_loop, QUARANTINE);
	kn_slab_init(&loop->tasks, sizeof(struct kn_task), &kn_freed_loop, QUARANTINE);
	kn_task_name_overflows();
	loop->close_tasks = kn_tasks_close;
	loop->unwind = kn_tasks_unwind;
	loop->give_up = kn_tasks_give_up;
	loop->put_aside = kn_tasks_put_aside;
	loop->describe_tasks = kn_tasks_describe;
	loop->drop_ready = kn_done_callback_drop;
	loop->vars_of = vars_of;
	loop->describe_ready = describe_ready;
}

void kn_future_init_derived(knit_future *future, struct knit_loop *loop, struct kn_derived *derived)
{
	kn_future_init(future, loop, 0);
	future->is_derived = true;
	future->derived = derived;
}

knit_future *kn_future_new(struct knit_loop *loop)
{
	uint32_t index;
	knit_future *future;

	kn_tasks_attach(loop);
	future = kn_slab_alloc(&loop->futures, &index);
	if (kn_unlikely(!future))
		return NULL;
	kn_objects_added(loop);
	kn_future_init(future, loop, index);
	future->origin = kn_origin_note(loop);
	return future;
}

void kn_future_report(knit_future *future, const char *message)
{
	knit_exception_context context = {.message = message, .future = future};
	char created[KN_ORIGIN_TEXT];

	if (future->retrieved || future->state != KN_FINISHED || !knit_is_error(future->outcome))
		return;
	future->retrieved = true;
	context.code = (int)-future->outcome;
	context.error = knit_strerror(context.code);
	if (future->is_task)
		context.name = knit_task_get_name(future);
	if (future->message) {
		context.error = future->message->text;
		context.file = future->message->file;
		context.line = future->message->line;
	}
	context.created = kn_origin_print(future->origin, created, sizeof(created));
	kn_loop_report(future->loop, &context);
}

/* What nobody retrieved goes where somebody may deal with it. The object is still whole here,
 * and has a reference that the handler cannot drop. */
static inline void discard_outcome(knit_future *future)
{
	if (future->retrieved || future->state != KN_FINISHED)
		return;
	if (knit_is_error(future->outcome)) {
		if (!future->quiet)
			kn_future_report(future, future->is_task
			                                 ? "Task exception was never retrieved"
			                                 : "Future exception was never retrieved");
		return;
	}
	if (kn_unlikely(future->is_derived))
		return; /* the value is that of the one it stands for */
	future->retrieved = true;
	if (future->result_free)
		future->result_free(future->outcome);
}

/* A reference that its owner forgot would keep a failure from being seen: the end of the loop is
 * where it comes out at the latest. */
void kn_tasks_close(struct knit_loop *loop)
{
	struct kn_task *task;

	kn_task_numbers_return(loop);

	while ((task = kn_list_first(&loop->failed_tasks, struct kn_task, link))) {
		kn_list_del(&task->link);
		task->future.refs++;
		discard_outcome(&task->future);
		kn_future_release(&task->future);
	}
}

static inline void future_free(knit_future *future)
{
	struct knit_loop *loop = future->loop;

	kn_message_unref(future->message);
	kn_origin_unref(future->origin);
	if (kn_unlikely(future->is_derived))
		future->derived->drop(future->derived, future);
	kn_slab_free(&loop->futures, future, future->index);
	kn_objects_removed(loop);
}

/* What few tasks have. */
static KN_COLD void task_free_extras(struct kn_task *task)
{
	kn_message_unref(task->future.message);
	kn_message_unref(task->current.record);
	kn_message_unref(task->cancel_message);
	kn_origin_unref(task->future.origin);
	kn_task_free_name(task);
}

static inline void task_free(struct kn_task *task)
{
	struct knit_loop *loop = task->future.loop;
	struct kn_vars *vars = task->current.vars;

	if (kn_unlikely(!kn_list_empty(&task->link))) /* among the failed */
		kn_list_del(&task->link);
	if (kn_unlikely((uintptr_t)task->future.message | (uintptr_t)task->current.record |
	                (uintptr_t)task->cancel_message | (uintptr_t)task->future.origin |
	                (~task->name & 1)))
		task_free_extras(task);
	kn_slab_free(&loop->tasks, task, task->future.index);
	kn_objects_removed(loop);
	kn_vars_release(vars);
}

void kn_future_end(knit_future *future)
{
	if (kn_unlikely(future->refs == 0))
		kn_panic("a reference to a task or future was dropped once too often");
	if (kn_unlikely(future->is_task && !kn_future_is_done(future)))
		kn_panic("a reference to the task '%s' was dropped once too often: what is left "
		         "is the loop's own, and the task is not done",
		         knit_task_get_name(future));
	if (kn_unlikely(!future->retrieved)) {
		discard_outcome(future);
		if (future->refs > 1) {
			future->refs--; /* the exception handler kept it */
			return;
		}
	}
	future->refs = 0;
	if (kn_unlikely(!kn_list_empty(&future->waiters)))
		kn_done_callbacks_free(future);
	if (future->is_task)
		task_free(kn_task_of(future));
	else
		future_free(future);
}

knit_future *knit_future_ref(knit_future *future)
{
	if (!future)
		return NULL;
	kn_future_demand(future, __func__);
	future->refs++;
	return future;
}

knit_future *knit_future_unref(knit_future *future)
{
	if (!future)
		return NULL;
	kn_future_demand(future, __func__);
	kn_future_release(future);
	return NULL;
}

knit_loop *knit_future_get_loop(const knit_future *future)
{
	if (kn_unlikely(!future))
		kn_future_foreign(future, __func__);
	if (kn_unlikely(future->loop == &kn_freed_loop))
		(void)kn_future_misused(future);
	return future->loop;
}

knit_task *knit_task_ref(knit_task *) __attribute__((alias("knit_future_ref")));
knit_task *knit_task_unref(knit_task *) __attribute__((alias("knit_future_unref")));
knit_loop *knit_task_get_loop(const knit_task *) __attribute__((alias("knit_future_get_loop")));
