/* SPDX-License-Identifier: MIT */
/* loop.h - the loop: its state, and what the layers above may do with it.
 *
 * A loop is a ready list and three sources that fill it: completions of the engine, timers,
 * and the inbox for other threads. Everything that can be ready - a callback, a step of a
 * task, a done-callback, a post - embeds a struct kn_ready, so that making it ready never
 * allocates and so cannot fail.
 *
 * Which thread touches what: all of it belongs to the owner, but for the part marked "any
 * thread", which outlives the loop's closing until the last reference is dropped. */
#ifndef KN_LOOP_LOOP_H
#define KN_LOOP_LOOP_H
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "base/inbox.h"
#include "base/list.h"
#include "base/slab.h"
#include "base/thread.h"
#include "base/ticks.h"
#include "engine/engine.h"
#include "fiber/fiber.h"
#include "loop/context.h"
#include "loop/wheel.h"
#include "knit/loop.h"

/* Something that another thread makes ready. */
struct kn_post {
	struct kn_inbox_node node;
	struct kn_ready ready;
};

/* Somebody who is to learn that a future is done. */
struct kn_waiter {
	struct kn_list link;
	/* Already out of the list. May make things ready and complete other futures. If @future is
	 * not done, it is being freed: happens only to who has no reference. */
	void (*notify)(struct kn_waiter *waiter, knit_future *future);
};

enum kn_phase {
	KN_OPEN,
	KN_CLOSING, /* nothing new; tasks unwind; suspending fails at once */
	KN_CLOSED,
};

struct kn_subject; /* loop/debug.h */

#define KN_OWNED_LISTS 256 /* so that thousands of readers do not make one long list */

/* What is known of a descriptor for the rest of a pass. */
struct kn_looked_at {
	uint64_t pass; /* 0: of none */
	int fd;
	bool at_position; /* reads at the file position were meant */
	bool cached;      /* what it is read from may be in memory */
};

struct kn_loop_counters {
	uint64_t passes;
	uint64_t posts;  /* that came through the inbox and had their turn */
	uint64_t sleeps; /* times the loop waited in the kernel */
};

/* How far putting stacks aside has come: lib/task/aside.c. */
struct kn_aside {
	int64_t due;     /* of the next round */
	uint64_t passes; /* when the last one ended */
	uint32_t next;   /* the task that is looked at next, by its index in the slab */
	bool under_way;
	bool marked; /* the round has found tasks that began to wait */
};

/* The last reading of the clock, and the processor's counter: see timer.c. */
struct kn_reading {
	bool counts;        /* the counter may be used */
	uint64_t ticks;     /* when the clock was read, or a bit before */
	uint64_t fresh_for; /* ticks after that: the reading will do. 0: the rate is not known */
	int64_t latest;     /* what a delay counts from meanwhile, which is not before now */
	uint64_t calm_from; /* so many ticks after these ... */
	uint64_t calm_for;  /* ... no timer is due; 0: nobody knows */
	int64_t calm_when;  /* the deadline that this was told of */
	int64_t first_now;  /* when the first one was made; 0: there was none */
	uint64_t first_ticks;
	int64_t measure_at; /* when the rate is looked at again */
};

