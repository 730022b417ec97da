/* SPDX-License-Identifier: MIT */
/* loop.c - making a loop, its references, and the small questions one may ask it.
 *
 * Two counts. @refs are the users': the last one closes the loop. @holds keep the memory, and
 * are the library's: one for all references together, one for all live futures, one for each
 * call that another loop has to answer. They differ because the library may let go later than
 * its users, and on any thread, where a last reference to an open loop must not be dropped.
 * Whoever runs a loop borrows a reference. */
#include "loop/loop.h"
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/alloc.h"
#include "base/error.h"
#include "base/options.h"
#include "loop/callback.h"
#include "loop/debug.h"
#include "loop/executor.h"
#include "loop/post.h"

#define DEFAULT_STACK_SIZE (64 * 1024)
#define GRACE              (5 * KNIT_S)
#define MIN_COMPLETE       8

static void init_fields(struct knit_loop *loop, const knit_loop_options *options)
{
	kn_list_init(&loop->ready);
	kn_list_init(&loop->batch);
	kn_list_init(&loop->posts);
	kn_list_init(&loop->all_tasks);
	kn_list_init(&loop->failed_tasks);
	kn_list_init(&loop->signals);
	kn_list_init(&loop->wraps);
	kn_list_init(&loop->calls);
	kn_list_init(&loop->shutdowns);
	kn_list_init(&loop->until.link);
	kn_list_init(&loop->until_ready.link);
	kn_list_init(&loop->registry);
	for (int i = 0; i < KN_OWNED_LISTS; i++)
		kn_list_init(&loop->owned_fds[i]);
	kn_list_init(&loop->closing_fds);
	kn_list_init(&loop->half_done);
	kn_wheel_init(&loop->timers);
	kn_inbox_init(&loop->inbox);
	kn_slab_init(&loop->callbacks, sizeof(struct kn_callback), NULL, 0);
	kn_slab_init(&loop->trains, sizeof(struct kn_callback_train), NULL, 0);
	loop->clock = (uint8_t)options->clock;
	loop->reading.counts = options->clock == KNIT_CLOCK_MONOTONIC && kn_ticks_trusted();
	loop->outside = true;
	loop->watched = loop->callbacks.watched;
	loop->grace = GRACE;
	loop->stack_size = options->stack_size ? options->stack_size : DEFAULT_STACK_SIZE;
	loop->paint = options->paint != 0;
	loop->spin = options->spin;
	loop->min_complete = options->min_wait == 0  ? 1
	                     : options->min_complete ? options->min_complete
	                                             : MIN_COMPLETE;
	loop->aside_after = options->stack_aside_after;
	kn_debug_init(loop, options->debug);
	atomic_init(&loop->owner, &kn_self);
	atomic_init(&loop->magic, KN_LOOP_MAGIC);
	atomic_init(&loop->refs, 1);
	atomic_init(&loop->holds, 1);
	loop->wake_fd = -1;
	loop->host_fd = -1;
}

/* Everything a loop is made of, or a negative errno with what there is left to clean up. */
static int acquire(struct knit_loop *loop, const knit_loop_options *options)
{
	struct kn_engine_options engine_options = {
	        .sq_entries = options->sq_entries,
	        .cq_entries = options->cq_entries,
	        .min_wait = options->min_wait,
	};
	char why[256] = "";
	int r = kn_thread_arm_exit();

	if (r < 0)
		return r;
	r = kn_engine_new(&loop->engine, &engine_options, why, sizeof(why));
	if (r < 0) {
		kn_message_record(kn_message_new(NULL, 0, -r, "%s", why));
		return r;
	}
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0)
		return -errno;
	return kn_registry_add(loop);
}

static void release(struct knit_loop *loop)
{
	kn_registry_remove(loop);
	kn_executor_drop_default(loop);
	if (loop->engine)
		kn_engine_free(loop->engine);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	if (loop->host_fd >= 0)
		close(loop->host_fd);
	if (loop->stacks)
		kn_stack_pool_free(loop->stacks);
	kn_wheel_done(&loop->timers);
	kn_slab_done(&loop->callbacks);
	kn_slab_done(&loop->trains);
	kn_slab_done(&loop->tasks);
	kn_slab_done(&loop->futures);
	kn_slab_done(&loop->done_callbacks);
	kn_batches_free(loop);
	atomic_store_explicit(&loop->magic, 0, memory_order_relaxed);
	kn_free(loop);
}

