/* SPDX-License-Identifier: MIT */
/* common.h - what the programs share: clocks, pinning, RSS, output. */
#ifndef PEERS_COMMON_H
#define PEERS_COMMON_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t clk_(clockid_t c)
{
	struct timespec t;
	clock_gettime(c, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
static inline uint64_t now_ns(void)
{
	return clk_(CLOCK_MONOTONIC);
}
/* CPU time of all threads of the process, user + system. Single-thread workloads are timed with
 * it too: the thread never blocks there, and time stolen by the host is left out. */
static inline uint64_t cpu_ns(void)
{
	return clk_(CLOCK_PROCESS_CPUTIME_ID);
}

static inline void pin(int core)
{
	cpu_set_t s;
	CPU_ZERO(&s);
	CPU_SET(core, &s);
	pthread_setaffinity_np(pthread_self(), sizeof s, &s);
}
static inline void emit(const char *peer, const char *w, double v, const char *unit)
{
	printf("%s %s %.4g %s\n", peer, w, v, unit);
	fflush(stdout);
}
static inline long status_kb(const char *key)
{
	char line[256];
	long v = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, key, strlen(key))) {
			v = atol(line + strlen(key));
			break;
		}
	if (f)
		fclose(f);
	return v;
}
/* resident bytes + page-table bytes: both are memory an idle task really costs */
static inline long mem_bytes(void)
{
	return (status_kb("VmRSS:") + status_kb("VmPTE:")) * 1024;
}

/* The CPU time of another process, all its threads, in ns. */
static inline uint64_t cpu_of(int pid)
{
	char p[64], q[400];
	uint64_t sum = 0, v;
	snprintf(p, sizeof p, "/proc/%d/task", pid);
	DIR *d = opendir(p);
	struct dirent *e;
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(q, sizeof q, "%s/%s/schedstat", p, e->d_name);
		FILE *f = fopen(q, "r");
		if (f) {
			if (fscanf(f, "%lu", &v) == 1)
				sum += v;
			fclose(f);
		}
	}
	if (d)
		closedir(d);
	return sum;
}
static inline uint64_t rnd_(uint64_t *s)
{
	uint64_t x = *s;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *s = x;
}
static inline int is(const char *a, const char *b)
{
	return !strcmp(a, b);
}
#define SEED    88172645463325252ull
#define N_YIELD 10000000
#define N_SPAWN 1000000
#define N_BATCH 100000
#define N_TIMER 1000000
#define N_SOON  10000000
#define N_CROSS 5000000
#define N_QUEUE 5000000
#define PING_NS 1000000000ull /* ping-pong runs for 1 s */

static const char HTTP_RESP[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";
/* counts complete request heads (CRLFCRLF) in a byte stream; *st carries 0..3 */
static inline int http_heads(const char *p, long n, int *st)
{
	int s = *st, k = 0;
	const char *e = p + n;
	while (p < e) {
		if (s == 0) { /* skip quickly to the next CR */
			p = (const char *)memchr(p, '\r', (size_t)(e - p));
			if (!p)
				break;
		}
		char c = *p++;
		if (s == 0)
			s = 1;
		else if (s == 1)
			s = c == '\n' ? 2 : (c == '\r' ? 1 : 0);
		else if (s == 2)
			s = c == '\r' ? 3 : 0;
		else {
			if (c == '\n') {
				k++;
				s = 0;
			} else
				s = 0;
		}
	}
	*st = s;
	return k;
}
#endif
