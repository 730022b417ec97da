/* SPDX-License-Identifier: MIT */
/* task.c - creating a task, ending it, and what one may ask it. step.c runs it. */
#include "task/group.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include "base/alloc.h"
#include "base/options.h"

#define NUMBERS_A_BLOCK 256 /* task numbers that a loop takes at once */

/* ---- the end ------------------------------------------------------------------------- */

/* The text that goes with @outcome, with a reference for the future. */
static struct kn_message *message_of(struct kn_task *task, intptr_t outcome)
{
	if (knit_is_error(outcome) && task->current.record &&
	    task->current.record->code == -outcome)
		return kn_message_ref(task->current.record);
	return NULL;
}

/* Cancelled before it began, or while it ran and returned without suspending again: the request
 * is honoured and the value lost (rule 89); an error wins over it (rule 90). */
static struct kn_message *end_cancelled(struct kn_task *task, intptr_t *outcome)
{
	if (task->future.result_free && !knit_is_error(*outcome))
		task->future.result_free(*outcome);
	*outcome = -KNIT_ECANCELLED;
	return kn_message_ref(task->cancel_message);
}

void kn_task_finish(struct kn_task *task, intptr_t outcome)
{
	void (*arg_free)(void *) = task->arg_free;
	struct kn_message *message;

	if (kn_unlikely(task->must_cancel) && (!task->started || !knit_is_error(outcome)))
		message = end_cancelled(task, &outcome);
	else
		message = message_of(task, outcome);
	kn_list_del(&task->link);
	if (arg_free)
		arg_free(task->arg);
	if (kn_unlikely(task->group != NULL))
		kn_group_child_ended(task);
	kn_future_complete(&task->future, outcome, message);
	task->must_cancel = false;
	if (kn_unlikely(task->future.state == KN_FINISHED && knit_is_error(task->future.outcome)) &&
	    !task->future.retrieved)
		kn_list_add_tail(&task->future.loop->failed_tasks, &task->link);
	kn_future_release(&task->future);
}

/* ---- creating ------------------------------------------------------------------------ */

/* Numbers are unique in the process; a loop takes them by the block, so that loops do not fight
 * for one cache line. */
static atomic_uint_fast64_t next = 1;

static uint64_t next_number(struct knit_loop *loop)
{
	if (kn_unlikely(loop->task_number == loop->task_number_end)) {
		loop->task_number = atomic_fetch_add_explicit(&next, NUMBERS_A_BLOCK,
		                                              memory_order_relaxed);
		loop->task_number_end = loop->task_number + NUMBERS_A_BLOCK;
	}
	return loop->task_number++;
}

void kn_task_numbers_return(struct knit_loop *loop)
{
	uint_fast64_t end = loop->task_number_end;

	/* Only if nobody has taken a block since: numbers are not used twice. */
	if (loop->task_number < end)
		atomic_compare_exchange_strong_explicit(&next, &end, loop->task_number,
		                                        memory_order_relaxed, memory_order_relaxed);
	loop->task_number = loop->task_number_end = 0;
}

/* Is a task with these options to start at once? 1, 0 or a negative code. */
static int starts_eagerly(const struct knit_loop *loop, const knit_task_options *options)
{
	bool runs = kn_self.loop == loop && loop->in_batch;

	if (options->eager_start > 0)
		return runs ? 1 : -KNIT_ENOLOOP;
	return options->eager_start == 0 && loop->eager && runs;
}

/* Field by field, in their order: most of what is not named here is written before it is read. */
static inline void init(struct kn_task *task, struct knit_loop *loop, uint32_t index,
                        knit_coro *coro, const knit_task_options *options)
{
	kn_future_init(&task->future, loop, index);
	task->future.is_task = true;
	task->future.result_free = options->result_free;
	task->future.origin = kn_origin_note(loop);
	task->place.ready.run = kn_task_step;
	task->stack_size = options->stack_size;
	task->fiber.stack = NULL;
	task->wait = NULL;
	task->wake_outcome = 0;
	task->flags = 0;
	task->taken = true;
	task->cancelling = task->requests = task->held = task->deliveries = 0;
	task->scope = NULL;
	task->group = NULL;
	task->cancel_message = NULL;
	task->current.record = NULL;
	task->coro = coro;
	task->arg = options->arg;
	task->arg_free = options->arg_free;
}

static inline int may_create(const struct knit_loop *loop, knit_coro *coro)
{
	if (kn_unlikely(!coro))
		return -EINVAL;
	return kn_likely(loop->phase == KN_OPEN) ? 0 : -KNIT_ECLOSED;
}

