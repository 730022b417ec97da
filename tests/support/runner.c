/* SPDX-License-Identifier: MIT */
/* runner.c - the small forking runner: main() of the test programs without Criterion.
 *
 * The parent has one thread and allocates nothing. It forks a child for each test, one
 * after the other, waits for SIGCHLD with a limit, and judges by how the child ended:
 * that is what the sanitizers and valgrind change when they find something, and what
 * Criterion overlooks. A child counts failed assertions in a page shared with the
 * parent, so that those of its own children and of all its threads count too. It leaves
 * through exit(), because LeakSanitizer looks there. */
#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "test.h"
#ifdef HAVE_VALGRIND_MEMCHECK_H
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#define LIMIT_SECONDS   300.0
#define VALGRIND_FACTOR 5

/* What a test's process tells the runner beside its exit status. */
struct verdict {
	atomic_int failures;
	atomic_int skipped;
};

struct outcome {
	int status; /* of waitpid() */
	bool late;  /* killed by the watchdog */
	double seconds;
};

static struct test_case *tests, **tests_end = &tests;
static struct verdict *verdict; /* shared with the test's process */

void test_register(struct test_case *test)
{
	*tests_end = test;
	tests_end = &test->next;
}

void test_failed(const char *file, int line, bool fatal, const char *what, const char *format, ...)
{
	char text[4096];
	int room = sizeof(text), length;
	va_list arguments;

	atomic_fetch_add(&verdict->failures, 1);
	length = snprintf(text, sizeof(text), "%s:%d: failed: %s:", file, line, what);
	if (length < room) {
		va_start(arguments, format);
		length += vsnprintf(text + length, (size_t)(room - length), format, arguments);
		va_end(arguments);
	}
	fprintf(stderr, "%s\n", text);
	if (fatal)
		_exit(1);
}

void test_skipped(const char *reason)
{
	atomic_store(&verdict->skipped, 1);
	fprintf(stderr, "skipped: %s\n", reason);
	fflush(NULL);
	_exit(0);
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double limit_of(const struct test_case *test)
{
	const char *wish = getenv("TEST_TIMEOUT");
	double limit = wish ? atof(wish) : LIMIT_SECONDS;
	if (test->options.timeout > 0)
		limit = test->options.timeout;
	return RUNNING_ON_VALGRIND ? limit * VALGRIND_FACTOR : limit;
}

__attribute__((noreturn)) static void run_child(const struct test_case *test, const sigset_t *mask)
{
	/* A group of its own, so that the watchdog reaches what the test started. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	test_note_runtime_threads();
	if (test->options.init)
		test->options.init();
	test->function();
	if (test->options.fini)
		test->options.fini();
	exit(0);
}

static struct outcome run(const struct test_case *test, const sigset_t *mask)
{
	struct outcome outcome = {0};
	double start = now(), limit = limit_of(test);
	sigset_t child_ended;
	sigemptyset(&child_ended);
	sigaddset(&child_ended, SIGCHLD);

	atomic_store(&verdict->failures, 0);
	atomic_store(&verdict->skipped, 0);
	fflush(NULL);
	pid_t child = fork();
	if (child < 0) {
		perror("fork");
		exit(2);
	}
	if (child == 0)
		run_child(test, mask);
	setpgid(child, child);
	while (waitpid(child, &outcome.status, WNOHANG) == 0) {
		double left = start + limit - now();
		if (left <= 0) {
			outcome.late = true;
			kill(-child, SIGKILL);
			waitpid(child, &outcome.status, 0);
			break;
		}
		/* A second at most: an emulator may lose the signal, the clock is right. */
		struct timespec wait = {.tv_sec = left >= 1 ? 1 : 0,
		                        .tv_nsec = left >= 1 ? 0 : (long)(left * 1e9)};
		sigtimedwait(&child_ended, NULL, &wait);
	}
	/* What the test left running must not disturb the next one. */
	kill(-child, SIGKILL);
	outcome.seconds = now() - start;
	return outcome;
}

/* Prints what was wrong, if anything was; true if the test passed. */
static bool judge(const struct test_case *test, const struct outcome *outcome)
{
	int status = outcome->status, failures = atomic_load(&verdict->failures);
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	int killer = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	const char *separator = "";
	char text[200] = "";

	if (outcome->late)
		snprintf(text, sizeof(text), "still running after %.0f s", outcome->seconds);
	else if (killer != test->options.signal && killer)
		snprintf(text, sizeof(text), "ended by signal %d (%s)", killer, strsignal(killer));
	else if (killer != test->options.signal)
		snprintf(text, sizeof(text), "ended with status %d, expected signal %d", code,
		         test->options.signal);
	else if (code != test->options.exit_code && (code != 1 || !failures))
		snprintf(text, sizeof(text), "ended with status %d", code);
	if (!text[0] && !failures)
		return true;
	if (text[0] && failures)
		separator = ", ";
	fprintf(stderr, "FAIL %s::%s: %s%s", test->suite, test->name, text, separator);
	if (failures)
		fprintf(stderr, "%d failed assertion%s", failures, failures == 1 ? "" : "s");
	fprintf(stderr, "\n");
	return false;
}

static bool wanted(const struct test_case *test, const char *filter)
{
	char full[512];
	if (test->options.disabled)
		return false;
	snprintf(full, sizeof(full), "%s/%s", test->suite, test->name);
	return !filter || fnmatch(filter, full, 0) == 0;
}

static int run_all(const char *program, const char *filter, bool verbose)
{
	int passed = 0, failed = 0, skipped = 0;
	sigset_t block, mask;
	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, &mask);

	for (struct test_case *test = tests; test; test = test->next) {
		if (!wanted(test, filter))
			continue;
		struct outcome outcome = run(test, &mask);
		const char *word = "pass";
		if (!judge(test, &outcome)) {
			failed++;
			word = "FAIL";
		} else if (atomic_load(&verdict->skipped)) {
			skipped++;
			word = "skip";
			fprintf(stderr, "skip %s::%s\n", test->suite, test->name);
		} else {
			passed++;
		}
		if (verbose)
			printf("%s %8.3f s  %s::%s\n", word, outcome.seconds, test->suite,
			       test->name);
	}
	if (!passed && !failed && !skipped && filter) {
		printf("%s: no test matches %s\n", program, filter);
		return 1;
	}
	printf("%s: ", program);
	if (skipped)
		printf("%d skipped, ", skipped);
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}

int main(int argc, char **argv)
{
	const char *filter = NULL, *slash = strrchr(argv[0], '/');
	bool verbose = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--list") == 0) {
			for (struct test_case *test = tests; test; test = test->next)
				printf("%s/%s\n", test->suite, test->name);
			return 0;
		} else if (strcmp(argv[i], "--verbose") == 0) {
			verbose = true;
		} else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc) {
			filter = argv[++i];
		} else if (strncmp(argv[i], "--filter=", 9) == 0) {
			filter = argv[i] + 9;
		} else {
			fprintf(stderr, "usage: %s [--list] [--verbose] [--filter GLOB]\n",
			        argv[0]);
			return 2;
		}
	}
	verdict = mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	               -1, 0);
	if (verdict == MAP_FAILED) {
		perror("mmap");
		return 2;
	}
	return run_all(slash ? slash + 1 : argv[0], filter, verbose);
}
