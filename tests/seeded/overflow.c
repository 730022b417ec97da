/* SPDX-License-Identifier: MIT */
/* overflow.c - for AddressSanitizer and valgrind: a byte written past the end of a block. */
#include <stdlib.h>
#include "test.h"

Test(seeded, overflow)
{
	volatile char *block = malloc(16);
	volatile size_t end = 16;
	cr_assert_not_null((char *)block);
	block[end] = 1;
	free((char *)block);
}