/* What may be created. @name: its own then, or 0; consumes @vars, but not if it fails. */
static KN_INLINE struct kn_task *make(struct knit_loop *loop, knit_coro *coro,
                                      const knit_task_options *options, unsigned references,
                                      struct kn_vars *vars, uintptr_t name)
{
	struct kn_task *task;
	uint32_t index;

	kn_tasks_attach(loop);
	task = kn_slab_alloc(&loop->tasks, &index);
	if (kn_unlikely(!task))
		return NULL;
	kn_objects_added(loop);
	init(task, loop, index, coro, options);
	task->future.refs = 1 + references;
	task->current.vars = vars;
	task->name = name ? name : next_number(loop) << 1 | 1;
	kn_list_add_tail(&loop->all_tasks, &task->link);
	kn_loop_ready(loop, &task->place.ready);
	return task;
}

/* Is there anything about a task that most have not? */
static inline bool is_special(const struct knit_loop *loop, const knit_task_options *options)
{
	return (uintptr_t)options->name | (uintptr_t)options->context |
	       (unsigned)options->eager_start | options->stack_private | loop->no_plain_task;
}

/* Such a task, without asking the factory. */
static struct kn_task *make_special(struct knit_loop *loop, knit_coro *coro,
                                    const knit_task_options *options, unsigned references,
                                    int *error)
{
	int eager = starts_eagerly(loop, options);
	struct kn_task *task = NULL;
	struct kn_vars *vars = NULL;
	char *name = NULL;

	*error = may_create(loop, coro);
	if (*error == 0 && eager < 0)
		*error = eager;
	if (*error == 0 && options->context)
		*error = kn_vars_take(options->context, &vars);
	else if (*error == 0)
		vars = kn_vars_capture();
	if (*error < 0)
		return NULL;
	if (options->name)
		name = kn_strdup(options->name);
	if (name || !options->name)
		task = make(loop, coro, options, references, vars, (uintptr_t)name);
	if (!task) {
		kn_vars_release(vars);
		kn_free(name);
		*error = -ENOMEM;
		return NULL;
	}
	task->eager = eager;
	task->taken = !loop->in_factory;
	task->stack_private = options->stack_private != 0;
	return task;
}

static KN_COLD struct kn_task *create_special(struct knit_loop *loop, knit_coro *coro,
                                              const knit_task_options *options, unsigned references,
                                              int *error)
{
	if (loop->task_factory && !loop->in_factory && coro)
		return kn_task_from_factory(loop, coro, options, references, error);
	return make_special(loop, coro, options, references, error);
}

static KN_INLINE struct kn_task *create(struct knit_loop *loop, knit_coro *coro,
                                        const knit_task_options *options, unsigned references,
                                        int *error)
{
	struct kn_vars *vars;
	struct kn_task *task;

	if (kn_unlikely(kn_loop_check(loop) < 0)) {
		*error = -KNIT_EWRONGTHREAD;
		return NULL;
	}
	if (kn_unlikely(is_special(loop, options)))
		return create_special(loop, coro, options, references, error);
	*error = may_create(loop, coro);
	if (kn_unlikely(*error < 0))
		return NULL;
	vars = kn_vars_capture();
	task = make(loop, coro, options, references, vars, 0);
	if (kn_unlikely(!task)) {
		kn_vars_release(vars);
		*error = -ENOMEM;
	}
	return task;
}

struct kn_task *kn_task_create(struct knit_loop *loop, knit_coro *coro,
                               const knit_task_options *options, unsigned references, int *error)
{
	return create(loop, coro, options, references, error);
}

/* The options that the caller gave; NULL and why. */
static inline const knit_task_options *check_call(const struct knit_loop *loop,
                                                  const knit_task_options *given,
                                                  knit_task_options *room, int *error)
{
	const knit_task_options *options = kn_options_read(room, sizeof(*room), given, error);

	if (kn_likely(options && loop))
		return options;
	if (options)
		*error = -KNIT_ENOLOOP;
	return NULL;
}

knit_task *knit_task_new(knit_loop *loop, knit_coro *coro, const knit_task_options *given)
{
	const knit_task_options *options;
	knit_task_options room;
	struct kn_task *task = NULL;
	int error = 0;

	options = kn_options_read(&room, sizeof(room), given, &error);
	loop = kn_loop_or_running(loop);
	if (options && !loop)
		error = -KNIT_ENOLOOP;
	else if (options && kn_loop_check(loop) < 0)
		error = coro ? -KNIT_EWRONGTHREAD : -EINVAL;
	if (error == 0)
		task = make_special(loop, coro, options, 1, &error);
	if (!task) {
		kn_self.create_error = -error;
		return NULL;
	}
	if (!loop->in_factory)
		kn_task_hurry(task);
	return &task->future;
}

