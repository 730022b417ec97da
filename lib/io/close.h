/* SPDX-License-Identifier: MIT */
/* close.h - whose a descriptor is: an object's, a task's that is closing it, or nobody's. */
#ifndef KN_IO_CLOSE_H
#define KN_IO_CLOSE_H
#include "loop/loop.h"

/* A descriptor that an object owns and closes; knit_close() keeps away from it. */
struct kn_owned {
	struct kn_list link; /* loop->owned_fds */
	int fd;
	/* The loop is being closed: no task is left, operations are about to be cancelled. May
	 * disown. The object itself stays with its user. */
	void (*loop_closes)(struct kn_owned *owned);
};

/* Makes @owned->fd the object's. 0; -EBUSY: it is another object's; -EBADF: a task is closing
 * it. */
KN_NODISCARD int kn_own(struct knit_loop *loop, struct kn_owned *owned);
void kn_disown(struct kn_owned *owned); /* harmless to repeat */

/* What owns @fd; NULL: nothing. */
struct kn_owned *kn_owned_of(const struct knit_loop *loop, int fd);

/* Is a task of @loop closing @fd? */
bool kn_is_closing(const struct knit_loop *loop, int fd);
#endif
