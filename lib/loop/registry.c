/* SPDX-License-Identifier: MIT */
/* registry.c - the list of all loops of the process.
 *
 * It serves what happens seldom: a thread that ends with an open loop, a fork, and a handle
 * whose loop does not run. The hot paths never come here. */
#include "loop/loop.h"
#include <errno.h>
#include <pthread.h>
#include "base/error.h"
#include "loop/signal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kn_list loops = KN_LIST_INIT(loops);
static uint32_t next_id;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_error;

/* An open loop that @thread owns, if there is one. Closed ones lose their owner. They are
 * looked at only here, under the lock, for their last reference may be dropped at any time. */
static struct knit_loop *first_of(struct kn_thread *thread)
{
	struct knit_loop *found = NULL;

	pthread_mutex_lock(&lock);
	kn_list_for_each (node, &loops) {
		struct knit_loop *loop = kn_list_entry(node, struct knit_loop, registry);

		if (atomic_load_explicit(&loop->owner, memory_order_relaxed) != thread)
			continue;
		if (!knit_loop_is_closed(loop)) {
			/* It is not another thread's any more to run it first. */
			atomic_store_explicit(&loop->bound, true, memory_order_relaxed);
			found = knit_loop_ref(loop);
			break;
		}
		atomic_store_explicit(&loop->owner, NULL, memory_order_relaxed);
	}
	pthread_mutex_unlock(&lock);
	return found;
}

/* pthread_exit() was called in a callback, a task, or a post that close ran. What was left of the
 * pass may hold posts. */
static void leave(struct knit_loop *loop)
{
	kn_list_splice_tail(&loop->batch, &loop->ready);
	kn_list_splice_tail(&loop->ready, &loop->batch);
	kn_vars_release(loop->outer_vars);
	loop->outer_vars = NULL;
	kn_list_del(&loop->until.link);
	kn_list_del(&loop->until_ready.link);
	if (loop->running)
		kn_loop_end_run(loop);
	loop->phase = KN_OPEN;
}

/* A thread that ends while it owns open loops closes them. Afterwards they have no owner, for
 * the next thread may get the same thread-local addresses. */
static void close_loops_of(struct kn_thread *thread)
{
	struct knit_loop *loop;

	thread->loop = NULL;
	thread->task = NULL;
	thread->message = NULL;
	thread->vars = NULL;
	while ((loop = first_of(thread))) {
		if (loop->running || loop->phase != KN_OPEN)
			leave(loop);
		(void)knit_loop_close(loop);
		knit_loop_unref(loop);
	}
}

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
	kn_signals_before_fork();
}

static void after_fork_in_parent(void)
{
	kn_signals_after_fork_in_parent();
	pthread_mutex_unlock(&lock);
}

/* The child has the parent's loops in its memory, and their rings and eventfds as shared
 * descriptors: it must never touch them. Without an owner every call fails, with a closed
 * inbox every post does. */
static void after_fork_in_child(void)
{
	struct knit_loop *left = kn_self.loop;

	kn_list_for_each (node, &loops) {
		struct knit_loop *loop = kn_list_entry(node, struct knit_loop, registry);

		atomic_store_explicit(&loop->owner, NULL, memory_order_relaxed);
		(void)kn_inbox_close_newest(&loop->inbox);
		atomic_store_explicit(&loop->is_closed, true, memory_order_release);
		atomic_store_explicit(&loop->is_running, false, memory_order_relaxed);
		/* If the child's coroutine returns into the loop, it finds nothing to do. */
		loop->outside = true;
		kn_list_init(&loop->ready);
		kn_list_init(&loop->batch);
		kn_list_init(&loop->posts);
	}
	kn_self.loop = NULL;
	kn_self.task = NULL;
	kn_self.message = NULL;
	kn_self.vars = NULL;
	kn_signals_after_fork_in_child();
	if (left && left->running)
		kn_loop_unblock_sigpipe(left);
	pthread_mutex_unlock(&lock);
}

