/* SPDX-License-Identifier: MIT */
/* payload.c - making and checking the content of messages.
 *
 * A message is a sequence of 64-bit words, in the byte order of the machine, since only
 * this program reads them again. Word i is a multiplicative hash of seed + i, so that
 * it can be computed alone and costs one multiplication: making and checking a message
 * must stay cheap beside the system calls that carry it. */
#include <string.h>
#include "payload.h"

#define WORD        sizeof(uint64_t)
#define HEADER      (2 * WORD)
#define TAG         UINT64_C(0x6b6e6974) /* upper half of the first word */
#define CHECK_BYTES 4096                 /* compared at a time; in the first-level cache */

/* The finalizer of splitmix64: each bit of the input changes half of the output. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

struct payload payload_of(uint32_t connection, uint64_t message, size_t size)
{
	return (struct payload){
	        .seed = mix(message * UINT64_C(0x9e3779b97f4a7c15) + mix(connection)),
	        .message = message,
	        .connection = connection,
	        .is_headed = size >= HEADER,
	};
}

static inline uint64_t random_word(const struct payload *payload, size_t index)
{
	uint64_t x = (payload->seed + index) * UINT64_C(0x9e3779b97f4a7c15);
	return x ^ (x >> 29);
}

static uint64_t word(const struct payload *payload, size_t index)
{
	if (payload->is_headed && index == 0)
		return TAG << 32 | payload->connection;
	if (payload->is_headed && index == 1)
		return payload->message;
	return random_word(payload, index);
}

void payload_fill(const struct payload *payload, size_t offset, void *buffer, size_t length)
{
	unsigned char *to = buffer;
	size_t index = offset / WORD;

	/* The tail of a word at the front and the words of the header go one by one. */
	while (length && (offset % WORD || index < 2 || length < WORD)) {
		uint64_t w = word(payload, index++);
		size_t skip = offset % WORD, n = WORD - skip;
		if (n > length)
			n = length;
		memcpy(to, (const unsigned char *)&w + skip, n);
		to += n;
		offset += n;
		length -= n;
	}
	for (; length >= WORD; length -= WORD, to += WORD) {
		uint64_t w = random_word(payload, index++);
		memcpy(to, &w, WORD);
	}
	if (length) {
		uint64_t w = random_word(payload, index);
		memcpy(to, &w, length);
	}
}

size_t payload_compare(const struct payload *payload, size_t offset, const void *bytes,
                       size_t length)
{
	const unsigned char *got = bytes;
	unsigned char want[CHECK_BYTES];

	for (size_t done = 0; done < length;) {
		size_t n = length - done < CHECK_BYTES ? length - done : CHECK_BYTES;
		payload_fill(payload, offset + done, want, n);
		if (memcmp(got + done, want, n) != 0) {
			size_t i = 0;
			while (got[done + i] == want[i])
				i++;
			return done + i;
		}
		done += n;
	}
	return length;
}

bool payload_identify(const void *bytes, size_t length, uint32_t *ret_connection,
                      uint64_t *ret_message)
{
	uint64_t header[2];
	if (length < HEADER)
		return false;
	memcpy(header, bytes, HEADER);
	if (header[0] >> 32 != TAG)
		return false;
	*ret_connection = (uint32_t)header[0];
	*ret_message = header[1];
	return true;
}
