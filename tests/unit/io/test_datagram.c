/* SPDX-License-Identifier: MIT */
/* test_datagram.c - recvfrom and sendto: datagrams, their addresses, what is cut off. */
#include <stdint.h>
#include "base/compiler.h"
#include "rig.h"

static void on_each_family(knit_coro *body)
{
	static const int families[] = {AF_INET, AF_INET6, AF_UNIX};

	for (size_t i = 0; i < KN_ARRAY_SIZE(families); i++)
		if (families[i] != AF_INET6 || rig_has_ipv6())
			rig_run(body, (void *)&families[i]);
}

static intptr_t carries_addresses(void *arg)
{
	int family = *(const int *)arg;
	int a = rig_bound(family, SOCK_DGRAM), b = rig_bound(family, SOCK_DGRAM);
	struct rig_address to = rig_name(b), name = rig_name(a);
	struct rig_address from = {.length = sizeof(from.name)};
	char buffer[100] = "";

	cr_assert_eq(knit_sock_sendto(a, "hello", 5, RIG_NAME(&to), to.length), 5);
	cr_assert_eq(knit_sock_recvfrom(b, buffer, sizeof(buffer), RIG_NAME(&from), &from.length),
	             5);
	cr_assert_str_eq(buffer, "hello");
	cr_assert_eq(from.length, name.length);
	cr_assert_eq(memcmp(&from.name, &name.name, name.length), 0, "the sender's address");

	/* And back to where it came from. */
	cr_assert_eq(knit_sock_sendto(b, "again", 5, RIG_NAME(&from), from.length), 5);
	cr_assert_eq(knit_sock_recvfrom(a, buffer, sizeof(buffer), NULL, NULL), 5);
	cr_assert_str_eq(buffer, "again");
	close(a);
	close(b);
	return 0;
}

Test(io_datagram, a_datagram_arrives_with_its_senders_address)
{
	on_each_family(carries_addresses);
}

static intptr_t room_for_address(void *arg)
{
	int family = *(const int *)arg;
	int a = rig_bound(family, SOCK_DGRAM), b = rig_bound(family, SOCK_DGRAM);
	struct rig_address to = rig_name(b), little = {.length = 3};
	socklen_t length = 55;
	char byte;

	memset(&little.name, 0x5a, sizeof(little.name));
	cr_assert_eq(knit_sock_sendto(a, "x", 1, RIG_NAME(&to), to.length), 1);
	cr_assert_eq(knit_sock_recvfrom(b, &byte, 1, RIG_NAME(&little), &little.length), 1);
	cr_assert_eq(((unsigned char *)&little.name)[3], 0x5a, "beyond the room there was");
	cr_assert_eq(little.length, rig_name(a).length, "the true size");

	/* One of the two without the other means neither. */
	cr_assert_eq(knit_sock_sendto(a, "y", 1, RIG_NAME(&to), to.length), 1);
	cr_assert_eq(knit_sock_recvfrom(b, &byte, 1, NULL, &length), 1);
	cr_assert_eq(length, 55);
	memset(&little.name, 0x5a, sizeof(little.name));
	cr_assert_eq(knit_sock_sendto(a, "z", 1, RIG_NAME(&to), to.length), 1);
	cr_assert_eq(knit_sock_recvfrom(b, &byte, 1, RIG_NAME(&little), NULL), 1);
	cr_assert_eq(((unsigned char *)&little.name)[0], 0x5a);
	close(a);
	close(b);
	return 0;
}

Test(io_datagram, an_address_is_cut_to_its_room_and_its_size_told)
{
	on_each_family(room_for_address);
}

static intptr_t truncates(void *arg)
{
	int family = *(const int *)arg;
	int a = rig_bound(family, SOCK_DGRAM), b = rig_bound(family, SOCK_DGRAM);
	struct rig_address to = rig_name(b);
	char buffer[8];

	memset(buffer, 0x5a, sizeof(buffer));
	cr_assert_eq(knit_sock_sendto(a, "0123456789", 10, RIG_NAME(&to), to.length), 10);
	cr_assert_eq(knit_sock_sendto(a, "next", 4, RIG_NAME(&to), to.length), 4);
	cr_assert_eq(knit_sock_recvfrom(b, buffer, 4, NULL, NULL), 4, "at most the size");
	cr_assert_eq(memcmp(buffer, "0123\x5a\x5a\x5a\x5a", 8), 0);
	cr_assert_eq(knit_sock_recvfrom(b, buffer, 8, NULL, NULL), 4, "the rest is lost");
	cr_assert_eq(memcmp(buffer, "next", 4), 0);
	/* recv does the same. */
	cr_assert_eq(knit_sock_sendto(a, "0123456789", 10, RIG_NAME(&to), to.length), 10);
	cr_assert_eq(knit_sock_recv(b, buffer, 4), 4);
	cr_assert_eq(rig_drain(b), 0);
	close(a);
	close(b);
	return 0;
}

Test(io_datagram, the_rest_of_a_longer_datagram_is_lost)
{
	on_each_family(truncates);
}

