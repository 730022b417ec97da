/* SPDX-License-Identifier: MIT */
/* test_stream.c - connect, accept, recv, sendall and shutdown on stream sockets. */
#include <fcntl.h>
#include <sys/un.h>
#include "base/compiler.h"
#include "rig.h"

static const int families[] = {AF_INET, AF_INET6, AF_UNIX};

/* Each body runs for each family of addresses that the machine has. */
static void on_each_family(knit_coro *body)
{
	for (size_t i = 0; i < KN_ARRAY_SIZE(families); i++)
		if (families[i] != AF_INET6 || rig_has_ipv6())
			rig_run(body, (void *)&families[i]);
}

/* ---- connect and accept ---- */

struct client {
	struct rig_address to;
	int fd;
};

static intptr_t connect_to(void *arg)
{
	struct client *client = arg;

	return knit_sock_connect(client->fd, RIG_NAME(&client->to), client->to.length);
}

static intptr_t connects(void *arg)
{
	int family = *(const int *)arg, listening, fd;
	struct client client;
	struct rig_address name, peer = {.length = sizeof(peer.name)};
	knit_task *task;

	listening = rig_listening(family, 1, &client.to);
	client.fd = rig_bound(family, SOCK_STREAM);
	name = rig_name(client.fd);
	task = knit_create_task(connect_to, &client);
	fd = knit_sock_accept(listening, RIG_NAME(&peer), &peer.length);
	cr_assert_geq(fd, 0, "%s", knit_errname(fd));
	cr_assert_eq(knit_await(task), 0);

	cr_assert_eq(peer.length, name.length);
	cr_assert_eq(memcmp(&peer.name, &name.name, name.length), 0, "the peer's address is wrong");
	cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	cr_assert_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	rig_close_all((int[]){listening, client.fd, fd}, 3);
	return 0;
}

Test(io_stream, a_connection_is_made_and_accepted_with_the_peers_address)
{
	on_each_family(connects);
}

static intptr_t accepts_without_address(void *arg)
{
	struct rig_address to, little = {.length = 4};
	int listening = rig_listening(*(const int *)arg, 2, &to), clients[2], fds[2];

	clients[0] = rig_connected(&to);
	clients[1] = rig_connected(&to);
	fds[0] = knit_sock_accept(listening, NULL, NULL);
	cr_assert_geq(fds[0], 0);
	/* The address is cut to the room there is, and its true size told. */
	memset(&little.name, 0x5a, sizeof(little.name));
	fds[1] = knit_sock_accept(listening, RIG_NAME(&little), &little.length);
	cr_assert_geq(fds[1], 0);
	cr_assert_eq(((unsigned char *)&little.name)[4], 0x5a);
	cr_assert_eq(little.length, rig_name(clients[1]).length);
	rig_close_all(clients, 2);
	rig_close_all(fds, 2);
	close(listening);
	return 0;
}

Test(io_stream, accept_takes_no_address_or_as_much_of_it_as_there_is_room)
{
	on_each_family(accepts_without_address);
}

static intptr_t is_refused(void *arg)
{
	struct rig_address gone;
	int family = *(const int *)arg, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	close(rig_listening(family, 1, &gone));
	cr_assert_eq(knit_sock_connect(fd, RIG_NAME(&gone), gone.length), -ECONNREFUSED);
	close(fd);
	return 0;
}

Test(io_stream, connect_to_nobody_is_refused)
{
	on_each_family(is_refused);
}

static intptr_t connect_errors(void *arg)
{
	struct sockaddr_un nowhere = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
	struct rig_address to;
	int listening = rig_listening(AF_INET, 1, &to), pair[2], fd;

	(void)arg;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(knit_sock_connect(fd, (struct sockaddr *)&nowhere, sizeof(nowhere)), -ENOENT);
	close(fd);
	rig_pair(AF_INET, pair);
	cr_assert_eq(knit_sock_connect(pair[0], RIG_NAME(&to), to.length), -EISCONN);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(knit_sock_connect(fd, RIG_NAME(&to), 1), -EINVAL);
	cr_assert_eq(knit_sock_connect(fd, NULL, to.length), -EFAULT);
	close(fd);
	fd = rig_file();
	cr_assert_eq(knit_sock_connect(fd, RIG_NAME(&to), to.length), -ENOTSOCK);
	cr_assert_eq(knit_sock_accept(fd, NULL, NULL), -ENOTSOCK);
	cr_assert_eq(knit_sock_accept(pair[0], NULL, NULL), -EINVAL, "it does not listen");
	close(fd);
	rig_close_all(pair, 2);
	close(listening);
	return 0;
}

