/* SPDX-License-Identifier: MIT */
/* inbox_model.c - every interleaving of a few producers and an owner.
 *
 * A state is the inbox's word, the links of its nodes, an eventfd, and where each thread is.
 * A step is what one thread does between two points at which another may come in: one atomic
 * operation, one read or write of the eventfd. From the first state all steps of all threads
 * are followed, breadth first, each state once, so the search ends, and what it did not find
 * is not there, for as many producers and posts. The owner takes, sleeps, wakes for reasons
 * of its own, and closes, in any order.
 *
 * Steps call the library's own functions, on a real inbox that is set from the state before
 * and read back after. Only the loop in kn_inbox_push() is taken apart, into the look and
 * the compare-and-swap. The memory is sequentially consistent here; inbox.h argues why one
 * word needs no more.
 *
 * The operations can be exchanged for others, to show that the search finds mistakes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "inbox_model.h"

#define PRODUCERS_MOST 4
#define PUSHES_MOST    2
#define NODES          (PRODUCERS_MOST * PUSHES_MOST)
#define STATES_MOST    (1u << 20)
#define TABLE_SIZE     (2 * STATES_MOST)

enum place { AWAKE, ASLEEP, WOKEN, OWED, ENDED };

/* Nodes are numbered from 1; a word is 4 * node, or flags, as the real one; and TWO for a batch
 * that was extended. */
#define NODE 0x3c
#define TWO  0x40

struct state {
	uint8_t word;
	uint8_t next[NODES], label[NODES]; /* label: which push of its producer a node stands for */
	uint8_t owner, owner_stage;        /* enum place; how far it is within an operation */
	uint8_t closed, written, fd_closed;
	struct {
		uint8_t stage, must_write, pushes, seen, listed, accepted, received, refused;
	} producer[PRODUCERS_MOST];
};

static struct protocol protocol;
static int producer_count, push_count;
static struct state now; /* the state that is being stepped from */
static unsigned flaws, sights;

/* The real thing, loaded from `now` and stored to it. */
struct kn_inbox model_inbox;
struct kn_inbox_node *model_taken;
bool model_closed;
static struct {
	_Alignas(KN_INBOX_BATCH_ALIGN) struct kn_inbox_node node;
	int posts; /* that it brought, once it was taken */
} nodes[NODES];
static int pushing; /* the producer whose operation it is */

static int number_of(const struct kn_inbox_node *node)
{
	return (int)(kn_container_of(node, __typeof__(nodes[0]), node) - nodes);
}

static uintptr_t wide(uint8_t word)
{
	struct kn_inbox_node *node = word & NODE ? &nodes[word / 4 % 16 - 1].node : NULL;

	if (node && protocol.extends)
		return kn_inbox_batch(node, word & TWO ? 2 : 1);
	return (uintptr_t)node | (word & 3);
}

static uint8_t narrow(uintptr_t word)
{
	uintptr_t list = word & ~(uintptr_t)3;
	unsigned count;
	struct kn_inbox_node *node = kn_inbox_next(&list, &count);

	return (uint8_t)((node ? (number_of(node) + 1) * 4 : 0) | (int)(word & 3) |
	                 (count == 2 ? TWO : 0));
}

static void load_inbox(void)
{
	atomic_store(&model_inbox.word, wide(now.word));
	model_closed = now.closed;
	for (int i = 0; i < NODES; i++)
		nodes[i].node.next = (struct kn_inbox_node *)wide(now.next[i]);
}

/* Links of nodes that are in nobody's hands mean nothing: without them, fewer states. */
static void store_inbox(void)
{
	now.word = narrow(atomic_load(&model_inbox.word));
	for (int i = 0; i < NODES; i++)
		now.next[i] = narrow((uintptr_t)nodes[i].node.next);
	for (int i = 0; i < NODES; i++) {
		int producer = i / PUSHES_MOST;
		bool linked = false;

		for (uint8_t at = now.word & NODE, n = 0; at && n < NODES; n++) {
			linked |= at / 4 - 1 == i;
			at = now.next[at / 4 - 1] & NODE;
		}
		if (!linked && now.producer[producer].stage == 0)
			now.next[i] = 0;
	}
}

static struct kn_inbox_node *node_of(int producer)
{
	int number = protocol.reuses ? 0 : now.producer[producer].pushes;

	return &nodes[producer * PUSHES_MOST + number].node;
}

struct kn_inbox_node *model_pushing(void)
{
	return node_of(pushing);
}

struct kn_inbox_node *model_batch(void)
{
	if (!protocol.extends || now.producer[pushing].pushes == 0)
		return NULL;
	return &nodes[pushing * PUSHES_MOST].node;
}

uintptr_t model_seen(void)
{
	return wide(now.producer[pushing].seen);
}

void model_see(uintptr_t word)
{
	now.producer[pushing].seen = narrow(word);
}

/* The post is in the list, and has to be received. */
void model_list(void)
{
	if (now.producer[pushing].refused || now.closed)
		flaws |= OPEN_AGAIN;
	now.producer[pushing].accepted++;
	now.producer[pushing].listed = 1;
}

