/* SPDX-License-Identifier: MIT */
/* uninitialised.c - for valgrind: a branch that depends on a byte that nobody has written. */
#include <stdlib.h>
#include "test.h"

Test(seeded, uninitialised)
{
	volatile char *block = malloc(16);
	volatile int branch = 0;
	cr_assert_not_null((char *)block);
	if (block[7])
		branch = 1;
	free((char *)block);
	cr_assert_leq(branch, 1);
}
