/* SPDX-License-Identifier: MIT */
/* target.h - from a server's name to the one address that a run connects to. */
#ifndef LOAD_TARGET_H
#define LOAD_TARGET_H
#include <stdint.h>
#include <sys/socket.h>

/* Looks @host up; NULL is this machine's loopback. Of several addresses the first that
 * accepts a connection within @timeout_ns is taken, so that "localhost" works with a server
 * that listens on one address family only; where none does, or there is but one, the first.
 * 0, or an error code of getaddrinfo(). */
int target_find(const char *host, const char *port, int64_t timeout_ns,
                struct sockaddr_storage *ret_address, socklen_t *ret_length);

#endif
