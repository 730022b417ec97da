/* SPDX-License-Identifier: MIT */
/* rig.c - see rig.h. Plain system calls play the peer wherever that is enough. */
#include "rig.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/un.h>
#include "base/compiler.h"
#include "io/operation.h"

#define PASSES 10000000 /* that a test may wait for something; it fails then */

void rig_run_on(knit_coro *main, void *arg, uint32_t sq_entries, uint32_t cq_entries)
{
	int before = test_open_fds();
	intptr_t outcome = knit_run(main, arg, .sq_entries = sq_entries, .cq_entries = cq_entries);

	cr_assert_eq(outcome, 0, "the main task returned %ld (%s)", (long)outcome,
	             knit_errname((int)outcome));
	cr_assert_eq(test_open_fds(), before, "descriptors were left open");
}

void rig_run(knit_coro *main, void *arg)
{
	rig_run_on(main, arg, 0, 0);
}

static void say_nothing(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(void)context;
	(void)arg;
}

void rig_silence(knit_loop *loop)
{
	cr_assert_eq(knit_loop_set_exception_handler(loop, say_nothing, NULL), 0);
}

long rig_rounds(long plain, long asan, long tsan, long valgrind)
{
	const char *wish = getenv("KNIT_STRESS");
	long factor = wish ? atol(wish) : 1;

	return test_scale(plain, asan, tsan, valgrind) * (factor > 0 ? factor : 1);
}

uint32_t rig_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* ---- in a task ---- */

void rig_yield(int passes)
{
	for (int i = 0; i < passes; i++)
		cr_assert_eq(knit_sleep(0), 0);
}

void rig_until(const volatile bool *flag)
{
	for (int i = 0; !*flag; i++) {
		cr_assert_lt(i, PASSES, "what was waited for did not come");
		rig_yield(1);
	}
}

struct kn_engine *rig_engine(void)
{
	return kn_self.loop->engine;
}

size_t rig_in_flight(void)
{
	return kn_engine_in_flight(kn_self.loop->engine) - kn_self.loop->own_ops;
}

intptr_t rig_recv(struct rig_call *call)
{
	return knit_sock_recv(call->fd, call->buffer, call->size);
}

intptr_t rig_sendall(struct rig_call *call)
{
	return knit_sock_sendall(call->fd, call->buffer, call->size);
}

intptr_t rig_read(struct rig_call *call)
{
	return knit_read(call->fd, call->buffer, call->size, -1);
}

intptr_t rig_write(struct rig_call *call)
{
	return knit_write(call->fd, call->buffer, call->size, -1);
}

intptr_t rig_accept(struct rig_call *call)
{
	return knit_sock_accept(call->fd, NULL, NULL);
}

intptr_t rig_poll(struct rig_call *call)
{
	return knit_poll(call->fd, (unsigned)call->size);
}

static intptr_t make_call(void *arg)
{
	struct rig_call *call = arg;

	call->message[0] = '\0';
	call->result = call->make(call);
	if (call->result == -KNIT_ECANCELLED)
		snprintf(call->message, sizeof(call->message), "%s",
		         knit_error_message(call->result));
	call->next = knit_sleep(0);
	if (call->next == -KNIT_ECANCELLED)
		snprintf(call->message, sizeof(call->message), "%s",
		         knit_error_message(call->next));
	call->done = true;
	return 0;
}

knit_task *rig_start(struct rig_call *call)
{
	knit_task *task = knit_create_task(make_call, call);

	cr_assert_not_null(task);
	call->done = false;
	return task;
}

void rig_finish(knit_task *task)
{
	cr_assert_eq(knit_await(task), 0);
}

/* ---- descriptors ---- */

struct rig_address rig_any(int family)
{
	struct rig_address address = {.name.ss_family = (sa_family_t)family};

