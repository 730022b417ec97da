/* SPDX-License-Identifier: MIT */
/* run.c - one pass of the loop, and what runs passes.
 *
 * A pass fills the ready list (poll), then runs exactly what is in it (batch); what that makes
 * ready waits for the next pass. Poll hands the engine what the last batch queued and, when
 * nothing is ready, waits in the same system call. It fills the list in this order: completions,
 * expired timers, posts, signals; completions and posts by bounded numbers, so that none of
 * them, nor tasks that yield for ever, keeps the others waiting.
 *
 * A loop may spin before it sleeps (the option .spin). It has announced nothing then, so posts cost
 * no system call, and it needs none to see them or that the kernel has something for it.
 *
 * Sleeping is announced in the inbox (base/inbox.h): only a post that finds the announcement
 * writes the eventfd. A signal handler writes it always. */
#include "loop/loop.h"
#include <errno.h>
#include <pthread.h>
#include <time.h>
#include "base/error.h"
#include "loop/debug.h"
#include "loop/post.h"

#define COMPLETIONS_A_PASS 256
#define POSTS_A_PASS       256
#define LOOK_INTERVAL      (20 * KNIT_MS)
#define SPIN_ROUNDS        16  /* between two looks at the clock */
#define TRIM_PASSES        256 /* between two looks at what stacks are not needed */

/* ---- waiting ------------------------------------------------------------------------- */

static int enter(struct knit_loop *loop, unsigned wait, int64_t deadline)
{
	return kn_engine_enter(loop->engine, wait, deadline);
}

static bool nothing_came(const struct knit_loop *loop)
{
	return !kn_engine_ready(loop->engine) && !kn_inbox_pending(&loop->inbox) &&
	       !atomic_load_explicit(&loop->signals_pending, memory_order_relaxed);
}

/* How many completions to wait for: no more than can come. What is not in the hands of the kernel
 * (posts, signals) comes as one, the poll's, and has to wait until the patience is over. */
static unsigned how_many(const struct knit_loop *loop)
{
	size_t most = kn_engine_in_flight(loop->engine) - loop->own_ops;

	return kn_likely(loop->min_complete <= 1 || most <= 1) ? 1
	       : loop->at_hand == loop->counters.passes        ? 1
	       : loop->min_complete <= most                    ? loop->min_complete
	                                                       : (unsigned)most;
}

static KN_HOT int sleep_in_kernel(struct knit_loop *loop, int64_t deadline)
{
	int r;

	if (!kn_inbox_sleep(&loop->inbox))
		return enter(loop, 0, KNIT_FOREVER);
	loop->counters.sleeps++;
	/* A signal delivered from here on has written the eventfd, which ends the wait. */
	if (atomic_load_explicit(&loop->signals_pending, memory_order_acquire))
		r = enter(loop, 0, KNIT_FOREVER);
	else
		r = enter(loop, how_many(loop), deadline);
	if (kn_inbox_awake(&loop->inbox))
		loop->wakes_owed++;
	return r;
}

static int64_t clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * KNIT_S + t.tv_nsec;
}

/* Looks out for a while instead of sleeping: no poster has to make a system call for us then, nor
 * do we. The time is the user's, and always the same: what comes next cannot be known from what
 * came before, and an idle loop sleeps after it. Also true if @deadline was reached. */
static bool spin(struct knit_loop *loop, int64_t deadline)
{
	int64_t now = clock_now(), end;

	if (__builtin_add_overflow(now, loop->spin, &end) || end > deadline)
		end = deadline;
	for (; now < end; now = clock_now()) {
		for (int i = 0; i < SPIN_ROUNDS; i++) {
			if (!nothing_came(loop))
				return true;
			kn_pause();
		}
	}
	return now >= deadline;
}

/* Gives back some of the stacks that a burst needed. True if there may be more to do. A loop under
 * load sleeps every few microseconds, with now many and now few tasks: what is not needed is seen
 * over many passes, or when nothing has happened at all for a while (@quiet). Else each dip of the
 * load gives away what is faulted in again right after it. */
static bool give_back(struct knit_loop *loop, bool quiet)
{
	if (!loop->stacks)
		return false;
	if (!quiet && loop->counters.passes - loop->trimmed < TRIM_PASSES)
		return kn_stack_pool_has_spare(loop->stacks);
	loop->trimmed = loop->counters.passes;
	return kn_stack_pool_trim(loop->stacks, false);
}

