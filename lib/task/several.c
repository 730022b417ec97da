/* SPDX-License-Identifier: MIT */
/* several.c - checking and dropping arrays of awaitables: see several.h. */
#include "task/several.h"

static int check(const knit_future *future, const struct knit_loop *loop)
{
	if (kn_unlikely(!future))
		return kn_self.create_error ? -kn_self.create_error : -EINVAL;
	if (kn_unlikely(kn_future_check(future) < 0))
		return -KNIT_EWRONGTHREAD;
	return kn_likely(future->loop == loop) ? 0 : -EINVAL;
}

int kn_several_check(knit_future *const awaitables[], size_t n, const struct knit_loop *loop)
{
	int r = awaitables || n == 0 ? 0 : -EINVAL;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = check(awaitables[i], loop);
	return r < 0 ? kn_fail(r) : 0;
}

void kn_several_release(knit_future *const awaitables[], size_t n)
{
	for (size_t i = 0; awaitables && i < n; i++)
		if (awaitables[i] && kn_future_check(awaitables[i]) == 0)
			kn_future_release(awaitables[i]);
}
