/* SPDX-License-Identifier: MIT */
/* connection.c - the life of one connection: connect, send, receive and compare, finish.
 *
 * The content of messages is computed (payload.h), so a connection keeps no data, only
 * two places in its stream of messages: how far it has sent and how far it has received.
 * What it may send ends at `received + depth`, and at `limit`; what it may receive ends
 * where sending has come to. When both places reach the limit it sends its FIN and waits
 * for the peer's, so that bytes nobody asked for are noticed.
 *
 * Latency is counted from the moment before the send() that took the first byte of a
 * message to the moment after the recv() that completed its reply. The load is closed: a
 * server that stalls also stalls the sender, so a stall shows as few large latencies,
 * not as many; compare the rate too. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include "connection.h"
#include "payload.h"

/* How long the peer may take to close after our FIN. It owes us nothing by then, so this
 * is no error, only counted. */
#define FINISH_NS INT64_C(2000000000)

int64_t connection_clock_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

uint32_t connection_ring_size(const struct load_options *options)
{
	uint32_t size = 1;
	while (size < options->depth)
		size *= 2;
	return size;
}

static void end(struct connection *connection, struct connection_context *context)
{
	struct tally *tally = context->tally;
	if (connection->state == CONNECTION_CONNECTING)
		context->connecting--;
	else
		atomic_store_explicit(&tally->open, tally->open - 1, memory_order_relaxed);
	context->alive--;
	close(connection->fd); /* leaves the epoll set with it */
	connection->fd = -1;
	connection->state = CONNECTION_ENDED;
}

static void end_by_errno(struct connection *connection, struct connection_context *context,
                         int error)
{
	struct tally *tally = context->tally;
	enum load_error kind = LOAD_OTHER;

	if (connection->state == CONNECTION_CONNECTING)
		kind = error == ECONNREFUSED ? LOAD_CONNECT_REFUSED
		       : error == ETIMEDOUT  ? LOAD_CONNECT_TIMEOUT
		                             : LOAD_CONNECT_FAILED;
	else if (error == ECONNRESET || error == EPIPE)
		kind = LOAD_RESET;
	else if (error == ETIMEDOUT)
		kind = LOAD_TIMEOUT;
	tally_error(tally, kind, "connection %u: %s", connection->number, strerror(error));
	end(connection, context);
}

static int ask_for(struct connection *connection, struct connection_context *context, int how,
                   uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = connection};
	return epoll_ctl(context->epoll_fd, how, connection->fd, &event);
}

/* A socket that connects to a free port of its own host may be given that very port as
 * its own, and TCP then connects it to itself: a perfect echo, with no server. */
static bool is_connected_to_itself(int fd)
{
	struct sockaddr_storage own = {0}, peer = {0};
	socklen_t own_length = sizeof(own), peer_length = sizeof(peer);
	return getsockname(fd, (struct sockaddr *)&own, &own_length) == 0 &&
	       getpeername(fd, (struct sockaddr *)&peer, &peer_length) == 0 &&
	       own_length == peer_length && memcmp(&own, &peer, own_length) == 0;
}

static void established(struct connection *connection, struct connection_context *context)
{
	struct tally *tally = context->tally;
	if (is_connected_to_itself(connection->fd)) {
		end_by_errno(connection, context, ECONNREFUSED);
		return;
	}
	if (ask_for(connection, context, EPOLL_CTL_MOD, EPOLLIN) < 0) {
		end_by_errno(connection, context, errno);
		return;
	}
	context->connecting--;
	connection->state = CONNECTION_OPEN;
	tally->opened++;
	atomic_store_explicit(&tally->open, tally->open + 1, memory_order_relaxed);
}

