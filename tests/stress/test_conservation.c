/* SPDX-License-Identifier: MIT */
/* test_conservation.c - random programs over every object of lib/sync, with cancellations,
 * deadlines and scopes at any moment; and what must hold for all of them:
 *
 *   one holder of the lock, as many permits as there are, each item got or freed exactly once
 *   when all is quiet nobody waits for something that is to be had: no wake-up was lost
 *   a request to cancel comes out of the call that it met, or of a later one, or was merged with an
 *   earlier one or taken back, or an awaited task swallowed it; and nothing else is ever called a
 *   cancellation
 *   no worker runs twice, every program ends, every object can be destroyed
 *
 * A program is made from a number. A failure names it, and KNIT_SEED=N runs that one alone;
 * KNIT_STRESS=N runs N times as many. "Quiet" is what a virtual clock makes easy to see: it jumps
 * an hour only when nothing is ready and no earlier deadline is left. */
#include "stress/stress.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "knit/queue.h"
#include "knit/sync.h"
#include "knit/task.h"
#include "knit/timeout.h"

#define WORKERS 10
#define STEPS   16
#define ITEMS   1024
#define HOUR    (3600 * KNIT_S)

/* What a worker may stand in. */
enum place { NOWHERE, LOCK, PERMIT, GET, PUT, JOIN, CONSUME, MEET, EVENT, AWAIT, NAP, PLACES };

struct actor {
	knit_task *task;
	int starts;
	int requests; /* to cancel, accepted and not accounted for */
	int during;   /* of these, while it was in the call that it is in */
	enum place place;
	bool scoped; /* the call is in a scope that may be cancelled by itself */
};

struct world {
	uint64_t random;
	unsigned focus; /* a kind of step that half of them are */
	bool closing;   /* nobody begins anything new */
	bool ending;    /* the run cancels who is left */
	struct actor workers[WORKERS];
	int in[PLACES];

	knit_lock lock;
	knit_semaphore semaphore;
	knit_queue queue;
	knit_condition condition;
	knit_barrier barrier;
	knit_event event;
	int holders, permits, held, tokens, parties;
	int64_t unfinished;

	intptr_t items;
	unsigned char put[ITEMS], got[ITEMS], freed[ITEMS];

	long accepted, delivered, merged, cleared, consumed, at_end, steps;
};

static struct world world;
static unsigned seed;

#define check(condition, text) \
	cr_assert((condition), "%s; run it again with KNIT_SEED=%u", (text), seed)

static unsigned choose(unsigned below)
{
	world.random = world.random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(world.random >> 33) % below;
}

/* ---- the books of cancellation --------------------------------------------------------- */

static void cancel_one(struct actor *worker)
{
	if (!worker->task || !knit_task_cancel(worker->task, NULL))
		return;
	world.accepted++;
	worker->requests++;
	if (worker->place != NOWHERE)
		worker->during++;
}

static void cancel_some(void *unused)
{
	(void)unused;
	cancel_one(&world.workers[choose(WORKERS)]);
}

/* A call has been cancelled: all the requests so far came out of it. */
static void account(struct actor *worker)
{
	if (worker->requests) {
		world.delivered++;
		world.merged += worker->requests - 1;
	}
	worker->requests = 0;
}

static void enter(struct actor *worker, enum place place)
{
	worker->place = place;
	worker->during = 0;
	world.in[place]++;
}

static intptr_t leave(struct actor *worker, intptr_t outcome)
{
	world.in[worker->place]--;
	worker->place = NOWHERE;
	if (outcome == -KNIT_ECANCELLED) {
		check(worker->requests || worker->scoped || world.ending,
		      "a cancellation that nobody asked for");
		account(worker);
	} else if (outcome != -KNIT_ECLOSED) {
		check(!worker->during, "a cancellation did not come out of the call that it met");
	}
	return outcome;
}

/* In a scope it would take the scope's request back. */
static void uncancel(struct actor *worker)
{
	if (worker->scoped || knit_task_uncancel(worker->task) > 0)
		return;
	world.cleared += worker->requests;
	worker->requests = 0;
}

/* ---- steps ----------------------------------------------------------------------------- */

/* A nap that may be cancelled, while something is held. */
static intptr_t nap(struct actor *worker)
{
	if (choose(3) == 0)
		return 0;
	enter(worker, NAP);
	return leave(worker, knit_sleep(choose(3) * KNIT_MS));
}