static void prepare_once(void)
{
	kn_thread_at_exit(close_loops_of);
	once_error = -pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

int kn_registry_add(struct knit_loop *loop)
{
	pthread_once(&once, prepare_once);
	if (once_error < 0)
		return once_error;
	pthread_mutex_lock(&lock);
	loop->id = ++next_id;
	loop->open_slot = (uint8_t)(loop->id % KN_OPEN_BATCHES);
	kn_list_add_tail(&loops, &loop->registry);
	pthread_mutex_unlock(&lock);
	return 0;
}

void kn_registry_remove(struct knit_loop *loop)
{
	pthread_mutex_lock(&lock);
	kn_list_del(&loop->registry);
	pthread_mutex_unlock(&lock);
}

/* ---- the first run --------------------------------------------------------------------
 * A loop's maker may post to it while another thread begins to run it. Until it is bound its
 * ready list is safe under the lock only. */

int kn_registry_claim(struct knit_loop *loop, struct kn_thread **ret_owner)
{
	int r = -KNIT_EWRONGTHREAD;

	pthread_mutex_lock(&lock);
	*ret_owner = atomic_load_explicit(&loop->owner, memory_order_relaxed);
	if (*ret_owner && !atomic_load_explicit(&loop->bound, memory_order_relaxed)) {
		atomic_store_explicit(&loop->owner, &kn_self, memory_order_relaxed);
		atomic_store_explicit(&loop->bound, true, memory_order_release);
		r = 0;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

void kn_registry_unclaim(struct knit_loop *loop, struct kn_thread *owner)
{
	pthread_mutex_lock(&lock);
	atomic_store_explicit(&loop->bound, false, memory_order_relaxed);
	atomic_store_explicit(&loop->owner, owner, memory_order_relaxed);
	pthread_mutex_unlock(&lock);
}

bool kn_registry_ready_unbound(struct knit_loop *loop, struct kn_ready *ready)
{
	bool done = false;

	pthread_mutex_lock(&lock);
	if (!atomic_load_explicit(&loop->bound, memory_order_relaxed) && kn_loop_check(loop) == 0 &&
	    loop->phase != KN_CLOSED) {
		kn_loop_ready(loop, ready);
		done = true;
	}
	pthread_mutex_unlock(&lock);
	return done;
}

int kn_registry_ask(int (*ask)(struct knit_loop *loop, void *arg), void *arg)
{
	int answer = 0;

	pthread_mutex_lock(&lock);
	kn_list_for_each (node, &loops) {
		struct knit_loop *loop = kn_list_entry(node, struct knit_loop, registry);

		if (atomic_load_explicit(&loop->owner, memory_order_relaxed) == &kn_self &&
		    !knit_loop_is_closed(loop))
			answer = ask(loop, arg);
		if (answer)
			break;
	}
	pthread_mutex_unlock(&lock);
	return answer;
}

struct knit_loop *kn_registry_find(uint32_t id, const char *function)
{
	struct knit_loop *found = NULL;
	bool foreign = false;

	pthread_mutex_lock(&lock);
	kn_list_for_each (node, &loops) {
		struct knit_loop *loop = kn_list_entry(node, struct knit_loop, registry);

		if (loop->id != id)
			continue;
		/* A closed one has no handles any more, and may go at any time. */
		if (knit_loop_is_closed(loop))
			break;
		if (atomic_load_explicit(&loop->owner, memory_order_relaxed) == &kn_self)
			found = loop;
		else
			foreign = true;
		break;
	}
	pthread_mutex_unlock(&lock);
	if (foreign)
		kn_panic("%s(): the handle's loop belongs to another thread", function);
	return found;
}

int kn_registry_whose(uint32_t id)
{
	int r = -KNIT_ECLOSED;

	pthread_mutex_lock(&lock);
	kn_list_for_each (node, &loops) {
		struct knit_loop *loop = kn_list_entry(node, struct knit_loop, registry);

		if (loop->id != id)
			continue;
		if (!knit_loop_is_closed(loop))
			r = kn_loop_check(loop);
		break;
	}
	pthread_mutex_unlock(&lock);
	return r;
}
