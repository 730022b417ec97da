/* SPDX-License-Identifier: MIT */
/* listen.c - knit_listen(): a socket that is bound and listens, and the listener of it. */
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>
#include "base/error.h"
#include "base/options.h"
#include "knit/socket.h"

#define BACKLOG 1024

static int set_options(int fd, int family, const knit_listen_options *options)
{
	const int on = 1;

	if (family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (options->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
		return -errno;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	return 0;
}

/* A socket that is bound and listens, or a negative errno. */
static int open_socket(const struct sockaddr *address, socklen_t length,
                       const knit_listen_options *options)
{
	/* What an int cannot say is more than any kernel keeps. */
	int backlog = options->backlog & 0x7fffffff ? (int)(options->backlog & 0x7fffffff)
	                                            : BACKLOG;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = set_options(fd, address->sa_family, options);
	if (r == 0 && (bind(fd, address, length) < 0 || listen(fd, backlog) < 0))
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

knit_listener *knit_listen_with(const struct sockaddr *address, socklen_t length,
                                const knit_listen_options *given)
{
	knit_listen_options options;
	knit_listener *listener = NULL;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r == 0 && (!address || length < sizeof(address->sa_family)))
		r = -EINVAL;
	if (r == 0)
		r = open_socket(address, length, &options);
	if (r < 0) {
		errno = -kn_fail(r);
		return NULL;
	}
	listener = knit_listener_new(r);
	if (!listener) {
		int saved = errno;

		close(r);
		errno = saved;
	}
	return listener;
}

knit_listener *(knit_listen)(const struct sockaddr *address, socklen_t length)
{
	knit_listen_options options = {.size = sizeof(options)};

	return knit_listen_with(address, length, &options);
}
