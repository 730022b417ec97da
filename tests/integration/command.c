/* SPDX-License-Identifier: MIT */
/* command.c - starting a program of tools/ and reading its output.
 *
 * Output goes to pipes, which hold all that a run writes: nobody has to read while the
 * program runs, and who wants to wait for a line of it can. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "command.h"
#include "test.h"

#define ARGUMENTS_MAX 40

/* make check says where the build is; a run by hand is expected in the build folder. */
static void find_program(const char *name, char *path, size_t size)
{
	const char *folder = getenv("KNIT_TOOLS"), *build = getenv("top_builddir");
	if (folder)
		snprintf(path, size, "%s/%s", folder, name);
	else
		snprintf(path, size, "%s/tools/%s", build ? build : ".", name);
}

static rlim_t soft_limit, hard_limit; /* of descriptors; 0: not changed */

void command_limit_descriptors(unsigned soft)
{
	soft_limit = soft;
}

void command_cap_descriptors(unsigned hard)
{
	soft_limit = hard_limit = hard;
}

/* In the forked child, of a process with threads: system calls only. */
__attribute__((noreturn)) static void become(char **arguments, int out, int err)
{
	struct rlimit limit;

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that is killed leaves nothing behind */
	if (soft_limit && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = soft_limit;
		if (hard_limit)
			limit.rlim_max = hard_limit;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
	dup2(out, 1);
	dup2(err, 2);
	execv(arguments[0], arguments);
	_exit(127);
}

static void start(struct command *command, const char *name, char *line)
{
	char path[4096], *arguments[ARGUMENTS_MAX + 2], *rest = line;
	int n = 1, out[2], err[2];

	find_program(name, path, sizeof(path));
	cr_assert_eq(access(path, X_OK), 0, "%s: %s", path, strerror(errno));
	arguments[0] = path;
	while (n <= ARGUMENTS_MAX && (arguments[n] = strtok_r(NULL, " ", &rest)))
		n++;
	arguments[n] = NULL;
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
	*command = (struct command){.out_fd = out[0], .err_fd = err[0], .pid = fork()};
	cr_assert_geq(command->pid, 0, "fork: %s", strerror(errno));
	if (command->pid == 0)
		become(arguments, out[1], err[1]);
	close(out[1]);
	close(err[1]);
}

static char *read_whole(int fd)
{
	size_t length = 0, room = 65536;
	char *text = malloc(room + 1);
	ssize_t n;
	cr_assert_not_null(text);
	while (length < room && (n = read(fd, text + length, room - length)) != 0) {
		cr_assert(n > 0 || errno == EINTR, "read: %s", strerror(errno));
		length += n > 0 ? (size_t)n : 0;
	}
	text[length] = 0;
	close(fd);
	return text;
}

void command_wait_for_line(struct command *command, const char *part)
{
	char line[512] = "";
	size_t length = 0;
	while (!strstr(line, part) || line[length - 1] != '\n') {
		if (length == sizeof(line) - 1 || (length && line[length - 1] == '\n'))
			length = 0;
		ssize_t n = read(command->err_fd, line + length, 1);
		cr_assert(n == 1, "stderr ended without '%s'", part);
		line[++length] = 0;
	}
}

void command_wait(struct command *command)
{
	int status;
	while (waitpid(command->pid, &status, 0) < 0)
		cr_assert_eq(errno, EINTR);
	command->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	command->out = read_whole(command->out_fd);
	command->err = read_whole(command->err_fd);
}

void command_start(struct command *command, const char *name, const char *format, ...)
{
	char line[1024];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	start(command, name, line);
}

void command_run(struct command *command, const char *name, const char *format, ...)
{
	char line[1024];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	start(command, name, line);
	command_wait(command);
}

void command_free(struct command *command)
{
	free(command->out);
	free(command->err);
}