/* When to look up at the latest, even if nothing happens. Memory that a burst needed goes back bit
 * by bit, and so do the stacks of tasks that wait for long. ThreadSanitizer keeps a signal that
 * comes right before a wait back until after it. */
static KN_HOT int64_t next_look(struct knit_loop *loop, bool quiet)
{
	bool more = give_back(loop, quiet);
	int64_t now, look = KNIT_FOREVER, soon;

	more |= KN_TSAN && (!kn_list_empty(&loop->signals) || loop->interrupt);
	if (kn_likely(!more && !loop->aside_after))
		return KNIT_FOREVER;
	now = clock_now();
	if (loop->aside_after && loop->put_aside)
		look = loop->put_aside(loop, now);
	soon = more ? now + LOOK_INTERVAL : KNIT_FOREVER;
	return look < soon ? look : soon;
}

static KN_HOT int wait_in_kernel(struct knit_loop *loop, int64_t deadline)
{
	bool quiet = false;
	int64_t look;
	int r;

	if (kn_unlikely(!loop->own_ops)) {
		r = kn_loop_arm_wake(loop);
		if (r < 0)
			return r;
	}
	if (kn_unlikely(loop->spin)) {
		/* What the batch queued must be in the kernel meanwhile. */
		r = enter(loop, 0, KNIT_FOREVER);
		if (r < 0 || spin(loop, deadline))
			return r;
	}
	do {
		look = next_look(loop, quiet);
		r = sleep_in_kernel(loop, look < deadline ? look : deadline);
		quiet = true;
	} while (look < deadline && r == 0 && nothing_came(loop));
	return r;
}

bool kn_loop_expects_something(const struct knit_loop *loop)
{
	return loop->remote > 0 || !kn_list_empty(&loop->wraps) ||
	       kn_engine_in_flight(loop->engine) > loop->own_ops;
}

/* Can another thread reach it? One reference is that of whoever runs it; one hold goes with it,
 * and one with its futures. */
static bool has_other_references(const struct knit_loop *loop)
{
	unsigned own = loop->tasks.live + loop->futures.live > 0 ? 2 : 1;

	return atomic_load_explicit(&loop->refs, memory_order_acquire) > 1 ||
	       atomic_load_explicit(&loop->holds, memory_order_acquire) > own;
}

/* Without operations in flight nothing can happen before the next deadline but by another
 * thread; so time jumps there. */
static int wait_virtually(struct knit_loop *loop, int64_t deadline)
{
	int r = enter(loop, 0, KNIT_FOREVER);

	if (r < 0 || !nothing_came(loop))
		return r;
	if (kn_loop_expects_something(loop) && loop->clock != KNIT_CLOCK_VIRTUAL_JUMP)
		return wait_in_kernel(loop, KNIT_FOREVER);
	if (deadline != KNIT_FOREVER) {
		if (deadline > loop->now)
			loop->now = deadline;
		return 0;
	}
	if (kn_loop_expects_something(loop) || !kn_list_empty(&loop->signals) ||
	    has_other_references(loop))
		return wait_in_kernel(loop, KNIT_FOREVER);
	/* What another thread posted before it dropped its reference. */
	if (kn_inbox_pending(&loop->inbox))
		return 0;
	if (loop->describe_tasks)
		loop->describe_tasks(loop);
	return -EDEADLK;
}

/* ---- filling the ready list ---------------------------------------------------------- */

static void collect_timers(struct knit_loop *loop)
{
	struct kn_timer *timer;

	if (kn_loop_is_calm(loop))
		return;
	if (kn_wheel_expects_something(&loop->timers))
		while ((timer = kn_wheel_pop_due(&loop->timers, kn_loop_now(loop))))
			kn_list_add_tail(&loop->ready, &timer->ready.link);
	kn_loop_calm(loop);
}

static KN_HOT void collect(struct knit_loop *loop)
{
	uint64_t signals;

	kn_engine_reap(loop->engine, COMPLETIONS_A_PASS);
	collect_timers(loop);
	if (!kn_list_empty(&loop->posts) || kn_inbox_pending(&loop->inbox))
		kn_posts_collect(loop, POSTS_A_PASS);
	if (kn_unlikely(atomic_load_explicit(&loop->signals_pending, memory_order_relaxed))) {
		signals = atomic_exchange_explicit(&loop->signals_pending, 0, memory_order_acquire);
		kn_signals_dispatch(loop, signals);
	}
}

/* The timers know their next deadline only when it is near, see loop/wheel.h: we look up then, and
 * that is no pass. */
