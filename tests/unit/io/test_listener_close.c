/* SPDX-License-Identifier: MIT */
/* test_listener_close.c - the end of a listener: with tasks that wait, connections that nobody
 * took, its loop closed first; and then the port is free. */
#include <fcntl.h>
#include "rig.h"

static intptr_t take(struct rig_call *call)
{
	return knit_listener_accept(call->more, NULL, NULL);
}

static intptr_t shut(struct rig_call *call)
{
	return knit_listener_close(call->more);
}

static knit_listener *listen_at(const struct rig_address *where, struct rig_address *ret)
{
	knit_listener *listener = knit_listen(RIG_NAME(where), where->length);

	cr_assert_not_null(listener, "%s", knit_errname(errno));
	if (ret)
		*ret = rig_name(knit_listener_fd(listener));
	return listener;
}

static struct rig_address any;

static intptr_t with_waiters(void *arg)
{
	knit_listener *listener = listen_at(&any, NULL);
	struct rig_call calls[5];
	knit_task *tasks[5];
	int fd = knit_listener_fd(listener);

	(void)arg;
	for (int i = 0; i < 5; i++) {
		calls[i] = (struct rig_call){.make = take, .more = listener};
		tasks[i] = rig_start(&calls[i]);
	}
	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(knit_listener_close(listener), 0);
	cr_assert_eq(fcntl(fd, F_GETFD), -1);
	cr_assert_eq(rig_in_flight(), 0);
	for (int i = 0; i < 5; i++) {
		rig_finish(tasks[i]);
		cr_assert_eq(calls[i].result, -EBADF);
		cr_assert_eq(calls[i].next, 0);
	}
	return 0;
}

Test(io_listener_close, tasks_that_wait_get_EBADF)
{
	any = rig_any(AF_INET);
	rig_run(with_waiters, NULL);
}

/* A server whose accepting task closes at its end what another task closes already. */
static intptr_t take_and_shut(struct rig_call *call)
{
	intptr_t r = take(call);

	return r < 0 ? knit_listener_close(call->more) : r;
}

static intptr_t by_two(void *arg)
{
	knit_listener *listener = listen_at(&any, NULL);
	struct rig_call server = {.make = take_and_shut, .more = listener};
	knit_task *task = rig_start(&server);

	(void)arg;
	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(knit_listener_close(listener), 0);
	rig_finish(task);
	cr_assert_eq(server.result, -EBADF);
	return 0;
}

Test(io_listener_close, closing_what_another_task_is_closing_is_EBADF)
{
	any = rig_any(AF_INET);
	rig_run(by_two, NULL);
}

static intptr_t with_untaken(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(&any, &at);
	int clients[40];
	char byte;

	(void)arg;
	for (int i = 0; i < 40; i++)
		clients[i] = rig_connected(&at);
	close(knit_listener_accept(listener, NULL, NULL));
	rig_yield(10);
	cr_assert_eq(knit_listener_close(listener), 0);
	/* Each of them learns that nobody is there. */
	for (int i = 0; i < 40; i++)
		cr_assert_leq(recv(clients[i], &byte, 1, 0), 0);
	rig_close_all(clients, 40);
	return 0;
}

Test(io_listener_close, connections_that_nobody_took_are_closed)
{
	any = rig_any(AF_INET);
	rig_run(with_untaken, NULL);
	any = rig_any(AF_UNIX);
	rig_run(with_untaken, NULL);
}

/* ---- the port ---- */

#define TIMES 100

static intptr_t reopened(void *arg)
{
	struct rig_address at = any;

	(void)arg;
	for (int i = 0; i < TIMES; i++) {
		struct rig_address now;
		knit_listener *listener = listen_at(&at, &now);
		struct rig_call call = {.make = take, .more = listener};
		knit_task *task = rig_start(&call);
		int client;

		at = now;
		rig_yield(1 + i % 4);
		client = rig_connected(&at);
		if (i % 2) {
			rig_finish(task);
			cr_assert_geq(call.result, 0);
			cr_assert_eq(knit_listener_close(listener), 0);
		} else {
			cr_assert_eq(knit_listener_close(listener), 0);
			rig_finish(task);
		}
		if (call.result >= 0)
			close((int)call.result);
		close(client);
	}
	return 0;
}

