/* SPDX-License-Identifier: MIT */
/* task.c - creating a task, running its steps, and ending it.
 *
 * A task gets its stack at its first step and gives it back when its coroutine has returned, so
 * tasks that wait to start cost no stack, and a hundred thousand short ones share a few. */
#include "task/task.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include "base/alloc.h"
#include "base/options.h"

#define NUMBERS_A_BLOCK 256 /* task numbers that a loop takes at once */

/* ---- the name of a task whose stack overflows ----------------------------------- */

/* Runs in a signal handler, on whatever the overflow left: reads memory, and no more. */
static void name_running_task(char *buffer, size_t size)
{
	const struct kn_task *task = kn_task_of(kn_self.task);
	char digits[24], *digit = digits + sizeof(digits) - 1;
	uint64_t number;

	buffer[0] = '\0';
	if (!kn_self.task)
		return;
	if (task->name) {
		strncat(buffer, task->name, size - 1);
		return;
	}
	*digit = '\0';
	number = task->number;
	do
		*--digit = (char)('0' + number % 10);
	while (number /= 10);
	strncat(buffer, "Task-", size - 1);
	strncat(buffer, digit, size - 1 - strlen(buffer));
}

void kn_task_name_overflows(void)
{
	kn_overflow_set_namer(name_running_task);
}

/* ---- steps --------------------------------------------------------------------------- */

static void task_main(void *arg)
{
	struct kn_task *task = arg;

	task->wake_outcome = task->coro(task->arg);
	task->returned = true;
	kn_fiber_exit(&task->fiber, &task->future.loop->fiber);
}

/* False: the task is over without having run. */
static bool task_start(struct kn_task *task)
{
	struct knit_loop *loop = task->future.loop;
	struct kn_stack *stack;

	if (kn_unlikely(task->must_cancel)) {
		kn_task_finish(task, -KNIT_ECANCELLED);
		return false;
	}
	if (kn_unlikely(!loop->stacks))
		loop->stacks = kn_stack_pool_new(loop->stack_size, loop->paint, KN_GUARD_BEST);
	stack = loop->stacks ? kn_stack_get(loop->stacks, task->stack_size) : NULL;
	if (kn_unlikely(!stack)) {
		kn_task_finish(task, -ENOMEM);
		return false;
	}
	task->started = true;
	kn_fiber_init(&task->fiber, stack, task_main, task);
	return true;
}

/* The coroutine has returned, or will never be resumed again (a closing loop lost patience). */
static void task_end(struct kn_task *task)
{
	struct knit_loop *loop = task->future.loop;

	if (kn_likely(task->returned)) {
		kn_stack_put(loop->stacks, task->fiber.stack);
		task->fiber.stack = NULL;
		kn_task_finish(task, task->wake_outcome);
	} else {
		kn_fiber_abandon(&task->fiber);
		loop->abandoned++;
		kn_task_finish(task, -KNIT_ECLOSED);
	}
}

static void task_step(struct kn_ready *ready)
{
	struct kn_task *task = kn_container_of(ready, struct kn_task, ready);
	struct kn_thread *self = &kn_self;

	if (kn_unlikely(!task->started) && !task_start(task))
		return;
	self->task = &task->future;
	self->message = &task->record;
	kn_overflow_set_current(task->fiber.stack);
	kn_fiber_switch(&task->future.loop->fiber, &task->fiber);
	kn_overflow_set_current(NULL);
	self->task = NULL;
	self->message = NULL;
	if (kn_unlikely(task->returned || task->refused > KN_REFUSALS_MAX))
		task_end(task);
}

/* ---- the end ------------------------------------------------------------------------- */

/* The text that goes with @outcome, with a reference for the future. */
static struct kn_message *message_of(struct kn_task *task, intptr_t outcome)
{
	if (outcome == -KNIT_ECANCELLED && task->must_cancel)
		return kn_message_ref(task->cancel_message);
	if (knit_is_error(outcome) && task->record && task->record->code == -outcome)
		return kn_message_ref(task->record);
	return NULL;
}