static intptr_t sizes(void *arg)
{
	static char large[8000], got[8000];
	int family = *(const int *)arg;
	int a = rig_bound(family, SOCK_DGRAM), b = rig_bound(family, SOCK_DGRAM);
	struct rig_address to = rig_name(b);
	char byte = 'x';

	/* An empty datagram is one. */
	cr_assert_eq(knit_sock_sendto(a, NULL, 0, RIG_NAME(&to), to.length), 0);
	cr_assert_eq(knit_sock_recvfrom(b, &byte, 1, NULL, NULL), 0);
	cr_assert_eq(byte, 'x');
	/* Size 0 takes a datagram away. */
	cr_assert_eq(knit_sock_sendto(a, "q", 1, RIG_NAME(&to), to.length), 1);
	cr_assert_eq(knit_sock_recvfrom(b, &byte, 0, NULL, NULL), 0);
	cr_assert_eq(rig_drain(b), 0);
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i % 253);
	cr_assert_eq(knit_sock_sendto(a, large, sizeof(large), RIG_NAME(&to), to.length), 8000);
	cr_assert_eq(knit_sock_recvfrom(b, got, SIZE_MAX, NULL, NULL), 8000, "clamped");
	cr_assert_eq(memcmp(large, got, sizeof(large)), 0);
	cr_assert_eq(knit_sock_sendto(a, large, (size_t)1 << 30, RIG_NAME(&to), to.length),
	             -EMSGSIZE);
	close(a);
	close(b);
	return 0;
}

Test(io_datagram, sizes_0_and_large_and_larger_than_can_be)
{
	on_each_family(sizes);
}

static intptr_t connected(void *arg)
{
	int family = *(const int *)arg;
	int a = rig_bound(family, SOCK_DGRAM), b = rig_bound(family, SOCK_DGRAM);
	struct rig_address to = rig_name(b);
	char buffer[8] = "";

	cr_assert_lt(knit_sock_sendto(a, "x", 1, NULL, 0), 0, "where to?");
	cr_assert_eq(knit_sock_connect(a, RIG_NAME(&to), to.length), 0);
	cr_assert_eq(knit_sock_sendto(a, "one", 3, NULL, 0), 3);
	cr_assert_eq(knit_sock_sendto(a, "two", 3, NULL, 99), 3, "no address has no length");
	cr_assert_eq(knit_sock_sendall(a, "three", 5), 5);
	cr_assert_eq(knit_sock_recvfrom(b, buffer, 8, NULL, NULL), 3);
	cr_assert_eq(knit_sock_recv(b, buffer, 8), 3);
	cr_assert_eq(knit_sock_recv(b, buffer, 8), 5);
	cr_assert_str_eq(buffer, "three");
	close(a);
	close(b);
	return 0;
}

Test(io_datagram, a_connected_socket_needs_no_address)
{
	on_each_family(connected);
}

static intptr_t receive(struct rig_call *call)
{
	struct rig_address *from = call->more;

	return knit_sock_recvfrom(call->fd, call->buffer, call->size, RIG_NAME(from),
	                          &from->length);
}

static intptr_t waits(void *arg)
{
	int family = *(const int *)arg;
	int a = rig_bound(family, SOCK_DGRAM), b = rig_bound(family, SOCK_DGRAM);
	struct rig_address to = rig_name(b), from = {.length = sizeof(from.name)};
	char buffer[8] = "";
	struct rig_call call = {
	        .make = receive, .fd = b, .buffer = buffer, .size = 8, .more = &from};
	knit_task *task = rig_start(&call);

	rig_yield(20);
	cr_assert_not(call.done);
	cr_assert_eq(knit_sock_sendto(a, "late", 4, RIG_NAME(&to), to.length), 4);
	rig_finish(task);
	cr_assert_eq(call.result, 4);
	cr_assert_str_eq(buffer, "late");
	cr_assert_eq(from.length, rig_name(a).length);
	close(a);
	close(b);
	return 0;
}

Test(io_datagram, recvfrom_waits_for_a_datagram)
{
	on_each_family(waits);
}

static intptr_t errors(void *arg)
{
	struct rig_address gone;
	int a = rig_bound(AF_INET, SOCK_DGRAM), b = rig_bound(AF_INET, SOCK_DGRAM), file, pair[2];
	char byte;

	(void)arg;
	gone = rig_name(b);
	close(b);
	/* Loopback tells of a port where nobody is, at the next call. */
	cr_assert_eq(knit_sock_connect(a, RIG_NAME(&gone), gone.length), 0);
	cr_assert_eq(knit_sock_sendto(a, "x", 1, NULL, 0), 1);
	cr_assert_eq(knit_sock_recvfrom(a, &byte, 1, NULL, NULL), -ECONNREFUSED);
	cr_assert_eq(knit_sock_sendto(a, "x", 1, RIG_NAME(&gone), 1), -EINVAL);
	close(a);

	rig_pair(AF_UNIX, pair);
	close(pair[1]);
	cr_assert_eq(knit_sock_sendto(pair[0], "x", 1, NULL, 0), -EPIPE, "and no signal");
	close(pair[0]);
	file = rig_file();
	cr_assert_eq(knit_sock_recvfrom(file, &byte, 1, NULL, NULL), -ENOTSOCK);
	cr_assert_eq(knit_sock_sendto(file, &byte, 1, NULL, 0), -ENOTSOCK);
	cr_assert_eq(knit_sock_recv(file, &byte, 1), -ENOTSOCK);
	cr_assert_eq(knit_sock_sendall(file, &byte, 1), -ENOTSOCK);
	close(file);
	return 0;
}

Test(io_datagram, errors_come_out_as_they_are)
{
	rig_run(errors, NULL);
}
