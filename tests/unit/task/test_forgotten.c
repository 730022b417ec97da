/* SPDX-License-Identifier: MIT */
/* test_forgotten.c - what programs forget, and texts that must not outlive their failure. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "knit.h"
#include "loop/loop.h"
#include "test.h"

struct reports {
	int count;
	char error[64], name[32];
};

static void keep_report(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	struct reports *reports = arg;

	(void)loop;
	reports->count++;
	strncpy(reports->error, context->error ? context->error : "", sizeof(reports->error) - 1);
	strncpy(reports->name, context->name ? context->name : "", sizeof(reports->name) - 1);
}

static intptr_t fail(void *arg)
{
	(void)arg;
	return knit_raise(EIO, "the disk is on fire");
}

static intptr_t forget_a_failure(void *arg)
{
	knit_task **forgotten = arg;

	*forgotten = knit_create_task(fail, NULL, .name = "forgotten");
	return knit_sleep(0) + knit_sleep(0);
}

Test(forgotten, a_failure_of_a_task_that_nobody_released_comes_out_at_the_close)
{
	struct reports reports = {0};
	knit_loop *loop = knit_loop_new();
	knit_task *task;

	knit_loop_set_exception_handler(loop, keep_report, &reports);
	cr_assert_eq(knit_loop_run_until_complete(loop, forget_a_failure, &task), 0);
	cr_assert_eq(reports.count, 0, "it may still be retrieved");
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(reports.count, 1);
	cr_assert_str_eq(reports.error, "the disk is on fire");
	cr_assert_str_eq(reports.name, "forgotten");
	knit_task_unref(task);
	cr_assert_eq(reports.count, 1, "once");
	knit_loop_unref(loop);
}

Test(forgotten, a_failure_that_was_looked_at_is_nobodys_concern)
{
	struct reports reports = {0};
	knit_loop *loop = knit_loop_new();
	knit_task *task;

	knit_loop_set_exception_handler(loop, keep_report, &reports);
	cr_assert_eq(knit_loop_run_until_complete(loop, forget_a_failure, &task), 0);
	cr_assert_eq(knit_task_exception(task, NULL), EIO);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(reports.count, 0);
	knit_task_unref(task);
	knit_loop_unref(loop);
}

static intptr_t fail_with_and_without_text(void *arg)
{
	(void)arg;
	(void)knit_raise(EBADF, "the handle in the configuration is bad");
	cr_assert_str_eq(knit_error_message(-EBADF), "the handle in the configuration is bad");
	cr_assert_eq(knit_close(9999), -EBADF);
	cr_assert_str_eq(knit_error_message(-EBADF), knit_strerror(EBADF));
	(void)knit_raise(EINVAL, "old");
	cr_assert_eq(knit_await(knit_task_unref(NULL)), -EINVAL);
	cr_assert_str_eq(knit_error_message(-EINVAL), knit_strerror(EINVAL));
	return 0;
}

Test(forgotten, a_text_does_not_outlive_its_failure)
{
	cr_assert_eq(knit_run(fail_with_and_without_text, NULL), 0);
}

static void drop_a_loop_twice(void *arg)
{
	knit_loop *loop = knit_loop_new();

	(void)arg;
	knit_loop_close(loop);
	knit_loop_ref(loop);
	knit_loop_unref(loop);
	knit_loop_unref(loop);
	knit_loop_unref(loop);
}

Test(forgotten, a_loop_that_is_dropped_once_too_often_says_so)
{
	if (test_scale(1, 0, 1, 0) == 0)
		test_skip("the checker is faster");
	test_death(drop_a_loop_twice, NULL, "a reference was dropped once too often");
}

Test(forgotten, no_loop_is_an_error_or_the_running_one)
{
	cr_assert_eq(knit_loop_close(NULL), -EINVAL);
	cr_assert_eq(knit_loop_run_forever(NULL), -EINVAL);
	cr_assert_eq(knit_loop_run_once(NULL, 0), -EINVAL);
	cr_assert_eq(knit_loop_fd(NULL), -EINVAL);
	cr_assert_eq(knit_loop_add_signal_handler(NULL, 10, NULL, NULL), -KNIT_ENOLOOP);
	cr_assert_eq(knit_loop_set_exception_handler(NULL, NULL, NULL), -KNIT_ENOLOOP);
	cr_assert_not(knit_loop_is_running(NULL));
	cr_assert_not(knit_concurrent_future_cancel(NULL));
}

/* ---- what happens in, and after, the last report of a close ---- */

