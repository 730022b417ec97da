/* SPDX-License-Identifier: MIT */
/* test_hosted.c - what a host does to the operations of its loop between two passes. Nobody
 * enters the ring there, so the host must be told to come again. */
#include <poll.h>
#include "rig.h"

#define GUARD_MS 240000

/* A pass as a host makes it: never without having been told to. */
static void host_pass(knit_loop *loop)
{
	struct pollfd asked = {.fd = knit_loop_fd(loop), .events = POLLIN};

	cr_assert_eq(poll(&asked, 1, GUARD_MS), 1, "the host was not told");
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
}

/* Passes until the host is not told to make another. */
static void host_until_quiet(knit_loop *loop)
{
	struct pollfd asked = {.fd = knit_loop_fd(loop), .events = POLLIN};

	for (int rounds = 0; poll(&asked, 1, 0) == 1; rounds++) {
		cr_assert_lt(rounds, 10000);
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	}
}

struct reader {
	int fd;
	intptr_t result;
	volatile bool done;
};

static intptr_t read_one(void *arg)
{
	struct reader *reader = arg;
	char byte;

	reader->result = knit_sock_recv(reader->fd, &byte, 1);
	reader->done = true;
	return 0;
}

Test(io_hosted, a_cancellation_by_the_host_ends_the_call_that_waits)
{
	knit_loop *loop = knit_loop_new();
	struct reader reader = {0};
	knit_task *task;
	int pair[2];

	rig_pair(AF_UNIX, pair);
	reader.fd = pair[0];
	task = knit_loop_create_task(loop, read_one, &reader);
	host_until_quiet(loop);
	cr_assert_not(reader.done);
	cr_assert(knit_task_cancel(task, NULL));
	while (!reader.done)
		host_pass(loop);
	cr_assert_eq(reader.result, -KNIT_ECANCELLED);
	knit_task_unref(task);
	knit_loop_unref(loop);
	rig_close_all(pair, 2);
}

struct server {
	knit_listener *listener;
	struct rig_address at;
};

static intptr_t accept_one(void *arg)
{
	struct server *server = arg;

	return knit_listener_accept(server->listener, NULL, NULL);
}

/* The listener accepts from the first call on, and goes on when nobody waits any more. */
static intptr_t serve(void *arg)
{
	struct server *server = arg;
	struct rig_address any = rig_any(AF_INET);
	knit_task *task;

	server->listener = knit_listen(RIG_NAME(&any), any.length);
	cr_assert_not_null(server->listener);
	server->at = rig_name(knit_listener_fd(server->listener));
	task = knit_create_task(accept_one, server);
	rig_yield(RIG_IN_KERNEL);
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	return 0;
}

static bool is_free(const struct rig_address *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	r = bind(fd, RIG_NAME(address), address->length);
	close(fd);
	return r == 0;
}

Test(io_hosted, a_listener_that_the_host_closes_gives_its_port_back)
{
	knit_loop *loop = knit_loop_new();
	struct server server = {0};

	knit_task_unref(knit_loop_create_task(loop, serve, &server));
	host_until_quiet(loop);
	cr_assert_not(is_free(&server.at));
	cr_assert_eq(knit_listener_close(server.listener), 0);
	while (!is_free(&server.at))
		host_pass(loop);
	knit_loop_unref(loop);
}
