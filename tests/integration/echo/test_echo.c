/* SPDX-License-Identifier: MIT */
/* test_echo.c - knit-echo does its job, and stops in order. */
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "server.h"
#include "test.h"

/* Runs knit-load against @echo; it compares every reply with what was sent. */
static void load(const struct echo *echo, const char *host, const char *options)
{
	struct command command;

	command_run(&command, "knit-load", "--host %s --port %u --quiet %s", host, echo->port,
	            options);
	cr_assert_eq(command.status, 0, "%s%s", command.out, command.err);
	cr_assert_not_null(strstr(command.out, "errors        0\n"));
	command_free(&command);
}

static void end(struct echo *echo, int signum)
{
	echo_signal(echo, signum);
	echo_wait(echo);
	command_free(&echo->command);
}

Test(echo, echoes_every_byte_over_two_loops)
{
	struct echo echo;

	echo_start(&echo, "--loops 2 --stats");
	load(&echo, "127.0.0.1", "--connections 50 --requests 5000");
	load(&echo, "127.0.0.1", "--connections 8 --requests 4000 --depth 16");
	load(&echo, "127.0.0.1", "--connections 3 --requests 30 --size 1M");
	echo_signal(&echo, SIGTERM);
	echo_wait(&echo);
	cr_expect_not_null(strstr(echo.command.out, "loop 0 on CPU"));
	cr_expect_not_null(strstr(echo.command.out, "loop 1 on CPU"));
	command_free(&echo.command);
}

Test(echo, serves_ipv6)
{
	struct echo echo;
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	if (fd < 0)
		test_skip("no IPv6");
	close(fd);
	echo_start(&echo, "--host ::1 --loops 1");
	load(&echo, "::1", "--connections 2 --requests 100");
	end(&echo, SIGINT);
}

Test(echo, holds_5000_connections_at_once)
{
	struct rlimit limit;
	int connections = test_scale(5000, 2000, 500, 50);
	struct echo echo;
	char options[80];

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < (rlim_t)connections + 100)
		connections = (int)limit.rlim_max - 100;
	echo_start(&echo, "--loops 2");
	snprintf(options, sizeof(options), "--connections %d --requests %d", connections,
	         3 * connections);
	load(&echo, "127.0.0.1", options);
	end(&echo, SIGTERM);
}

Test(echo, takes_messages_larger_than_its_buffer)
{
	struct echo echo;

	echo_start(&echo, "--loops 1 --message-size 7");
	load(&echo, "127.0.0.1", "--connections 4 --requests 400 --size 1000 --depth 4");
	end(&echo, SIGTERM);
}

/* Bytes that the peer's kernel has not acknowledged. */
static int unsent(int fd)
{
	int bytes = 0;

	cr_assert_eq(ioctl(fd, SIOCOUTQ, &bytes), 0);
	return bytes;
}

Test(echo, finishes_what_it_has_received_when_told_to_stop)
{
	static char sent[100000], back[sizeof(sent)];
	struct echo echo;
	int fd;

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 31 >> 3);
	echo_start(&echo, "--loops 1");
	fd = echo_connect(&echo);
	echo_exchange(fd, "first", 5);
	/* The server has begun to echo when the signal comes. What the kernels of both sides hold
	 * of it then must come back all the same. */
	cr_assert_eq(send(fd, sent, sizeof(sent), MSG_NOSIGNAL), (ssize_t)sizeof(sent));
	cr_assert_gt(recv(fd, back, 1, MSG_PEEK), 0);
	while (unsent(fd) > 0)
		sched_yield();
	echo_signal(&echo, SIGTERM);
	cr_assert_eq(recv(fd, back, sizeof(sent), MSG_WAITALL), (ssize_t)sizeof(sent));
	cr_assert_eq(memcmp(sent, back, sizeof(sent)), 0);
	cr_assert_eq(recv(fd, back, 1, 0), 0, "the server should have closed");
	close(fd);
	echo_wait(&echo);
	command_free(&echo.command);
}

Test(echo, a_second_signal_hurries)
{
	static char much[1 << 20];
	siginfo_t ended = {0};
	struct echo echo;
	int fd;

	echo_start(&echo, "--loops 2");
	fd = echo_connect(&echo);
	echo_exchange(fd, "x", 1);
	/* Never read: the server's task waits in sendall for a peer that takes nothing. */
	while (send(fd, much, sizeof(much), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	echo_signal(&echo, SIGINT);
	/* Which of the two is handled first does not matter; both are counted. */
	while (waitid(P_PID, (id_t)echo.command.pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       ended.si_pid == 0) {
		struct timespec pause = {0, 10000000};

		kill(echo.command.pid, SIGINT);
		nanosleep(&pause, NULL);
	}
	echo_wait(&echo);
	close(fd);
	command_free(&echo.command);
}

static void refuses(const char *options, const char *text)
{
	struct command command;

	command_run(&command, "knit-echo", "%s", options);
	cr_expect_neq(command.status, 0, "%s", options);
	cr_expect_not_null(strstr(command.err, text), "'%s' wrote: %s", options, command.err);
	command_free(&command);
}

Test(echo, refuses_what_makes_no_sense)
{
	refuses("--loops 0", "--loops takes a number");
	refuses("--loops many", "--loops takes a number");
	refuses("--port 65536", "--port takes a number");
	refuses("--message-size 0", "--message-size takes a number");
	refuses("--cpus 3-1", "--cpus takes a list");
	refuses("--cpus ,", "--cpus takes a list");
	refuses("--cpus 1000", "none of the CPUs");
	refuses("--host no.such.host.invalid", "no.such.host.invalid");
	refuses("surplus", "unexpected argument");
}

Test(echo, a_port_that_is_served_already_is_not_shared)
{
	struct echo echo;
	char options[32];

	echo_start(&echo, "--loops 1");
	snprintf(options, sizeof(options), "--port %u", echo.port);
	refuses(options, "Address already in use");
	end(&echo, SIGTERM);
}
