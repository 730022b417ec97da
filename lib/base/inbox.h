/* SPDX-License-Identifier: MIT */
/* inbox.h - the lock-free queue through which other threads reach a loop.
 *
 * Many producers push, the loop takes everything at once. The whole state is ONE
 * word: the top of a stack of nodes, and two flags in the bits that its alignment
 * leaves free. Hence each race is decided by one compare-and-swap, and there is
 * nothing to order between two variables:
 *
 *   SLEEPING  set by the loop with the list empty, before it waits in the kernel.
 *             The push that finds it clears it in the same step, and with that owes
 *             the loop one wake-up; no other push does.
 *   CLOSED    set by the loop, once. A push that finds it is refused. A push that
 *             came before is in the list that kn_inbox_close() returns.
 *
 * Nodes are complete before they are linked, so the loop never meets a node that
 * is still being written. A node is not touched by the queue after it was taken. */
#ifndef KN_BASE_INBOX_H
#define KN_BASE_INBOX_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"

struct kn_inbox_node {
	struct kn_inbox_node *next; /* valid in lists that take() and close() return */
};

struct kn_inbox {
	_Alignas(KN_CACHE_PAIR) _Atomic(uintptr_t) word;
};

enum kn_inbox_push {
	KN_INBOX_PUSHED, /* in the list; somebody awake will see it */
	KN_INBOX_WAKE,   /* in the list; the caller must wake the loop, now */
	KN_INBOX_CLOSED, /* refused; the node is still the caller's */
};

void kn_inbox_init(struct kn_inbox *inbox);

/* Any thread. */
enum kn_inbox_push kn_inbox_push(struct kn_inbox *inbox, struct kn_inbox_node *node);

/* The rest is for the owner only. */

/* Is there something to take? One relaxed load. */
bool kn_inbox_pending(const struct kn_inbox *inbox);

/* Everything pushed so far, in the order of the pushes, linked by next. */
struct kn_inbox_node *kn_inbox_take(struct kn_inbox *inbox);

/* Announces that the owner will wait. False if there is something to take: then it
 * must not. */
bool kn_inbox_sleep(struct kn_inbox *inbox);

/* Ends what kn_inbox_sleep() announced. True if a producer has taken it upon itself
 * to wake the owner: its wake-up has come or will still come, exactly one. */
bool kn_inbox_awake(struct kn_inbox *inbox);

/* Refuses all later pushes and returns the earlier ones, as take() does. */
struct kn_inbox_node *kn_inbox_close(struct kn_inbox *inbox);
#endif
