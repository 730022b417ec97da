/* SPDX-License-Identifier: MIT */
/* batch.c - knit_loop_call_soon_threadsafe().
 *
 * A post is a callback and its argument. A thread that makes several one after the other puts
 * them side by side into one batch, as long as the batch is the latest that was pushed and the
 * loop has not taken it (kn_inbox_extend()). So most posts are two words and one
 * compare-and-swap, and the loop reads two to four of them from each cache line that comes from
 * the other core, where there was one of them in a line, with as much again for its links.
 *
 * Whose a batch is:
 *
 *   the loop's      from the push on, if it is full or nothing will be added: it was closed
 *   both            from the push on, if it is open. The loop runs what is in it, the producer
 *                   looks whether it may add to it. Each says when it is through with it; the
 *                   second of them has it
 *   the producer's  if it is the second, it uses the same batch again, for its next post
 *
 * A thread has one open to each of several loops. That the producer of an open batch is asked is
 * what makes extending safe: nobody else can push the same batch as long as it compares its
 * address.
 *
 * Batches whose posts have run go round: the loop puts them on a stack, a producer takes that
 * whole stack for itself when its own supply has run out. Taking everything by one exchange is
 * what makes the stack safe without a version number, and keeps malloc and its cross-thread free
 * out of the steady state. */
#include <errno.h>
#include <pthread.h>
#include "base/alloc.h"
#include "base/error.h"
#include "loop/context.h"
#include "loop/debug.h"
#include "loop/post.h"
#include "knit/thread.h"

/* Batches that a loop keeps for reuse; more are freed. 2 MiB: a producer that is ahead by more
 * than that has to wait for memory, as it were: allocating on one core what is freed on another
 * costs more than all the rest of a post. */
#define SPARE_MAX 8192

#define CALLS_MAX 12

struct kn_batch {
	struct kn_post post;
	struct kn_vars *vars;   /* owned: what a single post sees; NULL where there are several */
	atomic_bool let_go;     /* by one of the two that it belongs to */
	uint8_t count, started; /* posts in it, known when it was taken; of these, begun */
	struct {
		knit_callback *callback;
		void *arg;
	} calls[CALLS_MAX];
};
#if UINTPTR_MAX > UINT32_MAX
_Static_assert(sizeof(struct kn_batch) <= 240, "with malloc's own words: two pairs of lines");
#endif
_Static_assert(CALLS_MAX <= KN_INBOX_BATCH_MAX, "the inbox counts them");

static struct kn_batch *batch_of(const struct kn_ready *ready)
{
	return kn_container_of(ready, struct kn_batch, post.ready);
}

/* ---- the supply ---------------------------------------------------------------------- */

static struct kn_batch *next_batch(const struct kn_batch *batch)
{
	return (struct kn_batch *)batch->post.node.next;
}

static void free_all(struct kn_batch *batch)
{
	while (batch) {
		struct kn_batch *next = next_batch(batch);

		kn_free(batch);
		batch = next;
	}
}

void kn_batches_free(struct knit_loop *loop)
{
	free_all(loop->spare);
	free_all(atomic_load_explicit(&loop->returned, memory_order_acquire));
}

/* Gives the loop's whole supply away if the last one has been taken. */
void kn_batches_publish(struct knit_loop *loop)
{
	if (loop->spare && !atomic_load_explicit(&loop->returned, memory_order_relaxed)) {
		atomic_store_explicit(&loop->returned, loop->spare, memory_order_release);
		loop->spare = NULL;
		loop->spare_count = 0;
	}
}

/* Says that one of the two is through with @batch. True if it is the second, who has it now. */
static bool let_go(struct kn_batch *batch)
{
	/* Both: what the first has read of it comes before what the second writes. */
	return atomic_exchange_explicit(&batch->let_go, true, memory_order_acq_rel);
}

static void leave_open(struct kn_open_batch *open)
{
	struct kn_posting *posting = &kn_self.posting;

	if (open->loop && let_go(open->batch)) {
		open->batch->post.node.next = (struct kn_inbox_node *)posting->spare;
		posting->spare = open->batch;
	}
	open->loop = NULL;
}

static void at_thread_exit(struct kn_thread *thread)
{
	for (unsigned i = 0; i < KN_OPEN_BATCHES; i++)
		leave_open(&thread->posting.open[i]);
	free_all(thread->posting.spare);
	thread->posting.spare = NULL;
}

static void register_exit(void)
{
	kn_thread_at_exit(at_thread_exit);
}

/* May this thread keep batches? Then its end will see to them. */
static bool may_keep(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	/* A thread may be armed already, by a loop of its own. */
	pthread_once(&once, register_exit);
	return kn_thread_arm_exit() == 0;
}

/* A batch from this thread's own supply, from the loop's, or from malloc. */
static struct kn_batch *batch_new(struct knit_loop *loop)
{
	struct kn_posting *posting = &kn_self.posting;
	struct kn_batch *batch = posting->spare;

	if (!batch && atomic_load_explicit(&loop->returned, memory_order_relaxed) && may_keep())
		batch = atomic_exchange_explicit(&loop->returned, NULL, memory_order_acquire);
	if (!batch)
		return kn_memalign(KN_INBOX_BATCH_ALIGN, sizeof(*batch));
	posting->spare = next_batch(batch);
	/* The next one's line is where the loop wrote it last, on another core. */
	__builtin_prefetch(posting->spare, 1);
	return batch;
}

