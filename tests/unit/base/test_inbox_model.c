/* SPDX-License-Identifier: MIT */
/* test_inbox_model.c - the inbox in every interleaving of a few threads; see inbox_model.c.
 *
 * A search that cannot fail proves nothing, so the same search runs on protocols with one
 * mistake each, and has to find it. */
#include <stdatomic.h>
#include <stddef.h>
#include "inbox_model.h"
#include "test.h"

static const struct {
	int producers, pushes;
	uint32_t states_least; /* fewer would mean that something is not explored */
} sizes[] = {{1, 1, 20},   {1, 2, 50},   {2, 1, 150},  {2, 2, 700},
             {3, 1, 1000}, {4, 1, 5000}, {3, 2, 10000}};

static void expect_no_flaw(const struct protocol *protocol)
{
	size_t most = (size_t)test_scale(7, 7, 7, 5);

	for (size_t i = 0; i < most; i++) {
		struct model_result result = model_explore(protocol, sizes[i].producers,
		                                           sizes[i].pushes);

		cr_expect_eq(result.flaws, 0, "%d producers, %d posts: flaws %#x",
		             sizes[i].producers, sizes[i].pushes, result.flaws);
		cr_expect_not(result.too_large);
		cr_expect_geq(result.states, sizes[i].states_least, "%u states", result.states);
		if (sizes[i].producers > 1)
			cr_expect_eq(result.sights & SAW_ALL, SAW_ALL, "saw %#x", result.sights);
		if (protocol->extends && sizes[i].pushes > 1) {
			cr_expect(result.sights & SAW_EXTENDED);
			cr_expect(result.sights & SAW_NOT_EXTENDED);
		}
	}
}

Test(inbox_model, no_interleaving_loses_a_wake_or_a_post)
{
	static const struct protocol shipped = {.reuses = false};

	expect_no_flaw(&shipped);
}

Test(inbox_model, no_interleaving_is_confused_by_nodes_that_come_back)
{
	static const struct protocol shipped = {.reuses = true};

	expect_no_flaw(&shipped);
}

Test(inbox_model, no_interleaving_loses_what_was_added_to_a_batch)
{
	static const struct protocol shipped = {.extends = true};

	expect_no_flaw(&shipped);
}

/* ---- protocols with one mistake each ---------------------------------------------------- */

/* kn_inbox_push() with switches. */
static int push_with(int stage, bool keeps_flag, bool trusts_first_look, bool compares)
{
	uintptr_t word = atomic_load(&model_inbox.word), seen = model_seen();
	uintptr_t flag = (trusts_first_look ? seen : word) & KN_INBOX_SLEEPING;
	uintptr_t compared = trusts_first_look ? ~KN_INBOX_SLEEPING : UINTPTR_MAX;
	struct kn_inbox_node *node = model_pushing();

	if (word & KN_INBOX_SHUT)
		return KN_INBOX_CLOSED;
	if (stage == 0) {
		model_see(word);
		return -1;
	}
	if (compares && (word & compared) != (seen & compared)) {
		model_see((word & ~KN_INBOX_SLEEPING) | flag);
		return -1;
	}
	node->next = (struct kn_inbox_node *)((compares ? word : seen) & ~KN_INBOX_SLEEPING);
	atomic_store(&model_inbox.word, (uintptr_t)node | (keeps_flag ? flag : 0));
	return flag ? KN_INBOX_WAKE : KN_INBOX_PUSHED;
}

static int push_without_mistake(int stage)
{
	return push_with(stage, false, false, true);
}

static int push_that_leaves_the_flag(int stage)
{
	return push_with(stage, true, false, true);
}

static int push_that_trusts_its_first_look(int stage)
{
	return push_with(stage, false, true, true);
}

static int push_that_stores_without_comparing(int stage)
{
	return push_with(stage, false, false, false);
}

static int push_that_links_too_late(int stage)
{
	uintptr_t word = atomic_load(&model_inbox.word);

	if (stage == 1) {
		word = model_seen();
		model_pushing()->next = (struct kn_inbox_node *)(word & ~KN_INBOX_SLEEPING);
		return word & KN_INBOX_SLEEPING ? KN_INBOX_WAKE : KN_INBOX_PUSHED;
	}
	if (word & KN_INBOX_SHUT)
		return KN_INBOX_CLOSED;
	model_see(word);
	model_list();
	model_pushing()->next = NULL;
	atomic_store(&model_inbox.word, (uintptr_t)model_pushing());
	return -1;
}

