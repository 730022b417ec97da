/* SPDX-License-Identifier: MIT */
/* test_race_data.c - cancellation against data: no byte is lost, told twice, or written late.
 *
 * L1: "Cancel is a request; only the target's completion ends the operation": the buffers lie on
 * the stack, surrounded and filled by canaries, and the stack is used again at once. */
#include <fcntl.h>
#include "race.h"

struct data_race {
	struct race race;
	uint64_t done; /* bytes or datagrams that the loop's side has accounted for */
	uint64_t peer; /* that the peer has */
};

static struct data_race *of(struct race *race)
{
	return (struct data_race *)race;
}

/* ---- receiving ---- */

#define ROOM 48

/* What lies around a buffer on the stack. */
struct guarded {
	unsigned char before[32], buffer[ROOM], after[32];
};

static void guard(struct guarded *guarded)
{
	memset(guarded, RACE_CANARY, sizeof(*guarded));
}

/* @n bytes were received, or none; beyond them nothing was written. */
static void check_guards(const struct guarded *guarded, intptr_t n)
{
	size_t got = n > 0 ? (size_t)n : 0;

	race_untouched(guarded->before, sizeof(guarded->before));
	race_untouched(guarded->buffer + got, ROOM - got);
	race_untouched(guarded->after, sizeof(guarded->after));
}

static intptr_t receive(struct race *race)
{
	struct data_race *data = of(race);
	size_t size = rig_random(&race->random) % ROOM + 1;
	struct guarded guarded;
	intptr_t n;

	guard(&guarded);
	n = knit_sock_recv(race->fd, guarded.buffer, size);
	cr_assert(n == -KNIT_ECANCELLED || n > 0, "%s", knit_errname((int)n));
	check_guards(&guarded, n);
	if (n > 0) {
		race_check(guarded.buffer, data->done, (size_t)n);
		data->done += (uint64_t)n;
	}
	/* Nor is it later, while this frame lives on. */
	guard(&guarded);
	race->seen += race_reuse_stack() == -KNIT_ECANCELLED;
	check_guards(&guarded, 0);
	return n;
}

