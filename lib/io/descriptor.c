/* SPDX-License-Identifier: MIT */
/* descriptor.c - open, read, write, fsync, poll, and the orderly close. */
#include "io/operation.h"
#include <fcntl.h>
#include <unistd.h>
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
	struct kn_operation operation = {.op = {.opcode = KN_OP_POLL, .fd = fd, .flags = events}};

	return fd < 0 ? -EBADF : (int)kn_operation_run(&operation);
}

/* ---- close --------------------------------------------------------------------------- */

static bool cannot_cancel(struct kn_wait *wait, struct kn_message *message)
{
	(void)wait;
	(void)message;
	return false; /* the descriptor would be left half closed */
}

static struct kn_wait closing = {.cancel = cannot_cancel};

/* May this task end what is in flight in @ops? */
static int check_closable(struct kn_list *ops)
{
	kn_list_for_each (node, ops) {
		struct kn_operation *operation = kn_operation_of(
		        kn_list_entry(node, struct kn_op, link));

		if (!operation)
			return -EBUSY;
		if (operation->closed)
			return -EBADF;
	}
	return 0;
}

/* Ends what is in flight on @fd, one after another, also what is begun meanwhile. The list is
 * asked for anew each time: it may have moved while the task was suspended. */
static void end_operations(struct kn_task *task, int fd)
{
	struct kn_engine *engine = task->future.loop->engine;
	struct kn_list *ops;

	while ((ops = kn_engine_ops_of(engine, fd)) && !kn_list_empty(ops)) {
		struct kn_operation *operation, *last = NULL;

		kn_list_for_each (node, ops) {
			struct kn_op *op = kn_list_entry(node, struct kn_op, link);

			operation = kn_operation_of(op);
			if (!operation)
				continue;
			if (!operation->closed)
				kn_engine_cancel(engine, op);
			operation->closed = true;
			last = operation;
		}
		if (!last)
			return; /* a listener was made of the descriptor meanwhile */
		last->closer = task;
		(void)kn_task_park(task, &closing);
	}
}

int knit_close(int fd)
{
	struct knit_loop *loop = kn_self.loop;
	struct kn_list *ops = NULL;
	int error = 0;

	if (fd < 0)
		return -EBADF;
	if (loop && loop->phase == KN_OPEN)
		ops = kn_engine_ops_of(loop->engine, fd);
	if (ops && !kn_list_empty(ops)) {
		struct kn_task *task = kn_task_current(&error);

		if (!task)
			return error;
		error = check_closable(ops);
		if (error < 0)
			return error;
		end_operations(task, fd);
	}
	/* Linux closes the descriptor whatever it says; EINTR means nothing then. */
	return close(fd) < 0 && errno != EINTR ? -errno : 0;
}
