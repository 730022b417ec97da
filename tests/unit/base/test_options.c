/* SPDX-License-Identifier: MIT */
/* test_options.c - structs of keyword arguments from older and newer callers. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include "base/options.h"
#include "test.h"

struct known {
	size_t size;
	void *arg;
	int64_t number;
};

static const struct known untouched = {1, NULL, 1};

static void expect_refusal(const void *from, int error)
{
	struct known copy = untouched;

	cr_assert_eq(kn_options_copy(&copy, sizeof(copy), from), error);
	cr_assert_eq(memcmp(&copy, &untouched, sizeof(copy)), 0, "nothing is written");
}

Test(options, the_same_struct_is_copied)
{
	struct known from = {sizeof(from), &from, -7}, copy = untouched;

	cr_assert_eq(kn_options_copy(&copy, sizeof(copy), &from), 0);
	cr_assert_eq(memcmp(&copy, &from, sizeof(copy)), 0);
}

Test(options, what_an_older_caller_does_not_know_is_zero)
{
	/* Nothing beyond the two words may be read. */
	struct {
		size_t size;
		void *arg;
	} from = {sizeof(from), &from};
	struct known copy = untouched;

	cr_assert_eq(kn_options_copy(&copy, sizeof(copy), &from), 0);
	cr_assert_eq(copy.size, sizeof(from));
	cr_assert_eq(copy.arg, &from);
	cr_assert_eq(copy.number, 0);
}

Test(options, a_newer_caller_may_say_nothing_new)
{
	struct {
		struct known known;
		char more[40];
	} from = {.known = {sizeof(from), &from, 9}};
	struct known copy = untouched;

	cr_assert_eq(kn_options_copy(&copy, sizeof(copy), &from), 0);
	cr_assert_eq(copy.number, 9);
	for (size_t i = 0; i < sizeof(from.more); i++) {
		from.more[i] = 1;
		expect_refusal(&from, -E2BIG);
		from.more[i] = 0;
	}
}

Test(options, no_struct_and_a_senseless_size_are_refused)
{
	static const size_t senseless[] = {0,    1,       sizeof(size_t), 2 * sizeof(size_t) - 1,
	                                   4097, SIZE_MAX};

	expect_refusal(NULL, -EINVAL);
	for (size_t i = 0; i < sizeof(senseless) / sizeof(senseless[0]); i++) {
		struct known from = {.size = senseless[i]};

		expect_refusal(&from, -EINVAL);
	}
}
