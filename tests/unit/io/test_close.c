/* SPDX-License-Identifier: MIT */
/* test_close.c - knit_close: what is in flight on the descriptor ends first, and one task closes.
 *
 * L5: "close(fd) does not cancel pending operations, sends no FIN, and the number can be
 * reused." */
#include <fcntl.h>
#include <poll.h>
#include "loop/loop.h"
#include "rig.h"

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* ---- what is in flight ---- */

static intptr_t one_operation(void *arg)
{
	char buffer[8], byte;
	int pair[2];
	struct rig_call call = {.make = rig_recv, .buffer = buffer, .size = sizeof(buffer)};
	knit_task *task;

	rig_pair((int)(intptr_t)arg, pair);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(knit_close(pair[0]), 0);
	cr_assert_not(is_open(pair[0]));
	cr_assert_eq(rig_in_flight(), 0, "the kernel has let go");
	/* The peer learns of it at once: nothing holds the socket any more. */
	cr_assert_eq(recv(pair[1], &byte, 1, MSG_DONTWAIT), 0, "no FIN");
	rig_finish(task);
	cr_assert_eq(call.result, -EBADF);
	cr_assert_eq(call.next, 0);
	close(pair[1]);
	return 0;
}

Test(io_close, ends_the_operation_in_flight_and_the_peer_sees_the_end)
{
	rig_run(one_operation, (void *)AF_UNIX);
	rig_run(one_operation, (void *)AF_INET);
}

#define MANY 50

static intptr_t many_operations(void *arg)
{
	static struct rig_call calls[MANY];
	static char buffers[MANY][8];
	knit_task *tasks[MANY];
	int pair[2];

	(void)arg;
	rig_pair(AF_UNIX, pair);
	rig_narrow(pair[0], 1);
	rig_fill(pair[0]);
	for (int i = 0; i < MANY; i++) {
		static intptr_t (*const makes[])(struct rig_call *) = {rig_recv, rig_poll,
		                                                       rig_sendall, rig_read};

		calls[i] = (struct rig_call){
		        .make = makes[i % 4], .fd = pair[0], .buffer = buffers[i], .size = 8};
		if (calls[i].make == rig_poll)
			calls[i].size = POLLIN;
		tasks[i] = rig_start(&calls[i]);
	}
	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(rig_in_flight(), MANY);
	cr_assert_eq(knit_close(pair[0]), 0);
	cr_assert_eq(rig_in_flight(), 0);
	for (int i = 0; i < MANY; i++) {
		rig_finish(tasks[i]);
		cr_assert_eq(calls[i].result, -EBADF, "%d: %s", i,
		             knit_errname((int)calls[i].result));
	}
	close(pair[1]);
	return 0;
}

Test(io_close, ends_many_operations_of_all_kinds)
{
	rig_run(many_operations, NULL);
	rig_run_on(many_operations, NULL, 8, 16);
}

/* Not yet in the kernel when it is closed: neither is the number met again by it. */
static intptr_t just_begun(void *arg)
{
	char buffer[8] = "";
	int pair[2];
	struct rig_call call = {.make = rig_recv, .buffer = buffer, .size = sizeof(buffer)};
	knit_task *task;

	(void)arg;
	rig_pair(AF_UNIX, pair);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_yield(1);
	cr_assert_eq(knit_close(pair[0]), 0);
	rig_finish(task);
	cr_assert_eq(call.result, -EBADF);
	close(pair[1]);
	return 0;
}

Test(io_close, ends_an_operation_that_has_not_reached_the_kernel)
{
	rig_run(just_begun, NULL);
}

static intptr_t data_first(void *arg)
{
	char buffer[8];
	int pair[2];
	struct rig_call call = {.make = rig_recv, .buffer = buffer, .size = sizeof(buffer)};
	knit_task *task;

	(void)arg;
	rig_pair(AF_UNIX, pair);
	cr_assert_eq(send(pair[1], "data", 4, 0), 4);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_yield(1);
	cr_assert_eq(knit_close(pair[0]), 0);
	rig_finish(task);
	cr_assert_eq(call.result, 4, "what it got is returned");
	cr_assert_eq(call.next, 0);
	close(pair[1]);
	return 0;
}

Test(io_close, an_operation_that_has_succeeded_keeps_its_result)
{
	rig_run(data_first, NULL);
}

/* ---- the number ---- */

static intptr_t closes(struct rig_call *call)
{
	return knit_close(call->fd);
}

