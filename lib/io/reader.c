/* SPDX-License-Identifier: MIT */
/* reader.c - callbacks for descriptors that are ready: add_reader and add_writer.
 *
 * A one-shot poll, queued anew each time before the callback is called. The kernel looks at the
 * descriptor with the next enter, after the callback has read from it: so what is ready and not
 * dealt with is told in every pass, as a selector does, at the price of an entry a pass.
 *
 * A watched descriptor is owned (io/close.h) by both of its watches together. A watch that is
 * removed while its poll is in flight stays in memory until the kernel has let go of it. */
#include "io/close.h"
#include "io/operation.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include "base/alloc.h"
#include "base/error.h"
#include "knit/reader.h"

enum direction { READER, WRITER };

struct watch {
	struct kn_op op;
	struct kn_ready ready; /* what is next: the callback, or the first poll */
	struct watched *watched;
	struct knit_loop *loop; /* borrowed; the loop drains its operations before it goes */
	knit_callback *callback;
	void *arg;
	bool armed; /* op is in flight */
};

/* A descriptor. */
struct watched {
	struct kn_owned owned;
	struct watch *watches[2]; /* owned; NULL: none */
};

/* ---- the end ------------------------------------------------------------------------- */

static void watch_complete(struct kn_op *op);

/* Where the kernel still has the poll, its completion frees it. */
static void watch_free(struct watch *watch)
{
	kn_list_del(&watch->ready.link);
	watch->watched = NULL;
	if (watch->armed)
		kn_operation_end(watch->loop, &watch->op);
	else
		kn_free(watch);
}

static void watched_remove(struct watched *watched, enum direction direction)
{
	watch_free(watched->watches[direction]);
	watched->watches[direction] = NULL;
	if (watched->watches[READER] || watched->watches[WRITER])
		return;
	kn_disown(&watched->owned);
	kn_free(watched);
}

static void loop_closes(struct kn_owned *owned)
{
	struct watched *watched = kn_container_of(owned, struct watched, owned);

	for (int i = READER; i <= WRITER; i++)
		if (watched->watches[i])
			watch_free(watched->watches[i]);
	kn_disown(owned);
	kn_free(watched);
}

static void lost(struct watch *watch, int error)
{
	struct knit_loop *loop = watch->loop;
	struct watched *watched = watch->watched;
	knit_exception_context context = {
	        .message = "a descriptor with a reader or writer cannot be watched any more",
	        .error = knit_strerror(error),
	        .code = -error,
	};

	watched_remove(watched, watched->watches[WRITER] == watch ? WRITER : READER);
	kn_loop_report(loop, &context);
}

/* ---- watching ------------------------------------------------------------------------ */

/* 0 or -ENOMEM. */
static int arm(struct watch *watch)
{
	const struct watched *watched = watch->watched;
	int r;

	watch->op = (struct kn_op){
	        .opcode = KN_OP_POLL,
	        .fd = watched->owned.fd,
	        .flags = watched->watches[READER] == watch ? POLLIN : POLLOUT,
	        .complete = watch_complete,
	};
	r = kn_engine_submit(watch->loop->engine, &watch->op);
	watch->armed = r == 0;
	return r;
}

static void run_callback(struct kn_ready *ready)
{
	struct watch *watch = kn_container_of(ready, struct watch, ready);
	knit_callback *callback = watch->callback;
	void *arg = watch->arg;
	int r;

	if (kn_unlikely(watch->loop->phase != KN_OPEN))
		return; /* callbacks are dropped */
	r = arm(watch);
	if (kn_unlikely(r < 0)) {
		lost(watch, r); /* its argument may be gone now */
		return;
	}
	callback(arg); /* may remove the watch */
}

static void watch_complete(struct kn_op *op)
{
	struct watch *watch = kn_container_of(op, struct watch, op);

	watch->armed = false;
	if (!watch->watched)
		kn_free(watch);
	else if (op->result >= 0)
		kn_loop_ready(watch->loop, &watch->ready);
	else if (watch->loop->phase == KN_OPEN)
		lost(watch, op->result);
}

