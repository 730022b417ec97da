/* SPDX-License-Identifier: MIT */
/* step.c - running the steps of tasks: from the loop to a task, from one to the next, and back.
 *
 * A task gets its stack at its first step and gives it back when its coroutine has returned, so
 * tasks that wait to start cost no stack, and a hundred thousand short ones share a few.
 *
 * A task that suspends does not go back to the loop if the next thing in line is a step of a task:
 * it switches there. That saves one switch of two, and the returns that follow are predicted,
 * since both sides were suspended by the same calls. If nothing but the ready list asks for
 * anything, it even begins the next pass, whose first step may be its own. A task that ends does so
 * too, once it has ended itself on its own stack, if no code of the program is to be called for it:
 * spawning and awaiting a short task takes two switches, not four. All else - callbacks, the
 * engine, timers, what other threads posted, failures - happens on the loop's own stack, which is
 * as large as user code may expect. The order is the same either way.
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
	if (kn_task_name_text(task)) {
		strncat(buffer, kn_task_name_text(task), size - 1);
		return;
	}
	*digit = '\0';
	number = kn_task_number(task);
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

/* An eager first step under way, in the frame of its creator. */
struct kn_start {
	struct kn_task *task;
	struct kn_fiber *creator;
	struct kn_start *outer;
};

/* Where a task goes that does not go on to the next: to its creator during an eager first step. */
static inline struct kn_fiber *way_back(const struct kn_task *task)
{
	const struct kn_start *start = task->future.loop->start;

	return kn_unlikely(start && start->task == task) ? start->creator
	                                                 : &task->future.loop->fiber;
}

static void task_main(void *arg);

/* False: the task cannot start: a request to cancel it came first, or there is no stack. */
static inline bool prepare(struct kn_task *task)
{
	struct knit_loop *loop = task->future.loop;
	struct kn_stack *stack;

	if (kn_unlikely(task->must_cancel))
		return false;
	if (kn_unlikely(!loop->stacks)) {
		loop->stacks = kn_stack_pool_new(loop->stack_size, loop->paint, KN_GUARD_BEST);
		/* Painting would begin with the frames of the task that ends. */
		loop->ends_on_loop = !kn_fiber_exits_in_place() || loop->paint;
	}
	stack = loop->stacks ? kn_stack_get_quickly(loop->stacks, task->stack_size) : NULL;
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
		kn_stack_put_quickly(loop->stacks, task->fiber.stack);
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

KN_HOT void kn_task_step(struct kn_ready *ready)
{
	struct kn_task *task = kn_container_of(ready, struct kn_task, place.ready);
	struct kn_thread *self = &kn_self;

	if (kn_unlikely(!task->started) && !prepare(task)) {
		kn_task_finish(task, task->must_cancel ? -KNIT_ECANCELLED : -ENOMEM);
		return;
	}
	kn_task_need_stack(task);
	set_running(task);
	kn_fiber_switch(&task->future.loop->fiber, &task->fiber);
	/* One that ended came back; or a child of a fork() did, and the loop is the parent's. */
	if (!self->task)
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
	struct kn_start start = {
	        .task = task,
	        .creator = outer ? &outer->fiber : &loop->fiber,
	        .outer = loop->start,
	};
	bool in_factory = loop->in_factory;

	kn_list_del(&task->place.ready.link);
	task->eager = false;
	if (kn_unlikely(!prepare(task))) {
		kn_task_finish(task, task->must_cancel ? -KNIT_ECANCELLED : -ENOMEM);
		return;
	}
	loop->start = &start;
	loop->indirect += 2;
	loop->in_factory = false;
	self->vars = NULL;
	set_running(task);
	kn_fiber_switch(start.creator, &task->fiber);
	/* A child of a fork() that the task made: it is nobody's task. */
	if (kn_unlikely(!self->task))
		return;
	loop->start = start.outer;
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

/* The task whose step @link is, with a stack; NULL if it is something else, or cannot start. */
static inline struct kn_task *task_at(struct kn_list *link)
{
	struct kn_ready *ready = kn_list_entry(link, struct kn_ready, link);
	struct kn_task *task = kn_container_of(ready, struct kn_task, place.ready);

	if (ready->run != kn_task_step)
		return NULL;
	if (kn_unlikely(!task->started) && !prepare(task))
		return NULL; /* the loop ends it */
	kn_task_need_stack(task);
	return task;
}

/* The task whose step is next in line, out of the line; NULL if something else is next. */
static KN_INLINE struct kn_task *take_next(struct knit_loop *loop)
{
	bool new_pass = kn_list_empty(&loop->batch);
	struct kn_task *task;

	if (new_pass) {
		if (!kn_loop_has_plain_pass(loop))
			return NULL;
		kn_loop_begin_pass(loop);
	}
	task = task_at(new_pass ? loop->ready.next : loop->batch.next);
	if (kn_unlikely(!task)) {
		if (new_pass)
			kn_list_move(&loop->batch, &loop->ready);
		return NULL;
	}
	if (new_pass)
		kn_list_pop_move(&loop->batch, &loop->ready);
	else
		kn_list_pop(&loop->batch);
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

	if (task->cancelling <= task->requests + task->held || !task->untold ||
	    (task->wait && task->wait->stays))
		return;
	task->untold = false;
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
	kn_fiber_switch(&task->fiber, way_back(task));
}

/* Can the end of @task be dealt with on its own stack? Only if nobody else's code may run: what
 * ends with a failure, or calls something, does so on the loop's stack. */
static inline bool ends_quietly(const struct kn_task *task)
{
	const struct knit_loop *loop = task->future.loop;

	return !loop->no_plain_task && loop->phase == KN_OPEN && kn_self.task == &task->future &&
	       !task->must_cancel &&
	       !((uintptr_t)task->scope | (uintptr_t)task->group | (uintptr_t)task->arg_free |
	         (uintptr_t)task->future.result_free | (uintptr_t)task->current.vars) &&
	       !knit_is_error(task->wake_outcome);
}

/* Ends @task, which may be freed by it, and goes on with whatever is next in line: that may well
 * start on the stack that has become free here. */
KN_NORETURN static void end_in_place(struct kn_task *task)
{
	struct knit_loop *loop = task->future.loop;
	struct kn_stack *stack = task->fiber.stack;
	struct kn_fiber ended = task->fiber;

	kn_self.task = NULL;
	kn_self.message = NULL;
	task->fiber.stack = NULL;
	/* As kn_task_finish(), of which nothing else is left. */
	kn_list_del(&task->link);
	kn_future_settle(&task->future, KN_FINISHED, task->wake_outcome, NULL);
	kn_future_release(&task->future);
	kn_stack_put_quickly(loop->stacks, stack);
	task = take_next(loop);
	if (task) {
		set_running(task);
		kn_fiber_exit(&ended, &task->fiber);
	}
	kn_overflow_set_current(NULL);
	kn_fiber_exit(&ended, &loop->fiber);
}

static void task_main(void *arg)
{
	struct kn_task *task = arg;

	task->wake_outcome = task->coro(task->arg);
	task->returned = true;
	if (kn_likely(ends_quietly(task)))
		end_in_place(task);
	kn_fiber_exit(&task->fiber, way_back(task));
}

KN_HOT void kn_task_leave(struct kn_task *task)
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
	struct kn_task *task = kn_container_of(ready, struct kn_task, place.ready);

	if (ready->run != kn_task_step)
		return false;
	snprintf(subject->what, sizeof(subject->what), "task '%s'",
	         knit_task_get_name(&task->future));
	subject->origin = kn_origin_ref(task->future.origin);
	return true;
}
