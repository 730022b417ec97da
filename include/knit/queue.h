/* SPDX-License-Identifier: MIT */
/*
 * queue.h - queues of words or pointers between the tasks of one loop.
 *
 * One type with three orders: first in first out, last in first out, and smallest first. An item is
 * a word that is no error code (knit_is_error()), so that a get returns it as an outcome. A put
 * that succeeds hands the item over to the queue, a get to the caller; what a queue still has when
 * it is destroyed, or shut down at once, goes to item_free.
 *
 *     while (!knit_is_error(item = knit_queue_get(&queue))) {
 *             use((void *)item);
 *             knit_queue_task_done(&queue);
 *     }
 *     return item == -KNIT_EQSHUTDOWN ? 0 : item;
 *
 * The usual end: knit_queue_join() until all that was put is done, then knit_queue_shutdown(); what
 * gets on then is told -KNIT_EQSHUTDOWN, as above.
 *
 * As with sync.h's objects the storage is the caller's and belongs to one loop, and no call has a
 * timeout of its own. From another thread, post a callback that does the knit_queue_put_nowait():
 * knit_loop_call_soon_threadsafe().
 */
#ifndef KNIT_QUEUE_H
#define KNIT_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <knit/error.h>
#include <knit/macros.h>

KNIT_BEGIN_DECLS

typedef struct knit_queue {
	uint64_t opaque[24]; /* the library's */
} knit_queue;

typedef void knit_item_free(intptr_t item);                  /* may not suspend */
typedef int knit_item_compare(intptr_t one, intptr_t other); /* < 0: @one comes first */

/* Makes a queue: first in, first out. What was there is overwritten.
 *
 * Units: @maxsize in items; <= 0: no limit.  Returns: 0.  Errors: -EINVAL: NULL.
 * Thread: any.  Suspends: no.  Ownership: @queue is the caller's storage; @item_free gets the items
 *   that are dropped; NULL: they are just forgotten. */
KNIT_API int knit_queue_init(knit_queue *queue, int64_t maxsize, knit_item_free *item_free);

/* As knit_queue_init(): last in, first out. */
KNIT_API int knit_lifo_queue_init(knit_queue *queue, int64_t maxsize, knit_item_free *item_free);

/* As knit_queue_init(): the smallest first; equal ones in the order in which they were put.
 * @compare NULL: items are numbers. It may not call the queue. */
KNIT_API int knit_priority_queue_init(knit_queue *queue, int64_t maxsize,
                                      knit_item_compare *compare, knit_item_free *item_free);

/* Ends the use of @queue, and frees the items that are left. It may be initialised again.
 *
 * Units: none.  Returns: 0.  Errors: -EBUSY: tasks wait in it; -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: items go to item_free; the storage is free if it
 *   returns 0. */
KNIT_API int knit_queue_destroy(knit_queue *queue);

/* Puts @item, once there is room.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_EQSHUTDOWN: the queue is, or was meanwhile, shut down; -KNIT_ECANCELLED;
 *   -KNIT_ENOTASK; -ENOMEM; -KNIT_ECLOSED: the loop is being closed; -EINVAL: NULL, or @item is an
 *   error code.
 * Thread: loop.  Suspends: unless there is room.  Ownership: @item is the queue's if it returns 0,
 *   else still the caller's. */
KNIT_API KNIT_NODISCARD int knit_queue_put(knit_queue *queue, intptr_t item);

/* Puts @item at once.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_EQFULL: there is no room; -KNIT_EQSHUTDOWN; -ENOMEM; -EINVAL as knit_queue_put().
 * Thread: loop.  Suspends: no.  Ownership: as knit_queue_put(). */
KNIT_API KNIT_NODISCARD int knit_queue_put_nowait(knit_queue *queue, intptr_t item);

/* Takes the next item, once there is one. Several who wait are woken in the order in which they
 * came; one who comes just then may still be quicker.
 *
 * Units: none.  Returns: the item.
 * Errors: -KNIT_EQSHUTDOWN: the queue is shut down and empty; -KNIT_ECANCELLED: nothing was taken;
 *   -KNIT_ENOTASK; -KNIT_ECLOSED: the loop is being closed; -EINVAL: NULL.
 * Thread: loop.  Suspends: unless there is an item.  Ownership: the item is the caller's. */
KNIT_API KNIT_NODISCARD intptr_t knit_queue_get(knit_queue *queue);

/* Takes the next item at once.
 *
 * Units: none.  Returns: the item.
 * Errors: -KNIT_EQEMPTY: there is none; -KNIT_EQSHUTDOWN: and there will be none; -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: the item is the caller's. */
KNIT_API KNIT_NODISCARD intptr_t knit_queue_get_nowait(knit_queue *queue);

/* How many items it has.
 *
 * Units: items.  Returns: the number.  Errors: -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int64_t knit_queue_qsize(knit_queue *queue);

/* How many items it takes.
 *
 * Units: items; <= 0: no limit.  Returns: the number.
 * Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int64_t knit_queue_maxsize(knit_queue *queue);

/* Has it no items?
 *
 * Units: none.  Returns: the answer.  Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_queue_empty(knit_queue *queue);

/* Has it no room? Never, if there is no limit.
 *
 * Units: none.  Returns: the answer.  Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_queue_full(knit_queue *queue);

/* Tells the queue that one of the items that were taken has been dealt with.
 *
 * Units: none.  Returns: 0.
 * Errors: -EOVERFLOW: called more often than items were put; -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_queue_task_done(knit_queue *queue);

/* Waits until every item that was put has been dealt with: knit_queue_task_done().
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED: the loop is being closed; -EINVAL: NULL.
 * Thread: loop.  Suspends: unless there is nothing to wait for.  Ownership: none. */
KNIT_API KNIT_NODISCARD int knit_queue_join(knit_queue *queue);

/* Refuses further items: puts fail from now on, those that wait too; gets do once the queue is
 * empty. With @immediate it is emptied at once, and what was in it counts as dealt with.
 *
 * Units: none.  Returns: 0.  Errors: -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: with @immediate items go to item_free. */
KNIT_API int knit_queue_shutdown(knit_queue *queue, bool immediate);

KNIT_END_DECLS
#endif
