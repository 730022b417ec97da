/* SPDX-License-Identifier: MIT */
/* http.h - answering HTTP on a connection. */
#ifndef ECHO_HTTP_H
#define ECHO_HTTP_H
#include <stddef.h>
#include <stdint.h>
#include "request.h"

#define HTTP_BUFFER_MIN (REQUEST_HEAD_LIMIT + 1) /* one line of a head, and more is too much */

/* Serves the connection @fd, whose bytes go through @buffer of @size (HTTP_BUFFER_MIN at least),
 * until one side ends it. In a task. Adds to *@bytes what was answered. Returns 0 or what a
 * socket call failed with. */
intptr_t http_serve(int fd, char *buffer, size_t size, unsigned long *bytes);
#endif
