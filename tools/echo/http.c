/* SPDX-License-Identifier: MIT */
/* http.c - answers every HTTP request on a connection with a greeting.
 *
 * Requests that came with one receive are answered by one send: the plain answers stand in memory
 * one behind the other, so that a pipeline of them is a prefix of that. Only the last request of
 * a connection may need an answer of another kind, since all of those but HEAD end it.
 *
 * A connection that the server ends is shut down for writing first and then read empty: a close
 * with bytes unread would be a reset, which can overtake the answer. */
#include "http.h"
#include <knit.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define BODY    "Hello, World!"
#define HEADERS "Content-Type: text/plain\r\nContent-Length: 13\r\n"
#define ANSWER  "HTTP/1.1 200 OK\r\n" HEADERS "\r\n"
#define LAST    "HTTP/1.1 200 OK\r\n" HEADERS "Connection: close\r\n\r\n"
#define REFUSAL "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

#define PLAIN_SIZE   (sizeof(ANSWER BODY) - 1)
#define PLAIN_COUNT  64 /* what one send answers at most */
#define LINGER_BYTES (1 << 20)
#define LINGER_TIME  (2 * KNIT_S)

static char plain[PLAIN_COUNT * PLAIN_SIZE];

static void fill_plain(void)
{
	for (size_t i = 0; i < PLAIN_COUNT; i++)
		memcpy(plain + i * PLAIN_SIZE, ANSWER BODY, PLAIN_SIZE);
}

struct http {
	int fd;
	unsigned waiting; /* plain answers that are not sent yet */
	unsigned long *bytes;
	struct request request;
};

/* 0 or the error. */
static intptr_t send_bytes(struct http *http, const char *text, size_t size)
{
	intptr_t n = knit_sock_sendall(http->fd, text, size);

	if (n < 0)
		return n;
	*http->bytes += (unsigned long)n;
	return 0;
}

static intptr_t flush(struct http *http)
{
	unsigned count = http->waiting;

	http->waiting = 0;
	return count > 0 ? send_bytes(http, plain, count * PLAIN_SIZE) : 0;
}

/* What is not a plain answer goes behind those that wait. */
static intptr_t send_after(struct http *http, const char *text, size_t size)
{
	intptr_t r = flush(http);

	return r < 0 ? r : send_bytes(http, text, size);
}

static intptr_t answer(struct http *http)
{
	if (http->request.head)
		return http->request.close ? send_after(http, LAST, sizeof(LAST) - 1)
		                           : send_after(http, ANSWER, sizeof(ANSWER) - 1);
	if (http->request.close)
		return send_after(http, LAST BODY, sizeof(LAST BODY) - 1);
	http->waiting++;
	return http->waiting < PLAIN_COUNT ? 0 : flush(http);
}

static intptr_t refuse(struct http *http, enum request_result why)
{
	char text[128];
	const char *status = why == REQUEST_LARGE    ? "431 Request Header Fields Too Large"
	                     : why == REQUEST_CODING ? "501 Not Implemented"
	                                             : "400 Bad Request";

	return send_after(http, text, (size_t)snprintf(text, sizeof(text), REFUSAL, status));
}

/* Waits for the client's end, for some time and some bytes. */
static void linger(int fd, char *buffer, size_t size)
{
	knit_timeout timeout;
	intptr_t n, left = LINGER_BYTES;

	if (shutdown(fd, SHUT_WR) < 0 || knit_timeout_enter(&timeout, LINGER_TIME) < 0)
		return;
	while ((n = knit_sock_recv(fd, buffer, size)) > 0 && left > 0)
		left -= n;
	(void)knit_timeout_exit(&timeout, n);
}

/* Answers what stands in @data of @size. Returns 0, 1 if the connection is to end, or an error;
 * *@used is set to how much was done with. */
static intptr_t answer_all(struct http *http, const char *data, size_t size, size_t *used)
{
	intptr_t r = 0;
	bool end = false;

	*used = 0;
	while (r == 0 && !end) {
		size_t n;
		enum request_result result = request_read(&http->request, data + *used,
		                                          size - *used, &n);

		*used += n;
		if (result == REQUEST_MORE)
			break;
		r = result == REQUEST_DONE ? answer(http) : refuse(http, result);
		end = result != REQUEST_DONE || http->request.close;
	}
	if (r == 0)
		r = flush(http);
	return r < 0 ? r : end;
}

intptr_t http_serve(int fd, char *buffer, size_t size, unsigned long *bytes)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http http = {.fd = fd, .bytes = bytes};
	size_t kept = 0, used;
	intptr_t n, r = 0;

	pthread_once(&once, fill_plain);
	while ((n = knit_sock_recv(fd, buffer + kept, size - kept)) > 0) {
		kept += (size_t)n;
		r = answer_all(&http, buffer, kept, &used);
		if (r != 0)
			break;
		/* The beginning of a line, which is shorter than the limit and so than the buffer.
		 */
		kept -= used;
		if (kept > 0)
			memmove(buffer, buffer + used, kept);
	}
	if (r > 0)
		linger(fd, buffer, size);
	return r < 0 ? r : n < 0 && r == 0 ? n : 0;
}
