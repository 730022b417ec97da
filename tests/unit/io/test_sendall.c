/* SPDX-License-Identifier: MIT */
/* test_sendall.c - a send that ends half way: how many bytes went is told, and nothing is told
 * twice or not at all. The peer counts. */
#include <stdlib.h>
#include "rig.h"

#define LARGE (1 << 20)

static char *large;

static void make_large(void)
{
	large = malloc(LARGE);
	cr_assert_not_null(large);
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (char)(i * 7 + i / 509);
}

/* What arrives on @fd, up to the end or as much as is there, is the beginning of what was sent. */
static size_t check_prefix(int fd, int flags)
{
	static char got[LARGE];
	size_t total = 0;
	ssize_t n;

	while (total < LARGE && (n = recv(fd, got + total, LARGE - total, flags)) > 0)
		total += (size_t)n;
	cr_assert_eq(memcmp(got, large, total), 0, "other bytes than were sent");
	return total;
}

/* ---- cancelled ---- */

static intptr_t half_way(void *arg)
{
	int family = (int)(intptr_t)arg, pair[2];
	struct rig_call call = {.make = rig_sendall, .buffer = large, .size = LARGE};
	knit_task *task;
	size_t arrived;

	rig_pair(family, pair);
	rig_narrow(pair[0], 65536);
	rig_narrow(pair[1], 65536);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_yield(50);
	cr_assert_not(call.done);
	cr_assert(knit_task_cancel(task, "half way"));
	rig_finish(task);
	cr_assert_gt(call.result, 0, "%s", knit_errname((int)call.result));
	cr_assert_lt(call.result, LARGE);
	cr_assert_eq(call.next, -KNIT_ECANCELLED, "the next suspension reports it");
	cr_assert_str_eq(call.message, "half way");
	shutdown(pair[0], SHUT_WR);
	arrived = check_prefix(pair[1], 0);
	cr_assert_eq((intptr_t)arrived, call.result, "it said %ld, %zu arrived", (long)call.result,
	             arrived);
	rig_close_all(pair, 2);
	return 0;
}

Test(io_sendall, cancelled_half_way_says_how_many_bytes_went, .init = make_large)
{
	rig_run(half_way, (void *)AF_UNIX);
	rig_run(half_way, (void *)AF_INET);
	free(large);
}

static intptr_t nothing_went(void *arg)
{
	int pair[2];
	struct rig_call call = {.make = rig_sendall, .buffer = large, .size = LARGE};
	knit_task *task;

	(void)arg;
	rig_pair(AF_UNIX, pair);
	rig_narrow(pair[0], 1);
	rig_drain(pair[1]);
	rig_fill(pair[0]);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_yield(RIG_IN_KERNEL);
	knit_task_cancel(task, "at once");
	rig_finish(task);
	cr_assert_eq(call.result, -KNIT_ECANCELLED);
	cr_assert_str_eq(call.message, "at once");
	cr_assert_eq(call.next, 0);
	rig_drain(pair[1]);
	cr_assert_eq(check_prefix(pair[1], MSG_DONTWAIT), 0);
	rig_close_all(pair, 2);
	return 0;
}

Test(io_sendall, cancelled_before_a_byte_went_is_a_cancellation, .init = make_large)
{
	rig_run(nothing_went, NULL);
	free(large);
}

static intptr_t taken_back(void *arg)
{
	int pair[2];
	struct rig_call call = {.make = rig_sendall, .buffer = large, .size = LARGE};
	knit_task *task;

	(void)arg;
	rig_pair(AF_UNIX, pair);
	rig_narrow(pair[0], 1);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_yield(RIG_IN_KERNEL);
	knit_task_cancel(task, NULL);
	cr_assert_eq(knit_task_uncancel(task), 0);
	while (!call.done) {
		rig_yield(1);
		rig_drain(pair[1]);
	}
	rig_finish(task);
	/* What the kernel had taken was a success; with the request gone it goes on. */
	cr_assert_eq(call.result, LARGE, "%ld", (long)call.result);
	cr_assert_eq(call.next, 0);
	rig_close_all(pair, 2);
	return 0;
}

