/* SPDX-License-Identifier: MIT */
/* connection.h - one connection of knit-load, from its connect to its last byte.
 *
 * The thread that owns it calls one function for each thing that happens; the function
 * does what can be done without waiting. An error is counted in the tally and ends the
 * connection. All functions may be called for a connection that has ended; they do
 * nothing then. */
#ifndef LOAD_CONNECTION_H
#define LOAD_CONNECTION_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include "options.h"
#include "tally.h"

#define CONNECTION_BUFFER_BYTES ((size_t)256 << 10)

enum connection_state {
	CONNECTION_UNUSED,
	CONNECTION_CONNECTING,
	CONNECTION_OPEN,
	CONNECTION_FINISHING, /* all replies are here, our FIN is sent, the peer's is awaited */
	CONNECTION_ENDED
};

/* What the connections of a thread share. Owned by the thread. */
struct connection_context {
	const struct load_options *options;
	const struct sockaddr *address;
	socklen_t address_length;
	int epoll_fd;
	unsigned char *buffer;   /* CONNECTION_BUFFER_BYTES, for one call at a time */
	int64_t measure_from_ns; /* CLOCK_MONOTONIC */
	int64_t measure_until_ns;
	uint32_t connecting,
	        alive; /* connections in these states; alive: neither unused nor ended */
	struct tally *tally;
};

struct connection {
	int fd; /* owned; -1 when ended */
	uint32_t number;
	enum connection_state state;
	bool waits_to_send; /* EPOLLOUT is asked for */

	/* Two places in the same stream of messages: whole messages, then bytes of the
	 * next. Received never passes sent. */
	uint64_t sent, received;
	size_t sent_offset, received_offset;
	uint64_t limit; /* messages it may send in all */

	int64_t moved_ns;  /* when it was opened or bytes last moved */
	int64_t *begun_ns; /* when each outstanding message was begun; a ring */
	uint32_t begun_mask;
};

int64_t connection_clock_ns(void);

/* Starts to connect; @begun_ns is room for connection_ring_size() times, borrowed. */
void connection_open(struct connection *connection, struct connection_context *context,
                     uint32_t number, uint64_t limit, int64_t *begun_ns);

uint32_t connection_ring_size(const struct load_options *options);

/* Sends as many messages as may be outstanding. */
void connection_send(struct connection *connection, struct connection_context *context,
                     int64_t now_ns);

/* Handles what epoll reported. */
void connection_event(struct connection *connection, struct connection_context *context,
                      uint32_t events);

/* Begins no further message; the begun ones are completed. */
void connection_stop(struct connection *connection, struct connection_context *context);

/* Ends the connection if it has been silent for too long, or, if @now_or_never, if it
 * still waits for anything. */
void connection_check(struct connection *connection, struct connection_context *context,
                      int64_t now_ns, bool now_or_never);

#endif
