/* SPDX-License-Identifier: MIT */
/* undefined.c - for UndefinedBehaviorSanitizer: a signed sum that overflows. */
#include <limits.h>
#include "test.h"

Test(seeded, undefined)
{
	volatile int largest = INT_MAX;
	volatile int sum = largest + 1;
	cr_assert_neq(sum, 0);
}
