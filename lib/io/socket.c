/* SPDX-License-Identifier: MIT */
/* socket.c - asyncio's sock_* calls: one operation each, on any socket, or for a send none.
 *
 * A send that finds room in the socket's buffer completes at once. Through the ring it costs little
 * if other operations go to the kernel with it. But if it is the only one, as in a loop that serves
 * one request at a time, then it has a system call of its own anyway, and a pass: so the call
 * makes that system call itself and goes on, as asyncio's does. What finds no room waits in the
 * ring. */
#include "io/operation.h"
#include <errno.h>
#include <sys/socket.h>
#include "knit/socket.h"

int knit_sock_accept(int fd, struct sockaddr *address, socklen_t *length)
{
	struct kn_operation operation = {.op = {
	                                         .opcode = KN_OP_ACCEPT,
	                                         .fd = fd,
	                                         .address = address,
	                                         .offset = (uintptr_t)(address ? length : NULL),
	                                         .flags = SOCK_CLOEXEC,
	                                 }};

	return fd < 0 ? -EBADF : (int)kn_operation_run(&operation);
}

int knit_sock_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	struct kn_operation operation = {.op = {
	                                         .opcode = KN_OP_CONNECT,
	                                         .fd = fd,
	                                         .address = (void *)address,
	                                         .length = length,
	                                 }};

	return fd < 0 ? -EBADF : (int)kn_operation_run(&operation);
}

KN_HOT intptr_t knit_sock_recv(int fd, void *buffer, size_t size)
{
	struct kn_operation operation = {
	        .op = {
	                .opcode = KN_OP_RECV,
	                .fd = fd,
	                .address = buffer,
	                .length = size < KN_IO_MAX ? (uint32_t)size : KN_IO_MAX,
	        }};

	return fd < 0 ? -EBADF : kn_operation_run(&operation);
}

intptr_t knit_sock_recv_into(int, void *, size_t) __attribute__((alias("knit_sock_recv"), hot));

/* The kernel itself goes on until all is taken (MSG_WAITALL); what it takes in part, because of a
 * cancellation or an error, is a success. */
static intptr_t send_some(int fd, const char *buffer, size_t size, bool partial, bool *ret_closed)
{
	struct kn_operation operation = {
	        .op =
	                {
	                        .opcode = KN_OP_SEND,
	                        .fd = fd,
	                        .address = (void *)buffer,
	                        .length = size < KN_IO_MAX ? (uint32_t)size : KN_IO_MAX,
	                        .flags = MSG_WAITALL,
	                },
	        .wanted = size,
	        .partial = partial,
	};
	intptr_t r = kn_operation_run(&operation);

	*ret_closed = operation.closed;
	return r;
}

/* Sends what the socket takes at once, if nobody else in this pass has a use for the kernel: how
 * much, or an error. The kernel tells some errors but once, so they are the call's result. */
static KN_HOT intptr_t send_at_once(int fd, const void *buffer, size_t size)
{
	struct knit_loop *loop = kn_self.loop;
	intptr_t r;

	if (!loop || !kn_list_empty(&loop->batch) || !kn_list_empty(&loop->ready) ||
	    !kn_operation_may_return() || !kn_operation_take_budget(size))
		return 0;
	r = kn_engine_send_alone(loop->engine, fd, buffer, size);
	return r == -EAGAIN || r == -EINTR ? 0 : r;
}

KN_HOT intptr_t knit_sock_sendall(int fd, const void *buffer, size_t size)
{
	bool closed = false;
	size_t sent;
	intptr_t r;

	if (fd < 0)
		return -EBADF;
	if (size == 0)
		return 0;
	r = send_at_once(fd, buffer, size < KN_IO_MAX ? size : KN_IO_MAX);
	if (kn_unlikely(r < 0))
		return r;
	sent = (size_t)r;
	/* Once it was closed the number may be another descriptor's. */
	while (sent < size && !closed) {
		r = send_some(fd, (const char *)buffer + sent, size - sent, sent > 0, &closed);
		if (kn_unlikely(r <= 0))
			return sent ? (intptr_t)sent : r;
		sent += (size_t)r;
	}
	return (intptr_t)sent;
}

static intptr_t message(uint8_t opcode, int fd, struct msghdr *header)
{
	struct kn_operation operation = {.op = {.opcode = opcode, .fd = fd, .address = header}};

	return fd < 0 ? -EBADF : kn_operation_run(&operation);
}

intptr_t knit_sock_recvfrom(int fd, void *buffer, size_t size, struct sockaddr *address,
                            socklen_t *length)
{
	struct iovec piece = {buffer, size < KN_IO_MAX ? size : KN_IO_MAX};
	struct msghdr header = {
	        .msg_name = address,
	        .msg_namelen = address && length ? *length : 0,
	        .msg_iov = &piece,
	        .msg_iovlen = 1,
	};
	intptr_t r = message(KN_OP_RECVMSG, fd, &header);

	if (r >= 0 && address && length)
		*length = header.msg_namelen;
	return r;
}

intptr_t knit_sock_sendto(int fd, const void *buffer, size_t size, const struct sockaddr *address,
                          socklen_t length)
{
	struct iovec piece = {(void *)buffer, size < KN_IO_MAX ? size : KN_IO_MAX};
	struct msghdr header = {
	        .msg_name = (void *)address,
	        .msg_namelen = address ? length : 0,
	        .msg_iov = &piece,
	        .msg_iovlen = 1,
	};

	return message(KN_OP_SENDMSG, fd, &header);
}

int knit_sock_shutdown(int fd, int how)
{
	struct kn_operation operation = {
	        .op = {.opcode = KN_OP_SHUTDOWN, .fd = fd, .length = (uint32_t)how}};

	return fd < 0 ? -EBADF : (int)kn_operation_run(&operation);
}
