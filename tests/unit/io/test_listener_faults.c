/* SPDX-License-Identifier: MIT */
/* test_listener_faults.c - what the kernel may do to a multishot accept: end it at any time, run
 * out of something, not know it. Made by the seam of the engine.
 *
 * L11: "Multishot can end at any time; re-arm, but only when it has ended and not on fatal
 * errors": exactly one accept is in flight at all times, and a lasting error burns no CPU. */
#include <fcntl.h>
#include "base/alloc.h"
#include "loop/loop.h"
#include "rig.h"

/* The script: what the ends of the accept are made to look like. */
static struct {
	struct kn_engine *engine;
	int end_every;     /* the kernel ends it after so many connections; 0: never */
	int error;         /* how an end that was asked for looks; 0: as it is */
	int times;         /* so often, then the kernel is itself again; < 0: for ever */
	int connections;   /* that came */
	int ends, singles; /* of the accept; of those that were no multishot */
	int most;          /* accepts in flight at once */
	bool enough;       /* as many ends as a test waits for */
	int wanted;
} script;

static int accepts_in_flight(void)
{
	return (int)rig_in_flight();
}

static bool play(void *arg, const struct kn_op *op, int *result)
{
	(void)arg;
	if (op->opcode != KN_OP_ACCEPT)
		return true;
	if (accepts_in_flight() > script.most)
		script.most = accepts_in_flight();
	script.singles += !op->multishot;
	if (*result >= 0) {
		script.connections++;
		if (script.end_every && script.connections % script.end_every == 0)
			kn_engine_cancel(script.engine, (struct kn_op *)op);
		return true;
	}
	script.ends++;
	script.enough = script.ends >= script.wanted;
	if (*result == -ECANCELED && script.error && script.times) {
		*result = -script.error;
		script.times--;
	}
	return true;
}

static void begin_script(void)
{
	const struct kn_engine_faults faults = {.completion = play};

	script.engine = rig_engine();
	kn_engine_set_faults(script.engine, &faults);
}

static knit_listener *listen_on(int family, struct rig_address *ret)
{
	struct rig_address any = rig_any(family);
	knit_listener *listener = knit_listen(RIG_NAME(&any), any.length);

	cr_assert_not_null(listener);
	*ret = rig_name(knit_listener_fd(listener));
	begin_script();
	return listener;
}

static knit_listener *listen_at(struct rig_address *ret)
{
	return listen_on(AF_UNIX, ret);
}

static intptr_t take(struct rig_call *call)
{
	return knit_listener_accept(call->more, NULL, NULL);
}

/* ---- the exception handler ---- */

static int reports, last_code;
static knit_listener *to_close;

static void count_reports(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(void)arg;
	reports++;
	last_code = context->code;
	cr_assert_not_null(context->message);
	cr_assert_str_eq(context->error, knit_strerror(context->code));
	if (to_close)
		cr_assert_eq(knit_listener_close(to_close), 0);
	to_close = NULL;
}

static void listen_to_reports(void)
{
	reports = 0;
	knit_loop_set_exception_handler(knit_get_running_loop(), count_reports, NULL);
}

/* ---- it ends ---- */

#define CLIENTS 200

static intptr_t serves_all(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(&at);
	int served = 0;

	(void)arg;
	listen_to_reports();
	for (int i = 0; i < CLIENTS; i += 4) {
		int clients[4];

		for (int j = 0; j < 4; j++)
			clients[j] = rig_connected(&at);
		for (int j = 0; j < 4; j++) {
			int fd = knit_listener_accept(listener, NULL, NULL);

			cr_assert_geq(fd, 0, "%s", knit_errname(fd));
			close(fd);
			served++;
		}
		rig_close_all(clients, 4);
	}
	cr_assert_eq(served, CLIENTS);
	cr_assert_eq(script.connections, CLIENTS);
	cr_assert_eq(script.most, 1, "two accepts at once");
	cr_assert_eq(reports, 0, "nothing to tell of");
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener_faults, an_accept_that_the_kernel_ends_is_armed_again)
{
	static const int every[] = {1, 2, 3, 7};

	for (size_t i = 0; i < KN_ARRAY_SIZE(every); i++) {
		memset(&script, 0, sizeof(script));
		script.end_every = every[i];
		rig_run(serves_all, NULL);
		cr_assert_geq(script.ends, CLIENTS / 10, "it hardly ever ended");
	}
}

