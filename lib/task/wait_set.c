/* SPDX-License-Identifier: MIT */
/* wait_set.c - futures of which one after the other is taken as they complete: see wait_set.h.
 *
 * A member is a waiter of its future. A pass after its completion, as a done-callback is, it is
 * handed to the task that has waited longest, or becomes due. Adding, removing and taking touch
 * that one member and the table by which it is found, whatever the number of the others.
 *
 * A member that was handed over stays in the set until its task goes on and takes it; if the task
 * was cancelled meanwhile, the member goes to the next one, or back to the head of the line. A task
 * that waits for a set which becomes empty is woken with nothing. */
#include "task/wait_set.h"
#include "base/alloc.h"

#define MAGIC      0x6b6e697477736574u /* "knitwset" */
#define FIRST_ROOM 16

/* A task in kn_wait_set_next(), in its frame. */
struct kn_taker {
	struct kn_wait wait;
	struct kn_list link; /* set->waiting */
	struct kn_task *task;
	struct kn_member *given; /* by whoever woke it; NULL: look again */
};

static uint64_t magic_of(const struct kn_wait_set *set)
{
	return MAGIC ^ (uintptr_t)set;
}

int kn_wait_set_check(const struct kn_wait_set *set)
{
	if (kn_unlikely(!set || set->magic != magic_of(set)))
		return kn_fail(-EINVAL);
	return kn_likely(kn_loop_check(set->loop) == 0) ? 0 : kn_fail(-KNIT_EWRONGTHREAD);
}

int kn_wait_set_init(struct kn_wait_set *set)
{
	if (!kn_self.loop)
		return kn_fail(-KNIT_ENOLOOP);
	*set = (struct kn_wait_set){.magic = magic_of(set), .loop = kn_self.loop};
	kn_list_init(&set->due);
	kn_list_init(&set->waiting);
	return 0;
}

/* ---- the table ----------------------------------------------------------------------- */

static size_t home_of(const struct kn_wait_set *set, const knit_future *future)
{
	uint64_t hash = ((uintptr_t)future >> 4) * 0x9e3779b97f4a7c15u;

	return (size_t)(hash >> 32) & (set->room - 1);
}

/* The slot of @future, or the free one where it would go. There is always a free one. */
static size_t slot_of(const struct kn_wait_set *set, const knit_future *future)
{
	size_t slot = home_of(set, future);

	while (set->table[slot] && set->table[slot]->future != future)
		slot = (slot + 1) & (set->room - 1);
	return slot;
}

/* At most half of it is in use, so that searches stay short. */
static int make_room(struct kn_wait_set *set)
{
	struct kn_member **old = set->table;
	size_t old_room = set->room;

	if (kn_likely(set->count < old_room / 2))
		return 0;
	set->room = old_room ? old_room * 2 : FIRST_ROOM;
	set->table = kn_calloc(set->room, sizeof(struct kn_member *));
	if (!set->table) {
		set->table = old;
		set->room = old_room;
		return kn_fail(-ENOMEM);
	}
	for (size_t i = 0; i < old_room; i++)
		if (old[i])
			set->table[slot_of(set, old[i]->future)] = old[i];
	kn_free(old);
	return 0;
}

/* Empties a slot, and moves up those behind it that are not at home where they are. */
static void empty_slot(struct kn_wait_set *set, size_t slot)
{
	size_t mask = set->room - 1;

	for (size_t i = (slot + 1) & mask; set->table[i]; i = (i + 1) & mask) {
		size_t home = home_of(set, set->table[i]->future);

		if (((i - home) & mask) < ((i - slot) & mask))
			continue;
		set->table[slot] = set->table[i];
		slot = i;
	}
	set->table[slot] = NULL;
}

/* ---- members that are done ----------------------------------------------------------- */

static void hand_over(struct kn_member *member, struct kn_taker *taker)
{
	kn_list_del(&taker->link);
	taker->given = member;
	member->taker = taker;
	kn_task_wake(taker->task, 0, NULL);
}

static void offer(struct kn_member *member, bool again)
{
	struct kn_wait_set *set = member->set;
	struct kn_taker *taker = kn_list_first(&set->waiting, struct kn_taker, link);

	if (taker)
		hand_over(member, taker);
	else if (again)
		kn_list_add_head(&set->due, &member->due);
	else
		kn_list_add_tail(&set->due, &member->due);
}

