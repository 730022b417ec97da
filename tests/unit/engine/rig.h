/* SPDX-License-Identifier: MIT */
/* rig.h - what the tests of the engine share: engines, operations that record how they
 * went, and ways to drive an engine that cannot hang or loop for ever. */
#ifndef TEST_ENGINE_RIG_H
#define TEST_ENGINE_RIG_H
#include "engine/engine.h"
#include "test.h"

/* An operation and what became of it. */
struct probe {
	struct kn_op op;
	int calls;  /* of complete() */
	int finals; /* of these with op->more false: never more than 1 */
	int result; /* of the last call */
	int sum;    /* of all results that were no errors */
	/* If set, called at the end of complete(). */
	void (*then)(struct probe *probe);
	struct kn_engine *engine;
	int *counter; /* counts the finals of many, may be NULL */
};

/* A probe for an operation of this kind; the caller fills in the rest. */
struct probe probe_of(enum kn_opcode opcode, int fd);
struct probe probe_buffer(enum kn_opcode opcode, int fd, const void *buffer, size_t size);
/* Submits it; fails the test if the engine does not take it. */
void probe_submit(struct kn_engine *engine, struct probe *probe);
/* Submits it and drives the engine until it has completed; returns the result. */
int probe_run(struct kn_engine *engine, struct probe *probe);

/* A started engine; 0 for the default sizes. */
struct kn_engine *rig_engine(unsigned sq, unsigned cq);
/* Fails the test if anything is in flight. */
void rig_free(struct kn_engine *engine);
/* Enters and reaps until *@counter reaches @target. Fails the test if it takes too long. */
void rig_pump(struct kn_engine *engine, const int *counter, int target);
/* Enters and reaps until nothing is in flight. */
void rig_settle(struct kn_engine *engine);
/* Calls @body with an engine on each kind of ring, from the best to that of an old kernel. */
void rig_on_each_ring(unsigned sq, unsigned cq, void (*body)(struct kn_engine *engine));

struct kn_engine_counters rig_counters(const struct kn_engine *engine);
int64_t rig_now(void);
#define MILLISECOND (1000 * 1000)
#define SECOND      (1000 * MILLISECOND)
/* Far enough away that a test that waits for it has failed. */
#define RIG_GUARD ((int64_t)100 * SECOND)

void rig_socketpair(int ret_fds[2]);
/* A TCP socket that listens on a port of the kernel's choice on loopback. */
int rig_listener(int backlog);
/* A Unix socket that listens, for thousands of connections: they use up no ports. */
int rig_unix_listener(int backlog);
/* A socket connected to either; the accepted side is still in the backlog. */
int rig_connect(int listener);
/* A file without a name. */
int rig_file(void);
/* Raises the soft limit of descriptors to at least @count; false if it cannot. */
bool rig_allow_descriptors(unsigned count);

#endif