/* ---- the library's protocol --------------------------------------------------------- */

/* The loop in kn_inbox_push(), with others coming in between the look and the exchange; before that
 * the attempt to extend. */
static int push_as_shipped(int stage)
{
	uintptr_t word = atomic_load(&model_inbox.word);
	struct kn_inbox_node *node = model_pushing();

	if (stage == 0 && model_batch()) {
		bool extended = kn_inbox_extend(&model_inbox, model_batch(), 1);

		sights |= extended ? SAW_EXTENDED : SAW_NOT_EXTENDED;
		return extended ? KN_INBOX_PUSHED : -2;
	}
	if (word & KN_INBOX_SHUT || (stage == 1 && word == model_seen()))
		return (int)kn_inbox_push_word(&model_inbox, node,
		                               protocol.extends ? kn_inbox_batch(node, 1)
		                                                : (uintptr_t)node);
	model_see(word);
	return -1;
}

static int sleep_as_shipped(int stage)
{
	(void)stage;
	return kn_inbox_sleep(&model_inbox);
}

static int awake_as_shipped(int stage)
{
	(void)stage;
	return kn_inbox_awake(&model_inbox);
}

/* As whoever takes batches does it. */
static struct kn_inbox_node *reversed(uintptr_t newest)
{
	struct kn_inbox_node *list = NULL, *node;
	unsigned count;

	while ((node = kn_inbox_next(&newest, &count))) {
		nodes[number_of(node)].posts = (int)count;
		node->next = list;
		list = node;
	}
	return list;
}

static int take_as_shipped(int stage)
{
	(void)stage;
	model_taken = protocol.extends ? reversed(kn_inbox_take_newest(&model_inbox))
	                               : kn_inbox_take(&model_inbox);
	return 0;
}

static int close_as_shipped(int stage)
{
	(void)stage;
	model_taken = protocol.extends ? reversed(kn_inbox_close_newest(&model_inbox))
	                               : kn_inbox_close(&model_inbox);
	return 0;
}

/* ---- what the producers do ----------------------------------------------------------- */

static void pushed(int number, int result)
{
	if (result == KN_INBOX_CLOSED) {
		now.producer[number].refused = 1;
		sights |= SAW_REFUSED;
	} else {
		if (!now.producer[number].listed)
			model_list();
		now.producer[number].listed = 0;
		now.producer[number].must_write = result == KN_INBOX_WAKE;
		sights |= result == KN_INBOX_WAKE ? SAW_WAKE : SAW_PUSHED;
	}
	now.producer[number].pushes++;
}

/* The next step of a producer; false if it has none now. */
static bool step_producer(int number)
{
	int result;

	if (now.producer[number].must_write) {
		if (now.fd_closed)
			flaws |= WRITE_AFTER_CLOSE;
		if (now.written++)
			flaws |= DOUBLE_WAKE;
		now.producer[number].must_write = 0;
		return true;
	}
	if (now.producer[number].stage == 0) {
		if (now.producer[number].pushes == push_count)
			return false;
		if (protocol.reuses &&
		    now.producer[number].accepted != now.producer[number].received)
			return false;
		now.label[number_of(node_of(number))] = now.producer[number].pushes;
	}
	pushing = number;
	result = protocol.push(now.producer[number].stage);
	if (result < 0 && now.producer[number].stage == -result)
		sights |= SAW_RETRY;
	now.producer[number].stage = (uint8_t)(result < 0 ? -result : 0);
	if (result >= 0) {
		now.producer[number].seen = 0;
		pushed(number, result);
	}
	return true;
}

/* ---- what the owner does -------------------------------------------------------------- */

/* Each producer's posts have to come in order, so a second time would be out of order. */
void model_receive(struct kn_inbox_node *list)
{
	for (int count = 0; list; count++, list = list->next) {
		int node = number_of(list), producer = node / PUSHES_MOST;

		if (count == NODES || now.label[node] != now.producer[producer].received) {
			flaws |= NOT_ONCE;
			return;
		}
		now.producer[producer].received += protocol.extends ? nodes[node].posts : 1;
	}
}

static void read_eventfd(void)
{
	if (now.written != 1)
		flaws |= DOUBLE_WAKE;
	now.written = 0;
}

static void go_to_sleep(void)
{
	int result = protocol.sleep(now.owner_stage);

	now.owner_stage = (uint8_t)(result < 0 ? -result : 0);
	if (result == 1) {
		now.owner = ASLEEP;
		sights |= now.closed ? SAW_SLEEP_CLOSED : 0;
	} else if (result == 0) {
		sights |= SAW_SLEEP_REFUSED;
		if (!kn_inbox_pending(&model_inbox))
			flaws |= NO_REASON;
	}
}

