/* SPDX-License-Identifier: MIT */
/* test_race_descriptors.c - cancellation against what brings descriptors: none is lost.
 *
 * L4: "Success after cancel leaks resources: descriptors from openat and accept." As many are
 * open afterwards as before; race_run() counts. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include "race.h"

/* ---- accept ---- */

#define BACKLOG 100

struct accept_race {
	struct race race;
	int family;
	struct rig_address at;
	knit_listener *listener; /* NULL: knit_sock_accept() on race.fd */
	atomic_long accepted, connected;
};

static struct accept_race *accepting(struct race *race)
{
	return (struct accept_race *)race;
}

/* Each client says its number; they arrive in order. */
static void check_client(struct accept_race *accept, int fd)
{
	long number = -1;

	cr_assert_eq(recv(fd, &number, sizeof(number), 0), sizeof(number));
	cr_assert_eq(number, atomic_fetch_add(&accept->accepted, 1), "a connection was lost");
	cr_assert_eq(close(fd), 0);
}

static intptr_t accept_one(struct race *race)
{
	struct accept_race *accept = accepting(race);
	struct rig_address peer = {.length = sizeof(peer.name)};
	int fd;

	if (accept->listener)
		fd = knit_listener_accept(accept->listener, NULL, NULL);
	else
		fd = knit_sock_accept(race->fd, RIG_NAME(&peer), &peer.length);
	cr_assert(fd >= 0 || fd == -KNIT_ECANCELLED, "%s", knit_errname(fd));
	memset(&peer, RACE_CANARY, sizeof(peer));
	race->seen += race_reuse_stack() == -KNIT_ECANCELLED;
	race_untouched((unsigned char *)&peer, sizeof(peer));
	if (fd >= 0)
		check_client(accept, fd);
	return fd;
}

static void connect_one(struct race *race)
{
	struct accept_race *accept = accepting(race);
	long number = atomic_load(&accept->connected);
	int fd;

	/* A backlog that is full would stop us, and who is to empty it waits for us. */
	if (number - atomic_load(&accept->accepted) >= BACKLOG)
		return;
	fd = rig_connected(&accept->at);
	cr_assert_eq(send(fd, &number, sizeof(number), 0), sizeof(number), "%s", strerror(errno));
	atomic_store(&accept->connected, number + 1);
	close(fd);
}

static void race_accept(int family, long wanted)
{
	struct accept_race accept = {.race = {.once = accept_one, .peer = connect_one}};
	int fd;

	accept.race.fd = rig_listening(family, 2 * BACKLOG, &accept.at);
	race_run(&accept.race, wanted);
	/* Those that nobody took are still there, and no more. */
	fcntl(accept.race.fd, F_SETFL, O_NONBLOCK);
	while (atomic_load(&accept.accepted) < atomic_load(&accept.connected)) {
		fd = accept4(accept.race.fd, NULL, NULL, SOCK_CLOEXEC);
		cr_assert_geq(fd, 0);
		check_client(&accept, fd);
	}
	cr_assert_eq(accept4(accept.race.fd, NULL, NULL, SOCK_CLOEXEC), -1);
	close(accept.race.fd);
}

Test(io_race, accept_loses_no_connection_to_a_cancellation)
{
	race_accept(AF_UNIX, rig_rounds(3000, 1000, 500, 30));
	race_accept(AF_INET, rig_rounds(1000, 300, 200, 10));
}

static void make_listener(struct race *race)
{
	struct accept_race *accept = accepting(race);

	accept->listener = knit_listener_new(
	        rig_listening(accept->family, 2 * BACKLOG, &accept->at));
	cr_assert_not_null(accept->listener);
}

static void close_listener(struct race *race)
{
	struct accept_race *accept = accepting(race);

	while (atomic_load(&accept->accepted) < atomic_load(&accept->connected)) {
		int fd = knit_listener_accept(accept->listener, NULL, NULL);

		cr_assert_geq(fd, 0);
		check_client(accept, fd);
	}
	cr_assert_eq(knit_listener_close(accept->listener), 0);
}

static void race_listener(int family, long wanted)
{
	struct accept_race accept = {.race = {.once = accept_one,
	                                      .peer = connect_one,
	                                      .before = make_listener,
	                                      .after = close_listener},
	                             .family = family};

	race_run(&accept.race, wanted);
}

