/* SPDX-License-Identifier: MIT */
/* setup.c - makes the ring, binds it to its thread, frees it.
 *
 * The ring is made disabled: errors appear in kn_engine_new(), wherever that runs, and
 * the thread that enables it in kn_engine_start() becomes the one that may submit.
 *
 * What the kernel can do is found out by trial, never from a version: distributions
 * port features back and remove them. Where a flag is missing the next best set is
 * taken; the engine behaves the same with each of them. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "base/alloc.h"
#include "base/error.h"
#include "engine/checkers.h"
#include "engine/uring.h"

#define SQ_ENTRIES 256
#define SQ_FLOOR   32
#define CQ_ENTRIES 4096
#define CQ_FLOOR   256

/* At most so many kernel threads work for a ring on what cannot be done without blocking:
 * on files, and on all else. The kernel's own bound on the latter is in the thousands. */
#define WORKERS_BOUNDED   16
#define WORKERS_UNBOUNDED 32

#define RECENT (3LL * 1000 * 1000 * 1000) /* ns since a ring was closed */

/* From best to least.
 *
 *   SUBMIT_ALL     an entry that fails does not keep the next from being taken
 *   SINGLE_ISSUER  the kernel need not expect others to submit
 *   DEFER_TASKRUN  completions are worked out when we ask for them, not in between
 *   COOP_TASKRUN   or at least not by interrupting us
 *   TASKRUN_FLAG   the ring's flags tell when there are some to be worked out */
static const unsigned flag_sets[] = {
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN |
                IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SUBMIT_ALL,
        0,
};

static unsigned refused_flags;

static atomic_int live_rings;                        /* of this process */
static _Atomic(int64_t) last_closed = INT64_MIN / 2; /* when one of them was */

void kn_engine_refuse_setup_flags(unsigned flags)
{
	refused_flags = flags;
}

static int try_ring(struct kn_engine *engine, unsigned flags, unsigned sq, unsigned cq)
{
	struct io_uring_params params = {
	        .flags = flags | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
	        .cq_entries = cq,
	};
	int r;

	if (params.flags & refused_flags)
		return -EINVAL;
	/* See kn_embed_wait(). */
	if (engine->valgrind && flags & IORING_SETUP_DEFER_TASKRUN)
		return -EINVAL;
	r = io_uring_queue_init_params(sq, &engine->ring, &params);
	if (r < 0)
		return r;
	/* Another thread's ring may have lain at these addresses. */
	kn_checkers_acquire();
	engine->features = params.features;
	return 0;
}

/* The memory of rings is locked memory, and that is rationed: rather a small ring than none.
 * (A small completion queue overflows sooner, which costs time but loses nothing.) */
static int try_sizes(struct kn_engine *engine, unsigned flags, unsigned sq, unsigned cq)
{
	for (;;) {
		int r = try_ring(engine, flags, sq, cq);

		if (r != -ENOMEM)
			return r;
		if (cq > CQ_FLOOR && cq / 2 >= sq)
			cq /= 2;
		else if (sq > SQ_FLOOR)
			sq /= 2;
		else
			return r;
	}
}

/* The kernel counts a ring's memory for some milliseconds after the ring was closed, on a busy
 * machine for hundreds. Who makes engines one after the other, or runs such programs so, must
 * not fail for that; but who has too many at once shall know soon. Returns the longest of some
 * waits, in ms, each twice as long as the one before. */
static long patience(void)
{
	if (kn_deadline_now() - atomic_load(&last_closed) < RECENT)
		return 1024;
	return atomic_load(&live_rings) ? 0 : 128;
}

static int try_patiently(struct kn_engine *engine, unsigned flags, unsigned sq, unsigned cq)
{
	int r = try_sizes(engine, flags, sq, cq);

	for (long wait = 1; r == -ENOMEM && wait <= patience(); wait *= 2) {
		struct timespec span = {.tv_sec = wait / 1000, .tv_nsec = wait % 1000 * 1000000};

		nanosleep(&span, NULL);
		r = try_sizes(engine, flags, sq, cq);
	}
	return r;
}

static int make_ring(struct kn_engine *engine, unsigned sq, unsigned cq)
{
	int r = -EINVAL;

	for (size_t i = 0; i < KN_ARRAY_SIZE(flag_sets) && r == -EINVAL; i++)
		r = try_patiently(engine, flag_sets[i], sq, cq);
	if (r < 0)
		return r;
	/* Where there is an array of indices between us and the entries, entry i is at i. */
	if (!(engine->ring.flags & KN_SETUP_NO_SQARRAY))
		for (unsigned i = 0; i < engine->ring.sq.ring_entries; i++)
			engine->ring.sq.array[i] = i;
	/* A child process would share the ring and could only do damage. */
	(void)io_uring_ring_dontfork(&engine->ring);
	atomic_fetch_add(&live_rings, 1);
	/* Whatever is in the queue counts, the engine's own entries too. */
	engine->pulse = (struct kn_engine_pulse){
	        .kept_back = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW,
	        .flags = engine->ring.sq.kflags,
	        .arrived = engine->ring.cq.ktail,
	        .taken = engine->ring.cq.khead,
	};
	engine->enter_fd = engine->ring.ring_fd;
	if (engine->features & KN_FEAT_NO_IOWAIT)
		engine->enter_flags = KN_ENTER_NO_IOWAIT;
	return 0;
}