Test(io_listener_faults, connections_that_did_not_last_are_passed_over)
{
	static const int errors[] = {ECONNABORTED, EPROTO, EPERM, ENETDOWN, EINTR, EAGAIN};

	for (size_t i = 0; i < KN_ARRAY_SIZE(errors); i++) {
		memset(&script, 0, sizeof(script));
		script.end_every = 5;
		script.error = errors[i];
		script.times = 20;
		rig_run(serves_all, NULL);
		cr_assert_eq(script.times, 0);
	}
}

/* ---- a kernel without multishot accept ---- */

Test(io_listener_faults, EINVAL_falls_back_to_single_accepts)
{
	script.end_every = 1;
	script.error = EINVAL;
	script.times = 1;
	rig_run(serves_all, NULL);
	/* One of a pair of accepts may have been cut off by the script. */
	cr_assert_geq(script.singles, CLIENTS / 2);
}

static intptr_t never_valid(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_on(AF_INET, &at);
	struct rig_call call = {.make = take, .more = listener};
	knit_task *task;

	(void)arg;
	task = rig_start(&call);
	rig_yield(RIG_IN_KERNEL);
	/* What listens no more cannot accept, one by one neither. */
	cr_assert_eq(shutdown(knit_listener_fd(listener), SHUT_RDWR), 0);
	rig_finish(task);
	cr_assert_eq(call.result, -EINVAL);
	cr_assert_eq(script.singles, 1, "one attempt");
	for (int i = 0; i < 50; i++)
		cr_assert_eq(knit_listener_accept(listener, NULL, NULL), -EINVAL);
	cr_assert_eq(script.ends, 2, "and no more");
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener_faults, a_socket_of_no_more_use_says_so_each_time)
{
	rig_run(never_valid, NULL);
}

/* Errors that will not go away. The kernel says so when the accept ends. */
static intptr_t fatal(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(&at);
	int client = rig_connected(&at), ends;

	(void)arg;
	close(knit_listener_accept(listener, NULL, NULL));
	cr_assert_eq(knit_listener_accept(listener, NULL, NULL), -script.error);
	ends = script.ends;
	cr_assert_eq(knit_listener_accept(listener, NULL, NULL), -script.error);
	rig_yield(10);
	cr_assert_eq(script.ends, ends, "it was tried again");
	cr_assert_eq(rig_in_flight(), 0);
	close(client);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener_faults, a_fatal_error_is_told_and_not_tried_again)
{
	static const int errors[] = {EBADF, ENOTSOCK, EOPNOTSUPP, EFAULT};

	for (size_t i = 0; i < KN_ARRAY_SIZE(errors); i++) {
		memset(&script, 0, sizeof(script));
		script.end_every = 1;
		script.error = errors[i];
		script.times = -1;
		rig_run(fatal, NULL);
	}
}

static intptr_t queue_before_error(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_on(AF_INET, &at);
	int clients[5];

	(void)arg;
	for (int i = 0; i < 5; i++)
		clients[i] = rig_connected(&at);
	close(knit_listener_accept(listener, NULL, NULL));
	rig_yield(10);
	shutdown(knit_listener_fd(listener), SHUT_RDWR);
	rig_yield(10);
	for (int i = 1; i < 5; i++) {
		int fd = knit_listener_accept(listener, NULL, NULL);

		cr_assert_geq(fd, 0, "it was accepted already: %s", knit_errname(fd));
		close(fd);
	}
	cr_assert_eq(knit_listener_accept(listener, NULL, NULL), -EINVAL);
	rig_close_all(clients, 5);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener_faults, what_was_accepted_comes_before_the_error)
{
	rig_run(queue_before_error, NULL);
}

