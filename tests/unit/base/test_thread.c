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

static void hook_a(struct kn_thread *self)
{
	note(self == &kn_self ? 'a' : '?');
}

static void hook_b(struct kn_thread *self)
{
	note(self == &kn_self ? 'b' : '?');
}

static void hook_c(struct kn_thread *self)
{
	note(self == &kn_self ? 'c' : '?');
}

static void hook_d(struct kn_thread *self)
{
	note(self == &kn_self ? 'd' : '?');
}

static void hook_e(struct kn_thread *self)
{
	note(self == &kn_self ? 'e' : '?');
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

static void set_five(void *arg)
{
	(void)arg;
	kn_thread_at_exit(hook_a);
	kn_thread_at_exit(hook_b);
	kn_thread_at_exit(hook_c);
	kn_thread_at_exit(hook_d);
	kn_thread_at_exit(hook_e);
}

Test(thread, four_hooks_are_all_there_is_room_for)
{
	int result;

	test_death(set_five, NULL, "broken invariant");
	kn_thread_at_exit(hook_a);
	kn_thread_at_exit(hook_b);
	kn_thread_at_exit(hook_c);
	kn_thread_at_exit(hook_d);
	run_thread(arm, &result);
	cr_assert_str_eq(trace, "dcba");
}

/* ---- the thread's own message ------------------------------------------------------- */

static pthread_key_t late_key;
static int late_rounds;

/* pthreads calls destructors in rounds, and those of one round in an order of its own. In the
 * second round ours is through. */
static void look_late(void *arg)
{
	if (++late_rounds == 1) {
		pthread_setspecific(late_key, arg);
		return;
	}
	note(kn_self.own_message ? 'M' : 'm');
	note(kn_self.exit_armed ? 'E' : 'e');
	if (late_rounds == 2) {
		/* A failure as late as this is freed too. */
		knit_raise(EIO, "late");
		note(kn_self.own_message ? 'M' : 'm');
		pthread_setspecific(late_key, arg);
	}
}

static void *fail_and_end(void *arg)
{
	pthread_setspecific(late_key, arg);
	note(kn_self.exit_armed ? 'E' : 'e');
	knit_raise(EIO, "outside tasks");
	note(kn_self.exit_armed ? 'E' : 'e');
	return NULL;
}

static void fail_at_exit(struct kn_thread *self)
{
	note(self->own_message ? 'M' : 'm');
	knit_raise(EPIPE, "in a hook");
	note('h');
}

Test(thread, what_a_thread_recorded_is_freed_at_its_end)
{
	cr_assert_eq(pthread_key_create(&late_key, look_late), 0);
	kn_thread_at_exit(fail_at_exit);
	run_thread(fail_and_end, &late_key);
	/* At first not armed, then armed. The hook sees the message and leaves one of its own.
	 * In the second round nothing is left, and the late failure arms the thread again: the
	 * hook sees that message too, and in the third round nothing is left again. */
	cr_assert_str_eq(trace, "eEMhmeMMhme");
	cr_assert_eq(late_rounds, 3);
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
