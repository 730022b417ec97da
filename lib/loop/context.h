/* SPDX-License-Identifier: MIT */
/* context.h - context variables from the inside: what is captured, and what is current.
 *
 * The variables of a context are an immutable, counted map. "Current" is one word, a struct
 * kn_vars *, which belongs to whatever runs: a task, a callback's frame, or the thread outside of
 * both. The word is NULL while nothing was ever set, a map that was
 * captured, or a context, which is made at the first set: it has an identity, and a map that can
 * be replaced. So capturing is one load, and one count where there is something to capture; it
 * never allocates. A map that only one context refers to is changed in place.
 *
 * Counts are atomic, since maps and contexts cross threads. A context itself is used by one thread
 * at a time, which whoever puts one into a word checks. */
#ifndef KN_LOOP_CONTEXT_H
#define KN_LOOP_CONTEXT_H
#include <stdatomic.h>
#include <stdbool.h>
#include "base/compiler.h"
#include "base/thread.h"
#include "knit/context.h"

/* The beginning of a map and of a context. */
struct kn_vars {
	atomic_uint refs;
	bool is_context;
};

/* The word that is current. */
static inline struct kn_vars **kn_vars_here(void)
{
	if (kn_self.vars)
		return kn_self.vars;
	if (kn_self.message) /* a task runs: no store of its own tells us */
		return &kn_container_of(kn_self.message, struct kn_current, record)->vars;
	return &kn_self.own_vars;
}

struct kn_vars *kn_vars_snapshot(struct kn_vars *vars);
void kn_vars_drop(struct kn_vars *vars);

/* What a callback or task that is made now will see; counted. NULL: nothing was ever set. */
static inline struct kn_vars *kn_vars_capture(void)
{
	struct kn_vars *vars = *kn_vars_here();

	return kn_likely(!vars) ? NULL : kn_vars_snapshot(vars);
}

/* The same for @context, which is shared, not copied; NULL: captures. 0, or -KNIT_EWRONGTHREAD:
 * another thread uses it. */
KN_NODISCARD int kn_vars_take(knit_context *context, struct kn_vars **ret);

/* Another reference to what these returned: the same context, or the same map. */
struct kn_vars *kn_vars_again(struct kn_vars *vars);

/* Drops what these returned, on the thread that took it. */
static inline void kn_vars_release(struct kn_vars *vars)
{
	if (kn_unlikely(vars != NULL))
		kn_vars_drop(vars);
}

/* What a callback has set in the thread's own word, which was empty: see run.c. */
KN_COLD void kn_vars_drop_own(void);

/* Around a callback that sees something: its word, and the one of before. */
struct kn_vars_frame {
	struct kn_vars *vars; /* owned; the callback may replace it */
	struct kn_vars **before;
};

/* Makes @vars, which is consumed, current. */
static inline void kn_vars_enter(struct kn_vars_frame *frame, struct kn_vars *vars)
{
	frame->vars = vars;
	frame->before = kn_self.vars;
	kn_self.vars = &frame->vars;
}

static inline void kn_vars_leave(struct kn_vars_frame *frame)
{
	kn_self.vars = frame->before;
	kn_vars_release(frame->vars);
}
#endif
