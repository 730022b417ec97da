/* SPDX-License-Identifier: MIT */
/* error.h - recorded failures: code, text and place, shared by reference between
 * the task that failed and those that awaited it. The public side is knit/error.h. */
#ifndef KN_BASE_ERROR_H
#define KN_BASE_ERROR_H
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "knit/error.h"

struct kn_message {
	uint32_t refs; /* not atomic: a message stays on its thread, copies cross */
	int code;      /* positive */
	int line;
	const char *file; /* static storage, may be NULL */
	char text[];
};

/* A message with one reference, or NULL without memory. @format NULL: knit_strerror(). */
struct kn_message *kn_message_new(const char *file, int line, int code, const char *format, ...)
        KN_PRINTF(4, 5);
struct kn_message *kn_message_ref(struct kn_message *message); /* NULL in, NULL out */
void kn_message_drop(struct kn_message *message);              /* one reference; not NULL */

/* Drops a reference if there is one. Returns NULL. */
static inline struct kn_message *kn_message_unref(struct kn_message *message)
{
	if (kn_unlikely(message != NULL))
		kn_message_drop(message);
	return NULL;
}

/* Makes @message (its reference is consumed; NULL clears) the running task's record. */
void kn_message_record(struct kn_message *message);

/* For a failure without a text of its own: clears the record, which is about another one. Returns
 * @error. */
KN_COLD int kn_fail(int error);

/* The running task's record if it is about @outcome, else NULL; borrowed. */
struct kn_message *kn_message_recorded(intptr_t outcome);

/* Ends the process: a line "knit: ..." to the abort hook or stderr, then abort().
 * For what would corrupt memory if it were let pass. */
KN_COLD KN_NORETURN void kn_panic(const char *format, ...) KN_PRINTF(1, 2);

/* An invariant of the library itself; on in every build, so keep it O(1). */
#define kn_assert(condition)                                                                     \
	do {                                                                                     \
		if (kn_unlikely(!(condition)))                                                   \
			kn_panic("%s:%d: broken invariant: %s", __FILE__, __LINE__, #condition); \
	} while (0)
#endif
