/* SPDX-License-Identifier: MIT */
/* helpers.c - death tests, scales and counts; the same under either runner. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "test.h"
#ifdef HAVE_VALGRIND_MEMCHECK_H
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#define DEATH_SECONDS 120

/* There only in sanitizer builds. */
void __sanitizer_set_report_path(const char *path) __attribute__((weak));

KN_NORETURN static void die_here(void (*fn)(void *), void *arg, int stderr_pipe)
{
	/* A crash on purpose leaves no core file behind. */
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	dup2(stderr_pipe, STDERR_FILENO);
	close(stderr_pipe);
	if (__sanitizer_set_report_path)
		__sanitizer_set_report_path("stderr");
	fn(arg);
	/* Not exit(): leaks of the unfinished test would make it look dead. */
	_exit(0);
}

/* Reads until the other end is closed; what does not fit is dropped. */
static size_t read_all(int fd, char *buffer, size_t room)
{
	size_t length = 0;
	char spill[512];
	for (;;) {
		bool full = length + 1 >= room;
		ssize_t got = full ? read(fd, spill, sizeof(spill))
		                   : read(fd, buffer + length, room - length - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		if (!full)
			length += (size_t)got;
	}
	buffer[length] = '\0';
	return length;
}

void test_death_at(const char *file, int line, void (*fn)(void *), void *arg, const char *text)
{
	static char said[64 * 1024];
	int ends[2];
	cr_assert_eq(pipe(ends), 0, "%s:%d: pipe: %s", file, line, strerror(errno));
	fflush(NULL);
	pid_t child = fork();
	cr_assert_geq(child, 0, "%s:%d: fork: %s", file, line, strerror(errno));
	if (child == 0) {
		close(ends[0]);
		/* A child that does not die is a failure too, not a hang. */
		signal(SIGALRM, SIG_DFL);
		alarm(DEATH_SECONDS);
		die_here(fn, arg, ends[1]);
	}
	close(ends[1]);
	read_all(ends[0], said, sizeof(said));
	close(ends[0]);
	int status = 0;
	while (waitpid(child, &status, 0) < 0)
		cr_assert_eq(errno, EINTR, "%s:%d: waitpid: %s", file, line, strerror(errno));
	bool died = WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0);
	cr_assert(died, "%s:%d: the child lived on; it said: %s", file, line, said);
	cr_assert(!(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM),
	          "%s:%d: the child did not end within %d s; it said: %s", file, line,
	          DEATH_SECONDS, said);
	cr_assert(strstr(said, text), "%s:%d: expected \"%s\" in what the child said: %s", file,
	          line, text, said);
}

long test_scale(long plain, long asan, long tsan, long valgrind)
{
	const char *slow = getenv("TEST_SLOW");
	if (RUNNING_ON_VALGRIND || (slow && strcmp(slow, "1") == 0))
		return valgrind;
	if (KN_TSAN)
		return tsan;
	return KN_ASAN ? asan : plain;
}

int test_open_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	cr_assert_not_null(directory, "/proc/self/fd: %s", strerror(errno));
	int count = 0;
	for (struct dirent *entry; (entry = readdir(directory));)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count - 1;
}

/* A thread that was joined stays visible for a moment, but the kernel marked it as exiting
 * before it let the joiner go on. */
static bool is_exiting(const char *task)
{
	char path[64], line[1024];
	unsigned flags = 0;
	snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", task);
	FILE *file = fopen(path, "r");
	if (!file)
		return true;
	bool got = fgets(line, sizeof(line), file) != NULL;
	fclose(file);
	/* The name, in brackets, may hold blanks: what follows it counts from there. */
	const char *rest = got ? strrchr(line, ')') : NULL;
	if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
		return true;
	return flags & 0x4; /* PF_EXITING */
}

static int count_threads(void)
{
	DIR *directory = opendir("/proc/self/task");
	cr_assert_not_null(directory, "/proc/self/task: %s", strerror(errno));
	int count = 0;
	for (struct dirent *entry; (entry = readdir(directory));)
		count += entry->d_name[0] != '.' && !is_exiting(entry->d_name);
	closedir(directory);
	return count;
}

/* Criterion talks to its parent through a library that has one thread in each process. */
#ifdef TEST_RUNNER_OWN
static int runtime_threads;
#else
static int runtime_threads = 1;
#endif

static void *do_nothing(void *arg)
{
	return arg;
}

void test_note_runtime_threads(void)
{
	pthread_t thread;
	if (KN_TSAN && pthread_create(&thread, NULL, do_nothing, NULL) == 0)
		pthread_join(thread, NULL);
	runtime_threads = count_threads() - 1;
}

int test_threads(void)
{
	return count_threads() - runtime_threads;
}