/* Has a copy of the work, not a call: it is what creates most tasks. */
knit_task *knit_create_task_with(knit_coro *coro, const knit_task_options *given)
{
	struct knit_loop *loop = kn_self.loop;
	const knit_task_options *options;
	struct kn_task *task = NULL;
	knit_task_options room;
	int error;

	options = check_call(loop, given, &room, &error);
	if (kn_likely(options != NULL))
		task = create(loop, coro, options, 1, &error);
	if (kn_unlikely(!task)) {
		kn_self.create_error = -error;
		return NULL;
	}
	kn_task_hurry(task);
	return &task->future;
}

knit_task *knit_loop_create_task_with(knit_loop *loop, knit_coro *coro,
                                      const knit_task_options *given)
{
	const knit_task_options *options;
	struct kn_task *task = NULL;
	knit_task_options room;
	int error;

	options = check_call(loop, given, &room, &error);
	if (options)
		task = kn_task_create(loop, coro, options, 1, &error);
	if (!task) {
		kn_self.create_error = -error;
		return NULL;
	}
	kn_task_hurry(task);
	return &task->future;
}

int knit_spawn_with(knit_coro *coro, const knit_task_options *given)
{
	const knit_task_options *options;
	struct kn_task *task = NULL;
	knit_task_options room;
	int error;

	options = check_call(kn_self.loop, given, &room, &error);
	if (options)
		task = kn_task_create(kn_self.loop, coro, options, 0, &error);
	if (!task)
		return kn_fail(error);
	kn_task_hurry(task);
	return 0;
}

knit_task *(knit_create_task)(knit_coro *coro, void *arg)
{
	return knit_create_task(coro, arg);
}

knit_task *(knit_loop_create_task)(knit_loop *loop, knit_coro *coro, void *arg)
{
	return knit_loop_create_task(loop, coro, arg);
}

int(knit_spawn)(knit_coro *coro, void *arg)
{
	return knit_spawn(coro, arg);
}

/* ---- asking -------------------------------------------------------------------------- */

/* A name is one word: a text of the task's own, or, until somebody asks for it, a number and a
 * lowest bit that no address of a text has. */

const char *kn_task_name_text(const struct kn_task *task)
{
	return task->name & 1 ? NULL : (const char *)task->name;
}

uint64_t kn_task_number(const struct kn_task *task)
{
	return task->name >> 1;
}

void kn_task_free_name(struct kn_task *task)
{
	if (!(task->name & 1))
		kn_free((void *)task->name);
}

int knit_task_set_name(knit_task *future, const char *name)
{
	int r = kn_future_check(future);
	char *copy;

	if (r < 0)
		return r;
	if (!future->is_task || !name)
		return -EINVAL;
	copy = kn_strdup(name);
	if (!copy)
		return -ENOMEM;
	kn_task_free_name(kn_task_of(future));
	kn_task_of(future)->name = (uintptr_t)copy;
	return 0;
}

/* A default name is made when somebody asks for it, and then kept. */
const char *knit_task_get_name(const knit_task *future)
{
	struct kn_task *task;
	char name[32], *copy;

	kn_future_demand(future, __func__);
	if (!future->is_task)
		return "future";
	task = kn_task_of((knit_future *)future);
	if (task->name & 1) {
		snprintf(name, sizeof(name), "Task-%llu", (unsigned long long)kn_task_number(task));
		copy = kn_strdup(name);
		if (!copy)
			return "Task";
		task->name = (uintptr_t)copy;
	}
	return kn_task_name_text(task);
}

knit_coro *knit_task_get_coro(const knit_task *future)
{
	kn_future_demand(future, __func__);
	return future->is_task ? kn_task_of((knit_future *)future)->coro : NULL;
}

size_t knit_task_stack_high_water(const knit_task *future)
{
	const struct kn_task *task;

	kn_future_demand(future, __func__);
	task = kn_task_of((knit_future *)future);
	if (!future->is_task || !task->fiber.stack)
		return 0;
	return kn_stack_high_water(task->fiber.stack);
}

knit_task *knit_current_task(const knit_loop *loop)
{
	return !loop || loop == kn_self.loop ? kn_self.task : NULL;
}

size_t knit_all_tasks(const knit_loop *loop, knit_task **tasks, size_t room)
{
	size_t count = 0;

	if (!loop)
		loop = kn_self.loop;
	if (!loop)
		return 0;
	kn_loop_demand(loop, __func__);
	kn_list_for_each (node, &loop->all_tasks) {
		struct kn_task *task = kn_list_entry(node, struct kn_task, link);

		if (count++ < room)
			tasks[count - 1] = knit_future_ref(&task->future);
	}
	return count;
}
