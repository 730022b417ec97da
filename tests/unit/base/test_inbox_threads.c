/* SPDX-License-Identifier: MIT */
/* test_inbox_threads.c - the inbox: producers against an owner that sleeps.
 *
 * The owner sleeps in read() on an eventfd, without any limit, as a loop does. A wake-up that
 * is lost hangs the test, and the runner ends it. */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/inbox.h"
#include "test.h"

struct post {
	struct kn_inbox_node node; /* first, so that the casts below hold */
	uint32_t producer, number;
	uint8_t result;   /* enum kn_inbox_push, written by the producer */
	uint8_t received; /* how often, written by the owner */
};

static struct kn_inbox inbox;

#define PRODUCERS 4

struct producer {
	pthread_t thread;
	struct kn_inbox *to;
	struct post *posts;
	uint32_t count, number;
	uint64_t seed;
	uint32_t wakes; /* results that were KN_INBOX_WAKE */
};

static int wake_fd;
static pthread_barrier_t round_begins, is_closed, round_ends;

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Ends the test from any thread: there is nobody to unwind to. */
static void must(bool condition, const char *what)
{
	if (condition)
		return;
	(void)!write(STDERR_FILENO, what, __builtin_strlen(what));
	abort();
}

static void wake(int fd)
{
	uint64_t one = 1;

	must(write(fd, &one, sizeof(one)) == sizeof(one), "cannot write the eventfd\n");
}

/* Blocks until there was a wake-up; there must be exactly one. */
static void await_wake(int fd)
{
	uint64_t count = 0;

	must(read(fd, &count, sizeof(count)) == sizeof(count), "cannot read the eventfd\n");
	must(count == 1, "more than one wake-up\n");
}

/* Sometimes lets others run, so that the owner falls asleep; sometimes does not. */
static void dawdle(uint64_t *seed)
{
	uint64_t dice = next_random(seed) % 64;

	if (dice < 4)
		sched_yield();
	else if (dice < 8)
		for (volatile unsigned i = 0; i < dice * 50;)
			i = i + 1;
}

static void *produce(void *arg)
{
	struct producer *producer = arg;

	for (uint32_t i = 0; i < producer->count; i++) {
		struct post *post = &producer->posts[i];
		enum kn_inbox_push result;

		post->producer = producer->number;
		post->number = i;
		dawdle(&producer->seed);
		result = kn_inbox_push(producer->to, &post->node);
		/* From here on the owner may have it: the result goes elsewhere. */
		if (result == KN_INBOX_WAKE) {
			producer->wakes++;
			wake(wake_fd);
		}
		must(result != KN_INBOX_CLOSED, "refused by an open inbox\n");
	}
	return NULL;
}

static uint32_t expected_number[PRODUCERS];

static uint32_t receive(struct kn_inbox_node *list)
{
	uint32_t count = 0;

	while (list) {
		struct post *post = (struct post *)list;

		/* Read before the post may be used again. */
		list = list->next;
		must(post->number == expected_number[post->producer]++, "not in order\n");
		must(post->received++ == 0, "received twice\n");
		count++;
	}
	return count;
}

/* As a loop does it: announces sleep, sleeps until woken, or, as if a timer or a descriptor
 * had come first, does not, and then waits for the wake-up only if one is owed. True if a
 * producer woke it. */
static bool sleep_once(struct kn_inbox *in, uint64_t *seed)
{
	if (!kn_inbox_sleep(in))
		return false;
	if (next_random(seed) % 4) {
		await_wake(wake_fd);
		must(kn_inbox_awake(in), "woken, and nobody says so\n");
		return true;
	}
	dawdle(seed);
	if (!kn_inbox_awake(in))
		return false;
	await_wake(wake_fd);
	return true;
}

static uint64_t left_in(int fd)
{
	uint64_t count = 0;

	must(eventfd_write(fd, 1) == 0 && eventfd_read(fd, &count) == 0, "eventfd\n");
	return count - 1;
}

