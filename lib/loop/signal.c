/* SPDX-License-Identifier: MIT */
/* signal.c - signals as callbacks: one dispatcher for the process, handlers on any loop.
 *
 * The kernel delivers a signal to some thread, which may hold any lock. So the action does
 * three things only: it finds the loops that want the signal in an immutable array, sets a bit
 * in each, and writes each one's eventfd. Arrays are replaced, never changed; an old one is
 * freed when no action runs any more, which @active counts. For the same reason a loop can be
 * closed: once its handlers are gone, nobody writes to its eventfd. */
#include "loop/signal.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include "base/alloc.h"
#include "loop/loop.h"

#define SIGNALS 64 /* of Linux, counted from 1 */

struct handler {
	struct kn_ready ready;
	struct kn_list link; /* loop->signals */
	int signum;
	knit_callback *callback;
	void *arg;
};

struct targets {
	size_t count;
	struct knit_loop *loops[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct targets *) table[SIGNALS + 1]; /* by number; NULL: not ours */
static struct sigaction before[SIGNALS + 1];         /* the action that ours replaced */
static atomic_uint active;                           /* actions that run now */

static void action(int signum)
{
	int saved = errno;
	struct targets *targets;

	atomic_fetch_add(&active, 1);
	targets = atomic_load(&table[signum]);
	for (size_t i = 0; targets && i < targets->count; i++) {
		struct knit_loop *loop = targets->loops[i];

		atomic_fetch_or(&loop->signals_pending, UINT64_C(1) << (signum - 1));
		atomic_fetch_add(&loop->signal_wakes, 1);
		kn_loop_wake(loop);
	}
	atomic_fetch_sub(&active, 1);
	errno = saved;
}

/* Puts @next (owned from here on) in the place of the array of @signum. Locked. */
static void replace(int signum, struct targets *next)
{
	struct targets *old = atomic_exchange(&table[signum], next);

	while (atomic_load(&active))
		sched_yield();
	kn_free(old);
}

static int add_target(int signum, struct knit_loop *loop)
{
	struct targets *old = atomic_load(&table[signum]), *next;
	size_t count = old ? old->count : 0;
	struct sigaction sa;

	next = kn_malloc(sizeof(*next) + (count + 1) * sizeof(next->loops[0]));
	if (!next)
		return -ENOMEM;
	if (count)
		memcpy(next->loops, old->loops, count * sizeof(next->loops[0]));
	next->loops[count] = loop;
	next->count = count + 1;
	replace(signum, next);
	if (count)
		return 0;
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = action;
	sa.sa_flags = SA_RESTART | SA_ONSTACK;
	sigfillset(&sa.sa_mask);
	if (sigaction(signum, &sa, &before[signum]) < 0) {
		int r = -errno;

		replace(signum, NULL);
		return r;
	}
	return 0;
}

static void remove_target(int signum, struct knit_loop *loop)
{
	struct targets *old = atomic_load(&table[signum]), *next = NULL;

	if (old->count == 1) {
		sigaction(signum, &before[signum], NULL);
	} else {
		next = kn_malloc(sizeof(*next) + old->count * sizeof(next->loops[0]));
		if (!next) {
			/* Shrinking in place is safe once no action looks at the array. */
			while (atomic_load(&active))
				sched_yield();
			next = old;
		}
		size_t n = 0;

		for (size_t i = 0; i < old->count; i++)
			if (old->loops[i] != loop)
				next->loops[n++] = old->loops[i];
		next->count = n;
		if (next == old)
			return;
	}
	replace(signum, next);
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

	handler->callback(handler->arg);
}

int knit_loop_add_signal_handler(knit_loop *loop, int signum, knit_callback *callback, void *arg)
{
	struct handler *handler;
	int r = kn_loop_usable(loop);

	if (r < 0)
		return r;
	if (!valid(signum) || !callback)
		return -EINVAL;
	handler = find(loop, signum);
	if (handler) {
		handler->callback = callback;
		handler->arg = arg;
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
	kn_list_add_tail(&loop->signals, &handler->link);
	return 0;
}

static void handler_free(struct knit_loop *loop, struct handler *handler)
{
	pthread_mutex_lock(&lock);
	remove_target(handler->signum, loop);
	pthread_mutex_unlock(&lock);
	kn_list_del(&handler->link);
	kn_list_del(&handler->ready.link);
	kn_free(handler);
}

int knit_loop_remove_signal_handler(knit_loop *loop, int signum)
{
	struct handler *handler;
	int r = kn_loop_check(loop);

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

void kn_signals_before_fork(void)
{
	pthread_mutex_lock(&lock);
}

void kn_signals_after_fork_in_parent(void)
{
	pthread_mutex_unlock(&lock);
}

void kn_signals_after_fork_in_child(void)
{
	for (int signum = 1; signum <= SIGNALS; signum++) {
		if (!atomic_load(&table[signum]))
			continue;
		atomic_store(&table[signum], NULL);
		sigaction(signum, &before[signum], NULL);
	}
	atomic_store(&active, 0);
	pthread_mutex_unlock(&lock);
}