Test(io_stream, errors_of_connect_and_accept_come_out_as_they_are)
{
	rig_run(connect_errors, NULL);
}

/* ---- recv and sendall ---- */

static intptr_t moves_bytes(void *arg)
{
	static const size_t sizes[] = {1, 2, 1000, 4096, 65537};
	static char out[65537], in[65537 + 1];
	int pair[2];

	rig_pair(*(const int *)arg, pair);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 31 + i / 251);
	for (size_t i = 0; i < KN_ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[i], got = 0;

		memset(in, 0x5a, sizeof(in));
		cr_assert_eq(knit_sock_sendall(pair[0], out, size), (intptr_t)size);
		while (got < size) {
			intptr_t n = knit_sock_recv(pair[1], in + got, size - got);

			cr_assert_gt(n, 0, "%s", knit_errname((int)n));
			got += (size_t)n;
		}
		cr_assert_eq(memcmp(in, out, size), 0);
		cr_assert_eq(in[size], 0x5a);
	}
	rig_close_all(pair, 2);
	return 0;
}

Test(io_stream, what_is_sent_is_received)
{
	on_each_family(moves_bytes);
}

static intptr_t receives_what_is_there(void *arg)
{
	char buffer[100] = "";
	int pair[2];

	rig_pair(*(const int *)arg, pair);
	cr_assert_eq(send(pair[0], "abcdef", 6, 0), 6);
	cr_assert_eq(knit_sock_recv(pair[1], buffer, 2), 2);
	cr_assert_eq(knit_sock_recv_into(pair[1], buffer + 2, 98), 4);
	cr_assert_str_eq(buffer, "abcdef");
	close(pair[0]);
	cr_assert_eq(knit_sock_recv(pair[1], buffer, 100), 0, "the end");
	cr_assert_eq(knit_sock_recv(pair[1], buffer, 100), 0, "and again");
	close(pair[1]);
	return 0;
}

Test(io_stream, recv_returns_what_there_is_and_0_at_the_end)
{
	on_each_family(receives_what_is_there);
}

static intptr_t waits_for_data(void *arg)
{
	char buffer[8] = "";
	int pair[2];
	struct rig_call call = {.make = rig_recv, .buffer = buffer, .size = sizeof(buffer)};
	knit_task *task;

	rig_pair(*(const int *)arg, pair);
	call.fd = pair[1];
	task = rig_start(&call);
	rig_yield(20);
	cr_assert_not(call.done, "there is nothing to receive yet");
	cr_assert_eq(rig_in_flight(), 1);
	cr_assert_eq(send(pair[0], "hello", 5, 0), 5);
	rig_finish(task);
	cr_assert_eq(call.result, 5);
	cr_assert_str_eq(buffer, "hello");
	rig_close_all(pair, 2);
	return 0;
}

Test(io_stream, recv_waits_for_the_first_byte)
{
	on_each_family(waits_for_data);
}