/* L5, the third part: the number goes to another socket at once, which has data. */
static intptr_t reused(void *arg)
{
	char old[8], new[8] = "";
	int pair[2], other[2], number;
	struct rig_call call = {.make = rig_recv, .buffer = old, .size = sizeof(old)};
	knit_task *task;

	(void)arg;
	for (int round = 0; round < 20; round++) {
		memset(old, 0x5a, sizeof(old));
		rig_pair(AF_UNIX, pair);
		rig_pair(AF_UNIX, other);
		call.fd = number = pair[0];
		task = rig_start(&call);
		rig_yield(round % 4 + 1);
		cr_assert_eq(knit_close(number), 0);
		cr_assert_eq(dup3(other[0], number, O_CLOEXEC), number);
		cr_assert_eq(send(other[1], "new", 3, 0), 3);
		cr_assert_eq(knit_sock_recv(number, new, 8), 3, "the new one's data");
		rig_finish(task);
		cr_assert_eq(call.result, -EBADF);
		cr_assert_eq((unsigned char)old[0], 0x5a);
		rig_close_all((int[]){number, pair[1], other[0], other[1]}, 4);
	}
	return 0;
}

Test(io_close, the_number_can_be_reused_at_once)
{
	rig_run(reused, NULL);
}

/* ---- two tasks ---- */

static intptr_t at_once(void *arg)
{
	char buffer[8];
	int pair[2];
	struct rig_call receiver = {.make = rig_recv, .buffer = buffer, .size = 8};
	struct rig_call closers[3];
	knit_task *task, *closing[3];
	int successes = 0;

	(void)arg;
	rig_pair(AF_UNIX, pair);
	receiver.fd = pair[0];
	task = rig_start(&receiver);
	rig_yield(RIG_IN_KERNEL);
	for (int i = 0; i < 3; i++) {
		closers[i] = (struct rig_call){.make = closes, .fd = pair[0]};
		closing[i] = rig_start(&closers[i]);
	}
	for (int i = 0; i < 3; i++) {
		rig_finish(closing[i]);
		successes += closers[i].result == 0;
		cr_assert(closers[i].result == 0 || closers[i].result == -EBADF);
	}
	cr_assert_eq(successes, 1);
	rig_finish(task);
	close(pair[1]);
	return 0;
}

Test(io_close, of_several_tasks_that_close_one_does)
{
	rig_run(at_once, NULL);
}

struct opener {
	int fd, opened, result;
};

/* What a server does: whose recv ends closes the connection; and goes on to open another. */
static intptr_t recv_then_close(void *arg)
{
	struct opener *opener = arg;
	char byte;

	cr_assert_eq(knit_sock_recv(opener->fd, &byte, 1), -EBADF);
	opener->result = knit_close(opener->fd);
	opener->opened = rig_file();
	return 0;
}

static intptr_t closed_between(void *arg)
{
	int pair[2];
	struct opener opener = {.opened = -1};
	knit_task *task;

	(void)arg;
	rig_pair(AF_UNIX, pair);
	opener.fd = pair[0];
	task = knit_create_task(recv_then_close, &opener);
	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(knit_close(pair[0]), 0, "whoever was first closes");
	cr_assert_eq(knit_await(task), 0);
	cr_assert_eq(opener.result, -EBADF, "the other learns that it is being closed");
	cr_assert(is_open(opener.opened), "somebody else's descriptor was closed");
	close(opener.opened);
	close(pair[1]);
	return 0;
}

Test(io_close, the_task_whose_call_it_ended_cannot_close_before_it)
{
	rig_run(closed_between, NULL);
}

/* ---- what is begun meanwhile ---- */

struct reader {
	int fd, received, refused;
};

static intptr_t read_on(void *arg)
{
	struct reader *reader = arg;
	char buffer[16];

	/* Data or not, it comes again. */
	while (reader->received + reader->refused < 10000) {
		intptr_t n = knit_sock_recv(reader->fd, buffer, sizeof(buffer));

		if (n <= 0) {
			cr_assert_eq(n, -EBADF);
			if (++reader->refused == 5)
				break;
		} else {
			reader->received++;
		}
	}
	return 0;
}

/* Gets its turn after the reader of this pass, whose next call is in flight then. */
static intptr_t poll_then_close(struct rig_call *call)
{
	cr_assert_eq(knit_poll(call->fd, POLLIN), POLLIN);
	cr_assert_eq(rig_in_flight(), 1);
	return knit_close(call->fd);
}

/* The kernel prefers data over a cancellation; a peer that always has data could else keep a
 * descriptor from ever being closed. */
static intptr_t flooded(void *arg)
{
	int pair[2];
	struct reader reader = {0};
	struct rig_call closer = {.make = poll_then_close};
	knit_task *tasks[2];

	(void)arg;
	rig_pair(AF_UNIX, pair);
	rig_fill(pair[1]);
	reader.fd = closer.fd = pair[0];
	tasks[0] = knit_create_task(read_on, &reader);
	tasks[1] = rig_start(&closer);
	rig_finish(tasks[1]);
	cr_assert_eq(closer.result, 0);
	cr_assert_lt(reader.received, 20, "the reader went on");
	rig_finish(tasks[0]);
	cr_assert_eq(reader.refused, 5);
	close(pair[1]);
	return 0;
}

