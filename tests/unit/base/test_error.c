/* SPDX-License-Identifier: MIT */
/* test_error.c - codes, messages, panics. */
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"
#include "test.h"

/* ---- codes ------------------------------------------------------------------------- */

Test(error, errno_names_and_texts_are_those_of_the_c_library)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
	int known = 0;

	for (int code = 1; code < KNIT_ECANCELLED; code++) {
		const char *name = strerrorname_np(code);

		if (name) {
			known++;
			cr_expect_str_eq(knit_errname(code), name);
			cr_expect_str_eq(knit_strerror(code), strerrordesc_np(code));
		} else {
			cr_expect_str_eq(knit_errname(code), "unknown", "%d", code);
			cr_expect_str_eq(knit_strerror(code), "Unknown error", "%d", code);
		}
		cr_expect_eq(knit_errname(-code), knit_errname(code));
		cr_expect_eq(knit_strerror(-code), knit_strerror(code));
	}
	cr_assert_gt(known, 120);
#else
	test_skip("needs strerrorname_np()");
#endif
}

Test(error, common_codes_have_their_names_in_either_sign)
{
	cr_assert_str_eq(knit_errname(ETIMEDOUT), "ETIMEDOUT");
	cr_assert_str_eq(knit_errname(-EAGAIN), "EAGAIN");
	cr_assert_str_eq(knit_errname(KNIT_ECANCELLED), "KNIT_ECANCELLED");
	cr_assert_str_eq(knit_errname(-KNIT_ESTOPPED), "KNIT_ESTOPPED");
	cr_assert_str_eq(knit_strerror(-ENOENT), "No such file or directory");
	cr_assert_str_eq(knit_strerror(-KNIT_ECLOSED), "Loop is closed");
}

Test(error, each_code_of_knit_has_a_name_and_a_text_of_its_own)
{
	for (int code = KNIT_ECANCELLED; code <= KNIT_ESTOPPED; code++) {
		cr_expect_eq(strncmp(knit_errname(code), "KNIT_E", 6), 0, "%d", code);
		cr_expect_str_neq(knit_strerror(code), "Unknown error", "%d", code);
		for (int other = KNIT_ECANCELLED; other < code; other++) {
			cr_expect_str_neq(knit_errname(code), knit_errname(other));
			cr_expect_str_neq(knit_strerror(code), knit_strerror(other));
		}
	}
	cr_expect_str_eq(knit_errname(KNIT_ESTOPPED + 1), "unknown");
	cr_expect_str_eq(knit_errname(KNIT_ECANCELLED - 1), "unknown");
}

Test(error, getaddrinfo_has_a_block_of_codes)
{
	int known = 0;

	for (int n = 1; n < KNIT_EAPPLICATION - KNIT_EAI_BASE; n++) {
		const char *theirs = gai_strerror(-n);

		if (strncmp(knit_errname(KNIT_EAI_BASE + n), "EAI_", 4) != 0) {
			cr_expect_str_eq(knit_strerror(KNIT_EAI_BASE + n), "Unknown error");
			continue;
		}
		known++;
		/* glibc itself forgets the text of EAI_OVERFLOW. */
		if (strcmp(theirs, "Unknown error") != 0)
			cr_expect_str_eq(knit_strerror(KNIT_EAI_BASE + n), theirs);
	}
	cr_assert_geq(known, 10);
	cr_assert_str_eq(knit_errname(KNIT_EAI_BASE - EAI_NONAME), "EAI_NONAME");
	cr_assert_str_eq(knit_errname(-(KNIT_EAI_BASE - EAI_OVERFLOW)), "EAI_OVERFLOW");
}

Test(error, any_number_has_a_text)
{
	static const int strange[] = {INT_MIN,       INT_MIN + 1,        INT_MAX,
	                              KNIT_EAI_BASE, KNIT_ERRNO_MAX + 1, -100000};

	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		cr_expect_str_eq(knit_errname(strange[i]), "unknown");
		cr_expect_str_eq(knit_strerror(strange[i]), "Unknown error");
	}
	cr_expect_str_eq(knit_strerror(KNIT_EAPPLICATION), "Application error");
	cr_expect_str_eq(knit_strerror(-KNIT_ERRNO_MAX), "Application error");
	cr_expect_str_eq(knit_errname(KNIT_EAPPLICATION), "unknown");
	cr_expect_str_eq(knit_strerror(0), "Success");
	cr_expect_str_eq(knit_errname(0), "unknown");
}

Test(error, outcomes_are_errors_only_in_the_last_page)
{
	static const intptr_t values[] = {0, 1, INTPTR_MAX, INTPTR_MIN, -KNIT_ERRNO_MAX - 1};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		cr_expect_not(knit_is_error(values[i]));
		cr_expect_not(knit_is_cancelled(values[i]));
		cr_expect_eq((intptr_t)knit_pointer(values[i]), values[i]);
	}
	cr_expect(knit_is_error(-1));
	cr_expect(knit_is_error(-KNIT_ERRNO_MAX));
	cr_expect_null(knit_pointer(-ENOENT));
	cr_expect(knit_is_cancelled(-KNIT_ECANCELLED));
	cr_expect_not(knit_is_cancelled(KNIT_ECANCELLED));
	cr_expect_not(knit_is_cancelled(-ECANCELED));
}