static void member_run(struct kn_ready *ready)
{
	offer(kn_container_of(ready, struct kn_member, ready), false);
}

static void member_notify(struct kn_waiter *waiter, knit_future *future)
{
	kn_loop_ready(future->loop, &kn_container_of(waiter, struct kn_member, waiter)->ready);
}

/* ---- in and out ---------------------------------------------------------------------- */

int kn_wait_set_add(struct kn_wait_set *set, knit_future *future, void *cookie, bool later)
{
	int r = make_room(set);
	size_t slot = r == 0 ? slot_of(set, future) : 0;
	struct kn_member *member;

	if (r == 0 && set->table[slot])
		r = kn_fail(-EEXIST);
	if (r < 0)
		return r;
	member = kn_malloc(sizeof(*member));
	if (!member)
		return kn_fail(-ENOMEM);
	*member = (struct kn_member){
	        .waiter.notify = member_notify,
	        .ready.run = member_run,
	        .set = set,
	        .future = future,
	        .cookie = cookie,
	};
	kn_list_init(&member->waiter.link);
	kn_list_init(&member->ready.link);
	kn_list_init(&member->due);
	set->table[slot] = member;
	set->count++;
	if (!kn_future_is_done(future))
		kn_list_add_tail(&future->waiters, &member->waiter.link);
	else if (later)
		kn_loop_ready(future->loop, &member->ready);
	else
		offer(member, false);
	return 0;
}

static void member_free(struct kn_member *member)
{
	kn_list_del(&member->waiter.link);
	kn_list_del(&member->ready.link);
	kn_list_del(&member->due);
	if (member->taker)
		member->taker->given = NULL;
	kn_free(member);
}

/* With the last member go the tasks that wait for one. */
static void forget(struct kn_wait_set *set, size_t slot)
{
	struct kn_taker *taker;

	member_free(set->table[slot]);
	empty_slot(set, slot);
	set->count--;
	while (set->count == 0 && (taker = kn_list_first(&set->waiting, struct kn_taker, link))) {
		kn_list_del(&taker->link);
		kn_task_wake(taker->task, 0, NULL);
	}
}

int kn_wait_set_remove(struct kn_wait_set *set, knit_future *future)
{
	size_t slot = set->room ? slot_of(set, future) : 0;

	if (!set->room || !set->table[slot])
		return kn_fail(-ENOENT);
	forget(set, slot);
	return 0;
}

int kn_wait_set_end(struct kn_wait_set *set)
{
	if (set->takers)
		return kn_fail(-EBUSY);
	set->magic = 0;
	for (size_t i = 0; i < set->room; i++) {
		knit_future *future;

		if (!set->table[i])
			continue;
		future = set->table[i]->future;
		member_free(set->table[i]);
		kn_future_release(future);
	}
	kn_free(set->table);
	return 0;
}

/* ---- taking -------------------------------------------------------------------------- */

static bool taker_cancel(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	struct kn_taker *taker = kn_container_of(wait, struct kn_taker, wait);

	kn_list_del(&taker->link);
	kn_task_wake(task, -KNIT_ECANCELLED, kn_message_ref(message));
	return true;
}

/* 0 and the member, or none if the caller is to look again; or a negative code. */
static int wait_for_member(struct kn_wait_set *set, struct kn_task *task,
                           struct kn_member **ret_member)
{
	struct kn_taker taker = {.wait.cancel = taker_cancel, .task = task};
	struct kn_member *member;
	int r;

	kn_list_add_tail(&set->waiting, &taker.link);
	set->takers++;
	r = (int)kn_task_suspend(task, &taker.wait);
	set->takers--;
	member = taker.given;
	if (member)
		member->taker = NULL;
	if (member && r < 0)
		offer(member, true);
	*ret_member = member;
	return r;
}

int kn_wait_set_next(struct kn_wait_set *set, knit_future **ret_future, void **ret_cookie)
{
	int r = 0;
	struct kn_task *task;
	struct kn_member *member;

	while (!(member = kn_list_first(&set->due, struct kn_member, due))) {
		if (set->count == 0)
			return 0;
		task = kn_task_current(&r);
		if (task)
			r = wait_for_member(set, task, &member);
		if (r < 0)
			return r;
		if (member)
			break;
	}
	*ret_future = member->future;
	if (ret_cookie)
		*ret_cookie = member->cookie;
	forget(set, slot_of(set, member->future));
	return 1;
}
