/* SPDX-License-Identifier: MIT */
/* callback.c - call_soon, call_later, call_at, and their handles.
 *
 * A handle is three numbers: the loop's id, the index of a slot and the generation that the
 * slot had. A generation is used once in the life of a loop, so a stale handle finds another
 * one in its slot, or none. A slot is free again before its callback runs, so a callback may
 * schedule itself for ever in the same slot.
 *
 * Making a callback and running it is quick where nothing is unusual: the loop is open and runs
 * in this thread, no context variables are set, a slot is free. Everything else goes another way,
 * from the beginning; so the quick way is a straight one, in few registers. What a slot had when it
 * was freed it has still when it is taken again: the index, no timer's id, and slot_run(). */
#include "loop/callback.h"
#include <errno.h>
#include "base/error.h"
#include "base/options.h"
#include "loop/debug.h"

static knit_handle no_handle(int error)
{
	return (knit_handle){.opaque = {0, (uint64_t)(int64_t)error}};
}

static void slot_run_train(struct kn_ready *ready);

static inline struct kn_callback *slot_of_ready(struct kn_ready *ready)
{
	return kn_container_of(ready, struct kn_callback, timer.ready);
}

static inline struct kn_callback_train *train_of(const struct kn_callback *slot)
{
	return kn_unlikely(slot->timer.ready.run == slot_run_train) ? slot->arg : NULL;
}

static void slot_run(struct kn_ready *ready);
static void slot_run_watched(struct kn_ready *ready);

static inline void slot_free(struct knit_loop *loop, struct kn_callback *slot)
{
	slot->generation = 0;
	if (kn_unlikely(loop->watched))
		kn_slab_free(&loop->callbacks, slot, slot->timer.index);
	else
		kn_slab_put(&loop->callbacks, slot);
}

/* What it saw is the caller's. */
static void train_free(struct knit_loop *loop, struct kn_callback_train *train)
{
	kn_origin_unref(train->origin);
	kn_slab_free(&loop->trains, train, train->index);
}

static void slot_drop(struct knit_loop *loop, struct kn_callback *slot)
{
	struct kn_callback_train *train = train_of(slot);
	struct kn_vars *vars = NULL;

	if (train) {
		vars = train->vars;
		train_free(loop, train);
		slot->timer.ready.run = slot_run;
	}
	slot_free(loop, slot);
	kn_vars_release(vars);
}

/* Both also stand for there being no train. The loop that runs callbacks is the thread's running
 * one, also while it is being closed. */
static void slot_run(struct kn_ready *ready)
{
	struct kn_callback *slot = slot_of_ready(ready);
	knit_callback *callback = slot->callback;
	void *arg = slot->arg;

	slot->generation = 0;
	kn_slab_put(&kn_self.loop->callbacks, slot);
	callback(arg);
}

static void slot_run_watched(struct kn_ready *ready)
{
	struct kn_callback *slot = slot_of_ready(ready);
	knit_callback *callback = slot->callback;
	void *arg = slot->arg;

	slot_free(kn_self.loop, slot);
	callback(arg);
}

static void slot_run_train(struct kn_ready *ready)
{
	struct kn_callback *slot = slot_of_ready(ready);
	struct kn_callback_train *train = slot->arg;
	knit_callback *callback = slot->callback;
	void *arg = train->arg;
	struct kn_vars_frame frame;

	kn_vars_enter(&frame, train->vars);
	train_free(kn_self.loop, train);
	ready->run = slot_run;
	slot_free(kn_self.loop, slot);
	callback(arg);
	kn_vars_leave(&frame);
}

bool kn_callback_describe(struct kn_ready *ready, struct kn_subject *subject)
{
	struct kn_callback *slot = slot_of_ready(ready);

	if (ready->run != slot_run && ready->run != slot_run_watched &&
	    ready->run != slot_run_train)
		return false;
	kn_subject_callback(subject, (uintptr_t)slot->callback,
	                    train_of(slot) ? train_of(slot)->origin : NULL);
	return true;
}

/* Hangs @vars (consumed, also by a failure) and the origin on. False without memory. */
static KN_NOINLINE bool add_train(struct knit_loop *loop, struct kn_callback *slot,
                                  struct kn_vars *vars)
{
	struct kn_callback_train *train;
	uint32_t index;

