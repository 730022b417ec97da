/* SPDX-License-Identifier: MIT */
/* test_parts.c - the parts of knit-load that can be tried alone: the histogram, the content
 * of messages, the choice of an address. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../../tools/load/histogram.h"
#include "../../../tools/load/payload.h"
#include "../../../tools/load/target.h"
#include "peer.h"
#include "test.h"

Test(histogram, of_nothing_is_zero)
{
	struct histogram *histogram = calloc(1, sizeof(*histogram));
	cr_expect_eq(histogram_permille(histogram, 500), 0);
	cr_expect_eq(histogram_permille(histogram, 1000), 0);
	free(histogram);
}

Test(histogram, is_exact_below_2048)
{
	struct histogram *histogram = calloc(1, sizeof(*histogram));
	for (int64_t i = 1; i <= 1000; i++)
		histogram_record(histogram, i);
	cr_expect_eq(histogram_permille(histogram, 0), 1);
	cr_expect_eq(histogram_permille(histogram, 500), 500);
	cr_expect_eq(histogram_permille(histogram, 990), 990);
	cr_expect_eq(histogram_permille(histogram, 999), 999);
	cr_expect_eq(histogram_permille(histogram, 1000), 1000);
	free(histogram);
}

Test(histogram, keeps_three_digits_everywhere)
{
	struct histogram *histogram = calloc(1, sizeof(*histogram));
	for (int64_t value = 1; value <= HISTOGRAM_VALUE_MAX; value += value / 3 + 1) {
		memset(histogram, 0, sizeof(*histogram));
		histogram_record(histogram, value);
		/* A larger one beside it, so that the maximum does not hide the slot. */
		histogram_record(histogram, HISTOGRAM_VALUE_MAX);
		int64_t told = histogram_permille(histogram, 500);
		cr_expect_geq(told, value);
		cr_expect_leq(told - value, value / 1000, "%lld is told as %lld", (long long)value,
		              (long long)told);
	}
	free(histogram);
}

Test(histogram, tells_the_exact_maximum)
{
	struct histogram *histogram = calloc(1, sizeof(*histogram));
	histogram_record(histogram, 1000001);
	cr_expect_eq(histogram_permille(histogram, 1000), 1000001);
	histogram_record(histogram, HISTOGRAM_VALUE_MAX + 12345);
	cr_expect_eq(histogram_permille(histogram, 1000), HISTOGRAM_VALUE_MAX + 12345);
	cr_expect_eq(histogram->max, HISTOGRAM_VALUE_MAX + 12345);
	histogram_record(histogram, -5);
	cr_expect_eq(histogram_permille(histogram, 0), 0);
	free(histogram);
}

Test(histogram, adds)
{
	struct histogram *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	for (int64_t i = 1; i <= 500; i++) {
		histogram_record(a, i);
		histogram_record(b, 500 + i);
	}
	histogram_add(a, b);
	cr_expect_eq(a->total, 1000u);
	cr_expect_eq(histogram_permille(a, 500), 500);
	cr_expect_eq(histogram_permille(a, 999), 999);
	free(a);
	free(b);
}

#define SIZE 100

Test(payload, is_the_same_in_any_pieces)
{
	struct payload payload = payload_of(3, 14, SIZE);
	unsigned char whole[SIZE], pieces[SIZE + 1];
	payload_fill(&payload, 0, whole, SIZE);
	for (size_t cut = 0; cut <= SIZE; cut++) {
		memset(pieces, 0xee, sizeof(pieces));
		payload_fill(&payload, 0, pieces, cut);
		payload_fill(&payload, cut, pieces + cut, SIZE - cut);
		cr_expect(memcmp(whole, pieces, SIZE) == 0, "cut at %zu", cut);
		cr_expect_eq(pieces[SIZE], 0xee);
		cr_expect_eq(payload_compare(&payload, cut, whole + cut, SIZE - cut), SIZE - cut);
	}
}

Test(payload, comparison_finds_every_single_bit)
{
	struct payload payload = payload_of(3, 14, SIZE);
	unsigned char bytes[SIZE];
	payload_fill(&payload, 0, bytes, SIZE);
	for (size_t i = 0; i < SIZE; i++) {
		bytes[i] ^= (unsigned char)(1u << (i % 8));
		cr_expect_eq(payload_compare(&payload, 0, bytes, SIZE), i);
		bytes[i] ^= (unsigned char)(1u << (i % 8));
	}
}

Test(payload, says_whose_it_is)
{
	struct payload payload = payload_of(70000, UINT64_C(1) << 40, SIZE);
	unsigned char bytes[SIZE];
	uint32_t connection = 0;
	uint64_t message = 0;
	payload_fill(&payload, 0, bytes, SIZE);
	cr_expect(payload_identify(bytes, SIZE, &connection, &message));
	cr_expect_eq(connection, 70000u);
	cr_expect_eq(message, UINT64_C(1) << 40);
	cr_expect_not(payload_identify(bytes, 15, &connection, &message));
	cr_expect_not(payload_identify(bytes + 1, SIZE - 1, &connection, &message));
}

/* Beside the header too, messages differ from those of neighbours in most bytes. */
Test(payload, differs_between_messages_and_connections)
{
	unsigned char base[SIZE], other[SIZE];
	struct payload payload = payload_of(5, 5, SIZE);
	payload_fill(&payload, 0, base, SIZE);
	for (uint32_t connection = 4; connection <= 6; connection++) {
		for (uint64_t message = 4; message <= 6; message++) {
			size_t same = 0;
			if (connection == 5 && message == 5)
				continue;
			payload = payload_of(connection, message, SIZE);
			payload_fill(&payload, 0, other, SIZE);
			for (size_t i = 16; i < SIZE; i++)
				same += base[i] == other[i];
			cr_expect_lt(same, 10u, "connection %u, message %llu", connection,
			             (unsigned long long)message);
		}
	}
}

/* The loopback has an address of each family; a peer listens on one of them. */
static void finds_listener(int family)
{
	struct peer *peer = peer_start(family, PEER_ECHO, 0);
	struct sockaddr_storage address;
	socklen_t length;
	char port[8];

	if (!peer)
		test_skip("no loopback of this address family");
	snprintf(port, sizeof(port), "%u", peer_port(peer));
	cr_assert_eq(target_find(NULL, port, INT64_C(1000000000), &address, &length), 0);
	cr_expect_eq(address.ss_family, family);
	cr_expect_eq(length,
	             family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	peer_stop(peer);
}

Test(target, of_several_addresses_is_one_that_accepts_ipv4)
{
	finds_listener(AF_INET);
}

Test(target, of_several_addresses_is_one_that_accepts_ipv6)
{
	finds_listener(AF_INET6);
}
