/* SPDX-License-Identifier: MIT */
/* signal.c - signals as callbacks: one dispatcher for the process, handlers on any loop.
 *
 * The kernel delivers a signal to some thread, which may hold any lock. So the action does
 * three things only: it finds the loops that want the signal in an array, sets a bit in each, and
 * writes each one's eventfd. A loop that is gone leaves an empty place in the array, so removing
 * needs no memory; one that has outgrown it gets another array. @active counts the actions that
 * run: at 0 nobody looks at an old array or at a loop that was removed, so that the one can be
 * freed and the other closed. */
#include "loop/signal.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include "base/alloc.h"
#include "base/options.h"
#include "loop/debug.h"
#include "loop/loop.h"

#define SIGNALS 64 /* of Linux, counted from 1 */

struct handler {
	struct kn_ready ready;
	struct kn_list link; /* loop->signals */
	int signum;
	knit_callback *callback;
	void *arg;
	struct kn_vars *vars;     /* owned: what every delivery sees */
	struct kn_origin *origin; /* owned: where it was added; NULL but in debug mode */
};

struct targets {
	size_t room;
	_Atomic(struct knit_loop *) loops[]; /* NULL: an empty place */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct targets *) table[SIGNALS + 1]; /* by number; NULL: not ours */
static struct sigaction before[SIGNALS + 1];         /* the action that ours replaced */
static atomic_uint active;                           /* actions that run now */
static sigset_t mask_before_fork;                    /* of the forking thread; under the lock */

static void action(int signum)
{
	int saved = errno;
	struct targets *targets;

	atomic_fetch_add(&active, 1);
	targets = atomic_load(&table[signum]);
	for (size_t i = 0; targets && i < targets->room; i++) {
		struct knit_loop *loop = atomic_load(&targets->loops[i]);

		if (!loop)
			continue;
		atomic_fetch_or(&loop->signals_pending, UINT64_C(1) << (signum - 1));
		atomic_fetch_add(&loop->signal_wakes, 1);
		kn_loop_wake(loop);
	}
	atomic_fetch_sub(&active, 1);
	errno = saved;
}

/* Waits until no action uses what was taken out of the table. */
static void settle(void)
{
	while (atomic_load(&active))
		sched_yield();
}

/* Puts @next (owned from here on) in the place of the array of @signum. Locked. */
static void replace(int signum, struct targets *next)
{
	struct targets *old = atomic_exchange(&table[signum], next);

	settle();
	kn_free(old);
}

/* The place of @loop (NULL: an empty one), or NULL. */
static _Atomic(struct knit_loop *) *place_of(struct targets *targets, struct knit_loop *loop)
{
	for (size_t i = 0; targets && i < targets->room; i++)
		if (atomic_load(&targets->loops[i]) == loop)
			return &targets->loops[i];
	return NULL;
}

static struct targets *enlarged(const struct targets *old)
{
	size_t count = old ? old->room : 0, room = count ? 2 * count : 4;
	struct targets *next = kn_malloc(sizeof(*next) + room * sizeof(next->loops[0]));

	if (!next)
		return NULL;
	next->room = room;
	for (size_t i = 0; i < room; i++)
		atomic_init(&next->loops[i], i < count ? atomic_load(&old->loops[i]) : NULL);
	return next;
}

static int install(int signum)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = action;
	sa.sa_flags = SA_RESTART | SA_ONSTACK;
	sigfillset(&sa.sa_mask);
	return sigaction(signum, &sa, &before[signum]) < 0 ? -errno : 0;
}

static int add_target(int signum, struct knit_loop *loop)
{
	struct targets *targets = atomic_load(&table[signum]);
	bool first = !targets;
	int r = 0;

	if (!place_of(targets, NULL)) {
		targets = enlarged(targets);
		if (!targets)
			return -ENOMEM;
		replace(signum, targets);
	}
	atomic_store(place_of(targets, NULL), loop);
	if (first) {
		r = install(signum);
		if (r < 0)
			replace(signum, NULL);
	}
	return r;
}

static void remove_target(int signum, struct knit_loop *loop)
{
	struct targets *targets = atomic_load(&table[signum]);

	atomic_store(place_of(targets, loop), NULL);
	settle();
	for (size_t i = 0; i < targets->room; i++)
		if (atomic_load(&targets->loops[i]))
			return;
	sigaction(signum, &before[signum], NULL);
	replace(signum, NULL);
}

static bool valid(int signum)
{
	switch (signum) {
	case SIGKILL:
	case SIGSTOP:
	case SIGSEGV:
	case SIGBUS:
	case SIGILL:
	case SIGFPE:
		return false;
	default:
		return signum > 0 && signum <= SIGNALS &&
		       (signum < 32 || (signum >= SIGRTMIN && signum <= SIGRTMAX));
	}
}

static struct handler *find(struct knit_loop *loop, int signum)
{
	kn_list_for_each (node, &loop->signals) {
		struct handler *handler = kn_list_entry(node, struct handler, link);

		if (handler->signum == signum)
			return handler;
	}
	return NULL;
}

