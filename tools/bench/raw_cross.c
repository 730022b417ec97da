/* SPDX-License-Identifier: MIT */
/* raw_cross.c - two threads on two CPUs that wake each other in turn, for a second.
 *
 * A thread waits in a ring, on an armed read of its eventfd or for a message from the other
 * ring; or it does not wait and looks at a word without end. */
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "raw.h"

#define RING_ENTRIES 64
#define ALONE        _Alignas(128) /* two cache lines: the prefetcher fetches pairs */
#define PING         7             /* user data of a message from the other ring */
#define OWN_SEND     1             /* of our message to it, completed only on failure */
/* Looking at the clock costs a part of what a round of spinning does. */
#define SPIN_ROUNDS 64

static enum raw_wake wake_by;
static int event_fd[2];
static uint64_t event_value[2];
static struct io_uring ring[2];
static ALONE atomic_int turn;
static ALONE atomic_int stop;
static pthread_barrier_t ready;

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	errno = -r;
	bench_die(what);
}

static void arm_read(int self)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring[self]);
	io_uring_prep_read(sqe, event_fd[self], &event_value[self], sizeof(event_value[0]), 0);
}

/* Waits for a completion. Its user data, or 0 if there was none after all. */
static uint64_t wait_in_ring(int self)
{
	struct io_uring_cqe *cqe;
	uint64_t data;

	must(io_uring_submit_and_wait(&ring[self], 1), "io_uring_submit_and_wait");
	if (io_uring_peek_cqe(&ring[self], &cqe) != 0)
		return 0;
	must(cqe->res, "completion");
	data = cqe->user_data;
	io_uring_cqe_seen(&ring[self], cqe);
	return data;
}

static void wait_for_turn(int self)
{
	switch (wake_by) {
	case RAW_WAKE_EVENTFD:
		wait_in_ring(self);
		arm_read(self);
		break;
	case RAW_WAKE_MSG_RING:
		while (wait_in_ring(self) != PING)
			;
		break;
	case RAW_WAKE_SPIN:
		while (atomic_load_explicit(&turn, memory_order_acquire) != self)
			pause_cpu();
		break;
	}
}

static void wake_other(int self)
{
	uint64_t one = 1;
	struct io_uring_sqe *sqe;

	switch (wake_by) {
	case RAW_WAKE_EVENTFD:
		if (write(event_fd[!self], &one, sizeof(one)) != (ssize_t)sizeof(one))
			bench_die("write");
		break;
	case RAW_WAKE_MSG_RING: /* leaves with the next wait */
		sqe = io_uring_get_sqe(&ring[self]);
		io_uring_prep_msg_ring(sqe, ring[!self].ring_fd, 0, PING, 0);
		sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
		sqe->user_data = OWN_SEND;
		break;
	case RAW_WAKE_SPIN:
		atomic_store_explicit(&turn, !self, memory_order_release);
		break;
	}
}

static void set_up(int self)
{
	bench_pin((unsigned)self);
	if (wake_by != RAW_WAKE_SPIN)
		must(io_uring_queue_init(RING_ENTRIES, &ring[self],
		                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN),
		     "io_uring_queue_init");
	if (wake_by == RAW_WAKE_EVENTFD) {
		arm_read(self);
		must(io_uring_submit(&ring[self]), "io_uring_submit");
	}
	pthread_barrier_wait(&ready);
}

static void *answer(void *argument)
{
	(void)argument;
	set_up(1);
	for (;;) {
		wait_for_turn(1);
		int is_last = atomic_load(&stop);
		wake_other(1);
		if (!is_last)
			continue;
		if (wake_by == RAW_WAKE_MSG_RING)
			must(io_uring_submit(&ring[1]), "io_uring_submit");
		return NULL;
	}
}

struct rounds {
	uint64_t count, wall_ns, cpu_ns;
};

static int ping(enum raw_wake by, struct rounds *rounds)
{
	pthread_t thread;
	uint64_t begun_ns, now_ns, cpu_ns, count = 0;

	if (by == RAW_WAKE_SPIN && bench_cpus() < 2)
		return bench_skip("needs two CPUs"); /* or a hand-over lasts a time slice */
	wake_by = by;
	for (int i = 0; i < 2; i++) {
		event_fd[i] = eventfd(0, EFD_CLOEXEC);
		if (event_fd[i] < 0)
			bench_die("eventfd");
	}
	pthread_barrier_init(&ready, NULL, 2);
	must(-pthread_create(&thread, NULL, answer, NULL), "pthread_create");
	set_up(0);
	cpu_ns = bench_cpu_ns();
	begun_ns = now_ns = bench_now_ns();
	do {
		wake_other(0);
		wait_for_turn(0);
		count++;
		if (by != RAW_WAKE_SPIN || count % SPIN_ROUNDS == 0)
			now_ns = bench_now_ns();
	} while (now_ns - begun_ns < bench_counts.ping_ns);
	*rounds = (struct rounds){
	        .count = count,
	        .wall_ns = now_ns - begun_ns,
	        .cpu_ns = bench_cpu_ns() - cpu_ns,
	};
	atomic_store(&stop, 1);
	wake_other(0);
	wait_for_turn(0);
	pthread_join(thread, NULL);
	return 0;
}

int raw_pingpong(const struct workload *workload, double *ret_value)
{
	struct rounds rounds;
	int r = ping((enum raw_wake)workload->argument, &rounds);
	if (r == 0)
		*ret_value = (double)rounds.wall_ns / (double)rounds.count / 1000;
	return r;
}

int raw_pingpong_cpu(const struct workload *workload, double *ret_value)
{
	struct rounds rounds;
	int r = ping((enum raw_wake)workload->argument, &rounds);
	if (r == 0)
		*ret_value = (double)rounds.cpu_ns / (double)rounds.count / 1000;
	return r;
}
