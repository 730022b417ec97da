/* SPDX-License-Identifier: MIT */
/* raw_srv.c - reference servers: raw_srv (epoll|uring|uring1) (echo|http) PORT
 *
 * uring: multishot accept, multishot recv with a provided buffer ring, one send in flight a
 * connection. uring1: single-shot recv, then single-shot send, as a coroutine library would
 * issue them. Both are bare rings with nothing around them: what the kernel asks for at least. */
#include "common.h"
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define MAXFD 20000
#define BSZ   4096
#define NBUF  1024
static int http;
static char respN[64 * sizeof HTTP_RESP];
#define RL ((int)sizeof HTTP_RESP - 1)

static int listen_on(int port, int nb)
{
	int fd = socket(AF_INET, SOCK_STREAM | (nb ? SOCK_NONBLOCK : 0), 0), one = 1;
	struct sockaddr_in a = {.sin_family = AF_INET,
	                        .sin_port = htons((uint16_t)port),
	                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
	           sizeof one); /* inherited by accepted sockets */
	if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096)) {
		perror("listen");
		exit(1);
	}
	return fd;
}
static int hst[MAXFD];

static void srv_epoll(int port)
{
	int l = listen_on(port, 1), ep = epoll_create1(0);
	static struct epoll_event ev[512];
	static char buf[65536];
	struct epoll_event e = {.events = EPOLLIN, .data.fd = l};
	epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);
	for (;;) {
		int n = epoll_wait(ep, ev, 512, -1);
		for (int i = 0; i < n; i++) {
			int fd = ev[i].data.fd;
			if (fd == l) {
				int c;
				while ((c = accept4(l, 0, 0, SOCK_NONBLOCK)) >= 0) {
					e.events = EPOLLIN;
					e.data.fd = c;
					hst[c] = 0;
					epoll_ctl(ep, EPOLL_CTL_ADD, c, &e);
				}
				continue;
			}
			ssize_t r = recv(fd, buf, sizeof buf, 0);
			if (r <= 0) {
				if (r < 0 && errno == EAGAIN)
					continue;
				close(fd);
				continue;
			}
			char *p = buf;
			if (http) {
				int k = http_heads(buf, r, &hst[fd]);
				r = (k > 64 ? 64 : k) * RL;
				p = respN;
			}
			while (r > 0) {
				ssize_t w = send(fd, p, (size_t)r, MSG_NOSIGNAL);
				if (w < 0) {
					if (errno != EAGAIN)
						break;
					struct pollfd pf = {fd, POLLOUT, 0};
					poll(&pf, 1, -1);
					continue;
				}
				p += w;
				r -= w;
			}
		}
	}
}

static struct io_uring ring;
enum { ACC, REC, SND, CLO };
#define UD(op, bid, fd) \
	(((uint64_t)(op) << 56) | ((uint64_t)(bid) << 32) | (uint64_t)(unsigned)(fd))
static struct io_uring_sqe *sqe(void)
{
	struct io_uring_sqe *s = io_uring_get_sqe(&ring);
	while (!s) {
		io_uring_submit(&ring);
		s = io_uring_get_sqe(&ring);
	}
	return s;
}
static void ring_init(void)
{
	struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER |
	                                     IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
	                            .cq_entries = 8192};
	if (io_uring_queue_init_params(2048, &ring, &p)) {
		perror("io_uring");
		exit(1);
	}
}
static void accept_ms(int l)
{
	struct io_uring_sqe *s = sqe();
	io_uring_prep_multishot_accept(s, l, 0, 0, 0);
	s->user_data = UD(ACC, 0, l);
}

static struct io_uring_buf_ring *br;
static char *bufs;
static int blen[NBUF], bnext[NBUF], pend[MAXFD], ptail[MAXFD], closing[MAXFD];
static void recv_ms(int fd)
{
	struct io_uring_sqe *s = sqe();
	io_uring_prep_recv_multishot(s, fd, 0, 0, 0);
	s->flags |= IOSQE_BUFFER_SELECT;
	s->buf_group = 0;
	s->user_data = UD(REC, 0, fd);
}
static void give(int bid, int off)
{
	io_uring_buf_ring_add(br, bufs + (size_t)bid * BSZ, BSZ, (unsigned short)bid, NBUF - 1,
	                      off);
}
static void send_head(int fd)
{
	int b = pend[fd];
	struct io_uring_sqe *s = sqe();
	if (http)
		io_uring_prep_send(s, fd, respN, (size_t)blen[b], MSG_NOSIGNAL | MSG_WAITALL);
	else
		io_uring_prep_send(s, fd, bufs + (size_t)b * BSZ, (size_t)blen[b],
		                   MSG_NOSIGNAL | MSG_WAITALL);
	s->user_data = UD(SND, b, fd);
}
static void do_close(int fd)
{
	struct io_uring_sqe *s = sqe();
	io_uring_prep_close(s, fd);
	s->user_data = UD(CLO, 0, 0);
}

