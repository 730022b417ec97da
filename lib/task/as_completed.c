/* SPDX-License-Identifier: MIT */
/* as_completed.c - the public face of wait sets: knit_as_completed and knit_wait_set. */
#include "knit/wait.h"
#include "task/several.h"
#include "task/wait_set.h"

_Static_assert(sizeof(struct kn_wait_set) <= sizeof(knit_as_completed), "the storage is too small");
_Static_assert(sizeof(struct kn_wait_set) <= sizeof(knit_wait_set), "the storage is too small");

/* May the running task take from it? */
static int check_next(const struct kn_wait_set *set)
{
	int r = kn_wait_set_check(set);

	if (r == 0 && !kn_self.task)
		r = kn_fail(-KNIT_ENOTASK);
	if (r == 0 && set->loop != kn_self.loop)
		r = kn_fail(-KNIT_EWRONGTHREAD);
	return r;
}

/* ---- knit_as_completed --------------------------------------------------------------- */

/* One that stands there twice is refused the second time. */
static int add_all(struct kn_wait_set *set, knit_future *const awaitables[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = kn_wait_set_add(set, awaitables[i], NULL, true);

		if (r < 0 && r != -EEXIST)
			return r;
		if (r == 0)
			awaitables[i]->refs++;
	}
	return 0;
}

int knit_as_completed_init(knit_as_completed *public, knit_future *const awaitables[], size_t n)
{
	struct kn_wait_set *set = (struct kn_wait_set *)public;
	int r = set ? 0 : kn_fail(-EINVAL);

	if (r == 0)
		r = kn_wait_set_init(set);
	if (r < 0)
		return r;
	r = kn_several_check(awaitables, n, set->loop);
	if (r == 0)
		r = add_all(set, awaitables, n);
	if (r < 0)
		(void)!kn_wait_set_end(set);
	return r;
}

int knit_as_completed_next(knit_as_completed *public, knit_future **ret_future)
{
	struct kn_wait_set *set = (struct kn_wait_set *)public;
	int r = ret_future ? check_next(set) : kn_fail(-EINVAL);

	if (r == 0)
		r = kn_wait_set_next(set, ret_future, NULL);
	if (r == 1)
		kn_future_release(*ret_future);
	else if (ret_future)
		*ret_future = NULL;
	return r;
}

int knit_as_completed_done(knit_as_completed *public)
{
	struct kn_wait_set *set = (struct kn_wait_set *)public;
	int r = kn_wait_set_check(set);

	return r < 0 ? r : kn_wait_set_end(set);
}

/* ---- knit_wait_set ------------------------------------------------------------------- */

int knit_wait_set_init(knit_wait_set *public)
{
	struct kn_wait_set *set = (struct kn_wait_set *)public;

	return set ? kn_wait_set_init(set) : kn_fail(-EINVAL);
}

int knit_wait_set_add(knit_wait_set *public, knit_future *future, void *cookie)
{
	struct kn_wait_set *set = (struct kn_wait_set *)public;
	int r = kn_wait_set_check(set);

	if (r == 0)
		r = kn_several_check(&future, 1, set->loop);
	return r < 0 ? r : kn_wait_set_add(set, future, cookie, false);
}

int knit_wait_set_remove(knit_wait_set *public, knit_future *future)
{
	struct kn_wait_set *set = (struct kn_wait_set *)public;
	int r = kn_wait_set_check(set);

	return r < 0 ? r : kn_wait_set_remove(set, future);
}

int knit_wait_set_next(knit_wait_set *public, knit_future **ret_future, void **ret_cookie)
{
	struct kn_wait_set *set = (struct kn_wait_set *)public;
	int r = ret_future ? check_next(set) : kn_fail(-EINVAL);

	if (r == 0)
		r = kn_wait_set_next(set, ret_future, ret_cookie);
	if (r != 1 && ret_future)
		*ret_future = NULL;
	return r;
}

ptrdiff_t knit_wait_set_count(const knit_wait_set *public)
{
	const struct kn_wait_set *set = (const struct kn_wait_set *)public;
	int r = kn_wait_set_check(set);

	return r < 0 ? r : (ptrdiff_t)set->count;
}

int knit_wait_set_done(knit_wait_set *public)
{
	struct kn_wait_set *set = (struct kn_wait_set *)public;
	int r = kn_wait_set_check(set);

	return r < 0 ? r : kn_wait_set_end(set);
}
