/* SPDX-License-Identifier: MIT */
/* listener.c - a listening socket with a multishot accept.
 *
 * The kernel accepts ahead and hands over descriptors; they wait in a queue for tasks, or tasks
 * wait for them, never both. Three things interrupt the multishot:
 *
 *   the queue is full   it is cancelled, and armed again when half of the queue was taken
 *   no descriptors left EMFILE and the like: told once, tried again after a pause that grows
 *                       from 0.1 to 1 s. The connections wait in the kernel meanwhile
 *   the kernel ends it  for reasons of its own, at any time: armed again at once
 *
 * A listener outlives knit_listener_close() until the kernel's last completion. A loop that is
 * closed before its listeners closes their sockets; what is left is memory, until
 * knit_listener_close().
 *
 * Whoever is told something (a task by a wake-up, the exception handler) may close the listener,
 * so telling comes last. */
#include "io/close.h"
#include "io/operation.h"
#include "task/task.h"
#include <sys/socket.h>
#include <unistd.h>
#include "base/alloc.h"
#include "knit/socket.h"

#define QUEUE_FULL   128 /* connections accepted ahead, but for those on their way meanwhile */
#define PAUSE_FIRST  (100 * KNIT_MS)
#define PAUSE_MAX    KNIT_S
#define QUIET        (2 * PAUSE_MAX) /* without a failure, and a shortage is over */
#define ACCEPT_BATCH 16              /* connections that one task may take without suspending */

/* A task that waits for a connection. */
struct accept_wait {
	struct kn_wait wait;
	struct kn_list link; /* listener->waiters */
	struct kn_task *task;
};

struct knit_listener {
	struct knit_loop *loop; /* held */
	struct kn_owned socket;
	struct kn_op op;
	bool armed;       /* op is in flight */
	bool pausing;     /* the timer runs */
	bool told;        /* the exception handler, of this shortage */
	bool single_shot; /* the kernel knows no multishot accept */
	bool closed;      /* by its user */
	bool orphaned;    /* its loop was closed first */
	int error;        /* negative: the socket is of no more use */
	unsigned taken;   /* in a row without suspending */
	int64_t pause;    /* the next one, ns */
	int64_t failed;   /* when it was last out of resources, loop time */
	struct kn_timer timer;
	struct kn_list waiters;
	struct kn_task *closer;      /* waits in knit_listener_close() */
	unsigned first, count, room; /* of the queue, a ring */
	int *queue;                  /* [room] descriptors; owned; room is a power of two */
};

static void arm(knit_listener *listener);

/* ---- the queue and those who wait ------------------------------------------------------- */

static bool accept_cancel(struct kn_wait *wait, struct kn_task *task, struct kn_message *text)
{
	struct accept_wait *waiter = kn_container_of(wait, struct accept_wait, wait);

	kn_list_del(&waiter->link);
	kn_task_wake(task, -KNIT_ECANCELLED, kn_message_ref(text));
	return true;
}

static void wake_first(knit_listener *listener, int outcome)
{
	struct accept_wait *waiter = kn_list_entry(listener->waiters.next, struct accept_wait,
	                                           link);

	kn_list_del(&waiter->link);
	kn_task_wake(waiter->task, outcome, NULL);
}

static void wake_all(knit_listener *listener, int error)
{
	while (!kn_list_empty(&listener->waiters))
		wake_first(listener, error);
}

static bool grow(knit_listener *listener)
{
	unsigned room = listener->room ? 2 * listener->room : 2 * QUEUE_FULL;
	int *queue = kn_malloc(room * sizeof(*queue));

	if (!queue)
		return false;
	for (unsigned i = 0; i < listener->count; i++)
		queue[i] = listener->queue[(listener->first + i) & (listener->room - 1)];
	kn_free(listener->queue);
	listener->queue = queue;
	listener->room = room;
	listener->first = 0;
	return true;
}

static void deliver(knit_listener *listener, int fd)
{
	listener->pause = PAUSE_FIRST;
	if (!kn_list_empty(&listener->waiters)) {
		wake_first(listener, fd);
		return;
	}
	if (listener->closed || listener->orphaned ||
	    (listener->count == listener->room && !grow(listener))) {
		close(fd);
		return;
	}
	listener->queue[(listener->first + listener->count++) & (listener->room - 1)] = fd;
	if (listener->count >= QUEUE_FULL && listener->armed)
		kn_engine_cancel(listener->loop->engine, &listener->op);
}

static int take(knit_listener *listener)
{
	int fd = listener->queue[listener->first];

	listener->first = (listener->first + 1) & (listener->room - 1);
	listener->count--;
	return fd;
}

/* ---- the multishot ------------------------------------------------------------------------- */

static void fail(knit_listener *listener, int error)
{
	listener->error = error;
	wake_all(listener, error);
}

static void pause_over(struct kn_ready *ready)
{
	knit_listener *listener = kn_container_of(ready, struct knit_listener, timer.ready);

	listener->pausing = false;
	arm(listener);
}

/* Out of descriptors or memory: asking again at once would burn the CPU. A server that is short
 * of descriptors gets one now and then and fails again: that is one shortage, told once. */
