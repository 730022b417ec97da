/* SPDX-License-Identifier: MIT */
/* payload.h - the content of every message, as a function of who sends it and when.
 *
 * A message of 16 bytes or more begins with its connection's number and its own number
 * on that connection; the rest, and all of a shorter message, is pseudo-random and
 * derived from both. So a reply that belongs to another connection, comes late, comes
 * twice or is shifted by a byte differs from the one expected. Any part of a message can
 * be made without the parts before it: nothing that was sent is kept. */
#ifndef LOAD_PAYLOAD_H
#define LOAD_PAYLOAD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct payload {
	uint64_t seed;
	uint64_t message;
	uint32_t connection;
	bool is_headed; /* long enough for the two numbers */
};

/* The content of message @message of connection @connection, @size bytes in all. */
struct payload payload_of(uint32_t connection, uint64_t message, size_t size);

/* Writes the @length bytes of the message that begin at @offset. */
void payload_fill(const struct payload *payload, size_t offset, void *buffer, size_t length);

/* Compares them with @bytes. The index of the first byte that differs, or @length. */
size_t payload_compare(const struct payload *payload, size_t offset, const void *bytes,
                       size_t length);

/* Reads the numbers that a message of ours begins with. False if @bytes begins with
 * something else or @length is too short to tell. */
bool payload_identify(const void *bytes, size_t length, uint32_t *ret_connection,
                      uint64_t *ret_message);

#endif
