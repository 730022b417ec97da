/* SPDX-License-Identifier: MIT */
/* descriptor.c - open, read, write, fsync and poll: one operation each, or for a read of what is in
 * memory none.
 *
 * A write has no such short cut. Many file systems (ext4 among them) cannot write to the page cache
 * without perhaps waiting, and say so (EOPNOTSUPP) to an attempt with RWF_NOWAIT, which then is a
 * system call for nothing; those that can do it in the ring as well. A plain pwrite() would be
 * cheaper by far than the ring's way through a thread of the kernel, but it waits for the journal
 * and, where too much is dirty, for the disk: all of the loop's tasks would. */
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
static intptr_t transfer(uint8_t opcode, int fd, void *buffer, size_t size, int64_t offset,
                         bool partial)
{
	struct kn_operation operation = {
	        .op =
	                {
	                        .opcode = opcode,
	                        .fd = fd,
	                        .address = buffer,
	                        .length = (uint32_t)size,
	                        .offset = (uint64_t)offset,
	                },
	        .partial = partial,
	};

	return kn_operation_run(&operation);
}

intptr_t knit_read(int fd, void *buffer, size_t size, int64_t offset)
{
	size_t got;
	intptr_t r;

	if (fd < 0)
		return -EBADF;
	if (offset < -1)
		return -EINVAL;
	if (size > KN_IO_MAX)
		size = KN_IO_MAX;
	if (kn_read_cached(fd, buffer, size, offset, &got))
		return (intptr_t)got;
	r = transfer(KN_OP_READ, fd, (void *)((uintptr_t)buffer + got), size - got,
	             offset < 0 ? -1 : offset + (int64_t)got, got > 0);
	/* What was read before is not lost by what came of the rest. */
	return got == 0 ? r : (intptr_t)got + (r > 0 ? r : 0);
}

intptr_t knit_write(int fd, const void *buffer, size_t size, int64_t offset)
{
	if (fd < 0)
		return -EBADF;
	if (offset < -1)
		return -EINVAL;
	return transfer(KN_OP_WRITE, fd, (void *)buffer, size < KN_IO_MAX ? size : KN_IO_MAX,
	                offset, false);
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
