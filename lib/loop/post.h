/* SPDX-License-Identifier: MIT */
/* post.h - the owner's side of what other threads hand in. */
#ifndef KN_LOOP_POST_H
#define KN_LOOP_POST_H
#include "loop/loop.h"

/* Moves at most @max posts to the ready list, in the order in which they were made. */
void kn_posts_collect(struct knit_loop *loop, unsigned max);

/* Runs every post that was accepted, and refuses all later ones. */
void kn_posts_close(struct knit_loop *loop);
#endif
