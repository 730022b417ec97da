/* SPDX-License-Identifier: MIT */
/* test_overflow.c - the report: who, how much, in which thread, and whose faults are whose. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coroutine.h"
#include "test.h"

__attribute__((noinline)) static int recurse(int depth)
{
	volatile char frame[512];

	frame[0] = (char)depth;
	return depth ? recurse(depth - 1) + frame[0] : 0;
}

static void overflow(struct coroutine *co)
{
	co->value = recurse(1 << 24);
}

/* Runs @body on a stack of @size bytes. In a child of a death test: what cannot be set up
 * makes it live on. */
static void run(void (*body)(struct coroutine *), size_t size)
{
	struct kn_stack_pool *pool = kn_stack_pool_new(65536, false, KN_GUARD_MPROTECT);
	struct kn_stack *stack = pool ? kn_stack_get(pool, size) : NULL;
	struct coroutine co;

	if (!stack || kn_overflow_arm_thread() < 0)
		_exit(0);
	coroutine_init(&co, stack, body);
	coroutine_resume(&co);
}

/* ---- the text ----------------------------------------------------------------------- */

static void no_name(char *buffer, size_t size)
{
	(void)size;
	buffer[0] = '\0';
}

static void odd_name(char *buffer, size_t size)
{
	snprintf(buffer, size, "two\nlines %0300d", 0);
}

#define NAMELESS                                                             \
	"knit: stack overflow in a task without a name: limit 65536 bytes; " \
	"give it more with .stack_size\n"

static void run_without_namer(void *arg)
{
	kn_overflow_set_namer(arg);
	run(overflow, 0);
}

Test(overflow, task_without_a_name_is_reported_too)
{
	test_death(run_without_namer, NULL, NAMELESS);
	test_death(run_without_namer, (void *)no_name, NAMELESS);
}

Test(overflow, long_names_and_line_breaks_do_not_break_the_line)
{
	test_death(run_without_namer, (void *)odd_name,
	           "knit: stack overflow in task 'two lines 000000");
	test_death(run_without_namer, (void *)odd_name, "000': limit 65536 bytes; give it");
}

static void run_large(void *arg)
{
	(void)arg;
	run(overflow, 1 << 20);
}

Test(overflow, limit_is_that_of_the_stack_at_hand)
{
	test_death(run_large, NULL, ": limit 1048576 bytes;");
}

/* ---- threads ---------------------------------------------------------------------------- */

static void *overflow_in_thread(void *arg)
{
	run(overflow, 0);
	return arg;
}

static void run_in_second_thread(void *arg)
{
	pthread_t thread;

	(void)arg;
	run(coroutine_yield, 0);
	if (pthread_create(&thread, NULL, overflow_in_thread, NULL) == 0)
		pthread_join(thread, NULL);
}

Test(overflow, is_reported_in_a_second_thread)
{
	test_death(run_in_second_thread, NULL, "knit: stack overflow in a task");
}

static void *look_at_alternate_stack(void *arg)
{
	stack_t *seen = arg;

	if (kn_overflow_arm_thread() == 0 && kn_overflow_arm_thread() == 0)
		sigaltstack(NULL, seen);
	return NULL;
}

static bool is_mapped(void *page)
{
	unsigned char in_memory;

	return mincore(page, (size_t)sysconf(_SC_PAGESIZE), &in_memory) == 0;
}

Test(overflow, alternate_stack_is_large_enough_and_goes_with_its_thread)
{
	stack_t seen = {.ss_flags = SS_DISABLE};
	long need = 2048;
	pthread_t thread;

	if (test_scale(0, 1, 0, 0))
		test_skip("AddressSanitizer's own alternate stack is kept");
	cr_assert_eq(pthread_create(&thread, NULL, look_at_alternate_stack, &seen), 0);
	pthread_join(thread, NULL);
#ifdef _SC_SIGSTKSZ
	need = sysconf(_SC_SIGSTKSZ);
#endif
	cr_assert_not(seen.ss_flags & SS_DISABLE);
	cr_expect_geq(seen.ss_size, (size_t)need + 16384);
	cr_expect_not(is_mapped(seen.ss_sp), "it was freed");
}

static char own_stack[262144];

static void *keep_own_stack(void *arg)
{
	stack_t own = {.ss_sp = own_stack, .ss_size = sizeof(own_stack)}, old;

	sigaltstack(&own, &old);
	look_at_alternate_stack(arg);
	sigaltstack(&old, NULL);
	return NULL;
}

Test(overflow, an_alternate_stack_that_is_there_is_kept)
{
	stack_t seen = {.ss_flags = SS_DISABLE};
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, keep_own_stack, &seen), 0);
	pthread_join(thread, NULL);
	cr_expect_eq(seen.ss_sp, (void *)own_stack);
}

