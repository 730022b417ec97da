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
 * So the word is one of four things: 0 (empty), a pointer, SLEEPING, or CLOSED.
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

#define KN_INBOX_SLEEPING ((uintptr_t)1)
#define KN_INBOX_SHUT     ((uintptr_t)2) /* CLOSED, which the results below have taken */

enum kn_inbox_push {
	KN_INBOX_PUSHED, /* in the list; somebody awake will see it */
	KN_INBOX_WAKE,   /* in the list; the caller must wake the loop, now */
	KN_INBOX_CLOSED, /* refused; the node is still the caller's */
};

void kn_inbox_init(struct kn_inbox *inbox);

/* Any thread. After KN_INBOX_CLOSED the caller sees what the owner did before it closed. */
static inline enum kn_inbox_push kn_inbox_push(struct kn_inbox *inbox, struct kn_inbox_node *node)
{
	/* Relaxed: the value is a guess that the compare-and-swap verifies, and the node that
	 * it may point to is not looked into. */
	uintptr_t word = atomic_load_explicit(&inbox->word, memory_order_relaxed);

	do {
		if (kn_unlikely(word == KN_INBOX_SHUT)) {
			/* The word is final, so a second look finds the same; acquire pairs with
			 * the release in kn_inbox_close(). */
			(void)atomic_load_explicit(&inbox->word, memory_order_acquire);
			return KN_INBOX_CLOSED;
		}
		node->next = (struct kn_inbox_node *)(word & ~KN_INBOX_SLEEPING);
		/* Release: whoever acquires the word after this sees the node, and, because
		 * read-modify-writes carry on a release sequence, those below it too. No
		 * acquire: nothing that another thread wrote is read here. Nor is a fence
		 * needed against a lost wake-up: "is the owner asleep?" and "add the node"
		 * are one step on one word, and so are "is it empty?" and "sleep". */
	} while (kn_unlikely(!atomic_compare_exchange_weak_explicit(
	        &inbox->word, &word, (uintptr_t)node, memory_order_release, memory_order_relaxed)));
	return word & KN_INBOX_SLEEPING ? KN_INBOX_WAKE : KN_INBOX_PUSHED;
}

/* The rest is for the owner only. */

/* Is there something to take? One relaxed load: a node that is just being pushed is
 * found by the next look, or by kn_inbox_sleep(). */
static inline bool kn_inbox_pending(const struct kn_inbox *inbox)
{
	uintptr_t word = atomic_load_explicit(&inbox->word, memory_order_relaxed);

	return (word & ~(KN_INBOX_SLEEPING | KN_INBOX_SHUT)) != 0;
}

/* Everything pushed so far, in the order of the pushes, linked by next; NULL if nothing. */
struct kn_inbox_node *kn_inbox_take(struct kn_inbox *inbox);
/* The same, the latest push first: for who turns the order round while it looks at each anyway. */
struct kn_inbox_node *kn_inbox_take_newest(struct kn_inbox *inbox);

/* Announces that the owner will wait. False if there is something to take: then it
 * must not. True once the inbox is closed: the owner may wait, and nobody will wake it. */
bool kn_inbox_sleep(struct kn_inbox *inbox);

/* Ends what kn_inbox_sleep() announced with true. True if a producer has taken it upon
 * itself to wake the owner: its wake-up has come or will still come, exactly one. */
bool kn_inbox_awake(struct kn_inbox *inbox);

/* Refuses all later pushes and returns the earlier ones, as take() does. Closing twice
 * returns NULL. After sleep(), call awake() first: afterwards it answers false, even if a
 * wake-up is still on its way. Only where that cannot matter, in the child of a fork() that
 * met the owner asleep, it may be left out. */
struct kn_inbox_node *kn_inbox_close(struct kn_inbox *inbox);
struct kn_inbox_node *kn_inbox_close_newest(struct kn_inbox *inbox); /* see take_newest() */
#endif
