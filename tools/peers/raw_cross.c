/* SPDX-License-Identifier: MIT */
/* raw_cross.c - limits across two threads pinned to CPUs 0 and 1. */
#include "common.h"
#include <liburing.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <linux/futex.h>

static int efd[2];
static _Alignas(128) atomic_int turn;
static _Alignas(128) atomic_int stop;
static int mode; /* 0 blocking eventfd, 1 epoll+eventfd, 2 spin, 3 futex, 4 msg_ring, 5
                    uring+eventfd */
static struct io_uring ring[2];
static pthread_barrier_t bar;

static void ring_init(struct io_uring *r)
{
	if (io_uring_queue_init(64, r, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)) {
		perror("uring");
		exit(1);
	}
}
static uint64_t eb[2];
static void arm(int me)
{
	io_uring_prep_read(io_uring_get_sqe(&ring[me]), efd[me], &eb[me], 8, 0);
}
static int ep[2];
static void wait_me(int me)
{
	uint64_t v;
	struct io_uring_cqe *c;
	switch (mode) {
	case 0:
		if (read(efd[me], &v, 8) != 8)
			exit(1);
		break;
	case 1: {
		struct epoll_event e;
		while (epoll_wait(ep[me], &e, 1, -1) != 1) {
		}
		if (read(efd[me], &v, 8) != 8)
			exit(1);
		break;
	}
	case 2:
		while (atomic_load_explicit(&turn, memory_order_acquire) != me)
			__builtin_ia32_pause();
		break;
	case 3:
		while (atomic_load(&turn) != me)
			syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, !me, 0, 0, 0);
		break;
	case 4:
		for (;;) { /* our own send completions are skipped on success */
			if (io_uring_submit_and_wait(&ring[me], 1) < 0)
				exit(1);
			if (io_uring_peek_cqe(&ring[me], &c))
				continue;
			int u = (int)c->user_data;
			io_uring_cqe_seen(&ring[me], c);
			if (u == 7)
				break;
		}
		break;
	case 5:
		if (io_uring_submit_and_wait(&ring[me], 1) < 0)
			exit(1);
		if (io_uring_peek_cqe(&ring[me], &c))
			exit(1);
		io_uring_cqe_seen(&ring[me], c);
		arm(me);
		break;
	}
}
static void wake(int me)
{
	uint64_t one = 1;
	switch (mode) {
	case 0:
	case 1:
	case 5:
		if (write(efd[!me], &one, 8) != 8)
			exit(1);
		break;
	case 2:
		atomic_store_explicit(&turn, !me, memory_order_release);
		break;
	case 3:
		atomic_store(&turn, !me);
		syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
		break;
	case 4: {
		struct io_uring_sqe *s = io_uring_get_sqe(&ring[me]);
		io_uring_prep_msg_ring(s, ring[!me].ring_fd, 0, 7, 0);
		s->flags |= IOSQE_CQE_SKIP_SUCCESS;
		s->user_data = 1;
		break;
	}
	}
}
static void setup(int me)
{
	if (mode >= 4) {
		ring_init(&ring[me]);
		if (mode == 5) {
			arm(me);
			io_uring_submit(&ring[me]);
		}
	}
	if (mode == 1) {
		ep[me] = epoll_create1(0);
		struct epoll_event e = {.events = EPOLLIN};
		epoll_ctl(ep[me], EPOLL_CTL_ADD, efd[me], &e);
	}
	pthread_barrier_wait(&bar);
}
static void *peer(void *a)
{
	(void)a;
	pin(1);
	setup(1);
	for (;;) {
		wait_me(1);
		int s = atomic_load(&stop);
		wake(1);
		if (s) {
			if (mode == 4)
				io_uring_submit(&ring[1]);
			break;
		}
	}
	return 0;
}
static void pingpong(int m, const char *name)
{
	mode = m;
	stop = 0;
	turn = 0;
	efd[0] = eventfd(0, 0);
	efd[1] = eventfd(0, 0);
	pthread_barrier_init(&bar, 0, 2);
	pthread_t th;
	pthread_create(&th, 0, peer, 0);
	setup(0);
	uint64_t c = cpu_ns(), t = now_ns(), n = 0, e;
	do {
		wake(0);
		wait_me(0);
		n++;
	} while (((m == 2 || m == 3) && (n & 63)) || (e = now_ns()) - t < PING_NS);
	c = cpu_ns() - c;
	emit(name, "W6_pingpong", (double)(e - t) / (double)n / 1000, "us/rtt");
	emit(name, "W6_pingpong_cpu", (double)c / (double)n / 1000, "us-cpu/rtt");
	stop = 1;
	wake(0);
	wait_me(0);
	pthread_join(th, 0);
	if (m >= 4) {
		io_uring_queue_exit(&ring[0]);
		io_uring_queue_exit(&ring[1]);
	}
}
/* ---- W6b: producer posts callbacks to a consumer loop sleeping on an eventfd ---- */
typedef struct node {
	struct node *next;
	void (*fn)(void *);
	void *arg;
} node;
static _Alignas(128) _Atomic(node *) top;
static long done;
static void nop(void *a)
{
	(void)a;
	done++;
}
static int usemalloc;
static node *pool;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static struct cb {
	void (*fn)(void *);
	void *arg;
} * va, *vb;
static size_t vn, vcap, vbcap;
static int kind; /* 0 lock-free list, 1 mutex + swapped vector */
static void *producer(void *a)
{
	(void)a;
	pin(1);
	uint64_t one = 1;
	for (long i = 0; i < N_CROSS; i++) {
		if (kind == 0) {
			node *n = usemalloc ? malloc(sizeof *n) : &pool[i];
			n->fn = nop;
			n->arg = 0;
			node *o = atomic_load_explicit(&top, memory_order_relaxed);
			do
				n->next = o;
			while (!atomic_compare_exchange_weak_explicit(
			        &top, &o, n, memory_order_release, memory_order_relaxed));
			if (!o && write(efd[0], &one, 8) != 8)
				exit(1);
		} else {
			pthread_mutex_lock(&mu);
			if (vn == vcap) {
				vcap = vcap ? vcap * 2 : 1024;
				va = realloc(va, vcap * sizeof *va);
			}
			va[vn].fn = nop;
			va[vn].arg = 0;
			int w = vn++ == 0;
			pthread_mutex_unlock(&mu);
			if (w && write(efd[0], &one, 8) != 8)
				exit(1);
		}
	}
	return 0;
}
static void through(int k, int m, const char *name)
{
	kind = k;
	usemalloc = m;
	done = 0;
	top = 0;
	efd[0] = eventfd(0, 0);
	if (!k && !m) {
		pool = calloc(N_CROSS, sizeof *pool);
		memset(pool, 1, N_CROSS * sizeof *pool);
	}
	pthread_t th;
	uint64_t t = now_ns(), v;
	pthread_create(&th, 0, producer, 0);
	while (done < N_CROSS) {
		if (read(efd[0], &v, 8) != 8)
			exit(1);
		if (k == 0) {
			node *l = atomic_exchange_explicit(&top, 0, memory_order_acquire), *r = 0,
			     *x;
			while (l) {
				x = l->next;
				l->next = r;
				r = l;
				l = x;
			}
			while (r) {
				x = r->next;
				r->fn(r->arg);
				if (m)
					free(r);
				r = x;
			}
		} else {
			pthread_mutex_lock(&mu);
			struct cb *s = va;
			size_t n = vn, c = vcap;
			va = vb;
			vcap = vbcap;
			vn = 0;
			vb = s;
			vbcap = c;
			pthread_mutex_unlock(&mu);
			for (size_t i = 0; i < n; i++)
				vb[i].fn(vb[i].arg);
		}
	}
	emit(name, "W6b_post", (double)(now_ns() - t) / N_CROSS, "ns");
	pthread_join(th, 0);
}
int main(int argc, char **argv)
{
	pin(0);
	if (argc > 1 && is(argv[1], "W6b")) {
		through(0, 0, "raw-mpsc-intrusive");
		through(0, 1, "raw-mpsc-malloc");
		through(1, 0, "raw-mutex-vector");
		return 0;
	}
	pingpong(0, "raw-eventfd-blocking");
	pingpong(1, "raw-epoll-eventfd");
	pingpong(2, "raw-spin-atomics");
	pingpong(3, "raw-futex");
	pingpong(4, "raw-uring-msg_ring");
	pingpong(5, "raw-uring-eventfd");
	return 0;
}
