/* SPDX-License-Identifier: MIT */
/* data.c - see data.h. */
#include "data.h"

void data_guard(struct data_guarded *guarded)
{
	memset(guarded, RACE_CANARY, sizeof(*guarded));
}

void data_check_guards(const struct data_guarded *guarded, intptr_t n)
{
	size_t got = n > 0 ? (size_t)n : 0;

	race_untouched(guarded->before, sizeof(guarded->before));
	race_untouched(guarded->buffer + got, DATA_ROOM - got);
	race_untouched(guarded->after, sizeof(guarded->after));
}

/* ---- receiving ---- */

static intptr_t receive(struct race *race)
{
	struct data_race *data = data_of(race);
	size_t size = rig_random(&race->random) % DATA_ROOM + 1;
	struct data_guarded guarded;
	intptr_t n;

	data_guard(&guarded);
	n = knit_sock_recv(race->fd, guarded.buffer, size);
	cr_assert(n == -KNIT_ECANCELLED || n > 0, "%s", knit_errname((int)n));
	data_check_guards(&guarded, n);
	if (n > 0) {
		race_check(guarded.buffer, data->done, (size_t)n);
		data->done += (uint64_t)n;
	}
	/* Nor is it later, while this frame lives on. */
	data_guard(&guarded);
	race->seen += race_reuse_stack() == -KNIT_ECANCELLED;
	data_check_guards(&guarded, 0);
	return n;
}

static void send_some(struct race *race)
{
	struct data_race *data = data_of(race);
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

void data_race_recv(int family, long wanted, void (*before)(struct race *race))
{
	struct data_race data = {.race = {.once = receive, .peer = send_some, .before = before}};
	int pair[2];

	rig_pair(family, pair);
	data.race.fd = pair[0];
	data.race.peer_fd = pair[1];
	race_run(&data.race, wanted);
	shutdown(pair[1], SHUT_WR);
	check_rest(&data);
	rig_close_all(pair, 2);
}

/* ---- sending ---- */

static intptr_t transmit(struct race *race)
{
	struct data_race *data = data_of(race);
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
	struct data_race *data = data_of(race);
	unsigned char buffer[5000];
	size_t size = rig_random(&race->peer_random) % sizeof(buffer) + 1;
	ssize_t n = recv(race->peer_fd, buffer, size, MSG_DONTWAIT);

	if (n > 0) {
		race_check(buffer, data->peer, (size_t)n);
		data->peer += (uint64_t)n;
	}
}

void data_race_sendall(int family, long wanted, void (*before)(struct race *race))
{
	struct data_race data = {.race = {.once = transmit, .peer = read_some, .before = before}};
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