static intptr_t non_blocking(void *arg)
{
	struct rig_address at;
	char buffer[8];
	int pair[2], client;
	struct rig_call call = {.make = rig_recv, .buffer = buffer, .size = sizeof(buffer)};
	knit_task *task;

	rig_pair(*(const int *)arg, pair);
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	call.fd = pair[1];
	task = rig_start(&call);
	rig_yield(20);
	cr_assert_not(call.done, "%s", knit_errname((int)call.result));
	cr_assert_eq(send(pair[0], "x", 1, 0), 1);
	rig_finish(task);
	cr_assert_eq(call.result, 1);
	cr_assert_eq(fcntl(pair[1], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	rig_close_all(pair, 2);

	call = (struct rig_call){.make = rig_accept,
	                         .fd = rig_listening(*(const int *)arg, 1, &at)};
	fcntl(call.fd, F_SETFL, O_NONBLOCK);
	task = rig_start(&call);
	rig_yield(20);
	cr_assert_not(call.done, "%s", knit_errname((int)call.result));
	client = rig_connected(&at);
	rig_finish(task);
	cr_assert_geq(call.result, 0);
	rig_close_all((int[]){call.fd, client, (int)call.result}, 3);
	return 0;
}

Test(io_stream, a_non_blocking_socket_waits_all_the_same_and_stays_as_it_is)
{
	on_each_family(non_blocking);
}

static intptr_t size_zero(void *arg)
{
	char byte = 'x';
	int pair[2];

	rig_pair(*(const int *)arg, pair);
	cr_assert_eq(knit_sock_sendall(pair[0], &byte, 0), 0);
	cr_assert_eq(knit_sock_sendall(pair[0], NULL, 0), 0);
	cr_assert_eq(send(pair[0], "y", 1, 0), 1);
	cr_assert_eq(knit_sock_recv(pair[1], &byte, 0), 0);
	cr_assert_eq(byte, 'x');
	cr_assert_eq(knit_sock_recv(pair[1], &byte, 1), 1, "size 0 took nothing");
	rig_close_all(pair, 2);
	return 0;
}

Test(io_stream, size_0_moves_nothing)
{
	on_each_family(size_zero);
}

/* More than 32 bits can say: the kernel is asked for what it moves at most, not for the low
 * half of the number. */
static intptr_t size_huge(void *arg)
{
	char buffer[16] = "";
	int pair[2];

	rig_pair(*(const int *)arg, pair);
	cr_assert_eq(send(pair[0], "abc", 3, 0), 3);
	cr_assert_eq(knit_sock_recv(pair[1], buffer, (size_t)1 << 32), 3);
	cr_assert_eq(send(pair[0], "def", 3, 0), 3);
	cr_assert_eq(knit_sock_recv(pair[1], buffer + 3, ((size_t)1 << 32) + 1), 3);
	cr_assert_str_eq(buffer, "abcdef");
	rig_close_all(pair, 2);
	return 0;
}

Test(io_stream, a_size_beyond_32_bits_is_clamped)
{
	on_each_family(size_huge);
}

/* ---- a peer that is gone ---- */

/* The process lives on: SIGPIPE has its default action here. */
static intptr_t sends_to_nobody(void *arg)
{
	char byte = 'x';
	int pair[2];
	intptr_t r = 1;

	rig_pair(*(const int *)arg, pair);
	close(pair[1]);
	/* TCP learns of it by the answer to the first byte. */
	for (int i = 0; i < 1000 && r == 1; i++)
		r = knit_sock_sendall(pair[0], &byte, 1);
	cr_assert(r == -EPIPE || r == -ECONNRESET, "%s", knit_errname((int)r));
	cr_assert_eq(knit_sock_sendall(pair[0], &byte, 1), -EPIPE);
	close(pair[0]);
	return 0;
}

Test(io_stream, sendall_to_a_closed_peer_is_EPIPE_and_no_signal)
{
	on_each_family(sends_to_nobody);
}

static intptr_t is_reset(void *arg)
{
	const struct linger at_once = {.l_onoff = 1};
	char byte;
	int pair[2];

	(void)arg;
	rig_pair(AF_INET, pair);
	cr_assert_eq(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(pair[1]);
	cr_assert_eq(knit_sock_recv(pair[0], &byte, 1), -ECONNRESET);
	close(pair[0]);
	return 0;
}

Test(io_stream, recv_from_a_peer_that_reset_the_connection_says_so)
{
	rig_run(is_reset, NULL);
}

static intptr_t shuts_down(void *arg)
{
	char buffer[8];
	int pair[2], fd;
	struct rig_call call = {.make = rig_recv, .buffer = buffer, .size = sizeof(buffer)};
	knit_task *task;

	rig_pair(*(const int *)arg, pair);
	cr_assert_eq(knit_sock_sendall(pair[0], "bye", 3), 3);
	cr_assert_eq(knit_sock_shutdown(pair[0], SHUT_WR), 0);
	cr_assert_eq(knit_sock_recv(pair[1], buffer, 8), 3);
	cr_assert_eq(knit_sock_recv(pair[1], buffer, 8), 0);
	cr_assert_eq(knit_sock_sendall(pair[0], "more", 4), -EPIPE);
	/* The other direction works, until it is shut down under a waiting call. */
	cr_assert_eq(knit_sock_sendall(pair[1], "still", 5), 5);
	cr_assert_eq(knit_sock_recv(pair[0], buffer, 8), 5);
	call.fd = pair[0];
	task = rig_start(&call);
	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(knit_sock_shutdown(pair[0], SHUT_RDWR), 0);
	rig_finish(task);
	cr_assert_eq(call.result, 0);

	cr_assert_eq(knit_sock_shutdown(pair[1], 77), -EINVAL);
	fd = rig_file();
	cr_assert_eq(knit_sock_shutdown(fd, SHUT_WR), -ENOTSOCK);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(knit_sock_shutdown(fd, SHUT_WR), -ENOTCONN);
	close(fd);
	rig_close_all(pair, 2);
	return 0;
}

Test(io_stream, shutdown_ends_one_direction_or_both)
{
	on_each_family(shuts_down);
}
