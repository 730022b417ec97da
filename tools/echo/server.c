/* SPDX-License-Identifier: MIT */
/* server.c - the server of one loop, echo or HTTP: a task that accepts, and a task per connection.
 *
 * To stop, accepting is cancelled and each connection's reading side is shut down: what the
 * kernel has received is still echoed, then recv says end of stream and the task ends by itself.
 * To hurry, the tasks are cancelled. */
#include "server.h"
#include "http.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
	struct server *server;
	struct connection *next, **back;
	knit_task *task; /* borrowed: it is there as long as the connection */
	int fd;
};

/* A buffer up to this size stands on the task's stack, beside the frames that work on it: a
 * connection costs no allocation of its size, and touches one page less. */
#define ON_STACK 16384

/* Most connections never send as much at once. An echo begins with a buffer of this size, which
 * leaves its whole stack in one page, and has the large one from when a receive has filled that.
 * (Each in a function of its own, or the one that calls both would have room for both.) */
#define SMALL 1024

static void link_connection(struct connection *connection)
{
	struct server *server = connection->server;

	connection->next = server->first;
	connection->back = &server->first;
	if (connection->next)
		connection->next->back = &connection->next;
	server->first = connection;
	server->open++;
	server->accepted++;
}

static void unlink_connection(struct connection *connection)
{
	struct server *server = connection->server;

	*connection->back = connection->next;
	if (connection->next)
		connection->next->back = connection->back;
	if (--server->open == 0 && server->idle)
		(void)knit_future_set_result(server->idle, 0);
}

/* Peers that go away are everyday life, not failures to report. */
static bool is_peer_gone(intptr_t outcome)
{
	return outcome == -ECONNRESET || outcome == -EPIPE || outcome == -ETIMEDOUT ||
	       outcome == -ENOTCONN || knit_is_cancelled(outcome);
}

/* Until a receive fills the buffer, if @ret_full is there to be told so. */
static intptr_t echo(int fd, char *buffer, size_t size, unsigned long *bytes, bool *ret_full)
{
	intptr_t n, sent = 0;

	while ((n = knit_sock_recv(fd, buffer, size)) > 0) {
		sent = knit_sock_sendall(fd, buffer, (size_t)n);
		if (sent < n)
			break;
		*bytes += (unsigned long)n;
		if (ret_full && (size_t)n == size) {
			*ret_full = true;
			break;
		}
	}
	return n > 0 ? sent : n;
}

/* True if it has filled its buffer, and goes on with a larger one. */
static __attribute__((noinline)) bool talk_little(struct connection *connection, intptr_t *ret)
{
	char buffer[SMALL];
	bool full = false;

	*ret = echo(connection->fd, buffer, sizeof(buffer), &connection->server->bytes, &full);
	return full;
}

static intptr_t talk(struct connection *connection, char *buffer)
{
	struct server *server = connection->server;
	size_t size = server->options->message_size;

	return server->options->http ? http_serve(connection->fd, buffer, size, &server->bytes)
	                             : echo(connection->fd, buffer, size, &server->bytes, NULL);
}

static __attribute__((noinline)) intptr_t talk_on_stack(struct connection *connection)
{
	char buffer[ON_STACK];

	return talk(connection, buffer);
}

static intptr_t talk_with_large_buffer(struct connection *connection)
{
	char *buffer = malloc(connection->server->options->message_size);
	intptr_t n = buffer ? talk(connection, buffer) : -ENOMEM;

	free(buffer);
	return n;
}

static intptr_t serve(void *arg)
{
	struct connection *connection = arg;
	const struct options *options = connection->server->options;
	intptr_t n;

	connection->task = knit_current_task(NULL);
	if (options->http || options->message_size <= SMALL || talk_little(connection, &n))
		n = options->message_size <= ON_STACK ? talk_on_stack(connection)
		                                      : talk_with_large_buffer(connection);
	return n >= 0 || is_peer_gone(n) ? 0 : n;
}

/* Also for a task that was cancelled before it ran. */
static void connection_free(void *arg)
{
	struct connection *connection = arg;

	unlink_connection(connection);
	(void)knit_close(connection->fd);
	free(connection);
}

static int start_connection(struct server *server, int fd)
{
	struct connection *connection = malloc(sizeof(*connection));
	int r;

	if (!connection) {
		close(fd);
		return -ENOMEM;
	}
	*connection = (struct connection){.server = server, .fd = fd};
	link_connection(connection);
	r = knit_spawn(serve, connection, .arg_free = connection_free);
	if (r < 0)
		connection_free(connection);
	return r;
}

static intptr_t accept_connections(void *arg)
{
	struct server *server = arg;
	int fd;

	while ((fd = knit_listener_accept(server->listener, NULL, NULL)) >= 0)
		if (start_connection(server, fd) < 0)
			fprintf(stderr, "knit-echo: out of memory for a connection\n");
	return fd;
}

void server_stop(void *arg)
{
	struct server *server = arg;

	if (server->stopping++ == 0) {
		if (server->accepting)
			(void)knit_task_cancel(server->accepting, "the server stops");
		for (struct connection *c = server->first; c; c = c->next)
			(void)shutdown(c->fd, SHUT_RD);
		return;
	}
	for (struct connection *c = server->first; c; c = c->next)
		if (c->task)
			(void)knit_task_cancel(c->task, "the server is in a hurry");
}

intptr_t server_run(void *arg)
{
	struct server *server = arg;
	intptr_t outcome;

	server->listener = knit_listener_new(server->fd);
	if (!server->listener)
		return knit_raise(errno, "cannot listen: %s", knit_strerror(errno));
	server->accepting = knit_create_task(accept_connections, server, .name = "accept");
	outcome = server->stopping ? 0 : knit_await(knit_task_ref(server->accepting));
	server->accepting = knit_task_unref(server->accepting);
	(void)knit_listener_close(server->listener);
	if (server->open > 0) {
		server->idle = knit_future_new();
		(void)!knit_await(knit_future_ref(server->idle));
		server->idle = knit_future_unref(server->idle);
	}
	return server->stopping && knit_is_cancelled(outcome) ? 0 : outcome;
}
