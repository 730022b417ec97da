/* SPDX-License-Identifier: MIT */
/* callback.h - what a handle stands for: a callback that waits for its time or its turn.
 *
 * It is one cache line, because among many timers each line is a miss. What few callbacks have
 * lies in an object of its own: context variables that were set, and in debug mode where it was
 * made. */
#ifndef KN_LOOP_CALLBACK_H
#define KN_LOOP_CALLBACK_H
#include <stddef.h>
#include "loop/loop.h"

/* What goes with a callback: an object of the slab loop->trains. */
struct kn_callback_train {
	void *arg;                /* of the callback */
	struct kn_vars *vars;     /* owned: what it sees */
	struct kn_origin *origin; /* owned: where it was made; NULL but in debug mode */
	uint32_t index;           /* in the slab */
};

/* An object of the slab loop->callbacks. Its timer's link is its state: in no list and no id while
 * it waits for nothing (free, or just running); the index in the slab is the timer's. A stale
 * handle looks at the generation of a free one, so that lies where the slab leaves it alone. */
struct kn_callback {
	knit_callback *callback;
	void *arg;           /* or the train, as timer.ready.run tells */
	uint64_t generation; /* of the handle; 0 while it is free */
	struct kn_timer timer;
};
_Static_assert(offsetof(struct kn_callback, generation) ==
                       offsetof(struct kn_slab_idle, left_alone),
               "the generation of a free callback must stay readable");
_Static_assert(sizeof(void *) != 8 || sizeof(struct kn_callback) == 64, "not one cache line");
#endif
