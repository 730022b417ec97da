/* SPDX-License-Identifier: MIT */
/* shield.c - knit_shield(): a future that follows another one, but may be cancelled without it;
 * and knit_ensure_future().
 *
 * A shield is a derived future, the outer one. While the inner one is pending the shield is one of
 * its waiters; a pass after its completion the outer gets the same outcome. A value goes on being
 * the inner one's: only if somebody has retrieved it from the outer does it count as retrieved.
 * So the shield keeps its reference to the inner one until the outer is freed.
 *
 * If the outer is cancelled first, the shield stays to report a failure of the inner one. It has no
 * reference any more once the outer is gone: a shield alone keeps nothing in memory. */
#include "knit/wait.h"
#include "base/alloc.h"
#include "base/options.h"
#include "task/several.h"

struct shield {
	struct kn_derived derived;
	struct kn_waiter waiter;
	struct kn_ready ready;
	knit_future *outer; /* borrowed: it owns this; NULL: freed */
	knit_future *inner; /* counted while there is an outer, and while ready */
	bool told;          /* of the end of the inner one */
	bool followed;      /* the outer has its outcome */
	bool silent;        /* and otherwise its failure is nobody's concern */
};

static void shield_free(struct shield *shield)
{
	kn_list_del(&shield->waiter.link);
	kn_list_del(&shield->ready.link);
	kn_free(shield);
}

static void follow(struct shield *shield)
{
	knit_future *inner = shield->inner;

	shield->followed = true;
	if (knit_is_error(inner->outcome))
		inner->retrieved = true;
	if (inner->state == KN_CANCELLED)
		kn_future_complete(shield->outer, -KNIT_ECANCELLED, kn_message_ref(inner->message));
	else
		kn_future_finish(shield->outer, inner->outcome, kn_message_ref(inner->message));
}

/* The callback of the inner one. */
static void shield_run(struct kn_ready *ready)
{
	struct shield *shield = kn_container_of(ready, struct shield, ready);
	knit_future *inner = shield->inner;

	shield->told = true;
	if (shield->outer && !kn_future_is_done(shield->outer))
		follow(shield);
	else if (!shield->silent)
		kn_future_report(inner, "exception in shielded future");
	else if (knit_is_error(inner->outcome))
		inner->retrieved = true;
	if (!shield->outer)
		shield_free(shield);
	kn_future_release(inner);
}

static void shield_notify(struct kn_waiter *waiter, knit_future *inner)
{
	struct shield *shield = kn_container_of(waiter, struct shield, waiter);

	if (!kn_future_is_done(inner)) {
		shield_free(shield); /* it will never be done */
		return;
	}
	inner->refs++;
	kn_loop_ready(inner->loop, &shield->ready);
}

static void shield_drop(struct kn_derived *derived, knit_future *outer)
{
	struct shield *shield = kn_container_of(derived, struct shield, derived);
	knit_future *inner = shield->inner;
	bool due = !kn_list_empty(&shield->ready.link);

	if (shield->followed && outer->retrieved)
		inner->retrieved = true;
	shield->outer = NULL;
	if (outer->state != KN_CANCELLED || shield->told) {
		/* Nobody is there to be told, and nobody asked to be protected from a failure. */
		shield_free(shield);
		if (due)
			kn_future_release(inner);
	}
	kn_future_release(inner); /* may be its last, which frees the shield too */
}

static knit_future *shield_new(knit_future *inner, bool silent)
{
	struct shield *shield = kn_malloc(sizeof(*shield));
	knit_future *outer = shield ? kn_future_new(inner->loop) : NULL;

	if (!outer) {
		kn_free(shield);
		return NULL;
	}
	*shield = (struct shield){
	        .derived.drop = shield_drop,
	        .waiter.notify = shield_notify,
	        .ready.run = shield_run,
	        .outer = outer,
	        .inner = inner,
	        .silent = silent,
	};
	kn_list_init(&shield->ready.link);
	kn_list_add_tail(&inner->waiters, &shield->waiter.link);
	inner->refs++;
	outer->is_derived = true;
	outer->derived = &shield->derived;
	return outer;
}

static int shield(const knit_shield_options *options, knit_future **ret)
{
	knit_future *inner = options->awaitable;
	int r = kn_several_check(&inner, 1, inner ? inner->loop : NULL);

	if (r == 0 && kn_future_is_done(inner)) {
		*ret = knit_future_ref(inner);
		return 0;
	}
	if (r == 0)
		r = kn_loop_usable(inner->loop);
	if (r < 0)
		return r;
	*ret = shield_new(inner, options->silent);
	return *ret ? 0 : -ENOMEM;
}

knit_future *knit_shield_with(const knit_shield_options *given)
{
	knit_shield_options options;
	knit_future *outer = NULL;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r == 0)
		r = shield(&options, &outer);
	if (r < 0)
		kn_self.create_error = -r;
	return outer;
}

knit_future *(knit_shield)(knit_future *inner)
{
	return knit_shield(inner);
}

knit_future *knit_ensure_future(knit_future *awaitable)
{
	int r = kn_several_check(&awaitable, 1, kn_self.loop);

	if (r < 0) {
		kn_self.create_error = -r;
		return NULL;
	}
	return awaitable;
}
