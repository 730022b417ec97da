/* SPDX-License-Identifier: MIT */
/* post.c - the way from another thread into the ready list.
 *
 * A post is an inbox node that the loop later links into its ready list. What the library posts
 * for itself (an answer to a call, a cancellation) is embedded in the object that it is about
 * and cannot fail for want of memory. Those of call_soon_threadsafe() come in batches: batch.c. */
#include "loop/post.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>
#include "base/error.h"

/* ---- waking -------------------------------------------------------------------------- */

/* A thread that is cancelled must not end before it has written: the loop would sleep for ever. */
void kn_loop_wake(struct knit_loop *loop)
{
	const uint64_t one = 1;
	int cancelling;
	ssize_t n;

	atomic_fetch_add_explicit(&loop->wakes, 1, memory_order_relaxed);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelling);
	do
		n = write(loop->wake_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	pthread_setcancelstate(cancelling, NULL);
}

void kn_loop_take_wakes(struct knit_loop *loop)
{
	uint64_t count;

	if (read(loop->wake_fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		loop->wakes_taken += count;
}

/* Each write adds 1 to the eventfd, so what was read of it is the number of writes. */
void kn_loop_settle_wakes(struct knit_loop *loop)
{
	struct pollfd polled = {.fd = loop->wake_fd, .events = POLLIN};
	uint64_t owed;

	owed = loop->wakes_owed + atomic_load_explicit(&loop->signal_wakes, memory_order_acquire);
	kn_loop_take_wakes(loop);
	while (loop->wakes_taken < owed) {
		(void)poll(&polled, 1, -1);
		kn_loop_take_wakes(loop);
	}
}

int kn_loop_post_word(struct knit_loop *loop, struct kn_post *post, uintptr_t word)
{
	int saved = errno;

	switch (kn_inbox_push_word(&loop->inbox, &post->node, word)) {
	case KN_INBOX_CLOSED:
		return -KNIT_ECLOSED;
	case KN_INBOX_WAKE:
		kn_loop_wake(loop);
		errno = saved;
		return 0;
	case KN_INBOX_PUSHED:
		return 0;
	}
	return 0;
}

int kn_loop_post(struct knit_loop *loop, struct kn_post *post)
{
	/* From the loop's own thread: in line with call_soon(). */
	if (kn_loop_is_mine(loop)) {
		if (loop->phase == KN_CLOSED)
			return -KNIT_ECLOSED;
		kn_loop_ready(loop, &post->ready);
		return 0;
	}
	if (kn_unlikely(kn_loop_check(loop) == 0) && kn_registry_ready_unbound(loop, &post->ready))
		return 0;
	return kn_loop_post_word(loop, post, (uintptr_t)&post->node);
}

/* ---- the owner's side ---------------------------------------------------------------- */

/* Puts what @list leads to in line, in the order of the posts. One walk, and the last: each node
 * is a cache line that another core wrote. Returns how many posts they are. */
static unsigned put_in_line(struct knit_loop *loop, uintptr_t list)
{
	struct kn_list *before = loop->posts.prev;
	struct kn_inbox_node *node;
	unsigned count, total = 0;

	while ((node = kn_inbox_next(&list, &count))) {
		struct kn_post *post = kn_container_of(node, struct kn_post, node);

		if (count)
			kn_batch_taken(post, count);
		kn_list_add_head(before, &post->ready.link);
		total += count ? count : 1;
	}
	return total;
}

void kn_posts_collect(struct knit_loop *loop, unsigned max)
{
	unsigned count = max + 1;

	loop->behind = false;
	/* What was taken before was posted before. */
	if (kn_list_empty(&loop->posts))
		count = put_in_line(loop, kn_inbox_take_newest(&loop->inbox));
	kn_batches_publish(loop);
	if (kn_likely(count <= max)) {
		kn_list_splice_tail(&loop->ready, &loop->posts);
		loop->counters.posts += count;
		return;
	}
	for (unsigned moved = 0; moved < max && !kn_list_empty(&loop->posts);) {
		struct kn_list *first = loop->posts.next;

		count = kn_batch_posts(kn_list_entry(first, struct kn_ready, link));
		kn_list_del(first);
		kn_list_add_tail(&loop->ready, first);
		loop->counters.posts += count;
		moved += count;
	}
	loop->behind = !kn_list_empty(&loop->posts);
}

/* What they make ready runs after them all. */
static void run_posts(struct knit_loop *loop)
{
	struct kn_ready *ready;

	kn_list_for_each (node, &loop->posts)
		loop->counters.posts += kn_batch_posts(kn_list_entry(node, struct kn_ready, link));
	kn_list_splice_tail(&loop->batch, &loop->posts);
	while ((ready = kn_list_first(&loop->batch, struct kn_ready, link))) {
		kn_list_del(&ready->link);
		ready->run(ready);
	}
}

void kn_posts_close(struct knit_loop *loop)
{
	/* A callback that ended its thread left this behind. */
	loop->in_batch = false;
	run_posts(loop);
	(void)put_in_line(loop, kn_inbox_close_newest(&loop->inbox));
	run_posts(loop);
}
