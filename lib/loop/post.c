/* SPDX-License-Identifier: MIT */
/* post.c - the way from another thread into the ready list.
 *
 * A post is an inbox node that the loop later links into its ready list. What the library posts
 * for itself (an answer to a call, a cancellation) is embedded in the object that it is about
 * and cannot fail for want of memory. The nodes of call_soon_threadsafe() go round: the loop
 * puts those that ran on a stack, a producer takes that whole stack for itself when its own
 * supply has run out. Taking everything by one exchange is what makes the stack safe without a
 * version number, and keeps malloc and its cross-thread free out of the steady state. */
#include "loop/post.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include "base/alloc.h"
#include "base/error.h"
#include "loop/debug.h"
#include "knit/thread.h"

#define SPARE_MAX 4096 /* posts that a loop keeps for reuse; more are freed */

struct callback_post {
	struct kn_post post;
	knit_callback *callback;
	void *arg;
	struct knit_loop *loop; /* borrowed: the loop that it was posted to */
	struct kn_vars *vars;   /* owned: what it sees */
};

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

int kn_loop_post(struct knit_loop *loop, struct kn_post *post)
{
	int saved = errno;

	/* From the loop's own thread: in line with call_soon(). */
	if (kn_loop_is_mine(loop)) {
		if (loop->phase == KN_CLOSED)
			return -KNIT_ECLOSED;
		kn_loop_ready(loop, &post->ready);
		return 0;
	}
	if (kn_unlikely(kn_loop_check(loop) == 0) && kn_registry_ready_unbound(loop, &post->ready))
		return 0;
	switch (kn_inbox_push(&loop->inbox, &post->node)) {
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

/* ---- call_soon_threadsafe ------------------------------------------------------------ */

static struct kn_post *next_post(const struct kn_post *post)
{
	return (struct kn_post *)post->node.next;
}

static void free_cache(struct kn_thread *thread)
{
	struct kn_post *post = thread->post_cache;

	thread->post_cache = NULL;
	while (post) {
		struct kn_post *next = next_post(post);

		kn_free(post);
		post = next;
	}
}

static void register_free_cache(void)
{
	kn_thread_at_exit(free_cache);
}

/* A node from this thread's own supply, from the loop's, or from malloc. */
static struct callback_post *node_new(struct knit_loop *loop)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct kn_post *post = kn_self.post_cache;

	if (!post && atomic_load_explicit(&loop->returned, memory_order_relaxed)) {
		/* A thread may be armed already, by a loop of its own. */
		pthread_once(&once, register_free_cache);
		if (kn_thread_arm_exit() < 0)
			return kn_malloc(sizeof(struct callback_post));
		post = atomic_exchange_explicit(&loop->returned, NULL, memory_order_acquire);
	}
	if (!post)
		return kn_malloc(sizeof(struct callback_post));
	kn_self.post_cache = next_post(post);
	return (struct callback_post *)post;
}

/* Gives the loop's whole supply away if the last one has been taken. */
static void publish_spare(struct knit_loop *loop)
{
	if (loop->spare && !atomic_load_explicit(&loop->returned, memory_order_relaxed)) {
		atomic_store_explicit(&loop->returned, loop->spare, memory_order_release);
		loop->spare = NULL;
		loop->spare_count = 0;
	}
}

static void node_free(struct knit_loop *loop, struct callback_post *node)
{
	if (loop->spare_count >= SPARE_MAX) {
		kn_free(node);
		return;
	}
	node->post.node.next = (struct kn_inbox_node *)loop->spare;
	loop->spare = &node->post;
	loop->spare_count++;
}

static void run_callback(struct kn_ready *ready)
{
	struct callback_post *node = kn_container_of(ready, struct callback_post, post.ready);
	knit_callback *callback = node->callback;
	void *arg = node->arg;
	struct kn_vars_frame frame;

	kn_vars_enter(&frame, node->vars);
	node_free(node->loop, node);
	callback(arg);
	kn_vars_leave(&frame);
}

bool kn_post_describe(struct kn_ready *ready, struct kn_subject *subject)
{
	struct callback_post *node = kn_container_of(ready, struct callback_post, post.ready);

	if (ready->run != run_callback)
		return false;
	kn_subject_callback(subject, (uintptr_t)node->callback, NULL);
	return true;
}

int knit_loop_call_soon_threadsafe(knit_loop *loop, knit_callback *callback, void *arg)
{
	struct callback_post *node;
	int r;

	if (!loop || !callback)
		return -EINVAL;
	if (kn_self.loop == loop && loop->phase != KN_OPEN)
		return -KNIT_ECLOSED;
	node = node_new(loop);
	if (kn_unlikely(!node))
		return -ENOMEM;
	node->post.ready.run = run_callback;
	node->callback = callback;
	node->arg = arg;
	node->loop = loop;
	node->vars = kn_vars_capture();
	r = kn_loop_post(loop, &node->post);
	if (kn_unlikely(r < 0)) {
		kn_vars_release(node->vars);
		kn_free(node);
	}
	return r;
}

static void stop_loop(void *loop)
{
	knit_loop_stop(loop);
}

int knit_loop_stop_threadsafe(knit_loop *loop)
{
	return knit_loop_call_soon_threadsafe(loop, stop_loop, loop);
}

/* ---- the owner's side ---------------------------------------------------------------- */

static struct kn_post *take_first(struct knit_loop *loop)
{
	struct kn_post *post = kn_container_of(loop->posts, struct kn_post, node);

	loop->posts = post->node.next;
	loop->counters.posts++;
	return post;
}

void kn_posts_collect(struct knit_loop *loop, unsigned max)
{
	/* What was taken before was posted before. */
	if (!loop->posts && kn_inbox_pending(&loop->inbox))
		loop->posts = kn_inbox_take(&loop->inbox);
	publish_spare(loop);
	while (loop->posts && max--)
		kn_list_add_tail(&loop->ready, &take_first(loop)->ready.link);
}

static void run_posts(struct knit_loop *loop)
{
	while (loop->posts) {
		struct kn_post *post = take_first(loop);

		post->ready.run(&post->ready);
	}
}

void kn_posts_close(struct knit_loop *loop)
{
	run_posts(loop);
	loop->posts = kn_inbox_close(&loop->inbox);
	run_posts(loop);
}
