/* SPDX-License-Identifier: MIT */
/* test_drain.c - ending everything, and what is free afterwards. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "rig.h"

static void a_thousand(struct kn_engine *engine)
{
	enum { PAIRS = 50, COUNT = 1000 };
	static struct probe probes[COUNT];
	static char bytes[COUNT];
	int fds[PAIRS][2], listener = rig_listener(1), done = 0;

	for (int i = 0; i < PAIRS; i++)
		rig_socketpair(fds[i]);
	for (int i = 0; i < COUNT; i++) {
		int fd = fds[i % PAIRS][0];

		if (i % 4 == 0) {
			probes[i] = probe_of(KN_OP_POLL, fd);
			probes[i].op.flags = POLLIN;
			probes[i].op.multishot = i % 8 == 0;
		} else if (i % 4 == 1) {
			probes[i] = probe_of(KN_OP_ACCEPT, listener);
			probes[i].op.multishot = i % 8 == 1;
		} else {
			probes[i] = probe_buffer(KN_OP_RECV, fd, &bytes[i], 1);
		}
		probes[i].counter = &done;
		probe_submit(engine, &probes[i]);
	}
	cr_assert_eq(kn_engine_drain(engine, INT64_MAX), 0);
	cr_assert_eq(done, COUNT);
	cr_assert_eq(kn_engine_in_flight(engine), 0);
	for (int i = 0; i < COUNT; i++)
		cr_assert_eq(probes[i].result, -ECANCELED, "operation %d: %d", i, probes[i].result);
	for (int i = 0; i < PAIRS; i++) {
		close(fds[i][0]);
		close(fds[i][1]);
	}
	close(listener);
	/* The engine is as good as before. */
	struct probe nop = probe_of(KN_OP_NOP, -1);
	cr_assert_eq(probe_run(engine, &nop), 0);
}

Test(engine_drain, a_thousand_operations_end_each_once)
{
	rig_on_each_ring(0, 0, a_thousand);
}

Test(engine_drain, a_thousand_operations_end_on_a_ring_of_eight)
{
	rig_on_each_ring(8, 16, a_thousand);
}

static void nothing(struct kn_engine *engine)
{
	cr_assert_eq(kn_engine_drain(engine, INT64_MAX), 0);
	cr_assert_eq(kn_engine_drain(engine, 0), 0);
	cr_assert_eq(rig_counters(engine).enters, 0);
}

Test(engine_drain, nothing_to_end_takes_no_system_call)
{
	rig_on_each_ring(0, 0, nothing);
}

struct stubborn {
	struct probe probe;
	int again;
};

static void resubmit(struct probe *probe)
{
	struct stubborn *stubborn = kn_container_of(probe, struct stubborn, probe);

	if (stubborn->again-- > 0)
		probe_submit(probe->engine, probe);
}

static void submitted_meanwhile(struct kn_engine *engine)
{
	struct stubborn stubborn = {.again = 100};
	char byte;
	int fds[2];

	rig_socketpair(fds);
	stubborn.probe = probe_buffer(KN_OP_RECV, fds[0], &byte, 1);
	stubborn.probe.then = resubmit;
	probe_submit(engine, &stubborn.probe);
	cr_assert_eq(kn_engine_drain(engine, INT64_MAX), 0);
	cr_assert_eq(stubborn.again, -1);
	cr_assert_eq(stubborn.probe.result, -ECANCELED);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_drain, what_is_submitted_meanwhile_ends_too)
{
	rig_on_each_ring(0, 0, submitted_meanwhile);
}

static bool keep_back(void *arg, const struct kn_op *op, int *result)
{
	(void)op;
	(void)result;
	return !*(bool *)arg;
}

static void deadline(struct kn_engine *engine)
{
	bool keep = true;
	struct kn_engine_faults faults = {.arg = &keep, .completion = keep_back};
	char bytes[3];
	struct probe probes[3];
	int fds[2];

	rig_socketpair(fds);
	for (int i = 0; i < 3; i++) {
		probes[i] = probe_buffer(KN_OP_RECV, fds[0], &bytes[i], 1);
		probe_submit(engine, &probes[i]);
	}
	kn_engine_set_faults(engine, &faults);
	int64_t until = rig_now() + 5 * MILLISECOND;
	cr_assert_eq(kn_engine_drain(engine, until), 3);
	cr_assert_geq(rig_now(), until, "it does not give up early");
	cr_assert_eq(kn_engine_drain(engine, 0), 3);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(probes[i].calls, 0);
	keep = false;
	cr_assert_eq(kn_engine_drain(engine, INT64_MAX), 0);
	kn_engine_set_faults(engine, NULL);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_drain, tells_how_many_are_left_at_the_deadline)
{
	rig_on_each_ring(0, 0, deadline);
}

/* With time up already, what ends at once still does. */
static void no_time(struct kn_engine *engine)
{
	char bytes[20];
	struct probe probes[20];
	int fds[2];

	rig_socketpair(fds);
	for (int i = 0; i < 20; i++) {
		probes[i] = probe_buffer(KN_OP_RECV, fds[0], &bytes[i], 1);
		probe_submit(engine, &probes[i]);
	}
	cr_assert_eq(kn_engine_drain(engine, 0), 0);
	close(fds[0]);
	close(fds[1]);
}

Test(engine_drain, ends_what_it_can_without_any_time)
{
	struct kn_engine *engine = rig_engine(0, 0);

	no_time(engine);
	rig_free(engine);
}

/* The kernel takes its time to take a ring apart, and keeps what is in flight on it for as
 * long: a port, for one. Not so after a drain. */
Test(engine_drain, a_port_is_free_at_once)
{
	long rounds = test_scale(50, 20, 20, 5);

	for (long i = 0; i < rounds; i++) {
		struct kn_engine *engine = rig_engine(0, 0);
		int listener = rig_listener(4), again = socket(AF_INET, SOCK_STREAM, 0);
		struct sockaddr_in address;
		socklen_t length = sizeof(address);
		struct probe one = probe_of(KN_OP_ACCEPT, listener), many = one;

		getsockname(listener, (struct sockaddr *)&address, &length);
		many.op.multishot = true;
		probe_submit(engine, i % 2 ? &one : &many);
		cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
		cr_assert_eq(kn_engine_drain(engine, INT64_MAX), 0);
		close(listener);
		cr_assert_eq(bind(again, (struct sockaddr *)&address, length), 0, "round %ld: %s",
		             i, strerror(errno));
		cr_assert_eq(listen(again, 1), 0);
		kn_engine_free(engine);
		close(again);
	}
}
