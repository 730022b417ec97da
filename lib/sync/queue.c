/* SPDX-License-Identifier: MIT */
/* queue.c - queues: who waits for items, for room, and for the work to be done.
 *
 * A put wakes one getter, a get one putter; what was put or made free is not reserved for them.
 * Whoever is woken looks again, for another may have been quicker, and waits again if so. Who is
 * woken and does not look, because it was cancelled, wakes the next in line if there is still
 * something to be had: so no item and no room is ever left lying while somebody waits for it. */
#include "sync/items.h"
#include "sync/waiters.h"

/* The lines. */
enum { GETTERS, PUTTERS, JOINERS, LINES };

struct queue {
	uint32_t loop_id;
	bool shut_down;
	int64_t maxsize;     /* <= 0: no limit */
	uint64_t unfinished; /* were put, and not told to be done */
	struct kn_items items;
	knit_item_free *item_free;
	struct kn_waiters waiters[LINES];
};

_Static_assert(sizeof(struct queue) <= sizeof(knit_queue), "the storage is too small");

static struct queue *queue_of(knit_queue *queue)
{
	return (struct queue *)queue;
}

static inline int check(struct queue *queue)
{
	if (kn_unlikely(!queue || !queue->items.order))
		return kn_fail(-EINVAL);
	return kn_sync_check(&queue->loop_id, queue->waiters, LINES);
}

static void demand(struct queue *queue, const char *function)
{
	int r = check(queue);

	if (kn_unlikely(r < 0))
		kn_sync_foreign(function, r);
}

static bool is_full(const struct queue *queue)
{
	return queue->maxsize > 0 && queue->items.count >= (uint64_t)queue->maxsize;
}

/* ---- life ------------------------------------------------------------------------------ */

static int init(struct queue *queue, int64_t maxsize, const struct kn_order *order,
                knit_item_compare *compare, knit_item_free *item_free)
{
	if (!queue)
		return kn_fail(-EINVAL);
	*queue = (struct queue){
	        .maxsize = maxsize,
	        .items = {.order = order, .compare = compare},
	        .item_free = item_free,
	};
	return 0;
}

int knit_queue_init(knit_queue *queue, int64_t maxsize, knit_item_free *item_free)
{
	return init(queue_of(queue), maxsize, &kn_order_fifo, NULL, item_free);
}

int knit_lifo_queue_init(knit_queue *queue, int64_t maxsize, knit_item_free *item_free)
{
	return init(queue_of(queue), maxsize, &kn_order_lifo, NULL, item_free);
}

int knit_priority_queue_init(knit_queue *queue, int64_t maxsize, knit_item_compare *compare,
                             knit_item_free *item_free)
{
	return init(queue_of(queue), maxsize, &kn_order_priority, compare, item_free);
}

/* item_free is the user's, and may call the queue: each item is out before it is freed. */
static void drop_items(struct queue *queue)
{
	while (queue->items.count) {
		intptr_t item = kn_items_pop(&queue->items);

		if (queue->unfinished > 0)
			queue->unfinished--;
		if (queue->item_free)
			queue->item_free(item);
	}
}

int knit_queue_destroy(knit_queue *object)
{
	struct queue *queue = queue_of(object);
	int r = check(queue);

	if (r < 0)
		return r;
	for (int line = 0; line < LINES; line++)
		if (kn_waiters_any(&queue->waiters[line]))
			return kn_fail(-EBUSY);
	queue->shut_down = true;
	drop_items(queue);
	kn_items_done(&queue->items);
	*queue = (struct queue){.shut_down = false};
	return 0;
}

/* ---- putting and getting ----------------------------------------------------------------- */

static void pass_room_on(void *object)
{
	struct queue *queue = object;

	if (!is_full(queue))
		(void)kn_waiters_wake(&queue->waiters[PUTTERS]);
}

static void pass_item_on(void *object)
{
	struct queue *queue = object;

	if (queue->items.count)
		(void)kn_waiters_wake(&queue->waiters[GETTERS]);
}

static int shut(void)
{
	return kn_fail(-KNIT_EQSHUTDOWN);
}

/* There is room. */
static inline int put(struct queue *queue, intptr_t item)
{
	if (kn_unlikely(kn_items_reserve(&queue->items) < 0))
		return kn_fail(-ENOMEM);
	kn_items_push(&queue->items, item);
	queue->unfinished++;
	(void)kn_waiters_wake(&queue->waiters[GETTERS]);
	return 0;
}

/* There is an item. */
static inline intptr_t get(struct queue *queue)
{
	intptr_t item = kn_items_pop(&queue->items);

	(void)kn_waiters_wake(&queue->waiters[PUTTERS]);
	return item;
}

/* Waits, with a line for each of the three reasons. */
static inline int wait_in(struct queue *queue, int line, kn_hand_back *hand_back)
{
	int r = 0;
	struct kn_task *task = kn_task_current(&r);

	if (kn_unlikely(!task))
		return kn_fail(r);
	return kn_waiters_wait(&queue->waiters[line], task, hand_back, queue);
}