static intptr_t use_lock(struct actor *worker)
{
	intptr_t r;

	enter(worker, LOCK);
	r = leave(worker, knit_lock_acquire(&world.lock));
	if (r < 0)
		return r;
	check(++world.holders == 1, "two hold the lock");
	check(knit_lock_locked(&world.lock), "the lock is held and not locked");
	r = nap(worker);
	world.holders--;
	check(knit_lock_release(&world.lock) == 0, "the lock cannot be released");
	return r;
}

static intptr_t use_semaphore(struct actor *worker)
{
	intptr_t r;

	enter(worker, PERMIT);
	r = leave(worker, knit_semaphore_acquire(&world.semaphore));
	if (r < 0)
		return r;
	check(++world.held <= world.permits, "more permits than there are");
	r = nap(worker);
	world.held--;
	check(knit_semaphore_release(&world.semaphore) == 0, "a permit too many");
	return r;
}

static void free_item(intptr_t item)
{
	world.freed[item]++;
	world.unfinished--;
}

static intptr_t put_item(struct actor *worker, bool wait)
{
	intptr_t item = ++world.items, r;

	check(item < ITEMS, "too many items");
	enter(worker, PUT);
	r = wait ? knit_queue_put(&world.queue, item) : knit_queue_put_nowait(&world.queue, item);
	if (r == 0) {
		world.put[item] = 1;
		world.unfinished++;
	}
	return leave(worker, r);
}

static intptr_t got_item(struct actor *worker, intptr_t item)
{
	if (item < 0)
		return leave(worker, item);
	world.got[item]++;
	world.unfinished--;
	check(knit_queue_task_done(&world.queue) == 0, "done too often");
	return leave(worker, item);
}

static intptr_t get_item(struct actor *worker, bool wait)
{
	enter(worker, GET);
	return got_item(worker,
	                wait ? knit_queue_get(&world.queue) : knit_queue_get_nowait(&world.queue));
}

static intptr_t join(struct actor *worker)
{
	enter(worker, JOIN);
	return leave(worker, knit_queue_join(&world.queue));
}

static intptr_t produce(struct actor *worker)
{
	intptr_t r;

	enter(worker, LOCK);
	r = leave(worker, knit_condition_acquire(&world.condition));
	if (r < 0)
		return r;
	world.tokens++;
	check(knit_condition_notify(&world.condition, 1) == 0, "no notification");
	if (choose(2))
		cancel_some(NULL);
	r = nap(worker);
	check(knit_condition_release(&world.condition) == 0, "the condition's lock was lost");
	return r;
}

static intptr_t has_token(void *unused)
{
	(void)unused;
	return world.tokens > 0 || world.closing;
}

static intptr_t consume(struct actor *worker)
{
	intptr_t r;

	enter(worker, LOCK);
	r = leave(worker, knit_condition_acquire(&world.condition));
	if (r < 0)
		return r;
	enter(worker, CONSUME);
	r = knit_condition_wait_for(&world.condition, has_token, NULL);
	/* Another could be quicker only without the lock. */
	check(knit_condition_locked(&world.condition), "a wait returned without the lock");
	if (r > 0 && world.tokens > 0)
		world.tokens--;
	r = leave(worker, r);
	check(knit_condition_release(&world.condition) == 0, "the condition's lock was lost");
	return r;
}

static intptr_t meet(struct actor *worker)
{
	enter(worker, MEET);
	return leave(worker, knit_barrier_wait(&world.barrier));
}

static intptr_t wait_for_event(struct actor *worker)
{
	enter(worker, EVENT);
	return leave(worker, knit_event_wait(&world.event));
}

static intptr_t child(void *swallows)
{
	int r = knit_event_wait(&world.event);

	return r == -KNIT_ECANCELLED && swallows ? 1 : r;
}

/* A request goes on to the child, which may swallow it: then it has been dealt with. */
static intptr_t await_child(struct actor *worker)
{
	bool swallows = choose(2);
	knit_task *task = knit_create_task(child, (void *)(intptr_t)swallows);
	intptr_t r;

	check(task, "no task");
	enter(worker, AWAIT);
	r = knit_await(task);
	if (!knit_is_error(r)) {
		check(swallows || !worker->requests, "a request to cancel was lost on its way");
		world.consumed += worker->requests;
		worker->requests = worker->during = 0;
	}
	return leave(worker, r);
}

/* Changes that never wait. */
static void meddle(struct actor *worker)
{
	switch (choose(8)) {
	case 0:
		knit_event_set(&world.event);
		break;
	case 1:
		knit_event_clear(&world.event);
		break;
	case 2:
		if (choose(3) == 0)
			knit_barrier_abort(&world.barrier);
		break;
	case 3:
		knit_barrier_reset(&world.barrier);
		break;
	case 4:
		uncancel(worker);
		break;
	case 5:
		(void)knit_loop_call_soon(NULL, cancel_some, NULL);
		break;
	default:
		cancel_some(NULL);
	}
}

