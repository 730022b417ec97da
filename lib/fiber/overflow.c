/* SPDX-License-Identifier: MIT */
/* overflow.c - a stack overflow ends the process with a line that says whose it was.
 *
 * The fault comes from the guard page below the stack that the thread runs on, so the
 * handler needs another stack: the thread's alternate one. It reads thread-local data
 * only, which kn_overflow_set_current() set before the switch to that stack.
 *
 * Faults that are none of ours go to the handler that was installed before ours, which
 * may know what to do about them, or to the default action. After a report of ours that
 * handler is called as well, since it may write a crash dump (AddressSanitizer's writes the
 * call stack); but when it returns, the default action ends the process in any case. */
#include "fiber/stack.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/thread.h"
#include "fiber/stack_slab.h"

/* For a handler before ours, which may be more greedy. Untouched pages cost nothing. */
#define ALTERNATE_SIZE 65536

__thread const struct kn_stack *kn_overflow_stack;

static _Atomic(void (*)(char *, size_t)) namer;

/* ---- the text ------------------------------------------------------------------- */

static char *append(char *at, const char *end, const char *text)
{
	while (*text && at < end)
		*at++ = *text++;
	return at;
}

static char *append_number(char *at, const char *end, size_t number)
{
	char digits[24], *digit = digits + sizeof(digits) - 1;

	*digit = '\0';
	do
		*--digit = (char)('0' + number % 10);
	while (number /= 10);
	return append(at, end, digit);
}

void kn_overflow_describe(const struct kn_stack *stack, char *line, size_t size)
{
	void (*name_of)(char *, size_t) = atomic_load_explicit(&namer, memory_order_acquire);
	char name[128] = "";
	char *at = line;
	const char *end = line + size - 1;

	if (name_of)
		name_of(name, sizeof(name));
	at = append(at, end, "stack overflow in ");
	if (name[0]) {
		at = append(at, end, "task '");
		at = append(at, end, name);
		at = append(at, end, "'");
	} else {
		at = append(at, end, "a task without a name");
	}
	at = append(at, end, ": limit ");
	at = append_number(at, end, kn_stack_slab_of(stack)->slot_size);
	at = append(at, end, " bytes; give it more with .stack_size");
	*at = '\0';
	for (at = line; *at; at++)
		if (*at == '\n')
			*at = ' ';
}

static void report(const struct kn_stack *stack)
{
	char line[256] = "knit: ";
	size_t prefix = strlen(line), length;

	kn_overflow_describe(stack, line + prefix, sizeof(line) - prefix - 1);
	length = strlen(line);
	line[length++] = '\n';
	/* Nothing to be done if it fails. */
	if (write(STDERR_FILENO, line, length) < 0)
		return;
}

/* ---- the handler ---------------------------------------------------------------- */

static struct sigaction previous_segv, previous_bus;

static void set_default(int number)
{
	struct sigaction action = {.sa_handler = SIG_DFL};

	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
}

/* Calls the handler that was there before ours. False if there was none. */
static bool call_previous(int number, siginfo_t *info, void *context)
{
	const struct sigaction *previous = number == SIGBUS ? &previous_bus : &previous_segv;

	if (previous->sa_flags & SA_SIGINFO) {
		previous->sa_sigaction(number, info, context);
		return true;
	}
	if (previous->sa_handler == SIG_DFL || previous->sa_handler == SIG_IGN)
		return false;
	previous->sa_handler(number);
	return true;
}

static bool is_overflow(const struct kn_stack *stack, const siginfo_t *info)
{
	const char *address = info->si_addr;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	/* A code of 0 or less is a signal that somebody sent: it has no address. */
	return stack && info->si_code > 0 && address < kn_stack_low(stack) &&
	       address >= kn_stack_low(stack) - page;
}

static void handle_fault(int number, siginfo_t *info, void *context)
{
	const struct kn_stack *stack = kn_overflow_stack;
	bool ours = is_overflow(stack, info);
	int error = errno;

	if (ours)
		report(stack);
	if (!call_previous(number, info, context) || ours) {
		set_default(number);
		/* A fault happens again as soon as we return; what was sent does not. The
		 * signal is blocked until then. */
		if (info->si_code <= 0)
			raise(number);
	}
	errno = error;
}

/* ---- setting up ----------------------------------------------------------------- */

static pthread_once_t install_once = PTHREAD_ONCE_INIT;
static int install_error;

/* The alternate stack that we made for this thread. */
static __thread stack_t alternate;

static void free_alternate(struct kn_thread *thread)
{
	stack_t none = {.ss_flags = SS_DISABLE}, now;

	(void)thread;
	if (!alternate.ss_sp)
		return;
	/* Somebody else's may have taken its place. */
	if (sigaltstack(NULL, &now) == 0 && now.ss_sp == alternate.ss_sp)
		sigaltstack(&none, NULL);
	munmap(alternate.ss_sp, alternate.ss_size);
	alternate.ss_sp = NULL;
}

static void install(void)
{
	struct sigaction action = {.sa_sigaction = handle_fault,
	                           .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigemptyset(&action.sa_mask);
	kn_thread_at_exit(free_alternate);
	if (sigaction(SIGSEGV, &action, &previous_segv) < 0 ||
	    sigaction(SIGBUS, &action, &previous_bus) < 0)
		install_error = -errno;
}

static size_t alternate_size(void)
{
	long frame = -1;

#ifdef _SC_SIGSTKSZ
	/* What the kernel saves for the largest registers of this machine, times some. */
	frame = sysconf(_SC_SIGSTKSZ);
#endif
	return ALTERNATE_SIZE + (frame > 0 ? (size_t)frame : 0);
}

static int make_alternate(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	stack_t now, made = {.ss_size = (alternate_size() + page - 1) & ~(page - 1)};
	int error;

	if (sigaltstack(NULL, &now) < 0)
		return -errno;
	if (!(now.ss_flags & SS_DISABLE))
		return 0;
	error = kn_thread_arm_exit();
	if (error < 0)
		return error;
	made.ss_sp = mmap(NULL, made.ss_size, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (made.ss_sp == MAP_FAILED)
		return -ENOMEM;
	if (sigaltstack(&made, NULL) < 0) {
		error = -errno;
		munmap(made.ss_sp, made.ss_size);
		return error;
	}
	alternate = made;
	return 0;
}

int kn_overflow_arm_thread(void)
{
	pthread_once(&install_once, install);
	if (install_error)
		return install_error;
	return make_alternate();
}

void kn_overflow_set_namer(void (*name_of)(char *buffer, size_t size))
{
	atomic_store_explicit(&namer, name_of, memory_order_release);
}
