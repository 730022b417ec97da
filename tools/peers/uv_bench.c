/* SPDX-License-Identifier: MIT */
/* uv_bench.c - libuv: uv_bench WORKLOAD | echo PORT | http PORT | file PATH direct(0|1) SECONDS */
#include "common.h"
#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <uv.h>
#ifndef PEER
#define PEER "libuv"
#endif
#define P PEER
static uv_loop_t *L;
static long left;

/* ---- timers ---- */
static void on_t(uv_timer_t *t)
{
	left--;
	uv_timer_stop(t);
}
static void w4(void)
{
	uint64_t s = SEED, c = cpu_ns();
	uv_timer_t *t = malloc(sizeof *t * N_TIMER);
	left = N_TIMER;
	for (int i = 0; i < N_TIMER; i++) {
		uv_timer_init(L, &t[i]);
		uv_timer_start(&t[i], on_t, 1 + rnd_(&s) % 1000, 0);
	}
	uv_run(L, UV_RUN_DEFAULT);
	if (left)
		exit(1);
	emit(P, "W4_timer_cb", (double)(cpu_ns() - c) / N_TIMER, "ns-cpu");
}
static void w4b(void)
{ /* 1000 live timers, 1000 rounds: cancel + recreate all, one loop turn */
	static uv_timer_t t[1000];
	uint64_t s = SEED;
	for (int i = 0; i < 1000; i++) {
		uv_timer_init(L, &t[i]);
		uv_timer_start(&t[i], on_t, 60000 + rnd_(&s) % 60000, 0);
	}
	uint64_t c = cpu_ns();
	for (int r = 0; r < 1000; r++) {
		for (int i = 0; i < 1000; i++) {
			uv_timer_stop(&t[i]);
			uv_timer_start(&t[i], on_t, 60000 + rnd_(&s) % 60000, 0);
		}
		uv_run(L, UV_RUN_NOWAIT);
	}
	emit(P, "W4b_cancel", (double)(cpu_ns() - c) / 1e6, "ns");
}
/* ---- W5 ---- */
static void on_idle(uv_idle_t *h)
{
	if (!--left)
		uv_idle_stop(h);
}
static void on_self(uv_async_t *h)
{
	if (--left)
		uv_async_send(h);
	else
		uv_close((uv_handle_t *)h, 0);
}
static void w5(void)
{
	uv_idle_t h;
	uv_idle_init(L, &h);
	left = N_SOON / 10;
	uv_idle_start(&h, on_idle);
	uint64_t c = cpu_ns();
	uv_run(L, UV_RUN_DEFAULT);
	emit(P "-idle", "W5_call_soon", (double)(cpu_ns() - c) / (N_SOON / 10), "ns");
	uv_async_t a;
	uv_async_init(L, &a, on_self);
	left = N_SOON / 10;
	uv_async_send(&a);
	c = cpu_ns();
	uv_run(L, UV_RUN_DEFAULT);
	emit(P "-async-self", "W5_call_soon", (double)(cpu_ns() - c) / (N_SOON / 10), "ns");
}
/* ---- W6: every loop has an async handle + a mutex queue of callbacks ---- */
typedef struct {
	uv_loop_t l;
	uv_async_t a;
	uv_mutex_t m;
	struct cb {
		void (*fn)(void *);
		void *arg;
	} * v, *w;
	size_t n, cap, wcap;
} xloop;
static xloop X[2];
static uint64_t ping_n, t_end;
static void x_post(xloop *x, void (*fn)(void *), void *arg)
{
	uv_mutex_lock(&x->m);
	if (x->n == x->cap) {
		x->cap = x->cap ? x->cap * 2 : 64;
		x->v = realloc(x->v, x->cap * sizeof *x->v);
	}
	x->v[x->n].fn = fn;
	x->v[x->n++].arg = arg;
	uv_mutex_unlock(&x->m);
	uv_async_send(&x->a);
}
static void x_drain(uv_async_t *a)
{
	xloop *x = a->data;
	uv_mutex_lock(&x->m);
	struct cb *s = x->v;
	size_t n = x->n, c = x->cap;
	x->v = x->w;
	x->cap = x->wcap;
	x->n = 0;
	x->w = s;
	x->wcap = c;
	uv_mutex_unlock(&x->m);
	for (size_t i = 0; i < n; i++)
		s[i].fn(s[i].arg);
}
static void x_init(xloop *x)
{
	uv_loop_init(&x->l);
	uv_mutex_init(&x->m);
	uv_async_init(&x->l, &x->a, x_drain);
	x->a.data = x;
}
static void hit0(void *);
static void stop1(void *a)
{
	(void)a;
	uv_stop(&X[1].l);
}
static void hit1(void *a)
{
	x_post(&X[0], hit0, a);
}
static void hit0(void *a)
{
	ping_n++;
	if (now_ns() > t_end) {
		x_post(&X[1], stop1, 0);
		uv_stop(&X[0].l);
	} else
		x_post(&X[1], hit1, a);
}
static void *other(void *a)
{
	(void)a;
	pin(1);
	uv_run(&X[1].l, UV_RUN_DEFAULT);
	return 0;
}
static void nop(void *a)
{
	(void)a;
	if (!--left)
		uv_stop(&X[0].l);
}
static void *prod(void *a)
{
	(void)a;
	pin(1);
	for (int i = 0; i < N_CROSS; i++)
		x_post(&X[0], nop, 0);
	return 0;
}
static void w6(void)
{
	pin(0);
	x_init(&X[0]);
	x_init(&X[1]);
	pthread_t th;
	pthread_create(&th, 0, other, 0);
	uint64_t t = now_ns(), c = cpu_ns();
	t_end = t + PING_NS;
	x_post(&X[1], hit1, 0);
	uv_run(&X[0].l, UV_RUN_DEFAULT);
	emit(P, "W6_pingpong", (double)(now_ns() - t) / (double)ping_n / 1000, "us/rtt");
	emit(P, "W6_pingpong_cpu", (double)(cpu_ns() - c) / (double)ping_n / 1000, "us-cpu/rtt");
	pthread_join(th, 0);
}
static void w6b(void)
{
	pin(0);
	x_init(&X[0]);
	left = N_CROSS;
	uint64_t t = now_ns();
	pthread_t th;
	pthread_create(&th, 0, prod, 0);
	uv_run(&X[0].l, UV_RUN_DEFAULT);
	emit(P, "W6b_post", (double)(now_ns() - t) / N_CROSS, "ns");
	pthread_join(th, 0);
}
/* ---- servers ---- */
static int http;
static char respN[64 * sizeof HTTP_RESP];
static char rbuf[65536];
#define RL ((int)sizeof HTTP_RESP - 1)
typedef struct {
	uv_tcp_t t;
	int st;
} conn;
typedef struct {
	uv_write_t w;
	char d[];
} wreq;
static void on_close(uv_handle_t *h)
{
	free(h);
}
static void on_wr(uv_write_t *w, int st)
{
	(void)st;
	free(w);
}
static void alloc(uv_handle_t *h, size_t n, uv_buf_t *b)
{
	(void)h;
	(void)n;
	b->base = rbuf;
	b->len = sizeof rbuf;
}
static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	if (n < 0) {
		uv_close((uv_handle_t *)s, on_close);
		return;
	}
	uv_buf_t o = uv_buf_init(b->base, (unsigned)n);
	if (http) {
		int k = http_heads(b->base, n, &((conn *)s)->st);
		o = uv_buf_init(respN, (unsigned)((k > 64 ? 64 : k) * RL));
		if (!k)
			return;
	}
	int r = uv_try_write(s, &o, 1); /* usual fast path; the rest is queued */
	if (r < 0)
		r = 0;
	if ((size_t)r < o.len) {
		wreq *w = malloc(sizeof *w + o.len);
		memcpy(w->d, o.base + r, o.len - (size_t)r);
		uv_buf_t q = uv_buf_init(w->d, (unsigned)(o.len - (size_t)r));
		uv_write(&w->w, s, &q, 1, on_wr);
	}
}
static void on_conn(uv_stream_t *l, int st)
{
	if (st < 0)
		return;
	conn *c = calloc(1, sizeof *c);
	uv_tcp_init(L, &c->t);
	if (uv_accept(l, (uv_stream_t *)&c->t)) {
		uv_close((uv_handle_t *)&c->t, on_close);
		return;
	}
	uv_tcp_nodelay(&c->t, 1);
	uv_read_start((uv_stream_t *)&c->t, alloc, on_read);
}
static void serve(int port)
{
	for (int i = 0; i < 64; i++)
		memcpy(respN + i * RL, HTTP_RESP, (size_t)RL);
	static uv_tcp_t l;
	struct sockaddr_in a;
	uv_tcp_init(L, &l);
	uv_ip4_addr("127.0.0.1", port, &a);
	if (uv_tcp_bind(&l, (struct sockaddr *)&a, 0) ||
	    uv_listen((uv_stream_t *)&l, 4096, on_conn))
		exit(1);
	uv_run(L, UV_RUN_DEFAULT);
}
/* ---- W11 ---- */
static uv_file F;
static uint64_t fseed = SEED, nread, tstop;
static char *fb;
typedef struct {
	uv_fs_t r;
	uv_buf_t b;
} freq;
static void on_fs(uv_fs_t *r)
{
	if (r->result != 4096) {
		fprintf(stderr, "read %ld\n", (long)r->result);
		exit(1);
	}
	nread++;
	uv_fs_req_cleanup(r);
	if ((nread & 63) || now_ns() < tstop) {
		freq *f = (freq *)r;
		static int stopping;
		if (stopping)
			return;
		if (!(nread & 63) && now_ns() >= tstop)
			stopping = 1;
		uv_fs_read(L, r, F, &f->b, 1, (int64_t)(rnd_(&fseed) % 262144) * 4096, on_fs);
	}
}
static void w11(const char *path, int direct, double secs)
{
	freq q[32];
	int fl = O_RDONLY | (direct ? O_DIRECT : 0);
	uv_fs_t o;
	F = uv_fs_open(L, &o, path, fl, 0, 0);
	if (posix_memalign((void **)&fb, 4096, 32 * 4096) || F < 0)
		exit(1);
	uint64_t t = now_ns(), c = cpu_ns();
	tstop = t + (uint64_t)(secs * 1e9);
	for (int i = 0; i < 32; i++) {
		q[i].b = uv_buf_init(fb + i * 4096, 4096);
		uv_fs_read(L, &q[i].r, F, &q[i].b, 1, (int64_t)(rnd_(&fseed) % 262144) * 4096,
		           on_fs);
	}
	uv_run(L, UV_RUN_DEFAULT);
	char w[64];
	snprintf(w, sizeof w, "W11_file_%s", direct ? "direct" : "cached");
	printf("%s %s.rate %.0f IOPS\n%s %s.cpu %.3f us-cpu/op\n", P, w,
	       (double)nread / ((double)(now_ns() - t) / 1e9), P, w,
	       (double)(cpu_ns() - c) / (double)nread / 1000);
}
int main(int argc, char **argv)
{
	const char *w = argc > 1 ? argv[1] : "";
	signal(SIGPIPE, SIG_IGN);
	L = uv_default_loop();
	if (is(w, "W4"))
		w4();
	else if (is(w, "W4b"))
		w4b();
	else if (is(w, "W5"))
		w5();
	else if (is(w, "W6"))
		w6();
	else if (is(w, "W6b"))
		w6b();
	else if (is(w, "echo"))
		serve(atoi(argv[2]));
	else if (is(w, "http")) {
		http = 1;
		serve(atoi(argv[2]));
	} else if (is(w, "file"))
		w11(argv[2], atoi(argv[3]), atof(argv[4]));
	return 0;
}