	train = kn_slab_alloc(&loop->trains, &index);
	if (!train) {
		kn_vars_release(vars);
		return false;
	}
	*train = (struct kn_callback_train){slot->arg, vars, kn_origin_note(loop), index};
	slot->arg = train;
	slot->timer.ready.run = slot_run_train;
	return true;
}

/* May one be made? 0 or a negative code. */
static inline int check(struct knit_loop **loop, knit_callback *callback)
{
	if (!*loop)
		*loop = kn_self.loop;
	if (kn_unlikely(!callback))
		return -EINVAL;
	return kn_likely(*loop != NULL) ? kn_loop_usable(*loop) : -KNIT_ENOLOOP;
}

/* A slot, if nothing is unusual; else NULL. */
static KN_INLINE struct kn_callback *slot_again(struct knit_loop *loop, knit_callback *callback,
                                                void *arg)
{
	struct kn_callback *slot;

	if (kn_unlikely(!callback || !loop || loop != kn_self.loop || loop->no_plain_callback) ||
	    kn_unlikely(kn_self.vars || *kn_vars_here()))
		return NULL;
	slot = kn_slab_again(&loop->callbacks);
	if (kn_unlikely(!slot))
		return NULL;
	slot->callback = callback;
	slot->arg = arg;
	slot->generation = ++loop->generation;
	return slot;
}

/* One that was never used, or with a tool that watches any. */
static struct kn_callback *slot_alloc(struct knit_loop *loop)
{
	struct kn_callback *slot = loop->watched ? NULL : kn_slab_again(&loop->callbacks);
	uint32_t index;

	if (slot)
		return slot;
	slot = kn_slab_alloc(&loop->callbacks, &index);
	if (slot) {
		slot->timer.index = index;
		slot->timer.id = KN_HEAP_NONE;
		slot->timer.ready.run = loop->watched ? slot_run_watched : slot_run;
	}
	return slot;
}

/* A slot with nothing scheduled, or NULL and a negative code in *@error. */
static struct kn_callback *slot_new(struct knit_loop **loop, knit_callback *callback, void *arg,
                                    knit_context *context, int *error)
{
	struct kn_callback *slot;
	struct kn_vars *vars;

	*error = check(loop, callback);
	if (kn_unlikely(*error < 0))
		return NULL;
	if (kn_likely(!context)) {
		vars = kn_vars_capture();
	} else {
		*error = kn_vars_take(context, &vars);
		if (*error < 0)
			return NULL;
	}
	*error = -ENOMEM;
	slot = slot_alloc(*loop);
	if (kn_unlikely(!slot)) {
		kn_vars_release(vars);
		return NULL;
	}
	slot->callback = callback;
	slot->arg = arg;
	if (kn_unlikely(vars || (*loop)->debug) && !add_train(*loop, slot, vars)) {
		slot_free(*loop, slot);
		return NULL;
	}
	slot->generation = ++(*loop)->generation;
	return slot;
}

static inline knit_handle handle_of(const struct knit_loop *loop, const struct kn_callback *slot)
{
	return (knit_handle){
	        .opaque = {(uint64_t)loop->id << 32 | slot->timer.index, slot->generation}};
}

static KN_NOINLINE knit_handle call_soon(knit_loop *loop, knit_callback *callback, void *arg,
                                         knit_context *context)
{
	int error;
	struct kn_callback *slot = slot_new(&loop, callback, arg, context, &error);

	if (kn_unlikely(!slot))
		return no_handle(error);
	kn_loop_ready(loop, &slot->timer.ready);
	return handle_of(loop, slot);
}

knit_handle knit_loop_call_soon(knit_loop *loop, knit_callback *callback, void *arg)
{
	struct kn_callback *slot;

	if (!loop)
		loop = kn_self.loop;
	slot = slot_again(loop, callback, arg);
	if (kn_unlikely(!slot))
		return call_soon(loop, callback, arg, NULL);
	kn_list_add_tail(&loop->ready, &slot->timer.ready.link);
	return handle_of(loop, slot);
}

knit_handle knit_loop_call_soon_with(knit_loop *loop, knit_callback *callback,
                                     const knit_callback_options *given)
{
	knit_callback_options options;
	int r = kn_options_copy(&options, sizeof(options), given);

	return r < 0 ? no_handle(r) : call_soon(loop, callback, options.arg, options.context);
}

