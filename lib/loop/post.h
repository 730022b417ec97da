/* SPDX-License-Identifier: MIT */
/* post.h - what other threads hand in: the owner's side, and that of call_soon_threadsafe(). */
#ifndef KN_LOOP_POST_H
#define KN_LOOP_POST_H
#include "loop/loop.h"

/* Moves at most @max posts to the ready list, in the order in which they were made. */
void kn_posts_collect(struct knit_loop *loop, unsigned max);

/* As kn_loop_post(), from another thread; @word leads to the post: see kn_inbox_push_word(). */
KN_NODISCARD int kn_loop_post_word(struct knit_loop *loop, struct kn_post *post, uintptr_t word);

/* Runs every post that was accepted, and refuses all later ones. */
void kn_posts_close(struct knit_loop *loop);

/* ---- batches: see batch.c ---- */

/* @post is a batch, and has so many posts, which will be run as many times. */
void kn_batch_taken(struct kn_post *post, unsigned count);
/* Of what is taken, but not yet ready: how many posts it stands for. */
unsigned kn_batch_posts(const struct kn_ready *ready);
/* The owner lets the producers have what it has to spare. */
void kn_batches_publish(struct knit_loop *loop);
/* The last reference to @loop is gone. */
void kn_batches_free(struct knit_loop *loop);
#endif
