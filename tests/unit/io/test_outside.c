/* SPDX-License-Identifier: MIT */
/* test_outside.c - where the calls may not be made, and on what: outside tasks, in callbacks,
 * on a loop that is closing, on numbers that are no descriptors. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include "base/compiler.h"
#include "rig.h"

/* Makes each call that suspends, on @fd; returns what all of them returned. */
static intptr_t make_all(int fd)
{
	struct rig_address address = rig_any(AF_INET);
	char byte = 0;
	intptr_t results[] = {
	        knit_sock_accept(fd, NULL, NULL),
	        knit_sock_connect(fd, RIG_NAME(&address), address.length),
	        knit_sock_recv(fd, &byte, 1),
	        knit_sock_recv_into(fd, &byte, 1),
	        knit_sock_sendall(fd, &byte, 1),
	        knit_sock_recvfrom(fd, &byte, 1, NULL, NULL),
	        knit_sock_sendto(fd, &byte, 1, RIG_NAME(&address), address.length),
	        knit_sock_shutdown(fd, SHUT_WR),
	        knit_read(fd, &byte, 1, -1),
	        knit_write(fd, &byte, 1, -1),
	        knit_fsync(fd),
	        knit_poll(fd, POLLIN),
	};

	for (size_t i = 1; i < KN_ARRAY_SIZE(results); i++)
		cr_assert_eq(results[i], results[0], "call %zu: %s", i,
		             knit_errname((int)results[i]));
	return results[0];
}

/* ---- no task ---- */

Test(io_outside, without_a_loop_there_is_no_task)
{
	int fd = rig_file();

	cr_assert_eq(make_all(fd), -KNIT_ENOTASK);
	cr_assert_eq(knit_open("/", O_RDONLY, 0), -KNIT_ENOTASK);
	cr_assert_null(knit_listener_new(fd));
	cr_assert_eq(errno, KNIT_ENOLOOP);
	cr_assert_eq(knit_close(fd), 0, "nothing is in flight: it is closed");
	cr_assert_eq(fcntl(fd, F_GETFD), -1);
	cr_assert_eq(knit_close(fd), -EBADF);
	cr_assert_eq(knit_listener_close(NULL), 0);
}

static void in_callback(void *arg)
{
	int pair[2];

	rig_pair(AF_UNIX, pair);
	cr_assert_eq(make_all(pair[0]), -KNIT_ENOTASK);
	cr_assert_eq(knit_open("/", O_RDONLY, 0), -KNIT_ENOTASK);
	cr_assert_eq(rig_in_flight(), 0);
	cr_assert_eq(knit_close(pair[0]), 0);
	cr_assert_eq(knit_close(pair[1]), 0);
	*(bool *)arg = true;
}

static intptr_t callbacks(void *arg)
{
	bool ran = false;

	(void)arg;
	knit_loop_call_soon(NULL, in_callback, &ran);
	rig_until(&ran);
	return 0;
}

Test(io_outside, a_callback_is_no_task)
{
	rig_run(callbacks, NULL);
}

/* ---- no descriptor ---- */

static intptr_t bad_descriptors(void *arg)
{
	(void)arg;
	cr_assert_eq(make_all(-1), -EBADF);
	cr_assert_eq(make_all(INT_MIN), -EBADF);
	cr_assert_eq(make_all(AT_FDCWD), -EBADF);
	cr_assert_eq(make_all(9999), -EBADF);
	cr_assert_eq(make_all(INT_MAX), -EBADF);
	cr_assert_eq(knit_close(-1), -EBADF);
	cr_assert_eq(knit_close(9999), -EBADF);
	cr_assert_eq(knit_close(INT_MAX), -EBADF);
	cr_assert_null(knit_listener_new(-1));
	cr_assert_eq(errno, EBADF);
	cr_assert_null(knit_listener_new(9999));
	cr_assert_eq(errno, EBADF);
	return 0;
}

Test(io_outside, what_is_no_descriptor_is_EBADF)
{
	rig_run(bad_descriptors, NULL);
}

/* ---- a loop that does not run now ---- */

static intptr_t receive_and_stop(void *arg)
{
	char byte;

	return knit_sock_recv(*(int *)arg, &byte, 1);
}

/* Between two runs the tasks still wait; closing under them would give their descriptor's number
 * to somebody else. */
