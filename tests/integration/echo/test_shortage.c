/* SPDX-License-Identifier: MIT */
/* test_shortage.c - L34: a server that runs out of descriptors burns no CPU, and recovers. */
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "server.h"
#include "test.h"

#define CLIENTS 200
#define LIMIT   64
#define WINDOW  300 /* ms in which the server is watched */

static int64_t cpu_ns(pid_t pid)
{
	clockid_t clock;
	struct timespec t;

	cr_assert_eq(clock_getcpuclockid(pid, &clock), 0);
	cr_assert_eq(clock_gettime(clock, &t), 0);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* One-sided: a server that spins uses all of the time that it gets. A machine too busy to give
 * it any can only hide that, never feign it. */
static void expect_idle(pid_t pid)
{
	struct timespec window = {0, WINDOW * 1000000L};
	int64_t before = cpu_ns(pid);

	nanosleep(&window, NULL);
	cr_expect_lt(cpu_ns(pid) - before, WINDOW * 1000000L / 3);
}

Test(echo, out_of_descriptors_it_waits_and_recovers)
{
	struct echo echo;
	int fds[CLIENTS];

	/* Before it starts: the kernel remembers the limit of the time when an accept was armed. */
	command_cap_descriptors(LIMIT);
	echo_start(&echo, "--loops 1");
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = echo_connect(&echo);
	/* The first ones are served; the others are connected, and wait in the backlog. */
	for (int i = 0; i < LIMIT / 3; i++)
		echo_exchange(fds[i], "served", 6);
	command_wait_for_line(&echo.command, "trying again after a pause");
	expect_idle(echo.command.pid);
	/* As clients leave, the others have their turn, up to the last one. */
	for (int i = 0; i < CLIENTS; i++) {
		echo_exchange(fds[i], "served at last", 14);
		close(fds[i]);
	}
	echo_signal(&echo, SIGTERM);
	echo_wait(&echo);
	command_free(&echo.command);
}
