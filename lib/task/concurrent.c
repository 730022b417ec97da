/* SPDX-License-Identifier: MIT */
/* concurrent.c - concurrent futures: a lock, a condition variable, an outcome.
 *
 * Watchers are told under the lock. So whoever removes a watcher under the lock, as a closing
 * loop does, knows that its post was either made before, or will never be made. */
#include "task/concurrent.h"
#include <stdlib.h>
#include <time.h>
#include "base/alloc.h"

struct kn_message *kn_message_copy(const struct kn_message *message)
{
	if (!message)
		return NULL;
	return kn_message_new(message->file, message->line, message->code, "%s", message->text);
}

static int init_lock(knit_concurrent_future *future)
{
	pthread_condattr_t attributes;
	int r = pthread_mutex_init(&future->lock, NULL);

	if (r)
		return r;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	r = pthread_cond_init(&future->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (r)
		pthread_mutex_destroy(&future->lock);
	return r;
}

knit_concurrent_future *kn_concurrent_new(struct kn_source *source)
{
	knit_concurrent_future *future = kn_calloc(1, sizeof(*future));

	if (!future)
		return NULL;
	if (init_lock(future)) {
		kn_free(future);
		return NULL;
	}
	atomic_init(&future->refs, 1);
	kn_list_init(&future->watchers);
	future->source = source;
	return future;
}

knit_concurrent_future *knit_concurrent_future_new(void)
{
	knit_concurrent_future *future = kn_concurrent_new(NULL);

	if (!future)
		errno = ENOMEM;
	return future;
}

knit_concurrent_future *knit_concurrent_future_ref(knit_concurrent_future *future)
{
	if (future)
		atomic_fetch_add_explicit(&future->refs, 1, memory_order_relaxed);
	return future;
}

knit_concurrent_future *knit_concurrent_future_unref(knit_concurrent_future *future)
{
	if (!future)
		return NULL;
	if (atomic_fetch_sub_explicit(&future->refs, 1, memory_order_acq_rel) > 1)
		return NULL;
	if (future->result_free && future->done && !future->retrieved &&
	    !knit_is_error(future->outcome))
		future->result_free(future->outcome);
	if (future->source) {
		kn_loop_let_go(future->source->loop);
		future->source->release(future->source);
	}
	kn_message_unref(future->message);
	pthread_cond_destroy(&future->changed);
	pthread_mutex_destroy(&future->lock);
	kn_free(future);
	return NULL;
}

bool kn_concurrent_complete(knit_concurrent_future *future, intptr_t outcome,
                            const struct kn_message *message)
{
	struct kn_message *copy = knit_is_error(outcome) ? kn_message_copy(message) : NULL;

	/* Whoever waits may drop the last reference before this call has come to its end. */
	knit_concurrent_future_ref(future);
	pthread_mutex_lock(&future->lock);
	if (future->done) {
		pthread_mutex_unlock(&future->lock);
		kn_message_unref(copy);
		knit_concurrent_future_unref(future);
		return false;
	}
	future->done = true;
	future->outcome = outcome;
	future->message = copy;
	while (!kn_list_empty(&future->watchers)) {
		struct kn_watcher *watcher = kn_list_entry(future->watchers.next, struct kn_watcher,
		                                           link);

		kn_list_del(&watcher->link);
		/* Never refused: a loop takes its watchers away before it closes its inbox. */
		(void)!kn_loop_post(watcher->loop, &watcher->post);
	}
	pthread_cond_broadcast(&future->changed);
	pthread_mutex_unlock(&future->lock);
	knit_concurrent_future_unref(future);
	return true;
}

bool kn_concurrent_take(knit_concurrent_future *future)
{
	bool first;

	pthread_mutex_lock(&future->lock);
	first = !future->retrieved;
	future->retrieved = true;
	pthread_mutex_unlock(&future->lock);
	return first;
}

int knit_concurrent_future_set_result(knit_concurrent_future *future, intptr_t outcome)
{
	if (!future || future->source)
		return -EINVAL;
	return kn_concurrent_complete(future, outcome, NULL) ? 0 : -KNIT_EINVALIDSTATE;
}

int knit_concurrent_future_set_exception(knit_concurrent_future *future, int code, const char *text)
{
	struct kn_message *message = NULL;
	bool completed;

	if (!future || future->source)
		return -EINVAL;
	if (code == 0 || code < -KNIT_ERRNO_MAX || code > KNIT_ERRNO_MAX)
		return -EINVAL;
	code = abs(code);
	if (text)
		message = kn_message_new(NULL, 0, code, "%s", text);
	completed = kn_concurrent_complete(future, -code, message);
	kn_message_unref(message);
	return completed ? 0 : -KNIT_EINVALIDSTATE;
}

bool knit_concurrent_future_done(const knit_concurrent_future *constant)
{
	knit_concurrent_future *future = (knit_concurrent_future *)constant;
	bool done;

	if (!future)
		return false;
	pthread_mutex_lock(&future->lock);
	done = future->done;
	pthread_mutex_unlock(&future->lock);
	return done;
}

bool knit_concurrent_future_cancel(knit_concurrent_future *future)
{
	if (!future || !kn_concurrent_complete(future, -KNIT_ECANCELLED, NULL))
		return false;
	if (future->source)
		future->source->cancelled(future->source);
	return true;
}

static struct timespec after(int64_t delay)
{
	struct timespec t;
	int64_t ns, s;

	clock_gettime(CLOCK_MONOTONIC, &t);
	s = delay / KNIT_S;
	ns = t.tv_nsec + delay % KNIT_S;
	t.tv_sec += s + ns / KNIT_S;
	t.tv_nsec = ns % KNIT_S;
	return t;
}

/* 0, -ETIMEDOUT, -EDEADLK, or -KNIT_ECLOSED. Locked. */
static int wait_until_done(knit_concurrent_future *future, int64_t timeout)
{
	struct timespec deadline;
	int r = 0;

	if (future->done)
		return 0;
	/* A loop completes all of them before it is closed; but in the child of a fork() it is
	 * closed with nobody left to do so. */
	if (future->source && knit_loop_is_closed(future->source->loop))
		return -KNIT_ECLOSED;
	if (timeout <= 0)
		return -ETIMEDOUT;
	if (future->source && kn_loop_is_mine(future->source->loop))
		return -EDEADLK;
	if (timeout != KNIT_FOREVER)
		deadline = after(timeout);
	while (!future->done && r == 0)
		r = timeout == KNIT_FOREVER
		            ? pthread_cond_wait(&future->changed, &future->lock)
		            : pthread_cond_timedwait(&future->changed, &future->lock, &deadline);
	return future->done ? 0 : -ETIMEDOUT;
}

static void unlock(void *lock)
{
	pthread_mutex_unlock(lock);
}

/* A thread that waits may be cancelled, and has the lock then. */
static int wait_cancellably(knit_concurrent_future *future, int64_t timeout)
{
	int r;

	pthread_cleanup_push(unlock, &future->lock);
	r = wait_until_done(future, timeout);
	pthread_cleanup_pop(false);
	return r;
}

intptr_t knit_concurrent_future_result(knit_concurrent_future *future, int64_t timeout)
{
	struct kn_message *message = NULL;
	intptr_t outcome;

	if (!future)
		return -EINVAL;
	pthread_mutex_lock(&future->lock);
	outcome = wait_cancellably(future, timeout);
	if (outcome == 0) {
		outcome = future->outcome;
		future->retrieved = true;
		message = kn_message_copy(future->message);
	}
	pthread_mutex_unlock(&future->lock);
	if (knit_is_error(outcome))
		kn_message_record(message);
	return outcome;
}