static unsigned ret, nre; /* buffers to give back; descriptors to receive on again */
static int rearm[8192];
static void on_recv(int fd, int res, unsigned fl)
{
	if (fl & IORING_CQE_F_BUFFER) {
		int b = (int)(fl >> IORING_CQE_BUFFER_SHIFT), len = res;
		if (http && res > 0) {
			int k = http_heads(bufs + (size_t)b * BSZ, res, &hst[fd]);
			len = (k > 64 ? 64 : k) * RL;
		}
		if (len > 0 && !closing[fd]) {
			blen[b] = len;
			bnext[b] = -1;
			if (pend[fd] < 0) {
				pend[fd] = ptail[fd] = b;
				send_head(fd);
			} else {
				bnext[ptail[fd]] = b;
				ptail[fd] = b;
			}
		} else {
			give(b, (int)ret++);
		}
	}
	if (res == -ENOBUFS)
		rearm[nre++] = fd;
	else if (res <= 0) {
		closing[fd] = 1;
		if (pend[fd] < 0)
			do_close(fd);
	} else if (!(fl & IORING_CQE_F_MORE))
		rearm[nre++] = fd;
}
static void on_cqe(int l, uint64_t u, int res, unsigned fl)
{
	int fd = (int)(uint32_t)u, b = (int)((u >> 32) & 0xffff);
	switch (u >> 56) {
	case ACC:
		if (res >= 0) {
			pend[res] = -1;
			closing[res] = 0;
			hst[res] = 0;
			recv_ms(res);
		}
		if (!(fl & IORING_CQE_F_MORE))
			accept_ms(l);
		break;
	case REC:
		on_recv(fd, res, fl);
		break;
	case SND:
		pend[fd] = bnext[b];
		give(b, (int)ret++);
		if (pend[fd] >= 0)
			send_head(fd);
		else if (closing[fd])
			do_close(fd);
		break;
	}
}
static void buffers_init(void)
{
	struct io_uring_buf_reg reg = {.ring_entries = NBUF, .bgid = 0};
	if (posix_memalign((void **)&br, 4096, NBUF * sizeof(struct io_uring_buf)) ||
	    posix_memalign((void **)&bufs, 4096, (size_t)NBUF * BSZ))
		exit(1);
	reg.ring_addr = (uint64_t)(uintptr_t)br;
	if (io_uring_register_buf_ring(&ring, &reg, 0)) {
		perror("buf_ring");
		exit(1);
	}
	io_uring_buf_ring_init(br);
	for (int i = 0; i < NBUF; i++)
		give(i, i);
	io_uring_buf_ring_advance(br, NBUF);
}
static void srv_uring(int port)
{
	int l = listen_on(port, 0);
	ring_init();
	buffers_init();
	memset(pend, -1, sizeof pend);
	accept_ms(l);
	static struct io_uring_cqe *cq[1024];
	for (;;) {
		io_uring_submit_and_wait(&ring, 1);
		unsigned n;
		nre = 0;
		while ((n = io_uring_peek_batch_cqe(&ring, cq, 1024))) {
			for (unsigned i = 0; i < n; i++)
				on_cqe(l, cq[i]->user_data, cq[i]->res, cq[i]->flags);
			io_uring_cq_advance(&ring, n);
			io_uring_buf_ring_advance(br, (int)ret);
			ret = 0;
		}
		for (unsigned i = 0; i < nre; i++)
			if (!closing[rearm[i]])
				recv_ms(rearm[i]);
	}
}

static char *cb[MAXFD];
static void recv_1(int fd, size_t sz)
{
	struct io_uring_sqe *s = sqe();
	io_uring_prep_recv(s, fd, cb[fd], sz, 0);
	s->user_data = UD(REC, 0, fd);
}
static void srv_uring1(int port)
{
	int l = listen_on(port, 0);
	const size_t SZ = 16384;
	ring_init();
	accept_ms(l);
	static struct io_uring_cqe *cq[1024];
	for (;;) {
		io_uring_submit_and_wait(&ring, 1);
		unsigned n = io_uring_peek_batch_cqe(&ring, cq, 1024);
		for (unsigned i = 0; i < n; i++) {
			uint64_t u = cq[i]->user_data;
			int res = cq[i]->res;
			unsigned fl = cq[i]->flags;
			int op = (int)(u >> 56), fd = (int)(uint32_t)u;
			if (op == ACC) {
				if (res >= 0) {
					hst[res] = 0;
					if (!cb[res])
						cb[res] = malloc(SZ);
					recv_1(res, SZ);
				}
				if (!(fl & IORING_CQE_F_MORE))
					accept_ms(l);
			} else if (op == REC) {
				if (res <= 0) {
					do_close(fd);
					continue;
				}
				char *p = cb[fd];
				int len = res;
				if (http) {
					int k = http_heads(p, res, &hst[fd]);
					len = (k > 64 ? 64 : k) * RL;
					p = respN;
				}
				if (!len) {
					recv_1(fd, SZ);
					continue;
				}
				struct io_uring_sqe *s = sqe();
				io_uring_prep_send(s, fd, p, (size_t)len,
				                   MSG_NOSIGNAL | MSG_WAITALL);
				s->user_data = UD(SND, 0, fd);
			} else if (op == SND) {
				if (res < 0)
					do_close(fd);
				else
					recv_1(fd, SZ);
			}
		}
		io_uring_cq_advance(&ring, n);
	}
}
int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	http = is(argv[2], "http");
	for (int i = 0; i < 64; i++)
		memcpy(respN + i * RL, HTTP_RESP, (size_t)RL);
	if (is(argv[1], "epoll"))
		srv_epoll(atoi(argv[3]));
	else if (is(argv[1], "uring"))
		srv_uring(atoi(argv[3]));
	else
		srv_uring1(atoi(argv[3]));
	return 0;
}
