/* SPDX-License-Identifier: MIT */
/* interrupt.c - Ctrl-C while a main task runs: the first one asks, the second one ends.
 *
 * The action restores the default one, so the kernel itself sees to it that a second SIGINT ends
 * the process, whatever the program is busy with then. The first one wakes the loop as the
 * signals of signal.c do, and on the same terms: it may run in any thread, so whoever takes its
 * loop away waits until no action is looking at it.
 *
 * Somebody may have taken the action for the one that was there before, to restore it later. One
 * that finds no loop therefore does what SIGINT does by default. */
#include "loop/loop.h"
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "loop/signal.h"

static _Atomic(struct knit_loop *) target; /* of the main thread's run, while nothing came */
static atomic_uint active;                 /* actions that run now */

static bool set_default(void)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = SIG_DFL;
	return sigaction(SIGINT, &sa, NULL) == 0;
}

static void action(int signum)
{
	int saved = errno;
	struct knit_loop *loop;

	atomic_fetch_add(&active, 1);
	loop = atomic_exchange(&target, NULL);
	if (loop) {
		set_default();
		atomic_fetch_or(&loop->signals_pending, KN_INTERRUPT);
		atomic_fetch_add(&loop->signal_wakes, 1);
		kn_loop_wake(loop);
	} else if (set_default()) {
		raise(signum); /* delivered when this returns */
	}
	atomic_fetch_sub(&active, 1);
	errno = saved;
}

/* What there is now for SIGINT, if it is an action without siginfo. */
static void (*current(void))(int)
{
	struct sigaction sa;

	if (sigaction(SIGINT, NULL, &sa) < 0 || (sa.sa_flags & SA_SIGINFO))
		return SIG_ERR;
	return sa.sa_handler;
}

static bool in_main_thread(void)
{
	return syscall(SYS_gettid) == getpid();
}

void kn_interrupt_begin(struct knit_loop *loop, struct kn_ready *ready)
{
	struct sigaction sa;

	if (!in_main_thread() || current() != SIG_DFL)
		return;
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = action;
	sa.sa_flags = SA_RESTART | SA_ONSTACK;
	sigemptyset(&sa.sa_mask);
	loop->interrupt = ready;
	atomic_store(&target, loop);
	if (sigaction(SIGINT, &sa, NULL) < 0) {
		atomic_store(&target, NULL);
		loop->interrupt = NULL;
	}
}

void kn_interrupt_end(struct knit_loop *loop)
{
	struct kn_ready *ready = loop->interrupt;
	uint64_t pending;

	if (!ready)
		return;
	if (current() == action)
		set_default();
	atomic_store(&target, NULL);
	while (atomic_load(&active))
		sched_yield();
	loop->interrupt = NULL;
	pending = atomic_fetch_and(&loop->signals_pending, ~KN_INTERRUPT);
	if ((pending & KN_INTERRUPT) || !kn_list_empty(&ready->link)) {
		kn_list_del(&ready->link);
		raise(SIGINT);
	}
}

void kn_interrupt_forget(void)
{
	atomic_store(&active, 0);
	atomic_store(&target, NULL);
	if (current() == action)
		set_default();
}