Test(io_sendall, a_request_taken_back_half_way_lets_it_go_on, .init = make_large)
{
	rig_run(taken_back, NULL);
	free(large);
}

/* ---- in several pieces ---- */

/* The kernel says that it took less than it did, as it says of pieces of 2 GiB. */
static bool four_at_a_time(void *arg, const struct kn_op *op, int *result)
{
	(void)arg;
	if (op->opcode == KN_OP_SEND && *result > 4)
		*result = 4;
	return true;
}

/* And after the first piece there is no room for a second. */
static bool four_and_then_full(void *arg, const struct kn_op *op, int *result)
{
	if (op->opcode == KN_OP_SEND && *result > 4) {
		rig_fill(*(int *)arg);
		*result = 4;
	}
	return true;
}

static intptr_t second_piece(void *arg)
{
	char some[9] = "";
	int pair[2];
	struct rig_call call = {.make = rig_sendall, .buffer = some, .size = sizeof(some)};
	const struct kn_engine_faults faults = {.completion = four_and_then_full, .arg = pair};
	knit_task *task;

	(void)arg;
	rig_pair(AF_UNIX, pair);
	rig_narrow(pair[0], 1);
	kn_engine_set_faults(rig_engine(), &faults);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_yield(10);
	cr_assert_not(call.done);
	knit_task_cancel(task, "in the second piece");
	rig_finish(task);
	cr_assert_eq(call.result, 4);
	cr_assert_eq(call.next, -KNIT_ECANCELLED);
	cr_assert_str_eq(call.message, "in the second piece");
	kn_engine_set_faults(rig_engine(), NULL);
	rig_close_all(pair, 2);
	return 0;
}

Test(io_sendall, cancelled_between_its_pieces_keeps_the_count_and_the_message)
{
	rig_run(second_piece, NULL);
}

static intptr_t goes_on(void *arg)
{
	static char some[1000];
	int pair[2];
	const struct kn_engine_faults faults = {.completion = four_at_a_time};

	(void)arg;
	rig_pair(AF_UNIX, pair);
	kn_engine_set_faults(rig_engine(), &faults);
	cr_assert_eq(knit_sock_sendall(pair[0], some, 10), 10, "4, 4 and 2");
	kn_engine_set_faults(rig_engine(), NULL);
	cr_assert_eq(rig_drain(pair[1]), 10 + 6 + 2);
	rig_close_all(pair, 2);
	return 0;
}

Test(io_sendall, goes_on_where_the_kernel_stopped)
{
	rig_run(goes_on, NULL);
}

/* ---- the peer goes away, or the descriptor ---- */

static intptr_t peer_leaves(void *arg)
{
	int pair[2];
	struct rig_call call = {.make = rig_sendall, .buffer = large, .size = LARGE};
	char byte = 0;
	knit_task *task;

	rig_pair((int)(intptr_t)arg, pair);
	rig_narrow(pair[0], 65536);
	rig_narrow(pair[1], 65536);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_yield(50);
	cr_assert_not(call.done);
	close(pair[1]);
	rig_finish(task);
	cr_assert_gt(call.result, 0, "%s", knit_errname((int)call.result));
	cr_assert_lt(call.result, LARGE);
	cr_assert_eq(call.next, 0);
	cr_assert_lt(knit_sock_sendall(pair[0], &byte, 1), 0, "the next call reports it");
	cr_assert_eq(knit_sock_sendall(pair[0], &byte, 1), -EPIPE);
	close(pair[0]);
	return 0;
}

Test(io_sendall, an_error_half_way_is_told_by_the_next_call, .init = make_large)
{
	rig_run(peer_leaves, (void *)AF_UNIX);
	rig_run(peer_leaves, (void *)AF_INET);
	free(large);
}

