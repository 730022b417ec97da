/* SPDX-License-Identifier: MIT */
/* race.c - for ThreadSanitizer: two threads write a variable with nothing between them. */
#include <pthread.h>
#include "test.h"

static int shared;

static void *write_shared(void *arg)
{
	shared++;
	return arg;
}

Test(seeded, race)
{
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, write_shared, NULL), 0);
	shared++;
	cr_assert_eq(pthread_join(thread, NULL), 0);
}
