/* SPDX-License-Identifier: MIT */
/* test_stream.c - a long stream through one connection whose client reads slowly. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "server.h"
#include "test.h"

/* xorshift64, a word at a time: what is sent and what is expected back. */
struct generator {
	uint64_t state;
	unsigned used; /* bytes of it */
};

static unsigned char next_byte(struct generator *generator)
{
	if (generator->used == 8) {
		generator->state ^= generator->state << 13;
		generator->state ^= generator->state >> 7;
		generator->state ^= generator->state << 17;
		generator->used = 0;
	}
	return (unsigned char)(generator->state >> 8 * generator->used++);
}

struct stream {
	int fd;
	uint64_t bytes;
};

static void *send_all(void *arg)
{
	struct stream *stream = arg;
	struct generator generator = {.state = UINT64_C(88172645463325252)};
	static unsigned char chunk[1 << 16];

	for (uint64_t sent = 0; sent < stream->bytes; sent += sizeof(chunk)) {
		for (size_t i = 0; i < sizeof(chunk); i++)
			chunk[i] = next_byte(&generator);
		for (size_t at = 0; at < sizeof(chunk);) {
			ssize_t n = send(stream->fd, chunk + at, sizeof(chunk) - at, MSG_NOSIGNAL);

			if (n <= 0)
				return NULL; /* the reader will miss the rest */
			at += (size_t)n;
		}
	}
	shutdown(stream->fd, SHUT_WR);
	return NULL;
}

/* 1 GiB with KNIT_STRESS=1. */
static uint64_t stream_bytes(void)
{
	const char *stress = getenv("KNIT_STRESS");

	if (stress && atoi(stress) > 0)
		return UINT64_C(1) << 30;
	return (uint64_t)test_scale(64, 32, 8, 1) << 20;
}

Test(echo, a_slow_reader_gets_every_byte_in_order)
{
	static unsigned char chunk[7919];
	struct generator expected = {.state = UINT64_C(88172645463325252)};
	struct stream stream = {.bytes = stream_bytes()};
	/* Below the segments of the loopback device, TCP would wait for its timers. */
	const int small = 1 << 17;
	uint64_t received = 0;
	struct echo echo;
	pthread_t sender;
	ssize_t n;

	echo_start(&echo, "--loops 1");
	stream.fd = echo_connect(&echo);
	setsockopt(stream.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	cr_assert_eq(pthread_create(&sender, NULL, send_all, &stream), 0);
	while ((n = recv(stream.fd, chunk, 1 + received % sizeof(chunk), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (chunk[i] != next_byte(&expected))
				cr_assert(false, "byte %llu is wrong",
				          (unsigned long long)received + (unsigned long long)i);
		received += (uint64_t)n;
	}
	cr_assert_eq(received, stream.bytes);
	pthread_join(sender, NULL);
	close(stream.fd);
	echo_signal(&echo, SIGTERM);
	echo_wait(&echo);
	command_free(&echo.command);
}
