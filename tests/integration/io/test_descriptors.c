/* SPDX-License-Identifier: MIT */
/* test_descriptors.c - 200 clients and 64 descriptors: a listener that is out of them waits
 * without burning the CPU, tells once, and serves everybody when there are some again.
 *
 * The usual way to get this wrong is to ask again at once: the connection that could not be
 * accepted keeps the socket readable. */
#include <sys/wait.h>
#include "loop/loop.h"
#include "unit/io/rig.h"

#define CLIENTS     200
#define DESCRIPTORS 64
#define ATTEMPTS    3 /* that fail while we look on: after 0, 0.1 and 0.3 s */

/* ---- the clients, in a process of their own, which has descriptors enough ---- */

static int run_clients(const struct rig_address *at)
{
	int fds[CLIENTS];
	char byte;

	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = socket(at->name.ss_family, SOCK_STREAM, 0);
		if (fds[i] < 0 || connect(fds[i], RIG_NAME(at), at->length) < 0)
			return 1;
	}
	/* Each is to be answered. */
	for (int i = 0; i < CLIENTS; i++)
		if (recv(fds[i], &byte, 1, 0) != 1 || byte != 'k')
			return 2;
	return 0;
}

static pid_t start_clients(const struct rig_address *at)
{
	pid_t child = fork();

	cr_assert_geq(child, 0);
	if (child == 0)
		_exit(rig_allow_descriptors(CLIENTS + DESCRIPTORS) ? run_clients(at) : 3);
	return child;
}

static int wait_for_clients(pid_t child)
{
	int status = -1;

	while (waitpid(child, &status, 0) < 0)
		cr_assert_eq(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- the server ---- */

static struct {
	int listening;
	int attempts; /* that failed */
	int reports;
	knit_future *starved; /* done after so many attempts */
	int held[DESCRIPTORS], count;
	int served;
	/* while it was starved */
	uint64_t passes, enters;
} server;

static bool count_attempts(void *arg, const struct kn_op *op, int *result)
{
	(void)arg;
	if (op->opcode == KN_OP_ACCEPT && *result == -EMFILE && ++server.attempts == ATTEMPTS)
		cr_assert_eq(knit_future_set_result(server.starved, 0), 0);
	return true;
}

static void count_reports(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(void)arg;
	cr_assert_eq(context->code, EMFILE);
	server.reports++;
}

static uint64_t enters(void)
{
	struct kn_engine_counters counters;

	kn_engine_counters(rig_engine(), &counters);
	return counters.enters;
}

static void answer(int fd)
{
	cr_assert_eq(send(fd, "k", 1, 0), 1);
	cr_assert_eq(knit_close(fd), 0);
	server.served++;
}

/* Keeps what it gets, so that there is nothing left to accept with. */
static intptr_t hoard(void *arg)
{
	knit_listener *listener = arg;

	for (;;) {
		int fd = knit_listener_accept(listener, NULL, NULL);

		if (fd < 0)
			return fd;
		server.held[server.count++] = fd;
	}
}

static intptr_t serve(void *arg)
{
	knit_listener *listener = knit_listener_new(server.listening);
	const struct kn_engine_faults faults = {.completion = count_attempts};
	knit_task *hoarder;

	(void)arg;
	cr_assert_not_null(listener);
	knit_loop_set_exception_handler(knit_get_running_loop(), count_reports, NULL);
	kn_engine_set_faults(rig_engine(), &faults);
	server.starved = knit_future_new();
	hoarder = knit_create_task(hoard, listener);
	while (server.attempts < 1)
		cr_assert_eq(knit_sleep(0), 0);
	/* All that can be accepted has been. */
	server.passes = kn_self.loop->counters.passes;
	server.enters = enters();
	cr_assert_eq(knit_await(server.starved), 0);
	server.passes = kn_self.loop->counters.passes - server.passes;
	server.enters = enters() - server.enters;
	cr_assert_gt(server.count, DESCRIPTORS / 2, "nothing was accepted");

	knit_task_cancel(hoarder, NULL);
	cr_assert_eq(knit_await(hoarder), -KNIT_ECANCELLED);
	while (server.count)
		answer(server.held[--server.count]);
	while (server.served < CLIENTS) {
		int fd = knit_listener_accept(listener, NULL, NULL);

		cr_assert_geq(fd, 0, "%s", knit_errname(fd));
		answer(fd);
	}
	return knit_listener_close(listener);
}

static void out_of_descriptors(int family)
{
	struct rig_address at;
	pid_t clients;

	memset(&server, 0, sizeof(server));
	server.listening = rig_listening(family, CLIENTS, &at);
	rig_limit_descriptors(DESCRIPTORS);
	clients = start_clients(&at);
	cr_assert_eq(knit_run(serve, NULL), 0);
	cr_assert_eq(wait_for_clients(clients), 0, "not everybody was answered");
	cr_assert_eq(server.reports, 1, "told once");
	/* Two timers and two attempts, each a handful of passes at most: not a busy loop. */
	cr_assert_leq(server.passes, 20, "%lu passes", (unsigned long)server.passes);
	cr_assert_leq(server.enters, 20, "%lu system calls", (unsigned long)server.enters);
}

Test(io_descriptors, out_of_them_a_listener_waits_tells_once_and_then_serves_all_unix)
{
	out_of_descriptors(AF_UNIX);
}

Test(io_descriptors, out_of_them_a_listener_waits_tells_once_and_then_serves_all_tcp)
{
	out_of_descriptors(AF_INET);
}
