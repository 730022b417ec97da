/* SPDX-License-Identifier: MIT */
/* peer.c - the echo server that knit-load is tested against: a thread a connection,
 * blocking calls, nothing to go wrong but what is asked for. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "peer.h"

#define BUFFER_BYTES 16384
#define STACK_BYTES  ((size_t)256 << 10)
#define BACKLOG      4096
/* What PEER_REPEAT can repeat. */
#define KEPT_BYTES 64

struct peer {
	int listener;
	unsigned port;
	enum peer_fault fault;
	size_t place;
	pthread_t accepter;

	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t changed;
	uint64_t echoed;
	unsigned ended_by_fin;
	bool is_stopping;
	struct client *clients; /* all there were; the accepter's, and peer_stop()'s after it */
};

struct client {
	struct client *next;
	struct peer *peer;
	pthread_t thread;
	int fd;
	enum peer_fault fault;
	size_t echoed;
	char kept[KEPT_BYTES]; /* its first bytes */
};

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	perror(what);
	abort();
}

/* False if the client is gone. */
static bool write_all(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		bytes += n;
		length -= (size_t)n;
	}
	return true;
}

static void count(struct peer *peer, size_t bytes)
{
	pthread_mutex_lock(&peer->mutex);
	peer->echoed += bytes;
	pthread_cond_broadcast(&peer->changed);
	pthread_mutex_unlock(&peer->mutex);
}

static void wait_for_stop(struct peer *peer)
{
	pthread_mutex_lock(&peer->mutex);
	while (!peer->is_stopping)
		pthread_cond_wait(&peer->changed, &peer->mutex);
	pthread_mutex_unlock(&peer->mutex);
}

/* The fault, which begins in these bytes. False if the connection is to be closed. */
static bool commit_fault(struct client *client, char *bytes, size_t length)
{
	size_t before = client->peer->place - client->echoed;
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	switch (client->fault) {
	case PEER_CORRUPT:
		bytes[before] ^= 0x10;
		break;
	case PEER_REPEAT:
		for (size_t i = before; i < length; i++)
			bytes[i] = client->kept[(i - before) % KEPT_BYTES];
		break;
	case PEER_SURPLUS:
		return write_all(client->fd, bytes, length) && write_all(client->fd, "!", 1);
	case PEER_CLOSE:
		write_all(client->fd, bytes, before);
		return false;
	case PEER_RESET:
		setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		return false;
	case PEER_SILENT:
		wait_for_stop(client->peer);
		return false;
	case PEER_ECHO:
	case PEER_STAYS:
		break;
	}
	return write_all(client->fd, bytes, length);
}

static bool echo(struct client *client, char *bytes, size_t length)
{
	size_t place = client->peer->place, end = client->echoed + length;
	bool begins_here = place >= client->echoed && place < end, goes_on;

	if (client->echoed < KEPT_BYTES) {
		size_t room = KEPT_BYTES - client->echoed;
		memcpy(client->kept + client->echoed, bytes, length < room ? length : room);
	}
	goes_on = begins_here && client->fault != PEER_ECHO ? commit_fault(client, bytes, length)
	                                                    : write_all(client->fd, bytes, length);
	client->echoed = end;
	count(client->peer, length);
	return goes_on;
}

static void *serve(void *argument)
{
	struct client *client = argument;
	struct peer *peer = client->peer;
	char buffer[BUFFER_BYTES];
	ssize_t n;

	do {
		n = recv(client->fd, buffer, sizeof(buffer), 0);
	} while ((n < 0 && errno == EINTR) || (n > 0 && echo(client, buffer, (size_t)n)));
	if (n == 0 && client->fault == PEER_STAYS)
		wait_for_stop(peer);
	close(client->fd);
	pthread_mutex_lock(&peer->mutex);
	peer->ended_by_fin += n == 0;
	pthread_mutex_unlock(&peer->mutex);
	return NULL;
}

static void *accept_all(void *argument)
{
	struct peer *peer = argument;
	enum peer_fault fault = peer->fault;
	pthread_attr_t attributes;
	int fd, on = 1;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	while ((fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct client *client = malloc(sizeof(*client));
		must(client != NULL, "malloc");
		*client = (struct client){
		        .next = peer->clients, .peer = peer, .fd = fd, .fault = fault};
		peer->clients = client;
		fault = PEER_ECHO;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		errno = pthread_create(&client->thread, &attributes, serve, client);
		must(errno == 0, "pthread_create");
	}
	pthread_attr_destroy(&attributes);
	return NULL;
}

struct peer *peer_start(int family, enum peer_fault fault, size_t place)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = {.any.sa_family = (sa_family_t)family};
	socklen_t length = family == AF_INET6 ? sizeof(address.v6) : sizeof(address.v4);
	struct peer *peer;
	int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (family == AF_INET6)
		address.v6.sin6_addr = in6addr_loopback;
	else
		address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0 || bind(listener, &address.any, length) < 0) {
		if (listener >= 0)
			close(listener);
		return NULL;
	}
	must(listen(listener, BACKLOG) == 0, "listen");
	must(getsockname(listener, &address.any, &length) == 0, "getsockname");
	peer = calloc(1, sizeof(*peer));
	must(peer != NULL, "calloc");
	peer->listener = listener;
	peer->port = ntohs(family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
	peer->fault = fault;
	peer->place = place;
	pthread_mutex_init(&peer->mutex, NULL);
	pthread_cond_init(&peer->changed, NULL);
	errno = pthread_create(&peer->accepter, NULL, accept_all, peer);
	must(errno == 0, "pthread_create");
	return peer;
}

unsigned peer_port(const struct peer *peer)
{
	return peer->port;
}

void peer_wait_for_bytes(struct peer *peer, uint64_t bytes)
{
	pthread_mutex_lock(&peer->mutex);
	while (peer->echoed < bytes)
		pthread_cond_wait(&peer->changed, &peer->mutex);
	pthread_mutex_unlock(&peer->mutex);
}

unsigned peer_stop(struct peer *peer)
{
	unsigned ended_by_fin;

	shutdown(peer->listener, SHUT_RDWR); /* accept() returns */
	pthread_join(peer->accepter, NULL);
	close(peer->listener);
	pthread_mutex_lock(&peer->mutex);
	peer->is_stopping = true;
	pthread_cond_broadcast(&peer->changed);
	pthread_mutex_unlock(&peer->mutex);
	while (peer->clients) {
		struct client *client = peer->clients;
		peer->clients = client->next;
		pthread_join(client->thread, NULL);
		free(client);
	}
	ended_by_fin = peer->ended_by_fin;
	pthread_mutex_destroy(&peer->mutex);
	pthread_cond_destroy(&peer->changed);
	free(peer);
	return ended_by_fin;
}
