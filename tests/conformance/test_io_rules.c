/* SPDX-License-Identifier: MIT */
/* test_io_rules.c - rules 105 and 106, scenario S57: cancelling what the kernel is at work on. */
#include "common.h"
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "knit/file.h"
#include "knit/socket.h"

/* What a task received, and whether a cancellation came after it. */
struct reception {
	int fd;
	char buffer[16];
	intptr_t received, afterwards;
};

static intptr_t receive(void *arg)
{
	struct reception *reception = arg;

	reception->received = knit_sock_recv(reception->fd, reception->buffer,
	                                     sizeof(reception->buffer));
	reception->afterwards = knit_sleep(0);
	return reception->received;
}

static intptr_t accept_one(void *arg)
{
	return knit_sock_accept(*(int *)arg, NULL, NULL);
}

static intptr_t wait_readable(void *arg)
{
	return knit_poll(*(int *)arg, 0x001 /* POLLIN */);
}

/* Cancels @task while the kernel waits for it. */
static void cancel_in_the_kernel(knit_task *task)
{
	ticks(2);
	cr_assert(knit_task_cancel(task, "enough"));
	trace("%s", repr(knit_await(task)));
}

/* A socket that listens on a port that the kernel has chosen. */
static int listener(struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_in){.sin_family = AF_INET,
	                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	cr_assert_eq(bind(fd, (struct sockaddr *)address, sizeof(*address)), 0);
	cr_assert_eq(listen(fd, 1), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)address, &length), 0);
	return fd;
}

CORO(cancel_and_try_again)
{
	struct reception reception;
	struct sockaddr_in address;
	int ends[2], server, client, connection;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	reception.fd = ends[0];
	cancel_in_the_kernel(knit_create_task(receive, &reception));
	cr_assert_eq(reception.afterwards, 0, "delivered once");
	cancel_in_the_kernel(knit_create_task(wait_readable, &ends[0]));
	cr_assert_eq(write(ends[1], "data", 4), 4);
	cr_assert_gt(knit_poll(ends[0], 0x001), 0);
	cr_assert_eq(knit_sock_recv(ends[0], reception.buffer, 16), 4);

	server = listener(&address);
	cancel_in_the_kernel(knit_create_task(accept_one, &server));
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(knit_sock_connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	connection = knit_sock_accept(server, NULL, NULL);
	cr_assert_geq(connection, 0);
	close(connection);
	close(client);
	close(server);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

/* Differs: it ends when the kernel has let go of the buffer, not within cancel() */
Test(rules, r105_a_cancelled_io_call_leaves_the_socket_as_it_was)
{
	run(cancel_and_try_again);
	assert_trace("CancelledError(enough) | CancelledError(enough) | CancelledError(enough)");
}

/* The bytes arrive, the task is cancelled, and only then does the loop look. */
CORO(cancel_after_arrival)
{
	for (int round = 0; round < 50; round++) {
		struct reception reception = {0};
		knit_task *task;
		int ends[2];

		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
		reception.fd = ends[0];
		task = knit_create_task(receive, &reception);
		ticks(2);
		cr_assert_eq(write(ends[1], "data", 4), 4);
		cr_assert(knit_task_cancel(task, NULL));
		(void)!knit_await(task);
		if (reception.received == -KNIT_ECANCELLED)
			reception.received = knit_sock_recv(ends[0], reception.buffer, 16);
		else
			cr_assert_eq(reception.afterwards, -KNIT_ECANCELLED, "still to come");
		cr_assert_eq(reception.received, 4);
		cr_assert_eq(memcmp(reception.buffer, "data", 4), 0);
		close(ends[0]);
		close(ends[1]);
	}
	return 0;
}

Test(rules, r106_a_cancelled_receive_loses_no_bytes)
{
	run(cancel_after_arrival);
}

/* ---- S57 --------------------------------------------------------------------------- */

CORO(s57)
{
	struct reception reception = {0};
	knit_task *task;
	intptr_t n;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		return -1;
	reception.fd = ends[0];
	task = knit_create_task(receive, &reception);
	ticks(1);
	(void)knit_task_cancel(task, NULL);
	(void)!knit_await(knit_task_ref(task));
	trace("%s", yes(knit_task_cancelled(task)));
	knit_task_unref(task);
	if (write(ends[1], "data", 4) != 4)
		return -1;
	n = knit_sock_recv(ends[0], reception.buffer, 10);
	trace("nothing consumed by the cancelled recv: b'%.*s'", n > 0 ? (int)n : 0,
	      reception.buffer);
	close(ends[1]);
	n = knit_sock_recv(ends[0], reception.buffer, 10);
	trace("b'%.*s'", n > 0 ? (int)n : 0, reception.buffer);
	close(ends[0]);
	return n == 0 ? 0 : -1;
}

/* Differs: awaiting the task in the place of wait() */
Test(scenarios, s57_sock_ops_cancel)
{
	run(s57);
	assert_trace("True | nothing consumed by the cancelled recv: b'data' | b''");
}
