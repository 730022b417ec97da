/* SPDX-License-Identifier: MIT */
/* runner.h - Criterion's macros, as far as our tests use them, on our own runner. */
#ifndef TEST_SUPPORT_RUNNER_H
#define TEST_SUPPORT_RUNNER_H
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct test_options {
	void (*init)(void); /* before the test, in its process */
	void (*fini)(void); /* after it, if it came to its end */
	int signal;         /* the test must end by this signal */
	int exit_code;      /* the test must end with this status */
	double timeout;     /* seconds of wall time; 0: the runner's limit */
	bool disabled;      /* not run */
	const char *description;
};

struct test_case {
	const char *suite, *name;
	void (*function)(void);
	struct test_options options;
	struct test_case *next; /* the runner's */
};

/* Called before main() by every Test(). */
void test_register(struct test_case *test);

/* Counts and prints a failure; ends the test's process if @fatal. */
void test_failed(const char *file, int line, bool fatal, const char *what, const char *format, ...)
        __attribute__((format(printf, 5, 6)));

/* What test_skip() does. */
__attribute__((noreturn)) void test_skipped(const char *reason);

#define Test(suite_, name_, ...)                                                   \
	static void test_##suite_##_##name_(void);                                 \
	static struct test_case test_case_##suite_##_##name_ = {                   \
	        .suite = #suite_,                                                  \
	        .name = #name_,                                                    \
	        .function = test_##suite_##_##name_,                               \
	        .options = {__VA_ARGS__},                                          \
	};                                                                         \
	__attribute__((constructor)) static void test_add_##suite_##_##name_(void) \
	{                                                                          \
		test_register(&test_case_##suite_##_##name_);                      \
	}                                                                          \
	static void test_##suite_##_##name_(void)

/* The blank keeps the format from being empty, which compilers warn of. */
#define TEST_CHECK(fatal, condition, what, ...)                                            \
	do {                                                                               \
		if (!(condition))                                                          \
			test_failed(__FILE__, __LINE__, (fatal), (what), " " __VA_ARGS__); \
	} while (0)

static inline bool test_str_eq(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Criterion's meaning: within epsilon, both ends included. */
static inline bool test_float_eq(double a, double b, double epsilon)
{
	return a - b <= epsilon && b - a <= epsilon;
}

#define TEST_CMP(fatal, a, op, b, ...) TEST_CHECK(fatal, (a)op(b), #a " " #op " " #b, __VA_ARGS__)
#define TEST_STR(fatal, want, a, b, ...)                   \
	TEST_CHECK(fatal, test_str_eq((a), (b)) == (want), \
	           (want) ? #a " is " #b " as text" : #a " is not " #b " as text", __VA_ARGS__)

#define cr_assert(c, ...)            TEST_CHECK(true, c, #c, __VA_ARGS__)
#define cr_assert_not(c, ...)        TEST_CHECK(true, !(c), "not " #c, __VA_ARGS__)
#define cr_assert_eq(a, b, ...)      TEST_CMP(true, a, ==, b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...)     TEST_CMP(true, a, !=, b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...)      TEST_CMP(true, a, <, b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...)     TEST_CMP(true, a, <=, b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...)      TEST_CMP(true, a, >, b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...)     TEST_CMP(true, a, >=, b, __VA_ARGS__)
#define cr_assert_null(p, ...)       TEST_CHECK(true, (p) == NULL, #p " is NULL", __VA_ARGS__)
#define cr_assert_not_null(p, ...)   TEST_CHECK(true, (p) != NULL, #p " is not NULL", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)  TEST_STR(true, true, a, b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) TEST_STR(true, false, a, b, __VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...) \
	TEST_CHECK(true, test_float_eq(a, b, e), #a " is within " #e " of " #b, __VA_ARGS__)

#define cr_expect(c, ...)            TEST_CHECK(false, c, #c, __VA_ARGS__)
#define cr_expect_not(c, ...)        TEST_CHECK(false, !(c), "not " #c, __VA_ARGS__)
#define cr_expect_eq(a, b, ...)      TEST_CMP(false, a, ==, b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...)     TEST_CMP(false, a, !=, b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...)      TEST_CMP(false, a, <, b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...)     TEST_CMP(false, a, <=, b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...)      TEST_CMP(false, a, >, b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...)     TEST_CMP(false, a, >=, b, __VA_ARGS__)
#define cr_expect_null(p, ...)       TEST_CHECK(false, (p) == NULL, #p " is NULL", __VA_ARGS__)
#define cr_expect_not_null(p, ...)   TEST_CHECK(false, (p) != NULL, #p " is not NULL", __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...)  TEST_STR(false, true, a, b, __VA_ARGS__)
#define cr_expect_str_neq(a, b, ...) TEST_STR(false, false, a, b, __VA_ARGS__)
#define cr_expect_float_eq(a, b, e, ...) \
	TEST_CHECK(false, test_float_eq(a, b, e), #a " is within " #e " of " #b, __VA_ARGS__)

#endif
