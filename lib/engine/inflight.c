/* SPDX-License-Identifier: MIT */
/* inflight.c - which operations are in flight on which descriptor.
 *
 * A table of list heads, indexed by descriptor, in chunks that are made when a
 * descriptor of theirs is first used: a list head must not move, and descriptors are
 * small numbers close together. Whoever closes a descriptor asks here what to end first,
 * since the kernel neither ends nor tells an operation when its descriptor is closed. */
#include <errno.h>
#include <string.h>
#include "base/alloc.h"
#include "engine/uring.h"

#define CHUNK 256 /* heads */

/* No descriptor can be beyond this (the kernel's default fs.nr_open is 1 << 20); a number
 * that is comes from a bug of the caller, whose operation fails with EBADF. It must not
 * make us reserve gigabytes for the table. */
#define DESCRIPTOR_MAX (1 << 24)

void kn_inflight_init(struct kn_engine *engine)
{
	kn_list_init(&engine->loose);
}

void kn_inflight_done(struct kn_engine *engine)
{
	for (unsigned i = 0; i < engine->chunk_count; i++)
		kn_free(engine->chunks[i]);
	kn_free(engine->chunks);
}

static inline struct kn_list *list_of(struct kn_engine *engine, int fd)
{
	/* That of a negative one is beyond all chunks. */
	unsigned index = (unsigned)fd / CHUNK;
	struct kn_list *chunk = kn_likely(index < engine->chunk_count) ? engine->chunks[index]
	                                                               : NULL;

	return kn_likely(chunk != NULL) ? &chunk[(unsigned)fd % CHUNK] : NULL;
}

struct kn_list *kn_engine_ops_of(struct kn_engine *engine, int fd)
{
	return list_of(engine, fd);
}

/* Makes sure that kn_engine_ops_of() knows @fd. */
static int grow(struct kn_engine *engine, int fd)
{
	unsigned index = (unsigned)fd / CHUNK;

	if (index >= engine->chunk_count) {
		unsigned count = engine->chunk_count ? engine->chunk_count : 4;

		while (count <= index)
			count *= 2;
		struct kn_list **chunks = kn_realloc(engine->chunks, count * sizeof(*chunks));
		if (!chunks)
			return -ENOMEM;
		memset(chunks + engine->chunk_count, 0,
		       (count - engine->chunk_count) * sizeof(*chunks));
		engine->chunks = chunks;
		engine->chunk_count = count;
	}
	struct kn_list *chunk = kn_malloc(CHUNK * sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	for (int i = 0; i < CHUNK; i++)
		kn_list_init(&chunk[i]);
	engine->chunks[index] = chunk;
	return 0;
}

KN_HOT int kn_inflight_add(struct kn_engine *engine, struct kn_op *op)
{
	struct kn_list *list = list_of(engine, op->fd);

	if (kn_unlikely(!list)) {
		list = &engine->loose;
		if (op->fd >= 0 && op->fd < DESCRIPTOR_MAX) {
			int r = grow(engine, op->fd);

			if (r < 0)
				return r;
			list = list_of(engine, op->fd);
		}
	}
	kn_list_add_tail(list, &op->link);
	engine->in_flight++;
	return 0;
}

KN_HOT void kn_inflight_remove(struct kn_engine *engine, struct kn_op *op)
{
	kn_list_del(&op->link);
	engine->in_flight--;
}

static void each_of(struct kn_engine *engine, struct kn_list *list,
                    void (*visit)(struct kn_engine *engine, struct kn_op *op))
{
	kn_list_for_each (node, list)
		visit(engine, kn_list_entry(node, struct kn_op, link));
}

void kn_inflight_each(struct kn_engine *engine,
                      void (*visit)(struct kn_engine *engine, struct kn_op *op))
{
	each_of(engine, &engine->loose, visit);
	for (unsigned i = 0; i < engine->chunk_count; i++) {
		if (!engine->chunks[i])
			continue;
		for (int j = 0; j < CHUNK; j++)
			each_of(engine, &engine->chunks[i][j], visit);
	}
}

size_t kn_engine_in_flight(const struct kn_engine *engine)
{
	return engine->in_flight;
}