/* Who asks in a circle is told in a circle, and the others run. */
static intptr_t asks_on(struct rig_call *call)
{
	intptr_t r;

	do {
		r = knit_listener_accept(call->more, NULL, NULL);
		call->size++;
	} while (r == -EINVAL && call->size < 100000);
	return r;
}

static intptr_t lasting_error(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_on(AF_INET, &at);
	struct rig_call call = {.make = asks_on, .more = listener};
	knit_task *task;

	(void)arg;
	shutdown(knit_listener_fd(listener), SHUT_RDWR);
	task = rig_start(&call);
	rig_yield(20);
	cr_assert(knit_task_cancel(task, NULL));
	rig_finish(task);
	cr_assert_eq(call.result, -KNIT_ECANCELLED);
	cr_assert_lt(call.size, 100);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener_faults, a_lasting_error_keeps_nobody_from_being_cancelled)
{
	rig_run(lasting_error, NULL);
}

/* ---- out of resources ---- */

/* Ends by ENOBUFS so often; each time the listener pauses. The clock is virtual: it jumps to
 * the end of the pause. */
static intptr_t out_of_something(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(&at);
	int64_t start = knit_loop_time(NULL);
	int client, fd;

	(void)arg;
	listen_to_reports();
	client = rig_connected(&at);
	script.end_every = 1;
	fd = knit_listener_accept(listener, NULL, NULL);
	cr_assert_geq(fd, 0);
	close(fd);
	close(client);
	/* From here on each attempt ends. */
	for (int i = 0; i < 6; i++) {
		client = rig_connected(&at);
		fd = knit_listener_accept(listener, NULL, NULL);
		cr_assert_geq(fd, 0, "%s", knit_errname(fd));
		close(fd);
		close(client);
	}
	cr_assert_eq(last_code, script.error);
	cr_assert_geq(reports, 1);
	cr_assert_geq(knit_loop_time(NULL) - start, 100 * KNIT_MS, "there was no pause");
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener_faults, out_of_buffers_it_pauses_and_goes_on)
{
	static const int errors[] = {ENOBUFS, ENOMEM, EMFILE, ENFILE, EXFULL};

	for (size_t i = 0; i < KN_ARRAY_SIZE(errors); i++) {
		memset(&script, 0, sizeof(script));
		script.error = errors[i];
		script.times = -1;
		cr_assert_eq(knit_run(out_of_something, NULL, .clock = KNIT_CLOCK_VIRTUAL_JUMP), 0);
	}
}

/* ---- out of descriptors: real ones ---- */

#define DESCRIPTORS 64

/* Takes all that there are / gives them back. The limit itself is there before: an accept that is
 * armed goes by that of the time when it was. */
static void hog_descriptors(bool hog)
{
	static int hogged[DESCRIPTORS], count;

	while (hog && (hogged[count] = dup(0)) >= 0)
		count++;
	while (!hog && count)
		close(hogged[--count]);
}

static struct {
	int64_t when[64];
	int count;
} attempts;

static bool note_attempts(void *arg, const struct kn_op *op, int *result)
{
	(void)arg;
	if (op->opcode == KN_OP_ACCEPT && *result == -EMFILE && attempts.count < 64)
		attempts.when[attempts.count++] = knit_loop_time(NULL);
	return true;
}

