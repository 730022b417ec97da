/* SPDX-License-Identifier: MIT */
/* peer.h - a small echo server in threads, right or wrong on purpose, for tests of
 * knit-load. Its first connection gets the fault, all others are echoed faithfully. */
#ifndef LOAD_PEER_H
#define LOAD_PEER_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum peer_fault {
	PEER_ECHO,    /* none */
	PEER_CORRUPT, /* flips a bit of the byte at the place */
	PEER_REPEAT,  /* in place of the bytes from there on, those from the beginning again */
	PEER_CLOSE,   /* closes there */
	PEER_RESET,   /* resets the connection there */
	PEER_SURPLUS, /* sends a byte too many there */
	PEER_SILENT,  /* stops there, and keeps the connection open */
	PEER_STAYS,   /* echoes all, but does not close after the client has */
};

struct peer;

/* Listens on a port of the kernel's choice of the loopback of @family. The fault happens
 * when @place bytes were echoed. NULL if the family is not there. */
struct peer *peer_start(int family, enum peer_fault fault, size_t place);

unsigned peer_port(const struct peer *peer);

/* Blocks until connections were echoed @bytes in all. */
void peer_wait_for_bytes(struct peer *peer, uint64_t bytes);

/* Ends all threads and frees. Returns how many connections ended with a FIN of the client. */
unsigned peer_stop(struct peer *peer);

#endif
