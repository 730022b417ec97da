/* SPDX-License-Identifier: MIT */
/* test_cancel_again.c - a cancellation that the kernel answers with "not found" although the
 * operation goes on.
 *
 * A connect to a Unix socket whose backlog is full is tried again and again: between two attempts
 * the kernel does not find it, and in the end a worker thread waits in it for ever. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "rig.h"

struct full {
	struct sockaddr_un address;
	socklen_t length;
	int listening, in_backlog, fd;
	struct probe probe;
};

static void full_up(struct full *full)
{
	memset(full, 0, sizeof(*full));
	full->address.sun_family = AF_UNIX;
	full->length = sizeof(full->address);
	full->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(full->listening, (struct sockaddr *)&full->address, sizeof(sa_family_t)),
	             0);
	cr_assert_eq(getsockname(full->listening, (struct sockaddr *)&full->address, &full->length),
	             0);
	cr_assert_eq(listen(full->listening, 0), 0);
	full->in_backlog = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(full->in_backlog, (struct sockaddr *)&full->address, full->length), 0);
	full->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	full->probe = probe_of(KN_OP_CONNECT, full->fd);
	full->probe.op.address = &full->address;
	full->probe.op.length = full->length;
}

static void full_down(struct full *full)
{
	close(full->fd);
	close(full->in_backlog);
	close(full->listening);
}

static void is_repeated(struct kn_engine *engine)
{
	for (int passes = 0; passes < 12; passes += 3) {
		struct full full;

		full_up(&full);
		probe_submit(engine, &full.probe);
		for (int i = 0; i < passes; i++)
			cr_assert_eq(kn_engine_enter(engine, false, INT64_MAX), 0);
		kn_engine_cancel(engine, &full.probe.op);
		rig_pump(engine, &full.probe.finals, 1);
		cr_assert(full.probe.result == -ECANCELED || full.probe.result == -EINTR, "%d",
		          full.probe.result);
		full_down(&full);
	}
}

Test(engine_cancel_again, a_cancellation_that_found_nothing_is_repeated)
{
	rig_on_each_ring(0, 0, is_repeated);
}

/* Also where nobody waits in the engine. */
static void is_repeated_for_a_host(struct kn_engine *engine)
{
	struct pollfd host = {.fd = kn_engine_fd(engine), .events = POLLIN};
	struct full full;

	full_up(&full);
	probe_submit(engine, &full.probe);
	cr_assert_eq(kn_engine_enter(engine, false, INT64_MAX), 0);
	kn_engine_cancel(engine, &full.probe.op);
	for (int i = 0; !full.probe.finals; i++) {
		cr_assert_lt(i, 100000);
		cr_assert_eq(kn_engine_arm(engine, INT64_MAX), 0);
		cr_assert_eq(poll(&host, 1, 60 * 1000), 1, "the host was not told");
		cr_assert_eq(kn_engine_enter(engine, false, INT64_MAX), 0);
		kn_engine_reap(engine, 16);
	}
	full_down(&full);
}

Test(engine_cancel_again, a_host_is_woken_to_repeat_it)
{
	struct kn_engine *engine = rig_engine(0, 0);

	is_repeated_for_a_host(engine);
	rig_free(engine);
}