Test(inbox_threads, every_post_arrives_once_in_order_and_wakes_are_counted_exactly)
{
	static struct producer producers[PRODUCERS];
	uint32_t each = (uint32_t)test_scale(200000, 50000, 30000, 2000);
	uint32_t received = 0, woken, wakes = 0;
	uint64_t seed = 0xda3e39cb94b95bdbu;

	kn_inbox_init(&inbox);
	wake_fd = eventfd(0, EFD_CLOEXEC);
	cr_assert_geq(wake_fd, 0);
	/* Asleep before anybody runs, so that the first post wakes it for sure. */
	cr_assert(kn_inbox_sleep(&inbox));
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		producers[i] = (struct producer){
		        .to = &inbox, .count = each, .number = i, .seed = seed + i};
		producers[i].posts = calloc(each, sizeof(struct post));
		cr_assert_not_null(producers[i].posts);
		cr_assert_eq(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
	}
	await_wake(wake_fd);
	cr_assert(kn_inbox_awake(&inbox));
	woken = 1;
	for (;;) {
		received += receive(kn_inbox_take(&inbox));
		if (received == PRODUCERS * each)
			break;
		woken += sleep_once(&inbox, &seed);
	}
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		pthread_join(producers[i].thread, NULL);
		wakes += producers[i].wakes;
		free(producers[i].posts);
	}
	cr_assert_eq(wakes, woken, "wake-ups promised and wake-ups collected");
	cr_assert_eq(left_in(wake_fd), 0);
	cr_assert_not(kn_inbox_pending(&inbox));
	cr_assert_null(kn_inbox_close(&inbox));
	close(wake_fd);
}

/* ---- there and back ----------------------------------------------------------------- */

struct side {
	struct kn_inbox in;
	int fd;
	uint32_t rounds;
	struct side *peer;
	struct post post;
	bool first;
};

static void play(struct side *side)
{
	for (uint32_t i = 0; i < side->rounds; i++) {
		struct kn_inbox_node *list = NULL;

		if (!side->first || i) {
			while (!(list = kn_inbox_take(&side->in))) {
				if (!kn_inbox_sleep(&side->in))
					continue;
				await_wake(side->fd);
				must(kn_inbox_awake(&side->in), "woken by nobody\n");
			}
			must(list == &side->peer->post.node && !list->next, "not the ball\n");
			must(side->peer->post.number == i - side->first, "an old ball\n");
		}
		side->post.number = i;
		if (kn_inbox_push(&side->peer->in, &side->post.node) == KN_INBOX_WAKE)
			wake(side->peer->fd);
	}
}

static void *play_thread(void *arg)
{
	play(arg);
	return NULL;
}

Test(inbox_threads, two_threads_that_wake_each_other_never_both_sleep)
{
	static struct side sides[2];
	pthread_t thread;

	for (int i = 0; i < 2; i++) {
		kn_inbox_init(&sides[i].in);
		sides[i].fd = eventfd(0, EFD_CLOEXEC);
		cr_assert_geq(sides[i].fd, 0);
		sides[i].rounds = (uint32_t)test_scale(50000, 20000, 15000, 1000);
		sides[i].peer = &sides[!i];
	}
	sides[0].first = true;
	cr_assert_eq(pthread_create(&thread, NULL, play_thread, &sides[1]), 0);
	play(&sides[0]);
	pthread_join(thread, NULL);
	/* The last ball lies where the first player left off. */
	cr_assert_eq(kn_inbox_take(&sides[0].in), &sides[1].post.node);
	close(sides[0].fd);
	close(sides[1].fd);
}

/* ---- closing ------------------------------------------------------------------------ */

#define POSTS_A_ROUND 64

static uint32_t rounds;
static uint32_t closed_in; /* not atomic: written before the close, read by who was refused */

