/* SPDX-License-Identifier: MIT */
/* checkers.c - see checkers.h. */
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "engine/checkers.h"

#ifdef HAVE_VALGRIND_MEMCHECK_H
#include <valgrind/memcheck.h>
#endif

#if KN_TSAN
char kn_checkers_kernel;
#endif

#ifdef HAVE_VALGRIND_MEMCHECK_H
bool kn_checkers_on_valgrind(void)
{
	return RUNNING_ON_VALGRIND;
}

static void defined(void *memory, size_t size)
{
	if (memory && size)
		(void)VALGRIND_MAKE_MEM_DEFINED(memory, size);
}

static void message_filled(struct msghdr *message, size_t bytes)
{
	for (size_t i = 0; i < message->msg_iovlen && bytes; i++) {
		struct iovec *part = &message->msg_iov[i];
		size_t size = part->iov_len < bytes ? part->iov_len : bytes;

		defined(part->iov_base, size);
		bytes -= size;
	}
	defined(&message->msg_namelen, sizeof(message->msg_namelen));
	defined(&message->msg_controllen, sizeof(message->msg_controllen));
	defined(&message->msg_flags, sizeof(message->msg_flags));
	defined(message->msg_name, message->msg_namelen);
	defined(message->msg_control, message->msg_controllen);
}

void kn_checkers_filled(const struct kn_op *op, int result)
{
	if (result < 0)
		return;
	switch (op->opcode) {
	case KN_OP_RECV:
	case KN_OP_READ:
		/* With MSG_TRUNC the result may exceed what was written. */
		defined(op->address, (uint32_t)result < op->length ? (uint32_t)result : op->length);
		break;
	case KN_OP_RECVMSG:
		message_filled(op->address, (size_t)result);
		break;
	case KN_OP_ACCEPT:
		if (op->address && op->offset) {
			socklen_t *length = (socklen_t *)(uintptr_t)op->offset;

			defined(length, sizeof(*length));
			defined(op->address, *length);
		}
		break;
	default:
		break;
	}
}
#else
bool kn_checkers_on_valgrind(void)
{
	return false;
}

void kn_checkers_filled(const struct kn_op *op, int result)
{
	(void)op;
	(void)result;
}
#endif
