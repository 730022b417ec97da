/* SPDX-License-Identifier: MIT */
/* test_enters.c - an echo server of 64 connections makes no more system calls than a bare ring.
 *
 * The clients stand in the same thread: each round sends a request on every connection, and lets
 * the server run until all are answered. So both sides meet the same kernel with the same work,
 * and what is counted does not depend on time. */
#include <liburing.h>
#include <sys/socket.h>
#include <unistd.h>
#include "loop/loop.h"
#include "test.h"
#include <knit.h>

#define CONNECTIONS 64
#define ROUNDS      100
#define SIZE        64
#define PATIENCE    10000 /* looks at a round before it is given up */

static int server[CONNECTIONS], client[CONNECTIONS];
static unsigned answered; /* bytes of this round */

static void open_connections(void)
{
	for (int i = 0; i < CONNECTIONS; i++) {
		int pair[2];

		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		server[i] = pair[0];
		client[i] = pair[1];
	}
}

static void send_requests(void)
{
	static const char request[SIZE];

	answered = 0;
	for (int i = 0; i < CONNECTIONS; i++)
		cr_assert_eq(send(client[i], request, SIZE, 0), SIZE);
}

static bool all_answered(void)
{
	char answer[SIZE];

	for (int i = 0; i < CONNECTIONS; i++) {
		ssize_t n = recv(client[i], answer, SIZE, MSG_DONTWAIT);

		answered += n > 0 ? (unsigned)n : 0;
	}
	return answered == CONNECTIONS * SIZE;
}

/* ---- knit ---- */

static intptr_t serve(void *arg)
{
	char buffer[SIZE];
	intptr_t n;

	while ((n = knit_sock_recv(*(int *)arg, buffer, SIZE)) > 0)
		if (knit_sock_sendall(*(int *)arg, buffer, (size_t)n) < n)
			break;
	return 0;
}

static void one_round(void)
{
	int looks = 0;

	send_requests();
	do {
		cr_assert_lt(looks++, PATIENCE);
		cr_assert_eq(knit_sleep(0), 0);
	} while (!all_answered());
}

static uint64_t enters(void)
{
	struct kn_engine_counters counters;

	kn_engine_counters(kn_self.loop->engine, &counters);
	return counters.enters;
}

static intptr_t count_knit(void *arg)
{
	uint64_t before;

	(void)arg;
	for (int i = 0; i < CONNECTIONS; i++)
		cr_assert_eq(knit_spawn(serve, &server[i]), 0);
	one_round();
	before = enters();
	for (int i = 0; i < ROUNDS; i++)
		one_round();
	before = enters() - before;
	for (int i = 0; i < CONNECTIONS; i++)
		shutdown(client[i], SHUT_WR);
	return (intptr_t)before;
}

/* ---- a bare ring ---- */

static struct io_uring ring;
static char buffers[CONNECTIONS][SIZE];

static void queue(int i, bool sends)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	cr_assert_not_null(sqe);
	if (sends)
		io_uring_prep_send(sqe, server[i], buffers[i], SIZE, MSG_NOSIGNAL | MSG_WAITALL);
	else
		io_uring_prep_recv(sqe, server[i], buffers[i], SIZE, 0);
	sqe->user_data = (uint64_t)i << 1 | sends;
}

/* One system call, and what it brought. */
static void turn(void)
{
	struct io_uring_cqe *cqes[4 * CONNECTIONS];
	unsigned count;

	cr_assert_geq(io_uring_submit_and_wait(&ring, 1), 0);
	count = io_uring_peek_batch_cqe(&ring, cqes, KN_ARRAY_SIZE(cqes));
	for (unsigned i = 0; i < count; i++) {
		cr_assert_eq(cqes[i]->res, SIZE);
		queue((int)(cqes[i]->user_data >> 1), !(cqes[i]->user_data & 1));
	}
	io_uring_cq_advance(&ring, count);
}

static unsigned one_bare_round(void)
{
	unsigned turns = 0;

	send_requests();
	do {
		cr_assert_lt(turns, PATIENCE);
		turn();
		turns++;
	} while (!all_answered());
	return turns;
}

static unsigned count_bare(void)
{
	struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
	                                          IORING_SETUP_DEFER_TASKRUN};
	unsigned turns = 0;

	if (io_uring_queue_init_params(256, &ring, &params) < 0)
		test_skip("no ring with deferred task work");
	for (int i = 0; i < CONNECTIONS; i++)
		queue(i, false);
	one_bare_round();
	for (int i = 0; i < ROUNDS; i++)
		turns += one_bare_round();
	io_uring_queue_exit(&ring);
	return turns;
}

Test(enters, an_echo_server_enters_the_kernel_no_more_often_than_a_bare_ring)
{
	intptr_t mine, bare;

	if (test_scale(0, 0, 0, 1))
		test_skip("under valgrind the engine waits otherwise");
	open_connections();
	bare = count_bare();
	mine = knit_run(count_knit, NULL);
	cr_assert_gt(mine, 0);
	cr_expect_leq(mine, bare, "%ld enters for %d requests, a bare ring makes %ld", (long)mine,
	              ROUNDS * CONNECTIONS, (long)bare);
}
