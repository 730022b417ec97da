/* SPDX-License-Identifier: MIT */
/* leak.c - for LeakSanitizer and valgrind: memory that nothing points to at the exit. */
#include <stdlib.h>
#include "test.h"

Test(seeded, leak)
{
	char *volatile lost = malloc(1234);
	cr_assert_not_null(lost);
	lost = NULL;
}
