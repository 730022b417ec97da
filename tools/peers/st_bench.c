/* SPDX-License-Identifier: MIT */
/* st_bench.c - State Threads: st_bench W1|W2|W3 N|W4 | echo PORT */
#include "common.h"
#include <errno.h>
#include <signal.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <st.h>
#include <sys/socket.h>
#define P "state-threads"
static long left;
static void *yf(void *a)
{
	(void)a;
	for (int i = 0; i < N_YIELD / 2; i++)
		st_usleep(0);
	return 0;
}
static void *nop(void *a)
{
	(void)a;
	return 0;
}
static void *idle(void *a)
{
	(void)a;
	left--;
	st_sleep(3600);
	return 0;
}
static uint64_t seed = SEED;
static void *slp(void *a)
{
	(void)a;
	st_usleep((st_utime_t)(1 + rnd_(&seed) % 1000) * 1000);
	left--;
	return 0;
}
static void *sess(void *a)
{
	st_netfd_t f = a;
	char b[16384];
	for (;;) {
		ssize_t n = st_read(f, b, sizeof b, ST_UTIME_NO_TIMEOUT);
		if (n <= 0 || st_write(f, b, (size_t)n, ST_UTIME_NO_TIMEOUT) < 0)
			break;
	}
	st_netfd_close(f);
	return 0;
}
int main(int argc, char **argv)
{
	const char *w = argc > 1 ? argv[1] : "";
	signal(SIGPIPE, SIG_IGN);
	uint64_t t;
	st_set_eventsys(ST_EVENTSYS_ALT); /* epoll */
	if (st_init())
		return 1;
	if (is(w, "W1")) {
		t = cpu_ns();
		st_thread_t a = st_thread_create(yf, 0, 1, 0), b = st_thread_create(yf, 0, 1, 0);
		st_thread_join(a, 0);
		st_thread_join(b, 0);
		emit(P, "W1_yield", (double)(cpu_ns() - t) / N_YIELD, "ns");
	} else if (is(w, "W2")) {
		t = cpu_ns();
		for (int i = 0; i < N_SPAWN; i++)
			st_thread_join(st_thread_create(nop, 0, 1, 65536), 0);
		emit(P, "W2_spawn_join", (double)(cpu_ns() - t) / N_SPAWN, "ns");
		int n = 20000; /* two mappings per stack: 100k would pass vm.max_map_count */
		st_thread_t *v = malloc(sizeof *v * (size_t)n);
		for (int r = 0; r < 2; r++) {
			t = cpu_ns();
			for (int i = 0; i < n; i++)
				if (!(v[i] = st_thread_create(nop, 0, 1, 65536))) {
					fprintf(stderr, "create failed at %d\n", i);
					return 1;
				}
			for (int i = 0; i < n; i++)
				st_thread_join(v[i], 0);
			emit(P, r ? "W2b_spawn_batch_warm" : "W2b_spawn_batch_cold",
			     (double)(cpu_ns() - t) / n, "ns");
		}
	} else if (is(w, "W3")) {
		long n = atol(argv[2]), m = mem_bytes();
		left = n;
		for (long i = 0; i < n; i++)
			if (!st_thread_create(idle, 0, 0, 65536)) {
				fprintf(stderr, "create failed at %ld\n", i);
				return 1;
			}
		st_usleep(1000);
		if (left)
			return 1;
		emit(P, n == 20000 ? "W3_idle_20k" : "W3_idle_100k",
		     (double)(mem_bytes() - m) / (double)n, "B");
		_exit(0);
	} else if (is(w, "W4")) {
		int n = 20000;
		left = n;
		t = cpu_ns();
		for (int i = 0; i < n; i++)
			if (!st_thread_create(slp, 0, 0, 65536))
				return 1;
		while (left)
			st_usleep(5000);
		emit(P, "W4_sleep_task_20k", (double)(cpu_ns() - t) / n, "ns-cpu");
	} else if (is(w, "echo")) {
		int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
		struct sockaddr_in a = {.sin_family = AF_INET,
		                        .sin_port = htons((uint16_t)atoi(argv[2])),
		                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096))
			return 1;
		st_netfd_t l = st_netfd_open_socket(fd);
		for (;;) {
			st_netfd_t c = st_accept(l, 0, 0, ST_UTIME_NO_TIMEOUT);
			if (c && !st_thread_create(sess, c, 0, 65536))
				st_netfd_close(c);
		}
	}
	return 0;
}