static unsigned whole_us(int64_t ns)
{
	int64_t us = ns / 1000 + (ns % 1000 > 0);

	return us < INT32_MAX ? (unsigned)us : INT32_MAX;
}

int kn_engine_new(struct kn_engine **ret, const struct kn_engine_options *options, char *why,
                  size_t why_size)
{
	unsigned sq = options && options->sq_entries ? options->sq_entries : SQ_ENTRIES;
	unsigned cq = options && options->cq_entries ? options->cq_entries : CQ_ENTRIES;
	struct kn_engine *engine = kn_calloc(1, sizeof(*engine));
	int r;

	if (!engine) {
		snprintf(why, why_size, "no memory for an engine");
		return -ENOMEM;
	}
	engine->valgrind = kn_checkers_on_valgrind();
	r = make_ring(engine, sq, cq < sq ? sq : cq);
	if (r < 0) {
		kn_diagnose(why, why_size, "io_uring_setup", r);
		kn_free(engine);
		return r;
	}
	kn_list_init(&engine->waiting);
	kn_list_init(&engine->finished);
	kn_list_init(&engine->unheard);
	kn_inflight_init(engine);
	engine->timer_at = INT64_MAX;
	engine->wait_span = INT64_MAX;
	if (options && engine->features & KN_FEAT_MIN_TIMEOUT && !engine->valgrind)
		engine->min_wait = whole_us(options->min_wait);
	engine->registered = -1;
	engine->event_fd = -1;
	engine->process = getpid();
	*ret = engine;
	return 0;
}

/* ---- binding to a thread ---- */

/* Spares each enter the look-up of the descriptor. Only where deferred task work is known,
 * which is to say from Linux 6.1 on: some older kernels with this ported back hang when the
 * thread ends. */
static void register_ring(struct kn_engine *engine)
{
	struct io_uring_rsrc_update update = {
	        .offset = UINT32_MAX,
	        .data = (unsigned)engine->ring.ring_fd,
	};

	if (!(engine->ring.flags & IORING_SETUP_DEFER_TASKRUN))
		return;
	if (io_uring_register((unsigned)engine->ring.ring_fd, IORING_REGISTER_RING_FDS, &update,
	                      1) != 1)
		return;
	engine->registered = (int)update.offset;
	engine->enter_fd = engine->registered;
	engine->enter_flags |= IORING_ENTER_REGISTERED_RING;
}

static void bound_workers(struct kn_engine *engine)
{
	unsigned most[2] = {0, 0}; /* 0: leave it, and tell */

	if (io_uring_register_iowq_max_workers(&engine->ring, most) < 0)
		return;
	most[0] = most[0] > WORKERS_BOUNDED ? WORKERS_BOUNDED : 0;
	most[1] = most[1] > WORKERS_UNBOUNDED ? WORKERS_UNBOUNDED : 0;
	(void)io_uring_register_iowq_max_workers(&engine->ring, most);
}

int kn_engine_start(struct kn_engine *engine, char *why, size_t why_size)
{
	int r;

	if (engine->started) {
		if (engine->thread == gettid())
			return 0;
		snprintf(why, why_size, "the engine is bound to another thread");
		return -EEXIST;
	}
	/* liburing 2.3 declares a helper for this, but does not export it. */
	r = io_uring_register((unsigned)engine->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL,
	                      0);
	if (r < 0) {
		kn_diagnose(why, why_size, "io_uring_register", r);
		return r;
	}
	register_ring(engine);
	bound_workers(engine);
	/* A filter may allow the set-up and deny this. */
	r = io_uring_enter2((unsigned)engine->enter_fd, 0, 0,
	                    engine->enter_flags | IORING_ENTER_GETEVENTS, NULL, _NSIG / 8);
	if (r < 0) {
		kn_diagnose(why, why_size, "io_uring_enter", r);
		return r;
	}
	kn_deadline_bind(engine);
	engine->thread = gettid();
	engine->started = true;
	return 0;
}

/* ---- the end ---- */

void kn_engine_free(struct kn_engine *engine)
{
	if (!engine)
		return;
	if (engine->process != getpid()) {
		/* In a child process: the ring is the parent's, and is not even mapped here. */
		close(engine->ring.ring_fd);
	} else {
		kn_assert(!engine->in_flight);
		/* The index is one of this thread's own; of another's it would name another ring.
		 */
		if (engine->registered >= 0 && engine->thread == gettid()) {
			struct io_uring_rsrc_update update = {
			        .offset = (unsigned)engine->registered};

			(void)io_uring_register((unsigned)engine->ring.ring_fd,
			                        IORING_UNREGISTER_RING_FDS, &update, 1);
		}
		kn_checkers_release();
		io_uring_queue_exit(&engine->ring);
		atomic_store(&last_closed, kn_deadline_now());
	}
	atomic_fetch_sub(&live_rings, 1);
	if (engine->event_fd >= 0)
		close(engine->event_fd);
	kn_inflight_done(engine);
	kn_free(engine->held);
	kn_free(engine);
}
