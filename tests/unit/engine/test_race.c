/* SPDX-License-Identifier: MIT */
/* test_race.c - cancellation against success, over and over: what the kernel took for us
 * is told, what it did not take stays where it was. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "rig.h"

#define CANARY 0xa5
#define RECENT 64

/* The buffers of the last operations, with bytes around them. After its operation has
 * completed nothing may write to a buffer any more, or ever beside it. */
struct recent {
	unsigned char bytes[RECENT][16];
	unsigned next;
};

static void recent_init(struct recent *recent)
{
	memset(recent, CANARY, sizeof(*recent));
	recent->next = 0;
}

static unsigned char *recent_take(struct recent *recent)
{
	unsigned char *row = recent->bytes[recent->next++ % RECENT];

	for (int i = 0; i < 16; i++)
		cr_assert_eq(row[i], CANARY, "written to after completion");
	return &row[4];
}

static void recent_give(unsigned char *buffer, int used)
{
	memset(buffer, CANARY, (size_t)(used > 0 ? used : 0));
}

static void recent_check(struct recent *recent)
{
	for (int i = 0; i < RECENT; i++)
		recent_give(recent_take(recent), 0);
}

/* What is left in the socket, without waiting. */
static long left_in(int fd)
{
	char spill[4096];
	long sum = 0;
	ssize_t got;

	while ((got = recv(fd, spill, sizeof(spill), MSG_DONTWAIT)) > 0)
		sum += got;
	return sum;
}

/* Each round differs in where the data and the cancellation come: before the operation,
 * between it and the enter, or after that. */
static long race_round(struct kn_engine *engine, int fds[2], struct recent *recent,
                       unsigned variant, long *sent)
{
	unsigned char *buffer = recent_take(recent);
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], buffer, 4);
	unsigned write_at = variant % 4, cancel_at = variant / 4 % 3;

	for (unsigned step = 0; step < 4; step++) {
		if (step == write_at) {
			cr_assert_eq(write(fds[1], "abc", 3), 3);
			*sent += 3;
		}
		if (step == 0)
			probe_submit(engine, &receiving);
		if (step == 1 && variant & 64)
			cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
		if (step == cancel_at + 1 && receiving.finals == 0)
			kn_engine_cancel(engine, &receiving.op);
		if (step == 2 && variant & 128) {
			cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
			kn_engine_reap(engine, 10);
		}
	}
	rig_pump(engine, &receiving.finals, 1);
	cr_assert(receiving.result > 0 || receiving.result == -ECANCELED, "%d", receiving.result);
	recent_give(buffer, receiving.result);
	return receiving.result > 0 ? receiving.result : 0;
}

Test(engine_race, no_byte_is_lost_between_data_and_cancellation)
{
	static struct recent recent;
	struct kn_engine *engine = rig_engine(0, 0);
	long rounds = test_scale(100000, 30000, 20000, 2000), sent = 0, got = 0;
	int fds[2];

	rig_socketpair(fds);
	recent_init(&recent);
	for (long i = 0; i < rounds; i++) {
		got += race_round(engine, fds, &recent, (unsigned)(i * 7), &sent);
		if (i % 256 == 0)
			got += left_in(fds[0]);
	}
	got += left_in(fds[0]);
	cr_assert_eq(got, sent);
	recent_check(&recent);
	close(fds[0]);
	close(fds[1]);
	rig_free(engine);
}

/* ---- the data from another thread ---- */

struct writer {
	int fd;
	long bytes;
};

static void *write_all(void *arg)
{
	struct writer *writer = arg;

	for (long i = 0; i < writer->bytes; i++) {
		unsigned char byte = (unsigned char)i;

		cr_assert_eq(write(writer->fd, &byte, 1), 1);
	}
	shutdown(writer->fd, SHUT_WR);
	return NULL;
}

Test(engine_race, no_byte_is_lost_when_another_thread_writes)
{
	static struct recent recent;
	struct kn_engine *engine = rig_engine(0, 0);
	struct writer writer = {.bytes = test_scale(100000, 50000, 30000, 2000)};
	pthread_t thread;
	long got = 0;
	int fds[2];
	unsigned round = 0;

	rig_socketpair(fds);
	writer.fd = fds[1];
	recent_init(&recent);
	cr_assert_eq(pthread_create(&thread, NULL, write_all, &writer), 0);
	for (;; round++) {
		unsigned char *buffer = recent_take(&recent);
		struct probe receiving = probe_buffer(KN_OP_RECV, fds[0], buffer, 1);

		probe_submit(engine, &receiving);
		if (round % 3)
			cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
		/* Not every time, or a fast canceller would leave the data no chance. */
		if (round % 4)
			kn_engine_cancel(engine, &receiving.op);
		rig_pump(engine, &receiving.finals, 1);
		if (receiving.result == 1)
			cr_assert_eq(buffer[0], (unsigned char)got++, "in order, none twice");
		recent_give(buffer, receiving.result);
		if (receiving.result == 0)
			break;
	}
	pthread_join(thread, NULL);
	cr_assert_eq(got, writer.bytes);
	recent_check(&recent);
	close(fds[0]);
	close(fds[1]);
	rig_free(engine);
}

/* ---- descriptors ---- */

Test(engine_race, no_descriptor_is_lost_between_a_client_and_cancellation)
{
	struct kn_engine *engine = rig_engine(0, 0);
	long rounds = test_scale(20000, 5000, 5000, 300), accepted = 0, cancelled = 0;
	int listener = rig_unix_listener(16), before = test_open_fds();

	for (long i = 0; i < rounds; i++) {
		struct probe accepting = probe_of(KN_OP_ACCEPT, listener);
		int client = -1;

		if (i % 3 == 0)
			client = rig_connect(listener);
		probe_submit(engine, &accepting);
		if (i % 2)
			cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
		if (i % 3 == 1)
			client = rig_connect(listener);
		kn_engine_cancel(engine, &accepting.op);
		if (i % 5 == 0)
			cr_assert_eq(kn_engine_enter(engine, false, 0), 0);
		if (i % 3 == 2)
			client = rig_connect(listener);
		rig_pump(engine, &accepting.finals, 1);
		if (accepting.result >= 0) {
			accepted++;
			close(accepting.result);
		} else {
			/* Then the client is in the backlog still. */
			cr_assert_eq(accepting.result, -ECANCELED);
			cancelled++;
			struct probe again = probe_of(KN_OP_ACCEPT, listener);
			cr_assert_geq(probe_run(engine, &again), 0);
			close(again.result);
		}
		close(client);
	}
	cr_assert_gt(accepted, 0);
	cr_assert_gt(cancelled, 0);
	cr_assert_eq(test_open_fds(), before);
	close(listener);
	rig_free(engine);
}
