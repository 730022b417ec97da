/* SPDX-License-Identifier: MIT */
/* step.c - running the steps of tasks: from the loop to a task, from one to the next, and back.
 *
 * A task gets its stack at its first step and gives it back when its coroutine has returned, so
 * tasks that wait to start cost no stack, and a hundred thousand short ones share a few.
 *
 * A task that suspends does not go back to the loop if the next thing in line is a step of a task:
 * it switches there. That saves one switch of two, and the returns that follow are predicted,
 * since both sides were suspended by the same calls. If nothing but the ready list asks for
 * anything, it even begins the next pass, whose first step may be its own. All else - callbacks,
 * the engine, timers, what other threads posted, the end of a task - happens on the loop's own
 * stack, which is as large as user code may expect. The order is the same either way.
 *
 * The first step of an eager task runs inside of the call that created it, on a stack of its own,
 * so only memory bounds how deep such calls nest. It suspends to its creator, whoever is next in
 * line; from then on it is a task as any other. loop->indirect tells a suspending task that there
 * is such a step, or debug mode: one branch for both. */
#include "task/task.h"
#include <stdio.h>
#include <string.h>

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
	kn_fiber_exit(&task->fiber, task->starter ? task->starter : &task->future.loop->fiber);
}

/* False: the task cannot start: a request to cancel it came first, or there is no stack. */
static bool prepare(struct kn_task *task)
{
	struct knit_loop *loop = task->future.loop;
	struct kn_stack *stack;

	if (kn_unlikely(task->must_cancel))
		return false;
	if (kn_unlikely(!loop->stacks))
		loop->stacks = kn_stack_pool_new(loop->stack_size, loop->paint, KN_GUARD_BEST);
	stack = loop->stacks ? kn_stack_get(loop->stacks, task->stack_size) : NULL;
	if (kn_unlikely(!stack))
		return false;
	task->started = true;
	kn_fiber_init(&task->fiber, stack, task_main, task);
	return true;
}

/* The coroutine has returned, or will never be resumed again (a closing loop lost patience). */
static void end(struct kn_task *task)
{
	struct knit_loop *loop = task->future.loop;

	if (kn_likely(task->returned)) {
		if (kn_unlikely(task->scope))
			kn_panic("the coroutine of the task '%s' returned inside a timeout, cancel "
			         "scope or task group; leave it on every path",
			         knit_task_get_name(&task->future));
		kn_stack_put(loop->stacks, task->fiber.stack);
		task->fiber.stack = NULL;
		kn_task_finish(task, task->wake_outcome);
	} else {
		kn_fiber_abandon(&task->fiber);
		loop->abandoned++;
		kn_task_finish(task, -KNIT_ECLOSED);
	}
}

/* Makes @task the one that the thread is told to run. */
static inline void set_running(struct kn_task *task)
{
	struct kn_thread *self = &kn_self;

	self->task = &task->future;
	self->message = &task->current.record;
	kn_overflow_set_current(task->fiber.stack);
}

void kn_task_step(struct kn_ready *ready)
{
	struct kn_task *task = kn_container_of(ready, struct kn_task, ready);
	struct kn_thread *self = &kn_self;

	if (kn_unlikely(!task->started) && !prepare(task)) {
		kn_task_finish(task, task->must_cancel ? -KNIT_ECANCELLED : -ENOMEM);
		return;
	}
	set_running(task);
	kn_fiber_switch(&task->future.loop->fiber, &task->fiber);
	/* A child of a fork() that the task made: the loop is the parent's. */
	if (kn_unlikely(!self->task))
		return;
	/* Perhaps another one came back than the one that left. */
	task = kn_task_of(self->task);
	kn_overflow_set_current(NULL);
	self->task = NULL;
	self->message = NULL;
	if (kn_unlikely(task->returned || task->refused > KN_REFUSALS_MAX))
		end(task);
}

/* ---- eager first steps --------------------------------------------------------------- */

