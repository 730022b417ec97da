/* SPDX-License-Identifier: MIT */
/* test_request.c - tools/echo/request.c: requests out of a stream, however it is cut. */
#include <string.h>
#include "../../../tools/echo/request.h"
#include "test.h"

static const char stream[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                             "\r\nPOST /x HTTP/1.1\nContent-Length: 7\n\n1234\r\n\r"
                             "HEAD / HTTP/1.0\r\n\r\n"
                             "GET /y HTTP/1.1\r\nConnection: keep-alive, close\r\n\r\n";

/* Feeds @stream in two parts, keeps what was not used, and counts the requests. */
static void feed(size_t cut)
{
	static const bool close[] = {false, false, true, true},
	                  head[] = {false, false, true, false};
	struct request request = {0};
	size_t begin = 0, end = cut;
	unsigned count = 0;

	for (int rounds = 0; rounds < 100; rounds++) {
		size_t used;
		enum request_result result = request_read(&request, stream + begin, end - begin,
		                                          &used);

		cr_assert_leq(used, end - begin);
		begin += used;
		if (result == REQUEST_DONE) {
			cr_assert_lt(count, 4);
			cr_expect_eq(request.close, close[count], "request %u, cut %zu", count,
			             cut);
			cr_expect_eq(request.head, head[count], "request %u, cut %zu", count, cut);
			count++;
			continue;
		}
		cr_assert_eq(result, REQUEST_MORE, "cut %zu", cut);
		if (end == sizeof(stream) - 1)
			break;
		end = sizeof(stream) - 1;
	}
	cr_expect_eq(count, 4, "cut %zu", cut);
	cr_expect_eq(begin, sizeof(stream) - 1);
}

Test(request, a_stream_means_the_same_wherever_it_is_cut)
{
	for (size_t cut = 0; cut < sizeof(stream); cut++)
		feed(cut);
}

static enum request_result read_all(const char *text)
{
	struct request request = {0};
	size_t used;

	return request_read(&request, text, strlen(text), &used);
}

Test(request, lines_that_are_none_are_errors)
{
	cr_expect_eq(read_all("GET /\r\n"), REQUEST_BAD);
	cr_expect_eq(read_all(" / HTTP/1.1\r\n"), REQUEST_BAD);
	cr_expect_eq(read_all("GET HTTP/1.1\r\n"), REQUEST_BAD);
	cr_expect_eq(read_all("GET / HTTP/1.2\r\n"), REQUEST_BAD);
	cr_expect_eq(read_all("GET / HTTP/1.1\r\n: x\r\n"), REQUEST_BAD);
	cr_expect_eq(read_all("GET / HTTP/1.1\r\nA : x\r\n"), REQUEST_BAD);
	cr_expect_eq(read_all("GET / HTTP/1.1\r\nA: x\r\n folded\r\n"), REQUEST_BAD);
	cr_expect_eq(read_all("GET / HTTP/1.1\r\nContent-Length:\r\n"), REQUEST_BAD);
	cr_expect_eq(read_all("GET / HTTP/1.1\r\nContent-Length: 1111111111111111111\r\n"),
	             REQUEST_BAD);
	cr_expect_eq(read_all("GET / HTTP/1.1\r\nA:\r\nContent-Length: 5 \r\n"), REQUEST_MORE);
}

Test(request, the_limit_is_of_a_whole_head)
{
	static char text[REQUEST_HEAD_LIMIT + 2];
	static const char start[] = "GET / HTTP/1.1\r\nX: ";
	struct request request = {0};
	size_t used;

	memset(text, 'x', sizeof(text));
	memcpy(text, start, sizeof(start) - 1);
	cr_expect_eq(request_read(&request, text, REQUEST_HEAD_LIMIT, &used), REQUEST_MORE);
	cr_expect_eq(used, 16);
	cr_expect_eq(request_read(&request, text + used, REQUEST_HEAD_LIMIT + 1 - used, &used),
	             REQUEST_LARGE);
	memcpy(text + REQUEST_HEAD_LIMIT - 4, "\r\n\r\n", 4);
	request = (struct request){0};
	cr_expect_eq(request_read(&request, text, REQUEST_HEAD_LIMIT, &used), REQUEST_DONE);
	cr_expect_eq(used, REQUEST_HEAD_LIMIT);
}
