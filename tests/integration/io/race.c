/* SPDX-License-Identifier: MIT */
/* race.c - see race.h. */
#include "race.h"

#define ROUNDS_MAX 100000000
#define LAG_MAX    4

unsigned char race_byte(uint64_t position)
{
	return (unsigned char)(position * 131 + position / 257);
}

void race_fill(unsigned char *buffer, uint64_t position, size_t size)
{
	for (size_t i = 0; i < size; i++)
		buffer[i] = race_byte(position + i);
}

void race_check(const unsigned char *buffer, uint64_t position, size_t size)
{
	for (size_t i = 0; i < size; i++)
		cr_assert_eq(buffer[i], race_byte(position + i), "byte %llu is wrong",
		             (unsigned long long)(position + i));
}

void race_untouched(const unsigned char *buffer, size_t size)
{
	for (size_t i = 0; i < size; i++)
		cr_assert_eq(buffer[i], RACE_CANARY, "written %zu bytes into %p", i,
		             (const void *)buffer);
}

__attribute__((noinline)) int race_reuse_stack(void)
{
	unsigned char area[600];
	volatile unsigned char *written = area;
	int r;

	for (size_t i = 0; i < sizeof(area); i++)
		written[i] = RACE_CANARY;
	r = knit_sleep(0);
	race_untouched(area, sizeof(area));
	return r;
}

/* The call, and two suspensions after it, so that a request which stayed pending comes out. */
static intptr_t play_round(void *arg)
{
	struct race *race = arg;
	intptr_t r = race->once(race);

	race->seen += r == -KNIT_ECANCELLED;
	race->succeeded += !knit_is_error(r);
	for (int i = 0; i < 2; i++)
		race->seen += race_reuse_stack() == -KNIT_ECANCELLED;
	return 0;
}

/* A signal may come in between. */
static void take(sem_t *semaphore)
{
	while (sem_wait(semaphore) < 0)
		;
}

/* A round more for the peer, at the same time as ours. */
static void let_peer_go(struct race *race)
{
	sem_post(&race->go);
	for (race->lag++; race->lag > LAG_MAX; race->lag--)
		take(&race->done);
}

static intptr_t play(void *arg)
{
	struct race *race = arg;

	if (race->before)
		race->before(race);
	while (race->cancelled < race->wanted || race->succeeded < race->wanted) {
		knit_task *task = knit_create_task(play_round, race);
		int accepted;

		cr_assert_not_null(task);
		cr_assert_lt(race->rounds++, ROUNDS_MAX, "it is no race: %ld cancelled, %ld not",
		             race->cancelled, race->succeeded);
		race->seen = 0;
		let_peer_go(race);
		rig_yield(1 + (int)(rig_random(&race->random) % 5));
		accepted = knit_task_cancel(task, "race");
		if (rig_random(&race->random) % 8 == 0)
			knit_task_cancel(task, "again");
		cr_assert_eq(knit_await(task), 0);
		cr_assert_eq(race->seen, accepted, "round %ld", race->rounds);
		race->cancelled += accepted;
	}
	for (; race->lag; race->lag--)
		take(&race->done);
	if (race->after)
		race->after(race);
	return 0;
}

static void *run_peer(void *arg)
{
	struct race *race = arg;

	for (;;) {
		take(&race->go);
		if (race->stop)
			return NULL;
		race->peer(race);
		sem_post(&race->done);
	}
}

static void start_peer(struct race *race)
{
	race->random = 1;
	race->peer_random = 2;
	sem_init(&race->go, 0, 0);
	sem_init(&race->done, 0, 0);
	cr_assert_eq(pthread_create(&race->thread, NULL, run_peer, race), 0);
}

static void stop_peer(struct race *race)
{
	race->stop = true;
	sem_post(&race->go);
	cr_assert_eq(pthread_join(race->thread, NULL), 0);
	sem_destroy(&race->go);
	sem_destroy(&race->done);
}

void race_run(struct race *race, long wanted)
{
	race->wanted = wanted;
	start_peer(race);
	rig_run(play, race);
	stop_peer(race);
}
