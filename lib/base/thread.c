/* SPDX-License-Identifier: MIT */
/* thread.c - the thread-local struct, and what happens at the end of a thread.
 *
 * __thread variables have no destructors in C, so an armed thread has a value under a
 * pthread key, and the key's destructor does the work. pthreads calls destructors in rounds:
 * what runs after ours, another destructor or one of the hooks, may use the library once
 * more; that arms the thread again, and the next round sees to what was left. The main
 * thread runs destructors only if it calls pthread_exit(); what it keeps is reachable from
 * its kn_self.
 *
 * There is no lock, so a fork() cannot catch one held by a thread that the child has not.
 * The key is never deleted, so the library must stay mapped as long as a thread does that
 * used it. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "base/thread.h"

typedef void exit_hook(struct kn_thread *);

__thread struct kn_thread kn_self __attribute__((tls_model("initial-exec")));

static _Atomic(exit_hook *) hooks[KN_THREAD_HOOKS]; /* filled from the front, never emptied */
static _Atomic(uintptr_t) key_plus_one;             /* 0: there is no key yet */

static void at_exit(void *arg)
{
	struct kn_thread *self = arg;

	/* First, so that what the hooks leave behind brings another round. */
	self->exit_armed = false;
	for (unsigned i = KN_THREAD_HOOKS; i-- > 0;) {
		exit_hook *hook = atomic_load_explicit(&hooks[i], memory_order_acquire);

		if (hook)
			hook(self);
	}
	self->own_message = kn_message_unref(self->own_message);
}

/* The key, made by the first thread that asks. One that cannot be had now may be later. */
static int get_key(pthread_key_t *ret)
{
	uintptr_t published = atomic_load_explicit(&key_plus_one, memory_order_acquire);
	pthread_key_t mine;
	int error;

	if (!published) {
		error = pthread_key_create(&mine, at_exit);
		if (error)
			return error;
		if (atomic_compare_exchange_strong_explicit(
		            &key_plus_one, &published, (uintptr_t)mine + 1, memory_order_acq_rel,
		            memory_order_acquire))
			published = (uintptr_t)mine + 1;
		else
			pthread_key_delete(mine); /* another thread was faster */
	}
	*ret = (pthread_key_t)(published - 1);
	return 0;
}

int kn_thread_arm_exit(void)
{
	pthread_key_t key;
	int error;

	if (kn_likely(kn_self.exit_armed))
		return 0;
	error = get_key(&key);
	if (!error)
		error = pthread_setspecific(key, &kn_self);
	if (error)
		return -error;
	kn_self.exit_armed = true;
	return 0;
}

void kn_thread_at_exit(void (*hook)(struct kn_thread *))
{
	for (unsigned i = 0; i < KN_THREAD_HOOKS; i++) {
		exit_hook *there = NULL;

		if (atomic_compare_exchange_strong_explicit(
		            &hooks[i], &there, hook, memory_order_release, memory_order_relaxed) ||
		    there == hook)
			return;
	}
	kn_panic("more than %d hooks for the end of a thread", KN_THREAD_HOOKS);
}