static void shortage_again(const struct rig_address *at, struct rig_call *call)
{
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	knit_task *task;

	attempts.count = 0;
	hog_descriptors(true);
	cr_assert_eq(connect(client, RIG_NAME(at), at->length), 0);
	task = rig_start(call);
	cr_assert_eq(knit_sleep(150 * KNIT_MS), 0);
	cr_assert_eq(attempts.count, 2, "%d", attempts.count);
	cr_assert_eq(attempts.when[1] - attempts.when[0], 100 * KNIT_MS);
	hog_descriptors(false);
	rig_finish(task);
	cr_assert_geq(call->result, 0);
	close((int)call->result);
	close(client);
}

/* The clock is virtual, and jumps to each attempt. */
static intptr_t pauses(void *arg)
{
	static const int tenths[] = {0, 1, 3, 7, 15, 25, 35, 45};
	const struct kn_engine_faults faults = {.completion = note_attempts};
	struct rig_address at;
	knit_listener *listener = listen_at(&at);
	struct rig_call call = {.make = take, .more = listener};
	knit_task *task;
	int client = rig_connected(&at);

	(void)arg;
	kn_engine_set_faults(rig_engine(), &faults);
	listen_to_reports();
	hog_descriptors(true);
	task = rig_start(&call);
	cr_assert_eq(knit_sleep(5 * KNIT_S), 0);
	cr_assert_not(call.done, "its caller just waits");
	cr_assert_eq(attempts.count, (int)KN_ARRAY_SIZE(tenths));
	for (size_t i = 0; i < KN_ARRAY_SIZE(tenths); i++)
		cr_assert_eq(attempts.when[i], tenths[i] * 100 * KNIT_MS, "attempt %zu", i);
	cr_assert_eq(reports, 1, "told once");
	cr_assert_eq(last_code, EMFILE);
	hog_descriptors(false);
	rig_finish(task);
	cr_assert_geq(call.result, 0);
	cr_assert_leq(knit_loop_time(NULL), 6 * KNIT_S);
	close((int)call.result);
	close(client);

	/* Another shortage soon after is the same one: tried again soon, but not told. */
	shortage_again(&at, &call);
	cr_assert_eq(reports, 1);
	/* One after a while is another. */
	cr_assert_eq(knit_sleep(3 * KNIT_S), 0);
	shortage_again(&at, &call);
	cr_assert_eq(reports, 2);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener_faults, out_of_descriptors_it_tells_once_and_tries_again_ever_more_slowly)
{
	rig_limit_descriptors(DESCRIPTORS);
	cr_assert_eq(knit_run(pauses, NULL, .clock = KNIT_CLOCK_VIRTUAL_JUMP), 0);
}

/* Whoever is told of the shortage may close the listener at once. */
static intptr_t closed_when_told(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(&at);
	struct rig_call call = {.make = take, .more = listener};
	int client = rig_connected(&at);
	knit_task *task;

	(void)arg;
	listen_to_reports();
	to_close = listener;
	hog_descriptors(true);
	task = rig_start(&call);
	rig_finish(task);
	hog_descriptors(false);
	cr_assert_eq(call.result, -EBADF);
	cr_assert_eq(reports, 1);
	close(client);
	rig_yield(5);
	return 0;
}

Test(io_listener_faults, the_handler_may_close_the_listener)
{
	rig_limit_descriptors(DESCRIPTORS);
	rig_run(closed_when_told, NULL);
}

static intptr_t closed_while_pausing(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(&at);
	struct rig_call call = {.make = take, .more = listener};
	int client = rig_connected(&at);
	knit_task *task;

	(void)arg;
	listen_to_reports();
	hog_descriptors(true);
	task = rig_start(&call);
	while (!reports)
		rig_yield(1);
	hog_descriptors(false);
	cr_assert_eq(knit_listener_close(listener), 0);
	rig_finish(task);
	cr_assert_eq(call.result, -EBADF);
	close(client);
	/* Its timer is gone with it. */
	cr_assert_eq(kn_self.loop->timers.count, 0);
	return 0;
}

