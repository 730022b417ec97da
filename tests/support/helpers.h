/* SPDX-License-Identifier: MIT */
/* helpers.h - what tests need beside assertions. */
#ifndef TEST_SUPPORT_HELPERS_H
#define TEST_SUPPORT_HELPERS_H
#include <stdbool.h>
#include <stddef.h>

/* Ends the test as skipped, with the reason; for what the machine cannot do. */
#ifdef TEST_RUNNER_OWN
#define test_skip(reason) test_skipped(reason)
#else
#define test_skip(reason) cr_skip("%s\n", reason)
#endif

/* Runs @fn(@arg) in a forked child. The test fails unless the child ends by a signal or
 * with a status other than 0, and what it wrote to stderr contains @text. Reports of a
 * sanitizer in the child go to its stderr too, so they can be asked for, and never to
 * the report files that fail a stage. Call it while the test has one thread. */
#define test_death(fn, arg, text) test_death_at(__FILE__, __LINE__, (fn), (arg), (text))
void test_death_at(const char *file, int line, void (*fn)(void *), void *arg, const char *text);

/* One of four numbers by how the test was built and runs. TEST_SLOW=1 in the environment
 * chooses the last too, for emulators. */
long test_scale(long plain, long asan, long tsan, long valgrind);

/* Open descriptors of this process, that of the count itself excluded. */
int test_open_fds(void);

/* Threads of this process that have not ended; a joined one never counts. Those that
 * Criterion, ThreadSanitizer or an emulator runs for itself are left out. */
int test_threads(void);

/* The runner's: before a test begins, counts what is to be left out. ThreadSanitizer starts
 * its own with the first thread of a process. */
void test_note_runtime_threads(void);

#endif
