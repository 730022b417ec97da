/* SPDX-License-Identifier: MIT */
/* test_http.c - knit-echo --http: what clients send, and what they get. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "server.h"
#include "test.h"

#define HEADERS "Content-Type: text/plain\r\nContent-Length: 13\r\n"
#define HEAD_OK "HTTP/1.1 200 OK\r\n" HEADERS "\r\n"
#define OK      HEAD_OK "Hello, World!"
#define LAST    "HTTP/1.1 200 OK\r\n" HEADERS "Connection: close\r\n\r\nHello, World!"
#define GET     "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

static struct echo echo;

static void start(void)
{
	echo_start(&echo, "--http --loops 1");
}

static void stop(void)
{
	echo_signal(&echo, SIGTERM);
	echo_wait(&echo);
	command_free(&echo.command);
}

static void put(int fd, const char *bytes, size_t size)
{
	cr_assert_eq(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Exactly @text comes next. */
static void expect(int fd, const char *text)
{
	size_t size = strlen(text);
	char *got = calloc(1, size + 1);

	cr_assert_not_null(got);
	cr_assert_eq(recv(fd, got, size, MSG_WAITALL), (ssize_t)size, "got '%s'", got);
	cr_assert_str_eq(got, text);
	free(got);
}

static void expect_end(int fd)
{
	char c;

	cr_assert_eq(recv(fd, &c, 1, 0), 0, "the server should have closed");
	close(fd);
}

/* @request is answered by @answer, and then the server closes. */
static void last_words(const char *request, const char *answer)
{
	int fd = echo_connect(&echo);

	put(fd, request, strlen(request));
	expect(fd, answer);
	expect_end(fd);
}

static void refused(const char *request, const char *status)
{
	char answer[128];

	snprintf(answer, sizeof(answer),
	         "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
	last_words(request, answer);
}

Test(http, a_connection_lasts_for_many_requests, .init = start, .fini = stop)
{
	int fd = echo_connect(&echo);

	for (int i = 0; i < 100; i++) {
		put(fd, GET, strlen(GET));
		expect(fd, OK);
	}
	shutdown(fd, SHUT_WR);
	expect_end(fd);
}

Test(http, requests_in_one_segment_are_all_answered, .init = start, .fini = stop)
{
	enum { COUNT = 200 }; /* more than one send of the server answers */
	static char many[COUNT * (sizeof(GET) - 1)];
	int fd = echo_connect(&echo);

	for (int i = 0; i < COUNT; i++)
		memcpy(many + i * (sizeof(GET) - 1), GET, sizeof(GET) - 1);
	put(fd, many, sizeof(many));
	for (int i = 0; i < COUNT; i++)
		expect(fd, OK);
	shutdown(fd, SHUT_WR);
	expect_end(fd);
}

Test(http, a_request_may_come_a_byte_at_a_time, .init = start, .fini = stop)
{
	int fd = echo_connect(&echo);

	for (int i = 0; i < 2; i++) {
		for (size_t at = 0; at < strlen(GET); at++)
			put(fd, &GET[at], 1);
		expect(fd, OK);
	}
	/* The end of one and the beginning of the next in one segment. */
	put(fd, "GET / HTTP/1.1\r\nHo", 18);
	put(fd, "st: x\r\n\r\nGET / HT", 17);
	expect(fd, OK);
	put(fd, "TP/1.1\r\n\r\n", 10);
	expect(fd, OK);
	close(fd);
}

Test(http, it_closes_when_it_is_asked_to, .init = start, .fini = stop)
{
	last_words("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", LAST);
	last_words("GET / HTTP/1.1\r\ncONNECTION:upgrade , CLOSE \r\n\r\n", LAST);
	last_words("GET / HTTP/1.0\r\n\r\n", LAST);
	/* What was asked before is answered before, what comes after it is not. */
	last_words(GET "GET / HTTP/1.1\r\nConnection: close\r\n\r\n" GET, OK LAST);
}

Test(http, a_body_is_not_taken_for_a_request, .init = start, .fini = stop)
{
	static const char post[] = "POST / HTTP/1.1\r\nContent-Length: 27\r\n\r\n" GET;
	int fd = echo_connect(&echo);

	cr_assert_eq(strlen(GET), 27);
	put(fd, post, strlen(post));
	put(fd, "HEAD / HTTP/1.1\r\n\r\n", 19);
	put(fd, GET, strlen(GET));
	expect(fd, OK HEAD_OK OK);
	shutdown(fd, SHUT_WR);
	expect_end(fd);
}

Test(http, what_is_no_request_is_refused, .init = start, .fini = stop)
{
	refused("hello\r\n", "400 Bad Request");
	refused("GET / HTTP/2.0\r\n\r\n", "400 Bad Request");
	refused("GET / HTTP/1.1\r\nno colon\r\n\r\n", "400 Bad Request");
	refused("POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n", "400 Bad Request");
	refused("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	        "400 Bad Request");
	refused("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "501 Not Implemented");
}

/* The client is still sending when it is refused: a mere close would answer that by a reset, and
 * the client would not see why. */
Test(http, too_large_a_head_is_refused_and_the_client_hears_it, .init = start, .fini = stop)
{
	static char huge[100000];
	int fd = echo_connect(&echo);

	put(fd, "GET / HTTP/1.1\r\nX: ", 19);
	memset(huge, 'x', sizeof(huge));
	put(fd, huge, sizeof(huge));
	expect(fd, "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n"
	           "Connection: close\r\n\r\n");
	shutdown(fd, SHUT_WR);
	expect_end(fd);
}

Test(http, large_heads_of_many_lines_are_refused_too, .init = start, .fini = stop)
{
	static const char line[] = "Header: value value value value\r\n";
	char head[16384] = "GET / HTTP/1.1\r\n";

	while (strlen(head) <= 8192)
		strcat(head, line);
	refused(head, "431 Request Header Fields Too Large");
}
