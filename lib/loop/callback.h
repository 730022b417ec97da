/* SPDX-License-Identifier: MIT */
/* callback.h - what a handle stands for: a callback that waits for its time or its turn. */
#ifndef KN_LOOP_CALLBACK_H
#define KN_LOOP_CALLBACK_H
#include <stddef.h>
#include "loop/loop.h"

/* An object of the slab loop->callbacks. Its link is its state: in no list and no id while it
 * waits for nothing (free, or just running). A stale handle looks at the generation of a free
 * one, so that lies in what the slab keeps readable, after the words that it uses itself. */
struct kn_callback {
	struct knit_loop *loop; /* borrowed */
	knit_callback *callback;
	void *arg;
	uint64_t generation; /* of the handle; 0 while it is free */
	struct kn_timer timer;
	uint32_t index;           /* in the slab */
	struct kn_vars *vars;     /* owned: what it sees */
	struct kn_origin *origin; /* owned: where it was made; NULL but in debug mode */
};
_Static_assert(offsetof(struct kn_callback, generation) >= sizeof(struct kn_slab_idle) &&
                       offsetof(struct kn_callback, generation) + 8 <= KN_SLAB_HEADER,
               "the generation of a free callback must stay readable");
#endif
