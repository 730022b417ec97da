/* SPDX-License-Identifier: MIT */
/* command.h - runs a program and keeps what it wrote, for tests of knit-load. */
#ifndef LOAD_COMMAND_H
#define LOAD_COMMAND_H
#include <sys/types.h>

struct command {
	pid_t pid;
	int status; /* its exit status; -1 if it ended by a signal */
	int out_fd, err_fd;
	char *out, *err; /* owned; what was not read before */
};

/* Starts knit-load with the words of the printf format as arguments. */
__attribute__((format(printf, 2, 3))) void load_start(struct command *command, const char *format,
                                                      ...);

/* Reads what it writes to stderr until a line with @part has come. */
void command_wait_for_line(struct command *command, const char *part);

/* Waits for its end and reads what it wrote. */
void command_wait(struct command *command);

/* Both. */
__attribute__((format(printf, 2, 3))) void load_run(struct command *command, const char *format,
                                                    ...);

void command_free(struct command *command);

#endif
