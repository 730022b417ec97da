/* SPDX-License-Identifier: MIT */
/* embed.c - waiting in a main loop that is not ours.
 *
 * A ring's own descriptor can be polled, but where completions are worked out only when we
 * ask for them (IORING_SETUP_DEFER_TASKRUN) nobody wakes the poller. So there is an eventfd,
 * which the kernel signals for each completion and when there are some to be worked
 * out. It is made when somebody first asks for it, since from then on each completion costs
 * its signal.
 *
 * Its count only ever says "look". kn_engine_arm() takes it back to 0 first; what the
 * kernel has to tell after that counts, and what it had to tell before shows in the ring,
 * which is looked at last.
 *
 * Under valgrind our own waits are polls too. It runs one thread at a time and does not know
 * that io_uring_enter() may wait (3.19), so that a thread in there keeps all others from
 * running, the one that it waits for among them. It knows poll(); and so there the ring is one
 * whose own descriptor wakes its poller (see setup.c). */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "engine/uring.h"

int kn_engine_fd(struct kn_engine *engine)
{
	int fd, r;

	if (engine->event_fd >= 0)
		return engine->event_fd;
	fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = io_uring_register((unsigned)engine->ring.ring_fd, IORING_REGISTER_EVENTFD, &fd, 1);
	if (r < 0) {
		close(fd);
		return r;
	}
	engine->event_fd = fd;
	return fd;
}

/* Kernels from 6.11 on delay the signal for what completes inside the write to another eventfd
 * (an operation polls it), and after that give no such signal for this registration again. So
 * each wait gets a registration of its own. */
static int renew(struct kn_engine *engine)
{
	unsigned ring = (unsigned)engine->ring.ring_fd;

	(void)io_uring_register(ring, IORING_UNREGISTER_EVENTFD, NULL, 0);
	return io_uring_register(ring, IORING_REGISTER_EVENTFD, &engine->event_fd, 1);
}

int kn_engine_arm(struct kn_engine *engine, int64_t deadline)
{
	enum kn_deadline state = KN_DEADLINE_SET;
	uint64_t count;
	int r, renewed = 0;

	if (engine->event_fd >= 0) {
		renewed = renew(engine);
		(void)eventfd_read(engine->event_fd, &count);
	}
	(void)kn_reap_internal(engine);
	if (!kn_list_empty(&engine->unheard) && deadline > engine->ask_at)
		deadline = engine->ask_at;
	if (deadline != INT64_MAX)
		state = kn_deadline_set(engine, deadline);
	r = kn_uring_flush(engine);
	if (r < 0 || engine->event_fd < 0)
		return r;
	/* What could not be given to the kernel must be tried again soon. */
	if (renewed < 0 || state != KN_DEADLINE_SET || kn_engine_ready(engine) ||
	    kn_uring_unsent(engine) || !kn_list_empty(&engine->waiting))
		(void)eventfd_write(engine->event_fd, 1);
	return 0;
}

int kn_embed_wait(struct kn_engine *engine, unsigned submit)
{
	unsigned ring = (unsigned)engine->enter_fd;
	unsigned flags = engine->enter_flags | IORING_ENTER_GETEVENTS;
	struct pollfd item = {.fd = engine->ring.ring_fd, .events = POLLIN};
	struct timespec span = {.tv_sec = engine->wait_span / 1000000000,
	                        .tv_nsec = engine->wait_span % 1000000000};
	int r = io_uring_enter2(ring, submit, 0, flags, NULL, _NSIG / 8);

	if (r < 0 || kn_uring_cq_count(engine) || kn_uring_kept_back(engine))
		return r;
	if (ppoll(&item, 1, engine->wait_span == INT64_MAX ? NULL : &span, NULL) < 0)
		return -errno;
	return io_uring_enter2(ring, 0, 0, flags, NULL, _NSIG / 8);
}