/* ---- raising ----------------------------------------------------------------------- */

Test(error, raise_returns_the_code_and_records_text_and_place)
{
	const char *file = NULL;
	int line = __LINE__ + 1;
	intptr_t outcome = knit_raise(EINVAL, "port %d is out of %s", 70000, "range");

	cr_assert_eq(outcome, -EINVAL);
	cr_assert_str_eq(knit_error_message(outcome), "port 70000 is out of range");
	cr_assert_eq(knit_error_place(outcome, &file), line);
	cr_assert_str_eq(file, __FILE__);
	cr_assert_eq(knit_error_place(outcome, NULL), line);
}

Test(error, nothing_is_told_of_another_outcome)
{
	const char *file = __FILE__;

	knit_raise(EIO, "this one");
	cr_assert_str_eq(knit_error_message(-ENOENT), "No such file or directory");
	cr_assert_eq(knit_error_place(-ENOENT, &file), 0);
	cr_assert_null(file);
	cr_assert_str_eq(knit_error_message(EIO), "Success", "a value is no error");
	cr_assert_str_eq(knit_error_message(0), "Success");
	cr_assert_null(kn_message_recorded(EIO));
	cr_assert_not_null(kn_message_recorded(-EIO));
}

Test(error, raise_takes_either_sign_and_makes_an_error_of_anything)
{
	static const int odd[] = {0, KNIT_ERRNO_MAX + 1, -KNIT_ERRNO_MAX - 1, INT_MAX, INT_MIN};

	cr_assert_eq(knit_raise(-EPIPE, "x"), -EPIPE);
	cr_assert_str_eq(knit_error_message(-EPIPE), "x");
	cr_assert_eq(knit_raise(KNIT_ERRNO_MAX, "y"), -KNIT_ERRNO_MAX);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		cr_assert_eq(knit_raise(odd[i], "z"), -EINVAL);
	cr_assert_str_eq(knit_error_message(-EINVAL), "z");
}

Test(error, a_message_can_be_built_from_the_one_it_replaces)
{
	char expected[2000] = "disk on fire";
	intptr_t outcome = knit_raise(EIO, "%s", expected);

	for (int i = 0; i < 50; i++) {
		char longer[2000];

		outcome = knit_raise(EIO, "while reading: %s", knit_error_message(outcome));
		snprintf(longer, sizeof(longer), "while reading: %.1900s", expected);
		strcpy(expected, longer);
		cr_assert_str_eq(knit_error_message(outcome), expected);
	}
}

Test(error, texts_of_any_length_are_kept_whole)
{
	static const size_t lengths[] = {0, 1, 254, 255, 256, 257, 1000, 100000};
	static char text[100001];

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memset(text, 'x', lengths[i]);
		text[lengths[i]] = '\0';
		cr_assert_str_eq(knit_error_message(knit_raise(EIO, "%s", text)), text);
	}
}

Test(error, without_memory_the_code_alone_counts)
{
	static const int widths[] = {1, 1000};

	for (size_t i = 0; i < 2; i++) {
		/* The same code as before: its text must not be taken for the new one's. */
		knit_raise(EIO, "older");
		kn_alloc_fail_after(0);
		cr_assert_eq(knit_raise(EIO, "%*d", widths[i], 0), -EIO);
		kn_alloc_fail_after(-1);
		cr_assert_str_eq(knit_error_message(-EIO), knit_strerror(EIO));
		cr_assert_eq(knit_error_place(-EIO, NULL), 0);
	}
}

Test(error, raise_leaves_errno_alone_and_can_print_it)
{
	knit_raise(EIO, "so that the thread is armed");
	errno = ENOENT;
	cr_assert_eq(knit_raise(EIO, "open: %m"), -EIO);
	cr_assert_eq(errno, ENOENT);
	cr_assert_str_eq(knit_error_message(-EIO), "open: No such file or directory");
	errno = EMFILE;
	kn_alloc_fail_after(0);
	knit_raise(EIO, "no memory");
	kn_alloc_fail_after(-1);
	cr_assert_eq(errno, EMFILE);
}

Test(error, raise_without_a_format_says_what_the_code_means)
{
	/* Through a pointer, because compilers warn of it, as they should. */
	intptr_t (*raise_at)(const char *, int, int, const char *, ...) = knit_raise_at;

	cr_assert_eq(raise_at("a.c", 7, -ENOSPC, NULL), -ENOSPC);
	cr_assert_str_eq(knit_error_message(-ENOSPC), "No space left on device");
	cr_assert_eq(knit_error_place(-ENOSPC, NULL), 7);
}

/* ---- messages ---------------------------------------------------------------------- */

