/* SPDX-License-Identifier: MIT */
/* request.h - HTTP/1.x requests out of a stream of bytes. */
#ifndef ECHO_REQUEST_H
#define ECHO_REQUEST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_HEAD_LIMIT 8192 /* bytes of request line and headers together */

enum request_result {
	REQUEST_MORE,        /* all that was given was looked at; the request goes on */
	REQUEST_DONE,        /* a head is complete */
	REQUEST_BAD = 400,   /* the others are the status to answer, and then to close */
	REQUEST_LARGE = 431, /* the head is larger than the limit */
	REQUEST_CODING = 501 /* a body in a transfer coding, whose end is not known here */
};

/* What is known of the request that is being read. All zero before the first one. */
struct request {
	bool close;          /* the connection ends after the answer */
	bool head;           /* it asks for no body */
	bool line_seen;      /* the request line is over */
	bool has_length;     /* there was a Content-Length */
	unsigned head_bytes; /* of the lines that are over */
	uint64_t body_left;  /* bytes of its body to skip */
};

/* Reads on in @data, @size bytes that were not used before. *@used says how many of them are done
 * with; after REQUEST_MORE the others are the beginning of a line and are given again, with more
 * after them. After REQUEST_DONE @request tells of that request until the next call, which begins
 * the next one; its body, which nobody wants here, is skipped by that. */
enum request_result request_read(struct request *request, const char *data, size_t size,
                                 size_t *used);
#endif