static void complete_it(knit_loop *loop, const knit_exception_context *context, void *future)
{
	(void)loop;
	(void)context;
	cr_expect_eq(knit_future_set_result(future, 1), 0);
}

static void never(knit_future *future, void *arg)
{
	(void)future;
	(void)arg;
	cr_expect(false, "a loop that is being closed runs no callbacks");
}

struct pair {
	knit_future *future;
	knit_task *task;
};

static intptr_t make_pair(void *arg)
{
	struct pair *pair = arg;

	pair->future = knit_future_new();
	pair->task = knit_create_task(fail, NULL);
	cr_assert_eq(knit_future_add_done_callback(pair->future, never, NULL), 0);
	return knit_sleep(0) + knit_sleep(0);
}

Test(forgotten, a_future_that_the_last_report_completes_is_freed_all_the_same)
{
	knit_loop *loop = knit_loop_new();
	struct pair pair;

	cr_assert_eq(knit_loop_run_until_complete(loop, make_pair, &pair), 0);
	knit_loop_set_exception_handler(loop, complete_it, pair.future);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert(knit_future_done(pair.future));
	knit_task_unref(pair.task);
	cr_assert_eq(loop->futures.live, 1);
	knit_future_unref(pair.future);
	cr_assert_eq(loop->futures.live, 0);
	cr_assert_eq(loop->done_callbacks.live, 0);
	knit_loop_unref(loop);
}

Test(forgotten, a_failure_after_the_close_does_not_go_to_a_handler_of_before)
{
	struct reports reports = {0};
	knit_loop *loop = knit_loop_new();
	struct pair pair;

	cr_assert_eq(knit_loop_run_until_complete(loop, make_pair, &pair), 0);
	cr_assert_eq(knit_task_result(pair.task), -EIO);
	knit_task_unref(pair.task);
	knit_loop_set_exception_handler(loop, keep_report, &reports);
	cr_assert_eq(knit_future_set_exception(pair.future, ENOSPC, "too late"), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	knit_future_unref(pair.future);
	cr_assert_eq(reports.count, 0, "its argument may be gone");
	knit_loop_unref(loop);
}

/* ---- the default handler --------------------------------------------------------------- */

static intptr_t forget_and_report(void *arg)
{
	const knit_exception_context context = {.message = "the water is rising"};

	(void)arg;
	knit_task_unref(knit_create_task(fail, NULL, .name = "writer"));
	for (int i = 0; i < 3; i++)
		if (knit_sleep(0) < 0)
			return -1;
	knit_loop_default_exception_handler(knit_get_running_loop(), &context, NULL);
	return 0;
}

/* What the function writes to stderr. */
static void capture(char *text, size_t size)
{
	int file = memfd_create("stderr", MFD_CLOEXEC), before = dup(STDERR_FILENO);
	intptr_t outcome;
	ssize_t n;

	dup2(file, STDERR_FILENO);
	outcome = knit_run(forget_and_report, NULL);
	dup2(before, STDERR_FILENO);
	n = pread(file, text, size - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(file);
	close(before);
	cr_assert_eq(outcome, 0);
}

Test(forgotten, the_default_handler_writes_a_line_each)
{
	static const char begin[] = "knit: Task exception was never retrieved: task 'writer': "
	                            "the disk is on fire (at ";
	char text[1024], *second;

	capture(text, sizeof(text));
	cr_assert_eq(strncmp(text, begin, strlen(begin)), 0, "%s", text);
	second = strchr(text, '\n');
	cr_assert_not_null(second);
	cr_assert_not_null(strstr(text, "test_forgotten.c:"));
	cr_assert_str_eq(second + 1, "knit: the water is rising\n");
}
