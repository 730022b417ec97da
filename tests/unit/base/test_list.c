/* SPDX-License-Identifier: MIT */
/* test_list.c - the intrusive list, against what a reader of its header expects. */
#include "base/list.h"
#include "test.h"

struct item {
	int value;
	struct kn_list link;
};

#define COUNT 10

static struct item items[COUNT];

static void make_items(void)
{
	for (int i = 0; i < COUNT; i++) {
		items[i].value = i;
		kn_list_init(&items[i].link);
	}
}

/* Checks the values from both ends, and that the list is one ring. */
static void expect_values(const struct kn_list *head, const char *digits)
{
	char forward[COUNT + 1], backward[COUNT + 1];
	size_t n = 0;

	kn_list_for_each (node, head) {
		cr_assert_lt(n, COUNT, "the list does not end");
		cr_assert_eq(node->next->prev, node);
		cr_assert_eq(node->prev->next, node);
		forward[n++] = (char)('0' + kn_list_entry(node, struct item, link)->value);
	}
	forward[n] = backward[n] = '\0';
	for (const struct kn_list *node = head->prev; node != head; node = node->prev)
		backward[--n] = (char)('0' + kn_list_entry(node, struct item, link)->value);
	cr_assert_eq(n, 0);
	cr_assert_str_eq(forward, digits);
	cr_assert_str_eq(backward, digits);
	cr_assert_eq(kn_list_empty(head), digits[0] == '\0');
}

Test(list, a_new_head_is_empty_by_either_initialiser, .init = make_items)
{
	struct kn_list fixed = KN_LIST_INIT(fixed), list;

	kn_list_init(&list);
	expect_values(&fixed, "");
	expect_values(&list, "");
	cr_assert_null(kn_list_first(&list, struct item, link));
}

Test(list, tail_appends_and_head_prepends, .init = make_items)
{
	struct kn_list list = KN_LIST_INIT(list);

	kn_list_add_tail(&list, &items[1].link);
	kn_list_add_tail(&list, &items[2].link);
	kn_list_add_head(&list, &items[0].link);
	kn_list_add_tail(&list, &items[3].link);
	expect_values(&list, "0123");
	cr_assert_eq(kn_list_first(&list, struct item, link), &items[0]);
}

Test(list, any_node_can_be_taken_out_and_twice_is_harmless, .init = make_items)
{
	for (int out = 0; out < 3; out++) {
		static const char *const rest[] = {"12", "02", "01"};
		struct kn_list list = KN_LIST_INIT(list);

		for (int i = 0; i < 3; i++)
			kn_list_add_tail(&list, &items[i].link);
		kn_list_del(&items[out].link);
		expect_values(&list, rest[out]);
		cr_assert(kn_list_empty(&items[out].link));
		kn_list_del(&items[out].link);
		expect_values(&list, rest[out]);
		/* It may go into a list again. */
		kn_list_add_head(&list, &items[out].link);
		cr_assert_eq(kn_list_first(&list, struct item, link), &items[out]);
		for (int i = 0; i < 3; i++)
			kn_list_del(&items[i].link);
		expect_values(&list, "");
	}
}

Test(list, a_node_that_was_only_initialised_can_be_taken_out, .init = make_items)
{
	kn_list_del(&items[0].link);
	cr_assert(kn_list_empty(&items[0].link));
}

Test(list, splice_moves_everything_in_order, .init = make_items)
{
	static const char *const both[3][3] = {
	        {"", "5", "56"},
	        {"0", "05", "056"},
	        {"01", "015", "0156"},
	};

	for (int left = 0; left < 3; left++) {
		for (int right = 0; right < 3; right++) {
			struct kn_list to = KN_LIST_INIT(to), from = KN_LIST_INIT(from);

			make_items();
			for (int i = 0; i < left; i++)
				kn_list_add_tail(&to, &items[i].link);
			for (int i = 0; i < right; i++)
				kn_list_add_tail(&from, &items[5 + i].link);
			kn_list_splice_tail(&to, &from);
			expect_values(&to, both[left][right]);
			expect_values(&from, "");
			/* Both can be used on. */
			kn_list_add_tail(&to, &items[9].link);
			kn_list_add_tail(&from, &items[8].link);
			expect_values(&from, "8");
			cr_assert_eq(to.prev, &items[9].link);
		}
	}
}

Test(list, the_safe_walk_allows_taking_out_the_current_node, .init = make_items)
{
	struct kn_list list = KN_LIST_INIT(list);
	int seen = 0;

	for (int i = 0; i < COUNT; i++)
		kn_list_add_tail(&list, &items[i].link);
	kn_list_for_each_safe (node, &list) {
		struct item *item = kn_list_entry(node, struct item, link);

		cr_assert_eq(item->value, seen++);
		if (item->value % 2)
			kn_list_del(node);
	}
	cr_assert_eq(seen, COUNT);
	expect_values(&list, "02468");
	kn_list_for_each_safe (node, &list)
		kn_list_del(node);
	expect_values(&list, "");
}