static intptr_t step(struct actor *worker)
{
	unsigned kind = choose(2) ? world.focus + choose(2) : choose(15);

	switch (kind) {
	case 0:
	case 1:
		return use_lock(worker);
	case 2:
	case 3:
		return use_semaphore(worker);
	case 4:
	case 5:
		return put_item(worker, choose(4));
	case 6:
	case 7:
		return get_item(worker, choose(4));
	case 8:
		return produce(worker);
	case 9:
		return consume(worker);
	case 10:
		return meet(worker);
	case 11:
		return choose(2) ? wait_for_event(worker) : join(worker);
	case 12:
		return nap(worker);
	case 13:
		return await_child(worker);
	default:
		meddle(worker);
		return 0;
	}
}

/* A step with a deadline, or in a scope that is cancelled sooner or later. */
static intptr_t scoped_step(struct actor *worker)
{
	knit_cancel_scope scope;
	knit_timeout timeout;
	intptr_t r;

	worker->scoped = true;
	if (choose(2)) {
		check(knit_timeout_enter(&timeout, choose(4) * KNIT_MS) == 0, "no timeout");
		r = knit_timeout_exit(&timeout, step(worker));
	} else {
		check(knit_cancel_scope_enter(&scope, .delay = 1 + choose(3) * KNIT_MS) == 0,
		      "no scope");
		r = knit_cancel_scope_exit(&scope, step(worker));
	}
	worker->scoped = false;
	return r;
}

static intptr_t work(void *arg)
{
	struct actor *worker = arg;

	check(++worker->starts == 1, "a worker runs twice");
	for (int i = 0; i < STEPS && !world.closing; i++) {
		intptr_t r = choose(3) ? step(worker) : scoped_step(worker);

		world.steps++;
		if (r == -KNIT_ECLOSED || (r == -KNIT_ECANCELLED && choose(4) == 0))
			return r;
		if (r == -KNIT_ECANCELLED && choose(2))
			uncancel(worker);
	}
	return 0;
}

/* ---- a program ------------------------------------------------------------------------- */

/* Nobody waits for what is to be had. */
static void check_quiet(void)
{
	check(world.in[LOCK] == 0, "nobody holds a lock that somebody waits for");
	check(world.in[PERMIT] == 0, "nobody holds a permit and somebody waits");
	check(!world.in[GET] || knit_queue_empty(&world.queue), "an item, and a getter that waits");
	check(!world.in[PUT] || knit_queue_full(&world.queue), "room, and a putter that waits");
	check(!world.in[JOIN] || world.unfinished > 0, "all is done, and somebody joins");
	check(!world.in[CONSUME] || world.tokens == 0, "a token, and a consumer that waits");
	check(!world.in[EVENT] || !knit_event_is_set(&world.event), "a set event is waited for");
	check(!world.in[AWAIT] || !knit_event_is_set(&world.event), "a child was never woken");
	check(world.in[MEET] < world.parties, "a full barrier is waited for");
	check(!world.in[MEET] || !knit_barrier_broken(&world.barrier), "a broken barrier");
	check(world.in[MEET] == knit_barrier_n_waiting(&world.barrier) ||
	              knit_barrier_broken(&world.barrier),
	      "the barrier miscounts");
}

/* Has everybody who is left finish. */
static void let_go(void)
{
	world.closing = true;
	check(knit_condition_acquire(&world.condition) == 0, "the condition is locked");
	check(knit_condition_notify_all(&world.condition) == 0, "no notification");
	check(knit_condition_release(&world.condition) == 0, "the condition is not locked");
	knit_event_set(&world.event);
	knit_barrier_abort(&world.barrier);
	check(knit_queue_shutdown(&world.queue, choose(2)) == 0, "no shutdown");
	while (!knit_queue_empty(&world.queue)) {
		intptr_t item = knit_queue_get_nowait(&world.queue);

		world.got[item]++;
		world.unfinished--;
		check(knit_queue_task_done(&world.queue) == 0, "done too often");
	}
}

static void end_of_worker(struct actor *worker)
{
	if (worker->requests) {
		check(knit_task_cancelled(worker->task), "a request to cancel was lost");
		world.at_end++;
		world.merged += worker->requests - 1;
		worker->requests = 0;
	}
	knit_task_unref(worker->task);
	worker->task = NULL;
}

static void count_down(knit_future *future, void *arg)
{
	struct actor *worker = arg;

	(void)future;
	check(worker->place == NOWHERE, "a worker ended in the middle of a call");
	end_of_worker(worker);
}

