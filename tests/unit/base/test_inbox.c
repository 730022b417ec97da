/* SPDX-License-Identifier: MIT */
/* test_inbox.c - the inbox, one call after the other: each state and what it answers. */
#include <stdint.h>
#include "base/inbox.h"
#include "test.h"

struct post {
	struct kn_inbox_node node; /* first, so that the cast below holds */
	uint32_t number;
};

static struct kn_inbox inbox;
static struct post posts[10];

static void make_inbox(void)
{
	kn_inbox_init(&inbox);
	for (uint32_t i = 0; i < 10; i++)
		posts[i] = (struct post){.number = i};
}

static void expect_list(struct kn_inbox_node *list, const char *digits)
{
	for (; *digits; digits++, list = list->next) {
		cr_assert_not_null(list);
		cr_assert_eq(((struct post *)list)->number, (uint32_t)(*digits - '0'));
	}
	cr_assert_null(list);
}

Test(inbox, an_empty_inbox_has_nothing_to_take, .init = make_inbox)
{
	cr_assert_not(kn_inbox_pending(&inbox));
	cr_assert_null(kn_inbox_take(&inbox));
}

Test(inbox, take_gives_everything_in_the_order_of_the_pushes, .init = make_inbox)
{
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(kn_inbox_push(&inbox, &posts[i].node), KN_INBOX_PUSHED);
		cr_assert(kn_inbox_pending(&inbox));
	}
	expect_list(kn_inbox_take(&inbox), "0123");
	cr_assert_not(kn_inbox_pending(&inbox));
	cr_assert_null(kn_inbox_take(&inbox));
	/* A node that was taken may be pushed again. */
	cr_assert_eq(kn_inbox_push(&inbox, &posts[2].node), KN_INBOX_PUSHED);
	expect_list(kn_inbox_take(&inbox), "2");
}

Test(inbox, only_the_first_push_to_a_sleeper_wakes_it, .init = make_inbox)
{
	cr_assert(kn_inbox_sleep(&inbox));
	cr_assert_not(kn_inbox_pending(&inbox), "sleeping is not a post");
	cr_assert_eq(kn_inbox_push(&inbox, &posts[0].node), KN_INBOX_WAKE);
	cr_assert_eq(kn_inbox_push(&inbox, &posts[1].node), KN_INBOX_PUSHED);
	cr_assert(kn_inbox_awake(&inbox), "the wake-up is owed");
	expect_list(kn_inbox_take(&inbox), "01");
	cr_assert_eq(kn_inbox_push(&inbox, &posts[2].node), KN_INBOX_PUSHED);
}

Test(inbox, who_has_posts_may_not_sleep, .init = make_inbox)
{
	kn_inbox_push(&inbox, &posts[0].node);
	cr_assert_not(kn_inbox_sleep(&inbox));
	cr_assert_eq(kn_inbox_push(&inbox, &posts[1].node), KN_INBOX_PUSHED);
	expect_list(kn_inbox_take(&inbox), "01");
	cr_assert(kn_inbox_sleep(&inbox));
}

Test(inbox, who_woke_for_another_reason_is_owed_nothing, .init = make_inbox)
{
	for (int i = 0; i < 3; i++) {
		cr_assert(kn_inbox_sleep(&inbox));
		cr_assert_not(kn_inbox_awake(&inbox));
		cr_assert_eq(kn_inbox_push(&inbox, &posts[i].node), KN_INBOX_PUSHED);
		cr_assert_not_null(kn_inbox_take(&inbox));
	}
}

/* The numbers of posts that list goes through, the latest push first, as the digits of a number. */
static unsigned counts_of(uintptr_t list)
{
	unsigned count, digits = 0;

	while (kn_inbox_next(&list, &count))
		digits = digits * 10 + count;
	return digits;
}

static _Alignas(KN_INBOX_BATCH_ALIGN) struct kn_inbox_node batch;
static _Alignas(KN_INBOX_BATCH_ALIGN) struct kn_inbox_node other_batch;

static enum kn_inbox_push push_batch(struct kn_inbox_node *node)
{
	return kn_inbox_push_word(&inbox, node, kn_inbox_batch(node, 1));
}

Test(inbox, a_batch_is_extended_until_another_push, .init = make_inbox)
{
	struct kn_inbox_node node;

	cr_assert_eq(push_batch(&batch), KN_INBOX_PUSHED);
	cr_assert(kn_inbox_extend(&inbox, &batch, 1));
	cr_assert(kn_inbox_extend(&inbox, &batch, 2));
	cr_assert_not(kn_inbox_extend(&inbox, &batch, 2), "it has three");
	cr_assert_eq(kn_inbox_push(&inbox, &node), KN_INBOX_PUSHED);
	cr_assert_not(kn_inbox_extend(&inbox, &batch, 3));
	cr_assert_eq(push_batch(&other_batch), KN_INBOX_PUSHED);
	cr_assert_not(kn_inbox_extend(&inbox, &batch, 3));
	cr_assert_eq(counts_of(kn_inbox_take_newest(&inbox)), 103);
	cr_assert_not(kn_inbox_extend(&inbox, &other_batch, 1), "it is taken");
	cr_assert_not(kn_inbox_pending(&inbox));
}

