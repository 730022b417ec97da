/* SPDX-License-Identifier: MIT */
/* close.c - the orderly close of a descriptor.
 *
 * close(2) neither ends the operations in flight on a descriptor nor frees the file that they
 * hold, but it frees the number. So what is in flight is cancelled first, and the task that
 * closes waits until the kernel has let go. While it waits, the descriptor is on a list of the
 * loop: a second close finds it there, and so does an operation that somebody begins. It has to,
 * for the kernel prefers data over a cancellation: a task that reads on and a peer that always
 * sends would keep the descriptor open for ever. */
#include "io/close.h"
#include <errno.h>
#include <unistd.h>
#include "io/operation.h"
#include "knit/file.h"

/* A descriptor that is being closed, in the frame of knit_close(). */
struct closing {
	struct kn_list link; /* loop->closing_fds */
	int fd;
};

/* ---- whose it is -------------------------------------------------------------------------- */

bool kn_is_closing(const struct knit_loop *loop, int fd)
{
	kn_list_for_each (node, &loop->closing_fds)
		if (kn_list_entry(node, struct closing, link)->fd == fd)
			return true;
	return false;
}

static struct kn_list *owned_list(const struct knit_loop *loop, int fd)
{
	return (struct kn_list *)&loop->owned_fds[(unsigned)fd % KN_OWNED_LISTS];
}

struct kn_owned *kn_owned_of(const struct knit_loop *loop, int fd)
{
	kn_list_for_each (node, owned_list(loop, fd)) {
		struct kn_owned *owned = kn_list_entry(node, struct kn_owned, link);

		if (owned->fd == fd)
			return owned;
	}
	return NULL;
}

static void loop_closes(struct knit_loop *loop)
{
	for (int i = 0; i < KN_OWNED_LISTS; i++)
		kn_list_for_each_safe (node, &loop->owned_fds[i]) {
			struct kn_owned *owned = kn_list_entry(node, struct kn_owned, link);

			owned->loop_closes(owned);
		}
}

int kn_own(struct knit_loop *loop, struct kn_owned *owned)
{
	kn_list_init(&owned->link);
	if (kn_is_closing(loop, owned->fd))
		return -EBADF;
	if (kn_owned_of(loop, owned->fd))
		return -EBUSY;
	kn_list_add_tail(owned_list(loop, owned->fd), &owned->link);
	loop->close_owned = loop_closes;
	return 0;
}

void kn_disown(struct kn_owned *owned)
{
	kn_list_del(&owned->link);
}

/* ---- closing ------------------------------------------------------------------------------- */

static bool cannot_cancel(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	(void)wait;
	(void)task;
	(void)message;
	return false; /* the descriptor would be left half closed */
}

static struct kn_wait waiting = {.cancel = cannot_cancel, .stays = true};

/* Ends what is in flight on @fd. Nothing is added meanwhile. */
static void end_operations(struct kn_task *task, int fd)
{
	struct kn_engine *engine = task->future.loop->engine;
	struct closing closing = {.fd = fd};
	struct kn_list *ops;

	kn_list_add_tail(&task->future.loop->closing_fds, &closing.link);
	while ((ops = kn_engine_ops_of(engine, fd)) && !kn_list_empty(ops)) {
		struct kn_operation *last = NULL;

		kn_list_for_each (node, ops) {
			last = kn_operation_of(kn_list_entry(node, struct kn_op, link));
			if (!last->closed)
				kn_engine_cancel(engine, &last->op);
			last->closed = true;
		}
		last->closer = task;
		(void)kn_task_park(task, &waiting);
	}
	kn_list_del(&closing.link);
}

/* May @fd be closed by somebody who is no object? */
static int check_closable(struct knit_loop *loop, int fd, struct kn_list *ops)
{
	if (kn_is_closing(loop, fd))
		return -EBADF;
	if (kn_owned_of(loop, fd))
		return -EBUSY;
	if (!ops)
		return 0;
	kn_list_for_each (node, ops)
		if (!kn_operation_of(kn_list_entry(node, struct kn_op, link)))
			return -EBUSY; /* the loop's own */
	return 0;
}

/* For a thread in which no loop runs: none of its loops may have a use for the descriptor. */
static int ask(struct knit_loop *loop, void *arg)
{
	int fd = *(int *)arg;
	struct kn_list *ops = kn_engine_ops_of(loop->engine, fd);
	int error = check_closable(loop, fd, ops);

	return error == 0 && ops && !kn_list_empty(ops) ? -KNIT_ENOTASK : error;
}

static int end_half_done(struct knit_loop *loop, void *arg)
{
	kn_operation_end_half_done(loop, *(int *)arg);
	return 0;
}

int knit_close(int fd)
{
	struct knit_loop *loop = kn_self.loop;
	struct kn_list *ops = NULL;
	int error = 0;

	if (fd < 0)
		return -EBADF;
	if (loop) {
		/* A loop that is being closed ends all operations itself. */
		if (loop->phase == KN_OPEN)
			ops = kn_engine_ops_of(loop->engine, fd);
		error = check_closable(loop, fd, ops);
	} else {
		error = kn_registry_ask(ask, &fd);
	}
	if (error == 0 && ops && !kn_list_empty(ops)) {
		struct kn_task *task = kn_task_current(&error);

		if (task)
			end_operations(task, fd);
	}
	if (error < 0)
		return error;
	if (loop)
		kn_operation_end_half_done(loop, fd);
	else
		(void)kn_registry_ask(end_half_done, &fd);
	/* Linux closes the descriptor whatever it says; EINTR means nothing then. */
	return close(fd) < 0 && errno != EINTR ? kn_fail(-errno) : 0;
}
