/* SPDX-License-Identifier: MIT */
/* descriptor.c - open, read, write, fsync and poll: one operation each. */
#include "io/operation.h"
#include <fcntl.h>
#include "knit/file.h"

int knit_open(const char *path, int flags, mode_t mode)
{
	struct kn_operation operation = {.op = {
	                                         .opcode = KN_OP_OPENAT,
	                                         .fd = AT_FDCWD,
	                                         .address = (void *)path,
	                                         .flags = (uint32_t)(flags | O_CLOEXEC),
	                                         .length = mode,
	                                 }};

	return path ? (int)kn_operation_run(&operation) : -EFAULT;
}

/* An operation on @fd that moves bytes between it and @buffer. */
static intptr_t transfer(uint8_t opcode, int fd, void *buffer, size_t size, int64_t offset)
{
	struct kn_operation operation = {
	        .op = {
	                .opcode = opcode,
	                .fd = fd,
	                .address = buffer,
	                .length = size < KN_IO_MAX ? (uint32_t)size : KN_IO_MAX,
	                .offset = (uint64_t)offset,
	        }};

	if (fd < 0)
		return -EBADF;
	return offset < -1 ? -EINVAL : kn_operation_run(&operation);
}

intptr_t knit_read(int fd, void *buffer, size_t size, int64_t offset)
{
	return transfer(KN_OP_READ, fd, buffer, size, offset);
}

intptr_t knit_write(int fd, const void *buffer, size_t size, int64_t offset)
{
	return transfer(KN_OP_WRITE, fd, (void *)buffer, size, offset);
}

int knit_fsync(int fd)
{
	struct kn_operation operation = {.op = {.opcode = KN_OP_FSYNC, .fd = fd}};

	return fd < 0 ? -EBADF : (int)kn_operation_run(&operation);
}

int knit_poll(int fd, unsigned events)
{
	/* The bits above are the kernel's own, and change what the operation does. */
	struct kn_operation operation = {
	        .op = {.opcode = KN_OP_POLL, .fd = fd, .flags = events & 0xffff}};

	return fd < 0 ? -EBADF : (int)kn_operation_run(&operation);
}
