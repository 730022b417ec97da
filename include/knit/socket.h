/* SPDX-License-Identifier: MIT */
/*
 * socket.h - sockets: asyncio's sock_* calls, which work on any socket descriptor, and a
 * listener, which owns one.
 *
 * A buffer handed to a call is the caller's again when the call returns, also when it was
 * cancelled: the call returns only after the kernel's last word on it. If that word is a
 * success, the call returns the success and the cancellation stays pending, so that no byte and
 * no descriptor is lost. The kernel's ECANCELED never comes out: the codes are
 * -KNIT_ECANCELLED (the task was cancelled) and -EBADF (knit_close() ended the call).
 *
 * Sockets may be blocking or not; no call sets O_NONBLOCK. Every call works for descriptors of
 * the loop's thread only: close a descriptor with knit_close() (file.h) on the loop that uses it.
 */
#ifndef KNIT_SOCKET_H
#define KNIT_SOCKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <knit/error.h>
#include <knit/macros.h>

KNIT_BEGIN_DECLS

/* Accepts a connection on the listening socket @fd (one call, one accept; a server takes a
 * knit_listener). The new descriptor is close-on-exec.
 *
 * Units: *@length in bytes: the room in, the address's true size out.
 * Returns: the new descriptor, >= 0.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED; -EBADF; those of accept(2).
 * Thread: loop.  Suspends: always.  Ownership: the descriptor is the caller's; @address and
 *   @length may both be NULL. */
KNIT_API KNIT_NODISCARD int knit_sock_accept(int fd, struct sockaddr *address, socklen_t *length);

/* Connects @fd to @address.
 *
 * Units: @length in bytes.  Returns: 0.
 * Errors: -KNIT_ECANCELLED (the attempt may go on: close the socket); -KNIT_ENOTASK;
 *   -KNIT_ECLOSED; -EBADF; those of connect(2).
 * Thread: loop.  Suspends: always.  Ownership: @address is borrowed. */
KNIT_API KNIT_NODISCARD int knit_sock_connect(int fd, const struct sockaddr *address,
                                              socklen_t length);

/* Receives what there is, waiting for the first byte.
 *
 * Units: @size in bytes; at most 0x7ffff000 at a time.
 * Returns: the bytes received; 0: the peer will send no more; or @size is
 *   0, and there was something to wait for.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED; -EBADF; those of recv(2).
 * Thread: loop.  Suspends: always.  Ownership: @buffer is the kernel's until the return. */
KNIT_API KNIT_NODISCARD intptr_t knit_sock_recv(int fd, void *buffer, size_t size);

/* As knit_sock_recv(): in C both receive into the caller's buffer. */
KNIT_API KNIT_NODISCARD intptr_t knit_sock_recv_into(int fd, void *buffer, size_t size);

/* Sends all of @buffer; never raises SIGPIPE.
 *
 * Units: @size in bytes.
 * Returns: @size; fewer, but not 0, if a cancellation or an error came after so many had been
 *   taken: the next call reports it.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED; -EBADF; -EPIPE; those of send(2): in
 *   each case nothing of @buffer was sent.
 * Thread: loop.  Suspends: always, unless @size is 0.  Ownership: @buffer is the kernel's until
 *   the return. */
KNIT_API KNIT_NODISCARD intptr_t knit_sock_sendall(int fd, const void *buffer, size_t size);

/* Receives a datagram and its sender's address.
 *
 * Units: @size in bytes, at most 0x7ffff000; *@length in bytes: the room in, the address's true
 * size out. Returns: the bytes received, at most @size: the rest of a longer datagram is lost.
 * Errors: as knit_sock_recv(), and those of recvmsg(2).
 * Thread: loop.  Suspends: always.  Ownership: everything is the kernel's until the return;
 *   @address and @length may both be NULL. */
KNIT_API KNIT_NODISCARD intptr_t knit_sock_recvfrom(int fd, void *buffer, size_t size,
                                                    struct sockaddr *address, socklen_t *length);

/* Sends a datagram to @address.
 *
 * Units: @size and @length in bytes.  Returns: the bytes sent.
 * Errors: as knit_sock_sendall(), and those of sendmsg(2).
 * Thread: loop.  Suspends: always.  Ownership: everything is the kernel's until the return;
 *   @address may be NULL on a connected socket. */
KNIT_API KNIT_NODISCARD intptr_t knit_sock_sendto(int fd, const void *buffer, size_t size,
                                                  const struct sockaddr *address, socklen_t length);

/* Shuts down one or both directions.
 *
 * Units: @how: SHUT_RD, SHUT_WR, SHUT_RDWR.  Returns: 0.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED; -EBADF; those of shutdown(2).
 * Thread: loop.  Suspends: always.  Ownership: none. */
KNIT_API KNIT_NODISCARD int knit_sock_shutdown(int fd, int how);

