/* SPDX-License-Identifier: MIT */
/* test_loop_close.c - a loop that is closed while its tasks wait for the kernel: they unwind, and
 * ports, descriptors and threads are free when it returns.
 *
 * L2: "Stack-resident operations and an early return are a use after free", at shutdown: nothing
 * returns before the kernel has let go. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include "loop/loop.h"
#include "unit/io/rig.h"

/* ---- tasks that wait ---- */

struct waiting {
	struct rig_call call;
	knit_task *task;
	intptr_t result;
	bool cleaned;
};

/* Makes its call, and cleans up when that returns, whatever it returns. */
static intptr_t wait_and_clean(void *arg)
{
	struct waiting *waiting = arg;
	unsigned char canary[200];

	memset(canary, 0xa5, sizeof(canary));
	waiting->result = waiting->call.make(&waiting->call);
	for (size_t i = 0; i < sizeof(canary); i++)
		cr_assert_eq(canary[i], 0xa5);
	cr_assert_eq(knit_sleep(0), -KNIT_ECLOSED, "nothing can be waited for any more");
	if (waiting->call.fd >= 0 && waiting->call.make != rig_accept)
		cr_assert_eq(knit_close(waiting->call.fd), 0);
	waiting->cleaned = true;
	return waiting->result;
}

static intptr_t take(struct rig_call *call)
{
	return knit_listener_accept(call->more, NULL, NULL);
}

static intptr_t connect_to(struct rig_call *call)
{
	struct rig_address *to = call->more;

	return knit_sock_connect(call->fd, RIG_NAME(to), to->length);
}

static intptr_t open_fifo(struct rig_call *call)
{
	return knit_open(call->more, O_RDONLY | O_CREAT, 0600);
}

enum { RECV, SEND, PIPE, POLL, ACCEPT, CONNECT, FIFO, LISTEN, LISTEN_TOO, KINDS };

struct all {
	struct waiting tasks[KINDS];
	int pairs[4][2];
	struct rig_address full, at, listened;
	int backlog[2], accepting;
	char path[64], buffer[8];
	knit_listener *listener;
};

static void make_descriptors(struct all *all)
{
	for (int i = 0; i < 4; i++)
		rig_pair(AF_UNIX, all->pairs[i]);
	rig_narrow(all->pairs[SEND][0], 1);
	rig_fill(all->pairs[SEND][0]);
	rig_close_all(all->pairs[PIPE], 2);
	rig_pipe(all->pairs[PIPE]);
	all->backlog[0] = rig_listening(AF_UNIX, 0, &all->full);
	all->backlog[1] = rig_connected(&all->full);
	all->accepting = rig_listening(AF_INET, 5, &all->at);
	snprintf(all->path, sizeof(all->path), "/tmp/knit-close-%d", (int)getpid());
	cr_assert_eq(mkfifo(all->path, 0600), 0, "%s", strerror(errno));
}

static void make_calls(struct all *all)
{
	static intptr_t (*const makes[KINDS])(struct rig_call *) = {
	        rig_recv,   rig_sendall, rig_read, rig_poll, rig_accept,
	        connect_to, open_fifo,   take,     take,
	};

	for (int i = 0; i < KINDS; i++)
		all->tasks[i].call = (struct rig_call){
		        .make = makes[i],
		        .fd = i < 4 ? all->pairs[i][0] : -1,
		        .buffer = all->buffer,
		        .size = i == POLL ? POLLIN : sizeof(all->buffer),
		};
	all->tasks[ACCEPT].call.fd = all->accepting;
	all->tasks[CONNECT].call.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	all->tasks[CONNECT].call.more = &all->full;
	all->tasks[FIFO].call.more = all->path;
	all->tasks[LISTEN].call.more = all->listener;
	all->tasks[LISTEN_TOO].call.more = all->listener;
}

/* The tasks' own descriptors they have closed themselves. */
static void close_rest(struct all *all)
{
	for (int i = 0; i < 4; i++)
		close(all->pairs[i][1]);
	rig_close_all(all->backlog, 2);
	unlink(all->path);
}

static intptr_t start_all(void *arg)
{
	struct all *all = arg;
	struct rig_address any = rig_any(AF_INET);

	all->listener = knit_listen(RIG_NAME(&any), any.length);
	cr_assert_not_null(all->listener);
	all->listened = rig_name(knit_listener_fd(all->listener));
	make_calls(all);
	for (int i = 0; i < KINDS; i++) {
		all->tasks[i].task = knit_create_task(wait_and_clean, &all->tasks[i]);
		cr_assert_not_null(all->tasks[i].task);
	}
	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(rig_in_flight(), KINDS - 1, "the two at the listener share one");
	return 0;
}