Test(io_race, a_listener_loses_no_connection_to_a_cancellation)
{
	race_listener(AF_UNIX, rig_rounds(3000, 1000, 500, 30));
	race_listener(AF_INET, rig_rounds(1000, 300, 200, 10));
}

/* ---- connect ---- */

struct connect_race {
	struct race race;
	struct rig_address to;
};

static intptr_t connect_and_close(struct race *race)
{
	struct connect_race *connect = (struct connect_race *)race;
	struct rig_address to = connect->to;
	int fd = socket(to.name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	cr_assert_geq(fd, 0);
	r = knit_sock_connect(fd, RIG_NAME(&to), to.length);
	cr_assert(r == 0 || r == -KNIT_ECANCELLED, "%s", knit_errname(r));
	memset(&to, RACE_CANARY, sizeof(to));
	cr_assert_eq(knit_close(fd), 0);
	return r;
}

static void accept_all(struct race *race)
{
	int fd;

	while ((fd = accept4(race->peer_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
}

static void race_connect(int family, long wanted)
{
	struct connect_race connect = {.race = {.once = connect_and_close, .peer = accept_all}};

	/* With a small backlog a connect has to wait, and Unix sockets need a worker thread. */
	connect.race.peer_fd = rig_listening(family, family == AF_UNIX ? 1 : 100, &connect.to);
	fcntl(connect.race.peer_fd, F_SETFL, O_NONBLOCK);
	race_run(&connect.race, wanted);
	close(connect.race.peer_fd);
}

Test(io_race, connect_ends_by_a_cancellation_or_succeeds)
{
	race_connect(AF_INET, rig_rounds(1000, 300, 200, 10));
	race_connect(AF_UNIX, rig_rounds(300, 100, 50, 5));
}

/* ---- open ---- */

struct open_race {
	struct race race;
	char path[64];
};

static void nothing(struct race *race)
{
	(void)race;
}

/* With O_CREAT the kernel leaves it to a worker thread. */
static intptr_t open_and_close(struct race *race)
{
	struct open_race *open = (struct open_race *)race;
	char path[64];
	int fd;

	memcpy(path, open->path, sizeof(path));
	fd = knit_open(path, O_RDWR | (rig_random(&race->random) % 2 ? O_CREAT : 0), 0600);
	cr_assert(fd >= 0 || fd == -KNIT_ECANCELLED, "%s", knit_errname(fd));
	memset(path, RACE_CANARY, sizeof(path));
	race->seen += race_reuse_stack() == -KNIT_ECANCELLED;
	race_untouched((unsigned char *)path, sizeof(path));
	if (fd >= 0)
		cr_assert_eq(knit_close(fd), 0);
	return fd;
}

Test(io_race, open_loses_no_descriptor_to_a_cancellation)
{
	struct open_race open = {.race = {.once = open_and_close, .peer = nothing}};
	int fd;

	snprintf(open.path, sizeof(open.path), "/tmp/knit-race-XXXXXX");
	fd = mkstemp(open.path);
	cr_assert_geq(fd, 0);
	close(fd);
	race_run(&open.race, rig_rounds(2000, 700, 300, 20));
	unlink(open.path);
}

/* ---- poll ---- */

/* L6: "User data must not be reused while late completions can arrive": the operation lies at the
 * same place of the same stack each round. A cancellation meant for the one before would come
 * out as one that nobody asked for. */
static intptr_t poll_one(struct race *race)
{
	int r = knit_poll(race->fd, POLLIN);

	cr_assert(r == POLLIN || r == -KNIT_ECANCELLED, "%s", knit_errname(r));
	if (r == POLLIN && rig_random(&race->random) % 2) {
		uint64_t count;

		cr_assert_eq(read(race->fd, &count, sizeof(count)), sizeof(count));
	}
	return r;
}

static void signal_event(struct race *race)
{
	const uint64_t one = 1;

	cr_assert_eq(write(race->peer_fd, &one, sizeof(one)), sizeof(one));
}

Test(io_race, a_poll_is_never_ended_by_the_cancellation_of_another)
{
	struct race race = {.once = poll_one, .peer = signal_event};

	race.fd = race.peer_fd = eventfd(0, EFD_CLOEXEC);
	race_run(&race, rig_rounds(5000, 2000, 1000, 50));
	close(race.fd);
}
