/* SPDX-License-Identifier: MIT */
/* failing.c - tests each of which must fail; runner.sh runs them one by one. Not part of
 * the suite. The first one passes, to show that the program can. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "test.h"

static void live_on(void *arg)
{
	fprintf(stderr, "%s", (const char *)arg);
}

static void abort_saying(void *arg)
{
	live_on(arg);
	abort();
}

Test(sound, passes)
{
	cr_assert(true);
}

Test(failing, assertion)
{
	cr_assert_eq(1, 2, "one is not %d", 2);
}

Test(failing, expectation)
{
	cr_expect_lt(2, 1);
	cr_assert(true);
}

Test(failing, text)
{
	cr_assert_str_eq("knit", "knot");
}

Test(failing, crash)
{
	raise(SIGSEGV);
}

Test(failing, status)
{
	exit(3);
}

Test(failing, no_signal, .signal = SIGTERM) {}

Test(failing, other_signal, .signal = SIGTERM)
{
	raise(SIGINT);
}

Test(failing, no_status, .exit_code = 3) {}

Test(failing, death_that_is_none)
{
	char words[] = "words";
	test_death(live_on, words, "words");
}

Test(failing, death_with_other_words)
{
	char words[] = "words";
	test_death(abort_saying, words, "deeds");
}

/* Longer than the limit that runner.sh sets, however slow the machine is. */
Test(failing, hang)
{
	for (;;)
		pause();
}