static bool acceptable(const knit_loop_options *options)
{
	return options->clock <= KNIT_CLOCK_VIRTUAL_JUMP && options->debug >= -1 &&
	       options->debug <= 1 && options->spin >= 0 && options->min_wait >= 0 &&
	       options->stack_aside_after >= 0;
}

knit_loop *knit_loop_new_with(const knit_loop_options *given)
{
	knit_loop_options options;
	struct knit_loop *loop = NULL;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r == 0 && !acceptable(&options))
		r = -EINVAL;
	if (r == 0) {
		loop = kn_memalign(_Alignof(struct knit_loop), sizeof(*loop));
		r = loop ? 0 : -ENOMEM;
	}
	if (r == 0) {
		memset(loop, 0, sizeof(*loop));
		init_fields(loop, &options);
		r = acquire(loop, &options);
	}
	if (r < 0) {
		if (loop)
			release(loop);
		errno = -r;
		return NULL;
	}
	return loop;
}

knit_loop *(knit_loop_new)(void)
{
	knit_loop_options options = {.size = sizeof(options)};

	return knit_loop_new_with(&options);
}

/* Best effort: freed memory keeps the mark unless somebody else has got it. */
static void demand_live(const struct knit_loop *loop, const char *function)
{
	if (kn_unlikely(atomic_load_explicit(&loop->magic, memory_order_relaxed) != KN_LOOP_MAGIC ||
	                atomic_load_explicit(&loop->refs, memory_order_relaxed) == 0))
		kn_panic("%s(): the loop has been freed: a reference was dropped once too often",
		         function);
}

knit_loop *knit_loop_ref(knit_loop *loop)
{
	if (!loop)
		return NULL;
	demand_live(loop, __func__);
	atomic_fetch_add_explicit(&loop->refs, 1, memory_order_relaxed);
	return loop;
}

void kn_loop_hold(struct knit_loop *loop)
{
	atomic_fetch_add_explicit(&loop->holds, 1, memory_order_relaxed);
}

void kn_loop_let_go(struct knit_loop *loop)
{
	if (atomic_fetch_sub_explicit(&loop->holds, 1, memory_order_acq_rel) == 1)
		release(loop);
}

/* The last reference to an open loop. */
static void close_unreferenced(struct knit_loop *loop)
{
	if (kn_loop_check(loop) < 0)
		kn_panic("the last reference to an open loop was dropped on a thread that "
		         "does not own it: close the loop on its own thread first");
	if (loop->running)
		kn_panic("the last reference to a running loop was dropped");
	if (knit_loop_close(loop) == -KNIT_ERUNNING)
		kn_panic("the last reference to a loop with tasks was dropped while another "
		         "loop ran in the thread: close it first, outside of that");
}

knit_loop *knit_loop_unref(knit_loop *loop)
{
	if (!loop)
		return NULL;
	demand_live(loop, __func__);
	/* Closing needs a live loop, so it comes before the count reaches 0. Only the holder of
	 * the last reference can see a count of 1. */
	if (atomic_load_explicit(&loop->refs, memory_order_acquire) == 1 &&
	    !knit_loop_is_closed(loop))
		close_unreferenced(loop);
	if (atomic_fetch_sub_explicit(&loop->refs, 1, memory_order_acq_rel) == 1)
		kn_loop_let_go(loop);
	return NULL;
}

knit_loop *knit_get_running_loop(void)
{
	if (!kn_self.loop)
		errno = KNIT_ENOLOOP;
	return kn_self.loop;
}

bool knit_loop_is_running(const knit_loop *loop)
{
	return loop && atomic_load_explicit(&loop->is_running, memory_order_relaxed);
}

bool knit_loop_is_closed(const knit_loop *loop)
{
	return !loop || atomic_load_explicit(&loop->is_closed, memory_order_acquire);
}

void kn_loop_foreign(const struct knit_loop *loop, const char *function)
{
	if (!atomic_load_explicit(&loop->owner, memory_order_relaxed))
		kn_panic("%s(): its loop is closed, or was made before a fork()", function);
	kn_panic("%s(): called on a thread that does not own the loop; post it there with "
	         "knit_loop_call_soon_threadsafe()",
	         function);
}