/* kn_inbox_extend() with a look and a store instead of an exchange. */
static int extend_in_two_steps(int stage)
{
	struct kn_inbox_node *batch = model_batch(), *node = model_pushing();

	if (!batch || stage > 1)
		return (int)kn_inbox_push_word(&model_inbox, node, kn_inbox_batch(node, 1));
	if (stage == 0)
		return atomic_load(&model_inbox.word) == kn_inbox_batch(batch, 1) ? -1 : -2;
	atomic_store(&model_inbox.word, kn_inbox_batch(batch, 2));
	return KN_INBOX_PUSHED;
}

/* To go with a push that leaves the flag beside a node, which the library's never meets. */
static int take_without_the_flag(int stage)
{
	(void)stage;
	atomic_fetch_and(&model_inbox.word, ~KN_INBOX_SLEEPING);
	model_taken = kn_inbox_take(&model_inbox);
	return 0;
}

static int close_without_the_flag(int stage)
{
	(void)stage;
	atomic_fetch_and(&model_inbox.word, ~KN_INBOX_SLEEPING);
	model_taken = kn_inbox_close(&model_inbox);
	return 0;
}

static int sleep_in_two_steps(int stage)
{
	if (model_closed)
		return 1;
	if (stage == 0)
		return kn_inbox_pending(&model_inbox) ? 0 : -1;
	atomic_fetch_or(&model_inbox.word, KN_INBOX_SLEEPING);
	return 1;
}

static int sleep_without_saying_so(int stage)
{
	(void)stage;
	return !kn_inbox_pending(&model_inbox);
}

static int awake_that_clears_the_word(int stage)
{
	(void)stage;
	if (model_closed)
		return 0;
	return atomic_exchange(&model_inbox.word, 0) != KN_INBOX_SLEEPING;
}

static int awake_that_never_asks(int stage)
{
	uintptr_t word = KN_INBOX_SLEEPING;

	(void)stage;
	atomic_compare_exchange_strong(&model_inbox.word, &word, 0);
	return 0;
}

static int close_in_two_steps(int stage)
{
	if (stage == 0) {
		model_taken = kn_inbox_take(&model_inbox);
		model_receive(model_taken);
		return -1;
	}
	model_taken = NULL;
	atomic_store(&model_inbox.word, KN_INBOX_SHUT);
	return 0;
}

static void expect_flaw(const struct protocol *protocol, unsigned expected)
{
	struct model_result result = model_explore(protocol, 2, 2);

	cr_expect(result.flaws & expected, "found %#x, expected %#x", result.flaws, expected);
}

Test(inbox_model, the_search_passes_a_push_written_out)
{
	static const struct protocol written_out = {.push = push_without_mistake};

	expect_no_flaw(&written_out);
}

#define MISTAKE(name, expected, ...)                                 \
	Test(inbox_model, the_search_finds_##name)                   \
	{                                                            \
		static const struct protocol broken = {__VA_ARGS__}; \
		expect_flaw(&broken, expected);                      \
	}

MISTAKE(a_push_that_leaves_the_flag, DOUBLE_WAKE, .push = push_that_leaves_the_flag,
        .take = take_without_the_flag, .close = close_without_the_flag)
MISTAKE(a_push_that_trusts_its_first_look, LOST_WAKE | NOT_COLLECTED,
        .push = push_that_trusts_its_first_look)
MISTAKE(a_push_that_stores_without_comparing, NOT_ONCE | LOST_WAKE,
        .push = push_that_stores_without_comparing)
MISTAKE(a_push_that_links_too_late, NOT_ONCE, .push = push_that_links_too_late)
MISTAKE(an_extension_in_two_steps, NOT_ONCE | OPEN_AGAIN, .push = extend_in_two_steps,
        .extends = true)
MISTAKE(a_sleep_that_looks_first_and_announces_then, LOST_WAKE, .sleep = sleep_in_two_steps)
MISTAKE(a_sleep_that_is_not_announced, LOST_WAKE, .sleep = sleep_without_saying_so,
        .awake = awake_that_never_asks)
MISTAKE(an_awake_that_clears_the_word, LOST_WAKE | NOT_ONCE, .awake = awake_that_clears_the_word)
MISTAKE(an_awake_that_never_asks, WOKEN_BY_NOBODY, .awake = awake_that_never_asks)
MISTAKE(a_close_in_two_steps, NOT_ONCE | LOST_WAKE, .close = close_in_two_steps)
MISTAKE(an_owner_that_does_not_collect, WRITE_AFTER_CLOSE | NOT_COLLECTED, .forgets = true)