void kn_task_start(struct kn_task *task)
{
	struct kn_thread *self = &kn_self, creator = *self;
	struct knit_loop *loop = task->future.loop;
	struct kn_task *outer = creator.task ? kn_task_of(creator.task) : NULL;
	struct kn_fiber *fiber = outer ? &outer->fiber : &loop->fiber;
	bool in_factory = loop->in_factory;

	kn_list_del(&task->ready.link);
	task->eager = false;
	if (kn_unlikely(!prepare(task))) {
		kn_task_finish(task, task->must_cancel ? -KNIT_ECANCELLED : -ENOMEM);
		return;
	}
	task->starter = fiber;
	loop->indirect += 2;
	loop->in_factory = false;
	self->vars = NULL;
	set_running(task);
	kn_fiber_switch(fiber, &task->fiber);
	/* A child of a fork() that the task made: it is nobody's task. */
	if (kn_unlikely(!self->task))
		return;
	task->starter = NULL;
	loop->indirect -= 2;
	loop->in_factory = in_factory;
	kn_overflow_set_current(NULL);
	self->task = NULL;
	self->message = NULL;
	if (task->returned)
		end(task);
	kn_overflow_set_current(outer ? outer->fiber.stack : NULL);
	self->task = creator.task;
	self->message = creator.message;
	self->vars = creator.vars;
}

/* ---- from one task to the next --------------------------------------------------------- */

/* The task whose step is next in line, out of the line and with a stack; NULL if something else is
 * next. */
static inline struct kn_task *take_next(struct knit_loop *loop)
{
	struct kn_ready *ready;
	struct kn_task *task;

	if (kn_list_empty(&loop->batch) && !kn_loop_next_pass(loop))
		return NULL;
	ready = kn_list_entry(loop->batch.next, struct kn_ready, link);
	if (ready->run != kn_task_step)
		return NULL;
	task = kn_container_of(ready, struct kn_task, ready);
	if (kn_unlikely(!task->started) && !prepare(task))
		return NULL; /* the loop ends it */
	kn_list_del(&ready->link);
	return task;
}

/* Debug mode: one that was told to end and goes on waiting may never end. What the library makes it
 * wait for in its cleaning up is no fault: the children of a group, a descriptor that is closed. */
static void watch_cancellation(struct kn_task *task)
{
	char created[KN_ORIGIN_TEXT];
	knit_exception_context context = {
	        .message = "Task was cancelled, and suspends again without knit_task_uncancel()",
	        .future = &task->future,
	};

	if (task->cancelling <= task->requests + task->held ||
	    task->deliveries == task->told_deliveries || (task->wait && task->wait->stays))
		return;
	task->told_deliveries = task->deliveries;
	context.name = knit_task_get_name(&task->future);
	context.created = kn_origin_print(task->future.origin, created, sizeof(created));
	kn_loop_report(task->future.loop, &context);
}

/* To the creator, or in debug mode always to the loop, which measures each step. */
static KN_COLD void leave_indirect(struct kn_task *task)
{
	struct knit_loop *loop = task->future.loop;

	if (loop->debug)
		watch_cancellation(task);
	kn_fiber_switch(&task->fiber, task->starter ? task->starter : &loop->fiber);
}

void kn_task_leave(struct kn_task *task)
{
	struct knit_loop *loop = task->future.loop;
	struct kn_task *next;

	if (kn_unlikely(loop->indirect)) {
		leave_indirect(task);
		return;
	}
	next = take_next(loop);
	if (next == task)
		return;
	if (next) {
		set_running(next);
		kn_fiber_switch(&task->fiber, &next->fiber);
	} else {
		kn_fiber_switch(&task->fiber, &loop->fiber);
	}
}

/* ---- debug mode ---------------------------------------------------------------------- */

bool kn_task_describe(struct kn_ready *ready, struct kn_subject *subject)
{
	struct kn_task *task = kn_container_of(ready, struct kn_task, ready);

	if (ready->run != kn_task_step)
		return false;
	snprintf(subject->what, sizeof(subject->what), "task '%s'",
	         knit_task_get_name(&task->future));
	subject->origin = kn_origin_ref(task->future.origin);
	return true;
}