struct knit_loop {
	/* every pass */
	struct kn_list ready;     /* what the next pass runs, in order */
	struct kn_list batch;     /* what is left of this pass */
	struct kn_engine *engine; /* owned */
	/* What keeps a pass, or the making of a callback, from being a plain one: all of it is
	 * false as a rule, and looked at together. */
	union {
		struct {
			union {
				struct {
					uint8_t phase; /* enum kn_phase */
					bool parked;   /* hosted, between passes: what becomes
					                * ready must make the fd readable */
					bool debug;
					bool watched; /* a tool watches the slab of callbacks */
				};
				uint32_t no_plain_callback;
			};
			bool stopping;
			bool outside; /* not in kn_loop_run(), where one pass follows the other */
			bool behind;  /* there are posts that were taken and are not ready */
		};
		uint64_t no_plain_pass;
	};
	/* The same for tasks that are created, suspend, or end. */
	union {
		struct {
			unsigned indirect; /* not 0: who suspends asks where to: lib/task/step.c */
			bool has_factory;
			bool in_factory;   /* it runs: no suspending now */
			bool eager;        /* tasks start when they are created */
			bool ends_on_loop; /* tasks do not end on their own stacks */
		};
		uint64_t no_plain_task;
	};
	struct kn_loop_counters counters;
	struct kn_wheel timers;
	struct kn_reading reading;
	int64_t now; /* ns; valid if now_valid, or always with a virtual clock */
	bool now_valid;
	bool running;               /* on the owner's stack */
	bool started;               /* so is the engine */
	bool in_batch;              /* in kn_loop_run_batch() */
	uint8_t clock;              /* KNIT_CLOCK_* */
	struct kn_vars *outer_vars; /* owned while in_batch: see run.c */
	struct kn_list posts;       /* taken, not yet ready; in order, by their ready.link */
	struct kn_batch *spare;     /* whose posts ran, to be used again; linked by node.next */
	unsigned spare_count;

	/* callbacks */
	uint32_t id;                      /* of this loop, unique in the process */
	uint64_t generation;              /* of the newest handle */
	struct kn_slab callbacks, trains; /* see lib/loop/callback.h */

	/* waiting */
	int64_t spin;          /* ns that it looks for something to do before it sleeps */
	unsigned min_complete; /* that it would rather have in one wait; 1: no wish */
	uint64_t trimmed;      /* the pass in which it gave stacks back */

	/* waking */
	int wake_fd;          /* eventfd, owned */
	struct kn_op wake_op; /* a multishot poll of it */
	int host_fd;          /* epoll, owned; what a host polls; -1 unless it asked */
	uint64_t wakes_owed;  /* writes to it that were or will be made */
	uint64_t wakes_taken; /* of these, read */
	unsigned own_ops;     /* operations in flight that are no reason to wait: the poll */
	unsigned remote;      /* calls to other loops and threads that have not been answered */

	/* blocking calls: lib/loop/executor.c */
	struct knit_executor *executor; /* counted; the default one; NULL: not made yet */
	bool executor_shut;             /* there is none any more */
	unsigned default_jobs;          /* of it, not answered */

	/* the task layer's, kept here because a loop has exactly one of each */
	struct kn_slab tasks, futures, done_callbacks;
	struct kn_list all_tasks;    /* not done, in the order of creation */
	struct kn_list failed_tasks; /* done with a failure that nobody has retrieved yet */
	struct kn_list wraps;        /* futures that wait for a concurrent future */
	struct kn_list calls;        /* futures that wait for a thread: lib/task/blocking.c */
	struct kn_list shutdowns;    /* tasks that wait for default_jobs to be 0 */
	struct kn_waiter until;      /* of the future that a run goes on until: not in the frame
	                              * of the run, which pthread_exit() leaves behind */
	struct kn_ready until_ready;
	struct kn_stack_pool *stacks; /* owned; made at the first need */
	size_t stack_size;
	bool paint;
	int64_t aside_after; /* ns; 0: stacks stay where they are */
	struct kn_aside aside;
	int64_t (*put_aside)(struct knit_loop *loop, int64_t now); /* tells when to call again */
	struct kn_fiber fiber;                                     /* the loop's own context */
	uint64_t task_number, task_number_end; /* a block of the process-wide numbers */
	unsigned abandoned; /* tasks that did not unwind when the loop was closed */
	int64_t grace;      /* ns that closing may take; tests shorten it */
	void (*unwind)(struct knit_loop *loop);         /* cancels all tasks */
	void (*give_up)(struct knit_loop *loop);        /* ends those that nothing else ends */
	void (*describe_tasks)(struct knit_loop *loop); /* reports all tasks as stuck */
	void (*drop_ready)(struct kn_ready *ready);     /* frees a done-callback */
	void (*close_tasks)(struct knit_loop *loop);    /* the last act of a close */