void kn_task_finish(struct kn_task *task, intptr_t outcome)
{
	void (*arg_free)(void *) = task->arg_free;

	/* Cancelled, and returned without suspending again: the request is honoured and the value
	 * lost (rule 89); an error wins over it (rule 90). */
	if (kn_unlikely(task->must_cancel) && !knit_is_error(outcome)) {
		if (task->future.result_free)
			task->future.result_free(outcome);
		outcome = -KNIT_ECANCELLED;
	}
	kn_list_del(&task->link);
	if (arg_free)
		arg_free(task->arg);
	kn_future_complete(&task->future, outcome, message_of(task, outcome));
	task->must_cancel = false;
	kn_future_release(&task->future);
}

/* ---- creating ------------------------------------------------------------------------ */

/* Numbers are unique in the process; a loop takes them by the block, so that loops do not fight
 * for one cache line. */
static uint64_t next_number(struct knit_loop *loop)
{
	static atomic_uint_fast64_t next = 1;

	if (kn_unlikely(loop->task_number == loop->task_number_end)) {
		loop->task_number = atomic_fetch_add_explicit(&next, NUMBERS_A_BLOCK,
		                                              memory_order_relaxed);
		loop->task_number_end = loop->task_number + NUMBERS_A_BLOCK;
	}
	return loop->task_number++;
}

struct kn_task *kn_task_create(struct knit_loop *loop, knit_coro *coro,
                               const knit_task_options *options, unsigned references, int *error)
{
	struct kn_task *task;
	char *name = NULL;

	*error = coro ? kn_loop_usable(loop) : -EINVAL;
	if (kn_unlikely(*error < 0))
		return NULL;
	*error = -ENOMEM;
	if (kn_unlikely(options->name != NULL)) {
		name = kn_strdup(options->name);
		if (!name)
			return NULL;
	}
	task = kn_task_alloc(loop);
	if (kn_unlikely(!task)) {
		kn_free(name);
		return NULL;
	}
	*error = 0;
	task->future.refs = 1 + references;
	task->future.result_free = options->result_free;
	task->ready.run = task_step;
	task->coro = coro;
	task->arg = options->arg;
	task->arg_free = options->arg_free;
	task->stack_size = options->stack_size;
	task->name = name;
	task->number = next_number(loop);
	kn_list_add_tail(&loop->all_tasks, &task->link);
	kn_loop_ready(loop, &task->ready);
	return task;
}

static struct kn_task *create(knit_loop *loop, knit_coro *coro, const knit_task_options *given,
                              unsigned references, int *error)
{
	knit_task_options options;

	*error = kn_options_copy(&options, sizeof(options), given);
	if (*error == 0 && !loop)
		*error = -KNIT_ENOLOOP;
	return *error < 0 ? NULL : kn_task_create(loop, coro, &options, references, error);
}

knit_task *knit_loop_create_task_with(knit_loop *loop, knit_coro *coro,
                                      const knit_task_options *options)
{
	int error;
	struct kn_task *task = create(loop, coro, options, 1, &error);

	if (kn_likely(task != NULL))
		return &task->future;
	kn_self.create_error = -error;
	return NULL;
}

knit_task *knit_create_task_with(knit_coro *coro, const knit_task_options *options)
{
	return knit_loop_create_task_with(kn_self.loop, coro, options);
}

int knit_spawn_with(knit_coro *coro, const knit_task_options *options)
{
	int error;

	(void)create(kn_self.loop, coro, options, 0, &error);
	return error;
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

/* ---- asking
 * -------------------------------------------------------------------------------------- */

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
	kn_free(kn_task_of(future)->name);
	kn_task_of(future)->name = copy;
	return 0;
}

/* A default name is made when somebody asks for it, and then kept. */
const char *knit_task_get_name(const knit_task *future)
{
	struct kn_task *task;
	char name[32];

	kn_future_demand(future, __func__);
	if (!future->is_task)
		return "future";
	task = kn_task_of((knit_future *)future);
	if (!task->name) {
		snprintf(name, sizeof(name), "Task-%llu", (unsigned long long)task->number);
		task->name = kn_strdup(name);
	}
	return task->name ? task->name : "Task";
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