void connection_open(struct connection *connection, struct connection_context *context,
                     uint32_t number, uint64_t limit, int64_t *begun_ns)
{
	const struct sockaddr *address = context->address;
	int on = 1;

	*connection = (struct connection){
	        .number = number,
	        .limit = limit,
	        .moved_ns = connection_clock_ns(),
	        .begun_ns = begun_ns,
	        .begun_mask = connection_ring_size(context->options) - 1,
	        .fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
	};
	if (connection->fd < 0) {
		connection->state = CONNECTION_ENDED;
		tally_error(context->tally, LOAD_CONNECT_FAILED, "connection %u: socket: %s",
		            number, strerror(errno));
		return;
	}
	connection->state = CONNECTION_CONNECTING;
	context->connecting++;
	context->alive++;
	/* Fails on what is not TCP only, and then there is nothing to switch off. */
	(void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (ask_for(connection, context, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT) < 0)
		end_by_errno(connection, context, errno);
	else if (connect(connection->fd, address, context->address_length) == 0)
		established(connection, context);
	else if (errno != EINPROGRESS && errno != EINTR)
		end_by_errno(connection, context, errno);
}

/* Prepares in the buffer what may be sent next. Bytes prepared. */
static size_t prepare(const struct connection *connection, const struct connection_context *context)
{
	size_t size = context->options->size, offset = connection->sent_offset, length = 0;
	uint64_t end_message = connection->received + context->options->depth;
	if (end_message > connection->limit)
		end_message = connection->limit;

	for (uint64_t message = connection->sent; message < end_message; message++) {
		struct payload payload = payload_of(connection->number, message, size);
		size_t room = CONNECTION_BUFFER_BYTES - length;
		size_t n = size - offset < room ? size - offset : room;
		payload_fill(&payload, offset, context->buffer + length, n);
		length += n;
		offset = 0;
		if (n == room)
			break;
	}
	return length;
}

/* The kernel took @length bytes, in a call that began at @now_ns. */
static void advance_sent(struct connection *connection, struct connection_context *context,
                         size_t length, int64_t now_ns)
{
	size_t size = context->options->size;
	context->tally->bytes_sent += length;
	while (length) {
		size_t left = size - connection->sent_offset;
		size_t n = left < length ? left : length;
		if (connection->sent_offset == 0)
			connection->begun_ns[connection->sent & connection->begun_mask] = now_ns;
		connection->sent_offset += n;
		length -= n;
		if (connection->sent_offset == size) {
			connection->sent_offset = 0;
			connection->sent++;
			context->tally->sent++;
		}
	}
	connection->moved_ns = now_ns;
}

static void wait_to_send(struct connection *connection, struct connection_context *context,
                         bool wait)
{
	if (connection->waits_to_send == wait)
		return;
	connection->waits_to_send = wait;
	if (ask_for(connection, context, EPOLL_CTL_MOD, EPOLLIN | (wait ? EPOLLOUT : 0)) < 0)
		end_by_errno(connection, context, errno);
}

/* Says goodbye if the last reply is here. */
static void finish_if_complete(struct connection *connection, int64_t now_ns)
{
	if (connection->state != CONNECTION_OPEN || connection->received < connection->limit)
		return;
	connection->state = CONNECTION_FINISHING;
	connection->moved_ns = now_ns;
	/* Fails if the peer has just reset it: the next recv() then tells that. */
	(void)shutdown(connection->fd, SHUT_WR);
}

void connection_send(struct connection *connection, struct connection_context *context,
                     int64_t now_ns)
{
	while (connection->state == CONNECTION_OPEN) {
		size_t length = prepare(connection, context);
		if (length == 0) {
			wait_to_send(connection, context, false);
			return;
		}
		ssize_t n = send(connection->fd, context->buffer, length, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			end_by_errno(connection, context, errno);
			return;
		}
		if (n > 0)
			advance_sent(connection, context, (size_t)n, now_ns);
		if (n < (ssize_t)length) {
			wait_to_send(connection, context, true);
			return;
		}
		if (length < CONNECTION_BUFFER_BYTES) { /* that was all that may be sent */
			wait_to_send(connection, context, false);
			return;
		}
		now_ns = connection_clock_ns();
	}
}

static void report_mismatch(struct connection *connection, struct connection_context *context,
                            const unsigned char *bytes, size_t length, size_t differs)
{
	size_t offset = connection->received_offset;
	struct payload want = payload_of(connection->number, connection->received,
	                                 context->options->size);
	uint32_t other_connection;
	uint64_t other_message;
	unsigned char expected;

	if (offset == 0 && payload_identify(bytes, length, &other_connection, &other_message) &&
	    (other_connection != connection->number || other_message != connection->received)) {
		tally_error(context->tally, LOAD_MISMATCH,
		            "connection %u expected message %llu and received message %llu of "
		            "connection %u",
		            connection->number, (unsigned long long)connection->received,
		            (unsigned long long)other_message, other_connection);
		return;
	}
	payload_fill(&want, offset + differs, &expected, 1);
	tally_error(context->tally, LOAD_MISMATCH,
	            "connection %u, message %llu, byte %zu: sent 0x%02x, received 0x%02x",
	            connection->number, (unsigned long long)connection->received, offset + differs,
	            expected, bytes[differs]);
}

static void count_reply(struct connection *connection, struct connection_context *context,
                        int64_t now_ns)
{
	struct tally *tally = context->tally;
	int64_t begun_ns = connection->begun_ns[connection->received & connection->begun_mask];

	connection->received++;
	connection->received_offset = 0;
	tally_bump64(&tally->received);
	tally->last_reply_ns = now_ns;
	if (now_ns >= context->measure_from_ns && now_ns < context->measure_until_ns)
		tally->measured++;
	/* Also those that come after the end: leaving them out would hide a stall. */
	if (begun_ns >= context->measure_from_ns && begun_ns < context->measure_until_ns)
		histogram_record(&tally->latency, now_ns - begun_ns);
}

/* Compares what was received with what was sent. False if the connection has ended. */
static bool check_bytes(struct connection *connection, struct connection_context *context,
                        const unsigned char *bytes, size_t length, int64_t now_ns)
{
	size_t size = context->options->size;
	while (length) {
		bool is_whole = connection->received < connection->sent;
		size_t end_offset = is_whole ? size : connection->sent_offset;
		size_t n = end_offset - connection->received_offset;
		if (n == 0) {
			tally_error(context->tally, LOAD_SURPLUS,
			            "connection %u received %zu bytes that answer nothing",
			            connection->number, length);
			end(connection, context);
			return false;
		}
		n = n < length ? n : length;
		struct payload want = payload_of(connection->number, connection->received, size);
		size_t same = payload_compare(&want, connection->received_offset, bytes, n);
		if (same < n) {
			report_mismatch(connection, context, bytes, n, same);
			end(connection, context);
			return false;
		}
		connection->received_offset += n;
		bytes += n;
		length -= n;
		if (connection->received_offset == size)
			count_reply(connection, context, now_ns);
	}
	return true;
}

static void peer_closed(struct connection *connection, struct connection_context *context)
{
	if (connection->state != CONNECTION_FINISHING)
		tally_error(context->tally, LOAD_SHORT,
		            "connection %u was closed after %llu replies and %zu bytes of the next",
		            connection->number, (unsigned long long)connection->received,
		            connection->received_offset);
	end(connection, context);
}

static void receive(struct connection *connection, struct connection_context *context)
{
	/* One call for each event: the others get their turn, epoll reports the rest. */
	ssize_t n = recv(connection->fd, context->buffer, CONNECTION_BUFFER_BYTES, 0);
	int64_t now_ns;

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			end_by_errno(connection, context, errno);
		return;
	}
	if (n == 0) {
		peer_closed(connection, context);
		return;
	}
	now_ns = connection_clock_ns();
	connection->moved_ns = now_ns;
	context->tally->bytes_received += (uint64_t)n;
	if (!check_bytes(connection, context, context->buffer, (size_t)n, now_ns))
		return;
	finish_if_complete(connection, now_ns);
	connection_send(connection, context, now_ns);
}