	int64_t slow_callback;           /* ns; debug mode reports what takes as long */
	struct kn_start *start;          /* the innermost eager first step that runs; NULL: none */
	bool told_short_sleep;           /* debug mode has reported one */
	knit_task_factory *task_factory; /* NULL: none */
	void *task_factory_arg;
	/* The context variables of a task, NULL for a plain future. */
	struct kn_vars **(*vars_of)(knit_future *future);
	/* Tells debug mode what is about to run, if it is the task layer's. */
	bool (*describe_ready)(struct kn_ready *ready, struct kn_subject *subject);

	/* the io layer's: see lib/io/close.h */
	struct kn_list owned_fds[KN_OWNED_LISTS];    /* listeners and the like, by fd */
	struct kn_list closing_fds;                  /* that a task is closing */
	struct kn_list half_done;                    /* operations: see lib/io/operation.h */
	struct kn_looked_at looked_at;               /* by lib/io/cached.c */
	uint64_t at_hand;                            /* a pass that waits for no more than one */
	void (*close_owned)(struct knit_loop *loop); /* releases what is owned */

	knit_exception_handler *exception_handler;
	void *exception_arg;
	struct kn_list signals;     /* the handlers of this loop: lib/loop/signal.c */
	struct kn_ready *interrupt; /* what the first SIGINT makes ready: lib/loop/interrupt.c */
	sigset_t old_mask;          /* of the thread, restored after the run */
	struct kn_list registry;    /* in the list of all loops, under its lock */

	/* any thread; lines of their own, so that a poster does not wait for what the owner writes
	 * in each pass: first what hardly ever changes, then the word that is changed by each post,
	 * then the rest */
	_Alignas(KN_CACHE_PAIR) _Atomic(struct kn_thread *) owner; /* NULL: no thread may use it
	                                                            * (closed, forked) */
	_Atomic(uint32_t) magic;                                   /* KN_LOOP_MAGIC until it is
	                                                            * freed */
	atomic_bool is_running, is_closed;
	atomic_bool bound; /* it was run, or is closed: the owner is final */
	uint8_t open_slot; /* which of a thread's open batches is for it: base/thread.h */
	struct kn_inbox inbox;
	_Atomic(struct kn_batch *) returned; /* spare, for producers to take, all at once */
	atomic_uint refs;                    /* of users */
	atomic_uint holds;                   /* of the library, on the memory */
	_Atomic(uint64_t) signals_pending;   /* bit n - 1: signal n was delivered */
	_Atomic(uint64_t) signal_wakes;      /* writes to wake_fd by the signal handler */
	_Atomic(uint64_t) wakes;             /* writes to wake_fd, for the counters */
};

#define KN_LOOP_MAGIC 0x6b6e6974u /* "knit" */

/* ---- whose loop is it? --------------------------------------------------------------- */

/* 0, or -KNIT_EWRONGTHREAD. One compare. */
static inline int kn_loop_check(const struct knit_loop *loop)
{
	if (kn_likely(atomic_load_explicit(&loop->owner, memory_order_relaxed) == &kn_self))
		return 0;
	return -KNIT_EWRONGTHREAD;
}

/* Does it belong to the calling thread for good? Before the first run any thread may take it. */
static inline bool kn_loop_is_mine(const struct knit_loop *loop)
{
	/* Acquire: whoever finds it bound finds its final owner too. */
	return atomic_load_explicit(&loop->bound, memory_order_acquire) && kn_loop_check(loop) == 0;
}

/* In many calls NULL is the running loop; the result is NULL if there is none. */
static inline struct knit_loop *kn_loop_or_running(const struct knit_loop *loop)
{
	return loop ? (struct knit_loop *)loop : kn_self.loop;
}

KN_COLD KN_NORETURN void kn_loop_foreign(const struct knit_loop *loop, const char *function);