Test(io_listener_close, the_port_is_free_at_once_each_time)
{
	any = rig_any(AF_INET);
	rig_run(reopened, NULL);
}

static void close_in_callback(void *arg)
{
	struct rig_call *call = arg;

	call->result = knit_listener_close(call->more);
	call->done = true;
}

static intptr_t in_callback(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(&any, &at);
	struct rig_call waiter = {.make = take, .more = listener}, closer = {.more = listener};
	knit_task *task = rig_start(&waiter);
	int passes;

	(void)arg;
	rig_yield(RIG_IN_KERNEL);
	knit_loop_call_soon(NULL, close_in_callback, &closer);
	rig_until(&closer.done);
	cr_assert_eq(closer.result, 0);
	rig_finish(task);
	cr_assert_eq(waiter.result, -EBADF);
	for (passes = 0; rig_in_flight() && passes < 20; passes++)
		rig_yield(1);
	cr_assert_lt(passes, 20, "the port is free a few passes later");
	knit_listener_close(listen_at(&at, NULL));
	return 0;
}

Test(io_listener_close, in_a_callback_it_ends_a_few_passes_later)
{
	any = rig_any(AF_INET);
	rig_run(in_callback, NULL);
}

static void close_idle(void *arg)
{
	struct rig_call *call = arg;
	int fd = knit_listener_fd(call->more);

	close_in_callback(call);
	cr_assert_eq(fcntl(fd, F_GETFD), -1, "nothing was in flight");
}

static intptr_t idle(void *arg)
{
	struct rig_call closer = {.more = listen_at(&any, NULL)};

	(void)arg;
	knit_loop_call_soon(NULL, close_idle, &closer);
	rig_until(&closer.done);
	cr_assert_eq(closer.result, 0);
	return 0;
}

Test(io_listener_close, an_idle_one_is_closed_at_once)
{
	any = rig_any(AF_INET);
	rig_run(idle, NULL);
}

/* ---- its loop ---- */

static intptr_t leave_open(void *ret_listener)
{
	*(knit_listener **)ret_listener = listen_at(&any, NULL);
	return 0;
}

/* A listener is no user of its loop: whoever forgets it does not keep the loop from its end. */
Test(io_listener_close, an_open_one_does_not_keep_its_loop_open)
{
	knit_loop *loop = knit_loop_new();
	knit_listener *listener = NULL;
	int fd;

	any = rig_any(AF_INET);
	cr_assert_eq(knit_loop_run_until_complete(loop, leave_open, &listener), 0);
	fd = knit_listener_fd(listener);
	cr_assert_geq(fcntl(fd, F_GETFD), 0);
	knit_loop_unref(loop);
	cr_assert_eq(fcntl(fd, F_GETFD), -1, "the last reference closes the loop");
	cr_assert_eq(knit_listener_close(listener), 0);
}

/* ---- cancellation ---- */

static intptr_t cancelled(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(&any, &at);
	struct rig_call waiter = {.make = take, .more = listener};
	struct rig_call closer = {.make = shut, .more = listener};
	knit_task *tasks[2] = {rig_start(&waiter), NULL};

	(void)arg;
	rig_yield(RIG_IN_KERNEL);
	tasks[1] = rig_start(&closer);
	rig_yield(1);
	cr_assert_not(closer.done);
	cr_assert(knit_task_cancel(tasks[1], "no"));
	rig_finish(tasks[1]);
	cr_assert_eq(closer.result, 0);
	cr_assert_eq(closer.next, -KNIT_ECANCELLED, "the request stays pending");
	rig_finish(tasks[0]);
	cr_assert_eq(waiter.result, -EBADF);
	knit_listener_close(listen_at(&at, NULL));
	return 0;
}

Test(io_listener_close, cannot_be_cancelled)
{
	any = rig_any(AF_INET);
	rig_run(cancelled, NULL);
}