/* Puts @item, or gets one, once that can be done. One function for both: producers and consumers
 * wait in turn, and processors predict where a function returns to by who called last, so each
 * function that only one of the two is in costs a wrong guess. To get here callers jump. */
static KN_NOINLINE intptr_t wait_and(struct queue *queue, int line, intptr_t item)
{
	bool putting = line == PUTTERS;
	int r;

	do {
		r = wait_in(queue, line, putting ? pass_room_on : pass_item_on);
		if (r < 0)
			return r;
		if (queue->shut_down && (putting || !queue->items.count))
			return shut();
	} while (putting ? is_full(queue) : !queue->items.count);
	if (!putting)
		return get(queue);
	r = put(queue, item);
	/* It was woken for the room that it cannot use. */
	if (kn_unlikely(r < 0))
		pass_room_on(queue);
	return r;
}

int knit_queue_put(knit_queue *object, intptr_t item)
{
	struct queue *queue = queue_of(object);
	int r = check(queue);

	if (kn_unlikely(r < 0))
		return r;
	if (kn_unlikely(knit_is_error(item)))
		return kn_fail(-EINVAL);
	if (kn_unlikely(!kn_self.task))
		return kn_fail(-KNIT_ENOTASK);
	if (queue->shut_down)
		return shut();
	return is_full(queue) ? (int)wait_and(queue, PUTTERS, item) : put(queue, item);
}

int knit_queue_put_nowait(knit_queue *object, intptr_t item)
{
	struct queue *queue = queue_of(object);
	int r = check(queue);

	if (kn_unlikely(r < 0))
		return r;
	if (kn_unlikely(knit_is_error(item)))
		return kn_fail(-EINVAL);
	if (queue->shut_down)
		return shut();
	return is_full(queue) ? kn_fail(-KNIT_EQFULL) : put(queue, item);
}

intptr_t knit_queue_get(knit_queue *object)
{
	struct queue *queue = queue_of(object);
	int r = check(queue);

	if (kn_unlikely(r < 0))
		return r;
	if (kn_unlikely(!kn_self.task))
		return kn_fail(-KNIT_ENOTASK);
	if (queue->items.count)
		return get(queue);
	return queue->shut_down ? shut() : wait_and(queue, GETTERS, 0);
}

intptr_t knit_queue_get_nowait(knit_queue *object)
{
	struct queue *queue = queue_of(object);
	int r = check(queue);

	if (kn_unlikely(r < 0))
		return r;
	if (queue->items.count)
		return get(queue);
	return queue->shut_down ? shut() : kn_fail(-KNIT_EQEMPTY);
}

/* ---- asking ---------------------------------------------------------------------------- */

int64_t knit_queue_qsize(knit_queue *queue)
{
	int r = check(queue_of(queue));

	return r < 0 ? r : (int64_t)queue_of(queue)->items.count;
}

int64_t knit_queue_maxsize(knit_queue *queue)
{
	demand(queue_of(queue), __func__);
	return queue_of(queue)->maxsize;
}

bool knit_queue_empty(knit_queue *queue)
{
	demand(queue_of(queue), __func__);
	return queue_of(queue)->items.count == 0;
}

bool knit_queue_full(knit_queue *queue)
{
	demand(queue_of(queue), __func__);
	return is_full(queue_of(queue));
}

/* ---- the work -------------------------------------------------------------------------- */

/* All who wait for the end of the work are told at once. */
static void nothing_to_pass_on(void *queue)
{
	(void)queue;
}

int knit_queue_task_done(knit_queue *object)
{
	struct queue *queue = queue_of(object);
	int r = check(queue);

	if (kn_unlikely(r < 0))
		return r;
	if (kn_unlikely(queue->unfinished == 0))
		return kn_sync_misuse(EOVERFLOW, "task_done() called too many times");
	if (--queue->unfinished == 0)
		kn_waiters_wake_all(&queue->waiters[JOINERS]);
	return 0;
}

int knit_queue_join(knit_queue *object)
{
	struct queue *queue = queue_of(object);
	int r = check(queue);

	if (kn_unlikely(r < 0))
		return r;
	if (kn_unlikely(!kn_self.task))
		return kn_fail(-KNIT_ENOTASK);
	return queue->unfinished ? wait_in(queue, JOINERS, nothing_to_pass_on) : 0;
}

int knit_queue_shutdown(knit_queue *object, bool immediate)
{
	struct queue *queue = queue_of(object);
	int r = check(queue);

	if (kn_unlikely(r < 0))
		return r;
	queue->shut_down = true;
	if (immediate) {
		drop_items(queue);
		if (queue->unfinished == 0)
			kn_waiters_wake_all(&queue->waiters[JOINERS]);
	}
	kn_waiters_wake_all(&queue->waiters[GETTERS]);
	kn_waiters_wake_all(&queue->waiters[PUTTERS]);
	return 0;
}