void connection_event(struct connection *connection, struct connection_context *context,
                      uint32_t events)
{
	if (connection->state == CONNECTION_CONNECTING) {
		int error = 0;
		socklen_t length = sizeof(error);
		if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
			error = errno;
		if (error)
			end_by_errno(connection, context, error);
		else if (events & EPOLLOUT)
			established(connection, context);
		return;
	}
	if (connection->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		receive(connection, context);
	if (connection->waits_to_send && (events & EPOLLOUT))
		connection_send(connection, context, connection_clock_ns());
}

void connection_stop(struct connection *connection, struct connection_context *context)
{
	if (connection->state == CONNECTION_CONNECTING) {
		end(connection, context);
		return;
	}
	connection->limit = connection->sent + (connection->sent_offset > 0);
	finish_if_complete(connection, connection_clock_ns());
}

void connection_check(struct connection *connection, struct connection_context *context,
                      int64_t now_ns, bool now_or_never)
{
	int64_t silent_ns = now_ns - connection->moved_ns, bound_ns = context->options->timeout_ns;
	uint64_t outstanding = connection->sent - connection->received +
	                       (connection->sent_offset > 0);

	if (connection->state == CONNECTION_FINISHING) {
		if (silent_ns < FINISH_NS && !now_or_never)
			return;
		context->tally->unclosed++;
		end(connection, context);
	} else if (connection->state == CONNECTION_CONNECTING && silent_ns >= bound_ns) {
		end_by_errno(connection, context, ETIMEDOUT);
	} else if (connection->state == CONNECTION_OPEN && outstanding &&
	           (now_or_never || silent_ns >= bound_ns)) {
		tally_error(context->tally, LOAD_TIMEOUT,
		            "connection %u waited in vain for %llu replies", connection->number,
		            (unsigned long long)outstanding);
		end(connection, context);
	}
}