/* Before its first run a loop takes no operations: so the first poll is the first pass's. */
static void run_first(struct kn_ready *ready)
{
	struct watch *watch = kn_container_of(ready, struct watch, ready);
	int r;

	if (kn_unlikely(watch->loop->phase != KN_OPEN))
		return;
	ready->run = run_callback;
	r = arm(watch);
	if (kn_unlikely(r < 0))
		lost(watch, r);
}

/* ---- adding -------------------------------------------------------------------------- */

static struct watched *find(struct knit_loop *loop, int fd)
{
	struct kn_owned *owned = kn_owned_of(loop, fd);

	return owned && owned->loop_closes == loop_closes
	               ? kn_container_of(owned, struct watched, owned)
	               : NULL;
}

static int watched_new(struct knit_loop *loop, int fd, struct watched **ret)
{
	struct watched *watched = kn_calloc(1, sizeof(*watched));
	int r;

	if (!watched)
		return -ENOMEM;
	watched->owned.fd = fd;
	watched->owned.loop_closes = loop_closes;
	r = kn_own(loop, &watched->owned);
	if (r < 0) {
		kn_free(watched);
		return r;
	}
	*ret = watched;
	return 0;
}

/* A watch of @watched that is not told anything yet. */
static int watch_new(struct knit_loop *loop, struct watched *watched, enum direction direction)
{
	struct watch *watch = kn_calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->loop = loop;
	watch->watched = watched;
	watch->ready.run = run_first;
	kn_list_init(&watch->ready.link);
	watched->watches[direction] = watch;
	kn_loop_ready(loop, &watch->ready);
	return 0;
}

/* A replaced callback that was about to be called is not; the descriptor is looked at again. */
static void retell(struct watch *watch)
{
	if (watch->armed)
		return;
	kn_list_del(&watch->ready.link);
	watch->ready.run = run_first;
	kn_loop_ready(watch->loop, &watch->ready);
}

static int add(struct knit_loop *loop, int fd, enum direction direction, knit_callback *callback,
               void *arg)
{
	struct watched *watched;
	int r;

	loop = kn_loop_or_running(loop);
	r = loop ? kn_loop_usable(loop) : -KNIT_ENOLOOP;
	if (r == 0 && !callback)
		r = -EINVAL;
	if (r == 0 && fcntl(fd, F_GETFD) < 0)
		r = -EBADF;
	if (r < 0)
		return kn_fail(r);
	watched = find(loop, fd);
	if (!watched)
		r = watched_new(loop, fd, &watched);
	if (r == 0 && watched->watches[direction])
		retell(watched->watches[direction]);
	else if (r == 0)
		r = watch_new(loop, watched, direction);
	if (r == 0) {
		watched->watches[direction]->callback = callback;
		watched->watches[direction]->arg = arg;
	} else if (watched && !watched->watches[READER] && !watched->watches[WRITER]) {
		kn_disown(&watched->owned);
		kn_free(watched);
	}
	return r < 0 ? kn_fail(r) : 0;
}

static int remove_watch(struct knit_loop *loop, int fd, enum direction direction)
{
	struct watched *watched;
	int r;

	loop = kn_loop_or_running(loop);
	r = loop ? kn_loop_check(loop) : -KNIT_ENOLOOP;
	if (r < 0)
		return kn_fail(r);
	watched = find(loop, fd);
	if (!watched || !watched->watches[direction])
		return 0;
	watched_remove(watched, direction);
	return 1;
}

int knit_loop_add_reader(knit_loop *loop, int fd, knit_callback *callback, void *arg)
{
	return add(loop, fd, READER, callback, arg);
}

int knit_loop_remove_reader(knit_loop *loop, int fd)
{
	return remove_watch(loop, fd, READER);
}

int knit_loop_add_writer(knit_loop *loop, int fd, knit_callback *callback, void *arg)
{
	return add(loop, fd, WRITER, callback, arg);
}

int knit_loop_remove_writer(knit_loop *loop, int fd)
{
	return remove_watch(loop, fd, WRITER);
}
