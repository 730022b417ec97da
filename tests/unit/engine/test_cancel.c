/* SPDX-License-Identifier: MIT */
/* test_cancel.c - a cancellation is a request: the operation still completes, once, with
 * what the kernel says, and not a byte or a descriptor is lost. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/list.h"
#include "rig.h"

static void waiting_recv(struct kn_engine *engine)
{
	char first[8] = "canary", second[8] = "";
	int fds[2];

	rig_socketpair(fds);
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], first, sizeof(first));
	probe_submit(engine, &receiving);
	cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
	kn_engine_cancel(engine, &receiving.op);
	cr_assert_eq(receiving.calls, 0, "nothing completes inside cancel");
	kn_engine_cancel(engine, &receiving.op);
	cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
	cr_assert_eq(rig_counters(engine).submitted, 2, "asked once");
	rig_pump(engine, &receiving.finals, 1);
	cr_assert_eq(receiving.result, -ECANCELED);

	cr_assert_eq(write(fds[1], "late", 4), 4);
	struct probe next = probe_buffer(KN_OP_RECV, fds[0], second, sizeof(second));
	cr_assert_eq(probe_run(engine, &next), 4);
	cr_assert_str_eq(first, "canary");
	cr_assert_str_eq(second, "late");
	close(fds[0]);
	close(fds[1]);
}

Test(engine_cancel, a_waiting_operation_ends_and_leaves_its_buffer_alone)
{
	rig_on_each_ring(0, 0, waiting_recv);
}

static void before_entering(struct kn_engine *engine)
{
	char byte;
	int fds[2];

	rig_socketpair(fds);
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);
	probe_submit(engine, &receiving);
	kn_engine_cancel(engine, &receiving.op);
	rig_pump(engine, &receiving.finals, 1);
	cr_assert_eq(receiving.result, -ECANCELED);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_cancel, an_operation_that_the_kernel_has_not_seen_yet_ends_too)
{
	rig_on_each_ring(0, 0, before_entering);
}

/* The operation succeeds at once, so the kernel finds nothing to cancel. Only when it has
 * said so may the operation's memory be used again. */
static void too_late(struct kn_engine *engine)
{
	char byte = 0;
	int fds[2];

	rig_socketpair(fds);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);
	probe_submit(engine, &receiving);
	kn_engine_cancel(engine, &receiving.op);
	uint64_t before = rig_counters(engine).completed;
	rig_pump(engine, &receiving.finals, 1);
	cr_assert_eq(receiving.result, 1, "a success stays one");
	cr_assert_eq(byte, 'x');
	cr_assert_eq(rig_counters(engine).completed, before + 2);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_cancel, a_success_stays_one_and_completes_after_the_answer)
{
	rig_on_each_ring(0, 0, too_late);
}

/* The operation's own completion has been looked at before the cancellation is even sent: for
 * the answer it is still worth a wait. */
static void answered_last(struct kn_engine *engine)
{
	char byte = 0;
	int fds[2];

	rig_socketpair(fds);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);
	probe_submit(engine, &receiving);
	cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), 0);
	kn_engine_cancel(engine, &receiving.op);
	cr_assert_eq(kn_engine_reap(engine, 10), 0);
	cr_assert_eq(kn_engine_in_flight(engine), 1);
	kn_engine_cancel(engine, &receiving.op);
	cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), 0);
	cr_assert(kn_engine_ready(engine));
	cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), 0, "does not wait");
	cr_assert_eq(kn_engine_reap(engine, 10), 1);
	cr_assert_eq(receiving.result, 1);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_cancel, an_operation_completes_with_the_answer_if_that_comes_last)
{
	rig_on_each_ring(0, 0, answered_last);
}

static bool hold_first(void *arg, const struct kn_op *op, int *result)
{
	int *left = arg;

	(void)op;
	(void)result;
	return --*left < 0;
}

/* The other order: the answer comes, the operation's own completion is late. */
static void answered_first(struct kn_engine *engine)
{
	char byte;
	int fds[2], left = 3;
	struct kn_engine_faults faults = {.arg = &left, .completion = hold_first};

	rig_socketpair(fds);
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);
	probe_submit(engine, &receiving);
	kn_engine_cancel(engine, &receiving.op);
	kn_engine_set_faults(engine, &faults);
	cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), 0);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(kn_engine_reap(engine, 10), 0);
		cr_assert_eq(receiving.calls, 0);
		cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), 0, "does not wait");
	}
	cr_assert_eq(kn_engine_reap(engine, 10), 1);
	cr_assert_eq(receiving.result, -ECANCELED);
	kn_engine_set_faults(engine, NULL);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_cancel, completes_only_after_both_in_the_other_order_too)
{
	rig_on_each_ring(0, 0, answered_first);
}

