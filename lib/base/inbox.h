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
 * is still being written. A node is not touched by the queue after it was taken.
 *
 * A node may be a batch, which stands for several posts. How many is in the word, beside the
 * batch's address. So the producer that pushed it can add another, by one compare-and-swap as for
 * a push, as long as nobody has pushed anything since and the loop has taken nothing. The loop has
 * fewer nodes to look at then, and posts that lie side by side. Whoever extends a batch has to know
 * that nobody else can have pushed the same one anew meanwhile. */
#ifndef KN_BASE_INBOX_H
#define KN_BASE_INBOX_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"

struct kn_inbox_node {
	/* Valid in lists that take() and close() return; aligned for the bits that a pointer to it
	 * has to have free. */
	_Alignas(8) struct kn_inbox_node *next;
};

struct kn_inbox {
	_Alignas(KN_CACHE_PAIR) _Atomic(uintptr_t) word;
};

#define KN_INBOX_SLEEPING ((uintptr_t)1)
#define KN_INBOX_SHUT     ((uintptr_t)2) /* CLOSED, which the results below have taken */
#define KN_INBOX_BATCH                                                             \
	((uintptr_t)4) /* the node is a batch, and the bits above tell of how many \
	                */

/* A batch's alignment leaves bits for the number of its posts, less one. */
#define KN_INBOX_COUNT_SHIFT 3
#define KN_INBOX_BATCH_MAX   16
#define KN_INBOX_BATCH_ALIGN (KN_INBOX_BATCH_MAX << KN_INBOX_COUNT_SHIFT)

enum kn_inbox_push {
	KN_INBOX_PUSHED, /* in the list; somebody awake will see it */
	KN_INBOX_WAKE,   /* in the list; the caller must wake the loop, now */
	KN_INBOX_CLOSED, /* refused; the node is still the caller's */
};

void kn_inbox_init(struct kn_inbox *inbox);

/* The word that leads to @batch with @count posts. */
static inline uintptr_t kn_inbox_batch(const struct kn_inbox_node *batch, unsigned count)
{
	return (uintptr_t)batch | KN_INBOX_BATCH | (uintptr_t)(count - 1) << KN_INBOX_COUNT_SHIFT;
}

/* Pushes @node, to which @pushed leads: its address, or that of a batch with one post. */
static inline enum kn_inbox_push kn_inbox_push_word(struct kn_inbox *inbox,
                                                    struct kn_inbox_node *node, uintptr_t pushed)
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
	        &inbox->word, &word, pushed, memory_order_release, memory_order_relaxed)));
	return word & KN_INBOX_SLEEPING ? KN_INBOX_WAKE : KN_INBOX_PUSHED;
}

/* Any thread. After KN_INBOX_CLOSED the caller sees what the owner did before it closed. */
static inline enum kn_inbox_push kn_inbox_push(struct kn_inbox *inbox, struct kn_inbox_node *node)
{
	return kn_inbox_push_word(inbox, node, (uintptr_t)node);
}

/* Adds a post, which is written, to @batch, which has @count of them. False: it is not the latest
 * push any more, and that remains so. A wake-up is never owed: where there is a node, the owner
 * does not sleep, or somebody has woken it already. */
static inline bool kn_inbox_extend(struct kn_inbox *inbox, struct kn_inbox_node *batch,
                                   unsigned count)
{
	uintptr_t word = kn_inbox_batch(batch, count);

	/* Release, as in a push. */
	return atomic_compare_exchange_strong_explicit(&inbox->word, &word,
	                                               kn_inbox_batch(batch, count + 1),
	                                               memory_order_release, memory_order_relaxed);
}

/* The rest is for the owner only. */

/* Is there something to take? One relaxed load: a node that is just being pushed is
 * found by the next look, or by kn_inbox_sleep(). */
static inline bool kn_inbox_pending(const struct kn_inbox *inbox)
{
	uintptr_t word = atomic_load_explicit(&inbox->word, memory_order_relaxed);

	return (word & ~(KN_INBOX_SLEEPING | KN_INBOX_SHUT)) != 0;
}

/* Everything pushed so far, in the order of the pushes, linked by next; NULL if nothing. Where
 * nobody pushes batches. */
struct kn_inbox_node *kn_inbox_take(struct kn_inbox *inbox);
/* The same, the latest push first, for kn_inbox_next(): for who turns the order round while it
 * looks at each anyway. */
uintptr_t kn_inbox_take_newest(struct kn_inbox *inbox);

/* The first node of a list that take_newest() or close_newest() returned, which goes on with the
 * one pushed before; NULL at the end. *@ret_count: of a batch's posts; 0 if it is none. */
static inline struct kn_inbox_node *kn_inbox_next(uintptr_t *list, unsigned *ret_count)
{
	uintptr_t word = *list;
	struct kn_inbox_node *node = (struct kn_inbox_node *)word;

	*ret_count = 0;
	if (word & KN_INBOX_BATCH) {
		node = (struct kn_inbox_node *)(word & ~(uintptr_t)(KN_INBOX_BATCH_ALIGN - 1));
		*ret_count = 1 + (unsigned)(word - (uintptr_t)node) / (1 << KN_INBOX_COUNT_SHIFT);
	}
	if (node)
		*list = (uintptr_t)node->next;
	return node;
}

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
uintptr_t kn_inbox_close_newest(struct kn_inbox *inbox); /* see take_newest() */
#endif
