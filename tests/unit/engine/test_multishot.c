/* SPDX-License-Identifier: MIT */
/* test_multishot.c - operations that complete again and again, and how they end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "rig.h"

struct acceptor {
	struct probe probe;
	int fds[512];
	int count;
	int armed; /* how often it was submitted */
};

static void keep(struct probe *probe)
{
	struct acceptor *acceptor = kn_container_of(probe, struct acceptor, probe);

	if (probe->result >= 0)
		acceptor->fds[acceptor->count++] = probe->result;
}

static void acceptor_arm(struct acceptor *acceptor, struct kn_engine *engine, int listener)
{
	acceptor->probe = probe_of(KN_OP_ACCEPT, listener);
	acceptor->probe.op.multishot = true;
	acceptor->probe.op.flags = SOCK_CLOEXEC;
	acceptor->probe.then = keep;
	acceptor->armed++;
	probe_submit(engine, &acceptor->probe);
}

static void acceptor_close(struct acceptor *acceptor)
{
	for (int i = 0; i < acceptor->count; i++)
		close(acceptor->fds[i]);
}

static void accepts(struct kn_engine *engine)
{
	struct acceptor acceptor = {0};
	int listener = rig_listener(64), clients[20];

	acceptor_arm(&acceptor, engine, listener);
	for (int i = 0; i < 20; i++) {
		clients[i] = rig_connect(listener);
		rig_pump(engine, &acceptor.count, i + 1);
	}
	cr_assert_eq(acceptor.probe.calls, 20);
	cr_assert_eq(acceptor.probe.finals, 0);
	cr_assert_eq(kn_engine_in_flight(engine), 1);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(fcntl(acceptor.fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);

	kn_engine_cancel(engine, &acceptor.probe.op);
	rig_pump(engine, &acceptor.probe.finals, 1);
	cr_assert_eq(acceptor.probe.result, -ECANCELED);
	cr_assert_eq(acceptor.count, 20);
	acceptor_close(&acceptor);
	for (int i = 0; i < 20; i++)
		close(clients[i]);
	close(listener);
}

Test(engine_multishot, accept_brings_one_connection_after_the_other_until_cancelled)
{
	rig_on_each_ring(0, 0, accepts);
}

/* More connections at once than the completion queue has room for: the kernel may end the
 * accept, and must not lose a connection. */
static void accept_overflow(struct kn_engine *engine)
{
	static struct acceptor acceptor;
	int count = rig_allow_descriptors(1024) ? 300 : 100, clients[300];
	int listener = rig_listener(300);
	int64_t guard = rig_now() + RIG_GUARD;

	acceptor.count = acceptor.armed = 0;
	for (int i = 0; i < count; i++)
		clients[i] = rig_connect(listener);
	acceptor_arm(&acceptor, engine, listener);
	while (acceptor.count < count) {
		cr_assert_lt(rig_now(), guard);
		cr_assert_eq(kn_engine_enter(engine, true, guard), 0);
		kn_engine_reap(engine, 1);
		if (acceptor.probe.finals) {
			cr_assert_geq(acceptor.probe.result, 0, "%d", acceptor.probe.result);
			cr_assert_lt(acceptor.armed, count + 1, "ends again and again");
			acceptor_arm(&acceptor, engine, listener);
		}
	}
	kn_engine_cancel(engine, &acceptor.probe.op);
	rig_settle(engine);
	cr_assert_eq(acceptor.count, count);
	acceptor_close(&acceptor);
	for (int i = 0; i < count; i++)
		close(clients[i]);
	close(listener);
}

Test(engine_multishot, accept_survives_the_overflow_of_the_completion_queue)
{
	rig_on_each_ring(8, 16, accept_overflow);
}

/* No descriptor is left: accept ends with the error, and works when armed again. */
static void accept_emfile(struct kn_engine *engine)
{
	struct acceptor acceptor = {0};
	struct rlimit limit, low;
	int listener = rig_listener(8), client = rig_connect(listener);

	getrlimit(RLIMIT_NOFILE, &limit);
	low = limit;
	low.rlim_cur = (rlim_t)client + 1;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	acceptor_arm(&acceptor, engine, listener);
	rig_pump(engine, &acceptor.probe.finals, 1);
	cr_assert_eq(acceptor.probe.result, -EMFILE);
	cr_assert_eq(acceptor.count, 0);

	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	acceptor_arm(&acceptor, engine, listener);
	rig_pump(engine, &acceptor.count, 1);
	kn_engine_cancel(engine, &acceptor.probe.op);
	rig_settle(engine);
	acceptor_close(&acceptor);
	close(client);
	close(listener);
}

Test(engine_multishot, accept_without_a_free_descriptor_fails_and_can_be_armed_again)
{
	if (test_scale(0, 0, 0, 1))
		test_skip("valgrind keeps the limit from the kernel");
	rig_on_each_ring(0, 0, accept_emfile);
}

/* How a loop is woken by other threads: an eventfd that is polled and never read. */
static void poll_eventfd(struct kn_engine *engine)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct probe polling = probe_of(KN_OP_POLL, fd);

	polling.op.flags = POLLIN;
	polling.op.multishot = true;
	probe_submit(engine, &polling);
	for (int i = 0; i < 10; i++) {
		int before = polling.calls;

		cr_assert_eq(eventfd_write(fd, 1), 0);
		cr_assert_eq(eventfd_write(fd, 1), 0);
		rig_pump(engine, &polling.calls, before + 1);
		cr_assert_eq(polling.result, POLLIN);
		cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
		kn_engine_reap(engine, 10);
		cr_assert_leq(polling.calls, before + 2, "no more than there were writes");
		cr_assert_eq(polling.finals, 0);
	}
	kn_engine_cancel(engine, &polling.op);
	kn_engine_cancel(engine, &polling.op);
	rig_pump(engine, &polling.finals, 1);
	cr_assert_eq(polling.result, -ECANCELED);
	close(fd);
}

