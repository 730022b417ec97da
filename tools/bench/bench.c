/* SPDX-License-Identifier: MIT */
/* bench.c - CPUs, memory and output: what workloads measure with. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"

struct bench_counts bench_counts = {
        .switches = 10000000,
        .spawns = 1000000,
        .batch = 100000,
        .timers = 1000000,
        .timer_ms = 1000,
        .cancels = 1000,
        .soons = 10000000,
        .posts = 5000000,
        .items = 5000000,
        .curve = 1000000,
        .ping_ns = UINT64_C(1000000000),
};

static long divisor = 1;
static const char *skip_reason = "";
static double noted_rate;
static cpu_set_t allowed;

long bench_divided(long count)
{
	return count > divisor ? count / divisor : 1;
}

void bench_divide(long by)
{
	struct bench_counts *counts = &bench_counts;
	long *each[] = {&counts->switches, &counts->spawns,  &counts->batch, &counts->timers,
	                &counts->timer_ms, &counts->cancels, &counts->soons, &counts->posts,
	                &counts->items,    &counts->curve};

	divisor = by;
	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++)
		*each[i] = bench_divided(*each[i]);
	counts->ping_ns /= (uint64_t)by;
}

int bench_skip(const char *reason)
{
	skip_reason = reason;
	return BENCH_SKIPPED;
}

const char *bench_skip_reason(void)
{
	return skip_reason;
}

void bench_note_rate(double rate)
{
	noted_rate = rate;
}

double bench_rate(void)
{
	return noted_rate;
}

void bench_remember_cpus(void)
{
	if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
		return;
	/* More CPUs than fit: the first will do. */
	CPU_ZERO(&allowed);
	CPU_SET(0, &allowed);
}

unsigned bench_cpus(void)
{
	return (unsigned)CPU_COUNT(&allowed);
}

void bench_pin(unsigned index)
{
	cpu_set_t one;
	int cpu = -1;

	index %= bench_cpus();
	do {
		cpu++;
	} while (!CPU_ISSET(cpu, &allowed) || index-- > 0);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		bench_die("sched_setaffinity");
}

/* The number of kB behind @key in a file of /proc; 0 if it is not there. */
static long kilobytes(const char *path, const char *key)
{
	char line[256];
	long value = 0;
	FILE *file = fopen(path, "re");

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) == 0) {
			value = strtol(line + strlen(key), NULL, 10);
			break;
		}
	}
	fclose(file);
	return value;
}

long bench_mem_bytes(void)
{
	return (kilobytes("/proc/self/status", "VmRSS:") +
	        kilobytes("/proc/self/status", "VmPTE:")) *
	       1024;
}

long bench_mem_available(void)
{
	return kilobytes("/proc/meminfo", "MemAvailable:") * 1024;
}

void bench_die(const char *what)
{
	fprintf(stderr, "knit-bench: %s: %s\n", what, strerror(errno));
	_exit(1);
}

void bench_emit(const char *peer, const char *workload, double value, const char *unit)
{
	printf("%s %s %.4g %s\n", peer, workload, value, unit);
	fflush(stdout);
}
