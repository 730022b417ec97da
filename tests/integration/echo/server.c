/* SPDX-License-Identifier: MIT */
/* server.c - starting knit-echo, talking to it, ending it. */
#include "server.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "test.h"

/* The line "knit-echo: listening on HOST:PORT, N loops" comes first on stdout. */
static unsigned read_port(int fd)
{
	char line[256];
	size_t n = 0;
	const char *colon;

	while (n < sizeof(line) - 1 && read(fd, &line[n], 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	colon = strrchr(line, ':');
	cr_assert(strstr(line, "listening on") && colon, "knit-echo wrote '%s'", line);
	return (unsigned)atoi(colon + 1);
}

void echo_start(struct echo *echo, const char *options)
{
	command_start(&echo->command, "knit-echo", "--port 0 %s", options);
	echo->port = read_port(echo->command.out_fd);
}

void echo_signal(struct echo *echo, int signum)
{
	cr_assert_eq(kill(echo->command.pid, signum), 0);
}

void echo_wait(struct echo *echo)
{
	command_wait(&echo->command);
	cr_assert_eq(echo->command.status, 0, "status %d: %s%s", echo->command.status,
	             echo->command.out, echo->command.err);
}

int echo_connect(const struct echo *echo)
{
	struct sockaddr_in address = {
	        .sin_family = AF_INET,
	        .sin_port = htons((uint16_t)echo->port),
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void echo_exchange(int fd, const char *bytes, size_t size)
{
	char *back = malloc(size);

	cr_assert_not_null(back);
	cr_assert_eq(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
	cr_assert_eq(recv(fd, back, size, MSG_WAITALL), (ssize_t)size);
	cr_assert_eq(memcmp(bytes, back, size), 0);
	free(back);
}