static void *produce_until_closed(void *arg)
{
	struct producer *producer = arg;

	for (uint32_t round = 0; round < rounds; round++) {
		bool refused = false;

		pthread_barrier_wait(&round_begins);
		for (uint32_t i = 0; i < producer->count; i++) {
			struct post *post = &producer->posts[i];

			/* In the first round all but one post come too late for sure. */
			if (round == 0 && i == 1)
				pthread_barrier_wait(&is_closed);
			dawdle(&producer->seed);
			/* Not in the post before the push: the owner may have it by then. */
			enum kn_inbox_push result = kn_inbox_push(producer->to, &post->node);
			if (result == KN_INBOX_WAKE) {
				producer->wakes++;
				wake(wake_fd);
			}
			must(!refused || result == KN_INBOX_CLOSED, "closed and open again\n");
			refused = result == KN_INBOX_CLOSED;
			must(!refused || closed_in == round, "does not see what came before\n");
			post->result = (uint8_t)result;
		}
		pthread_barrier_wait(&round_ends);
	}
	return NULL;
}

static void start_producers(struct producer *producers)
{
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		producers[i] = (struct producer){
		        .to = &inbox, .count = POSTS_A_ROUND, .number = i, .seed = 77 + i};
		producers[i].posts = calloc(POSTS_A_ROUND, sizeof(struct post));
		cr_assert_not_null(producers[i].posts);
		cr_assert_eq(pthread_create(&producers[i].thread, NULL, produce_until_closed,
		                            &producers[i]),
		             0);
	}
}

static void clear_round(struct producer *producers)
{
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		expected_number[i] = 0;
		for (uint32_t k = 0; k < POSTS_A_ROUND; k++)
			producers[i].posts[k] = (struct post){.producer = i, .number = k};
	}
}

/* What was accepted was received once, what was refused never; no wake-up is left over. */
static uint32_t check_round(struct producer *producers)
{
	uint32_t refused = 0;

	for (uint32_t i = 0; i < PRODUCERS; i++) {
		for (uint32_t k = 0; k < POSTS_A_ROUND; k++) {
			const struct post *post = &producers[i].posts[k];
			bool closed = post->result == KN_INBOX_CLOSED;

			must(post->received == !closed, "lost, or both refused and received\n");
			refused += closed;
		}
	}
	must(left_in(wake_fd) == 0, "a wake-up after the close\n");
	return refused;
}

Test(inbox_threads, a_post_that_races_with_close_is_received_or_refused)
{
	static struct producer producers[PRODUCERS];
	uint64_t seed = 0x1234567890abcdefu;
	uint32_t wakes = 0, woken = 0, partly_refused = 0;

	closed_in = UINT32_MAX;
	rounds = (uint32_t)test_scale(5000, 2000, 1500, 50);
	wake_fd = eventfd(0, EFD_CLOEXEC);
	cr_assert_geq(wake_fd, 0);
	pthread_barrier_init(&round_begins, NULL, PRODUCERS + 1);
	pthread_barrier_init(&is_closed, NULL, PRODUCERS + 1);
	pthread_barrier_init(&round_ends, NULL, PRODUCERS + 1);
	start_producers(producers);
	for (uint32_t round = 0; round < rounds; round++) {
		uint32_t most = (uint32_t)(next_random(&seed) % (PRODUCERS * POSTS_A_ROUND + 1));

		if (round == 0)
			most = PRODUCERS;
		kn_inbox_init(&inbox);
		clear_round(producers);
		pthread_barrier_wait(&round_begins);
		/* Closes when it has received so many, at the latest all. */
		for (uint32_t received = 0;;) {
			received += receive(kn_inbox_take(&inbox));
			if (received >= most)
				break;
			woken += sleep_once(&inbox, &seed);
		}
		closed_in = round;
		receive(kn_inbox_close(&inbox));
		if (round == 0)
			pthread_barrier_wait(&is_closed);
		pthread_barrier_wait(&round_ends);
		uint32_t refused = check_round(producers);
		partly_refused += refused && refused < PRODUCERS * POSTS_A_ROUND;
	}
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		pthread_join(producers[i].thread, NULL);
		wakes += producers[i].wakes;
		free(producers[i].posts);
	}
	cr_assert_eq(wakes, woken);
	cr_assert_gt(partly_refused, 0);
	pthread_barrier_destroy(&round_begins);
	pthread_barrier_destroy(&is_closed);
	pthread_barrier_destroy(&round_ends);
	close(wake_fd);
}