/* All of them are the same, so any loop may keep it: the one that runs. */
static void batch_done(struct knit_loop *loop, struct kn_batch *batch)
{
	if (batch->count < CALLS_MAX && !let_go(batch))
		return; /* its producer has it */
	if (kn_unlikely(loop->spare_count >= SPARE_MAX)) {
		kn_free(batch);
		return;
	}
	batch->post.node.next = (struct kn_inbox_node *)loop->spare;
	loop->spare = batch;
	loop->spare_count++;
}

/* ---- the owner's side ---------------------------------------------------------------- */

void kn_batch_taken(struct kn_post *post, unsigned count)
{
	kn_container_of(post, struct kn_batch, post)->count = (uint8_t)count;
}

/* Runs the next post of a batch. The others keep its place in line. */
static void run_next(struct kn_ready *ready)
{
	struct kn_batch *batch = batch_of(ready);
	knit_callback *callback = batch->calls[batch->started].callback;
	void *arg = batch->calls[batch->started].arg;
	struct kn_vars *vars = batch->vars;
	struct knit_loop *loop = kn_self.loop;
	struct kn_vars_frame frame;

	if (++batch->started < batch->count)
		kn_list_add_head(&loop->batch, &ready->link);
	else
		batch_done(loop, batch);
	/* In a batch of the loop's the thread's own word is lent to callbacks, see run.c; a close
	 * runs posts without. */
	if (kn_likely(!vars && loop->in_batch)) {
		callback(arg);
		return;
	}
	kn_vars_enter(&frame, vars);
	callback(arg);
	kn_vars_leave(&frame);
}

unsigned kn_batch_posts(const struct kn_ready *ready)
{
	return ready->run == run_next ? batch_of(ready)->count : 1;
}

bool kn_post_describe(struct kn_ready *ready, struct kn_subject *subject)
{
	struct kn_batch *batch = batch_of(ready);

	if (ready->run != run_next)
		return false;
	kn_subject_callback(subject, (uintptr_t)batch->calls[batch->started].callback, NULL);
	return true;
}

/* ---- the producers' side ------------------------------------------------------------- */

static struct kn_open_batch *open_to(const struct knit_loop *loop)
{
	return &kn_self.posting.open[loop->open_slot];
}

/* Adds a post to the batch that is open. False: it cannot be. */
static inline bool extend(struct knit_loop *loop, knit_callback *callback, void *arg)
{
	struct kn_open_batch *open = open_to(loop);
	struct kn_batch *batch = open->batch;

	/* Who has become the owner is in line with call_soon(). */
	if (open->loop != loop || kn_unlikely(kn_loop_check(loop) == 0))
		return false;
	batch->calls[open->count].callback = callback;
	batch->calls[open->count].arg = arg;
	if (!kn_inbox_extend(&loop->inbox, &batch->post.node, open->count))
		return false;
	if (++open->count == CALLS_MAX)
		open->loop = NULL;
	return true;
}

/* Posts a batch of one, open if it can be. */
static KN_NOINLINE int post_new(struct knit_loop *loop, knit_callback *callback, void *arg,
                                struct kn_vars *vars)
{
	bool is_mine = kn_loop_check(loop) == 0, is_open = !is_mine && !vars && may_keep();
	/* Looked up now: once the post may run, the loop is only to be compared. */
	struct kn_open_batch *open = open_to(loop);
	struct kn_batch *batch;
	int r;

	if (is_open)
		leave_open(open);
	batch = batch_new(loop);
	if (kn_unlikely(!batch)) {
		kn_vars_release(vars);
		return -ENOMEM;
	}
	batch->post.ready.run = run_next;
	batch->vars = vars;
	batch->count = 1;
	batch->started = 0;
	batch->calls[0].callback = callback;
	batch->calls[0].arg = arg;
	/* Nobody has it yet: whom it goes to will see that with the batch. */
	atomic_store_explicit(&batch->let_go, !is_open, memory_order_relaxed);
	r = is_mine ? kn_loop_post(loop, &batch->post)
	            : kn_loop_post_word(loop, &batch->post, kn_inbox_batch(&batch->post.node, 1));
	if (kn_unlikely(r < 0)) {
		kn_vars_release(vars);
		kn_free(batch);
		return r;
	}
	if (is_open)
		*open = (struct kn_open_batch){.loop = loop, .batch = batch, .count = 1};
	return 0;
}

int knit_loop_call_soon_threadsafe(knit_loop *loop, knit_callback *callback, void *arg)
{
	struct kn_vars *vars;

	if (!loop || !callback)
		return -EINVAL;
	if (kn_self.loop == loop && loop->phase != KN_OPEN)
		return -KNIT_ECLOSED;
	vars = kn_vars_capture();
	if (kn_likely(!vars) && extend(loop, callback, arg))
		return 0;
	return post_new(loop, callback, arg, vars);
}

static void stop_loop(void *loop)
{
	knit_loop_stop(loop);
}

int knit_loop_stop_threadsafe(knit_loop *loop)
{
	return knit_loop_call_soon_threadsafe(loop, stop_loop, loop);
}
