/* SPDX-License-Identifier: MIT */
/* callback.h - what a handle stands for: a callback that waits for its time or its turn. */
#ifndef KN_LOOP_CALLBACK_H
#define KN_LOOP_CALLBACK_H
#include "loop/loop.h"

/* An object of the slab loop->callbacks. Its link is its state: in no list and no id while it
 * waits for nothing (free, or just running). */
struct kn_callback {
	struct kn_timer timer;
	uint32_t index;      /* in the slab */
	uint64_t generation; /* of the handle; 0 while it is free */
	knit_callback *callback;
	void *arg;
	struct knit_loop *loop; /* borrowed */
};
#endif