/* As above, for calls that have no way to say so: panics, naming @function. */
static inline void kn_loop_demand(const struct knit_loop *loop, const char *function)
{
	if (kn_unlikely(kn_loop_check(loop) < 0))
		kn_loop_foreign(loop, function);
}

/* ---- making things ready (owner) ----------------------------------------------------- */

KN_COLD void kn_loop_unpark(struct knit_loop *loop);
/* A parked loop goes on by itself. True if somebody is writing to its eventfd. */
bool kn_loop_resume(struct knit_loop *loop);
/* Leaves a hosted loop to its host: see host.c. */
void kn_loop_park(struct knit_loop *loop);

static inline void kn_loop_ready(struct knit_loop *loop, struct kn_ready *ready)
{
	kn_list_add_tail(&loop->ready, &ready->link);
	if (kn_unlikely(loop->parked))
		kn_loop_unpark(loop);
}

/* The time, read now if it has not been read in this pass. */
int64_t kn_loop_now(struct knit_loop *loop);
/* The time, read now: what a relative delay counts from. */
int64_t kn_loop_now_fresh(struct knit_loop *loop);
/* now + delay, without overflow. Now may be up to two microseconds late, never early. */
int64_t kn_loop_deadline(struct knit_loop *loop, int64_t delay);

/* The timers were looked at in this pass, and none is due any more. */
void kn_loop_calm(struct knit_loop *loop);

/* Makes @timer ready at @when. 0 or -ENOMEM. */
KN_NODISCARD int kn_timer_start(struct knit_loop *loop, struct kn_timer *timer, int64_t when);
/* Neither waiting nor ready afterwards. */
void kn_timer_stop(struct knit_loop *loop, struct kn_timer *timer);

/* ---- between threads ----------------------------------------------------------------- */

/* Has post->ready.run called on the loop's thread. The post must stay until then. Any thread
 * that has a reference. 0, or -KNIT_ECLOSED: it will never be touched. */
KN_NODISCARD int kn_loop_post(struct knit_loop *loop, struct kn_post *post);

/* Keeps @loop in memory, open or closed / does so no longer. Any thread. */
void kn_loop_hold(struct knit_loop *loop);
void kn_loop_let_go(struct knit_loop *loop);

/* ---- life (owner) -------------------------------------------------------------------- */

/* May something new be made on @loop? 0; -KNIT_EWRONGTHREAD; -KNIT_ECLOSED. */
static inline int kn_loop_usable(const struct knit_loop *loop)
{
	if (kn_unlikely(kn_loop_check(loop) < 0))
		return -KNIT_EWRONGTHREAD;
	return kn_likely(loop->phase == KN_OPEN) ? 0 : -KNIT_ECLOSED;
}

/* Makes the calling thread the owner, if nobody is for good, and starts the engine. */
KN_NODISCARD int kn_loop_bind(struct knit_loop *loop);
/* Sees to it that the eventfd is polled. 0 or -ENOMEM. */
KN_NODISCARD int kn_loop_arm_wake(struct knit_loop *loop);
/* Marks @loop as running in this thread / ends that. */
KN_NODISCARD int kn_loop_begin_run(struct knit_loop *loop);
void kn_loop_end_run(struct knit_loop *loop);
/* Parts of these two, for whoever enters the kernel outside of a run, and for the child of a
 * fork() in the run. */
void kn_loop_block_sigpipe(struct knit_loop *loop);
void kn_loop_unblock_sigpipe(struct knit_loop *loop);
/* Passes until stopped. 0 or a negative code. Between begin and end. */
KN_NODISCARD int kn_loop_run(struct knit_loop *loop);
/* Runs what is ready now, and nothing else. */
void kn_loop_run_batch(struct knit_loop *loop);
/* Fills the ready list; waits for at most until @deadline (INT64_MIN: not at all). */
KN_NODISCARD int kn_loop_poll(struct knit_loop *loop, int64_t deadline);

