/* SPDX-License-Identifier: MIT */
/* test_items.c - the three orders of a queue's items, against plain arrays. */
#include "test.h"
#include "base/alloc.h"
#include "sync/items.h"
#include <errno.h>
#include <string.h>

#define MODEL 300

static intptr_t model[MODEL];
static int modelled;

static unsigned next_random(unsigned *state)
{
	*state = *state * 1103515245u + 12345u;
	return *state >> 16;
}

/* Takes out of the model what the order has to give. */
static intptr_t take(const struct kn_order *order)
{
	int at = order == &kn_order_lifo ? modelled - 1 : 0;
	intptr_t item;

	if (order == &kn_order_priority)
		for (int i = 1; i < modelled; i++)
			if (model[i] / 100 < model[at] / 100)
				at = i;
	item = model[at];
	memmove(&model[at], &model[at + 1], (size_t)(--modelled - at) * sizeof(model[0]));
	return item;
}

/* Equal ones differ in the last two digits, so that their order can be seen. */
static int compare_hundreds(intptr_t one, intptr_t other)
{
	return (int)(one / 100 - other / 100);
}

static void compare_with_model(const struct kn_order *order, unsigned random)
{
	struct kn_items items = {.order = order, .compare = compare_hundreds};

	modelled = 0;
	for (int i = 0; i < 5000; i++) {
		/* Now more comes in, now more goes out. */
		bool push = next_random(&random) % 100 < (i / 500 % 2 ? 35u : 65u);

		if (push && modelled < MODEL) {
			intptr_t item = next_random(&random) % 8 * 100 + i % 100;

			cr_assert_eq(kn_items_reserve(&items), 0);
			order->push(&items, item);
			model[modelled++] = item;
		} else if (!push && modelled) {
			cr_assert_eq(order->pop(&items), take(order));
		}
		cr_assert_eq(items.count, (size_t)modelled);
	}
	kn_items_done(&items);
}

Test(items, each_order_does_as_a_plain_array_does)
{
	for (unsigned seed = 1; seed <= 10; seed++) {
		compare_with_model(&kn_order_fifo, seed);
		compare_with_model(&kn_order_lifo, seed);
		compare_with_model(&kn_order_priority, seed);
	}
}

Test(items, without_memory_nothing_is_lost)
{
	struct kn_items items = {.order = &kn_order_fifo};
	int pushed = 0;

	kn_alloc_fail_after(1);
	while (kn_items_reserve(&items) == 0)
		kn_order_fifo.push(&items, ++pushed);
	kn_alloc_fail_after(-1);
	cr_assert_gt(pushed, 0);
	cr_assert_eq(kn_items_reserve(&items), 0);
	for (int i = 1; i <= pushed; i++)
		cr_assert_eq(kn_order_fifo.pop(&items), i);
	kn_items_done(&items);
}
