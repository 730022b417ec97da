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

/* Posts that a loop keeps for reuse; more are freed. 2 MiB: a producer that is ahead by more than
 * that has to wait for memory, as it were: allocating on one core what is freed on another costs
 * more than all the rest of a post. */
#define SPARE_MAX 32768

struct callback_post {
	struct kn_post post;
	knit_callback *callback;
	void *arg;
	struct kn_vars *vars; /* owned: what it sees */
};
#if UINTPTR_MAX > UINT32_MAX
_Static_assert(sizeof(struct callback_post) <= 56, "with malloc's own word: one cache line");
#endif

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
	/* The next one's line is where the loop wrote it last, on another core. */
	__builtin_prefetch(kn_self.post_cache, 1);
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

/* Nodes are all the same, so any loop may keep it: the one that runs. None does in a close. */
static void node_free(struct callback_post *node)
{
	struct knit_loop *loop = kn_self.loop;

	if (kn_unlikely(!loop || loop->spare_count >= SPARE_MAX)) {
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
	node_free(node);
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

/* Puts what @newest and those below it are about in line, in the order of the posts. One walk, and
 * the last: each node is a cache line that another core wrote. Returns how many they are. */
static unsigned put_in_line(struct knit_loop *loop, struct kn_inbox_node *newest)
{
	struct kn_list *before = loop->posts.prev;
	unsigned count = 0;

	for (; newest; count++) {
		struct kn_post *post = kn_container_of(newest, struct kn_post, node);

		newest = newest->next;
		kn_list_add_head(before, &post->ready.link);
	}
	return count;
}

void kn_posts_collect(struct knit_loop *loop, unsigned max)
{
	unsigned count = max + 1;

	loop->behind = false;
	/* What was taken before was posted before. */
	if (kn_list_empty(&loop->posts))
		count = put_in_line(loop, kn_inbox_take_newest(&loop->inbox));
	publish_spare(loop);
	if (kn_likely(count <= max)) {
		kn_list_splice_tail(&loop->ready, &loop->posts);
		loop->counters.posts += count;
		return;
	}
	while (!kn_list_empty(&loop->posts) && max--) {
		struct kn_list *first = loop->posts.next;

		kn_list_del(first);
		kn_list_add_tail(&loop->ready, first);
		loop->counters.posts++;
	}
	loop->behind = !kn_list_empty(&loop->posts);
}

static void run_posts(struct knit_loop *loop)
{
	struct kn_ready *ready;

	while ((ready = kn_list_first(&loop->posts, struct kn_ready, link))) {
		kn_list_del(&ready->link);
		loop->counters.posts++;
		ready->run(ready);
	}
}

void kn_posts_close(struct knit_loop *loop)
{
	run_posts(loop);
	(void)put_in_line(loop, kn_inbox_close_newest(&loop->inbox));
	run_posts(loop);
}