static void pause_accepting(knit_listener *listener, int error)
{
	struct knit_loop *loop = listener->loop;
	knit_exception_context context = {
	        .message = "accept() failed; trying again after a pause",
	        .error = knit_strerror(error),
	        .code = -error,
	};
	int64_t when = kn_loop_deadline(loop, listener->pause), now = kn_loop_now(loop);
	bool told = listener->told && now - listener->failed <= QUIET;
	int r = kn_timer_start(loop, &listener->timer, when);

	listener->told = true;
	listener->failed = now;
	if (r < 0) {
		wake_all(listener, r); /* the next to ask tries again */
	} else {
		listener->pausing = true;
		listener->pause = listener->pause < PAUSE_MAX / 2 ? 2 * listener->pause : PAUSE_MAX;
	}
	if (!told)
		kn_loop_report(loop, &context);
}

/* What the end of a multishot means. */
static void ended(knit_listener *listener, int result)
{
	if (result >= 0) {
		arm(listener);
		return;
	}
	switch (-result) {
	case ECANCELED: /* the queue was full, or the kernel has its reasons */
	case EINTR:
	case EAGAIN:
	case ECONNABORTED: /* from here on: a connection that did not last */
	case EPERM:
	case EPROTO:
	case ENOPROTOOPT:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case ETIMEDOUT:
		arm(listener);
		return;
	case EINVAL:
		if (listener->single_shot) {
			fail(listener, result);
			return;
		}
		listener->single_shot = true;
		arm(listener);
		return;
	case EBADF:
	case ENOTSOCK:
	case EOPNOTSUPP:
	case EFAULT:
		fail(listener, result);
		return;
	default: /* EMFILE, ENFILE, ENOBUFS, ENOMEM, and what nobody has heard of yet */
		pause_accepting(listener, result);
	}
}

static void release_socket(knit_listener *listener)
{
	kn_disown(&listener->socket);
	if (listener->socket.fd >= 0)
		close(listener->socket.fd);
	listener->socket.fd = -1;
}

static void listener_free(knit_listener *listener)
{
	kn_loop_let_go(listener->loop);
	kn_free(listener->queue);
	kn_free(listener);
}

/* The kernel has let go of the socket. A task that waits for that frees the listener: its step
 * comes after those of the tasks that it woke with -EBADF, and one of these may be about to close
 * the listener too. */
static void finish_close(knit_listener *listener)
{
	release_socket(listener);
	if (listener->closer)
		kn_task_wake(listener->closer, 0, NULL);
	else
		listener_free(listener);
}

static void accept_complete(struct kn_op *op)
{
	knit_listener *listener = kn_container_of(op, struct knit_listener, op);
	int result = op->result;

	listener->armed = op->more;
	if (result >= 0)
		deliver(listener, result);
	if (listener->armed)
		return;
	if (listener->closed)
		finish_close(listener);
	else if (listener->orphaned)
		release_socket(listener);
	else if (listener->loop->phase == KN_OPEN)
		ended(listener, result);
}

static void arm(knit_listener *listener)
{
	int r;

	if (listener->armed || listener->pausing || listener->closed || listener->error ||
	    listener->count >= QUEUE_FULL / 2 || listener->loop->phase != KN_OPEN)
		return;
	listener->op = (struct kn_op){
	        .opcode = KN_OP_ACCEPT,
	        .multishot = !listener->single_shot,
	        .fd = listener->socket.fd,
	        .flags = SOCK_CLOEXEC,
	        .complete = accept_complete,
	};
	r = kn_engine_submit(listener->loop->engine, &listener->op);
	listener->armed = r == 0;
	if (r < 0)
		wake_all(listener, r); /* the next to ask tries again */
}

/* ---- making --------------------------------------------------------------------------------- */

static int check_listens(int fd)
{
	int listens = 0;
	socklen_t length = sizeof(listens);

	if (fd < 0)
		return -EBADF;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) < 0)
		return -errno;
	return listens ? 0 : -EINVAL;
}

static void drop_queue(knit_listener *listener)
{
	while (listener->count)
		close(take(listener));
}

/* Nobody can wait any more: the tasks are gone. */
static void loop_closes(struct kn_owned *owned)
{
	knit_listener *listener = kn_container_of(owned, struct knit_listener, socket);

	listener->orphaned = true;
	listener->error = -EBADF;
	kn_timer_stop(listener->loop, &listener->timer);
	drop_queue(listener);
	if (!listener->armed)
		release_socket(listener);
}

static void init(knit_listener *listener, struct knit_loop *loop, int fd)
{
	listener->loop = loop;
	listener->socket.fd = fd;
	listener->socket.loop_closes = loop_closes;
	listener->pause = PAUSE_FIRST;
	listener->timer.id = KN_HEAP_NONE;
	listener->timer.ready.run = pause_over;
	kn_list_init(&listener->timer.ready.link);
	kn_list_init(&listener->waiters);
}

