/* SPDX-License-Identifier: MIT */
/* debug.h - debug mode: where things were created, and what took too long.
 *
 * When it is off it costs one branch for each thing that is made and each that runs. */
#ifndef KN_LOOP_DEBUG_H
#define KN_LOOP_DEBUG_H
#include "loop/loop.h"

/* ---- where something was created ----------------------------------------------------- */

/* The calls that led to it, the innermost first; counted, on one thread. */
struct kn_origin;

KN_COLD struct kn_origin *kn_origin_here(void); /* NULL without memory */
struct kn_origin *kn_origin_ref(struct kn_origin *origin);
void kn_origin_drop(struct kn_origin *origin); /* one reference; not NULL */

/* Drops a reference if there is one. */
static inline void kn_origin_unref(struct kn_origin *origin)
{
	if (kn_unlikely(origin != NULL))
		kn_origin_drop(origin);
}

/* "main+0x1c < start+0x20": NULL for no origin, else @buffer. */
const char *kn_origin_print(const struct kn_origin *origin, char *buffer, size_t size);

/* Of what is made now, if that is asked for. */
static inline struct kn_origin *kn_origin_note(const struct knit_loop *loop)
{
	return kn_unlikely(loop->debug) ? kn_origin_here() : NULL;
}

#define KN_ORIGIN_TEXT 512 /* room for most of them */

/* ---- what runs ----------------------------------------------------------------------- */

/* What is about to run: it may be gone afterwards. */
struct kn_subject {
	char what[128];           /* "task 'NAME'", "callback ADDRESS" */
	struct kn_origin *origin; /* counted */
};

void kn_subject_callback(struct kn_subject *subject, uintptr_t callback, struct kn_origin *origin);

/* Each fills in @subject if @ready is of its kind. */
bool kn_callback_describe(struct kn_ready *ready, struct kn_subject *subject);
bool kn_post_describe(struct kn_ready *ready, struct kn_subject *subject);
bool kn_signal_describe(struct kn_ready *ready, struct kn_subject *subject);

/* Runs @ready and reports if that took long. */
KN_COLD void kn_loop_run_watched(struct knit_loop *loop, struct kn_ready *ready);

/* @wanted: 1 on, -1 off, 0 as the environment says. */
void kn_debug_init(struct knit_loop *loop, int wanted);
#endif