static void wake_up(bool was_woken)
{
	bool owed = protocol.awake(0);

	if (was_woken && !owed)
		flaws |= WOKEN_BY_NOBODY;
	if (was_woken)
		sights |= SAW_WOKEN;
	else
		sights |= owed ? SAW_AWAKE_OWED : SAW_AWAKE_NOT_OWED;
	now.owner = owed && !was_woken && !protocol.forgets ? OWED : AWAKE;
}

static void close_inbox(void)
{
	int result = protocol.close(now.owner_stage);

	now.owner_stage = (uint8_t)(result < 0 ? 16 - result : 0);
	if (result < 0)
		return;
	now.closed = 1;
	sights |= model_taken ? SAW_CLOSE_WITH_POSTS : 0;
	model_receive(model_taken);
}

static void close_eventfd(void)
{
	if (now.written)
		flaws |= NOT_COLLECTED;
	now.fd_closed = 1;
	now.owner = ENDED;
}

/* The owner may do one of several things; false if there is no such choice now. */
static bool step_owner(int choice)
{
	bool begun = now.owner_stage != 0, closing = now.owner_stage >= 16;

	if (now.owner == AWAKE && choice == 0 && !closing) {
		go_to_sleep();
	} else if (now.owner == AWAKE && choice == 1 && !begun) {
		protocol.take(0);
		sights |= model_taken ? SAW_TAKE : 0;
		model_receive(model_taken);
	} else if (now.owner == AWAKE && choice == 2 && (!begun || closing) && !now.closed) {
		now.owner_stage = (uint8_t)(closing ? now.owner_stage - 16 : 0);
		close_inbox();
	} else if (now.owner == AWAKE && choice == 2 && !begun) {
		close_eventfd();
	} else if (now.owner == ASLEEP && choice == 0 && now.written) {
		read_eventfd();
		now.owner = WOKEN;
	} else if (now.owner == ASLEEP && choice == 1) {
		wake_up(false);
	} else if (now.owner == WOKEN && choice == 0) {
		wake_up(true);
	} else if (now.owner == OWED && choice == 0 && now.written) {
		read_eventfd();
		now.owner = AWAKE;
	} else {
		return false;
	}
	return true;
}

/* ---- the search ----------------------------------------------------------------------- */

static struct state *states;
static uint32_t state_count, *table; /* open addressing; the number of a state plus one */

/* Remembers @state, to be stepped from later, unless it is known. */
static void add_state(const struct state *state)
{
	const unsigned char *bytes = (const unsigned char *)state;
	uint64_t hash = 0xcbf29ce484222325u;
	uint32_t at;

	for (size_t i = 0; i < sizeof(*state); i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	for (at = (uint32_t)(hash >> 20) % TABLE_SIZE; table[at]; at = (at + 1) % TABLE_SIZE)
		if (memcmp(&states[table[at] - 1], state, sizeof(*state)) == 0)
			return;
	if (state_count == STATES_MOST)
		return; /* the result says so */
	states[state_count++] = *state;
	table[at] = state_count;
}

/* What must hold when no producer has anything left to do but wait for the owner. */
static void check_quiet(const struct state *state)
{
	bool waiting = false;

	for (int i = 0; i < producer_count; i++)
		waiting |= state->producer[i].accepted != state->producer[i].received;
	if (state->owner == ASLEEP && !state->written && waiting)
		flaws |= LOST_WAKE;
	if (state->owner == OWED && !state->written)
		flaws |= NEVER_COMES;
	if (state->owner == ENDED && waiting)
		flaws |= NOT_ONCE;
}

/* Follows every step from state @number. */
static void expand(uint32_t number)
{
	bool quiet = true;

	for (int i = 0; i < producer_count + 3; i++) {
		bool stepped;

		now = states[number];
		load_inbox();
		stepped = i < producer_count ? step_producer(i) : step_owner(i - producer_count);
		if (!stepped)
			continue;
		quiet &= i >= producer_count;
		store_inbox();
		if (!flaws)
			add_state(&now);
	}
	if (quiet)
		check_quiet(&states[number]);
}

struct model_result model_explore(const struct protocol *which, int producers, int pushes)
{
	static const struct state first;
	struct model_result result;

	protocol = (struct protocol){
	        .push = which->push ? which->push : push_as_shipped,
	        .sleep = which->sleep ? which->sleep : sleep_as_shipped,
	        .awake = which->awake ? which->awake : awake_as_shipped,
	        .take = which->take ? which->take : take_as_shipped,
	        .close = which->close ? which->close : close_as_shipped,
	        .forgets = which->forgets,
	        .reuses = which->reuses,
	        .extends = which->extends,
	};
	producer_count = producers;
	push_count = pushes;
	flaws = sights = state_count = 0;
	states = calloc(STATES_MOST, sizeof(*states));
	table = calloc(TABLE_SIZE, sizeof(*table));
	if (!states || !table)
		abort();
	add_state(&first);
	for (uint32_t i = 0; i < state_count && !flaws; i++)
		expand(i);
	result = (struct model_result){.flaws = flaws,
	                               .sights = sights,
	                               .states = state_count,
	                               .too_large = state_count == STATES_MOST};
	free(states);
	free(table);
	return result;
}