Test(error, a_task_has_a_record_of_its_own)
{
	struct kn_message *of_task = NULL;

	knit_raise(EIO, "of the thread");
	kn_self.message = &of_task;
	cr_assert_null(kn_message_recorded(-EIO));
	knit_raise(EIO, "of the task");
	cr_assert_not_null(of_task);
	cr_assert_str_eq(knit_error_message(-EIO), "of the task");
	kn_self.message = NULL;
	cr_assert_str_eq(knit_error_message(-EIO), "of the thread");
	kn_self.message = &kn_self.own_message;
	cr_assert_str_eq(knit_error_message(-EIO), "of the thread");
	kn_message_unref(of_task);
}

Test(error, one_message_may_be_recorded_in_many_places)
{
	struct kn_message *message = kn_message_new("b.c", 9, EPROTO, "%s", "shared");
	struct kn_message *records[2] = {NULL, NULL};

	cr_assert_not_null(message);
	for (int i = 0; i < 2; i++) {
		kn_self.message = &records[i];
		kn_message_record(kn_message_ref(message));
		/* Once more the same: nothing changes. */
		kn_message_record(kn_message_ref(message));
		cr_assert_eq(kn_message_recorded(-EPROTO), message);
	}
	cr_assert_eq(message->refs, 3);
	kn_message_record(NULL);
	cr_assert_null(kn_message_recorded(-EPROTO));
	cr_assert_eq(message->refs, 2);
	kn_self.message = &records[0];
	cr_assert_str_eq(knit_error_message(-EPROTO), "shared");
	kn_message_record(NULL);
	kn_self.message = NULL;
	cr_assert_eq(message->refs, 1);
	cr_assert_null(kn_message_unref(message));
	cr_assert_null(kn_message_unref(NULL));
	cr_assert_null(kn_message_ref(NULL));
}

Test(error, a_message_without_a_text_gets_that_of_its_code)
{
	struct kn_message *message = kn_message_new(NULL, 0, KNIT_EQFULL, NULL);

	cr_assert_not_null(message);
	cr_assert_str_eq(message->text, knit_strerror(KNIT_EQFULL));
	cr_assert_eq(message->code, KNIT_EQFULL);
	cr_assert_null(message->file);
	kn_message_unref(message);
	kn_alloc_fail_after(0);
	cr_assert_null(kn_message_new(NULL, 0, KNIT_EQFULL, NULL));
	kn_alloc_fail_after(-1);
}

/* ---- the end ----------------------------------------------------------------------- */

static void panic(void *arg)
{
	kn_panic("task %s was freed twice", (const char *)arg);
}

static void say(const char *line)
{
	dprintf(STDERR_FILENO, "hook got <%s>\n", line);
}

static void panic_with_hook(void *arg)
{
	knit_set_abort_hook(say);
	panic(arg);
}

static void panic_with_hook_taken_back(void *arg)
{
	knit_set_abort_hook(say);
	knit_set_abort_hook(NULL);
	panic(arg);
}

static void panic_in_turn(const char *line)
{
	say(line);
	kn_panic("the hook failed too");
}

static void panic_with_bad_hook(void *arg)
{
	knit_set_abort_hook(panic_in_turn);
	panic(arg);
}

static void end_before_abort(const char *line)
{
	say(line);
	_exit(3);
}

static void broken(void *arg)
{
	kn_assert(arg == &arg);
}

Test(error, panic_writes_one_line_and_ends_the_process)
{
	static char long_name[2000];

	test_death(panic, (void *)"Task-1", "knit: task Task-1 was freed twice\n");
	/* Whatever a name holds. */
	test_death(panic, (void *)"two\nlines", "knit: task two lines was freed twice\n");
	memset(long_name, 'x', sizeof(long_name) - 1);
	test_death(panic, long_name, "xxxxxxxx\n");
	test_death(panic_with_hook_taken_back, (void *)"T", "knit: task T was freed twice\n");
}

Test(error, panic_calls_the_hook_with_the_line)
{
	test_death(panic_with_hook, (void *)"T", "hook got <knit: task T was freed twice>\n");
	test_death(panic_with_bad_hook, (void *)"T", "hook got <knit: task T was freed twice>\n");
	test_death(panic_with_bad_hook, (void *)"T", "\nknit: the hook failed too\n");
}

Test(error, panic_aborts, .signal = SIGABRT)
{
	kn_panic("on purpose, by a test");
}

Test(error, panic_aborts_after_the_hook_returned, .signal = SIGABRT)
{
	knit_set_abort_hook(say);
	kn_panic("on purpose, by a test");
}

Test(error, the_hook_may_end_the_process_itself, .exit_code = 3)
{
	knit_set_abort_hook(end_before_abort);
	kn_panic("on purpose, by a test");
}

Test(error, a_broken_invariant_is_named_with_its_place)
{
	test_death(broken, NULL, "broken invariant: arg == &arg");
	test_death(broken, NULL, "test_error.c:");
}