/* ---- listeners ----------------------------------------------------------------------- */

typedef struct knit_listener knit_listener;

/* Keyword arguments of knit_listen(). */
typedef struct knit_listen_options {
	size_t size;         /* sizeof(knit_listen_options); the macro sets it */
	uint32_t backlog;    /* connections that the kernel keeps waiting; 0: 1024, which the
	                      * kernel caps at net.core.somaxconn */
	uint32_t reuse_port; /* not 0: SO_REUSEPORT, so that each loop may have a socket of its
	                      * own on one address */
} knit_listen_options;

/* Makes a listener from a socket that is bound and listens. It accepts ahead of its callers, a
 * bounded number of connections. Out of descriptors or memory it tells the exception handler,
 * once, and tries again after a pause of 0.1 s to 1 s: its callers just wait.
 *
 * Units: none.  Returns: the listener.
 * Errors: NULL with errno set: KNIT_ENOLOOP; ENOMEM; KNIT_ECLOSED; EBADF: no descriptor, or a
 *   task is closing it; EBUSY: it has a listener; ENOTSOCK; EINVAL: it does not listen. Then @fd
 *   is still the caller's.
 * Thread: loop.  Suspends: no.  Ownership: the listener owns @fd from now on. */
KNIT_API KNIT_NODISCARD knit_listener *knit_listener_new(int fd);

/* Makes a stream socket, binds it to @address, and a listener of it. SO_REUSEADDR is on; IPv6
 * sockets take IPv6 only.
 *
 * Units: @length in bytes.  Returns: the listener.
 * Errors: as knit_listener_new(), and those of socket(2), bind(2) and listen(2).
 * Thread: loop.  Suspends: no.  Ownership: the listener is the caller's, to close. */
KNIT_API KNIT_NODISCARD knit_listener *knit_listen(const struct sockaddr *address,
                                                   socklen_t length);

/* As knit_listen(): with keyword arguments.
 *
 * Units: see knit_listen_options.  Returns: the listener.
 * Errors: as knit_listen(), and EINVAL, E2BIG: @options is malformed.
 * Thread: loop.  Suspends: no.  Ownership: as knit_listen(); @options is borrowed. */
KNIT_API KNIT_NODISCARD knit_listener *knit_listen_with(const struct sockaddr *address,
                                                        socklen_t length,
                                                        const knit_listen_options *options);

/* Takes the next connection. Several tasks may wait; they are served in order. The descriptor
 * is close-on-exec.
 *
 * Units: *@length in bytes: the room in, the address's true size out.
 * Returns: the new descriptor, >= 0.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED; -EBADF: the listener was closed
 *   meanwhile; what accept(2) says of a socket that is of no more use.
 * Thread: loop.  Suspends: unless one is there already.  Ownership: the descriptor is the
 *   caller's; @address and @length may both be NULL. */
KNIT_API KNIT_NODISCARD int knit_listener_accept(knit_listener *listener, struct sockaddr *address,
                                                 socklen_t *length);

/* The socket, for getsockname(2) and the like.
 *
 * Units: none.  Returns: the descriptor.  Errors: -EBADF: its loop was closed.
 * Thread: loop.  Suspends: no.  Ownership: the listener's. */
KNIT_API int knit_listener_fd(const knit_listener *listener);

/* Closes and frees @listener. Connections that nobody has taken are closed; tasks that wait for
 * one get -EBADF. In a task it returns when the kernel has let go, so that the port is free; in a
 * plain callback at once, and the port is free a few passes later. A loop that is closed first
 * closes the socket; what is left, until this call, is memory.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_EWRONGTHREAD; -EBADF: another task is closing it. Nothing was done then.
 * Thread: loop; any if the loop is closed.  Suspends: in a task; cannot be cancelled (a request
 * stays pending). Ownership: @listener is gone; NULL in is harmless. */
KNIT_API int knit_listener_close(knit_listener *listener);

KNIT_END_DECLS

/* Options are keyword arguments: knit_listen(&address, sizeof(address), .reuse_port = 1) in C,
 * {.reuse_port = 1} as the last argument in C++20. */
#ifndef __cplusplus
#define knit_listen(address, ...) \
	knit_listen_arguments_(address, __VA_ARGS__, .size = sizeof(knit_listen_options))
#define knit_listen_arguments_(address, length, ...) \
	knit_listen_with(address, length, &(knit_listen_options){__VA_ARGS__})
#else
/* As knit_listen_with(): the C++ form of the macro.
 *
 * Units: see knit_listen_options.  Returns: the listener.  Errors: as knit_listen_with().
 * Thread: loop.  Suspends: no.  Ownership: as knit_listen(). */
static inline knit_listener *knit_listen(const struct sockaddr *address, socklen_t length,
                                         knit_listen_options options)
{
	options.size = sizeof(options);
	return knit_listen_with(address, length, &options);
}
#endif
#endif
