/* SPDX-License-Identifier: MIT */
/* test_faults.c - the kernel at its worst: no room in the ring, calls that fail before or
 * after they did their work, completions that are late or short. Each fault is put at each
 * place where it can happen, one after the other, until a run meets none. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "engine/engine.h"
#include "rig.h"

enum { WRITES = 20, RECVS = 6 };

/* A bit of everything on a small ring: writes whose order can be seen, receives of which
 * half are cancelled, a poll, waits until a deadline. */
struct scenario {
	int pipe[2], pair[2];
	uint32_t numbers[WRITES];
	struct probe writes[WRITES], recvs[RECVS], poll;
	char bytes[RECVS];
	int done;
};

static void scenario_submit(struct scenario *all, struct kn_engine *engine)
{
	memset(all, 0, sizeof(*all));
	cr_assert_eq(pipe(all->pipe), 0);
	rig_socketpair(all->pair);
	for (int i = 0; i < RECVS; i++) {
		all->recvs[i] = probe_buffer(KN_OP_RECV, all->pair[0], &all->bytes[i], 1);
		all->recvs[i].counter = &all->done;
		probe_submit(engine, &all->recvs[i]);
	}
	all->poll = probe_of(KN_OP_POLL, all->pipe[0]);
	all->poll.op.flags = POLLIN;
	all->poll.op.multishot = true;
	probe_submit(engine, &all->poll);
	cr_assert_eq(kn_engine_enter(engine, true, rig_now() + 100 * 1000), 0);
	kn_engine_reap(engine, 2);
	for (uint32_t i = 0; i < WRITES; i++) {
		all->numbers[i] = i;
		all->writes[i] = probe_buffer(KN_OP_WRITE, all->pipe[1], &all->numbers[i],
		                              sizeof(all->numbers[i]));
		all->writes[i].counter = &all->done;
		probe_submit(engine, &all->writes[i]);
	}
	for (int i = 0; i < RECVS; i += 2)
		kn_engine_cancel(engine, &all->recvs[i].op);
	cr_assert_eq(kn_engine_enter(engine, true, rig_now() + 100 * 1000), 0);
	kn_engine_reap(engine, 2);
}

static void scenario_finish(struct scenario *all, struct kn_engine *engine)
{
	uint32_t got[WRITES + 1];
	long bytes = 0;
	char spill[RECVS];

	cr_assert_eq(write(all->pair[1], "abcdef", RECVS), RECVS);
	rig_pump(engine, &all->done, WRITES + RECVS);
	cr_assert_eq(kn_engine_enter(engine, true, rig_now() + 50 * 1000), 0);
	cr_assert_eq(kn_engine_drain(engine, INT64_MAX), 0);
	cr_assert_eq(kn_engine_in_flight(engine), 0);
	cr_assert_eq(read(all->pipe[0], got, sizeof(got)), (long)sizeof(all->numbers),
	             "each write was done once");
	cr_assert_eq(memcmp(got, all->numbers, sizeof(all->numbers)), 0, "and in order");
	for (int i = 0; i < RECVS; i++) {
		if (all->recvs[i].result == 1)
			bytes++;
		else
			cr_assert_eq(all->recvs[i].result, -ECANCELED);
		cr_assert(i % 2 == 0 || all->recvs[i].result == 1);
		cr_assert_eq(all->recvs[i].finals, 1);
	}
	if (bytes < RECVS)
		bytes += recv(all->pair[0], spill, sizeof(spill), MSG_DONTWAIT);
	cr_assert_eq(bytes, RECVS);
	cr_assert_eq(all->poll.finals, 1);
	for (int i = 0; i < 2; i++) {
		close(all->pipe[i]);
		close(all->pair[i]);
	}
}

struct fault {
	long calls, at; /* the fault is at the call with this number */
	long times;     /* and at so many in all */
	int error;
	bool after;
	bool hit;
};

static bool fault_now(struct fault *fault)
{
	long call = fault->calls++;

	if (call < fault->at || call >= fault->at + fault->times)
		return false;
	fault->hit = true;
	return true;
}

