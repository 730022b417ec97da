/* SPDX-License-Identifier: MIT */
/* event.c - a flag to wait for. Setting it wakes everybody; nobody takes anything away. */
#include "sync/waiters.h"
#include "knit/sync.h"

struct event {
	uint32_t loop_id;
	bool set;
	struct kn_waiters waiters;
};

_Static_assert(sizeof(struct event) <= sizeof(knit_event), "the storage is too small");

static struct event *event_of(knit_event *event)
{
	return (struct event *)event;
}

static int check(struct event *event)
{
	if (kn_unlikely(!event))
		return kn_fail(-EINVAL);
	return kn_sync_check(&event->loop_id, &event->waiters, 1);
}

/* The others have been told by the same knit_event_set(). */
static void nothing_to_pass_on(void *event)
{
	(void)event;
}

int knit_event_init(knit_event *event)
{
	if (!event)
		return kn_fail(-EINVAL);
	*event_of(event) = (struct event){.set = false};
	return 0;
}

int knit_event_destroy(knit_event *event)
{
	int r = check(event_of(event));

	if (r < 0)
		return r;
	if (kn_waiters_any(&event_of(event)->waiters))
		return kn_fail(-EBUSY);
	return knit_event_init(event);
}

int knit_event_set(knit_event *event)
{
	int r = check(event_of(event));

	if (kn_unlikely(r < 0))
		return r;
	event_of(event)->set = true;
	kn_waiters_wake_all(&event_of(event)->waiters);
	return 0;
}

int knit_event_clear(knit_event *event)
{
	int r = check(event_of(event));

	if (kn_unlikely(r < 0))
		return r;
	event_of(event)->set = false;
	return 0;
}

bool knit_event_is_set(knit_event *event)
{
	int r = check(event_of(event));

	if (kn_unlikely(r < 0))
		kn_sync_foreign(__func__, r);
	return event_of(event)->set;
}

int knit_event_wait(knit_event *object)
{
	struct event *event = event_of(object);
	struct kn_task *task;
	int r = check(event);

	if (kn_unlikely(r < 0))
		return r;
	if (kn_unlikely(!kn_self.task))
		return kn_fail(-KNIT_ENOTASK);
	if (event->set)
		return 0;
	task = kn_task_current(&r);
	if (kn_unlikely(!task))
		return kn_fail(r);
	return kn_waiters_wait(&event->waiters, task, nothing_to_pass_on, event);
}
