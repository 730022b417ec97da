/* SPDX-License-Identifier: MIT */
/* thread.c - the thread-local struct, and what happens at the end of a thread.
 *
 * __thread variables have no destructors in C, so an armed thread has a value under a
 * pthread key, and the key's destructor does the work. pthreads calls destructors in rounds:
 * one that belongs to somebody else may run after ours and fail in knit once more, which arms
 * the thread again and brings ours round again. The main thread runs destructors only if it
 * calls pthread_exit(); what it keeps is reachable from its kn_self.
 *
 * The key is never deleted, so the library must stay mapped as long as a thread does that
 * used it. */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include "base/error.h"
#include "base/thread.h"

#define HOOKS_MAX 4

__thread struct kn_thread kn_self __attribute__((tls_model("initial-exec")));

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under the lock: */
static pthread_key_t key;
static bool have_key;
static void (*hooks[HOOKS_MAX])(struct kn_thread *);
static unsigned hook_count;

static void at_exit(void *arg)
{
	struct kn_thread *self = arg;
	void (*call[HOOKS_MAX])(struct kn_thread *);
	unsigned count;

	pthread_mutex_lock(&lock);
	count = hook_count;
	for (unsigned i = 0; i < count; i++)
		call[i] = hooks[i];
	pthread_mutex_unlock(&lock);

	while (count)
		call[--count](self);
	/* A hook may have failed and left its message. */
	self->own_message = kn_message_unref(self->own_message);
	self->exit_armed = false;
}

int kn_thread_arm_exit(void)
{
	int error = 0;

	if (kn_likely(kn_self.exit_armed))
		return 0;
	pthread_mutex_lock(&lock);
	if (!have_key) {
		error = pthread_key_create(&key, at_exit);
		have_key = error == 0;
	}
	pthread_mutex_unlock(&lock);
	if (!error)
		error = pthread_setspecific(key, &kn_self);
	if (error)
		return -error;
	kn_self.exit_armed = true;
	return 0;
}

void kn_thread_at_exit(void (*hook)(struct kn_thread *))
{
	bool known = false;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < hook_count; i++)
		known |= hooks[i] == hook;
	if (!known) {
		kn_assert(hook_count < HOOKS_MAX);
		hooks[hook_count++] = hook;
	}
	pthread_mutex_unlock(&lock);
}
