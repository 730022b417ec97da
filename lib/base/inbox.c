/* SPDX-License-Identifier: MIT */
/* inbox.c - the owner's side of the inbox.
 *
 * What happens to the word, who does it, and what it means:
 *
 *   0        -> SLEEPING   owner, sleep()   nothing to take, about to wait
 *   SLEEPING -> 0          owner, awake()   woken by something else; no wake-up is owed
 *   SLEEPING -> node       producer, push   this producer owes the wake-up
 *   0, node  -> node       producer, push   the owner is awake and will look
 *   node     -> node       producer, extend the same batch, with one post more
 *   node     -> 0          owner, take()
 *   any      -> CLOSED     owner, close()   final
 *
 * A wake-up cannot be lost: to wait, the owner must have stored SLEEPING over 0, so no node
 * is in the list, and the first push after that finds the flag, because all changes of one
 * word have one order that all threads agree on. It cannot be doubled: that push removes the
 * flag. Only the owner sets it again, and the owner first learns from awake() that a wake-up
 * is owed.
 *
 * The word may change from A to 0 and, with the same node, back to A between a producer's
 * load and its compare-and-swap. That is harmless: the producer has read nothing but the
 * word, and links its node to what the word holds now. It would not be harmless to extend(),
 * which writes into its batch before: see there who may call it. */
#include "base/error.h"
#include "base/inbox.h"

_Static_assert(_Alignof(struct kn_inbox_node) > KN_INBOX_BATCH, "a node's address has free bits");

void kn_inbox_init(struct kn_inbox *inbox)
{
	atomic_init(&inbox->word, 0);
}

/* The word holds the latest push; the list begins with the first one. */
static struct kn_inbox_node *reversed(struct kn_inbox_node *node)
{
	struct kn_inbox_node *list = NULL;

	while (node) {
		struct kn_inbox_node *below = node->next;

		node->next = list;
		list = node;
		node = below;
	}
	return list;
}

uintptr_t kn_inbox_take_newest(struct kn_inbox *inbox)
{
	/* Without a node there is nothing to exchange; this also keeps CLOSED, which is never
	 * in the word together with a node. */
	if (!kn_inbox_pending(inbox))
		return 0;
	/* Acquire: pairs with the release of each push in the list, see there. No release:
	 * a producer reads nothing that the owner wrote. */
	return atomic_exchange_explicit(&inbox->word, 0, memory_order_acquire);
}

struct kn_inbox_node *kn_inbox_take(struct kn_inbox *inbox)
{
	return reversed((struct kn_inbox_node *)kn_inbox_take_newest(inbox));
}

KN_HOT bool kn_inbox_sleep(struct kn_inbox *inbox)
{
	uintptr_t word = 0;

	/* Relaxed: no node changes hands. The producer that finds the flag learns from it
	 * only that it has to wake the owner, by means that it has had all along. */
	if (atomic_compare_exchange_strong_explicit(&inbox->word, &word, KN_INBOX_SLEEPING,
	                                            memory_order_relaxed, memory_order_relaxed))
		return true;
	kn_assert(word != KN_INBOX_SLEEPING);
	return word == KN_INBOX_SHUT;
}

KN_HOT bool kn_inbox_awake(struct kn_inbox *inbox)
{
	uintptr_t word = KN_INBOX_SLEEPING;

	/* Relaxed: a node that is there now is acquired by the take() that follows. */
	if (atomic_compare_exchange_strong_explicit(&inbox->word, &word, 0, memory_order_relaxed,
	                                            memory_order_relaxed))
		return false;
	kn_assert(word != 0);
	return word != KN_INBOX_SHUT;
}

uintptr_t kn_inbox_close_newest(struct kn_inbox *inbox)
{
	/* Acquire for the nodes, as in take(); release for what a refused producer may go on
	 * to look at, such as the state of the loop. */
	uintptr_t word = atomic_exchange_explicit(&inbox->word, KN_INBOX_SHUT,
	                                          memory_order_acq_rel);

	return word & (KN_INBOX_SHUT | KN_INBOX_SLEEPING) ? 0 : word;
}

struct kn_inbox_node *kn_inbox_close(struct kn_inbox *inbox)
{
	return reversed((struct kn_inbox_node *)kn_inbox_close_newest(inbox));
}
