/* SPDX-License-Identifier: MIT */
/* data.h - races of cancellations with data that moves through a socket. */
#ifndef TEST_IO_DATA_H
#define TEST_IO_DATA_H
#include "race.h"

struct data_race {
	struct race race;
	uint64_t done; /* bytes or datagrams that the loop's side has accounted for */
	uint64_t peer; /* that the peer has */
};

static inline struct data_race *data_of(struct race *race)
{
	return (struct data_race *)race;
}

#define DATA_ROOM 48

/* What lies around a buffer on the stack. */
struct data_guarded {
	unsigned char before[32], buffer[DATA_ROOM], after[32];
};

void data_guard(struct data_guarded *guarded);
/* @n bytes were received, or none; beyond them nothing was written. */
void data_check_guards(const struct data_guarded *guarded, intptr_t n);

/* A race on a pair of sockets until so many calls succeeded and were cancelled, and then what is
 * left in the sockets: no byte is lost, told twice, or written late. @before may be NULL: called
 * in the loop first. */
void data_race_recv(int family, long wanted, void (*before)(struct race *race));
void data_race_sendall(int family, long wanted, void (*before)(struct race *race));

#endif
