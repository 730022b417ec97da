/* SPDX-License-Identifier: MIT */
/* test_io.c - the way of a server, from accept to close, takes no allocation once it is warm; nor
 * do reads of files, and posts between two threads. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "count.h"
#include "test.h"

#define MESSAGE 64

static intptr_t echo(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buffer[4096];
	intptr_t size;

	while ((size = knit_sock_recv(fd, buffer, sizeof(buffer))) > 0)
		must(knit_sock_sendall(fd, buffer, (size_t)size));
	must(size);
	return knit_close(fd);
}

static void ask(void *fd)
{
	char request[MESSAGE] = "hello", answer[MESSAGE];

	must(knit_sock_sendall(*(int *)fd, request, sizeof(request)));
	for (size_t got = 0; got < sizeof(answer);) {
		intptr_t size = knit_sock_recv(*(int *)fd, answer + got, sizeof(answer) - got);
		if (size <= 0)
			abort();
		got += (size_t)size;
	}
}

/* ---- a connection that stays ---- */

struct pair {
	int fds[2];
	uint64_t allocations;
};

static intptr_t pair_main(void *arg)
{
	struct pair *pair = arg;
	knit_task *server = knit_create_task(echo, (void *)(intptr_t)pair->fds[1]);

	pair->allocations = steady_in_task(ask, &pair->fds[0]);
	must(knit_close(pair->fds[0]));
	return knit_await(server);
}

Test(steady, an_echo_over_a_socketpair)
{
	struct pair pair = {.allocations = UINT64_MAX};
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.fds), 0);
	must(knit_run(pair_main, &pair));
	cr_assert_eq(pair.allocations, 0);
}

/* ---- connections that come and go ---- */

struct churn {
	struct sockaddr_in address;
	knit_listener *listener;
	uint64_t allocations;
};

static intptr_t serve(void *arg)
{
	struct churn *churn = arg;
	int fd;

	while ((fd = knit_listener_accept(churn->listener, NULL, NULL)) >= 0)
		must(knit_spawn(echo, (void *)(intptr_t)fd));
	return 0;
}

static void connect_and_ask(void *arg)
{
	struct churn *churn = arg;
	struct linger reset = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		abort();
	must(knit_sock_connect(fd, (struct sockaddr *)&churn->address, sizeof(churn->address)));
	ask(&fd);
	/* Else each round would leave a port in TIME_WAIT. The server's end is read before. */
	must(knit_sock_shutdown(fd, SHUT_WR));
	if (knit_sock_recv(fd, &(char){0}, 1) != 0)
		abort();
	must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)));
	must(knit_close(fd));
}

static intptr_t churn_main(void *arg)
{
	struct churn *churn = arg;
	socklen_t length = sizeof(churn->address);
	knit_task *server;

	churn->address = (struct sockaddr_in){
	        .sin_family = AF_INET,
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	churn->listener = knit_listen((struct sockaddr *)&churn->address, length);
	if (!churn->listener)
		return -errno;
	must(getsockname(knit_listener_fd(churn->listener), (struct sockaddr *)&churn->address,
	                 &length));
	server = knit_create_task(serve, churn);
	churn->allocations = steady_in_task(connect_and_ask, churn);
	must(knit_listener_close(churn->listener));
	return knit_await(server);
}

Test(steady, connections_that_are_accepted_served_and_closed)
{
	struct churn churn = {.allocations = UINT64_MAX};
	must(knit_run(churn_main, &churn));
	cr_assert_eq(churn.allocations, 0);
}

/* ---- files ---- */

static void read_file(void *fd)
{
	char block[MESSAGE];

	if (knit_read(*(int *)fd, block, sizeof(block), 0) != MESSAGE)
		abort();
}

Test(steady, reads_of_a_file)
{
	char path[] = "/tmp/knit-steady-XXXXXX", block[MESSAGE] = "";
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, block, sizeof(block)), MESSAGE);
	cr_expect_eq(steady(read_file, &fd, KNIT_CLOCK_MONOTONIC), 0);
	close(fd);
	unlink(path);
}

/* ---- two threads that post to each other ---- */

struct sides {
	knit_loop *loops[2];
	knit_future *answered;
	uint64_t allocations;
};

static void answer(void *arg)
{
	struct sides *sides = arg;

	must(knit_future_set_result(sides->answered, 0));
}

static void pass_back(void *arg)
{
	struct sides *sides = arg;

	must(knit_loop_call_soon_threadsafe(sides->loops[0], answer, sides));
}

static void post(void *arg)
{
	struct sides *sides = arg;

	sides->answered = knit_future_new();
	must(knit_loop_call_soon_threadsafe(sides->loops[1], pass_back, sides));
	must(knit_await(sides->answered));
}

static void *run_other_side(void *arg)
{
	struct sides *sides = arg;

	must(knit_loop_run_forever(sides->loops[1]));
	must(knit_loop_close(sides->loops[1]));
	return NULL;
}

static intptr_t posts_main(void *arg)
{
	struct sides *sides = arg;

	sides->loops[0] = knit_get_running_loop();
	sides->allocations = steady_in_task(post, sides);
	return knit_loop_stop_threadsafe(sides->loops[1]);
}

Test(steady, posts_between_two_threads)
{
	struct sides sides = {.allocations = UINT64_MAX};
	pthread_t thread;

	sides.loops[1] = knit_loop_new();
	cr_assert_not_null(sides.loops[1]);
	cr_assert_eq(pthread_create(&thread, NULL, run_other_side, &sides), 0);
	must(knit_run(posts_main, &sides));
	cr_assert_eq(pthread_join(thread, NULL), 0);
	knit_loop_unref(sides.loops[1]);
	cr_assert_eq(sides.allocations, 0);
}

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

static void call_over(void *arg)
{
	struct sides *sides = arg;

	must(knit_run_on(sides->loops[1], nothing, NULL));
}

static intptr_t calls_main(void *arg)
{
	struct sides *sides = arg;

	sides->allocations = steady_in_task(call_over, sides);
	return knit_loop_stop_threadsafe(sides->loops[1]);
}

Test(steady, calls_on_the_loop_of_another_thread)
{
	struct sides sides = {.allocations = UINT64_MAX};
	pthread_t thread;

	sides.loops[1] = knit_loop_new();
	cr_assert_not_null(sides.loops[1]);
	cr_assert_eq(pthread_create(&thread, NULL, run_other_side, &sides), 0);
	must(knit_run(calls_main, &sides));
	cr_assert_eq(pthread_join(thread, NULL), 0);
	knit_loop_unref(sides.loops[1]);
	cr_assert_eq(sides.allocations, 0);
}
