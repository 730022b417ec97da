/* SPDX-License-Identifier: MIT */
/* test_submit.c - getting operations into the kernel and completions out of it: few system
 * calls, a ring that is too small for what is asked of it, and its overflow. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "rig.h"

static void one_call(struct kn_engine *engine)
{
	struct probe probes[3];
	int done = 0;

	for (int i = 0; i < 3; i++) {
		probes[i] = probe_of(KN_OP_NOP, -1);
		probes[i].counter = &done;
	}
	uint64_t before = rig_counters(engine).enters;
	for (int i = 0; i < 3; i++)
		probe_submit(engine, &probes[i]);
	cr_assert_eq(rig_counters(engine).enters, before, "submit makes no system call");
	cr_assert_eq(kn_engine_in_flight(engine), 3);
	cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), 0);
	cr_assert_eq(rig_counters(engine).enters, before + 1);
	cr_assert_eq(done, 0, "nothing completes before the reap");
	cr_assert(kn_engine_ready(engine));
	cr_assert_eq(kn_engine_reap(engine, 10), 3);
	cr_assert_eq(done, 3);
	cr_assert_not(kn_engine_ready(engine));

	/* With nothing to do there is nothing to call for. */
	for (int i = 0; i < 1000; i++) {
		cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
		cr_assert_eq(kn_engine_enter(engine, true, rig_now() - 1), 0);
		cr_assert_eq(kn_engine_reap(engine, 10), 0);
	}
	cr_assert_eq(rig_counters(engine).enters, before + 1);
	cr_assert_eq(rig_counters(engine).submitted, 3);
	cr_assert_eq(rig_counters(engine).completed, 3);
}

Test(engine_submit, a_pass_is_one_system_call_and_an_idle_one_none)
{
	rig_on_each_ring(0, 0, one_call);
}

static void no_wait(struct kn_engine *engine)
{
	struct probe probe = probe_of(KN_OP_NOP, -1);

	probe_submit(engine, &probe);
	cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), 0);
	uint64_t before = rig_counters(engine).enters;
	/* The completion has not been reaped: for ever must not begin. */
	cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), 0);
	cr_assert_eq(rig_counters(engine).enters, before);
	cr_assert_eq(kn_engine_reap(engine, 1), 1);
}

Test(engine_submit, enter_does_not_wait_while_a_completion_is_there)
{
	rig_on_each_ring(0, 0, no_wait);
}

static void bounded_reap(struct kn_engine *engine)
{
	struct probe probes[10];
	int done = 0;

	for (int i = 0; i < 10; i++) {
		probes[i] = probe_of(KN_OP_NOP, -1);
		probes[i].counter = &done;
		probe_submit(engine, &probes[i]);
	}
	cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), 0);
	cr_assert_eq(kn_engine_reap(engine, 4), 4);
	cr_assert_eq(done, 4);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(probes[i].finals, 1, "the first that came are the first reaped");
	cr_assert(kn_engine_ready(engine));
	cr_assert_eq(kn_engine_reap(engine, 0), 0);
	cr_assert_eq(kn_engine_reap(engine, 100), 6);
}

Test(engine_submit, reap_takes_no_more_than_it_may)
{
	rig_on_each_ring(0, 0, bounded_reap);
}

/* Entries of 4 bytes each written to a pipe appear in the order of their submission. */
static void in_order(struct kn_engine *engine)
{
	enum { COUNT = 2000 };
	static uint32_t numbers[COUNT], got[COUNT];
	static struct probe probes[COUNT];
	int ends[2], done = 0;

	cr_assert_eq(pipe(ends), 0);
	for (uint32_t i = 0; i < COUNT; i++) {
		numbers[i] = i;
		probes[i] = probe_buffer(KN_OP_WRITE, ends[1], &numbers[i], sizeof(numbers[i]));
		probes[i].counter = &done;
		probe_submit(engine, &probes[i]);
	}
	rig_pump(engine, &done, COUNT);
	cr_assert_eq(read(ends[0], got, sizeof(got)), sizeof(got));
	cr_assert_eq(memcmp(got, numbers, sizeof(got)), 0);
	cr_assert_gt(rig_counters(engine).queue_full, 0);
	close(ends[0]);
	close(ends[1]);
}