static int listener_new(struct knit_loop *loop, int fd, knit_listener **ret)
{
	knit_listener *listener = kn_calloc(1, sizeof(*listener));
	int r;

	if (!listener)
		return -ENOMEM;
	init(listener, loop, fd);
	r = kn_own(loop, &listener->socket);
	if (r < 0) {
		kn_free(listener);
		return r;
	}
	kn_loop_hold(loop);
	*ret = listener;
	return 0;
}

knit_listener *knit_listener_new(int fd)
{
	knit_listener *listener = NULL;
	int r = kn_self.loop ? kn_loop_usable(kn_self.loop) : -KNIT_ENOLOOP;

	if (r == 0)
		r = check_listens(fd);
	if (r == 0)
		r = listener_new(kn_self.loop, fd, &listener);
	if (r < 0)
		errno = -kn_fail(r);
	return listener;
}

/* ---- using ------------------------------------------------------------------------------------
 */

/* The next descriptor, after waiting for it. The listener may be gone then. */
static int wait_for_one(knit_listener *listener, struct kn_task *task)
{
	struct accept_wait waiter = {.wait.cancel = accept_cancel, .task = task};
	int outcome;

	listener->taken = 0;
	kn_list_add_tail(&listener->waiters, &waiter.link);
	if (!kn_task_is_cancelled(task))
		arm(listener);
	/* If that failed the task is ready already. A request from before ends the wait as it
	 * begins. */
	outcome = (int)kn_task_park(task, kn_list_empty(&waiter.link) ? NULL : &waiter.wait);
	/* A descriptor or an error is what happened, and a request that came after it stays
	 * pending; one that came after another request is the same cancellation. */
	if (outcome == -KNIT_ECANCELLED && task->must_cancel)
		return kn_task_take_cancel(task);
	if (outcome == -KNIT_ECANCELLED)
		kn_task_delivered(task);
	else
		kn_task_keep_cancel(task);
	return outcome;
}

static int next_connection(knit_listener *listener)
{
	int error = 0, fd;
	struct kn_task *task = kn_task_current(&error);

	if (!task)
		return error;
	if (listener->loop != kn_self.loop)
		return -KNIT_EWRONGTHREAD;
	if (kn_task_is_cancelled(task) || (listener->count == 0 && !listener->error))
		return wait_for_one(listener, task);
	if (listener->count == 0) {
		/* Whoever asks again and again must not keep the loop for itself. */
		fd = listener->error;
		error = knit_sleep(0);
		return error < 0 ? error : fd;
	}
	fd = take(listener);
	arm(listener);
	/* A flood of connections must not keep the loop from everybody else. The listener may be
	 * gone after this pass, the descriptor is ours. */
	if (++listener->taken > ACCEPT_BATCH) {
		listener->taken = 0;
		task->wake_outcome = fd;
		kn_loop_ready(listener->loop, &task->place.ready);
		(void)kn_task_park(task, NULL);
	}
	return fd;
}

int knit_listener_accept(knit_listener *listener, struct sockaddr *address, socklen_t *length)
{
	int fd;

	if (!listener)
		return kn_fail(-EINVAL);
	if (kn_loop_check(listener->loop) < 0)
		return -KNIT_EWRONGTHREAD;
	fd = next_connection(listener);
	/* A peer that has gone already has no address; recv will tell. */
	if (fd >= 0 && address && length && getpeername(fd, address, length) < 0)
		*length = 0;
	return fd;
}

int knit_listener_fd(const knit_listener *listener)
{
	if (!listener)
		return kn_fail(-EINVAL);
	if (kn_loop_check(listener->loop) < 0)
		return -KNIT_EWRONGTHREAD;
	return listener->socket.fd < 0 ? -EBADF : listener->socket.fd;
}

static bool cannot_cancel(struct kn_wait *wait, struct kn_task *task, struct kn_message *text)
{
	(void)wait;
	(void)task;
	(void)text;
	return false;
}

int knit_listener_close(knit_listener *listener)
{
	static struct kn_wait closing = {.cancel = cannot_cancel, .stays = true};
	struct knit_loop *loop;
	struct kn_task *task;

	if (!listener)
		return 0;
	loop = listener->loop;
	/* What a closed loop has left of it belongs to no thread. */
	if (kn_loop_check(loop) < 0 && !(knit_loop_is_closed(loop) && listener->orphaned))
		return -KNIT_EWRONGTHREAD;
	if (listener->closed)
		return kn_fail(-EBADF); /* another task waits for its end */
	listener->closed = true;
	if (!listener->orphaned)
		kn_timer_stop(loop, &listener->timer);
	fail(listener, -EBADF);
	drop_queue(listener);
	if (!listener->armed) {
		finish_close(listener);
		return 0;
	}
	if (listener->orphaned)
		return 0; /* the kernel did not let go in time: it stays for good */
	kn_operation_end(loop, &listener->op);
	if (kn_self.loop == loop && kn_self.task && loop->phase == KN_OPEN) {
		task = kn_task_of(kn_self.task);
		listener->closer = task;
		(void)kn_task_park(task, &closing);
		listener_free(listener);
	}
	return 0;
}
