/* SPDX-License-Identifier: MIT */
/* test_bulk.c - much data through one connection whose reader is slow: it takes small, odd sizes
 * and lets others run in between. All of it arrives, in order.
 *
 * 64 MiB here; KNIT_STRESS=16 makes it 1 GiB. */
#include <stdlib.h>
#include "unit/io/rig.h"

#define PIECE ((size_t)1 << 20) /* of one sendall */

struct bulk {
	int pair[2];
	uint64_t total;
	uint64_t sum_sent, sum_received;
};

/* A checksum that tells the order, eight bytes at a time. */
static uint64_t add(uint64_t sum, uint64_t word)
{
	sum ^= word;
	return sum * UINT64_C(0x9e3779b97f4a7c15) + (sum >> 29);
}

static intptr_t send_all(void *arg)
{
	struct bulk *bulk = arg;
	uint64_t *piece = malloc(PIECE), state = 1;

	cr_assert_not_null(piece);
	for (uint64_t sent = 0; sent < bulk->total; sent += PIECE) {
		for (size_t i = 0; i < PIECE / sizeof(*piece); i++) {
			state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
			piece[i] = state;
			bulk->sum_sent = add(bulk->sum_sent, state);
		}
		cr_assert_eq(knit_sock_sendall(bulk->pair[0], piece, PIECE), (intptr_t)PIECE);
		/* The buffer is ours again. */
		memset(piece, 0, PIECE);
	}
	free(piece);
	return knit_sock_shutdown(bulk->pair[0], SHUT_WR);
}

/* Takes whole words into the sum; the odd bytes wait for the rest of theirs. */
static size_t take(struct bulk *bulk, unsigned char *buffer, size_t have)
{
	size_t words = have / sizeof(uint64_t);

	for (size_t i = 0; i < words; i++) {
		uint64_t word;

		memcpy(&word, buffer + i * sizeof(word), sizeof(word));
		bulk->sum_received = add(bulk->sum_received, word);
	}
	memmove(buffer, buffer + words * sizeof(uint64_t), have % sizeof(uint64_t));
	return have % sizeof(uint64_t);
}

static intptr_t receive_all(void *arg)
{
	static unsigned char buffer[30011];
	struct bulk *bulk = arg;
	uint64_t received = 0;
	uint32_t random = 3;
	size_t left = 0;
	intptr_t n;

	for (long calls = 0;; calls++) {
		size_t size = 1 + rig_random(&random) % (sizeof(buffer) - 8);

		if (calls % 16 == 0)
			size = 1 + size % 13;
		n = knit_sock_recv(bulk->pair[1], buffer + left, size);
		cr_assert_geq(n, 0, "%s", knit_errname((int)n));
		if (n == 0)
			break;
		received += (uint64_t)n;
		left = take(bulk, buffer, left + (size_t)n);
		if (calls % 4 == 0)
			rig_yield(1);
	}
	cr_assert_eq(received, bulk->total);
	cr_assert_eq(left, 0);
	return 0;
}

static intptr_t both(void *arg)
{
	struct bulk *bulk = arg;
	knit_task *sender = knit_create_task(send_all, bulk);
	knit_task *receiver = knit_create_task(receive_all, bulk);

	cr_assert_eq(knit_await(sender), 0);
	cr_assert_eq(knit_await(receiver), 0);
	return 0;
}

static void send_much(int family)
{
	struct bulk bulk = {.total = (uint64_t)rig_rounds(64, 16, 8, 1) * PIECE};

	rig_pair(family, bulk.pair);
	rig_run(both, &bulk);
	cr_assert_eq(bulk.sum_sent, bulk.sum_received, "the bytes are not the same");
	rig_close_all(bulk.pair, 2);
}

Test(io_bulk, a_slow_reader_gets_all_of_it_in_order_over_tcp)
{
	send_much(AF_INET);
}

Test(io_bulk, a_slow_reader_gets_all_of_it_in_order_over_a_unix_socket)
{
	send_much(AF_UNIX);
}