Test(engine_submit, a_full_ring_keeps_the_order)
{
	rig_on_each_ring(8, 16, in_order);
}

/* ---- many operations on a small ring ---- */

struct crowd {
	int pairs, each; /* operations on each pair of sockets; every third is a poll */
	int (*fds)[2];
	char *bytes;
	struct probe *probes;
	int done;
};

static void crowd_gather(struct crowd *crowd, struct kn_engine *engine)
{
	int count = crowd->pairs * crowd->each;

	crowd->fds = calloc((size_t)crowd->pairs, sizeof(*crowd->fds));
	crowd->bytes = calloc((size_t)count, 1);
	crowd->probes = calloc((size_t)count, sizeof(*crowd->probes));
	for (int i = 0; i < crowd->pairs; i++)
		rig_socketpair(crowd->fds[i]);
	for (int i = 0; i < count; i++) {
		int fd = crowd->fds[i % crowd->pairs][0];
		struct probe *probe = &crowd->probes[i];

		if (i / crowd->pairs % 3 == 2) {
			*probe = probe_of(KN_OP_POLL, fd);
			probe->op.flags = 1; /* POLLIN */
		} else {
			*probe = probe_buffer(KN_OP_RECV, fd, &crowd->bytes[i], 1);
		}
		probe->counter = &crowd->done;
		probe_submit(engine, probe);
	}
}

static void crowd_disperse(struct crowd *crowd)
{
	for (int i = 0; i < crowd->pairs; i++) {
		close(crowd->fds[i][0]);
		close(crowd->fds[i][1]);
	}
	free(crowd->fds);
	free(crowd->bytes);
	free(crowd->probes);
}

static void ten_thousand(struct kn_engine *engine)
{
	struct crowd crowd = {.pairs = rig_allow_descriptors(1100) ? 500 : 100};
	int count;

	crowd.each = (int)test_scale(10000, 10000, 4000, 1000) / crowd.pairs;
	count = crowd.pairs * crowd.each;
	crowd_gather(&crowd, engine);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
		kn_engine_reap(engine, 1000);
	}
	cr_assert_eq(crowd.done, 0);
	cr_assert_eq(kn_engine_in_flight(engine), (size_t)count);
	/* A byte for each operation, so that a poll always finds one. */
	for (int i = 0; i < crowd.pairs; i++)
		for (int j = 0; j < crowd.each; j++)
			cr_assert_eq(write(crowd.fds[i][1], "x", 1), 1);
	rig_pump(engine, &crowd.done, count);
	for (int i = 0; i < count; i++) {
		cr_assert_eq(crowd.probes[i].result, 1, "operation %d: %d", i,
		             crowd.probes[i].result);
		if (crowd.probes[i].op.opcode == KN_OP_RECV)
			cr_assert_eq(crowd.bytes[i], 'x');
	}
	crowd_disperse(&crowd);
}

Test(engine_submit, ten_thousand_operations_complete_on_a_ring_of_eight)
{
	struct kn_engine *engine = rig_engine(8, 16);

	ten_thousand(engine);
	rig_free(engine);
}

Test(engine_submit, ten_thousand_operations_complete_on_an_old_kernels_ring_of_eight)
{
	kn_engine_refuse_setup_flags(1U << 7 | 1U << 8 | 1U << 12);
	struct kn_engine *engine = rig_engine(8, 16);

	ten_thousand(engine);
	rig_free(engine);
}

/* Deferred completions come some twenty a call: all of them must come in a number of calls
 * that goes with theirs, though none of the calls may wait. */
