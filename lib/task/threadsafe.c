/* SPDX-License-Identifier: MIT */
/* threadsafe.c - a coroutine for another thread's loop, with a concurrent future for its
 * outcome; and a future of this loop that follows a concurrent one.
 *
 * struct remote_task is the concurrent future's source. It makes two posts to the loop at most,
 * both embedded: one to create the task, one to cancel it. A post holds a reference to the
 * concurrent future, hence to the source. */
#include "task/concurrent.h"
#include "base/alloc.h"
#include "base/options.h"

struct remote_task {
	struct kn_source source;
	struct kn_post create, cancel;
	struct kn_waiter waiter;        /* while the task is not done */
	knit_concurrent_future *future; /* borrowed: it owns us */
	knit_coro *coro;
	knit_task_options options; /* name is our own copy */
	char *name;                /* owned */
	struct kn_vars *vars;      /* owned: the context variables of the caller, until the post */
	knit_future *task;         /* on the loop's thread; counted; NULL before and after */
};

/* ---- on the loop's thread ------------------------------------------------------------ */

static void task_is_done(struct kn_waiter *waiter, knit_future *task)
{
	struct remote_task *remote = kn_container_of(waiter, struct remote_task, waiter);
	intptr_t outcome = task->outcome;

	remote->task = NULL;
	if (outcome == -KNIT_ECANCELLED && task->loop->phase != KN_OPEN)
		outcome = -KNIT_ECLOSED;
	/* A value that came after a cancellation stays with the task, for its result_free. */
	if (kn_concurrent_complete(remote->future, outcome, task->message))
		task->retrieved = true;
	knit_concurrent_future_unref(remote->future);
}

static void create_task(struct kn_ready *ready)
{
	struct remote_task *remote = kn_container_of(ready, struct remote_task, create.ready);
	knit_concurrent_future *future = remote->future;
	struct kn_task *task = NULL;
	struct kn_vars_frame frame;
	int error = -KNIT_ECANCELLED;

	kn_vars_enter(&frame, remote->vars);
	remote->vars = NULL;
	if (!knit_concurrent_future_done(future))
		task = kn_task_create(remote->source.loop, remote->coro, &remote->options, 0,
		                      &error);
	kn_vars_leave(&frame);
	if (!task) {
		if (remote->options.arg_free)
			remote->options.arg_free(remote->options.arg);
		(void)kn_concurrent_complete(future, error, NULL);
		knit_concurrent_future_unref(future);
		return;
	}
	remote->task = &task->future;
	remote->waiter.notify = task_is_done;
	kn_list_add_tail(&task->future.waiters, &remote->waiter.link);
	kn_task_hurry(task);
}

static void cancel_task(struct kn_ready *ready)
{
	struct remote_task *remote = kn_container_of(ready, struct remote_task, cancel.ready);

	if (remote->task)
		(void)kn_future_request_cancel(remote->task, NULL);
	knit_concurrent_future_unref(remote->future);
}

/* ---- on any thread ------------------------------------------------------------------- */

/* The future was completed by the cancellation, so this happens once. */
static void remote_cancelled(struct kn_source *source)
{
	struct remote_task *remote = kn_container_of(source, struct remote_task, source);

	knit_concurrent_future_ref(remote->future);
	remote->cancel.ready.run = cancel_task;
	kn_list_init(&remote->cancel.ready.link);
	if (kn_loop_post(source->loop, &remote->cancel) < 0)
		knit_concurrent_future_unref(remote->future);
}

static void remote_release(struct kn_source *source)
{
	struct remote_task *remote = kn_container_of(source, struct remote_task, source);

	kn_vars_release(remote->vars);
	knit_context_unref(remote->options.context);
	kn_free(remote->name);
	kn_free(remote);
}

static struct remote_task *remote_new(knit_loop *loop, knit_coro *coro,
                                      const knit_task_options *options)
{
	struct remote_task *remote = kn_calloc(1, sizeof(*remote));

	if (!remote)
		return NULL;
	remote->source.cancelled = remote_cancelled;
	remote->source.release = remote_release;
	remote->source.loop = loop;
	remote->coro = coro;
	remote->options = *options;
	knit_context_ref(options->context);
	remote->vars = kn_vars_capture();
	if (options->name) {
		remote->name = kn_strdup(options->name);
		remote->options.name = remote->name;
	}
	if (!options->name || remote->name)
		remote->future = kn_concurrent_new(&remote->source);
	if (!remote->future) {
		remote_release(&remote->source);
		return NULL;
	}
	remote->future->result_free = options->result_free;
	kn_loop_hold(loop);
	return remote;
}