/* Can no timer be due? Differences, so that a counter that begins anew ends it. */
static inline bool kn_loop_is_calm(const struct knit_loop *loop)
{
	const struct kn_reading *reading = &loop->reading;

	return !loop->timers.count ||
	       (reading->calm_for && kn_ticks() - reading->calm_from < reading->calm_for);
}

/* Is there a pass to follow, in which a poll would find nothing to add to the ready list? */
static inline bool kn_loop_has_plain_pass(const struct knit_loop *loop)
{
	if (kn_unlikely(loop->no_plain_pass) || kn_list_empty(&loop->ready) ||
	    !kn_loop_is_calm(loop) || kn_unlikely(kn_inbox_pending(&loop->inbox)) ||
	    kn_unlikely(atomic_load_explicit(&loop->signals_pending, memory_order_relaxed)) ||
	    !kn_engine_quiet(loop->engine))
		return false;
	return true;
}

static inline void kn_loop_begin_pass(struct knit_loop *loop)
{
	loop->counters.passes++;
	loop->now_valid = false;
}

/* Is there anything outside that may still wake the loop? */
bool kn_loop_expects_something(const struct knit_loop *loop);

/* While the main task runs, the first SIGINT makes @ready ready, and a second one does what it does
 * by default: ends the process. Only in the main thread, and only if nobody has set an action for
 * the signal; else nothing happens. */
void kn_interrupt_begin(struct knit_loop *loop, struct kn_ready *ready);
/* Restores the default action. A SIGINT that came but did not run @ready any more is raised anew.
 */
void kn_interrupt_end(struct knit_loop *loop);
/* In the child of a fork(). */
void kn_interrupt_forget(void);

/* Drops all that add_signal_handler() made for @loop. */
void kn_signals_close(struct knit_loop *loop);
/* Makes the handlers of delivered signals ready. */
void kn_signals_dispatch(struct knit_loop *loop, uint64_t pending);

/* Cancels all call_soon and timer callbacks. */
void kn_callbacks_drop(struct knit_loop *loop);

/* Writes to the eventfd. Any thread; async-signal-safe. */
void kn_loop_wake(struct knit_loop *loop);
/* Takes the eventfd back to 0. */
void kn_loop_take_wakes(struct knit_loop *loop);
/* Waits until all writes to the eventfd that are owed have been made. Closed loops only. */
void kn_loop_settle_wakes(struct knit_loop *loop);

/* Reports to the exception handler; the context's size is set here. */
void kn_loop_report(struct knit_loop *loop, knit_exception_context *context);

/* ---- the list of all loops ----------------------------------------------------------- */

int kn_registry_add(struct knit_loop *loop); /* 0 or a negative errno; sets loop->id */
void kn_registry_remove(struct knit_loop *loop);
/* Makes the calling thread the final owner, and tells who it was before, unless it is bound or
 * nobody's: -KNIT_EWRONGTHREAD / takes that back. */
KN_NODISCARD int kn_registry_claim(struct knit_loop *loop, struct kn_thread **ret_owner);
void kn_registry_unclaim(struct knit_loop *loop, struct kn_thread *owner);
/* Makes @ready ready if the calling thread owns @loop and nobody has run it yet. */
bool kn_registry_ready_unbound(struct knit_loop *loop, struct kn_ready *ready);

/* Asks about each open loop of the calling thread until an answer is not 0; returns that. */
int kn_registry_ask(int (*ask)(struct knit_loop *loop, void *arg), void *arg);
/* The open loop with this id if it is the calling thread's; panics if it is another's, NULL if
 * there is none. */
struct knit_loop *kn_registry_find(uint32_t id, const char *function);
/* Whose is the loop with this id? 0: the calling thread's; -KNIT_EWRONGTHREAD; -KNIT_ECLOSED: it is
 * closed, or gone. */
KN_NODISCARD int kn_registry_whose(uint32_t id);
#endif