/* Runs the scenario with the fault at its first call, its second, and so on. */
static void everywhere(struct fault *fault, struct kn_engine_faults *faults, unsigned sq)
{
	struct scenario *all = calloc(1, sizeof(*all));
	struct kn_engine *engine = rig_engine(sq, 2 * sq);
	long runs = 0;

	faults->arg = fault;
	for (fault->at = 0, fault->hit = true; fault->hit; fault->at++, runs++) {
		cr_assert_lt(runs, 2000);
		fault->calls = 0;
		fault->hit = false;
		kn_engine_set_faults(engine, faults);
		scenario_submit(all, engine);
		scenario_finish(all, engine);
		kn_engine_set_faults(engine, NULL);
		if (runs > 200)
			fault->at += 7;
	}
	cr_assert_gt(runs, 3);
	free(all);
	rig_free(engine);
}

static bool no_room(void *arg, const struct kn_op *op)
{
	(void)op;
	return !fault_now(arg);
}

Test(engine_faults, no_room_at_any_place_delays_and_nothing_else)
{
	for (unsigned sq = 8; sq <= 256; sq *= 32)
		for (long times = 1; times <= 4; times += 3) {
			struct fault fault = {.times = times};
			struct kn_engine_faults faults = {.room = no_room};

			everywhere(&fault, &faults, sq);
		}
}

/* With nothing in the kernel that could end it, a wait for ever must not begin. */
Test(engine_faults, a_wait_ends_while_something_has_found_no_room)
{
	struct fault fault = {.times = 12};
	struct kn_engine_faults faults = {.arg = &fault, .room = no_room};
	struct kn_engine *engine = rig_engine(0, 0);
	struct probe nop = probe_of(KN_OP_NOP, -1);

	kn_engine_set_faults(engine, &faults);
	probe_submit(engine, &nop);
	for (int i = 0; !nop.finals; i++) {
		cr_assert_lt(i, 100);
		cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), 0);
		kn_engine_reap(engine, 10);
	}
	cr_assert_geq(fault.calls, 12);
	kn_engine_set_faults(engine, NULL);
	rig_free(engine);
}

static int bad_call(void *arg, struct kn_engine *engine, unsigned submit, unsigned wait,
                    int (*call)(struct kn_engine *, unsigned, unsigned))
{
	struct fault *fault = arg;

	if (!fault_now(fault))
		return call(engine, submit, wait);
	if (fault->after)
		(void)call(engine, submit, wait);
	return fault->error;
}

static void failing_call(bool after, long times)
{
	static const int errors[] = {-EINTR, -EAGAIN, -EBUSY, -ENOMEM};

	for (size_t i = 0; i < KN_ARRAY_SIZE(errors); i++) {
		struct fault fault = {.times = times, .error = errors[i], .after = after};
		struct kn_engine_faults faults = {.enter = bad_call};

		everywhere(&fault, &faults, 8);
	}
}

Test(engine_faults, a_call_that_fails_is_repeated)
{
	failing_call(false, 1);
	failing_call(false, 5);
}

Test(engine_faults, a_call_that_fails_after_its_work_submits_nothing_twice)
{
	failing_call(true, 1);
	failing_call(true, 5);
}

/* Half of the entries taken, then an error. */
static int half_call(void *arg, struct kn_engine *engine, unsigned submit, unsigned wait,
                     int (*call)(struct kn_engine *, unsigned, unsigned))
{
	struct fault *fault = arg;

	if (!fault_now(fault))
		return call(engine, submit, wait);
	(void)call(engine, submit / 2, 0);
	return fault->error;
}

Test(engine_faults, a_call_that_fails_half_way_goes_on_from_there)
{
	struct fault fault = {.times = 1, .error = -EAGAIN};
	struct kn_engine_faults faults = {.enter = half_call};

	everywhere(&fault, &faults, 8);
}

/* As a kernel without SUBMIT_ALL does at an entry that it does not like. */
static int short_call(void *arg, struct kn_engine *engine, unsigned submit, unsigned wait,
                      int (*call)(struct kn_engine *, unsigned, unsigned))
{
	(void)arg;
	return submit > 1 ? call(engine, submit / 2, 0) : call(engine, submit, wait);
}

Test(engine_faults, a_kernel_that_takes_fewer_entries_is_asked_again)
{
	struct kn_engine_faults faults = {.enter = short_call};
	struct kn_engine *engine = rig_engine(8, 16);
	struct scenario *all = calloc(1, sizeof(*all));

	kn_engine_set_faults(engine, &faults);
	scenario_submit(all, engine);
	scenario_finish(all, engine);
	free(all);

	/* At once, and not at the next pass. */
	struct probe nops[7];
	uint64_t before = rig_counters(engine).submitted;
	for (int i = 0; i < 7; i++) {
		nops[i] = probe_of(KN_OP_NOP, -1);
		probe_submit(engine, &nops[i]);
	}
	cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
	cr_assert_eq(rig_counters(engine).submitted, before + 7);
	rig_settle(engine);
	rig_free(engine);
}