knit_concurrent_future *knit_run_coroutine_threadsafe_with(knit_loop *loop, knit_coro *coro,
                                                           const knit_task_options *given)
{
	knit_task_options options;
	struct remote_task *remote = NULL;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r == 0 && (!loop || !coro))
		r = -EINVAL;
	if (r == 0 && knit_loop_is_closed(loop))
		r = -KNIT_ECLOSED;
	if (r == 0) {
		remote = remote_new(loop, coro, &options);
		r = remote ? 0 : -ENOMEM;
	}
	if (r == 0) {
		remote->create.ready.run = create_task;
		kn_list_init(&remote->create.ready.link);
		knit_concurrent_future_ref(remote->future);
		r = kn_loop_post(loop, &remote->create);
		if (r < 0) {
			knit_concurrent_future_unref(remote->future);
			knit_concurrent_future_unref(remote->future);
		}
	}
	if (r < 0) {
		errno = -r;
		return NULL;
	}
	return remote->future;
}

knit_concurrent_future *(knit_run_coroutine_threadsafe)(knit_loop *loop, knit_coro *coro, void *arg)
{
	return knit_run_coroutine_threadsafe(loop, coro, arg);
}

/* ---- knit_wrap_future ---------------------------------------------------------------- */

struct wrap {
	struct kn_watcher watcher;
	struct kn_waiter waiter;        /* while the loop's future is pending */
	struct kn_list link;            /* loop->wraps */
	knit_concurrent_future *source; /* counted */
	knit_future *future;            /* counted */
};

static void wrap_free(struct wrap *wrap)
{
	kn_list_del(&wrap->link);
	kn_list_del(&wrap->waiter.link);
	kn_future_release(wrap->future);
	knit_concurrent_future_unref(wrap->source);
	kn_free(wrap);
}

/* The concurrent future is done, and this is its post. */
static void wrap_follow(struct kn_ready *ready)
{
	struct wrap *wrap = kn_container_of(ready, struct wrap, watcher.post.ready);

	if (!kn_future_is_done(wrap->future)) {
		kn_list_del(&wrap->waiter.link);
		/* The first that retrieves a value owns it: from here on that is our future. */
		if (kn_concurrent_take(wrap->source))
			wrap->future->result_free = wrap->source->result_free;
		kn_future_complete(wrap->future, wrap->source->outcome,
		                   kn_message_copy(wrap->source->message));
	}
	wrap_free(wrap);
}

/* The loop's future is done first: it was cancelled, or completed by hand. */
static void wrap_lead(struct kn_waiter *waiter, knit_future *future)
{
	struct wrap *wrap = kn_container_of(waiter, struct wrap, waiter);

	if (future->state == KN_CANCELLED)
		(void)knit_concurrent_future_cancel(wrap->source);
}

void kn_wraps_close(struct knit_loop *loop)
{
	kn_list_for_each_safe (node, &loop->wraps) {
		struct wrap *wrap = kn_list_entry(node, struct wrap, link);
		bool posted;

		pthread_mutex_lock(&wrap->source->lock);
		posted = wrap->source->done;
		kn_list_del(&wrap->watcher.link);
		pthread_mutex_unlock(&wrap->source->lock);
		if (posted)
			continue; /* the post is in the inbox, which is still open */
		if (!kn_future_is_done(wrap->future)) {
			kn_list_del(&wrap->waiter.link);
			kn_future_complete(wrap->future, -KNIT_ECANCELLED, NULL);
		}
		wrap_free(wrap);
	}
}

static int wrap_new(knit_loop *loop, knit_concurrent_future *source, knit_future **ret)
{
	struct wrap *wrap = kn_calloc(1, sizeof(*wrap));
	knit_future *future = wrap ? kn_future_new(loop) : NULL;

	if (!future) {
		kn_free(wrap);
		return -ENOMEM;
	}
	future->refs++;
	wrap->future = future;
	wrap->source = knit_concurrent_future_ref(source);
	wrap->watcher.loop = loop;
	wrap->watcher.post.ready.run = wrap_follow;
	kn_list_init(&wrap->watcher.link);
	kn_list_init(&wrap->watcher.post.ready.link);
	wrap->waiter.notify = wrap_lead;
	kn_list_add_tail(&future->waiters, &wrap->waiter.link);
	kn_list_add_tail(&loop->wraps, &wrap->link);
	pthread_mutex_lock(&source->lock);
	if (source->done)
		(void)!kn_loop_post(loop, &wrap->watcher.post);
	else
		kn_list_add_tail(&source->watchers, &wrap->watcher.link);
	pthread_mutex_unlock(&source->lock);
	*ret = future;
	return 0;
}

knit_future *knit_wrap_future(knit_concurrent_future *source)
{
	knit_future *future = NULL;
	int r = source ? 0 : -EINVAL;

	if (r == 0)
		r = kn_self.loop ? kn_loop_usable(kn_self.loop) : -KNIT_ENOLOOP;
	if (r == 0)
		r = wrap_new(kn_self.loop, source, &future);
	if (r < 0)
		kn_self.create_error = -r;
	return future;
}