/* ---- an operation that is not in the ring yet ---- */

static bool no_room(void *arg, const struct kn_op *op)
{
	(void)op;
	return *(bool *)arg;
}

static void while_queued(struct kn_engine *engine)
{
	bool room = false;
	struct kn_engine_faults faults = {.arg = &room, .room = no_room};
	struct probe first = probe_of(KN_OP_NOP, -1), second = first, third = first;

	kn_engine_set_faults(engine, &faults);
	probe_submit(engine, &first);
	probe_submit(engine, &second);
	probe_submit(engine, &third);
	cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
	kn_engine_cancel(engine, &second.op);
	kn_engine_cancel(engine, &second.op);
	cr_assert_eq(second.calls, 0, "nothing completes inside cancel");
	cr_assert(kn_engine_ready(engine));
	cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), 0, "does not wait");
	cr_assert_eq(kn_engine_reap(engine, 10), 1);
	cr_assert_eq(second.result, -ECANCELED);
	cr_assert_eq(rig_counters(engine).submitted, 0, "the kernel never heard of it");
	cr_assert_eq(kn_engine_in_flight(engine), 2);
	room = true;
	cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
	cr_assert_eq(rig_counters(engine).submitted, 2);
	rig_settle(engine);
	cr_assert_eq(first.result, 0);
	cr_assert_eq(third.result, 0);
	kn_engine_set_faults(engine, NULL);
}

Test(engine_cancel, an_operation_without_room_never_reaches_the_kernel)
{
	rig_on_each_ring(0, 0, while_queued);
}

static bool no_room_to_cancel(void *arg, const struct kn_op *op)
{
	return *(bool *)arg || !op || !op->cancel_requested;
}

/* The cancellation finds no room, and the operation ends by itself: nobody asks any more. */
static void overtaken(struct kn_engine *engine)
{
	bool room = false;
	char byte;
	int fds[2];
	struct kn_engine_faults faults = {.arg = &room, .room = no_room_to_cancel};

	rig_socketpair(fds);
	kn_engine_set_faults(engine, &faults);
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);
	probe_submit(engine, &receiving);
	cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
	kn_engine_cancel(engine, &receiving.op);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	rig_pump(engine, &receiving.finals, 1);
	cr_assert_eq(receiving.result, 1);
	cr_assert_eq(rig_counters(engine).submitted, 1);
	room = true;

	/* And where it finds room later, it is sent. */
	room = false;
	probe_submit(engine, &receiving);
	cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
	kn_engine_cancel(engine, &receiving.op);
	for (int i = 0; i < 5; i++) {
		cr_assert_eq(kn_engine_enter(engine, true, rig_now() + MILLISECOND), 0);
		cr_assert_eq(kn_engine_reap(engine, 10), 0);
	}
	room = true;
	rig_pump(engine, &receiving.finals, 1);
	cr_assert_eq(receiving.result, -ECANCELED);
	kn_engine_set_faults(engine, NULL);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_cancel, a_cancellation_without_room_is_sent_later_or_not_at_all)
{
	rig_on_each_ring(0, 0, overtaken);
}

/* ---- many ---- */

static void storm(struct kn_engine *engine)
{
	int count = (int)test_scale(5000, 5000, 2000, 300), done = 0, fds[2];
	struct probe *probes = calloc((size_t)count, sizeof(*probes));
	char *bytes = calloc((size_t)count, 1);

	rig_socketpair(fds);
	for (int i = 0; i < count; i++) {
		probes[i] = probe_buffer(KN_OP_RECV, fds[0], &bytes[i], 1);
		probes[i].counter = &done;
		probe_submit(engine, &probes[i]);
	}
	cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
	/* From the middle outwards, each twice. */
	for (int i = 0; i < count; i++) {
		int j = i % 2 ? count / 2 - 1 - i / 2 : count / 2 + i / 2;

		kn_engine_cancel(engine, &probes[j].op);
		kn_engine_cancel(engine, &probes[j].op);
	}
	rig_pump(engine, &done, count);
	for (int i = 0; i < count; i++)
		cr_assert_eq(probes[i].result, -ECANCELED);
	free(probes);
	free(bytes);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_cancel, a_storm_of_cancellations_ends_each_operation_once)
{
	rig_on_each_ring(8, 16, storm);
}