static void handler_run(struct kn_ready *ready)
{
	struct handler *handler = kn_container_of(ready, struct handler, ready);

	struct kn_vars_frame frame;
	struct kn_vars *vars = NULL;

	if (kn_unlikely(handler->vars != NULL))
		vars = kn_vars_again(handler->vars);
	kn_vars_enter(&frame, vars);
	handler->callback(handler->arg);
	kn_vars_leave(&frame);
}

bool kn_signal_describe(struct kn_ready *ready, struct kn_subject *subject)
{
	struct handler *handler = kn_container_of(ready, struct handler, ready);

	if (ready->run != handler_run)
		return false;
	kn_subject_callback(subject, (uintptr_t)handler->callback, handler->origin);
	return true;
}

/* Consumes @vars if it succeeds. */
static int add_handler(knit_loop *loop, int signum, knit_callback *callback, void *arg,
                       struct kn_vars *vars)
{
	struct handler *handler;
	struct kn_vars *old;
	int r;

	loop = kn_loop_or_running(loop);
	r = loop ? kn_loop_usable(loop) : -KNIT_ENOLOOP;
	if (r < 0)
		return r;
	if (!valid(signum) || !callback)
		return -EINVAL;
	handler = find(loop, signum);
	if (handler) {
		old = handler->vars;
		handler->callback = callback;
		handler->arg = arg;
		handler->vars = vars;
		kn_vars_release(old);
		return 0;
	}
	handler = kn_malloc(sizeof(*handler));
	if (!handler)
		return -ENOMEM;
	pthread_mutex_lock(&lock);
	r = add_target(signum, loop);
	pthread_mutex_unlock(&lock);
	if (r < 0) {
		kn_free(handler);
		return r;
	}
	handler->ready.run = handler_run;
	kn_list_init(&handler->ready.link);
	handler->signum = signum;
	handler->callback = callback;
	handler->arg = arg;
	handler->vars = vars;
	handler->origin = kn_origin_note(loop);
	kn_list_add_tail(&loop->signals, &handler->link);
	return 0;
}

int knit_loop_add_signal_handler_with(knit_loop *loop, int signum, knit_callback *callback,
                                      const knit_callback_options *given)
{
	knit_callback_options options;
	struct kn_vars *vars;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r == 0)
		r = kn_vars_take(options.context, &vars);
	if (r < 0)
		return r;
	r = add_handler(loop, signum, callback, options.arg, vars);
	if (r < 0)
		kn_vars_release(vars);
	return r;
}

int knit_loop_add_signal_handler(knit_loop *loop, int signum, knit_callback *callback, void *arg)
{
	const knit_callback_options options = {.size = sizeof(options), .arg = arg};

	return knit_loop_add_signal_handler_with(loop, signum, callback, &options);
}

static void handler_free(struct knit_loop *loop, struct handler *handler)
{
	struct kn_vars *vars = handler->vars;

	pthread_mutex_lock(&lock);
	remove_target(handler->signum, loop);
	pthread_mutex_unlock(&lock);
	kn_list_del(&handler->link);
	kn_list_del(&handler->ready.link);
	kn_origin_unref(handler->origin);
	kn_free(handler);
	kn_vars_release(vars);
}

int knit_loop_remove_signal_handler(knit_loop *loop, int signum)
{
	struct handler *handler;
	int r;

	loop = kn_loop_or_running(loop);
	r = loop ? kn_loop_check(loop) : -KNIT_ENOLOOP;
	if (r < 0)
		return r;
	if (!valid(signum))
		return -EINVAL;
	handler = find(loop, signum);
	if (!handler)
		return 0;
	handler_free(loop, handler);
	return 1;
}

void kn_signals_dispatch(struct knit_loop *loop, uint64_t pending)
{
	if ((pending & KN_INTERRUPT) && loop->interrupt)
		kn_loop_ready(loop, loop->interrupt);
	kn_list_for_each (node, &loop->signals) {
		struct handler *handler = kn_list_entry(node, struct handler, link);

		if (!(pending >> (handler->signum - 1) & 1))
			continue;
		kn_list_del(&handler->ready.link); /* in line only once */
		kn_list_add_tail(&loop->ready, &handler->ready.link);
	}
}

void kn_signals_close(struct knit_loop *loop)
{
	kn_list_for_each_safe (node, &loop->signals)
		handler_free(loop, kn_list_entry(node, struct handler, link));
}

/* A signal that reached the child before its actions are its own would wake the parent's loops:
 * it waits until they are. */
void kn_signals_before_fork(void)
{
	sigset_t all;

	pthread_mutex_lock(&lock);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask_before_fork);
}

void kn_signals_after_fork_in_parent(void)
{
	pthread_sigmask(SIG_SETMASK, &mask_before_fork, NULL);
	pthread_mutex_unlock(&lock);
}

void kn_signals_after_fork_in_child(void)
{
	/* Actions of the parent's other threads. */
	atomic_store(&active, 0);
	for (int signum = 1; signum <= SIGNALS; signum++) {
		if (!atomic_load(&table[signum]))
			continue;
		sigaction(signum, &before[signum], NULL);
		replace(signum, NULL);
	}
	kn_interrupt_forget();
	pthread_sigmask(SIG_SETMASK, &mask_before_fork, NULL);
	pthread_mutex_unlock(&lock);
}
