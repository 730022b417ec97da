/* SPDX-License-Identifier: MIT */
/* test_race_data.c - cancellation against data: no byte is lost, told twice, or written late.
 *
 * L1: "Cancel is a request; only the target's completion ends the operation": the buffers lie on
 * the stack, surrounded and filled by canaries, and the stack is used again at once. */
#include <fcntl.h>
#include "data.h"

Test(io_race, recv_loses_no_byte_to_a_cancellation)
{
	data_race_recv(AF_UNIX, rig_rounds(3000, 1000, 500, 30), NULL);
	data_race_recv(AF_INET, rig_rounds(3000, 1000, 500, 30), NULL);
}

Test(io_race, sendall_tells_each_byte_once_in_spite_of_cancellations)
{
	data_race_sendall(AF_UNIX, rig_rounds(3000, 1000, 500, 30), NULL);
	data_race_sendall(AF_INET, rig_rounds(3000, 1000, 500, 30), NULL);
}

/* ---- datagrams ---- */

static intptr_t receive_datagram(struct race *race)
{
	struct data_race *data = data_of(race);
	struct rig_address from = {.length = sizeof(from.name)};
	struct data_guarded guarded;
	uint64_t number = 0;
	intptr_t n;

	data_guard(&guarded);
	n = knit_sock_recvfrom(race->fd, guarded.buffer, DATA_ROOM, RIG_NAME(&from), &from.length);
	cr_assert(n == -KNIT_ECANCELLED || n == sizeof(number), "%s", knit_errname((int)n));
	data_check_guards(&guarded, n);
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
	struct data_race *data = data_of(race);

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
	struct data_race *data = data_of(race);
	struct data_guarded guarded;
	intptr_t n;

	data_guard(&guarded);
	n = knit_read(race->fd, guarded.buffer, DATA_ROOM, -1);
	cr_assert(n == -KNIT_ECANCELLED || n > 0, "%s", knit_errname((int)n));
	data_check_guards(&guarded, n);
	if (n > 0) {
		race_check(guarded.buffer, data->done, (size_t)n);
		data->done += (uint64_t)n;
	}
	return n;
}

static void write_pipe(struct race *race)
{
	struct data_race *data = data_of(race);
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