Test(io_close, what_is_begun_while_it_closes_is_EBADF_even_if_there_is_data)
{
	rig_run(flooded, NULL);
}

static bool slow_polls(void *arg, const struct kn_op *op, int *result)
{
	(void)result;
	return op->opcode != KN_OP_POLL || !*(bool *)arg;
}

/* It takes many passes until the kernel has let go of all; there is data all the time. */
static intptr_t takes_long(void *arg)
{
	bool slow = true;
	const struct kn_engine_faults faults = {.completion = slow_polls, .arg = &slow};
	char buffer[8];
	int pair[2];
	struct rig_call poll = {.make = rig_poll, .size = POLLPRI}, closer = {.make = closes};
	struct rig_call reader = {.make = rig_recv, .buffer = buffer, .size = sizeof(buffer)};
	knit_task *tasks[2];

	(void)arg;
	rig_pair(AF_UNIX, pair);
	cr_assert_eq(send(pair[1], "data", 4, 0), 4);
	poll.fd = closer.fd = reader.fd = pair[0];
	tasks[0] = rig_start(&poll);
	rig_yield(RIG_IN_KERNEL);
	kn_engine_set_faults(rig_engine(), &faults);
	tasks[1] = rig_start(&closer);
	rig_yield(3);
	for (int i = 0; i < 5; i++) {
		knit_task *task = rig_start(&reader);

		rig_finish(task);
		cr_assert_eq(reader.result, -EBADF, "it got %ld bytes", (long)reader.result);
	}
	cr_assert_eq(knit_close(pair[0]), -EBADF);
	cr_assert_not(closer.done);
	slow = false;
	for (int i = 0; i < 2; i++)
		rig_finish(tasks[i]);
	cr_assert_eq(closer.result, 0);
	cr_assert_eq(poll.result, -EBADF);
	kn_engine_set_faults(rig_engine(), NULL);
	close(pair[1]);
	return 0;
}

Test(io_close, what_is_begun_is_EBADF_however_long_the_closing_takes)
{
	rig_run(takes_long, NULL);
}

static intptr_t listens_meanwhile(void *arg)
{
	int listening = rig_listening(AF_INET, 1, NULL);
	struct rig_call accept = {.make = rig_accept, .fd = listening};
	struct rig_call close = {.make = closes, .fd = listening};
	knit_task *tasks[2] = {rig_start(&accept), NULL};

	(void)arg;
	rig_yield(RIG_IN_KERNEL);
	tasks[1] = rig_start(&close);
	rig_yield(1);
	cr_assert_not(close.done);
	cr_assert_null(knit_listener_new(listening), "somebody is closing it");
	cr_assert_eq(errno, EBADF);
	for (int i = 0; i < 2; i++)
		rig_finish(tasks[i]);
	cr_assert_eq(close.result, 0);
	cr_assert_eq(accept.result, -EBADF);
	return 0;
}

Test(io_close, no_listener_is_made_of_a_descriptor_that_is_being_closed)
{
	rig_run(listens_meanwhile, NULL);
}

/* ---- cancellation ---- */

static intptr_t cancelled_closer(void *arg)
{
	char buffer[8];
	int pair[2];
	struct rig_call receiver = {.make = rig_recv, .buffer = buffer, .size = 8};
	struct rig_call closer = {.make = closes};
	knit_task *tasks[2];

	(void)arg;
	rig_pair(AF_UNIX, pair);
	receiver.fd = closer.fd = pair[0];
	tasks[0] = rig_start(&receiver);
	rig_yield(RIG_IN_KERNEL);
	tasks[1] = rig_start(&closer);
	rig_yield(1);
	cr_assert(knit_task_cancel(tasks[1], "enough"));
	rig_finish(tasks[1]);
	cr_assert_eq(closer.result, 0, "closing cannot be cancelled");
	cr_assert_eq(closer.next, -KNIT_ECANCELLED, "the request stays pending");
	cr_assert_str_eq(closer.message, "enough");
	cr_assert_not(is_open(pair[0]));
	rig_finish(tasks[0]);
	cr_assert_eq(receiver.result, -EBADF);
	close(pair[1]);
	return 0;
}

Test(io_close, cannot_be_cancelled_and_the_request_stays_pending)
{
	rig_run(cancelled_closer, NULL);
}

static intptr_t close_itself_cancelled(struct rig_call *call)
{
	knit_task_cancel(knit_current_task(NULL), "from within");
	return knit_close(call->fd);
}

