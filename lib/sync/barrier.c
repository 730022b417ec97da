/* SPDX-License-Identifier: MIT */
/* barrier.c - tasks that wait until a number of them has come.
 *
 * Rounds follow each other: filling, until the last one comes; draining, until all of them have
 * left; filling. A newcomer in between stands in a line of its own until the round is over. A reset
 * with tasks inside drains them with an error; an abort does so too and lasts until a reset.
 *
 * Places are given as tasks leave, which is the order in which they came: so they are different,
 * and there is a first one, also if somebody in the middle was cancelled. */
#include "sync/waiters.h"
#include "knit/sync.h"

enum state {
	FILLING,
	DRAINING,
	RESETTING, /* draining after a reset */
	BROKEN,
};

/* The lines: who has come, and who must wait for the round to be over. */
enum { INSIDE, OUTSIDE, LINES };

struct barrier {
	uint32_t loop_id;
	uint8_t state; /* enum state */
	int parties;   /* 0: not initialised */
	int count;     /* have come, and not left */
	int next;      /* draining: the next place to be given */
	struct kn_waiters waiters[LINES];
};

_Static_assert(sizeof(struct barrier) <= sizeof(knit_barrier), "the storage is too small");

static struct barrier *barrier_of(knit_barrier *barrier)
{
	return (struct barrier *)barrier;
}

static int check(struct barrier *barrier)
{
	if (kn_unlikely(!barrier || barrier->parties == 0))
		return kn_fail(-EINVAL);
	return kn_sync_check(&barrier->loop_id, barrier->waiters, LINES);
}

int knit_barrier_init(knit_barrier *barrier, int parties)
{
	if (!barrier)
		return kn_fail(-EINVAL);
	if (parties < 1)
		return kn_sync_misuse(EINVAL, "parties must be >= 1");
	*barrier_of(barrier) = (struct barrier){.parties = parties};
	return 0;
}

int knit_barrier_destroy(knit_barrier *object)
{
	struct barrier *barrier = barrier_of(object);
	int r = check(barrier);

	if (r < 0)
		return r;
	if (kn_waiters_any(&barrier->waiters[INSIDE]) || kn_waiters_any(&barrier->waiters[OUTSIDE]))
		return kn_fail(-EBUSY);
	*barrier = (struct barrier){.parties = 0};
	return 0;
}

/* ---- waiting --------------------------------------------------------------------------- */

/* A woken task that leaves by a cancellation has nothing that another could use: the others were
 * woken as well, and the count says that it is gone. */
static void nothing_to_pass_on(void *barrier)
{
	(void)barrier;
}

static int wait_in(struct barrier *barrier, int line)
{
	int r = 0;
	struct kn_task *task = kn_task_current(&r);

	if (kn_unlikely(!task))
		return kn_fail(r);
	return kn_waiters_wait(&barrier->waiters[line], task, nothing_to_pass_on, barrier);
}

/* Until a round may begin for the caller. */
static int enter(struct barrier *barrier)
{
	while (barrier->state == DRAINING || barrier->state == RESETTING) {
		int r = wait_in(barrier, OUTSIDE);

		if (r < 0)
			return r;
	}
	if (barrier->state == BROKEN)
		return kn_sync_misuse(KNIT_EBROKENBARRIER, "Barrier aborted");
	return 0;
}

/* The caller's place, or an error. */
static int wait_for_others(struct barrier *barrier)
{
	int r = wait_in(barrier, INSIDE);

	if (r < 0)
		return r;
	if (barrier->state == BROKEN || barrier->state == RESETTING)
		return kn_sync_misuse(KNIT_EBROKENBARRIER, "Abort or reset of barrier");
	return barrier->next++;
}

/* The last one out opens the next round. */
static void leave(struct barrier *barrier)
{
	if (--barrier->count > 0)
		return;
	if (barrier->state == DRAINING || barrier->state == RESETTING)
		barrier->state = FILLING;
	kn_waiters_wake_all(&barrier->waiters[OUTSIDE]);
}

int knit_barrier_wait(knit_barrier *object)
{
	struct barrier *barrier = barrier_of(object);
	int r = check(barrier);

	if (kn_unlikely(r < 0))
		return r;
	if (kn_unlikely(!kn_self.task))
		return kn_fail(-KNIT_ENOTASK);
	r = enter(barrier);
	if (r < 0)
		return r;
	if (++barrier->count == barrier->parties) {
		barrier->state = DRAINING;
		barrier->next = 0;
		kn_waiters_wake_all(&barrier->waiters[INSIDE]);
		r = barrier->parties - 1;
	} else {
		r = wait_for_others(barrier);
	}
	leave(barrier);
	return r;
}

/* ---- breaking -------------------------------------------------------------------------- */

int knit_barrier_reset(knit_barrier *object)
{
	struct barrier *barrier = barrier_of(object);
	int r = check(barrier);

	if (kn_unlikely(r < 0))
		return r;
	barrier->state = barrier->count > 0 ? RESETTING : FILLING;
	kn_waiters_wake_all(&barrier->waiters[INSIDE]);
	if (barrier->state == FILLING)
		kn_waiters_wake_all(&barrier->waiters[OUTSIDE]);
	return 0;
}

int knit_barrier_abort(knit_barrier *object)
{
	struct barrier *barrier = barrier_of(object);
	int r = check(barrier);

	if (kn_unlikely(r < 0))
		return r;
	barrier->state = BROKEN;
	kn_waiters_wake_all(&barrier->waiters[INSIDE]);
	kn_waiters_wake_all(&barrier->waiters[OUTSIDE]);
	return 0;
}

/* ---- asking ---------------------------------------------------------------------------- */

int knit_barrier_parties(knit_barrier *barrier)
{
	int r = check(barrier_of(barrier));

	return r < 0 ? r : barrier_of(barrier)->parties;
}

int knit_barrier_n_waiting(knit_barrier *object)
{
	struct barrier *barrier = barrier_of(object);
	int r = check(barrier);

	if (r < 0)
		return r;
	return barrier->state == FILLING ? barrier->count : 0;
}

bool knit_barrier_broken(knit_barrier *barrier)
{
	int r = check(barrier_of(barrier));

	if (kn_unlikely(r < 0))
		kn_sync_foreign(__func__, r);
	return barrier_of(barrier)->state == BROKEN;
}
