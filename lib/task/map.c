/* SPDX-License-Identifier: MIT */
/* map.c - knit_map(): one coroutine over many inputs, some at a time.
 *
 * The call waits for a derived future in its own frame, which is done when no task is left. A task
 * that ends starts the next one in its place; so there are never more than the limit, and what the
 * call allocates is as large as the limit, not as the input. All of them are done before the call
 * returns, on every path. */
#include "knit/wait.h"
#include "base/alloc.h"
#include "task/several.h"

struct map;

/* A place for one task at a time. */
struct place {
	struct kn_waiter waiter;
	struct map *map;
	struct kn_task *task; /* the loop's; NULL: none */
	size_t index;         /* of its input */
};

struct map {
	struct kn_derived derived;
	knit_future future; /* done when all are */
	knit_coro *coro;
	void *const *args;
	intptr_t *outcomes; /* NULL: not wanted */
	size_t n, next;     /* inputs; the next one to start */
	struct place *places;
	size_t place_count, running;
	intptr_t error;             /* the first; 0: none */
	struct kn_message *message; /* counted; of the error */
	struct kn_message *request; /* counted; the text of the request to cancel the caller */
	bool stopped;               /* no further ones are started */
	bool cancelled, cancelling; /* the caller was / tasks are being */
};

/* ---- the end of a task --------------------------------------------------------------- */

static void cancel_running(struct map *map, struct kn_message *message)
{
	map->stopped = true;
	map->cancelling = true;
	for (size_t i = 0; i < map->place_count; i++)
		if (map->places[i].task)
			(void)kn_future_request_cancel(&map->places[i].task->future, message);
	map->cancelling = false;
}

static void note_outcome(struct map *map, size_t index, intptr_t outcome,
                         struct kn_message *message)
{
	if (map->outcomes)
		map->outcomes[index] = outcome;
	if (!knit_is_error(outcome) || map->error)
		return;
	map->error = outcome;
	map->message = kn_message_ref(message);
	if (!map->stopped)
		cancel_running(map, NULL);
}

static void start_next(struct map *map, struct place *place)
{
	knit_task_options options = {.size = sizeof(options)};
	int error;

	place->index = map->next++;
	options.arg = map->args ? map->args[place->index] : NULL;
	place->task = kn_task_create(map->future.loop, map->coro, &options, 0, &error);
	if (kn_unlikely(!place->task)) {
		note_outcome(map, place->index, error, NULL);
		return;
	}
	map->running++;
	kn_list_add_tail(&place->task->future.waiters, &place->waiter.link);
}

static void task_is_done(struct kn_waiter *waiter, knit_future *task)
{
	struct place *place = kn_container_of(waiter, struct place, waiter);
	struct map *map = place->map;

	map->running--;
	place->task = NULL;
	task->retrieved = true;
	note_outcome(map, place->index, task->outcome, task->message);
	if (!map->stopped && map->next < map->n)
		start_next(map, place);
	if (map->running > 0)
		return;
	kn_future_complete(&map->future, map->cancelled ? -KNIT_ECANCELLED : 0, map->request);
	map->request = NULL;
}

static bool map_cancel(struct kn_derived *derived, struct kn_message *message)
{
	struct map *map = kn_container_of(derived, struct map, derived);

	if (map->cancelling)
		return false; /* a task of the map waits for the map itself */
	map->cancelled = true;
	kn_message_unref(map->request);
	map->request = kn_message_ref(message);
	cancel_running(map, message);
	return true;
}

/* ---- the call ------------------------------------------------------------------------ */

static intptr_t finish(struct map *map, int awaited)
{
	while (map->next < map->n)
		note_outcome(map, map->next++, -KNIT_ECANCELLED, NULL);
	kn_free(map->places);
	kn_message_unref(map->future.message);
	if (kn_unlikely(awaited < 0)) {
		kn_message_unref(map->message);
		return awaited;
	}
	if (map->error)
		kn_message_record(map->message);
	return map->error;
}

static intptr_t run_map(struct map *map, struct kn_task *task)
{
	int r = 0;

	for (size_t i = 0; i < map->place_count && !map->stopped; i++) {
		struct place *place = &map->places[i];

		place->map = map;
		place->waiter.notify = task_is_done;
		kn_list_init(&place->waiter.link);
		start_next(map, place);
	}
	if (map->running)
		r = kn_task_await(task, &map->future);
	return finish(map, r);
}

intptr_t knit_map(knit_coro *coro, void *const args[], size_t n, size_t limit, intptr_t outcomes[])
{
	struct map map = {
	        .derived.cancel = map_cancel,
	        .coro = coro,
	        .args = args,
	        .outcomes = outcomes,
	        .n = n,
	        .place_count = limit && limit < n ? limit : n,
	};
	int r = 0;
	struct kn_task *task;

	if (!coro)
		return kn_fail(-EINVAL);
	task = kn_task_current(&r);
	if (!task || n == 0)
		return r;
	kn_future_init_derived(&map.future, kn_self.loop, &map.derived);
	map.places = kn_calloc(map.place_count, sizeof(*map.places));
	if (!map.places)
		return kn_fail(-ENOMEM);
	return run_map(&map, task);
}
