/* SPDX-License-Identifier: MIT */
/* test_threads.c - engines of several threads: what one sends through the kernel the other
 * may read, and ThreadSanitizer is told so. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "rig.h"

/* Not atomic on purpose: the messages order the accesses. */
struct ball {
	long value;
};

struct player {
	int fd;
	bool serves;
	long rounds;
};

static void pass_on(struct kn_engine *engine, int fd, struct ball *ball)
{
	struct probe sending = probe_buffer(KN_OP_SEND, fd, &ball, sizeof(ball));

	ball->value++;
	cr_assert_eq(probe_run(engine, &sending), (int)sizeof(ball));
}

static void *play(void *arg)
{
	struct player *player = arg;
	struct kn_engine *engine = rig_engine(0, 0);
	struct ball *ball = NULL;

	if (player->serves) {
		ball = calloc(1, sizeof(*ball));
		pass_on(engine, player->fd, ball);
	}
	for (long i = 0; i < player->rounds; i++) {
		struct probe receiving = probe_buffer(KN_OP_RECV, player->fd, &ball, sizeof(ball));

		cr_assert_eq(probe_run(engine, &receiving), (int)sizeof(ball));
		cr_assert_eq(ball->value, 2 * i + (player->serves ? 2 : 1));
		if (player->serves && i == player->rounds - 1)
			break;
		pass_on(engine, player->fd, ball);
	}
	if (player->serves)
		free(ball);
	rig_free(engine);
	return NULL;
}

Test(engine_threads, what_crosses_the_kernel_is_ordered)
{
	struct player players[2];
	pthread_t threads[2];
	long rounds = test_scale(20000, 5000, 5000, 200);
	int fds[2];

	rig_socketpair(fds);
	for (int i = 0; i < 2; i++) {
		players[i] = (struct player){fds[i], i == 0, rounds};
		cr_assert_eq(pthread_create(&threads[i], NULL, play, &players[i]), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	close(fds[0]);
	close(fds[1]);
}

static void *make_and_break(void *arg)
{
	long rounds = *(long *)arg;

	for (long i = 0; i < rounds; i++) {
		struct kn_engine *engine = rig_engine(8, 16);
		struct probe probes[20];
		int done = 0;

		for (int j = 0; j < 20; j++) {
			probes[j] = probe_of(KN_OP_NOP, -1);
			probes[j].counter = &done;
			probe_submit(engine, &probes[j]);
		}
		rig_pump(engine, &done, 20);
		rig_free(engine);
	}
	return NULL;
}

/* Rings come to lie where others' rings were. */
Test(engine_threads, engines_come_and_go_in_many_threads)
{
	long rounds = test_scale(200, 100, 100, 10);
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, make_and_break, &rounds), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

/* A thread that ends with its engine open and idle: it is freed by another afterwards. */
static void *leave_open(void *arg)
{
	struct kn_engine **ret = arg;
	struct probe nop = probe_of(KN_OP_NOP, -1);

	*ret = rig_engine(0, 0);
	cr_assert_eq(probe_run(*ret, &nop), 0);
	return NULL;
}

Test(engine_threads, an_engine_outlives_its_thread)
{
	int before = test_open_fds();

	for (int i = 0; i < 20; i++) {
		struct kn_engine *engine = NULL;
		pthread_t thread;

		cr_assert_eq(pthread_create(&thread, NULL, leave_open, &engine), 0);
		pthread_join(thread, NULL);
		rig_free(engine);
	}
	cr_assert_eq(test_open_fds(), before);
}

/* Used from the wrong thread the kernel refuses, and that is told. */
static void *use_foreign(void *arg)
{
	struct kn_engine *engine = arg;
	static struct probe nop;

	nop = probe_of(KN_OP_NOP, -1);
	probe_submit(engine, &nop);
	cr_assert_lt(kn_engine_enter(engine, true, INT64_MAX), 0);
	return NULL;
}

Test(engine_threads, a_foreign_thread_is_refused)
{
	static struct kn_engine *engine; /* reachable: it cannot be freed */
	pthread_t thread;

	engine = rig_engine(0, 0);
	cr_assert_eq(pthread_create(&thread, NULL, use_foreign, engine), 0);
	pthread_join(thread, NULL);
}
