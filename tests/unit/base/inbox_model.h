/* SPDX-License-Identifier: MIT */
/* inbox_model.h - the search through all interleavings of a protocol like the inbox's. */
#ifndef TEST_INBOX_MODEL_H
#define TEST_INBOX_MODEL_H
#include <stdbool.h>
#include <stdint.h>
#include "base/inbox.h"

enum flaw {
	LOST_WAKE = 1,         /* the owner sleeps, and a post waits for ever */
	NEVER_COMES = 2,       /* the owner waits for a wake-up that nobody owes */
	DOUBLE_WAKE = 4,       /* two wake-ups for one sleep */
	WRITE_AFTER_CLOSE = 8, /* into an eventfd that is closed, or somebody else's by now */
	NOT_COLLECTED = 16,    /* a wake-up that the owner left behind */
	WOKEN_BY_NOBODY = 32,  /* a wake-up came, and awake() says that none is owed */
	NOT_ONCE = 64,         /* lost, received twice, out of order, or refused and received */
	OPEN_AGAIN = 128,      /* accepted after the inbox was closed */
	NO_REASON = 256,       /* sleep() refused with nothing to take */
};

enum sight { /* what a search has met, so that it can be known not to be empty */
	     SAW_PUSHED = 1,
	     SAW_WAKE = 2,
	     SAW_REFUSED = 4,
	     SAW_RETRY = 8,
	     SAW_SLEEP_REFUSED = 16,
	     SAW_WOKEN = 32,
	     SAW_AWAKE_OWED = 64,
	     SAW_AWAKE_NOT_OWED = 128,
	     SAW_TAKE = 256,
	     SAW_CLOSE_WITH_POSTS = 512,
	     SAW_SLEEP_CLOSED = 1024,
	     SAW_ALL = 2047,
	     SAW_EXTENDED = 2048, /* only where batches are pushed */
	     SAW_NOT_EXTENDED = 4096,
};

/* One operation of a protocol: does one atomic step on the model's inbox. Gets how far it is
 * (0: begins) and returns -(the next stage), or what the operation returns. */
typedef int operation(int stage);

/* NULL stands for the library's own. */
struct protocol {
	operation *push; /* returns enum kn_inbox_push */
	operation *sleep, *awake;
	operation *take, *close; /* leave the list in model_taken */
	bool forgets;            /* the owner does not collect what it is owed */
	bool reuses;  /* a producer's second post is its first node again, once received */
	bool extends; /* a producer's first post is a batch, to which it tries to add its second */
};

/* What operations work on. */
extern struct kn_inbox model_inbox;
extern struct kn_inbox_node *model_taken;
extern bool model_closed;                   /* close has returned */
struct kn_inbox_node *model_pushing(void);  /* the node of the push whose step it is */
struct kn_inbox_node *model_batch(void);    /* that the push extends, if it can; NULL: none */
uintptr_t model_seen(void);                 /* what that push has kept since its last step, */
void model_see(uintptr_t word);             /* and keeps from here on */
void model_list(void);                      /* for a push that goes on after its node was linked */
void model_receive(struct kn_inbox_node *); /* for a close in several steps */

struct model_result {
	unsigned flaws; /* of the first states that have any, as near to the beginning as can be */
	unsigned sights;
	uint32_t states;
	bool too_large;
};

/* Follows every interleaving of @producers with @pushes posts each and the owner. */
struct model_result model_explore(const struct protocol *protocol, int producers, int pushes);
#endif
