/* SPDX-License-Identifier: MIT */
/* target.c - looking up the server's name.
 *
 * All connections of a run go to the same address: figures of a mixture would be those
 * of neither. A single address is not tried out here, because the extra connection would
 * be one more than the server was promised. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include "target.h"

static bool accepts(const struct addrinfo *info, int64_t timeout_ns)
{
	int error = 0, fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(error);
	bool result = false;

	if (fd < 0)
		return false;
	if (connect(fd, info->ai_addr, info->ai_addrlen) == 0) {
		result = true;
	} else if (errno == EINPROGRESS) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
		/* At least a millisecond; bounds above a minute are none here. */
		int ms = timeout_ns > INT64_C(60000000000) ? 60000 : (int)(timeout_ns / 1000000);
		result = poll(&poll_fd, 1, ms + 1) == 1 &&
		         getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
	}
	close(fd);
	return result;
}

int target_find(const char *host, const char *port, int64_t timeout_ns,
                struct sockaddr_storage *ret_address, socklen_t *ret_length)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list;
	const struct addrinfo *chosen;
	int r = getaddrinfo(host, port, &hints, &list);

	if (r != 0)
		return r;
	chosen = list;
	if (list->ai_next) {
		const struct addrinfo *info = list;
		while (info && !accepts(info, timeout_ns))
			info = info->ai_next;
		if (info)
			chosen = info;
	}
	memcpy(ret_address, chosen->ai_addr, chosen->ai_addrlen);
	*ret_length = chosen->ai_addrlen;
	freeaddrinfo(list);
	return 0;
}