static intptr_t program(void *arg)
{
	for (int i = 0; i < WORKERS; i++) {
		struct actor *worker = &world.workers[i];

		worker->task = knit_create_task(work, worker);
		check(worker->task, "no task");
		check(knit_task_add_done_callback(worker->task, count_down, worker) == 0,
		      "no callback");
	}
	for (unsigned i = choose(12); i > 0; i--) {
		check(knit_sleep(choose(3) * KNIT_MS) == 0, "the main task was cancelled");
		cancel_some(NULL);
	}
	if (*(bool *)arg) {
		world.closing = world.ending = true;
		return 0;
	}
	check(knit_sleep(HOUR) == 0, "the main task was cancelled");
	check_quiet();
	let_go();
	check(knit_sleep(HOUR) == 0, "the main task was cancelled");
	for (int i = 0; i < WORKERS; i++)
		check(!world.workers[i].task, "a worker was never woken");
	return 0;
}

static void make_world(void)
{
	memset(&world, 0, sizeof(world));
	world.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	world.focus = 2 * choose(7);
	world.permits = (int)choose(4) + 1;
	world.parties = (int)choose(4) + 1;
	check(knit_lock_init(&world.lock) == 0, "lock");
	check((choose(2) ? knit_semaphore_init(&world.semaphore, world.permits)
	                 : knit_bounded_semaphore_init(&world.semaphore, world.permits)) == 0,
	      "semaphore");
	check(knit_condition_init(&world.condition, NULL) == 0, "condition");
	check(knit_barrier_init(&world.barrier, world.parties) == 0, "barrier");
	check(knit_event_init(&world.event) == 0, "event");
	switch (choose(3)) {
	case 0:
		check(knit_queue_init(&world.queue, choose(3), free_item) == 0, "queue");
		break;
	case 1:
		check(knit_lifo_queue_init(&world.queue, choose(3), free_item) == 0, "queue");
		break;
	default:
		check(knit_priority_queue_init(&world.queue, choose(3), NULL, free_item) == 0,
		      "queue");
	}
}

static void check_end(void)
{
	check(knit_lock_destroy(&world.lock) == 0, "the lock is in use");
	check(knit_semaphore_destroy(&world.semaphore) == 0, "the semaphore is in use");
	check(knit_condition_destroy(&world.condition) == 0, "the condition is in use");
	check(knit_barrier_destroy(&world.barrier) == 0, "the barrier is in use");
	check(knit_event_destroy(&world.event) == 0, "the event is in use");
	check(knit_queue_destroy(&world.queue) == 0, "the queue is in use");
	for (intptr_t item = 1; item <= world.items; item++)
		check(world.put[item] == world.got[item] + world.freed[item],
		      "an item was lost, or got twice");
	check(world.unfinished == 0 && world.holders == 0 && world.held == 0, "left over");
	check(world.accepted == world.delivered + world.merged + world.cleared + world.consumed +
	                                world.at_end,
	      "requests to cancel do not add up");
}

/* All permits can be had at once, and no more. */
static intptr_t count_permits(void *unused)
{
	(void)unused;
	for (int i = 0; i < world.permits; i++) {
		check(!knit_semaphore_locked(&world.semaphore), "a permit was lost");
		check(knit_semaphore_acquire(&world.semaphore) == 0, "a permit was lost");
	}
	check(knit_semaphore_locked(&world.semaphore), "a permit too many");
	return 0;
}

static long run_program(bool early)
{
	intptr_t outcome;

	make_world();
	outcome = knit_run(program, &early, .clock = KNIT_CLOCK_VIRTUAL);
	check(outcome == 0, knit_strerror((int)outcome));
	/* The last steps of a run drop done-callbacks that they have made ready. */
	for (int i = 0; i < WORKERS; i++)
		if (world.workers[i].task)
			end_of_worker(&world.workers[i]);
	check(knit_run(count_permits, NULL) == 0, "permits");
	check_end();
	return world.steps;
}

static void run_programs(bool early, long programs)
{
	const char *one = getenv("KNIT_SEED");
	long steps = 0;

	if (one) {
		seed = (unsigned)strtoul(one, NULL, 0);
		(void)run_program(early);
		return;
	}
	for (seed = 1; seed <= programs; seed++)
		steps += run_program(early);
	cr_assert_gt(steps, programs, "the programs do something");
}

Test(conservation, nothing_is_lost_or_had_twice_and_every_program_ends)
{
	run_programs(false, stress_count(1500, 200, 100, 10));
}

Test(conservation, a_run_that_ends_early_loses_nothing_either)
{
	run_programs(true, stress_count(1000, 150, 80, 10));
}
