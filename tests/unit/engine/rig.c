/* SPDX-License-Identifier: MIT */
/* rig.c - see rig.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "rig.h"

/* More passes than any test needs, and few enough to end in reasonable time. */
#define PASSES 20000000

int64_t rig_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* ---- operations ---- */

static void probe_completed(struct kn_op *op)
{
	struct probe *probe = kn_container_of(op, struct probe, op);

	cr_assert_eq(probe->finals, 0, "completed after its last completion");
	probe->calls++;
	probe->result = op->result;
	if (op->result > 0)
		probe->sum += op->result;
	if (!op->more) {
		probe->finals++;
		if (probe->counter)
			++*probe->counter;
	}
	if (probe->then)
		probe->then(probe);
}

struct probe probe_of(enum kn_opcode opcode, int fd)
{
	struct probe probe = {.op = {.opcode = (uint8_t)opcode,
	                             .fd = fd,
	                             .offset = (uint64_t)-1,
	                             .complete = probe_completed}};

	if (opcode == KN_OP_ACCEPT)
		probe.op.offset = 0;
	return probe;
}

struct probe probe_buffer(enum kn_opcode opcode, int fd, const void *buffer, size_t size)
{
	struct probe probe = probe_of(opcode, fd);

	probe.op.address = (void *)(uintptr_t)buffer;
	probe.op.length = (uint32_t)size;
	return probe;
}

void probe_submit(struct kn_engine *engine, struct probe *probe)
{
	int r;

	probe->engine = engine;
	probe->calls = probe->finals = probe->result = 0;
	r = kn_engine_submit(engine, &probe->op);
	cr_assert_eq(r, 0, "submit: %s", strerror(-r));
}

int probe_run(struct kn_engine *engine, struct probe *probe)
{
	probe_submit(engine, probe);
	rig_pump(engine, &probe->finals, 1);
	return probe->result;
}

/* ---- engines ---- */

struct kn_engine *rig_engine(unsigned sq, unsigned cq)
{
	struct kn_engine_options options = {.sq_entries = sq, .cq_entries = cq};
	struct kn_engine *engine = NULL;
	char why[512] = "";
	int r = kn_engine_new(&engine, &options, why, sizeof(why));

	cr_assert_eq(r, 0, "%s", why);
	r = kn_engine_start(engine, why, sizeof(why));
	cr_assert_eq(r, 0, "%s", why);
	return engine;
}

void rig_free(struct kn_engine *engine)
{
	cr_assert_eq(kn_engine_in_flight(engine), 0);
	kn_engine_free(engine);
}

/* One pass; false if nothing has completed for as long as the guard says. */
static void pass(struct kn_engine *engine, int64_t guard)
{
	int r = kn_engine_enter(engine, true, guard);

	cr_assert_eq(r, 0, "enter: %s", strerror(-r));
	kn_engine_reap(engine, 128);
	if (!kn_engine_ready(engine))
		cr_assert_lt(rig_now(), guard, "what should have completed did not");
}

void rig_pump(struct kn_engine *engine, const int *counter, int target)
{
	int64_t guard = rig_now() + RIG_GUARD;

	for (int passes = 0; *counter < target; passes++) {
		cr_assert_lt(passes, PASSES);
		pass(engine, guard);
	}
}

void rig_settle(struct kn_engine *engine)
{
	int64_t guard = rig_now() + RIG_GUARD;

	for (int passes = 0; kn_engine_in_flight(engine); passes++) {
		cr_assert_lt(passes, PASSES);
		pass(engine, guard);
	}
}

void rig_on_each_ring(unsigned sq, unsigned cq, void (*body)(struct kn_engine *engine))
{
	static const unsigned refused[] = {
	        0,
	        IORING_SETUP_DEFER_TASKRUN,
	        IORING_SETUP_SINGLE_ISSUER,
	        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER,
	        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SUBMIT_ALL,
	};

	for (size_t i = 0; i < KN_ARRAY_SIZE(refused); i++) {
		kn_engine_refuse_setup_flags(refused[i]);
		struct kn_engine *engine = rig_engine(sq, cq);
		body(engine);
		rig_free(engine);
	}
	kn_engine_refuse_setup_flags(0);
}

struct kn_engine_counters rig_counters(const struct kn_engine *engine)
{
	struct kn_engine_counters counters;

	kn_engine_counters(engine, &counters);
	return counters;
}

/* ---- descriptors ---- */

void rig_socketpair(int ret_fds[2])
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_fds), 0, "%s",
	             strerror(errno));
}

int rig_listener(int backlog)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_geq(fd, 0, "%s", strerror(errno));
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0, "%s",
	             strerror(errno));
	cr_assert_eq(listen(fd, backlog), 0, "%s", strerror(errno));
	return fd;
}

int rig_unix_listener(int backlog)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_geq(fd, 0, "%s", strerror(errno));
	/* The kernel chooses a name if there is none. */
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0, "%s",
	             strerror(errno));
	cr_assert_eq(listen(fd, backlog), 0, "%s", strerror(errno));
	return fd;
}

int rig_connect(int listener)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	int fd;

	cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(fd, 0, "%s", strerror(errno));
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, length), 0, "%s", strerror(errno));
	return fd;
}

int rig_file(void)
{
	int fd = memfd_create("engine-test", MFD_CLOEXEC);

	cr_assert_geq(fd, 0, "%s", strerror(errno));
	return fd;
}

bool rig_allow_descriptors(unsigned count)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= count)
		return true;
	if (limit.rlim_max < count)
		return false;
	limit.rlim_cur = count;
	return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}
