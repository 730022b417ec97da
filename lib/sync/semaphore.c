/* SPDX-License-Identifier: MIT */
/* semaphore.c - permits, handed over in the order of arrival.
 *
 * A permit is taken out of the value when it is handed over, not when its new owner runs: so as
 * many waiters are woken in one pass as there are permits. While anybody is in line or coming, a
 * newcomer stands behind, though the value be positive; whoever comes sees to it that the value
 * does not stay so. */
#include "sync/waiters.h"
#include "knit/sync.h"

struct semaphore {
	uint32_t loop_id;
	bool initialised;
	struct kn_waiters waiters;
	int64_t value;
	int64_t limit; /* of the value */
};

_Static_assert(sizeof(struct semaphore) <= sizeof(knit_semaphore), "the storage is too small");

static struct semaphore *semaphore_of(knit_semaphore *semaphore)
{
	return (struct semaphore *)semaphore;
}

static int check(struct semaphore *semaphore)
{
	if (kn_unlikely(!semaphore || !semaphore->initialised))
		return kn_fail(-EINVAL);
	return kn_sync_check(&semaphore->loop_id, &semaphore->waiters, 1);
}

static bool is_locked(const struct semaphore *semaphore)
{
	return semaphore->value == 0 || kn_waiters_any(&semaphore->waiters);
}

/* Hands out what there is. */
static void hand_out(struct semaphore *semaphore)
{
	while (semaphore->value > 0 && kn_waiters_wake(&semaphore->waiters))
		semaphore->value--;
}

static void give_back(void *object)
{
	struct semaphore *semaphore = object;

	semaphore->value++;
}

static int init(struct semaphore *semaphore, int64_t value, int64_t limit)
{
	if (!semaphore)
		return kn_fail(-EINVAL);
	if (value < 0)
		return kn_sync_misuse(EINVAL, "Semaphore initial value must be >= 0");
	*semaphore = (struct semaphore){.initialised = true, .value = value, .limit = limit};
	return 0;
}

int knit_semaphore_init(knit_semaphore *semaphore, int64_t value)
{
	return init(semaphore_of(semaphore), value, INT64_MAX);
}

int knit_bounded_semaphore_init(knit_semaphore *semaphore, int64_t value)
{
	return init(semaphore_of(semaphore), value, value);
}

int knit_semaphore_destroy(knit_semaphore *object)
{
	struct semaphore *semaphore = semaphore_of(object);
	int r = check(semaphore);

	if (r < 0)
		return r;
	if (kn_waiters_any(&semaphore->waiters))
		return kn_fail(-EBUSY);
	*semaphore = (struct semaphore){.initialised = false};
	return 0;
}

int knit_semaphore_acquire(knit_semaphore *object)
{
	struct semaphore *semaphore = semaphore_of(object);
	struct kn_task *task;
	int r = check(semaphore);

	if (kn_unlikely(r < 0))
		return r;
	if (kn_unlikely(!kn_self.task))
		return kn_fail(-KNIT_ENOTASK);
	if (!is_locked(semaphore)) {
		semaphore->value--;
		return 0;
	}
	task = kn_task_current(&r);
	if (kn_unlikely(!task))
		return kn_fail(r);
	r = kn_waiters_wait(&semaphore->waiters, task, give_back, semaphore);
	hand_out(semaphore);
	return r;
}

int knit_semaphore_release(knit_semaphore *object)
{
	struct semaphore *semaphore = semaphore_of(object);
	int r = check(semaphore);

	if (kn_unlikely(r < 0))
		return r;
	if (kn_unlikely(semaphore->value >= semaphore->limit))
		return kn_sync_misuse(EOVERFLOW,
		                      semaphore->limit == INT64_MAX
		                              ? "Semaphore released too many times"
		                              : "BoundedSemaphore released too many times");
	semaphore->value++;
	hand_out(semaphore);
	return 0;
}

bool knit_semaphore_locked(knit_semaphore *semaphore)
{
	int r = check(semaphore_of(semaphore));

	if (kn_unlikely(r < 0))
		kn_sync_foreign(__func__, r);
	return is_locked(semaphore_of(semaphore));
}
