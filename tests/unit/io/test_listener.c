/* SPDX-License-Identifier: MIT */
/* test_listener.c - making a listener, and taking connections from it: in order, ahead of those
 * who ask, a bounded number. */
#include <fcntl.h>
#include <sys/un.h>
#include "base/compiler.h"
#include "rig.h"

static intptr_t take(struct rig_call *call)
{
	return knit_listener_accept(call->more, NULL, NULL);
}

static knit_listener *listen_at(int family, struct rig_address *ret)
{
	struct rig_address any = rig_any(family);
	knit_listener *listener = knit_listen(RIG_NAME(&any), any.length);

	cr_assert_not_null(listener, "%s", knit_errname(errno));
	if (ret)
		*ret = rig_name(knit_listener_fd(listener));
	return listener;
}

/* ---- making ---- */

static intptr_t each_family(void *arg)
{
	static const int families[] = {AF_INET, AF_INET6, AF_UNIX};

	(void)arg;
	for (size_t i = 0; i < KN_ARRAY_SIZE(families); i++) {
		struct rig_address at, name, peer = {.length = sizeof(peer.name)};
		knit_listener *listener;
		int client, fd;

		if (families[i] == AF_INET6 && !rig_has_ipv6())
			continue;
		listener = listen_at(families[i], &at);
		cr_assert_eq(fcntl(knit_listener_fd(listener), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		client = rig_bound(families[i], SOCK_STREAM);
		cr_assert_eq(connect(client, RIG_NAME(&at), at.length), 0);
		name = rig_name(client);
		fd = knit_listener_accept(listener, RIG_NAME(&peer), &peer.length);
		cr_assert_geq(fd, 0, "%s", knit_errname(fd));
		cr_assert_eq(peer.length, name.length);
		cr_assert_eq(memcmp(&peer.name, &name.name, name.length), 0);
		cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		cr_assert_eq(send(client, "x", 1, 0), 1);
		cr_assert_eq(rig_drain(fd), 1, "it is this client's connection");
		rig_close_all((int[]){client, fd}, 2);
		cr_assert_eq(knit_listener_close(listener), 0);
	}
	return 0;
}

Test(io_listener, listens_on_ipv4_ipv6_and_unix_sockets)
{
	rig_run(each_family, NULL);
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	cr_assert_eq(getsockopt(fd, level, name, &value, &length), 0);
	return value;
}

static intptr_t options(void *arg)
{
	struct rig_address any = rig_any(AF_INET), at;
	knit_listener *one, *two;

	(void)arg;
	one = knit_listen(RIG_NAME(&any), any.length);
	cr_assert_eq(option(knit_listener_fd(one), SOL_SOCKET, SO_REUSEADDR), 1);
	cr_assert_eq(option(knit_listener_fd(one), SOL_SOCKET, SO_REUSEPORT), 0);
	at = rig_name(knit_listener_fd(one));
	cr_assert_null(knit_listen(RIG_NAME(&at), at.length));
	cr_assert_eq(errno, EADDRINUSE);
	knit_listener_close(one);

	one = knit_listen(RIG_NAME(&any), any.length, .reuse_port = 1, .backlog = 5);
	at = rig_name(knit_listener_fd(one));
	two = knit_listen(RIG_NAME(&at), at.length, .reuse_port = 1);
	cr_assert_not_null(two, "%s", knit_errname(errno));
	knit_listener_close(one);
	knit_listener_close(two);
	one = (knit_listen)(RIG_NAME(&any), any.length);
	cr_assert_not_null(one);
	knit_listener_close(one);
	if (rig_has_ipv6()) {
		any = rig_any(AF_INET6);
		one = knit_listen(RIG_NAME(&any), any.length);
		cr_assert_eq(option(knit_listener_fd(one), IPPROTO_IPV6, IPV6_V6ONLY), 1);
		knit_listener_close(one);
	}
	return 0;
}

Test(io_listener, its_options_reach_the_socket)
{
	rig_run(options, NULL);
}

static intptr_t refusals(void *arg)
{
	struct sockaddr_un nowhere = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
	struct rig_address any = rig_any(AF_INET);
	knit_listen_options large = {.size = 4};
	int fd = rig_file(), before = test_open_fds();
	knit_listener *listener;

	(void)arg;
	cr_assert_null(knit_listen(NULL, 16));
	cr_assert_eq(errno, EINVAL);
	cr_assert_null(knit_listen(RIG_NAME(&any), 1));
	cr_assert_eq(errno, EINVAL);
	cr_assert_null(knit_listen((struct sockaddr *)&nowhere, sizeof(nowhere)));
	cr_assert_eq(errno, ENOENT);
	nowhere.sun_family = 999;
	cr_assert_null(knit_listen((struct sockaddr *)&nowhere, sizeof(nowhere)));
	cr_assert_eq(errno, EAFNOSUPPORT);
	cr_assert_null(knit_listen_with(RIG_NAME(&any), any.length, &large));
	cr_assert_eq(errno, EINVAL, "malformed options");
	cr_assert_null(knit_listener_new(fd));
	cr_assert_eq(errno, ENOTSOCK);
	cr_assert_eq(test_open_fds(), before, "what was made on the way is closed");
	close(fd);

	fd = rig_bound(AF_INET, SOCK_STREAM);
	cr_assert_null(knit_listener_new(fd));
	cr_assert_eq(errno, EINVAL, "it does not listen");
	cr_assert_eq(listen(fd, 1), 0);
	listener = knit_listener_new(fd);
	cr_assert_not_null(listener);
	cr_assert_eq(knit_listener_fd(listener), fd);
	cr_assert_null(knit_listener_new(fd));
	cr_assert_eq(errno, EBUSY, "it has one");
	cr_assert_eq(knit_listener_close(listener), 0);
	cr_assert_eq(fcntl(fd, F_GETFD), -1, "the listener owned it");
	return 0;
}

Test(io_listener, what_cannot_be_listened_on_is_refused)
{
	rig_run(refusals, NULL);
}

/* ---- who waits ---- */

#define WAITERS 5

static intptr_t served_in_order(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(AF_UNIX, &at);
	struct rig_call calls[WAITERS];
	knit_task *tasks[WAITERS];
	int clients[WAITERS];

	(void)arg;
	for (int i = 0; i < WAITERS; i++) {
		calls[i] = (struct rig_call){.make = take, .more = listener};
		tasks[i] = rig_start(&calls[i]);
	}
	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(rig_in_flight(), 1, "one accept for all of them");
	for (int i = 0; i < WAITERS; i++) {
		char digit = (char)('0' + i), got = 0;

		clients[i] = rig_connected(&at);
		cr_assert_eq(send(clients[i], &digit, 1, 0), 1);
		rig_finish(tasks[i]);
		cr_assert_geq(calls[i].result, 0);
		cr_assert_eq(recv((int)calls[i].result, &got, 1, MSG_DONTWAIT), 1);
		cr_assert_eq(got, digit, "who waited first is served first");
		close((int)calls[i].result);
	}
	rig_close_all(clients, WAITERS);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener, tasks_that_wait_are_served_in_order)
{
	rig_run(served_in_order, NULL);
}

static intptr_t some_are_cancelled(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(AF_UNIX, &at);
	struct rig_call calls[WAITERS];
	knit_task *tasks[WAITERS];
	int clients[2];

	(void)arg;
	for (int i = 0; i < WAITERS; i++) {
		calls[i] = (struct rig_call){.make = take, .more = listener};
		tasks[i] = rig_start(&calls[i]);
	}
	rig_yield(RIG_IN_KERNEL);
	/* The first, the last, one in the middle. */
	for (int i = 0; i < WAITERS; i += 2) {
		cr_assert(knit_task_cancel(tasks[i], "you"));
		rig_finish(tasks[i]);
		cr_assert_eq(calls[i].result, -KNIT_ECANCELLED);
		cr_assert_str_eq(calls[i].message, "you");
		cr_assert_eq(calls[i].next, 0);
	}
	for (int i = 0; i < 2; i++)
		clients[i] = rig_connected(&at);
	for (int i = 1; i < WAITERS; i += 2) {
		rig_finish(tasks[i]);
		cr_assert_geq(calls[i].result, 0);
		close((int)calls[i].result);
	}
	cr_assert_eq(calls[1].result < calls[3].result, true, "still in order");
	rig_close_all(clients, 2);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener, each_task_that_waits_can_be_cancelled)
{
	rig_run(some_are_cancelled, NULL);
}

/* ---- ahead of those who ask ---- */

static int connect_without_waiting(const struct rig_address *at)
{
	int fd = socket(at->name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	cr_assert_geq(fd, 0, "%s", strerror(errno));
	if (connect(fd, RIG_NAME(at), at->length) == 0)
		return fd;
	cr_assert(errno == EAGAIN || errno == EINPROGRESS, "%s", strerror(errno));
	close(fd);
	return -1;
}

#define BACKLOG 16
#define CROWD   2000

/* As many as come: the listener stops at 128, give or take a backlog, and the kernel at its own
 * limit. Nobody who got in is forgotten. */
static intptr_t crowd(void *arg)
{
	static int clients[CROWD];
	struct rig_address any = rig_any(AF_UNIX), at;
	knit_listener *listener = knit_listen(RIG_NAME(&any), any.length, .backlog = BACKLOG);
	int count = 0, taken = 0, before, fd;

	(void)arg;
	at = rig_name(knit_listener_fd(listener));
	/* The first call makes it accept. */
	clients[count++] = rig_connected(&at);
	close(knit_listener_accept(listener, NULL, NULL));
	before = test_open_fds();
	for (int idle = 0; idle < 20 && count < CROWD; idle++) {
		while (count < CROWD && (fd = connect_without_waiting(&at)) >= 0) {
			clients[count++] = fd;
			idle = 0;
			if (count % 7 == 0)
				rig_yield(1);
		}
		rig_yield(5);
	}
	cr_assert_lt(count, CROWD, "nothing held the crowd back");
	cr_assert_geq(count, 128, "nothing was accepted ahead");
	/* Beside the clients: what was accepted ahead. */
	cr_assert_leq(test_open_fds() - before - (count - 1), 128 + BACKLOG + 1);
	cr_assert_eq(rig_in_flight(), 0, "it does not accept now");
	for (taken = 1; taken < count; taken++) {
		fd = knit_listener_accept(listener, NULL, NULL);
		cr_assert_geq(fd, 0);
		close(fd);
	}
	rig_yield(5);
	cr_assert_eq(rig_in_flight(), 1, "it accepts again");
	rig_close_all(clients, count);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener, accepts_ahead_a_bounded_number_and_goes_on_when_they_are_taken)
{
	if (!rig_allow_descriptors(3000))
		test_skip("too few descriptors");
	rig_run(crowd, NULL);
	rig_run_on(crowd, NULL, 8, 16);
}

static intptr_t counts_passes(void *arg)
{
	long *passes = arg;

	while (knit_sleep(0) == 0)
		++*passes;
	return -KNIT_ECANCELLED;
}

/* A queue that never runs empty must not keep the loop from the others. */
static intptr_t takes_many(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(AF_UNIX, &at);
	int clients[101];
	long passes = 0;
	knit_task *counter;

	(void)arg;
	for (int i = 0; i < 101; i++)
		clients[i] = rig_connected(&at);
	close(knit_listener_accept(listener, NULL, NULL));
	rig_yield(10);
	counter = knit_create_task(counts_passes, &passes);
	for (int i = 1; i < 101; i++) {
		int fd = knit_listener_accept(listener, NULL, NULL);

		cr_assert_geq(fd, 0);
		close(fd);
	}
	cr_assert_geq(passes, 100 / 17 - 1, "the others got no turn");
	cr_assert_lt(passes, 50, "those that were there already cost no pass each");
	knit_task_cancel(counter, NULL);
	cr_assert_eq(knit_await(counter), -KNIT_ECANCELLED);
	rig_close_all(clients, 101);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener, one_task_that_takes_many_lets_the_others_run)
{
	rig_run(takes_many, NULL);
}

static intptr_t take_until_cancelled(struct rig_call *call)
{
	for (;;) {
		int fd = knit_listener_accept(call->more, NULL, NULL);

		if (fd < 0)
			return fd;
		call->size++;
		close(fd);
	}
}

/* A task that finds the queue filled each time can be cancelled all the same. */
static intptr_t flood(void *arg)
{
	struct rig_address at;
	knit_listener *listener = listen_at(AF_UNIX, &at);
	struct rig_call call = {.make = take_until_cancelled, .more = listener};
	int clients[100];
	knit_task *task;

	(void)arg;
	for (int i = 0; i < 100; i++)
		clients[i] = rig_connected(&at);
	close(knit_listener_accept(listener, NULL, NULL));
	rig_yield(10);
	task = rig_start(&call);
	rig_yield(1);
	cr_assert(knit_task_cancel(task, "enough"));
	rig_finish(task);
	cr_assert_eq(call.result, -KNIT_ECANCELLED);
	cr_assert_str_eq(call.message, "enough");
	cr_assert_lt(call.size, 40, "it went on taking");
	rig_close_all(clients, 100);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener, a_task_under_a_flood_of_connections_can_be_cancelled)
{
	rig_run(flood, NULL);
}

static intptr_t gone_already(void *arg)
{
	const struct linger at_once = {.l_onoff = 1};
	struct rig_address at, peer = {.length = sizeof(peer.name)};
	knit_listener *listener = listen_at(AF_INET, &at);
	int client = rig_connected(&at), fd;

	(void)arg;
	setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(client);
	fd = knit_listener_accept(listener, RIG_NAME(&peer), &peer.length);
	cr_assert_geq(fd, 0, "%s", knit_errname(fd));
	cr_assert(peer.length == 0 || peer.length == at.length);
	close(fd);
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_listener, a_client_that_has_gone_already_is_a_connection_too)
{
	rig_run(gone_already, NULL);
}
