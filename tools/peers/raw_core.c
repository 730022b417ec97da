/* SPDX-License-Identifier: MIT */
/* raw_core.c - limits of the single-thread workloads: a hand-written x86-64 context switch, a
 * minimal FIFO scheduler on top of it, a 4-ary timer heap, a callback ring. */
#include "common.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/epoll.h>
#define P "raw"

__asm__(".text\n.globl sw\n.type sw,@function\n.align 16\nsw:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n.size sw,.-sw\n");
void sw(void **save, void *to);
__asm__(".text\n.globl swf\n.type swf,@function\n.align 16\nswf:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "sub $8,%rsp\nstmxcsr (%rsp)\nfnstcw 4(%rsp)\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "ldmxcsr (%rsp)\nfldcw 4(%rsp)\nadd $8,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n.size swf,.-swf\n");
void swf(void **save, void *to);

/* as sw, but resumes by an indirect jump instead of ret (ret mispredicts when the
 * two sides were suspended at different call sites) */
__asm__(".text\n.globl swj\n.type swj,@function\n.align 16\nswj:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\npop %rcx\njmp *%rcx\n.size "
        "swj,.-swj\n");
void swj(void **save, void *to);

/* inline variant: the compiler saves what is live, resume by an indirect jump */
#define SWI(save, to)                                                                           \
	do {                                                                                    \
		void **s_ = (save);                                                             \
		void *t_ = (to);                                                                \
		__asm__ volatile("lea 1f(%%rip),%%rax\npush %%rbp\npush %%rax\nmov "            \
		                 "%%rsp,(%0)\nmov %1,%%rsp\n"                                   \
		                 "pop %%rax\njmp *%%rax\n1:\npop %%rbp\n"                       \
		                 : "+D"(s_), "+S"(t_)                                           \
		                 :                                                              \
		                 : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", \
		                   "r13", "r14", "r15", "memory", "cc");                        \
	} while (0)

#define STK 16384
static void *new_stack(size_t n)
{
	void *p = mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	               -1, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}
static void *mk(char *stk, size_t n, void (*f)(void))
{
	void **sp = (void **)(stk + n - 16);
	*--sp = 0; /* alignment: at entry rsp % 16 == 8 */
	*--sp = (void *)f;
	for (int i = 0; i < 6; i++)
		*--sp = 0;
	return sp;
}
static void *m_sp, *c_sp;
static void co_plain(void)
{
	for (;;)
		sw(&c_sp, m_sp);
}
static void co_fp(void)
{
	for (;;)
		swf(&c_sp, m_sp);
}
static void co_jmp(void)
{
	for (;;)
		swj(&c_sp, m_sp);
}
static void co_inl(void)
{
	for (;;)
		SWI(&c_sp, m_sp);
}

static void bare(void)
{
	uint64_t t;
	c_sp = mk(new_stack(STK), STK, co_plain);
	t = cpu_ns();
	for (int i = 0; i < N_YIELD / 2; i++)
		sw(&m_sp, c_sp);
	emit("asm-switch", "W1_bare_switch", (double)(cpu_ns() - t) / N_YIELD, "ns");
	void **sp = mk(new_stack(STK), STK, co_fp);
	*--sp = 0;
	((uint32_t *)sp)[0] = 0x1f80;
	((uint32_t *)sp)[1] = 0x37f;
	c_sp = sp;
	t = cpu_ns();
	for (int i = 0; i < N_YIELD / 2; i++)
		swf(&m_sp, c_sp);
	emit("asm-switch+fpcw", "W1_bare_switch", (double)(cpu_ns() - t) / N_YIELD, "ns");
	c_sp = mk(new_stack(STK), STK, co_jmp);
	t = cpu_ns();
	for (int i = 0; i < N_YIELD / 2; i++)
		swj(&m_sp, c_sp);
	emit("asm-switch-jmp", "W1_bare_switch", (double)(cpu_ns() - t) / N_YIELD, "ns");
	char *s = new_stack(STK);
	sp = (void **)(s + STK - 16);
	*--sp = 0;
	*--sp = (void *)co_inl;
	c_sp = sp;
	t = cpu_ns();
	for (int i = 0; i < N_YIELD / 2; i++)
		SWI(&m_sp, c_sp);
	emit("asm-switch-inline", "W1_bare_switch", (double)(cpu_ns() - t) / N_YIELD, "ns");
}

/* ---- minimal FIFO scheduler ---- */
typedef struct task {
	void *sp;
	struct task *next, *joiner;
	void (*fn)(void *);
	void *arg;
	char *stk;
	int done;
} task;
static task main_t, *cur = &main_t, *head, **tail = &head, *freelist;
static inline void ready(task *t)
{
	t->next = 0;
	*tail = t;
	tail = &t->next;
}
static inline void park(void)
{
	task *me = cur, *n = head;
	head = n->next;
	if (!head)
		tail = &head;
	if (n == me)
		return;
	cur = n;
	sw(&me->sp, n->sp);
}
static inline void yield(void)
{
	ready(cur);
	park();
}
static void entry(void)
{
	for (;;) {
		task *me = cur;
		me->fn(me->arg);
		me->done = 1;
		if (me->joiner)
			ready(me->joiner);
		park(); /* reused from the free list afterwards */
	}
}
static size_t stk_size = STK;
/* coloured variant: stacks carved 64 to a mapping, tops shifted by 0..31 cache lines, so that
 * the hot lines of many tasks do not all fall into the same cache sets */
static int coloured;
static char *slab;
static unsigned slab_n, colour;
static task *spawn(void (*fn)(void *), void *arg)
{
	task *t = freelist;
	if (t) {
		freelist = t->next;
	} else {
		char *s;
		size_t shift = 0;
		if (coloured) {
			if (!(slab_n++ & 63))
				slab = new_stack(stk_size * 64);
			s = slab;
			slab += stk_size;
			shift = (colour++ & 31) * 64;
		} else
			s = new_stack(stk_size);
		t = (task *)(s + stk_size - ((sizeof(task) + 63) & ~63ul) - shift);
		t->stk = s;
		t->sp = mk(s, (size_t)((char *)t - s), entry);
	}
	t->fn = fn;
	t->arg = arg;
	t->done = 0;
	t->joiner = 0;
	ready(t);
	return t;
}
static void join(task *t)
{
	if (!t->done) {
		t->joiner = cur;
		park();
	}
	t->next = freelist;
	freelist = t;
}
static void y_fn(void *a)
{
	(void)a;
	for (int i = 0; i < N_YIELD / 2; i++)
		yield();
}
static void nop(void *a)
{
	(void)a;
}

typedef struct {
	uint64_t *buf;
	unsigned cap, h, n;
	task *wr, *rd;
} queue;
static void q_put(queue *q, uint64_t v)
{
	while (q->n == q->cap) {
		q->wr = cur;
		park();
	}
	q->buf[(q->h + q->n++) & (q->cap - 1)] = v;
	if (q->rd) {
		ready(q->rd);
		q->rd = 0;
	}
}
static uint64_t q_get(queue *q)
{
	while (!q->n) {
		q->rd = cur;
		park();
	}
	uint64_t v = q->buf[q->h++ & (q->cap - 1)];
	q->n--;
	if (q->wr) {
		ready(q->wr);
		q->wr = 0;
	}
	return v;
}
static volatile uint64_t sink;
static void prod(void *a)
{
	for (int i = 0; i < N_QUEUE; i++)
		q_put(a, (uint64_t)i);
}
static void cons(void *a)
{
	uint64_t s = 0;
	for (int i = 0; i < N_QUEUE; i++)
		s += q_get(a);
	sink = s;
}
static void w7(unsigned cap, const char *name)
{
	queue q = {calloc(cap, 8), cap, 0, 0, 0, 0};
	uint64_t t = cpu_ns();
	task *a = spawn(prod, &q), *b = spawn(cons, &q);
	join(a);
	join(b);
	emit(P, name, (double)(cpu_ns() - t) / N_QUEUE, "ns");
}
/* ---- timers ---- */
typedef struct {
	uint64_t at;
	task *t;
} ent;
static ent *hp;
static size_t hn;
static void h_push(ent e)
{
	size_t i = hn++;
	while (i) {
		size_t p = (i - 1) / 4;
		if (hp[p].at <= e.at)
			break;
		hp[i] = hp[p];
		i = p;
	}
	hp[i] = e;
}
static ent h_pop(void)
{
	ent r = hp[0], e = hp[--hn];
	size_t i = 0;
	for (;;) {
		size_t c = i * 4 + 1, m = c;
		if (c >= hn)
			break;
		for (size_t k = c + 1; k < c + 4 && k < hn; k++)
			if (hp[k].at < hp[m].at)
				m = k;
		if (hp[m].at >= e.at)
			break;
		hp[i] = hp[m];
		i = m;
	}
	hp[i] = e;
	return r;
}
static void timer_loop(int tasks, size_t n)
{
	uint64_t seed = SEED;
	size_t fired = 0;
	int ep = epoll_create1(0);
	struct epoll_event ev;
	while (fired < n) {
		uint64_t now = now_ns();
		while (hn && hp[0].at <= now) {
			ent e = h_pop();
			fired++;
			if (tasks) {
				ready(e.t);
			}
		}
		if (tasks) {
			while (head) {
				ready(cur);
				park();
				if (head == 0)
					break;
				if (head == &main_t)
					break;
			}
		}
		if (fired >= n)
			break;
		int64_t d = (int64_t)(hp[0].at - now_ns());
		if (d > 0)
			epoll_wait(ep, &ev, 1, (int)((d + 999999) / 1000000));
	}
	close(ep);
	(void)seed;
}
static uint64_t sseed = SEED;
static size_t left;
static void sleeper(void *a)
{
	(void)a;
	ent e = {now_ns() + (1 + rnd_(&sseed) % 1000) * 1000000ull, cur};
	h_push(e);
	park();
	left--;
}
static void idle(void *a)
{
	(void)a;
	left--;
	ready(&main_t);
	park();
	park();
}

static void w1(void)
{
	bare();
	uint64_t t = cpu_ns();
	task *a = spawn(y_fn, 0), *b = spawn(y_fn, 0);
	join(a);
	join(b);
	emit(P, "W1_yield", (double)(cpu_ns() - t) / N_YIELD, "ns");
}
static void w2(const char *p)
{
	uint64_t t = cpu_ns();
	for (int i = 0; i < N_SPAWN; i++)
		join(spawn(nop, 0));
	emit(p, "W2_spawn_join", (double)(cpu_ns() - t) / N_SPAWN, "ns");
	task **v = malloc(N_BATCH * sizeof *v);
	for (int r = 0; r < 2; r++) {
		t = cpu_ns();
		for (int i = 0; i < N_BATCH; i++)
			v[i] = spawn(nop, 0);
		for (int i = 0; i < N_BATCH; i++)
			join(v[i]);
		emit(p, r ? "W2b_spawn_batch_warm" : "W2b_spawn_batch_cold",
		     (double)(cpu_ns() - t) / N_BATCH, "ns");
	}
}
static void w3(long n)
{
	left = (size_t)n;
	long m = mem_bytes();
	for (long i = 0; i < n; i++) {
		spawn(idle, 0);
		park();
	}
	if (left)
		exit(1);
	emit(P, n == 1000000 ? "W3_idle_1M" : "W3_idle_100k", (double)(mem_bytes() - m) / (double)n,
	     "B");
}
static void w4(void)
{
	hp = malloc(sizeof *hp * (N_TIMER + 1));
	uint64_t s = SEED, c = cpu_ns();
	for (int i = 0; i < N_TIMER; i++) {
		ent e = {now_ns() + (1 + rnd_(&s) % 1000) * 1000000ull, 0};
		h_push(e);
	}
	timer_loop(0, N_TIMER);
	emit(P, "W4_timer_cb", (double)(cpu_ns() - c) / N_TIMER, "ns-cpu");
}
static void w4t(const char *p)
{
	hp = malloc(sizeof *hp * (N_TIMER + 1));
	left = N_TIMER;
	uint64_t c = cpu_ns();
	for (int i = 0; i < N_TIMER; i++)
		spawn(sleeper, 0);
	ready(cur);
	park();
	timer_loop(1, N_TIMER);
	while (left) {
		ready(cur);
		park();
	}
	emit(p, "W4_sleep_task", (double)(cpu_ns() - c) / N_TIMER, "ns-cpu");
}
static void w5(void)
{
	struct {
		void (*f)(void *);
		void *a;
	} ring[64];
	unsigned h = 0, n = 1;
	ring[0].f = nop;
	ring[0].a = 0;
	uint64_t t = cpu_ns();
	for (int i = 0; i < N_SOON; i++) {
		void (*volatile f)(void *) = ring[h & 63].f;
		void *a = ring[h & 63].a;
		h++;
		f(a);
		ring[n & 63].f = f;
		ring[n & 63].a = a;
		n++;
	}
	emit(P, "W5_call_soon", (double)(cpu_ns() - t) / N_SOON, "ns");
}
int main(int argc, char **argv)
{
	const char *w = argc > 1 ? argv[1] : "W1", *p = P;
	if (is(w, "W2c") || is(w, "W4c")) {
		coloured = 1;
		p = "raw-coloured";
		w = is(w, "W2c") ? "W2" : "W4t";
	}
	if (is(w, "W1"))
		w1();
	else if (is(w, "W2"))
		w2(p);
	else if (is(w, "W3") && argc > 2)
		w3(atol(argv[2]));
	else if (is(w, "W4"))
		w4();
	else if (is(w, "W4t"))
		w4t(p);
	else if (is(w, "W5"))
		w5();
	else if (is(w, "W7")) {
		w7(1, "W7_queue_1");
		w7(128, "W7_queue_128");
	}
	return 0;
}
