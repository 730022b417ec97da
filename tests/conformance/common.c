/* SPDX-License-Identifier: MIT */
/* common.c - the trace, and the small coroutines and callbacks. */
#include "common.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- the trace --------------------------------------------------------------------- */

static char events[4096];
static size_t events_length;

void trace(const char *format, ...)
{
	size_t room = sizeof(events) - events_length;
	va_list arguments;
	int n = snprintf(events + events_length, room, "%s", events_length ? " | " : "");

	cr_assert_lt((size_t)n, room);
	events_length += (size_t)n;
	room -= (size_t)n;
	va_start(arguments, format);
	n = vsnprintf(events + events_length, room, format, arguments);
	va_end(arguments);
	cr_assert_lt((size_t)n, room);
	events_length += (size_t)n;
}

const char *trace_text(void)
{
	return events;
}

static char *next_text(size_t *ret_size)
{
	static char texts[8][128];
	static unsigned next;

	*ret_size = sizeof(texts[0]);
	return texts[next++ % 8];
}

static const char *class_of(int code)
{
	switch (code) {
	case KNIT_ECANCELLED:
		return "CancelledError";
	case EINVAL:
		return "ValueError";
	case ENOENT:
		return "KeyError";
	case EIO:
		return "RuntimeError";
	case ETIMEDOUT:
		return "TimeoutError";
	default:
		return knit_errname(code);
	}
}

const char *repr_error(int code, const char *message)
{
	size_t size;
	char *text = next_text(&size);

	if (message && strcmp(message, knit_strerror(code)) != 0)
		snprintf(text, size, "%s(%s)", class_of(code), message);
	else
		snprintf(text, size, "%s%s", class_of(code), code == KNIT_ECANCELLED ? "()" : "");
	return text;
}

const char *repr(intptr_t outcome)
{
	size_t size;
	char *text;

	if (knit_is_error(outcome))
		return repr_error((int)-outcome, knit_error_message(outcome));
	text = next_text(&size);
	snprintf(text, size, "%ld", (long)outcome);
	return text;
}

/* ---- running ----------------------------------------------------------------------- */

void run(knit_coro *main)
{
	intptr_t outcome = knit_run(main, NULL, .clock = KNIT_CLOCK_VIRTUAL);

	cr_assert_eq(outcome, 0, "%s", repr(outcome));
}

void ticks(int count)
{
	for (int i = 0; i < count; i++)
		cr_assert_eq(knit_sleep(0), 0);
}

knit_loop *loop_new(void)
{
	knit_loop *loop = knit_loop_new(.clock = KNIT_CLOCK_VIRTUAL);

	cr_assert_not_null(loop, "%s", strerror(errno));
	return loop;
}

/* ---- coroutines, callbacks --------------------------------------------------------- */

intptr_t return_arg(void *arg)
{
	return (intptr_t)arg;
}

intptr_t await_future(void *arg)
{
	return knit_await(knit_future_ref(arg));
}

intptr_t sleep_arg(void *arg)
{
	return knit_sleep((int64_t)(intptr_t)arg);
}

intptr_t sleep_forever(void *arg)
{
	(void)arg;
	return knit_sleep(KNIT_FOREVER);
}

void log_text(void *arg)
{
	trace("%s", (const char *)arg);
}

void count_up(void *arg)
{
	(*(int *)arg)++;
}

void count_done(knit_future *future, void *arg)
{
	(void)future;
	(*(int *)arg)++;
}

void log_done(knit_future *future, void *arg)
{
	(void)future;
	trace("%s", (const char *)arg);
}

void complete_with_1(void *future)
{
	(void)knit_future_set_result(future, 1);
}

void cancel_it(void *future)
{
	(void)knit_future_cancel(future, NULL);
}

void stop_loop(void *loop)
{
	knit_loop_stop(loop);
}

/* ---- the exception handler --------------------------------------------------------- */

void record_report(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	struct reports *reports = arg;

	(void)loop;
	reports->count++;
	reports->code = context->code;
	reports->line = context->line;
	reports->future = context->future;
	snprintf(reports->message, sizeof(reports->message), "%s", context->message);
	snprintf(reports->error, sizeof(reports->error), "%s",
	         context->error ? context->error : "");
	snprintf(reports->name, sizeof(reports->name), "%s", context->name ? context->name : "");
	snprintf(reports->file, sizeof(reports->file), "%s", context->file ? context->file : "");
}

void watch_reports(struct reports *reports)
{
	*reports = (struct reports){0};
	cr_assert_eq(
	        knit_loop_set_exception_handler(knit_get_running_loop(), record_report, reports),
	        0);
}

/* ---- outcomes that are owned ------------------------------------------------------- */

int results_freed, args_freed;
intptr_t last_result_freed;

void count_result(intptr_t outcome)
{
	results_freed++;
	last_result_freed = outcome;
}

void count_arg(void *arg)
{
	(void)arg;
	args_freed++;
}

/* ---- threads ----------------------------------------------------------------------- */

struct errand {
	void (*fn)(void *arg);
	void *arg;
};

static void *run_errand(void *arg)
{
	struct errand *errand = arg;

	errand->fn(errand->arg);
	return NULL;
}

void on_another_thread(void (*fn)(void *arg), void *arg)
{
	struct errand errand = {fn, arg};
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, run_errand, &errand), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
}

/* ---- shared by several subjects ----------------------------------------------------- */

intptr_t yield_and_return(void *arg)
{
	for (int i = 0; i < (int)(intptr_t)arg; i++) {
		int r = knit_sleep(0);

		if (r < 0)
			return r;
	}
	return (intptr_t)arg;
}

intptr_t fail_with(void *text)
{
	return knit_raise(EINVAL, "%s", (const char *)text);
}

knit_task *task_of(knit_coro *coro, const void *arg)
{
	knit_task *task = knit_create_task(coro, (void *)(uintptr_t)arg);

	cr_assert_not_null(task);
	return task;
}

knit_task *task_of_number(knit_coro *coro, intptr_t arg)
{
	knit_task *task = knit_create_task(coro, (void *)arg);

	cr_assert_not_null(task);
	return task;
}

int cancelling(void)
{
	return knit_task_cancelling(knit_current_task(NULL));
}

void log_errors(knit_task_group *group)
{
	const char *text;
	char list[512] = "";
	size_t used = 0;
	int code;

	while ((code = knit_task_group_next_error(group, NULL, &text)) > 0) {
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s'%s'",
		                         used ? ", " : "", repr_error(code, text));
		cr_assert_lt(used, sizeof(list));
	}
	cr_assert_eq(code, 0);
	trace("EG [%s]", list);
	knit_task_group_done(group);
}
