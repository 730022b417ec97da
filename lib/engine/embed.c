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
 * which is looked at last. */
#include <errno.h>
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

int kn_engine_arm(struct kn_engine *engine, int64_t deadline)
{
	enum kn_deadline state = KN_DEADLINE_SET;
	uint64_t count;
	int r;

	if (engine->event_fd >= 0)
		(void)eventfd_read(engine->event_fd, &count);
	(void)kn_reap_internal(engine);
	if (!kn_list_empty(&engine->unheard) && deadline > engine->ask_at)
		deadline = engine->ask_at;
	if (deadline != INT64_MAX)
		state = kn_deadline_set(engine, deadline);
	r = kn_uring_flush(engine);
	if (r < 0 || engine->event_fd < 0)
		return r;
	/* What could not be given to the kernel must be tried again soon. */
	if (state != KN_DEADLINE_SET || kn_engine_ready(engine) || kn_uring_unsent(engine) ||
	    !kn_list_empty(&engine->waiting))
		(void)eventfd_write(engine->event_fd, 1);
	return 0;
}