Test(io_listener_faults, it_can_be_closed_while_it_pauses)
{
	rig_limit_descriptors(DESCRIPTORS);
	rig_run(closed_while_pausing, NULL);
}

/* ---- out of memory ---- */

static bool fail_at_end(void *arg, const struct kn_op *op, int *result)
{
	play(arg, op, result);
	if (op->opcode == KN_OP_ACCEPT && *result == -ENOBUFS)
		kn_alloc_fail_after(0);
	return true;
}

static intptr_t no_timer(void *arg)
{
	const struct kn_engine_faults faults = {.completion = fail_at_end};
	struct rig_address at;
	knit_listener *listener = listen_at(&at);
	struct rig_call calls[2] = {{.make = take, .more = listener},
	                            {.make = take, .more = listener}};
	knit_task *tasks[2] = {rig_start(&calls[0]), rig_start(&calls[1])};
	int client;

	(void)arg;
	listen_to_reports();
	kn_engine_set_faults(rig_engine(), &faults);
	script.end_every = 1;
	script.error = ENOBUFS;
	script.times = 1;
	rig_yield(RIG_IN_KERNEL);
	client = rig_connected(&at);
	rig_finish(tasks[0]);
	cr_assert_geq(calls[0].result, 0);
	rig_finish(tasks[1]);
	kn_alloc_fail_after(-1);
	cr_assert_eq(calls[1].result, -ENOMEM, "%s", knit_errname((int)calls[1].result));
	rig_close_all((int[]){client, (int)calls[0].result}, 2);
	/* That was all: the next is served. */
	client = rig_connected(&at);
	calls[0].result = knit_listener_accept(listener, NULL, NULL);
	cr_assert_geq(calls[0].result, 0);
	rig_close_all((int[]){client, (int)calls[0].result}, 2);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener_faults, without_memory_to_pause_callers_are_told_and_the_next_tries_again)
{
	rig_run(no_timer, NULL);
}

static intptr_t no_operation(void *arg)
{
	struct rig_address at;
	int low = rig_listening(AF_UNIX, 5, &at), high = dup3(low, 700, O_CLOEXEC), client, fd;
	knit_listener *listener;

	(void)arg;
	close(low);
	listener = knit_listener_new(high);
	cr_assert_not_null(listener);
	client = rig_connected(&at);
	/* The engine has no place yet for operations on a number as high. */
	kn_alloc_fail_after(0);
	fd = knit_listener_accept(listener, NULL, NULL);
	kn_alloc_fail_after(-1);
	cr_assert_eq(fd, -ENOMEM);
	fd = knit_listener_accept(listener, NULL, NULL);
	cr_assert_geq(fd, 0, "%s", knit_errname(fd));
	rig_close_all((int[]){client, fd}, 2);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener_faults, without_memory_for_the_accept_the_next_tries_again)
{
	rig_run(no_operation, NULL);
}

static intptr_t no_queue(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(&at);
	int clients[3], fd;
	char byte;

	(void)arg;
	clients[0] = rig_connected(&at);
	close(knit_listener_accept(listener, NULL, NULL));
	clients[1] = rig_connected(&at);
	kn_alloc_fail_after(0);
	rig_yield(5);
	kn_alloc_fail_after(-1);
	cr_assert_eq(recv(clients[1], &byte, 1, 0), 0, "it was hung up on");
	clients[2] = rig_connected(&at);
	fd = knit_listener_accept(listener, NULL, NULL);
	cr_assert_geq(fd, 0);
	close(fd);
	rig_close_all(clients, 3);
	fd = rig_listening(AF_UNIX, 1, NULL);
	kn_alloc_fail_after(0);
	cr_assert_null(knit_listener_new(fd));
	kn_alloc_fail_after(-1);
	cr_assert_eq(errno, ENOMEM);
	close(fd);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener_faults, without_memory_for_the_queue_a_connection_is_hung_up_on)
{
	rig_run(no_queue, NULL);
}