/* ---- faults of others ---------------------------------------------------------------------- */

/* Where stderr went before a file was put in its place. */
static int true_stderr;

/* Tells whether an overflow was reported by the time it is called. */
static void previous_handler(int number, siginfo_t *info, void *context)
{
	static char said[4096];
	char line[64];

	(void)context;
	if (pread(STDERR_FILENO, said, sizeof(said) - 1, 0) < 0)
		_exit(0);
	snprintf(line, sizeof(line), "signal %d at %p %s\n", number, info->si_addr,
	         strstr(said, "stack overflow") ? "after a report" : "and no report");
	if (write(true_stderr, line, strlen(line)) < 0)
		_exit(0);
	_exit(3);
}

static void set_previous_handler(void)
{
	struct sigaction action = {.sa_sigaction = previous_handler,
	                           .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	true_stderr = dup(STDERR_FILENO);
	dup2(memfd_create("said", 0), STDERR_FILENO);
}

/* Volatile, so that compilers do not see through it. */
static volatile char *volatile nowhere = (volatile char *)24;

static void write_to_nowhere(struct coroutine *co)
{
	(void)co;
	*nowhere = 1;
}

static void fault_elsewhere(void *arg)
{
	(void)arg;
	set_previous_handler();
	run(write_to_nowhere, 0);
}

Test(overflow, faults_elsewhere_go_to_the_handler_that_was_there)
{
	test_death(fault_elsewhere, NULL, "signal 11 at 0x18 and no report");
}

static void overflow_with_previous(void *arg)
{
	(void)arg;
	set_previous_handler();
	run(overflow, 0);
}

Test(overflow, handler_that_was_there_is_called_after_the_report)
{
	test_death(overflow_with_previous, NULL, " after a report");
}

static void *map_file_too_short(void)
{
	int fd = memfd_create("short", 0);

	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

static void write_beyond_the_file(struct coroutine *co)
{
	*(volatile char *)co->arg = 1;
}

static void bus_error(void *arg)
{
	struct kn_stack_pool *pool = kn_stack_pool_new(65536, false, KN_GUARD_MPROTECT);
	struct coroutine co;

	(void)arg;
	set_previous_handler();
	if (kn_overflow_arm_thread() < 0)
		_exit(0);
	coroutine_init(&co, kn_stack_get(pool, 0), write_beyond_the_file);
	co.arg = map_file_too_short();
	coroutine_resume(&co);
}

Test(overflow, bus_errors_are_passed_on)
{
	test_death(bus_error, NULL, "signal 7 at 0x");
}

Test(overflow, both_kinds_of_fault_are_handled)
{
	struct sigaction segv, bus;

	cr_assert_eq(kn_overflow_arm_thread(), 0);
	sigaction(SIGSEGV, NULL, &segv);
	sigaction(SIGBUS, NULL, &bus);
	cr_expect(segv.sa_flags & SA_ONSTACK);
	cr_expect_eq((void *)segv.sa_sigaction, (void *)bus.sa_sigaction);
	cr_expect_neq((void *)segv.sa_handler, (void *)SIG_DFL);
}

static void plain_handler(int number)
{
	_exit(number == SIGSEGV ? 3 : 0);
}

static void fault_with_plain_handler(void *arg)
{
	(void)arg;
	signal(SIGSEGV, plain_handler);
	run(write_to_nowhere, 0);
}

Test(overflow, handlers_of_the_plain_kind_are_called)
{
	test_death(fault_with_plain_handler, NULL, "");
}

static void ignore(int number)
{
	(void)number;
}

static void overflow_with_idle_handler(void *arg)
{
	(void)arg;
	signal(SIGSEGV, ignore);
	run(overflow, 0);
}

Test(overflow, ends_the_process_even_if_that_handler_returns)
{
	test_death(overflow_with_idle_handler, NULL, "knit: stack overflow");
}

static void send_to_self(struct coroutine *co)
{
	(void)co;
	raise(SIGSEGV);
	_exit(0);
}

static void sent_signal(void *arg)
{
	(void)arg;
	signal(SIGSEGV, SIG_DFL);
	run(send_to_self, 0);
}

Test(overflow, a_sent_signal_has_its_default_action)
{
	test_death(sent_signal, NULL, "");
}

static void fault_in_thread(void *arg)
{
	(void)arg;
	signal(SIGSEGV, SIG_DFL);
	run(coroutine_yield, 0);
	*nowhere = 1;
}

Test(overflow, faults_outside_fibers_have_their_default_action)
{
	test_death(fault_in_thread, NULL, "");
}
