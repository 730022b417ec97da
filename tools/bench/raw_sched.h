/* SPDX-License-Identifier: MIT */
/* raw_sched.h - a first-in-first-out scheduler on the bare switch, for one thread.
 *
 * A task that parks switches straight to the next ready one: there is no loop to come
 * back to. The thread itself is a task too. Parking with nothing ready is a mistake of the
 * caller. */
#ifndef BENCH_RAW_SCHED_H
#define BENCH_RAW_SCHED_H
#include "raw.h"

struct raw_task {
	void *context;
	struct raw_task *next; /* in the ready queue or the list of free tasks */
	struct raw_task *joiner;
	void (*function)(void *);
	void *argument;
	int is_done;
};

struct raw_sched {
	struct raw_task thread; /* the task that main() runs in */
	struct raw_task *current, *head, **tail, *free;
};

extern struct raw_sched raw_sched;

static inline void raw_ready(struct raw_task *task)
{
	task->next = NULL;
	*raw_sched.tail = task;
	raw_sched.tail = &task->next;
}

static inline void raw_park(void)
{
	struct raw_task *self = raw_sched.current, *next = raw_sched.head;

	raw_sched.head = next->next;
	if (!raw_sched.head)
		raw_sched.tail = &raw_sched.head;
	if (next == self)
		return;
	raw_sched.current = next;
	raw_switch(&self->context, next->context);
}

static inline void raw_yield(void)
{
	raw_ready(raw_sched.current);
	raw_park();
}

/* From now on new stacks are carved 64 to a mapping, with tops shifted by 0 .. 31 cache
 * lines, so that the hot lines of many tasks do not all fall into the same cache sets.
 * Without it each stack is a mapping of its own. */
void raw_colour_stacks(void);

/* From now on the lowest page of each new stack faults when it is touched: by MADV_GUARD_INSTALL
 * where the kernel has it, else by mprotect(), which splits mappings. False if that would be more
 * of them than the kernel allows for @stacks stacks. */
bool raw_guard_stacks(long stacks);

/* The task is ready, and runs when its turn comes. Those that were joined are used again. */
struct raw_task *raw_spawn(void (*function)(void *), void *argument);

/* Waits for its end and frees it. */
void raw_join(struct raw_task *task);

#endif