static KN_HOT int wait_for_anything(struct knit_loop *loop, int64_t until)
{
	int64_t next;
	bool exact;
	int r;

	for (;;) {
		next = kn_wheel_next(&loop->timers, &exact);
		if (next >= until)
			return wait_in_kernel(loop, until);
		r = wait_in_kernel(loop, next);
		if (r < 0 || exact || !nothing_came(loop) || kn_loop_now_fresh(loop) < next ||
		    kn_wheel_is_due(&loop->timers, loop->now))
			return r;
		loop->now_valid = false;
	}
}

/* Time is about to jump to the deadline anyway: so the timers may look at it now. */
static int64_t next_virtually(struct knit_loop *loop)
{
	int64_t next;
	bool exact;

	while (next = kn_wheel_next(&loop->timers, &exact), !exact)
		(void)kn_wheel_is_due(&loop->timers, next);
	return next;
}

KN_HOT int kn_loop_poll(struct knit_loop *loop, int64_t until)
{
	bool idle = until != INT64_MIN && !loop->stopping && kn_list_empty(&loop->posts) &&
	            kn_list_empty(&loop->ready);
	int64_t next;
	int r;

	loop->counters.passes++;
	loop->now_valid = false;
	if (kn_likely(!idle)) {
		r = enter(loop, 0, KNIT_FOREVER);
	} else if (kn_likely(loop->clock == KNIT_CLOCK_MONOTONIC)) {
		r = wait_for_anything(loop, until);
	} else {
		next = next_virtually(loop);
		r = wait_virtually(loop, next < until ? next : until);
	}
	if (kn_unlikely(r < 0))
		return r;
	collect(loop);
	return 0;
}

/* ---- the batch ----------------------------------------------------------------------- */

/* Each callback has context variables of its own, and most have none. So the thread's word for its
 * own is lent to them, and the loop keeps what was there: that saves each callback from putting a
 * word in place and taking it back. What one has set there is dropped. */
static inline void run_one(struct knit_loop *loop, struct kn_list *link)
{
	struct kn_ready *ready = kn_list_entry(link, struct kn_ready, link);

	if (kn_unlikely(loop->debug))
		kn_loop_run_watched(loop, ready);
	else
		ready->run(ready);
	if (kn_unlikely(kn_self.own_vars != NULL))
		kn_vars_drop_own();
}

static inline void run_batch(struct knit_loop *loop)
{
	while (!kn_list_empty(&loop->batch))
		run_one(loop, kn_list_pop(&loop->batch));
}

static inline void begin_batch(struct knit_loop *loop)
{
	loop->outer_vars = kn_self.own_vars;
	kn_self.own_vars = NULL;
	loop->in_batch = true;
}

static inline void end_batch(struct knit_loop *loop)
{
	kn_self.own_vars = loop->outer_vars;
	loop->outer_vars = NULL;
	loop->in_batch = false;
}

KN_HOT void kn_loop_run_batch(struct knit_loop *loop)
{
	kn_list_splice_tail(&loop->batch, &loop->ready);
	begin_batch(loop);
	run_batch(loop);
	end_batch(loop);
}

/* The same, and the passes that follow, as long as a poll would find nothing. Most have nothing to
 * look at outside. */
static KN_HOT void run_plain_passes(struct knit_loop *loop)
{
	kn_list_splice_tail(&loop->batch, &loop->ready);
	begin_batch(loop);
	run_batch(loop);
	while (kn_loop_has_plain_pass(loop)) {
		kn_loop_begin_pass(loop);
		run_one(loop, kn_list_pop_move(&loop->batch, &loop->ready));
		run_batch(loop);
	}
	end_batch(loop);
}

/* ---- running ------------------------------------------------------------------------- */

static void wake_complete(struct kn_op *op)
{
	struct knit_loop *loop = kn_container_of(op, struct knit_loop, wake_op);

	if (op->more)
		return;
	/* The kernel may end a multishot at any time. The next wait arms it anew. */
	loop->own_ops--;
}

int kn_loop_arm_wake(struct knit_loop *loop)
{
	int r;

	if (loop->own_ops)
		return 0;
	/* Wake-ups of before would end the wait at once. What they were for is still to be seen,
	 * since the loop has not announced yet that it sleeps. */
	kn_loop_take_wakes(loop);
	loop->wake_op = (struct kn_op){
	        .opcode = KN_OP_POLL,
	        .multishot = true,
	        .fd = loop->wake_fd,
	        .flags = 0x001 /* POLLIN */,
	        .complete = wake_complete,
	};
	r = kn_engine_submit(loop->engine, &loop->wake_op);
	if (r == 0)
		loop->own_ops++;
	return r;
}