Test(io_outside, between_two_runs_nothing_is_closed_that_is_waited_for)
{
	knit_loop *loops[2] = {knit_loop_new(), knit_loop_new()};
	knit_task *task;
	int pair[2];

	rig_pair(AF_UNIX, pair);
	task = knit_loop_create_task(loops[1], receive_and_stop, &pair[0]);
	for (int i = 0; i < RIG_IN_KERNEL; i++)
		knit_loop_run_once(loops[1], 0);
	cr_assert_eq(knit_close(pair[0]), -KNIT_ENOTASK);
	cr_assert_geq(fcntl(pair[0], F_GETFD), 0, "nothing was done");
	cr_assert_eq(send(pair[1], "x", 1, 0), 1);
	cr_assert_eq(knit_loop_run_until_complete_future(loops[1], task), 1);
	cr_assert_eq(knit_close(pair[0]), 0);
	cr_assert_eq(knit_close(pair[1]), 0);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(knit_loop_close(loops[i]), 0);
		knit_loop_unref(loops[i]);
	}
}

/* ---- a loop that is being closed ---- */

struct unwinding {
	int pair[2];
	bool cleaned;
};

static intptr_t unwinds(void *arg)
{
	struct unwinding *unwinding = arg;
	char byte;
	int other[2];

	cr_assert_eq(knit_sock_recv(unwinding->pair[0], &byte, 1), -KNIT_ECANCELLED);
	cr_assert_eq(make_all(unwinding->pair[0]), -KNIT_ECLOSED);
	cr_assert_eq(knit_open("/", O_RDONLY, 0), -KNIT_ECLOSED);
	rig_pair(AF_UNIX, other);
	cr_assert_eq(knit_close(other[0]), 0);
	cr_assert_eq(knit_close(other[1]), 0);
	cr_assert_null(knit_listener_new(unwinding->pair[0]));
	cr_assert_eq(errno, KNIT_ECLOSED);
	unwinding->cleaned = true;
	return -KNIT_ECANCELLED;
}

Test(io_outside, a_closing_loop_refuses_every_call)
{
	struct unwinding unwinding = {.cleaned = false};
	knit_loop *loop = knit_loop_new();

	cr_assert_not_null(loop);
	rig_silence(loop);
	rig_pair(AF_UNIX, unwinding.pair);
	knit_task_unref(knit_loop_create_task(loop, unwinds, &unwinding));
	for (int i = 0; i < 3; i++)
		knit_loop_run_once(loop, 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert(unwinding.cleaned);
	knit_loop_unref(loop);
	rig_close_all(unwinding.pair, 2);
}

/* ---- an object of another loop ---- */

static void *on_another_thread(void *arg)
{
	knit_listener *listener = arg;

	cr_expect_eq(knit_listener_accept(listener, NULL, NULL), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_listener_fd(listener), -KNIT_EWRONGTHREAD);
	cr_expect_eq(knit_listener_close(listener), -KNIT_EWRONGTHREAD);
	return NULL;
}

static intptr_t foreign_thread(void *arg)
{
	struct rig_address any = rig_any(AF_INET);
	knit_listener *listener = knit_listen(RIG_NAME(&any), any.length);
	pthread_t thread;
	int fd;

	(void)arg;
	cr_assert_not_null(listener);
	fd = knit_listener_fd(listener);
	cr_assert_eq(pthread_create(&thread, NULL, on_another_thread, listener), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_geq(fcntl(fd, F_GETFD), 0, "nothing was done");
	cr_assert_eq(knit_listener_close(listener), 0);
	return 0;
}

Test(io_outside, a_listener_refuses_other_threads)
{
	rig_run(foreign_thread, NULL);
}

struct two_loops {
	knit_listener *listener;
	struct rig_address at;
};

static intptr_t make_listener(void *arg)
{
	struct two_loops *two = arg;
	struct rig_address any = rig_any(AF_INET);

	two->listener = knit_listen(RIG_NAME(&any), any.length);
	two->at = rig_name(knit_listener_fd(two->listener));
	return 0;
}

static intptr_t use_listener(void *arg)
{
	struct two_loops *two = arg;
	int client = rig_connected(&two->at);

	cr_assert_eq(knit_listener_accept(two->listener, NULL, NULL), -KNIT_EWRONGTHREAD);
	close(client);
	return 0;
}

static intptr_t close_listener(void *arg)
{
	struct two_loops *two = arg;

	return knit_listener_close(two->listener);
}

/* A thread may have several loops, of which one runs. A task of that one cannot wait for
 * another that does not. */
Test(io_outside, a_listener_refuses_tasks_of_another_loop)
{
	knit_loop *loops[2] = {knit_loop_new(), knit_loop_new()};
	struct two_loops two;

	cr_assert_eq(knit_loop_run_until_complete(loops[0], make_listener, &two), 0);
	cr_assert_eq(knit_loop_run_until_complete(loops[1], use_listener, &two), 0);
	cr_assert_eq(knit_close(knit_listener_fd(two.listener)), -EBUSY, "between two runs");
	cr_assert_eq(knit_loop_run_until_complete(loops[0], close_listener, &two), 0);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(knit_loop_close(loops[i]), 0);
		knit_loop_unref(loops[i]);
	}
}
