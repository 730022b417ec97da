/* SPDX-License-Identifier: MIT */
/* command.h - runs one of the programs of tools/ and keeps what it wrote. */
#ifndef INTEGRATION_COMMAND_H
#define INTEGRATION_COMMAND_H
#include <sys/types.h>

struct command {
	pid_t pid;
	int status; /* its exit status; -1 if it ended by a signal */
	int out_fd, err_fd;
	char *out, *err; /* owned; what was not read before */
};

/* Starts tools/@name with the words of the printf format as arguments. */
__attribute__((format(printf, 3, 4))) void command_start(struct command *command, const char *name,
                                                         const char *format, ...);

/* What is started from now on begins with this soft limit of descriptors. */
void command_limit_descriptors(unsigned soft);

/* The same for the hard limit, which the program cannot raise. */
void command_cap_descriptors(unsigned hard);

/* Reads what it writes to stderr until a line with @part has come. */
void command_wait_for_line(struct command *command, const char *part);

/* Waits for its end and reads what it wrote. */
void command_wait(struct command *command);

/* Starts it and waits. */
__attribute__((format(printf, 3, 4))) void command_run(struct command *command, const char *name,
                                                       const char *format, ...);

void command_free(struct command *command);

#endif