static inline knit_handle start_timer(struct knit_loop *loop, struct kn_callback *slot,
                                      int64_t when)
{
	int r;

	kn_list_init(&slot->timer.ready.link);
	r = kn_timer_start(loop, &slot->timer, when);
	if (kn_unlikely(r < 0)) {
		slot_drop(loop, slot);
		return no_handle(r);
	}
	return handle_of(loop, slot);
}

static KN_NOINLINE knit_handle call_later(knit_loop *loop, int64_t delay, knit_callback *callback,
                                          void *arg, knit_context *context)
{
	int error;
	struct kn_callback *slot = slot_new(&loop, callback, arg, context, &error);

	return slot ? start_timer(loop, slot, kn_loop_deadline(loop, delay)) : no_handle(error);
}

knit_handle knit_loop_call_later(knit_loop *loop, int64_t delay, knit_callback *callback, void *arg)
{
	struct kn_callback *slot;

	if (!loop)
		loop = kn_self.loop;
	slot = slot_again(loop, callback, arg);
	if (kn_unlikely(!slot))
		return call_later(loop, delay, callback, arg, NULL);
	return start_timer(loop, slot, kn_loop_deadline(loop, delay));
}

knit_handle knit_loop_call_later_with(knit_loop *loop, int64_t delay, knit_callback *callback,
                                      const knit_callback_options *given)
{
	knit_callback_options options;
	int r = kn_options_copy(&options, sizeof(options), given);

	return r < 0 ? no_handle(r)
	             : call_later(loop, delay, callback, options.arg, options.context);
}

static knit_handle call_at(knit_loop *loop, int64_t when, knit_callback *callback, void *arg,
                           knit_context *context)
{
	int error;
	struct kn_callback *slot = slot_new(&loop, callback, arg, context, &error);

	return slot ? start_timer(loop, slot, when) : no_handle(error);
}

knit_handle knit_loop_call_at(knit_loop *loop, int64_t when, knit_callback *callback, void *arg)
{
	return call_at(loop, when, callback, arg, NULL);
}

knit_handle knit_loop_call_at_with(knit_loop *loop, int64_t when, knit_callback *callback,
                                   const knit_callback_options *given)
{
	knit_callback_options options;
	int r = kn_options_copy(&options, sizeof(options), given);

	return r < 0 ? no_handle(r) : call_at(loop, when, callback, options.arg, options.context);
}

/* The slot that @handle still stands for, and its loop; or NULL. */
static inline struct kn_callback *slot_of(knit_handle handle, struct knit_loop **ret_loop,
                                          const char *function)
{
	uint32_t id = (uint32_t)(handle.opaque[0] >> 32);
	struct knit_loop *loop = kn_self.loop;
	struct kn_callback *slot;

	if (kn_unlikely(!id))
		return NULL;
	if (kn_unlikely(!loop || loop->id != id))
		loop = kn_registry_find(id, function);
	*ret_loop = loop;
	if (!loop)
		return NULL;
	slot = kn_slab_at(&loop->callbacks, (uint32_t)handle.opaque[0]);
	return slot && slot->generation == handle.opaque[1] ? slot : NULL;
}

bool knit_handle_cancel(knit_handle handle)
{
	struct knit_loop *loop;
	struct kn_callback *slot = slot_of(handle, &loop, __func__);

	if (!slot)
		return false;
	kn_timer_stop(loop, &slot->timer);
	slot_drop(loop, slot);
	return true;
}

bool knit_handle_is_pending(knit_handle handle)
{
	struct knit_loop *loop;

	return slot_of(handle, &loop, __func__) != NULL;
}

int64_t knit_handle_when(knit_handle handle)
{
	struct knit_loop *loop;
	struct kn_callback *slot = slot_of(handle, &loop, __func__);

	if (!slot || slot->timer.id == KN_HEAP_NONE)
		return -KNIT_EINVALIDSTATE;
	return kn_wheel_when(&loop->timers, &slot->timer);
}

int knit_handle_error(knit_handle handle)
{
	return handle.opaque[0] ? 0 : (int)(int64_t)handle.opaque[1];
}

void kn_callbacks_drop(struct knit_loop *loop)
{
	for (uint32_t i = 0; i < loop->callbacks.fresh; i++) {
		struct kn_callback *slot = kn_slab_at(&loop->callbacks, i);

		if (slot->generation) {
			kn_timer_stop(loop, &slot->timer);
			slot_drop(loop, slot);
		}
	}
}
