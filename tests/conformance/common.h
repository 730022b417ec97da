/* SPDX-License-Identifier: MIT */
/* common.h - what the conformance tests share: the trace of events, asyncio's spelling of
 * outcomes, and small coroutines and callbacks.
 *
 * A scenario logs events and compares them, joined by " | ", with what asyncio logged. Where
 * the recorded text holds a Python exception, repr() writes the outcome in its place:
 *
 *   ValueError(x)        -EINVAL with the text x        KeyError(x)   -ENOENT with the text x
 *   RuntimeError(x)      -EIO with the text x           TimeoutError  -ETIMEDOUT
 *   CancelledError(x)    -KNIT_ECANCELLED with the text x, () without one
 *
 * as far as the program raised it. What asyncio itself raises is a code of knit's own, written
 * by its name: RuntimeError('This event loop is already running') is KNIT_ERUNNING. */
#ifndef CONFORMANCE_COMMON_H
#define CONFORMANCE_COMMON_H
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include "knit/group.h"
#include "knit/loop.h"
#include "knit/task.h"
#include "knit/thread.h"
#include "test.h"

/* ---- the trace (one thread at a time) ---------------------------------------------- */

/* Adds an event. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The events so far. */
const char *trace_text(void);

#define assert_trace(expected) cr_assert_str_eq(trace_text(), (expected), "%s", trace_text())

/* How Python writes it; valid until seven further calls. */
const char *repr(intptr_t outcome);

/* As above, for a failure of which the code and, perhaps, the text are known. */
const char *repr_error(int code, const char *text);

static inline const char *yes(bool condition)
{
	return condition ? "True" : "False";
}

/* ---- running ----------------------------------------------------------------------- */

/* Coroutines and callbacks that need no argument. */
#define CORO(name)     static intptr_t name(void *unused __attribute__((unused)))
#define CALLBACK(name) static void name(void *unused __attribute__((unused)))

/* Runs @main under the virtual clock. The test fails unless it returns 0. */
void run(knit_coro *main);

/* Lets @count passes go by. The test fails if it is cancelled meanwhile. */
void ticks(int count);

/* A loop on the virtual clock. */
knit_loop *loop_new(void);

/* ---- coroutines, callbacks --------------------------------------------------------- */

intptr_t return_arg(void *arg);   /* returns its argument as the outcome */
intptr_t await_future(void *arg); /* awaits a future, of which it takes a reference */
intptr_t sleep_arg(void *arg);    /* knit_sleep() of its argument, in ns */
intptr_t sleep_forever(void *arg);
intptr_t yield_and_return(void *arg); /* yields as often as the number says, and returns it */
intptr_t fail_with(void *text);       /* -EINVAL with the text */

/* A task; the test fails if there is none. The argument is a pointer, or a number. */
knit_task *task_of(knit_coro *coro, const void *arg);
knit_task *task_of_number(knit_coro *coro, intptr_t arg);

int cancelling(void);                    /* knit_task_cancelling() of the running task */
void log_errors(knit_task_group *group); /* as Python writes a list of them; ends the group */

void log_text(void *arg);                        /* logs the string */
void count_up(void *arg);                        /* adds 1 to the int */
void count_done(knit_future *future, void *arg); /* the same as a done-callback */
void log_done(knit_future *future, void *arg);   /* logs the string */
void complete_with_1(void *future);              /* sets the result 1 */
void cancel_it(void *future);                    /* cancels without a text */
void stop_loop(void *loop);

/* ---- the exception handler --------------------------------------------------------- */

/* What the last report said, and how many there were. */
struct reports {
	int count;
	int code, line;
	char message[128], error[128], name[64], file[128];
	knit_future *future; /* only to compare */
};

/* The handler; its argument is a struct reports. */
void record_report(knit_loop *loop, const knit_exception_context *context, void *arg);

/* Sets it on the running loop. */
void watch_reports(struct reports *reports);

/* ---- outcomes that are owned ------------------------------------------------------- */

/* A result_free and an arg_free that count. */
extern int results_freed, args_freed;
extern intptr_t last_result_freed;
void count_result(intptr_t outcome);
void count_arg(void *arg);

/* ---- threads ----------------------------------------------------------------------- */

/* Runs @fn(@arg) on a thread of its own, to its end. It checks with cr_expect_*. */
void on_another_thread(void (*fn)(void *arg), void *arg);
#endif
