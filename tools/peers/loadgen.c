/* SPDX-License-Identifier: MIT */
/* loadgen.c - load for every server alike: epoll, one thread.
 *
 * loadgen PEER PORT C S DEPTH SECONDS (echo|churn) SERVER_PID
 * echo : C connections, each keeps DEPTH requests of S bytes outstanding.
 * churn: C slots, each: connect, one S-byte request, close with RST (SO_LINGER 0: no TIME_WAIT
 *        build-up, so the rate is not bounded by the port range).
 * It polls without sleeping, so that the server, not the wake-up of the client, sets the pace.
 * The server's CPU is the growth of sum(/proc/PID/task/TID/schedstat) over the window. */
#include "common.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define SUB 64
static uint64_t hist[64 * SUB], total;
static void rec(uint64_t ns)
{
	int b = ns < SUB ? 0 : 63 - __builtin_clzll(ns) - 5;
	hist[b * SUB + (b ? (ns >> b) & (SUB - 1) : ns)]++;
	total++;
}
static double pct(double p)
{
	uint64_t want = (uint64_t)(p * (double)total), a = 0;
	for (int i = 0; i < 64 * SUB; i++) {
		a += hist[i];
		if (a > want) {
			int b = i / SUB;
			return (double)((uint64_t)(i % SUB) << b) / 1000;
		}
	}
	return 0;
}
typedef struct {
	int fd;
	unsigned got, head;
	uint64_t t[16];
} conn;
static conn *cs;
static int C, S, D, ep, port, churn;
static uint64_t done;
static struct sockaddr_in sa;
static char out[16 * 4096 + 64], in[262144];

static void die(const char *m)
{
	perror(m);
	exit(1);
}
static void send_all(int fd, size_t n)
{
	ssize_t w = send(fd, out, n, MSG_NOSIGNAL);
	if (w != (ssize_t)n)
		die("send");
}
static void open_slot(int i)
{
	int one = 1;
	struct linger lg = {1, 0};
	conn *c = &cs[i];
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	c->t[0] = now_ns();
	c->got = 0;
	c->head = 0;
	if (connect(c->fd, (struct sockaddr *)&sa, sizeof sa))
		die("connect"); /* loopback: completes at once */
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = (unsigned)i};
	epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}
/* Opens all connections and sends the first requests on each. */
static void open_all(void)
{
	ep = epoll_create1(0);
	cs = calloc((size_t)C, sizeof *cs);
	sa = (struct sockaddr_in){.sin_family = AF_INET,
	                          .sin_port = htons((uint16_t)port),
	                          .sin_addr = {htonl(INADDR_LOOPBACK)}};
	memset(out, 'x', sizeof out);
	for (int i = 0; i < C; i++)
		open_slot(i);
	usleep(30000);
	for (int i = 0; i < C; i++) {
		uint64_t n = now_ns();
		for (int k = 0; k < D; k++)
			cs[i].t[k] = n;
		send_all(cs[i].fd, (size_t)S * (size_t)D);
	}
}
/* What has come on slot @i is answered with as many new requests. */
static void on_ready(int i)
{
	conn *c = &cs[i];
	ssize_t r = recv(c->fd, in, sizeof in, MSG_DONTWAIT);
	if (r < 0 && errno == EAGAIN)
		return;
	if (r <= 0) {
		fprintf(stderr, "server closed\n");
		exit(1);
	}
	c->got += (unsigned)r;
	unsigned k = c->got / (unsigned)S;
	c->got -= k * (unsigned)S;
	if (!k)
		return;
	uint64_t now = now_ns();
	for (unsigned j = 0; j < k; j++) {
		rec(now - c->t[c->head]);
		c->t[c->head] = now;
		c->head = (c->head + 1) % (unsigned)D;
	}
	done += k;
	if (churn) {
		close(c->fd);
		open_slot(i);
		send_all(c->fd, (size_t)S);
	} else
		send_all(c->fd, k * (unsigned)S);
}
/* Polls until @stop. It spins: the client's CPU never halts. */
static void drive_until(uint64_t stop)
{
	static struct epoll_event ev[1024];
	uint64_t last = now_ns(), now;
	while ((now = now_ns()) < stop) {
		int n = epoll_wait(ep, ev, 1024, 0);
		if (n > 0)
			last = now;
		else if (now - last > 3000000000ull) {
			fprintf(stderr, "stalled\n");
			exit(1);
		}
		for (int i = 0; i < n; i++)
			on_ready((int)ev[i].data.u32);
	}
}
int main(int argc, char **argv)
{
	if (argc < 9)
		return 2;
	const char *peer = argv[1];
	port = atoi(argv[2]);
	C = atoi(argv[3]);
	S = atoi(argv[4]);
	D = atoi(argv[5]);
	double secs = atof(argv[6]);
	int pid = atoi(argv[8]);
	churn = is(argv[7], "churn");
	if (C < 1 || S < 1 || S > 4096 || D < 1 || D > 16)
		return 2;
	pin(1);
	open_all();
	drive_until(now_ns() + 200000000ull); /* warm-up */
	memset(hist, 0, sizeof hist);
	total = 0;
	uint64_t c0 = cpu_of(pid), n0 = done, t0 = now_ns();
	drive_until(t0 + (uint64_t)(secs * 1e9));
	double req = (double)(done - n0), el = (double)(now_ns() - t0) / 1e9,
	       sc = (double)(cpu_of(pid) - c0);
	char w[64];
	if (churn)
		snprintf(w, sizeof w, "W10_churn_C%d", C);
	else
		snprintf(w, sizeof w, "W8_echo_C%d_S%d%s", C, S, D > 1 ? "_D16" : "");
	printf("%s %s.rate %.0f req/s\n%s %s.cpu %.4f us-cpu/req\n%s %s.p50 %.1f us\n%s %s.p99 "
	       "%.1f us\n%s %s.p999 %.1f us\n",
	       peer, w, req / el, peer, w, sc / req / 1000, peer, w, pct(.5), peer, w, pct(.99),
	       peer, w, pct(.999));
	printf("%s %s.srvbusy %.0f %%\n", peer, w, sc / el / 1e7);
	return 0;
}
