/* SPDX-License-Identifier: MIT */
/* race.c - knit_race(): the first of several that succeeds; the others are cancelled, and waited
 * for.
 *
 * As with a gather, the call waits for a derived future in its own frame; this one is done when all
 * are, so that nothing of the others goes on after the return, whatever happens. */
#include "knit/wait.h"
#include "base/alloc.h"
#include "task/several.h"

struct race;

struct runner {
	struct kn_waiter waiter;
	struct race *race;
	knit_future *future; /* counted */
};

struct race {
	struct kn_derived derived;
	knit_future future;     /* done when all are */
	struct runner *runners; /* owned */
	size_t n, left;
	struct runner *winner;      /* the first that succeeded */
	struct runner *loser;       /* the first that failed */
	struct kn_message *request; /* counted; the text of the request to cancel the caller */
	bool cancelled;             /* the caller was, or the loop is being closed */
	bool cancelling;            /* right now */
};

static void cancel_runners(struct race *race, struct kn_message *message)
{
	race->cancelling = true;
	for (size_t i = 0; i < race->n; i++)
		(void)kn_future_request_cancel(race->runners[i].future, message);
	race->cancelling = false;
}

/* Only notes it: whoever calls cancels the others if they have lost by it. */
static bool has_won(struct race *race, struct runner *runner)
{
	race->left--;
	if (knit_is_error(runner->future->outcome)) {
		if (!race->loser)
			race->loser = runner;
		return false;
	}
	if (race->winner)
		return false;
	race->winner = runner;
	return true;
}

static void runner_notify(struct kn_waiter *waiter, knit_future *future)
{
	struct runner *runner = kn_container_of(waiter, struct runner, waiter);
	struct race *race = runner->race;
	bool won = has_won(race, runner);

	(void)future;
	/* In the middle of a round of cancelling all of them get their request anyway. */
	if (won && !race->cancelling)
		cancel_runners(race, NULL);
	if (race->left > 0)
		return;
	kn_future_complete(&race->future, race->cancelled ? -KNIT_ECANCELLED : 0, race->request);
	race->request = NULL;
}

static bool race_cancel(struct kn_derived *derived, struct kn_message *message)
{
	struct race *race = kn_container_of(derived, struct race, derived);

	if (race->cancelling)
		return false; /* one of them waits for the race itself */
	race->cancelled = true;
	kn_message_unref(race->request);
	race->request = kn_message_ref(message);
	cancel_runners(race, message);
	return true;
}

/* ---- the call ------------------------------------------------------------------------ */

/* Those that are done already have run, in order. */
static void line_up(struct race *race, knit_future *const awaitables[])
{
	bool won = false;

	for (size_t i = 0; i < race->n; i++) {
		struct runner *runner = &race->runners[i];

		kn_list_init(&runner->waiter.link);
		runner->waiter.notify = runner_notify;
		runner->race = race;
		runner->future = awaitables[i];
		if (kn_future_is_done(runner->future))
			won = has_won(race, runner) || won;
		else
			kn_list_add_tail(&runner->future->waiters, &runner->waiter.link);
	}
	if (race->left && (won || race->cancelled))
		cancel_runners(race, NULL);
}

static intptr_t finish(struct race *race, intptr_t outcome, size_t *ret_index)
{
	struct runner *first = race->winner ? race->winner : race->loser;

	kn_message_unref(race->future.message);
	if (outcome == 0) {
		outcome = kn_future_retrieve(first->future);
		if (ret_index)
			*ret_index = (size_t)(first - race->runners);
	}
	for (size_t i = 0; i < race->n; i++) {
		race->runners[i].future->quiet = true;
		kn_future_release(race->runners[i].future);
	}
	kn_free(race->runners);
	return outcome;
}

static int check(knit_future *const awaitables[], size_t n)
{
	int r;

	if (n == 0)
		return kn_fail(-EINVAL);
	if (!kn_self.task)
		return kn_fail(-KNIT_ENOTASK);
	r = kn_several_check(awaitables, n, kn_self.loop);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (kn_unlikely(awaitables[i] == kn_self.task))
			r = kn_fail(-EDEADLK);
	return r;
}

intptr_t knit_race(knit_future *const awaitables[], size_t n, size_t *ret_index)
{
	struct race race = {.derived.cancel = race_cancel, .n = n, .left = n};
	int closing = 0, r = check(awaitables, n);

	if (ret_index)
		*ret_index = n;
	if (r == 0) {
		race.runners = kn_calloc(n, sizeof(*race.runners));
		r = race.runners ? 0 : kn_fail(-ENOMEM);
	}
	if (r < 0) {
		kn_several_release(awaitables, n);
		return r;
	}
	kn_future_init_derived(&race.future, kn_self.loop, &race.derived);
	race.cancelled = !kn_task_current(&closing);
	line_up(&race, awaitables);
	if (race.left)
		r = kn_task_await(kn_task_of(kn_self.task), &race.future);
	return finish(&race, closing < 0 ? closing : r, ret_index);
}
