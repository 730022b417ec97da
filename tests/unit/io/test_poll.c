/* SPDX-License-Identifier: MIT */
/* test_poll.c - knit_poll: each event, on sockets, pipes, eventfds and files. */
#include <poll.h>
#include <sys/eventfd.h>
#include "rig.h"

static intptr_t sockets(void *arg)
{
	int pair[2];
	struct rig_call call = {.make = rig_poll, .size = POLLIN | POLLRDHUP};
	knit_task *task;

	(void)arg;
	rig_pair(AF_INET, pair);
	cr_assert_eq(knit_poll(pair[0], POLLOUT), POLLOUT);
	cr_assert_eq(knit_poll(pair[0], POLLIN | POLLOUT), POLLOUT);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_yield(20);
	cr_assert_not(call.done, "neither is there");
	cr_assert_eq(send(pair[1], "xy", 2, 0), 2);
	rig_finish(task);
	cr_assert_eq(call.result, POLLIN);
	/* As long as it is there it is told, and nothing is taken. */
	cr_assert_eq(knit_poll(pair[0], POLLIN), POLLIN);
	cr_assert_eq(knit_poll(pair[0], POLLIN | POLLOUT), POLLIN | POLLOUT);
	cr_assert_eq(rig_drain(pair[0]), 2);

	task = rig_start(&call);
	rig_yield(RIG_IN_KERNEL);
	shutdown(pair[1], SHUT_WR);
	rig_finish(task);
	cr_assert_eq(call.result, POLLIN | POLLRDHUP);
	shutdown(pair[0], SHUT_WR);
	cr_assert_eq(knit_poll(pair[0], POLLIN) & POLLHUP, POLLHUP, "both ways");
	rig_close_all(pair, 2);
	return 0;
}

Test(io_poll, tells_when_a_socket_can_be_read_written_or_was_hung_up)
{
	rig_run(sockets, NULL);
}

static intptr_t pipes(void *arg)
{
	int ends[2], other[2];
	struct rig_call call = {.make = rig_poll, .size = POLLOUT};
	knit_task *task;

	(void)arg;
	rig_pipe(ends);
	cr_assert_eq(knit_poll(ends[1], POLLOUT), POLLOUT);
	rig_fill(ends[1]);
	call.fd = ends[1];
	task = rig_start(&call);
	rig_yield(20);
	cr_assert_not(call.done, "the pipe is full");
	rig_drain(ends[0]);
	rig_finish(task);
	cr_assert_eq(call.result, POLLOUT);

	/* Told though nobody asked: the other end is gone. */
	rig_pipe(other);
	call = (struct rig_call){.make = rig_poll, .fd = other[0], .size = 0};
	task = rig_start(&call);
	rig_yield(RIG_IN_KERNEL);
	cr_assert_not(call.done);
	close(other[1]);
	rig_finish(task);
	cr_assert_eq(call.result, POLLHUP);
	close(ends[0]);
	cr_assert_eq(knit_poll(ends[1], 0), POLLERR);
	close(ends[1]);
	close(other[0]);
	return 0;
}

Test(io_poll, tells_of_a_pipe_whose_other_end_is_gone)
{
	rig_run(pipes, NULL);
}

static intptr_t others(void *arg)
{
	const uint64_t one = 1;
	int file = rig_file(), event = eventfd(0, EFD_CLOEXEC);
	struct rig_call calls[2];
	knit_task *tasks[2];

	(void)arg;
	cr_assert_eq(knit_poll(file, POLLIN | POLLOUT), POLLIN | POLLOUT, "always");
	close(file);
	/* Two at once on one descriptor. */
	for (int i = 0; i < 2; i++) {
		calls[i] = (struct rig_call){.make = rig_poll, .fd = event, .size = POLLIN};
		tasks[i] = rig_start(&calls[i]);
	}
	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(rig_in_flight(), 2);
	cr_assert_eq(write(event, &one, sizeof(one)), sizeof(one));
	for (int i = 0; i < 2; i++) {
		rig_finish(tasks[i]);
		cr_assert_eq(calls[i].result, POLLIN);
	}
	close(event);
	return 0;
}

Test(io_poll, works_on_files_and_eventfds_and_for_two_tasks_at_once)
{
	rig_run(others, NULL);
}

/* Bits that poll(2) does not know are the kernel's own: they change what an operation does. */
static intptr_t strange_bits(void *arg)
{
	int pair[2];
	intptr_t r;

	(void)arg;
	rig_pair(AF_UNIX, pair);
	r = knit_poll(pair[0], 0xffff0000u | POLLOUT);
	cr_assert_eq(r, POLLOUT, "%ld", (long)r);
	cr_assert_eq(send(pair[1], "x", 1, 0), 1);
	r = knit_poll(pair[0], UINT32_MAX);
	cr_assert_gt(r, 0, "%ld", (long)r);
	cr_assert_eq(r & (POLLIN | POLLOUT), POLLIN | POLLOUT);
	cr_assert_eq(r & ~0xffff, 0);
	rig_close_all(pair, 2);
	return 0;
}

Test(io_poll, bits_that_are_no_events_mean_nothing)
{
	rig_run(strange_bits, NULL);
}
