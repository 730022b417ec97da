/* SPDX-License-Identifier: MIT */
/* test_inflight.c - which operations are in flight on a descriptor, and what happens where
 * there is no memory to remember that. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/alloc.h"
#include "rig.h"

static int count_of(struct kn_engine *engine, int fd)
{
	struct kn_list *list = kn_engine_ops_of(engine, fd);
	int count = 0;

	if (!list)
		return 0;
	kn_list_for_each (node, list) {
		cr_assert_eq(kn_list_entry(node, struct kn_op, link)->fd, fd);
		count++;
	}
	return count;
}

Test(engine_inflight, operations_are_listed_by_descriptor_until_they_complete)
{
	struct kn_engine *engine = rig_engine(0, 0);
	int pairs[2][2];
	char bytes[4];

	rig_socketpair(pairs[0]);
	rig_socketpair(pairs[1]);
	struct probe a = probe_buffer(KN_OP_RECV, pairs[0][0], &bytes[0], 1);
	struct probe b = probe_buffer(KN_OP_RECV, pairs[0][0], &bytes[1], 1);
	struct probe c = probe_buffer(KN_OP_RECV, pairs[1][0], &bytes[2], 1);
	struct probe nop = probe_of(KN_OP_NOP, -1);
	cr_assert_eq(count_of(engine, pairs[0][0]), 0);
	probe_submit(engine, &a);
	probe_submit(engine, &b);
	probe_submit(engine, &c);
	probe_submit(engine, &nop);
	cr_assert_eq(count_of(engine, pairs[0][0]), 2);
	cr_assert_eq(count_of(engine, pairs[1][0]), 1);
	cr_assert_eq(count_of(engine, pairs[1][1]), 0);
	cr_assert_null(kn_engine_ops_of(engine, -1));
	cr_assert_null(kn_engine_ops_of(engine, 1 << 30));
	cr_assert_eq(kn_engine_in_flight(engine), 4);

	/* As who closes the descriptor does it. */
	kn_list_for_each (node, kn_engine_ops_of(engine, pairs[0][0]))
		kn_engine_cancel(engine, kn_list_entry(node, struct kn_op, link));
	cr_assert_eq(count_of(engine, pairs[0][0]), 2, "cancel changes no list");
	rig_pump(engine, &a.finals, 1);
	rig_pump(engine, &b.finals, 1);
	cr_assert_eq(count_of(engine, pairs[0][0]), 0);
	cr_assert_eq(count_of(engine, pairs[1][0]), 1);
	kn_engine_cancel(engine, &c.op);
	rig_settle(engine);
	for (int i = 0; i < 4; i++)
		close(pairs[i / 2][i % 2]);
	rig_free(engine);
}

Test(engine_inflight, the_table_grows_with_the_descriptors)
{
	struct kn_engine *engine = rig_engine(0, 0);
	int high = rig_allow_descriptors(1500) ? 1400 : 200, fds[2], moved[2];
	char bytes[3];

	rig_socketpair(fds);
	moved[0] = fcntl(fds[0], F_DUPFD_CLOEXEC, high);
	moved[1] = fcntl(fds[0], F_DUPFD_CLOEXEC, high / 2);
	cr_assert_geq(moved[0], high);
	struct probe low = probe_buffer(KN_OP_RECV, fds[0], &bytes[0], 1);
	struct probe top = probe_buffer(KN_OP_RECV, moved[0], &bytes[1], 1);
	struct probe middle = probe_buffer(KN_OP_RECV, moved[1], &bytes[2], 1);
	probe_submit(engine, &low);
	probe_submit(engine, &top);
	probe_submit(engine, &middle);
	cr_assert_eq(count_of(engine, fds[0]), 1);
	cr_assert_eq(count_of(engine, moved[0]), 1);
	cr_assert_eq(count_of(engine, moved[1]), 1);
	cr_assert_eq(kn_engine_drain(engine, INT64_MAX), 0);
	close(fds[0]);
	close(fds[1]);
	close(moved[0]);
	close(moved[1]);
	rig_free(engine);
}

Test(engine_inflight, without_memory_the_operation_is_not_taken)
{
	struct kn_engine *engine = rig_engine(0, 0);
	int fds[2];
	char byte;

	rig_socketpair(fds);
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);
	/* Two allocations are needed: each fails once. */
	for (long allow = 0; allow < 2; allow++) {
		kn_alloc_fail_after(allow);
		cr_assert_eq(kn_engine_submit(engine, &receiving.op), -ENOMEM);
		kn_alloc_fail_after(-1);
		cr_assert_eq(kn_engine_in_flight(engine), 0);
		cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
		cr_assert_eq(rig_counters(engine).submitted, 0);
	}
	/* What needs no table does without. */
	kn_alloc_fail_after(0);
	struct probe nop = probe_of(KN_OP_NOP, -1);
	cr_assert_eq(probe_run(engine, &nop), 0);
	kn_alloc_fail_after(-1);

	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert_eq(probe_run(engine, &receiving), 1);
	/* And the second time nothing is allocated. */
	cr_assert_eq(write(fds[1], "x", 1), 1);
	kn_alloc_fail_after(0);
	cr_assert_eq(probe_run(engine, &receiving), 1);
	kn_alloc_fail_after(-1);
	close(fds[0]);
	close(fds[1]);
	rig_free(engine);
}