Test(engine_multishot, poll_tells_of_each_write_without_a_read)
{
	rig_on_each_ring(0, 0, poll_eventfd);
}

static void cancel_self(struct probe *probe)
{
	if (probe->op.more)
		kn_engine_cancel(probe->engine, &probe->op);
}

static void cancel_inside(struct kn_engine *engine)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	struct probe polling = probe_of(KN_OP_POLL, fd);

	polling.op.flags = POLLIN;
	polling.op.multishot = true;
	polling.then = cancel_self;
	cr_assert_eq(probe_run(engine, &polling), -ECANCELED);
	cr_assert_geq(polling.calls, 2);
	close(fd);
}

Test(engine_multishot, complete_may_cancel_its_own_operation)
{
	rig_on_each_ring(0, 0, cancel_inside);
}

static bool two_of_three(void *arg, const struct kn_op *op, int *result)
{
	int *calls = arg;

	(void)op;
	(void)result;
	return ++*calls % 3 == 0;
}

/* Completions that come late come in order: the descriptors grow. */
Test(engine_multishot, late_completions_keep_their_order)
{
	struct kn_engine *engine = rig_engine(0, 0);
	struct acceptor acceptor = {0};
	int listener = rig_listener(64), clients[20], calls = 0;
	struct kn_engine_faults faults = {.arg = &calls, .completion = two_of_three};

	kn_engine_set_faults(engine, &faults);
	for (int i = 0; i < 20; i++)
		clients[i] = rig_connect(listener);
	acceptor_arm(&acceptor, engine, listener);
	rig_pump(engine, &acceptor.count, 20);
	for (int i = 1; i < 20; i++)
		cr_assert_gt(acceptor.fds[i], acceptor.fds[i - 1]);
	kn_engine_cancel(engine, &acceptor.probe.op);
	rig_settle(engine);
	cr_assert_eq(acceptor.probe.finals, 1);
	acceptor_close(&acceptor);
	for (int i = 0; i < 20; i++)
		close(clients[i]);
	close(listener);
	rig_free(engine);
}
