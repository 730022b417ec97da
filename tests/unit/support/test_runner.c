/* SPDX-License-Identifier: MIT */
/* test_runner.c - what tests rely on in the runner and in support/helpers.h. What a runner
 * must see as a failure is in tests/meta/failing.c. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/compiler.h"
#include "test.h"

static int prepared;

static void prepare(void)
{
	prepared = 1;
}

static void abort_saying(void *arg)
{
	fprintf(stderr, "last words: %s\n", (const char *)arg);
	abort();
}

static void exit_saying(void *arg)
{
	fprintf(stderr, "last words: %s\n", (const char *)arg);
	_exit(7);
}

static void read_after_free(void *arg)
{
	(void)arg;
	volatile char *memory = malloc(64);
	free((void *)memory);
	_exit(memory[3] == 0 ? 0 : 1);
}

static void *wait_for_byte(void *arg)
{
	char byte;
	int fd = *(int *)arg;
	return read(fd, &byte, 1) == 1 ? arg : NULL;
}

Test(runner, init_runs_in_the_process_of_the_test, .init = prepare)
{
	cr_assert_eq(prepared, 1);
}

Test(runner, tests_do_not_share_memory)
{
	cr_assert_eq(prepared, 0);
}

Test(runner, an_expected_signal_passes, .signal = SIGTERM)
{
	raise(SIGTERM);
}

Test(runner, an_expected_status_passes, .exit_code = 3)
{
	exit(3);
}

Test(runner, nothing_after_a_skip_runs)
{
	test_skip("on purpose: this shows that skipping works");
	abort();
}

Test(runner, a_disabled_test_does_not_run, .disabled = true)
{
	abort();
}

Test(runner, comparisons_hold_both_ways)
{
	const char *none = NULL;
	char text[] = "knit";
	cr_assert(1 < 2, "with %s", "a message");
	cr_assert_not(2 < 1);
	cr_assert_eq(1, 1);
	cr_assert_neq(1, 2, "with %d", 1);
	cr_assert_lt(-1, 0);
	cr_assert_leq(0, 0);
	cr_assert_gt(1, 0);
	cr_assert_geq(1, 1);
	cr_assert_null(none);
	cr_assert_not_null(text);
	cr_assert_str_eq(text, "knit");
	cr_assert_str_neq(text, "knot");
	cr_assert_float_eq(1.0, 1.05, 0.1);
	cr_expect(text[0] == 'k');
	cr_expect_eq(text[1], 'n', "with a message");
	cr_expect_str_eq(text, "knit");
}

Test(death, an_abort_is_a_death)
{
	char words[] = "adieu";
	test_death(abort_saying, words, "last words: adieu");
}

Test(death, a_status_is_a_death)
{
	char words[] = "farewell";
	test_death(exit_saying, words, "words: fare");
}

Test(death, a_sanitizer_report_can_be_asked_for_and_does_not_fail_the_run)
{
	if (!KN_ASAN)
		test_skip("needs AddressSanitizer");
	test_death(read_after_free, NULL, "heap-use-after-free");
}

Test(helpers, an_open_descriptor_is_counted_while_it_is_open)
{
	int before = test_open_fds();
	int fd = dup(STDERR_FILENO);
	cr_assert_geq(fd, 0);
	cr_assert_eq(test_open_fds(), before + 1);
	close(fd);
	cr_assert_eq(test_open_fds(), before);
}

Test(helpers, a_thread_is_counted_until_it_is_joined)
{
	pthread_t threads[3];
	int ends[2], before = test_threads();
	cr_assert_eq(before, 1);
	cr_assert_eq(pipe(ends), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, wait_for_byte, &ends[0]), 0);
	cr_assert_eq(test_threads(), before + 3);
	cr_assert_eq(write(ends[1], "abc", 3), 3);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	cr_assert_eq(test_threads(), before);
	close(ends[0]);
	close(ends[1]);
}

Test(helpers, a_scale_is_one_of_the_four)
{
	long scale = test_scale(1, 2, 3, 4);
	cr_assert_geq(scale, 1);
	cr_assert_leq(scale, 4);
	setenv("TEST_SLOW", "1", 1);
	cr_assert_eq(test_scale(1, 2, 3, 4), 4);
}
