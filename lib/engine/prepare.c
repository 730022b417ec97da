/* SPDX-License-Identifier: MIT */
/* prepare.c - from an operation to the kernel's entry.
 *
 * Entries come zeroed, so only what differs from 0 is set here. The fields are filled by
 * hand and not by liburing's helpers: those of version 2.3 leave the user data of the
 * entry's previous use in place, and later ones fill fields that older headers lack. */
#include <endian.h>
#include <stdint.h>
#include <sys/socket.h>
#include "base/error.h"
#include "engine/uring.h"

static uint32_t poll_events(uint32_t events)
{
#if __BYTE_ORDER == __BIG_ENDIAN
	return events << 16 | events >> 16; /* the kernel's field overlays a 16-bit one */
#else
	return events;
#endif
}

static void set(struct io_uring_sqe *sqe, enum io_uring_op opcode, const struct kn_op *op)
{
	sqe->opcode = (uint8_t)opcode;
	sqe->fd = op->fd;
	sqe->user_data = (uintptr_t)op | KN_TAG_OP;
}

static void set_buffer(struct io_uring_sqe *sqe, enum io_uring_op opcode, const struct kn_op *op)
{
	set(sqe, opcode, op);
	sqe->addr = (uintptr_t)op->address;
	sqe->len = op->length;
}

/* The operations on sockets; false if @op is none. */
static KN_HOT bool prepare_socket(struct io_uring_sqe *sqe, const struct kn_op *op)
{
	switch ((enum kn_opcode)op->opcode) {
	case KN_OP_ACCEPT:
		set(sqe, IORING_OP_ACCEPT, op);
		sqe->addr = (uintptr_t)op->address;
		sqe->addr2 = op->offset;
		sqe->accept_flags = op->flags;
		if (op->multishot)
			sqe->ioprio = IORING_ACCEPT_MULTISHOT;
		return true;
	case KN_OP_CONNECT:
		set(sqe, IORING_OP_CONNECT, op);
		sqe->addr = (uintptr_t)op->address;
		sqe->off = op->length;
		return true;
	case KN_OP_RECV:
		set_buffer(sqe, IORING_OP_RECV, op);
		sqe->msg_flags = op->flags;
		return true;
	case KN_OP_SEND:
		set_buffer(sqe, IORING_OP_SEND, op);
		sqe->msg_flags = op->flags | MSG_NOSIGNAL;
		return true;
	case KN_OP_RECVMSG:
		set(sqe, IORING_OP_RECVMSG, op);
		sqe->addr = (uintptr_t)op->address;
		sqe->len = 1;
		sqe->msg_flags = op->flags;
		return true;
	case KN_OP_SENDMSG:
		set(sqe, IORING_OP_SENDMSG, op);
		sqe->addr = (uintptr_t)op->address;
		sqe->len = 1;
		sqe->msg_flags = op->flags | MSG_NOSIGNAL;
		return true;
	case KN_OP_SHUTDOWN:
		set(sqe, IORING_OP_SHUTDOWN, op);
		sqe->len = op->length;
		return true;
	default:
		return false;
	}
}

KN_HOT void kn_prepare(struct io_uring_sqe *sqe, const struct kn_op *op)
{
	if (prepare_socket(sqe, op))
		return;
	switch ((enum kn_opcode)op->opcode) {
	case KN_OP_NOP:
		/* No descriptor: some kernels look at the field although it means nothing. */
		set(sqe, IORING_OP_NOP, op);
		sqe->fd = -1;
		return;
	case KN_OP_READ:
	case KN_OP_WRITE:
		set_buffer(sqe, op->opcode == KN_OP_READ ? IORING_OP_READ : IORING_OP_WRITE, op);
		sqe->off = op->offset;
		return;
	case KN_OP_POLL:
		set(sqe, IORING_OP_POLL_ADD, op);
		sqe->poll32_events = poll_events(op->flags);
		if (op->multishot)
			sqe->len = IORING_POLL_ADD_MULTI;
		return;
	case KN_OP_CLOSE:
		set(sqe, IORING_OP_CLOSE, op);
		return;
	case KN_OP_OPENAT:
		set(sqe, IORING_OP_OPENAT, op);
		sqe->addr = (uintptr_t)op->address;
		sqe->len = op->length;
		sqe->open_flags = op->flags;
		return;
	case KN_OP_FSYNC:
		set(sqe, IORING_OP_FSYNC, op);
		sqe->fsync_flags = op->flags ? IORING_FSYNC_DATASYNC : 0;
		return;
	default:
		kn_panic("an operation with the unknown code %u", op->opcode);
	}
}

void kn_prepare_cancel(struct io_uring_sqe *sqe, const struct kn_op *op)
{
	sqe->opcode = IORING_OP_ASYNC_CANCEL;
	sqe->fd = -1;
	sqe->addr = (uintptr_t)op | KN_TAG_OP;
	sqe->user_data = (uintptr_t)op | KN_TAG_CANCEL;
}
