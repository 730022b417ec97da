/* SPDX-License-Identifier: MIT */
/* duel.c - several servers under load in turn, in slices of some milliseconds.
 *
 * duel ROUNDS MS C S DEPTH (echo|churn|http) NAME:PORT:PID...
 *
 * Where other programs run, and on virtual machines, one and the same server differs by a third
 * from second to second, but hardly from one slice to the next. So all connections to all servers
 * are open all the time, a round drives each server for MS milliseconds, and the ratios within a
 * round are what to look at. A slice ends when every request has been answered: the server sleeps
 * before and after, so its CPU time is exact, and what it had to do is whole requests.
 *
 * Prints "NAME ROUND US COUNT" lines: CPU time a request (a connection for churn), and requests. */
#include "common.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

typedef struct {
	int fd;
	unsigned got;
} conn;
typedef struct {
	const char *name;
	int port, pid, ep;
	conn *cs;
	uint64_t done;
} server;
static int C, D, churn, running;
static size_t S, R; /* bytes of a request and of its answer */
static unsigned outstanding;
static char out[16 * 4096 + 64], in[262144];
static const char GET[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

static void die(const char *m)
{
	perror(m);
	exit(1);
}
static uint64_t server_cpu(const server *v)
{
	char path[64];
	uint64_t ns = cpu_of(v->pid);
	snprintf(path, sizeof path, "/proc/%d", v->pid);
	if (!ns || access(path, F_OK))
		die(v->name);
	return ns;
}
static void ask(conn *c, unsigned count)
{
	if (send(c->fd, out, count * S, MSG_NOSIGNAL) != (ssize_t)(count * S))
		die("send");
	outstanding += count;
}
static void open_slot(server *v, int i)
{
	int one = 1;
	struct linger lg = {1, 0};
	struct sockaddr_in sa = {.sin_family = AF_INET,
	                         .sin_port = htons((uint16_t)v->port),
	                         .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = (unsigned)i};
	conn *c = &v->cs[i];
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	c->got = 0;
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(c->fd, (struct sockaddr *)&sa, sizeof sa))
		die("connect");
	epoll_ctl(v->ep, EPOLL_CTL_ADD, c->fd, &e);
}
static void open_server(server *v, char *spec)
{
	v->name = strtok(spec, ":");
	v->port = atoi(strtok(NULL, ":"));
	v->pid = atoi(strtok(NULL, ":"));
	v->ep = epoll_create1(0);
	v->cs = calloc((size_t)C, sizeof *v->cs);
	for (int i = 0; !churn && i < C; i++)
		open_slot(v, i);
}
static void on_ready(server *v, int i)
{
	conn *c = &v->cs[i];
	ssize_t r = recv(c->fd, in, sizeof in, MSG_DONTWAIT);
	if (r < 0 && errno == EAGAIN)
		return;
	if (r <= 0) {
		fprintf(stderr, "%s closed a connection\n", v->name);
		exit(1);
	}
	c->got += (unsigned)r;
	unsigned k = c->got / (unsigned)R;
	c->got -= k * (unsigned)R;
	outstanding -= k;
	v->done += k;
	if (!k)
		return;
	if (churn) {
		close(c->fd);
		c->fd = -1;
		if (running) {
			open_slot(v, i);
			ask(c, 1);
		}
	} else if (running)
		ask(c, k);
}
/* Polls without sleeping until the time is over and every answer has come. */
static void drive(server *v, uint64_t ns)
{
	static struct epoll_event ev[1024];
	uint64_t end = now_ns() + ns, now;
	running = 1;
	for (int i = 0; i < C; i++) {
		if (churn)
			open_slot(v, i);
		ask(&v->cs[i], (unsigned)D);
	}
	while (outstanding) {
		int n = epoll_wait(v->ep, ev, 1024, 0);
		now = now_ns();
		running = now < end;
		if (now > end + 3000000000ull) {
			fprintf(stderr, "%s stalled\n", v->name);
			exit(1);
		}
		for (int i = 0; i < n; i++)
			on_ready(v, (int)ev[i].data.u32);
	}
	usleep(2000); /* the server sees the last of it, and goes to sleep */
}
static void learn_answer(server *v)
{
	char *end;
	size_t n = 0;
	memcpy(out, GET, sizeof GET - 1);
	if (send(v->cs[0].fd, out, sizeof GET - 1, 0) < 0)
		die("send");
	do {
		ssize_t r = recv(v->cs[0].fd, in + n, sizeof in - 1 - n, 0);
		if (r <= 0)
			die("no answer");
		n += (size_t)r;
		in[n] = 0;
	} while (!(end = strstr(in, "\r\n\r\n")) || n < (size_t)(end - in) + 4 + 13);
	R = n;
}
int main(int argc, char **argv)
{
	if (argc < 8)
		return 2;
	int rounds = atoi(argv[1]), n = argc - 7, http = is(argv[6], "http");
	uint64_t ns = (uint64_t)(atof(argv[2]) * 1e6);
	server *v = calloc((size_t)n, sizeof *v);
	C = atoi(argv[3]);
	S = R = http ? sizeof GET - 1 : (size_t)atoi(argv[4]);
	D = atoi(argv[5]);
	churn = is(argv[6], "churn");
	if (C < 1 || S < 1 || S > 4096 || D < 1 || D > 16)
		return 2;
	pin(1);
	memset(out, 'x', sizeof out);
	for (int i = 0; http && i < 16; i++)
		memcpy(out + (size_t)i * S, GET, S);
	for (int i = 0; i < n; i++)
		open_server(&v[i], argv[7 + i]);
	usleep(30000);
	for (int r = -1; r < rounds; r++) { /* the first one warms up */
		for (int j = 0; j < n; j++) {
			server *s = &v[(r + 1 + j) % n]; /* nobody is always the first */
			if (http && r < 0)
				learn_answer(s);
			s->done = 0;
			uint64_t c = server_cpu(s);
			drive(s, ns);
			if (r >= 0)
				printf("%s %d %.4f %lu\n", s->name, r,
				       (double)(server_cpu(s) - c) / (double)s->done / 1000,
				       (unsigned long)s->done);
		}
		fflush(stdout);
	}
	return 0;
}