static void send_some(struct race *race)
{
	struct data_race *data = of(race);
	unsigned char buffer[100];
	size_t size = rig_random(&race->peer_random) % sizeof(buffer) + 1;
	ssize_t n;

	race_fill(buffer, data->peer, size);
	n = send(race->peer_fd, buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		data->peer += (uint64_t)n;
}

/* What is left in the socket, up to the end, is the rest of what was sent. */
static void check_rest(struct data_race *data)
{
	unsigned char buffer[4096];
	ssize_t n;

	while ((n = recv(data->race.fd, buffer, sizeof(buffer), 0)) > 0) {
		race_check(buffer, data->done, (size_t)n);
		data->done += (uint64_t)n;
	}
	cr_assert_eq(data->done, data->peer, "bytes were lost");
}

static void race_recv(int family, long wanted)
{
	struct data_race data = {.race = {.once = receive, .peer = send_some}};
	int pair[2];

	rig_pair(family, pair);
	data.race.fd = pair[0];
	data.race.peer_fd = pair[1];
	race_run(&data.race, wanted);
	shutdown(pair[1], SHUT_WR);
	check_rest(&data);
	rig_close_all(pair, 2);
}

Test(io_race, recv_loses_no_byte_to_a_cancellation)
{
	race_recv(AF_UNIX, rig_rounds(3000, 1000, 500, 30));
	race_recv(AF_INET, rig_rounds(3000, 1000, 500, 30));
}

/* ---- sending ---- */

static intptr_t transmit(struct race *race)
{
	struct data_race *data = of(race);
	unsigned char buffer[8000];
	size_t size = rig_random(&race->random) % sizeof(buffer) + 1;
	intptr_t n;

	race_fill(buffer, data->done, size);
	n = knit_sock_sendall(race->fd, buffer, size);
	cr_assert(n == -KNIT_ECANCELLED || n > 0, "%s", knit_errname((int)n));
	/* Used again at once: what the kernel took, it took before. */
	memset(buffer, RACE_CANARY, sizeof(buffer));
	race->seen += race_reuse_stack() == -KNIT_ECANCELLED;
	race_untouched(buffer, sizeof(buffer));
	if (n > 0) {
		cr_assert_leq(n, (intptr_t)size);
		data->done += (uint64_t)n;
	}
	return n;
}

static void read_some(struct race *race)
{
	struct data_race *data = of(race);
	unsigned char buffer[5000];
	size_t size = rig_random(&race->peer_random) % sizeof(buffer) + 1;
	ssize_t n = recv(race->peer_fd, buffer, size, MSG_DONTWAIT);

	if (n > 0) {
		race_check(buffer, data->peer, (size_t)n);
		data->peer += (uint64_t)n;
	}
}

static void race_sendall(int family, long wanted)
{
	struct data_race data = {.race = {.once = transmit, .peer = read_some}};
	unsigned char buffer[4096];
	int pair[2];
	ssize_t n;

	rig_pair(family, pair);
	rig_narrow(pair[0], 1);
	data.race.fd = pair[0];
	data.race.peer_fd = pair[1];
	race_run(&data.race, wanted);
	shutdown(pair[0], SHUT_WR);
	while ((n = recv(pair[1], buffer, sizeof(buffer), 0)) > 0) {
		race_check(buffer, data.peer, (size_t)n);
		data.peer += (uint64_t)n;
	}
	cr_assert_eq(data.done, data.peer, "it said %llu, %llu arrived",
	             (unsigned long long)data.done, (unsigned long long)data.peer);
	rig_close_all(pair, 2);
}

Test(io_race, sendall_tells_each_byte_once_in_spite_of_cancellations)
{
	race_sendall(AF_UNIX, rig_rounds(3000, 1000, 500, 30));
	race_sendall(AF_INET, rig_rounds(3000, 1000, 500, 30));
}

/* ---- datagrams ---- */

static intptr_t receive_datagram(struct race *race)
{
	struct data_race *data = of(race);
	struct rig_address from = {.length = sizeof(from.name)};
	struct guarded guarded;
	uint64_t number = 0;
	intptr_t n;

	guard(&guarded);
	n = knit_sock_recvfrom(race->fd, guarded.buffer, ROOM, RIG_NAME(&from), &from.length);
	cr_assert(n == -KNIT_ECANCELLED || n == sizeof(number), "%s", knit_errname((int)n));
	check_guards(&guarded, n);
	if (n > 0) {
		memcpy(&number, guarded.buffer, sizeof(number));
		cr_assert_eq(number, data->done, "a datagram was lost");
		cr_assert_gt(from.length, sizeof(sa_family_t));
		data->done++;
	}
	memset(&from, RACE_CANARY, sizeof(from));
	race->seen += race_reuse_stack() == -KNIT_ECANCELLED;
	race_untouched((unsigned char *)&from, sizeof(from));
	return n;
}

static void send_datagram(struct race *race)
{
	struct data_race *data = of(race);

	if (send(race->peer_fd, &data->peer, sizeof(data->peer), MSG_DONTWAIT) > 0)
		data->peer++;
}

Test(io_race, recvfrom_loses_no_datagram_to_a_cancellation)
{
	struct data_race data = {.race = {.once = receive_datagram, .peer = send_datagram}};
	long wanted = rig_rounds(3000, 1000, 500, 30);
	struct rig_address at;
	uint64_t number;

	/* Unix datagrams are not dropped by the kernel. */
	data.race.fd = rig_bound(AF_UNIX, SOCK_DGRAM);
	data.race.peer_fd = rig_bound(AF_UNIX, SOCK_DGRAM);
	at = rig_name(data.race.fd);
	cr_assert_eq(connect(data.race.peer_fd, RIG_NAME(&at), at.length), 0);
	race_run(&data.race, wanted);
	while (recv(data.race.fd, &number, sizeof(number), MSG_DONTWAIT) > 0)
		cr_assert_eq(number, data.done++);
	cr_assert_eq(data.done, data.peer);
	close(data.race.fd);
	close(data.race.peer_fd);
}

/* ---- pipes, which are files to the kernel ---- */

static intptr_t read_pipe(struct race *race)
{
	struct data_race *data = of(race);
	struct guarded guarded;
	intptr_t n;

	guard(&guarded);
	n = knit_read(race->fd, guarded.buffer, ROOM, -1);
	cr_assert(n == -KNIT_ECANCELLED || n > 0, "%s", knit_errname((int)n));
	check_guards(&guarded, n);
	if (n > 0) {
		race_check(guarded.buffer, data->done, (size_t)n);
		data->done += (uint64_t)n;
	}
	return n;
}

static void write_pipe(struct race *race)
{
	struct data_race *data = of(race);
	unsigned char buffer[60];
	size_t size = rig_random(&race->peer_random) % sizeof(buffer) + 1;
	ssize_t n;

	race_fill(buffer, data->peer, size);
	n = write(race->peer_fd, buffer, size);
	if (n > 0)
		data->peer += (uint64_t)n;
}

Test(io_race, read_loses_no_byte_of_a_pipe_to_a_cancellation)
{
	struct data_race data = {.race = {.once = read_pipe, .peer = write_pipe}};
	long wanted = rig_rounds(3000, 1000, 500, 30);
	int ends[2];

	rig_pipe(ends);
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	data.race.fd = ends[0];
	data.race.peer_fd = ends[1];
	race_run(&data.race, wanted);
	cr_assert_eq(data.done + rig_drain(ends[0]), data.peer);
	rig_close_all(ends, 2);
}