static void check_all(struct all *all)
{
	for (int i = 0; i < KINDS; i++) {
		cr_assert(all->tasks[i].cleaned, "task %d did not clean up", i);
		cr_assert_eq(all->tasks[i].result, -KNIT_ECANCELLED, "%d: %s", i,
		             knit_errname((int)all->tasks[i].result));
		cr_assert(knit_task_done(all->tasks[i].task));
		knit_task_unref(all->tasks[i].task);
	}
}

/* The port can be bound again, at once. */
static void bind_again(const struct rig_address *at)
{
	const int on = 1;
	int fd = socket(at->name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	cr_assert_eq(bind(fd, RIG_NAME(at), at->length), 0, "%s", strerror(errno));
	cr_assert_eq(listen(fd, 1), 0, "%s", strerror(errno));
	close(fd);
}

/* Worker threads of the kernel leave soon, but when they like. */
static void wait_for_threads(int before)
{
	for (long i = 0; test_threads() > before; i++) {
		cr_assert_lt(i, 1000000, "threads were left behind");
		sched_yield();
	}
}

static void close_with_all(void)
{
	int fds = test_open_fds(), threads = test_threads();
	knit_loop *loop = knit_loop_new();
	struct all all = {.listener = NULL};

	rig_silence(loop);
	make_descriptors(&all);
	cr_assert_eq(knit_loop_run_until_complete(loop, start_all, &all), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	check_all(&all);
	/* The listener was nobody's business; its port is free all the same. */
	bind_again(&all.listened);
	cr_assert_eq(knit_listener_fd(all.listener), -EBADF);
	cr_assert_eq(knit_listener_accept(all.listener, NULL, NULL), -KNIT_ENOTASK);
	cr_assert_eq(knit_listener_close(all.listener), 0);
	close(all.accepting);
	bind_again(&all.at);
	close_rest(&all);
	knit_loop_unref(loop);
	cr_assert_eq(test_open_fds(), fds, "descriptors were left open");
	wait_for_threads(threads);
}

Test(io_loop_close, tasks_in_every_call_unwind_and_nothing_is_left)
{
	for (long i = 0; i < rig_rounds(20, 10, 5, 1); i++)
		close_with_all();
}

/* ---- the ways a loop is closed ---- */

static intptr_t start_and_leave(void *arg)
{
	(void)start_all(arg);
	return 0;
}

static intptr_t fd_stays(void *arg)
{
	/* knit_run() cancels what is left before it closes, so a task may wait again. */
	struct waiting *waiting = arg;

	waiting->result = waiting->call.make(&waiting->call);
	waiting->cleaned = knit_sleep(0) == 0;
	return waiting->result;
}

static intptr_t leave_one(void *arg)
{
	struct waiting *waiting = arg;

	cr_assert_eq(knit_spawn(fd_stays, waiting), 0);
	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(rig_in_flight(), 1);
	return 7;
}

Test(io_loop_close, knit_run_cancels_what_its_main_task_left)
{
	struct waiting waiting = {.call = {.make = rig_recv, .size = 4}};
	char buffer[4];
	int pair[2];

	rig_pair(AF_UNIX, pair);
	waiting.call.fd = pair[0];
	waiting.call.buffer = buffer;
	cr_assert_eq(knit_run(leave_one, &waiting), 7);
	cr_assert_eq(waiting.result, -KNIT_ECANCELLED);
	cr_assert(waiting.cleaned);
	rig_close_all(pair, 2);
}

Test(io_loop_close, the_last_reference_closes_it_in_spite_of_its_listener)
{
	knit_loop *loop = knit_loop_new();
	struct all all = {.listener = NULL};
	int fds = test_open_fds();

	rig_silence(loop);
	make_descriptors(&all);
	cr_assert_eq(knit_loop_run_until_complete(loop, start_and_leave, &all), 0);
	/* The tasks' references are ours, and keep memory only. */
	cr_assert_null(knit_loop_unref(loop));
	check_all(&all);
	bind_again(&all.listened);
	cr_assert_eq(knit_listener_close(all.listener), 0);
	close(all.accepting);
	close_rest(&all);
	cr_assert_lt(test_open_fds(), fds, "the loop's own are gone too");
}

static void *run_and_end(void *arg)
{
	struct all *all = arg;
	knit_loop *loop = knit_loop_new();

	rig_silence(loop);
	cr_expect_eq(knit_loop_run_until_complete(loop, start_and_leave, all), 0);
	for (int i = 0; i < KINDS; i++)
		knit_task_unref(all->tasks[i].task);
	return loop;
}

/* A thread ends and leaves its loop open. What is left of the listener can be freed by any. */
Test(io_loop_close, the_end_of_its_thread_closes_it)
{
	int fds = test_open_fds(), threads = test_threads();
	struct all all = {.listener = NULL};
	pthread_t thread;
	void *loop;

	make_descriptors(&all);
	cr_assert_eq(pthread_create(&thread, NULL, run_and_end, &all), 0);
	cr_assert_eq(pthread_join(thread, &loop), 0);
	cr_assert(knit_loop_is_closed(loop));
	for (int i = 0; i < KINDS; i++)
		cr_assert(all.tasks[i].cleaned, "task %d did not clean up", i);
	bind_again(&all.listened);
	cr_assert_eq(knit_listener_close(all.listener), 0);
	knit_loop_unref(loop);
	close(all.accepting);
	close_rest(&all);
	cr_assert_eq(test_open_fds(), fds);
	wait_for_threads(threads);
}

/* ---- too late ---- */

/* The kernel takes its time with receives: until the loop has given up. */
static bool after_the_end(void *arg, const struct kn_op *op, int *result)
{
	const struct knit_loop *loop = arg;

	(void)result;
	return op->opcode != KN_OP_RECV || loop->phase == KN_CLOSED;
}

static intptr_t never_returns(void *arg)
{
	struct waiting *waiting = arg;

	waiting->result = waiting->call.make(&waiting->call);
	waiting->cleaned = true;
	return 0;
}

static intptr_t start_one(void *arg)
{
	struct waiting *waiting = arg;

	waiting->task = knit_create_task(never_returns, waiting);
	rig_yield(RIG_IN_KERNEL);
	return 0;
}

Test(io_loop_close, what_the_kernel_gives_back_after_the_grace_period_wakes_nobody)
{
	struct waiting waiting = {.call = {.make = rig_recv, .size = 4}};
	knit_loop *loop = knit_loop_new();
	const struct kn_engine_faults faults = {.completion = after_the_end, .arg = loop};
	char buffer[4];
	int pair[2];

	rig_silence(loop);
	rig_pair(AF_UNIX, pair);
	waiting.call.fd = pair[0];
	waiting.call.buffer = buffer;
	cr_assert_eq(knit_loop_run_until_complete(loop, start_one, &waiting), 0);
	kn_engine_set_faults(loop->engine, &faults);
	loop->grace = 20 * KNIT_MS;
	cr_assert_eq(knit_loop_close(loop), -EBUSY);
	cr_assert(knit_task_done(waiting.task));
	cr_assert_eq(knit_task_result(waiting.task), -KNIT_ECLOSED);
	cr_assert_not(waiting.cleaned, "it was resumed after it had been given up");
	knit_task_unref(waiting.task);
	knit_loop_unref(loop);
	rig_close_all(pair, 2);
}

/* ---- a port, again and again ---- */

static intptr_t accept_for_ever(void *arg)
{
	return knit_sock_accept(*(int *)arg, NULL, NULL);
}

static intptr_t listen_for_ever(void *arg)
{
	knit_listener *listener = *(knit_listener **)arg;
	int r = knit_listener_accept(listener, NULL, NULL);

	cr_assert_eq(knit_listener_close(listener), 0, "the task's clean-up");
	return r;
}

static intptr_t open_listener(void *arg)
{
	struct rig_address *at = arg;
	static knit_listener *listener;

	listener = knit_listen(RIG_NAME(at), at->length);
	cr_assert_not_null(listener, "%s", knit_errname(errno));
	*at = rig_name(knit_listener_fd(listener));
	cr_assert_eq(knit_spawn(listen_for_ever, &listener), 0);
	rig_yield(RIG_IN_KERNEL);
	return 0;
}

Test(io_loop_close, a_listeners_port_is_free_each_time)
{
	struct rig_address at = rig_any(AF_INET);

	for (int i = 0; i < 100; i++) {
		knit_loop *loop = knit_loop_new();
		int client;

		rig_silence(loop);
		cr_assert_eq(knit_loop_run_until_complete(loop, open_listener, &at), 0);
		client = i % 3 ? rig_connected(&at) : -1;
		cr_assert_eq(knit_loop_close(loop), 0);
		knit_loop_unref(loop);
		if (client >= 0)
			close(client);
	}
}

static intptr_t start_accept(void *arg)
{
	cr_assert_eq(knit_spawn(accept_for_ever, arg), 0);
	rig_yield(RIG_IN_KERNEL);
	return 0;
}

Test(io_loop_close, the_port_of_a_pending_accept_is_free_each_time)
{
	struct rig_address at = rig_any(AF_INET);

	for (int i = 0; i < 100; i++) {
		const int on = 1;
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		knit_loop *loop = knit_loop_new();

		rig_silence(loop);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		cr_assert_eq(bind(fd, RIG_NAME(&at), at.length), 0, "round %d: %s", i,
		             strerror(errno));
		cr_assert_eq(listen(fd, 1), 0);
		at = rig_name(fd);
		cr_assert_eq(knit_loop_run_until_complete(loop, start_accept, &fd), 0);
		cr_assert_eq(knit_loop_close(loop), 0);
		close(fd);
		knit_loop_unref(loop);
	}
}