static int start_engine(struct knit_loop *loop)
{
	char why[256] = "";
	int r = kn_thread_arm_exit();

	if (r == 0)
		r = kn_overflow_arm_thread();
	if (r == 0) {
		r = kn_engine_start(loop->engine, why, sizeof(why));
		if (r < 0)
			kn_message_record(kn_message_new(NULL, 0, -r, "%s", why));
	}
	return r;
}

/* The first run decides which thread the loop belongs to; of several at once, one. */
static int take_over(struct knit_loop *loop)
{
	struct kn_thread *owner;
	int r = kn_registry_claim(loop, &owner);

	if (r < 0)
		return r;
	r = start_engine(loop);
	if (r < 0) {
		kn_registry_unclaim(loop, owner);
		return r;
	}
	loop->started = true;
	/* Where that fails, the loop is this thread's all the same, since its ring is: the next
	 * wait tries it again. */
	return kn_loop_arm_wake(loop);
}

int kn_loop_bind(struct knit_loop *loop)
{
	int r = 0;

	if (!loop)
		return -EINVAL;
	if (knit_loop_is_closed(loop))
		return -KNIT_ECLOSED;
	if (!atomic_load_explicit(&loop->bound, memory_order_relaxed))
		r = take_over(loop);
	return r < 0 ? r : kn_loop_usable(loop);
}

/* An operation that writes to a pipe or socket without a reader raises SIGPIPE in the thread
 * that enters the ring, which has no flag against it: so it is blocked while the loop runs. */
void kn_loop_block_sigpipe(struct knit_loop *loop)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, &loop->old_mask);
}

void kn_loop_unblock_sigpipe(struct knit_loop *loop)
{
	const struct timespec now = {0, 0};
	sigset_t set;

	if (sigismember(&loop->old_mask, SIGPIPE))
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	while (sigtimedwait(&set, NULL, &now) > 0)
		;
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int kn_loop_begin_run(struct knit_loop *loop)
{
	int r;

	if (!loop)
		return -EINVAL;
	if (kn_self.loop || atomic_load_explicit(&loop->is_running, memory_order_relaxed))
		return -KNIT_ERUNNING;
	r = kn_loop_bind(loop);
	if (r < 0)
		return r;
	kn_loop_block_sigpipe(loop);
	if (loop->parked)
		(void)kn_loop_resume(loop);
	kn_fiber_init_thread(&loop->fiber);
	loop->running = true;
	atomic_store_explicit(&loop->is_running, true, memory_order_relaxed);
	kn_self.loop = loop;
	return 0;
}

void kn_loop_end_run(struct knit_loop *loop)
{
	kn_self.loop = NULL;
	loop->running = false;
	loop->outside = true;
	loop->in_batch = false;
	atomic_store_explicit(&loop->is_running, false, memory_order_relaxed);
	if (loop->host_fd >= 0)
		kn_loop_park(loop);
	kn_loop_unblock_sigpipe(loop);
}

KN_HOT int kn_loop_run(struct knit_loop *loop)
{
	int r;

	loop->outside = false;
	do {
		r = kn_loop_poll(loop, KNIT_FOREVER);
		if (r < 0)
			break;
		run_plain_passes(loop);
		/* A coroutine forked, and this is the child: the loop is the parent's. */
		if (kn_unlikely(kn_loop_check(loop) < 0))
			return -KNIT_EWRONGTHREAD;
	} while (!loop->stopping);
	loop->outside = true;
	loop->stopping = false;
	/* What the last batch queued goes to the kernel now, not with the next run. */
	if (r == 0)
		r = enter(loop, 0, KNIT_FOREVER);
	return r;
}

int knit_loop_run_forever(knit_loop *loop)
{
	int r = kn_loop_begin_run(loop);

	if (r < 0)
		return r;
	r = kn_loop_run(loop);
	kn_loop_end_run(loop);
	return r;
}

void knit_loop_stop(knit_loop *loop)
{
	loop = kn_loop_or_running(loop);
	if (!loop)
		kn_panic("knit_loop_stop(): no loop is named, and none runs in this thread");
	kn_loop_demand(loop, __func__);
	loop->stopping = true;
	if (loop->parked)
		kn_loop_unpark(loop);
}