static intptr_t cancelled_before(void *arg)
{
	char buffer[8];
	int pair[2];
	struct rig_call receiver = {.make = rig_recv, .buffer = buffer, .size = 8};
	struct rig_call closer = {.make = close_itself_cancelled};
	knit_task *tasks[2];

	(void)arg;
	rig_pair(AF_UNIX, pair);
	receiver.fd = closer.fd = pair[0];
	tasks[0] = rig_start(&receiver);
	rig_yield(RIG_IN_KERNEL);
	tasks[1] = rig_start(&closer);
	rig_finish(tasks[1]);
	cr_assert_eq(closer.result, 0);
	cr_assert_eq(closer.next, -KNIT_ECANCELLED);
	cr_assert_str_eq(closer.message, "from within");
	rig_finish(tasks[0]);
	close(pair[1]);
	return 0;
}

Test(io_close, works_in_a_task_that_was_cancelled_before)
{
	rig_run(cancelled_before, NULL);
}

static intptr_t cancelled_operation(void *arg)
{
	char buffer[8];
	int pair[2];
	struct rig_call receiver = {.make = rig_recv, .buffer = buffer, .size = 8};
	knit_task *task;

	(void)arg;
	rig_pair(AF_UNIX, pair);
	receiver.fd = pair[0];
	task = rig_start(&receiver);
	rig_yield(RIG_IN_KERNEL);
	cr_assert(knit_task_cancel(task, "first"));
	cr_assert_eq(knit_close(pair[0]), 0);
	rig_finish(task);
	cr_assert_eq(receiver.result, -KNIT_ECANCELLED);
	cr_assert_str_eq(receiver.message, "first");
	cr_assert_eq(receiver.next, 0);
	close(pair[1]);
	return 0;
}

Test(io_close, an_operation_that_was_cancelled_too_says_so)
{
	rig_run(cancelled_operation, NULL);
}

/* ---- refusals ---- */

static void close_in_callback(void *arg)
{
	struct rig_call *call = arg;

	call->result = knit_close(call->fd);
	call->done = true;
}

static intptr_t callbacks(void *arg)
{
	char buffer[8] = "";
	int pair[2];
	struct rig_call receiver = {.make = rig_recv, .buffer = buffer, .size = 8};
	struct rig_call closer = {.done = false};
	knit_task *task;

	(void)arg;
	rig_pair(AF_UNIX, pair);
	receiver.fd = closer.fd = pair[0];
	task = rig_start(&receiver);
	rig_yield(RIG_IN_KERNEL);
	knit_loop_call_soon(NULL, close_in_callback, &closer);
	rig_until(&closer.done);
	cr_assert_eq(closer.result, -KNIT_ENOTASK);
	cr_assert(is_open(pair[0]));
	rig_yield(5);
	cr_assert_not(receiver.done, "nothing was done");
	cr_assert_eq(send(pair[1], "alive", 5, 0), 5);
	rig_finish(task);
	cr_assert_eq(receiver.result, 5);
	closer.done = false;
	knit_loop_call_soon(NULL, close_in_callback, &closer);
	rig_until(&closer.done);
	cr_assert_eq(closer.result, 0, "nothing is in flight any more");
	cr_assert_not(is_open(pair[0]));
	close(pair[1]);
	return 0;
}

Test(io_close, in_a_callback_does_nothing_while_operations_are_in_flight)
{
	rig_run(callbacks, NULL);
}

static intptr_t accept_one(struct rig_call *call)
{
	return knit_listener_accept(call->more, NULL, NULL);
}

static intptr_t listeners(void *arg)
{
	struct rig_address any = rig_any(AF_INET);
	knit_listener *listener = knit_listen(RIG_NAME(&any), any.length);
	int fd = knit_listener_fd(listener);
	struct rig_call call = {.make = accept_one, .more = listener};
	knit_task *task;

	(void)arg;
	cr_assert_eq(knit_close(fd), -EBUSY, "nobody has asked for a connection yet");
	task = rig_start(&call);
	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(knit_close(fd), -EBUSY);
	cr_assert(is_open(fd));
	cr_assert_not(call.done);
	cr_assert_eq(knit_listener_close(listener), 0);
	rig_finish(task);
	cr_assert_eq(knit_close(fd), -EBADF, "gone with its listener");
	return 0;
}

Test(io_close, a_listeners_descriptor_is_EBUSY_whether_it_accepts_or_not)
{
	rig_run(listeners, NULL);
}

static intptr_t the_loops_own(void *arg)
{
	(void)arg;
	cr_assert_eq(knit_close(kn_self.loop->wake_fd), -EBUSY);
	return 0;
}

Test(io_close, the_loops_own_descriptor_is_EBUSY)
{
	rig_run(the_loops_own, NULL);
}