Test(engine_submit, completions_come_without_waiting_too)
{
	struct kn_engine *engine = rig_engine(0, 0);
	struct crowd crowd = {.pairs = 200, .each = 2};
	int passes = 0;

	crowd_gather(&crowd, engine);
	cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
	for (int i = 0; i < crowd.pairs; i++)
		for (int j = 0; j < crowd.each; j++)
			cr_assert_eq(write(crowd.fds[i][1], "x", 1), 1);
	for (; crowd.done < 400; passes++) {
		cr_assert_lt(passes, 400, "%d are done", crowd.done);
		cr_assert(kn_engine_ready(engine), "%d are done", crowd.done);
		cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
		kn_engine_reap(engine, 1000);
	}
	crowd_disperse(&crowd);
	rig_free(engine);
}

static void overflow(struct kn_engine *engine)
{
	enum { COUNT = 1000 };
	static struct probe probes[COUNT];
	int done = 0;

	for (int i = 0; i < COUNT; i++) {
		probes[i] = probe_of(KN_OP_NOP, -1);
		probes[i].counter = &done;
		probe_submit(engine, &probes[i]);
	}
	cr_assert_eq(done, 0);
	rig_pump(engine, &done, COUNT);
	cr_assert_gt(rig_counters(engine).overflows, 0);
	cr_assert_eq(rig_counters(engine).completed, COUNT);
}

Test(engine_submit, completions_that_overflow_the_queue_are_kept)
{
	rig_on_each_ring(8, 16, overflow);
}

/* ---- from inside complete() ---- */

struct chain {
	struct probe probe;
	struct kn_engine *engine;
	long left;
	uintptr_t lowest, highest; /* where the callback's frame was */
};

static void link_next(struct probe *probe)
{
	struct chain *chain = kn_container_of(probe, struct chain, probe);
	/* Not the address of a local: AddressSanitizer puts those elsewhere. */
	uintptr_t address = (uintptr_t)__builtin_frame_address(0);

	if (address < chain->lowest)
		chain->lowest = address;
	if (address > chain->highest)
		chain->highest = address;
	if (chain->left-- > 0)
		probe_submit(chain->engine, probe);
}

Test(engine_submit, a_chain_of_operations_does_not_grow_the_stack)
{
	struct chain chain = {.engine = rig_engine(8, 16),
	                      .left = test_scale(1000000, 200000, 200000, 5000),
	                      .lowest = UINTPTR_MAX};
	int64_t guard = rig_now() + RIG_GUARD;

	chain.probe = probe_of(KN_OP_NOP, -1);
	chain.probe.then = link_next;
	probe_submit(chain.engine, &chain.probe);
	while (kn_engine_in_flight(chain.engine)) {
		cr_assert_eq(kn_engine_enter(chain.engine, true, guard), 0);
		kn_engine_reap(chain.engine, 128);
	}
	cr_assert_lt(chain.left, 0);
	cr_assert_lt(chain.highest - chain.lowest, 512);
	rig_free(chain.engine);
}

struct brood {
	struct probe probe;
	struct probe young[100];
	int done;
};

static void hatch(struct probe *probe)
{
	struct brood *brood = kn_container_of(probe, struct brood, probe);

	for (int i = 0; i < 100; i++) {
		brood->young[i] = probe_of(KN_OP_NOP, -1);
		brood->young[i].counter = &brood->done;
		probe_submit(probe->engine, &brood->young[i]);
	}
	cr_assert_eq(brood->done, 0, "nothing completes inside submit");
}

static void many_from_one(struct kn_engine *engine)
{
	struct brood *brood = calloc(1, sizeof(*brood));

	brood->probe = probe_of(KN_OP_NOP, -1);
	brood->probe.then = hatch;
	probe_submit(engine, &brood->probe);
	rig_pump(engine, &brood->done, 100);
	cr_assert_eq(kn_engine_in_flight(engine), 0);
	free(brood);
}

Test(engine_submit, complete_may_submit_more_than_the_ring_holds)
{
	rig_on_each_ring(8, 16, many_from_one);
}