static bool late(void *arg, const struct kn_op *op, int *result)
{
	(void)op;
	(void)result;
	return !fault_now(arg);
}

Test(engine_faults, late_completions_are_waited_for)
{
	for (long times = 1; times <= 9; times += 4) {
		struct fault fault = {.times = times};
		struct kn_engine_faults faults = {.completion = late};

		everywhere(&fault, &faults, 8);
	}
}

/* Every other completion comes three reaps later. */
static bool shuffled(void *arg, const struct kn_op *op, int *result)
{
	(void)op;
	(void)result;
	return ++*(unsigned *)arg % 4 != 1;
}

Test(engine_faults, completions_in_another_order_are_as_good)
{
	unsigned count = 0;
	struct kn_engine_faults faults = {.arg = &count, .completion = shuffled};
	struct kn_engine *engine = rig_engine(8, 16);
	struct scenario *all = calloc(1, sizeof(*all));

	kn_engine_set_faults(engine, &faults);
	for (int i = 0; i < 20; i++) {
		scenario_submit(all, engine);
		scenario_finish(all, engine);
	}
	free(all);
	rig_free(engine);
}

static bool shorter(void *arg, const struct kn_op *op, int *result)
{
	int most = *(int *)arg;

	if (op->opcode == KN_OP_RECV && *result > most)
		*result = most;
	return true;
}

Test(engine_faults, completions_come_short_if_asked_to)
{
	int most = 2;
	struct kn_engine_faults faults = {.arg = &most, .completion = shorter};
	struct kn_engine *engine = rig_engine(0, 0);
	char buffer[8];
	int fds[2];

	rig_socketpair(fds);
	kn_engine_set_faults(engine, &faults);
	cr_assert_eq(write(fds[1], "hello", 5), 5);
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], buffer, sizeof(buffer));
	cr_assert_eq(probe_run(engine, &receiving), 2);
	most = -ECONNRESET;
	cr_assert_eq(write(fds[1], "hello", 5), 5);
	cr_assert_eq(probe_run(engine, &receiving), -ECONNRESET);
	close(fds[0]);
	close(fds[1]);
	rig_free(engine);
}

/* ---- the end of an engine ---- */

static int broken_call(void *arg, struct kn_engine *engine, unsigned submit, unsigned wait,
                       int (*call)(struct kn_engine *, unsigned, unsigned))
{
	(void)engine;
	(void)submit;
	(void)wait;
	(void)call;
	++*(int *)arg;
	return -EBADR;
}

Test(engine_faults, a_ring_that_lost_completions_is_told_of_and_not_entered_again)
{
	int calls = 0;
	struct kn_engine_faults faults = {.arg = &calls, .enter = broken_call};
	static struct kn_engine *engine; /* reachable: it cannot be freed */
	struct probe probes[20];

	engine = rig_engine(8, 16);
	kn_engine_set_faults(engine, &faults);
	for (int i = 0; i < 20; i++) {
		probes[i] = probe_of(KN_OP_NOP, -1);
		/* The ring fills up meanwhile, and emptying it fails. */
		probe_submit(engine, &probes[i]);
	}
	cr_assert_eq(calls, 1);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(kn_engine_enter(engine, true, INT64_MAX), -EBADR);
		cr_assert_eq(kn_engine_arm(engine, INT64_MAX), -EBADR);
		cr_assert_eq(kn_engine_reap(engine, 100), 0);
	}
	cr_assert_eq(kn_engine_drain(engine, INT64_MAX), 20);
	cr_assert_eq(calls, 1);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(probes[i].calls, 0);
}

static void free_too_early(void *arg)
{
	struct kn_engine *engine = rig_engine(0, 0);
	struct probe probe = probe_of(KN_OP_NOP, -1);

	(void)arg;
	probe_submit(engine, &probe);
	kn_engine_free(engine);
}

Test(engine_faults, freeing_an_engine_with_operations_in_flight_ends_the_process)
{
	test_death(free_too_early, NULL, "in_flight");
}