Test(inbox, a_batch_has_so_many_posts_at_most, .init = make_inbox)
{
	struct kn_inbox_node *node;
	uintptr_t list;
	unsigned count;

	cr_assert_eq(push_batch(&batch), KN_INBOX_PUSHED);
	for (unsigned i = 1; i < KN_INBOX_BATCH_MAX; i++)
		cr_assert(kn_inbox_extend(&inbox, &batch, i));
	list = kn_inbox_take_newest(&inbox);
	node = kn_inbox_next(&list, &count);
	cr_assert_eq(node, &batch);
	cr_assert_eq(count, KN_INBOX_BATCH_MAX);
	cr_assert_null(kn_inbox_next(&list, &count));
}

Test(inbox, only_the_push_of_a_batch_wakes, .init = make_inbox)
{
	cr_assert(kn_inbox_sleep(&inbox));
	cr_assert_not(kn_inbox_extend(&inbox, &batch, 1), "it was never pushed");
	cr_assert_eq(push_batch(&batch), KN_INBOX_WAKE);
	cr_assert(kn_inbox_extend(&inbox, &batch, 1));
	cr_assert(kn_inbox_awake(&inbox));
	cr_assert_not(kn_inbox_sleep(&inbox));
	cr_assert_eq(counts_of(kn_inbox_close_newest(&inbox)), 2);
	cr_assert_not(kn_inbox_extend(&inbox, &batch, 2), "it is closed");
	cr_assert_eq(push_batch(&batch), KN_INBOX_CLOSED);
}

Test(inbox, close_returns_what_came_before_and_refuses_what_comes_after, .init = make_inbox)
{
	struct kn_inbox_node *untouched = &posts[9].node;

	kn_inbox_push(&inbox, &posts[0].node);
	kn_inbox_push(&inbox, &posts[1].node);
	expect_list(kn_inbox_close(&inbox), "01");
	posts[2].node.next = untouched;
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(kn_inbox_push(&inbox, &posts[2].node), KN_INBOX_CLOSED);
		cr_assert_eq(posts[2].node.next, untouched, "the node is still the caller's");
		cr_assert_not(kn_inbox_pending(&inbox));
		cr_assert_null(kn_inbox_take(&inbox));
		cr_assert_null(kn_inbox_close(&inbox));
	}
}

Test(inbox, an_empty_inbox_can_be_closed, .init = make_inbox)
{
	cr_assert_null(kn_inbox_close(&inbox));
	cr_assert_eq(kn_inbox_push(&inbox, &posts[0].node), KN_INBOX_CLOSED);
}

Test(inbox, after_close_the_owner_may_wait_and_nobody_wakes_it, .init = make_inbox)
{
	kn_inbox_close(&inbox);
	for (int i = 0; i < 2; i++) {
		cr_assert(kn_inbox_sleep(&inbox));
		cr_assert_eq(kn_inbox_push(&inbox, &posts[0].node), KN_INBOX_CLOSED);
		cr_assert_not(kn_inbox_awake(&inbox));
	}
}

Test(inbox, in_a_forked_child_an_inbox_can_be_closed_asleep, .init = make_inbox)
{
	cr_assert(kn_inbox_sleep(&inbox));
	cr_assert_null(kn_inbox_close(&inbox));
	cr_assert_not(kn_inbox_awake(&inbox));
	cr_assert_eq(kn_inbox_push(&inbox, &posts[0].node), KN_INBOX_CLOSED);
	/* Also after a post that the parent's loop will be woken for. */
	make_inbox();
	cr_assert(kn_inbox_sleep(&inbox));
	cr_assert_eq(kn_inbox_push(&inbox, &posts[0].node), KN_INBOX_WAKE);
	expect_list(kn_inbox_close(&inbox), "0");
	cr_assert_not(kn_inbox_awake(&inbox));
}

static void sleep_twice(void *arg)
{
	(void)arg;
	(void)kn_inbox_sleep(&inbox);
	(void)kn_inbox_sleep(&inbox);
}

static void awake_without_sleep(void *arg)
{
	(void)arg;
	(void)kn_inbox_awake(&inbox);
}

Test(inbox, calls_out_of_turn_panic, .init = make_inbox)
{
	test_death(sleep_twice, NULL, "broken invariant");
	test_death(awake_without_sleep, NULL, "broken invariant");
}
