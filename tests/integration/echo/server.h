/* SPDX-License-Identifier: MIT */
/* server.h - a knit-echo to talk to. */
#ifndef ECHO_TEST_SERVER_H
#define ECHO_TEST_SERVER_H
#include "../command.h"

struct echo {
	struct command command;
	unsigned port;
	int line_fd; /* its stdout */
};

/* Starts knit-echo with @options, on a port that the kernel picks, and waits until it listens. */
void echo_start(struct echo *echo, const char *options);

/* Sends it @signum. */
void echo_signal(struct echo *echo, int signum);

/* Waits for its end; asserts that its exit status is 0. What it wrote is in command.out. */
void echo_wait(struct echo *echo);

/* A connected blocking TCP socket. */
int echo_connect(const struct echo *echo);

/* Sends @size bytes and receives as many; asserts that they are the same. */
void echo_exchange(int fd, const char *bytes, size_t size);
#endif
