/* SPDX-License-Identifier: MIT */
/* test_thread.c - the thread-local struct and the hooks at a thread's end. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include "base/error.h"
#include "base/thread.h"
#include "test.h"

#define KEYS_MOST 4096

static char trace[64]; /* what happened, a letter an event */

static void note(char letter)
{
	size_t length = strlen(trace);

	if (length + 1 < sizeof(trace))
		trace[length] = letter;
}

/* A hook that notes its letter, if it gets the thread that ends. */
#define HOOK(letter, name)                              \
	static void hook_##name(struct kn_thread *self) \
	{                                               \
		note(self == &kn_self ? letter : '?');  \
	}                                               \
	struct kn_thread /* for the semicolon */

HOOK('a', a);
HOOK('b', b);
HOOK('c', c);
HOOK('d', d);
HOOK('e', e);
HOOK('f', f);
HOOK('g', g);
HOOK('h', h);

static void (*const all_hooks[])(struct kn_thread *) = {
        hook_a, hook_b, hook_c, hook_d, hook_e, hook_f, hook_g, hook_h,
};

static void do_not_hook(struct kn_thread *self)
{
	(void)self;
}

static void run_thread(void *(*entry)(void *), void *arg)
{
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, entry, arg), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
}

static void *arm(void *arg)
{
	*(int *)arg = kn_thread_arm_exit();
	return NULL;
}

static void *arm_twice(void *arg)
{
	*(int *)arg = kn_thread_arm_exit() | kn_thread_arm_exit();
	return NULL;
}

static void *do_nothing(void *arg)
{
	return arg;
}

Test(thread, the_hooks_run_once_at_the_end_the_last_set_first)
{
	int result = -1;

	kn_thread_at_exit(hook_a);
	kn_thread_at_exit(hook_b);
	kn_thread_at_exit(hook_c);
	run_thread(arm_twice, &result);
	cr_assert_eq(result, 0);
	cr_assert_str_eq(trace, "cba");
}

Test(thread, a_thread_that_was_not_armed_runs_no_hooks)
{
	int result;

	kn_thread_at_exit(hook_a);
	run_thread(do_nothing, NULL);
	cr_assert_str_eq(trace, "");
	/* Nor does arming one thread arm another. */
	cr_assert_eq(kn_thread_arm_exit(), 0);
	run_thread(do_nothing, NULL);
	cr_assert_str_eq(trace, "");
	run_thread(arm, &result);
	run_thread(arm, &result);
	cr_assert_str_eq(trace, "aa", "each armed thread runs them");
}

Test(thread, a_hook_that_is_set_twice_runs_once)
{
	int result;

	kn_thread_at_exit(hook_a);
	kn_thread_at_exit(hook_b);
	kn_thread_at_exit(hook_a);
	run_thread(arm, &result);
	cr_assert_str_eq(trace, "ba");
}

static void set_one_more(void *arg)
{
	(void)arg;
	for (int i = 0; i < KN_THREAD_HOOKS; i++)
		kn_thread_at_exit(all_hooks[i]);
	kn_thread_at_exit(do_not_hook);
}

Test(thread, there_is_room_for_so_many_hooks_and_no_more)
{
	int result;

	cr_assert_eq(sizeof(all_hooks) / sizeof(all_hooks[0]), KN_THREAD_HOOKS);
	test_death(set_one_more, NULL, "more than 8 hooks");
	for (int i = 0; i < KN_THREAD_HOOKS; i++)
		kn_thread_at_exit(all_hooks[i]);
	run_thread(arm, &result);
	cr_assert_str_eq(trace, "hgfedcba");
}

/* ---- the thread's own message ------------------------------------------------------- */

static pthread_key_t late_key;
static int late_rounds, hook_calls;

/* A destructor of somebody else. pthreads calls destructors in rounds, and those of one
 * round in an order of its own; from the second round on, ours has been called before. */
static void fail_late(void *arg)
{
	if (++late_rounds == 1) {
		pthread_setspecific(late_key, arg);
		return;
	}
	note(kn_self.own_message ? 'M' : 'm');
	if (late_rounds == 2) {
		knit_raise(EIO, "late");
		note(kn_self.own_message ? 'R' : 'r');
		pthread_setspecific(late_key, arg);
	}
}

static void fail_in_hook(struct kn_thread *self)
{
	if (++hook_calls == 1)
		note(self->own_message ? 'H' : 'h');
	if (hook_calls <= 2)
		knit_raise(EPIPE, "in a hook");
}

static void *fail_and_end(void *arg)
{
	pthread_setspecific(late_key, arg);
	note(kn_self.exit_armed ? 'E' : 'e');
	knit_raise(EIO, "outside tasks");
	note(kn_self.exit_armed ? 'E' : 'e');
	return NULL;
}

Test(thread, what_a_thread_recorded_is_freed_however_late)
{
	cr_assert_eq(pthread_key_create(&late_key, fail_late), 0);
	kn_thread_at_exit(fail_in_hook);
	run_thread(fail_and_end, &late_key);
	/* Not armed at first; raising arms. The hook finds the message, and what it leaves is
	 * gone in the second round. There the foreign destructor fails and the hook fails
	 * again, and all of that is gone in the third. */
	cr_assert_str_eq(trace, "eEHmRm");
	cr_assert_eq(late_rounds, 3);
	cr_assert_eq(hook_calls, 3);
	pthread_key_delete(late_key);
}

static void *fail_in_a_record(void *arg)
{
	kn_self.message = arg;
	knit_raise(EIO, "of a task");
	note(kn_self.exit_armed ? 'E' : 'e');
	kn_self.message = NULL;
	return NULL;
}

Test(thread, a_failure_in_a_task_needs_no_end_of_the_thread)
{
	struct kn_message *record = NULL;

	run_thread(fail_in_a_record, &record);
	cr_assert_str_eq(trace, "e");
	cr_assert_str_eq(record->text, "of a task");
	kn_message_unref(record);
}

Test(thread, where_the_thread_cannot_be_armed_the_code_alone_counts)
{
	static pthread_key_t keys[KEYS_MOST];
	int count = 0;

	while (count < KEYS_MOST && pthread_key_create(&keys[count], NULL) == 0)
		count++;
	cr_assert_lt(count, KEYS_MOST, "keys run out");
	cr_assert_gt(count, 0);
	cr_assert_eq(kn_thread_arm_exit(), -EAGAIN);
	cr_assert_eq(knit_raise(EIO, "text"), -EIO);
	cr_assert_null(kn_self.own_message);
	cr_assert_str_eq(knit_error_message(-EIO), knit_strerror(EIO));
	/* That is not for good. */
	pthread_key_delete(keys[--count]);
	cr_assert_eq(knit_raise(EIO, "text"), -EIO);
	cr_assert_str_eq(knit_error_message(-EIO), "text");
	while (count)
		pthread_key_delete(keys[--count]);
}

/* ---- identity ----------------------------------------------------------------------- */

static void *tell_identity(void *arg)
{
	*(struct kn_thread **)arg = &kn_self;
	note(kn_self.loop || kn_self.task || kn_self.message || kn_self.own_message ? '?' : '0');
	return NULL;
}

Test(thread, each_thread_has_an_address_of_its_own_and_starts_empty)
{
	struct kn_thread *other = NULL;

	kn_self.task = (struct knit_future *)&other;
	run_thread(tell_identity, &other);
	cr_assert_not_null(other);
	cr_assert_neq(other, &kn_self);
	cr_assert_str_eq(trace, "0");
}