struct siblings {
	struct probe first, second;
};

static void cancel_sibling(struct probe *probe)
{
	struct siblings *siblings = kn_container_of(probe, struct siblings, first);

	kn_engine_cancel(probe->engine, &siblings->second.op);
	cr_assert_eq(siblings->second.calls, 0);
}

static void from_complete(struct kn_engine *engine)
{
	struct siblings siblings;
	char byte;
	int fds[2];

	rig_socketpair(fds);
	siblings.first = probe_of(KN_OP_NOP, -1);
	siblings.first.then = cancel_sibling;
	siblings.second = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);
	probe_submit(engine, &siblings.second);
	probe_submit(engine, &siblings.first);
	rig_pump(engine, &siblings.second.finals, 1);
	cr_assert_eq(siblings.second.result, -ECANCELED);
	cr_assert_eq(siblings.first.finals, 1);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_cancel, complete_may_cancel_a_sibling)
{
	rig_on_each_ring(0, 0, from_complete);
}

static void each_opcode(struct kn_engine *engine)
{
	int fds[2], file = rig_file(), listener = rig_listener(1), done = 0;
	char space[16] = "";
	struct iovec part = {space, sizeof(space)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	rig_socketpair(fds);
	struct probe probes[] = {
	        probe_of(KN_OP_NOP, -1),
	        probe_of(KN_OP_ACCEPT, listener),
	        probe_buffer(KN_OP_RECV, fds[0], space, 4),
	        probe_buffer(KN_OP_RECVMSG, fds[0], &message, 0),
	        probe_buffer(KN_OP_READ, fds[0], space, 4),
	        probe_buffer(KN_OP_WRITE, file, "0123", 4),
	        probe_of(KN_OP_FSYNC, file),
	        probe_of(KN_OP_POLL, fds[0]),
	};
	int count = (int)KN_ARRAY_SIZE(probes);

	for (int i = 0; i < count; i++) {
		probes[i].counter = &done;
		if (probes[i].op.opcode == KN_OP_POLL)
			probes[i].op.flags = POLLIN;
		probe_submit(engine, &probes[i]);
	}
	for (int i = 0; i < count; i++)
		kn_engine_cancel(engine, &probes[i].op);
	rig_pump(engine, &done, count);
	for (int i = 0; i < count; i++)
		cr_assert(probes[i].result >= 0 || probes[i].result == -ECANCELED ||
		                  probes[i].result == -EINTR,
		          "operation %d: %d", probes[i].op.opcode, probes[i].result);
	cr_assert_eq(kn_engine_in_flight(engine), 0);
	close(fds[0]);
	close(fds[1]);
	close(file);
	close(listener);
}

Test(engine_cancel, every_kind_of_operation_ends)
{
	rig_on_each_ring(0, 0, each_opcode);
}

/* ---- descriptors that are closed and used anew ---- */

static void reuse(struct kn_engine *engine)
{
	char old_byte = '-', new_byte = '-';
	int old[2], new[2];

	rig_socketpair(old);
	struct probe stale = probe_buffer(KN_OP_RECV, old[0], &old_byte, 1);
	probe_submit(engine, &stale);
	cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
	/* What knit_close() must never do: the number goes to another socket while the
	 * operation still waits on the old one. */
	close(old[0]);
	rig_socketpair(new);
	cr_assert_eq(new[0], old[0]);
	struct probe fresh = probe_buffer(KN_OP_RECV, new[0], &new_byte, 1);
	probe_submit(engine, &fresh);
	kn_engine_cancel(engine, &stale.op);
	rig_pump(engine, &stale.finals, 1);
	cr_assert_eq(stale.result, -ECANCELED);
	cr_assert_eq(fresh.calls, 0, "the cancellation hit its target only");
	cr_assert_eq(write(new[1], "n", 1), 1);
	rig_pump(engine, &fresh.finals, 1);
	cr_assert_eq(new_byte, 'n');
	cr_assert_eq(old_byte, '-');
	close(old[1]);
	close(new[0]);
	close(new[1]);
}

Test(engine_cancel, a_reused_descriptor_number_is_not_mixed_up)
{
	rig_on_each_ring(0, 0, reuse);
}
