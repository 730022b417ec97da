/* SPDX-License-Identifier: MIT */
/* test_alone.c - a send that nothing else would go to the kernel with: it does not suspend, but
 * leaves the others their turn; what finds no room waits; what shares a system call shares it. */
#include <stdlib.h>
#include "loop/loop.h"
#include "rig.h"

static uint64_t passes(void)
{
	return knit_get_running_loop()->counters.passes;
}

static uint64_t system_calls(void)
{
	struct kn_engine_counters counters;

	kn_engine_counters(rig_engine(), &counters);
	return counters.enters;
}

/* ---- at once, and in turn ---- */

static intptr_t sends_at_once(void *arg)
{
	char bytes[100] = "all of it", got[100] = "";
	uint64_t before, calls;
	int pair[2];

	rig_pair((int)(intptr_t)arg, pair);
	cr_assert_eq(knit_sleep(0), 0);
	before = passes();
	calls = system_calls();
	errno = EXDEV;
	for (int i = 0; i < 10; i++) {
		cr_assert_eq(knit_sock_sendall(pair[0], bytes, sizeof(bytes)), sizeof(bytes));
		cr_assert_eq(recv(pair[1], got, sizeof(got), MSG_WAITALL), sizeof(got));
		cr_assert_eq(memcmp(bytes, got, sizeof(got)), 0);
	}
	cr_assert_eq(knit_sock_sendall(pair[0], bytes, 0), 0);
	cr_assert_eq(errno, EXDEV);
	cr_assert_eq(rig_drain(pair[1]), 0);
	cr_assert_eq(passes(), before, "none of them suspended");
	cr_assert_eq(system_calls() - calls, 10, "the counters know of them");
	rig_close_all(pair, 2);
	return 0;
}

Test(io_alone, a_send_that_is_the_only_one_does_not_suspend)
{
	rig_run(sends_at_once, (void *)AF_UNIX);
	rig_run(sends_at_once, (void *)AF_INET);
}

static intptr_t sends_on(void *arg)
{
	char byte = 1;
	uint64_t before;
	int pair[2];

	(void)arg;
	rig_pair(AF_UNIX, pair);
	before = passes();
	for (int i = 0; i < 6400; i++) {
		cr_assert_eq(knit_sock_sendall(pair[0], &byte, 1), 1);
		cr_assert_eq(recv(pair[1], &byte, 1, 0), 1);
	}
	cr_assert_geq(passes() - before, 90, "%ju", (uintmax_t)(passes() - before));
	cr_assert_leq(passes() - before, 400, "%ju", (uintmax_t)(passes() - before));
	rig_close_all(pair, 2);
	return 0;
}

Test(io_alone, one_that_sends_and_sends_suspends_now_and_then)
{
	rig_run(sends_on, NULL);
}

enum { SENDERS = 32 };

static intptr_t send_one(void *arg)
{
	char byte = 1;

	return knit_sock_sendall(*(int *)arg, &byte, 1) == 1 ? 0 : -EIO;
}

static intptr_t share(void *arg)
{
	knit_task *tasks[SENDERS];
	int pairs[SENDERS][2];
	uint64_t calls;

	(void)arg;
	for (int i = 0; i < SENDERS; i++) {
		rig_pair(AF_UNIX, pairs[i]);
		tasks[i] = knit_create_task(send_one, pairs[i]);
	}
	calls = system_calls();
	for (int i = 0; i < SENDERS; i++)
		cr_assert_eq(knit_await(tasks[i]), 0);
	cr_assert_leq(system_calls() - calls, 4, "%ju", (uintmax_t)(system_calls() - calls));
	for (int i = 0; i < SENDERS; i++) {
		cr_assert_eq(rig_drain(pairs[i][1]), 1);
		rig_close_all(pairs[i], 2);
	}
	return 0;
}

Test(io_alone, many_in_a_pass_share_their_system_calls)
{
	rig_run(share, NULL);
}

/* ---- what does not succeed at once ---- */

static intptr_t no_room(void *arg)
{
	char bytes[5000];
	struct rig_call call = {.make = rig_sendall, .buffer = bytes, .size = sizeof(bytes)};
	knit_task *task;
	size_t filled, total = 0, n;
	int pair[2];

	memset(bytes, 7, sizeof(bytes));
	rig_pair((int)(intptr_t)arg, pair);
	rig_narrow(pair[0], 1);
	filled = rig_fill(pair[0]);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_yield(RIG_IN_KERNEL);
	cr_assert_not(call.done);
	for (int i = 0; i < 1000000 && total < filled + sizeof(bytes); i++) {
		n = rig_drain(pair[1]);
		total += n;
		cr_assert_eq(knit_sleep(0), 0);
	}
	rig_finish(task);
	cr_assert_eq(call.result, sizeof(bytes));
	cr_assert_eq(total, filled + sizeof(bytes));
	rig_close_all(pair, 2);
	return 0;
}

Test(io_alone, what_finds_no_room_waits_for_it)
{
	rig_run(no_room, (void *)AF_UNIX);
	rig_run(no_room, (void *)AF_INET);
}

static intptr_t errors(void *arg)
{
	struct linger reset = {.l_onoff = 1};
	char byte = 1;
	int pair[2], file = rig_file();

	(void)arg;
	cr_assert_eq(knit_sock_sendall(file, &byte, 1), -ENOTSOCK);
	cr_assert_eq(knit_sock_sendall(-1, &byte, 1), -EBADF);
	close(file);
	cr_assert_eq(knit_sock_sendall(file, &byte, 1), -EBADF);
	rig_pair(AF_INET, pair);
	cr_assert_eq(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(pair[1]);
	cr_assert_eq(knit_sock_sendall(pair[0], &byte, 1), -ECONNRESET, "told, and but once");
	cr_assert_eq(knit_sock_sendall(pair[0], &byte, 1), -EPIPE, "and no signal");
	close(pair[0]);
	return 0;
}

Test(io_alone, an_error_is_the_calls_result)
{
	rig_run(errors, NULL);
}

static intptr_t cancelled_before(void *arg)
{
	char byte = 1;

	cr_assert_eq(knit_task_cancel(knit_current_task(NULL), "before"), true);
	cr_assert_eq(knit_sock_sendall(*(int *)arg, &byte, 1), -KNIT_ECANCELLED);
	return 0;
}

static intptr_t cancels(void *arg)
{
	int pair[2];

	(void)arg;
	rig_pair(AF_UNIX, pair);
	rig_finish(knit_create_task(cancelled_before, pair));
	cr_assert_eq(rig_drain(pair[1]), 0, "nothing was sent");
	rig_close_all(pair, 2);
	return 0;
}

Test(io_alone, a_request_to_cancel_comes_first)
{
	rig_run(cancels, NULL);
}