/* ---- while a task has its connection, but has not run yet ---- */

struct taker {
	knit_listener *listener;
	int count, fds[40];
};

static intptr_t take_many(void *arg)
{
	struct taker *taker = arg;

	while (taker->count < 40) {
		int fd = knit_listener_accept(taker->listener, NULL, NULL);

		cr_assert_geq(fd, 0, "it was ours already: %s", knit_errname(fd));
		taker->fds[taker->count++] = fd;
		/* The 17th in a row lets the others run, among them who closes. */
		if (taker->count == 17)
			return 0;
	}
	return 0;
}

static intptr_t between_take_and_resume(void *arg)
{
	struct rig_address at;
	struct taker taker = {.listener = listen_at(&any, &at)};
	int clients[40];
	knit_task *task;

	(void)arg;
	for (int i = 0; i < 40; i++)
		clients[i] = rig_connected(&at);
	close(knit_listener_accept(taker.listener, NULL, NULL));
	rig_yield(10);
	task = knit_create_task(take_many, &taker);
	rig_yield(1);
	cr_assert_eq(taker.count, 16, "the 17th is on its way");
	cr_assert_eq(knit_listener_close(taker.listener), 0);
	cr_assert_eq(knit_await(task), 0);
	cr_assert_eq(taker.count, 17);
	rig_close_all(taker.fds, taker.count);
	rig_close_all(clients, 40);
	return 0;
}

Test(io_listener_close, a_connection_on_its_way_to_a_task_arrives)
{
	any = rig_any(AF_UNIX);
	rig_run(between_take_and_resume, NULL);
}

static knit_listener *doomed;

static void close_doomed(void *arg)
{
	(void)arg;
	cr_assert_eq(knit_listener_close(doomed), 0);
}

/* The waiter is in line with its descriptor; before it, a callback frees the listener. */
static intptr_t woken_then_closed(void *arg)
{
	struct rig_address at, peer = {.length = sizeof(peer.name)};
	struct rig_call call = {.make = take};
	knit_task *task;
	int client;

	(void)arg;
	doomed = listen_at(&any, &at);
	call.more = doomed;
	task = rig_start(&call);
	rig_yield(RIG_IN_KERNEL);
	client = rig_connected(&at);
	for (long i = 0; !kn_engine_ready(rig_engine()); i++)
		cr_assert_lt(i, 1000000000);
	knit_loop_call_soon(NULL, close_doomed, NULL);
	rig_finish(task);
	cr_assert_geq(call.result, 0);
	cr_assert_eq(getpeername((int)call.result, RIG_NAME(&peer), &peer.length), 0);
	close((int)call.result);
	close(client);
	return 0;
}

Test(io_listener_close, a_task_that_was_served_keeps_its_connection)
{
	any = rig_any(AF_UNIX);
	rig_run(woken_then_closed, NULL);
}

static intptr_t cancelled_at_entry(void *arg)
{
	struct rig_call *call = arg;

	knit_task_cancel(knit_current_task(NULL), "at entry");
	call->result = knit_listener_accept(call->more, NULL, NULL);
	return 0;
}

static void uncancel_and_close(void *arg)
{
	knit_task_uncancel(arg);
	close_doomed(NULL);
}

/* While the request that a task brought along is on its way, the listener goes. */
static intptr_t gone_at_entry(void *arg)
{
	struct rig_call call = {.result = 1};
	knit_task *task;

	(void)arg;
	doomed = listen_at(&any, NULL);
	call.more = doomed;
	task = knit_create_task(cancelled_at_entry, &call);
	rig_yield(1);
	knit_loop_call_soon(NULL, uncancel_and_close, task);
	cr_assert_eq(knit_await(task), 0);
	cr_assert(call.result == -KNIT_ECANCELLED || call.result == -EBADF, "%s",
	          knit_errname((int)call.result));
	rig_yield(5);
	return 0;
}

Test(io_listener_close, a_task_that_came_with_a_request_does_not_look_at_what_is_gone)
{
	any = rig_any(AF_UNIX);
	rig_run(gone_at_entry, NULL);
}