static intptr_t is_closed(void *arg)
{
	int pair[2];
	struct rig_call call = {.make = rig_sendall, .buffer = large, .size = LARGE};
	knit_task *task;

	(void)arg;
	rig_pair(AF_UNIX, pair);
	rig_narrow(pair[0], 1);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_yield(50);
	cr_assert_eq(knit_close(pair[0]), 0);
	rig_finish(task);
	cr_assert_gt(call.result, 0);
	cr_assert_eq((intptr_t)check_prefix(pair[1], MSG_DONTWAIT), call.result,
	             "what it got is returned");
	close(pair[1]);
	return 0;
}

Test(io_sendall, knit_close_half_way_says_how_many_bytes_went, .init = make_large)
{
	rig_run(is_closed, NULL);
	free(large);
}

static bool four_and_tell(void *arg, const struct kn_op *op, int *result)
{
	if (op->opcode == KN_OP_SEND && *result > 4) {
		*result = 4;
		*(bool *)arg = true;
	}
	return true;
}

/* The kernel's worker was disturbed: the call begins anew. */
static bool interrupt_and_tell(void *arg, const struct kn_op *op, int *result)
{
	if (op->opcode == KN_OP_SEND) {
		*result = -EINTR;
		*(bool *)arg = true;
	}
	return true;
}

/* The first piece went, and before the sender's step comes this one, which closes the descriptor
 * and opens another with the same number: the second piece is not for that one. */
static intptr_t number_reused(void *arg)
{
	bool told = false;
	char some[9] = "";
	int pair[2], other[2];
	struct rig_call call = {.make = rig_sendall, .buffer = some, .size = sizeof(some)};
	const struct kn_engine_faults faults = {
	        .completion = arg ? interrupt_and_tell : four_and_tell, .arg = &told};
	knit_task *task;

	rig_pair(AF_UNIX, pair);
	rig_pair(AF_UNIX, other);
	kn_engine_set_faults(rig_engine(), &faults);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_until(&told);
	kn_engine_set_faults(rig_engine(), NULL);
	cr_assert_not(call.done);
	cr_assert_eq(knit_close(pair[0]), 0);
	cr_assert_eq(dup2(other[0], pair[0]), pair[0]);
	rig_finish(task);
	cr_assert_eq(call.result, arg ? -EBADF : 4, "%ld", (long)call.result);
	cr_assert_eq(call.next, 0);
	cr_assert_eq(rig_drain(other[1]), 0, "bytes went to another's descriptor");
	rig_close_all(pair, 2);
	rig_close_all(other, 2);
	return 0;
}

Test(io_sendall, knit_close_between_its_pieces_keeps_it_off_a_reused_number)
{
	rig_run(number_reused, NULL);
}

Test(io_sendall, knit_close_keeps_a_call_that_begins_anew_off_a_reused_number)
{
	rig_run(number_reused, (void *)1);
}

/* ---- all of it ---- */

static intptr_t slow_reader(void *arg)
{
	int pair[2];
	struct rig_call call = {.make = rig_sendall, .buffer = large, .size = LARGE};
	knit_task *task;
	size_t total = 0;
	uint32_t random = 1;

	rig_pair((int)(intptr_t)arg, pair);
	rig_narrow(pair[0], 1);
	call.fd = pair[0];
	task = rig_start(&call);
	while (total < LARGE) {
		char piece[4000];
		size_t size = rig_random(&random) % sizeof(piece) + 1;
		intptr_t n = knit_sock_recv(pair[1], piece, size);

		cr_assert_gt(n, 0);
		cr_assert_eq(memcmp(piece, large + total, (size_t)n), 0);
		total += (size_t)n;
	}
	rig_finish(task);
	cr_assert_eq(call.result, LARGE);
	cr_assert_eq(rig_drain(pair[1]), 0);
	rig_close_all(pair, 2);
	return 0;
}

Test(io_sendall, one_call_sends_what_a_slow_reader_takes_in_many, .init = make_large)
{
	rig_run(slow_reader, (void *)AF_UNIX);
	rig_run(slow_reader, (void *)AF_INET);
	free(large);
}
