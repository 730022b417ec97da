/* SPDX-License-Identifier: MIT */
/* callback.c - call_soon, call_later, call_at, and their handles.
 *
 * A handle is three numbers: the loop's id, the index of a slot and the generation that the
 * slot had. A generation is used once in the life of a loop, so a stale handle finds another
 * one in its slot, or none. A slot is free again before its callback runs, so a callback may
 * schedule itself for ever in the same slot. */
#include "loop/callback.h"
#include <errno.h>
#include "base/error.h"

static knit_handle no_handle(int error)
{
	return (knit_handle){.opaque = {0, (uint64_t)(int64_t)error}};
}

static void slot_free(struct knit_loop *loop, struct kn_callback *slot)
{
	slot->generation = 0;
	kn_slab_free(&loop->callbacks, slot, slot->index);
}

static void slot_run(struct kn_ready *ready)
{
	struct kn_callback *slot = kn_container_of(ready, struct kn_callback, timer.ready);
	knit_callback *callback = slot->callback;
	void *arg = slot->arg;

	slot_free(slot->loop, slot);
	callback(arg);
}

/* A slot with nothing scheduled, or NULL and a negative code in *@error. */
static struct kn_callback *slot_new(struct knit_loop **loop, knit_callback *callback, void *arg,
                                    int *error)
{
	struct kn_callback *slot;
	uint32_t index;

	if (!*loop)
		*loop = kn_self.loop;
	*error = *loop ? kn_loop_usable(*loop) : -KNIT_ENOLOOP;
	if (kn_unlikely(!callback))
		*error = -EINVAL;
	if (kn_unlikely(*error < 0))
		return NULL;
	slot = kn_slab_alloc(&(*loop)->callbacks, &index);
	if (kn_unlikely(!slot)) {
		*error = -ENOMEM;
		return NULL;
	}
	slot->timer.ready.run = slot_run;
	kn_list_init(&slot->timer.ready.link);
	slot->timer.id = KN_HEAP_NONE;
	slot->index = index;
	slot->generation = ++(*loop)->generation;
	slot->callback = callback;
	slot->arg = arg;
	slot->loop = *loop;
	return slot;
}

static knit_handle handle_of(const struct kn_callback *slot)
{
	return (knit_handle){
	        .opaque = {(uint64_t)slot->loop->id << 32 | slot->index, slot->generation}};
}

knit_handle knit_loop_call_soon(knit_loop *loop, knit_callback *callback, void *arg)
{
	int error;
	struct kn_callback *slot = slot_new(&loop, callback, arg, &error);

	if (kn_unlikely(!slot))
		return no_handle(error);
	kn_loop_ready(loop, &slot->timer.ready);
	return handle_of(slot);
}

static knit_handle start_timer(struct kn_callback *slot, int64_t when)
{
	int r = kn_timer_start(slot->loop, &slot->timer, when);

	if (kn_unlikely(r < 0)) {
		slot_free(slot->loop, slot);
		return no_handle(r);
	}
	return handle_of(slot);
}

knit_handle knit_loop_call_later(knit_loop *loop, int64_t delay, knit_callback *callback, void *arg)
{
	int error;
	struct kn_callback *slot = slot_new(&loop, callback, arg, &error);

	return slot ? start_timer(slot, kn_loop_deadline(loop, delay)) : no_handle(error);
}

knit_handle knit_loop_call_at(knit_loop *loop, int64_t when, knit_callback *callback, void *arg)
{
	int error;
	struct kn_callback *slot = slot_new(&loop, callback, arg, &error);

	return slot ? start_timer(slot, when) : no_handle(error);
}

/* The slot that @handle still stands for, or NULL. */
static struct kn_callback *slot_of(knit_handle handle, const char *function)
{
	uint32_t id = (uint32_t)(handle.opaque[0] >> 32);
	struct knit_loop *loop = kn_self.loop;
	struct kn_callback *slot;

	if (!id)
		return NULL;
	if (!loop || loop->id != id)
		loop = kn_registry_find(id, function);
	if (!loop)
		return NULL;
	slot = kn_slab_at(&loop->callbacks, (uint32_t)handle.opaque[0]);
	return slot && slot->generation == handle.opaque[1] ? slot : NULL;
}

bool knit_handle_cancel(knit_handle handle)
{
	struct kn_callback *slot = slot_of(handle, __func__);

	if (!slot)
		return false;
	kn_timer_stop(slot->loop, &slot->timer);
	slot_free(slot->loop, slot);
	return true;
}

bool knit_handle_is_pending(knit_handle handle)
{
	return slot_of(handle, __func__) != NULL;
}

int64_t knit_handle_when(knit_handle handle)
{
	struct kn_callback *slot = slot_of(handle, __func__);

	if (!slot || slot->timer.id == KN_HEAP_NONE)
		return -KNIT_EINVALIDSTATE;
	return kn_heap_when(&slot->loop->timers, slot->timer.id);
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
			slot_free(loop, slot);
		}
	}
}
