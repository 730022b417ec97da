/* SPDX-License-Identifier: MIT */
/* request.c - HTTP/1.x requests out of a stream of bytes, a line at a time.
 *
 * Only what decides over the connection is understood: where a request ends, whether another one
 * may follow, how long its body is. A line is used when its end has come, so the caller keeps at
 * most the beginning of one line, and no head has to be in memory as a whole. */
#include "request.h"
#include <string.h>
#include <strings.h>

/* Is @word one of the elements of a comma separated list? */
static bool lists(const char *list, size_t size, const char *word)
{
	size_t length = strlen(word);

	while (size > 0) {
		const char *comma = memchr(list, ',', size);
		size_t whole = comma ? (size_t)(comma - list) : size, n = whole;
		const char *p = list;

		while (n > 0 && (*p == ' ' || *p == '\t')) {
			p++;
			n--;
		}
		while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
			n--;
		if (n == length && strncasecmp(p, word, n) == 0)
			return true;
		list += whole + (comma ? 1 : 0);
		size -= whole + (comma ? 1 : 0);
	}
	return false;
}

/* METHOD TARGET HTTP/1.x */
static bool read_request_line(struct request *request, const char *line, size_t size)
{
	static const char version[] = " HTTP/1.";
	const size_t tail = sizeof(version) - 1 + 1;
	const char *space = memchr(line, ' ', size);

	if (!space || space == line || (size_t)(space - line) + 2 + tail > size ||
	    memcmp(line + size - tail, version, sizeof(version) - 1) != 0)
		return false;
	switch (line[size - 1]) {
	case '0': /* its connections last for one request, unless both sides say otherwise */
		request->close = true;
		break;
	case '1':
		break;
	default:
		return false;
	}
	request->head = space - line == 4 && memcmp(line, "HEAD", 4) == 0;
	return true;
}

static bool read_length(struct request *request, const char *value, size_t size)
{
	uint64_t length = 0;

	while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
		size--;
	if (size == 0 || size > 18) /* that no number of 64 bits overflows */
		return false;
	for (size_t i = 0; i < size; i++) {
		if (value[i] < '0' || value[i] > '9')
			return false;
		length = length * 10 + (uint64_t)(value[i] - '0');
	}
	/* Two that differ are how requests are smuggled past a proxy. */
	if (request->has_length && request->body_left != length)
		return false;
	request->has_length = true;
	request->body_left = length;
	return true;
}

static bool is_name(const char *line, size_t size, const char *name)
{
	return size == strlen(name) && strncasecmp(line, name, size) == 0;
}

static enum request_result read_header(struct request *request, const char *line, size_t size)
{
	const char *colon = memchr(line, ':', size), *value;
	size_t name_size;

	/* No name, one that ends in a blank, and a folded line are errors by RFC 9112. */
	if (!colon || colon == line || *line == ' ' || *line == '\t' || colon[-1] == ' ' ||
	    colon[-1] == '\t')
		return REQUEST_BAD;
	name_size = (size_t)(colon - line);
	value = colon + 1;
	size -= name_size + 1;
	while (size > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		size--;
	}
	if (is_name(line, name_size, "Connection")) {
		if (lists(value, size, "close"))
			request->close = true;
	} else if (is_name(line, name_size, "Content-Length")) {
		if (!read_length(request, value, size))
			return REQUEST_BAD;
	} else if (is_name(line, name_size, "Transfer-Encoding")) {
		return REQUEST_CODING;
	}
	return REQUEST_MORE;
}

/* A whole line without its end. */
static enum request_result read_line(struct request *request, const char *line, size_t size)
{
	if (!request->line_seen) {
		if (size == 0) /* some clients send an empty line too many */
			return REQUEST_MORE;
		request->line_seen = true;
		return read_request_line(request, line, size) ? REQUEST_MORE : REQUEST_BAD;
	}
	return size == 0 ? REQUEST_DONE : read_header(request, line, size);
}

/* The body of the request before, if there is one, does not begin the next. */
static size_t skip_body(struct request *request, size_t size)
{
	size_t skipped = request->body_left < size ? (size_t)request->body_left : size;

	request->body_left -= skipped;
	return skipped;
}

enum request_result request_read(struct request *request, const char *data, size_t size,
                                 size_t *used)
{
	enum request_result result = REQUEST_MORE;
	size_t at = 0;

	if (!request->line_seen) {
		at = skip_body(request, size);
		request->close = request->head = request->has_length = false;
	}
	while (result == REQUEST_MORE && at < size) {
		const char *line = data + at, *end = memchr(line, '\n', size - at);
		size_t length = end ? (size_t)(end - line) + 1 : size - at;

		if (request->head_bytes + length > REQUEST_HEAD_LIMIT) {
			result = REQUEST_LARGE;
			break;
		}
		if (!end)
			break;
		request->head_bytes += (unsigned)length;
		at += length;
		length--;
		if (length > 0 && line[length - 1] == '\r')
			length--;
		result = read_line(request, line, length);
	}
	if (result == REQUEST_DONE) {
		request->line_seen = false;
		request->head_bytes = 0;
	}
	*used = at;
	return result;
}