	if (family == AF_UNIX) {
		address.length = sizeof(sa_family_t);
	} else if (family == AF_INET6) {
		((struct sockaddr_in6 *)&address.name)->sin6_addr = in6addr_loopback;
		address.length = sizeof(struct sockaddr_in6);
	} else {
		((struct sockaddr_in *)&address.name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address.length = sizeof(struct sockaddr_in);
	}
	return address;
}

struct rig_address rig_name(int fd)
{
	struct rig_address address = {.length = sizeof(address.name)};

	cr_assert_eq(getsockname(fd, RIG_NAME(&address), &address.length), 0, "%s",
	             strerror(errno));
	return address;
}

int rig_bound(int family, int type)
{
	struct rig_address address = rig_any(family);
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	cr_assert_geq(fd, 0, "socket: %s", strerror(errno));
	cr_assert_eq(bind(fd, RIG_NAME(&address), address.length), 0, "bind: %s", strerror(errno));
	return fd;
}

int rig_listening(int family, int backlog, struct rig_address *ret)
{
	int fd = rig_bound(family, SOCK_STREAM);

	cr_assert_eq(listen(fd, backlog), 0, "listen: %s", strerror(errno));
	if (ret)
		*ret = rig_name(fd);
	return fd;
}

int rig_connected(const struct rig_address *address)
{
	int fd = socket(address->name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_geq(fd, 0, "socket: %s", strerror(errno));
	cr_assert_eq(connect(fd, RIG_NAME(address), address->length), 0, "connect: %s",
	             strerror(errno));
	return fd;
}

void rig_pair(int family, int ret_ends[2])
{
	struct rig_address address;
	int listening;

	if (family == AF_UNIX) {
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_ends), 0, "%s",
		             strerror(errno));
		return;
	}
	listening = rig_listening(family, 1, &address);
	ret_ends[0] = rig_connected(&address);
	ret_ends[1] = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	cr_assert_geq(ret_ends[1], 0, "accept: %s", strerror(errno));
	close(listening);
}

void rig_pipe(int ret_ends[2])
{
	cr_assert_eq(pipe2(ret_ends, O_CLOEXEC), 0, "%s", strerror(errno));
}

int rig_file(void)
{
	int fd = memfd_create("io-test", MFD_CLOEXEC);

	cr_assert_geq(fd, 0, "%s", strerror(errno));
	return fd;
}

void rig_close_all(const int *fds, int count)
{
	for (int i = 0; i < count; i++)
		cr_assert_eq(close(fds[i]), 0, "%s", strerror(errno));
}

bool rig_has_ipv6(void)
{
	struct rig_address address = rig_any(AF_INET6);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, RIG_NAME(&address), address.length) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

void rig_narrow(int fd, int bytes)
{
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
}

/* One transfer that does not wait, on sockets and pipes alike. */
static ssize_t try(int fd, void *buffer, size_t size, bool out)
{
	int flags = fcntl(fd, F_GETFL);
	ssize_t n;

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	n = out ? write(fd, buffer, size) : read(fd, buffer, size);
	fcntl(fd, F_SETFL, flags);
	return n;
}

size_t rig_fill(int fd)
{
	static char junk[4096];
	size_t total = 0, size = sizeof(junk);
	ssize_t n;

	/* The last bytes go one by one: a pipe takes small writes whole or not at all. */
	while (size) {
		n = try(fd, junk, size, true);
		if (n > 0)
			total += (size_t)n;
		else
			size /= 2;
	}
	return total;
}

size_t rig_drain(int fd)
{
	static char junk[65536];
	size_t total = 0;
	ssize_t n;

	while ((n = try(fd, junk, sizeof(junk), false)) > 0)
		total += (size_t)n;
	return total;
}

void rig_limit_descriptors(unsigned count)
{
	struct rlimit limit;

	if (test_scale(0, 0, 0, 1))
		test_skip("valgrind keeps the limit of descriptors to itself");
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = count;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0, "%s", strerror(errno));
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
